//! Measures over a moving window of days.

use chrono::NaiveDate;

use super::drawdown;
use super::returns::{DAYS_PER_YEAR, STILL, annualized_volatility, mean, sum_of};
use crate::engine::Daily;

/// The windows that are written to files, in days.
pub const WINDOWS: [usize; 4] = [21, 63, 126, 252];

/// Measures over moving windows, one row per window and day, window by window. Measures are `None` on the first
/// `window - 1` days.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rolling {
    /// Last day of the window.
    pub date: Vec<NaiveDate>,
    /// Length of the window in trading days.
    pub window_days: Vec<usize>,
    /// Compounded daily returns; the first day of the run counts as 0.
    pub rolling_return: Vec<Option<f64>>,
    /// Population deviation of daily returns, for a year.
    pub rolling_volatility: Vec<Option<f64>>,
    /// Mean daily return for a year over that deviation, without a risk-free rate. `None` if it is 0.
    pub rolling_sharpe: Vec<Option<f64>>,
    /// Deepest fall of the portfolio value from its peak within the window.
    pub rolling_max_drawdown: Vec<Option<f64>>,
    /// Sum of daily turnover.
    pub turnover_sum: Vec<Option<f64>>,
    /// Sum of commissions.
    pub commission_sum: Vec<Option<f64>>,
    /// Sum of slippage costs.
    pub slippage_cost_sum: Vec<Option<f64>>,
    /// Number of fills.
    pub n_trades_sum: Vec<Option<f64>>,
    /// Mean gross exposure.
    pub gross_exposure_avg: Vec<Option<f64>>,
    /// Mean net exposure.
    pub net_exposure_avg: Vec<Option<f64>>,
}

/// Computes the measures of `daily` for each window. Windows are at least 2 days long.
pub fn rolling(daily: &Daily, windows: &[usize]) -> Rolling {
    let mut table = Rolling::default();
    let n_trades: Vec<f64> = daily.n_trades.iter().copied().map(f64::from).collect();
    for &window in windows.iter().filter(|&&window| window >= 2) {
        for (day, &date) in daily.date.iter().enumerate() {
            let range = (day + 1).checked_sub(window).map(|from| from..day + 1);
            let over = |values: &[f64], measure: fn(&[f64]) -> f64| Some(measure(&values[range.clone()?]));
            let sum = |values: &[f64]| over(values, |values| sum_of(values, |value| value));
            let average = |values: &[f64]| sum(values).map(|sum| sum / window as f64);
            let volatility = over(&daily.daily_return, |r| annualized_volatility(r).unwrap_or(0.0));
            let yearly = over(&daily.daily_return, |r| mean(r).unwrap_or(0.0) * DAYS_PER_YEAR);

            table.date.push(date);
            table.window_days.push(window);
            table.rolling_return.push(over(&daily.daily_return, compound));
            table.rolling_volatility.push(volatility);
            table.rolling_sharpe.push(
                volatility.filter(|&v| v > STILL * DAYS_PER_YEAR.sqrt()).zip(yearly).map(|(v, y)| y / v),
            );
            table.rolling_max_drawdown.push(over(&daily.portfolio_value, drawdown::deepest));
            table.turnover_sum.push(sum(&daily.turnover));
            table.commission_sum.push(sum(&daily.commission));
            table.slippage_cost_sum.push(sum(&daily.slippage_cost));
            table.n_trades_sum.push(sum(&n_trades));
            table.gross_exposure_avg.push(average(&daily.gross_exposure));
            table.net_exposure_avg.push(average(&daily.net_exposure));
        }
    }
    table
}

/// Total return of a series of returns.
fn compound(returns: &[f64]) -> f64 {
    returns.iter().map(|value| 1.0 + value).product::<f64>() - 1.0
}
