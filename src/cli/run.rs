//! `backtests run`: backtests on this machine, no service, no run record. Several at once share what they read, and
//! use all cores.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::Utc;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::progress::Progress;
use super::study::Grid;
use super::summary::{REPORT, print_summary, show};
use super::table::{self, Column, number, percent};
use super::{CliError, Output, data_here, say, study};
use crate::engine::{BacktestConfig, Market, Outcome, RunError};
use crate::run::RunId;
use crate::store::prices::MarketData;
use crate::store::versions::Pins;
use crate::work::chain;
use crate::work::compute::{ComputeError, Computed, Prepared, computed};
use crate::work::document::{canonical, parse_yaml};
use crate::work::facts::{Facts, FilesError};
use crate::work::files;
use crate::work::sha256_hex;
use crate::work::study::Study;
use crate::work::study::complete::Markets;
use crate::work::study::trials::{market_key, set};

/// Runs that a grid may ask for.
const RUNS_MAX: usize = 100_000;

/// Run backtests on this machine, without a service.
///
/// The files of each go to DIR/<run_id>/ (a run that is there already is not overwritten); the summary is printed.
/// Paths in a config are relative to the current folder; a config without `data.price_path` reads the lake.
/// Several configs, or a grid, are run on all cores over prices that are loaded once; the table of results is
/// sorted by Sharpe ratio and also written to DIR/results.csv and DIR/results.parquet. Below it stands how far the
/// best can be believed, with DIR/statistics.json and DIR/study.html. A file with `study` and `base` is a study.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configs, YAML or JSON.
    #[arg(required = true, value_name = "CONFIG")]
    configs: Vec<PathBuf>,
    /// Run each config with each of these values, for example `sizing.parameters.max_positions=5,10,20`; given
    /// several times, with each combination.
    #[arg(long, value_name = "FIELD=A,B,…")]
    grid: Vec<String>,
    /// Folder of the results [default: output.local_dir of the config, else ./backtest_results].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Id of the run; several runs get ID-1, ID-2 and so on.
    #[arg(long)]
    run_id: Option<RunId>,
    /// Only the table of results, no files of each run.
    #[arg(long)]
    results_only: bool,
    /// Root of the lake [default: BACKTEST_LAKE].
    #[arg(long, value_name = "DIR")]
    lake: Option<String>,
    /// Show the report in the browser; of several runs, that of the best.
    #[arg(long, conflicts_with = "results_only")]
    open: bool,
    /// How the summary is printed.
    #[arg(long, value_enum, default_value = "table")]
    pub(super) output: Output,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let data = data_here(args.lake.as_deref())?;
    if let Some(document) = study_of(&args)? {
        let place =
            study::Place { out: args.out.as_ref(), run_id: args.run_id.as_ref(), output: args.output };
        let name = args.configs[0].display().to_string();
        let report = study::run(&name, document, &data, place).await?;
        return if args.open { show(&report).await } else { Ok(()) };
    }
    let jobs = jobs(&args, &data)?;
    let several = jobs.len() > 1;

    let mut progress = Progress::start(jobs.first().map_or_else(String::new, |job| job.label.clone()));
    progress.at(0, 0, "loading prices");
    let markets = load(&data, &jobs).await?;
    let shown = Shown { total: jobs.len() as u64, progress: Mutex::new((0, progress)) };
    let (done, failed, sentence) = tokio::task::block_in_place(|| {
        let (each, sentence) = match grid_of(&args, jobs.len())? {
            Some(Ok(grid)) => as_study(&args, &jobs, markets, &shown, &grid)?,
            Some(Err(why)) => (one_by_one(&args, &jobs, &markets, &shown), Some(why)),
            None => (one_by_one(&args, &jobs, &markets, &shown), None),
        };
        let (done, failed) = sorted(&args, &jobs, each, shown)?;
        Ok::<_, CliError>((done, failed, sentence))
    })?;

    let report = done.first().filter(|_| !args.results_only).and_then(|best| page_of(best, &jobs));
    let answered = several || !done.is_empty();
    match (args.output, several) {
        (Output::Json, false) => done.iter().for_each(|summary| say(format_args!("{summary:#}"))),
        (Output::Json, true) => say(format_args!("{:#}", Value::Array(done))),
        (Output::Table, false) => {
            let place = report.as_ref().map(|page| page.display().to_string());
            done.iter().for_each(|summary| print_summary(summary, place.as_deref()));
        }
        (Output::Table, true) => print_results(&done),
    }
    if let (Some(sentence), Output::Table) = (sentence, args.output) {
        say(sentence);
    }
    if let (Some(page), true) = (report, args.open) {
        show(&page).await?;
    }
    // Beside an answer on stdout there is no room for a second document.
    all_or((), failed).map_err(|error| if answered { error.with_answer_given() } else { error })
}

