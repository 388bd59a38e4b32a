//! What a symbol is worth to a configured strategy.

use crate::engine::config::needs::Needs;
use crate::engine::config::options::{
    Bounds, Choice, Kind, Scalar as _, count, flag, number, options, sections, text, variants, word, words,
};
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
            scores: Vec<MaxOfPart> = sections(),
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
        /// How far today's close is beyond the closes before it.
        PriceBreakout = "price_breakout" {
            /// Closes before today.
            lookback: u32 = count(1).or(20_u32),
            /// Beyond the highest or the lowest.
            mode: BreakoutMode = word().or(BreakoutMode::Breakout),
            /// As a fraction of that close, or in money.
            scale: BreakoutScale = word().or(BreakoutScale::Pct),
        },
        /// Gap plus half the volume ratio, where both are large enough.
        EpisodicPivotHeuristic = "episodic_pivot_heuristic" {
            /// Least gap.
            min_gap: f64 = number(Bounds::ANY).or(0.0),
            /// Least volume ratio.
            min_vol_ratio: f64 = number(Bounds::ANY).or(0.0),
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
    /// A part of [`Scoring::MaxOf`].
    MaxOfPart {
        /// Whether the sign turns.
        kind as "type": MaxOfKind = word().or(MaxOfKind::Column),
        /// Column name.
        column: String = text().required(),
    }
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

/// The stage, which must be there.
pub(super) struct ScoringStage;

impl Kind for ScoringStage {
    type Value = Scoring;

    /// A fault reads as a score that needs no column.
    fn read(&self, f: &Fields<'_>, key: &'static str) -> Scoring {
        Scoring::read(&f.section(key)).unwrap_or(Scoring::PriceBreakout {
            lookback: 1,
            mode: BreakoutMode::Breakout,
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
        needs.bars(self.lookback());
    }

    fn lookback(&self) -> usize {
        match self {
            Self::PriceBreakout { lookback, .. } => *lookback as usize,
            Self::RankTransform { base, .. } => base.lookback(),
            Self::Column { .. }
            | Self::WeightedSum { .. }
            | Self::MaxOf { .. }
            | Self::EpisodicPivotHeuristic { .. } => 0,
        }
    }

    /// The columns that it looks at.
    pub(super) fn columns(&self) -> Vec<&str> {
        match self {
            Self::Column { column, .. } => vec![column],
            Self::WeightedSum { terms, .. } => terms.iter().map(|term| term.column.as_str()).collect(),
            Self::MaxOf { scores, .. } => scores.iter().map(|score| score.column.as_str()).collect(),
            Self::RankTransform { base, .. } => base.columns(),
            Self::PriceBreakout { .. } => Vec::new(),
            Self::EpisodicPivotHeuristic { .. } => {
                GAP_COLUMNS.iter().chain(&VOLUME_RATIO_COLUMNS).copied().collect()
            }
        }
    }
}
