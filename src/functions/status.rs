//! `GET /api/backtests/{run_id}`: one run, cheap to ask again.

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{CACHE_CONTROL, ETAG, RETRY_AFTER};

use super::call::{Call, call, reads, unknown_run};
use super::record::{POLL_SECONDS, RunRecord, record};
use super::reply::{Refusal, Reply, written};
use crate::run::{Run, RunId};
use crate::work::{App, sha256_hex};

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let route = warp::path!("api" / "backtests" / String)
        .and(reads())
        .and(call())
        .map(|run_id: String, call: Call| call.with("run_id", &run_id));
    super::plain("status", app, route, answer)
}

/// One run
#[utoipa::path(
    get, path = "/api/backtests/{run_id}", operation_id = "status", tag = "runs",
    params(("run_id" = RunId, Path, description = "The run"), ("If-None-Match" = Option<String>, Header, description = "`ETag` of the record that the caller has")),
    responses(
        (status = 200, description = "Its record", body = RunRecord, headers(
            ("ETag" = String, description = "Names this state of the record"),
            ("Retry-After" = u64, description = "Seconds until it is worth looking again, while the run is not final"))),
        (status = 304, description = "The caller has the record of now"),
    ),
)]
pub(super) async fn answer(app: App, call: Call) -> Reply {
    let described = async {
        call.parameters(&[]).check()?;
        describe(&find(&app, &call).await?, &call)
    };
    described.await.unwrap_or_else(|refusal| *refusal)
}

/// The run that the route names.
pub(super) async fn find(app: &App, call: &Call) -> Result<Run, Refusal> {
    let id = call.run_id()?;
    match app.runs.get(&id).await {
        Ok(Some(run)) => Ok(run),
        Ok(None) => Err(unknown_run(id.as_str()).into()),
        Err(error) => Err(Reply::store(&error).into()),
    }
}

/// The run's record, unless the caller has it already.
pub(super) fn describe(run: &Run, call: &Call) -> Result<Reply, Refusal> {
    let record = record(run);
    let etag = etag(&record);
    call.must_match(&etag)?;
    let reply = if call.knows(&etag) { Reply::not_modified() } else { Reply::ok(&record) };
    let reply = reply.with(ETAG, &etag).with(CACHE_CONTROL, "no-cache");
    let is_final = run.state.status().is_final();
    Ok(if is_final { reply } else { reply.with(RETRY_AFTER, &POLL_SECONDS.to_string()) })
}

/// Names one state of a record.
pub(super) fn etag(record: &RunRecord<'_>) -> String {
    format!("\"{}\"", &sha256_hex(written(record).unwrap_or_default())[..24])
}
