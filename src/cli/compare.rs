//! `backtests compare`: completed runs side by side, of a service or, without one, from the folders that they left.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::Method;
use serde_json::Value;

use super::service::{Client, RunName, Service};
use super::table::{self, Column, number, percent};
use super::{CliError, Output, say};
use crate::store::artifacts::{ArtifactStore, LocalArtifacts};
use crate::work::compare::{RUNS_MAX, Source, compare as compare_sources};
use crate::work::files::MANIFEST;
use crate::work::report::comparison_page;

/// Compare completed runs over the days that all of them have; the others with the first. Runs are ids, beginnings of ids,
/// @latest, trials of studies (STUDY:12), or folders that runs left on this machine, for which no service is needed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Two to ten runs; the first is the one that the others are compared with.
    #[arg(required = true, num_args = 2..=RUNS_MAX)]
    runs: Vec<String>,
    /// Replications of the test by resampling.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=5000))]
    bootstrap: u32,
    /// Write the comparison as one self-contained page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    pub(super) service: Service,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let folders = args.runs.iter().filter(|run| is_folder(run)).count();
    let (document, page) = match folders {
        0 => of_service(&args).await?,
        all if all == args.runs.len() => of_folders(&args).await?,
        _ => {
            let other = args.runs.iter().find(|run| !is_folder(run)).map_or("", String::as_str);
            return Err(CliError::usage(format!(
                "'{other}' is not a folder of a completed run; compare folders with folders, runs of a service with runs of it"
            )));
        }
    };
    if let (Some(path), Some(page)) = (&args.html, page) {
        let written = tokio::fs::write(path, page).await;
        written.map_err(|error| CliError::because(format!("write {}", path.display()), error))?;
    }
    match args.service.output {
        Output::Json => say(format_args!("{document:#}")),
        Output::Table => print(&document),
    }
    if let (Some(path), Output::Table) = (&args.html, args.service.output) {
        say(format_args!("page: {}", path.display()));
    }
    Ok(())
}

/// Whether a name is that of a folder that a completed run left.
fn is_folder(name: &str) -> bool {
    Path::new(name).join(MANIFEST).is_file()
}

async fn of_folders(args: &Args) -> Result<(Value, Option<String>), CliError> {
    let store = LocalArtifacts::new(".").map_err(|error| CliError::because("find this folder", error))?;
    let store: Arc<dyn ArtifactStore> = Arc::new(store);
    let mut sources = Vec::new();
    for folder in &args.runs {
        let source = Source::of_folder(&store, Path::new(folder)).await;
        sources.push(source.map_err(|error| CliError::because("compare", error).with_exit(CliError::DATA))?);
    }
    let comparison = compare_sources(&sources, args.bootstrap as usize);
    let document = serde_json::to_value(&comparison);
    let document = document.map_err(|error| CliError::because("write the comparison", error))?;
    Ok((document, args.html.is_some().then(|| comparison_page(&comparison))))
}

async fn of_service(args: &Args) -> Result<(Value, Option<String>), CliError> {
    let client = Client::connect(&args.service)?;
    let mut ids = Vec::new();
    for name in &args.runs {
        // A trial of a study is named behind its run.
        let (run, trial) = name
            .split_once(':')
            .map_or((name.as_str(), String::new()), |(run, trial)| (run, format!(":{trial}")));
        let run: RunName = run.parse().map_err(CliError::usage)?;
        ids.push(format!("{}{trial}", client.id(&run).await?));
    }
    let query = [("runs", ids.join(",")), ("bootstrap", args.bootstrap.to_string())];
    let document = client.json(client.request(Method::GET, "compare").query(&query)).await?;
    let page = match args.html {
        Some(_) => Some(client.text(client.request(Method::GET, "compare/page").query(&query)).await?),
        None => None,
    };
    Ok((document, page))
}

/// Figures that are told at a terminal; all of them are in the document.
const TOLD: [&str; 8] = [
    "total_return",
    "annualized_return",
    "annualized_volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "max_drawdown",
    "average_turnover",
    "costs_bps_a_year",
];

fn print(document: &Value) {
    let runs: Vec<&str> =
        document["runs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let letters: Vec<String> =
        (b'A'..).take(runs.len()).map(|letter| char::from(letter).to_string()).collect();
    for (letter, id) in letters.iter().zip(&runs) {
        say(format_args!("{letter}  {id}"));
    }
    let window = &document["window"];
    let day = |name: &str| window[name].as_str().unwrap_or("-").to_owned();
    say(format_args!("{} common days, {} to {}", window["days"], day("from"), day("to")));
    for cut in window["cut"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(format_args!("  {cut}"));
    }
    let mut columns = vec![Column::text("figure")];
    columns.extend(letters.iter().map(|letter| Column::number(letter)));
    let rows = document["figures"].as_array().into_iter().flatten();
    let rows = rows.filter(|row| row["name"].as_str().is_some_and(|name| TOLD.contains(&name)));
    let rows: Vec<Vec<String>> = rows
        .map(|row| {
            let name = row["name"].as_str().unwrap_or_default();
            let plain = name.ends_with("_ratio") || name.starts_with("costs");
            let cell = |letter: &String| if plain { number(&row[letter]) } else { percent(&row[letter]) };
            std::iter::once(name.replace('_', " ")).chain(letters.iter().map(cell)).collect()
        })
        .collect();
    table::print(&columns, &rows);
    for row in document["config_diff"].as_array().into_iter().flatten() {
        let values: Vec<String> = letters.iter().map(|letter| format!("{letter} {}", row[letter])).collect();
        say(format_args!("{}: {}", row["path"].as_str().unwrap_or_default(), values.join(", ")));
    }
    say(document["sentence"].as_str().unwrap_or_default());
}
