//! Prices and signals as dense tables: one row per bar (trading day), one cell per symbol, bar after bar in
//! memory, so that everything about one day lies together. Closes are kept the other way round too, symbol after
//! symbol, for all that follows one symbol through time: marking a holding, looking back.
//!
//! Shapes and gaps, explained once: bars are the distinct dates of the price rows of the universe, first the
//! warm-up before `start_date`, then the trading bars. Symbols are numbered in byte order of their names, so
//! that ascending ids are alphabetical order. A symbol without a bar on a day has NaN in all its cells of that
//! day; a bar exists if and only if its close is not NaN. Signal tables have a row per *trading* bar and NaN
//! where there is no number. How rows are found in files is not known here; what is computed from bars lives in
//! `lookback`.

use std::collections::HashMap;
use std::ops::Range;

use chrono::NaiveDate;
use rayon::prelude::*;

use super::config::{BacktestConfig, Benchmark, PriceColumn, PriceColumns, SignalColumns, Symbols};
use super::table::{Cells, Table};

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

/// Price rows as a loader finds them, in any order. Rows of symbols outside the universe and of dates outside the
/// window are dropped; of several rows with the same date and symbol the last one counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PriceRows {
    /// Names, indexed by the `symbol` of the chunks.
    pub symbols: Vec<String>,
    /// Exchange by symbol (parallel to `symbols`), the last one if it changed. Empty if the table has no
    /// `exchange` column.
    pub exchange: Vec<Option<String>>,
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

impl PriceRows {
    fn fit_together(&self) -> bool {
        (self.exchange.is_empty() || self.exchange.len() == self.symbols.len())
            && self.chunks.par_iter().all(|chunk| {
                chunk.fits && chunk.symbols.iter().all(|&symbol| (symbol as usize) < self.symbols.len())
            })
    }
}

/// The rows of a [`PriceChunk`] as runs of rows of the same day. Price tables mostly come day by day, with the same
/// symbols on each, so that there is little left of the dates and symbols of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceDays {
    runs: Vec<DayRows>,
    /// The symbols of a run, for each run whose symbols are not those of the run before.
    symbols: Vec<u32>,
    /// All but dates and symbols.
    columns: PriceChunk,
    /// Whether the columns were parallel.
    fits: bool,
}

/// Rows that follow each other and are of the same day.
#[derive(Debug, Clone, Copy, PartialEq)]
struct DayRows {
    /// Days since 1970-01-01.
    day: i32,
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
            && [&columns.high, &columns.low, &columns.volume].into_iter().all(is_optional);
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
    /// Day, symbol and close of each row.
    pub fn closes(&self) -> impl Iterator<Item = (i32, u32, f64)> {
        self.runs().flat_map(|(day, rows, symbols)| {
            symbols.iter().zip(&self.columns.close[rows]).map(move |(&symbol, &close)| (day, symbol, close))
        })
    }

    /// Days, the rows of each, and the symbols of these rows.
    fn runs(&self) -> impl Iterator<Item = (i32, Range<usize>, &[u32])> {
        let mut start = 0;
        self.runs.iter().map(move |run| {
            let rows = std::mem::replace(&mut start, run.end as usize)..run.end as usize;
            let symbols = &self.symbols[run.symbols as usize..][..rows.len()];
            (run.day, rows, symbols)
        })
    }

