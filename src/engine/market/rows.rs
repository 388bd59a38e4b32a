//! Price and signal rows as a loader hands them over, and what is wrong with rows that make no market. They are laid
//! out in tables beside this.

use std::ops::Range;

use chrono::NaiveDate;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::engine::nearest::did_you_mean;
use crate::engine::symbols::SymbolId;

/// Price rows as a loader finds them, in any order. Rows of symbols outside the universe and of dates outside the
/// window are dropped; of several rows with the same date and symbol the last one counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PriceRows {
    /// Names, indexed by the `symbol` of the chunks.
    pub symbols: Vec<String>,
    /// Exchange by symbol (parallel to `symbols`), the last one if it changed. Empty if the table has no
    /// `exchange` column.
    pub exchange: Vec<Option<String>>,
    /// Names of the other columns of the chunks, in lower case.
    pub others: Vec<String>,
    /// Names of the table that the universe does not list: one may have been meant.
    pub left_out: Vec<String>,
    /// Columns that the config names and the table lacks, and what is to be said of each: `no column 'x'; did you mean y?`
    pub lacks: Vec<(String, String)>,
    /// The benchmark, where it has a table of its own.
    pub benchmark: Option<DayNumbers>,
    /// The risk-free rate, where it has a table of its own.
    pub risk_free: Option<DayNumbers>,
    /// The rows. They stay in the pieces that they were decoded in: joining them would copy every number once more.
    pub chunks: Vec<PriceDays>,
    /// What the reader of the results should know about them.
    pub warnings: Vec<String>,
}

/// Some price rows; parallel columns. [`PriceDays::from`] packs them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PriceChunk {
    /// Days since 1970-01-01.
    pub date: Vec<i32>,
    /// Index into the names of the [`PriceRows`].
    pub symbol: Vec<u32>,
    /// Opening price; NaN if missing, which drops the row.
    pub open: Vec<f64>,
    /// Highest price; NaN if missing. Empty if there is no such column.
    pub high: Vec<f64>,
    /// Lowest price; NaN if missing. Empty if there is no such column.
    pub low: Vec<f64>,
    /// Closing price; NaN if missing, which drops the row.
    pub close: Vec<f64>,
    /// Shares traded; NaN if missing. Empty if there is no such column.
    pub volume: Vec<f64>,
    /// Cash a share on its ex-date, of prices that are not adjusted for it; 0 or NaN if there is none. Empty otherwise.
    pub dividend: Vec<f64>,
    /// New shares for an old one on their first day, likewise; 0, 1 or NaN if there is no split.
    pub split_factor: Vec<f64>,
    /// Other columns, by [`PriceRows::others`]; NaN if missing. One is empty if there is no such column.
    pub others: Vec<Vec<f64>>,
}

/// A number for some days.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DayNumbers {
    /// What it is called in messages.
    pub name: String,
    /// Days since 1970-01-01, ascending, each once.
    pub day: Vec<i32>,
    /// The number of each.
    pub value: Vec<f64>,
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
    /// Columns that the config names and the table lacks, and what may have been meant by each: `; did you mean x?`
    pub lacks: Vec<(String, String)>,
}

impl PriceRows {
    /// Names of the other columns that no chunk has.
    pub(crate) fn absent_columns(&self) -> Vec<String> {
        let has = |at: usize, chunk: &PriceDays| {
            chunk.columns.others.get(at).is_some_and(|column| !column.is_empty())
        };
        let absent =
            self.others.iter().enumerate().filter(|(at, _)| !self.chunks.iter().any(|chunk| has(*at, chunk)));
        absent.map(|(_, name)| name.clone()).collect()
    }

    /// Whether the prices are as they were quoted: then the rows have dividends or splits beside them.
    pub(super) fn are_unadjusted(&self) -> bool {
        let mut columns = self.chunks.iter().map(|chunk| &chunk.columns);
        columns.any(|columns| !(columns.dividend.is_empty() && columns.split_factor.is_empty()))
    }

