//! What a finished run is worth: one small file per family of measures. Undefined is `None`, never NaN.

pub mod account_of;
pub mod benchmark;
pub mod calendar;
pub mod contributions;
pub mod drawdown;
pub mod periods;
pub mod returns;
pub mod risk_free;
pub mod rolling;
pub mod round_trips;

use chrono::NaiveDate;
use serde::Serialize;

pub use self::account_of::AccountOf;
use self::account_of::Size;
pub use self::benchmark::BenchmarkSummary;
use self::periods::PeriodReturns;
use self::returns::{Tail, highest, lowest, mean, sum_of};
use self::risk_free::RiskFreeDays;
use super::Daily;
use super::config::{BacktestConfig, OnRuin, SignalAlignment};
use super::ledger::HoldingDays;
use super::market::Market;

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
    /// First day computed.
    pub first_day: Option<NaiveDate>,
    /// Last day computed.
    pub last_day: Option<NaiveDate>,
    /// Number of trading days.
    pub days: usize,
    /// Bars in a year, by which yearly figures are scaled: `metrics.periods_per_year`, or what the dates say.
    pub periods_per_year: f64,
    /// Day at whose close the account was worth 0 or less. Figures of days and of returns end there. `None`: never.
    pub ruined_on: Option<NaiveDate>,
    /// Money at the start.
    pub initial_cash: f64,
    /// Value at the last close.
    pub final_equity: f64,
    /// Final value against the initial cash.
    pub total_return: f64,
    /// Number of fills.
    pub trades: usize,
    /// `(1 + total_return) ^ (periods_per_year / (days - 1)) - 1`. `None` with fewer than two days or after ruin.
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
    /// Sum of what orders moved their own prices by.
    pub total_impact_cost: f64,
    /// Sum of fees for borrowed shares.
    pub total_borrow_cost: f64,
    /// Interest earned on cash, less that paid on debt.
    pub total_interest: f64,
    /// Commissions, slippage and impact costs, and fees for borrowed shares.
    pub total_costs: f64,
    /// Dividends received, less those paid on shorts. Not there unless the prices are unadjusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total_dividends: Option<f64>,
    /// Mean daily turnover.
    pub average_turnover: Option<f64>,
    /// Mean gross exposure.
    pub average_gross_exposure: Option<f64>,
    /// Mean net exposure.
    pub average_net_exposure: Option<f64>,
    /// Longest time below a peak, in calendar days.
    pub longest_drawdown_days: i64,
    /// Annual risk-free rate that the ratios were computed with; of a rate for each day the mean.
    pub risk_free_rate: f64,
    /// The comparison with the benchmark. `None` without one.
    pub benchmark: Option<BenchmarkSummary>,
    /// What became of what was asked.
    pub account_of: AccountOf,
    /// What the reader should know.
    pub warnings: Vec<String>,
}

