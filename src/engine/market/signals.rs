//! The signal table of a market: which symbols have a row on a day, and the columns that the config names.

use super::fill::Shape;
use super::rows::SignalRows;
use crate::engine::config::{BacktestConfig, SignalColumns};
use crate::engine::table::Table;

/// The signal table of a market, one row per trading bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SignalTable {
    /// Whether a symbol has a row on a day: `rows[day * n_symbols + symbol]`.
    pub(super) rows: Vec<bool>,
    /// The columns that the config names, by lower-case name.
    pub(super) columns: Vec<(String, Table)>,
}

impl SignalTable {
    /// `None` if the config needs no signals.
    pub(super) fn of(
        config: &BacktestConfig,
        shape: &Shape<'_>,
        rows: SignalRows,
        warnings: &mut Vec<String>,
    ) -> Option<Self> {
        let wanted = config.signal_columns();
        let is_wanted = |name: &str| match &wanted {
            SignalColumns::None => false,
            SignalColumns::All => true,
            SignalColumns::Named(columns) => columns.iter().any(|column| column.eq_ignore_ascii_case(name)),
        };
        if wanted == SignalColumns::None && !config.reads_signal_rows() {
            return None;
        }
        let ids = shape.names.ids_of(&rows.symbols);
        let width = shape.names.sorted.len();
        let warmup = shape.calendar.first_trading_bar;
        let days = shape.calendar.dates.len() - warmup;
        let rows_in_order = rows.symbol.iter().zip(&rows.date);
        // Signals of the warm-up are never seen.
        let place = rows_in_order.map(|(&symbol, &day)| {
            shape.cell(&ids, symbol, day).and_then(|cell| cell.checked_sub(warmup * width))
        });
        let place: Vec<Option<usize>> = place.collect();
        let mut present = vec![false; days * width];
        for &cell in place.iter().flatten() {
            present[cell] = true;
        }
        if !present.contains(&true) {
            warnings.push("the signal table has no row for the universe in the window".to_owned());
        }
        let mut columns = Vec::new();
        for (name, values) in rows.columns.into_iter().filter(|(name, _)| is_wanted(name)) {
            let mut table = Table::missing(days, width);
            for (cell, value) in place.iter().zip(values) {
                if let Some(cell) = cell
                    && value.is_finite()
                {
                    table.cells[*cell] = value;
                }
            }
            columns.push((name.to_ascii_lowercase(), table));
        }
        Some(Self { rows: present, columns })
    }
}
