//! What a symbol is worth today: numbers from columns and prices, combined and ranked. A score is one cell per
//! symbol, NaN where there is none.

use super::super::View;
use super::columns::{Column, PastPrices, breakout};
use super::stats::{average_ranks, deviation, mean, z_score};
use crate::engine::RunError;
use crate::engine::config::{
    BreakoutMode, BreakoutScale, FillNa, ProviderStage, RankMethod, ScoreNormalize, Scoring,
};
use crate::engine::market::{Market, SymbolId};

/// A score, ready to be computed bar by bar.
#[derive(Debug)]
pub(super) enum Scorer {
    Column { part: Part, sign: f64 },
    WeightedSum { terms: Vec<(Part, f64)>, normalize: ScoreNormalize },
    MaxOf { parts: Vec<(Part, f64)> },
    Rank { base: Box<Scorer>, method: RankMethod, ascending: bool },
    Breakout { past: PastPrices, mode: BreakoutMode, scale: BreakoutScale },
    EpisodicPivot { gap: Part, ratio: Part, min_gap: f64, min_ratio: f64 },
}

/// A column with its missing values filled in.
#[derive(Debug)]
pub(super) struct Part {
    column: Column,
    fillna: FillNa,
    row: Vec<f64>,
}

impl Part {
    fn new(name: &str, fillna: FillNa, provider: &ProviderStage, market: &Market) -> Result<Self, RunError> {
        let row = vec![f64::NAN; market.symbols().len()];
        Ok(Self { column: Column::new(name, provider, market)?, fillna, row })
    }

    /// Today's numbers of the eligible symbols.
    fn today(&mut self, view: &View<'_>, eligible: &[SymbolId]) -> &[f64] {
        let values = self.column.today(view, eligible);
        for &symbol in eligible {
            self.row[symbol.index()] = values.get(symbol.index()).copied().unwrap_or(f64::NAN);
        }
        let filler = match self.fillna {
            FillNa::Drop => return &self.row,
            FillNa::Zero => 0.0,
            FillNa::Mean => mean(&self.row, eligible),
        };
        for &symbol in eligible {
            let cell = &mut self.row[symbol.index()];
            if cell.is_nan() {
                *cell = filler;
            }
        }
        &self.row
    }
}

impl Scorer {
    /// # Errors
    /// If a column is missing.
    pub(super) fn new(config: &Scoring, provider: &ProviderStage, market: &Market) -> Result<Self, RunError> {
        let part = |name: &str, fillna| Part::new(name, fillna, provider, market);
        let one_of = |names: &[&str]| {
            let found = names.iter().find_map(|name| part(name, FillNa::Drop).ok());
            found.ok_or_else(|| RunError::Data(format!("the signals have none of {}", names.join(", "))))
        };
        Ok(match config {
            Scoring::Column { column, higher_is_better, fillna } => Self::Column {
                part: part(column, *fillna)?,
                sign: if *higher_is_better { 1.0 } else { -1.0 },
            },
            Scoring::WeightedSum { terms, normalize, fillna } => Self::WeightedSum {
                terms: terms
                    .iter()
                    .map(|term| Ok((part(&term.column, *fillna)?, term.weight)))
                    .collect::<Result<_, RunError>>()?,
                normalize: *normalize,
            },
            Scoring::MaxOf { scores, fillna } => Self::MaxOf {
                parts: scores
                    .iter()
                    .map(|score| {
                        let (column, sign, own) = score.parts();
                        Ok((part(column, own.unwrap_or(*fillna))?, sign))
                    })
                    .collect::<Result<_, RunError>>()?,
            },
            Scoring::RankTransform { base, method, ascending } => Self::Rank {
                base: Box::new(Self::new(base, provider, market)?),
                method: *method,
                ascending: *ascending,
            },
            Scoring::PriceBreakout { lookback, mode, price_col, scale } => Self::Breakout {
                past: PastPrices {
                    price: market
                        .price_field(price_col)
                        .map_err(|lack| RunError::Data(format!("price_breakout: {lack}")))?,
                    bars: *lookback,
                },
                mode: *mode,
                scale: *scale,
            },
            Scoring::EpisodicPivotHeuristic { inputs, params } => {
                let (gaps, ratios) = inputs.names();
                Self::EpisodicPivot {
                    gap: one_of(&gaps)?,
                    ratio: one_of(&ratios)?,
                    min_gap: params.min_gap,
                    min_ratio: params.min_vol_ratio,
                }
            }
        })
    }

    /// Sets the cells of `eligible` in `scores`.
    pub(super) fn score(&mut self, view: &View<'_>, eligible: &[SymbolId], scores: &mut [f64]) {
        match self {
            Self::Column { part, sign } => {
                let row = part.today(view, eligible);
                for symbol in eligible {
                    scores[symbol.index()] = *sign * row[symbol.index()];
                }
            }
            Self::WeightedSum { terms, normalize } => {
                for symbol in eligible {
                    scores[symbol.index()] = 0.0;
                }
                for (part, weight) in terms {
                    let row = part.today(view, eligible);
                    for symbol in eligible {
                        scores[symbol.index()] += *weight * row[symbol.index()];
                    }
                }
                normalize_scores(*normalize, eligible, scores);
            }
            Self::MaxOf { parts } => {
                for symbol in eligible {
                    scores[symbol.index()] = f64::NAN;
                }
                for (part, sign) in parts {
                    let row = part.today(view, eligible);
                    for symbol in eligible {
                        let (best, one) = (&mut scores[symbol.index()], *sign * row[symbol.index()]);
                        if best.is_nan() || one.abs() > best.abs() {
                            *best = one;
                        }
                    }
                }
            }
            Self::Rank { base, method, ascending } => {
                base.score(view, eligible, scores);
                rank(*method, *ascending, eligible, scores);
            }
            Self::Breakout { past, mode, scale } => {
                for &symbol in eligible {
                    scores[symbol.index()] = breakout(view, symbol, past, *mode, *scale);
                }
            }
            Self::EpisodicPivot { gap, ratio, min_gap, min_ratio } => {
                let (gaps, ratios) = (gap.today(view, eligible), ratio.today(view, eligible));
                for symbol in eligible {
                    let (gap, ratio) = (gaps[symbol.index()], ratios[symbol.index()]);
                    let large = gap >= *min_gap && ratio >= *min_ratio;
                    scores[symbol.index()] = if large { gap + 0.5 * ratio } else { f64::NAN };
                }
            }
        }
    }
}

fn normalize_scores(how: ScoreNormalize, eligible: &[SymbolId], scores: &mut [f64]) {
    match how {
        ScoreNormalize::None => (),
        ScoreNormalize::Zscore => {
            let (mean, deviation) = (mean(scores, eligible), deviation(scores, eligible));
            for symbol in eligible {
                let score = &mut scores[symbol.index()];
                *score = z_score(*score, mean, deviation);
            }
        }
        ScoreNormalize::RankPercentile => rank(RankMethod::Percentile, true, eligible, scores),
    }
}

fn rank(method: RankMethod, ascending: bool, eligible: &[SymbolId], scores: &mut [f64]) {
    let sign = if ascending { 1.0 } else { -1.0 };
    for symbol in eligible {
        scores[symbol.index()] *= sign;
    }
    match method {
        RankMethod::Percentile => {
            let n = average_ranks(scores, eligible);
            for symbol in eligible {
                scores[symbol.index()] /= n as f64;
            }
        }
        RankMethod::DenseRank => super::stats::dense_ranks(scores, eligible),
    }
}