/// The document of the one file that is given, if it asks for a study.
fn study_of(args: &Args) -> Result<Option<Value>, CliError> {
    // A file that cannot be read is told of with all others.
    let study = args.configs.iter().find_map(|path| read(path).ok().filter(Study::is_one));
    if study.is_some() && (args.configs.len() > 1 || !args.grid.is_empty()) {
        return Err(CliError::usage("a study is run by itself: one file, and no --grid"));
    }
    Ok(study)
}

fn read(path: &Path) -> Result<Value, CliError> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::because(format!("read {place}"), error).with_exit(CliError::USAGE))?;
    parse_yaml(&text).map_err(|error| CliError::usage(format!("{place} is not YAML or JSON: {error}")))
}

/// The grid as a study, or why it is none. `None` for runs that are no grid, or a single one.
fn grid_of(args: &Args, jobs: usize) -> Result<Option<Result<Grid, String>>, CliError> {
    if args.grid.is_empty() || jobs < 2 {
        return Ok(None);
    }
    let [config] = &args.configs[..] else {
        return Ok(Some(Err("No statistics of the whole: the grid is over several configs.".to_owned())));
    };
    let mut axes = serde_json::Map::new();
    for axis in &args.grid {
        let (field, values) = values_of(axis)?;
        axes.insert(field.to_owned(), Value::Array(values));
    }
    Ok(Some(Grid::of(&read(config)?, &axes)))
}

/// The report of a run, where its job put it.
fn page_of(summary: &Value, jobs: &[Job]) -> Option<PathBuf> {
    let job = jobs.iter().find(|job| summary["run_id"] == job.run_id.as_str())?;
    Some(job.root.join(job.run_id.as_str()).join(REPORT))
}

/// Everything, unless something failed: then all of that, with the exit code of the first.
fn all_or<T>(everything: T, mut failed: Vec<CliError>) -> Result<T, CliError> {
    match &failed[..] {
        [] => Ok(everything),
        [_] => failed.pop().map_or(Ok(everything), Err),
        [first, ..] => {
            let messages: Vec<&str> = failed.iter().map(|error| error.message.as_str()).collect();
            Err(CliError::failed(messages.join("\n")).with_exit(first.exit))
        }
    }
}

/// One backtest to run.
struct Job {
    /// What tells it from the others.
    label: String,
    run_id: RunId,
    submitted: Value,
    config: BacktestConfig,
    /// Folder that gets the run's folder.
    root: PathBuf,
    /// Jobs with equal keys read the same rows.
    market: String,
}

/// Every config with every combination of the grid, all of them valid. Of each config that is not, the error tells.
fn jobs(args: &Args, data: &MarketData) -> Result<Vec<Job>, CliError> {
    let combinations = combinations(&args.grid)?;
    let count = args.configs.len().saturating_mul(combinations.len());
    if count > RUNS_MAX {
        return Err(CliError::usage(format!("the grid asks for {count} runs; {RUNS_MAX} is the limit")));
    }
    let (mut jobs, mut faults) = (Vec::with_capacity(count), Vec::new());
    for path in &args.configs {
        let before = (count > 1).then_some(jobs.len());
        match jobs_of(args, data, path, &combinations, before) {
            Ok(more) => jobs.extend(more),
            Err(error) => faults.push(error),
        }
    }
    all_or(jobs, faults)
}

