//! What an account holds: cash and positions, and what they are worth. Nothing here decides or prices a fill.

use super::market::{Market, SymbolId};

/// One symbol's holding. Prices are those of fills, except `last_price`.
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

/// What an account is worth at the close of a bar.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Valuation {
    /// Cash plus all positions.
    pub(crate) equity: f64,
    /// Value of long positions.
    pub(crate) long: f64,
    /// Value of short positions; never positive.
    pub(crate) short: f64,
}

/// Smaller holdings are rounding, not positions.
const DUST: f64 = 1e-12;

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
        let turned = was_held && is_held && (before > 0.0) != (after > 0.0);
        if was_held && (!is_held || turned) {
            self.holding_days.positions += 1;
            self.holding_days.days += (market.dates()[bar] - market.dates()[position.entry_bar]).num_days();
        }
        if !is_held {
            *position = Position::NONE;
            self.held.retain(|&symbol| symbol != fill.symbol);
            return;
        }
        position.shares = after;
        if !was_held || turned {
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

    /// Marks every position at the close of `bar`, or at its last known price if it has no bar.
    pub(crate) fn mark(&mut self, market: &Market, bar: usize) -> Valuation {
        let mut value = Valuation::default();
        let mut positions = 0.0;
        for symbol in &self.held {
            let position = &mut self.positions[symbol.index()];
            let close = market.close(bar, *symbol);
            if !close.is_nan() {
                position.last_price = close;
                position.last_bar = bar;
            }
            let worth = position.shares * position.last_price;
            positions += worth;
            if worth > 0.0 {
                value.long += worth;
            } else {
                value.short += worth;
            }
        }
        value.equity = self.cash + positions;
        value
    }

    /// Cash plus positions at `prices`, one cell per symbol; at the last known price where that is NaN.
    pub(crate) fn equity_at(&self, prices: &[f64]) -> f64 {
        self.held.iter().fold(self.cash, |equity, symbol| {
            let position = &self.positions[symbol.index()];
            let price = prices[symbol.index()];
            equity + position.shares * if price.is_nan() { position.last_price } else { price }
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
