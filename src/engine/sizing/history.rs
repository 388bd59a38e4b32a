//! The recent past of a few symbols: the covariance of their daily returns.

use chrono::Days;

use crate::engine::market::SymbolId;
use crate::engine::strategy::View;

/// Covariances, row by row; symmetric.
pub(super) type Covariance = Vec<f64>;

/// Population covariance of the last `lookback` daily returns of closes up to today; a missing close repeats the one
/// before, and days on which a symbol was not listed yet are left out. `None` with fewer than two days.
pub(super) fn of_last_bars(view: &View<'_>, symbols: &[SymbolId], lookback: usize) -> Option<Covariance> {
    let from = view.bar.saturating_sub(lookback);
    let days = returns(view, symbols, from, |known, close| if close.is_nan() { known } else { close });
    covariance(&days, symbols.len(), 0)
}

/// Sample covariance of the daily returns of closes of the last `days` calendar days up to today. Days on which a symbol
/// has no close, today's or the last one, are left out. `None` with fewer than two days.
pub(super) fn of_last_days(view: &View<'_>, symbols: &[SymbolId], days: u32) -> Option<Covariance> {
    let dates = &view.market.dates()[..=view.bar];
    let first = view.date().checked_sub_days(Days::new(u64::from(days))).unwrap_or(dates[0]);
    let from = dates.partition_point(|&date| date < first);
    let days = returns(view, symbols, from, |_, close| close);
    covariance(&days, symbols.len(), 1)
}

/// Of numbers that come day by day with one for each of `n` symbols; their sum of products is divided by the number of
/// days less `lost`. `None` with fewer than two days.
fn covariance(days: &[f64], n: usize, lost: usize) -> Option<Covariance> {
    let n_days = days.len().checked_div(n)?;
    if n_days < 2 {
        return None;
    }
    let mut means = vec![0.0; n];
    for day in days.chunks_exact(n) {
        for (mean, value) in means.iter_mut().zip(day) {
            *mean += value / n_days as f64;
        }
    }
    let mut covariance = vec![0.0; n * n];
    for day in days.chunks_exact(n) {
        for i in 0..n {
            for j in 0..n {
                covariance[i * n + j] += (day[i] - means[i]) * (day[j] - means[j]) / (n_days - lost) as f64;
            }
        }
    }
    Some(covariance)
}

/// Daily returns from the close of `from` on, day by day with one number per symbol, of the days on which every symbol has
/// one. `known` makes of the close before and of today's what counts today.
fn returns(view: &View<'_>, symbols: &[SymbolId], from: usize, known: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let market = view.market;
    let before = |&symbol: &SymbolId| {
        let last = super::super::lookback::bars_back(market, from, symbol).next();
        known(last.map_or(f64::NAN, |bar| market.close(bar, symbol)), market.close(from, symbol))
    };
    let mut last: Vec<f64> = symbols.iter().map(before).collect();
    let mut days = Vec::with_capacity((view.bar - from) * symbols.len());
    for bar in from + 1..=view.bar {
        let start = days.len();
        for (last, &symbol) in last.iter_mut().zip(symbols) {
            let close = known(*last, market.close(bar, symbol));
            days.push(close / *last - 1.0);
            *last = close;
        }
        if !days[start..].iter().all(|value| value.is_finite()) {
            days.truncate(start);
        }
    }
    days
}
