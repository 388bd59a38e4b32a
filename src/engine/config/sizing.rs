//! How scores become weights: the sizers and their parameters.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use super::needs::Needs;
use super::options::{
    Bounds, Scalar as _, Section as _, class_of, count, flag, kinds, number, options, unknown, untold, word,
    words,
};
use super::reader::Fields;
use super::schema::{Definitions, ObjectSchema, by_class};
use super::shrinkage::{Shrinkage, ShrinkageRule, shrinkage};
use crate::engine::price_signals::CARRIED_BARS;

/// How scores become weights, and how volatile what they make shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct SizingConfig {
    /// What makes weights of scores.
    pub sizer: SizerConfig,
    /// What the weights of any sizer are scaled to.
    pub volatility: VolatilityConfig,
}

options! {
    /// What the weights of any sizer are scaled to.
    VolatilityConfig {
        /// Annual volatility that is aimed at, as a fraction: weights are scaled by it over what is estimated, to a sum of
        /// magnitudes of at most `constraints.max_leverage`. `None`: weights stay as they are.
        target_volatility: Option<f64> = number(Bounds::POSITIVE).off(),
        /// Daily returns of the names weighed that the estimate is of.
        volatility_lookback: u32 = count(2).or(63_u32),
    }
    checked by |volatility, f| {
        if volatility.target_volatility.is_none() && !f.lacks("volatility_lookback") {
            f.note("volatility_lookback", "has no effect without target_volatility");
        }
    }
}

kinds! {
    /// What makes weights of scores.
    SizerConfig {
        /// The same weight for the first positive scores.
        EqualWeightSizer(EqualWeight) = "EqualWeightSizer",
        /// A long and a short budget, shared out per side.
        LongShortScoreSizer(LongShortScore) = "LongShortScoreSizer",
        /// Growth-optimal weights from expected returns and the covariance of closes.
        KellySizer(Kelly) = "KellySizer",
        /// Fully invested, long only: expected returns, which the scores are, against their variance.
        OptimizationSizer(Optimization) = "OptimizationSizer",
        /// Long only, by what closes did alone: 1 / volatility.
        InverseVolatilitySizer(ByRisk) = "InverseVolatilitySizer",
        /// Long only: each name contributes the same to the variance of all.
        RiskParitySizer(ByRisk) = "RiskParitySizer",
        /// Long only: halves of a tree of correlations share by variance.
        HierarchicalRiskParitySizer(ByRisk) = "HierarchicalRiskParitySizer",
        /// Long only, no name above `constraints.max_position_size`: the least variance.
        MinimumVarianceSizer(MinimumVariance) = "MinimumVarianceSizer",
    }
}

options! {
    /// Parameters of `EqualWeightSizer`.
    EqualWeight {
        /// Most symbols held at once.
        max_positions: u32 = count(0).or(10_u32),
    }
}

words! {
    /// How a side shares out its budget.
    WeightMode {
        /// The same for each name.
        Equal = "equal",
        /// By magnitude of score.
        Score = "score",
    }
}

options! {
    /// Parameters of `LongShortScoreSizer`.
    LongShortScore {
        /// Most names on the long side.
        max_longs: u32 = count(0).or(10_u32),
        /// Most names on the short side.
        max_shorts: u32 = count(0).or(10_u32),
        /// Long plus absolute short weight.
        gross_target: f64 = number(Bounds::POSITIVE).or(1.0),
        /// Long plus (negative) short weight; at most `gross_target` in magnitude.
        net_target: f64 = number(Bounds::ANY).or(0.0),
        /// How a side shares out its budget.
        weight_mode: WeightMode = word().or(WeightMode::Equal),
        /// Whether names already held go first.
        sticky_holdings: bool = flag().or(true),
        /// Power of the score's magnitude in `weight_mode: score`.
        score_power: f64 = number(Bounds::POSITIVE).or(1.0),
        /// Scores below this magnitude are left out.
        min_abs_score: f64 = number(Bounds::at_least(0.0)).or(0.0),
    }
    checked by |sizer, f| {
        if sizer.net_target.abs() > sizer.gross_target {
            f.fault("net_target", format!("must be at most gross_target ({}) in magnitude", sizer.gross_target));
        }
    }
}

