//! A strategy with the sizer of its scores: from a bar to target weights. A plan has one, or one for each leg.

use super::RunError;
use super::config::{BacktestConfig, SingleConfig, SizingConfig};
use super::market::Market;
use super::outcome::DebugTable;
use super::sizing::Sizer;
use super::strategy::{self, Decision, Strategy, View};
use super::symbols::SymbolMap;
use super::wants::Wants;

/// A strategy and the sizer of its scores.
pub(crate) struct SizedStrategy {
    strategy: Box<dyn Strategy>,
    sizer: Sizer,
    /// Scratch: today's decision.
    decision: Decision,
    wants: Wants,
}

impl SizedStrategy {
    /// `share` is its part of the money of the account of `config`.
    ///
    /// # Errors
    /// If the strategy needs what the market lacks.
    pub(crate) fn new(
        strategy: &SingleConfig,
        sizing: &SizingConfig,
        share: f64,
        config: &BacktestConfig,
        market: &Market,
    ) -> Result<Self, RunError> {
        let n_symbols = market.symbols().len();
        Ok(Self {
            strategy: strategy::build(strategy, market)?,
            sizer: Sizer::new(sizing, share, config, market),
            decision: Decision::new(n_symbols),
            wants: Wants::default(),
        })
    }

    /// Fills the empty `weights` and answers true, or answers false for "no decision".
    pub(crate) fn decide(&mut self, view: &View<'_>, weights: &mut SymbolMap) -> Result<bool, RunError> {
        self.decision.clear();
        if !self.strategy.decide(view, &mut self.decision)? {
            return Ok(false);
        }
        self.sizer.size(view, &self.decision, weights)?;
        self.wants.count(&self.decision.scores, weights);
        Ok(true)
    }

    /// What it wanted so far.
    pub(crate) fn wants(&self) -> Wants {
        self.wants
    }

    /// The first bar from `bar` on at whose close it may decide; it need not be one of the market.
    pub(crate) fn next_decision(&self, market: &Market, bar: usize) -> usize {
        self.strategy.next_decision(market, bar)
    }

    /// What the reader of the results should know about the strategy and its sizer.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.strategy.warnings().into_iter().chain(self.sizer.warnings()).collect()
    }

    /// What was recorded beside the results so far, once.
    pub(crate) fn take_debug(&mut self) -> Option<DebugTable> {
        self.strategy.take_debug()
    }
}
