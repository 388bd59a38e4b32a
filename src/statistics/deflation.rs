//! What is left of the best Sharpe ratio of many trials once their number is taken into account (Bailey, López de
//! Prado 2014, "The Deflated Sharpe Ratio"; Bailey, Borwein, López de Prado, Zhu 2014, "Pseudo-Mathematics and
//! Financial Charlatanism").

use super::series::sample_deviation;
use super::sharpe::SharpeRatio;
use super::{Undefined, normal};

/// The Euler–Mascheroni constant.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// Expected maximum of a number of independent standard normal values:
/// `(1 - γ) Φ⁻¹(1 - 1/N) + γ Φ⁻¹(1 - 1/(N e))`. The number need not be whole; 0 where the approximation, made for
/// many, falls below it, as for a single trial.
pub fn expected_maximum(trials: f64) -> f64 {
    if trials <= 1.0 {
        return 0.0;
    }
    let (one, e) = (1.0 / trials, 1.0 / (trials * std::f64::consts::E));
    // By symmetry; 1 - 1/N loses digits where there are many.
    let expected = -(1.0 - EULER_GAMMA) * normal::quantile(one) - EULER_GAMMA * normal::quantile(e);
    expected.max(0.0)
}

/// Number of independent trials that are worth as much as `trials` with this average correlation:
/// `ρ + (1 - ρ) N` (2014, appendix).
pub fn effective_trials(trials: usize, average_correlation: f64) -> f64 {
    average_correlation + (1.0 - average_correlation) * trials as f64
}

/// A search whose best trial is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// Number of independent trials.
    pub trials: f64,
    /// Variance of the trials' daily Sharpe ratios (`ddof = 1`).
    pub variance: f64,
}

impl Search {
    /// Of distinct trials, by their daily Sharpe ratios in the order of their numbers. A single trial has no variance.
    pub fn among(sharpe_ratios: &[f64]) -> Self {
        let variance = sample_deviation(sharpe_ratios).map_or(0.0, |deviation| deviation * deviation);
        Self { trials: sharpe_ratios.len() as f64, variance }
    }

    /// The same Sharpe ratios, counted as fewer or more trials.
    #[must_use]
    pub fn counted_as(self, trials: f64) -> Self {
        Self { trials, ..self }
    }

    /// SR0: the best daily Sharpe ratio that chance alone would be expected to give, `sqrt(V) E[max z]`.
    pub fn expected_best(&self) -> f64 {
        self.variance.sqrt() * expected_maximum(self.trials)
    }

    /// Deflated Sharpe ratio: the probability that the true Sharpe ratio of the best is above [`Self::expected_best`].
    ///
    /// # Errors
    /// If the moments leave the estimate no variance.
    pub fn deflate(&self, best: &SharpeRatio) -> Result<f64, Undefined> {
        best.probability_above(self.expected_best())
    }
}

/// Minimum backtest length: years below which the best of `trials` without any skill is expected to have an annual
/// Sharpe ratio of `annual_sharpe` or more, `(E[max z] / SR)²`.
///
/// # Errors
/// If the Sharpe ratio is not above 0.
pub fn years_needed(trials: f64, annual_sharpe: f64) -> Result<f64, Undefined> {
    if annual_sharpe <= 0.0 {
        return Err(Undefined::NotAbove);
    }
    let ratio = expected_maximum(trials) / annual_sharpe;
    Ok(ratio * ratio)
}
