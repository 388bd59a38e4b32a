//! One symbol, always. With the default schedule its weight is set again every day.

use super::schedule::Schedule;
use super::{Build, Decision, Strategy, View, named};
use crate::engine::RunError;
use crate::engine::config::BuyAndHoldConfig;
use crate::engine::market::{Market, SymbolId};

#[derive(Debug)]
pub(super) struct BuyAndHold {
    symbol: Option<SymbolId>,
    schedule: Schedule,
}

impl Build for BuyAndHoldConfig {
    fn build(&self, market: &Market) -> Result<Box<dyn Strategy>, RunError> {
        let symbol = match &self.symbol {
            Some(name) => Some(named(market, name)?),
            None => market.universe().first().copied(),
        };
        Ok(Box::new(BuyAndHold { symbol, schedule: Schedule::new(self.rebalance) }))
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
