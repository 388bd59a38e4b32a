//! One symbol, always. With the default schedule its weight is set again every day.

use super::schedule::Schedule;
use super::{Decision, Strategy, View, named};
use crate::engine::RunError;
use crate::engine::config::Rebalance;
use crate::engine::market::{Market, SymbolId};

#[derive(Debug)]
pub(super) struct BuyAndHold {
    symbol: Option<SymbolId>,
    schedule: Schedule,
}

impl BuyAndHold {
    /// Without a symbol it is the first of the universe.
    pub(super) fn new(symbol: Option<&str>, rebalance: Rebalance, market: &Market) -> Result<Self, RunError> {
        let symbol = match symbol {
            Some(name) => Some(named(market, name)?),
            None => market.universe().first().copied(),
        };
        Ok(Self { symbol, schedule: Schedule::new(rebalance) })
    }
}

impl Strategy for BuyAndHold {
    fn next_decision(&self, market: &Market, bar: usize) -> usize {
        self.schedule.next(market.dates(), bar)
    }

    fn decide(&mut self, view: &View<'_>, decision: &mut Decision) -> Result<bool, RunError> {
        if !self.schedule.strikes(view.date()) {
            return Ok(false);
        }
        if let Some(symbol) = self.symbol {
            decision.scores.insert(symbol, 1.0);
        }
        Ok(true)
    }
}
