//! The doors from inside: each file is the twin of a folder in `functions/`. The Functions host calls in two ways,
//! and every door answers to both: the plain request under `/api`, and the envelope at `POST /<function>`, which
//! is never answered with an empty body.

mod call;
mod cancel;
mod envelope;
mod execute;
mod health;
mod list;
mod reconcile;
mod record;
mod reply;
mod results;
mod status;
mod submit;
mod sweep;

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tracing::Instrument;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Rejection};

use self::call::Call;
use self::reply::{Code, Reply};
use crate::work::App;

/// All routes of the custom handler. Every request gets an answer with a body, also one that fits no route.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let plain = cancel::route(app)
        .or(health::route(app))
        .unify()
        .or(list::route(app))
        .unify()
        .or(results::route(app))
        .unify()
        .or(status::route(app))
        .unify()
        .or(submit::route(app))
        .unify()
        .map(Reply::into_plain);
    let envelopes = envelope::http("cancel", app, cancel::answer)
        .or(envelope::http("health", app, health::answer))
        .unify()
        .or(envelope::http("list", app, list::answer))
        .unify()
        .or(envelope::http("results", app, results::answer))
        .unify()
        .or(envelope::http("status", app, status::answer))
        .unify()
        .or(envelope::http("submit", app, submit::answer))
        .unify()
        .or(envelope::trigger("execute", app, execute::answer))
        .unify()
        .or(envelope::trigger("reconcile", app, reconcile::answer))
        .unify()
        .or(envelope::trigger("sweep", app, sweep::answer))
        .unify();
    // The host asks for `/` until anything answers, and pings it later.
    let ready = warp::path::end()
        .and(warp::get())
        .map(|| Reply::ok(serde_json::json!({ "status": "ok" })).into_plain());
    ready.or(plain).unify().or(envelopes).unify().recover(not_found).unify().boxed()
}

async fn not_found(rejection: Rejection) -> Result<Response, Infallible> {
    let reply = if rejection.is_not_found() {
        Reply::problem(Code::NotFound, "there is nothing at this address")
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        Reply::problem(Code::MethodNotAllowed, "this address does not take this method")
    } else {
        tracing::warn!(?rejection, "a request was rejected");
        Reply::problem(Code::MalformedRequest, "the request cannot be read")
    };
    Ok(reply.into_plain())
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
            invoked(function, invocation, answer(app.clone(), call))
        })
        .boxed()
}

/// Waits for an answer in a span of its own; a panic becomes an answer too.
async fn invoked(function: &'static str, invocation: String, answer: impl Future<Output = Reply>) -> Reply {
    let span = tracing::info_span!("invocation", function, invocation.id = %invocation);
    let answered = AssertUnwindSafe(answer).catch_unwind().instrument(span.clone());
    answered.await.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("the handler panicked"));
        Reply::bug(&invocation)
    })
}
