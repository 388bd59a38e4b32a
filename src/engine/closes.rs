//! Closing prices as a dense table, both ways round: bar after bar for all that compares symbols on a day, symbol after
//! symbol for all that follows one through time, such as marking a holding or looking back.

use std::ops::Range;

use super::symbols::SymbolId;
use super::table::{Cells, Table};

/// The closes of a market. NaN where a symbol has no bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Closes {
    by_bar: Table,
    /// `[symbol * bars + bar]`
    by_symbol: Cells,
    bars: usize,
    /// First bar of each symbol; the number of bars if it has none.
    listed: Vec<usize>,
}

impl Closes {
    pub(crate) fn new(by_bar: Table) -> Self {
        let (bars, listed) = (by_bar.rows(), first_bars(&by_bar));
        Self { by_symbol: by_bar.transposed(), by_bar, bars, listed }
    }

    pub(crate) fn bars(&self) -> usize {
        self.bars
    }

    pub(crate) fn symbols(&self) -> usize {
        self.listed.len()
    }

    /// The close of a symbol on a bar.
    pub(crate) fn get(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.by_symbol[symbol.index() * self.bars + bar]
    }

    /// The same as a table, bar by bar.
    pub(crate) fn by_bar(&self) -> &Table {
        &self.by_bar
    }

    /// The closes of a bar, one cell per symbol.
    pub(crate) fn on(&self, bar: usize) -> &[f64] {
        self.by_bar.row(bar)
    }

    /// All of them, `[bar * symbols + symbol]`.
    pub(crate) fn cells(&self) -> &[f64] {
        &self.by_bar.cells
    }

    /// The closes of a symbol on some bars.
    pub(crate) fn of(&self, symbol: SymbolId, bars: Range<usize>) -> &[f64] {
        &self.by_symbol[symbol.index() * self.bars..][bars]
    }

    /// First bar of a symbol; the number of bars if it has none.
    pub(crate) fn listed(&self, symbol: SymbolId) -> usize {
        self.listed[symbol.index()]
    }
}

/// First bar of each symbol; the number of bars if it has none.
fn first_bars(close: &Table) -> Vec<usize> {
    let bars = close.rows();
    let mut listed = vec![bars; close.width];
    let mut missing = close.width;
    for bar in 0..bars {
        if missing == 0 {
            break;
        }
        for (first, value) in listed.iter_mut().zip(close.row(bar)) {
            if *first == bars && !value.is_nan() {
                *first = bar;
                missing -= 1;
            }
        }
    }
    listed
}
