//! Round trips: what was bought and sold again, first in, first out, by symbol and side. A fill that closes parts of several
//! earlier ones ends a trip for each of them; what is still held at the end is not a trip yet.

use std::collections::VecDeque;

use chrono::NaiveDate;

use crate::engine::Trades;
use crate::engine::market::SymbolId;
use crate::engine::rounding::DUST;

/// A part of a position from the fill that opened it to the one that closed it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundTrip {
    /// What was held.
    pub symbol: SymbolId,
    /// Whether it was sold first.
    pub is_short: bool,
    /// Day of the opening fill.
    pub opened: NaiveDate,
    /// Day of the closing fill.
    pub closed: NaiveDate,
    /// Shares; positive also if short.
    pub quantity: f64,
    /// Price of the opening fill, spread and slippage included.
    pub entry_price: f64,
    /// Price of the closing fill, spread and slippage included.
    pub exit_price: f64,
    /// Commission of these shares, at both ends.
    pub commission: f64,
    /// Money won or lost, commission taken off.
    pub profit: f64,
    /// Profit over quantity times entry price.
    pub profit_share: f64,
}

/// Shares of an opening fill that are still held.
struct Lot {
    opened: NaiveDate,
    /// Negative if short.
    shares: f64,
    price: f64,
    commission_per_share: f64,
}

/// The round trips of some fills, in the order in which they ended.
pub fn round_trips(trades: &Trades) -> Vec<RoundTrip> {
    let symbols = trades.symbol.iter().map(|symbol| symbol.index() + 1).max().unwrap_or(0);
    let mut open: Vec<VecDeque<Lot>> = (0..symbols).map(|_| VecDeque::new()).collect();
    let mut trips = Vec::new();
    for row in 0..trades.symbol.len() {
        let (symbol, date, price) = (trades.symbol[row], trades.execution_date[row], trades.price[row]);
        let commission_per_share = trades.commission[row] / trades.quantity[row].abs();
        let lots = &mut open[symbol.index()];
        let mut left = trades.quantity[row];
        while left.abs() >= DUST
            && let Some(lot) = lots.front_mut().filter(|lot| lot.shares * left < 0.0)
        {
            let quantity = lot.shares.abs().min(left.abs());
            let side = lot.shares.signum();
            let commission = quantity * (lot.commission_per_share + commission_per_share);
            let profit = side * quantity * (price - lot.price) - commission;
            trips.push(RoundTrip {
                symbol,
                is_short: side < 0.0,
                opened: lot.opened,
                closed: date,
                quantity,
                entry_price: lot.price,
                exit_price: price,
                commission,
                profit,
                profit_share: profit / (quantity * lot.price),
            });
            lot.shares -= side * quantity;
            left += side * quantity;
            if lot.shares.abs() < DUST {
                lots.pop_front();
            }
        }
        if left.abs() >= DUST {
            lots.push_back(Lot { opened: date, shares: left, price, commission_per_share });
        }
    }
    trips
}
