//! What an account holds: cash and positions, and what they are worth. Nothing here decides or prices a fill.

use std::ops::Range;

use super::market::{CorporateAction, Market, SymbolId};
use super::rounding::DUST;

/// One symbol's holding. Prices are those of fills, except `last_price`; all of them are restated by dividends and splits, so
/// that they compare with today's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Position {
    /// Negative if short.
    pub(crate) shares: f64,
    /// Price of the fill that opened the position or turned its side.
    pub(crate) entry_price: f64,
    /// Mean price of the shares held, by cost.
    pub(crate) average_price: f64,
    /// Bar of the fill that opened the position or turned its side.
    pub(crate) entry_bar: usize,
    /// The last known close, or the fill price until there is one.
    pub(crate) last_price: f64,
    /// Bar of the last known price.
    pub(crate) last_bar: usize,
}

impl Position {
    const NONE: Self = Self {
        shares: 0.0,
        entry_price: f64::NAN,
        average_price: f64::NAN,
        entry_bar: 0,
        last_price: f64::NAN,
        last_bar: 0,
    };
}

/// What an account is worth at the closes of some bars; parallel columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// Cash plus all positions.
    pub(crate) equity: Vec<f64>,
    /// Value of long positions.
    pub(crate) long: Vec<f64>,
    /// Value of short positions; never positive.
    pub(crate) short: Vec<f64>,
}

impl Marks {
    /// Equity at the last of the bars.
    pub(crate) fn last(&self) -> f64 {
        self.equity.last().copied().unwrap_or_default()
    }

    /// Keeps the first of the bars.
    pub(crate) fn truncate(&mut self, bars: usize) {
        for column in [&mut self.equity, &mut self.long, &mut self.short] {
            column.truncate(bars);
        }
    }

    fn clear(&mut self, bars: usize) {
        for column in [&mut self.equity, &mut self.long, &mut self.short] {
            column.clear();
            column.resize(bars, 0.0);
        }
    }

    /// Adds a position with a positive close on each of the bars.
    fn add(&mut self, shares: f64, closes: &[f64]) {
        let side = if shares > 0.0 { &mut self.long } else { &mut self.short };
        for ((sum, side), close) in self.equity.iter_mut().zip(side).zip(closes) {
            let worth = shares * close;
            *sum += worth;
            *side += worth;
        }
    }

    /// Adds what a position is worth on one of the bars.
    fn add_day(&mut self, day: usize, worth: f64) {
        let side = if worth > 0.0 { &mut self.long } else { &mut self.short };
        self.equity[day] += worth;
        side[day] += worth;
    }
}

/// Cash and positions of one account.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    pub(crate) cash: f64,
    held: Vec<SymbolId>,
    positions: Vec<Position>,
    holding_days: HoldingDays,
    changed: bool,
}

/// How long closed positions were held.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct HoldingDays {
    pub(crate) positions: usize,
    /// Sum over the closed positions, in calendar days from the opening fill to the closing one.
    pub(crate) days: i64,
}

impl Ledger {
    pub(crate) fn new(cash: f64, n_symbols: usize) -> Self {
        Self {
            cash,
            held: Vec::with_capacity(n_symbols),
            positions: vec![Position::NONE; n_symbols],
            holding_days: HoldingDays::default(),
            changed: false,
        }
    }

    /// Held symbols in the order in which they were bought; one that is bought again goes to the end.
    pub(crate) fn held(&self) -> &[SymbolId] {
        &self.held
    }

    /// Shares of a symbol; 0 if not held.
    pub(crate) fn shares(&self, symbol: SymbolId) -> f64 {
        self.positions[symbol.index()].shares
    }

    /// The holding of a symbol. Only its shares mean anything if it is not held.
    pub(crate) fn position(&self, symbol: SymbolId) -> &Position {
        &self.positions[symbol.index()]
    }

    /// How long the positions closed so far were held.
    pub(crate) fn holding_days(&self) -> HoldingDays {
        self.holding_days
    }

    /// Whether shares changed since this was last asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Books a fill: cash, then commission, then shares.
    pub(crate) fn book(&mut self, market: &Market, bar: usize, fill: Booking) {
        self.cash -= fill.quantity * fill.price;
        self.cash -= fill.commission;
        self.changed = true;
        let position = &mut self.positions[fill.symbol.index()];
        let before = position.shares;
        let after = before + fill.quantity;
        let was_held = before != 0.0;
        let is_held = after.abs() >= DUST;
        let reversed = was_held && is_held && (before > 0.0) != (after > 0.0);
        if was_held && (!is_held || reversed) {
            self.holding_days.positions += 1;
            self.holding_days.days += (market.dates()[bar] - market.dates()[position.entry_bar]).num_days();
        }
        if !is_held {
            *position = Position::NONE;
            self.held.retain(|&symbol| symbol != fill.symbol);
            return;
        }
        position.shares = after;
        if !was_held || reversed {
            position.entry_price = fill.price;
            position.average_price = fill.price;
            position.entry_bar = bar;
        } else if fill.quantity * before > 0.0 {
            let cost = before * position.average_price + fill.quantity * fill.price;
            position.average_price = cost / after;
        }
        if !was_held {
            position.last_price = fill.price;
            position.last_bar = bar;
            self.held.push(fill.symbol);
        }
    }

    /// Books a dividend and a split on the shares of a symbol that is held: cash, then shares, then prices of before. Answers
    /// the cash.
    pub(crate) fn entitle(&mut self, action: &CorporateAction) -> f64 {
        let position = &mut self.positions[action.symbol.index()];
        let cash = position.shares * action.dividend;
        self.cash += cash;
        position.shares *= action.split_factor;
        for price in [&mut position.entry_price, &mut position.average_price, &mut position.last_price] {
            *price /= action.factor;
        }
        self.changed |= action.split_factor != 1.0;
        cash
    }

    /// Marks every position at the closes of `bars`, or at its last known price where it has no bar. Nothing trades
    /// between them.
    pub(crate) fn mark(&mut self, market: &Market, bars: Range<usize>, marks: &mut Marks) {
        marks.clear(bars.len());
        // Symbol by symbol along its closes; each day's sum still goes from the first position to the last.
        for &symbol in &self.held {
            let position = &mut self.positions[symbol.index()];
            let closes = market.closes_of(symbol, bars.clone());
            // Without a branch, so that it is a few instructions for many closes.
            if closes.iter().fold(true, |all, &close| all & (close > 0.0)) {
                marks.add(position.shares, closes);
                position.last_price = closes.last().copied().unwrap_or(position.last_price);
                position.last_bar = bars.end - 1;
                continue;
            }
            for (day, (bar, &close)) in bars.clone().zip(closes).enumerate() {
                if !close.is_nan() {
                    position.last_price = close;
                    position.last_bar = bar;
                }
                marks.add_day(day, position.shares * position.last_price);
            }
        }
        for value in &mut marks.equity {
            *value += self.cash;
        }
    }

    /// Cash plus positions at `prices`, one cell per symbol; at the last known price where nothing trades at it: where it
    /// is NaN or not above 0.
    pub(crate) fn equity_at(&self, prices: &[f64]) -> f64 {
        self.held.iter().fold(self.cash, |equity, symbol| {
            let position = &self.positions[symbol.index()];
            let price = prices[symbol.index()];
            equity + position.shares * if price > 0.0 { price } else { position.last_price }
        })
    }
}

/// A fill, as far as the account is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Booking {
    pub(crate) symbol: SymbolId,
    /// Positive if bought.
    pub(crate) quantity: f64,
    pub(crate) price: f64,
    pub(crate) commission: f64,
}
