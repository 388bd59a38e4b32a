//! Two of the compared runs: how far apart they moved, what they held, and whether chance explains the difference of
//! their Sharpe ratios.

use std::collections::HashMap;

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Compared, Frame, letter};
use crate::engine::metrics::returns::mean;
use crate::statistics::block_length::BlockLength;
use crate::statistics::comparison;
use crate::statistics::difference::{self, Blocks, bootstrap_p_value};
use crate::work::results::{Weights, evenly};

/// Points of a curve, at most.
const CURVE_MAX: usize = 2000;
/// Common days below which no test is made.
const FEWEST_DAYS: usize = 60;
/// Chance below which a difference counts.
const SIGNIFICANT: f64 = 0.05;
/// Of the resampling; the same call gives the same answer.
const SEED: u64 = 20_080_101;

/// Two runs side by side: what A has more than the other.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ComparedPair)]
pub struct Pair {
    /// Letter of the run that A is compared with.
    pub of: String,
    /// Whether both have the same results, byte for byte.
    pub same_results: bool,
    /// How far apart they moved. Null without common days.
    pub difference: Option<Difference>,
    /// How far apart their holdings were. Null where one kept none.
    pub holdings: Option<HoldingsApart>,
    /// Whether their Sharpe ratios differ. Null for equal results, for fewer than 60 days and where it is not defined.
    pub sharpe_test: Option<SharpeTest>,
    /// What came out, in words.
    pub sentence: String,
    /// Why there is no test.
    #[serde(skip)]
    untested: String,
    /// Difference of the yearly Sharpe ratios.
    #[serde(skip)]
    yearly: f64,
}

/// Daily returns of A less those of the other.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ReturnDifference)]
pub struct Difference {
    /// Mean, for a year.
    pub mean_annual: f64,
    /// Deviation, for a year.
    pub tracking_error: f64,
    /// Correlation of the returns; null if one does not move.
    pub correlation: Option<f64>,
    /// Share of days on which A was better.
    #[serde(rename = "days_A_better")]
    pub days_better: f64,
    /// Value of 1 in A at the end over that of 1 in the other.
    pub final_ratio: Option<f64>,
    /// That ratio by day, thinned to at most 2,000 days; the last is there.
    #[schema(value_type = Vec<Vec<Value>>)]
    pub curve: Vec<(NaiveDate, Option<f64>)>,
}

/// What two runs held.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = HoldingsDifference)]
pub struct HoldingsApart {
    /// Mean over the days of half the sum of the distances between weights (Cremers, Petajisto 2009).
    pub mean_active_share: f64,
    /// The same on the last day.
    pub last_active_share: f64,
}

/// Whether two Sharpe ratios differ by more than chance. Per day unless said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SharpeTest {
    /// Sharpe ratio of A less that of the other, per day.
    pub difference_daily: f64,
    /// Memmel 2003: days that are independent and normal. Null if the difference has no variance.
    pub memmel: Option<Memmel>,
    /// Ledoit, Wolf 2008: days of any distribution that depend on each other. The one to read.
    pub hac: Hac,
    /// Ledoit, Wolf 2008, by a studentised circular block bootstrap; null unless asked for.
    pub bootstrap: Option<Resampled>,
    /// `hac.p` adjusted for the number of runs compared with A (Holm 1979); null for two runs.
    pub p_holm: Option<f64>,
}

/// A test of independent normal days.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = MemmelTest)]
pub struct Memmel {
    /// Standard error of the daily difference.
    pub se: f64,
    /// Difference over its standard error.
    pub z: f64,
    /// Two-sided.
    pub p: f64,
}

/// A test with a long-run variance, Bartlett weights.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = HacTest)]
pub struct Hac {
    /// Lags of the variance.
    pub lag: usize,
    /// Standard error of the daily difference.
    pub se: f64,
    /// Difference over its standard error.
    pub z: f64,
    /// Two-sided.
    pub p: f64,
    /// 95 % interval of the difference of yearly Sharpe ratios.
    pub interval95_annual: [f64; 2],
}

/// A test by resampling.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = BootstrapTest)]
pub struct Resampled {
    /// Replications drawn.
    pub replications: usize,
    /// Days of a block: the longer of the two runs' (Politis, White 2004).
    pub block: usize,
    /// Two-sided.
    pub p: f64,
}

