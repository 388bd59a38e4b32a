//! The sections around the strategy: data, sizing, constraints, broker, output.

use serde::Serialize;

use super::reader::{Bounds, Fields, nearest, words};

words! {
    /// Where price tables are.
    PriceSource {
        /// Files of this machine.
        Local = "local",
        /// The data lake.
        Adls = "ADLS",
    }
}

words! {
    /// Where signal tables are.
    SignalSource {
        /// Wherever the prices are.
        Auto = "auto",
        /// Files of this machine.
        Local = "local",
        /// The data lake.
        Adls = "ADLS",
        /// The ranking tables of the database.
        Postgres = "postgres",
    }
}

words! {
    /// The price fields that are read.
    PriceFields {
        /// Open, high, low, close and volume.
        Ohlcv = "OHLCV",
    }
}

words! {
    /// The distance of two bars.
    Frequency {
        /// One bar per trading day.
        Daily = "Daily",
    }
}

/// Where prices and signals come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataConfig {
    /// Where price tables are.
    pub price_source: PriceSource,
    /// A table, file or folder of prices; `{symbol}` expands per symbol. `None` is the default of the lake.
    pub price_path: Option<String>,
    /// Where signal tables are.
    pub signal_source: SignalSource,
    /// A table, file or folder of signals. `None` is the default of the lake, or no signals at all.
    pub signal_path: Option<String>,
    /// Bars of history before `start_date` that look-backs may use. `None`: as many as they need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_days: Option<u32>,
    /// The price fields that are read.
    pub price_fields: PriceFields,
    /// The distance of two bars.
    pub frequency: Frequency,
}

impl DataConfig {
    pub(super) fn read(f: &Fields<'_>) -> Self {
        read_price_fields(f);
        Self {
            price_source: f.word("price_source", PriceSource::Local),
            price_path: f.text_opt("price_path"),
            signal_source: f.word("signal_source", SignalSource::Auto),
            signal_path: f.text_opt("signal_path"),
            warmup_days: f.count_opt("warmup_days", 0),
            price_fields: PriceFields::Ohlcv,
            frequency: f.word("frequency", Frequency::Daily),
        }
    }
}

/// `price_fields` may be the word or the list of the five names; both mean the same.
fn read_price_fields(f: &Fields<'_>) {
    const FIVE: [&str; 5] = ["open", "high", "low", "close", "volume"];
    if f.value("price_fields").is_some_and(serde_json::Value::is_array) {
        let given: Vec<String> = f.texts("price_fields").iter().map(|s| s.to_ascii_lowercase()).collect();
        if given.len() != FIVE.len() || FIVE.iter().any(|name| !given.iter().any(|g| g == name)) {
            f.fault("price_fields", "must be OHLCV: open, high, low, close and volume");
        }
    } else {
        f.word("price_fields", PriceFields::Ohlcv);
    }
}

/// How scores become weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "class", content = "parameters")]
pub enum SizingConfig {
    /// The same weight for the first positive scores.
    EqualWeightSizer {
        /// Most symbols held at once.
        max_positions: u32,
    },
    /// A long and a short budget, shared out per side.
    LongShortScoreSizer(LongShortScore),
    /// Growth-optimal weights from expected returns and the covariance of closes.
    KellySizer {
        /// Share of the full Kelly weights.
        kelly_fraction: f64,
        /// Daily returns in the covariance.
        lookback_days: u32,
        /// Expected daily return per unit of score.
        mu_scale: f64,
    },
    /// Fully invested, long only, mean against variance.
    OptimizationSizer {
        /// Weight of the variance against the mean.
        risk_aversion: f64,
        /// Daily returns in mean and covariance.
        lookback_days: u32,
    },
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

/// Parameters of `LongShortScoreSizer`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LongShortScore {
    /// Most names on the long side.
    pub max_longs: u32,
    /// Most names on the short side.
    pub max_shorts: u32,
    /// Long plus absolute short weight.
    pub gross_target: f64,
    /// Long plus (negative) short weight; at most `gross_target` in magnitude.
    pub net_target: f64,
    /// How a side shares out its budget.
    pub weight_mode: WeightMode,
    /// Whether names already held go first.
    pub sticky_holdings: bool,
    /// Power of the score's magnitude in `weight_mode: score`.
    pub score_power: f64,
    /// Scores below this magnitude are left out.
    pub min_abs_score: f64,
}

impl Default for SizingConfig {
    fn default() -> Self {
        Self::EqualWeightSizer { max_positions: 10 }
    }
}

impl SizingConfig {
    const CLASSES: [&str; 4] = ["EqualWeightSizer", "LongShortScoreSizer", "KellySizer", "OptimizationSizer"];

