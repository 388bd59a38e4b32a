//! Falls from a peak.

use chrono::NaiveDate;

/// Deepest fall from a running peak, as a fraction of that peak and not positive; 0 without values. The peak
/// starts at the first value; until it is positive there is nothing to fall from.
pub fn deepest(values: &[f64]) -> f64 {
    let (mut peak, mut worst) = (f64::NEG_INFINITY, 0.0_f64);
    for &value in values {
        peak = peak.max(value);
        // Dividing takes longer than all the rest, and most days are not the deepest so far.
        if peak > 0.0 && value < peak * (1.0 + worst) {
            worst = worst.min(value / peak - 1.0);
        }
    }
    worst
}

/// Distance of each value from the highest so far, as a fraction of that peak and not positive. The peak starts at
/// `first_peak`; with `f64::NEG_INFINITY` at the first value. Peaks are positive.
pub fn from_peak(values: &[f64], first_peak: f64) -> Vec<f64> {
    // Peaks first: a running maximum and a division in one loop keep each other waiting.
    let mut peak = first_peak;
    let peaks = values.iter().map(|&value| {
        peak = peak.max(value);
        peak
    });
    let mut cells: Vec<f64> = peaks.collect();
    for (cell, value) in cells.iter_mut().zip(values) {
        *cell = value / *cell - 1.0;
    }
    cells
}

/// Annualised return over the magnitude of the deepest fall (`empyrical.calmar_ratio`). `None` if there is no fall.
pub fn calmar_ratio(annualized_return: Option<f64>, max_drawdown: f64) -> Option<f64> {
    annualized_return.filter(|_| max_drawdown < 0.0).map(|yearly| yearly / max_drawdown.abs())
}

/// Longest time below a peak, in calendar days from the peak to the first day at or above it again, or to the
/// last day. `drawdown` is 0 at a peak and negative below; days before the first peak count from the first day.
pub fn longest_days(dates: &[NaiveDate], drawdown: &[f64]) -> i64 {
    let (Some(&first), Some(&last)) = (dates.first(), dates.last()) else { return 0 };
    let (mut peak, mut longest, mut below) = (first, 0, false);
    for (&date, &depth) in dates.iter().zip(drawdown) {
        let was_below = std::mem::replace(&mut below, depth < 0.0);
        if below {
            continue;
        }
        if was_below {
            longest = longest.max((date - peak).num_days());
        }
        peak = date;
    }
    if below { longest.max((last - peak).num_days()) } else { longest }
}

/// A fall from a peak, and the way back. Days are indices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fall {
    /// The last day at the peak; the first day if the value was below the money at the start from then on.
    pub peak: usize,
    /// The first day at the lowest value.
    pub trough: usize,
    /// The first day at or above the peak again. `None`: it is not over.
    pub recovery: Option<usize>,
    /// Distance of the lowest value from the peak; negative.
    pub depth: f64,
}

/// The deepest falls, at most `count`, the deepest first and equal ones in their order. `drawdown` is 0 at a peak and
/// negative below.
pub fn deepest_falls(drawdown: &[f64], count: usize) -> Vec<Fall> {
    let mut falls: Vec<Fall> = Vec::new();
    let (mut peak, mut below) = (0, false);
    for (day, &depth) in drawdown.iter().enumerate() {
        let was_below = std::mem::replace(&mut below, depth < 0.0);
        if was_below && let Some(fall) = falls.last_mut() {
            if !below {
                fall.recovery = Some(day);
            } else if depth < fall.depth {
                (fall.trough, fall.depth) = (day, depth);
            }
        }
        if below && !was_below {
            falls.push(Fall { peak, trough: day, recovery: None, depth });
        }
        if !below {
            peak = day;
        }
    }
    falls.sort_by(|a, b| a.depth.total_cmp(&b.depth));
    falls.truncate(count);
    falls
}
