//! What a configured strategy may be told, stage by stage, in the order in which the stages work.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::reader::{Bounds, Fields, words};

/// A strategy put together from stages.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename = "configured")]
pub struct PipelineConfig {
    /// When it selects anew.
    pub rebalance: RebalanceConfig,
    /// Who may be selected.
    pub universe: UniverseStage,
    /// Which columns there are.
    pub signals: ProviderStage,
    /// What a symbol is worth.
    pub scoring: Scoring,
    /// Who is selected.
    pub selection: Selection,
    /// Who stays.
    pub holding_policy: HoldingPolicy,
    /// Who leaves, or is cut.
    pub exits: ExitStage,
    /// What happens to scores at last.
    pub postprocess: Postprocess,
    /// What is recorded beside the results.
    pub debug: DebugConfig,
}

/// When a configured strategy selects anew. The first bar always counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RebalanceConfig {
    /// How often.
    pub freq: Freq,
    /// Bars between two rebalances, for `every_n_days` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_n_days: Option<u32>,
    /// The day of the week, for `weekly` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weekday: Option<WeekdayWord>,
    /// The first bar on or after this day of the month, for `monthly` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day_of_month: Option<u32>,
    /// What happens if that day is not a trading day.
    pub allow_nontrading_shift: Shift,
}

words! {
    /// How often a configured strategy selects.
    Freq {
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
        /// After a number of bars.
        EveryNDays = "every_n_days",
    }
}

words! {
    /// A day of the week.
    WeekdayWord {
        /// Monday.
        Mon = "mon",
        /// Tuesday.
        Tue = "tue",
        /// Wednesday.
        Wed = "wed",
        /// Thursday.
        Thu = "thu",
        /// Friday.
        Fri = "fri",
    }
}

words! {
    /// Where a rebalance moves if its day is not a trading day. A day of the month always moves to the next bar
    /// unless it is told to move to the previous one.
    Shift {
        /// A weekday that is a holiday is left out.
        None = "none",
        /// To the last bar before.
        Prev = "prev",
        /// To the first bar after.
        Next = "next",
    }
}

/// Who may be selected.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UniverseStage {
    /// What makes a symbol present.
    pub source: UniverseSource,
    /// Columns, of prices or signals, that must exist.
    pub require_columns: Vec<String>,
    /// Conditions, applied one after the other.
    pub filters: Vec<Filter>,
}

words! {
    /// What makes a symbol present on a day.
    UniverseSource {
        /// A signal row.
        Signals = "signals",
        /// A bar.
        Prices = "prices",
        /// Both.
        Intersection = "intersection",
    }
}

words! {
    /// A price of a bar.
    PriceColumn {
        /// The opening price.
        Open = "open",
        /// The highest price.
        High = "high",
        /// The lowest price.
        Low = "low",
        /// The closing price.
        Close = "close",
    }
}

words! {
    /// What the volatility filter takes the deviation of.
    ReturnsColumn {
        /// Returns from close to close.
        Close = "close" | "returns_1d",
    }
}

/// A condition on eligible symbols.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Filter {
    /// Only these.
    Whitelist {
        /// Names.
        symbols: Vec<String>,
    },
    /// All but these.
    Blacklist {
        /// Names.
        symbols: Vec<String>,
    },
    /// A least price today.
    MinPrice {
        /// Which price.
        column: PriceColumn,
        /// The least.
        value: f64,
    },
    /// A least mean of close times volume.
    MinDollarVolume {
        /// Bars in the mean, all of which must exist.
        lookback: u32,
        /// The least.
        value: f64,
    },
    /// A least mean volume.
    MinAdv {
        /// Bars in the mean, all of which must exist.
        lookback: u32,
        /// The least.
        value: f64,
    },
    /// A number today in each of these signal columns.
    RequireSignalColumns {
        /// Column names.
        columns: Vec<String>,
    },
    /// A bar on each of the last days.
    NoMissingPrices {
        /// Days.
        window: u32,
    },
    /// A largest standard deviation of daily returns, not annualised.
    MaxVolatility {
        /// Returns of what.
        column: ReturnsColumn,
        /// Number of returns.
        lookback: u32,
        /// The largest.
        value: f64,
    },
    /// Listed on one of these exchanges.
    ExchangeIn {
        /// Exchange names.
        values: Vec<String>,
    },
}

