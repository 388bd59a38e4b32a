//! What strategies ask for, counted beside what their sizers make of it.

use super::symbols::SymbolMap;

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

    /// Counts one decision: its scores, and the weights that its sizer made of them.
    pub(crate) fn count(&mut self, scores: &SymbolMap, weights: &SymbolMap) {
        for (symbol, score) in scores.iter().filter(|(_, score)| *score != 0.0) {
            let (short, cut) = (score < 0.0, weights.get_or(symbol, 0.0) == 0.0);
            self.names += 1;
            self.names_cut += usize::from(cut);
            self.shorts += usize::from(short);
            self.shorts_cut += usize::from(short && cut);
        }
    }
}
