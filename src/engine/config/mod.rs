//! What a user may ask for. [`BacktestConfig::from_value`] either yields a config that is valid throughout, so
//! that nothing about it needs to be checked later, or every fault with its path. Text formats are parsed above.
//!
//! One file per section, and for what a section may be chosen from: `classes` and `pipeline`, twins of the folder of
//! strategies. Each holds its type, how it is read, what it needs of the market and when an option has no effect.
//! `options` is the language in which they declare their options, `reader` walks through the given object, `schema`
//! puts the declarations together, `needs` the needs.

mod broker;
mod cash_rate;
mod classes;
mod composite;
mod constraints;
mod data;
mod metrics;
mod needs;
mod options;
mod output;
mod pipeline;
mod price_column;
mod reader;
mod schema;
mod series;
mod shrinkage;
mod single;
mod sizing;
mod strategy;

use std::collections::HashSet;

use chrono::{Datelike as _, NaiveDate};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

pub use self::broker::*;
pub use self::cash_rate::{CashRate, DelistingReturn};
pub use self::classes::*;
pub use self::composite::*;
pub use self::constraints::*;
pub use self::data::*;
pub use self::metrics::*;
pub use self::needs::{PriceColumns, SignalColumns};
pub use self::output::*;
pub use self::pipeline::*;
pub use self::price_column::PriceColumn;
pub use self::reader::Fault;
pub(crate) use self::reader::{Faults, Fields};
pub use self::series::*;
pub use self::shrinkage::{Shrinkage, ShrinkageRule};
pub use self::single::SingleConfig;
pub use self::sizing::*;
pub use self::strategy::*;

use self::options::{Bounds, Kind, Scalar, Section as _, number, options, section, text, text_or_number};
use self::schema::{Definitions, ObjectSchema};

options! {
    /// A valid backtest.
    BacktestConfig {
        /// A name for people.
        run_name: Option<String> = text_or_number().characters(NAME_MAX).off(),
        /// Under which the ledger of a service counts the run as a trial: 1 to 64 of a-z, 0-9 and `-`.
        #[serde(skip_serializing_if = "Option::is_none")]
        experiment: Option<String> = ExperimentName.off(),
        /// First day that may be traded.
        start_date: NaiveDate = Day.required(),
        /// Last day, on or after `start_date`.
        end_date: NaiveDate = Day.required(),
        /// Money at the start; above 0.
        initial_cash: f64 = number(Bounds::POSITIVE).or(1_000_000.0),
        /// What may be traded.
        universe: Universe = section(),
        /// Where prices and signals come from.
        data: DataConfig = section(),
        /// Who decides.
        strategy: StrategyConfig = Strategy,
        /// How scores become weights.
        sizing: SizingConfig = Sizing,
        /// What may be held.
        constraints: ConstraintsConfig = section(),
        /// How targets become fills.
        broker: BrokerConfig = section(),
        /// Which files are written.
        output: OutputConfig = Output,
        /// What the result is compared with: a symbol, `equal_weight`, or a series. `None`: nothing.
        benchmark: Option<Benchmark> = series::BenchmarkChoice,
        /// Annual risk-free rate, as a fraction, or a series of rates.
        risk_free_rate: RiskFree = series::RiskFreeChoice,
        /// How figures are computed.
        metrics: MetricsConfig = section(),
        /// What was found while it was read.
        #[serde(skip)]
        notes: Notes = Stamps,
    }
    checked by Self::check
}

options! {
    /// What may be traded.
    Universe {
        /// Which symbols: a list, or `"*"` for every symbol of the price table.
        symbols: Symbols = SymbolList,
        /// Copied to the results.
        asset_class: String = text_or_number().or("Equity"),
        /// Copied to the results.
        currency: String = text_or_number().or("USD"),
    }
}

/// Which symbols a universe has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symbols {
    /// Every symbol of the price table (`"*"`).
    All,
    /// These, distinct, in the order of the config.
    Listed(Vec<String>),
}

/// What the reader of the results should know about how a config was read; no part of what it asks for, so that two
/// that ask for the same are equal.
#[derive(Debug, Clone, Default)]
pub struct Notes(Vec<String>);

