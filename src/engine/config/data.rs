//! Where prices and signals come from.

use serde_json::{Value, json};

use super::options::{Kind, Scalar, count, options, text, word, words};
use super::reader::Fields;
use super::schema::ObjectSchema;

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
    /// The distance of two bars.
    Frequency {
        /// One bar per trading day.
        Daily = "Daily",
    }
}

options! {
    /// Where prices and signals come from.
    DataConfig {
        /// Where price tables are.
        price_source: PriceSource = word().or(PriceSource::Local),
        /// A table, file or folder of prices; `{symbol}` expands per symbol. `None` is the default of the lake.
        price_path: Option<String> = text().off(),
        /// Where signal tables are.
        signal_source: SignalSource = word().or(SignalSource::Auto),
        /// A table, file or folder of signals. `None` is the default of the lake, or no signals at all.
        signal_path: Option<String> = text().off(),
        /// Bars of history before `start_date` that look-backs may use. `None`: as many as they need.
        #[serde(skip_serializing_if = "Option::is_none")]
        warmup_days: Option<u32> = count(0).off(),
        /// The price fields that are read.
        price_fields: PriceFields = FieldNames,
        /// The distance of two bars.
        frequency: Frequency = word().or(Frequency::Daily),
    }
}

/// The word or the list of the five names; both mean the same.
struct FieldNames;

impl Kind for FieldNames {
    type Value = PriceFields;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> PriceFields {
        const FIVE: [&str; 5] = ["open", "high", "low", "close", "volume"];
        if f.value(key).is_some_and(Value::is_array) {
            let given = super::options::texts().or_none().read(f, key);
            let given: Vec<String> = given.iter().map(|s| s.to_ascii_lowercase()).collect();
            if given.len() != FIVE.len() || FIVE.iter().any(|name| !given.iter().any(|g| g == name)) {
                f.fault(key, "must be OHLCV: open, high, low, close and volume");
            }
            return PriceFields::Ohlcv;
        }
        word().or(PriceFields::Ohlcv).read(f, key)
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let word = object.definitions.words::<PriceFields>();
        let names = json!({ "type": "array", "items": { "type": "string" }, "minItems": 5, "maxItems": 5 });
        object.property(
            key,
            doc,
            json!({ "anyOf": [word, names, { "type": "null" }], "default": PriceFields::Ohlcv }),
        );
    }
}