/// Which columns scoring may use.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProviderStage {
    /// Where they come from.
    pub provider: Provider,
    /// Their names; empty for all of the signal table.
    pub columns: Vec<String>,
    /// What `hybrid` may compute.
    pub fallback: Fallback,
}

words! {
    /// Where the columns of a configured strategy come from.
    Provider {
        /// The signal table.
        Table = "platinum_signals_daily",
        /// Prices alone.
        Computed = "computed_from_prices",
        /// The signal table, and prices for what it lacks.
        Hybrid = "hybrid",
    }
}

/// What the provider `hybrid` may compute when the signal table lacks it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Fallback {
    /// Whether anything may be computed.
    pub enabled: bool,
    /// The columns that may be.
    pub allowed_missing_columns: Vec<String>,
}

impl Fallback {
    /// Whether a column that the signal table lacks may be computed.
    pub(crate) fn allows(&self, column: &str) -> bool {
        self.enabled
            && self.allowed_missing_columns.iter().any(|allowed| allowed.eq_ignore_ascii_case(column))
    }
}

/// What a symbol is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Scoring {
    /// A column as it is.
    Column {
        /// Its name.
        column: String,
        /// Whether the highest value is the best; otherwise the sign turns.
        higher_is_better: bool,
        /// What a missing value is.
        fillna: FillNa,
    },
    /// A sum of columns times weights.
    WeightedSum {
        /// The summands; at least one.
        terms: Vec<Term>,
        /// What is done to the sums.
        normalize: ScoreNormalize,
        /// What a missing value is.
        fillna: FillNa,
    },
    /// The largest in magnitude of several columns; the first wins a tie.
    MaxOf {
        /// The columns; at least one.
        scores: Vec<MaxOfPart>,
        /// What a missing value is.
        fillna: FillNa,
    },
    /// The rank of another score.
    RankTransform {
        /// That score.
        base: Box<Scoring>,
        /// How ranks are counted.
        method: RankMethod,
        /// Whether the lowest score has the lowest rank.
        ascending: bool,
    },
    /// How far today's close is beyond the closes before it.
    PriceBreakout {
        /// Closes before today.
        lookback: u32,
        /// Beyond the highest or the lowest.
        mode: BreakoutMode,
        /// As a fraction of that close, or in money.
        scale: BreakoutScale,
    },
    /// Gap plus half the volume ratio, where both are large enough.
    EpisodicPivotHeuristic {
        /// Least gap.
        min_gap: f64,
        /// Least volume ratio.
        min_vol_ratio: f64,
    },
}

/// A summand of [`Scoring::WeightedSum`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Term {
    /// Column name.
    pub column: String,
    /// What it is multiplied with.
    pub weight: f64,
}

/// A part of [`Scoring::MaxOf`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MaxOfPart {
    /// Whether the sign turns.
    #[serde(rename = "type")]
    pub kind: MaxOfKind,
    /// Column name.
    pub column: String,
}

words! {
    /// How a column enters [`Scoring::MaxOf`].
    MaxOfKind {
        /// As it is.
        Column = "column",
        /// With its sign turned.
        NegateColumn = "negate_column",
    }
}

words! {
    /// What a missing value is.
    FillNa {
        /// The symbol has no score.
        Drop = "drop",
        /// Zero.
        Zero = "zero",
        /// The mean of the eligible symbols.
        Mean = "mean",
    }
}

words! {
    /// What is done to weighted sums.
    ScoreNormalize {
        /// Nothing.
        None = "none",
        /// Distance from the mean in population standard deviations.
        Zscore = "zscore",
        /// Average rank over the number of symbols.
        RankPercentile = "rank_percentile",
    }
}

words! {
    /// How ranks are counted.
    RankMethod {
        /// Average rank over the number of symbols.
        Percentile = "percentile",
        /// 1, 2, 3 … without gaps after ties.
        DenseRank = "dense_rank",
    }
}

words! {
    /// Which side of the range counts.
    BreakoutMode {
        /// Above the highest close: positive scores.
        Breakout = "breakout",
        /// Below the lowest close: negative scores.
        Breakdown = "breakdown",
    }
}

impl BreakoutMode {
    /// What the column of that name holds where columns are computed from prices; every other column is 0 there.
    pub(crate) fn of_column(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "breakout_score" => Some(Self::Breakout),
            "breakdown_score" => Some(Self::Breakdown),
            _ => None,
        }
    }
}

