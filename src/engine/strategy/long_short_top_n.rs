//! The best names long and the worst short, held until an exit: a rebalance adds names and never drops any.

use super::holding_tracker::HoldingTracker;
use super::ranking::Ranker;
use super::schedule::Schedule;
use super::signal::SignalReader;
use super::{Decision, Strategy, View};
use crate::engine::RunError;
use crate::engine::config::{ExitConfig, LongShortTopNConfig};
use crate::engine::market::{Market, SymbolId};
use crate::engine::symbol_map::SymbolMap;

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

impl LongShortTopN {
    pub(super) fn new(config: &LongShortTopNConfig, market: &Market) -> Result<Self, RunError> {
        let n_symbols = market.symbols().len();
        Ok(Self {
            signal: SignalReader::new(&config.signal_column, market)?,
            k_long: config.k_long as usize,
            k_short: config.k_short as usize,
            long_if_high: config.long_if_high,
            min_abs_score: config.min_abs_score,
            exits: ExitConfig {
                trailing_ma_days: config.trailing_ma_days,
                time_stop_days: config.max_hold_days,
                stop_loss_pct: config.stop_loss_pct,
                take_profit_pct: None,
                trailing_stop_pct: None,
                use_low_for_stop: config.use_low_for_stop,
                partial_exit_days: config.partial_exit_days,
                partial_exit_fraction: config.partial_exit_fraction,
            },
            schedule: Schedule::new(config.rebalance),
            holdings: HoldingTracker::new(n_symbols),
            last: SymbolMap::new(n_symbols),
            candidates: Vec::with_capacity(n_symbols),
            ranker: Ranker::new(n_symbols),
        })
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
