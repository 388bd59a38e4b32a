//! Some trials of a study on all cores: each is the backtest of its config, and leaves a row, sums by block and its
//! share in what the whole study is judged by. What is left does not depend on how trials are shared out.

use std::collections::HashMap;
use std::ops::ControlFlow;

use chrono::NaiveDate;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::config::{SelectBy, Study, Validation};
use super::figures::{self, FIGURES};
use crate::digest::hex;
use crate::engine::config::{BacktestConfig, Benchmark};
use crate::engine::metrics::benchmark;
use crate::engine::metrics::risk_free::RiskFreeDays;
use crate::engine::{self, Market, Outcome, RunError};
use crate::statistics::block_length::BlockLength;
use crate::statistics::blocks::{BlockSums, Measure, Sums};
use crate::statistics::bootstrap::Samples;
use crate::statistics::parts::StandardisedSum;
use crate::statistics::sharpe::SharpeRatio;
use crate::statistics::splits::{self, CombinatorialPurged, Split, WalkForward};
use crate::statistics::superiority::Maxima;
use crate::work::document::canonical;
use crate::work::sha256_hex;

/// Trials whose returns are in memory at once.
const CHUNK: usize = 512;

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialStatus {
    /// It has figures.
    Ok,
    /// The engine gave none.
    Failed,
    /// Its parameters make no valid config.
    Invalid,
}

impl TrialStatus {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
        }
    }

    /// By its name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ok, Self::Failed, Self::Invalid].into_iter().find(|status| status.as_str() == text)
    }
}

/// A trial as the table has it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialRow {
    /// Number of the trial in its study.
    pub trial: u32,
    /// How it ended.
    pub status: TrialStatus,
    /// Why without figures.
    pub error: Option<String>,
    /// SHA-256 of its effective config, as of a run.
    pub config_sha256: Option<String>,
    /// SHA-256 of the config without name, output and experiment; only when a ledger counts it.
    pub ledger_sha256: Option<String>,
    /// SHA-256 of its daily returns, little-endian doubles.
    pub returns_sha256: Option<String>,
    /// In the order of [`FIGURES`].
    pub figures: Vec<Option<f64>>,
    /// Its Sharpe ratio with what its error depends on.
    pub sharpe: Option<SharpeRatio>,
}

/// The days that all trials of a study are about.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Days with a return: all but the first.
    pub days: Vec<NaiveDate>,
    /// Bars in a year.
    pub periods_per_year: f64,
    /// Risk-free rate of a day.
    pub daily_risk_free: f64,
    /// What a benchmark returned on each day; 0 before its first.
    pub benchmark: Option<Vec<f64>>,
    /// Mean block length of the bootstrap.
    pub mean_block: f64,
}

impl Window {
    /// Of a market that a trial reads, whose config is `config`.
    pub fn of(study: &Study, config: &BacktestConfig, market: &Market) -> Self {
        let (first, count) = (market.first_trading_bar(), market.trading_days());
        let dates = &market.dates()[first..first + count];
        let periods_per_year = market.periods_per_year(config);
        let daily = |curve: Vec<f64>| -> Vec<f64> {
            let steps = curve.windows(2).map(|pair| pair[1] / pair[0] - 1.0);
            steps.map(|step| if step.is_finite() { step } else { 0.0 }).collect()
        };
        // All trials trade this market, so that its days hang together as theirs do, and every part sees the same.
        let automatic = || {
            let mean = daily(benchmark::curve(&Benchmark::EqualWeight, market));
            BlockLength::of(&mean).map_or(1.0, |length| length.stationary.max(1.0))
        };
        Self {
            days: dates.get(1..).unwrap_or_default().to_vec(),
            periods_per_year,
            daily_risk_free: RiskFreeDays::of(&config.risk_free_rate, market.risk_free(), periods_per_year)
                .daily,
            benchmark: config.benchmark.as_ref().map(|chosen| daily(benchmark::curve(chosen, market))),
            mean_block: study.statistics.mean_block.unwrap_or_else(automatic),
        }
    }

