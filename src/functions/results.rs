//! `GET /api/backtests/{run_id}/…`: what a run left behind. The row says where; without a completed row there is
//! nothing to find, whatever lies in the store.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{PartialSchema as _, ToSchema};
use warp::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, ETAG};

use super::call::{Call, RUN_ID};
use super::function::{Answer, AnswerHeader, Content, Function, Method, Operation};
use super::parameter::{Day, Flag, Header, PathPart, Whole};
use super::record::{AnySummary, record};
use super::reply::{Code, Refusal, Reply};
use super::schema::{Schemas, Shape};
use super::status::{GET_RUN_STATUS, find, publication};
use super::studies::{GET_STATISTICS, GET_SURFACE, LIST_TRIALS};
use crate::engine::config::Fault;
use crate::run::{Publication, RunEvent};
use crate::store::blob::Link;
use crate::work::archive::{self, archive};
use crate::work::chain;
use crate::work::evidence::{EvidenceError, evidence};
use crate::work::files::{MANIFEST, content_type};
use crate::work::inputs::{Inputs, InputsError, Look, inputs};
use crate::work::results::{
    self, DailyPoint, NextOrders, Positions, ResultError, RollingPoint, Series, TradesPage,
};
use crate::work::{App, sha256_hex};

/// How long a link to a file is good.
const LINK_LIFETIME: Duration = Duration::from_secs(300);

/// What a page of ours may do in a browser: show itself.
pub(super) const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";

pub(super) const FUNCTION: Function = Function::http(
    "results",
    // Without the constraint it would also match a bare id, and come before `status` in the alphabet.
    "backtests/{run_id}/{*result:minlength(1)}",
    &[
        &GET_RUN_STATUS,
        &LIST_RUN_EVENTS,
        &GET_RUN_CONFIG,
        &GET_SUMMARY,
        &GET_DAILY_METRICS,
        &GET_ROLLING_METRICS,
        &LIST_TRADES,
        &GET_POSITIONS,
        &GET_ORDERS,
        &LIST_ARTIFACTS,
        &GET_ARCHIVE,
        &GET_ARTIFACT,
        &GET_REPORT,
        &GET_INPUTS,
        &GET_EVIDENCE,
        &LIST_TRIALS,
        &GET_STATISTICS,
        &GET_SURFACE,
    ],
);

/// What every result may be refused with.
const RESULT_REFUSALS: [Code; 6] = [
    Code::InvalidParameter,
    Code::RunNotFound,
    Code::RunNotCompleted,
    Code::RunDeleted,
    Code::PreconditionFailed,
    Code::StoreUnavailable,
];
/// What a table may be refused with, which a config can switch off.
const TABLE_REFUSALS: [Code; 7] = [
    Code::InvalidParameter,
    Code::RunNotFound,
    Code::ArtifactNotFound,
    Code::RunNotCompleted,
    Code::RunDeleted,
    Code::PreconditionFailed,
    Code::StoreUnavailable,
];
/// What a file may be refused with.
const FILE_REFUSALS: [Code; 8] = [
    Code::InvalidParameter,
    Code::RunNotFound,
    Code::ArtifactNotFound,
    Code::RunNotCompleted,
    Code::RunDeleted,
    Code::PreconditionFailed,
    Code::RangeNotSatisfiable,
    Code::StoreUnavailable,
];

/// What is published never changes.
const NEVER_CHANGES: AnswerHeader = AnswerHeader::text("ETag", "Never changes");

const MAX_POINTS: Whole = Whole {
    name: "max_points",
    description: "Never more points than this, evenly spread, the last one kept",
    default: 5000,
    allowed: 50..=200_000,
};

/// The history of a run.
#[derive(Serialize, ToSchema)]
pub(super) struct Events {
    /// Oldest first; one for each transition.
    events: Vec<RunEvent>,
}

