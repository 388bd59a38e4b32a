//! Sizers that ask of scores only whether they are above 0: what names weigh is said by the returns of their closes up to
//! today. Which names can be weighed is decided here; the arithmetic of each sizer is a file of its own.

use super::history::{Returns, deviation, last_returns};
use super::tally::Tally;
use super::{check_size, hierarchical, minimum_variance, risk_parity, shrinkage};
use crate::engine::RunError;
use crate::engine::config::Shrinkage;
use crate::engine::market::SymbolId;
use crate::engine::rounding::EQUAL;
use crate::engine::strategy::{Decision, View};
use crate::engine::symbols::SymbolMap;

/// What names weigh.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// 1 / deviation.
    InverseVolatility,
    /// Equal risk contributions.
    RiskParity,
    /// Halves of a tree.
    HierarchicalRiskParity,
    /// The least variance with no weight above a cap.
    MinimumVariance { shrinkage: Shrinkage, cap: f64 },
}

/// A sizer of that kind.
#[derive(Debug)]
pub(super) struct ByRisk {
    rule: Rule,
    lookback: usize,
    max_positions: usize,
    /// Names that were wanted and have too few bars, or closes that stood still.
    without_bars: Tally,
    still: Tally,
}

impl ByRisk {
    pub(super) fn new(rule: Rule, lookback: u32, max_positions: Option<u32>) -> Self {
        Self {
            rule,
            lookback: lookback as usize,
            max_positions: max_positions.map_or(usize::MAX, |most| most as usize),
            without_bars: Tally::default(),
            still: Tally::default(),
        }
    }

    /// Weighs the first names of the decision that have a score above 0 and enough returns. The weights sum to 1, or to less
    /// where caps leave no more.
    ///
    /// # Errors
    /// If there are too many names, or the rule has no solution.
    pub(super) fn size(
        &mut self,
        view: &View<'_>,
        decision: &Decision,
        weights: &mut SymbolMap,
    ) -> Result<(), RunError> {
        let mut chosen = self.choose(view, decision);
        if chosen.is_empty() {
            return Ok(());
        }
        // Sums must not depend on the order of the decision, nor trees on it where distances are equal.
        chosen.sort_unstable_by_key(|(symbol, _)| *symbol);
        let found = self.weigh(view, &chosen)?;
        for (&(symbol, _), &weight) in chosen.iter().zip(&found).filter(|(_, weight)| **weight > 0.0) {
            weights.insert(symbol, weight);
        }
        Ok(())
    }

    /// The names that count, with their returns.
    fn choose(&mut self, view: &View<'_>, decision: &Decision) -> Vec<(SymbolId, Vec<f64>)> {
        let mut chosen = Vec::new();
        let mut returns = Vec::with_capacity(self.lookback.min(view.bar));
        for (symbol, _) in decision.scores.iter().filter(|(_, score)| *score > 0.0) {
            if chosen.len() == self.max_positions {
                break;
            }
            if !last_returns(view, symbol, self.lookback, &mut returns) {
                self.without_bars.count(view.market.name(symbol));
            } else if deviation(&returns) <= EQUAL {
                self.still.count(view.market.name(symbol));
            } else {
                chosen.push((symbol, returns.clone()));
            }
        }
        chosen
    }

    fn weigh(&self, view: &View<'_>, chosen: &[(SymbolId, Vec<f64>)]) -> Result<Vec<f64>, RunError> {
        let n = chosen.len();
        let found = match self.rule {
            Rule::InverseVolatility => Ok(by_inverse_deviation(chosen)),
            Rule::RiskParity => risk_parity::weights(&returns_of(view, chosen)?.covariance(), n),
            Rule::HierarchicalRiskParity => {
                Ok(hierarchical::weights(&returns_of(view, chosen)?.covariance(), n))
            }
            Rule::MinimumVariance { shrinkage, cap } => {
                let covariance = shrinkage::shrunk_covariance(&returns_of(view, chosen)?, shrinkage);
                minimum_variance::weights(&covariance, n, cap)
            }
        };
        found.map_err(|problem| RunError::Strategy(format!("{}: {problem}", view.date())))
    }

    /// What the reader of the results should know.
    pub(super) fn warnings(&self) -> Vec<String> {
        let bars = self.lookback + 1;
        let without_bars = self.without_bars.phrase().map(|names| {
            format!(
                "sizing: {names} got no weight, for want of a close on each of the last {bars} trading days"
            )
        });
        let still = self.still.phrase().map(|names| {
            format!("sizing: {names} got no weight, as closes did not move on the last {bars} trading days")
        });
        without_bars.into_iter().chain(still).collect()
    }
}

/// The returns side by side, if there are not too many of them for their covariances.
fn returns_of(view: &View<'_>, chosen: &[(SymbolId, Vec<f64>)]) -> Result<Returns, RunError> {
    check_size(view, chosen.len())?;
    Ok(Returns::of_columns(chosen.iter().map(|(_, returns)| returns.as_slice())))
}

/// 1 / deviation of each, scaled to sum 1.
fn by_inverse_deviation(chosen: &[(SymbolId, Vec<f64>)]) -> Vec<f64> {
    let inverse = chosen.iter().map(|(_, returns)| 1.0 / deviation(returns));
    let total: f64 = inverse.clone().sum();
    inverse.map(|one| one / total).collect()
}
