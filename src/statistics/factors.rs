//! What a signal predicts: information coefficients by day and horizon, what its quantiles earned, and how fast it
//! turns over. Conventions are those of alphalens, but a day counts for every horizon that it has.

use super::ranks::Ranking;
use super::series::{correlation, deviation, mean};
use super::timing::{Panel, Traded};
use super::{Undefined, long_run};

/// Symbols that a day needs for a correlation.
const FEWEST_SYMBOLS: usize = 3;

/// The correlation of a day's signal with the returns that follow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InformationCoefficient {
    /// Day of the signal.
    pub day: usize,
    /// Spearman's.
    pub rank: f64,
    /// Pearson's.
    pub pearson: f64,
}

/// Information coefficients over many days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predictiveness {
    /// Days on which the coefficient is defined.
    pub days: usize,
    /// Mean rank correlation.
    pub mean_rank: f64,
    /// Its deviation from day to day.
    pub deviation: f64,
    /// Mean over deviation.
    pub ratio: Result<f64, Undefined>,
    /// Share of days with a rank correlation above 0.
    pub hit_rate: f64,
    /// Mean over its standard error, Newey-West with a lag of the horizon minus one: returns of days that follow each
    /// other overlap.
    pub t: Result<f64, Undefined>,
    /// Mean of Pearson's correlation.
    pub mean_pearson: f64,
}

impl Predictiveness {
    /// Of the days of a horizon, or of those of a month or year of it.
    ///
    /// # Errors
    /// If there are no days.
    pub fn of(days: &[InformationCoefficient], horizon: usize) -> Result<Self, Undefined> {
        if days.is_empty() {
            return Err(Undefined::TooFewObservations { found: 0, needed: 1 });
        }
        let ranks: Vec<f64> = days.iter().map(|day| day.rank).collect();
        let (mean_rank, deviation) = (mean(&ranks), deviation(&ranks));
        Ok(Self {
            days: ranks.len(),
            mean_rank,
            deviation,
            ratio: if deviation > 1e-12 { Ok(mean_rank / deviation) } else { Err(Undefined::NoDeviation) },
            hit_rate: ranks.iter().filter(|&&rank| rank > 0.0).count() as f64 / ranks.len() as f64,
            t: long_run::t_statistic(&ranks, horizon.saturating_sub(1)),
            mean_pearson: days.iter().map(|day| day.pearson).sum::<f64>() / ranks.len() as f64,
        })
    }
}

/// What a signal says of a day, beside what followed.
struct Followed {
    signal: Vec<f64>,
    earned: Vec<f64>,
}

impl Followed {
    /// Keeps the symbols that have a signal and a return over `horizon` days: from this close, or from the next open.
    /// `None` if the days end before.
    fn fill(&mut self, panel: &Panel, day: usize, horizon: usize, traded: Traded) -> Option<()> {
        let (price, from) = match traded {
            Traded::ThisClose => (panel.close, day),
            Traded::NextOpen => (panel.open, day + 1),
            Traded::NextClose => (panel.close, day + 1),
        };
        let to = from.checked_add(horizon).filter(|&to| to < panel.days)?;
        self.signal.clear();
        self.earned.clear();
        for ((&signal, &from), &to) in (panel.signal)(day).iter().zip(price(from)).zip(price(to)) {
            let earned = to / from - 1.0;
            if !signal.is_nan() && !earned.is_nan() {
                self.signal.push(signal);
                self.earned.push(earned);
            }
        }
        Some(())
    }
}

/// The information coefficients of every day with three symbols that differ, over a horizon in days.
pub fn information_coefficients(
    panel: &Panel,
    horizon: usize,
    traded: Traded,
) -> Vec<InformationCoefficient> {
    let mut pairs = Followed { signal: Vec::new(), earned: Vec::new() };
    let mut ranking = Ranking::default();
    let (mut ranks, mut earned_ranks) = (Vec::new(), Vec::new());
    let mut of = |day| {
        pairs.fill(panel, day, horizon, traded)?;
        if pairs.signal.len() < FEWEST_SYMBOLS {
            return None;
        }
        for (values, ranks) in [(&pairs.signal, &mut ranks), (&pairs.earned, &mut earned_ranks)] {
            ranks.resize(values.len(), 0.0);
            ranking.average(values, ranks);
        }
        let rank = correlation(&ranks, &earned_ranks).ok()?;
        let pearson = correlation(&pairs.signal, &pairs.earned).ok()?;
        Some(InformationCoefficient { day, rank, pearson })
    };
    (0..panel.days).filter_map(&mut of).collect()
}

/// What the quantiles of a signal earned, against the mean of the day.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileReturns {
    /// Mean over symbols and days by quantile, lowest signals first. NaN for a quantile that never had a symbol.
    pub means: Vec<f64>,
    /// By day: mean of the highest quantile minus mean of the lowest, where both have symbols.
    pub spread: Vec<(usize, f64)>,
}

