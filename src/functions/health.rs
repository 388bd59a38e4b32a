//! `GET /api/healthz`: the process lives. `GET /api/readyz`: it can do its work, part by part.

use serde_json::json;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::call::{Call, call};
use super::reply::Reply;
use crate::work::App;
use crate::work::execute::chain;

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let live = warp::path!("api" / "healthz").map(|| "healthz");
    let ready = warp::path!("api" / "readyz").map(|| "readyz");
    let route = live
        .or(ready)
        .unify()
        .and(warp::get())
        .and(call())
        .map(|probe: &str, call: Call| call.with("probe", probe));
    super::plain("health", app, route, answer)
}

pub(super) async fn answer(app: App, call: Call) -> Reply {
    if call.params.get("probe").is_some_and(|probe| probe == "healthz") {
        return Reply::ok(json!({ "status": "ok" }));
    }
    let (runs, artifacts) = tokio::join!(app.runs.ping(), app.artifacts.ping());
    let ready = runs.is_ok() && artifacts.is_ok();
    let run_store = match runs {
        Ok(health) => json!({ "state": "ok", "mode": health.mode, "schema_version": health.schema_version }),
        Err(error) => {
            tracing::warn!(error = chain(&error), "the run store is not ready");
            json!({ "state": "unavailable", "message": error.to_string() })
        }
    };
    let artifact_store = match artifacts {
        Ok(()) => json!({ "state": "ok", "kind": app.artifacts.kind() }),
        Err(error) => {
            tracing::warn!(error = chain(&error), "the artifact store is not ready");
            json!({ "state": "unavailable", "kind": app.artifacts.kind(), "message": error.to_string() })
        }
    };
    let parts = json!({ "run_store": run_store, "artifact_store": artifact_store });
    if ready {
        Reply::ok(json!({ "status": "ready", "parts": parts }))
    } else {
        Reply::not_ready(json!({ "status": "not_ready", "parts": parts }))
    }
}
