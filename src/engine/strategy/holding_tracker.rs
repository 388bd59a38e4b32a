//! What strategies remember about each holding while they hold it: bars held, water marks, scale, last score.
//! And the exits that class strategies share. All of it is forgotten when the position closes or turns.

use super::View;
use crate::engine::config::ExitConfig;
use crate::engine::lookback;
use crate::engine::market::SymbolId;
use crate::engine::symbols::SymbolMap;

/// What is remembered about one holding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Holding {
    pub(super) is_long: bool,
    /// Price of the fill that opened the position, less what dividends and splits took since.
    pub(super) entry_price: f64,
    pub(super) entry_bar: usize,
    /// Bars of the symbol since entry, the entry day and today included.
    pub(super) bars_held: u32,
    /// Highest price since entry, likewise: the entry price, then the highs of later bars.
    pub(super) high_water: f64,
    /// Lowest price since entry: the entry price, then the lows of later bars.
    pub(super) low_water: f64,
    /// Share of its size that it shall have.
    pub(super) scale: f64,
    /// The last bar on which it was held.
    last_bar: usize,
    /// Score at the last decision at which it was already held.
    pub(super) last_score: Option<f64>,
}

impl Holding {
    const NONE: Self = Self {
        is_long: true,
        entry_price: f64::NAN,
        entry_bar: usize::MAX,
        bars_held: 0,
        high_water: f64::NAN,
        low_water: f64::NAN,
        scale: 1.0,
        last_bar: 0,
        last_score: None,
    };

    /// 1 if long, -1 if short.
    pub(super) fn side(&self) -> f64 {
        if self.is_long { 1.0 } else { -1.0 }
    }

    /// The worst of today's prices, if `intraday` counts, against a loss of `pct` from `price`.
    pub(super) fn has_lost(
        &self,
        view: &View<'_>,
        symbol: SymbolId,
        price: f64,
        pct: f64,
        intraday: bool,
    ) -> bool {
        let close = view.market.close(view.bar, symbol);
        if self.is_long {
            let worst = if intraday { view.market.low(view.bar, symbol) } else { close };
            worst <= price * (1.0 - pct)
        } else {
            let worst = if intraday { view.market.high(view.bar, symbol) } else { close };
            worst >= price * (1.0 + pct)
        }
    }

    /// The best of today's prices against a gain of `pct` from entry.
    pub(super) fn has_gained(&self, view: &View<'_>, symbol: SymbolId, pct: f64) -> bool {
        if self.is_long {
            view.market.high(view.bar, symbol) >= self.entry_price * (1.0 + pct)
        } else {
            view.market.low(view.bar, symbol) <= self.entry_price * (1.0 - pct)
        }
    }

    /// The best price since entry.
    pub(super) fn water_mark(&self) -> f64 {
        if self.is_long { self.high_water } else { self.low_water }
    }
}

/// All holdings of an account, followed from bar to bar.
#[derive(Debug)]
pub(super) struct HoldingTracker {
    holdings: Vec<Holding>,
}

impl HoldingTracker {
    pub(super) fn new(n_symbols: usize) -> Self {
        Self { holdings: vec![Holding::NONE; n_symbols] }
    }

    /// Takes in today's bar. To be called once per bar, before anything is asked.
    pub(super) fn sync(&mut self, view: &View<'_>) {
        for &symbol in view.ledger.held() {
            let position = view.ledger.position(symbol);
            let is_long = position.shares > 0.0;
            let holding = &mut self.holdings[symbol.index()];
            if holding.entry_bar != position.entry_bar || holding.is_long != is_long {
                // A position that turned is a new one, but its symbol was scored as a holding before.
                let reversed = holding.last_bar + 1 == view.bar;
                *holding = Holding {
                    is_long,
                    entry_price: position.entry_price,
                    entry_bar: position.entry_bar,
                    bars_held: 1,
                    high_water: position.entry_price,
                    low_water: position.entry_price,
                    last_score: holding.last_score.filter(|_| reversed),
                    ..Holding::NONE
                };
            } else {
                let restated = view.market.restated(symbol, holding.last_bar, view.bar);
                holding.entry_price = position.entry_price;
                holding.high_water *= restated;
                holding.low_water *= restated;
                if view.has_bar(symbol) {
                    holding.bars_held += 1;
                    holding.high_water = holding.high_water.max(view.market.high(view.bar, symbol));
                    holding.low_water = holding.low_water.min(view.market.low(view.bar, symbol));
                }
            }
            holding.last_bar = view.bar;
        }
    }

    /// A symbol that is held.
    pub(super) fn holding(&self, symbol: SymbolId) -> &Holding {
        &self.holdings[symbol.index()]
    }

    /// Whether one of the exits fires for a holding today. None does without a bar.
    pub(super) fn exits(&self, view: &View<'_>, symbol: SymbolId, rules: &ExitConfig) -> bool {
        let (market, bar) = (view.market, view.bar);
        let holding = self.holding(symbol);
        let close = market.close(bar, symbol);
        if close.is_nan() {
            return false;
        }
        let below_mean = |days: u32| {
            let seen = market.seen(bar);
            let mean = lookback::mean(market, bar, symbol, days as usize, |b, s| seen.close(b, s));
            mean.is_some_and(|mean| lookback::is_beyond(close, mean, !holding.is_long))
        };
        // Short stops always look at the high.
        let intraday = rules.stops.use_low_for_stop || !holding.is_long;
        let lost = |price, pct| holding.has_lost(view, symbol, price, pct, intraday);
        rules.trailing_ma_days.is_some_and(below_mean)
            || rules.stops.time_stop_days.is_some_and(|days| holding.bars_held >= days)
            || rules.stops.stop_loss_pct.is_some_and(|pct| lost(holding.entry_price, pct))
            || rules.stops.take_profit_pct.is_some_and(|pct| holding.has_gained(view, symbol, pct))
            || rules.stops.trailing_stop_pct.is_some_and(|pct| lost(holding.water_mark(), pct))
    }

    /// Cuts a holding if it is due to be cut and has not been. Whether it was.
    pub(super) fn cuts(&mut self, symbol: SymbolId, rules: &ExitConfig) -> bool {
        let holding = &mut self.holdings[symbol.index()];
        let due = rules.stops.partial_exit_days.is_some_and(|days| holding.bars_held >= days);
        let cut = due && holding.scale == 1.0;
        if cut {
            holding.scale = 1.0 - rules.stops.partial_exit_fraction;
        }
        cut
    }

    /// The score of a symbol at the last decision at which it was already held. `None` if it is not held.
    pub(super) fn known_score(&self, view: &View<'_>, symbol: SymbolId) -> Option<f64> {
        let holding = self.holding(symbol);
        holding.last_score.filter(|_| holding.last_bar == view.bar)
    }

    /// The score of a holding at the last decision at which it was already held; before that 1, or -1 if short.
    pub(super) fn last_score(&self, symbol: SymbolId) -> f64 {
        let holding = self.holding(symbol);
        holding.last_score.unwrap_or(holding.side())
    }

    /// Lowers the scale of a holding; it never rises again while the position lives.
    pub(super) fn shrink(&mut self, symbol: SymbolId, scale: f64) {
        let holding = &mut self.holdings[symbol.index()];
        holding.scale = holding.scale.min(scale);
    }

    /// Keeps the scores of a decision for the holdings it concerns.
    pub(super) fn remember(&mut self, view: &View<'_>, scores: &SymbolMap) {
        for (symbol, score) in scores.iter() {
            if view.ledger.shares(symbol) != 0.0 {
                self.holdings[symbol.index()].last_score = Some(score);
            }
        }
    }
}