/// What one file asks for. Of several jobs, `before` came earlier.
fn jobs_of(
    args: &Args,
    data: &MarketData,
    path: &Path,
    combinations: &[Vec<(String, Value)>],
    before: Option<usize>,
) -> Result<Vec<Job>, CliError> {
    let (place, base) = (path.display().to_string(), read(path)?);
    let each = combinations.iter().enumerate().map(|(nth, combination)| {
        let (mut submitted, mut label) = (base.clone(), place.clone());
        for (field, value) in combination {
            set(&mut submitted, field, value).map_err(|part| {
                CliError::usage(format!("--grid {field}: there is no place '{part}' in the config"))
            })?;
            label = format!("{label} {field}={value}");
        }
        job(args, data, label, submitted, before.map(|before| before + nth + 1))
    });
    each.collect()
}

fn job(
    args: &Args,
    data: &MarketData,
    label: String,
    submitted: Value,
    number: Option<usize>,
) -> Result<Job, CliError> {
    let config =
        BacktestConfig::from_value(&submitted).map_err(|faults| CliError::invalid_config(&label, &faults))?;
    data.check(&config).map_err(|faults| CliError::invalid_config(&label, &faults))?;
    let run_id = match (&args.run_id, number) {
        (None, _) => RunId::generate(Utc::now()),
        (Some(id), None) => id.clone(),
        (Some(id), Some(number)) => format!("{id}-{number}")
            .parse()
            .map_err(|error| CliError::usage(format!("--run-id {id}-{number}: {error}")))?,
    };
    let root = match (&args.out, &config.output.local_dir) {
        (Some(out), _) => out.clone(),
        (None, Some(dir)) => PathBuf::from(dir),
        (None, None) => PathBuf::from("./backtest_results"),
    };
    let folder = root.join(run_id.as_str());
    if folder.exists() && !args.results_only {
        return Err(CliError::failed(format!(
            "{} is there already; choose another --run-id",
            folder.display()
        )));
    }
    let market = market_key(&config);
    Ok(Job { label, run_id, submitted, config, root, market })
}

/// Loads the rows of each distinct market once.
async fn load(data: &MarketData, jobs: &[Job]) -> Result<HashMap<String, Prepared>, CliError> {
    let mut markets = HashMap::new();
    for job in jobs {
        if markets.contains_key(&job.market) {
            continue;
        }
        let loaded = data.load(&job.config, &Pins::default()).await.map_err(|error| {
            CliError::because(format!("load the data of {}", job.label), error).with_exit(CliError::DATA)
        })?;
        let keep = |other: &Job| other.market == job.market && other.config.output.keep_inputs;
        let prepared = Prepared::of(&job.config, loaded, jobs.iter().any(keep))
            .map_err(|error| compute_error(&job.label, &error))?;
        markets.insert(job.market.clone(), prepared);
    }
    Ok(markets)
}

/// What a person sees while runs go on: of one its days, of several how many are done.
struct Shown {
    total: u64,
    progress: Mutex<(u64, Progress)>,
}

impl Shown {
    fn day(&self, done: usize, of: usize) {
        if self.total == 1 && (done.is_multiple_of(64) || done == of) {
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.1.at(done as u64, of as u64, "");
        }
    }

    fn run(&self) {
        if self.total > 1 {
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.0 += 1;
            let (done, note) = (progress.0, format!("{} of {} runs", progress.0, self.total));
            progress.1.at(done, self.total, &note);
        }
    }
}

/// What came of each job, in their order.
type Each = Vec<Result<Value, CliError>>;

/// Runs the jobs on all cores.
fn one_by_one(args: &Args, jobs: &[Job], markets: &HashMap<String, Prepared>, shown: &Shown) -> Each {
    let run = |job: &Job| {
        let shared = &markets[&job.market];
        let mut on_bar = |done: usize, total: usize| {
            shown.day(done, total);
            ControlFlow::Continue(())
        };
        let outcome = crate::engine::run(&job.config, &shared.market, &mut on_bar);
        let mut outcome = outcome.map_err(|error| compute_error(&job.label, &error.into()))?;
        let summary = written(args, job, &shared.market, &shared.data_versions, &shared.kept, &mut outcome)?;
        shown.run();
        Ok(summary)
    };
    jobs.par_iter().map(run).collect()
}

