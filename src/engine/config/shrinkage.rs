//! How far a covariance is drawn to a simpler one: a number, or a rule that says how far.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::options::{Bounds, Scalar, number, word, words};
use super::reader::Fields;
use super::schema::Definitions;

words! {
    /// A rule by which a covariance is drawn to a simpler one.
    ShrinkageRule {
        /// It stays as it is.
        None = "none",
        /// To the same variance for all and no correlation, as far as Ledoit and Wolf (2004) say.
        LedoitWolf = "ledoit_wolf",
        /// To the same correlation for all pairs, as far as Ledoit and Wolf (2003) say.
        ConstantCorrelation = "constant_correlation",
    }
}

/// How far a covariance is drawn to a simpler one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shrinkage {
    /// As far as a rule says.
    Rule(ShrinkageRule),
    /// That share, from 0 to 1, of the same variance for all and no correlation.
    Share(f64),
}

impl Serialize for Shrinkage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Rule(rule) => rule.serialize(serializer),
            Self::Share(share) => serializer.serialize_f64(*share),
        }
    }
}

/// A rule, or a number.
pub(super) struct ShrinkageChoice;

/// How far a covariance is drawn to a simpler one.
pub(super) const fn shrinkage() -> ShrinkageChoice {
    ShrinkageChoice
}

impl ShrinkageChoice {
    const BOUNDS: Bounds = Bounds::between(0.0, 1.0);
}

impl Scalar for ShrinkageChoice {
    type Value = Shrinkage;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<Shrinkage> {
        match value.as_str() {
            Some(text) if text.trim().parse::<f64>().is_err() => {
                word().parse(f, key, value).map(Shrinkage::Rule)
            }
            _ => number(Self::BOUNDS).parse(f, key, value).map(Shrinkage::Share),
        }
    }

    fn schema(&self, definitions: &mut Definitions) -> Value {
        let share = number(Self::BOUNDS).schema(definitions);
        json!({ "anyOf": [definitions.words::<ShrinkageRule>(), share] })
    }

    fn is_absent(&self, value: &Value) -> bool {
        word::<ShrinkageRule>().is_absent(value)
    }
}
