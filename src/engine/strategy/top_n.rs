//! The best of the day's signals. A rebalance without signals selects no symbol, so that everything is sold.

use super::ranking::Ranker;
use super::schedule::Schedule;
use super::signal::SignalReader;
use super::{Build, Decision, Strategy, View};
use crate::engine::RunError;
use crate::engine::config::TopNConfig;
use crate::engine::market::{Market, SymbolId};

#[derive(Debug)]
pub(super) struct TopN {
    signal: SignalReader,
    n: usize,
    least: f64,
    higher_is_better: bool,
    schedule: Schedule,
    candidates: Vec<SymbolId>,
    ranker: Ranker,
}

impl Build for TopNConfig {
    fn build(&self, market: &Market) -> Result<Box<dyn Strategy>, RunError> {
        Ok(Box::new(TopN {
            signal: SignalReader::new(&self.signal_column, market)?,
            n: self.top_n as usize,
            least: self.min_signal.unwrap_or(f64::NEG_INFINITY),
            higher_is_better: self.higher_is_better,
            schedule: Schedule::new(self.rebalance),
            candidates: Vec::with_capacity(market.symbols().len()),
            ranker: Ranker::new(market.symbols().len()),
        }))
    }
}

impl Strategy for TopN {
    fn next_decision(&self, market: &Market, bar: usize) -> usize {
        self.schedule.next(market.dates(), bar)
    }

    fn decide(&mut self, view: &View<'_>, decision: &mut Decision) -> Result<bool, RunError> {
        if !self.schedule.strikes(view.date()) {
            return Ok(false);
        }
        let signals = self.signal.today(view);
        self.candidates.clear();
        let everyone = (0..).map(SymbolId).zip(signals);
        // A comparison with NaN is false, so that symbols without a signal are left out.
        self.candidates
            .extend(everyone.filter(|(_, signal)| **signal >= self.least).map(|(symbol, _)| symbol));
        let (best, _) = self.ranker.split(&mut self.candidates, signals, self.higher_is_better, self.n);
        for &symbol in best {
            decision.scores.insert(symbol, signals[symbol.index()]);
        }
        Ok(true)
    }
}
