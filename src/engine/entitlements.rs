//! What holders are entitled to where prices are as they were quoted: dividends, and the shares of splits, booked on their day
//! before anything trades. Which there are, and what they do to prices, is told in `market::actions`.

use super::broker::{Blotter, Broker};
use super::ledger::{Booking, Ledger};
use super::market::{CorporateAction, Market};
use super::rounding::DUST;

/// Books the dividends and splits of a bar on what an account held at the close before; shorts pay. Where shares are whole, a
/// fraction is paid out at the open, or at the last known price without a bar, and is among the trades.
pub(crate) fn book(
    market: &Market,
    bar: usize,
    actions: &[CorporateAction],
    broker: &Broker<'_>,
    ledger: &mut Ledger,
    blotter: &mut Blotter,
) {
    for action in actions {
        let symbol = action.symbol;
        let before = ledger.shares(symbol);
        if before == 0.0 {
            continue;
        }
        let cash = ledger.entitle(action);
        let after = ledger.shares(symbol);
        let held = if action.split_factor == 1.0 { after } else { broker.holdable(after) };
        let fraction = after - held;
        let mut cash_in_lieu = 0.0;
        if fraction.abs() >= DUST || held == 0.0 {
            let open = market.open(bar, symbol);
            let price = if open > 0.0 { open } else { ledger.position(symbol).last_price };
            cash_in_lieu = fraction * price;
            blotter.settle(
                market,
                bar,
                ledger,
                Booking { symbol, quantity: -fraction, price, commission: 0.0 },
            );
        }
        blotter.today.dividends += cash;
        let booked = &mut blotter.actions;
        booked.date.push(market.dates()[bar]);
        booked.symbol.push(symbol);
        booked.dividend.push(action.dividend);
        booked.split_factor.push(action.split_factor);
        booked.shares_before.push(before);
        booked.shares_after.push(ledger.shares(symbol));
        booked.cash.push(cash);
        booked.cash_in_lieu.push(cash_in_lieu);
    }
}
