//! A strategy with the sizer of its scores: from a bar to target weights. A plan has one, or one for each leg.

use super::RunError;
use super::config::{SizingConfig, StrategyConfig};
use super::market::Market;
use super::outcome::DebugTable;
use super::sizing::Sizer;
use super::strategy::{self, Decision, Strategy, View};
use super::symbols::SymbolMap;

/// A strategy and the sizer of its scores.
pub(crate) struct SizedStrategy {
    strategy: Box<dyn Strategy>,
    sizer: Sizer,
    /// Scratch: today's decision.
    decision: Decision,
    wants: Wants,
}

/// What decisions asked for and their sizer left out, summed over all decisions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Names with a score other than 0.
    pub(crate) names: usize,
    /// Of these, names without a weight.
    pub(crate) names_cut: usize,
    /// Names with a negative score.
    pub(crate) shorts: usize,
    /// Of these, names without a weight.
    pub(crate) shorts_cut: usize,
}

impl Wants {
    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            names: self.names + other.names,
            names_cut: self.names_cut + other.names_cut,
            shorts: self.shorts + other.shorts,
            shorts_cut: self.shorts_cut + other.shorts_cut,
        }
    }

    fn count(&mut self, scores: &SymbolMap, weights: &SymbolMap) {
        for (symbol, score) in scores.iter().filter(|(_, score)| *score != 0.0) {
            let (short, cut) = (score < 0.0, weights.get_or(symbol, 0.0) == 0.0);
            self.names += 1;
            self.names_cut += usize::from(cut);
            self.shorts += usize::from(short);
            self.shorts_cut += usize::from(short && cut);
        }
    }
}

impl SizedStrategy {
    /// # Errors
    /// If the strategy needs what the market lacks.
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

    /// What the reader of the results should know about the strategy.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.strategy.warnings()
    }

    /// What was recorded beside the results.
    pub(crate) fn into_debug(mut self) -> Option<DebugTable> {
        self.strategy.take_debug()
    }
}
