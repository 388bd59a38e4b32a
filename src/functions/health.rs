//! `GET /api/healthz`: the process lives. `GET /api/readyz`: it can do its work, part by part.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::function::{Answer, AnswerHeader, Content, Function, Method, Operation};
use super::reply::Reply;
use super::schema::Shape;
use crate::work::App;
use crate::work::chain;

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
    host: HostPart,
    poison_queue: PoisonPart,
}

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

/// The Functions host, as far as this process has heard of it. It is never what makes a process unready: without a host,
/// it still answers.
#[derive(Serialize, ToSchema)]
struct HostPart {
    /// `ok`; `silent` when it has brought neither a message nor a tick for five minutes.
    state: &'static str,
    /// Seconds since it last did; null if it never has.
    last_call_seconds: Option<u64>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<&'static str>,
}

/// The queue of messages that the host gave up. It is never what makes a process unready.
#[derive(Serialize, ToSchema)]
struct PoisonPart {
    /// `ok`; `poisoned` when something lies there, `unavailable` when that cannot be counted, `unknown` where the storage account
    /// of the host is not known.
    state: &'static str,
    /// Messages that lie there; null when that is not known.
    messages: Option<u64>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
}

async fn poison_queue(app: &App) -> PoisonPart {
    let Some(queue) = &app.poison else {
        return PoisonPart { state: "unknown", messages: None, message: None };
    };
    match queue.depth().await {
        Ok(0) => PoisonPart { state: "ok", messages: Some(0), message: None },
        Ok(depth) => {
            let message = "look at these messages, which could not be read, and clear the queue".to_owned();
            PoisonPart { state: "poisoned", messages: Some(depth), message: Some(message) }
        }
        Err(error) => PoisonPart { state: "unavailable", messages: None, message: Some(chain(&error)) },
    }
}

/// When this process began to listen, and when the host last brought a message or a tick.
static HOST: LazyLock<(Instant, Mutex<Option<Instant>>)> =
    LazyLock::new(|| (Instant::now(), Mutex::default()));

/// Silence that a host does not keep: it ticks for `reconcile` once a minute.
const SILENCE: Duration = Duration::from_secs(300);

/// Begins to listen for the host.
pub(super) fn listen() {
    LazyLock::force(&HOST);
}

/// The host has brought a message or a tick.
pub(super) fn heard() {
    *HOST.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

fn host() -> HostPart {
    let last = *HOST.1.lock().unwrap_or_else(PoisonError::into_inner);
    let is_silent = last.unwrap_or(HOST.0).elapsed() > SILENCE;
    HostPart {
        state: if is_silent { "silent" } else { "ok" },
        last_call_seconds: last.map(|last| last.elapsed().as_secs()),
        message: is_silent
            .then_some("no message and no tick arrives; look whether the host runs, and its timers"),
    }
}

async fn ready(app: &App) -> Reply {
    let (runs, artifacts, poison_queue) =
        tokio::join!(app.runs.ping(), app.artifacts.ping(), poison_queue(app));
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
            let message = chain(&error);
            tracing::warn!(error = message, "the artifact store is not ready");
            let message = Some(message);
            ArtifactStorePart { state: "unavailable", kind: app.artifacts.kind(), message }
        }
    };
    let parts = Parts { run_store, artifact_store, host: host(), poison_queue };
    if ready {
        Reply::ok(&Readiness { status: "ready", parts })
    } else {
        Reply::not_ready(&Readiness { status: "not_ready", parts })
    }
}
