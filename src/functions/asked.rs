//! What a body asks for: a config as JSON or YAML, with the fields around it. Submit and validate take the same bodies,
//! so that a config that was validated can be submitted as it stands.

use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::call::Call;
use super::reply::{Code, Refusal, Reply};
use crate::engine::config::Fault;
use crate::run::RunId;
use crate::work::document::{NotADocument, parse_json, parse_yaml};

/// A config and what to call its run.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) config: Value,
    pub(super) run_id: Option<RunId>,
    pub(super) parent_run_id: Option<RunId>,
}

/// What a submit takes: a config as an object or as a YAML text, exactly one of the two.
#[derive(ToSchema)]
#[schema(as = RunRequest)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what is read by hand, so that every fault is found")]
pub(super) enum RunRequest {
    /// The config as an object.
    Config(Box<WithConfig>),
    /// The config as a YAML text.
    Yaml(WithYaml),
}

/// A config as an object.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read by hand, so that every fault is found")]
pub(super) struct WithConfig {
    config: Config,
    /// The caller's choice of an id.
    run_id: Option<RunId>,
    /// The run that this one repeats.
    parent_run_id: Option<RunId>,
}

/// A config as a YAML text.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read by hand, so that every fault is found")]
pub(super) struct WithYaml {
    /// A YAML document with the fields of a config.
    config_yaml: String,
    /// The caller's choice of an id.
    run_id: Option<RunId>,
    /// The run that this one repeats.
    parent_run_id: Option<RunId>,
}

/// A backtest. Every field of the sections is honoured or refused by name; `validate` shows all of them with their
/// defaults.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "run_name": "momentum, top two of five", "start_date": "2005-01-03", "end_date": "2013-03-01",
    "universe": { "symbols": ["AAPL", "FB", "GOOG", "IBM", "MSFT"] },
    "strategy": { "class": "TopNSignalStrategy",
                  "parameters": { "signal_column": "momentum_12_1", "top_n": 2, "rebalance": "monthly" } },
    "broker": { "slippage_bps": 5, "commission": 0.0005 },
    "benchmark": "equal_weight",
}))]
#[expect(dead_code, reason = "describes what is read by hand, so that every fault is found")]
pub(super) struct Config {
    /// A name for people.
    run_name: Option<String>,
    /// First day that may be traded.
    start_date: chrono::NaiveDate,
    /// Last day that may be traded, not before the first.
    end_date: chrono::NaiveDate,
    /// Money at the start; a million without it.
    #[schema(exclusive_minimum = 0, nullable = false)]
    initial_cash: Option<f64>,
    /// What may be traded: `symbols`, a list, or `["*"]` for every symbol of the price table.
    #[schema(value_type = Object)]
    universe: Value,
    /// Where prices and signals come from, when that is not the lake.
    #[schema(value_type = Option<Object>, nullable = false)]
    data: Option<Value>,
    /// Who decides: a `class` with `parameters`, a configured pipeline or a composite.
    #[schema(value_type = Object)]
    strategy: Value,
    /// How scores become weights.
    #[schema(value_type = Option<Object>, nullable = false)]
    sizing: Option<Value>,
    /// What may be held.
    #[schema(value_type = Option<Object>, nullable = false)]
    constraints: Option<Value>,
    /// How targets become fills, and what they cost.
    #[schema(value_type = Option<Object>, nullable = false)]
    broker: Option<Value>,
    /// Which files are written, and where.
    #[schema(value_type = Option<Object>, nullable = false)]
    output: Option<Value>,
    /// A symbol of the price table, or `equal_weight`.
    benchmark: Option<String>,
    /// Annual, as a fraction.
    #[schema(minimum = -0.99, maximum = 10, nullable = false)]
    risk_free_rate: Option<f64>,
}

/// What the body of `call` asks for.
pub(super) fn asked(call: &Call) -> Result<Asked, Refusal> {
    // A body of another type is not worth reading.
    let media = media_type(call)?;
    let body = call.body()?;
    match media {
        Media::Json => unwrap(parse_json(body).map_err(|error| malformed("JSON", &error))?),
        Media::Yaml => {
            // What was none before the host made text of it holds this character in its place.
            let text = std::str::from_utf8(body).ok().filter(|text| !text.contains('\u{fffd}'));
            let text =
                text.ok_or_else(|| Reply::problem(Code::MalformedRequest, "the YAML document is not UTF-8"))?;
            Ok(Asked {
                config: parse_yaml(text).map_err(|error| malformed("YAML", &error))?,
                ..Asked::default()
            })
        }
    }
}

/// The fields around a config in a JSON body.
fn unwrap(body: Value) -> Result<Asked, Refusal> {
    let mut faults = Vec::new();
    let mut fault = |path: &str, message: &str| {
        faults.push(Fault { path: path.to_owned(), message: message.to_owned() });
    };
    let Value::Object(mut fields) = body else {
        let detail = "the body must be an object with 'config' or 'config_yaml'";
        return Err(Reply::problem(Code::MalformedRequest, detail).into());
    };
    let mut id = |fields: &mut Map<String, Value>, name: &str| match fields.remove(name) {
        None | Some(Value::Null) => None,
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
    let config = match (fields.remove("config"), fields.remove("config_yaml")) {
        (Some(config @ Value::Object(_)), None) => config,
        (Some(_), None) => {
            fault("config", "must be an object");
            Value::Null
        }
        (None, Some(Value::String(text))) => match parse_yaml(&text) {
            Ok(config) => config,
            Err(error) => {
                fault("config_yaml", &error.0);
                Value::Null
            }
        },
        (None, Some(_)) => {
            fault("config_yaml", "must be a text");
            Value::Null
        }
        (Some(_), Some(_)) => {
            fault("config", "stands beside config_yaml; send one of them");
            Value::Null
        }
        (None, None) => {
            fault("config", "is required (or config_yaml)");
            Value::Null
        }
    };
    for name in fields.keys() {
        fault(name, "is not a field here; there are config, config_yaml, run_id, parent_run_id");
    }
    if faults.is_empty() {
        Ok(Asked { config, run_id, parent_run_id })
    } else {
        Err(Reply::faults(Code::MalformedRequest, &faults).into())
    }
}

enum Media {
    Json,
    Yaml,
}

fn media_type(call: &Call) -> Result<Media, Refusal> {
    let header = call.header("content-type").unwrap_or("application/json");
    match header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Media::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Media::Yaml),
        other => {
            let other: String = other.chars().take(80).collect();
            let detail = format!("send application/json or application/yaml, not '{other}'");
            Err(Reply::problem(Code::UnsupportedMediaType, detail).into())
        }
    }
}

fn malformed(what: &str, error: &NotADocument) -> Refusal {
    Reply::problem(Code::MalformedRequest, format!("the body is no {what}: {error}")).into()
}