    /// The splits that the study asks for; none without a validation.
    ///
    /// # Errors
    /// Why these days cannot be split so.
    pub fn splits(&self, study: &Study) -> Result<Vec<Split>, splits::SplitError> {
        let days = self.days.len();
        match study.validation {
            None => Ok(Vec::new()),
            Some(Validation::WalkForward { train, test, purge, expanding }) => {
                let of = |length: super::config::Length| length.days(self.periods_per_year);
                WalkForward { train: of(train), test: of(test), purge, expanding }.splits(days)
            }
            Some(Validation::Cpcv { folds, test_folds, purge, embargo }) => {
                CombinatorialPurged { folds, test_folds, purge, embargo }.splits(days)
            }
        }
    }

    /// Edges of the blocks that the splits need.
    pub(super) fn fold_edges(&self, study: &Study) -> Vec<usize> {
        let splits = self.splits(study).unwrap_or_default();
        if splits.is_empty() { vec![0] } else { splits::edges(&splits) }
    }

    /// The daily numbers whose mean, or mean over deviation, a choice goes by, in excess of the second.
    pub fn chosen_by<'r>(&self, by: SelectBy, returns: &'r [f64]) -> (std::borrow::Cow<'r, [f64]>, f64) {
        match by {
            SelectBy::SharpeRatio | SelectBy::SortinoRatio | SelectBy::CalmarRatio => {
                (returns.into(), self.daily_risk_free)
            }
            SelectBy::TotalReturn | SelectBy::AnnualizedReturn => {
                let logarithms = returns.iter().map(|each| each.ln_1p().max(-100.0));
                (logarithms.collect::<Vec<_>>().into(), 0.0)
            }
            SelectBy::InformationRatio => (self.differences(returns, true).into(), 0.0),
        }
    }

    /// Returns minus the benchmark's, or minus the rate of cash.
    pub fn differences(&self, returns: &[f64], against_benchmark: bool) -> Vec<f64> {
        match self.benchmark.as_ref().filter(|_| against_benchmark) {
            Some(benchmark) => returns.iter().zip(benchmark).map(|(own, other)| own - other).collect(),
            None => returns.iter().map(|own| own - self.daily_risk_free).collect(),
        }
    }
}

/// By what sums by block compare trials.
pub fn measure(by: SelectBy) -> Measure {
    match by {
        SelectBy::TotalReturn | SelectBy::AnnualizedReturn => Measure::Mean,
        _ => Measure::Sharpe,
    }
}

/// What some trials leave.
#[derive(Debug, Clone, PartialEq)]
pub struct PartResult {
    /// Of all trials of the study.
    pub window: Window,
    /// A row each, by number.
    pub rows: Vec<TrialRow>,
    /// Of the distinct trials: blocks of equal length.
    pub blocks: BlockSums,
    /// Of the distinct trials: blocks between the edges of the splits.
    pub folds: BlockSums,
    /// Of the distinct trials.
    pub sum: StandardisedSum,
    /// Of the distinct trials.
    pub maxima: Maxima,
    /// Daily returns of the best distinct trials, best first.
    pub kept: Vec<(u32, Vec<f64>)>,
}

/// Gathers what trials leave, market by market.
pub struct Evaluation<'s> {
    study: &'s Study,
    window: Window,
    samples: Samples,
    rows: Vec<TrialRow>,
    /// Lowest number and sums of each distinct series.
    distinct: HashMap<[u8; 32], Distinct>,
    sum: StandardisedSum,
    maxima: Maxima,
    kept: Vec<Kept>,
}

struct Distinct {
    trial: u32,
    blocks: Vec<Sums>,
    folds: Vec<Sums>,
}

struct Kept {
    measure: f64,
    digest: [u8; 32],
    trial: u32,
    returns: Vec<f64>,
}

/// A trial that was run.
struct Run {
    row: TrialRow,
    series: Option<Series>,
}

struct Series {
    digest: [u8; 32],
    returns: Vec<f64>,
    measure: f64,
    blocks: Vec<Sums>,
    folds: Vec<Sums>,
}

/// Hears of each trial when it has ended, on the thread that ran it: `None` of one that makes no config. May stop the others.
pub type OnTrial<'a> = &'a (dyn Fn(u32, Option<Result<&mut Outcome, &RunError>>) -> ControlFlow<()> + Sync);

