//! Rates that are told as a number or against another one: of cash over the risk-free rate, of a delisting in a column.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::options::{Bounds, Scalar, number, text};
use super::price_column::PriceColumn;
use super::reader::Fields;
use super::schema::Definitions;

/// An annual rate on cash, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CashRate {
    /// Whether the risk-free rate of the day is added.
    pub over_risk_free: bool,
    /// The rate, or what is added to the risk-free one.
    pub spread: f64,
}

impl CashRate {
    /// Cash earns, and debt costs, nothing.
    pub const NONE: Self = Self { over_risk_free: false, spread: 0.0 };

    /// The word for the risk-free rate.
    const RISK_FREE: &'static str = "risk_free";

    /// `risk_free`, `risk_free + 0.01` or `risk_free - 0.005`.
    fn over_risk_free(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(Self::RISK_FREE)?.trim();
        let number = |rate: &str| rate.trim().parse::<f64>().ok();
        let spread = match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
            (Some(rate), _) => number(rate)?,
            (_, Some(rate)) => -number(rate)?,
            (None, None) if rest.is_empty() => 0.0,
            (None, None) => return None,
        };
        let is_rate = (-1.0..=10.0).contains(&spread);
        is_rate.then_some(Self { over_risk_free: true, spread })
    }
}

impl Serialize for CashRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.over_risk_free, self.spread) {
            (false, rate) => serializer.serialize_f64(rate),
            (true, 0.0) => serializer.serialize_str(Self::RISK_FREE),
            (true, spread) => {
                let sign = if spread < 0.0 { '-' } else { '+' };
                serializer.collect_str(&format_args!("{} {sign} {}", Self::RISK_FREE, spread.abs()))
            }
        }
    }
}

/// A rate on cash.
pub(super) struct CashRateChoice;

/// A rate on cash.
pub(super) const fn cash_rate() -> CashRateChoice {
    CashRateChoice
}

impl CashRateChoice {
    const BOUNDS: Bounds = Bounds::between(-0.99, 10.0);
}

impl Scalar for CashRateChoice {
    type Value = CashRate;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<CashRate> {
        let text = value.as_str().map(str::trim);
        let Some(text) = text.filter(|text| text.starts_with(CashRate::RISK_FREE)) else {
            let spread = number(Self::BOUNDS).parse(f, key, value)?;
            return Some(CashRate { over_risk_free: false, spread });
        };
        let found = CashRate::over_risk_free(text);
        if found.is_none() {
            f.fault(key, format!("must be a number, or as risk_free + 0.01, got {text:?}"));
        }
        found
    }

    fn schema(&self, definitions: &mut Definitions) -> Value {
        let rate = number(Self::BOUNDS).schema(definitions);
        json!({ "anyOf": [rate, { "type": "string", "pattern": "^risk_free( *[+-] *[0-9.]+)?$" }] })
    }
}

/// What a holding returns when its symbol is delisted.
#[derive(Debug, Clone, PartialEq)]
pub enum DelistingReturn {
    /// The same for all.
    Same(f64),
    /// The last number of a column of the price table.
    Column(PriceColumn),
}

impl Serialize for DelistingReturn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Same(part) => serializer.serialize_f64(*part),
            Self::Column(column) => column.serialize(serializer),
        }
    }
}

/// A number, or the name of a column.
pub(super) struct DelistingChoice;

/// What a holding returns when its symbol is delisted.
pub(super) const fn delisting_return() -> DelistingChoice {
    DelistingChoice
}

impl DelistingChoice {
    const BOUNDS: Bounds = Bounds::between(-1.0, 10.0);
}

impl Scalar for DelistingChoice {
    type Value = DelistingReturn;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<DelistingReturn> {
        match value.as_str() {
            Some(name) if name.trim().parse::<f64>().is_err() => {
                let name = text().parse(f, key, value)?;
                Some(DelistingReturn::Column(PriceColumn::named(&name)))
            }
            _ => number(Self::BOUNDS).parse(f, key, value).map(DelistingReturn::Same),
        }
    }

    fn schema(&self, definitions: &mut Definitions) -> Value {
        let part = number(Self::BOUNDS).schema(definitions);
        json!({ "anyOf": [part, { "type": "string" }] })
    }
}
