//! The host's other way to call: `POST /<function>` with `Data` and `Metadata`, answered with `Outputs`. Decoding
//! is liberal, because the host encodes some values twice; the answer is always a JSON object.

use std::collections::HashMap;
use std::future::Future;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::TryStreamExt;
use serde_json::{Map, Value, json};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Response as HttpResponse, StatusCode};
use warp::reply::Response;

use super::call::{Call, collect, invocation_of};
use super::reply::{Body, Code, Reply};
use crate::metrics;
use crate::run::Wake;
use crate::work::App;
use crate::work::execute::chain;

/// Bytes that an envelope may have. It repeats the request's body, escaped, and its fields once more.
const ENVELOPE_MAX: usize = 16 * 1024 * 1024;

/// Name of the trigger binding of all HTTP functions.
const REQUEST: &str = "req";
/// Name of the output binding of all HTTP functions.
const RESPONSE: &str = "res";
/// Name of the queue output binding of all functions that have one.
const RUNS: &str = "runs";

/// What a queue or timer function is given.
pub(super) struct Triggered {
    /// The host's name of this invocation.
    pub(super) invocation: String,
    /// Values by binding name.
    pub(super) data: Map<String, Value>,
}

/// What a queue or timer function came to.
pub(super) enum Outcome {
    /// Done; the host sends the messages.
    Done(Vec<Wake>),
    /// The host shall deliver again.
    Again(String),
}