    /// The symbol of each row of a run. `None` if it is not of the universe or the row is not complete.
    fn bars(
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
    fn fit_together(&self) -> bool {
        let n = self.date.len();
        self.symbol.len() == n
            && self.columns.iter().all(|(_, values)| values.len() == n)
            && self.symbol.iter().all(|&symbol| (symbol as usize) < self.symbols.len())
    }
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
    /// Columns of different lengths, or a row whose symbol has no name: the loader is at fault.
    #[error("{0} rows do not fit together")]
    Ragged(&'static str),
    /// A price, or a volume, is infinite.
    #[error("column {column}: infinite value for {symbol} on {date}")]
    Infinite {
        /// The column.
        column: &'static str,
        /// The symbol.
        symbol: String,
        /// The day.
        date: NaiveDate,
    },
    /// The benchmark has no price in the window.
    #[error("benchmark {symbol}: no price row between {start} and {end}")]
    NoBenchmark {
        /// The benchmark.
        symbol: String,
        /// First day asked for.
        start: NaiveDate,
        /// Last day asked for.
        end: NaiveDate,
    },
}

/// The price tables of a market; those that its config does not need, or that its rows lack, are not there.
#[derive(Debug, Clone, PartialEq)]
struct PriceTables {
    close: Table,
    open: Table,
    high: Option<Table>,
    low: Option<Table>,
    volume: Option<Table>,
}

/// The signal table of a market, one row per trading bar.
#[derive(Debug, Clone, PartialEq)]
struct Signals {
    /// Whether a symbol has a row on a day: `rows[day * n_symbols + symbol]`.
    rows: Vec<bool>,
    /// The columns that the config names, by lower-case name.
    columns: Vec<(String, Table)>,
}

/// Dense day-by-symbol tables of one backtest.
#[derive(Debug, Clone, PartialEq)]
pub struct Market {
    symbols: Vec<String>,
    universe: Vec<SymbolId>,
    dates: Vec<NaiveDate>,
    first_trading_bar: usize,
    /// First bar of each symbol; the number of bars if it has none.
    listed: Vec<usize>,
    prices: PriceTables,
    /// The closes once more, symbol after symbol.
    closes_by_symbol: Cells,
    exchange: Option<Vec<Option<String>>>,
    signals: Option<Signals>,
    computes_signals: bool,
    benchmark: Option<Vec<f64>>,
    warnings: Vec<String>,
}

impl Market {
    /// Makes dense tables of the rows of the universe, from the configured warm-up to `end_date`. Tables that
    /// the config does not need are not built.
    ///
    /// # Errors
    /// If columns do not fit together, no row of the universe lies in the window, a number is infinite, or the
    /// benchmark has no prices.
    pub fn assemble(
        config: &BacktestConfig,
        prices: PriceRows,
        signals: Option<SignalRows>,
    ) -> Result<Self, DataError> {
        if !prices.fit_together() {
            return Err(DataError::Ragged("price"));
        }
        if signals.as_ref().is_some_and(|rows| !rows.fit_together()) {
            return Err(DataError::Ragged("signal"));
        }
        let names = Names::of(config, &prices);
        let ids = names.ids_of(&prices.symbols);
        let calendar = Calendar::of(config, &prices.chunks, &ids)?;
        let needed = config.price_columns();
        let mut warnings = prices.warnings.clone();

        let benchmark = match &config.benchmark {
            Some(Benchmark::Symbol(symbol)) => Some(benchmark_closes(config, &calendar, &prices, symbol)?),
            Some(Benchmark::EqualWeight) | None => None,
        };
        let exchange = (needed.exchange && !prices.exchange.is_empty()).then(|| {
            let mut by_symbol = vec![None; names.sorted.len()];
            for (id, exchange) in ids.iter().zip(&prices.exchange) {
                if let Some(id) = id {
                    by_symbol[id.index()].clone_from(exchange);
                }
            }
            by_symbol
        });
        let shape = Shape { names: &names, calendar: &calendar };
        let (tables, repeats) = shape.fill(&ids, &prices.chunks, needed)?;
        // Their numbers are in place; the memory is wanted for the closes by symbol.
        drop(prices);
        if repeats > 0 {
            warnings.push(format!("{repeats} price rows repeat a date and symbol; the last of each counts"));
        }
        let signals = signals.and_then(|rows| Signals::of(config, &shape, rows, &mut warnings));
        let listed = first_bars(&tables.close);
        for (symbol, &bar) in names.sorted.iter().zip(&listed) {
            if bar == calendar.dates.len() {
                warnings.push(format!("{symbol}: no price row in the window, so it never trades"));
            }
        }
        Ok(Self {
            symbols: names.sorted,
            universe: names.in_config_order,
            first_trading_bar: calendar.first_trading_bar,
            dates: calendar.dates,
            listed,
            closes_by_symbol: tables.close.transposed(),
            prices: tables,
            exchange,
            signals,
            // Signals of its own a config names with all that it reads.
            computes_signals: config.data.signal_path.is_none(),
            benchmark,
            warnings,
        })
    }

    /// Names of the symbols, in byte order; [`SymbolId`] is an index into them.
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// The name of a symbol.
    pub fn name(&self, symbol: SymbolId) -> &str {
        &self.symbols[symbol.index()]
    }

    /// The id of a name. `None` if the universe lacks it.
    pub fn symbol(&self, name: &str) -> Option<SymbolId> {
        self.symbols.binary_search_by(|known| known.as_str().cmp(name)).ok().map(symbol_id)
    }

    /// The universe in the order of the config.
    pub fn universe(&self) -> &[SymbolId] {
        &self.universe
    }

    /// Dates of all bars, the warm-up first.
    pub fn dates(&self) -> &[NaiveDate] {
        &self.dates
    }

    /// Index of the first bar on or after `start_date`; bars before it are warm-up.
    pub fn first_trading_bar(&self) -> usize {
        self.first_trading_bar
    }

    /// Number of bars from the first trading bar on; at least 1.
    pub fn trading_days(&self) -> usize {
        self.dates.len() - self.first_trading_bar
    }

    /// First bar of a symbol; the number of bars if it has none.
    pub(crate) fn listed(&self, symbol: SymbolId) -> usize {
        self.listed[symbol.index()]
    }

    /// Closing price; NaN without a bar.
    pub fn close(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.closes_by_symbol[symbol.index() * self.dates.len() + bar]
    }

    /// Closing prices of a symbol on some bars; NaN without a bar.
    pub(crate) fn closes_of(&self, symbol: SymbolId, bars: Range<usize>) -> &[f64] {
        &self.closes_by_symbol[symbol.index() * self.dates.len()..][bars]
    }

    /// Opening price; NaN without a bar.
    pub fn open(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.prices.open.get(bar, symbol.index())
    }

    /// Highest price; the close where it is missing, NaN without a bar.
    pub(crate) fn high(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.or_close(self.prices.high.as_ref(), bar, symbol)
    }

    /// Lowest price; the close where it is missing, NaN without a bar.
    pub(crate) fn low(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.or_close(self.prices.low.as_ref(), bar, symbol)
    }

    fn or_close(&self, table: Option<&Table>, bar: usize, symbol: SymbolId) -> f64 {
        let value = table.map_or(f64::NAN, |table| table.get(bar, symbol.index()));
        if value.is_nan() { self.close(bar, symbol) } else { value }
    }

    /// A price of a bar; NaN without a bar.
    pub(crate) fn price(&self, column: PriceColumn, bar: usize, symbol: SymbolId) -> f64 {
        match column {
            PriceColumn::Open => self.open(bar, symbol),
            PriceColumn::High => self.high(bar, symbol),
            PriceColumn::Low => self.low(bar, symbol),
            PriceColumn::Close => self.close(bar, symbol),
        }
    }

    /// Shares traded; NaN where unknown.
    pub(crate) fn volume(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.prices.volume.as_ref().map_or(f64::NAN, |table| table.get(bar, symbol.index()))
    }

    /// Whether the price table has a column, as far as the config needs it.
    pub(crate) fn has_price_column(&self, name: &str) -> bool {
        match name.to_ascii_lowercase().as_str() {
            "date" | "symbol" | "open" | "close" => true,
            "high" => self.prices.high.is_some(),
            "low" => self.prices.low.is_some(),
            "volume" => self.prices.volume.is_some(),
            _ => false,
        }
    }

    /// Closing prices of a bar, one cell per symbol.
    pub(crate) fn closes(&self, bar: usize) -> &[f64] {
        self.prices.close.row(bar)
    }

    /// Opening prices of a bar, one cell per symbol.
    pub(crate) fn opens(&self, bar: usize) -> &[f64] {
        self.prices.open.row(bar)
    }

    /// Volumes of a bar, one cell per symbol. `None` if the config does not need them or the table lacks them.
    pub(crate) fn volumes(&self, bar: usize) -> Option<&[f64]> {
        self.prices.volume.as_ref().map(|table| table.row(bar))
    }

    /// Exchange of each symbol. `None` if the config does not need it or the table lacks it.
    pub(crate) fn exchanges(&self) -> Option<&[Option<String>]> {
        self.exchange.as_deref()
    }

    /// Whether the market came with a signal table.
    pub(crate) fn has_signals(&self) -> bool {
        self.signals.is_some()
    }

    /// Whether signal columns that are in no table may be computed from prices.
    pub(crate) fn computes_signals(&self) -> bool {
        self.computes_signals
    }

    /// Position of a signal column, matched without regard to case. `None` if the table lacks it.
    pub(crate) fn signal_column(&self, name: &str) -> Option<usize> {
        let columns = &self.signals.as_ref()?.columns;
        columns.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// A signal column on a trading bar, one cell per symbol. Empty without a signal table.
    pub(crate) fn signals(&self, column: usize, bar: usize) -> &[f64] {
        let Some(signals) = &self.signals else { return &[] };
        signals.columns[column].1.row(bar - self.first_trading_bar)
    }

    /// Whether a symbol has a row in the signal table on a trading bar.
    pub(crate) fn has_signal_row(&self, bar: usize, symbol: SymbolId) -> bool {
        let day = bar - self.first_trading_bar;
        self.signals.as_ref().is_some_and(|signals| signals.rows[day * self.symbols.len() + symbol.index()])
    }

    /// Closes of the benchmark symbol by trading day, NaN where it has none. `None` without such a benchmark.
    pub(crate) fn benchmark(&self) -> Option<&[f64]> {
        self.benchmark.as_deref()
    }

    /// What the reader of the results should know about the data.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn symbol_id(index: usize) -> SymbolId {
    // Loaders number symbols with 32 bits, so there cannot be more.
    SymbolId(index as u32)
}

/// The symbols of a market.
struct Names {
    sorted: Vec<String>,
    in_config_order: Vec<SymbolId>,
}

impl Names {
    fn of(config: &BacktestConfig, prices: &PriceRows) -> Self {
        let listed = match &config.universe.symbols {
            Symbols::Listed(symbols) => symbols,
            Symbols::All => &prices.symbols,
        };
        let mut sorted = listed.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let in_config_order = match &config.universe.symbols {
            Symbols::Listed(symbols) => symbols.iter().filter_map(|s| sorted.binary_search(s).ok()).collect(),
            Symbols::All => (0..sorted.len()).collect::<Vec<_>>(),
        };
        Self { sorted, in_config_order: in_config_order.into_iter().map(symbol_id).collect() }
    }

    /// The id of each name; `None` outside the universe.
    fn ids_of(&self, names: &[String]) -> Vec<Option<SymbolId>> {
        let known: HashMap<&str, usize> = self.sorted.iter().map(String::as_str).zip(0..).collect();
        names.iter().map(|name| known.get(name.as_str()).copied().map(symbol_id)).collect()
    }
}

/// The bars of a market and how to find them by day.
struct Calendar {
    dates: Vec<NaiveDate>,
    first_trading_bar: usize,
    /// Days since 1970-01-01 of the first entry of `bar_of`.
    origin: i32,
    /// Bar by day; `u32::MAX` where there is none.
    bar_of: Vec<u32>,
}

const NO_BAR: u32 = u32::MAX;

impl Calendar {
    fn of(
        config: &BacktestConfig,
        chunks: &[PriceDays],
        ids: &[Option<SymbolId>],
    ) -> Result<Self, DataError> {
        let (start, end) = (config.start_date, config.end_date);
        let nothing = || DataError::NoPrices { start, end };
        let (first_day, last_day) = (start.to_epoch_days(), end.to_epoch_days());
        let days =
            || chunks.iter().flat_map(|chunk| &chunk.runs).map(|run| run.day).filter(|&day| day <= last_day);
        let (Some(origin), Some(last)) = (days().min(), days().max()) else { return Err(nothing()) };
        let mut traded = vec![false; (last - origin) as usize + 1];
        for chunk in chunks {
            for (day, rows, symbols) in chunk.runs() {
                // One complete row makes a trading day.
                if let Some(traded) = traded.get_mut((day - origin) as usize)
                    && !*traded
                {
                    *traded = chunk.bars(ids, &rows, symbols).any(|symbol| symbol.is_some());
                }
            }
        }
        let days = (origin..=last).filter(|day| traded[(day - origin) as usize]);
        let (history, trading): (Vec<i32>, Vec<i32>) = days.partition(|&day| day < first_day);
        if trading.is_empty() {
            return Err(nothing());
        }
        let warmup = &history[history.len() - history.len().min(config.warmup_bars())..];
        let mut bar_of = vec![NO_BAR; traded.len()];
        let mut dates = Vec::with_capacity(warmup.len() + trading.len());
        for &day in warmup.iter().chain(&trading) {
            bar_of[(day - origin) as usize] = dates.len() as u32;
            dates.push(NaiveDate::from_epoch_days(day).ok_or_else(nothing)?);
        }
        Ok(Self { dates, first_trading_bar: warmup.len(), origin, bar_of })
    }

    /// The bar of a day. `None` if the market has none.
    fn bar(&self, day: i32) -> Option<usize> {
        let offset = usize::try_from(i64::from(day) - i64::from(self.origin)).ok()?;
        self.bar_of.get(offset).copied().filter(|&bar| bar != NO_BAR).map(|bar| bar as usize)
    }
}

/// Where rows go.
struct Shape<'a> {
    names: &'a Names,
    calendar: &'a Calendar,
}

impl Shape<'_> {
    /// The cell of a row. `None` if its symbol is not of the universe or its day has no bar.
    fn cell(&self, ids: &[Option<SymbolId>], symbol: u32, day: i32) -> Option<usize> {
        let place = ids[symbol as usize].zip(self.calendar.bar(day));
        place.map(|(symbol, bar)| bar * self.names.sorted.len() + symbol.index())
    }

    /// Puts the prices of all bars into tables, in one pass over the rows; also says how many bars took the place
    /// of another one.
    fn fill(
        &self,
        ids: &[Option<SymbolId>],
        chunks: &[PriceDays],
        needed: PriceColumns,
    ) -> Result<(PriceTables, usize), DataError> {
        let (bars, width) = (self.calendar.dates.len(), self.names.sorted.len());
        // Zeros cost nothing until they are touched, which the threads do side by side.
        let table = || Table::zeros(bars, width);
        let optional = |wanted: bool, column: &Column| {
            let known = chunks.iter().any(|chunk| !(column.of)(&chunk.columns).is_empty());
            (wanted && known).then(table)
        };
        let mut tables = PriceTables {
            close: table(),
            open: table(),
            high: optional(needed.high_low, &HIGH),
            low: optional(needed.high_low, &LOW),
            volume: optional(needed.volume, &VOLUME),
        };

        // A thread fills some bars of every table.
        let share = bars.div_ceil(rayon::current_num_threads());
        let mut shares: Vec<Share<'_>> = (0..bars)
            .step_by(share)
            .map(|first| Share { bars: first..bars.min(first + share), columns: Vec::new() })
            .collect();
        let required = [(&CLOSE, Some(&mut tables.close)), (&OPEN, Some(&mut tables.open))];
        let optional =
            [(&HIGH, tables.high.as_mut()), (&LOW, tables.low.as_mut()), (&VOLUME, tables.volume.as_mut())];
        for (column, table) in required.into_iter().chain(optional) {
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
                    let values = (column.of)(&chunk.columns).get(rows.clone()).unwrap_or_default();
                    let repeated = place(&symbols, values, cells)
                        .map_err(|symbol| self.infinite(column.name, bar, symbol))?;
                    if column.name == CLOSE.name {
                        repeats += repeated;
                    }
                }
            }
        }
        Ok(repeats)
    }

    fn infinite(&self, column: &'static str, bar: usize, symbol: SymbolId) -> DataError {
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
struct Column {
    name: &'static str,
    of: fn(&PriceChunk) -> &[f64],
}

const CLOSE: Column = Column { name: "close", of: |chunk| &chunk.close };
const OPEN: Column = Column { name: "open", of: |chunk| &chunk.open };
const HIGH: Column = Column { name: "high", of: |chunk| &chunk.high };
const LOW: Column = Column { name: "low", of: |chunk| &chunk.low };
const VOLUME: Column = Column { name: "volume", of: |chunk| &chunk.volume };

/// Some bars of every price table, the closes first.
struct Share<'a> {
    bars: Range<usize>,
    columns: Vec<(&'static Column, &'a mut [f64])>,
}

