//! Prices and signals as dense tables: one row per bar (trading day), one cell per symbol, bar after bar in
//! memory, so that everything about one day lies together.
//!
//! Shapes and gaps, explained once: `bars` counts the distinct dates of the price rows of the universe, first
//! the warm-up before `start_date`, then the trading bars. Symbols are numbered in byte order of their names, so
//! that ascending ids are alphabetical order. A symbol without a bar on a day has NaN in all its cells of that
//! day; a bar exists if and only if its close is not NaN. Signal tables have a row per *trading* bar and NaN
//! where there is no number. How rows are found in files is not known here.

use chrono::NaiveDate;

use super::config::BacktestConfig;

/// A symbol of one market: its index in byte order of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct SymbolId(pub u32);

impl SymbolId {
    /// The id as an index into tables by symbol.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Price rows as a loader finds them, in any order; parallel columns. Rows of symbols outside the universe and
/// of dates outside the window are dropped.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PriceRows {
    /// Names, indexed by the values of `symbol`.
    pub symbols: Vec<String>,
    /// Days since 1970-01-01.
    pub date: Vec<i32>,
    /// Index into `symbols`.
    pub symbol: Vec<u32>,
    /// Opening price; NaN if missing, which drops the row.
    pub open: Vec<f64>,
    /// Highest price; NaN if missing. Empty if the table has no such column.
    pub high: Vec<f64>,
    /// Lowest price; NaN if missing. Empty if the table has no such column.
    pub low: Vec<f64>,
    /// Closing price; NaN if missing, which drops the row.
    pub close: Vec<f64>,
    /// Shares traded; NaN if missing. Empty if the table has no such column.
    pub volume: Vec<f64>,
    /// Exchange by symbol (parallel to `symbols`), the last one if it changed. Empty if the table has no
    /// `exchange` column.
    pub exchange: Vec<Option<String>>,
}

/// Signal rows as a loader finds them; parallel columns. Of several rows with the same date and symbol the last
/// number of each column counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignalRows {
    /// Names, indexed by the values of `symbol`.
    pub symbols: Vec<String>,
    /// Days since 1970-01-01.
    pub date: Vec<i32>,
    /// Index into `symbols`.
    pub symbol: Vec<u32>,
    /// Numeric columns by name (matched without regard to case); NaN if missing.
    pub columns: Vec<(String, Vec<f64>)>,
}

/// Why rows do not make a market.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// Nothing to trade.
    #[error("no price row for the universe between {start} and {end}; check universe, dates and price_path")]
    NoPrices {
        /// First day asked for.
        start: NaiveDate,
        /// Last day asked for.
        end: NaiveDate,
    },
}

/// Dense day-by-symbol tables of one backtest.
#[derive(Debug, Clone, PartialEq)]
pub struct Market {
    first: usize,
}

impl Market {
    /// Makes dense tables of the rows of the universe from the configured warm-up to `end_date`.
    ///
    /// # Errors
    /// If no row is left, or a price is infinite.
    pub fn assemble(
        config: &BacktestConfig,
        prices: PriceRows,
        signals: Option<SignalRows>,
    ) -> Result<Self, DataError> {
        let _ = (prices, signals);
        Err(DataError::NoPrices { start: config.start_date, end: config.end_date })
    }

    /// Index of the first bar on or after `start_date`; bars before it are warm-up.
    pub fn first_trading_bar(&self) -> usize {
        self.first
    }

    /// Closing price; NaN without a bar.
    pub fn close(&self, bar: usize, symbol: SymbolId) -> f64 {
        let _ = (bar, symbol);
        f64::NAN
    }
}
