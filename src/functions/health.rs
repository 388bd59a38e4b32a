//! `GET /api/healthz`: the process lives. `GET /api/readyz`: it can do its work, part by part.

use serde::Serialize;
use utoipa::ToSchema;

use super::function::{Answer, AnswerHeader, Content, Function, Method, Operation};
use super::reply::Reply;
use super::schema::Shape;
use crate::work::App;
use crate::work::execute::chain;

pub(super) const FUNCTION: Function =
    Function::anonymous("health", "{probe:regex(^(healthz|readyz)$)}", &[&GET_HEALTH, &GET_READINESS]);

const GET_HEALTH: Operation = Operation {
    id: "getHealth",
    method: Method::Get,
    path: "healthz",
    tag: "service",
    summary: "Whether the process lives",
    description: "",
    parameters: &[],
    bodies: &[],
    answers: &[Answer::document(200, "It does", &[Content::json(Shape::of::<Health>())])],
    refusals: &[],
    handler: |_, _| Box::pin(async { Ok(Reply::ok(&Health { status: "ok" })) }),
};

const GET_READINESS: Operation = Operation {
    id: "getReadiness",
    method: Method::Get,
    path: "readyz",
    tag: "service",
    summary: "Whether the service can do its work",
    description: "",
    parameters: &[],
    bodies: &[],
    answers: &[
        Answer::document(200, "It can", &[Content::json(Shape::of::<Readiness>())]),
        Answer::document(503, "A part is not there", &[Content::json(Shape::of::<Readiness>())])
            .with(&[AnswerHeader::whole("Retry-After", "Seconds until another try is worth it")]),
    ],
    refusals: &[],
    handler: |app, _| Box::pin(async move { Ok(ready(&app).await) }),
};

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
