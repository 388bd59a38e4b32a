//! What a benchmark did, by the measures of a portfolio.

use crate::engine::Outcome;
use crate::engine::config::EQUAL_WEIGHT;
use crate::engine::metrics::periods::PeriodReturns;
use crate::engine::metrics::returns::{self, Tail};
use crate::engine::metrics::{BenchmarkSummary, drawdown};

/// What a benchmark did, by the measures of a portfolio.
pub(super) struct BenchmarkFigures<'a> {
    pub(super) versus: &'a BenchmarkSummary,
    pub(super) annualized_return: Option<f64>,
    pub(super) volatility: Option<f64>,
    pub(super) sharpe: Option<f64>,
    pub(super) sortino: Option<f64>,
    pub(super) calmar: Option<f64>,
    pub(super) max_drawdown: f64,
    pub(super) longest_drawdown_days: i64,
    pub(super) tail: Option<Tail>,
    pub(super) hit_rate: Option<f64>,
    pub(super) best_day: Option<f64>,
    pub(super) worst_day: Option<f64>,
    pub(super) best_month: Option<f64>,
    pub(super) worst_month: Option<f64>,
    pub(super) skew: Option<f64>,
    pub(super) excess_kurtosis: Option<f64>,
}

impl<'a> BenchmarkFigures<'a> {
    /// `None` without a benchmark.
    pub(super) fn of(outcome: &'a Outcome) -> Option<Self> {
        let (curve, versus) = outcome.benchmark.as_ref().zip(outcome.summary.benchmark.as_ref())?;
        let first = curve.iter().position(|value| !value.is_nan())?;
        let (curve, dates) = (&curve[first..], &outcome.daily.date[first..]);
        let periods = outcome.summary.periods_per_year;
        let daily: Vec<f64> = curve.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
        let risk_free = returns::daily_rate(outcome.summary.risk_free_rate, periods);
        let below_peak = drawdown::from_peak(curve, f64::NEG_INFINITY);
        let max_drawdown = drawdown::deepest(curve);
        let months = PeriodReturns::of(dates, curve, 1.0);
        let annualized_return =
            versus.total_return.and_then(|total| returns::annualized_return(total, daily.len(), periods));
        Some(Self {
            versus,
            annualized_return,
            volatility: returns::annualized_volatility(&daily, periods),
            sharpe: returns::sharpe_ratio(&daily, risk_free, periods),
            sortino: returns::sortino_ratio(&daily, risk_free, periods),
            calmar: drawdown::calmar_ratio(annualized_return, max_drawdown),
            max_drawdown,
            longest_drawdown_days: drawdown::longest_days(dates, &below_peak),
            tail: Tail::of(&daily),
            hit_rate: returns::hit_rate(&daily),
            best_day: returns::highest(daily.iter().copied()),
            worst_day: returns::lowest(daily.iter().copied()),
            best_month: returns::highest(months.months()),
            worst_month: returns::lowest(months.months()),
            skew: returns::skew(&daily),
            excess_kurtosis: returns::excess_kurtosis(&daily),
        })
    }
}

/// What a benchmark is called in a sentence.
pub(super) fn benchmark_name(name: &str) -> &str {
    if name == EQUAL_WEIGHT { "equal weight" } else { name }
}