impl Pair {
    /// The first run with the one at `other`.
    pub(super) fn of(runs: &[Compared<'_>], other: usize, frame: &Frame<'_>) -> Self {
        let (a, b) = (&runs[0], &runs[other]);
        let results = (&a.source.results_sha256, &b.source.results_sha256);
        let same_results = results.0.is_some() && results.0 == results.1;
        let tested = if same_results { Ok(None) } else { test(a, b, frame).map(Some) };
        let (sharpe_test, untested) = match tested {
            Ok(test) => (test, String::new()),
            Err(why) => (None, why),
        };
        let yearly =
            sharpe_test.as_ref().map_or(0.0, |test| test.difference_daily) * frame.periods_per_year.sqrt();
        let mut pair = Self {
            of: letter(other).to_owned(),
            same_results,
            difference: moved_apart(a, b, frame),
            holdings: held_apart(a, b, frame),
            sharpe_test,
            sentence: String::new(),
            untested,
            yearly,
        };
        pair.say();
        pair
    }

    /// Puts what came out into words.
    pub(super) fn say(&mut self) {
        self.sentence = match &self.sharpe_test {
            _ if self.same_results => format!("A and {} have the same results.", self.of),
            None => self.untested.clone(),
            Some(test) => {
                let p = test.p_holm.unwrap_or(test.hac.p);
                let p = if p < 0.005 { "p < 0.01".to_owned() } else { format!("p = {p:.2}") };
                let verdict = if self.is_beyond_chance() { "is beyond chance" } else { "is within chance" };
                let other = if test.p_holm.is_some() { format!(" to {}", self.of) } else { String::new() };
                format!("The difference in Sharpe ratio{other}, {:.2} a year, {verdict} ({p}).", self.yearly)
            }
        };
    }

    /// Whether the difference counts, adjusted where several were tested.
    pub fn is_beyond_chance(&self) -> bool {
        self.sharpe_test.as_ref().is_some_and(|test| test.p_holm.unwrap_or(test.hac.p) < SIGNIFICANT)
    }
}

/// The test, or why there is none.
fn test(a: &Compared<'_>, b: &Compared<'_>, frame: &Frame<'_>) -> Result<SharpeTest, String> {
    let days = a.returns.len();
    if days < FEWEST_DAYS {
        return Err(format!(
            "The runs have {days} days in common; the difference in Sharpe ratio is tested from {FEWEST_DAYS} on."
        ));
    }
    let undefined = |why| format!("The difference in Sharpe ratio cannot be tested: {why}.");
    let (ours, theirs) = (a.excess(frame.periods_per_year), b.excess(frame.periods_per_year));
    let found = difference::Difference::of(&ours, &theirs).map_err(undefined)?;
    let robust = found.robust.map_err(undefined)?;
    let year = frame.periods_per_year.sqrt();
    let (low, high) = robust.interval(found.daily(), 0.95);
    Ok(SharpeTest {
        difference_daily: found.daily(),
        memmel: found.memmel.ok().map(|test| Memmel { se: test.standard_error, z: test.z, p: test.p_value }),
        hac: Hac {
            lag: found.lag,
            se: robust.standard_error,
            z: robust.z,
            p: robust.p_value,
            interval95_annual: [low * year, high * year],
        },
        bootstrap: resampled(&ours, &theirs, frame.bootstrap),
        p_holm: None,
    })
}

fn resampled(ours: &[f64], theirs: &[f64], replications: usize) -> Option<Resampled> {
    if replications == 0 {
        return None;
    }
    let length = |returns: &[f64]| BlockLength::of(returns).ok().map(|length| length.circular);
    let length = length(ours)?.max(length(theirs)?).ceil().max(2.0) as usize;
    let blocks = Blocks { length, replications, seed: SEED };
    let p = bootstrap_p_value(ours, theirs, blocks).ok()?;
    Some(Resampled { replications, block: length, p })
}

fn moved_apart(a: &Compared<'_>, b: &Compared<'_>, frame: &Frame<'_>) -> Option<Difference> {
    let found = comparison::Comparison::of(&a.returns, &b.returns, frame.periods_per_year).ok()?;
    let mut ratio = 1.0;
    let ratios: Vec<f64> = a
        .returns
        .iter()
        .zip(&b.returns)
        .map(|(a, b)| {
            ratio *= (1.0 + a) / (1.0 + b);
            ratio
        })
        .collect();
    let finite = |value: f64| Some(value).filter(|value| value.is_finite());
    Some(Difference {
        mean_annual: found.mean_annual,
        tracking_error: found.tracking_error,
        correlation: found.correlation.ok(),
        days_better: found.days_better,
        final_ratio: finite(found.final_ratio),
        curve: evenly(ratios.len(), CURVE_MAX)
            .map(|day| (frame.days[day + 1], finite(ratios[day])))
            .collect(),
    })
}

/// Of the days with a return. A day on which a run held nothing has no weights.
fn held_apart(a: &Compared<'_>, b: &Compared<'_>, frame: &Frame<'_>) -> Option<HoldingsApart> {
    let (ours, theirs) = (a.source.weights.as_ref()?, b.source.weights.as_ref()?);
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for name in ours.names.iter().chain(&theirs.names) {
        let next = numbers.len();
        numbers.entry(name).or_insert(next);
    }
    let places = |weights: &Weights| -> Vec<usize> {
        weights.names.iter().map(|name| numbers[name.as_str()]).collect()
    };
    let (our_places, their_places) = (places(ours), places(theirs));
    let mut apart = vec![0.0; numbers.len()];
    let mut shares = Vec::with_capacity(a.returns.len());
    for &day in frame.days.iter().skip(1) {
        apart.fill(0.0);
        ours.on(day).for_each(|(symbol, weight)| apart[our_places[symbol]] += weight);
        theirs.on(day).for_each(|(symbol, weight)| apart[their_places[symbol]] -= weight);
        shares.push(comparison::active_share(apart.iter().map(|&apart| (apart, 0.0))));
    }
    Some(HoldingsApart { mean_active_share: mean(&shares)?, last_active_share: *shares.last()? })
}