    pub(super) fn read(f: &Fields<'_>) -> Self {
        let class = f.text("class", Self::CLASSES[0]);
        let p = f.section("parameters");
        match class.as_str() {
            "EqualWeightSizer" => Self::EqualWeightSizer { max_positions: p.count("max_positions", 10, 1) },
            "LongShortScoreSizer" => Self::LongShortScoreSizer(LongShortScore::read(&p)),
            "KellySizer" => Self::KellySizer {
                kelly_fraction: p.number("kelly_fraction", 0.5, Bounds::POSITIVE),
                lookback_days: p.count("lookback_days", 20, 2),
                mu_scale: p.number_required("mu_scale", Bounds::ANY),
            },
            "OptimizationSizer" => Self::OptimizationSizer {
                risk_aversion: p.number("risk_aversion", 1.0, Bounds::at_least(0.0)),
                lookback_days: p.count("lookback_days", 252, 2),
            },
            other => {
                f.fault("class", unknown("sizer", other, &Self::CLASSES));
                p.abandon();
                Self::default()
            }
        }
    }
}

impl LongShortScore {
    fn read(p: &Fields<'_>) -> Self {
        let sizer = Self {
            max_longs: p.count("max_longs", 10, 0),
            max_shorts: p.count("max_shorts", 10, 0),
            gross_target: p.number("gross_target", 1.0, Bounds::at_least(0.0)),
            net_target: p.number("net_target", 0.0, Bounds::ANY),
            weight_mode: p.word("weight_mode", WeightMode::Equal),
            sticky_holdings: p.flag("sticky_holdings", true),
            score_power: p.number("score_power", 1.0, Bounds::at_least(0.0)),
            min_abs_score: p.number("min_abs_score", 0.0, Bounds::at_least(0.0)),
        };
        if sizer.net_target.abs() > sizer.gross_target {
            p.fault(
                "net_target",
                format!("must be at most gross_target ({}) in magnitude", sizer.gross_target),
            );
        }
        sizer
    }
}

/// What may be held; applied to the weights of a sizer in the order of the fields, `stop_loss` last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConstraintsConfig {
    /// Whether negative weights are kept.
    pub allow_short: bool,
    /// Largest magnitude of one weight.
    pub max_position_size: f64,
    /// Largest sum of magnitudes.
    pub max_leverage: f64,
    /// Least sum of weights.
    pub net_exposure_min: Option<f64>,
    /// Largest sum of weights.
    pub net_exposure_max: Option<f64>,
    /// Largest magnitude of the sum of weights; counts only without a band.
    pub max_net_exposure: Option<f64>,
    /// Symbols whose weight would change by less keep the weight of today's close.
    pub min_weight_change: Option<f64>,
    /// Largest sum of magnitudes of weight changes per decision.
    pub max_turnover: Option<f64>,
    /// Loss from the average entry price, as a fraction of it, at which a position is closed at the next fill.
    pub stop_loss: Option<f64>,
}

impl ConstraintsConfig {
    pub(super) fn read(f: &Fields<'_>) -> Self {
        let constraints = Self {
            allow_short: f.flag("allow_short", false),
            max_position_size: f.number("max_position_size", 1.0, Bounds::SHARE),
            max_leverage: f.number("max_leverage", 1.0, Bounds::POSITIVE),
            net_exposure_min: f.number_opt("net_exposure_min", Bounds::between(-10.0, 10.0)),
            net_exposure_max: f.number_opt("net_exposure_max", Bounds::between(-10.0, 10.0)),
            max_net_exposure: f.number_opt("max_net_exposure", Bounds::between(0.0, 10.0)),
            min_weight_change: f.number_opt("min_weight_change", Bounds::between(0.0, 10.0)),
            max_turnover: f.number_opt("max_turnover", Bounds::above_up_to(0.0, 10.0)),
            stop_loss: f.number_opt("stop_loss", Bounds::PART),
        };
        if let (Some(min), Some(max)) = (constraints.net_exposure_min, constraints.net_exposure_max)
            && min > max
        {
            f.fault("net_exposure_min", format!("must be at most net_exposure_max ({max}), got {min}"));
        }
        constraints
    }
}

words! {
    /// The price at which a decision is executed.
    FillPolicy {
        /// The open of the next bar.
        NextOpen = "next_open",
        /// The close of the next bar.
        NextClose = "next_close",
    }
}

