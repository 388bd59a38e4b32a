//! `GET /api/healthz`: the process lives. `GET /api/readyz`: it can do its work, part by part.

use serde::Serialize;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::call::{Call, call, reads};
use super::reply::Reply;
use crate::work::App;
use crate::work::execute::chain;

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let live = warp::path!("api" / "healthz").map(|| "healthz");
    let ready = warp::path!("api" / "readyz").map(|| "readyz");
    let route = live
        .or(ready)
        .unify()
        .and(reads())
        .and(call())
        .map(|probe: &str, call: Call| call.with("probe", probe));
    super::plain("health", app, route, answer)
}

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether the process can do its work, part by part.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ready` or `not_ready`.
    status: &'static str,
    parts: Parts,
}

/// What the process needs.
#[derive(Serialize, ToSchema)]
struct Parts {
    run_store: RunStorePart,
    artifact_store: ArtifactStorePart,
}

/// The run store.
#[derive(Serialize, ToSchema)]
struct RunStorePart {
    /// `ok` or `unavailable`.
    state: &'static str,
    /// Kind of store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    mode: Option<&'static str>,
    /// Version of its schema, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    schema_version: Option<i64>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
}

/// The artifact store.
#[derive(Serialize, ToSchema)]
struct ArtifactStorePart {
    /// `ok` or `unavailable`.
    state: &'static str,
    /// Where results go.
    kind: &'static str,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
}

pub(super) async fn answer(app: App, call: Call) -> Reply {
    if call.params.get("probe").is_some_and(|probe| probe == "healthz") { live() } else { ready(&app).await }
}

/// Whether the process lives
#[utoipa::path(
    get, path = "/api/healthz", operation_id = "healthz", tag = "service", security(()),
    responses((status = 200, description = "It does", body = Health)),
)]
fn live() -> Reply {
    Reply::ok(&Health { status: "ok" })
}

/// Whether the service can do its work
#[utoipa::path(
    get, path = "/api/readyz", operation_id = "readyz", tag = "service", security(()),
    responses(
        (status = 200, description = "It can", body = Readiness),
        (status = 503, description = "A part is not there", body = Readiness,
            headers(("Retry-After" = u64, description = "Seconds until another try is worth it"))),
    ),
)]
async fn ready(app: &App) -> Reply {
    let (runs, artifacts) = tokio::join!(app.runs.ping(), app.artifacts.ping());
    let ready = runs.is_ok() && artifacts.is_ok();
    let run_store = match runs {
        Ok(health) => RunStorePart {
            state: "ok",
            mode: Some(health.mode),
            schema_version: health.schema_version,
            message: None,
        },
        Err(error) => {
            tracing::warn!(error = chain(&error), "the run store is not ready");
            let message = Some(error.to_string());
            RunStorePart { state: "unavailable", mode: None, schema_version: None, message }
        }
    };
    let artifact_store = match artifacts {
        Ok(()) => ArtifactStorePart { state: "ok", kind: app.artifacts.kind(), message: None },
        Err(error) => {
            tracing::warn!(error = chain(&error), "the artifact store is not ready");
            let message = Some(error.to_string());
            ArtifactStorePart { state: "unavailable", kind: app.artifacts.kind(), message }
        }
    };
    let parts = Parts { run_store, artifact_store };
    if ready {
        Reply::ok(&Readiness { status: "ready", parts })
    } else {
        Reply::not_ready(&Readiness { status: "not_ready", parts })
    }
}