impl PartialEq for Notes {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The word for [`Symbols::All`].
const EVERY_SYMBOL: &str = "*";
/// Characters that a name may have; lists show it.
const NAME_MAX: usize = 200;

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
        let mut config = Self::read(&fields);
        drop(fields); // so that unknown keys are among the faults
        config.notes = Notes(faults.take_notes());
        let faults = faults.take();
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    fn check(&self, f: &Fields<'_>) {
        // A day that is missing, or none, is a fault of its own.
        let given = |key| f.value(key).and_then(Value::as_str).and_then(|text| parse_day(text.trim()));
        if let (Some(start), Some(end)) = (given("start_date"), given("end_date"))
            && end < start
        {
            f.fault("end_date", format!("must not be before start_date ({start}), got {end}"));
        }
        self.data.check(f);
        if let Symbols::Listed(universe) = &self.universe.symbols {
            let universe: HashSet<&str> = universe.iter().map(String::as_str).collect();
            for (path, symbol) in self.strategy.named_symbols() {
                if !universe.contains(symbol) {
                    f.fault(&format!("strategy.{path}"), format!("{symbol:?} is not in universe.symbols"));
                }
            }
        }
    }

    /// The config with every default filled in; reading it gives the same config again.
    pub fn resolved(&self) -> Value {
        // A config holds only finite numbers and text keys, for which this conversion cannot fail.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }

    /// Options that are valid and yet have no effect beside the others, or not the one that may be meant, one sentence each
    /// with the path of the option. They are not refused, since configs are often varied one value at a time, but the
    /// reader of the results is told.
    pub fn warnings(&self) -> Vec<String> {
        let mut found = self.notes.0.clone();
        self.output.without_effect(&mut found);
        self.constraints.without_effect(&mut found);
        self.broker.without_effect(&mut found);
        self.sizing.without_effect("sizing", &mut found);
        self.strategy.without_effect("strategy", &self.sizing, &mut found);
        if self.output.save_orders {
            self.strategy.undecided_on_last_day("strategy", &mut found);
        }
        found
    }
}

/// The list of symbols, or the star, in a list or alone.
struct SymbolList;

impl Kind for SymbolList {
    type Value = Symbols;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Symbols {
        if f.value(key).and_then(Value::as_str) == Some(EVERY_SYMBOL) {
            return Symbols::All;
        }
        if f.lacks(key) {
            f.fault(key, "must be a non-empty list");
        }
        let symbols = options::some_texts().or_none().read(f, key);
        if !symbols.iter().any(|symbol| symbol == EVERY_SYMBOL) {
            return Symbols::Listed(symbols);
        }
        if symbols.len() > 1 {
            f.fault(key, "\"*\" means every symbol and stands alone");
        }
        Symbols::All
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let list = options::some_texts().schema(object.definitions);
        object.property(key, doc, json!({ "anyOf": [list, { "const": EVERY_SYMBOL }] }));
        object.require(key);
    }
}

/// What a resolved config says about the run that it was resolved for. A repeat is another run.
struct Stamps;

impl Stamps {
    const KEYS: [&'static str; 4] = ["run_id", "submitted_at", "data_versions", "engine_version"];

    /// Whether an object is a resolved config.
    fn are_on(f: &Fields<'_>) -> bool {
        Self::KEYS.iter().any(|key| !f.lacks(key))
    }
}

impl Kind for Stamps {
    type Value = Notes;

    fn read(&self, f: &Fields<'_>, _: &'static str) -> Notes {
        for key in Self::KEYS {
            if f.value(key).is_some() {
                f.note(key, "has no effect: it says what run the config was resolved for");
            }
        }
        Notes::default()
    }

