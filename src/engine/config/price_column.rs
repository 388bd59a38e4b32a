//! Columns of the price table by name: the five that every reader knows, and any other that holds numbers.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::needs::Needs;
use super::options::{Scalar, text};
use super::reader::Fields;
use super::schema::Definitions;

/// A column of numbers of the price table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PriceColumn {
    /// The opening price.
    Open,
    /// The highest price.
    High,
    /// The lowest price.
    Low,
    /// The closing price.
    Close,
    /// Shares traded.
    Volume,
    /// Another one, in lower case. Its numbers are taken as they stand, whether or not prices are adjusted.
    Other(String),
}

impl PriceColumn {
    /// The column of a name, in any case.
    pub(crate) fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "open" => Self::Open,
            "high" => Self::High,
            "low" => Self::Low,
            "close" => Self::Close,
            "volume" => Self::Volume,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The name of the column.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
            Self::Other(name) => name,
        }
    }

    pub(super) fn needs(&self, needs: &mut Needs) {
        match self {
            Self::Open | Self::Close => {}
            Self::High | Self::Low => needs.prices.high_low = true,
            Self::Volume => needs.prices.volume = true,
            Self::Other(name) => needs.price_table(name),
        }
    }
}

impl Serialize for PriceColumn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The name of a column of the price table.
pub(super) struct PriceColumnName;

/// The name of a column of the price table.
pub(super) const fn price_column() -> PriceColumnName {
    PriceColumnName
}

impl Scalar for PriceColumnName {
    type Value = PriceColumn;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<PriceColumn> {
        let name = text().parse(f, key, value)?;
        if ["date", "symbol"].iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            f.fault(key, format!("must be a column of numbers, got {name:?}"));
        }
        Some(PriceColumn::named(&name))
    }

    fn schema(&self, definitions: &mut Definitions) -> Value {
        definitions.named(
            "PriceColumn",
            "A column of numbers of the price table.",
            |_| json!({ "type": "string", "examples": ["open", "high", "low", "close", "volume"] }),
        )
    }

    fn is_absent(&self, value: &Value) -> bool {
        text().is_absent(value)
    }
}
