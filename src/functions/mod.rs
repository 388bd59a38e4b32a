//! The functions from inside: each file named like a folder of `functions/` is its twin and states the function once. The
//! Functions host calls in two ways, and every function answers to both: the plain request under `/api`, and the envelope
//! at `POST /<function>`, which is never answered with an empty body.

mod amend;
mod audit;
mod bulk;
mod call;
mod cancel;
mod compare;
mod derived;
mod docs;
mod envelope;
mod execute;
mod execute_poison;
mod experiments;
mod function;
mod health;
mod list;
mod openapi;
mod pages;
mod parameter;
mod reconcile;
mod record;
mod reply;
mod reproduce;
mod results;
mod run_request;
mod run_trial;
mod schedules;
mod schema;
mod signals;
mod status;
mod studies;
mod studies_validate;
mod submit;
mod sweep;
mod sync_signals;
mod validate;

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, Stream};
use serde_json::Value;
use tracing::Instrument;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::http::{HeaderMap, Method};
use warp::reply::Response;

use self::call::{BODY_MAX, Body, Call, Message, Placeholders, collect, invocation_of};
use self::function::{Function, Operation, PREFIX, segments};
use self::reply::{Code, Reply};
use crate::work::App;

/// Every function of the app. A new one is its file, its folder and a line here.
const FUNCTIONS: &[&Function] = &[
    &amend::FUNCTION,
    &audit::FUNCTION,
    &bulk::FUNCTION,
    &cancel::FUNCTION,
    &compare::FUNCTION,
    &docs::FUNCTION,
    &execute::FUNCTION,
    &execute_poison::FUNCTION,
    &experiments::FUNCTION,
    &health::FUNCTION,
    &list::FUNCTION,
    &pages::FUNCTION,
    &reconcile::FUNCTION,
    &reproduce::FUNCTION,
    &results::FUNCTION,
    &schedules::FUNCTION,
    &signals::FUNCTION,
    &run_trial::FUNCTION,
    &status::FUNCTION,
    &studies::FUNCTION,
    &studies_validate::FUNCTION,
    &submit::FUNCTION,
    &sweep::FUNCTION,
    &sync_signals::FUNCTION,
    &validate::FUNCTION,
];

/// The `function.json` of each function, by its name.
pub fn function_files() -> Vec<(&'static str, Value)> {
    FUNCTIONS.iter().map(|function| (function.name, function.json())).collect()
}

/// All routes of the custom handler. Every request gets an answer with a body, also one that fits no route.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    health::listen();
    let app = app.clone();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method: Method, path: FullPath, query: String, headers: HeaderMap, body| {
            let app = app.clone();
            async move { answer(app, &method, path.as_str(), &query, headers, body).await }
        })
        .boxed()
}

/// The status of the answer to a request that came over no network.
pub async fn answer_to(app: &App, method: &str, path: &str, query: &str, body: Vec<u8>) -> u16 {
    let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
    let body = futures_util::stream::iter([Ok::<_, warp::Error>(Bytes::from(body))]);
    answer(app.clone(), &method, path, query, HeaderMap::new(), body).await.status().as_u16()
}

/// The answer to any request.
async fn answer<B: Buf>(
    app: App,
    method: &Method,
    path: &str,
    query: &str,
    headers: HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Response {
    // The host asks for `/` until anything answers, and pings it later.
    if method == Method::GET && path == "/" {
        return Reply::ok(serde_json::json!({ "status": "ok" })).into_plain();
    }
    let segments = segments(path);
    if let [name] = segments.as_slice()
        && method == Method::POST
        && let Some(function) = FUNCTIONS.iter().copied().find(|function| function.name == name)
    {
        return envelope::answer(function, app, &headers, body).await;
    }
    let invocation = invocation_of(&headers);
    let Some((function, operation, placeholders)) = find(method, &segments) else {
        return nowhere(&segments).naming(&invocation).into_plain();
    };
    let message = Message {
        invocation,
        is_head: method == Method::HEAD,
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers,
        body: Body::of(collect(body, BODY_MAX).await),
        is_enveloped: false,
    };
    handle(app, function, operation, operation.called(placeholders, message)).await.into_plain()
}

/// The operation that a plain request calls.
fn find(
    method: &Method,
    segments: &[String],
) -> Option<(&'static Function, &'static Operation, Placeholders)> {
    let path = below_prefix(segments)?;
    FUNCTIONS.iter().copied().find_map(|function| {
        let (operation, placeholders) = find_in(function, method.as_str(), path)?;
        Some((function, operation, placeholders))
    })
}

/// The operation of a function that takes this method at this path below the route prefix.
fn find_in(function: &Function, method: &str, path: &[String]) -> Option<(&'static Operation, Placeholders)> {
    function
        .operations()
        .iter()
        .filter(|operation| operation.method.names().contains(&method))
        .find_map(|operation| Some((*operation, operation.matches(path)?)))
}

/// The answer to what fits no operation: 405 if another method would, of the address that is meant most exactly.
fn nowhere(segments: &[String]) -> Reply {
    let all = FUNCTIONS.iter().flat_map(|function| function.operations());
    let path = below_prefix(segments).unwrap_or_default();
    let matching: Vec<(&Operation, usize)> =
        all.filter_map(|operation| Some((*operation, operation.matches(path)?.len()))).collect();
    let Some((meant, _)) = matching.iter().min_by_key(|(_, placeholders)| placeholders) else {
        return Reply::problem(Code::NotFound, "there is nothing at this address");
    };
    let there = matching.iter().filter(|(operation, _)| operation.path == meant.path);
    let methods: BTreeSet<&str> =
        there.flat_map(|(operation, _)| operation.method.names()).copied().collect();
    Reply::method_not_allowed(&methods.into_iter().collect::<Vec<_>>().join(", "))
}

/// The path below the route prefix.
fn below_prefix(segments: &[String]) -> Option<&[String]> {
    let (prefix, path) = segments.split_first()?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(path)
}

/// Answers a call, unless so many are being answered that this one would only wait.
async fn handle(app: App, function: &Function, operation: &Operation, call: Call) -> Reply {
    let invocation = call.message.invocation.clone();
    let answering = async {
        let _permit = match Arc::clone(&app.admission).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) if function.is_anonymous() => None,
            Err(_) => return Reply::problem(Code::TooManyRequests, "this instance is busy; try again"),
        };
        (operation.handler)(app, call).await.unwrap_or_else(|refusal| *refusal)
    };
    guarded(function.name, &invocation, answering).await
}

/// Waits for an answer in a span of its own; a panic becomes an answer too.
async fn guarded(function: &'static str, invocation: &str, answer: impl Future<Output = Reply>) -> Reply {
    let span = tracing::info_span!("invocation", function, invocation.id = %invocation);
    let answered = AssertUnwindSafe(answer).catch_unwind().instrument(span.clone());
    let reply = answered.await.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("the handler panicked"));
        Reply::bug()
    });
    reply.naming(invocation)
}
