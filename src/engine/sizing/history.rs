//! The recent past of a few symbols: daily returns, their means and their covariance.

use crate::engine::market::SymbolId;
use crate::engine::strategy::View;

/// Means and covariance of daily returns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    /// Mean daily return by symbol.
    pub(super) means: Vec<f64>,
    /// Population covariance, row by row; symmetric.
    pub(super) covariance: Vec<f64>,
}

impl Moments {
    /// Over the last `lookback` daily returns of closes up to today; a missing close repeats the one before, and
    /// days on which a symbol was not listed yet are left out. `None` with fewer than two days.
    pub(super) fn of(view: &View<'_>, symbols: &[SymbolId], lookback: usize) -> Option<Self> {
        let days = returns(view, symbols, lookback);
        let n_days = days.len().checked_div(symbols.len())?;
        if n_days < 2 {
            return None;
        }
        let n = symbols.len();
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
                    covariance[i * n + j] += (day[i] - means[i]) * (day[j] - means[j]) / n_days as f64;
                }
            }
        }
        Some(Self { means, covariance })
    }
}

/// Daily returns, day by day with one number per symbol, of the days on which every symbol has one.
fn returns(view: &View<'_>, symbols: &[SymbolId], lookback: usize) -> Vec<f64> {
    let market = view.market;
    let from = view.bar.saturating_sub(lookback);
    let known = |&symbol: &SymbolId| {
        let last = super::super::lookback::bars_back(market, from, symbol).next();
        last.map_or(f64::NAN, |bar| market.close(bar, symbol))
    };
    let mut last: Vec<f64> = symbols.iter().map(known).collect();
    let mut days = Vec::with_capacity((view.bar - from) * symbols.len());
    for bar in from + 1..=view.bar {
        let start = days.len();
        for (last, &symbol) in last.iter_mut().zip(symbols) {
            let close = market.close(bar, symbol);
            let close = if close.is_nan() { *last } else { close };
            days.push(close / *last - 1.0);
            *last = close;
        }
        if !days[start..].iter().all(|value| value.is_finite()) {
            days.truncate(start);
        }
    }
    days
}
