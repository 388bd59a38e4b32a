//! Texts that people write, YAML or JSON, as one strict value: a key that stands twice, a number that is not
//! finite, a NUL character and a document without end are refused where others would guess.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Levels of nesting that a document may have.
const DEPTH_MAX: usize = 64;

/// Values that a document may expand to; aliases count each time they are used.
const NODES_MAX: usize = 200_000;

/// A text that is no document; the message says where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotADocument(pub String);

/// Reads a YAML document; JSON is one too.
pub fn parse_yaml(text: &str) -> Result<Value, NotADocument> {
    let mut options = serde_saphyr::Options::default();
    if let Some(budget) = &mut options.budget {
        budget.max_depth = DEPTH_MAX;
        budget.max_nodes = NODES_MAX;
        budget.max_events = 3 * NODES_MAX;
    }
    options.alias_limits.max_total_replayed_events = NODES_MAX;
    options.strict_booleans = true;
    let strict: Strict = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| NotADocument(first_line(&error.to_string())))?;
    Ok(strict.0)
}

/// Reads a JSON document.
pub fn parse_json(bytes: &[u8]) -> Result<Value, NotADocument> {
    let strict: Strict = serde_json::from_slice(bytes).map_err(|error| NotADocument(error.to_string()))?;
    Ok(strict.0)
}

/// Writes a value as YAML.
pub fn to_yaml(value: &Value) -> Result<String, NotADocument> {
    serde_saphyr::to_string(value).map_err(|error| NotADocument(error.to_string()))
}

/// The one text of a value: keys sorted, no blanks. Equal values have equal texts.
pub fn canonical(value: &Value) -> String {
    sorted(value).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.iter().collect();
            names.sort_by_key(|(name, _)| name.as_str());
            names.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        _ => value.clone(),
    }
}

/// Parsers append a picture of the place to their message; the first line says it all.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("numbers must be finite"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        // No database keeps one in a text.
        if value.contains('\0') {
            Err(E::custom("texts must not hold a NUL character"))
        } else {
            Ok(value.into())
        }
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Strict(value) = entries.next_value()?;
            if name.contains('\0') {
                return Err(A::Error::custom("keys must not hold a NUL character"));
            }
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("key '{name}' stands twice")));
            }
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}