const LIST_RUN_EVENTS: Operation = Operation {
    id: "listRunEvents",
    method: Method::Get,
    path: "backtests/{run_id}/events",
    tag: "runs",
    summary: "The history of a run",
    description: "",
    parameters: &[&RUN_ID],
    bodies: &[],
    answers: &[Answer::document(200, "Every transition so far", &[Content::json(Shape::of::<Events>())])],
    refusals: &[Code::InvalidParameter, Code::RunNotFound, Code::StoreUnavailable],
    handler: |app, call| Box::pin(events(app, call)),
};

async fn events(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    call.query().check()?;
    match app.runs.events(&run.id).await {
        Ok(events) => Ok(Reply::ok(&Events { events })),
        Err(error) => Err(Reply::store(&error).into()),
    }
}

const GET_RUN_CONFIG: Operation = Operation {
    id: "getRunConfig",
    method: Method::Get,
    path: "backtests/{run_id}/config",
    tag: "runs",
    summary: "The config of a run as it was submitted",
    description: "Whatever became of the run.",
    parameters: &[&RUN_ID],
    bodies: &[],
    answers: &[
        Answer::document(200, "The config, without defaults", &[Content::json(Shape::OBJECT)])
            .with(&[NEVER_CHANGES]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &[Code::InvalidParameter, Code::RunNotFound, Code::PreconditionFailed, Code::StoreUnavailable],
    handler: |app, call| Box::pin(config(app, call)),
};

async fn config(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    call.query().check()?;
    let submitted = run.submission.config_json;
    let etag = format!("\"{}\"", &sha256_hex(&submitted)[..24]);
    if let Some(known) = known(&call, &etag)? {
        return Ok(known);
    }
    Ok(lasting(Reply::document(submitted.into()), &etag))
}

const GET_SUMMARY: Operation = Operation {
    id: "getSummary",
    method: Method::Get,
    path: "backtests/{run_id}/summary",
    tag: "results",
    summary: "The figures of a completed run",
    description: "",
    parameters: &[&RUN_ID],
    bodies: &[],
    answers: &[
        Answer::document(
            200,
            "What came of it: of a backtest its figures",
            &[Content::json(Shape::of::<AnySummary>())],
        )
        .with(&[NEVER_CHANGES]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &RESULT_REFUSALS,
    handler: |app, call| Box::pin(summary(app, call)),
};

async fn summary(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    call.query().check()?;
    let etag = etag(published, &call);
    if let Some(known) = known(&call, &etag)? {
        return Ok(known);
    }
    Ok(lasting(Reply::ok(&published.summary), &etag))
}

/// The schema of a series, under a name for its points: JSON Schema has no types with parameters.
fn series<Point: ToSchema>(name: &str, schemas: &mut Schemas) -> Value {
    // The series refers to it.
    schemas.reference(&Shape::of::<Point>());
    schemas.answered(name, &Series::<Point>::schema())
}

const GET_DAILY_METRICS: Operation = Operation {
    id: "getDailyMetrics",
    method: Method::Get,
    path: "backtests/{run_id}/metrics/timeseries",
    tag: "results",
    summary: "Daily measures",
    description: "",
    parameters: &[&RUN_ID, &MAX_POINTS],
    bodies: &[],
    answers: &[
        Answer::document(
            200,
            "Points, oldest first",
            &[Content::json(Shape::Composed(|schemas| series::<DailyPoint>("DailySeries", schemas)))],
        )
        .with(&[NEVER_CHANGES]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &TABLE_REFUSALS,
    handler: |app, call| Box::pin(timeseries(app, call)),
};

async fn timeseries(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    let mut query = call.query();
    let max_points = MAX_POINTS.read(&mut query);
    query.check()?;
    table(published, &call, results::timeseries(&app, published, max_points)).await
}

const WINDOW_DAYS: Whole =
    Whole { name: "window_days", description: "Trading days of the window", default: 63, allowed: 2..=2000 };

const GET_ROLLING_METRICS: Operation = Operation {
    id: "getRollingMetrics",
    method: Method::Get,
    path: "backtests/{run_id}/metrics/rolling",
    tag: "results",
    summary: "Measures over a moving window",
    description: "",
    parameters: &[&RUN_ID, &WINDOW_DAYS, &MAX_POINTS],
    bodies: &[],
    answers: &[
        Answer::document(
            200,
            "Points, oldest first",
            &[Content::json(Shape::Composed(|schemas| series::<RollingPoint>("RollingSeries", schemas)))],
        )
        .with(&[NEVER_CHANGES]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &TABLE_REFUSALS,
    handler: |app, call| Box::pin(rolling(app, call)),
};

async fn rolling(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    let mut query = call.query();
    let window_days = WINDOW_DAYS.read(&mut query);
    let max_points = MAX_POINTS.read(&mut query);
    query.check()?;
    table(published, &call, results::rolled(&app, published, window_days, max_points)).await
}

const LIMIT: Whole =
    Whole { name: "limit", description: "Fills of a page", default: 1000, allowed: 1..=10_000 };
const OFFSET: Whole =
    Whole { name: "offset", description: "Fills before the page", default: 0, allowed: 0..=1_000_000_000 };

const LIST_TRADES: Operation = Operation {
    id: "listTrades",
    method: Method::Get,
    path: "backtests/{run_id}/trades",
    tag: "results",
    summary: "Fills",
    description: "",
    parameters: &[&RUN_ID, &LIMIT, &OFFSET],
    bodies: &[],
    answers: &[
        Answer::document(200, "Fills in the order of execution", &[Content::json(Shape::of::<TradesPage>())])
            .with(&[NEVER_CHANGES]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &TABLE_REFUSALS,
    handler: |app, call| Box::pin(trades(app, call)),
};

async fn trades(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    let mut query = call.query();
    let limit = LIMIT.read(&mut query);
    let offset = OFFSET.read(&mut query);
    query.check()?;
    table(published, &call, results::trades(&app, published, limit, offset)).await
}

const DATE: Day =
    Day { name: "date", description: "A trading day; without it the last on which anything was held" };

const GET_POSITIONS: Operation = Operation {
    id: "getPositions",
    method: Method::Get,
    path: "backtests/{run_id}/positions",
    tag: "results",
    summary: "Holdings at the close of a day",
    description: "",
    parameters: &[&RUN_ID, &DATE],
    bodies: &[],
    answers: &[
        Answer::document(200, "Holdings", &[Content::json(Shape::of::<Positions>())]).with(&[NEVER_CHANGES]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &[
        Code::InvalidParameter,
        Code::RunNotFound,
        Code::ArtifactNotFound,
        Code::NoTradingDay,
        Code::RunNotCompleted,
        Code::RunDeleted,
        Code::PreconditionFailed,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(positions(app, call)),
};

async fn positions(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    let mut query = call.query();
    let date = DATE.read(&mut query);
    query.check()?;
    table(published, &call, results::positions(&app, published, date)).await
}

const GET_ORDERS: Operation = Operation {
    id: "getOrders",
    method: Method::Get,
    path: "backtests/{run_id}/orders",
    tag: "results",
    summary: "Orders that the last day leaves",
    description: "What the close of the last day decided, where the config says `output.save_orders: true`. Nothing of it was \
                  traded.",
    parameters: &[&RUN_ID],
    bodies: &[],
    answers: &[
        Answer::document(
            200,
            "Orders, and the weights that they lead to",
            &[Content::json(Shape::of::<NextOrders>())],
        )
        .with(&[NEVER_CHANGES]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &TABLE_REFUSALS,
    handler: |app, call| Box::pin(orders(app, call)),
};

async fn orders(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    call.query().check()?;
    table(published, &call, results::next_orders(&app, published)).await
}

/// A result that is read from a table, unless the caller has it already.
async fn table<T: Serialize>(
    published: &Publication,
    call: &Call,
    read: impl Future<Output = Result<T, ResultError>>,
) -> Result<Reply, Refusal> {
    let etag = etag(published, call);
    if let Some(known) = known(call, &etag)? {
        return Ok(known);
    }
    match read.await {
        Ok(result) => Ok(lasting(Reply::ok(&result), &etag)),
        Err(error @ ResultError::NotKept { .. }) => {
            Err(Reply::problem(Code::ArtifactNotFound, error.to_string()).into())
        }
        Err(error @ ResultError::NoTradingDay { .. }) => {
            Err(Reply::problem(Code::NoTradingDay, error.to_string()).into())
        }
        Err(error) => Err(Reply::result(&error).into()),
    }
}

/// Names a result of a publication: what it is and how it was asked for.
fn etag(published: &Publication, call: &Call) -> String {
    let asked = (&published.manifest_sha256, env!("CARGO_PKG_VERSION"), call.id, &call.message.query);
    format!("\"{}\"", &sha256_hex(json!(asked).to_string())[..24])
}

/// The answer to a caller who has it already.
fn known(call: &Call, etag: &str) -> Result<Option<Reply>, Refusal> {
    call.must_match(etag)?;
    Ok(call.knows(etag).then(|| lasting(Reply::not_modified(), etag)))
}

/// What is published never changes, so caches may keep it for good.
fn lasting(reply: Reply, etag: &str) -> Reply {
    reply.with(ETAG, etag).with(CACHE_CONTROL, "private, max-age=31536000, immutable")
}

/// The files of a run.
#[derive(Serialize, ToSchema)]
pub(super) struct Artifacts {
    /// In the order in which they were written.
    artifacts: Vec<ListedArtifact>,
}

/// A file as the manifest lists it.
#[derive(Serialize, Deserialize, ToSchema)]
struct ListedArtifact {
    /// Name below the run; `/` separates folders.
    name: String,
    size_bytes: u64,
    /// SHA-256 of its content, lower-case hex.
    sha256: String,
    /// Media type.
    content_type: String,
}

const LIST_ARTIFACTS: Operation = Operation {
    id: "listArtifacts",
    method: Method::Get,
    path: "backtests/{run_id}/artifacts",
    tag: "results",
    summary: "List the files of a run",
    description: "",
    parameters: &[&RUN_ID],
    bodies: &[],
    answers: &[
        Answer::document(
            200,
            "Every file but the manifest itself",
            &[Content::json(Shape::of::<Artifacts>())],
        )
        .with(&[NEVER_CHANGES]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &RESULT_REFUSALS,
    handler: |app, call| Box::pin(artifacts(app, call)),
};

async fn artifacts(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    call.query().check()?;
    let etag = etag(published, &call);
    if let Some(known) = known(&call, &etag)? {
        return Ok(known);
    }
    Ok(lasting(Reply::ok(&Artifacts { artifacts: listed(&app, published).await? }), &etag))
}

const ZIP: Content = Content { media_type: "application/zip", shape: Shape::BINARY, example: None };

const GET_ARCHIVE: Operation = Operation {
    id: "getArchive",
    method: Method::Get,
    path: "backtests/{run_id}/artifacts.zip",
    tag: "results",
    summary: "All files of a run in one archive",
    description: "Every file that the list names, and the manifest, below a folder that is named like the run. The same run \
                  gives the same bytes. A transfer that breaks off is not the whole: there are no ranges.",
    parameters: &[&RUN_ID],
    bodies: &[],
    answers: &[Answer::document(200, "The archive", &[ZIP]).with(&[NEVER_CHANGES]), Answer::NOT_MODIFIED],
    refusals: &RESULT_REFUSALS,
    handler: |app, call| Box::pin(all_files(app, call)),
};

async fn all_files(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    call.query().check()?;
    let etag = etag(published, &call);
    if let Some(known) = known(&call, &etag)? {
        return Ok(known);
    }
    let names = listed(&app, published).await?.into_iter().map(|file| file.name);
    let entry = |name: String| archive::Entry {
        name: format!("{}/{name}", run.id),
        content: archive::Content::Artifact { at: published.location.clone(), name, sha256: None },
    };
    let entries = names.chain([MANIFEST.to_owned()]).map(entry).collect();
    let content = if call.message.is_head {
        futures_util::stream::empty().boxed()
    } else {
        archive(Arc::clone(&app.artifacts), entries)
    };
    let file_name = format!("attachment; filename=\"{}.zip\"", run.id);
    Ok(lasting(Reply::stream(content, "application/zip"), &etag).with(CONTENT_DISPOSITION, &file_name))
}

/// The manifest's list of files.
async fn listed(app: &App, published: &Publication) -> Result<Vec<ListedArtifact>, Refusal> {
    #[derive(Deserialize)]
    struct Manifest {
        artifacts: Vec<ListedArtifact>,
    }
    let size = size_of(app, published, MANIFEST).await?;
    let content = app.artifacts.read(&published.location, MANIFEST, 0..size).await;
    let chunks = content.map_err(|error| Reply::artifacts(&error))?.try_collect::<Vec<_>>().await;
    match serde_json::from_slice::<Manifest>(&chunks.unwrap_or_default().concat()) {
        Ok(manifest) => Ok(manifest.artifacts),
        Err(_) => {
            Err(Reply::problem(Code::StoreUnavailable, "the manifest of the run cannot be read").into())
        }
    }
}

fn unknown_artifact(name: &str) -> Refusal {
    Reply::problem(Code::ArtifactNotFound, format!("the run has no artifact '{name}'")).into()
}

async fn size_of(app: &App, published: &Publication, name: &str) -> Result<u64, Refusal> {
    match app.artifacts.size(&published.location, name).await {
        Ok(Some(size)) => Ok(size),
        Ok(None) => Err(unknown_artifact(name)),
        Err(error) => Err(Reply::artifacts(&error).into()),
    }
}

const RANGE: Header = Header { name: "Range", description: "Part of it, `bytes=0-1023`", length: None };
const ACCEPT_RANGES: AnswerHeader = AnswerHeader::text("Accept-Ranges", "`bytes`");
const CONTENT_RANGE_OF_PART: AnswerHeader = AnswerHeader::text("Content-Range", "Which part");
const HASH: AnswerHeader = AnswerHeader::text("ETag", "SHA-256 of the content");
pub(super) const HTML: Content = Content { media_type: "text/html", shape: Shape::BINARY, example: None };
/// Generators of clients know the first as bytes; the answer has the media type of the file.
const BYTES: [Content; 2] = [
    Content { media_type: "application/octet-stream", shape: Shape::BINARY, example: None },
    Content { media_type: "*/*", shape: Shape::ANY, example: None },
];

const GET_REPORT: Operation = Operation {
    id: "getReport",
    method: Method::Get,
    path: "backtests/{run_id}/report",
    tag: "results",
    summary: "The page for people",
    description: "",
    parameters: &[&RUN_ID, &RANGE],
    bodies: &[],
    answers: &[
        Answer::document(200, "One self-contained page", &[HTML]).with(&[HASH, ACCEPT_RANGES]),
        Answer::document(206, "The part of it that was asked for", &[HTML]).with(&[CONTENT_RANGE_OF_PART]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &FILE_REFUSALS,
    handler: |app, call| Box::pin(report(app, call)),
};

async fn report(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    call.query().check()?;
    file(&app, published, "report.html", false, &call).await
}

const NAME: PathPart =
    PathPart { name: "name", description: "Name in the list of files", shape: Shape::Plain(file_name) };
const REDIRECT: Flag = Flag {
    name: "redirect",
    description: "Whether a link to the file in the storage account may be the answer; without links, its bytes are",
};

fn file_name() -> Value {
    json!({ "type": "string", "example": "trades.csv" })
}

const GET_ARTIFACT: Operation = Operation {
    id: "getArtifact",
    method: Method::Get,
    path: "backtests/{run_id}/artifacts/{*name}",
    tag: "results",
    summary: "One file of a run",
    description: "Names may have slashes. The answer has the media type that the list of files names; to a client it is \
                  bytes, whatever they are. A link is followed without the function key.",
    parameters: &[&RUN_ID, &NAME, &REDIRECT, &RANGE],
    bodies: &[],
    answers: &[
        Answer::document(200, "Its bytes", &BYTES).with(&[HASH, ACCEPT_RANGES]),
        Answer::document(206, "The part of it that was asked for", &BYTES).with(&[CONTENT_RANGE_OF_PART]),
        Answer::document(
            302,
            "The file in the storage account; a link that is good for five minutes, to read this file alone",
            &[],
        )
        .with(&[AnswerHeader::text(
            "Location",
            "The link. It gives access to the file by itself: treat it as a secret",
        )]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &FILE_REFUSALS,
    handler: |app, call| Box::pin(artifact(app, call)),
};

async fn artifact(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    let mut query = call.query();
    let redirect = REDIRECT.read(&mut query);
    query.check()?;
    // An envelope must not be answered so.
    let redirect = redirect && !call.message.is_enveloped;
    file(&app, published, call.placeholder(NAME.name), redirect, &call).await
}

/// One file, or the part of it that is asked for, as it comes from the store.
async fn file(
    app: &App,
    published: &Publication,
    name: &str,
    redirect: bool,
    call: &Call,
) -> Result<Reply, Refusal> {
    let files = listed(app, published).await?;
    let hash = match files.into_iter().find(|file| file.name == name) {
        Some(file) => file.sha256,
        None if name == MANIFEST => published.manifest_sha256.clone(),
        None => return Err(unknown_artifact(name)),
    };
    let etag = format!("\"{hash}\"");
    if let Some(known) = known(call, &etag)? {
        return Ok(known);
    }
    if redirect && let Some(link) = link(app, published, name).await {
        return Ok(Reply::elsewhere(&link));
    }
    let size = size_of(app, published, name).await?;
    // RFC 9110 defines ranges for GET alone, and lets them count only for the state that the caller has.
    let counts = !call.message.is_head && call.header("if-range").is_none_or(|tag| tag == etag);
    let range = match call.header("range").filter(|_| counts) {
        Some(header) => match parse_range(header, size) {
            Requested::Part(range) => Some(range),
            Requested::Whole => None,
            Requested::Outside => {
                let reply = Reply::problem(Code::RangeNotSatisfiable, format!("the file has {size} bytes"));
                return Err(reply.with(CONTENT_RANGE, &format!("bytes */{size}")).into());
            }
        },
        None => None,
    };
    let partial = range.as_ref().map(|range| format!("bytes {}-{}/{size}", range.start, range.end - 1));
    let range = range.unwrap_or(0..size);
    let length = range.end - range.start;
    let content = if call.message.is_head {
        futures_util::stream::empty().boxed()
    } else {
        let content = app.artifacts.read(&published.location, name, range).await;
        content.map_err(|error| Reply::artifacts(&error))?
    };
    let reply = Reply::file(content, length, content_type(name), partial);
    let reply =
        if name.ends_with(".html") { reply.with(CONTENT_SECURITY_POLICY, PAGE_POLICY) } else { reply };
    let file_name = name.rsplit('/').next().unwrap_or(name);
    Ok(lasting(reply, &etag).with(CONTENT_DISPOSITION, &format!("inline; filename=\"{file_name}\"")))
}

/// A link to a file, where the store has them and may make one: without, the bytes are as good an answer.
async fn link(app: &App, published: &Publication, name: &str) -> Option<Link> {
    match app.artifacts.link(&published.location, name, LINK_LIFETIME).await {
        Ok(link) => link,
        Err(error) => {
            tracing::warn!(error = chain(&error), "a link to {name} could not be made; answering its bytes");
            None
        }
    }
}

const DEEP: Flag = Flag {
    name: "deep",
    description: "Whether the rows of both versions are read and compared; it takes about as long as loading them twice",
};

const GET_INPUTS: Operation = Operation {
    id: "getInputs",
    method: Method::Get,
    path: "backtests/{run_id}/inputs",
    tag: "trust",
    summary: "What has become of the data of a run",
    description: "From the logs of the tables: whether files with days of the run were written again since.",
    parameters: &[&RUN_ID, &DEEP],
    bodies: &[],
    answers: &[Answer::document(200, "As it is now", &[Content::json(Shape::of::<Inputs>())])],
    refusals: &[
        Code::InvalidParameter,
        Code::InvalidConfig,
        Code::RunNotFound,
        Code::DataGone,
        Code::RunNotCompleted,
        Code::RunDeleted,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(inputs_of_run(app, call)),
};

async fn inputs_of_run(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    let mut query = call.query();
    let deep = DEEP.read(&mut query);
    query.check()?;
    let look = if deep { Look::Rows } else { Look::Contents };
    match inputs(&app, &run, published, look).await {
        Ok(found) => Ok(Reply::ok(&found)),
        Err(InputsError::Data(error)) => Err(Reply::data(&error).into()),
        Err(error @ InputsError::Config) => {
            let fault = Fault { path: "config".to_owned(), message: error.to_string() };
            Err(Reply::faults(Code::InvalidConfig, &[fault]).into())
        }
    }
}

const GET_EVIDENCE: Operation = Operation {
    id: "getEvidence",
    method: Method::Get,
    path: "backtests/{run_id}/evidence",
    tag: "trust",
    summary: "Everything that proves a run, as a zip",
    description: "The same run gives the same bytes, from the same build. `README.txt` in it says how to check it and how to compute the run \
                  again.",
    parameters: &[&RUN_ID],
    bodies: &[],
    answers: &[Answer::document(200, "The zip", &[ZIP])],
    refusals: &TABLE_REFUSALS,
    handler: |app, call| Box::pin(evidence_of_run(app, call)),
};

async fn evidence_of_run(app: App, call: Call) -> Result<Reply, Refusal> {
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    call.query().check()?;
    let events = app.runs.events(&run.id).await.map_err(|error| Reply::store(&error))?;
    let mut seen = serde_json::to_value(record(&run)).unwrap_or_default();
    if let Value::Object(fields) = &mut seen {
        fields.shift_remove("links");
    }
    let content = match evidence(&app, &run, published, &seen, &events).await {
        Ok(content) => content,
        Err(error @ (EvidenceError::Gone(_) | EvidenceError::Changed(_))) => {
            return Err(Reply::problem(Code::ArtifactNotFound, error.to_string()).into());
        }
        Err(EvidenceError::Artifacts(error)) => return Err(Reply::artifacts(&error).into()),
        Err(EvidenceError::Store(error)) => return Err(Reply::store(&error).into()),
        Err(EvidenceError::Document(error)) => {
            tracing::error!(error = chain(&error), "evidence cannot be written");
            return Err(Reply::bug().into());
        }
    };
    let content = if call.message.is_head { futures_util::stream::empty().boxed() } else { content };
    let disposition = format!("attachment; filename=\"{}.zip\"", run.id);
    Ok(Reply::stream(content, "application/zip").with(CONTENT_DISPOSITION, &disposition))
}

/// What a `Range` asks for.
enum Requested {
    Whole,
    Part(Range<u64>),
    Outside,
}

/// One range of bytes; several, or another unit, are answered with the whole file, as RFC 9110 allows.
fn parse_range(header: &str, size: u64) -> Requested {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
    else {
        return Requested::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.is_empty() && suffix > 0 => size.saturating_sub(suffix)..size,
        _ => return Requested::Whole,
    };
    if range.start < range.end { Requested::Part(range) } else { Requested::Outside }
}
