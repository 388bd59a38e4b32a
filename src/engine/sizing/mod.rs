//! What scores weigh: one sizer per class. A sizer turns the scores of a decision into fractions of equity; what
//! of it may be held is for the constraints to say.

mod long_short;

use self::long_short::LongShort;
use super::RunError;
use super::config::SizingConfig;
use super::strategy::{Decision, View};
use super::symbol_map::SymbolMap;

/// Turns scores into weights.
#[derive(Debug)]
pub(crate) enum Sizer {
    /// The same weight for the first positive scores; scales do not count.
    EqualWeight {
        max_positions: usize,
    },
    LongShort(LongShort),
}

impl Sizer {
    pub(crate) fn new(config: &SizingConfig, n_symbols: usize) -> Self {
        match config {
            SizingConfig::EqualWeightSizer { max_positions } => {
                Self::EqualWeight { max_positions: *max_positions as usize }
            }
            SizingConfig::LongShortScoreSizer(sizer) => Self::LongShort(LongShort::new(sizer, n_symbols)),
            SizingConfig::KellySizer { .. } | SizingConfig::OptimizationSizer { .. } => {
                Self::EqualWeight { max_positions: 0 }
            }
        }
    }

    /// Fills the empty `weights`.
    ///
    /// # Errors
    /// If an optimisation has no solution.
    pub(crate) fn size(
        &mut self,
        view: &View<'_>,
        decision: &Decision,
        weights: &mut SymbolMap,
    ) -> Result<(), RunError> {
        match self {
            Self::EqualWeight { max_positions } => equal_weight(*max_positions, decision, weights),
            Self::LongShort(sizer) => sizer.size(view, decision, weights),
        }
        Ok(())
    }
}

fn equal_weight(max_positions: usize, decision: &Decision, weights: &mut SymbolMap) {
    for (symbol, _) in decision.scores.iter().filter(|(_, score)| *score > 0.0).take(max_positions) {
        weights.insert(symbol, 1.0);
    }
    let each = 1.0 / weights.len() as f64;
    weights.update(|_, _| each);
}
