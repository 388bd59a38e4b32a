//! Rankings from closes, for a lake that has only prices. A day's ranking looks back a bounded number of bars and
//! never ahead, so that adding days later gives the same rows as ranking everything at once.
//!
//! A bar is a date on which any symbol traded. A symbol is ranked on days on which it traded; a close that is missing
//! further back is the last one before it, if that is at most [`CARRY`] bars older.

/// Names of the strategies, in the order of the indices of [`PriceRankings`].
pub const STRATEGIES: [&str; 4] = ["low_volatility_60d", "momentum_12_1", "momentum_60d", "reversal_21d"];

/// Bars for which a close stands in for missing ones.
const CARRY: usize = 5;

/// Bars before a day that its ranking may look at.
pub const LOOKBACK_BARS: usize = 252 + CARRY;

/// Closes in any order; parallel columns.
#[derive(Debug, Clone, Default)]
pub struct Closes {
    /// Names, indexed by the values of `symbol`.
    pub symbols: Vec<String>,
    /// Days since 1970-01-01.
    pub day: Vec<i32>,
    /// Index into `symbols`.
    pub symbol: Vec<u32>,
    /// Price; one that is not above 0 counts as missing.
    pub close: Vec<f64>,
}

/// Closes as a dense table, ready to be ranked day by day.
#[derive(Debug)]
pub struct PriceRankings {
    /// Names in byte order.
    pub symbols: Vec<String>,
    /// Days since 1970-01-01, ascending.
    days: Vec<i32>,
    /// `closes[bar * symbols + symbol]`, carried; NaN when missing.
    closes: Vec<f64>,
    /// Whether the symbol traded.
    traded: Vec<bool>,
}

/// A symbol in the ranking of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceRank {
    /// Index of the symbol.
    pub symbol: u32,
    /// 1 is the best.
    pub rank: i32,
    /// What was ranked by: a return, with its sign turned for the reversal, or a deviation of daily returns.
    pub score: f64,
}

impl PriceRankings {
    /// Lays the closes out.
    pub fn new(rows: &Closes) -> Self {
        let (symbols, places) = super::in_order(&rows.symbols);
        let mut days = rows.day.clone();
        days.sort_unstable();
        days.dedup();
        let width = symbols.len();
        let mut closes = vec![f64::NAN; days.len() * width];
        for ((day, symbol), close) in rows.day.iter().zip(&rows.symbol).zip(&rows.close) {
            let place = places.get(*symbol as usize).zip(days.binary_search(day).ok());
            if let Some((symbol, bar)) = place.filter(|_| close.is_finite() && *close > 0.0) {
                closes[bar * width + *symbol as usize] = *close;
            }
        }
        let traded: Vec<bool> = closes.iter().map(|close| !close.is_nan()).collect();
        for symbol in 0..width {
            let mut last = None;
            for bar in 0..days.len() {
                let at = bar * width + symbol;
                match last {
                    _ if traded[at] => last = Some((bar, closes[at])),
                    Some((from, close)) if bar - from <= CARRY => closes[at] = close,
                    _ => {}
                }
            }
        }
        Self { symbols, days, closes, traded }
    }

    /// The days, oldest first.
    pub fn days(&self) -> &[i32] {
        &self.days
    }

    /// The ranking of a strategy at a bar, best first; equal scores in order of their symbols.
    pub fn rank(&self, strategy: usize, bar: usize) -> Vec<PriceRank> {
        let width = self.symbols.len();
        let score = |symbol: usize| {
            let score = match STRATEGIES.get(strategy).copied() {
                Some("momentum_60d") => self.change(symbol, bar, 60, 0),
                Some("momentum_12_1") => self.change(symbol, bar, 252, 21),
                Some("reversal_21d") => self.change(symbol, bar, 21, 0).map(|change| -change),
                Some("low_volatility_60d") => self.deviation(symbol, bar, 60),
                _ => None,
            };
            score.filter(|score| score.is_finite())
        };
        let mut ranking: Vec<PriceRank> = (0..width)
            .filter(|symbol| self.traded[bar * width + symbol])
            .filter_map(|symbol| Some(PriceRank { symbol: symbol as u32, rank: 0, score: score(symbol)? }))
            .collect();
        // Stable, so that ties stay in order of symbols.
        if STRATEGIES.get(strategy).is_some_and(|name| *name == "low_volatility_60d") {
            ranking.sort_by(|a, b| a.score.total_cmp(&b.score));
        } else {
            ranking.sort_by(|a, b| b.score.total_cmp(&a.score));
        }
        for (place, one) in (1..).zip(&mut ranking) {
            one.rank = place;
        }
        ranking
    }

    fn close(&self, symbol: usize, bar: usize) -> f64 {
        self.closes[bar * self.symbols.len() + symbol]
    }

    /// Return from `from` bars ago to `to` bars ago.
    fn change(&self, symbol: usize, bar: usize, from: usize, to: usize) -> Option<f64> {
        Some(self.close(symbol, bar.checked_sub(to)?) / self.close(symbol, bar.checked_sub(from)?) - 1.0)
    }

    /// Population deviation of the last `n` returns from bar to bar.
    fn deviation(&self, symbol: usize, bar: usize, n: usize) -> Option<f64> {
        let first = bar.checked_sub(n)?;
        let returns =
            || (first..bar).map(|before| self.close(symbol, before + 1) / self.close(symbol, before) - 1.0);
        let mean = returns().sum::<f64>() / n as f64;
        Some((returns().map(|one| (one - mean) * (one - mean)).sum::<f64>() / n as f64).sqrt())
    }
}
