//! The signal table of a market: which symbols have a row on a day, and the columns that the config names.

use std::collections::BTreeSet;

use super::fill::Shape;
use super::rows::SignalRows;
use crate::engine::config::{BacktestConfig, SignalAlignment, SignalColumns};
use crate::engine::table::Table;

/// The signal table of a market, one row per trading bar.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SignalTable {
    /// Whether a symbol has a row on a day: `rows[day * n_symbols + symbol]`.
    pub(super) rows: Vec<bool>,
    /// The columns that the config names, by lower-case name.
    pub(super) columns: Vec<(String, Table)>,
    /// Days between the first and the last trading day that have rows of the universe and no trading.
    pub(super) days_without_trading: usize,
    /// Columns that the table lacks, and what may have been meant by each.
    pub(super) lacks: Vec<(String, String)>,
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
        let aligned = config.data.signal_alignment == SignalAlignment::NextTradingDay;
        let calendar = shape.calendar;
        let seen_on = |day: i32| if aligned { calendar.bar_from(day) } else { calendar.bar(day) };
        // Signals of the warm-up are never seen.
        let place = |row: usize| {
            let symbol = ids[rows.symbol[row] as usize]?;
            let cell = seen_on(rows.date[row])? * width + symbol.index();
            cell.checked_sub(warmup * width)
        };
        let mut order: Vec<usize> = (0..rows.date.len()).collect();
        if aligned {
            // Of several rows that come to be seen on the same day, the latest counts.
            order.sort_by_key(|&row| rows.date[row]);
        }
        let place: Vec<Option<usize>> = order.iter().map(|&row| place(row)).collect();
        let mut without_trading = BTreeSet::new();
        let traded = calendar.trading_range();
        let mut last_day = None;
        for (&day, &symbol) in rows.date.iter().zip(&rows.symbol) {
            // Rows mostly come day by day.
            if last_day != Some(day) && ids[symbol as usize].is_some() {
                last_day = Some(day);
                if traded.contains(&day) && calendar.bar(day).is_none() {
                    without_trading.insert(day);
                }
            }
        }
        let mut present = vec![false; days * width];
        // Rows of different days may come to be seen on the same one; that is not a repeat.
        let mut seen = if aligned { vec![i32::MIN; present.len()] } else { Vec::new() };
        let mut repeats = 0;
        for (cell, &row) in place.iter().zip(&order) {
            let Some(cell) = *cell else { continue };
            let day = rows.date[row];
            repeats += usize::from(present[cell] && seen.get(cell).is_none_or(|seen| *seen == day));
            present[cell] = true;
            if let Some(seen) = seen.get_mut(cell) {
                *seen = day;
            }
        }
        if repeats > 0 {
            warnings.push(format!(
                "{repeats} signal rows repeat a date and symbol; the last number of each counts"
            ));
        }
        if !present.contains(&true) {
            warnings.push("the signal table has no row for the universe in the window".to_owned());
        }
        let (mut columns, lacks) = (Vec::new(), rows.lacks);
        for (name, values) in rows.columns.into_iter().filter(|(name, _)| is_wanted(name)) {
            let mut table = Table::missing(days, width);
            for (cell, &row) in place.iter().zip(&order) {
                let value = values[row];
                if let Some(cell) = cell
                    && value.is_finite()
                {
                    table.cells[*cell] = value;
                }
            }
            columns.push((name.to_ascii_lowercase(), table));
        }
        Some(Self { rows: present, columns, days_without_trading: without_trading.len(), lacks })
    }
}
