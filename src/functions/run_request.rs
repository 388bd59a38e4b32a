//! What the body of a submit or a validate asks for: a config as JSON or YAML, with the fields around it. Both take the same
//! bodies, so that a config that was validated can be submitted as it stands.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::function::Content;
use super::reply::{Code, Refusal, Reply};
use super::schema::{Schemas, Shape};
use crate::engine::config::{Fault, schema as config_schema};
use crate::run::RunId;
use crate::work::document::{NotADocument, parse_json, parse_yaml, requested_config};

/// A config and what to call its run.
#[derive(Default)]
pub(super) struct RunRequest {
    /// The config as it came.
    pub(super) config: Value,
    /// The caller's choice of an id.
    pub(super) run_id: Option<RunId>,
    /// The run that this one repeats.
    pub(super) parent_run_id: Option<RunId>,
    /// Whether a completed run of the same config, data and engine is as good an answer.
    pub(super) reuse: bool,
}

/// The bodies that are taken.
pub(super) const BODIES: [Content; 2] = [
    Content::json(Shape::Composed(request_schema)),
    Content {
        media_type: "application/yaml",
        shape: Shape::TEXT,
        example: Some(
            "start_date: 2005-01-03\nend_date: 2013-03-01\nuniverse: {symbols: [AAPL, MSFT]}\n\
             strategy: {class: BuyAndHoldStrategy}\n",
        ),
    },
];

/// The bodies that are taken for a study.
pub(super) const STUDY_BODIES: [Content; 2] = [
    Content::json(Shape::OBJECT),
    Content {
        media_type: "application/yaml",
        shape: Shape::TEXT,
        example: Some(
            "study: {parameters: {strategy.parameters.top_n: [1, 2, 3]}}\n\
             base: {start_date: 2005-01-03, end_date: 2013-03-01, universe: {symbols: [AAPL, IBM, MSFT]}, \
             strategy: {class: TopNSignalStrategy}}\n",
        ),
    },
];

/// A config that works, for the document.
fn example() -> Value {
    json!({
        "run_name": "momentum, top two of five", "start_date": "2005-01-03", "end_date": "2013-03-01",
        "universe": { "symbols": ["AAPL", "FB", "GOOG", "IBM", "MSFT"] },
        "strategy": { "class": "TopNSignalStrategy",
                      "parameters": { "signal_column": "momentum_12_1", "top_n": 2, "rebalance": "monthly" } },
        "broker": { "slippage_bps": 5, "commission": 0.0005 },
        "benchmark": "equal_weight",
    })
}

/// The schema of a JSON body. The schema of the config is put together from what reads it.
fn request_schema(schemas: &mut Schemas) -> Value {
    let mut config = config_schema();
    if let Value::Object(config) = &mut config {
        config.shift_remove("$schema");
        for (name, definition) in config.shift_remove("$defs").iter().filter_map(Value::as_object).flatten() {
            let definition = with_named_choices(name, in_components(definition.clone()), schemas);
            schemas.put(name, definition);
        }
    }
    config["example"] = example();
    let config = schemas.put("Config", in_components(config));
    let id = |description: &str| {
        json!({ "type": ["string", "null"], "description": description,
                "pattern": "^([A-Za-z0-9][A-Za-z0-9_-]{0,63})?$" })
    };
    let with = |description: &str, required: &str, config: Value, config_yaml: Value| {
        json!({
            "type": "object",
            "description": description,
            "properties": {
                "config": config,
                "config_yaml": config_yaml,
                "run_id": id("The caller's choice of an id; the service makes one without it"),
                "parent_run_id": id("The run that this one repeats"),
                "reuse": { "type": ["boolean", "null"], "default": false,
                           "description": "Whether a completed run of the same config, data and engine is as good an answer" },
                "strict": { "type": ["boolean", "null"], "not": { "const": false }, "default": true,
                            "description": "Unknown fields are always refused" },
            },
            "required": [required],
            "additionalProperties": false,
        })
    };
    let no_config = json!({ "type": ["object", "null"], "maxProperties": 0, "additionalProperties": true,
                            "description": "Left out, or empty" });
    let no_text = json!({ "type": ["string", "null"], "maxLength": 0, "description": "Left out, or empty" });
    let text = json!({ "type": "string", "minLength": 1, "description": "A YAML document with the fields of a config" });
    let with_config = with("A config as an object.", "config", config, no_text);
    let with_yaml = with("A config as a YAML text.", "config_yaml", no_config, text);
    let either = [schemas.put("WithConfig", with_config), schemas.put("WithYaml", with_yaml)];
    schemas.put(
        "RunRequest",
        json!({
            "description": "What a submit takes: a config as an object or as a YAML text, exactly one of the two.",
            "oneOf": either,
        }),
    )
}

