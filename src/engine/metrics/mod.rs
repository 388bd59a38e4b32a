//! What a finished run is worth: one small file per family of measures. Undefined is `None`, never NaN.

pub mod benchmark;
pub mod drawdown;
pub mod periods;
pub mod returns;
pub mod rolling;

use chrono::NaiveDate;
use serde::Serialize;

pub use self::benchmark::BenchmarkSummary;
use self::periods::PeriodReturns;
use self::returns::{Tail, highest, lowest, mean, sum_of};
use super::Daily;
use super::config::{BacktestConfig, Benchmark};
use super::ledger::HoldingDays;

/// The figures of a whole run. Ratios and returns are fractions; money is in the account's currency. Measures of
/// daily returns leave out the first day, on which nothing can be held yet.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Summary {
    /// The name given in the config.
    pub run_name: Option<String>,
    /// First day asked for.
    pub start_date: NaiveDate,
    /// Last day asked for.
    pub end_date: NaiveDate,
    /// Number of trading days.
    pub days: usize,
    /// Money at the start.
    pub initial_cash: f64,
    /// Value at the last close.
    pub final_equity: f64,
    /// Final value against the initial cash.
    pub total_return: f64,
    /// Number of fills.
    pub trades: usize,
    /// `(1 + total_return) ^ (252 / (days - 1)) - 1`. `None` with fewer than two days or after ruin.
    pub annualized_return: Option<f64>,
    /// Population deviation of daily returns, for a year.
    pub annualized_volatility: Option<f64>,
    /// Mean excess return over deviation, for a year. `None` if the deviation is 0.
    pub sharpe_ratio: Option<f64>,
    /// Deepest fall from a peak that starts at the initial cash; not positive.
    pub max_drawdown: f64,
    /// As the Sharpe ratio, with shortfalls alone. `None` if there are none.
    pub sortino_ratio: Option<f64>,
    /// Annualised return over the magnitude of the deepest fall. `None` if there is none.
    pub calmar_ratio: Option<f64>,
    /// 5 % quantile of daily returns.
    pub var_95: Option<f64>,
    /// Mean of the daily returns up to that quantile.
    pub cvar_95: Option<f64>,
    /// Third standardised moment of daily returns.
    pub skew: Option<f64>,
    /// Fourth standardised moment of daily returns, minus 3.
    pub excess_kurtosis: Option<f64>,
    /// Best daily return.
    pub best_day: Option<f64>,
    /// Worst daily return.
    pub worst_day: Option<f64>,
    /// Best monthly return.
    pub best_month: Option<f64>,
    /// Worst monthly return.
    pub worst_month: Option<f64>,
    /// Share of days with a return above 0.
    pub hit_rate: Option<f64>,
    /// Mean calendar days from the opening to the closing fill of closed positions. `None` if none was closed.
    pub average_holding_days: Option<f64>,
    /// Sum of commissions.
    pub total_commission: f64,
    /// Sum of slippage costs.
    pub total_slippage_cost: f64,
    /// Commissions and slippage costs.
    pub total_costs: f64,
    /// Mean daily turnover.
    pub average_turnover: Option<f64>,
    /// Mean gross exposure.
    pub average_gross_exposure: Option<f64>,
    /// Mean net exposure.
    pub average_net_exposure: Option<f64>,
    /// Longest time below a peak, in calendar days.
    pub longest_drawdown_days: i64,
    /// Annual risk-free rate that the ratios were computed with.
    pub risk_free_rate: f64,
    /// The comparison with the benchmark. `None` without one.
    pub benchmark: Option<BenchmarkSummary>,
    /// What the reader should know.
    pub warnings: Vec<String>,
}

impl Summary {
    /// Sums up a run of at least one day.
    pub(crate) fn of(
        config: &BacktestConfig,
        daily: &Daily,
        holding_days: HoldingDays,
        benchmark: Option<&[f64]>,
        warnings: Vec<String>,
    ) -> Self {
        let returns = daily.daily_return.get(1..).unwrap_or_default();
        let final_equity = daily.portfolio_value.last().copied().unwrap_or(config.initial_cash);
        let total_return = final_equity / config.initial_cash - 1.0;
        let risk_free = returns::daily_rate(config.risk_free_rate);
        let annualized_return = returns::annualized_return(total_return, returns.len());
        let max_drawdown = lowest(daily.drawdown.iter().copied()).unwrap_or(0.0);
        let tail = Tail::of(returns);
        let months = PeriodReturns::of(&daily.date, &daily.portfolio_value, config.initial_cash);
        let total_commission = sum_of(&daily.commission, |cost| cost);
        let total_slippage_cost = sum_of(&daily.slippage_cost, |cost| cost);
        let closed = holding_days.positions;
        Self {
            run_name: config.run_name.clone(),
            start_date: config.start_date,
            end_date: config.end_date,
            days: daily.date.len(),
            initial_cash: config.initial_cash,
            final_equity,
            total_return,
            trades: daily.n_trades.iter().map(|&n| n as usize).sum(),
            annualized_return,
            annualized_volatility: returns::annualized_volatility(returns),
            sharpe_ratio: returns::sharpe_ratio(returns, risk_free),
            max_drawdown,
            sortino_ratio: returns::sortino_ratio(returns, risk_free),
            calmar_ratio: drawdown::calmar_ratio(annualized_return, max_drawdown),
            var_95: tail.map(|tail| tail.value_at_risk),
            cvar_95: tail.map(|tail| tail.conditional),
            skew: returns::skew(returns),
            excess_kurtosis: returns::excess_kurtosis(returns),
            best_day: highest(returns.iter().copied()),
            worst_day: lowest(returns.iter().copied()),
            best_month: highest(months.months()),
            worst_month: lowest(months.months()),
            hit_rate: returns::hit_rate(returns),
            average_holding_days: (closed > 0).then(|| holding_days.days as f64 / closed as f64),
            total_commission,
            total_slippage_cost,
            total_costs: total_commission + total_slippage_cost,
            average_turnover: mean(&daily.turnover),
            average_gross_exposure: mean(&daily.gross_exposure),
            average_net_exposure: mean(&daily.net_exposure),
            longest_drawdown_days: drawdown::longest_days(&daily.date, &daily.drawdown),
            risk_free_rate: config.risk_free_rate,
            benchmark: benchmark.zip(config.benchmark.as_ref()).map(|(curve, benchmark)| {
                BenchmarkSummary::of(benchmark.name().to_owned(), returns, curve, risk_free)
            }),
            warnings,
        }
    }
}

impl Benchmark {
    /// The symbol, or `equal_weight`.
    pub fn name(&self) -> &str {
        match self {
            Self::Symbol(symbol) => symbol,
            Self::EqualWeight => super::config::EQUAL_WEIGHT,
        }
    }
}
