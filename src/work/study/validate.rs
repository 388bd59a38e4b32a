//! What choosing by the past would have earned: splits, the trial that each chooses, the stitched curve of their tests with
//! what switching between them costs, and how it compares with the days that they were chosen on.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::config::{Study, Validation};
use super::evaluate::{measure, series};
use super::join::{Again, JoinError, Joined};
use super::values::{Reasons, annual, interval_value, intervals_of, measure_name};
use crate::engine::config::{BacktestConfig, BrokerConfig};
use crate::engine::{Market, Outcome};
use crate::statistics::Undefined;
use crate::statistics::selection::{Choice, Distribution, Stability, choose, path};
use crate::statistics::sharpe::SharpeRatio;
use crate::statistics::splits::Split;

/// A study's validation.
#[derive(Debug)]
pub struct Validated {
    /// Splits in their order, train before test.
    pub splits: Vec<Split>,
    /// What each chose.
    pub choices: Vec<Choice>,
    /// Stitched tests, one for each path.
    pub paths: Vec<Stitched>,
}

/// One walk through all tests.
#[derive(Debug)]
pub struct Stitched {
    /// Days, each with its return and the trial that was held; `None` is cash.
    pub days: Vec<(usize, f64, Option<u32>)>,
    /// What switching cost at the first day of each test.
    pub costs: Vec<(usize, f64)>,
}

impl Stitched {
    fn returns(&self) -> Vec<f64> {
        self.days.iter().map(|(_, value, _)| *value).collect()
    }
}

/// What is known of a trial that a split chose.
struct Chosen {
    returns: Vec<f64>,
    /// Weights by symbol at the closes before tests begin, by the day of the test.
    weights: BTreeMap<usize, BTreeMap<u32, f64>>,
    /// Cost of trading once, as a share of what is traded.
    rate: f64,
}

impl Chosen {
    fn of(
        config: &BacktestConfig,
        market: &Market,
        outcome: &Outcome,
        days: usize,
        starts: &BTreeSet<usize>,
    ) -> Self {
        let mut weights: BTreeMap<usize, BTreeMap<u32, f64>> = BTreeMap::new();
        outcome.each_position(market, |held| {
            // The return of day `d` is made between the closes of rows `d` and `d + 1`.
            if starts.contains(&held.day) {
                weights.entry(held.day).or_default().insert(held.symbol.0, held.weight);
            }
        });
        Self { returns: series(outcome, days).0, weights, rate: trading_cost(&config.broker) }
    }

    fn weights(&self, day: usize) -> BTreeMap<u32, f64> {
        self.weights.get(&day).cloned().unwrap_or_default()
    }
}

/// What trading costs, as a share of what is traded: half the spread, slippage and commission.
fn trading_cost(broker: &BrokerConfig) -> f64 {
    (broker.spread_bps / 2.0 + broker.slippage_bps) / 10_000.0 + broker.commission
}

impl Validated {
    /// Chooses in every split and stitches the tests.
    ///
    /// # Errors
    /// If a chosen trial does not run again.
    pub fn of(study: &Study, joined: &Joined, again: Again<'_>) -> Result<Self, JoinError> {
        // Days that cannot be split so were refused before a trial ran.
        let splits = joined.window.splits(study).unwrap_or_default();
        let choices = choose(&joined.folds, &splits, measure(study.select_by)).unwrap_or_default();
        let starts: BTreeSet<usize> =
            splits.iter().flat_map(|split| split.test.iter().map(|test| test.days.start)).collect();
        let winners: BTreeSet<u32> =
            choices.iter().filter_map(|choice| Some(choice.winner.as_ref()?.trial)).collect();
        let days = joined.window.days.len();
        let chosen: BTreeMap<u32, Chosen> = winners
            .into_par_iter()
            .map(|trial| {
                let mut chosen = None;
                let show = &mut |config: &BacktestConfig, market: &Market, outcome: &Outcome| {
                    chosen = Some(Chosen::of(config, market, outcome, days, &starts));
                };
                let failed = |message| JoinError::Again { trial, message };
                again(trial, show).map_err(failed)?;
                let chosen = chosen.ok_or_else(|| failed("it left nothing".to_owned()))?;
                Ok((trial, chosen))
            })
            .collect::<Result<_, JoinError>>()?;
        let paths = splits.iter().flat_map(|split| split.test.iter().map(|test| test.path)).max();
        let paths = (0..paths.map_or(0, |last| last + 1))
            .map(|number| stitch(&path(&splits, &choices, number), &chosen))
            .collect();
        Ok(Self { splits, choices, paths })
    }

    /// Days of tests on which no trial was chosen.
    pub fn cash_days(&self) -> usize {
        self.paths.iter().flat_map(|path| &path.days).filter(|(_, _, trial)| trial.is_none()).count()
    }

