//! What the program carries along, so that it works from an empty folder: the functions as the host sees them, the
//! examples with their prices. A checkout has the same files, and goes before them.

use std::io;
use std::path::Path;

use include_dir::{Dir, include_dir};

use super::CliError;

static HOST_JSON: &str = include_str!("../../host.json");
static FUNCTIONS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/functions");
static EXAMPLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/examples");

/// Config of the demo and of a new folder, below the examples.
const CONFIG: &str = "momentum.yaml";
/// The first hour in Python, below the examples.
const NOTEBOOK: &str = "notebook.ipynb";
/// Their prices and what is known of the rights to them, below the examples.
const PRICES: [&str; 2] = ["data/wiki5_ohlcv_daily.parquet", "data/README.md"];
/// By which editors complete a config.
const SCHEMA: (&str, &str) = ("config.schema.json", include_str!("../../docs/config.schema.json"));

/// Writes the app with its examples into a folder, anew each time: it belongs to this program.
pub(super) fn unpack(folder: &Path) -> io::Result<()> {
    let functions = folder.join("functions");
    // A function of an older version must not stay.
    match std::fs::remove_dir_all(&functions) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    for (dir, into) in [(&FUNCTIONS, functions), (&EXAMPLES, folder.join("examples"))] {
        std::fs::create_dir_all(&into)?;
        dir.extract(into)?;
    }
    std::fs::write(folder.join("host.json"), HOST_JSON)
}

/// Make a folder to work in: a config, a notebook, and a place for prices with those of five stocks in it.
#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// The folder; it may be there already, but nothing in it is overwritten.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: std::path::PathBuf,
}

pub(super) fn init(args: &InitArgs) -> Result<(), CliError> {
    let folder = &args.folder;
    let named = |path: &str| path.replacen("data/", "prices/", 1);
    // The texts name files where a clone has them.
    let text = |path: &str| {
        let text = EXAMPLES.get_file(path).and_then(|file| file.contents_utf8()).unwrap_or_default();
        text.replace("../docs/config.schema.json", SCHEMA.0).replace("data/wiki5", "prices/wiki5")
    };
    let texts = [(CONFIG, text(CONFIG)), (NOTEBOOK, text(NOTEBOOK)), (SCHEMA.0, SCHEMA.1.to_owned())];
    let prices =
        PRICES.into_iter().filter_map(|path| Some((path, EXAMPLES.get_file(path)?.contents().to_vec())));
    let files: Vec<(String, Vec<u8>)> = texts
        .into_iter()
        .map(|(path, text)| (path, text.into_bytes()))
        .chain(prices)
        .map(|(path, content)| (named(path), content))
        .collect();
    let taken: Vec<&str> =
        files.iter().map(|(name, _)| name.as_str()).filter(|name| folder.join(name).exists()).collect();
    if !taken.is_empty() {
        return Err(CliError::failed(format!(
            "{} has {} already; nothing was written. Name another folder: `backtests init DIR`",
            folder.display(),
            taken.join(", ")
        )));
    }
    let wrote = || -> io::Result<()> {
        std::fs::create_dir_all(folder.join("prices"))?;
        files.iter().try_for_each(|(name, content)| std::fs::write(folder.join(name), content))
    };
    wrote().map_err(|error| CliError::because(format!("write into {}", folder.display()), error))?;
    let at = if folder == Path::new(".") { String::new() } else { format!("cd {} && ", folder.display()) };
    super::say(format_args!(
        "{}: a config ({CONFIG}), a notebook ({NOTEBOOK}), prices/ with five stocks\nnext:\n  \
         {at}backtests lake import {} --lake lake\n  backtests run {CONFIG} --lake lake --open",
        folder.display(),
        named(PRICES[0])
    ));
    Ok(())
}
