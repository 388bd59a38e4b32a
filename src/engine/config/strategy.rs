//! What a strategy may be told: the classes and the composite. The configured pipeline has a file of its own.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::account::{SizingConfig, unknown};
use super::pipeline::PipelineConfig;
use super::reader::{Bounds, Fields, words};

/// The strategy of a backtest.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StrategyConfig {
    /// A strategy chosen by class.
    Class(ClassConfig),
    /// A pipeline put together from stages.
    Configured(Box<PipelineConfig>),
    /// Several strategies, each with its own money.
    Composite(CompositeConfig),
}

/// A strategy chosen by class, with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "class", content = "parameters")]
pub enum ClassConfig {
    /// One symbol, always.
    BuyAndHoldStrategy {
        /// The symbol. `None`: the first of the universe.
        symbol: Option<String>,
        /// When the weight is set again.
        rebalance: Rebalance,
    },
    /// The same symbols, always.
    StaticUniverseStrategy {
        /// The symbols. `None`: the universe.
        symbols: Option<Vec<String>>,
        /// When the weights are set again.
        rebalance: Rebalance,
    },
    /// The best of the day's signals.
    TopNSignalStrategy(TopNConfig),
    /// The best and the worst of the day's signals, held until an exit.
    LongShortTopNStrategy(LongShortTopNConfig),
    /// Names that break out of their range.
    BreakoutStrategy(BreakoutConfig),
    /// Names that gap on volume.
    EpisodicPivotStrategy(EpisodicPivotConfig),
}

/// When a class strategy decides anew. The first bar always counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebalance {
    /// On every bar.
    Daily,
    /// When the ISO week has changed, or 7 calendar days have passed.
    Weekly,
    /// When the month has changed.
    Monthly,
    /// When the quarter has changed.
    Quarterly,
    /// When the year has changed.
    Annually,
    /// When that many calendar days have passed.
    EveryDays(u32),
}

words! {
    /// The words of [`Rebalance`].
    Period {
        /// On every bar.
        Daily = "daily",
        /// By ISO week.
        Weekly = "weekly",
        /// By month.
        Monthly = "monthly",
        /// By quarter.
        Quarterly = "quarterly",
        /// By year.
        Annually = "annually",
    }
}

impl Rebalance {
    fn read(p: &Fields<'_>) -> Self {
        const KEY: &str = "rebalance";
        if p.value(KEY).is_some_and(Value::is_number) {
            return p.count_opt(KEY, 1).map_or(Self::Daily, Self::EveryDays);
        }
        match p.word(KEY, Period::Daily) {
            Period::Daily => Self::Daily,
            Period::Weekly => Self::Weekly,
            Period::Monthly => Self::Monthly,
            Period::Quarterly => Self::Quarterly,
            Period::Annually => Self::Annually,
        }
    }
}

impl Serialize for Rebalance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let period = match self {
            Self::EveryDays(days) => return serializer.serialize_u32(*days),
            Self::Daily => Period::Daily,
            Self::Weekly => Period::Weekly,
            Self::Monthly => Period::Monthly,
            Self::Quarterly => Period::Quarterly,
            Self::Annually => Period::Annually,
        };
        serializer.serialize_str(period.as_str())
    }
}

/// Parameters of `TopNSignalStrategy`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopNConfig {
    /// Signal column to rank by.
    pub signal_column: String,
    /// Names selected.
    pub top_n: u32,
    /// Least signal. `None`: any.
    pub min_signal: Option<f64>,
    /// Whether the highest signal is the best.
    pub higher_is_better: bool,
    /// When it decides.
    pub rebalance: Rebalance,
}

/// Parameters of `LongShortTopNStrategy`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LongShortTopNConfig {
    /// Signal column to rank by.
    pub signal_column: String,
    /// Names added on the long side.
    pub k_long: u32,
    /// Names added on the short side.
    pub k_short: u32,
    /// Whether the highest signal goes long.
    pub long_if_high: bool,
    /// Signals below this magnitude are left out.
    pub min_abs_score: f64,
    /// Bars in the mean of closes that ends a holding. `None`: off.
    pub trailing_ma_days: Option<u32>,
    /// Loss from entry that ends a holding. `None`: off.
    pub stop_loss_pct: Option<f64>,
    /// Whether long stops look at the low of a bar instead of its close.
    pub use_low_for_stop: bool,
    /// Bars after which a holding is cut. `None`: off.
    pub partial_exit_days: Option<u32>,
    /// Share that a cut takes away.
    pub partial_exit_fraction: f64,
    /// Bars after which a holding ends. `None`: off.
    pub max_hold_days: Option<u32>,
    /// When names are added.
    pub rebalance: Rebalance,
}