words! {
    /// The unit of a breakout.
    BreakoutScale {
        /// Money.
        None = "none",
        /// A fraction of the close that was passed.
        Pct = "pct",
    }
}

/// Who is selected.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// The best.
    TopN(TopNSelection),
    /// The best and the worst.
    LongShortTopN(LongShortSelection),
    /// Everyone beyond a score.
    Threshold {
        /// Long at or above. `None`: no longs.
        long_if_gte: Option<f64>,
        /// Short at or below. `None`: no shorts.
        short_if_lte: Option<f64>,
        /// Whether shorts are selected.
        allow_short: bool,
    },
    /// Everyone beyond a quantile of the scores.
    Quantiles {
        /// Long at or above this quantile.
        long_q: f64,
        /// Short at or below this quantile.
        short_q: f64,
        /// Whether shorts are selected.
        allow_short: bool,
    },
}

/// Options of the selection `topn`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopNSelection {
    /// Names selected.
    pub n: u32,
    /// Which side they go.
    pub side: Side,
    /// Least score (in magnitude for shorts). `None`: any.
    pub min_score: Option<f64>,
    /// Whether the highest score is the best.
    pub higher_is_better: bool,
}

words! {
    /// A side of the market.
    Side {
        /// Gains when prices rise.
        Long = "long",
        /// Gains when prices fall.
        Short = "short",
    }
}

/// Options of the selection `long_short_topn`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LongShortSelection {
    /// Names on the long side.
    pub long_n: u32,
    /// Names on the short side.
    pub short_n: u32,
    /// Scores below this magnitude are left out.
    pub min_abs_score: f64,
    /// Whether scores are passed on with their magnitude; otherwise each is 1 or -1.
    pub score_abs: bool,
    /// Whether shorts are selected.
    pub allow_short: bool,
    /// Whether high scores go long.
    pub long_if_high: bool,
}

/// Who stays although not selected.
#[derive(Debug, Clone, PartialEq)]
pub enum HoldingPolicy {
    /// The selection replaces what is held.
    ReplaceAll(ReplaceAll),
    /// Held names that still rank near the top stay.
    Sticky(Sticky),
    /// Held names stay for a while.
    GracePeriod(GracePeriod),
    /// Dropped names shrink over a few bars.
    Decay(Decay),
    /// One policy after another.
    Hybrid {
        /// The first.
        base: Box<HoldingPolicy>,
        /// Applied to what the first leaves.
        overlay: Box<HoldingPolicy>,
    },
}

/// Options of the policy `replace_all`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplaceAll {
    /// Whether held names leave when they are not selected.
    pub exit_if_not_selected: bool,
    /// Whether held names take today's score when nothing is selected anew.
    pub refresh_held_scores: bool,
    /// What today's score becomes.
    pub refresh_mode: RefreshMode,
}

words! {
    /// What a refreshed score becomes.
    RefreshMode {
        /// Its magnitude, with the sign of the side held.
        AbsSigned = "abs_signed",
        /// As it is.
        Raw = "raw",
    }
}

/// Options of the policy `sticky`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sticky {
    /// A held name stays while its rank is within this multiple of the number selected on its side.
    pub keep_if_rank_within_multiple: f64,
    /// A held name leaves when its score falls below this magnitude.
    pub keep_min_abs_score: f64,
    /// Bars during which a name that left is not selected again. `0`: none.
    pub reentry_cooldown_days: u32,
}

/// Options of the policy `grace_period`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GracePeriod {
    /// Bars since entry during which a held name stays.
    pub min_hold_days: u32,
    /// Whether only exits end a holding.
    pub exit_only_on_risk: bool,
}

/// Options of the policy `decay`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decay {
    /// Scale at the end of the decay.
    pub dropped_scale: f64,
    /// Bars until a dropped name leaves.
    pub decay_days: u32,
}

/// Who leaves, or is cut.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExitStage {
    /// What counts when several rules fire for one holding.
    pub precedence: Precedence,
    /// The rules, in this order.
    pub rules: Vec<ExitRule>,
}

words! {
    /// What counts when several exit rules fire.
    Precedence {
        /// A full exit.
        ExitOverScale = "exit_over_scale",
        /// A cut.
        ScaleOverExit = "scale_over_exit",
        /// The first rule that fires.
        FirstMatch = "first_match",
    }
}

