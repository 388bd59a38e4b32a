//! Markets small enough to compute by hand: a few symbols, weekdays from Monday 2024-01-01 on.

use std::ops::ControlFlow;

use backtest_functions::engine::config::BacktestConfig;
use backtest_functions::engine::market::{DataError, PriceChunk, PriceDays, PriceRows, SignalRows};
use backtest_functions::engine::{Market, Outcome, RunError, run};
use chrono::{Datelike as _, NaiveDate, Weekday};
use serde_json::{Map, Value, json};

/// No bar, or no number.
pub(crate) const NONE: f64 = f64::NAN;

/// The weekdays from 2024-01-01 on.
pub(crate) fn weekdays() -> impl Iterator<Item = NaiveDate> {
    let first = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap();
    first.iter_days().filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun))
}

/// Day `n` of a toy market, from 0.
pub(crate) fn day(n: usize) -> NaiveDate {
    weekdays().nth(n).unwrap()
}

/// A toy market on its way to a run.
#[derive(Debug, Clone)]
pub(crate) struct Toy {
    pub(crate) config: Value,
    pub(crate) symbols: Vec<String>,
    /// Exchange by symbol; empty means that the table has no such column.
    pub(crate) exchange: Vec<Option<String>>,
    pub(crate) chunks: Vec<PriceChunk>,
    /// Names of the other columns of the prices.
    pub(crate) others: Vec<String>,
    pub(crate) signals: Option<SignalRows>,
}

impl Toy {
    /// Symbols with their daily prices; open, high, low and close are the same, the volume is 1 million.
    pub(crate) fn flat(series: &[(&str, &[f64])]) -> Self {
        let bars = series.iter().map(|(name, prices)| (*name, prices.iter().map(|p| [*p; 4]).collect()));
        Self::new(&bars.collect::<Vec<_>>())
    }

    /// Symbols with their daily bars: open, high, low, close.
    pub(crate) fn new(series: &[(&str, Vec<[f64; 4]>)]) -> Self {
        let mut rows = PriceChunk::default();
        for (id, (_, bars)) in series.iter().enumerate() {
            for (date, [open, high, low, close]) in weekdays().zip(bars) {
                rows.date.push(date.to_epoch_days());
                rows.symbol.push(id as u32);
                rows.open.push(*open);
                rows.high.push(*high);
                rows.low.push(*low);
                rows.close.push(*close);
                rows.volume.push(1e6);
            }
        }
        let symbols: Vec<String> = series.iter().map(|(name, _)| (*name).to_owned()).collect();
        let config = json!({
            "start_date": "2024-01-01",
            "end_date": "2024-12-31",
            "initial_cash": 1000,
            "universe": { "symbols": symbols },
            "strategy": { "class": "StaticUniverseStrategy" },
        });
        Self { config, symbols, exchange: Vec::new(), chunks: vec![rows], others: Vec::new(), signals: None }
    }

    /// Replaces parts of the config; objects are merged, but a strategy of another type takes the place of the
    /// old one.
    pub(crate) fn with(mut self, parts: Value) -> Self {
        if parts["strategy"]["type"].is_string() {
            self.config["strategy"] = Value::Null;
        }
        merge(&mut self.config, parts);
        self
    }

    /// Adds a column to the prices: the numbers of the first symbol day by day, then those of the next.
    pub(crate) fn column(mut self, name: &str, values: &[f64]) -> Self {
        self.others.push(name.to_owned());
        self.chunks[0].others.push(values.to_vec());
        self
    }

    /// Makes the prices unadjusted: dividends and splits of the first symbol day by day, then those of the next.
    pub(crate) fn events(mut self, dividend: &[f64], split_factor: &[f64]) -> Self {
        self.chunks[0].dividend = dividend.to_vec();
        self.chunks[0].split_factor = split_factor.to_vec();
        self
    }

    /// Adds a signal column, day by day for each symbol.
    pub(crate) fn signal(mut self, column: &str, series: &[(&str, &[f64])]) -> Self {
        let rows = self.signals.get_or_insert_default();
        rows.symbols = self.symbols.clone();
        let mut numbers = Vec::new();
        let is_first = rows.columns.is_empty();
        for (name, values) in series {
            let id = rows.symbols.iter().position(|known| known == name).unwrap();
            for (date, value) in weekdays().zip(*values) {
                if is_first {
                    rows.date.push(date.to_epoch_days());
                    rows.symbol.push(id as u32);
                }
                numbers.push(*value);
            }
        }
        rows.columns.push((column.to_owned(), numbers));
        self
    }

    /// The parsed config.
    pub(crate) fn config(&self) -> BacktestConfig {
        BacktestConfig::from_value(&self.config).unwrap_or_else(|faults| panic!("{faults:?}"))
    }

    /// The dense market, if the rows make one.
    pub(crate) fn try_market(&self) -> Result<Market, DataError> {
        let chunks = self.chunks.iter().cloned().map(PriceDays::from).collect();
        let prices = PriceRows {
            symbols: self.symbols.clone(),
            exchange: self.exchange.clone(),
            chunks,
            others: self.others.clone(),
            ..PriceRows::default()
        };
        Market::assemble(&self.config(), prices, self.signals.clone())
    }

    /// The dense market.
    pub(crate) fn market(&self) -> Market {
        self.try_market().unwrap()
    }

    /// Runs it.
    pub(crate) fn try_run(&self) -> Result<Outcome, RunError> {
        run(&self.config(), &self.market(), &mut |_, _| ControlFlow::Continue(()))
    }

    /// Runs it to the end.
    pub(crate) fn run(&self) -> Outcome {
        self.try_run().unwrap()
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert_with(|| Value::Object(Map::new())), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The fills of a run as `(day, symbol, quantity)`.
pub(crate) fn fills(outcome: &Outcome) -> Vec<(NaiveDate, String, f64)> {
    let t = &outcome.trades;
    let rows = 0..t.symbol.len();
    rows.map(|i| (t.execution_date[i], outcome.name(t.symbol[i]).to_owned(), t.quantity[i])).collect()
}

/// The warnings of a run but those that its shortness and what limits did to it give: toys are short.
pub(crate) fn said(outcome: &Outcome) -> Vec<String> {
    let of_toys = ["only ", "the computed period", "what limits did"];
    let warnings =
        outcome.summary.warnings.iter().filter(|said| !of_toys.iter().any(|of| said.starts_with(of)));
    warnings.cloned().collect()
}

/// The days on which something traded.
pub(crate) fn trading_days(outcome: &Outcome) -> Vec<NaiveDate> {
    let mut days = outcome.trades.execution_date.clone();
    days.dedup();
    days
}

/// Whether two numbers are equal but for rounding.
pub(crate) fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}
