//! The host's other way to call: `POST /<function>` with `Data` and `Metadata`, answered with `Outputs`. Decoding
//! is liberal, because the host encodes some values twice; the answer is always a JSON object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Buf, Bytes};
use futures_util::{Stream, TryStreamExt};
use serde_json::{Map, Value, json};
use warp::http::{HeaderMap, HeaderName, HeaderValue, Response as HttpResponse, StatusCode};
use warp::reply::Response;

use super::call::{self, BODY_MAX, Message, collect, invocation_of};
use super::function::{
    Function, Outcome, REQUEST, RESPONSE, RUNS, Trigger, TriggerHandler, Triggered, filled,
};
use super::reply::{Body, Code, Reply};
use crate::run::Wake;
use crate::telemetry;
use crate::work::App;
use crate::work::chain;

/// Bytes that an envelope may have. It repeats the request's body, escaped, and its fields once more.
const ENVELOPE_MAX: usize = 16 * 1024 * 1024;

/// The answer to an envelope.
pub(super) async fn answer<B: Buf>(
    function: &'static Function,
    app: App,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Response {
    let invocation = invocation_of(headers);
    let body = call::Body::of(collect(body, ENVELOPE_MAX).await);
    match &function.trigger {
        Trigger::Http { route, .. } => {
            let reply = http(function, route, app, body, invocation).await;
            enveloped(reply).await
        }
        Trigger::Queue { handler, .. } | Trigger::Timer { handler, .. } => {
            let data = match &body {
                call::Body::Whole(body) => data(body).unwrap_or_default(),
                call::Body::TooLarge | call::Body::Broken => Map::new(),
            };
            triggered(function.name, *handler, app, Triggered { invocation, data }).await
        }
    }
}

/// Answers the request inside an envelope.
async fn http(
    function: &'static Function,
    route: &str,
    app: App,
    body: call::Body,
    invocation: String,
) -> Reply {
    let data = match &body {
        call::Body::Whole(body) => data(body).and_then(|mut data| data.remove(REQUEST)),
        // Longer than any lawful body makes it.
        call::Body::TooLarge => {
            return Reply::body_too_large(BODY_MAX).naming(&invocation);
        }
        call::Body::Broken => None,
    };
    let Some(request) = data else {
        return Reply::problem(Code::MalformedRequest, "this is not an envelope of the Functions host")
            .naming(&invocation);
    };
    let no_values = Map::new();
    let path = filled(route, request.get("Params").and_then(Value::as_object).unwrap_or(&no_values));
    let method = request.get("Method").and_then(Value::as_str);
    // One that does not say has the method of the function.
    let method = method.or_else(|| Some(*function.operations().first()?.method.names().first()?));
    let message = message_of(&request, invocation);
    let is_head = message.is_head;
    let reply = match super::find_in(function, method.unwrap_or_default(), &path) {
        Some((operation, placeholders)) => {
            super::handle(app, function, operation, operation.called(placeholders, message)).await
        }
        None => {
            Reply::problem(Code::NotFound, "there is nothing at this address").naming(&message.invocation)
        }
    };
    if is_head { reply.without_body() } else { reply }
}

/// Does what a message or a schedule asks for.
async fn triggered(function: &'static str, handler: TriggerHandler, app: App, call: Triggered) -> Response {
    super::health::heard();
    let invocation = call.invocation.clone();
    // The same guard as for HTTP functions: one span, one answer, also after a panic.
    let reply = super::guarded(function, &invocation, async {
        match handler(app, call).await {
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

fn data(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice::<Map<String, Value>>(body).ok()?.remove("Data")? {
        Value::Object(data) => Some(data),
        _ => None,
    }
}

/// What the request inside an envelope brings beside path and method.
fn message_of(request: &Value, invocation: String) -> Message {
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
    let media = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let binary = media.starts_with("application/octet-stream") || media.starts_with("multipart/");
    let body = match request.get("Body") {
        Some(Value::String(text)) if binary => BASE64.decode(text).unwrap_or_default().into(),
        Some(Value::String(text)) => Bytes::from(text.clone()),
        Some(Value::Null) | None => Bytes::new(),
        Some(other) => Bytes::from(other.to_string()),
    };
    let body = if body.len() > BODY_MAX { call::Body::TooLarge } else { call::Body::Whole(body) };
    let is_head = request.get("Method").is_some_and(|method| method == "HEAD");
    Message { invocation, is_head, query, headers, body, is_enveloped: true }
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
        Body::Text(text) => json!(String::from_utf8_lossy(&text)),
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
        telemetry::ANNOUNCED.add(messages.len());
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
