//! Holding what an event brought in until an exit: what breakout and episodic-pivot strategies have in common.
//! The strategies themselves only say what today's candidates are.

use super::holding_tracker::HoldingTracker;
use super::schedule::Schedule;
use super::{Decision, View};
use crate::engine::config::{ExitConfig, Rebalance};
use crate::engine::market::SymbolId;
use crate::engine::symbols::SymbolMap;

/// The holdings of an event strategy.
#[derive(Debug)]
pub(super) struct EventBook {
    exits: ExitConfig,
    schedule: Schedule,
    holdings: HoldingTracker,
    /// Scores of the last decision.
    last: SymbolMap,
}

impl EventBook {
    pub(super) fn new(exits: &ExitConfig, rebalance: Rebalance, n_symbols: usize) -> Self {
        Self {
            exits: exits.clone(),
            schedule: Schedule::new(rebalance),
            holdings: HoldingTracker::new(n_symbols),
            last: SymbolMap::new(n_symbols),
        }
    }

    /// Keeps the holdings that no exit ends, with their last score, and then adds candidates: on rebalance days
    /// and on every day on which an exit or a cut happens. On other days there is no decision.
    pub(super) fn decide(
        &mut self,
        view: &View<'_>,
        decision: &mut Decision,
        candidates: impl Iterator<Item = (SymbolId, f64)>,
    ) -> bool {
        self.holdings.sync(view);
        let mut acted = self.schedule.strikes(view.date());
        for &symbol in view.ledger.held() {
            if self.holdings.exits(view, symbol, &self.exits) {
                acted = true;
                continue;
            }
            acted |= self.holdings.cuts(symbol, &self.exits);
            let holding = self.holdings.holding(symbol);
            let magnitude = self.last.get_or(symbol, 1.0).abs();
            decision.scores.insert(symbol, magnitude * holding.side());
            if holding.scale != 1.0 {
                decision.scales.insert(symbol, holding.scale);
            }
        }
        if !acted {
            return false;
        }
        for (symbol, score) in candidates {
            decision.scores.insert(symbol, score);
        }
        self.last.copy_from(&decision.scores);
        true
    }
}
