//! `POST /api/backtests`: a config becomes a run. The host calls this door by envelope, because the wake-up
//! message is one of its outputs; called plainly, the run waits until reconcile announces it.

use serde_json::{Map, Value};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{LOCATION, RETRY_AFTER};

use super::call::{Call, call};
use super::record::{POLL_SECONDS, path, record};
use super::reply::{Code, Refusal, Reply};
use crate::engine::config::Fault;
use crate::run::RunId;
use crate::work::App;
use crate::work::document::{NotADocument, parse_json, parse_yaml};
use crate::work::submit::{Request, SubmitError, Submitted, submit};

/// Characters that an idempotency key may have.
const KEY_MAX: usize = 255;

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    super::plain("submit", app, warp::path!("api" / "backtests").and(warp::post()).and(call()), answer)
}

pub(super) async fn answer(app: App, call: Call) -> Reply {
    let request = match request(&call) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    match submit(&app, request).await {
        Ok(Submitted { run, created, announce }) => {
            let body = record(&run);
            let reply = if created { Reply::accepted(body) } else { Reply::ok(body) };
            let reply = reply.with(LOCATION, &path(&run)).with(RETRY_AFTER, &POLL_SECONDS.to_string());
            reply.announcing(announce.then_some(run.id))
        }
        Err(SubmitError::Invalid(faults)) => Reply::faults(Code::InvalidConfig, &faults),
        Err(SubmitError::KeyReused) => Reply::problem(
            Code::IdempotencyKeyReused,
            "this Idempotency-Key came before with another request; use a new one",
        ),
        Err(SubmitError::IdTaken(id)) => Reply::problem(Code::RunIdTaken, format!("run id '{id}' is taken")),
        Err(SubmitError::Store(error)) => Reply::store(&error, &call.invocation),
    }
}

/// The caller's name; only the platform can set this header.
pub(super) fn caller(call: &Call) -> Option<String> {
    call.header("x-ms-client-principal-name").map(str::to_owned)
}

fn request(call: &Call) -> Result<Request, Refusal> {
    let body = call.body()?;
    let asked = match media_type(call) {
        Media::Json => unwrap(parse_json(body).map_err(|error| malformed("JSON", &error))?)?,
        Media::Yaml => {
            let text = std::str::from_utf8(body)
                .map_err(|_| Reply::problem(Code::MalformedRequest, "the YAML document is not UTF-8"))?;
            Asked { config: parse_yaml(text).map_err(|error| malformed("YAML", &error))?, ..Asked::default() }
        }
        Media::Other(found) => {
            return Err(Reply::problem(
                Code::UnsupportedMediaType,
                format!("send application/json or application/yaml, not '{found}'"),
            )
            .into());
        }
    };
    let idempotency_key = call.header("idempotency-key").map(str::to_owned);
    if idempotency_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_MAX) {
        let message = format!("must have 1 to {KEY_MAX} characters");
        let faults = [Fault { path: "Idempotency-Key".into(), message }];
        return Err(Reply::faults(Code::InvalidParameter, &faults).into());
    }
    Ok(Request {
        config: asked.config,
        run_id: asked.run_id,
        parent_run_id: asked.parent_run_id,
        idempotency_key,
        submitted_by: caller(call),
        traceparent: call.header("traceparent").map(str::to_owned),
        announces: call.can_announce,
    })
}

#[derive(Default)]
struct Asked {
    config: Value,
    run_id: Option<RunId>,
    parent_run_id: Option<RunId>,
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
    Other(String),
}

fn media_type(call: &Call) -> Media {
    let header = call.header("content-type").unwrap_or("application/json");
    match header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Media::Json,
        "application/yaml" | "application/x-yaml" | "text/yaml" => Media::Yaml,
        other => Media::Other(other.to_owned()),
    }
}

fn malformed(what: &str, error: &NotADocument) -> Refusal {
    Reply::problem(Code::MalformedRequest, format!("the body is no {what}: {error}")).into()
}
