//! Percentile intervals of the figures of one series, by resampling its days.

use rayon::prelude::*;

use super::Undefined;
use super::bootstrap::Samples;
use super::series::{deviation, mean, quantile};

/// A figure with what resampling says about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Of the series itself.
    pub value: f64,
    /// Lower end of the percentile interval.
    pub low: f64,
    /// Upper end of the percentile interval.
    pub high: f64,
    /// Mean over the replications.
    pub mean: f64,
    /// Deviation over the replications (`ddof = 1`).
    pub standard_error: f64,
    /// Replications that had the figure; in the others nothing varied.
    pub replications: usize,
}

/// The figures of one series of daily returns, each over a year where it has a length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intervals {
    /// Mean excess return over deviation.
    pub sharpe_ratio: Result<Interval, Undefined>,
    /// Compound growth; -1 where everything is lost.
    pub annualized_return: Result<Interval, Undefined>,
    /// Deviation.
    pub annualized_volatility: Result<Interval, Undefined>,
    /// Deepest fall from a peak that starts at the first day's opening value; not positive.
    pub max_drawdown: Result<Interval, Undefined>,
}

/// What turns daily returns into figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Days in a year.
    pub days_per_year: f64,
    /// Daily rate that the Sharpe ratio is in excess of.
    pub daily_risk_free: f64,
}

impl Intervals {
    /// Of daily returns, as many as `samples` draws from; `confidence` is the share between `low` and `high`.
    pub fn of(returns: &[f64], samples: &Samples, scale: Scale, confidence: f64) -> Self {
        if returns.len() != samples.rows() || returns.len() < 2 || samples.replications() < 2 {
            let fewer = returns.len().min(samples.rows()).min(samples.replications());
            let none = Err(Undefined::TooFewObservations { found: fewer, needed: 2 });
            return Self {
                sharpe_ratio: none,
                annualized_return: none,
                annualized_volatility: none,
                max_drawdown: none,
            };
        }
        let measures = Measures { days: returns.len() as f64, scale };
        let own = measures.of(Path::default().along(returns));
        let drawn: Vec<[f64; 4]> = (0..samples.replications())
            .into_par_iter()
            .map(|replication| {
                let runs = samples.runs(replication);
                measures.of(runs.fold(Path::default(), |path, run| path.along(&returns[run])))
            })
            .collect();
        let interval = |figure: usize| {
            let drawn = drawn.iter().map(|figures| figures[figure]).filter(|value| value.is_finite());
            Interval::of(own[figure], drawn.collect(), confidence)
        };
        Self {
            sharpe_ratio: interval(0),
            annualized_return: interval(1),
            annualized_volatility: interval(2),
            max_drawdown: interval(3),
        }
    }
}

impl Interval {
    /// Between the percentiles of what the replications gave, in their order.
    ///
    /// # Errors
    /// If the series does not have the figure, or less than half of the replications do.
    fn of(value: f64, drawn: Vec<f64>, confidence: f64) -> Result<Self, Undefined> {
        if !value.is_finite() || drawn.len() < 2 {
            return Err(Undefined::NoDeviation);
        }
        let (mean, spread) = (mean(&drawn), deviation(&drawn));
        let replications = drawn.len();
        let mut ascending = drawn;
        ascending.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - confidence) / 2.0;
        Ok(Self {
            value,
            low: quantile(&ascending, tail),
            high: quantile(&ascending, 1.0 - tail),
            mean,
            standard_error: spread * (replications as f64 / (replications - 1) as f64).sqrt(),
            replications,
        })
    }
}

/// What one walk along the days gathers.
#[derive(Debug, Clone, Copy)]
struct Path {
    sum: f64,
    squares: f64,
    value: f64,
    peak: f64,
    deepest: f64,
}

impl Default for Path {
    fn default() -> Self {
        Self { sum: 0.0, squares: 0.0, value: 1.0, peak: 1.0, deepest: 0.0 }
    }
}

impl Path {
    fn along(mut self, returns: &[f64]) -> Self {
        for &each in returns {
            self.sum += each;
            self.squares += each * each;
            self.value *= 1.0 + each;
            self.peak = self.peak.max(self.value);
            // Dividing takes longer than all the rest, and most days are not the deepest so far.
            if self.value < self.peak * (1.0 + self.deepest) {
                self.deepest = self.value / self.peak - 1.0;
            }
        }
        self
    }
}

struct Measures {
    days: f64,
    scale: Scale,
}

impl Measures {
    /// In the order of [`Intervals`]; NaN where undefined.
    fn of(&self, path: Path) -> [f64; 4] {
        /// Share of the squares that is left when a mean is taken off, below which it is rounding.
        const ROUNDING: f64 = 1e-14;
        let mean = path.sum / self.days;
        let variance = path.squares / self.days - mean * mean;
        let deviation = if variance > ROUNDING * path.squares / self.days { variance.sqrt() } else { 0.0 };
        let year = self.scale.days_per_year;
        let excess = mean - self.scale.daily_risk_free;
        [
            if deviation > 0.0 { excess / deviation * year.sqrt() } else { f64::NAN },
            path.value.max(0.0).powf(year / self.days) - 1.0,
            deviation * year.sqrt(),
            path.deepest,
        ]
    }
}
