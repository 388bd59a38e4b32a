//! The recent past of a few symbols: their daily returns, and the covariance of these.

use chrono::Days;

use crate::engine::market::SymbolId;
use crate::engine::price_signals::CARRIED_BARS;
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

/// Daily returns of some symbols: day by day, with one number for each of them.
pub(super) struct Returns {
    cells: Vec<f64>,
    symbols: usize,
}

impl Returns {
    /// Of the returns of each symbol, oldest first; at least two, and of each symbol as many.
    pub(super) fn of_columns<'c>(columns: impl ExactSizeIterator<Item = &'c [f64]>) -> Self {
        let symbols = columns.len();
        let mut cells = Vec::new();
        for (at, column) in columns.enumerate() {
            cells.resize(symbols * column.len(), 0.0);
            for (day, &value) in column.iter().enumerate() {
                cells[day * symbols + at] = value;
            }
        }
        Self { cells, symbols }
    }

    pub(super) fn symbols(&self) -> usize {
        self.symbols
    }

    pub(super) fn days(&self) -> usize {
        self.cells.len() / self.symbols.max(1)
    }

    /// Their sample covariance; divided by the days less one.
    pub(super) fn covariance(&self) -> Covariance {
        covariance(&self.cells, self.symbols, 1).unwrap_or_default()
    }

    /// The same less the mean of each symbol, day by day.
    pub(super) fn less_means(&self) -> Vec<f64> {
        let mut means = vec![0.0; self.symbols];
        for day in self.cells.chunks_exact(self.symbols) {
            means.iter_mut().zip(day).for_each(|(mean, value)| *mean += value / self.days() as f64);
        }
        self.cells.iter().zip(means.iter().cycle()).map(|(value, mean)| value - mean).collect()
    }
}

/// Fills `returns` with the last `days` daily returns of a symbol up to today, oldest first. A close that is missing is the
/// last one before it, if that is at most [`CARRIED_BARS`] bars older. False where there is none of that kind on one of the
/// bars.
pub(super) fn last_returns(view: &View<'_>, symbol: SymbolId, days: usize, returns: &mut Vec<f64>) -> bool {
    returns.clear();
    let Some(from) = view.bar.checked_sub(days) else { return false };
    let before = from.saturating_sub(CARRIED_BARS);
    let closes = view.market.adjusted_closes().of(symbol, before..view.bar + 1);
    let (mut last, mut missing) = (f64::NAN, 0);
    for (bar, &close) in (before..).zip(closes) {
        missing = if close > 0.0 { 0 } else { missing + 1 };
        let today = match missing {
            0 => close,
            1..=CARRIED_BARS => last,
            _ => f64::NAN,
        };
        if bar >= from && today.is_nan() {
            return false;
        }
        if bar > from {
            returns.push(today / last - 1.0);
        }
        last = today;
    }
    true
}

/// Sample deviation of at least two numbers.
pub(super) fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
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
    let closes = view.market.adjusted_closes();
    let before = |&symbol: &SymbolId| {
        let last = super::super::lookback::bars_back(view.market, from, symbol).next();
        known(last.map_or(f64::NAN, |bar| closes.get(bar, symbol)), closes.get(from, symbol))
    };
    let mut last: Vec<f64> = symbols.iter().map(before).collect();
    let mut days = Vec::with_capacity((view.bar - from) * symbols.len());
    for bar in from + 1..=view.bar {
        let start = days.len();
        for (last, &symbol) in last.iter_mut().zip(symbols) {
            let close = known(*last, closes.get(bar, symbol));
            days.push(close / *last - 1.0);
            *last = close;
        }
        if !days[start..].iter().all(|value| value.is_finite()) {
            days.truncate(start);
        }
    }
    days
}