options! {
    /// Parameters of `KellySizer`.
    Kelly {
        /// Share of the full Kelly weights; 0 holds nothing.
        kelly_fraction: f64 = number(Bounds::between(0.0, 1.0)).or(0.5),
        /// Daily returns in the covariance.
        lookback_days: u32 = count(2).or(20_u32),
        /// Expected daily return per unit of score.
        mu_scale: f64 = number(Bounds::ANY).required(),
    }
}

options! {
    /// Parameters of `OptimizationSizer`.
    Optimization {
        /// Weight of the variance against the expected return, which the score is.
        risk_aversion: f64 = number(Bounds::at_least(0.0)).or(1.0),
        /// Daily returns in the covariance: those of twice as many calendar days.
        lookback_days: u32 = count(2).or(252_u32),
    }
}

options! {
    /// Parameters of `InverseVolatilitySizer`, `RiskParitySizer` and `HierarchicalRiskParitySizer`.
    ByRisk {
        /// Daily returns that are looked back on; names without as many get no weight.
        lookback: u32 = count(2).or(252_u32),
        /// Most names held at once. `None`: all with a score above 0.
        max_positions: Option<u32> = count(1).off(),
    }
}

options! {
    /// Parameters of `MinimumVarianceSizer`.
    MinimumVariance {
        /// Daily returns that are looked back on; names without as many get no weight.
        lookback: u32 = count(2).or(252_u32),
        /// Most names held at once. `None`: all with a score above 0.
        max_positions: Option<u32> = count(1).off(),
        /// How far the covariance is drawn to a simpler one: a rule that says how far, or a number from 0 to 1.
        shrinkage: Shrinkage = shrinkage().or(Shrinkage::Rule(ShrinkageRule::LedoitWolf)),
    }
}

impl Default for SizerConfig {
    fn default() -> Self {
        Self::EqualWeightSizer(untold())
    }
}

impl SizerConfig {
    fn needs(&self, needs: &mut Needs) {
        match self {
            Self::EqualWeightSizer(_) | Self::LongShortScoreSizer(_) => {}
            Self::KellySizer(Kelly { lookback_days, .. }) => needs.bars(*lookback_days as usize),
            // A calendar day holds a bar at most.
            Self::OptimizationSizer(Optimization { lookback_days, .. }) => {
                needs.bars(2 * *lookback_days as usize);
            }
            Self::InverseVolatilitySizer(ByRisk { lookback, .. })
            | Self::RiskParitySizer(ByRisk { lookback, .. })
            | Self::HierarchicalRiskParitySizer(ByRisk { lookback, .. })
            | Self::MinimumVarianceSizer(MinimumVariance { lookback, .. }) => needs_returns(*lookback, needs),
        }
    }

    /// Whether it heeds the scales of cuts and decays.
    fn heeds_scales(&self) -> bool {
        match self {
            Self::LongShortScoreSizer(_) => true,
            Self::EqualWeightSizer(_)
            | Self::KellySizer(_)
            | Self::OptimizationSizer(_)
            | Self::InverseVolatilitySizer(_)
            | Self::RiskParitySizer(_)
            | Self::HierarchicalRiskParitySizer(_)
            | Self::MinimumVarianceSizer(_) => false,
        }
    }

    /// Most names that it holds at once, where it takes the first ones of a decision.
    fn max_positions(&self) -> Option<u32> {
        match self {
            Self::EqualWeightSizer(EqualWeight { max_positions }) => Some(*max_positions),
            Self::InverseVolatilitySizer(ByRisk { max_positions, .. })
            | Self::RiskParitySizer(ByRisk { max_positions, .. })
            | Self::HierarchicalRiskParitySizer(ByRisk { max_positions, .. })
            | Self::MinimumVarianceSizer(MinimumVariance { max_positions, .. }) => *max_positions,
            Self::LongShortScoreSizer(_) | Self::KellySizer(_) | Self::OptimizationSizer(_) => None,
        }
    }

    fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        match self {
            Self::LongShortScoreSizer(config) => {
                if config.max_longs == 0 && config.max_shorts == 0 {
                    found.push(format!(
                        "{path}.parameters: max_longs and max_shorts are 0, so that nothing is held"
                    ));
                }
                if config.weight_mode == WeightMode::Equal && config.score_power != 1.0 {
                    found.push(format!("{path}.parameters.score_power has no effect on equal weights"));
                }
            }
            Self::EqualWeightSizer(config) => {
                if config.max_positions == 0 {
                    found.push(format!("{path}.parameters.max_positions is 0, so that nothing is held"));
                }
            }
            Self::KellySizer(config) => {
                if config.kelly_fraction == 0.0 {
                    found.push(format!("{path}.parameters.kelly_fraction is 0, so that nothing is held"));
                }
            }
            Self::OptimizationSizer(_)
            | Self::InverseVolatilitySizer(_)
            | Self::RiskParitySizer(_)
            | Self::HierarchicalRiskParitySizer(_)
            | Self::MinimumVarianceSizer(_) => {}
        }
    }
}

/// The last daily returns of closes, of which missing ones may be a few bars older.
fn needs_returns(lookback: u32, needs: &mut Needs) {
    needs.bars(lookback as usize + CARRIED_BARS);
}

impl Default for SizingConfig {
    fn default() -> Self {
        Self { sizer: SizerConfig::default(), volatility: untold() }
    }
}

impl SizingConfig {
    pub(super) fn read(f: &Fields<'_>) -> Self {
        let words = SizerConfig::WORDS;
        let class = class_of(f).unwrap_or_else(|| words[0].to_owned());
        let parameters = f.section_or_list("parameters");
        let sizer = SizerConfig::read_kind(&class, &parameters).unwrap_or_else(|| {
            f.fault("class", unknown("sizer", &class, words));
            parameters.abandon();
            SizerConfig::default()
        });
        Self { sizer, volatility: VolatilityConfig::read(f) }
    }

    pub(super) fn schema(definitions: &mut Definitions) -> Value {
        definitions.named("SizingConfig", "How scores become weights.", |definitions| {
            let mut beside = ObjectSchema::new(VolatilityConfig::DOC, definitions);
            VolatilityConfig::describe(&mut beside);
            let beside = beside.into_properties();
            let classes = SizerConfig::describe_kinds(definitions);
            by_class(definitions, classes, Some(SizerConfig::WORDS[0]), &beside)
        })
    }

    pub(super) fn needs(&self, needs: &mut Needs) {
        self.sizer.needs(needs);
        if self.volatility.target_volatility.is_some() {
            needs_returns(self.volatility.volatility_lookback, needs);
        }
    }

    /// Whether it heeds the scales of cuts and decays.
    pub(super) fn heeds_scales(&self) -> bool {
        self.sizer.heeds_scales()
    }

    /// Its class, and most names that it holds at once, where it takes the first ones of a decision.
    pub(super) fn max_positions(&self) -> Option<(&'static str, u32)> {
        self.sizer.max_positions().map(|most| (self.sizer.as_str(), most))
    }

    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        self.sizer.without_effect(path, found);
    }
}

impl Serialize for SizingConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("class", self.sizer.as_str())?;
        self.sizer.write_options(&mut map, "parameters")?;
        // Configs of before stay as they were.
        if self.volatility != untold::<VolatilityConfig>() {
            map.serialize_entry("target_volatility", &self.volatility.target_volatility)?;
            map.serialize_entry("volatility_lookback", &self.volatility.volatility_lookback)?;
        }
        map.end()
    }
}