impl QuantileReturns {
    /// Over a horizon in days.
    pub fn of(panel: &Panel, quantiles: usize, horizon: usize, traded: Traded) -> Self {
        let mut pairs = Followed { signal: Vec::new(), earned: Vec::new() };
        let mut assignment = Assignment::new(quantiles);
        let mut totals = vec![(0.0, 0_usize); quantiles];
        let mut spread = Vec::new();
        let mut today = vec![(0.0, 0_usize); quantiles];
        for day in 0..panel.days {
            if pairs.fill(panel, day, horizon, traded).is_none() || pairs.signal.is_empty() {
                continue;
            }
            let average = mean(&pairs.earned);
            today.fill((0.0, 0));
            for (quantile, earned) in assignment.of(&pairs.signal).iter().zip(&pairs.earned) {
                let Some(quantile) = quantile else { continue };
                today[*quantile].0 += earned - average;
                today[*quantile].1 += 1;
            }
            for (total, today) in totals.iter_mut().zip(&today) {
                total.0 += today.0;
                total.1 += today.1;
            }
            if let (Some(low), Some(high)) = (today.first(), today.last())
                && low.1 > 0
                && high.1 > 0
            {
                spread.push((day, high.0 / high.1 as f64 - low.0 / low.1 as f64));
            }
        }
        Self { means: totals.iter().map(|(sum, count)| sum / *count as f64).collect(), spread }
    }
}

/// How much a signal changes from day to day.
#[derive(Debug, Clone, PartialEq)]
pub struct Turnover {
    /// By quantile, lowest signals first: mean share of its symbols that were not in it so many days before. NaN for a
    /// quantile without such days.
    pub quantiles: Vec<f64>,
    /// Mean correlation of the ranks with those of so many days before. An error without such days.
    pub rank_autocorrelation: Result<f64, Undefined>,
    /// Mean share of the symbols that have the signal.
    pub coverage: f64,
}

impl Turnover {
    /// Against `lag` days before.
    pub fn of(panel: &Panel, quantiles: usize, lag: usize) -> Self {
        let mut assignment = Assignment::new(quantiles);
        let mut ranking = Ranking::default();
        let (mut assigned, mut ranks, mut covered) = (Vec::new(), Vec::new(), 0_usize);
        for day in 0..panel.days {
            let signal = (panel.signal)(day);
            assigned.push(assignment.of(signal).to_vec());
            let mut today = vec![f64::NAN; signal.len()];
            ranking.average(signal, &mut today);
            covered += today.iter().filter(|rank| !rank.is_nan()).count();
            ranks.push(today);
        }
        let mut replaced = vec![(0.0, 0_usize); quantiles];
        let mut correlations = Vec::new();
        for (day, before) in (lag..panel.days).zip(0..) {
            let (now, then) = (&assigned[day], &assigned[before]);
            for (quantile, sum) in replaced.iter_mut().enumerate() {
                let of = |all: &[Option<usize>], symbol: usize| all[symbol] == Some(quantile);
                let held = (0..now.len()).filter(|&symbol| of(now, symbol)).count();
                let new = (0..now.len()).filter(|&symbol| of(now, symbol) && !of(then, symbol)).count();
                if held > 0 && (0..then.len()).any(|symbol| of(then, symbol)) {
                    *sum = (sum.0 + new as f64 / held as f64, sum.1 + 1);
                }
            }
            let both =
                ranks[day].iter().zip(&ranks[before]).filter(|(now, then)| !now.is_nan() && !then.is_nan());
            let (now, then): (Vec<f64>, Vec<f64>) = both.map(|(now, then)| (*now, *then)).unzip();
            correlations.extend(correlation(&now, &then).ok());
        }
        Self {
            quantiles: replaced.iter().map(|(sum, days)| sum / *days as f64).collect(),
            rank_autocorrelation: if correlations.is_empty() {
                Err(Undefined::TooFewObservations { found: 0, needed: 1 })
            } else {
                Ok(mean(&correlations))
            },
            coverage: covered as f64 / (panel.days * panel.symbols) as f64,
        }
    }
}

/// Which quantile each value of a day is in: between the interpolated quantiles of the day's values, the upper edge
/// belonging to the lower quantile (`pandas.qcut`). Equal edges leave the quantile between them empty.
struct Assignment {
    quantiles: usize,
    ascending: Vec<f64>,
    edges: Vec<f64>,
    assigned: Vec<Option<usize>>,
}

impl Assignment {
    fn new(quantiles: usize) -> Self {
        Self { quantiles, ascending: Vec::new(), edges: Vec::new(), assigned: Vec::new() }
    }

    /// `None` for NaN.
    fn of(&mut self, values: &[f64]) -> &[Option<usize>] {
        self.ascending.clear();
        self.ascending.extend(values.iter().filter(|value| !value.is_nan()));
        self.ascending.sort_unstable_by(f64::total_cmp);
        let count = self.quantiles as f64;
        self.edges.clear();
        let inner = 1..self.quantiles;
        self.edges.extend(inner.map(|edge| super::series::quantile(&self.ascending, edge as f64 / count)));
        self.assigned.clear();
        let edges = &self.edges;
        let place = |value: &f64| (!value.is_nan()).then(|| edges.partition_point(|edge| edge < value));
        self.assigned.extend(values.iter().map(place));
        &self.assigned
    }
}