/// First bar of each symbol; the number of bars if it has none.
fn first_bars(close: &Table) -> Vec<usize> {
    let bars = close.cells.len() / close.width;
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

fn benchmark_closes(
    config: &BacktestConfig,
    calendar: &Calendar,
    prices: &PriceRows,
    symbol: &str,
) -> Result<Vec<f64>, DataError> {
    let mut closes = vec![f64::NAN; calendar.dates.len() - calendar.first_trading_bar];
    let is_benchmark: Vec<bool> = prices.symbols.iter().map(|name| name == symbol).collect();
    for chunk in &prices.chunks {
        for (day, rows, symbols) in chunk.runs() {
            let Some(day) = calendar.bar(day).and_then(|bar| bar.checked_sub(calendar.first_trading_bar))
            else {
                continue;
            };
            for (&symbol, &close) in symbols.iter().zip(&chunk.columns.close[rows]) {
                if is_benchmark[symbol as usize] && close.is_finite() && close > 0.0 {
                    closes[day] = close;
                }
            }
        }
    }
    if closes.iter().all(|close| close.is_nan()) {
        let (start, end) = (config.start_date, config.end_date);
        return Err(DataError::NoBenchmark { symbol: symbol.to_owned(), start, end });
    }
    Ok(closes)
}

impl Signals {
    /// `None` if the config needs no signals.
    fn of(
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
