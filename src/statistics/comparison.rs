//! Two portfolios side by side over the same days: how far apart they moved and what they held.

use super::Undefined;
use super::series::{correlation, deviation, mean};

/// How the first of two series of daily returns did against the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Mean of the daily differences, times the days of a year.
    pub mean_annual: f64,
    /// Deviation of the daily differences, for a year.
    pub tracking_error: f64,
    /// Correlation of the returns. An error if one of them does not vary.
    pub correlation: Result<f64, Undefined>,
    /// Share of days on which the first was better.
    pub days_better: f64,
    /// Final value of the first over that of the second, both from the same start. Infinite or NaN after ruin.
    pub final_ratio: f64,
}

impl Comparison {
    /// Of returns of the same days.
    ///
    /// # Errors
    /// If there are no common days.
    pub fn of(a: &[f64], b: &[f64], days_per_year: f64) -> Result<Self, Undefined> {
        let count = a.len().min(b.len());
        if count == 0 {
            return Err(Undefined::TooFewObservations { found: 0, needed: 1 });
        }
        let (a, b) = (&a[..count], &b[..count]);
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let better = differences.iter().filter(|&&difference| difference > 0.0).count();
        Ok(Self {
            mean_annual: mean(&differences) * days_per_year,
            tracking_error: deviation(&differences) * days_per_year.sqrt(),
            correlation: correlation(a, b),
            days_better: better as f64 / count as f64,
            final_ratio: a.iter().zip(b).map(|(a, b)| (1.0 + a) / (1.0 + b)).product(),
        })
    }
}

/// Active share of one day: half the sum of the distances between the weights of each symbol (Cremers, Petajisto
/// 2009). Weights are parallel; a symbol that one of the two does not hold has weight 0 there.
pub fn active_share(weights: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    weights.into_iter().map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}
