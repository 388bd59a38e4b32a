//! What a config needs to be loaded: bars of history, price columns, signal columns, symbols. Each section says what
//! it needs itself; this is where the answers come together.

use super::{BacktestConfig, Benchmark, FillPolicy, PriceBasis, Symbols};
use crate::engine::price_signals::LOOKBACK_BARS;

/// Price columns that a run reads beside open and close.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceColumns {
    /// Highest and lowest prices.
    pub high_low: bool,
    /// Whether volumes are read.
    pub volume: bool,
    /// Whether the exchange of each symbol is read.
    pub exchange: bool,
    /// Other columns of numbers, in lower case, each once: first those of which a number is asked for each symbol.
    pub others: Vec<String>,
    /// How many of them these are; the rest has one number for all symbols of a day.
    pub by_symbol: usize,
    /// What the prices are said to be; `None` leaves it to the columns of the table.
    pub basis: Option<PriceBasis>,
}

/// Signal columns that a run reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalColumns {
    /// The strategy never looks at signals.
    None,
    /// Every column of the table.
    All,
    /// These, sorted; as written in the config.
    Named(Vec<String>),
}

/// What the sections of a config ask of the market, put together.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Bars before today.
    lookback: usize,
    pub(super) prices: PriceColumns,
    signals: Vec<String>,
    /// Whether it counts which symbols have a signal row.
    pub(super) signal_rows: bool,
}

impl Needs {
    /// That many bars before today.
    pub(super) fn bars(&mut self, before_today: usize) {
        self.lookback = self.lookback.max(before_today);
    }

    /// The last `bars` bars, of which today's is one.
    pub(super) fn bars_to_today(&mut self, bars: u32) {
        self.bars((bars as usize).saturating_sub(1));
    }

    /// A column of the price table by its name, in lower case.
    pub(super) fn price_table(&mut self, column: &str) {
        if !self.prices.others.iter().any(|known| known == column) {
            self.prices.others.push(column.to_owned());
        }
    }

    /// A signal column.
    pub(super) fn signal(&mut self, column: &str) {
        self.signals.push(column.to_owned());
    }
}

impl BacktestConfig {
    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        self.strategy.needs(&mut needs);
        self.sizing.needs(&mut needs);
        self.broker.needs(&mut needs);
        needs
    }

    /// Trading bars before `start_date` that look-backs may use: `data.warmup_days`, or as many as they need.
    pub fn warmup_bars(&self) -> usize {
        if let Some(bars) = self.data.warmup_days {
            return bars as usize;
        }
        let needs = self.needs();
        if self.data.signal_path.is_none() && !needs.signals.is_empty() {
            return needs.lookback.max(LOOKBACK_BARS);
        }
        needs.lookback
    }

    /// The price columns that the run reads beside open and close.
    pub fn price_columns(&self) -> PriceColumns {
        let mut columns = self.needs().prices;
        columns.by_symbol = columns.others.len();
        columns.basis = self.data.prices;
        for series in [self.benchmark.as_ref().and_then(Benchmark::series), self.risk_free_rate.series()] {
            let of_prices = series.filter(|series| series.path.is_none()).and_then(|series| series.column);
            let Some(column) = of_prices.map(str::to_ascii_lowercase) else { continue };
            if !columns.others.contains(&column) {
                columns.others.push(column);
            }
        }
        columns
    }

    /// The signal columns that the run reads.
    pub fn signal_columns(&self) -> SignalColumns {
        let mut names = self.needs().signals;
        names.sort();
        names.dedup();
        if names.is_empty() { SignalColumns::None } else { SignalColumns::Named(names) }
    }

    /// Whether the run asks which symbols have a signal row.
    pub(crate) fn reads_signal_rows(&self) -> bool {
        self.needs().signal_rows
    }

    /// The symbols whose prices the run reads, the benchmark included. `None`: all.
    pub fn price_symbols(&self) -> Option<Vec<String>> {
        let Symbols::Listed(symbols) = &self.universe.symbols else { return None };
        let mut symbols = symbols.clone();
        if let Some(Benchmark::Symbol(benchmark)) = &self.benchmark
            && !symbols.contains(benchmark)
        {
            symbols.push(benchmark.clone());
        }
        Some(symbols)
    }

    /// The same on the newest versions of its tables.
    pub fn of_newest_data(&self) -> Self {
        let mut newest = self.clone();
        (newest.data.price_version, newest.data.signal_version, newest.data.as_of) = (None, None, None);
        newest
    }

    /// Whether fills happen at the close.
    pub fn fills_at_close(&self) -> bool {
        self.broker.fill_policy == FillPolicy::NextClose
    }
}
