//! One Sharpe ratio and its estimation error: the probabilistic Sharpe ratio and the shortest record that would be
//! enough (Bailey, López de Prado 2012, "The Sharpe Ratio Efficient Frontier").

use super::series::{mean, spread, sum_of};
use super::{Undefined, normal};

/// A Sharpe ratio as it was estimated, with what its standard error depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SharpeRatio {
    /// Mean excess return over population deviation, per day.
    pub daily: f64,
    /// Third standardised moment, biased.
    pub skew: f64,
    /// Fourth standardised moment, biased; 3 for a normal distribution.
    pub kurtosis: f64,
    /// Number of returns.
    pub observations: usize,
}

impl SharpeRatio {
    /// Of daily returns in excess of a daily rate.
    ///
    /// # Errors
    /// If there are fewer than two returns, or they do not vary.
    pub fn of(returns: &[f64], daily_risk_free: f64) -> Result<Self, Undefined> {
        let (mean, spread) = (mean(returns), spread(returns)?);
        let count = returns.len() as f64;
        let (cubes, fourths) = (
            sum_of(returns, |value| (value - mean).powi(3)),
            sum_of(returns, |value| (value - mean).powi(2).powi(2)),
        );
        Ok(Self {
            daily: (mean - daily_risk_free) / spread,
            skew: cubes / count / spread.powi(3),
            kurtosis: fourths / count / spread.powi(4),
            observations: returns.len(),
        })
    }

    /// Variance of the estimate times the number of observations: `1 - g3 SR + (g4 - 1) / 4 SR²`.
    fn unit_variance(&self) -> Result<f64, Undefined> {
        let variance = 1.0 - self.skew * self.daily + (self.kurtosis - 1.0) / 4.0 * self.daily * self.daily;
        Some(variance).filter(|&variance| variance > 0.0).ok_or(Undefined::NoVariance)
    }

    /// Distance from a daily benchmark in standard errors: `(SR - b) sqrt(T - 1) / sqrt(1 - g3 SR + (g4 - 1)/4 SR²)`.
    fn standard_score(&self, benchmark: f64) -> Result<f64, Undefined> {
        if self.observations < 2 {
            return Err(Undefined::TooFewObservations { found: self.observations, needed: 2 });
        }
        Ok((self.daily - benchmark) * ((self.observations - 1) as f64 / self.unit_variance()?).sqrt())
    }

    /// Probabilistic Sharpe ratio: the probability that the true Sharpe ratio is above a daily benchmark (eq. 9).
    ///
    /// # Errors
    /// If the moments leave the estimate no variance.
    pub fn probability_above(&self, benchmark: f64) -> Result<f64, Undefined> {
        self.standard_score(benchmark).map(normal::cdf)
    }

    /// `1 - PSR(b)`: the p-value of a test against "not above the benchmark", exact in its tail.
    ///
    /// # Errors
    /// If the moments leave the estimate no variance.
    pub fn p_value(&self, benchmark: f64) -> Result<f64, Undefined> {
        self.standard_score(benchmark).map(normal::survival)
    }

    /// Minimum track record length: days from which on a Sharpe ratio like this is above a daily benchmark at the
    /// level of significance `alpha` (eq. 11).
    ///
    /// # Errors
    /// If the Sharpe ratio is not above the benchmark, or the moments leave the estimate no variance.
    pub fn days_needed(&self, benchmark: f64, alpha: f64) -> Result<f64, Undefined> {
        if self.daily <= benchmark {
            return Err(Undefined::NotAbove);
        }
        let score = normal::quantile(1.0 - alpha) / (self.daily - benchmark);
        Ok(1.0 + self.unit_variance()? * score * score)
    }
}
