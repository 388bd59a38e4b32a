//! What scores weigh: one sizer per class. A sizer turns the scores of a decision into fractions of equity; what
//! of it may be held is for the constraints to say.

mod eigen;
mod history;
mod long_short;
mod optimization;

use self::long_short::LongShort;
use super::RunError;
use super::config::SizingConfig;
use super::market::SymbolId;
use super::rounding::EQUAL;
use super::strategy::{Decision, View};
use super::symbols::SymbolMap;

/// Turns scores into weights.
#[derive(Debug)]
pub(crate) enum Sizer {
    /// The same weight for the first positive scores; scales do not count.
    EqualWeight { max_positions: usize },
    /// A long and a short budget.
    LongShort(LongShort),
    /// `fraction * pseudo-inverse(covariance) * score * mu_scale`, long or short.
    Kelly { fraction: f64, lookback: usize, mu_scale: f64 },
    /// Expected returns, which the scores are, against their variance.
    Optimization { risk_aversion: f64, lookback: u32 },
}

impl Sizer {
    pub(crate) fn new(config: &SizingConfig, n_symbols: usize) -> Self {
        match config {
            SizingConfig::EqualWeightSizer(sizer) => {
                Self::EqualWeight { max_positions: sizer.max_positions as usize }
            }
            SizingConfig::LongShortScoreSizer(sizer) => Self::LongShort(LongShort::new(sizer, n_symbols)),
            SizingConfig::KellySizer(sizer) => Self::Kelly {
                fraction: sizer.kelly_fraction,
                lookback: sizer.lookback_days as usize,
                mu_scale: sizer.mu_scale,
            },
            SizingConfig::OptimizationSizer(sizer) => {
                Self::Optimization { risk_aversion: sizer.risk_aversion, lookback: sizer.lookback_days }
            }
        }
    }

    /// Fills the empty `weights`. Sizers that look back give no weights until there are two daily returns.
    ///
    /// # Errors
    /// If an optimisation has no solution, too many symbols have a score, or a weight is not a finite number.
    pub(crate) fn size(
        &mut self,
        view: &View<'_>,
        decision: &Decision,
        weights: &mut SymbolMap,
    ) -> Result<(), RunError> {
        match *self {
            Self::EqualWeight { max_positions } => equal_weight(max_positions, decision, weights),
            Self::LongShort(ref mut sizer) => sizer.size(view, decision, weights),
            Self::Kelly { fraction, lookback, mu_scale } => {
                let symbols = alphabetical(decision);
                check_size(view, &symbols)?;
                let Some(covariance) = history::of_last_bars(view, &symbols, lookback) else { return Ok(()) };
                let expected: Vec<f64> =
                    scores_of(decision, &symbols).map(|score| score * mu_scale).collect();
                let full = eigen::pseudo_inverse_times(&covariance, &expected);
                for (&symbol, weight) in
                    symbols.iter().zip(full).filter(|(_, w)| (fraction * w).abs() >= EQUAL)
                {
                    weights.insert(symbol, fraction * weight);
                }
            }
            Self::Optimization { risk_aversion, lookback } => {
                let symbols = alphabetical(decision);
                check_size(view, &symbols)?;
                let days = lookback.saturating_mul(2);
                let Some(covariance) = history::of_last_days(view, &symbols, days) else { return Ok(()) };
                let expected: Vec<f64> = scores_of(decision, &symbols).collect();
                let best = optimization::best_weights(&expected, &covariance, risk_aversion)
                    .map_err(|problem| RunError::Strategy(format!("{}: {problem}", view.date())))?;
                for (&symbol, &weight) in symbols.iter().zip(&best).filter(|(_, weight)| **weight > 0.0) {
                    weights.insert(symbol, weight);
                }
            }
        }
        match weights.iter().find(|(_, weight)| !weight.is_finite()) {
            None => Ok(()),
            Some((symbol, weight)) => Err(RunError::Strategy(format!(
                "{}: the sizer gave {} a weight of {weight}; its scores are too large for its parameters",
                view.date(),
                view.market.name(symbol)
            ))),
        }
    }
}

/// Most symbols whose covariances are estimated: their number grows with the square, the work with the cube.
const COVARIANCES_MAX: usize = 2000;

fn check_size(view: &View<'_>, symbols: &[SymbolId]) -> Result<(), RunError> {
    if symbols.len() <= COVARIANCES_MAX {
        return Ok(());
    }
    Err(RunError::Strategy(format!(
        "{}: {} symbols have a score; this sizer takes {COVARIANCES_MAX} at most",
        view.date(),
        symbols.len()
    )))
}

fn equal_weight(max_positions: usize, decision: &Decision, weights: &mut SymbolMap) {
    for (symbol, _) in decision.scores.iter().filter(|(_, score)| *score > 0.0).take(max_positions) {
        weights.insert(symbol, 1.0);
    }
    let each = 1.0 / weights.len() as f64;
    weights.update(|_, _| each);
}

/// The scores of some symbols of a decision.
fn scores_of(decision: &Decision, symbols: &[SymbolId]) -> impl Iterator<Item = f64> {
    symbols.iter().map(|&symbol| decision.scores.get_or(symbol, 0.0))
}

/// The symbols of a decision in alphabetical order.
fn alphabetical(decision: &Decision) -> Vec<SymbolId> {
    let mut symbols: Vec<SymbolId> = decision.scores.iter().map(|(symbol, _)| symbol).collect();
    symbols.sort_unstable();
    symbols
}