    fn describe(&self, _: &'static str, _: &str, object: &mut ObjectSchema<'_>) {
        for key in Self::KEYS {
            object.property(key, "Of the run that a config was resolved for; no effect.", json!({}));
        }
    }
}

/// The output of a run. That of a resolved config may be a folder of the machine that it was resolved on, which a repeat
/// does not write to.
struct Output;

impl Kind for Output {
    type Value = OutputConfig;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> OutputConfig {
        let mut output: OutputConfig = section().read(f, key);
        let is_absolute = output.local_dir.as_ref().is_some_and(|folder| folder.starts_with('/'));
        if is_absolute && Stamps::are_on(f) {
            f.note(
                "output.local_dir",
                "has no effect: it is the folder of the run that the config was resolved for",
            );
            output.local_dir = None;
        }
        output
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        section::<OutputConfig>().describe(key, doc, object);
    }
}

/// The name of an experiment.
struct ExperimentName;

impl Scalar for ExperimentName {
    type Value = String;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<String> {
        let name = text().parse(f, key, value)?;
        check_experiment(&name).map_err(|message| f.fault(key, message)).ok().map(|()| name)
    }

    fn schema(&self, _: &mut Definitions) -> Value {
        json!({ "type": "string", "pattern": "^[a-z0-9-]{1,64}$" })
    }
}

/// Whether a text may name an experiment.
///
/// # Errors
/// What is wrong with it.
pub fn check_experiment(name: &str) -> Result<(), String> {
    let lawful = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(lawful) {
        return Ok(());
    }
    Err(format!("must be 1 to 64 of a-z, 0-9 and '-', got {name:?}"))
}

/// The JSON Schema of a whole config.
pub fn schema() -> Value {
    let mut definitions = Definitions::default();
    let mut root = ObjectSchema::new(BacktestConfig::DOC, &mut definitions);
    BacktestConfig::describe(&mut root);
    let root = root.finish();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Config of a backtest",
    });
    if let (Some(schema), Value::Object(root)) = (schema.as_object_mut(), root) {
        schema.extend(root);
        schema.insert("$defs".to_owned(), Value::Object(definitions.done));
    }
    schema
}

/// The strategy, which must be there.
struct Strategy;

impl Kind for Strategy {
    type Value = StrategyConfig;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> StrategyConfig {
        StrategyConfig::read(f.section(key))
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let schema = StrategyConfig::schema(object.definitions);
        object.property(key, doc, schema);
        object.require(key);
    }
}

/// The sizer; left out it is the default one.
struct Sizing;

impl Kind for Sizing {
    type Value = SizingConfig;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> SizingConfig {
        SizingConfig::read(&f.section(key))
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let schema = schema::nullable(SizingConfig::schema(object.definitions));
        object.property(key, doc, schema);
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

/// A day as `YYYY-MM-DD`.
struct Day;

impl Scalar for Day {
    type Value = NaiveDate;

    /// A fault reads as 1970-01-01, which is never shown.
    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<NaiveDate> {
        let text = text().parse(f, key, value)?;
        let parsed = parse_day(&text);
        if parsed.is_none() {
            f.fault(key, format!("must be a date as YYYY-MM-DD, got {text:?}"));
        }
        parsed
    }

    fn schema(&self, _: &mut Definitions) -> Value {
        json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]00:00(:00(\\.0+)?)?(Z|[+]00:00)?)?$" })
    }
}

/// A day as a date, or as a timestamp at its midnight.
fn parse_day(text: &str) -> Option<NaiveDate> {
    parse_date(text).or_else(|| parse_midnight(text))
}

/// A day as a timestamp at its midnight, of no time zone or UTC.
fn parse_midnight(text: &str) -> Option<NaiveDate> {
    let (date, time) = text.split_once(['T', ' '])?;
    let time = time.strip_suffix('Z').or_else(|| time.strip_suffix("+00:00")).unwrap_or(time);
    let is_midnight = time.starts_with("00:00") && time.chars().all(|c| matches!(c, '0' | ':' | '.'));
    parse_date(date).filter(|_| is_midnight)
}

/// A day as `YYYY-MM-DD`. chrono also takes 2016-6-1 and +20160-01-01; the form is fixed so that files and paths made of
/// dates sort.
pub(crate) fn parse_date(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    (date.to_string() == text && (1..=9999).contains(&date.year())).then_some(date)
}
