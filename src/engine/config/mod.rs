//! What a user may ask for. [`BacktestConfig::from_value`] either yields a config that is valid throughout, so
//! that nothing about it needs to be checked later, or every fault with its path. Text formats are parsed above.
//!
//! `reader` checks types, ranges and unknown keys and fills in defaults; `account`, `strategy` and `pipeline` say
//! what the sections may hold; `needs` says what a config needs to be loaded, `unused` what has no effect in it.

mod account;
mod needs;
mod pipeline;
mod reader;
mod strategy;
mod unused;

use std::collections::HashSet;

use chrono::{Datelike as _, NaiveDate};
use serde::{Serialize, Serializer};
use serde_json::Value;

pub use self::account::*;
pub(crate) use self::needs::{
    COMPUTED_BREAKOUT_LOOKBACK, COMPUTED_SIGNAL_LOOKBACK, GAP_COLUMNS, RAW_EP_TERMS, VOLUME_RATIO_COLUMNS,
};
pub use self::needs::{PriceColumns, SignalColumns};
pub use self::pipeline::*;
pub use self::reader::Fault;
pub use self::strategy::*;

use self::reader::{Bounds, Faults, Fields};

/// A valid backtest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BacktestConfig {
    /// A name for people.
    pub run_name: Option<String>,
    /// First day that may be traded.
    pub start_date: NaiveDate,
    /// Last day, on or after `start_date`.
    pub end_date: NaiveDate,
    /// Money at the start; above 0.
    pub initial_cash: f64,
    /// What may be traded.
    pub universe: Universe,
    /// Where prices and signals come from.
    pub data: DataConfig,
    /// Who decides.
    pub strategy: StrategyConfig,
    /// How scores become weights.
    pub sizing: SizingConfig,
    /// What may be held.
    pub constraints: ConstraintsConfig,
    /// How targets become fills.
    pub broker: BrokerConfig,
    /// Which files are written.
    pub output: OutputConfig,
    /// What the result is compared with. `None`: nothing.
    pub benchmark: Option<Benchmark>,
    /// Annual risk-free rate, as a fraction.
    pub risk_free_rate: f64,
}

/// What may be traded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Universe {
    /// Which symbols.
    pub symbols: Symbols,
    /// Copied to the results.
    pub asset_class: String,
    /// Copied to the results.
    pub currency: String,
}

/// Which symbols a universe has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symbols {
    /// Every symbol of the price table (`"*"`).
    All,
    /// These, distinct, in the order of the config.
    Listed(Vec<String>),
}

/// What a result is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Benchmark {
    /// The closes of a symbol of the price table; it need not be in the universe.
    Symbol(String),
    /// The mean daily return of the universe.
    EqualWeight,
}

/// The word for [`Symbols::All`].
const EVERY_SYMBOL: &str = "*";
/// The word for [`Benchmark::EqualWeight`].
pub(crate) const EQUAL_WEIGHT: &str = "equal_weight";

impl BacktestConfig {
    /// Reads a config.
    ///
    /// # Errors
    /// Every fault of it, each with its path.
    pub fn from_value(value: &Value) -> Result<Self, Vec<Fault>> {
        let faults = Faults::default();
        let fields = Fields::of(value, String::new(), &faults);
        if !value.is_object() {
            return Err(faults.take());
        }
        let config = Self::read(&fields);
        drop(fields); // so that unknown keys are among the faults
        let faults = faults.take();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn read(f: &Fields<'_>) -> Self {
        let config = Self {
            run_name: run_name(f),
            start_date: date(f, "start_date"),
            end_date: date(f, "end_date"),
            initial_cash: f.number("initial_cash", 1_000_000.0, Bounds::POSITIVE),
            universe: Universe::read(&f.section("universe")),
            data: DataConfig::read(&f.section("data")),
            strategy: StrategyConfig::read(&f.section("strategy")),
            sizing: SizingConfig::read(&f.section("sizing")),
            constraints: ConstraintsConfig::read(&f.section("constraints")),
            broker: BrokerConfig::read(&f.section("broker")),
            output: OutputConfig::read(&f.section("output")),
            benchmark: f.text_opt("benchmark").map(|text| match text.as_str() {
                EQUAL_WEIGHT => Benchmark::EqualWeight,
                _ => Benchmark::Symbol(text),
            }),
            risk_free_rate: f.number("risk_free_rate", 0.0, Bounds::between(-0.99, 10.0)),
        };
        if config.end_date < config.start_date {
            let start = config.start_date;
            f.fault("end_date", format!("must not be before start_date ({start}), got {}", config.end_date));
        }
        if let Symbols::Listed(universe) = &config.universe.symbols {
            let universe: HashSet<&str> = universe.iter().map(String::as_str).collect();
            for (path, symbol) in config.strategy.named_symbols() {
                if !universe.contains(symbol.as_str()) {
                    f.fault(&format!("strategy.{path}"), format!("{symbol:?} is not in universe.symbols"));
                }
            }
        }
        config
    }

    /// The config with every default filled in; reading it gives the same config again.
    pub fn resolved(&self) -> Value {
        // A config holds only finite numbers and text keys, for which this conversion cannot fail.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

impl Universe {
    fn read(f: &Fields<'_>) -> Self {
        let mut symbols = match f.value("symbols").and_then(Value::as_str) {
            Some(EVERY_SYMBOL) => vec![EVERY_SYMBOL.to_owned()],
            _ => f.texts_required("symbols"),
        };
        let every = symbols.iter().any(|s| s == EVERY_SYMBOL);
        if every && symbols.len() > 1 {
            f.fault("symbols", "\"*\" means every symbol and stands alone");
            symbols.clear();
        }
        Self {
            symbols: if every { Symbols::All } else { Symbols::Listed(symbols) },
            asset_class: f.text("asset_class", "Equity"),
            currency: f.text("currency", "USD"),
        }
    }
}

impl Serialize for Symbols {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => [EVERY_SYMBOL].serialize(serializer),
            Self::Listed(symbols) => symbols.serialize(serializer),
        }
    }
}

impl Serialize for Benchmark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Characters that a name may have; lists show it.
const NAME_MAX: usize = 200;

fn run_name(f: &Fields<'_>) -> Option<String> {
    let name = f.text_opt("run_name")?;
    let length = name.chars().count();
    if length > NAME_MAX {
        f.fault("run_name", format!("must have at most {NAME_MAX} characters, has {length}"));
    }
    Some(name)
}

/// A day as `YYYY-MM-DD`. chrono also takes 2016-6-1 and +20160-01-01; the form is fixed so that files and paths made of
/// dates sort.
pub(crate) fn parse_date(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (date.to_string() == text && (1..=9999).contains(&date.year())).then_some(date)
}

/// A required date. A fault reads as 1970-01-01, which nobody sees.
fn date(f: &Fields<'_>, key: &'static str) -> NaiveDate {
    let text = f.text_required(key);
    let parsed = parse_date(&text);
    if parsed.is_none() && !text.is_empty() {
        f.fault(key, format!("must be a date as YYYY-MM-DD, got {text:?}"));
    }
    parsed.unwrap_or_default()
}
