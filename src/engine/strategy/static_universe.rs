//! The same symbols, always, whether or not they have a price today.

use super::schedule::Schedule;
use super::{Decision, Strategy, View, named};
use crate::engine::RunError;
use crate::engine::config::Rebalance;
use crate::engine::market::{Market, SymbolId};

#[derive(Debug)]
pub(super) struct StaticUniverse {
    symbols: Vec<SymbolId>,
    schedule: Schedule,
}

impl StaticUniverse {
    /// Without symbols it is the universe, in the order of the config.
    pub(super) fn new(
        symbols: Option<&[String]>,
        rebalance: Rebalance,
        market: &Market,
    ) -> Result<Self, RunError> {
        let symbols = match symbols {
            Some(names) => names.iter().map(|name| named(market, name)).collect::<Result<_, _>>()?,
            None => market.universe().to_vec(),
        };
        Ok(Self { symbols, schedule: Schedule::new(rebalance) })
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
