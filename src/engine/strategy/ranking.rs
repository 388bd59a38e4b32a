//! Orders symbols by their numbers, ties by symbol. The best few of many are found without sorting the many.

use std::cmp::Ordering;

use crate::engine::market::SymbolId;

/// Order of two numbers that are not NaN; unlike the total order of floats, 0 and -0 are a tie.
pub(super) fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// Orders symbols. Number and symbol are packed into one integer per symbol, which compares several times faster
/// than looking up two numbers; the integers are scratch that is kept.
#[derive(Debug)]
pub(super) struct Ranker {
    places: Vec<u128>,
}

impl Ranker {
    pub(super) fn new(n_symbols: usize) -> Self {
        Self { places: Vec::with_capacity(n_symbols) }
    }

    /// Reorders `symbols` so that the first `n` by their numbers in `row` come first, sorted, and returns them
    /// and the others, which are not sorted at all. No number may be NaN.
    pub(super) fn split<'s>(
        &mut self,
        symbols: &'s mut [SymbolId],
        row: &[f64],
        highest_first: bool,
        n: usize,
    ) -> (&'s [SymbolId], &'s mut [SymbolId]) {
        let n = n.min(symbols.len());
        self.places.clear();
        self.places.extend(symbols.iter().map(|&symbol| place(row[symbol.index()], highest_first, symbol)));
        if 0 < n && n < symbols.len() {
            self.places.select_nth_unstable(n - 1);
        }
        self.places[..n].sort_unstable();
        for (symbol, &place) in symbols.iter_mut().zip(&self.places) {
            *symbol = SymbolId(place as u32);
        }
        let (first, others) = symbols.split_at_mut(n);
        (first, others)
    }
}

/// An integer that orders by number, in the direction asked for, and then by symbol.
fn place(number: f64, highest_first: bool, symbol: SymbolId) -> u128 {
    // Adding 0 makes one zero of two. Bits of floats order like the numbers once negative ones are turned round.
    let bits = (number + 0.0).to_bits();
    let ascending = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    let ordered = if highest_first { !ascending } else { ascending };
    u128::from(ordered) << 32 | u128::from(symbol.0)
}

#[cfg(test)]
mod tests {
    use super::{Ranker, SymbolId};

    #[test]
    fn numbers_first_then_symbols() {
        let row = [0.0, -1.5, 2.0, -0.0, f64::INFINITY, -1.5, f64::NEG_INFINITY, 1e-300];
        let first = |highest_first, n| {
            let mut symbols: Vec<_> = (0..row.len() as u32).rev().map(SymbolId).collect();
            let mut ranker = Ranker::new(row.len());
            ranker
                .split(&mut symbols, &row, highest_first, n)
                .0
                .iter()
                .map(|symbol| symbol.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(first(true, 8), [4, 2, 7, 0, 3, 1, 5, 6]);
        assert_eq!(first(false, 8), [6, 1, 5, 0, 3, 7, 2, 4]);
        assert_eq!(first(true, 3), [4, 2, 7]);
        assert_eq!(first(true, 0), [0_u32; 0]);
        assert_eq!(first(true, 99).len(), 8);
    }
}
