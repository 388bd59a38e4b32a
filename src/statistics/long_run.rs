//! Variance of a mean whose values depend on each other.

use super::Undefined;
use super::series::{mean, sum_of};

/// Long-run variance with Bartlett weights `1 - l / (L + 1)` up to a lag (Newey, West 1987), divided by the number of
/// values at every lag. The variance of the mean is this over the number of values. NaN without values.
pub fn variance(values: &[f64], lag: usize) -> f64 {
    let mean = mean(values);
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let mut sum = sum_of(&centred, |value| value * value);
    for shift in 1..=lag.min(values.len().saturating_sub(1)) {
        let weight = 1.0 - shift as f64 / (lag + 1) as f64;
        let products: f64 = centred[shift..].iter().zip(&centred).map(|(a, b)| a * b).sum();
        sum += 2.0 * weight * products;
    }
    sum / values.len() as f64
}

/// `floor(4 (T / 100)^(2/9))`: the lag that Newey and West recommend for so many values.
pub fn lag(count: usize) -> usize {
    (4.0 * (count as f64 / 100.0).powf(2.0 / 9.0)) as usize
}

/// Mean over its standard error, by the long-run variance up to a lag.
///
/// # Errors
/// If there are fewer than two values, or the mean has no variance.
pub fn t_statistic(values: &[f64], lag: usize) -> Result<f64, Undefined> {
    if values.len() < 2 {
        return Err(Undefined::TooFewObservations { found: values.len(), needed: 2 });
    }
    let variance = variance(values, lag);
    // Values of at most one in magnitude: what is left of equal ones is rounding.
    if variance > 1e-20 {
        Ok(mean(values) / (variance / values.len() as f64).sqrt())
    } else {
        Err(Undefined::NoDeviation)
    }
}
