//! The doors from inside: each file is the twin of a folder in `functions/`. The Functions host calls in two ways,
//! and every door answers to both: the plain request under `/api`, and the envelope at `POST /<function>`, which
//! is never answered with an empty body.

mod asked;
mod call;
mod cancel;
mod docs;
mod envelope;
mod execute;
mod execute_poison;
mod health;
mod list;
mod reconcile;
mod record;
mod reply;
mod results;
mod signals;
mod status;
mod submit;
mod sweep;
mod sync_signals;
mod validate;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tracing::Instrument;
use warp::filters::BoxedFilter;
use warp::filters::path::FullPath;
use warp::http::HeaderMap;
use warp::reply::Response;
use warp::{Filter, Rejection};

use self::call::{Call, invocation_of};
use self::reply::{Code, Reply};
use crate::work::App;

/// All routes of the custom handler. Every request gets an answer with a body, also one that fits no route.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let plain = cancel::route(app)
        .or(docs::route(app))
        .unify()
        .or(health::route(app))
        .unify()
        .or(list::route(app))
        .unify()
        .or(results::route(app))
        .unify()
        .or(signals::route(app))
        .unify()
        .or(status::route(app))
        .unify()
        .or(submit::route(app))
        .unify()
        .or(validate::route(app))
        .unify()
        .map(Reply::into_plain);
    let envelopes = envelope::http("cancel", app, cancel::answer)
        .or(envelope::http("docs", app, docs::answer_call))
        .unify()
        .or(envelope::http("health", app, health::answer))
        .unify()
        .or(envelope::http("list", app, list::answer))
        .unify()
        .or(envelope::http("results", app, results::answer))
        .unify()
        .or(envelope::http("signals", app, signals::answer))
        .unify()
        .or(envelope::http("status", app, status::answer))
        .unify()
        .or(envelope::http("submit", app, submit::answer))
        .unify()
        .or(envelope::http("validate", app, validate::answer))
        .unify()
        .or(envelope::trigger("execute", app, execute::answer))
        .unify()
        .or(envelope::trigger("execute_poison", app, execute_poison::answer))
        .unify()
        .or(envelope::trigger("reconcile", app, reconcile::answer))
        .unify()
        .or(envelope::trigger("sync_signals", app, sync_signals::answer))
        .unify()
        .or(envelope::trigger("sweep", app, sweep::answer))
        .unify();
    // The host asks for `/` until anything answers, and pings it later.
    let ready = warp::path::end()
        .and(warp::get())
        .map(|| Reply::ok(serde_json::json!({ "status": "ok" })).into_plain());
    let elsewhere = warp::path::full().and(warp::header::headers_cloned());
    let elsewhere = elsewhere.map(|path: FullPath, headers| nowhere(path.as_str(), &headers));
    ready.or(plain).unify().or(envelopes).unify().or(elsewhere).unify().boxed()
}

/// The answer to what fits no route.
fn nowhere(path: &str, headers: &HeaderMap) -> Response {
    let reply = match docs::methods(path) {
        Some(methods) => Reply::method_not_allowed(&methods),
        None => Reply::problem(Code::NotFound, "there is nothing at this address"),
    };
    reply.of(&invocation_of(headers)).into_plain()
}

/// A route of the plain mode: an HTTP function called as `/api/...`.
fn plain<F, A, Fut>(function: &'static str, app: &App, route: F, answer: A) -> BoxedFilter<(Reply,)>
where
    F: Filter<Extract = (Call,), Error = Rejection> + Clone + Send + Sync + 'static,
    A: Fn(App, Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Reply> + Send + 'static,
{
    let app = app.clone();
    route
        .then(move |call: Call| {
            let invocation = call.invocation.clone();
            invoked(function, invocation, admitted(function, app.clone(), call, answer.clone()))
        })
        .boxed()
}

/// Functions that answer however busy the process is.
const ALWAYS_ANSWERED: [&str; 2] = ["docs", "health"];

/// Answers a call of an HTTP function, unless so many are being answered that this one would only wait.
async fn admitted<A, Fut>(function: &'static str, app: App, call: Call, answer: A) -> Reply
where
    A: Fn(App, Call) -> Fut,
    Fut: Future<Output = Reply>,
{
    if ALWAYS_ANSWERED.contains(&function) {
        return answer(app, call).await;
    }
    match Arc::clone(&app.admission).try_acquire_owned() {
        Ok(_permit) => answer(app, call).await,
        Err(_) => Reply::problem(Code::TooManyRequests, "this instance is busy; try again"),
    }
}

/// Waits for an answer in a span of its own; a panic becomes an answer too.
async fn invoked(function: &'static str, invocation: String, answer: impl Future<Output = Reply>) -> Reply {
    let span = tracing::info_span!("invocation", function, invocation.id = %invocation);
    let answered = AssertUnwindSafe(answer).catch_unwind().instrument(span.clone());
    let reply = answered.await.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("the handler panicked"));
        Reply::bug()
    });
    reply.of(&invocation)
}