/// The envelope route of an HTTP function.
pub(super) fn http<A, Fut>(function: &'static str, app: &App, answer: A) -> BoxedFilter<(Response,)>
where
    A: Fn(App, Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Reply> + Send + 'static,
{
    let app = app.clone();
    envelope(function)
        .then(move |headers: HeaderMap, body: Enveloped| {
            let (app, answer) = (app.clone(), answer.clone());
            async move {
                let invocation = invocation_of(&headers);
                let call = match &body {
                    Enveloped::Whole(body) => request(body, invocation.clone()),
                    Enveloped::TooLarge => Some(Call::too_large(invocation.clone())),
                    Enveloped::Broken => None,
                };
                let reply = match call {
                    Some(call) => {
                        let is_head = call.is_head;
                        let answer = super::admitted(function, app, call, answer);
                        let reply = super::invoked(function, invocation, answer).await;
                        if is_head { reply.without_body() } else { reply }
                    }
                    None => {
                        Reply::problem(Code::MalformedRequest, "this is no envelope of the Functions host")
                    }
                };
                enveloped(reply).await
            }
        })
        .boxed()
}

/// The route of a queue or timer function.
pub(super) fn trigger<A, Fut>(function: &'static str, app: &App, answer: A) -> BoxedFilter<(Response,)>
where
    A: Fn(App, Triggered) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    let app = app.clone();
    envelope(function)
        .then(move |headers: HeaderMap, body: Enveloped| {
            let (app, answer) = (app.clone(), answer.clone());
            async move {
                let invocation = invocation_of(&headers);
                let data = match &body {
                    Enveloped::Whole(body) => data(body).unwrap_or_default(),
                    Enveloped::TooLarge | Enveloped::Broken => Map::new(),
                };
                let answer = answer(app, Triggered { invocation: invocation.clone(), data });
                // The same guard as for HTTP functions: one span, one answer, also after a panic.
                let reply = super::invoked(function, invocation, async {
                    match answer.await {
                        Outcome::Done(messages) => Reply::ok(json!({})).announcing(messages),
                        Outcome::Again(why) => Reply::problem(Code::StoreUnavailable, why),
                    }
                })
                .await;
                if reply.status.is_success() {
                    object(StatusCode::OK, &json!({ "Outputs": messages(&reply.announce) }))
                } else {
                    reply.into_plain()
                }
            }
        })
        .boxed()
}

/// An envelope as it arrived.
enum Enveloped {
    Whole(Bytes),
    TooLarge,
    Broken,
}

fn envelope(function: &'static str) -> BoxedFilter<(HeaderMap, Enveloped)> {
    warp::path(function)
        .and(warp::path::end())
        .and(warp::post())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream().then(async |body| match collect(body, ENVELOPE_MAX).await {
            Ok(Some(body)) => Enveloped::Whole(body),
            Ok(None) => Enveloped::TooLarge,
            Err(_) => Enveloped::Broken,
        }))
        .boxed()
}

fn data(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Map<String, Value>>(body).ok()?.remove("Data")? {
        Value::Object(data) => Some(data),
        _ => None,
    }
}

/// The HTTP request inside an envelope.
fn request(body: &[u8], invocation: String) -> Option<Call> {
    let request = data(body)?.remove(REQUEST)?;
    let mut headers = HeaderMap::new();
    for (name, values) in request.get("Headers").and_then(Value::as_object).into_iter().flatten() {
        let values = values.as_array().map_or(std::slice::from_ref(values), Vec::as_slice);
        for value in values.iter().filter_map(Value::as_str) {
            // From bytes, so that a header that is not ASCII is refused where it matters and not lost here.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes()))
            {
                headers.append(name, value);
            }
        }
    }
    let query = texts(request.get("Query"));
    let mut params = HashMap::new();
    for (name, value) in texts(request.get("Params")) {
        for known in ["run_id", "result", "probe", "view"] {
            if name == known {
                params.insert(known, value.clone());
            }
        }
    }
    let media = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let binary = media.starts_with("application/octet-stream") || media.starts_with("multipart/");
    let body = match request.get("Body") {
        Some(Value::String(text)) if binary => BASE64.decode(text).unwrap_or_default().into(),
        Some(Value::String(text)) => Bytes::from(text.clone()),
        Some(Value::Null) | None => Bytes::new(),
        Some(other) => Bytes::from(other.to_string()),
    };
    let is_head = request.get("Method").is_some_and(|method| method == "HEAD");
    Some(Call::enveloped(is_head, params, query, headers, body, invocation))
}

fn texts(object: Option<&Value>) -> Vec<(String, String)> {
    let fields = object.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The text of a queue message, through as many encodings as the host put around it.
pub(super) fn message(value: &Value) -> Option<Value> {
    let mut value = value.clone();
    for _ in 0..3 {
        let Value::String(text) = &value else { break };
        value = match serde_json::from_str(text) {
            Ok(inner) => inner,
            Err(_) => serde_json::from_slice(&BASE64.decode(text).ok()?).ok()?,
        };
    }
    value.is_object().then_some(value)
}

/// An HTTP answer as an output of the host. The envelope itself always succeeds, whatever the answer says.
async fn enveloped(reply: Reply) -> Response {
    let headers: Map<String, Value> = reply
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), json!(value.to_str().ok()?))))
        .collect();
    let body = match reply.body {
        Body::Json(document) => serde_json::from_slice(&document).unwrap_or_default(),
        Body::Problem(problem) => json!(problem),
        Body::Nothing => json!(""),
        Body::Stream { content, .. } => match content.try_collect::<Vec<Bytes>>().await {
            Ok(chunks) => json!(String::from_utf8_lossy(&chunks.concat())),
            Err(error) => {
                tracing::warn!(error = chain(&error), "a file could not be read to its end");
                return object(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "a file ended early" }));
            }
        },
    };
    let mut outputs = messages(&reply.announce);
    outputs.insert(
        RESPONSE.to_owned(),
        json!({ "statusCode": reply.status.as_u16(), "headers": headers, "body": body }),
    );
    object(StatusCode::OK, &json!({ "Outputs": outputs }))
}

/// The queue output, if there is something to send.
fn messages(messages: &[Wake]) -> Map<String, Value> {
    let mut outputs = Map::new();
    if !messages.is_empty() {
        metrics::ANNOUNCED.add(messages.len());
        outputs.insert(RUNS.to_owned(), json!(messages));
    }
    outputs
}

fn object(status: StatusCode, body: &Value) -> Response {
    let mut response = HttpResponse::new(body.to_string().into());
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}