/// A rule that ends or cuts a holding.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExitRule {
    /// A price on the wrong side of its own mean.
    TrailingMa {
        /// Bars in the mean.
        days: u32,
        /// Which price.
        price_col: PriceColumn,
        /// Whether shorts leave above the mean; otherwise every holding leaves below it.
        side_aware: bool,
    },
    /// A loss from entry.
    StopLoss {
        /// As a fraction of the entry price.
        pct: f64,
        /// Whether the worst price of the bar counts instead of its close.
        use_intraday_extremes: bool,
    },
    /// A gain from entry.
    TakeProfit {
        /// As a fraction of the entry price.
        pct: f64,
    },
    /// A loss from the best price.
    TrailingStop {
        /// As a fraction of that price.
        pct: f64,
        /// Whether that is the best price since entry; otherwise the entry price.
        uses_hwm_lwm: bool,
    },
    /// A number of bars.
    TimeStop {
        /// Bars held, the entry day included.
        days: u32,
    },
    /// A cut after a number of bars.
    PartialExitAfterDays {
        /// Bars held, the entry day included.
        days: u32,
        /// Share that the cut takes away.
        fraction: f64,
        /// Whether it fires only once per holding; otherwise on every later bar too, without cutting deeper, which
        /// keeps exits from firing where the first match or a cut counts.
        once: bool,
    },
}

/// What happens to scores at last.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Postprocess {
    /// The steps, in this order.
    pub steps: Vec<Step>,
}

/// A step of [`Postprocess`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Step {
    /// Cuts scores off.
    Clamp {
        /// The least. `None`: any.
        min: Option<f64>,
        /// The largest. `None`: any.
        max: Option<f64>,
    },
    /// Rescales scores.
    Normalize {
        /// How.
        method: StepNormalize,
    },
    /// Mixes scores with those of the last decision.
    StickyScores {
        /// Share of the last score.
        alpha: f64,
    },
    /// Asks for a number of selected names, before anything else is done.
    EnforceMinCandidates {
        /// The least number.
        min_total: u32,
        /// What happens below it.
        action: TooFew,
    },
}

words! {
    /// How [`Step::Normalize`] rescales.
    StepNormalize {
        /// Distance from the mean in population standard deviations.
        Zscore = "zscore",
        /// From 0 for the lowest to 1 for the highest.
        Minmax = "minmax",
        /// Ranks from -1 to 1.
        RankPercentile = "rank_percentile",
    }
}

words! {
    /// What happens when too few are selected.
    TooFew {
        /// The rebalance is put off to the next bar.
        SkipRebalance = "skip_rebalance",
        /// The run fails.
        Error = "error",
    }
}

/// What is recorded beside the results.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DebugConfig {
    /// Eligible symbols, scores and scales of each decision.
    pub record_intermediates: bool,
    /// Which exit rule fired.
    pub record_reasons: bool,
}

impl PipelineConfig {
    pub(super) fn read(f: &Fields<'_>) -> Self {
        Self {
            rebalance: RebalanceConfig::read(&f.section("rebalance")),
            universe: UniverseStage::read(&f.section("universe")),
            signals: ProviderStage::read(&f.section("signals")),
            scoring: Scoring::read(&f.section("scoring")),
            selection: Selection::read(&f.section("selection")),
            holding_policy: match f.value("holding_policy") {
                // Left out altogether, holdings are kept; given without details, they are replaced.
                None => HoldingPolicy::ReplaceAll(ReplaceAll {
                    exit_if_not_selected: false,
                    refresh_held_scores: false,
                    refresh_mode: RefreshMode::AbsSigned,
                }),
                Some(_) => HoldingPolicy::read(&f.section("holding_policy")),
            },
            exits: ExitStage::read(&f.section("exits")),
            postprocess: Postprocess {
                steps: f.section("postprocess").sections("steps").iter().filter_map(Step::read).collect(),
            },
            debug: DebugConfig::read(&f.section("debug")),
        }
    }
}