    pub(super) fn fit_together(&self) -> bool {
        (self.exchange.is_empty() || self.exchange.len() == self.symbols.len())
            && self.chunks.par_iter().all(|chunk| {
                chunk.fits
                    && chunk.columns.others.len() <= self.others.len()
                    && chunk.symbols.iter().all(|&symbol| (symbol as usize) < self.symbols.len())
            })
    }
}

/// The rows of a [`PriceChunk`] as runs of rows of the same day. Price tables mostly come day by day, with the same
/// symbols on each, so that there is little left of the dates and symbols of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceDays {
    pub(super) runs: Vec<DayRows>,
    /// The symbols of a run, for each run whose symbols are not those of the run before.
    symbols: Vec<u32>,
    /// All but dates and symbols.
    pub(super) columns: PriceChunk,
    /// Whether the columns were parallel.
    fits: bool,
}

/// Rows that follow each other and are of the same day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct DayRows {
    /// Days since 1970-01-01.
    pub(super) day: i32,
    /// The row behind the last one; the first one is the end of the run before.
    end: u32,
    /// Where its symbols begin.
    symbols: u32,
}

impl From<PriceChunk> for PriceDays {
    fn from(mut columns: PriceChunk) -> Self {
        let (date, symbol) = (std::mem::take(&mut columns.date), std::mem::take(&mut columns.symbol));
        let is_parallel = |column: &Vec<f64>| column.len() == date.len();
        let is_optional = |column: &Vec<f64>| column.is_empty() || is_parallel(column);
        let fits = u32::try_from(date.len()).is_ok()
            && symbol.len() == date.len()
            && [&columns.open, &columns.close].into_iter().all(is_parallel)
            && [&columns.high, &columns.low, &columns.volume, &columns.dividend, &columns.split_factor]
                .into_iter()
                .chain(&columns.others)
                .all(is_optional);
        let (mut runs, mut symbols, mut known, mut end) = (Vec::new(), Vec::new(), 0, 0);
        for day in date.chunk_by(|a, b| a == b).filter(|_| fits) {
            let of_day = &symbol[end..end + day.len()];
            if symbols[known..] != *of_day {
                known = symbols.len();
                symbols.extend_from_slice(of_day);
            }
            end += day.len();
            runs.push(DayRows { day: day[0], end: end as u32, symbols: known as u32 });
        }
        Self { runs, symbols, columns, fits }
    }
}

impl PriceDays {
    /// Day and symbol of each row.
    pub fn keys(&self) -> impl Iterator<Item = (i32, u32)> {
        self.runs().flat_map(|(day, _, symbols)| symbols.iter().map(move |&symbol| (day, symbol)))
    }

    /// What the rows hold beside days and symbols; these are empty here.
    pub fn columns(&self) -> &PriceChunk {
        &self.columns
    }

    /// Day, symbol and close of each row.
    pub fn closes(&self) -> impl Iterator<Item = (i32, u32, f64)> {
        self.keys().zip(&self.columns.close).map(|((day, symbol), &close)| (day, symbol, close))
    }

    /// Days, the rows of each, and the symbols of these rows.
    pub(super) fn runs(&self) -> impl Iterator<Item = (i32, Range<usize>, &[u32])> {
        let mut start = 0;
        self.runs.iter().map(move |run| {
            let rows = std::mem::replace(&mut start, run.end as usize)..run.end as usize;
            let symbols = &self.symbols[run.symbols as usize..][..rows.len()];
            (run.day, rows, symbols)
        })
    }

    /// The symbol of each row of a run. `None` if it is not of the universe or the row is not complete.
    pub(super) fn bars(
        &self,
        ids: &[Option<SymbolId>],
        rows: &Range<usize>,
        symbols: &[u32],
    ) -> impl Iterator<Item = Option<SymbolId>> {
        let prices = self.columns.open[rows.clone()].iter().zip(&self.columns.close[rows.clone()]);
        symbols.iter().zip(prices).map(|(&symbol, (open, close))| {
            ids[symbol as usize].filter(|_| !open.is_nan() && !close.is_nan())
        })
    }
}

