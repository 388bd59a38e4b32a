//! `GET /api/backtests/{run_id}`: one run, cheap to ask again.

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{CACHE_CONTROL, ETAG, RETRY_AFTER};

use super::call::{Call, call, unknown_run};
use super::record::{POLL_SECONDS, record};
use super::reply::{Refusal, Reply};
use crate::run::Run;
use crate::work::{App, sha256_hex};

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let route = warp::path!("api" / "backtests" / String)
        .and(warp::get())
        .and(call())
        .map(|run_id: String, call: Call| call.with("run_id", &run_id));
    super::plain("status", app, route, answer)
}

pub(super) async fn answer(app: App, call: Call) -> Reply {
    match find(&app, &call).await {
        Ok(run) => describe(&run, &call),
        Err(refusal) => *refusal,
    }
}

/// The run that the route names.
pub(super) async fn find(app: &App, call: &Call) -> Result<Run, Refusal> {
    let id = call.run_id()?;
    match app.runs.get(&id).await {
        Ok(Some(run)) => Ok(run),
        Ok(None) => Err(unknown_run(id.as_str()).into()),
        Err(error) => Err(Reply::store(&error, &call.invocation).into()),
    }
}

/// The run's record, unless the caller has it already.
pub(super) fn describe(run: &Run, call: &Call) -> Reply {
    let record = record(run);
    let etag = format!("\"{}\"", &sha256_hex(record.to_string())[..24]);
    let known = call.header("if-none-match").is_some_and(|tags| {
        tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*")
    });
    let reply = if known { Reply::not_modified() } else { Reply::ok(record) };
    let reply = reply.with(ETAG, &etag).with(CACHE_CONTROL, "no-cache");
    if run.state.status().is_final() { reply } else { reply.with(RETRY_AFTER, &POLL_SECONDS.to_string()) }
}
