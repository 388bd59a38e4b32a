//! Where prices and signals come from.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::options::{Kind, Scalar, count, only, options, text, texts, word, words};
use super::reader::Fields;
use super::schema::{Definitions, ObjectSchema};

words! {
    /// Where price tables are.
    PriceSource {
        /// Files of this machine.
        Local = "local",
        /// The data lake.
        Adls = "ADLS",
    }
}

words! {
    /// Where signal tables are.
    SignalSource {
        /// Wherever the prices are.
        Auto = "auto",
        /// Files of this machine.
        Local = "local",
        /// The data lake.
        Adls = "ADLS",
        /// The ranking tables of the database.
        Postgres = "postgres",
    }
}

words! {
    /// The price fields that are read.
    PriceFields {
        /// Open, high, low, close and volume.
        Ohlcv = "OHLCV",
    }
}

words! {
    /// On which day a signal is seen that is dated on a day without trading.
    SignalAlignment {
        /// On none.
        SameDay = "same_day",
        /// On the next trading day, unless a later row of its symbol is.
        NextTradingDay = "next_trading_day",
    }
}

words! {
    /// The distance of two bars.
    Frequency {
        /// One bar per trading day.
        Daily = "Daily",
    }
}

words! {
    /// Which number comes first in dates such as `01/02/2020`.
    DateFormat {
        /// The year; nothing else is read.
        Iso = "YYYY-MM-DD",
        /// The month stands first, as in the United States.
        MonthFirst = "MM/DD/YYYY",
        /// The day stands first, as in Europe.
        DayFirst = "DD/MM/YYYY",
    }
}

words! {
    /// What the prices of a table are.
    PriceBasis {
        /// Adjusted for dividends and splits: by the adjusted close where there is one, or as they stand.
        Adjusted = "adjusted",
        /// As they were quoted; the dividends and splits of the table are booked on their days.
        Unadjusted = "unadjusted",
    }
}

words! {
    /// What becomes of a bar with a price that nothing can have traded at.
    ImpossiblePrice {
        /// The run fails and names it.
        Refuse = "refuse",
        /// It is left out, and counted.
        Skip = "skip",
    }
}

options! {
    /// Where prices and signals come from.
    DataConfig {
        /// Where price tables are.
        price_source: PriceSource = word().or(PriceSource::Local),
        /// A table, file or folder of prices; `{symbol}` expands per symbol. `None` is the default of the lake.
        price_path: Option<String> = text().off(),
        /// What the prices are. `None`: adjusted where there is an adjusted close; without one unadjusted where there are
        /// dividends or splits beside them.
        #[serde(skip_serializing_if = "Option::is_none")]
        prices: Option<PriceBasis> = word().off(),
        /// Where signal tables are.
        signal_source: SignalSource = word().or(SignalSource::Auto),
        /// A table, file or folder of signals. `None` is the default of the lake, or no signals at all.
        signal_path: Option<String> = text().off(),
        /// Version of the price table that is read. `None`: the newest when the run is submitted.
        #[serde(skip_serializing_if = "Option::is_none")]
        price_version: Option<u32> = count(0).off(),
        /// Version of the signal table that is read. `None`: the newest when the run is submitted.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal_version: Option<u32> = count(0).off(),
        /// The moment whose versions of all tables are read: the newest ones that were committed by then.
        #[serde(skip_serializing_if = "Option::is_none")]
        as_of: Option<DateTime<Utc>> = Moment.off(),
        /// On which day a signal is seen that is dated on a day without trading.
        signal_alignment: SignalAlignment = word().or(SignalAlignment::SameDay),
        /// Bars of history before `start_date` that look-backs may use. `None`: as many as they need.
        #[serde(skip_serializing_if = "Option::is_none")]
        warmup_days: Option<u32> = count(0).off(),
        /// The zone whose days timestamps are that carry none but UTC; `None` reads only midnights.
        #[serde(skip_serializing_if = "Option::is_none")]
        time_zone: Option<String> = ZoneName.off(),
        /// How dates are written, beside those that can be told.
        #[serde(skip_serializing_if = "DateFormat::is_default")]
        date_format: DateFormat = word().or(DateFormat::Iso),
        /// What becomes of a bar with a price that cannot be: 0, negative, infinite, a high below the low.
        #[serde(skip_serializing_if = "ImpossiblePrice::is_default")]
        on_impossible_price: ImpossiblePrice = word().or(ImpossiblePrice::Refuse),
        /// The price fields that are read.
        price_fields: PriceFields = FieldNames,
        /// The distance of two bars.
        frequency: Frequency = only(Frequency::Daily, "bars are daily"),
    }
}

