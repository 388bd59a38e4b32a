//! A number for each day from a table of its own: what a benchmark is worth, or the risk-free rate. Which table is meant,
//! and whether it may be read, is told in `prices`; what becomes of the numbers, in the market.

use std::sync::Arc;

use serde_json::Value;

use super::columns::{self, ADJUSTED_CLOSE};
use super::load_error::LoadError;
use super::rows::{self, Window};
use super::sources::Opened;
use crate::engine::config::{BacktestConfig, Benchmark, Fault, SeriesSource};
use crate::engine::market::DayNumbers;
use crate::engine::nearest::did_you_mean;

/// Field of the path of a benchmark's table.
pub(super) const BENCHMARK: &str = "benchmark.path";
/// Field of the path of the risk-free rate's table.
const RISK_FREE: &str = "risk_free_rate.path";

/// Days before the start of a run on which its series may have been told for the last time.
const DAYS_BEFORE: u64 = 100;

/// Symbols that are named.
const SHOWN: usize = 5;

/// The series that a config asks for, each with the field of its path.
pub(super) fn asked(config: &BacktestConfig) -> Vec<(&'static str, SeriesSource<'_>)> {
    let benchmark = config.benchmark.as_ref().and_then(Benchmark::series).map(|series| (BENCHMARK, series));
    benchmark.into_iter().chain(config.risk_free_rate.series().map(|series| (RISK_FREE, series))).collect()
}

/// The rows of a series that a config needs.
pub(super) fn window(config: &BacktestConfig, series: SeriesSource<'_>) -> Window {
    let mut window = Window::of(config);
    window.first = window.first.checked_sub_days(chrono::Days::new(DAYS_BEFORE)).unwrap_or(window.first);
    window.symbols = series.symbol.map(str::to_owned).into_iter().collect();
    window
}

/// A series, opened: it is surveyed or read.
pub(super) struct SeriesInput {
    pub(super) opened: Opened,
    pub(super) window: Arc<Window>,
    field: &'static str,
    column: Option<String>,
    symbol: Option<String>,
}

impl SeriesInput {
    pub(super) fn of(
        opened: Opened,
        field: &'static str,
        series: SeriesSource<'_>,
        config: &BacktestConfig,
    ) -> Self {
        let (column, symbol) = (series.column.map(str::to_owned), series.symbol.map(str::to_owned));
        Self { opened, window: Arc::new(window(config, series)), field, column, symbol }
    }

    /// Its numbers, what is to be said of them, and what was read.
    ///
    /// # Errors
    /// If the column is not there, or the rows are of several symbols and none is named.
    pub(super) async fn read(&self) -> Result<(DayNumbers, Vec<String>, Value), LoadError> {
        let name = self.name_of_column().await?;
        let (rows, left_out, version) =
            self.opened.named_rows(&self.window, self.symbol.as_deref(), std::slice::from_ref(&name)).await?;
        let values = rows.columns.first().map_or(&[][..], |(_, values)| values);
        let mut cells: Vec<(i32, u32, f64)> = rows
            .date
            .iter()
            .zip(&rows.symbol)
            .zip(values)
            .map(|((day, symbol), value)| (*day, *symbol, *value))
            .collect();
        cells.retain(|(_, _, value)| !value.is_nan());
        let first = cells.first().map(|(_, symbol, _)| *symbol);
        if cells.iter().any(|(_, symbol, _)| Some(*symbol) != first) {
            let names = rows::names_of(rows.symbols.iter().take(SHOWN).map(String::as_str));
            let more = if rows.symbols.len() > SHOWN { ", …" } else { "" };
            return Err(self.refused("symbol", format!("must say whose rows count: {names}{more}")));
        }
        if cells.is_empty() {
            let of = self.symbol.as_ref().map_or_else(String::new, |symbol| {
                let hint = did_you_mean(symbol, left_out.symbols.iter().map(String::as_str));
                format!(" for {symbol}{hint}")
            });
            let (first, last) = (self.window.first, self.window.last);
            return Err(
                self.refused("path", format!("has no number in '{name}' between {first} and {last}{of}"))
            );
        }
        // In the order of the rows, so that the last of a day counts.
        cells.sort_by_key(|(day, ..)| *day);
        let before = cells.len();
        let mut numbers = DayNumbers { name, ..DayNumbers::default() };
        for (day, _, value) in cells {
            if numbers.day.last() == Some(&day) {
                numbers.value.pop();
            } else {
                numbers.day.push(day);
            }
            numbers.value.push(value);
        }
        let mut warnings = left_out.warnings;
        let repeats = before - numbers.day.len();
        if repeats > 0 {
            let place = self.field.trim_end_matches(".path");
            warnings.push(format!("{place}: {repeats} rows repeat a date; the last of each counts"));
        }
        Ok((numbers, warnings, version))
    }

    /// The column as its table calls it: the one that is named, or the close as a bar would have it.
    async fn name_of_column(&self) -> Result<String, LoadError> {
        let known = self.opened.columns().await?;
        let names = || known.iter().map(String::as_str);
        let at = match &self.column {
            Some(column) => columns::position(names(), column),
            None => {
                columns::position(names(), ADJUSTED_CLOSE).or_else(|| columns::position(names(), "close"))
            }
        };
        at.map(|at| known[at].clone()).ok_or_else(|| {
            let column = self.column.clone().unwrap_or_else(|| "close".to_owned());
            let hint = did_you_mean(&column, names());
            self.refused(
                "column",
                format!("there is no column '{column}'{hint}; it has {}", rows::names_of(names())),
            )
        })
    }

    fn refused(&self, key: &str, message: String) -> LoadError {
        let path = self.field.replace(".path", &format!(".{key}"));
        LoadError::Refused(Fault { path, message })
    }
}
