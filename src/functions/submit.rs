//! `POST /api/backtests`: a config becomes a run. The host calls this door by envelope, because the wake-up
//! message is one of its outputs; called plainly, the run waits until reconcile announces it.

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{LOCATION, RETRY_AFTER};

use super::asked::{Asked, RunRequest, asked};
use super::call::{Call, call};
use super::record::{POLL_SECONDS, RunRecord, path, record};
use super::reply::{Code, Refusal, Reply};
use crate::engine::config::Fault;
use crate::run::Wake;
use crate::work::App;
use crate::work::submit::{Request, SubmitError, Submitted, submit};

/// Characters that an idempotency key may have.
const KEY_MAX: usize = 255;

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    super::plain("submit", app, warp::path!("api" / "backtests").and(warp::post()).and(call()), answer)
}

/// Submit a backtest
///
/// A config that cannot be run is refused with every fault of it, and nothing is stored.
#[utoipa::path(
    post, path = "/api/backtests", operation_id = "submit", tag = "runs",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body give the same run, however often they are sent", min_length = 1, max_length = 255),
    ),
    request_body(content(
        (RunRequest = "application/json"),
        (String = "application/yaml", example = "start_date: 2005-01-03\nend_date: 2013-03-01\nuniverse: {symbols: [AAPL, MSFT]}\nstrategy: {class: BuyAndHoldStrategy}\n"),
    )),
    responses(
        (status = 202, description = "Stored; somebody will execute it", body = RunRecord,
            headers(("Location" = String, description = "Address of the run"), ("Retry-After" = u64, description = "Seconds until it is worth looking"))),
        (status = 200, description = "The run of the same key and body, as it is now", body = RunRecord,
            headers(("Location" = String, description = "Address of the run"), ("Retry-After" = u64, description = "Seconds until it is worth looking"))),
    ),
)]
pub(super) async fn answer(app: App, call: Call) -> Reply {
    let request = match request(&call) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    match submit(&app, request).await {
        Ok(Submitted { run, created, announce }) => {
            let body = record(&run);
            let reply = if created { Reply::accepted(&body) } else { Reply::ok(&body) };
            let reply = reply.with(LOCATION, &path(&run)).with(RETRY_AFTER, &POLL_SECONDS.to_string());
            reply.announcing(announce.then(|| Wake::of(&run)))
        }
        Err(SubmitError::Invalid(faults)) => Reply::faults(Code::InvalidConfig, &faults),
        Err(SubmitError::KeyReused) => Reply::problem(
            Code::IdempotencyKeyReused,
            "this Idempotency-Key came before with another request; use a new one",
        ),
        Err(SubmitError::IdTaken(id)) => Reply::problem(Code::RunIdTaken, format!("run id '{id}' is taken")),
        Err(SubmitError::Store(error)) => Reply::store(&error),
    }
}

/// The caller's name; only the platform can set this header.
pub(super) fn caller(call: &Call) -> Option<String> {
    call.header("x-ms-client-principal-name").map(str::to_owned)
}

/// Whether a text is a trace context as W3C writes it. One that is none counts as absent, as the standard wants it.
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    text.split('-').map(str::len).eq([2, 32, 16, 2]) && text.split('-').all(is_hex)
}

fn request(call: &Call) -> Result<Request, Refusal> {
    call.parameters(&[]).check()?;
    let Asked { config, run_id, parent_run_id } = asked(call)?;
    let idempotency_key = call.deciding_header("Idempotency-Key")?.map(str::to_owned);
    if idempotency_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_MAX) {
        let message = format!("must have 1 to {KEY_MAX} characters");
        let faults = [Fault { path: "Idempotency-Key".into(), message }];
        return Err(Reply::faults(Code::InvalidParameter, &faults).into());
    }
    Ok(Request {
        config,
        run_id,
        parent_run_id,
        idempotency_key,
        submitted_by: caller(call),
        traceparent: call.header("traceparent").filter(|text| is_traceparent(text)).map(str::to_owned),
        announces: call.can_announce,
    })
}
