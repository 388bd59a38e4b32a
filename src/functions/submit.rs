//! `POST /api/backtests`: a config becomes a run. The host calls this function by envelope, because the wake-up
//! message is one of its outputs; called plainly, the run waits until reconcile announces it.

use std::ops::RangeInclusive;

use warp::http::header::{HeaderName, LOCATION, RETRY_AFTER};

use super::call::Call;
use super::function::{Answer, AnswerHeader, Content, Function, Method, Operation};
use super::parameter::Header;
use super::record::{POLL_SECONDS, RETRY_AFTER_POLL, RunRecord, path, record};
use super::reply::{Code, Refusal, Reply};
use super::run_request::{self, RunRequest};
use super::schema::Shape;
use crate::engine::config::Fault;
use crate::store::runs::schedule::KEYS;
use crate::work::App;
use crate::work::submit::{Request, SubmitError, Submitted, submit};

pub(super) const FUNCTION: Function = Function::http("submit", "backtests", &[&SUBMIT_RUN]).announcing();

const SUBMIT_RUN: Operation = Operation {
    id: "submitRun",
    method: Method::Post,
    path: "backtests",
    tag: "runs",
    summary: "Submit a backtest",
    description: "A config that cannot be run is refused with every fault of it, and nothing is stored.",
    parameters: &[&IDEMPOTENCY_KEY],
    bodies: &run_request::BODIES,
    answers: &[
        Answer::document(202, "Stored; it will be executed", &[Content::json(Shape::of::<RunRecord<'_>>())])
            .with(&[LOCATION_OF_RUN, RETRY_AFTER_POLL]),
        Answer::document(
            200,
            "The run of the same key and body, as it is now; with `reuse`, a completed run of the same config, data and \
             engine",
            &[Content::json(Shape::of::<RunRecord<'_>>())],
        )
        .with(&[LOCATION_OF_RUN, RETRY_AFTER_POLL, IS_REUSED]),
    ],
    refusals: &REFUSALS,
    handler: |app, call| Box::pin(submitted(app, call)),
};

/// What a submit may be refused with, whatever it asks for.
pub(super) const REFUSALS: [Code; 9] = [
    Code::MalformedRequest,
    Code::InvalidParameter,
    Code::InvalidConfig,
    Code::DataGone,
    Code::RunIdTaken,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::IdempotencyKeyReused,
    Code::StoreUnavailable,
];

/// Characters that an idempotency key may have.
const KEY_LENGTH: RangeInclusive<usize> = 1..=255;
pub(super) const IDEMPOTENCY_KEY: Header = Header {
    name: "Idempotency-Key",
    description: "The same key and body give the same run, however often they are sent",
    length: Some(KEY_LENGTH),
};
pub(super) const LOCATION_OF_RUN: AnswerHeader = AnswerHeader::text("Location", "Address of the run");

async fn submitted(app: App, call: Call) -> Result<Reply, Refusal> {
    let request = request(&app, &call).await?;
    Ok(answer(submit(&app, request).await))
}

const REUSED: HeaderName = HeaderName::from_static("x-backtest-reused");
const IS_REUSED: AnswerHeader =
    AnswerHeader::text("X-Backtest-Reused", "`true` if the run was computed before, for another request");

/// The answer to what asked for a run.
pub(super) fn answer(stored: Result<Submitted, SubmitError>) -> Reply {
    match stored {
        Err(SubmitError::Parent(fault)) => Reply::faults(Code::InvalidParameter, &[fault]),
        Ok(Submitted { run, created, announce, reused }) => {
            let body = record(&run);
            let reply = if created { Reply::accepted(&body) } else { Reply::ok(&body) };
            let reply = if reused { reply.with(REUSED, "true") } else { reply };
            let reply = reply.with(LOCATION, &path(&run)).with(RETRY_AFTER, &POLL_SECONDS.to_string());
            reply.announcing(announce)
        }
        Err(SubmitError::Invalid(faults)) => Reply::faults(Code::InvalidConfig, &faults),
        Err(SubmitError::KeyReused) => Reply::problem(
            Code::IdempotencyKeyReused,
            "this Idempotency-Key came before with another request; use a new one",
        ),
        Err(SubmitError::IdTaken(id)) => Reply::problem(Code::RunIdTaken, format!("run id '{id}' is taken")),
        Err(SubmitError::Data(error)) => Reply::data(&error),
        Err(SubmitError::Store(error)) => Reply::store(&error),
    }
}

/// Characters that a caller's name may have.
const CALLER_MAX: usize = 200;

/// The caller's name, where the platform signs callers in and so says it. Elsewhere everyone could write this header.
pub(super) fn caller(app: &App, call: &Call) -> Option<String> {
    let mut values = call.message.headers.get_all("x-ms-client-principal-name").iter();
    let (Some(value), None, true) = (values.next(), values.next(), app.trusts_principal) else { return None };
    let name = std::str::from_utf8(value.as_bytes()).ok()?;
    let is_name = (1..=CALLER_MAX).contains(&name.chars().count()) && !name.contains(char::is_control);
    is_name.then(|| name.to_owned())
}

/// The caller's trace context.
pub(super) fn traceparent(call: &Call) -> Option<String> {
    call.header("traceparent").filter(|text| is_traceparent(text)).map(str::to_owned)
}

/// Whether a text is a trace context as W3C writes it. One that is none counts as absent, as the standard wants it.
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    text.split('-').map(str::len).eq([2, 32, 16, 2]) && text.split('-').all(is_hex)
}

pub(super) async fn request(app: &App, call: &Call) -> Result<Request, Refusal> {
    call.query().check()?;
    let RunRequest { config, run_id, parent_run_id, reuse } = RunRequest::read(call).await?;
    let idempotency_key = call.deciding_header(IDEMPOTENCY_KEY.name)?.map(str::to_owned);
    if idempotency_key.as_ref().is_some_and(|key| !KEY_LENGTH.contains(&key.len())) {
        let message = format!("must have {} to {} characters", KEY_LENGTH.start(), KEY_LENGTH.end());
        let faults = [Fault { path: IDEMPOTENCY_KEY.name.into(), message }];
        return Err(Reply::faults(Code::InvalidParameter, &faults).into());
    }
    if idempotency_key.as_ref().is_some_and(|key| key.starts_with(KEYS)) {
        let message = format!("must not begin with {KEYS}: such keys are those of the runs of schedules");
        let faults = [Fault { path: IDEMPOTENCY_KEY.name.into(), message }];
        return Err(Reply::faults(Code::InvalidParameter, &faults).into());
    }
    Ok(Request {
        config,
        run_id,
        parent_run_id,
        idempotency_key,
        submitted_by: caller(app, call),
        traceparent: traceparent(call),
        pins: None,
        announces: call.message.is_enveloped,
        reuse,
    })
}
