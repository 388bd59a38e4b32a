//! Cross-sectional statistics: over the eligible symbols that have a number.

use super::super::ranking::compare;
use crate::engine::market::SymbolId;
use crate::engine::rounding::EQUAL;

fn numbers<'a>(row: &'a [f64], eligible: &'a [SymbolId]) -> impl Iterator<Item = f64> + Clone + 'a {
    eligible.iter().map(|symbol| row[symbol.index()]).filter(|number| !number.is_nan())
}

/// Arithmetic mean; NaN if there is no number.
pub(super) fn mean(row: &[f64], eligible: &[SymbolId]) -> f64 {
    let numbers = numbers(row, eligible);
    numbers.clone().sum::<f64>() / numbers.count() as f64
}

/// Population standard deviation, 0 where all are equal on paper; NaN if there is no number.
pub(super) fn deviation(row: &[f64], eligible: &[SymbolId]) -> f64 {
    let mean = mean(row, eligible);
    let numbers = numbers(row, eligible);
    let squares: f64 = numbers.clone().map(|number| (number - mean) * (number - mean)).sum();
    let largest = numbers.clone().map(f64::abs).fold(0.0, f64::max);
    let deviation = (squares / numbers.count() as f64).sqrt();
    if deviation <= EQUAL * largest { 0.0 } else { deviation }
}

/// A number as deviations from the mean. Where all are equal no symbol stands out, nor does one that equals the mean on
/// paper; no number stays none.
pub(super) fn z_score(number: f64, mean: f64, deviation: f64) -> f64 {
    let z = if deviation == 0.0 { 0.0 * number } else { (number - mean) / deviation };
    if z.abs() < EQUAL { 0.0 } else { z }
}

/// Quantile with linear interpolation; NaN if there is no number.
pub(super) fn quantile(row: &[f64], eligible: &[SymbolId], q: f64) -> f64 {
    let mut sorted: Vec<f64> = numbers(row, eligible).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = q * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

/// Symbols with a number, lowest first.
fn sorted(row: &[f64], eligible: &[SymbolId]) -> Vec<SymbolId> {
    let mut order: Vec<_> = eligible.iter().copied().filter(|s| !row[s.index()].is_nan()).collect();
    order.sort_unstable_by(|a, b| compare(row[a.index()], row[b.index()]).then(a.cmp(b)));
    order
}

/// Replaces numbers by their ranks from 1, lowest first; equal numbers share the mean of their ranks. How many
/// there are.
pub(super) fn average_ranks(row: &mut [f64], eligible: &[SymbolId]) -> usize {
    let order = sorted(row, eligible);
    let mut start = 0;
    for tie in order.chunk_by(|a, b| row_eq(row, *a, *b)).map(<[_]>::len).collect::<Vec<_>>() {
        let shared = start as f64 + (tie as f64 + 1.0) / 2.0;
        for symbol in &order[start..start + tie] {
            row[symbol.index()] = shared;
        }
        start += tie;
    }
    order.len()
}

/// Replaces numbers by their ranks from 1, lowest first; equal numbers share a rank and the next one follows.
pub(super) fn dense_ranks(row: &mut [f64], eligible: &[SymbolId]) {
    let order = sorted(row, eligible);
    let ties: Vec<usize> = order.chunk_by(|a, b| row_eq(row, *a, *b)).map(<[_]>::len).collect();
    let mut start = 0;
    for (rank, tie) in (1_u32..).zip(ties) {
        for symbol in &order[start..start + tie] {
            row[symbol.index()] = f64::from(rank);
        }
        start += tie;
    }
}

fn row_eq(row: &[f64], a: SymbolId, b: SymbolId) -> bool {
    row[a.index()] == row[b.index()]
}
