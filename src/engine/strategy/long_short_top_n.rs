//! The best names long and the worst short, held until an exit: a rebalance adds names and never drops any.

use super::holding_tracker::HoldingTracker;
use super::ranking::Ranker;
use super::schedule::Schedule;
use super::signal::SignalReader;
use super::{Build, Decision, Strategy, View};
use crate::engine::RunError;
use crate::engine::config::{ExitConfig, LongShortTopNConfig};
use crate::engine::market::{Market, SymbolId};
use crate::engine::symbols::SymbolMap;

#[derive(Debug)]
pub(super) struct LongShortTopN {
    signal: SignalReader,
    k_long: usize,
    k_short: usize,
    long_if_high: bool,
    min_abs_score: f64,
    exits: ExitConfig,
    schedule: Schedule,
    holdings: HoldingTracker,
    /// Scores of the last decision.
    last: SymbolMap,
    candidates: Vec<SymbolId>,
    ranker: Ranker,
}

impl Build for LongShortTopNConfig {
    fn build(&self, market: &Market) -> Result<Box<dyn Strategy>, RunError> {
        let n_symbols = market.symbols().len();
        Ok(Box::new(LongShortTopN {
            signal: SignalReader::new(&self.signal_column, market)?,
            k_long: self.k_long as usize,
            k_short: self.k_short as usize,
            long_if_high: self.long_if_high,
            min_abs_score: self.min_abs_score,
            exits: self.exits(),
            schedule: Schedule::new(self.rebalance),
            holdings: HoldingTracker::new(n_symbols),
            last: SymbolMap::new(n_symbols),
            candidates: Vec::with_capacity(n_symbols),
            ranker: Ranker::new(n_symbols),
        }))
    }
}

impl Strategy for LongShortTopN {
    fn decide(&mut self, view: &View<'_>, decision: &mut Decision) -> Result<bool, RunError> {
        self.holdings.sync(view);
        let rebalance = self.schedule.strikes(view.date());
        let mut acted = rebalance;
        for &symbol in view.ledger.held() {
            if self.holdings.exits(view, symbol, &self.exits) {
                acted = true;
                continue;
            }
            acted |= self.holdings.cuts(symbol, &self.exits);
            let holding = self.holdings.holding(symbol);
            decision.scores.insert(symbol, holding.side());
            if holding.scale != 1.0 {
                decision.scales.insert(symbol, holding.scale);
            }
        }
        if !acted {
            return Ok(false);
        }
        // Holdings stay with the magnitude of today's signal or, without one, of their last score.
        let (signals, last) = (self.signal.today(view), &self.last);
        decision.scores.update(|symbol, side| {
            let today = signals.get(symbol.index()).copied().filter(|signal| !signal.is_nan());
            today.unwrap_or_else(|| last.get_or(symbol, 1.0)).abs() * side
        });
        if rebalance {
            let everyone = (0..).map(SymbolId).zip(signals);
            self.candidates.clear();
            self.candidates
                .extend(everyone.filter(|(_, s)| s.abs() >= self.min_abs_score).map(|(symbol, _)| symbol));
            let (high, ranker) = (self.long_if_high, &mut self.ranker);
            let (longs, others) = ranker.split(&mut self.candidates, signals, high, self.k_long);
            let (shorts, _) = ranker.split(others, signals, !high, self.k_short);
            for (side, symbols) in [(1.0, longs), (-1.0, shorts)] {
                for &symbol in symbols {
                    decision.scores.insert(symbol, side * signals[symbol.index()].abs());
                }
            }
        }
        self.last.copy_from(&decision.scores);
        Ok(true)
    }
}
