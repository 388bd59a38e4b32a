//! `backtests reproduce`: whether a run can be made again, by a service that has it or here, from the folder that it was
//! fetched to.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};

use super::client::read_config;
use super::progress::Progress;
use super::service::{Client, RunName, Service};
use super::{CliError, Output, data_here, say};
use crate::engine::BacktestConfig;
use crate::store::versions::Pins;
use crate::work::files::{MANIFEST, SUMMARY};
use crate::work::reproduce::{self, DataFound, FILE, Original, Reproduction, Verdict};
use crate::work::sha256_hex;

/// Make a completed run again and compare every file. Exit code 0: identical, or equal numbers by another engine; 1: something
/// differs; 3: it cannot be made again, for example because its data is gone.
///
/// A run is made again by the service that has it. A folder, as `backtests fetch` or `backtests run` left it, is made again
/// on this machine from the lake.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run: its id, the beginning of it, @latest or @latest-failed; or the folder of a run.
    run: String,
    /// Root of the lake, for a folder [default: BACKTEST_LAKE].
    #[arg(long, value_name = "DIR")]
    lake: Option<String>,
    #[command(flatten)]
    pub(super) service: Service,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let folder = PathBuf::from(&args.run);
    let found = if folder.join(MANIFEST).is_file() {
        let found = here(&folder, args.lake.as_deref()).await?;
        serde_json::to_value(found).map_err(|error| CliError::because("write the answer", error))?
    } else {
        let name: RunName = args.run.parse().map_err(|error: String| {
            CliError::usage(format!("{}: no folder of a run, and {error}", args.run))
        })?;
        Client::connect(&args.service)?.made_of(&name, "reproduce", FILE).await?
    };
    print(&found, args.service.output);
    verdict(&found)
}

/// Makes the run of a folder again.
pub(super) async fn here(folder: &Path, lake: Option<&str>) -> Result<Reproduction, CliError> {
    let data = data_here(lake)?;
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).map_err(|error| CliError::because(format!("read {}", path.display()), error))
    };
    let original = Original::of_manifest(&read(MANIFEST)?)
        .map_err(|error| CliError::because(format!("read {}", folder.join(MANIFEST).display()), error))?;
    for file in &original.artifacts {
        if folder.join(&file.name).is_file() && sha256_hex(read(&file.name)?) != file.sha256 {
            let path = folder.join(&file.name);
            return Err(CliError::failed(format!(
                "{} is not what its manifest says: it was changed since",
                path.display()
            )));
        }
    }
    let submitted = read_config(&folder.join("config.yaml"))?;
    let not_possible = |data, reason| Ok(Reproduction::not_possible(&original, data, reason));
    let config = match BacktestConfig::from_value(&submitted) {
        Ok(config) => config,
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            return not_possible(DataFound::Gone, format!("invalid_config: {}", faults.join("; ")));
        }
    };
    let mut progress = Progress::start(original.run_id.as_str());
    progress.at(0, 0, "loading prices");
    let loaded = data.load(&config, &Pins::of(&original.data_versions)).await;
    let loaded = reproduce::again(&original.data_versions, loaded)
        .map_err(|error| CliError::because("load the data", error))?;
    let (loaded, found) = match loaded {
        Ok(loaded) => loaded,
        Err(lost) => {
            let contents = reproduce::kept_files(&original).into_iter().map(|file| {
                let content = read(&file.name)?;
                Ok((file.name.clone(), Bytes::from(content)))
            });
            let kept = reproduce::of_kept(&original, &contents.collect::<Result<_, CliError>>()?)
                .map_err(|error| CliError::because("read what the run kept", error))?;
            match kept {
                Some(kept) => (kept, DataFound::Kept),
                None => return not_possible(lost.data, lost.reason),
            }
        }
    };
    let summary = read(SUMMARY).ok().and_then(|content| serde_json::from_slice(&content).ok());
    let summary = summary.unwrap_or(Value::Null);
    let made = tokio::task::block_in_place(|| {
        let mut on_bar = |done: usize, total: usize| {
            if done.is_multiple_of(64) || done == total {
                progress.at(done as u64, total as u64, "");
            }
            ControlFlow::Continue(())
        };
        reproduce::recompute(&original, (&submitted, &summary), &config, loaded, &mut on_bar)
    })
    .map_err(|error| CliError::because(format!("compute {}", original.run_id), error))?;
    progress.finish(&format!("{} made again", original.run_id));
    let then = reproduce::to_be_read(&original, &made).into_iter().map(|name| {
        let content = read(&name)?;
        Ok((name, Bytes::from(content)))
    });
    Ok(reproduce::compare(&original, found, &made, &then.collect::<Result<_, CliError>>()?))
}

pub(super) fn print(found: &Value, output: Output) {
    if output == Output::Json {
        return say(format_args!("{found:#}"));
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    say(format_args!("{:<16} {}", "run", text(&found["of"])));
    say(format_args!("{:<16} {}", "verdict", text(&found["verdict"])));
    if let Some(reason) = found["reason"].as_str() {
        say(format_args!("{:<16} {reason}", "reason"));
    }
    say(format_args!(
        "{:<16} {}, now {}",
        "engine",
        text(&found["engine"]["then"]),
        text(&found["engine"]["now"])
    ));
    say(format_args!("{:<16} {}", "data", text(&found["data"])));
    let files = found["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let equal = files.iter().filter(|file| file["equal"] == json!(true)).count();
    if !files.is_empty() {
        say(format_args!("{:<16} {equal} of {} are the same to the last byte", "files", files.len()));
    }
    for file in files.iter().filter(|file| file["equal"] != json!(true)) {
        say(format_args!("{:<16} {}", "differs", text(&file["name"])));
    }
    if found["largest_difference"].is_object() {
        say(format_args!("{:<16} {}", "furthest apart", found["largest_difference"]));
    }
}

/// The exit code that a verdict stands for.
pub(super) fn verdict(found: &Value) -> Result<(), CliError> {
    let verdict: Option<Verdict> = serde_json::from_value(found["verdict"].clone()).ok();
    let of = found["of"].as_str().unwrap_or_default();
    match verdict {
        Some(Verdict::Identical | Verdict::EqualNumbers) => Ok(()),
        Some(Verdict::NotPossible) => {
            let why = found["reason"].as_str().unwrap_or("no reason given");
            let error = CliError::failed(format!("{of} cannot be made again: {why}"));
            Err(error.with_exit(CliError::DATA).with_answer_given())
        }
        Some(Verdict::Different) | None => {
            Err(CliError::failed(format!("{of} made again is not the same")).with_answer_given())
        }
    }
}
