//! Studies on this machine: `backtests run FILE` of a file with `study`, and what is said below the table of a grid. All
//! trials share the markets that they read and run on all cores; nothing is submitted.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::Utc;
use serde_json::{Value, json};

use super::progress::Progress;
use super::table::{self, Column, number, percent};
use super::{CliError, Output, say};
use crate::engine::{BacktestConfig, Market, Outcome, RunError};
use crate::run::RunId;
use crate::store::prices::MarketData;
use crate::store::versions::{Pins, united};
use crate::work::chain;
use crate::work::document::canonical;
use crate::work::facts::Facts;
use crate::work::files::{self, Artifact};
use crate::work::sha256_hex;
use crate::work::study::Study;
use crate::work::study::complete::{Completed, Markets, complete};
use crate::work::study::evaluate::{Evaluation, OnTrial, PartResult, Window};
use crate::work::study::figures;
use crate::work::study::join::Joined;
use crate::work::study::judge::Judgement;
use crate::work::study::trials::by_market;

/// Trials of the table in the terminal.
const ROWS: usize = 20;

/// Where a study's result goes.
pub(super) struct Place<'a> {
    pub(super) out: Option<&'a PathBuf>,
    pub(super) run_id: Option<&'a RunId>,
    /// How the answer is printed.
    pub(super) output: Output,
}

