//! Round trips: what was bought and sold again, first in, first out, by symbol and side. A fill that closes parts of several
//! earlier ones ends a trip for each of them; what is still held at the end is not a trip yet.

use std::collections::VecDeque;

use chrono::NaiveDate;

use crate::engine::market::SymbolId;
use crate::engine::rounding::DUST;
use crate::engine::{BookedActions, Trades};

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
    /// Shares at the closing fill; positive also if short.
    pub quantity: f64,
    /// Price of the opening fill, spread and slippage included; of a share as it is after splits since.
    pub entry_price: f64,
    /// Price of the closing fill, spread and slippage included.
    pub exit_price: f64,
    /// Commission of these shares, at both ends.
    pub commission: f64,
    /// Dividends of these shares, less those paid.
    pub dividends: f64,
    /// Money won or lost, with dividends, commission taken off.
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
    dividends_per_share: f64,
}

impl Lot {
    /// Takes in a dividend, then a split.
    fn entitle(&mut self, dividend: f64, split_factor: f64) {
        self.dividends_per_share += dividend;
        self.shares *= split_factor;
        for each in [&mut self.price, &mut self.commission_per_share, &mut self.dividends_per_share] {
            *each /= split_factor;
        }
    }
}

/// The round trips of some fills, in the order in which they ended. What was held had these dividends and splits, if any.
pub fn round_trips(trades: &Trades, actions: Option<&BookedActions>) -> Vec<RoundTrip> {
    let symbols = trades.symbol.iter().map(|symbol| symbol.index() + 1).max().unwrap_or(0);
    let mut open: Vec<VecDeque<Lot>> = (0..symbols).map(|_| VecDeque::new()).collect();
    let mut trips = Vec::new();
    let mut booked = 0;
    for row in 0..trades.symbol.len() {
        let (symbol, date, price) = (trades.symbol[row], trades.execution_date[row], trades.price[row]);
        // They come before the fills of their day.
        if let Some(actions) = actions {
            for row in actions.until(Some(date), &mut booked) {
                let lots = open.get_mut(actions.symbol[row].index()).into_iter().flatten();
                lots.for_each(|lot| lot.entitle(actions.dividend[row], actions.split_factor[row]));
            }
        }
        let commission_per_share = trades.commission[row] / trades.quantity[row].abs();
        let lots = &mut open[symbol.index()];
        let mut left = trades.quantity[row];
        while left.abs() >= DUST
            && let Some(lot) = lots.front_mut().filter(|lot| lot.shares * left < 0.0)
        {
            let quantity = lot.shares.abs().min(left.abs());
            let side = lot.shares.signum();
            let commission = quantity * (lot.commission_per_share + commission_per_share);
            let dividends = side * quantity * lot.dividends_per_share;
            let profit = side * quantity * (price - lot.price) + dividends - commission;
            trips.push(RoundTrip {
                symbol,
                is_short: side < 0.0,
                opened: lot.opened,
                closed: date,
                quantity,
                entry_price: lot.price,
                exit_price: price,
                commission,
                dividends,
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
            let dividends_per_share = 0.0;
            lots.push_back(Lot {
                opened: date,
                shares: left,
                price,
                commission_per_share,
                dividends_per_share,
            });
        }
    }
    trips
}