impl RebalanceConfig {
    fn read(f: &Fields<'_>) -> Self {
        let freq = f.word("freq", Freq::Daily);
        let day_of_month = f.count_opt("day_of_month", 1);
        if day_of_month.is_some_and(|day| day > 31) {
            f.fault("day_of_month", "must be at most 31");
        }
        let read = Self {
            freq,
            every_n_days: f.count_opt("every_n_days", 1),
            weekday: f.word_opt("weekday"),
            day_of_month,
            allow_nontrading_shift: f.word("allow_nontrading_shift", Shift::None),
        };
        for (key, given, wanted) in [
            ("every_n_days", read.every_n_days.is_some(), Freq::EveryNDays),
            ("weekday", read.weekday.is_some(), Freq::Weekly),
            ("day_of_month", read.day_of_month.is_some(), Freq::Monthly),
        ] {
            if given && freq != wanted {
                f.fault(key, format!("goes only with freq: {}", wanted.as_str()));
            }
        }
        if freq == Freq::EveryNDays && f.value("every_n_days").is_none() {
            f.fault("every_n_days", "is required with freq: every_n_days");
        }
        let shiftable = read.weekday.is_some() || read.day_of_month.is_some();
        if read.allow_nontrading_shift != Shift::None && !shiftable {
            f.fault("allow_nontrading_shift", "goes only with weekday or day_of_month");
        }
        read
    }
}

impl UniverseStage {
    fn read(f: &Fields<'_>) -> Self {
        Self {
            source: f.word("source", UniverseSource::Signals),
            require_columns: f.texts("require_columns"),
            filters: f.sections("filters").iter().filter_map(Filter::read).collect(),
        }
    }
}

impl Filter {
    fn read(f: &Fields<'_>) -> Option<Self> {
        let filter = match f.word_required::<FilterType>("type") {
            Some(FilterType::Whitelist) => Self::Whitelist { symbols: f.texts_required("symbols") },
            Some(FilterType::Blacklist) => Self::Blacklist { symbols: f.texts_required("symbols") },
            Some(FilterType::MinPrice) => Self::MinPrice {
                column: f.word("column", PriceColumn::Close),
                value: f.number_required("value", Bounds::ANY),
            },
            Some(FilterType::MinDollarVolume) => Self::MinDollarVolume {
                lookback: f.count("lookback", 20, 1),
                value: f.number_required("value", Bounds::ANY),
            },
            Some(FilterType::MinAdv) => Self::MinAdv {
                lookback: f.count("lookback", 20, 1),
                value: f.number_required("value", Bounds::ANY),
            },
            Some(FilterType::RequireSignalColumns) => {
                Self::RequireSignalColumns { columns: f.texts_required("columns") }
            }
            Some(FilterType::NoMissingPrices) => Self::NoMissingPrices { window: f.count("window", 10, 1) },
            Some(FilterType::MaxVolatility) => Self::MaxVolatility {
                column: f.word("column", ReturnsColumn::Close),
                lookback: f.count("lookback", 20, 2),
                value: f.number_required("value", Bounds::at_least(0.0)),
            },
            Some(FilterType::ExchangeIn) => Self::ExchangeIn { values: f.texts_required("values") },
            None => {
                f.abandon();
                return None;
            }
        };
        Some(filter)
    }
}

words! {
    /// The types of [`Filter`].
    FilterType {
        /// Only these.
        Whitelist = "whitelist",
        /// All but these.
        Blacklist = "blacklist",
        /// A least price.
        MinPrice = "min_price",
        /// A least turnover.
        MinDollarVolume = "min_dollar_volume",
        /// A least volume.
        MinAdv = "min_adv",
        /// Signals.
        RequireSignalColumns = "require_signal_columns",
        /// Bars.
        NoMissingPrices = "no_missing_prices",
        /// A largest deviation.
        MaxVolatility = "max_volatility",
        /// Exchanges.
        ExchangeIn = "exchange_in",
    }
}

impl ProviderStage {
    fn read(f: &Fields<'_>) -> Self {
        let fallback = f.section("fallback");
        let read = Self {
            provider: f.word("provider", Provider::Table),
            columns: f.texts("columns"),
            fallback: Fallback {
                enabled: fallback.flag("enabled", false),
                allowed_missing_columns: fallback.texts("allowed_missing_columns"),
            },
        };
        if read.provider != Provider::Hybrid && read.fallback != Fallback::default() {
            f.fault("fallback", "goes only with provider: hybrid");
        }
        read
    }
}

words! {
    /// The types of [`Scoring`].
    ScoringType {
        /// A column.
        Column = "column",
        /// A sum.
        WeightedSum = "weighted_sum",
        /// A maximum.
        MaxOf = "max_of",
        /// A rank.
        RankTransform = "rank_transform",
        /// A breakout.
        PriceBreakout = "price_breakout",
        /// A gap.
        EpisodicPivotHeuristic = "episodic_pivot_heuristic",
    }
}

