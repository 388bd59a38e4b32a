//! How sure the figures of a single run are: the probability that its Sharpe ratio is above 0, and what other histories
//! of the same kind would have given, by a stationary bootstrap of its own days. The same run gives the same numbers.

use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::Outcome;
use crate::engine::metrics::returns::daily_rate;
use crate::statistics::Undefined;
use crate::statistics::block_length::BlockLength;
use crate::statistics::bootstrap::Samples;
use crate::statistics::interval::{self, Intervals, Scale};
use crate::statistics::sharpe::SharpeRatio;

/// Resampled histories: as many as a run of twelve years affords in a few milliseconds.
const REPLICATIONS: usize = 250;

/// Of the random numbers.
const SEED: u64 = 1;

/// Share of histories between the ends of an interval.
const LEVEL: f64 = 0.95;

/// Its name in a summary.
pub const CONFIDENCE: &str = "confidence";

/// How sure figures are. Undefined is null.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Confidence {
    /// Probability that the true Sharpe ratio is above 0 (Bailey, López de Prado 2012), if this run was not chosen among
    /// others.
    pub probability_above_zero: Option<f64>,
    /// Trading days after which a Sharpe ratio like this is above 0 at 95 %. Null if it is not above 0.
    pub days_needed: Option<f64>,
    /// Share of resampled histories between the ends of an interval.
    pub level: f64,
    /// Resampled histories.
    pub replications: usize,
    /// Mean length of the blocks of days that they are made of.
    pub mean_block: Option<f64>,
    /// Interval of the Sharpe ratio.
    pub sharpe_ratio: Option<Interval>,
    /// Interval of the annualised return.
    pub annualized_return: Option<Interval>,
    /// Interval of the deepest fall.
    pub max_drawdown: Option<Interval>,
}

/// Two ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    fn of(found: Result<interval::Interval, Undefined>) -> Option<Self> {
        found.ok().map(|found| Self { low: found.low, high: found.high })
    }
}

impl Confidence {
    /// Of a run, by its daily returns without the first day and up to ruin.
    pub fn of(outcome: &Outcome) -> Self {
        let (daily, summary) = (&outcome.daily, &outcome.summary);
        let ruin = daily.portfolio_value.iter().position(|&value| value <= 0.0);
        let end = ruin.map_or(daily.daily_return.len(), |day| day + 1);
        let returns = daily.daily_return.get(1..end).unwrap_or_default();
        let daily_risk_free = daily_rate(summary.risk_free_rate, summary.periods_per_year);
        let sharpe = SharpeRatio::of(returns, daily_risk_free);
        let block = BlockLength::of(returns).map(|length| length.stationary.max(1.0));
        let intervals = block.ok().map(|block| {
            let samples = Samples::stationary(returns.len(), block, REPLICATIONS, SEED);
            let scale = Scale { days_per_year: summary.periods_per_year, daily_risk_free };
            Intervals::of(returns, &samples, scale, LEVEL)
        });
        Self {
            probability_above_zero: sharpe.and_then(|sharpe| sharpe.probability_above(0.0)).ok(),
            days_needed: sharpe.and_then(|sharpe| sharpe.days_needed(0.0, 1.0 - LEVEL)).ok(),
            level: LEVEL,
            replications: REPLICATIONS,
            mean_block: block.ok(),
            sharpe_ratio: intervals.and_then(|all| Interval::of(all.sharpe_ratio)),
            annualized_return: intervals.and_then(|all| Interval::of(all.annualized_return)),
            max_drawdown: intervals.and_then(|all| Interval::of(all.max_drawdown)),
        }
    }
}
