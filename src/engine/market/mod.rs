//! Prices and signals as dense tables: one row per bar (trading day), one cell per symbol, bar after bar in
//! memory, so that everything about one day lies together. Closes are kept the other way round too.
//!
//! Shapes and gaps, explained once: bars are the distinct dates of the price rows of the universe, first the
//! warm-up before `start_date`, then the trading bars. Symbols are numbered in byte order of their names, so
//! that ascending ids are alphabetical order. A symbol without a bar on a day has NaN in all its cells of that
//! day; a bar exists if and only if its close is not NaN. Signal tables have a row per *trading* bar and NaN
//! where there is no number.
//!
//! `rows` is what loaders hand over, `calendar` finds days and symbols in it, `fill` and `signals` lay the numbers out,
//! `actions` says what earlier prices compare with later ones by where they are not adjusted, `panel` is the same for closes
//! alone, without a config. Prices are those that things trade at; what looks back asks for those that compare. How rows are
//! found in files is not known here; what is computed from bars lives in `lookback` and `price_signals`.

mod actions;
mod calendar;
pub mod counterfactual;
mod fill;
mod jumps;
mod panel;
mod rows;
mod series;
mod signals;

use std::ops::Range;

use chrono::NaiveDate;

pub use self::actions::CorporateAction;
pub(crate) use self::actions::CorporateActions;
use self::actions::Told;
use self::calendar::{Calendar, Names};
use self::fill::{PriceTables, Shape};
pub use self::jumps::{SplitLike, split_like};
pub use self::panel::PricePanel;
pub use self::rows::{DataError, DayNumbers, PriceChunk, PriceDays, PriceRows, SignalRows};
use self::signals::SignalTable;
use super::closes::Closes;
use super::config::{BacktestConfig, PriceColumn};
use super::metrics::calendar::periods_per_year;
use super::nearest::did_you_mean;
pub use super::symbols::SymbolId;
use super::table::Table;

/// Symbols without prices for which it is said what may have been meant.
const HINTS: usize = 20;

/// Where the numbers of a column of the price table are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PriceField {
    Open,
    High,
    Low,
    Close,
    Volume,
    /// By its place among the others.
    Other(usize),
}

/// What is to be said of closes that jump as splits do.
fn jumps_warning(closes: &Closes, symbols: &[String], dates: &[NaiveDate]) -> Option<String> {
    const SHOWN: usize = 3;
    let jumps = split_like(closes);
    let shown = jumps.iter().take(SHOWN);
    let shown = shown.map(|jump| format!("{} {}: {jump}", symbols[jump.symbol.index()], dates[jump.bar]));
    let more = if jumps.len() > SHOWN { "; …" } else { "" };
    let shown = shown.collect::<Vec<_>>().join("; ");
    (!jumps.is_empty()).then(|| {
        format!(
            "{} jumps of closes look like splits that the prices are not adjusted for ({shown}{more})",
            jumps.len()
        )
    })
}

/// Dense day-by-symbol tables of one backtest.
#[derive(Debug, Clone, PartialEq)]
pub struct Market {
    symbols: Vec<String>,
    universe: Vec<SymbolId>,
    dates: Vec<NaiveDate>,
    first_trading_bar: usize,
    closes: Closes,
    /// The other prices; those that the config does not need, or that the rows lack, are not there.
    open: Table,
    high: Option<Table>,
    low: Option<Table>,
    volume: Option<Table>,
    /// Other columns of the price table that the config names and the table has, by lower-case name.
    others: Vec<(String, Table)>,
    /// Those that the table lacks, and what is to be said of each.
    lacks: Vec<(String, String)>,
    exchange: Option<Vec<Option<String>>>,
    signals: Option<SignalTable>,
    computes_signals: bool,
    benchmark: Option<Vec<f64>>,
    risk_free: Option<Vec<f64>>,
    /// Bars in a year, as the trading days say.
    periods_per_year: f64,
    /// Dividends and splits; `None` if the prices are adjusted for them, or nothing is known of any.
    actions: Option<CorporateActions>,
    warnings: Vec<String>,
}

impl Market {
    /// Makes dense tables of the rows of the universe, from the configured warm-up to `end_date`. Tables that
    /// the config does not need are not built.
    ///
    /// # Errors
    /// If columns do not fit together, no row of the universe lies in the window, a number is infinite, dividends or splits do
    /// not go with the prices, or the benchmark has no prices.
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
        let window = (config.start_date, config.end_date);
        let names = Names::of(&config.universe.symbols, &prices.symbols);
        let ids = names.ids_of(&prices.symbols);
        let calendar = Calendar::of(window, config.warmup_bars(), &prices.chunks, &ids)
            .map_err(|error| error.or_meant(&names.sorted, &prices.left_out))?;
        let needed = config.price_columns();
        let mut warnings = prices.warnings.clone();