impl Scoring {
    fn read(f: &Fields<'_>) -> Self {
        match f.word_required::<ScoringType>("type") {
            Some(ScoringType::Column) => Self::Column {
                column: f.text_required("column"),
                higher_is_better: f.flag("higher_is_better", true),
                fillna: f.word("fillna", FillNa::Drop),
            },
            Some(ScoringType::WeightedSum) => Self::WeightedSum {
                terms: non_empty(f, "terms", |t| Term {
                    column: t.text_required("column"),
                    weight: t.number("weight", 1.0, Bounds::ANY),
                }),
                normalize: f.word("normalize", ScoreNormalize::None),
                fillna: f.word("fillna", FillNa::Drop),
            },
            Some(ScoringType::MaxOf) => Self::MaxOf {
                scores: non_empty(f, "scores", |s| MaxOfPart {
                    kind: s.word("type", MaxOfKind::Column),
                    column: s.text_required("column"),
                }),
                fillna: f.word("fillna", FillNa::Drop),
            },
            Some(ScoringType::RankTransform) => Self::RankTransform {
                base: Box::new(Self::read(&f.section("base"))),
                method: f.word("method", RankMethod::Percentile),
                ascending: f.flag("ascending", false),
            },
            Some(ScoringType::PriceBreakout) => Self::PriceBreakout {
                lookback: f.count("lookback", 20, 1),
                mode: f.word("mode", BreakoutMode::Breakout),
                scale: f.word("scale", BreakoutScale::Pct),
            },
            Some(ScoringType::EpisodicPivotHeuristic) => Self::EpisodicPivotHeuristic {
                min_gap: f.number("min_gap", 0.0, Bounds::ANY),
                min_vol_ratio: f.number("min_vol_ratio", 0.0, Bounds::ANY),
            },
            None => {
                f.abandon();
                Self::PriceBreakout { lookback: 1, mode: BreakoutMode::Breakout, scale: BreakoutScale::Pct }
            }
        }
    }
}

