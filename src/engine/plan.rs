//! Who turns a bar into target weights: one strategy with its sizer, or a composite of several.

use std::ops::Range;

use super::RunError;
use super::broker::{Broker, Orders};
use super::carry::Carry;
use super::composite::Composite;
use super::config::{BacktestConfig, StrategyConfig};
use super::market::{CorporateAction, Market, SymbolId};
use super::outcome::{BlendWeights, DebugTable};
use super::sized_strategy::SizedStrategy;
use super::strategy::View;
use super::symbols::SymbolMap;
use super::wants::Wants;

/// The deciding part of a run.
pub(crate) enum Plan<'c> {
    /// One strategy for the whole account.
    Single(Box<SizedStrategy>),
    /// Several strategies, each with its own money.
    Composite(Box<Composite<'c>>),
}

impl<'c> Plan<'c> {
    /// # Errors
    /// If a strategy needs what the market lacks.
    pub(crate) fn new(config: &'c BacktestConfig, market: &Market) -> Result<Self, RunError> {
        Ok(match &config.strategy {
            StrategyConfig::Composite(composite) => {
                Self::Composite(Box::new(Composite::new(composite, config, market)?))
            }
            StrategyConfig::Single(strategy) => {
                Self::Single(Box::new(SizedStrategy::new(strategy, &config.sizing, 1.0, config, market)?))
            }
        })
    }

    /// The first bar from `bar` on at whose close there may be a decision; it need not be one of the market.
    pub(crate) fn next_decision(&self, market: &Market, bar: usize) -> usize {
        match self {
            Self::Single(strategy) => strategy.next_decision(market, bar),
            Self::Composite(composite) => composite.next_decision(market, bar),
        }
    }

    /// Marks along with the account, where strategies have accounts of their own.
    pub(crate) fn mark(&mut self, market: &Market, bars: Range<usize>) {
        if let Self::Composite(composite) = self {
            composite.mark(market, bars);
        }
    }

    /// Fills the empty `weights` and answers true, or answers false for "no decision".
    pub(crate) fn decide(&mut self, view: &View<'_>, weights: &mut SymbolMap) -> Result<bool, RunError> {
        match self {
            Self::Single(strategy) => strategy.decide(view, weights),
            Self::Composite(composite) => composite.decide(view, weights),
        }
    }

    /// Hears what the constraints left of a decision.
    pub(crate) fn constrained(&mut self, view: &View<'_>, weights: &SymbolMap) {
        if let Self::Composite(composite) = self {
            composite.constrained(view, weights);
        }
    }

    /// Books what holding cost and earned, where strategies have accounts of their own.
    pub(crate) fn accrue(&mut self, market: &Market, bar: usize, carry: &Carry) {
        if let Self::Composite(composite) = self {
            composite.accrue(market, bar, carry);
        }
    }

    /// Books dividends and splits, where strategies have accounts of their own.
    pub(crate) fn entitle(
        &mut self,
        market: &Market,
        bar: usize,
        actions: &[CorporateAction],
        broker: &Broker<'_>,
    ) {
        if let Self::Composite(composite) = self {
            composite.entitle(market, bar, actions, broker);
        }
    }

    /// Whether a strategy with an account of its own holds a symbol.
    pub(crate) fn holds(&self, symbol: SymbolId) -> bool {
        match self {
            Self::Single(_) => false,
            Self::Composite(composite) => composite.holds(symbol),
        }
    }

    /// Trades along with the account, where strategies have accounts of their own.
    pub(crate) fn follow(
        &mut self,
        market: &Market,
        bar: usize,
        prices: &[f64],
        account: &Orders,
        broker: &mut Broker<'_>,
    ) {
        if let Self::Composite(composite) = self {
            composite.follow(market, bar, prices, account, broker);
        }
    }

    /// Closes what stopped trading, where strategies have accounts of their own.
    pub(crate) fn close_stale(&mut self, market: &Market, bar: usize, broker: &mut Broker<'_>) {
        if let Self::Composite(composite) = self {
            composite.close_stale(market, bar, broker);
        }
    }

    /// What the strategies wanted so far.
    pub(crate) fn wants(&self) -> Wants {
        match self {
            Self::Single(strategy) => strategy.wants(),
            Self::Composite(composite) => composite.wants(),
        }
    }

    /// What the reader of the results should know about the strategies.
    pub(crate) fn warnings(&self) -> Vec<String> {
        match self {
            Self::Single(strategy) => strategy.warnings(),
            Self::Composite(composite) => composite.warnings(),
        }
    }

    /// What was recorded beside the results so far, once.
    pub(crate) fn take_records(&mut self) -> (Option<BlendWeights>, Option<DebugTable>) {
        match self {
            Self::Single(strategy) => (None, strategy.take_debug()),
            Self::Composite(composite) => {
                let (blend, debug) = composite.take_records();
                (Some(blend), debug)
            }
        }
    }
}
