//! Signals that are computed from prices: what their names mean, wherever they are met. Backtests use them for columns
//! that no signal table has, `backtests lake rank` makes rankings of them.
//!
//! On each day they look back a bounded number of bars and never ahead, so that computing them later, or from a
//! table that begins later, gives the same values. A bar is a day on which any of the symbols traded. A symbol has values
//! only on days on which it traded itself; further back a missing close is the last one before it, if that is at most
//! [`CARRIED_BARS`] bars older, and without one there is no value. A close that is not above 0 counts as missing.

use super::closes::Closes;
use super::symbols::SymbolId;

/// Bars for which a close stands in for the missing ones after it: a week without trading. What stood still for longer has
/// neither a return nor a volatility that would compare with those of others.
pub const CARRIED_BARS: usize = 5;

/// Bars before a day that its values may look at.
pub const LOOKBACK_BARS: usize = YEAR + CARRIED_BARS;

/// Bars of a year, a quarter and a month.
const YEAR: usize = 252;
const QUARTER: usize = 60;
const MONTH: usize = 21;

/// A signal that is computed from prices. The highest value is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceSignal {
    /// Minus the population deviation of the last 60 returns from bar to bar, not annualised: never above 0.
    LowVolatility60,
    /// Return from 252 bars ago to 21 bars ago.
    Momentum12To1,
    /// Return over 60 bars.
    Momentum60,
    /// Minus the return over 21 bars.
    Reversal21,
}

impl PriceSignal {
    /// All of them, in byte order of their names.
    pub const ALL: [Self; 4] =
        [Self::LowVolatility60, Self::Momentum12To1, Self::Momentum60, Self::Reversal21];

    /// Its name, as a column and as a strategy of rankings.
    pub fn name(self) -> &'static str {
        match self {
            Self::LowVolatility60 => "low_volatility_60d",
            Self::Momentum12To1 => "momentum_12_1",
            Self::Momentum60 => "momentum_60d",
            Self::Reversal21 => "reversal_21d",
        }
    }

    /// The signal of a column name, and whether the name means its percentile in the day's cross-section.
    pub(crate) fn of_column(name: &str) -> Option<(Self, bool)> {
        let name = name.to_ascii_lowercase();
        if name == "composite_percentile" {
            return Some((Self::Momentum12To1, true));
        }
        let (base, percentile) = match name.strip_suffix("_percentile") {
            Some(base) => (base, true),
            None => (name.as_str(), false),
        };
        Self::ALL.into_iter().find(|signal| signal.name() == base).map(|signal| (signal, percentile))
    }

    /// Its values at a bar, one cell per symbol; NaN where there is none.
    pub(crate) fn fill(self, closes: &Closes, bar: usize, row: &mut [f64]) {
        match self {
            Self::LowVolatility60 => fill_deviations(closes, bar, row),
            Self::Momentum12To1 => fill_returns(closes, bar, (YEAR, MONTH), 1.0, row),
            Self::Momentum60 => fill_returns(closes, bar, (QUARTER, 0), 1.0, row),
            Self::Reversal21 => fill_returns(closes, bar, (MONTH, 0), -1.0, row),
        }
    }

    /// The symbols that have a value at a bar, each with it: the highest value first, equal ones in order of symbols.
    pub fn ranking(self, closes: &Closes, bar: usize) -> Vec<(SymbolId, f64)> {
        let mut row = vec![f64::NAN; closes.symbols()];
        self.fill(closes, bar, &mut row);
        let values = row.into_iter().enumerate().map(|(index, value)| (SymbolId::of_index(index), value));
        let mut ranking: Vec<(SymbolId, f64)> = values.filter(|(_, value)| !value.is_nan()).collect();
        // Stable, so that ties stay in order of symbols; adding 0 makes one zero of two.
        ranking.sort_by(|(_, a), (_, b)| (b + 0.0).total_cmp(&(a + 0.0)));
        ranking
    }
}

/// `sign` times the return from `from` bars ago to `to` bars ago.
fn fill_returns(closes: &Closes, bar: usize, (from, to): (usize, usize), sign: f64, row: &mut [f64]) {
    let Some(start) = bar.checked_sub(from) else { return row.fill(f64::NAN) };
    let (earlier, later, today) = (closes.on(start), closes.on(bar - to), closes.on(bar));
    for (i, cell) in row.iter_mut().enumerate() {
        // No branch, so that several are computed at once.
        let known = (earlier[i] > 0.0) & (later[i] > 0.0) & (today[i] > 0.0);
        let value = sign * (later[i] / earlier[i] - 1.0);
        *cell = if known { value } else { f64::NAN };
    }
    // Rarely is a close missing, so that the loop above stays a plain one.
    for (i, cell) in row.iter_mut().enumerate() {
        if cell.is_nan() && today[i] > 0.0 {
            let symbol = SymbolId::of_index(i);
            let (earlier, later) = (carried(closes, start, symbol), carried(closes, bar - to, symbol));
            *cell = earlier.zip(later).map_or(f64::NAN, |(earlier, later)| sign * (later / earlier - 1.0));
        }
    }
}

/// The close of a bar, or the last one before it that may stand in for it.
fn carried(closes: &Closes, bar: usize, symbol: SymbolId) -> Option<f64> {
    let recent = closes.of(symbol, bar.saturating_sub(CARRIED_BARS)..bar + 1);
    recent.iter().rev().copied().find(|&close| close > 0.0)
}

/// Minus the deviation of the last [`QUARTER`] returns.
fn fill_deviations(closes: &Closes, bar: usize, row: &mut [f64]) {
    let Some(start) = bar.checked_sub(QUARTER) else { return row.fill(f64::NAN) };
    let today = closes.on(bar);
    let mut without_gaps = [0.0; QUARTER + 1];
    for (i, cell) in row.iter_mut().enumerate() {
        let symbol = SymbolId::of_index(i);
        let path = closes.of(symbol, start..bar + 1);
        *cell = if path.iter().all(|&close| close > 0.0) {
            minus_deviation(path)
        } else if today[i] > 0.0 && close_gaps(closes, start, symbol, &mut without_gaps) {
            minus_deviation(&without_gaps)
        } else {
            f64::NAN
        };
    }
}

/// Fills `path` with the closes from bar `start` on, each the last one that may stand in for it. Whether all have one.
fn close_gaps(closes: &Closes, start: usize, symbol: SymbolId, path: &mut [f64]) -> bool {
    path.iter_mut().zip(start..).all(|(cell, bar)| {
        let close = carried(closes, bar, symbol);
        *cell = close.unwrap_or(f64::NAN);
        close.is_some()
    })
}

/// Minus the population deviation of the returns from close to close.
fn minus_deviation(path: &[f64]) -> f64 {
    let n = (path.len() - 1) as f64;
    let returns = || path.windows(2).map(|pair| pair[1] / pair[0] - 1.0);
    let mean = returns().sum::<f64>() / n;
    let squares: f64 = returns().map(|one| (one - mean) * (one - mean)).sum();
    0.0 - (squares / n).sqrt()
}
