//! What a symbol is worth to a configured strategy.

use crate::engine::config::needs::Needs;
use crate::engine::config::options::{
    Bounds, Choice, Kind, Scalar as _, Section as _, choices, count_or_less, flag, number, options, section,
    sections, text, variants, word, words,
};
use crate::engine::config::price_column::{PriceColumn, price_column};
use crate::engine::config::reader::Fields;
use crate::engine::config::schema::ObjectSchema;
use crate::engine::config::{GAP_COLUMNS, VOLUME_RATIO_COLUMNS};

variants! {
    /// What a symbol is worth.
    Scoring {
        /// A column as it is.
        Column = "column" {
            /// Its name.
            column: String = text().required(),
            /// Whether the highest value is the best; otherwise the sign turns.
            higher_is_better: bool = flag().or(true),
            /// What a missing value is.
            fillna: FillNa = word().or(FillNa::Drop),
        },
        /// A sum of columns times weights.
        WeightedSum = "weighted_sum" {
            /// The summands; at least one.
            terms: Vec<Term> = sections(),
            /// What is done to the sums.
            normalize: ScoreNormalize = word().or(ScoreNormalize::None),
            /// What a missing value is.
            fillna: FillNa = word().or(FillNa::Drop),
        },
        /// The largest in magnitude of several columns; the first wins a tie.
        MaxOf = "max_of" {
            /// The columns; at least one.
            scores: Vec<MaxOfPart> = choices().at_least_one(),
            /// What a missing value is.
            fillna: FillNa = word().or(FillNa::Drop),
        },
        /// The rank of another score.
        RankTransform = "rank_transform" {
            /// That score.
            base: Box<Scoring> = Base,
            /// How ranks are counted.
            method: RankMethod = word().or(RankMethod::Percentile),
            /// Whether the lowest score has the lowest rank.
            ascending: bool = flag().or(false),
        },
        /// How far today's price is beyond the prices before it.
        PriceBreakout = "price_breakout" {
            /// Bars before today, at least 2; fewer count as 2.
            lookback: u32 = BreakoutBars,
            /// Beyond the highest or the lowest.
            mode: BreakoutMode = word().or(BreakoutMode::Breakout),
            /// The price that is compared with its own past.
            price_col: PriceColumn = price_column().or(PriceColumn::Close),
            /// As a fraction of that price, or in money.
            scale: BreakoutScale = word().or(BreakoutScale::Pct),
        },
        /// Gap plus half the volume ratio, where both are large enough.
        EpisodicPivotHeuristic = "episodic_pivot_heuristic" {
            /// Its columns.
            inputs: PivotInputs = section(),
            /// What they must reach.
            params: PivotParams = PivotFloors,
        },
    }
}

options! {
    /// A summand of [`Scoring::WeightedSum`].
    Term {
        /// Column name.
        column: String = text().required(),
        /// What it is multiplied with.
        weight: f64 = number(Bounds::ANY).or(1.0),
    }
}

options! {
    /// Columns of [`Scoring::EpisodicPivotHeuristic`].
    PivotInputs {
        /// The opening gap. `None`: `gap_pct` or another of its usual names.
        gap_col: Option<String> = text().off(),
        /// Volume over its mean. `None`: `vol_ratio` or another of its usual names.
        vol_ratio_col: Option<String> = text().off(),
    }
}

options! {
    /// Least values of [`Scoring::EpisodicPivotHeuristic`].
    PivotParams {
        /// Least gap.
        min_gap: f64 = number(Bounds::ANY).or(0.0),
        /// Least volume ratio.
        min_vol_ratio: f64 = number(Bounds::ANY).or(0.0),
    }
}

/// The floors of a pivot: a section of their own, or, as this product spelled them once, beside the type.
struct PivotFloors;

impl Kind for PivotFloors {
    type Value = PivotParams;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> PivotParams {
        let beside = ["min_gap", "min_vol_ratio"].map(|floor| f.value(floor).map(|_| floor));
        let Some(older) = beside.into_iter().flatten().next() else { return section().read(f, key) };
        if f.value(key).is_some() {
            f.fault(older, format!("is an older spelling of {key}.{older}: give one of them"));
        } else {
            f.note(older, "counts; the reference implementation reads it below params alone");
        }
        PivotParams::read(f)
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        section::<PivotParams>().describe(key, doc, object);
        PivotParams::describe(object);
    }
}

/// A look-back of two bars at least.
struct BreakoutBars;

impl Kind for BreakoutBars {
    type Value = u32;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> u32 {
        let bars = count_or_less(0).or(20_u32).read(f, key);
        if bars < 2 {
            f.note(key, "is below 2 and counts as 2");
        }
        bars.max(2)
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        count_or_less(0).or(20_u32).describe(key, doc, object);
    }
}