impl SignalRows {
    pub(super) fn fit_together(&self) -> bool {
        let n = self.date.len();
        self.symbol.len() == n
            && self.columns.iter().all(|(_, values)| values.len() == n)
            && self.symbol.iter().all(|&symbol| (symbol as usize) < self.symbols.len())
    }
}

impl DataError {
    /// With what may have been meant, where no symbol of a universe has prices and the table has others.
    pub(super) fn or_meant(mut self, universe: &[String], others: &[String]) -> Self {
        if let Self::NoPrices { hint, .. } = &mut self {
            let mut meant = universe.iter().take(SHOWN).map(|symbol| {
                let found = did_you_mean(symbol, others.iter().map(String::as_str));
                if found.is_empty() { found } else { format!("; {symbol}{found}") }
            });
            *hint = meant.find(|found| !found.is_empty()).unwrap_or_default();
        }
        self
    }
}

/// Symbols for which it is looked what may have been meant.
const SHOWN: usize = 20;

/// Why rows do not make a market.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// Nothing to trade.
    #[error(
        "no price row for the universe between {start} and {end}; check universe, dates and price_path{hint}"
    )]
    NoPrices {
        /// Symbols that may have been meant.
        hint: String,
        /// First day asked for.
        start: NaiveDate,
        /// Last day asked for.
        end: NaiveDate,
    },
    /// Columns of different lengths, or a row whose symbol has no name: the loader is at fault.
    #[error("{0} rows do not fit together")]
    Ragged(&'static str),
    /// A price, or a volume, is infinite.
    #[error("column {column}: infinite value for {symbol} on {date}")]
    Infinite {
        /// The column.
        column: String,
        /// The symbol.
        symbol: String,
        /// The day.
        date: NaiveDate,
    },
    /// A dividend takes all of the price.
    #[error(
        "{symbol} on {date}: a dividend of {dividend} leaves nothing of the close before, {close}; correct the column \
         dividend, which is cash a share on its ex-date"
    )]
    Dividend {
        /// The symbol.
        symbol: String,
        /// The day.
        date: NaiveDate,
        /// Cash a share, as text.
        dividend: String,
        /// The last close before, as text.
        close: String,
    },
    /// Prices that are said to be as quoted, and are not.
    #[error(
        "{count} of {of} splits do not show in the closes ({example}): the prices are adjusted for them already. Say \
         data.prices: adjusted to take them as they are, or data.prices: unadjusted to book the splits all the same"
    )]
    AdjustedAlready {
        /// Splits that do not show.
        count: usize,
        /// Splits that could.
        of: usize,
        /// One of them.
        example: String,
    },
    /// A column with a number for each day has two on one.
    #[error(
        "{what}: the column {column} says {one} and {other} on {date}; all rows of a day must say the same"
    )]
    Differs {
        /// Path of the config field.
        what: &'static str,
        /// The column.
        column: String,
        /// The day.
        date: NaiveDate,
        /// A number of that day, as text.
        one: String,
        /// Another one.
        other: String,
    },
    /// A column that the config names is not there.
    #[error("{what}: the price table has {lack}")]
    Lacks {
        /// Path of the config field.
        what: &'static str,
        /// `no column 'x'`.
        lack: String,
    },
    /// A risk-free rate that no rate can be.
    #[error(
        "risk_free_rate: {name} says {rate} on {date}, which is not a rate as a fraction; `unit: percent` reads 5 as 5 %"
    )]
    NoRate {
        /// The column.
        name: String,
        /// The rate, as text.
        rate: String,
        /// The day.
        date: NaiveDate,
    },
    /// The risk-free rate begins after the run.
    #[error("risk_free_rate: {name} has no rate on {start} or before; its first is of {first}")]
    LateRate {
        /// The column.
        name: String,
        /// First trading day.
        start: NaiveDate,
        /// Its first day.
        first: String,
    },
    /// The benchmark has no price in the window.
    #[error("benchmark {symbol}: no price between {start} and {end}{hint}")]
    NoBenchmark {
        /// The benchmark.
        symbol: String,
        /// Symbols that may have been meant.
        hint: String,
        /// First day asked for.
        start: NaiveDate,
        /// Last day asked for.
        end: NaiveDate,
    },
}
