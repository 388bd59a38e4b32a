//! Who turns a bar into target weights: one strategy with its sizer, or a composite of several.

use super::RunError;
use super::broker::{Broker, Orders};
use super::config::{BacktestConfig, SizingConfig, StrategyConfig};
use super::market::Market;
use super::outcome::{BlendWeights, DebugTable};
use super::sizing::Sizer;
use super::strategy::{self, Decision, Strategy, View};
use super::symbol_map::SymbolMap;

/// The deciding part of a run.
pub(crate) enum Plan<'a> {
    /// One strategy for the whole account.
    Single(Desk),
    /// Placeholder for composites.
    Composite(std::marker::PhantomData<&'a ()>),
}

impl<'a> Plan<'a> {
    pub(crate) fn new(config: &'a BacktestConfig, market: &Market) -> Result<Self, RunError> {
        Ok(Self::Single(Desk::new(&config.strategy, &config.sizing, market)?))
    }

    /// Fills the empty `weights` and answers true, or answers false for "no decision".
    pub(crate) fn decide(&mut self, view: &View<'_>, weights: &mut SymbolMap) -> Result<bool, RunError> {
        match self {
            Self::Single(desk) => desk.decide(view, weights),
            Self::Composite(_) => Ok(false),
        }
    }

    /// Hears what the constraints left of a decision.
    pub(crate) fn constrained(&mut self, _view: &View<'_>, _weights: &SymbolMap) {}

    /// Trades what the account has just traded, each leg in its own account.
    pub(crate) fn follow(
        &mut self,
        _market: &Market,
        _bar: usize,
        _prices: &[f64],
        _orders: &Orders,
        _broker: &mut Broker<'_>,
    ) {
    }

    /// Closes what stopped trading, each leg in its own account.
    pub(crate) fn close_stale(&mut self, _market: &Market, _bar: usize, _broker: &mut Broker<'_>) {}

    /// What the reader of the results should know about the strategies.
    pub(crate) fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// What was recorded beside the results.
    pub(crate) fn into_records(self) -> (Option<BlendWeights>, Option<DebugTable>) {
        (None, None)
    }
}

/// A strategy and the sizer of its scores.
pub(crate) struct Desk {
    strategy: Box<dyn Strategy>,
    sizer: Sizer,
    decision: Decision,
}

impl Desk {
    pub(crate) fn new(
        strategy: &StrategyConfig,
        sizing: &SizingConfig,
        market: &Market,
    ) -> Result<Self, RunError> {
        let n_symbols = market.symbols().len();
        Ok(Self {
            strategy: strategy::build(strategy, market)?,
            sizer: Sizer::new(sizing, n_symbols),
            decision: Decision::new(n_symbols),
        })
    }

    /// As [`Plan::decide`].
    pub(crate) fn decide(&mut self, view: &View<'_>, weights: &mut SymbolMap) -> Result<bool, RunError> {
        self.decision.clear();
        if !self.strategy.decide(view, &mut self.decision)? {
            return Ok(false);
        }
        self.sizer.size(view, &self.decision, weights)?;
        Ok(true)
    }
}
