//! What happens to scores at last, step by step.

use super::super::View;
use super::super::holding_tracker::HoldingTracker;
use super::stats::{average_ranks, deviation, mean, z_score};
use crate::engine::config::{Step, StepNormalize, TooFew};
use crate::engine::rounding::EQUAL;
use crate::engine::symbols::SymbolMap;

/// Whether enough are selected for a rebalance; if not, what is to be done and how many were asked for.
pub(super) fn too_few(steps: &[Step], selected: usize) -> Option<(TooFew, u32)> {
    let first = steps.iter().find_map(|step| match step {
        Step::EnforceMinCandidates { min_total, action } => Some((*action, *min_total)),
        Step::Clamp { .. } | Step::Normalize { .. } | Step::StickyScores { .. } => None,
    });
    first.filter(|(_, least)| selected < *least as usize)
}

/// Applies the steps to the scores of a decision. `row` is scratch, one cell per symbol.
pub(super) fn apply(
    steps: &[Step],
    view: &View<'_>,
    holdings: &HoldingTracker,
    scores: &mut SymbolMap,
    row: &mut [f64],
) {
    for step in steps {
        match step {
            Step::Clamp { min, max } => scores.update(|_, score| {
                let score = min.map_or(score, |min| score.max(min));
                max.map_or(score, |max| score.min(max))
            }),
            Step::Normalize { method } => normalize(*method, scores, row),
            Step::StickyScores { enabled: false, .. } | Step::EnforceMinCandidates { .. } => (),
            Step::StickyScores { alpha, enabled: true } => scores.update(|symbol, score| {
                let last = holdings.known_score(view, symbol);
                last.map_or(score, |last| alpha * last + (1.0 - alpha) * score)
            }),
        }
    }
}

/// Where all scores are equal they become 0, and 1 as a share of the range.
fn normalize(method: StepNormalize, scores: &mut SymbolMap, row: &mut [f64]) {
    for (symbol, score) in scores.iter() {
        row[symbol.index()] = score;
    }
    let symbols = scores.keys();
    match method {
        StepNormalize::Zscore => {
            let (mean, deviation) = (mean(row, symbols), deviation(row, symbols));
            scores.update(|_, score| z_score(score, mean, deviation));
        }
        StepNormalize::Minmax => {
            let low = scores.iter().map(|(_, score)| score).fold(f64::INFINITY, f64::min);
            let high = scores.iter().map(|(_, score)| score).fold(f64::NEG_INFINITY, f64::max);
            let equal = high - low <= EQUAL * high.abs().max(low.abs());
            scores.update(|_, score| if equal { 1.0 } else { (score - low) / (high - low) });
        }
        StepNormalize::RankPercentile => {
            let n = average_ranks(row, symbols) as f64;
            scores.update(|symbol, _| 2.0 * row[symbol.index()] / n - 1.0);
        }
    }
}
