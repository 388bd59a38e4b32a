//! Falls from a peak.

use chrono::NaiveDate;

/// Deepest fall from a running peak, as a fraction of that peak and not positive; 0 without values. The peak
/// starts at the first value; until it is positive there is nothing to fall from.
pub fn deepest(values: &[f64]) -> f64 {
    let (mut peak, mut worst) = (f64::NEG_INFINITY, 0.0_f64);
    for &value in values {
        peak = peak.max(value);
        if peak > 0.0 {
            worst = worst.min(value / peak - 1.0);
        }
    }
    worst
}

/// Longest time below a peak, in calendar days from the peak to the first day at or above it again, or to the
/// last day. `drawdown` is 0 at a peak and negative below; days before the first peak count from the first day.
pub fn longest_days(dates: &[NaiveDate], drawdown: &[f64]) -> i64 {
    let (mut peak, mut longest) = (dates.first().copied(), 0);
    let mut below = false;
    for (&date, &depth) in dates.iter().zip(drawdown) {
        if let Some(peak) = peak.filter(|_| below || depth < 0.0) {
            longest = longest.max((date - peak).num_days());
        }
        below = depth < 0.0;
        if !below {
            peak = Some(date);
        }
    }
    longest
}