/// When a class strategy ends or cuts a holding; checked in the order of the fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExitConfig {
    /// Bars in the mean of closes that ends a holding. `None`: off.
    pub trailing_ma_days: Option<u32>,
    /// Bars after which a holding ends. `None`: off.
    pub time_stop_days: Option<u32>,
    /// Loss from entry that ends a holding. `None`: off.
    pub stop_loss_pct: Option<f64>,
    /// Gain from entry that ends a holding. `None`: off.
    pub take_profit_pct: Option<f64>,
    /// Loss from the best price since entry that ends a holding. `None`: off.
    pub trailing_stop_pct: Option<f64>,
    /// Whether long stops look at the low of a bar instead of its close; short stops always look at the high.
    pub use_low_for_stop: bool,
    /// Bars after which a holding is cut. `None`: off.
    pub partial_exit_days: Option<u32>,
    /// Share that a cut takes away.
    pub partial_exit_fraction: f64,
}

/// Parameters of `BreakoutStrategy`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreakoutConfig {
    /// Signal column of breakouts.
    pub breakout_score_column: String,
    /// Signal column of breakdowns. `None`: there are none.
    pub breakdown_score_column: Option<String>,
    /// Whether breakdowns are sold short.
    pub enable_shorts: bool,
    /// Whether a negative breakout score is a breakdown; otherwise it is no candidate.
    pub short_from_breakout: bool,
    /// Scores below this magnitude are left out.
    pub min_abs_score: f64,
    /// Exits.
    #[serde(flatten)]
    pub exits: ExitConfig,
    /// When names are added.
    pub rebalance: Rebalance,
}

/// Parameters of `EpisodicPivotStrategy`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EpisodicPivotConfig {
    /// Signal column of scores.
    pub ep_score_column: String,
    /// Least score.
    pub min_ep_score: f64,
    /// Whether scores below `-min_ep_score` are sold short.
    pub enable_shorts: bool,
    /// Whether the score may be put together from gap and volume columns if its own column is missing.
    pub allow_raw_fields: bool,
    /// Exits.
    #[serde(flatten)]
    pub exits: ExitConfig,
    /// When names are added.
    pub rebalance: Rebalance,
}

impl StrategyConfig {
    pub(super) fn read(f: &Fields<'_>) -> Self {
        Self::read_at(f, true)
    }

    /// A leg of a composite may be anything but a composite.
    fn read_at(f: &Fields<'_>, composite_allowed: bool) -> Self {
        match f.text_opt("type").as_deref() {
            None => Self::Class(ClassConfig::read(f)),
            Some("configured") => Self::Configured(Box::new(PipelineConfig::read(f))),
            Some("composite") if composite_allowed => Self::Composite(CompositeConfig::read(f)),
            Some("composite") => {
                f.fault("type", "a composite cannot be a leg of a composite");
                f.value("legs");
                f.value("blend");
                Self::Class(ClassConfig::default())
            }
            Some(other) => {
                f.fault("type", format!("must be one of configured, composite, got {other:?}"));
                Self::Class(ClassConfig::default())
            }
        }
    }
}

impl Default for ClassConfig {
    fn default() -> Self {
        Self::BuyAndHoldStrategy { symbol: None, rebalance: Rebalance::Daily }
    }
}

impl ClassConfig {
    const CLASSES: [&str; 6] = [
        "BuyAndHoldStrategy",
        "StaticUniverseStrategy",
        "TopNSignalStrategy",
        "LongShortTopNStrategy",
        "BreakoutStrategy",
        "EpisodicPivotStrategy",
    ];

