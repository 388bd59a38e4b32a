//! What a symbol's past bars say: means, deviations, breakouts, and the signals that are computed from prices
//! when no signal table has them. Everything looks back from a bar and never ahead; a look-back that does not
//! have enough bars has no value.

use super::config::COMPUTED_SIGNAL_LOOKBACK;
use super::market::{Market, SymbolId};

/// The bars on which a symbol traded, from `bar` back to its first.
pub(crate) fn bars_back(market: &Market, bar: usize, symbol: SymbolId) -> impl Iterator<Item = usize> + '_ {
    let first = market.listed(symbol);
    (first..bar + 1).rev().filter(move |&b| !market.close(b, symbol).is_nan())
}

/// Mean of `price` over the symbol's last `n` bars up to `bar`. `None` if it has fewer.
pub(crate) fn mean(
    market: &Market,
    bar: usize,
    symbol: SymbolId,
    n: usize,
    price: impl Fn(usize, SymbolId) -> f64,
) -> Option<f64> {
    let (mut sum, mut found) = (0.0, 0);
    for b in bars_back(market, bar, symbol).take(n) {
        sum += price(b, symbol);
        found += 1;
    }
    (found == n).then(|| sum / n as f64)
}

/// Whether a price is above, or below, a mean of prices. One that equals it on paper is neither: the mean's last bit
/// depends on the order of its sum.
pub(crate) fn is_beyond(price: f64, mean: f64, above: bool) -> bool {
    let slack = 1e-12 * mean.abs();
    if above { price > mean + slack } else { price < mean - slack }
}

/// Population standard deviation of the symbol's last `n` returns from close to close up to `bar`, not
/// annualised. `None` if it has fewer.
pub(crate) fn volatility(market: &Market, bar: usize, symbol: SymbolId, n: usize) -> Option<f64> {
    let returns = || {
        let mut later = f64::NAN;
        bars_back(market, bar, symbol).take(n + 1).filter_map(move |b| {
            let close = market.close(b, symbol);
            let one = later / close - 1.0;
            later = close;
            one.is_finite().then_some(one)
        })
    };
    let (mut sum, mut found) = (0.0, 0);
    for one in returns() {
        sum += one;
        found += 1;
    }
    if found < n {
        return None;
    }
    let mean = sum / n as f64;
    let squares: f64 = returns().map(|one| (one - mean) * (one - mean)).sum();
    Some((squares / n as f64).sqrt())
}

/// Highest and lowest of the `n` closes before `bar`, and the close of `bar`. `None` without a bar today or
/// with fewer closes before it.
pub(crate) struct Range {
    pub(crate) close: f64,
    pub(crate) highest: f64,
    pub(crate) lowest: f64,
}

impl Range {
    pub(crate) fn before(market: &Market, bar: usize, symbol: SymbolId, n: usize) -> Option<Self> {
        let close = market.close(bar, symbol);
        if close.is_nan() {
            return None;
        }
        let mut range = Self { close, highest: f64::NEG_INFINITY, lowest: f64::INFINITY };
        let mut found = 0;
        for b in bars_back(market, bar, symbol).skip(1).take(n) {
            let earlier = market.close(b, symbol);
            range.highest = range.highest.max(earlier);
            range.lowest = range.lowest.min(earlier);
            found += 1;
        }
        (found == n).then_some(range)
    }
}

/// A signal that is computed from prices when no signal table has it. The highest value is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PriceSignal {
    /// Return from 252 bars ago to 21 bars ago.
    Momentum12To1,
    /// Return over 60 bars.
    Momentum60,
    /// Return over 21 bars, with its sign turned.
    Reversal21,
    /// Population deviation of the last 60 daily returns, with its sign turned.
    LowVolatility60,
}

impl PriceSignal {
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
        let signal = match base {
            "momentum_12_1" => Self::Momentum12To1,
            "momentum_60d" => Self::Momentum60,
            "reversal_21d" => Self::Reversal21,
            "low_volatility_60d" => Self::LowVolatility60,
            _ => return None,
        };
        Some((signal, percentile))
    }

    /// Its value for every symbol with a bar today; NaN for the others and where history is too short.
    pub(crate) fn fill(self, market: &Market, bar: usize, row: &mut [f64]) {
        match self {
            Self::Momentum12To1 => fill_return(market, bar, 21, COMPUTED_SIGNAL_LOOKBACK, 1.0, row),
            Self::Momentum60 => fill_return(market, bar, 0, 60, 1.0, row),
            Self::Reversal21 => fill_return(market, bar, 0, 21, -1.0, row),
            Self::LowVolatility60 => {
                for (cell, symbol) in row.iter_mut().zip((0..).map(SymbolId)) {
                    let today = !market.close(bar, symbol).is_nan();
                    let deviation = today.then(|| volatility(market, bar, symbol, 60)).flatten();
                    *cell = deviation.map_or(f64::NAN, |deviation| -deviation);
                }
            }
        }
    }
}

/// `sign` times the return from `from` bars ago to `to` bars ago. A close that is missing there is the last one
/// before it.
fn fill_return(market: &Market, bar: usize, to: usize, from: usize, sign: f64, row: &mut [f64]) {
    let Some(start) = bar.checked_sub(from) else {
        row.fill(f64::NAN);
        return;
    };
    let (earlier, later, today) = (market.closes(start), market.closes(bar - to), market.closes(bar));
    for (i, cell) in row.iter_mut().enumerate() {
        *cell = sign * (later[i] / earlier[i] - 1.0);
    }
    // Rarely is a close missing, so that the plain case above stays a plain loop.
    for (i, cell) in row.iter_mut().enumerate() {
        if cell.is_finite() && !today[i].is_nan() {
            continue;
        }
        let symbol = SymbolId(i as u32);
        let known = |b| bars_back(market, b, symbol).next().map(|b| market.close(b, symbol));
        *cell = match (known(start), known(bar - to)) {
            (Some(earlier), Some(later)) if !today[i].is_nan() && earlier > 0.0 => {
                sign * (later / earlier - 1.0)
            }
            _ => f64::NAN,
        };
    }
}
