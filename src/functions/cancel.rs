//! `POST /api/backtests/{run_id}/cancel`: a queued run ends at once, a running one is asked to stop.

use warp::http::header::RETRY_AFTER;

use super::call::{Call, RUN_ID, unknown_run};
use super::function::{Answer, Content, Function, Method, Operation};
use super::parameter::Header;
use super::record::{POLL_SECONDS, RETRY_AFTER_POLL, RunRecord, record};
use super::reply::{Code, Refusal, Reply};
use super::schema::Shape;
use super::status::{etag, find};
use super::submit::caller;
use crate::run::Status;
use crate::store::runs::Cancel;
use crate::telemetry;
use crate::work::{App, notify};

pub(super) const FUNCTION: Function = Function::http("cancel", "backtests/{run_id}/cancel", &[&CANCEL_RUN]);

const CANCEL_RUN: Operation = Operation {
    id: "cancelRun",
    method: Method::Post,
    path: "backtests/{run_id}/cancel",
    tag: "runs",
    summary: "Cancel a run",
    description: "A queued run ends at once; a running one is asked to stop. A study is canceled with all its parts, and no part alone. With `If-Match`, only if the run is as the \
                  caller saw it.",
    parameters: &[&RUN_ID, &IF_MATCH],
    bodies: &[],
    answers: &[
        Answer::document(200, "It is canceled", &[Content::json(Shape::of::<RunRecord<'_>>())]),
        Answer::document(
            202,
            "Its executor was asked to stop",
            &[Content::json(Shape::of::<RunRecord<'_>>())],
        )
        .with(&[RETRY_AFTER_POLL]),
    ],
    refusals: &[
        Code::InvalidParameter,
        Code::RunNotFound,
        Code::RunFinished,
        Code::PartOfStudy,
        Code::PreconditionFailed,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(cancel(app, call)),
};

pub(super) const IF_MATCH: Header = Header {
    name: "If-Match",
    description: "`ETag` of the run record as it was seen; a weak tag matches nothing",
    length: None,
};

async fn cancel(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let id = call.run_id()?;
    let run = find(&app, &call).await?;
    if call.deciding_header("If-Match")?.is_some() {
        call.must_match(&etag(&record(&run)))?;
    }
    if let Some(of) = &run.submission.part_of {
        let detail = format!("run {id} is a part of study {}; cancel that", of.study);
        return Ok(Reply::problem(Code::PartOfStudy, detail));
    }
    let actor = caller(&app, &call).unwrap_or_else(|| "api".to_owned());
    Ok(match app.runs.request_cancel(&id, &actor).await {
        Ok(Cancel::Canceled(run)) => {
            telemetry::RUNS_ENDED.one(Status::Canceled.as_str());
            notify::ended(&app, &id);
            Reply::ok(record(&run))
        }
        Ok(Cancel::Before(run)) => Reply::ok(record(&run)),
        Ok(Cancel::Requested(run)) => {
            Reply::accepted(record(&run)).with(RETRY_AFTER, &POLL_SECONDS.to_string())
        }
        Ok(Cancel::Ended(run)) => {
            let status = run.state.status();
            Reply::wrong_state(Code::RunFinished, format!("run {id} is {status} already"), status)
        }
        Ok(Cancel::Unknown) => unknown_run(id.as_str()),
        Err(error) => Reply::store(&error),
    })
}