/// Runs the jobs as the trials of one study, each once, and answers what is said of the whole, too.
fn as_study(
    args: &Args,
    jobs: &[Job],
    shared: HashMap<String, Prepared>,
    shown: &Shown,
    grid: &Grid,
) -> Result<(Each, Option<String>), CliError> {
    let (mut markets, mut read) = (Markets::default(), HashMap::new());
    let mut shared = shared;
    for job in jobs {
        if let Some(Prepared { market, data_versions, kept }) = shared.remove(&job.market) {
            markets.add(&job.config, market);
            read.insert(job.market.as_str(), (data_versions, kept));
        }
    }
    let each: Mutex<Vec<Option<Result<Value, CliError>>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let part = grid.evaluate(&markets, &|trial, came| {
        let job = &jobs[trial as usize];
        let summary = match (came, markets.get(&job.config)) {
            (Some(Ok(outcome)), Some(market)) => {
                let (versions, kept) = &read[job.market.as_str()];
                written(args, job, market, versions, kept, outcome)
            }
            (Some(Err(error)), _) => Err(CliError::failed(format!("{}: {}", job.label, chain(error)))
                .with_exit(exit_of(matches!(error, RunError::Data(_))))),
            _ => Err(CliError::failed(format!("{}: it makes no valid config", job.label))),
        };
        each.lock().unwrap_or_else(PoisonError::into_inner)[trial as usize] = Some(summary);
        shown.run();
        ControlFlow::Continue(())
    })?;
    let each: Each =
        each.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect();
    let root = jobs.first().map_or_else(PathBuf::new, |job| job.root.clone());
    let sentence = if each.iter().filter(|one| one.is_ok()).count() < 2 {
        None
    } else {
        let versions: Vec<Value> = read.into_values().map(|(versions, _)| versions).collect();
        std::fs::create_dir_all(&root)
            .map_err(|error| CliError::because(format!("make {}", root.display()), error))?;
        Some(grid.complete(&root, &markets, &versions, part)?)
    };
    Ok((each, sentence))
}

/// The summaries of the runs that ended well, best Sharpe ratio first, in a table of results, and why the others did not.
fn sorted(
    args: &Args,
    jobs: &[Job],
    each: Each,
    shown: Shown,
) -> Result<(Vec<Value>, Vec<CliError>), CliError> {
    let (mut summaries, mut failed) = (Vec::new(), Vec::new());
    for one in each {
        match one {
            Ok(summary) => summaries.push(summary),
            Err(error) => failed.push(error),
        }
    }
    if summaries.is_empty() {
        return Ok((summaries, failed));
    }
    let (_, progress) = shown.progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    let root = jobs.first().map_or_else(PathBuf::new, |job| job.root.clone());
    if shown.total == 1 && !args.results_only {
        progress.finish(&format!("the files are in {}", root.join(jobs[0].run_id.as_str()).display()));
        return Ok((summaries, failed));
    }
    // Runs without a Sharpe ratio come last; equal ones stay in the order they were asked for.
    let sharpe = |summary: &Value| summary["sharpe_ratio"].as_f64().unwrap_or(f64::NEG_INFINITY);
    summaries.sort_by(|a, b| sharpe(b).total_cmp(&sharpe(a)));
    let results =
        files::results(&summaries).map_err(|error| CliError::because("write the results", error))?;
    for file in results {
        let path = root.join(&file.name);
        let written = std::fs::create_dir_all(&root).and_then(|()| std::fs::write(&path, &file.content));
        written.map_err(|error| CliError::because(format!("write {}", path.display()), error))?;
    }
    let runs = summaries.len();
    progress.finish(&format!("{runs} runs; results in {}", root.join("results.csv").display()));
    Ok((summaries, failed))
}

