//! `POST /api/backtests/{run_id}/cancel`: a queued run ends at once, a running one is asked to stop.

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::RETRY_AFTER;

use super::call::{Call, call, unknown_run};
use super::record::{POLL_SECONDS, RunRecord, record};
use super::reply::{Code, Refusal, Reply};
use super::status::{etag, find};
use super::submit::caller;
use crate::metrics;
use crate::run::{RunId, Status};
use crate::store::runs::Cancel;
use crate::work::App;

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let route = warp::path!("api" / "backtests" / String / "cancel")
        .and(warp::post())
        .and(call())
        .map(|run_id: String, call: Call| call.with("run_id", &run_id));
    super::plain("cancel", app, route, answer)
}

/// Cancel a run
///
/// A queued run ends at once; a running one is asked to stop. With `If-Match`, only if the run is as the caller saw it.
#[utoipa::path(
    post, path = "/api/backtests/{run_id}/cancel", operation_id = "cancel", tag = "runs",
    params(("run_id" = RunId, Path, description = "The run"), ("If-Match" = Option<String>, Header, description = "`ETag` of the run record as it was seen")),
    responses(
        (status = 200, description = "It is canceled", body = RunRecord),
        (status = 202, description = "Its executor was asked to stop", body = RunRecord,
            headers(("Retry-After" = u64, description = "Seconds until it is worth looking"))),
    ),
)]
pub(super) async fn answer(app: App, call: Call) -> Reply {
    match cancel(&app, &call).await {
        Ok(reply) => reply,
        Err(refusal) => *refusal,
    }
}

async fn cancel(app: &App, call: &Call) -> Result<Reply, Refusal> {
    call.parameters(&[]).check()?;
    let id = call.run_id()?;
    if call.deciding_header("If-Match")?.is_some() {
        call.must_match(&etag(&record(&find(app, call).await?)))?;
    }
    let actor = caller(call).unwrap_or_else(|| "api".to_owned());
    Ok(match app.runs.request_cancel(&id, &actor).await {
        Ok(Cancel::Canceled(run)) => {
            metrics::RUNS_ENDED.one(Status::Canceled.as_str());
            Reply::ok(record(&run))
        }
        Ok(Cancel::Before(run)) => Reply::ok(record(&run)),
        Ok(Cancel::Asked(run)) => Reply::accepted(record(&run)).with(RETRY_AFTER, &POLL_SECONDS.to_string()),
        Ok(Cancel::Ended(run)) => {
            let status = run.state.status();
            Reply::wrong_state(Code::RunFinished, format!("run {id} is {status} already"), status)
        }
        Ok(Cancel::Unknown) => unknown_run(id.as_str()),
        Err(error) => Reply::store(&error),
    })
}
