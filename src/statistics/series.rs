//! Sums, moments and quantiles of plain series. Sums run in lanes side by side, in an order that depends on nothing
//! but the length.

use super::Undefined;

/// Deviation that is nothing but rounding: a series that stands still may move by its last bit.
const STILL: f64 = 1e-14;

/// Sum of what `term` makes of each value.
pub(super) fn sum_of(values: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let (blocks, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane += term(value);
        }
    }
    lanes.into_iter().chain(rest.iter().map(|&value| term(value))).sum()
}

/// Arithmetic mean; NaN without values.
pub fn mean(values: &[f64]) -> f64 {
    sum_of(values, |value| value) / values.len() as f64
}

/// Population deviation; NaN without values.
pub fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (sum_of(values, |value| (value - mean).powi(2)) / values.len() as f64).sqrt()
}

/// Deviation as something to divide by.
///
/// # Errors
/// If there are fewer than two values, or they do not vary.
pub fn spread(values: &[f64]) -> Result<f64, Undefined> {
    if values.len() < 2 {
        return Err(Undefined::TooFewObservations { found: values.len(), needed: 2 });
    }
    Some(deviation(values)).filter(|&deviation| deviation > STILL).ok_or(Undefined::NoDeviation)
}

/// Sample deviation (`ddof = 1`).
///
/// # Errors
/// If there are fewer than two values.
pub fn sample_deviation(values: &[f64]) -> Result<f64, Undefined> {
    let count = values.len();
    if count < 2 {
        return Err(Undefined::TooFewObservations { found: count, needed: 2 });
    }
    Ok(deviation(values) * (count as f64 / (count - 1) as f64).sqrt())
}

/// Pearson correlation of two series of the same length.
///
/// # Errors
/// If there are fewer than two pairs, or one series does not vary.
pub fn correlation(a: &[f64], b: &[f64]) -> Result<f64, Undefined> {
    let (spread_a, spread_b) = (spread(a)?, spread(b)?);
    let (mean_a, mean_b) = (mean(a), mean(b));
    let products: f64 = a.iter().zip(b).map(|(x, y)| (x - mean_a) * (y - mean_b)).sum();
    Ok(products / a.len() as f64 / (spread_a * spread_b))
}

/// Quantile at a share in `0.0..=1.0` of ascending values, interpolated linearly between neighbours (as NumPy does).
/// NaN without values.
pub fn quantile(ascending: &[f64], share: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else { return f64::NAN };
    let position = share.clamp(0.0, 1.0) * last as f64;
    let below = position as usize;
    let low = ascending[below];
    let high = ascending[(below + 1).min(last)];
    low + (high - low) * (position - below as f64)
}

/// Median of values in any order; NaN without values.
pub fn median(values: &[f64]) -> f64 {
    let mut ascending = values.to_vec();
    ascending.sort_unstable_by(f64::total_cmp);
    quantile(&ascending, 0.5)
}
