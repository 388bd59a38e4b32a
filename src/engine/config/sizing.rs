//! How scores become weights: the sizers and their parameters.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use super::needs::Needs;
use super::options::{
    Bounds, Scalar as _, class_of, count, flag, kinds, number, options, unknown, untold, word, words,
};
use super::reader::Fields;
use super::schema::{Definitions, by_class};

kinds! {
    /// How scores become weights.
    SizingConfig {
        /// The same weight for the first positive scores.
        EqualWeightSizer(EqualWeight) = "EqualWeightSizer",
        /// A long and a short budget, shared out per side.
        LongShortScoreSizer(LongShortScore) = "LongShortScoreSizer",
        /// Growth-optimal weights from expected returns and the covariance of closes.
        KellySizer(Kelly) = "KellySizer",
        /// Fully invested, long only: expected returns, which the scores are, against their variance.
        OptimizationSizer(Optimization) = "OptimizationSizer",
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

impl Default for SizingConfig {
    fn default() -> Self {
        Self::EqualWeightSizer(untold())
    }
}

impl SizingConfig {
    pub(super) fn read(f: &Fields<'_>) -> Self {
        let class = class_of(f).unwrap_or_else(|| Self::WORDS[0].to_owned());
        let parameters = f.section_or_list("parameters");
        Self::read_kind(&class, &parameters).unwrap_or_else(|| {
            f.fault("class", unknown("sizer", &class, Self::WORDS));
            parameters.abandon();
            Self::default()
        })
    }

    pub(super) fn schema(definitions: &mut Definitions) -> Value {
        definitions.named("SizingConfig", "How scores become weights.", |definitions| {
            let classes = Self::describe_kinds(definitions);
            by_class(definitions, classes, Some(Self::WORDS[0]))
        })
    }

    pub(super) fn needs(&self, needs: &mut Needs) {
        match self {
            Self::EqualWeightSizer(_) | Self::LongShortScoreSizer(_) => {}
            Self::KellySizer(Kelly { lookback_days, .. }) => needs.bars(*lookback_days as usize),
            // A calendar day holds a bar at most.
            Self::OptimizationSizer(Optimization { lookback_days, .. }) => {
                needs.bars(2 * *lookback_days as usize);
            }
        }
    }

    /// Whether it heeds the scales of cuts and decays.
    pub(super) fn heeds_scales(&self) -> bool {
        match self {
            Self::LongShortScoreSizer(_) => true,
            Self::EqualWeightSizer(_) | Self::KellySizer(_) | Self::OptimizationSizer(_) => false,
        }
    }

    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
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
            Self::OptimizationSizer(_) => {}
        }
    }
}

impl Serialize for SizingConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("class", self.as_str())?;
        self.write_options(&mut map, "parameters")?;
        map.end()
    }
}
