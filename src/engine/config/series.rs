//! What the result is compared with and what cash would have earned: each a name or a number, or a number for each day
//! from a column of the price table or of a table of its own.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::options::{Bounds, Kind, Scalar as _, Section as _, number, options, text, word, words};
use super::reader::Fields;
use super::schema::{Definitions, ObjectSchema};

/// What a result is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Benchmark {
    /// The closes of a symbol of the price table; it need not be in the universe.
    Symbol(String),
    /// The mean daily return of the universe.
    EqualWeight,
    /// A price, or the level of an index, for each day.
    Series(LevelSeries),
}

/// The risk-free rate.
#[derive(Debug, Clone, PartialEq)]
pub enum RiskFree {
    /// The same on all days, a year's, as a fraction.
    Rate(f64),
    /// One for each day.
    Series(RateSeries),
}

/// The word for [`Benchmark::EqualWeight`].
pub(crate) const EQUAL_WEIGHT: &str = "equal_weight";

/// Where the numbers of a series stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesSource<'c> {
    /// The column of numbers. `None`: the close, as a bar would have it.
    pub column: Option<&'c str>,
    /// The table, file or folder. `None`: the price table.
    pub path: Option<&'c str>,
    /// Whose rows they are.
    pub symbol: Option<&'c str>,
}

options! {
    /// A price, or the level of an index, for each day.
    LevelSeries {
        /// The column. `None`: the adjusted close of the table that `path` names, or its close.
        column: Option<String> = text().off(),
        /// A table, file or folder with a date in each row. `None`: the price table, where all rows of a day say the same.
        path: Option<String> = text().off(),
        /// Whose rows they are, in a table of several symbols.
        symbol: Option<String> = text().off(),
    }
    checked by Self::check
}

options! {
    /// A risk-free rate for each day.
    RateSeries {
        /// The column.
        column: String = text().required(),
        /// A table, file or folder with a date in each row. `None`: the price table, where all rows of a day say the same.
        path: Option<String> = text().off(),
        /// Whose rows they are, in a table of several symbols.
        symbol: Option<String> = text().off(),
        /// For how long a rate is.
        per: RatePeriod = word().or(RatePeriod::Year),
        /// How a rate is written.
        unit: RateUnit = word().or(RateUnit::Fraction),
    }
    checked by Self::check
}

words! {
    /// For how long a rate is.
    RatePeriod {
        /// A year.
        Year = "year",
        /// A trading day.
        Day = "day",
    }
}

words! {
    /// How a rate is written.
    RateUnit {
        /// 0.05 is five percent.
        Fraction = "fraction",
        /// 5 is five percent.
        Percent = "percent",
    }
}

impl SeriesSource<'_> {
    /// A series of the price table says which column, and nothing of symbols.
    fn check(self, f: &Fields<'_>) {
        if self.path.is_none() && self.column.is_none() && f.lacks("column") {
            f.fault("column", "is required: a column of the price table, or of the table that path names");
        }
        if self.path.is_none() && self.symbol.is_some() {
            f.fault("symbol", "needs a path: all rows of a day of the price table say the same");
        }
    }
}

impl LevelSeries {
    fn check(&self, f: &Fields<'_>) {
        self.source().check(f);
    }

    /// Where its numbers stand.
    pub fn source(&self) -> SeriesSource<'_> {
        SeriesSource {
            column: self.column.as_deref(),
            path: self.path.as_deref(),
            symbol: self.symbol.as_deref(),
        }
    }
}

impl RateSeries {
    fn check(&self, f: &Fields<'_>) {
        self.source().check(f);
    }

    /// Where its numbers stand.
    pub fn source(&self) -> SeriesSource<'_> {
        SeriesSource {
            column: Some(&self.column),
            path: self.path.as_deref(),
            symbol: self.symbol.as_deref(),
        }
    }
}

impl Benchmark {
    /// The symbol, `equal_weight`, or what a series is called: its symbol or its column.
    pub fn name(&self) -> &str {
        match self {
            Self::Symbol(symbol) => symbol,
            Self::EqualWeight => EQUAL_WEIGHT,
            Self::Series(series) => {
                let SeriesSource { column, path, symbol } = series.source();
                symbol.or(column).or(path).unwrap_or_default()
            }
        }
    }

    /// Where the numbers of a series stand.
    pub fn series(&self) -> Option<SeriesSource<'_>> {
        match self {
            Self::Symbol(_) | Self::EqualWeight => None,
            Self::Series(series) => Some(series.source()),
        }
    }
}

impl RiskFree {
    /// Where the numbers of a series stand.
    pub fn series(&self) -> Option<SeriesSource<'_>> {
        match self {
            Self::Rate(_) => None,
            Self::Series(series) => Some(series.source()),
        }
    }
}

/// A benchmark: a name, or a series.
pub(super) struct BenchmarkChoice;

impl Kind for BenchmarkChoice {
    type Value = Option<Benchmark>;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Option<Benchmark> {
        if f.value(key).is_some_and(Value::is_object) {
            return Some(Benchmark::Series(LevelSeries::read(&f.section(key))));
        }
        let name = text().off().read(f, key)?;
        Some(if name == EQUAL_WEIGHT { Benchmark::EqualWeight } else { Benchmark::Symbol(name) })
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let series = object.definitions.section::<LevelSeries>();
        let name = text().schema(object.definitions);
        let schema = json!({ "anyOf": [name, series, { "type": "null" }], "default": null });
        object.property(key, doc, schema);
    }
}

/// A risk-free rate: a number, or a series.
pub(super) struct RiskFreeChoice;

impl RiskFreeChoice {
    const BOUNDS: Bounds = Bounds::between(-0.99, 10.0);

    fn number_schema(definitions: &mut Definitions) -> Value {
        number(Self::BOUNDS).schema(definitions)
    }
}

impl Kind for RiskFreeChoice {
    type Value = RiskFree;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> RiskFree {
        if f.value(key).is_some_and(Value::is_object) {
            return RiskFree::Series(RateSeries::read(&f.section(key)));
        }
        RiskFree::Rate(number(Self::BOUNDS).or(0.0).read(f, key))
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let series = object.definitions.section::<RateSeries>();
        let rate = Self::number_schema(object.definitions);
        let schema = json!({ "anyOf": [rate, series, { "type": "null" }], "default": 0.0 });
        object.property(key, doc, schema);
    }
}

impl Serialize for Benchmark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Symbol(_) | Self::EqualWeight => serializer.serialize_str(self.name()),
            Self::Series(series) => series.serialize(serializer),
        }
    }
}

impl Serialize for RiskFree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Rate(rate) => serializer.serialize_f64(*rate),
            Self::Series(series) => series.serialize(serializer),
        }
    }
}
