//! Where a strategy finds the numbers of a signal column: in the signal table, or computed from prices if that has
//! no such column, unless the config brought the table itself.

use super::View;
use super::ranking::Ranker;
use crate::engine::RunError;
use crate::engine::market::{Market, SymbolId};
use crate::engine::nearest::did_you_mean;
use crate::engine::price_signals::PriceSignal;

/// A signal column, ready to be read bar by bar.
#[derive(Debug)]
pub(super) struct SignalReader {
    source: Source,
    row: Vec<f64>,
    order: Vec<SymbolId>,
    ranker: Ranker,
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
            let reason = match (market.has_signals(), market.computes_signals()) {
                (true, false) => "the signal table has no such column",
                (true, true) => "the signal table has no such column, and none is computed from prices",
                (false, _) => "there is no signal table, and no such column is computed from prices",
            };
            let hint = match (market.signal_hint(column), market.computes_signals()) {
                ("", true) => did_you_mean(column, PriceSignal::ALL.iter().map(|signal| signal.name())),
                (hint, _) => hint.to_owned(),
            };
            RunError::Data(format!("signal column {column:?}: {reason}{hint}"))
        })
    }

    /// The column, if there is one.
    pub(super) fn find(column: &str, market: &Market) -> Option<Self> {
        let n = market.symbols().len();
        if let Some(column) = market.signal_column(column) {
            let source = Source::Table(column);
            return Some(Self { source, row: Vec::new(), order: Vec::new(), ranker: Ranker::new(0) });
        }
        if !market.computes_signals() {
            return None;
        }
        let (signal, percentile) = PriceSignal::of_column(column)?;
        let ranked = if percentile { n } else { 0 };
        Some(Self {
            source: Source::Prices { signal, percentile },
            row: vec![f64::NAN; n],
            order: Vec::with_capacity(ranked),
            ranker: Ranker::new(ranked),
        })
    }

    /// Today's numbers, one cell per symbol, NaN where there is none.
    pub(super) fn today<'a>(&'a mut self, view: &View<'a>) -> &'a [f64] {
        match self.source {
            Source::Table(column) => view.market.signals(column, view.bar),
            Source::Prices { signal, percentile } => {
                signal.fill(view.market.adjusted_closes(), view.bar, &mut self.row);
                if percentile {
                    self.rank();
                }
                &self.row
            }
        }
    }

    /// Replaces numbers by `1 - (rank - 1) / (n - 1)`, rank 1 for the highest, ties by symbol; 1 if alone.
    fn rank(&mut self) {
        let Self { row, order, ranker, .. } = self;
        order.clear();
        order.extend((0..row.len() as u32).map(SymbolId).filter(|symbol| !row[symbol.index()].is_nan()));
        let (best_first, _) = ranker.split(order, row, true, usize::MAX);
        let last = best_first.len().saturating_sub(1).max(1) as f64;
        for (rank, symbol) in best_first.iter().enumerate() {
            row[symbol.index()] = 1.0 - rank as f64 / last;
        }
    }
}
