//! What each symbol and side brought in. Their profits, and the interest of the account, add up to what it won or lost.

use std::ops::Range;

use crate::engine::market::{Market, SymbolId};
use crate::engine::{BookedActions, Outcome, lookback};

/// What one side of a symbol brought in over a run. Money in the account's currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contribution {
    /// Position of the symbol in the market.
    pub symbol: SymbolId,
    /// Which side.
    pub is_short: bool,
    /// Profit at market prices, before costs and dividends.
    pub gross_profit: f64,
    /// Spread and slippage paid.
    pub slippage_cost: f64,
    /// What its orders moved their own prices by.
    pub impact_cost: f64,
    /// Commission paid.
    pub commission: f64,
    /// Fee paid for borrowed shares.
    pub borrow_cost: f64,
    /// Dividends received, less those paid.
    pub dividends: f64,
    /// What is left of the profit, with dividends.
    pub profit: f64,
    /// Profit over the initial cash: these, and interest over it, sum to the total return.
    pub contribution: f64,
}

/// The sides of a symbol while its fills are gone through.
#[derive(Debug, Clone, Copy, Default)]
struct Sides {
    held: f64,
    /// Long, short.
    sides: [Side; 2],
}

#[derive(Debug, Clone, Copy, Default)]
struct Side {
    traded: bool,
    /// Money received less money paid, at fill prices.
    flow: f64,
    slippage: f64,
    impact: f64,
    commission: f64,
    dividends: f64,
}

/// Takes in dividends and splits that come before the next fill.
fn entitle(all: &mut [Sides], actions: &BookedActions, rows: Range<usize>) {
    for row in rows {
        let symbol = &mut all[actions.symbol[row].index()];
        symbol.sides[usize::from(actions.shares_before[row] < 0.0)].dividends += actions.cash[row];
        // A fraction that is paid out is among the trades.
        symbol.held = actions.shares_before[row] * actions.split_factor[row];
    }
}

/// The contributions of every side of a symbol that ever traded, the highest first. `market` is the one of the run.
pub fn contributions(outcome: &Outcome, market: &Market) -> Vec<Contribution> {
    let trades = &outcome.trades;
    let mut all = vec![Sides::default(); outcome.symbols.len()];
    let mut booked = 0;
    for row in 0..trades.symbol.len() {
        if let Some(actions) = &outcome.corporate_actions {
            entitle(&mut all, actions, actions.until(Some(trades.execution_date[row]), &mut booked));
        }
        let symbol = &mut all[trades.symbol[row].index()];
        let quantity = trades.quantity[row];
        // What goes against the holding belongs to its side, the rest to the side of the fill.
        let closing = if symbol.held * quantity < 0.0 { symbol.held.abs().min(quantity.abs()) } else { 0.0 };
        let closed_side = usize::from(symbol.held < 0.0);
        let opening = quantity.abs() - closing;
        for (side, shares) in [(closed_side, closing), (usize::from(quantity < 0.0), opening)] {
            if shares > 0.0 {
                let part = shares / quantity.abs();
                let side = &mut symbol.sides[side];
                side.traded = true;
                side.flow -= part * trades.notional[row];
                side.slippage += part * trades.slippage_cost[row];
                side.impact += part * trades.impact_cost[row];
                side.commission += part * trades.commission[row];
            }
        }
        symbol.held += quantity;
    }
    if let Some(actions) = &outcome.corporate_actions {
        entitle(&mut all, actions, actions.until(None, &mut booked));
    }
    // What is held at the end counts at its last close.
    let held = &outcome.holdings;
    let last = market.first_trading_bar() + outcome.daily.date.len().saturating_sub(1);
    for row in held.start.last().copied().unwrap_or(0)..held.symbol.len() {
        let (symbol, shares) = (held.symbol[row], held.shares[row]);
        let bar = lookback::bars_back(market, last, symbol).next();
        let close = bar.map_or(0.0, |bar| market.seen(last).close(bar, symbol));
        all[symbol.index()].sides[usize::from(shares < 0.0)].flow += shares * close;
    }
    let cash = outcome.summary.initial_cash;
    let mut found: Vec<Contribution> = Vec::new();
    for (index, symbol) in all.iter().enumerate() {
        for (side, of) in symbol.sides.iter().enumerate().filter(|(_, side)| side.traded) {
            let fees = outcome.borrow_costs.get(index).filter(|_| side == 1);
            let borrow_cost = fees.copied().unwrap_or(0.0);
            let profit = of.flow + of.dividends - of.commission - borrow_cost;
            found.push(Contribution {
                symbol: SymbolId::of_index(index),
                is_short: side == 1,
                gross_profit: of.flow + of.slippage + of.impact,
                slippage_cost: of.slippage,
                impact_cost: of.impact,
                commission: of.commission,
                borrow_cost,
                dividends: of.dividends,
                profit,
                contribution: profit / cash,
            });
        }
    }
    found.sort_by(|a, b| b.profit.total_cmp(&a.profit));
    found
}