/// Whether alternatives are values of some shape, rather than only fields that must be there.
fn has_shapes(alternatives: &Value) -> bool {
    let is_shape = |one: &Value| {
        ["type", "properties", "$ref", "enum", "const"].iter().any(|key| one.get(key).is_some())
    };
    alternatives.as_array().is_none_or(|alternatives| alternatives.iter().any(is_shape))
}

/// A schema whose choices between objects stand under names of their own, by the word that tells them apart: generators of
/// clients make no class of an object without a name that holds what it is a choice of.
fn with_named_choices(name: &str, mut schema: Value, schemas: &mut Schemas) -> Value {
    let choices = ["anyOf", "oneOf"].into_iter().find(|key| schema.get(key).is_some());
    let choices = choices.and_then(|key| schema.get_mut(key)).and_then(Value::as_array_mut);
    for choice in choices.into_iter().flatten() {
        let Some(word) = ["type", "class"].iter().find_map(|key| choice["properties"][key]["const"].as_str())
        else {
            continue;
        };
        let word: String = word.split('_').map(capitalized).collect();
        *choice = schemas.put(&format!("{word}{name}Choice"), choice.take());
    }
    schema
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// A schema whose definitions lie among the components of the document, in the words that generators of clients know: they give
/// up on a default of null, on words that are not said to be texts, and on an object whose fields depend on each other, of which
/// they make anything at all. `config.schema.json` says that too.
fn in_components(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(part) => {
            if part.contains_key("properties") {
                part.retain(|key, value| {
                    !["anyOf", "oneOf", "allOf"].contains(&key.as_str()) || has_shapes(value)
                });
            }
            if part.get("default").is_some_and(Value::is_null) {
                part.shift_remove("default");
            }
            let words = part.get("enum").and_then(Value::as_array);
            if words.is_some_and(|words| words.iter().all(Value::is_string)) {
                part.entry("type").or_insert(json!("string"));
            }
            if let Some(Value::String(reference)) = part.get_mut("$ref") {
                *reference = reference.replace("#/$defs/", "#/components/schemas/");
            }
            for part in part.values_mut() {
                *part = in_components(part.take());
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| *part = in_components(part.take())),
        _ => {}
    }
    schema
}

impl RunRequest {
    /// Reads the body of a call. A document may be made to take long, so that happens beside the threads that answer.
    pub(super) async fn read(call: &Call) -> Result<Self, Refusal> {
        // A body of another type is not worth reading.
        let media = Media::of(call)?;
        let body = call.body()?.clone();
        can_be_read(call, &body)?;
        let read = tokio::task::spawn_blocking(move || match media {
            Media::Json => Self::from_json(&body),
            Media::Yaml => Self::from_yaml(&body),
        });
        read.await.unwrap_or_else(|_| Err(Reply::bug().into()))
    }

    fn from_json(body: &Bytes) -> Result<Self, Refusal> {
        if std::str::from_utf8(body).is_err() {
            return Err(Reply::problem(Code::MalformedRequest, NOT_UTF_8).into());
        }
        let body = parse_json(body).map_err(|error| malformed("JSON", &error))?;
        let Value::Object(fields) = body else {
            let detail = "the body must be an object with 'config' or 'config_yaml'";
            return Err(Reply::problem(Code::MalformedRequest, detail).into());
        };
        Self::from_fields(fields)
    }

    fn from_yaml(body: &Bytes) -> Result<Self, Refusal> {
        // What was not UTF-8 before the host made text of it holds this character in its place.
        let text = std::str::from_utf8(body).ok().filter(|text| !text.contains('\u{fffd}'));
        let text = text.ok_or_else(|| Reply::problem(Code::MalformedRequest, NOT_UTF_8))?;
        let config = parse_yaml(text).map_err(|error| malformed("YAML", &error))?;
        Ok(Self { config, ..Self::default() })
    }

    /// The fields around a config in a JSON body.
    fn from_fields(mut fields: Map<String, Value>) -> Result<Self, Refusal> {
        let mut faults = Vec::new();
        let mut fault = |path: &str, message: &str| {
            faults.push(Fault { path: path.to_owned(), message: message.to_owned() });
        };
        let mut id = |fields: &mut Map<String, Value>, name: &str| match fields.remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.is_empty() => None,
            Some(value) => match value.as_str().map(str::parse::<RunId>) {
                Some(Ok(id)) => Some(id),
                _ => {
                    fault(name, &crate::run::InvalidRunId.to_string());
                    None
                }
            },
        };
        let run_id = id(&mut fields, "run_id");
        let parent_run_id = id(&mut fields, "parent_run_id");
        match fields.remove("strict") {
            None | Some(Value::Null | Value::Bool(true)) => {}
            Some(Value::Bool(false)) => {
                fault(
                    "strict",
                    "cannot be false: a field that is not known would change nothing, unseen; remove it",
                );
            }
            Some(_) => fault("strict", "must be true, or left out"),
        }
        let reuse = match fields.remove("reuse") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(reuse)) => reuse,
            Some(_) => {
                fault("reuse", "must be true or false");
                false
            }
        };
        let study = fields
            .shift_remove("study")
            .map(|study| json!({ "study": study, "base": fields.shift_remove("base").unwrap_or_default() }));
        let config = fields.remove("config").filter(|config| !config.is_null()).or(study);
        let text = fields.remove("config_yaml").filter(|text| !text.is_null());
        // An empty one beside the other counts as left out.
        let (has_config, has_text) = (config.is_some(), text.is_some());
        let config = config.filter(|config| !(has_text && *config == json!({})));
        let text = text.filter(|text| !(has_config && *text == json!("")));
        let config = requested_config(config, text).unwrap_or_else(|(path, message)| {
            fault(path, &message);
            Value::Null
        });
        for name in fields.keys() {
            fault(
                name,
                "is not a field here; there are config, config_yaml, run_id, parent_run_id, reuse, strict",
            );
        }
        if faults.is_empty() {
            Ok(Self { config, run_id, parent_run_id, reuse })
        } else {
            Err(Reply::faults(Code::MalformedRequest, &faults).into())
        }
    }
}