// What is the default does not stand in resolved configs, so that those of before stay as they were.
impl DateFormat {
    fn is_default(&self) -> bool {
        *self == Self::Iso
    }
}

impl ImpossiblePrice {
    fn is_default(&self) -> bool {
        *self == Self::Refuse
    }
}

impl DataConfig {
    pub(super) fn check(&self, f: &Fields<'_>) {
        for (key, version) in [("price_version", self.price_version), ("signal_version", self.signal_version)]
        {
            if version.is_some() && self.as_of.is_some() {
                f.fault(
                    "data.as_of",
                    format!("names the versions of all tables already: leave out data.{key}, or this"),
                );
            }
        }
        if self.signal_source == SignalSource::Postgres {
            let why = "the signals of the database have no versions";
            if self.signal_version.is_some() {
                f.fault("data.signal_version", why);
            }
            if self.as_of.is_some() {
                f.fault("data.as_of", format!("{why}; data.price_version names that of the prices"));
            }
        }
    }
}

/// A moment with its distance from UTC, as `2026-11-02T05:01:07Z`.
struct Moment;

impl Scalar for Moment {
    type Value = DateTime<Utc>;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<DateTime<Utc>> {
        let written = text().parse(f, key, value)?;
        let moment = DateTime::parse_from_rfc3339(&written).ok();
        if moment.is_none() {
            f.fault(key, format!("must be a moment as 2026-11-02T05:01:07Z, got {written:?}"));
        }
        Some(moment?.to_utc())
    }

    fn schema(&self, _: &mut Definitions) -> Value {
        json!({ "type": "string", "format": "date-time" })
    }
}

/// The name of a time zone, as `America/New_York`.
struct ZoneName;

impl Scalar for ZoneName {
    type Value = String;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<String> {
        let name = text().parse(f, key, value)?;
        if name.parse::<chrono_tz::Tz>().is_err() {
            f.fault(key, format!("must be a zone of the IANA list, as America/New_York; got '{name}'"));
            return None;
        }
        Some(name)
    }

    fn schema(&self, definitions: &mut Definitions) -> Value {
        text().schema(definitions)
    }
}

/// The word or a list of names. Whatever they are, the fields that are read are those that are needed.
struct FieldNames;

impl Kind for FieldNames {
    type Value = PriceFields;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> PriceFields {
        const FIVE: [&str; 5] = ["open", "high", "low", "close", "volume"];
        if f.value(key).is_some_and(Value::is_array) {
            let given = texts().or_none().read(f, key);
            let known = |name: &String| FIVE.iter().any(|known| known.eq_ignore_ascii_case(name));
            if !given.is_empty() && (given.len() != FIVE.len() || !given.iter().all(known)) {
                f.note(key, "has no effect: the fields that are needed are read");
            }
            return PriceFields::Ohlcv;
        }
        word().or(PriceFields::Ohlcv).read(f, key)
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let word = object.definitions.words::<PriceFields>();
        let names = json!({ "type": "array", "items": { "type": "string" } });
        object.property(
            key,
            doc,
            json!({ "anyOf": [word, names, { "type": "null" }], "default": PriceFields::Ohlcv }),
        );
    }
}