    /// As the statistics have it.
    pub(super) fn value(&self, study: &Study, joined: &Joined, reasons: &mut Reasons) -> Value {
        let window = &joined.window;
        let scale = annual(study.select_by, window.periods_per_year);
        let root = window.periods_per_year.sqrt();
        let stability = Stability::of(&self.choices);
        let in_sample = stability.map(|found| found.mean_in_sample * scale);
        let sharpe = |returns: &[f64]| SharpeRatio::of(returns, window.daily_risk_free);
        let first = self.paths.first().map(Stitched::returns).unwrap_or_default();
        let of_first = sharpe(&first);
        let ratios: Vec<f64> =
            self.paths.iter().filter_map(|path| Some(sharpe(&path.returns()).ok()?.daily * root)).collect();
        let over = Distribution::of(&ratios);
        // One walk is its own mean.
        let out_of_sample = if self.paths.len() > 1 {
            over.map(|over| over.mean)
        } else {
            of_first.map(|one| one.daily * root)
        };
        let efficiency = match (measure_name(study.select_by), in_sample, out_of_sample) {
            ("sharpe_ratio", Ok(chosen_on), Ok(later)) if chosen_on > 0.0 => Ok(later / chosen_on),
            ("sharpe_ratio", Ok(_), Ok(_)) => Err(Undefined::NotAbove),
            (_, Err(undefined), _) | (_, _, Err(undefined)) => Err(undefined),
            _ => Err(Undefined::NoDeviation),
        };
        let (kind, walk) = match study.validation {
            Some(Validation::Cpcv { .. }) => ("cpcv", false),
            _ => ("walk_forward", true),
        };
        let out = |name: &str| format!("validation.out_of_sample.{name}");
        let stitched = if walk {
            let intervals = intervals_of(study, joined, &first);
            let total: f64 = first.iter().map(|each| 1.0 + each).product::<f64>() - 1.0;
            let years = first.len() as f64 / window.periods_per_year;
            json!({
                "sharpe_ratio": reasons.number(&out("sharpe_ratio"), of_first.map(|one| one.daily * root)),
                // It was not selected on, so that it counts as a single trial.
                "probability_above_zero": reasons
                    .number(&out("probability_above_zero"), of_first.and_then(|one| one.probability_above(0.0))),
                "total_return": total,
                "annualized_return": if total > -1.0 { json!((1.0 + total).powf(1.0 / years) - 1.0) } else { Value::Null },
                "sharpe_ratio_interval":
                    interval_value(reasons, &out("sharpe_ratio_interval"), intervals.sharpe_ratio),
                "annualized_return_interval":
                    interval_value(reasons, &out("annualized_return_interval"), intervals.annualized_return),
                "max_drawdown": interval_value(reasons, &out("max_drawdown"), intervals.max_drawdown),
                "days": first.len(),
                "switching_costs": self.paths[0].costs.iter().map(|(_, cost)| cost).sum::<f64>(),
            })
        } else {
            json!({
                "paths": ratios,
                "mean": reasons.number(&out("mean"), over.map(|over| over.mean)),
                "deviation": reasons.number(&out("deviation"), over.map(|over| over.deviation)),
                "lowest": reasons.number(&out("lowest"), over.map(|over| over.lowest)),
                "median": reasons.number(&out("median"), over.map(|over| over.median)),
                "highest": reasons.number(&out("highest"), over.map(|over| over.highest)),
            })
        };
        json!({
            "type": kind,
            "measure": measure_name(study.select_by),
            "stitch": "returns",
            "splits": self.splits.len(),
            "out_of_sample": stitched,
            "mean_in_sample": reasons.number("validation.mean_in_sample", in_sample),
            "efficiency": reasons.number("validation.efficiency", efficiency),
            "positive_share": reasons.number("validation.positive_share", stability.map(|s| s.positive_share)),
            "stability": reasons.number("validation.stability", stability.map(|s| s.modal_share)),
            "modal_trial": stability.ok().map(|found| found.modal_trial),
            "splits_without_trial": self.choices.iter().filter(|choice| choice.winner.is_none()).count(),
            "cash_days": self.cash_days(),
        })
    }
}

/// The tests of a path one after the other: the chosen trial's own returns, and on the first day of a test what it costs to
/// go over from what was held. The first test begins with what its trial holds.
fn stitch(pieces: &[(Range<usize>, Option<u32>)], chosen: &BTreeMap<u32, Chosen>) -> Stitched {
    let mut stitched = Stitched { days: Vec::new(), costs: Vec::new() };
    let mut before: Option<Option<u32>> = None;
    for (days, trial) in pieces {
        let cost = match before {
            Some(held) if held != *trial => switching(held, *trial, days.start, chosen),
            _ => 0.0,
        };
        stitched.costs.push((days.start, cost));
        for day in days.clone() {
            let own = trial.and_then(|trial| chosen.get(&trial)).map_or(0.0, |of| of.returns[day]);
            let value = if day == days.start { own - cost } else { own };
            stitched.days.push((day, value, *trial));
        }
        before = Some(*trial);
    }
    stitched
}

/// `Σ |w_j - w_i|` times what trading costs the trial that is gone over to, or, into cash, the one that is left.
fn switching(from: Option<u32>, to: Option<u32>, day: usize, chosen: &BTreeMap<u32, Chosen>) -> f64 {
    let of = |trial: Option<u32>| trial.and_then(|trial| chosen.get(&trial));
    let held = |trial| of(trial).map(|chosen| chosen.weights(day)).unwrap_or_default();
    let (old, new) = (held(from), held(to));
    let symbols: BTreeSet<u32> = old.keys().chain(new.keys()).copied().collect();
    let weight = |held: &BTreeMap<u32, f64>, symbol: u32| held.get(&symbol).copied().unwrap_or(0.0);
    let traded: f64 = symbols.iter().map(|&symbol| (weight(&new, symbol) - weight(&old, symbol)).abs()).sum();
    let rate = of(to).or_else(|| of(from)).map_or(0.0, |chosen| chosen.rate);
    traded * rate
}
