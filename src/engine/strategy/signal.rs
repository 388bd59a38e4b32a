//! Where a strategy finds the numbers of a signal column: in the signal table, or, if the market came without
//! one, computed from prices.

use std::cmp::Ordering;

use super::View;
use crate::engine::RunError;
use crate::engine::lookback::PriceSignal;
use crate::engine::market::{Market, SymbolId};

/// A signal column, ready to be read bar by bar.
#[derive(Debug)]
pub(super) struct SignalReader {
    source: Source,
    row: Vec<f64>,
    order: Vec<SymbolId>,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Table(usize),
    Prices { signal: PriceSignal, percentile: bool },
}

impl SignalReader {
    /// # Errors
    /// If there is no such column.
    pub(super) fn new(column: &str, market: &Market) -> Result<Self, RunError> {
        Self::find(column, market).ok_or_else(|| {
            let where_ = if market.has_signals() {
                "the signal table has no such column"
            } else {
                "there is no signal table, and no such column is computed from prices"
            };
            RunError::Data(format!("signal column {column:?}: {where_}"))
        })
    }

    /// The column, if there is one.
    pub(super) fn find(column: &str, market: &Market) -> Option<Self> {
        let n = market.symbols().len();
        if market.has_signals() {
            let source = Source::Table(market.signal_column(column)?);
            return Some(Self { source, row: Vec::new(), order: Vec::new() });
        }
        let (signal, percentile) = PriceSignal::of_column(column)?;
        let order = Vec::with_capacity(if percentile { n } else { 0 });
        Some(Self { source: Source::Prices { signal, percentile }, row: vec![f64::NAN; n], order })
    }

    /// Today's numbers, one cell per symbol, NaN where there is none.
    pub(super) fn today<'a>(&'a mut self, view: &View<'a>) -> &'a [f64] {
        match self.source {
            Source::Table(column) => view.market.signals(column, view.bar),
            Source::Prices { signal, percentile } => {
                signal.fill(view.market, view.bar, &mut self.row);
                if percentile {
                    self.rank();
                }
                &self.row
            }
        }
    }

    /// Replaces numbers by `1 - (rank - 1) / (n - 1)`, rank 1 for the highest, ties by symbol; 1 if alone.
    fn rank(&mut self) {
        let row = &mut self.row;
        self.order.clear();
        self.order.extend((0..row.len() as u32).map(SymbolId).filter(|s| !row[s.index()].is_nan()));
        let best_first = by_number(row, true);
        self.order.sort_unstable_by(|&a, &b| best_first(a, b));
        drop(best_first);
        let last = self.order.len().saturating_sub(1).max(1) as f64;
        for (rank, symbol) in self.order.iter().enumerate() {
            row[symbol.index()] = 1.0 - rank as f64 / last;
        }
    }
}

/// Order of two numbers that are not NaN; unlike the total order of floats, 0 and -0 are a tie.
pub(super) fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// The order of symbols by their numbers in `row`, none of which is NaN; ties by symbol.
pub(super) fn by_number(row: &[f64], highest_first: bool) -> impl Fn(SymbolId, SymbolId) -> Ordering {
    move |a, b| {
        let ascending = compare(row[a.index()], row[b.index()]);
        (if highest_first { ascending.reverse() } else { ascending }).then(a.cmp(&b))
    }
}

/// Splits `symbols` into the first `n` of an order, sorted, and the rest, which is not sorted at all.
pub(super) fn split_first(
    symbols: &mut [SymbolId],
    n: usize,
    mut order: impl FnMut(SymbolId, SymbolId) -> Ordering,
) -> (&[SymbolId], &mut [SymbolId]) {
    if 0 < n && n < symbols.len() {
        symbols.select_nth_unstable_by(n - 1, |&a, &b| order(a, b));
    }
    let (first, rest) = symbols.split_at_mut(n.min(symbols.len()));
    first.sort_unstable_by(|&a, &b| order(a, b));
    (first, rest)
}