/// Writes the files of a run that ended, unless only the results are asked for, and answers its summary.
fn written(
    args: &Args,
    job: &Job,
    market: &Market,
    data_versions: &Value,
    kept: &[files::Artifact],
    outcome: &mut Outcome,
) -> Result<Value, CliError> {
    let facts = Facts {
        run_id: &job.run_id,
        submitted: &job.submitted,
        config: &job.config,
        config_sha256: &sha256_hex(canonical(&job.config.resolved())),
        data_versions,
        fence: None,
    };
    let failed = |error: FilesError| compute_error(&job.label, &error.into());
    let mut summary = if args.results_only {
        files::summary(&facts, outcome).map_err(failed)?
    } else {
        let Computed { files, summary, .. } = computed(&facts, market, kept, outcome).map_err(failed)?;
        let folder = job.root.join(job.run_id.as_str());
        study::write(&job.root, &folder, &files)
            .map_err(|error| CliError::because(format!("write {}", folder.display()), error))?;
        summary
    };
    if !args.grid.is_empty() || args.configs.len() > 1 {
        summary["config"] = json!(job.label);
    }
    Ok(summary)
}

/// The field and the values of an axis of a grid.
fn values_of(axis: &str) -> Result<(&str, Vec<Value>), CliError> {
    let (field, values) = axis
        .split_once('=')
        .filter(|(field, values)| !field.is_empty() && !values.is_empty())
        .ok_or_else(|| CliError::usage(format!("--grid {axis}: must look like FIELD=A,B")))?;
    if values.split(',').any(|value| value.trim().is_empty()) {
        return Err(CliError::usage(format!("--grid {axis}: a value is empty; null is written as null")));
    }
    let values: Result<Vec<Value>, CliError> = values
        .split(',')
        .map(|value| parse_yaml(value).map_err(|error| CliError::usage(format!("--grid {axis}: {error}"))))
        .collect();
    Ok((field, values?))
}

/// Every combination of the values of a grid; one empty combination without a grid.
fn combinations(grid: &[String]) -> Result<Vec<Vec<(String, Value)>>, CliError> {
    let mut combinations = vec![Vec::new()];
    let mut fields = HashSet::new();
    for axis in grid {
        let (field, values) = values_of(axis)?;
        if !fields.insert(field) {
            return Err(CliError::usage(format!("--grid {axis}: the field is there twice")));
        }
        combinations = combinations
            .iter()
            .flat_map(|before: &Vec<(String, Value)>| {
                values.iter().map(|value| [before.clone(), vec![(field.to_owned(), value.clone())]].concat())
            })
            .take(RUNS_MAX + 1)
            .collect();
    }
    Ok(combinations)
}

fn compute_error(label: &str, error: &ComputeError) -> CliError {
    let exit = match error {
        error if error.is_too_large() => CliError::USAGE,
        ComputeError::Files(_) => CliError::FAILED,
        error => exit_of(error.is_data()),
    };
    CliError::failed(format!("{label}: {}", chain(error))).with_exit(exit)
}

/// The exit code of a run that the engine did not end, by what is to blame.
fn exit_of(is_data: bool) -> u8 {
    if is_data { CliError::DATA } else { CliError::STRATEGY }
}

fn print_results(summaries: &[Value]) {
    let columns = [
        Column::number("Sharpe"),
        Column::number("return"),
        Column::number("p.a."),
        Column::number("drawdown"),
        Column::number("trades"),
        Column::text("config"),
    ];
    let row = |summary: &Value| {
        vec![
            number(&summary["sharpe_ratio"]),
            percent(&summary["total_return"]),
            percent(&summary["annualized_return"]),
            percent(&summary["max_drawdown"]),
            summary["trades"].to_string(),
            format!(
                "{}{}",
                summary["config"].as_str().unwrap_or_default(),
                if is_limited(summary) { " *" } else { "" }
            ),
        ]
    };
    table::print(&columns, &summaries.iter().map(row).collect::<Vec<_>>());
    if summaries.iter().any(is_limited) {
        say("* limits did something to it: column limits of results.csv, account_of in its summary");
    }
}

/// Whether a run did notably otherwise than it was asked.
fn is_limited(summary: &Value) -> bool {
    summary["account_of"]["notable"].as_array().is_some_and(|names| !names.is_empty())
}