/// Runs the study that a document asks for, and answers where its report is.
pub(super) async fn run(
    place: &str,
    document: Value,
    data: &MarketData,
    to: Place<'_>,
) -> Result<PathBuf, CliError> {
    let study = read(place, &document)?;
    let plan = tokio::task::block_in_place(|| study.plan())
        .map_err(|faults| CliError::invalid_config(place, &faults))?;
    data.check(&plan.config).map_err(|faults| CliError::invalid_config(place, &faults))?;
    let run_id = to.run_id.cloned().unwrap_or_else(|| RunId::generate(Utc::now()));
    let root = match (to.out, &plan.config.output.local_dir) {
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
    let mut progress = Progress::start(place.to_owned());
    progress.at(0, 0, "loading prices");
    let trials = u64::try_from(plan.ordered.len()).unwrap_or(u64::MAX);
    let groups = tokio::task::block_in_place(|| by_market(&study, &plan.ordered));
    let mut markets = Markets::default();
    let mut versions = Vec::new();
    for config in groups.iter().filter_map(|(config, _)| config.as_ref()) {
        let loaded = data.load(config, &Pins::default()).await.map_err(|error| {
            CliError::because(format!("load the data of {place}"), error).with_exit(CliError::DATA)
        })?;
        versions.push(loaded.data_versions);
        let market = Market::assemble(config, loaded.prices, loaded.signals)
            .map_err(|error| CliError::failed(format!("{place}: {error}")).with_exit(CliError::DATA))?;
        markets.add(config, market);
    }
    let data_versions = as_one(place, &versions)?;
    let progress = Mutex::new(progress);
    let done = AtomicU64::new(0);
    let tell = |_: u32, _: Option<Result<&mut Outcome, &RunError>>| {
        let now = done.fetch_add(1, Ordering::Relaxed) + 1;
        if now.is_multiple_of(64) || now == trials {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.at(now, trials, &format!("{now} of {trials} trials"));
        }
        ControlFlow::Continue(())
    };
    let completed = tokio::task::block_in_place(|| {
        evaluate(&study, &markets, &groups, &tell).and_then(|part| {
            complete(&study, &document, &run_id, &data_versions, vec![part], &markets)
                .map_err(|error| CliError::failed(format!("{place}: {}", chain(&error))))
        })
    })?;
    let Completed { files: mut made, judged, joined } = completed;
    let facts = Facts {
        run_id: &run_id,
        submitted: &document,
        config: &plan.config,
        config_sha256: &sha256_hex(canonical(&document)),
        data_versions: &data_versions,
        fence: None,
    };
    let (manifest, _) =
        files::manifest(&facts, &made).map_err(|error| CliError::because("write the manifest", error))?;
    made.push(manifest);
    write(&root, &folder, &made)
        .map_err(|error| CliError::because(format!("write {}", folder.display()), error))?;
    let progress = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    progress.finish(&format!("{trials} trials; the files are in {}", folder.display()));
    match to.output {
        Output::Json => say(format_args!("{:#}", judged.statistics)),
        Output::Table => print(&study, &joined, &judged),
    }
    Ok(folder.join(super::summary::REPORT))
}

/// What several markets read, as the study has it.
fn as_one(place: &str, versions: &[Value]) -> Result<Value, CliError> {
    united(versions).ok_or_else(|| {
        CliError::failed(format!("{place}: the data changed while it was read; run it again"))
            .with_exit(CliError::DATA)
    })
}

/// The study that a document asks for.
fn read(place: &str, document: &Value) -> Result<Study, CliError> {
    Study::from_value(document).map_err(|faults| CliError::invalid_config(place, &faults))
}

/// All trials as one part.
fn evaluate(
    study: &Study,
    markets: &Markets,
    groups: &[(Option<BacktestConfig>, Vec<u32>)],
    tell: OnTrial<'_>,
) -> Result<PartResult, CliError> {
    let mut evaluation: Option<Evaluation<'_>> = None;
    for (config, trials) in groups {
        let Some(config) = config else { continue };
        let Some(market) = markets.get(config) else { continue };
        if evaluation.is_none() {
            let window = Window::of(study, config, market);
            window.splits(study).map_err(|error| {
                CliError::failed(format!("study.validation: {error}")).with_exit(CliError::DATA)
            })?;
            evaluation = Some(Evaluation::new(study, window));
        }
        let Some(evaluation) = &mut evaluation else { continue };
        // It stops only with the program.
        let _ = evaluation.run(market, trials, tell);
    }
    evaluation.map(Evaluation::finish).ok_or_else(|| CliError::failed("no trial makes a valid config"))
}

/// A grid as a study: its trials are the jobs of the grid, by their numbers.
pub(super) struct Grid {
    study: Study,
    document: Value,
}

impl Grid {
    /// Of a config and the values of each field.
    ///
    /// # Errors
    /// Why nothing can be said of the whole: the grid is over something that must be the same for all trials of a study.
    pub(super) fn of(base: &Value, axes: &serde_json::Map<String, Value>) -> Result<Self, String> {
        let experiment = base.get("experiment");
        let block = json!({ "experiment": experiment, "parameters": axes, "skip_invalid": true });
        let document = json!({ "study": block, "base": base });
        let study = Study::from_value(&document).map_err(|faults| {
            let why: Vec<String> = faults.iter().map(ToString::to_string).collect();
            format!("No statistics of the whole: {}.", why.join("; "))
        })?;
        Ok(Self { study, document })
    }

    /// Runs every trial, once; `on_trial` sees what comes of each.
    pub(super) fn evaluate(&self, markets: &Markets, on_trial: OnTrial<'_>) -> Result<PartResult, CliError> {
        let plan = self.study.plan().map_err(|faults| CliError::invalid_config("--grid", &faults))?;
        evaluate(&self.study, markets, &by_market(&self.study, &plan.ordered), on_trial)
    }

    /// What is said of the whole, in one sentence, with its files beside the table of results.
    pub(super) fn complete(
        &self,
        root: &Path,
        markets: &Markets,
        versions: &[Value],
        part: PartResult,
    ) -> Result<String, CliError> {
        let run_id: RunId = "grid".parse().map_err(|error| CliError::because("name the grid", error))?;
        let versions = as_one("--grid", versions)?;
        let completed = complete(&self.study, &self.document, &run_id, &versions, vec![part], markets)
            .map_err(|error| CliError::failed(format!("--grid: {}", chain(&error))))?;
        for file in completed.files.iter().filter(|file| file.name != "config.yaml") {
            let name = if file.name == "report.html" { "study.html" } else { &file.name };
            let path = root.join(name);
            std::fs::write(&path, &file.content)
                .map_err(|error| CliError::because(format!("write {}", path.display()), error))?;
        }
        Ok(completed.judged.sentence)
    }
}

fn print(study: &Study, joined: &Joined, judged: &Judgement) {
    let columns = [
        Column::number("trial"),
        Column::number("Sharpe"),
        Column::number("return p.a."),
        Column::number("drawdown"),
        Column::number("q-value"),
        Column::text("parameters"),
    ];
    let best = joined.best_trials(study, ROWS);
    let rows: Vec<Vec<String>> = best
        .iter()
        .map(|&trial| {
            let row = &joined.rows[trial as usize];
            let figure = |name: &str| json!(figures::place(name).and_then(|place| row.figures[place]));
            vec![
                trial.to_string(),
                number(&figure("sharpe_ratio")),
                percent(&figure("annualized_return")),
                percent(&figure("max_drawdown")),
                number(&json!(judged.q_values[trial as usize])),
                study.label(trial as usize),
            ]
        })
        .collect();
    table::print(&columns, &rows);
    let more = joined.distinct().count().saturating_sub(rows.len());
    if more > 0 {
        say(format_args!("… and {more} more distinct trials in trials.csv"));
    }
    if study.experiment.is_some() {
        say("warning: study.experiment has no effect without a service, whose ledger counts what is tried");
    }
    for warning in judged.statistics["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say(format_args!("warning: {warning}"));
    }
    say(&judged.sentence);
}

/// Writes the files beside their final place and moves them there as a whole.
pub(super) fn write(root: &Path, folder: &Path, files: &[Artifact]) -> std::io::Result<()> {
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
