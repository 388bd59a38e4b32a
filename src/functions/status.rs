//! `GET /api/backtests/{run_id}`: one run, cheap to ask again.

use warp::http::header::{CACHE_CONTROL, ETAG, RETRY_AFTER};

use super::call::{Call, RUN_ID, unknown_run};
use super::function::{Answer, AnswerHeader, Content, Function, Method, Operation};
use super::parameter::Header;
use super::record::{INPUTS, POLL_SECONDS, RETRY_AFTER_POLL, RunRecord, record, record_with_inputs};
use super::reply::{Code, Refusal, Reply, written};
use super::schema::Shape;
use crate::run::{Publication, Run, RunState};
use crate::work::{App, sha256_hex};

pub(super) const FUNCTION: Function = Function::http("status", "backtests/{run_id}", &[&GET_RUN]);

pub(super) const GET_RUN: Operation = Operation {
    id: "getRun",
    method: Method::Get,
    path: "backtests/{run_id}",
    tag: "runs",
    summary: "One run",
    description: "",
    parameters: &[&RUN_ID, &INPUTS, &IF_NONE_MATCH],
    bodies: &[],
    answers: &[
        Answer::document(200, "Its record", &[Content::json(Shape::of::<RunRecord<'_>>())])
            .with(&[AnswerHeader::text("ETag", "Names this state of the record"), RETRY_AFTER_POLL]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &[Code::InvalidParameter, Code::RunNotFound, Code::PreconditionFailed, Code::StoreUnavailable],
    handler: |app, call| Box::pin(status(app, call)),
};

/// The same at the address that names the result.
pub(super) const GET_RUN_STATUS: Operation =
    Operation { id: "getRunStatus", path: "backtests/{run_id}/status", ..GET_RUN };

const IF_NONE_MATCH: Header =
    Header { name: "If-None-Match", description: "`ETag` of the record that the caller has", length: None };

async fn status(app: App, call: Call) -> Result<Reply, Refusal> {
    let mut query = call.query();
    let with_inputs = INPUTS.read(&mut query);
    query.check()?;
    let run = find(&app, &call).await?;
    let record = if with_inputs { record_with_inputs(&app, &run).await? } else { record(&run) };
    describe(&run, &record, &call)
}

/// The run that the path names.
pub(super) async fn find(app: &App, call: &Call) -> Result<Run, Refusal> {
    let id = call.run_id()?;
    match app.runs.get(&id).await {
        Ok(Some(run)) => Ok(run),
        Ok(None) => Err(unknown_run(id.as_str()).into()),
        Err(error) => Err(Reply::store(&error).into()),
    }
}

/// The run's record, unless the caller has it already.
fn describe(run: &Run, record: &RunRecord<'_>, call: &Call) -> Result<Reply, Refusal> {
    let etag = etag(record);
    call.must_match(&etag)?;
    let reply = if call.knows(&etag) { Reply::not_modified() } else { Reply::ok(record) };
    let reply = reply.with(ETAG, &etag).with(CACHE_CONTROL, "no-cache");
    let is_final = run.state.status().is_final();
    Ok(if is_final { reply } else { reply.with(RETRY_AFTER, &POLL_SECONDS.to_string()) })
}

/// Names one state of a record.
pub(super) fn etag(record: &RunRecord<'_>) -> String {
    format!("\"{}\"", &sha256_hex(written(record).unwrap_or_default())[..24])
}

/// The results of a run, or why it has none.
pub(super) fn publication(run: &Run) -> Result<&Publication, Refusal> {
    match &run.state {
        _ if run.labels.deleted.is_some() => Err(Reply::deleted(run).into()),
        RunState::Completed { publication, .. } => Ok(publication),
        state => {
            let status = state.status();
            let detail = format!("run {} is {status}, it has no results", run.id);
            Err(Reply::wrong_state(Code::RunNotCompleted, detail, status).into())
        }
    }
}
