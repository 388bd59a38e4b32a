//! Texts that people write, YAML or JSON, as one strict value: a key that stands twice, a number that is not
//! finite, a NUL character, an unknown tag and a document without end are refused where others would guess.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::budget::BudgetBreach;

/// Bytes that a document may have.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Levels of nesting that a document may have.
const DEPTH_MAX: usize = 64;

/// Values that a document may expand to; aliases count each time they are used.
const NODES_MAX: usize = 200_000;

/// A text that cannot be read as a document; the message says where and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotADocument(pub String);

/// The config of a request, which stands in it as `config` or, as a YAML text, as `config_yaml`.
///
/// # Errors
/// The field and what is wrong with it.
pub fn requested_config(config: Option<Value>, text: Option<Value>) -> Result<Value, (&'static str, String)> {
    match (config, text) {
        (Some(config @ Value::Object(_)), None) => Ok(config),
        (Some(_), None) => Err(("config", "must be an object".to_owned())),
        (None, Some(Value::String(text))) => parse_yaml(&text).map_err(|error| ("config_yaml", error.0)),
        (None, Some(_)) => Err(("config_yaml", "must be a text".to_owned())),
        (Some(_), Some(_)) => Err(("config", "stands beside config_yaml; send one of them".to_owned())),
        (None, None) => Err(("config", "is required (or config_yaml)".to_owned())),
    }
}

/// Reads a YAML document; JSON is one too. Takes seconds for the worst of texts, so services do it beside the threads that
/// answer.
pub fn parse_yaml(text: &str) -> Result<Value, NotADocument> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > BYTES_MAX {
        return Err(too_long());
    }
    let mut options = serde_saphyr::Options::default();
    if let Some(budget) = &mut options.budget {
        budget.max_depth = DEPTH_MAX;
        budget.max_nodes = NODES_MAX;
        budget.max_events = 3 * NODES_MAX;
    }
    options.alias_limits.max_total_replayed_events = NODES_MAX;
    options.strict_booleans = true;
    options.reject_unsupported_tags = true;
    let strict: Strict = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| NotADocument(yaml_fault(error.without_snippet())))?;
    Ok(strict.0)
}

/// Reads a JSON document.
pub fn parse_json(bytes: &[u8]) -> Result<Value, NotADocument> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    within_budget(bytes)?;
    let strict: Strict = serde_json::from_slice(bytes).map_err(|error| NotADocument(json_fault(&error)))?;
    Ok(strict.0)
}

fn too_long() -> NotADocument {
    NotADocument(format!("it has more than {BYTES_MAX} bytes"))
}

/// Counts levels and values before anything is built of them.
fn within_budget(json: &[u8]) -> Result<(), NotADocument> {
    if json.len() > BYTES_MAX {
        return Err(too_long());
    }
    let (mut depth, mut nodes, mut in_text, mut is_escaped) = (0_usize, 1_usize, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => (depth, nodes) = (depth + 1, nodes + 1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => nodes += 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(NotADocument(format!("it is more than {DEPTH_MAX} levels deep")));
        }
        if nodes > NODES_MAX {
            return Err(NotADocument(format!("it has more than {NODES_MAX} values")));
        }
    }
    Ok(())
}

/// Why a text is not JSON, with its place. The parser puts the place at the end and names its own parts.
fn json_fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        _ => match what {
            "expected value" | "expected ident" => "a value is expected here",
            "trailing characters" => "something follows the end of the document",
            what => what,
        },
    };
    format!("line {}, column {}: {what}", error.line(), error.column())
}

/// Why a text is not YAML, with its place. The parser's own texts name options that only a programmer can set.
fn yaml_fault(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    let what = match error {
        Error::Message { msg, .. } => first_line(msg),
        Error::Eof { .. } => "it ends too early".to_owned(),
        Error::MultipleDocuments { .. } => "there are several documents; send one".to_owned(),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("key '{key}' stands twice"),
        Error::DuplicateMappingKey { key: None, .. } => "a key stands twice".to_owned(),
        Error::UnsupportedTag { tag, .. } => {
            format!("the tag '{tag}' is not known; write the value without it")
        }
        Error::NonFiniteFloat { value, .. } => format!("numbers must be finite, not {value}"),
        Error::UnknownAnchor { .. } => "an alias names an anchor that is not there".to_owned(),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            format!("it is more than {DEPTH_MAX} levels deep")
        }
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            format!("it has more than {NODES_MAX} values, aliases counted each time they are used")
        }
        Error::AliasError { error, .. } => return yaml_fault(error.without_snippet()),
        _ => "it cannot be read as YAML".to_owned(),
    };
    match error.location() {
        Some(location) if location.line() > 0 => {
            format!("line {}, column {}: {what}", location.line(), location.column())
        }
        _ => what,
    }
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

/// The parser may append a picture of the place to its message; the first line says it all.
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