fn non_empty<T>(f: &Fields<'_>, key: &'static str, read: impl Fn(&Fields<'_>) -> T) -> Vec<T> {
    let items: Vec<T> = f.sections(key).iter().map(read).collect();
    if items.is_empty() {
        f.fault(key, "must be a non-empty list");
    }
    items
}

words! {
    /// The types of [`Selection`].
    SelectionType {
        /// The best.
        TopN = "topn",
        /// Both ends.
        LongShortTopN = "long_short_topn",
        /// By score.
        Threshold = "threshold",
        /// By quantile.
        Quantiles = "quantiles",
    }
}

impl Selection {
    fn read(f: &Fields<'_>) -> Self {
        let Some(kind) = f.word_required::<SelectionType>("type") else {
            f.abandon();
            return Self::Threshold { long_if_gte: None, short_if_lte: None, allow_short: false };
        };
        let o = f.section(kind.as_str());
        match kind {
            SelectionType::TopN => Self::TopN(TopNSelection {
                n: o.count_required("n", 1),
                side: o.word("side", Side::Long),
                min_score: o.number_or_off("min_score", Some(0.0), Bounds::ANY),
                higher_is_better: o.flag("higher_is_better", true),
            }),
            SelectionType::LongShortTopN => Self::LongShortTopN(LongShortSelection {
                long_n: o.count("long_n", 0, 0),
                short_n: o.count("short_n", 0, 0),
                min_abs_score: o.number("min_abs_score", 0.0, Bounds::at_least(0.0)),
                score_abs: o.flag("score_abs", true),
                allow_short: o.flag("allow_short", true),
                long_if_high: o.flag("long_if_high", true),
            }),
            SelectionType::Threshold => {
                let long_if_gte = o.number_opt("long_if_gte", Bounds::ANY);
                let short_if_lte = o.number_opt("short_if_lte", Bounds::ANY);
                if o.value("long_if_gte").is_none() && o.value("short_if_lte").is_none() {
                    f.fault("threshold", "needs long_if_gte or short_if_lte");
                }
                Self::Threshold { long_if_gte, short_if_lte, allow_short: o.flag("allow_short", true) }
            }
            SelectionType::Quantiles => {
                let long_q = o.number("long_q", 0.8, Bounds::between(0.0, 1.0));
                let short_q = o.number("short_q", 0.2, Bounds::between(0.0, 1.0));
                if short_q >= long_q {
                    o.fault("short_q", format!("must be below long_q ({long_q}), got {short_q}"));
                }
                Self::Quantiles { long_q, short_q, allow_short: o.flag("allow_short", true) }
            }
        }
    }
}

words! {
    /// The types of [`HoldingPolicy`].
    PolicyType {
        /// Replaced.
        ReplaceAll = "replace_all",
        /// Kept near the top.
        Sticky = "sticky",
        /// Kept for a while.
        GracePeriod = "grace_period",
        /// Shrunk.
        Decay = "decay",
        /// Two policies.
        Hybrid = "hybrid",
    }
}

impl HoldingPolicy {
    fn read(f: &Fields<'_>) -> Self {
        let kind = f.word("type", PolicyType::ReplaceAll);
        if kind != PolicyType::Hybrid {
            return Self::read_part(f, kind);
        }
        // The parts of a hybrid are named in its section and take their options from the sections beside it.
        let hybrid = f.section("hybrid");
        let part = |key, default| match hybrid.word(key, default) {
            PolicyType::Hybrid => {
                hybrid.fault(key, "a hybrid cannot be a part of a hybrid");
                default
            }
            kind => kind,
        };
        let base = part("base", PolicyType::ReplaceAll);
        let overlay = part("overlay", PolicyType::GracePeriod);
        Self::Hybrid {
            base: Box::new(Self::read_part(f, base)),
            overlay: Box::new(Self::read_part(f, overlay)),
        }
    }

    fn read_part(f: &Fields<'_>, kind: PolicyType) -> Self {
        let o = f.section(kind.as_str());
        match kind {
            PolicyType::Sticky => Self::Sticky(Sticky {
                keep_if_rank_within_multiple: o.number("keep_if_rank_within_multiple", 2.0, Bounds::POSITIVE),
                keep_min_abs_score: o.number("keep_min_abs_score", 0.0, Bounds::at_least(0.0)),
                reentry_cooldown_days: o.count("reentry_cooldown_days", 0, 0),
            }),
            PolicyType::GracePeriod => Self::GracePeriod(GracePeriod {
                min_hold_days: o.count("min_hold_days", 3, 0),
                exit_only_on_risk: o.flag("exit_only_on_risk", true),
            }),
            PolicyType::Decay => Self::Decay(Decay {
                dropped_scale: o.number("dropped_scale", 0.5, Bounds::between(0.0, 1.0)),
                decay_days: o.count("decay_days", 5, 1),
            }),
            PolicyType::ReplaceAll | PolicyType::Hybrid => Self::ReplaceAll(ReplaceAll {
                exit_if_not_selected: o.flag("exit_if_not_selected", true),
                refresh_held_scores: o.flag("refresh_held_scores", false),
                refresh_mode: o.word("refresh_mode", RefreshMode::AbsSigned),
            }),
        }
    }

    fn kind(&self) -> PolicyType {
        match self {
            Self::ReplaceAll(_) => PolicyType::ReplaceAll,
            Self::Sticky(_) => PolicyType::Sticky,
            Self::GracePeriod(_) => PolicyType::GracePeriod,
            Self::Decay(_) => PolicyType::Decay,
            Self::Hybrid { .. } => PolicyType::Hybrid,
        }
    }

    fn write_options<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let key = self.kind().as_str();
        match self {
            Self::ReplaceAll(o) => map.serialize_entry(key, o),
            Self::Sticky(o) => map.serialize_entry(key, o),
            Self::GracePeriod(o) => map.serialize_entry(key, o),
            Self::Decay(o) => map.serialize_entry(key, o),
            Self::Hybrid { base, overlay } => {
                let parts = serde_json::json!({ "base": base.kind(), "overlay": overlay.kind() });
                map.serialize_entry(key, &parts)?;
                base.write_options(map)?;
                if overlay.kind() == base.kind() { Ok(()) } else { overlay.write_options(map) }
            }
        }
    }
}