words! {
    /// How a quantity becomes whole lots.
    RoundingMode {
        /// Fewer shares, whichever side.
        TowardZero = "toward_zero",
        /// The nearest lot, half to even.
        Nearest = "nearest",
        /// Down, so that sales grow.
        Floor = "floor",
        /// Up, so that purchases grow.
        Ceil = "ceil",
    }
}

words! {
    /// What happens to an order of a symbol without a price at the fill.
    MissingPrice {
        /// It is dropped.
        Skip = "skip",
        /// It is dropped and recorded among the rejected orders.
        Reject = "reject",
    }
}

/// How targets become fills, and what fills cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BrokerConfig {
    /// Distance of fill and market price, in basis points.
    pub slippage_bps: f64,
    /// Distance of bid and ask in basis points; a fill pays half of it.
    pub spread_bps: f64,
    /// Commission as a rate on the notional.
    pub commission: f64,
    /// The price at which a decision is executed.
    pub fill_policy: FillPolicy,
    /// Whether parts of a share trade.
    pub allow_fractional_shares: bool,
    /// Shares per lot; other than 1 makes lots bind even with fractional shares.
    pub lot_size: f64,
    /// How a quantity becomes whole lots.
    pub rounding_mode: RoundingMode,
    /// Smaller fills are rejected; in money.
    pub min_trade_notional: f64,
    /// Smaller fills are rejected; in shares.
    pub min_trade_shares: f64,
    /// What happens without a price at the fill.
    pub on_missing_price: MissingPrice,
    /// Largest share of a bar's volume in one fill. `None`: any.
    pub max_participation_rate: Option<f64>,
    /// Bars without a price after which a holding is closed at its last price. `None`: never.
    pub max_stale_days: Option<u32>,
}

impl BrokerConfig {
    pub(super) fn read(f: &Fields<'_>) -> Self {
        let not_negative = Bounds::at_least(0.0);
        Self {
            slippage_bps: f.number("slippage_bps", 0.0, not_negative),
            spread_bps: f.number("spread_bps", 0.0, not_negative),
            commission: f.number("commission", 0.0, not_negative),
            fill_policy: f.word("fill_policy", FillPolicy::NextOpen),
            allow_fractional_shares: f.flag("allow_fractional_shares", true),
            lot_size: f.number("lot_size", 1.0, Bounds::POSITIVE),
            rounding_mode: f.word("rounding_mode", RoundingMode::TowardZero),
            min_trade_notional: f.number("min_trade_notional", 0.0, not_negative),
            min_trade_shares: f.number("min_trade_shares", 0.0, not_negative),
            on_missing_price: f.word("on_missing_price", MissingPrice::Skip),
            max_participation_rate: f.number_opt("max_participation_rate", Bounds::SHARE),
            max_stale_days: f.count_opt("max_stale_days", 1),
        }
    }
}

/// Which files a run writes, and where.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each switch is named after the file it writes")]
#[expect(clippy::struct_excessive_bools, reason = "one switch per file, as in the config")]
pub struct OutputConfig {
    pub local_dir: Option<String>,
    pub adls_dir: Option<String>,
    pub save_trades: bool,
    pub save_daily_metrics: bool,
    pub save_plots: bool,
    pub save_positions_snapshot: bool,
    pub save_metrics_parquet: bool,
    pub save_resolved_config_json: bool,
    pub save_metrics_json: bool,
    pub save_constraint_hits: bool,
    pub save_run_index_parquet: bool,
    pub save_trades_parquet: bool,
    pub save_config_parquet: bool,
    pub save_summary_parquet: bool,
}

impl OutputConfig {
    pub(super) fn read(f: &Fields<'_>) -> Self {
        Self {
            local_dir: f.text_opt("local_dir"),
            adls_dir: f.text_opt("adls_dir"),
            save_trades: f.flag("save_trades", true),
            save_daily_metrics: f.flag("save_daily_metrics", true),
            save_plots: f.flag("save_plots", false),
            save_positions_snapshot: f.flag("save_positions_snapshot", true),
            save_metrics_parquet: f.flag("save_metrics_parquet", true),
            save_resolved_config_json: f.flag("save_resolved_config_json", true),
            save_metrics_json: f.flag("save_metrics_json", true),
            save_constraint_hits: f.flag("save_constraint_hits", true),
            save_run_index_parquet: f.flag("save_run_index_parquet", true),
            save_trades_parquet: f.flag("save_trades_parquet", true),
            save_config_parquet: f.flag("save_config_parquet", true),
            save_summary_parquet: f.flag("save_summary_parquet", true),
        }
    }
}

/// The message for a class that does not exist.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown {what} {name:?}; did you mean {near}?"),
        None => format!("unknown {what} {name:?}; known: {}", known.join(", ")),
    }
}
