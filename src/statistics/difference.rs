//! Whether two Sharpe ratios of the same days differ by more than chance: Memmel's correction of Jobson and Korkie
//! (2003), the delta method with a long-run variance, and the studentised circular block bootstrap (both Ledoit, Wolf
//! 2008, "Robust performance hypothesis testing with the Sharpe ratio"). Zero is the excess rate: take it off first.

use rayon::prelude::*;

use super::bootstrap::Samples;
use super::series::{correlation, mean, spread};
use super::{Undefined, long_run, normal};

/// A difference of daily Sharpe ratios with its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// Standard error of the difference, per day.
    pub standard_error: f64,
    /// Difference over its standard error.
    pub z: f64,
    /// Two-sided, from the normal distribution.
    pub p_value: f64,
}

impl Test {
    fn of(difference: f64, standard_error: f64) -> Result<Self, Undefined> {
        if standard_error > 1e-12 {
            let z = difference / standard_error;
            Ok(Self { standard_error, z, p_value: normal::two_sided(z) })
        } else {
            Err(Undefined::NoVariance)
        }
    }

    /// Interval of a difference, at a level of confidence, per day.
    pub fn interval(&self, difference: f64, confidence: f64) -> (f64, f64) {
        let reach = normal::quantile(0.5 + confidence / 2.0) * self.standard_error;
        (difference - reach, difference + reach)
    }
}

/// Two Sharpe ratios of the same days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Daily Sharpe ratio of the first.
    pub a: f64,
    /// Daily Sharpe ratio of the second.
    pub b: f64,
    /// Correlation of their returns.
    pub correlation: f64,
    /// Common days.
    pub observations: usize,
    /// Memmel 2003: independent normal days.
    pub memmel: Result<Test, Undefined>,
    /// Independent days of any distribution.
    pub independent: Result<Test, Undefined>,
    /// Days that depend on each other: the one to read.
    pub robust: Result<Test, Undefined>,
    /// Lag of the long-run variance.
    pub lag: usize,
}

impl Difference {
    /// Of the daily excess returns of the same days.
    ///
    /// # Errors
    /// If there are fewer than two common days, or one series does not vary.
    pub fn of(a: &[f64], b: &[f64]) -> Result<Self, Undefined> {
        let observations = a.len().min(b.len());
        let (a, b) = (&a[..observations], &b[..observations]);
        let (first, second) = (mean(a) / spread(a)?, mean(b) / spread(b)?);
        let correlation = correlation(a, b)?;
        let difference = first - second;
        let count = observations as f64;
        let cross =
            (first * first + second * second - 2.0 * first * second * correlation * correlation) / 2.0;
        let memmel = (2.0 - 2.0 * correlation + cross) / count;
        let influence = influence(a, b)?;
        let lag = long_run::lag(observations);
        let test = |variance: f64| Test::of(difference, variance.max(0.0).sqrt());
        Ok(Self {
            a: first,
            b: second,
            correlation,
            observations,
            memmel: test(memmel),
            independent: test(long_run::variance(&influence, 0) / count),
            robust: test(long_run::variance(&influence, lag) / count),
            lag,
        })
    }

    /// Of the first minus the second, per day.
    pub fn daily(&self) -> f64 {
        self.a - self.b
    }
}

/// What each day contributes to the difference of the Sharpe ratios, to first order: the gradient of
/// `μ / sqrt(γ - μ²)` in mean and mean square, times the day's distance from them (Ledoit, Wolf 2008, sec. 3.1).
fn influence(a: &[f64], b: &[f64]) -> Result<Vec<f64>, Undefined> {
    let (one, other) = (Gradient::of(a)?, Gradient::of(b)?);
    Ok(a.iter().zip(b).map(|(&a, &b)| one.times(a) - other.times(b)).collect())
}

struct Gradient {
    mean: f64,
    square: f64,
    by_mean: f64,
    by_square: f64,
}

impl Gradient {
    fn of(returns: &[f64]) -> Result<Self, Undefined> {
        let (mean, spread) = (mean(returns), spread(returns)?);
        let square = spread * spread + mean * mean;
        let cube = spread.powi(3);
        Ok(Self { mean, square, by_mean: square / cube, by_square: -0.5 * mean / cube })
    }

    fn times(&self, value: f64) -> f64 {
        self.by_mean * (value - self.mean) + self.by_square * (value * value - self.square)
    }
}

/// How blocks of days are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    /// Days of a block; 2 at least.
    pub length: usize,
    /// How many pairs of series were drawn.
    pub replications: usize,
    /// Of the random numbers.
    pub seed: u64,
}

/// Two-sided p-value by the studentised circular block bootstrap: `(1 + #{|d* - d| / s* >= |d| / s}) / (B + 1)`, where
/// `s` is the robust standard error and `s*` that of the blocks drawn (Ledoit, Wolf 2008, sec. 3.2.2).
///
/// # Errors
/// If there are too few days for two blocks, one series does not vary, or the difference has no variance.
pub fn bootstrap_p_value(a: &[f64], b: &[f64], blocks: Blocks) -> Result<f64, Undefined> {
    let own = Difference::of(a, b)?;
    let (days, length) = (own.observations, blocks.length.max(2));
    if days < 2 * length {
        return Err(Undefined::TooFewObservations { found: days, needed: 2 * length });
    }
    let score = own.robust?.z.abs();
    let samples = Samples::circular(days, length, blocks.replications, blocks.seed);
    let reached: usize = (0..blocks.replications)
        .into_par_iter()
        .map_init(
            || (Vec::new(), Vec::new()),
            |(drawn_a, drawn_b), replication| {
                drawn_a.clear();
                drawn_b.clear();
                for run in samples.runs(replication) {
                    drawn_a.extend_from_slice(&a[run.clone()]);
                    drawn_b.extend_from_slice(&b[run]);
                }
                // A draw without any variation is as far from the difference as can be.
                studentised(drawn_a, drawn_b, length, own.daily())
                    .map_or(1, |drawn| usize::from(drawn >= score))
            },
        )
        .sum();
    Ok((1 + reached) as f64 / (blocks.replications + 1) as f64)
}

/// `|d* - d| / s*` of drawn days.
fn studentised(a: &[f64], b: &[f64], block: usize, difference: f64) -> Result<f64, Undefined> {
    let influence = influence(a, b)?;
    let drawn = mean(a) / spread(a)? - mean(b) / spread(b)?;
    let blocks = influence.chunks_exact(block);
    let count = blocks.len() as f64;
    let variance =
        blocks.map(|block| block.iter().sum::<f64>().powi(2)).sum::<f64>() / (count * block as f64);
    let error = (variance / influence.len() as f64).sqrt();
    if error > 1e-12 { Ok((drawn - difference).abs() / error) } else { Err(Undefined::NoVariance) }
}
