//! `backtests run`: backtests on this machine, no service, no run record.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use chrono::Utc;
use serde_json::Value;

use super::progress::Progress;
use super::settings::{Settings, environment, log_filter};
use super::{CliError, Output, boot, say, telemetry};
use crate::engine::BacktestConfig;
use crate::run::RunId;
use crate::store::delta::Location;
use crate::store::prices::{LoadError, MarketData, Reach};
use crate::work::compute::{ComputeError, Computed, compute};
use crate::work::document::{canonical, parse_yaml};
use crate::work::report::Facts;
use crate::work::sha256_hex;

/// Run backtests on this machine, without a service.
///
/// The files of each go to DIR/<run_id>/ (a run that is there already is not overwritten); the summary is printed.
/// Paths in a config are relative to the current folder; a config without `data.price_path` reads the lake.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configs, YAML or JSON.
    #[arg(required = true, value_name = "CONFIG")]
    configs: Vec<PathBuf>,
    /// Folder of the results [default: output.local_dir of the config, else ./backtest_results].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Id of the run; only with one config.
    #[arg(long)]
    run_id: Option<RunId>,
    /// Root of the lake [default: BACKTEST_LAKE].
    #[arg(long, value_name = "DIR")]
    lake: Option<String>,
    /// How the summary is printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let environment = environment();
    telemetry::command(log_filter(&environment));
    let mut settings = Settings::from(&environment)?;
    if let Some(lake) = &args.lake {
        let lake = Location::parse(lake).map_err(|error| CliError::usage(format!("--lake: {error}")))?;
        settings.lake = Some(lake);
    }
    if args.run_id.is_some() && args.configs.len() > 1 {
        return Err(CliError::usage("--run-id names one run, but there are several configs"));
    }
    let mut reach = Reach::unlimited();
    reach.containers.clone_from(&settings.containers);
    let data = boot::market_data(&settings, reach);
    let mut summaries = Vec::new();
    for path in &args.configs {
        summaries.push(run_one(path, &args, &data).await?);
    }
    match (args.output, summaries.as_slice()) {
        (Output::Table, _) => {}
        (Output::Json, [summary]) => say(format_args!("{summary:#}")),
        (Output::Json, _) => say(format_args!("{:#}", Value::Array(summaries))),
    }
    Ok(())
}

async fn run_one(path: &Path, args: &Args, data: &MarketData) -> Result<Value, CliError> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::because(format!("read {place}"), error).with_exit(CliError::USAGE))?;
    let submitted =
        parse_yaml(&text).map_err(|error| CliError::usage(format!("{place} is no YAML or JSON: {error}")))?;
    let config =
        BacktestConfig::from_value(&submitted).map_err(|faults| CliError::invalid_config(&place, &faults))?;
    data.check(&config).map_err(|faults| CliError::invalid_config(&place, &faults))?;
    let run_id = args.run_id.clone().unwrap_or_else(|| RunId::generate(Utc::now()));
    let root = match (&args.out, &config.output.local_dir) {
        (Some(out), _) => out.clone(),
        (None, Some(dir)) => PathBuf::from(dir),
        (None, None) => PathBuf::from("./backtest_results"),
    };
    let folder = root.join(run_id.as_str());
    if folder.exists() {
        return Err(CliError::failed(format!(
            "{} is there already; choose another --run-id",
            folder.display()
        )));
    }

    let mut progress = Progress::start(config.run_name.clone().unwrap_or_else(|| place.clone()));
    progress.at(0, 0, "loading prices");
    let loaded = data.load(&config).await.map_err(|error| load_error(&error))?;
    let data_versions = loaded.data_versions.clone();
    let facts = Facts {
        run_id: &run_id,
        submitted: &submitted,
        config: &config,
        config_sha256: &sha256_hex(canonical(&config.resolved())),
        data_versions: &data_versions,
    };
    let mut on_bar = |done: usize, total: usize| {
        // Drawing is far dearer than a day of a backtest.
        if done.is_multiple_of(64) || done == total {
            progress.at(done as u64, total as u64, "");
        }
        ControlFlow::Continue(())
    };
    let computed = tokio::task::block_in_place(|| compute(&facts, loaded, None, &mut on_bar));
    let Computed { files, summary } = computed.map_err(|error| compute_error(&error))?;
    write(&root, &folder, &files)
        .map_err(|error| CliError::because(format!("write {}", folder.display()), error))?;
    progress.finish(&format!("{place}: {} files in {}", files.len(), folder.display()));
    if args.output == Output::Table {
        print_summary(&summary);
    }
    Ok(summary)
}

/// Writes the files beside their final place and moves them there as a whole.
fn write(root: &Path, folder: &Path, files: &[crate::work::report::Artifact]) -> std::io::Result<()> {
    let unfinished = root.join(format!(".unfinished-{}", uuid::Uuid::new_v4().simple()));
    let written = || -> std::io::Result<()> {
        for file in files {
            let path = unfinished.join(&file.name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, &file.content)?;
        }
        std::fs::rename(&unfinished, folder)
    };
    written().inspect_err(|_| {
        let _ = std::fs::remove_dir_all(&unfinished);
    })
}

fn load_error(error: &LoadError) -> CliError {
    CliError::because("load the data", error).with_exit(CliError::DATA)
}

fn compute_error(error: &ComputeError) -> CliError {
    let exit = match error {
        ComputeError::Report(_) => CliError::FAILED,
        error if error.is_data() => CliError::DATA,
        _ => CliError::STRATEGY,
    };
    CliError::failed(crate::work::execute::chain(error)).with_exit(exit)
}

/// The figures that a person looks at first.
pub(super) fn print_summary(summary: &Value) {
    let percent = |name: &str| match summary[name].as_f64() {
        Some(share) => format!("{:.2} %", 100.0 * share),
        None => "-".to_owned(),
    };
    let number =
        |name: &str| summary[name].as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    let text = |name: &str| summary[name].as_str().unwrap_or("-").to_owned();
    let rows = [
        ("run", text("run_id")),
        ("name", text("run_name")),
        ("period", format!("{} to {}", text("start_date"), text("end_date"))),
        ("final equity", number("final_equity")),
        ("total return", percent("total_return")),
        ("annualized return", percent("annualized_return")),
        ("annualized volatility", percent("annualized_volatility")),
        ("Sharpe ratio", number("sharpe_ratio")),
        ("max drawdown", percent("max_drawdown")),
        ("trades", summary["trades"].as_u64().map_or_else(|| "-".to_owned(), |count| count.to_string())),
    ];
    for (name, value) in rows {
        say(format_args!("{name:<22} {value:>28}"));
    }
    for warning in summary["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(format_args!("warning: {warning}"));
    }
}
