//! `POST /api/backtests/{run_id}/cancel`: a queued run ends at once, a running one is asked to stop.

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::RETRY_AFTER;

use super::call::{Call, call, unknown_run};
use super::record::{POLL_SECONDS, record};
use super::reply::{Code, Reply};
use super::submit::caller;
use crate::store::runs::Cancel;
use crate::work::App;

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let route = warp::path!("api" / "backtests" / String / "cancel")
        .and(warp::post())
        .and(call())
        .map(|run_id: String, call: Call| call.with("run_id", &run_id));
    super::plain("cancel", app, route, answer)
}

pub(super) async fn answer(app: App, call: Call) -> Reply {
    let id = match call.run_id() {
        Ok(id) => id,
        Err(refusal) => return *refusal,
    };
    let actor = caller(&call).unwrap_or_else(|| "api".to_owned());
    match app.runs.request_cancel(&id, &actor).await {
        Ok(Cancel::Canceled(run)) => Reply::ok(record(&run)),
        Ok(Cancel::Asked(run)) => Reply::accepted(record(&run)).with(RETRY_AFTER, &POLL_SECONDS.to_string()),
        Ok(Cancel::Ended(run)) => {
            Reply::problem(Code::RunFinished, format!("run {id} is {} already", run.state.status()))
        }
        Ok(Cancel::Unknown) => unknown_run(id.as_str()),
        Err(error) => Reply::store(&error, &call.invocation),
    }
}
