//! How long the blocks of a bootstrap should be: Politis, White 2004, "Automatic block-length selection for the
//! dependent bootstrap", with the correction of Patton, Politis, White 2009.

use super::Undefined;
use super::series::{mean, spread};

/// Block lengths in rows, as estimated: below 1 where nothing depends on the day before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockLength {
    /// Mean length for the stationary bootstrap.
    pub stationary: f64,
    /// Length for the circular block bootstrap, not rounded.
    pub circular: f64,
}

impl BlockLength {
    /// Of a series.
    ///
    /// # Errors
    /// If there are fewer than eight values, or they do not vary.
    pub fn of(values: &[f64]) -> Result<Self, Undefined> {
        const FEWEST: usize = 8;
        let count = values.len();
        if count < FEWEST {
            return Err(Undefined::TooFewObservations { found: count, needed: FEWEST });
        }
        spread(values)?;
        let optimum = Optimum::of(values);
        let longest = (3.0 * optimum.rows.sqrt()).min(optimum.rows / 3.0).ceil();
        let length = |d: f64| optimum.length(d).min(longest);
        Ok(Self { stationary: length(2.0), circular: length(4.0 / 3.0) })
    }
}

/// What the optimal lengths are made of.
struct Optimum {
    /// Number of values.
    rows: f64,
    /// `Σ λ(k/M) |k| R(k)`.
    bias: f64,
    /// `Σ λ(k/M) R(k)`: the spectral density at 0, flat-top window.
    long_run_variance: f64,
}

impl Optimum {
    fn of(values: &[f64]) -> Self {
        let count = values.len();
        let rows = count as f64;
        let mean = mean(values);
        let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
        // Enough insignificant autocorrelations in a row end the search for the bandwidth.
        let quiet = (rows.log10() as usize).max(5);
        let most = (rows.sqrt().ceil() as usize + quiet).min(count - 1);
        let significant = 2.0 * (rows.log10() / rows).sqrt();
        let squares: f64 = centred.iter().map(|x| x * x).sum();
        let autocovariances: Vec<f64> = (0..=most)
            .map(|lag| centred[lag..].iter().zip(&centred).map(|(a, b)| a * b).sum::<f64>() / rows)
            .collect();
        let correlated = |lag: usize| {
            // Each side's own squares, without its `lag + 1` values at the end, as the published programs have it.
            let head: f64 = centred[..=lag].iter().map(|x| x * x).sum();
            let tail: f64 = centred[count - lag - 1..].iter().map(|x| x * x).sum();
            let scale = ((squares - head) * (squares - tail)).sqrt();
            (autocovariances[lag] * rows).abs() / scale
        };
        let quiet_from = (0..=most.saturating_sub(quiet))
            .find(|&from| (from..from + quiet).all(|lag| correlated(lag) < significant));
        let bandwidth = quiet_from.map_or(most, |from| (2 * from.max(1)).min(most));
        let (mut bias, mut long_run_variance) = (0.0, autocovariances[0]);
        for (lag, covariance) in autocovariances.iter().enumerate().take(bandwidth + 1).skip(1) {
            let share = lag as f64 / bandwidth as f64;
            let window = if share <= 0.5 { 1.0 } else { 2.0 * (1.0 - share) };
            bias += 2.0 * window * lag as f64 * covariance;
            long_run_variance += 2.0 * window * covariance;
        }
        Self { rows, bias, long_run_variance }
    }

    /// `(2 G² / (d R²))^(1/3) n^(1/3)`.
    fn length(&self, d: f64) -> f64 {
        let variance = d * self.long_run_variance * self.long_run_variance;
        (2.0 * self.bias * self.bias / variance * self.rows).cbrt()
    }
}