impl Summary {
    /// Sums up a run of at least one day on a market. The benchmark's curve is by day, where there is one.
    pub(crate) fn of(
        config: &BacktestConfig,
        daily: &Daily,
        holding_days: HoldingDays,
        (benchmark, market): (Option<&[f64]>, &Market),
        mut account_of: AccountOf,
        mut warnings: Vec<String>,
    ) -> Self {
        // Figures of days and of returns end with the account.
        let ruin = daily.portfolio_value.iter().position(|&value| value <= 0.0);
        let end = ruin.map_or(daily.date.len(), |day| day + 1);
        let returns = daily.daily_return.get(1..end).unwrap_or_default();
        let periods_per_year = market.periods_per_year(config);
        let trades = daily.n_trades.iter().map(|&n| n as usize).sum();
        let aligned = config.data.signal_alignment == SignalAlignment::NextTradingDay;
        account_of.judge(Size { days: daily.date.len(), fills: trades }, aligned);
        warnings.extend(period_warnings(config, daily, ruin));
        warnings.extend(account_of.warning());
        let final_equity = daily.portfolio_value.last().copied().unwrap_or(config.initial_cash);
        let total_return = final_equity / config.initial_cash - 1.0;
        let risk_free = RiskFreeDays::of(&config.risk_free_rate, market.risk_free(), periods_per_year);
        let (excess, rate) = risk_free.excess(returns);
        let annualized_return = returns::annualized_return(total_return, returns.len(), periods_per_year)
            .filter(|_| ruin.is_none());
        let max_drawdown = lowest(daily.drawdown.iter().copied()).unwrap_or(0.0);
        let tail = Tail::of(returns);
        let months = PeriodReturns::of(&daily.date, &daily.portfolio_value, config.initial_cash);
        let total_commission = sum_of(&daily.commission, |cost| cost);
        let total_slippage_cost = sum_of(&daily.slippage_cost, |cost| cost);
        let total_impact_cost = sum_of(&daily.impact_cost, |cost| cost);
        let total_borrow_cost = sum_of(&daily.borrow_cost, |cost| cost);
        let closed = holding_days.positions;
        Self {
            run_name: config.run_name.clone(),
            start_date: config.start_date,
            end_date: config.end_date,
            first_day: daily.date.first().copied(),
            last_day: daily.date.last().copied(),
            days: daily.date.len(),
            periods_per_year,
            ruined_on: ruin.map(|day| daily.date[day]),
            initial_cash: config.initial_cash,
            final_equity,
            total_return,
            trades,
            annualized_return,
            annualized_volatility: returns::annualized_volatility(returns, periods_per_year),
            sharpe_ratio: returns::sharpe_ratio(&excess, rate, periods_per_year),
            max_drawdown,
            sortino_ratio: returns::sortino_ratio(&excess, rate, periods_per_year),
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
            total_impact_cost,
            total_borrow_cost,
            total_interest: sum_of(&daily.interest, |interest| interest),
            total_costs: total_commission + total_slippage_cost + total_impact_cost + total_borrow_cost,
            total_dividends: (!daily.dividends.is_empty()).then(|| sum_of(&daily.dividends, |cash| cash)),
            average_turnover: mean(&daily.turnover[..end]),
            average_gross_exposure: mean(&daily.gross_exposure[..end]),
            average_net_exposure: mean(&daily.net_exposure[..end]),
            longest_drawdown_days: drawdown::longest_days(&daily.date, &daily.drawdown),
            risk_free_rate: risk_free.annual,
            benchmark: benchmark.zip(config.benchmark.as_ref()).map(|(curve, benchmark)| {
                let name = benchmark.name().to_owned();
                let (dates, curve) = (&daily.date[..end], &curve[..end]);
                BenchmarkSummary::of(name, dates, returns, curve, &risk_free, periods_per_year)
            }),
            account_of,
            warnings,
        }
    }
}

/// Days of the calendar's week by which the computed period may fall short of the asked one without a word.
const SHORTFALL_DAYS: i64 = 5;
/// Bars from which on a year's figures say something.
const FEW_DAYS: usize = 60;

/// What a reader should know of the days that were computed.
fn period_warnings(config: &BacktestConfig, daily: &Daily, ruin: Option<usize>) -> Vec<String> {
    let mut warnings = Vec::new();
    let (Some(&first), Some(&last)) = (daily.date.first(), daily.date.last()) else { return warnings };
    let (start, end) = (config.start_date, config.end_date);
    if let Some(day) = ruin {
        let (date, value) = (daily.date[day], daily.portfolio_value[day]);
        let then = match config.broker.on_ruin {
            OnRuin::Stop => "the run ends there (broker.on_ruin: stop)",
            OnRuin::Continue => {
                "the run went on (broker.on_ruin: continue), figures of days and returns end there"
            }
        };
        warnings.push(format!("ruin on {date}: the account was worth {value:.2} at the close; {then}"));
    }
    let missing_before = calendar::weekdays(start, first);
    if missing_before > SHORTFALL_DAYS {
        warnings.push(format!(
            "the computed period begins on {first}, {missing_before} weekdays after start_date ({start}): there are no \
             earlier prices"
        ));
    }
    let after = |day: NaiveDate| day.succ_opt().unwrap_or(day);
    let missing_after = calendar::weekdays(after(last), after(end));
    if missing_after > SHORTFALL_DAYS && ruin.is_none() {
        warnings.push(format!(
            "the computed period ends on {last}, {missing_after} weekdays before end_date ({end}): there are no later \
             prices"
        ));
    }
    let days = daily.date.len();
    if days < FEW_DAYS {
        warnings
            .push(format!("only {days} trading days: figures for a year say little about so short a time"));
    }
    warnings
}
