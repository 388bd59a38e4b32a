//! Measures over a moving window of days.

use std::ops::Range;

use chrono::NaiveDate;

use super::drawdown;
use super::returns::{STILL, annualized_volatility, fold_in_lanes, mean};
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
    /// Commissions paid in the window, in money.
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
pub fn rolling(daily: &Daily, windows: &[usize], periods_per_year: f64) -> Rolling {
    let mut table = Rolling::default();
    let n_trades: Vec<f64> = daily.n_trades.iter().copied().map(f64::from).collect();
    let turnover = Sums::of(&daily.turnover);
    let commission = Sums::of(&daily.commission);
    let slippage_cost = Sums::of(&daily.slippage_cost);
    let n_trades = Sums::of(&n_trades);
    let gross_exposure = Sums::of(&daily.gross_exposure);
    let net_exposure = Sums::of(&daily.net_exposure);
    for &window in windows.iter().filter(|&&window| window >= 2) {
        for (day, &date) in daily.date.iter().enumerate() {
            let days = (day + 1).checked_sub(window).map(|from| from..day + 1);
            let over = |values: &[f64], measure: &dyn Fn(&[f64]) -> f64| {
                Some(measure(&values[days.clone()?])).filter(|value| value.is_finite())
            };
            let sum = |sums: &Sums| days.clone().map(|days| sums.over(&days)).filter(|sum| sum.is_finite());
            let average = |sums: &Sums| sum(sums).map(|sum| sum / window as f64);
            let volatility =
                over(&daily.daily_return, &|r| annualized_volatility(r, periods_per_year).unwrap_or(0.0));
            let yearly = over(&daily.daily_return, &|r| mean(r).unwrap_or(0.0) * periods_per_year);

            table.date.push(date);
            table.window_days.push(window);
            table.rolling_return.push(over(&daily.daily_return, &compound));
            table.rolling_volatility.push(volatility);
            table.rolling_sharpe.push(
                volatility.filter(|&v| v > STILL * periods_per_year.sqrt()).zip(yearly).map(|(v, y)| y / v),
            );
            table.rolling_max_drawdown.push(over(&daily.portfolio_value, &drawdown::deepest));
            table.turnover_sum.push(sum(&turnover));
            table.commission_sum.push(sum(&commission));
            table.slippage_cost_sum.push(sum(&slippage_cost));
            table.n_trades_sum.push(sum(&n_trades));
            table.gross_exposure_avg.push(average(&gross_exposure));
            table.net_exposure_avg.push(average(&net_exposure));
        }
    }
    table
}

/// Sums of a column up to each day, starting at 0. What lies between two days is their difference.
struct Sums(Vec<f64>);

impl Sums {
    fn of(values: &[f64]) -> Self {
        let mut sum = 0.0;
        let up_to = values.iter().map(|value| {
            sum += value;
            sum
        });
        Self(std::iter::once(0.0).chain(up_to).collect())
    }

    fn over(&self, days: &Range<usize>) -> f64 {
        self.0[days.end] - self.0[days.start]
    }
}

/// Total return of a series of returns.
fn compound(returns: &[f64]) -> f64 {
    fold_in_lanes(returns, 1.0, |value| 1.0 + value, |growth, factor| growth * factor) - 1.0
}

/// Covariance with the benchmark over its variance, of the last `window` daily returns; one value less than days, as the
/// first day has no return. `None` until there are enough returns of both, and where the benchmark does not move.
pub fn rolling_beta(values: &[f64], benchmark: &[f64], window: usize) -> Vec<Option<f64>> {
    let returns =
        |values: &[f64]| -> Vec<f64> { values.windows(2).map(|two| two[1] / two[0] - 1.0).collect() };
    let (ours, theirs) = (returns(values), returns(benchmark));
    let beta = |end: usize| {
        let start = end.checked_sub(window)?;
        let (ours, theirs) = (&ours[start..end], &theirs[start..end]);
        let (mean_ours, mean_theirs) = (mean(ours)?, mean(theirs)?);
        let (mut covariance, mut variance) = (0.0, 0.0);
        for (r, b) in ours.iter().zip(theirs) {
            covariance += (r - mean_ours) * (b - mean_theirs);
            variance += (b - mean_theirs) * (b - mean_theirs);
        }
        Some(covariance / variance).filter(|beta| beta.is_finite())
    };
    (1..=ours.len()).map(beta).collect()
}
