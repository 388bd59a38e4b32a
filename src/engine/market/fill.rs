//! From price rows to dense tables, in one pass over the rows and on all cores.

use std::ops::Range;

use rayon::prelude::*;

use super::calendar::{Calendar, Names};
use super::rows::{DataError, PriceChunk, PriceDays, PriceRows};
use crate::engine::config::PriceColumns;
use crate::engine::symbols::SymbolId;
use crate::engine::table::Table;

/// The price tables of a market; those that its config does not need, or that its rows lack, are not there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PriceTables {
    pub(super) close: Table,
    pub(super) open: Table,
    pub(super) high: Option<Table>,
    pub(super) low: Option<Table>,
    pub(super) volume: Option<Table>,
    /// Parallel to the first of [`PriceColumns::others`].
    pub(super) others: Vec<Option<Table>>,
}

/// Where rows go.
pub(super) struct Shape<'a> {
    pub(super) names: &'a Names,
    pub(super) calendar: &'a Calendar,
}

impl Shape<'_> {
    /// Puts the prices of all bars into tables, in one pass over the rows; also says how many bars took the place
    /// of another one.
    pub(super) fn fill(
        &self,
        ids: &[Option<SymbolId>],
        rows: &PriceRows,
        needed: &PriceColumns,
    ) -> Result<(PriceTables, usize), DataError> {
        let chunks = &rows.chunks;
        let (bars, width) = (self.calendar.dates.len(), self.names.sorted.len());
        // Zeros cost nothing until they are touched, which the threads do side by side.
        let table = || Table::zeros(bars, width);
        let optional = |wanted: bool, column: Column<'_>| {
            let known = chunks.iter().any(|chunk| !column.of(&chunk.columns).is_empty());
            (wanted && known).then(table)
        };
        let place = |name: &String| rows.others.iter().position(|known| known == name).unwrap_or(usize::MAX);
        let named = needed.others.iter().take(needed.by_symbol);
        let others = named.map(|name| Column::Other(place(name), name));
        let mut tables = PriceTables {
            close: table(),
            open: table(),
            high: optional(needed.high_low, Column::High),
            low: optional(needed.high_low, Column::Low),
            volume: optional(needed.volume, Column::Volume),
            others: others.clone().map(|column| optional(true, column)).collect(),
        };

        // A thread fills some bars of every table.
        let share = bars.div_ceil(rayon::current_num_threads());
        let mut shares: Vec<Share<'_>> = (0..bars)
            .step_by(share)
            .map(|first| Share { bars: first..bars.min(first + share), columns: Vec::new() })
            .collect();
        let known = [
            (Column::Close, Some(&mut tables.close)),
            (Column::Open, Some(&mut tables.open)),
            (Column::High, tables.high.as_mut()),
            (Column::Low, tables.low.as_mut()),
            (Column::Volume, tables.volume.as_mut()),
        ];
        let others = others.zip(tables.others.iter_mut().map(Option::as_mut));
        for (column, table) in known.into_iter().chain(others) {
            let cells = table.into_iter().flat_map(|table| table.cells.chunks_mut(share * width));
            for (share, cells) in shares.iter_mut().zip(cells) {
                share.columns.push((column, cells));
            }
        }
        let filled = shares.into_par_iter().map(|share| self.fill_share(share, ids, chunks));
        let filled: Vec<Result<usize, DataError>> = filled.collect();
        let repeats = filled.into_iter().sum::<Result<usize, DataError>>()?;
        Ok((tables, repeats))
    }

    fn fill_share(
        &self,
        mut share: Share<'_>,
        ids: &[Option<SymbolId>],
        chunks: &[PriceDays],
    ) -> Result<usize, DataError> {
        let width = self.names.sorted.len();
        let mut cleared = vec![false; share.bars.len()];
        let mut symbols: Vec<Option<SymbolId>> = Vec::new();
        let mut repeats = 0;
        // In order, so that the last of equal rows wins.
        for chunk in chunks {
            for (day, rows, listed) in chunk.runs() {
                let Some(bar) = self.calendar.bar(day).filter(|bar| share.bars.contains(bar)) else {
                    continue;
                };
                symbols.clear();
                symbols.extend(chunk.bars(ids, &rows, listed));
                let line = (bar - share.bars.start) * width;
                // Every bar has a row, so all cells come by here, while they are in the cache.
                let first = !std::mem::replace(&mut cleared[bar - share.bars.start], true);
                // Table by table: the rows of a day stay in the cache meanwhile.
                for (column, cells) in &mut share.columns {
                    let cells = &mut cells[line..line + width];
                    if first {
                        cells.fill(f64::NAN);
                    }
                    // A chunk may lack a column that others have.
                    let values = column.of(&chunk.columns).get(rows.clone()).unwrap_or_default();
                    let repeated = place(&symbols, values, cells)
                        .map_err(|symbol| self.infinite(column.name(), bar, symbol))?;
                    if matches!(column, Column::Close) {
                        repeats += repeated;
                    }
                }
            }
        }
        Ok(repeats)
    }

    fn infinite(&self, column: &str, bar: usize, symbol: SymbolId) -> DataError {
        let column = column.to_owned();
        let symbol = self.names.sorted[symbol.index()].clone();
        DataError::Infinite { column, symbol, date: self.calendar.dates[bar] }
    }
}

/// Puts the values of some symbols into one row of a table, and counts those that took the place of another one. The
/// error is a symbol with an infinite value.
fn place(symbols: &[Option<SymbolId>], values: &[f64], cells: &mut [f64]) -> Result<usize, SymbolId> {
    let mut repeats = 0;
    for (symbol, &value) in symbols.iter().zip(values) {
        let Some(symbol) = *symbol else { continue };
        let Some(cell) = cells.get_mut(symbol.index()) else { continue };
        if value.is_infinite() {
            return Err(symbol);
        }
        repeats += usize::from(!cell.is_nan());
        *cell = value;
    }
    Ok(repeats)
}

/// A column of price rows.
#[derive(Debug, Clone, Copy)]
enum Column<'c> {
    Close,
    Open,
    High,
    Low,
    Volume,
    /// By its place among the others, and its name.
    Other(usize, &'c str),
}

impl<'c> Column<'c> {
    fn name(self) -> &'c str {
        match self {
            Self::Close => "close",
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Volume => "volume",
            Self::Other(_, name) => name,
        }
    }

    fn of(self, chunk: &PriceChunk) -> &[f64] {
        match self {
            Self::Close => &chunk.close,
            Self::Open => &chunk.open,
            Self::High => &chunk.high,
            Self::Low => &chunk.low,
            Self::Volume => &chunk.volume,
            Self::Other(at, _) => chunk.others.get(at).map_or(&[], Vec::as_slice),
        }
    }
}

/// Some bars of every price table, the closes first.
struct Share<'a> {
    bars: Range<usize>,
    columns: Vec<(Column<'a>, &'a mut [f64])>,
}
