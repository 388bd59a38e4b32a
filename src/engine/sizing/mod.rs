//! What scores weigh: one sizer per class. A sizer turns the scores of a decision into fractions of equity; what
//! of it may be held is for the constraints to say.

mod by_risk;
mod eigen;
mod hierarchical;
mod history;
mod long_short;
mod minimum_variance;
mod optimization;
mod risk_parity;
mod shrinkage;
mod solver;
mod tally;
mod volatility;

use self::by_risk::{ByRisk, Rule};
use self::long_short::LongShort;
use self::volatility::VolatilityTarget;
use super::RunError;
use super::config::{BacktestConfig, SizerConfig, SizingConfig};
use super::market::{Market, SymbolId};
use super::rounding::EQUAL;
use super::strategy::{Decision, View};
use super::symbols::SymbolMap;

/// Turns scores into weights.
#[derive(Debug)]
pub(crate) struct Sizer {
    class: Class,
    /// What the weights of the class are scaled to.
    volatility: Option<VolatilityTarget>,
}

/// What makes weights of scores.
#[derive(Debug)]
enum Class {
    /// The same weight for the first positive scores; scales do not count.
    EqualWeight { max_positions: usize },
    /// A long and a short budget.
    LongShort(LongShort),
    /// `fraction * pseudo-inverse(covariance) * score * mu_scale`, long or short.
    Kelly { fraction: f64, lookback: usize, mu_scale: f64 },
    /// Expected returns, which the scores are, against their variance.
    Optimization { risk_aversion: f64, lookback: u32 },
    /// By what closes did alone.
    ByRisk(ByRisk),
}

impl Class {
    /// `cap` is the largest weight that a sizer may aim at, if it looks at that.
    fn new(config: &SizerConfig, n_symbols: usize, cap: f64) -> Self {
        match config {
            SizerConfig::EqualWeightSizer(sizer) => {
                Self::EqualWeight { max_positions: sizer.max_positions as usize }
            }
            SizerConfig::LongShortScoreSizer(sizer) => Self::LongShort(LongShort::new(sizer, n_symbols)),
            SizerConfig::KellySizer(sizer) => Self::Kelly {
                fraction: sizer.kelly_fraction,
                lookback: sizer.lookback_days as usize,
                mu_scale: sizer.mu_scale,
            },
            SizerConfig::OptimizationSizer(sizer) => {
                Self::Optimization { risk_aversion: sizer.risk_aversion, lookback: sizer.lookback_days }
            }
            SizerConfig::InverseVolatilitySizer(sizer) => {
                Self::ByRisk(ByRisk::new(Rule::InverseVolatility, sizer.lookback, sizer.max_positions))
            }
            SizerConfig::RiskParitySizer(sizer) => {
                Self::ByRisk(ByRisk::new(Rule::RiskParity, sizer.lookback, sizer.max_positions))
            }
            SizerConfig::HierarchicalRiskParitySizer(sizer) => {
                Self::ByRisk(ByRisk::new(Rule::HierarchicalRiskParity, sizer.lookback, sizer.max_positions))
            }
            SizerConfig::MinimumVarianceSizer(sizer) => {
                let rule = Rule::MinimumVariance { shrinkage: sizer.shrinkage, cap };
                Self::ByRisk(ByRisk::new(rule, sizer.lookback, sizer.max_positions))
            }
        }
    }

    /// Fills the empty `weights`. Sizers that look back give no weights until there are two daily returns, or as many as they
    /// look back on.
    fn size(
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
                check_size(view, symbols.len())?;
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
                check_size(view, symbols.len())?;
                let days = lookback.saturating_mul(2);
                let Some(covariance) = history::of_last_days(view, &symbols, days) else { return Ok(()) };
                let expected: Vec<f64> = scores_of(decision, &symbols).collect();
                let best = optimization::best_weights(&expected, &covariance, risk_aversion)
                    .map_err(|problem| RunError::Strategy(format!("{}: {problem}", view.date())))?;
                for (&symbol, &weight) in symbols.iter().zip(&best).filter(|(_, weight)| **weight > 0.0) {
                    weights.insert(symbol, weight);
                }
            }
            Self::ByRisk(ref mut sizer) => sizer.size(view, decision, weights)?,
        }
        Ok(())
    }
}

impl Sizer {
    /// Of a strategy that has that share of the money of the account.
    pub(crate) fn new(sizing: &SizingConfig, share: f64, config: &BacktestConfig, market: &Market) -> Self {
        let limits = &config.constraints;
        let cap = (limits.max_position_size / share).min(1.0);
        Self {
            class: Class::new(&sizing.sizer, market.symbols().len(), cap),
            volatility: VolatilityTarget::new(
                &sizing.volatility,
                market.periods_per_year(config),
                limits.max_leverage,
            ),
        }
    }

    /// Fills the empty `weights`.
    ///
    /// # Errors
    /// If an optimisation has no solution, too many symbols have a score, or a weight is not a finite number.
    pub(crate) fn size(
        &mut self,
        view: &View<'_>,
        decision: &Decision,
        weights: &mut SymbolMap,
    ) -> Result<(), RunError> {
        self.class.size(view, decision, weights)?;
        if let Some(volatility) = &mut self.volatility {
            volatility.scale(view, weights);
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

    /// What the reader of the results should know.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let of_class = match &self.class {
            Class::ByRisk(sizer) => sizer.warnings(),
            Class::EqualWeight { .. }
            | Class::LongShort(_)
            | Class::Kelly { .. }
            | Class::Optimization { .. } => Vec::new(),
        };
        let of_target = self.volatility.iter().flat_map(VolatilityTarget::warnings);
        of_class.into_iter().chain(of_target).collect()
    }
}

/// Most symbols whose covariances are estimated: their number grows with the square, the work with the cube.
const COVARIANCES_MAX: usize = 2000;

fn check_size(view: &View<'_>, symbols: usize) -> Result<(), RunError> {
    if symbols <= COVARIANCES_MAX {
        return Ok(());
    }
    let date = view.date();
    Err(RunError::Strategy(format!(
        "{date}: {symbols} symbols have a score; this sizer takes {COVARIANCES_MAX} at most"
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
