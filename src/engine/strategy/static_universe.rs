//! The same symbols, always, whether or not they have a price today.

use super::schedule::Schedule;
use super::{Build, Decision, Strategy, View, named};
use crate::engine::RunError;
use crate::engine::config::StaticUniverseConfig;
use crate::engine::market::{Market, SymbolId};

#[derive(Debug)]
pub(super) struct StaticUniverse {
    symbols: Vec<SymbolId>,
    schedule: Schedule,
}

impl Build for StaticUniverseConfig {
    fn build(&self, market: &Market) -> Result<Box<dyn Strategy>, RunError> {
        let symbols = match &self.symbols {
            Some(names) => names.iter().map(|name| named(market, name)).collect::<Result<_, _>>()?,
            None => market.universe().to_vec(),
        };
        Ok(Box::new(StaticUniverse { symbols, schedule: Schedule::new(self.rebalance) }))
    }
}

impl Strategy for StaticUniverse {
    fn next_decision(&self, market: &Market, bar: usize) -> usize {
        self.schedule.next(market.dates(), bar)
    }

    fn decide(&mut self, view: &View<'_>, decision: &mut Decision) -> Result<bool, RunError> {
        if !self.schedule.strikes(view.date()) {
            return Ok(false);
        }
        for &symbol in &self.symbols {
            decision.scores.insert(symbol, 1.0);
        }
        Ok(true)
    }
}
