//! `backtests audit`: whether the signals of a config or a run could have been known, here from the lake or by a service.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::Value;

use super::client::read_config;
use super::progress::Progress;
use super::service::{Client, RunName, Service};
use super::{CliError, Output, data_here, say};
use crate::engine::{BacktestConfig, Market};
use crate::store::versions::Pins;
use crate::work::audit::{self, FILE, Restated, Sources};

/// Look for signals that know the future, and for results that are too good. Exit code 5 when something was found.
///
/// A config is audited on this machine, a run by the service that has it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A config, YAML or JSON; or a run: its id, the beginning of it, @latest or @latest-failed.
    config_or_run: String,
    /// Root of the lake, for a config [default: BACKTEST_LAKE].
    #[arg(long, value_name = "DIR")]
    lake: Option<String>,
    /// Also compare the rows with what the tables said first.
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    pub(super) service: Service,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let path = PathBuf::from(&args.config_or_run);
    let found = if path.is_file() {
        here(&path, args.lake.as_deref(), args.deep).await?
    } else {
        let name: RunName = args.config_or_run.parse().map_err(|error: String| {
            CliError::usage(format!("{}: no file, and {error}", args.config_or_run))
        })?;
        let call = if args.deep { "audit?deep=true" } else { "audit" };
        Client::connect(&args.service)?.made_of(&name, call, FILE).await?
    };
    print(&found, args.service.output);
    match found["verdict"].as_str() {
        Some("clean" | "not_provable") => Ok(()),
        verdict => {
            let verdict = verdict.unwrap_or("without a verdict");
            let error = CliError::failed(format!("{}: {verdict}", args.config_or_run));
            Err(error.with_exit(CliError::FOUND).with_answer_given())
        }
    }
}

async fn here(path: &std::path::Path, lake: Option<&str>, deep: bool) -> Result<Value, CliError> {
    let data = data_here(lake)?;
    let place = path.display().to_string();
    let submitted = read_config(path)?;
    let config =
        BacktestConfig::from_value(&submitted).map_err(|faults| CliError::invalid_config(&place, &faults))?;
    data.check(&config).map_err(|faults| CliError::invalid_config(&place, &faults))?;
    let mut progress = Progress::start(place.clone());
    progress.at(0, 0, "loading prices");
    let pins = Pins::default();
    let load =
        |error| CliError::because(format!("load the data of {place}"), error).with_exit(CliError::DATA);
    let loaded = data.load(&config, &pins).await.map_err(load)?;
    let origins = data.origins(&config, &pins).await;
    let first = if deep { Some(data.first_rows(&config, &pins).await) } else { None };
    let restated = first.map(|first| Restated::of(&config, &loaded, first));
    let market = Market::assemble(&config, loaded.prices, loaded.signals).map_err(|error| {
        CliError::because(format!("load the data of {place}"), error).with_exit(CliError::DATA)
    })?;
    let found = tokio::task::block_in_place(|| {
        let mut on_step = |done: usize, total: usize| {
            progress.at(done as u64, total as u64, "");
            ControlFlow::Continue(())
        };
        let sources = Sources { origins: &origins, restated: restated.as_ref() };
        audit::audit(&config, &market, &sources, &mut on_step)
    })
    .map_err(|error| CliError::because(place.clone(), error).with_exit(CliError::STRATEGY))?;
    progress.finish("audited");
    serde_json::to_value(found).map_err(|error| CliError::because("write the answer", error))
}

fn print(found: &Value, output: Output) {
    if output == Output::Json {
        return say(format_args!("{found:#}"));
    }
    say(format_args!("verdict          {}", found["verdict"].as_str().unwrap_or("-")));
    for check in found["checks"].as_array().into_iter().flatten() {
        let text = |name: &str| check[name].as_str().unwrap_or("-");
        say(format_args!("{:<18} {:<12} {}", text("id"), text("verdict"), text("what")));
        if let Some(example) = check["first_example"].as_str() {
            say(format_args!("{:<18} {:<12} first: {example}", "", ""));
        }
    }
}
