//! What a symbol's own past bars say: means, deviations, breakouts. Everything looks back from a bar and never ahead; a
//! look-back that does not have enough bars has no value. Signals with a name are in `price_signals`.

use super::market::{Market, SymbolId};
use super::rounding::EQUAL;

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
    let slack = EQUAL * mean.abs();
    if above { price > mean + slack } else { price < mean - slack }
}

/// Population standard deviation of the symbol's last `n` returns from close to close up to `bar`, not
/// annualised. `None` if it has fewer.
pub(crate) fn volatility(market: &Market, bar: usize, symbol: SymbolId, n: usize) -> Option<f64> {
    let closes = market.adjusted_closes();
    let returns = || {
        let mut later = f64::NAN;
        bars_back(market, bar, symbol).take(n + 1).filter_map(move |b| {
            let close = closes.get(b, symbol);
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

/// Population standard deviation of the symbol's last returns from close to close up to `bar`: of `n`, or of as many as
/// there are. `None` with fewer than two.
pub(crate) fn volatility_of_known(market: &Market, bar: usize, symbol: SymbolId, n: usize) -> Option<f64> {
    let bars = bars_back(market, bar, symbol).take(n + 1).count();
    volatility(market, bar, symbol, bars.checked_sub(1).filter(|&returns| returns >= 2)?)
}

/// Mean of those of the symbol's last `n` bars up to `bar` that have the number. `None` without any.
pub(crate) fn mean_of_known(
    market: &Market,
    bar: usize,
    symbol: SymbolId,
    n: usize,
    number: impl Fn(usize, SymbolId) -> f64,
) -> Option<f64> {
    let numbers = bars_back(market, bar, symbol).take(n).map(|b| number(b, symbol));
    let (mut sum, mut found) = (0.0, 0_u32);
    for one in numbers.filter(|one| !one.is_nan()) {
        sum += one;
        found += 1;
    }
    (found > 0).then(|| sum / f64::from(found))
}

/// Population standard deviation of a number of the symbol's last `n` bars up to `bar`. `None` if it has fewer, or one of
/// them has no number.
pub(crate) fn deviation(
    market: &Market,
    bar: usize,
    symbol: SymbolId,
    n: usize,
    number: impl Fn(usize, SymbolId) -> f64 + Copy,
) -> Option<f64> {
    let mean = mean(market, bar, symbol, n, number)?;
    let squares = bars_back(market, bar, symbol).take(n).map(|b| (number(b, symbol) - mean).powi(2));
    Some((squares.sum::<f64>() / n as f64).sqrt()).filter(|deviation| !deviation.is_nan())
}

/// Highest and lowest of a price on the `n` bars before `bar`, and the price of `bar`. `None` without a bar today or with
/// fewer before it.
pub(crate) struct Range {
    pub(crate) today: f64,
    pub(crate) highest: f64,
    pub(crate) lowest: f64,
}

impl Range {
    pub(crate) fn before(
        market: &Market,
        bar: usize,
        symbol: SymbolId,
        n: usize,
        price: impl Fn(usize, SymbolId) -> f64,
    ) -> Option<Self> {
        let today = price(bar, symbol);
        if today.is_nan() {
            return None;
        }
        let mut range = Self { today, highest: f64::NEG_INFINITY, lowest: f64::INFINITY };
        let mut found = 0;
        for b in bars_back(market, bar, symbol).skip(1).take(n) {
            let earlier = price(b, symbol);
            range.highest = range.highest.max(earlier);
            range.lowest = range.lowest.min(earlier);
            found += 1;
        }
        (found == n).then_some(range)
    }
}