/// The fields of a JSON body that is not a config.
pub(super) fn json_object(call: &Call) -> Result<Map<String, Value>, Refusal> {
    if let Media::Yaml = Media::of(call)? {
        return Err(Reply::problem(Code::UnsupportedMediaType, "send application/json").into());
    }
    let body = call.body()?;
    can_be_read(call, body)?;
    if std::str::from_utf8(body).is_err() {
        return Err(Reply::problem(Code::MalformedRequest, NOT_UTF_8).into());
    }
    match parse_json(body).map_err(|error| malformed("JSON", &error))? {
        Value::Object(fields) => Ok(fields),
        _ => Err(Reply::problem(Code::MalformedRequest, "the body must be an object").into()),
    }
}

const NOT_UTF_8: &str = "the body is not UTF-8";

/// Refuses a body that no parser can read, by what it is: a parser would only say at which byte it gave up.
fn can_be_read(call: &Call, body: &[u8]) -> Result<(), Refusal> {
    let refuse = |code, detail: &str| Err(Reply::problem(code, detail).into());
    if body.trim_ascii().is_empty() {
        // The host makes an empty text of a body whose length it was not told.
        let is_lost =
            call.message.is_enveloped && call.header("content-length").is_none_or(|length| length != "0");
        return refuse(
            Code::BodyMissing,
            match is_lost {
                true => {
                    "no body arrived; one that is sent in chunks is lost on the way: send it with a Content-Length"
                }
                false => "the body is empty; send a config",
            },
        );
    }
    let encoding = call.header("content-encoding").unwrap_or("identity");
    // The host takes the header away and leaves the bytes as they are.
    if !encoding.eq_ignore_ascii_case("identity") || body.starts_with(b"\x1f\x8b") {
        return refuse(Code::UnsupportedMediaType, "the body is compressed; send it as it is");
    }
    if body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") {
        return refuse(Code::UnsupportedMediaType, "the body is UTF-16; send it as UTF-8");
    }
    Ok(())
}

enum Media {
    Json,
    Yaml,
}

impl Media {
    fn of(call: &Call) -> Result<Self, Refusal> {
        let header = call.header("content-type").unwrap_or("application/json");
        match header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/json" => Ok(Self::Json),
            "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Self::Yaml),
            other => {
                let other: String = other.chars().take(80).collect();
                let detail = format!("send application/json or application/yaml, not '{other}'");
                Err(Reply::problem(Code::UnsupportedMediaType, detail).into())
            }
        }
    }
}

fn malformed(what: &str, error: &NotADocument) -> Refusal {
    Reply::problem(Code::MalformedRequest, format!("the body is not {what}: {error}")).into()
}
