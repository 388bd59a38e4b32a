//! When a class strategy decides anew. The pipeline has a stage of its own for it.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::engine::config::options::{Scalar, count, text, word, words};
use crate::engine::config::reader::Fields;
use crate::engine::config::schema::Definitions;

/// When a class strategy decides anew. The first bar always counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebalance {
    /// On every bar.
    Daily,
    /// When the ISO week has changed, or 7 calendar days have passed.
    Weekly,
    /// When the month has changed.
    Monthly,
    /// When the quarter has changed.
    Quarterly,
    /// When the year has changed.
    Annually,
    /// When that many calendar days have passed.
    EveryDays(u32),
}

words! {
    /// The words of [`Rebalance`].
    Period {
        /// On every bar.
        Daily = "daily",
        /// By ISO week.
        Weekly = "weekly",
        /// By month.
        Monthly = "monthly",
        /// By quarter.
        Quarterly = "quarterly",
        /// By year.
        Annually = "annually",
    }
}

/// A word, or a number of calendar days.
pub(super) struct Schedule;

impl Scalar for Schedule {
    type Value = Rebalance;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<Rebalance> {
        let quoted = value.as_str().and_then(|text| text.trim().parse::<f64>().ok());
        if let Some(number) = quoted.or_else(|| value.as_f64().filter(|_| value.is_f64())) {
            f.fault(
                key,
                format!(
                    "must be a period, or a number of days written as a whole number: {}, not {value}",
                    number.round()
                ),
            );
            return None;
        }
        if value.is_number() {
            return count(1).parse(f, key, value).map(Rebalance::EveryDays);
        }
        let period: Period = word().parse(f, key, value)?;
        if value.as_str().is_some_and(|text| text.trim() != period.as_str()) {
            f.note(
                key,
                format!("is {}; the reference implementation took {value} for daily", period.as_str()),
            );
        }
        Some(match period {
            Period::Daily => Rebalance::Daily,
            Period::Weekly => Rebalance::Weekly,
            Period::Monthly => Rebalance::Monthly,
            Period::Quarterly => Rebalance::Quarterly,
            Period::Annually => Rebalance::Annually,
        })
    }

    fn is_absent(&self, value: &Value) -> bool {
        text().is_absent(value)
    }

    fn schema(&self, definitions: &mut Definitions) -> Value {
        definitions.named(
            "Rebalance",
            "A period, or a number of calendar days.",
            |definitions| json!({ "anyOf": [definitions.words::<Period>(), count(1).schema(definitions)] }),
        )
    }
}

impl Serialize for Rebalance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let period = match self {
            Self::EveryDays(days) => return serializer.serialize_u32(*days),
            Self::Daily => Period::Daily,
            Self::Weekly => Period::Weekly,
            Self::Monthly => Period::Monthly,
            Self::Quarterly => Period::Quarterly,
            Self::Annually => Period::Annually,
        };
        serializer.serialize_str(period.as_str())
    }
}