    fn read(f: &Fields<'_>) -> Self {
        let (class, alias) = (f.text_opt("class"), f.text_opt("class_name"));
        if class.is_some() && alias.is_some() {
            f.fault("class_name", "is another name of class: give one of them");
        }
        let p = f.section("parameters");
        let Some(class) = class.or(alias) else {
            f.fault("class", "is required, unless type is configured or composite");
            p.abandon();
            return Self::default();
        };
        match class.as_str() {
            "BuyAndHoldStrategy" => {
                Self::BuyAndHoldStrategy { symbol: p.text_opt("symbol"), rebalance: Rebalance::read(&p) }
            }
            "StaticUniverseStrategy" => Self::StaticUniverseStrategy {
                symbols: p.value("symbols").map(|_| p.texts_required("symbols")),
                rebalance: Rebalance::read(&p),
            },
            "TopNSignalStrategy" => Self::TopNSignalStrategy(TopNConfig {
                signal_column: p.text("signal_column", DEFAULT_SIGNAL),
                top_n: p.count("top_n", 10, 1),
                min_signal: p.number_opt("min_signal", Bounds::ANY),
                higher_is_better: p.flag("higher_is_better", true),
                rebalance: Rebalance::read(&p),
            }),
            "LongShortTopNStrategy" => Self::LongShortTopNStrategy(LongShortTopNConfig {
                signal_column: p.text("signal_column", DEFAULT_SIGNAL),
                k_long: p.count("k_long", 0, 0),
                k_short: p.count("k_short", 0, 0),
                long_if_high: p.flag("long_if_high", true),
                min_abs_score: p.number("min_abs_score", 0.0, Bounds::at_least(0.0)),
                trailing_ma_days: p.count_opt("trailing_ma_days", 1),
                stop_loss_pct: p.number_opt("stop_loss_pct", Bounds::PART),
                use_low_for_stop: p.flag("use_low_for_stop", true),
                partial_exit_days: p.count_opt("partial_exit_days", 1),
                partial_exit_fraction: p.number("partial_exit_fraction", 0.5, Bounds::SHARE),
                max_hold_days: p.count_opt("max_hold_days", 1),
                rebalance: Rebalance::read(&p),
            }),
            "BreakoutStrategy" => Self::BreakoutStrategy(BreakoutConfig {
                breakout_score_column: p.text("breakout_score_column", "breakout_score"),
                breakdown_score_column: p.text_or_off("breakdown_score_column", "breakdown_score"),
                enable_shorts: p.flag("enable_shorts", true),
                short_from_breakout: p.flag("short_from_breakout", false),
                min_abs_score: p.number("min_abs_score", 0.0, Bounds::at_least(0.0)),
                exits: ExitConfig::read(&p, 10),
                rebalance: Rebalance::read(&p),
            }),
            "EpisodicPivotStrategy" => Self::EpisodicPivotStrategy(EpisodicPivotConfig {
                ep_score_column: p.text("ep_score_column", "ep_score"),
                min_ep_score: p.number("min_ep_score", 0.0, Bounds::at_least(0.0)),
                enable_shorts: p.flag("enable_shorts", false),
                allow_raw_fields: p.flag("allow_raw_fields", true),
                exits: ExitConfig::read(&p, 20),
                rebalance: Rebalance::read(&p),
            }),
            other => {
                f.fault("class", unknown("strategy", other, &Self::CLASSES));
                p.abandon();
                Self::default()
            }
        }
    }
}

/// The signal column of a strategy that names none.
const DEFAULT_SIGNAL: &str = "composite_percentile";

impl ExitConfig {
    fn read(p: &Fields<'_>, trailing_ma_days: u32) -> Self {
        Self {
            trailing_ma_days: p.count_or_off("trailing_ma_days", trailing_ma_days, 1),
            time_stop_days: p.count_opt("time_stop_days", 1),
            stop_loss_pct: p.number_opt("stop_loss_pct", Bounds::PART),
            take_profit_pct: p.number_opt("take_profit_pct", Bounds::POSITIVE),
            trailing_stop_pct: p.number_opt("trailing_stop_pct", Bounds::PART),
            use_low_for_stop: p.flag("use_low_for_stop", true),
            partial_exit_days: p.count_opt("partial_exit_days", 1),
            partial_exit_fraction: p.number("partial_exit_fraction", 0.5, Bounds::SHARE),
        }
    }
}

/// Several strategies, each with its own money, blended by weight.
#[derive(Debug, Clone, PartialEq)]
pub struct CompositeConfig {
    /// How the legs come together.
    pub blend: BlendConfig,
    /// The legs; at least one.
    pub legs: Vec<LegConfig>,
}

/// How the legs of a composite come together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlendConfig {
    /// How leg weights become one.
    pub method: BlendMethod,
    /// What the blended weights are scaled to.
    pub normalize_final: Normalize,
    /// Sum of magnitudes aimed at by `gross`.
    pub target_gross: f64,
    /// Sum of weights aimed at by `net`.
    pub target_net: f64,
    /// Whether two legs may hold the same symbol.
    pub allow_overlap: bool,
}

words! {
    /// How leg weights become one.
    BlendMethod {
        /// The sum of the legs' weights times their share.
        WeightedSum = "weighted_sum",
    }
}

words! {
    /// What weights are scaled to.
    Normalize {
        /// They stay as they are.
        None = "none",
        /// A sum of magnitudes.
        Gross = "gross",
        /// A sum.
        Net = "net",
    }
}