impl Serialize for HoldingPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &self.kind())?;
        self.write_options(&mut map)?;
        map.end()
    }
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, options) = match self {
            Self::TopN(o) => (SelectionType::TopN, serde_json::json!(o)),
            Self::LongShortTopN(o) => (SelectionType::LongShortTopN, serde_json::json!(o)),
            Self::Threshold { long_if_gte, short_if_lte, allow_short } => (
                SelectionType::Threshold,
                serde_json::json!({
                    "long_if_gte": long_if_gte, "short_if_lte": short_if_lte, "allow_short": allow_short,
                }),
            ),
            Self::Quantiles { long_q, short_q, allow_short } => (
                SelectionType::Quantiles,
                serde_json::json!({ "long_q": long_q, "short_q": short_q, "allow_short": allow_short }),
            ),
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", &kind)?;
        map.serialize_entry(kind.as_str(), &options)?;
        map.end()
    }
}

impl ExitStage {
    fn read(f: &Fields<'_>) -> Self {
        Self {
            precedence: f.word("precedence", Precedence::ExitOverScale),
            rules: f.sections("rules").iter().filter_map(ExitRule::read).collect(),
        }
    }
}

words! {
    /// The types of [`ExitRule`].
    ExitRuleType {
        /// A mean.
        TrailingMa = "trailing_ma",
        /// A loss.
        StopLoss = "stop_loss",
        /// A gain.
        TakeProfit = "take_profit",
        /// A loss from the best.
        TrailingStop = "trailing_stop",
        /// A time.
        TimeStop = "time_stop",
        /// A cut.
        PartialExitAfterDays = "partial_exit_after_days",
    }
}

impl ExitRule {
    fn read(f: &Fields<'_>) -> Option<Self> {
        let rule = match f.word_required::<ExitRuleType>("type") {
            Some(ExitRuleType::TrailingMa) => Self::TrailingMa {
                days: f.count_required("days", 1),
                price_col: f.word("price_col", PriceColumn::Close),
                side_aware: f.flag("side_aware", true),
            },
            Some(ExitRuleType::StopLoss) => Self::StopLoss {
                pct: f.number_required("pct", Bounds::PART),
                use_intraday_extremes: f.flag("use_intraday_extremes", true),
            },
            Some(ExitRuleType::TakeProfit) => {
                Self::TakeProfit { pct: f.number_required("pct", Bounds::POSITIVE) }
            }
            Some(ExitRuleType::TrailingStop) => Self::TrailingStop {
                pct: f.number_required("pct", Bounds::PART),
                uses_hwm_lwm: f.flag("uses_hwm_lwm", true),
            },
            Some(ExitRuleType::TimeStop) => Self::TimeStop { days: f.count_required("days", 1) },
            Some(ExitRuleType::PartialExitAfterDays) => Self::PartialExitAfterDays {
                days: f.count_required("days", 1),
                fraction: f.number("fraction", 0.5, Bounds::SHARE),
                once: f.flag("once", true),
            },
            None => {
                f.abandon();
                return None;
            }
        };
        Some(rule)
    }
}

words! {
    /// The types of [`Step`].
    StepType {
        /// A cut-off.
        Clamp = "clamp",
        /// A rescaling.
        Normalize = "normalize",
        /// A mix.
        StickyScores = "sticky_scores",
        /// A least number.
        EnforceMinCandidates = "enforce_min_candidates",
    }
}

impl Step {
    fn read(f: &Fields<'_>) -> Option<Self> {
        let step = match f.word_required::<StepType>("type") {
            Some(StepType::Clamp) => {
                let min = f.number_opt("min", Bounds::ANY);
                let max = f.number_opt("max", Bounds::ANY);
                if let (Some(min), Some(max)) = (min, max)
                    && min > max
                {
                    f.fault("min", format!("must be at most max ({max}), got {min}"));
                }
                Self::Clamp { min, max }
            }
            Some(StepType::Normalize) => Self::Normalize { method: f.word("method", StepNormalize::Zscore) },
            Some(StepType::StickyScores) => {
                Self::StickyScores { alpha: f.number("alpha", 0.7, Bounds::between(0.0, 1.0)) }
            }
            Some(StepType::EnforceMinCandidates) => Self::EnforceMinCandidates {
                min_total: f.count_required("min_total", 1),
                action: f.word("action", TooFew::SkipRebalance),
            },
            None => {
                f.abandon();
                return None;
            }
        };
        Some(step)
    }
}

impl DebugConfig {
    fn read(f: &Fields<'_>) -> Self {
        Self {
            record_intermediates: f.flag("record_intermediates", false),
            record_reasons: f.flag("record_reasons", false),
        }
    }
}