/// A stop was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl<'s> Evaluation<'s> {
    /// Of no trials yet.
    pub fn new(study: &'s Study, window: Window) -> Self {
        let days = window.days.len();
        let replications = if days < 2 { 0 } else { study.statistics.bootstrap };
        let samples = Samples::stationary(days, window.mean_block, replications, study.statistics.seed);
        Self {
            study,
            samples,
            rows: Vec::new(),
            distinct: HashMap::new(),
            sum: StandardisedSum::none(days),
            maxima: Maxima::none(replications),
            kept: Vec::new(),
            window,
        }
    }

    /// Evaluates trials that all read `market`.
    ///
    /// # Errors
    /// If `on_trial` stopped it.
    pub fn run(&mut self, market: &Market, trials: &[u32], on_trial: OnTrial<'_>) -> Result<(), Stopped> {
        let edges = self.window.fold_edges(self.study);
        for chunk in trials.chunks(CHUNK) {
            let runs: Option<Vec<Run>> =
                chunk.par_iter().map(|&trial| self.one(market, trial, &edges, on_trial)).collect();
            self.take(runs.ok_or(Stopped)?);
        }
        Ok(())
    }

    /// One trial; `None` if it is to be the last.
    fn one(&self, market: &Market, trial: u32, edges: &[usize], on_trial: OnTrial<'_>) -> Option<Run> {
        let mut row = TrialRow {
            trial,
            status: TrialStatus::Invalid,
            error: None,
            config_sha256: None,
            ledger_sha256: None,
            returns_sha256: None,
            figures: vec![None; FIGURES.len()],
            sharpe: None,
        };
        let config = match self.study.config(trial as usize) {
            Ok(config) => config,
            Err(faults) => {
                row.error = Some(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
                return on_trial(trial, None).is_continue().then_some(Run { row, series: None });
            }
        };
        let resolved = config.resolved();
        row.config_sha256 = Some(sha256_hex(canonical(&resolved)));
        row.ledger_sha256 = self.study.experiment.as_ref().map(|_| ledger_sha256(resolved));
        row.status = TrialStatus::Failed;
        let mut outcome = match engine::run(&config, market, &mut |_, _| ControlFlow::Continue(())) {
            Ok(outcome) => outcome,
            Err(error) => {
                row.error = Some(error.to_string());
                let goes_on = on_trial(trial, Some(Err(&error))).is_continue();
                return goes_on.then_some(Run { row, series: None });
            }
        };
        if on_trial(trial, Some(Ok(&mut outcome))).is_break() {
            return None;
        }
        let own_days = outcome.daily.date.get(1..).unwrap_or_default();
        if !self.window.days.starts_with(own_days) {
            row.error = Some("its trading days are not those of the study".to_owned());
            return Some(Run { row, series: None });
        }
        row.status = TrialStatus::Ok;
        row.figures = FIGURES.iter().map(|(_, of)| of(&outcome.summary)).collect();
        let digest = digest(&outcome);
        row.returns_sha256 = Some(hex(&digest));
        let (returns, own) = series(&outcome, self.window.days.len());
        row.sharpe = SharpeRatio::of(&returns[..own], self.window.daily_risk_free).ok();
        let by = self.study.select_by;
        let measure = figures::place(by.as_str()).and_then(|place| row.figures[place]);
        let (chosen_by, over) = self.window.chosen_by(by, &returns);
        let sums = |mut blocks: BlockSums| {
            blocks.add(trial, &chosen_by, over);
            blocks.iter().next().map(|(_, sums)| sums.to_vec()).unwrap_or_default()
        };
        let blocks = sums(BlockSums::equal(returns.len(), self.study.statistics.blocks));
        let folds = sums(BlockSums::between(edges.to_vec()));
        drop(chosen_by);
        let measure = measure.unwrap_or(f64::NEG_INFINITY);
        Some(Run { row, series: Some(Series { digest, returns, measure, blocks, folds }) })
    }

    fn take(&mut self, runs: Vec<Run>) {
        let mut fresh: Vec<&Series> = Vec::new();
        for run in &runs {
            let Some(series) = &run.series else { continue };
            let trial = run.row.trial;
            match self.distinct.entry(series.digest) {
                std::collections::hash_map::Entry::Occupied(mut before) => {
                    before.get_mut().trial = before.get().trial.min(trial);
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(Distinct {
                        trial,
                        blocks: series.blocks.clone(),
                        folds: series.folds.clone(),
                    });
                    fresh.push(series);
                    self.kept.push(Kept {
                        measure: series.measure,
                        digest: series.digest,
                        trial,
                        returns: series.returns.clone(),
                    });
                }
            }
        }
        let none = || StandardisedSum::none(self.window.days.len());
        let sum = fresh
            .par_iter()
            .fold(none, |mut sum, series| {
                // A series that stands still hangs together with none.
                let _ = sum.add(&series.returns);
                sum
            })
            .reduce(none, |mut a, b| {
                a.merge(&b);
                a
            });
        self.sum.merge(&sum);
        if self.samples.replications() > 0 {
            let against = self.study.statistics.against_benchmark;
            let differences: Vec<Vec<f64>> =
                fresh.par_iter().map(|series| self.window.differences(&series.returns, against)).collect();
            let differences: Vec<&[f64]> = differences.iter().map(Vec::as_slice).collect();
            self.maxima.merge(&Maxima::of(&differences, &self.samples, self.window.mean_block));
        }
        self.forget();
        self.rows.extend(runs.into_iter().map(|run| run.row));
    }

    /// Keeps the returns of no more trials than will be asked for; of the best always.
    fn forget(&mut self) {
        for kept in &mut self.kept {
            kept.trial = self.distinct.get(&kept.digest).map_or(kept.trial, |distinct| distinct.trial);
        }
        self.kept
            .sort_by(|a, b| rounded(b.measure).total_cmp(&rounded(a.measure)).then(a.trial.cmp(&b.trial)));
        self.kept.truncate(self.study.keep_returns.max(1));
    }

    /// What is left in the end.
    pub fn finish(mut self) -> PartResult {
        self.forget();
        self.rows.sort_by_key(|row| row.trial);
        let mut distinct: Vec<Distinct> = self.distinct.into_values().collect();
        distinct.sort_by_key(|one| one.trial);
        let mut blocks = BlockSums::equal(self.window.days.len(), self.study.statistics.blocks);
        let mut folds = BlockSums::between(self.window.fold_edges(self.study));
        for one in &distinct {
            blocks.insert(one.trial, &one.blocks);
            if folds.blocks() > 0 {
                folds.insert(one.trial, &one.folds);
            }
        }
        PartResult {
            rows: self.rows,
            blocks,
            folds,
            sum: self.sum,
            maxima: self.maxima,
            kept: self.kept.into_iter().map(|kept| (kept.trial, kept.returns)).collect(),
            window: self.window,
        }
    }
}