/// One leg of a composite.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LegConfig {
    /// Its name, unique within the composite.
    pub name: String,
    /// Its share, before all shares are scaled to sum 1.
    pub weight: f64,
    /// Its strategy; never a composite.
    pub strategy: StrategyConfig,
    /// Its sizer. `None`: the one of the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sizing: Option<SizingConfig>,
    /// What its weights are scaled to.
    pub normalize_leg: Normalize,
    /// Sum of magnitudes aimed at by `gross`.
    pub target_gross: f64,
    /// Sum of weights aimed at by `net`.
    pub target_net: f64,
    /// Whether it takes part. A leg that does not still counts when shares are scaled.
    pub enabled: bool,
}

impl CompositeConfig {
    fn read(f: &Fields<'_>) -> Self {
        let blend = BlendConfig::read(&f.section("blend"));
        if f.value("legs").is_none_or(|v| v.as_array().is_some_and(Vec::is_empty)) {
            f.fault("legs", "must be a non-empty list");
        }
        let legs: Vec<LegConfig> = f.sections("legs").iter().map(LegConfig::read).collect();
        for (i, leg) in legs.iter().enumerate() {
            let folder = folder_of(&leg.name);
            let earlier = legs[..i].iter().find(|earlier| folder_of(&earlier.name) == folder);
            if let Some(earlier) = earlier.filter(|_| !leg.name.is_empty()) {
                let message = match earlier.name == leg.name {
                    true => format!("{:?} is there twice", leg.name),
                    false => format!("its folder would be {folder:?}, that of {:?}", earlier.name),
                };
                f.fault(&format!("legs[{i}].name"), message);
            }
        }
        if !legs.is_empty() && legs.iter().map(|leg| leg.weight).sum::<f64>() <= 0.0 {
            f.fault("legs", "the weights must sum to more than 0");
        }
        if !legs.is_empty() && legs.iter().all(|leg| !leg.enabled) {
            f.fault("legs", "at least one leg must be enabled");
        }
        Self { blend, legs }
    }
}

impl Serialize for CompositeConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut s = serializer.serialize_struct("CompositeConfig", 3)?;
        s.serialize_field("type", "composite")?;
        s.serialize_field("blend", &self.blend)?;
        s.serialize_field("legs", &self.legs)?;
        s.end()
    }
}

impl BlendConfig {
    fn read(f: &Fields<'_>) -> Self {
        let normalize_final = f.word("normalize_final", Normalize::None);
        Self {
            method: f.word("method", BlendMethod::WeightedSum),
            normalize_final,
            target_gross: f.number("target_gross", 1.0, Bounds::POSITIVE),
            target_net: f.number("target_net", 1.0, Bounds::ANY),
            allow_overlap: f.flag("allow_overlap", true),
        }
    }
}

impl LegConfig {
    fn read(f: &Fields<'_>) -> Self {
        let (weight, alpha) = ("weight", "alpha");
        if f.value(weight).is_some() && f.value(alpha).is_some() {
            f.fault(alpha, "is another name of weight: give one of them");
        }
        if f.value("sizing").is_some() && f.value("sizer").is_some() {
            f.fault("sizer", "is another name of sizing: give one of them");
        }
        let not_negative = Bounds::at_least(0.0);
        let sizing = ["sizing", "sizer"].into_iter().find(|key| f.value(key).is_some());
        if f.value("strategy").is_none() {
            f.fault("strategy", "is required");
        }
        let strategy = f.section("strategy");
        Self {
            name: leg_name(f),
            weight: f
                .number_opt(weight, not_negative)
                .or_else(|| f.number_opt(alpha, not_negative))
                .unwrap_or(1.0),
            strategy: if f.value("strategy").is_some() {
                StrategyConfig::read_at(&strategy, false)
            } else {
                StrategyConfig::Class(ClassConfig::default())
            },
            sizing: sizing.map(|key| SizingConfig::read(&f.section(key))),
            normalize_leg: f.word("normalize_leg", Normalize::None),
            target_gross: f.number("target_gross", 1.0, Bounds::POSITIVE),
            target_net: f.number("target_net", 1.0, Bounds::ANY),
            enabled: f.flag("enabled", true),
        }
    }
}

/// Bytes that the name of a leg may have: folders of results are called so.
const LEG_NAME_MAX: usize = 64;

/// Name of the folder of results of a leg of that name.
pub fn folder_of(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

fn leg_name(f: &Fields<'_>) -> String {
    let name = f.text_required("name");
    if name.len() > LEG_NAME_MAX {
        f.fault("name", format!("must have at most {LEG_NAME_MAX} bytes, has {}", name.len()));
    }
    name
}