        let benchmark = series::benchmark(config, &calendar, &prices, &mut warnings)?;
        let risk_free = series::risk_free(config, &calendar, &prices, &mut warnings)?;
        let (lacks, left_out_names) = (prices.lacks.clone(), prices.left_out.clone());
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
        let (tables, repeats) = shape.fill(&ids, &prices, &needed)?;
        let announced = prices.are_unadjusted().then(|| actions::announced(&calendar, &prices, &ids));
        // Their numbers are in place; the memory is wanted for the closes by symbol.
        drop(prices);
        if repeats > 0 {
            warnings.push(format!("{repeats} price rows repeat a date and symbol; the last of each counts"));
        }
        let signals = signals.and_then(|rows| SignalTable::of(config, &shape, rows, &mut warnings));
        let PriceTables { close, open, high, low, volume, others } = tables;
        let others = needed.others.into_iter().zip(others);
        let others = others.filter_map(|(name, table)| Some((name, table?))).collect();
        let closes = Closes::new(close);
        let told = Told { symbols: &names.sorted, dates: &calendar.dates };
        let mut actions = None;
        if let Some(announced) = announced {
            let (made, wrong) = CorporateActions::of(announced, &closes, &open);
            let own = |symbol| closes.of(symbol, 0..closes.bars());
            warnings.extend(told.left_out(&wrong, config.data.on_impossible_price)?);
            warnings.extend(told.unshown(made.all(), own, config.data.prices.is_some())?);
            actions = Some(made);
        }
        let comparable = actions.as_ref().map_or(&closes, CorporateActions::closes);
        warnings.extend(jumps_warning(comparable, &names.sorted, &calendar.dates));
        let left_out = || left_out_names.iter().map(String::as_str);
        let mut unpriced = 0;
        for (index, symbol) in names.sorted.iter().enumerate() {
            if closes.listed(SymbolId::of_index(index)) == closes.bars() {
                let hint = if unpriced < HINTS { did_you_mean(symbol, left_out()) } else { String::new() };
                unpriced += 1;
                warnings.push(format!("{symbol}: no price row in the window, so it never trades{hint}"));
            }
        }
        Ok(Self {
            symbols: names.sorted,
            universe: names.in_config_order,
            periods_per_year: periods_per_year(&calendar.dates[calendar.first_trading_bar..]),
            first_trading_bar: calendar.first_trading_bar,
            dates: calendar.dates,
            closes,
            open,
            high,
            low,
            volume,
            others,
            lacks,
            exchange,
            signals,
            // Signals of its own a config names with all that it reads.
            computes_signals: config.data.signal_path.is_none(),
            benchmark,
            risk_free,
            actions,
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
        self.symbols.binary_search_by(|known| known.as_str().cmp(name)).ok().map(SymbolId::of_index)
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
        self.closes.listed(symbol)
    }

    /// Closing price; NaN without a bar.
    pub fn close(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.closes.get(bar, symbol)
    }

    /// Closing prices of a symbol on some bars; NaN without a bar.
    pub(crate) fn closes_of(&self, symbol: SymbolId, bars: Range<usize>) -> &[f64] {
        self.closes.of(symbol, bars)
    }

    /// Opening price; NaN without a bar.
    pub fn open(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.open.get(bar, symbol.index())
    }

    /// Highest price; the close where it is missing, NaN without a bar.
    pub(crate) fn high(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.or_close(self.high.as_ref(), bar, symbol)
    }

    /// Lowest price; the close where it is missing, NaN without a bar.
    pub(crate) fn low(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.or_close(self.low.as_ref(), bar, symbol)
    }

    fn or_close(&self, table: Option<&Table>, bar: usize, symbol: SymbolId) -> f64 {
        let value = table.map_or(f64::NAN, |table| table.get(bar, symbol.index()));
        if value.is_nan() { self.close(bar, symbol) } else { value }
    }

    /// A number of a bar; NaN without one.
    pub(crate) fn price(&self, field: PriceField, bar: usize, symbol: SymbolId) -> f64 {
        match field {
            PriceField::Open => self.open(bar, symbol),
            PriceField::High => self.high(bar, symbol),
            PriceField::Low => self.low(bar, symbol),
            PriceField::Close => self.close(bar, symbol),
            PriceField::Volume => self.volume(bar, symbol),
            PriceField::Other(at) => self.others[at].1.get(bar, symbol.index()),
        }
    }

    /// The numbers of another column of the price table, one row per bar.
    ///
    /// # Errors
    /// As [`Self::price_field`].
    pub(crate) fn price_table(&self, column: &PriceColumn) -> Result<&Table, String> {
        let lack = || format!("the price table has no column {} of that kind", column.as_str());
        match self.price_field(column)? {
            PriceField::Other(at) => Ok(&self.others[at].1),
            PriceField::Open
            | PriceField::High
            | PriceField::Low
            | PriceField::Close
            | PriceField::Volume => Err(lack()),
        }
    }

    /// Where the numbers of a column are.
    ///
    /// # Errors
    /// What is to be said of a column that the price table lacks: `the price table has no column x`.
    pub(crate) fn price_field(&self, column: &PriceColumn) -> Result<PriceField, String> {
        Ok(match column {
            PriceColumn::Open => PriceField::Open,
            PriceColumn::Close => PriceField::Close,
            PriceColumn::High if self.high.is_some() => PriceField::High,
            PriceColumn::Low if self.low.is_some() => PriceField::Low,
            PriceColumn::Volume if self.volume.is_some() => PriceField::Volume,
            PriceColumn::High | PriceColumn::Low | PriceColumn::Volume | PriceColumn::Other(_) => {
                let name = column.as_str();
                let at = self.others.iter().position(|(known, _)| known == name);
                return at.map(PriceField::Other).ok_or_else(|| {
                    let lack = self.lacks.iter().find(|(known, _)| known == name);
                    let lack = lack.map_or_else(|| format!("no column {name}"), |(_, lack)| lack.clone());
                    format!("the price table has {lack}")
                });
            }
        })
    }

    /// Shares traded; NaN where unknown.
    pub(crate) fn volume(&self, bar: usize, symbol: SymbolId) -> f64 {
        self.volume.as_ref().map_or(f64::NAN, |table| table.get(bar, symbol.index()))
    }

    /// Whether the price table has a column, as far as the config needs it.
    pub(crate) fn has_price_column(&self, name: &str) -> bool {
        match name.to_ascii_lowercase().as_str() {
            "date" | "symbol" | "open" | "close" => true,
            "high" => self.high.is_some(),
            "low" => self.low.is_some(),
            "volume" => self.volume.is_some(),
            name => self.others.iter().any(|(known, _)| known == name),
        }
    }

    /// Closing prices of a bar, one cell per symbol.
    pub(crate) fn closes(&self, bar: usize) -> &[f64] {
        self.closes.on(bar)
    }

    /// Opening prices of a bar, one cell per symbol.
    pub(crate) fn opens(&self, bar: usize) -> &[f64] {
        self.open.row(bar)
    }

    /// Volumes of a bar, one cell per symbol. `None` if the config does not need them or the table lacks them.
    pub(crate) fn volumes(&self, bar: usize) -> Option<&[f64]> {
        self.volume.as_ref().map(|table| table.row(bar))
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

    /// Days with rows of the signal table and without trading.
    pub(crate) fn signal_days_without_trading(&self) -> usize {
        self.signals.as_ref().map_or(0, |signals| signals.days_without_trading)
    }

    /// Position of a signal column, matched without regard to case. `None` if the table lacks it.
    pub(crate) fn signal_column(&self, name: &str) -> Option<usize> {
        let columns = &self.signals.as_ref()?.columns;
        columns.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// What may have been meant by a signal column that the table lacks: `; did you mean x?`, or nothing.
    pub(crate) fn signal_hint(&self, name: &str) -> &str {
        let lacks = self.signals.iter().flat_map(|signals| &signals.lacks);
        let mut lacks = lacks.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        lacks.next().map_or("", |(_, hint)| hint)
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

    /// The risk-free rate of each trading day, as a fraction, for the period that the config says. `None` if it is the same
    /// on all days.
    pub fn risk_free(&self) -> Option<&[f64]> {
        self.risk_free.as_deref()
    }

    /// Bars in a year, by which yearly figures are scaled: what the config says, or the trading days.
    pub fn periods_per_year(&self, config: &BacktestConfig) -> f64 {
        config.metrics.periods_per_year.unwrap_or(self.periods_per_year)
    }

    /// What the reader of the results should know about the data.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