/// A measure to 12 decimals: trials that differ by rounding alone are equal, and the lowest number is chosen.
pub fn rounded(measure: f64) -> f64 {
    let units = (measure * 1e12).round_ties_even();
    if units.is_finite() { units / 1e12 } else { measure }
}

/// The daily returns without the first day, on which nothing is held yet, and how many of them are the account's own: what
/// follows ruin is 0.
pub fn series(outcome: &Outcome, days: usize) -> (Vec<f64>, usize) {
    let daily = &outcome.daily;
    let ruin = daily.portfolio_value.iter().position(|&value| value <= 0.0);
    let end = ruin.map_or(daily.daily_return.len(), |day| day + 1);
    let mut returns = daily.daily_return.get(1..end).unwrap_or_default().to_vec();
    let own = returns.len().min(days);
    returns.resize(days, 0.0);
    (returns, own)
}

/// SHA-256 of the daily returns as little-endian doubles, of one bit pattern where there is none.
pub fn digest(outcome: &Outcome) -> [u8; 32] {
    let mut hash = Sha256::new();
    for &value in &outcome.daily.daily_return {
        let value = if value.is_nan() { f64::NAN } else { value };
        hash.update(value.to_le_bytes());
    }
    hash.finalize().into()
}

/// SHA-256 by which the ledger knows a config: what names it, where its files go and whose experiment it is do not count.
pub fn ledger_sha256(mut resolved: serde_json::Value) -> String {
    if let serde_json::Value::Object(fields) = &mut resolved {
        for key in ["run_name", "output", "experiment"] {
            fields.shift_remove(key);
        }
    }
    sha256_hex(canonical(&resolved))
}

/// Runs one trial again, all of it.
///
/// # Errors
/// As the first time.
pub fn again(study: &Study, market: &Market, trial: u32) -> Result<(BacktestConfig, Outcome), RunError> {
    let config = study.config(trial as usize).map_err(|faults| {
        RunError::Data(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    let outcome = engine::run(&config, market, &mut |_, _| ControlFlow::Continue(()))?;
    Ok((config, outcome))
}