variants! {
    /// A part of [`Scoring::MaxOf`].
    MaxOfPart by default "column" {
        /// A column as it is.
        Column = "column" {
            /// Column name.
            column: String = text().required(),
            /// Whether the highest value is the best; otherwise the sign turns.
            higher_is_better: bool = flag().or(true),
            /// What a missing value is. `None`: as for the whole.
            fillna: Option<FillNa> = word().off(),
        },
        /// A column with its sign turned.
        NegateColumn = "negate_column" {
            /// Column name.
            column: String = text().required(),
            /// What a missing value is. `None`: as for the whole.
            fillna: Option<FillNa> = word().off(),
        },
    }
}

impl MaxOfPart {
    /// Its column, the sign that it takes, and what a missing value is where that is said.
    pub(crate) fn parts(&self) -> (&str, f64, Option<FillNa>) {
        match self {
            Self::Column { column, higher_is_better, fillna } => {
                (column, if *higher_is_better { 1.0 } else { -1.0 }, *fillna)
            }
            Self::NegateColumn { column, fillna } => (column, -1.0, *fillna),
        }
    }
}

words! {
    /// What a missing value is.
    FillNa {
        /// The symbol has no score.
        Drop = "drop",
        /// Counts as a score of 0.
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

/// The stage, which must be there.
pub(super) struct ScoringStage;

impl Kind for ScoringStage {
    type Value = Scoring;

    /// A fault reads as a score that needs no column.
    fn read(&self, f: &Fields<'_>, key: &'static str) -> Scoring {
        Scoring::read(&f.section(key)).unwrap_or(Scoring::PriceBreakout {
            lookback: 2,
            mode: BreakoutMode::Breakout,
            price_col: PriceColumn::Close,
            scale: BreakoutScale::Pct,
        })
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let schema = Scoring::schema(object.definitions);
        object.property(key, doc, schema);
        object.require(key);
    }
}

/// A score that another one is made of.
struct Base;

impl Kind for Base {
    type Value = Box<Scoring>;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Box<Scoring> {
        Box::new(ScoringStage.read(f, key))
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        ScoringStage.describe(key, doc, object);
    }
}

impl Scoring {
    /// What it needs; `tabled`: whether columns come from a table.
    pub(super) fn needs(&self, tabled: bool, needs: &mut Needs) {
        if tabled {
            self.columns().iter().for_each(|column| needs.signal(column));
        }
        self.needs_prices(needs);
    }

    fn needs_prices(&self, needs: &mut Needs) {
        match self {
            Self::PriceBreakout { lookback, price_col, .. } => {
                needs.bars(*lookback as usize);
                price_col.needs(needs);
            }
            Self::RankTransform { base, .. } => base.needs_prices(needs),
            Self::Column { .. }
            | Self::WeightedSum { .. }
            | Self::MaxOf { .. }
            | Self::EpisodicPivotHeuristic { .. } => {}
        }
    }

    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        match self {
            Self::MaxOf { scores, fillna } => {
                if *fillna != FillNa::Drop && scores.iter().all(|score| score.parts().2.is_some()) {
                    found.push(format!("{path}.fillna has no effect: every part has its own"));
                }
            }
            Self::WeightedSum { terms, .. } => {
                for (i, _) in terms.iter().enumerate().filter(|(_, term)| term.weight == 0.0) {
                    found.push(format!(
                        "{path}.terms[{i}] has no weight, but symbols without its column may drop out"
                    ));
                }
            }
            Self::RankTransform { base, .. } => base.without_effect(&format!("{path}.base"), found),
            Self::Column { .. } | Self::PriceBreakout { .. } | Self::EpisodicPivotHeuristic { .. } => {}
        }
    }

    /// The columns that it looks at.
    pub(super) fn columns(&self) -> Vec<&str> {
        match self {
            Self::Column { column, .. } => vec![column],
            Self::WeightedSum { terms, .. } => terms.iter().map(|term| term.column.as_str()).collect(),
            Self::MaxOf { scores, .. } => scores.iter().map(|score| score.parts().0).collect(),
            Self::RankTransform { base, .. } => base.columns(),
            Self::PriceBreakout { .. } => Vec::new(),
            Self::EpisodicPivotHeuristic { inputs, .. } => {
                let (gaps, ratios) = inputs.names();
                gaps.into_iter().chain(ratios).collect()
            }
        }
    }
}

impl PivotInputs {
    /// Names of the gap and of the volume ratio, of each of which the first that there is counts.
    pub(crate) fn names(&self) -> (Vec<&str>, Vec<&str>) {
        let gaps = self.gap_col.as_deref().map_or_else(|| GAP_COLUMNS.to_vec(), |column| vec![column]);
        let ratios = self
            .vol_ratio_col
            .as_deref()
            .map_or_else(|| VOLUME_RATIO_COLUMNS.to_vec(), |column| vec![column]);
        (gaps, ratios)
    }
}
