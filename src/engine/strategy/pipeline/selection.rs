//! Who is selected: scores become an ordered map of longs (positive) and shorts (negative).

use super::super::ranking::Ranker;
use super::stats::quantile;
use crate::engine::config::{LongShortSelection, Selection, Side, TopNSelection};
use crate::engine::market::SymbolId;
use crate::engine::symbols::SymbolMap;

/// The selection of a pipeline.
#[derive(Debug)]
pub(super) struct Selector {
    config: Selection,
    ranker: Ranker,
}

impl Selector {
    pub(super) fn new(config: &Selection, n_symbols: usize) -> Self {
        Self { config: config.clone(), ranker: Ranker::new(n_symbols) }
    }

    /// Fills the empty `selected` from `pool`, the symbols with a score in alphabetical order, which it may
    /// reorder.
    pub(super) fn select(&mut self, scores: &[f64], pool: &mut Vec<SymbolId>, selected: &mut SymbolMap) {
        match &self.config {
            Selection::TopN(config) => top_n(config, scores, pool, &mut self.ranker, selected),
            Selection::LongShortTopN(config) => {
                long_short_top_n(config, scores, pool, &mut self.ranker, selected);
            }
            Selection::Threshold(config) => {
                let long = config.long_if_gte.unwrap_or(f64::INFINITY);
                let short = config.short_if_lte.filter(|_| config.allow_short).unwrap_or(f64::NEG_INFINITY);
                beyond(scores, pool, long, short, selected);
            }
            Selection::Quantiles(config) => {
                let long = quantile(scores, pool, config.long_q);
                let short = match config.allow_short {
                    true => quantile(scores, pool, config.short_q),
                    false => f64::NEG_INFINITY,
                };
                beyond(scores, pool, long, short, selected);
            }
        }
    }
}

/// Longs from `long` up, otherwise shorts from `short` down, in alphabetical order.
fn beyond(scores: &[f64], pool: &[SymbolId], long: f64, short: f64, selected: &mut SymbolMap) {
    for &symbol in pool {
        let score = scores[symbol.index()];
        if score >= long {
            selected.insert(symbol, score.abs());
        } else if score <= short {
            selected.insert(symbol, -score.abs());
        }
    }
}

fn top_n(
    config: &TopNSelection,
    scores: &[f64],
    pool: &mut Vec<SymbolId>,
    ranker: &mut Ranker,
    selected: &mut SymbolMap,
) {
    let is_long = config.side == Side::Long;
    if let Some(least) = config.min_score {
        pool.retain(|symbol| {
            let score = scores[symbol.index()];
            // A short below 0 is not a threshold.
            if is_long { score >= least } else { least < 0.0 || score <= -least }
        });
    }
    // The best short is the lowest score, unless low scores are the better ones.
    let highest_first = config.higher_is_better == is_long;
    for &symbol in ranker.split(pool, scores, highest_first, config.n as usize).0 {
        let score = scores[symbol.index()];
        selected.insert(symbol, if is_long { score } else { -score.abs() });
    }
}

/// With both signs among the scores, positive ones go long and negative ones short; otherwise the highest go
/// long and the lowest short.
fn long_short_top_n(
    config: &LongShortSelection,
    scores: &[f64],
    pool: &mut Vec<SymbolId>,
    ranker: &mut Ranker,
    selected: &mut SymbolMap,
) {
    pool.retain(|symbol| scores[symbol.index()].abs() >= config.min_abs_score);
    let both_signs = pool.iter().any(|symbol| scores[symbol.index()] > 0.0)
        && pool.iter().any(|symbol| scores[symbol.index()] < 0.0);
    let signed = both_signs && config.allow_short;
    // How many may go to a side at most.
    let room = |n: u32, high: bool| {
        let of_side =
            |symbol: &&SymbolId| (scores[symbol.index()] > 0.0) == high && scores[symbol.index()] != 0.0;
        if signed { (n as usize).min(pool.iter().filter(of_side).count()) } else { n as usize }
    };
    let n_long = room(config.long_n, config.long_if_high);
    let n_short = if config.allow_short { room(config.short_n, !config.long_if_high) } else { 0 };
    let magnitude = |symbol: SymbolId| scores[symbol.index()].abs();

    let (longs, others) = ranker.split(pool, scores, config.long_if_high, n_long);
    for &symbol in longs {
        selected.insert(symbol, magnitude(symbol));
    }
    let (shorts, _) = ranker.split(others, scores, !config.long_if_high, n_short);
    for &symbol in shorts {
        selected.insert(symbol, -magnitude(symbol));
    }
}
