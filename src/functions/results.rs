//! `GET /api/backtests/{run_id}/…`: what a run left behind. The row says where; without a completed row there is
//! nothing to find, whatever lies in the store.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, ETAG};

use super::call::{Call, call, reads};
use super::record::RunSummary;
use super::reply::{Code, Refusal, Reply};
use super::status::{describe, find};
use crate::run::{Publication, Run, RunEvent, RunId, RunState};
use crate::store::blob::Link;
use crate::work::execute::chain;
use crate::work::files::{MANIFEST, content_type};
use crate::work::results::{self, DailyPoint, Positions, ResultError, RollingPoint, Series, TradesPage};
use crate::work::{App, sha256_hex};

/// Points of a series, unless the caller says.
const POINTS: usize = 5000;
/// Points that a caller may ask for.
const POINTS_ALLOWED: RangeInclusive<usize> = 50..=200_000;

/// How long a link to a file is good.
const LINK_LIFETIME: Duration = Duration::from_secs(300);

/// What a page of ours may do in a browser: show itself.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let route = warp::path("api")
        .and(warp::path("backtests"))
        .and(warp::path::param())
        .and(warp::path::tail())
        .and(reads())
        .and(call())
        .map(|run_id: String, result: warp::path::Tail, call: Call| {
            call.with("run_id", &run_id).with("result", result.as_str())
        });
    super::plain("results", app, route, answer)
}

pub(super) async fn answer(app: App, call: Call) -> Reply {
    let answered = async {
        let result = call.params.get("result").map_or("", String::as_str).trim_end_matches('/');
        if result == "cancel" {
            return Err(Reply::method_not_allowed("POST").into());
        }
        let run = find(&app, &call).await?;
        match result {
            // The host's catch-all also matches nothing, and then this function comes before `status` in the alphabet.
            "" | "status" => {
                call.parameters(&[]).check()?;
                describe(&run, &call)
            }
            "events" => events(&app, &run, &call).await,
            "summary" => summary(&run, &call),
            "metrics/timeseries" => timeseries(&app, &run, &call).await,
            "metrics/rolling" => rolling(&app, &run, &call).await,
            "trades" => trades(&app, &run, &call).await,
            "positions" => positions(&app, &run, &call).await,
            "artifacts" => artifacts(&app, &run, &call).await,
            "report" => report(&app, &run, &call).await,
            _ => match result.strip_prefix("artifacts/") {
                Some(name) => artifact(&app, &run, name, &call).await,
                None => Err(Reply::problem(Code::NotFound, format!("a run has no '{result}'")).into()),
            },
        }
    };
    answered.await.unwrap_or_else(|refusal: Refusal| *refusal)
}

/// The history of a run.
#[derive(Serialize, ToSchema)]
pub(super) struct Events {
    /// Oldest first; one for each transition.
    events: Vec<RunEvent>,
}

/// The history of a run
#[utoipa::path(
    get, path = "/api/backtests/{run_id}/events", operation_id = "events", tag = "runs",
    params(("run_id" = RunId, Path, description = "The run")),
    responses((status = 200, description = "Every transition so far", body = Events)),
)]
async fn events(app: &App, run: &Run, call: &Call) -> Result<Reply, Refusal> {
    call.parameters(&[]).check()?;
    match app.runs.events(&run.id).await {
        Ok(events) => Ok(Reply::ok(&Events { events })),
        Err(error) => Err(Reply::store(&error).into()),
    }
}

/// The figures of a completed run
#[utoipa::path(
    get, path = "/api/backtests/{run_id}/summary", operation_id = "summary", tag = "results",
    params(("run_id" = RunId, Path, description = "The run")),
    responses(
        (status = 200, description = "Its figures", body = RunSummary, headers(("ETag" = String, description = "Never changes"))),
        (status = 304, description = "The caller has it"),
    ),
)]
fn summary(run: &Run, call: &Call) -> Result<Reply, Refusal> {
    let published = publication(run)?;
    call.parameters(&[]).check()?;
    let etag = etag(published, call);
    if let Some(known) = known(call, &etag)? {
        return Ok(known);
    }
    Ok(lasting(Reply::ok(&published.summary), &etag))
}

/// Daily measures
#[utoipa::path(
    get, path = "/api/backtests/{run_id}/metrics/timeseries", operation_id = "timeseries", tag = "results",
    params(
        ("run_id" = RunId, Path, description = "The run"),
        ("max_points" = Option<usize>, Query, description = "Never more points than this, evenly spread, the last one kept; 5000 without it", minimum = 50, maximum = 200_000),
    ),
    responses(
        (status = 200, description = "Points, oldest first", body = inline(Series<DailyPoint>), headers(("ETag" = String, description = "Never changes"))),
        (status = 304, description = "The caller has it"),
    ),
)]
async fn timeseries(app: &App, run: &Run, call: &Call) -> Result<Reply, Refusal> {
    let published = publication(run)?;
    let mut parameters = call.parameters(&["max_points"]);
    let max_points = parameters.whole("max_points", POINTS, POINTS_ALLOWED);
    parameters.check()?;
    table(published, call, results::timeseries(app, published, max_points)).await
}

/// Measures over a moving window
#[utoipa::path(
    get, path = "/api/backtests/{run_id}/metrics/rolling", operation_id = "rolling", tag = "results",
    params(
        ("run_id" = RunId, Path, description = "The run"),
        ("window_days" = Option<usize>, Query, description = "Trading days of the window; 63 without it", minimum = 2, maximum = 2000),
        ("max_points" = Option<usize>, Query, description = "Never more points than this, evenly spread, the last one kept; 5000 without it", minimum = 50, maximum = 200_000),
    ),
    responses(
        (status = 200, description = "Points, oldest first", body = inline(Series<RollingPoint>), headers(("ETag" = String, description = "Never changes"))),
        (status = 304, description = "The caller has it"),
    ),
)]
async fn rolling(app: &App, run: &Run, call: &Call) -> Result<Reply, Refusal> {
    let published = publication(run)?;
    let mut parameters = call.parameters(&["window_days", "max_points"]);
    let window_days = parameters.whole("window_days", 63, 2..=2000);
    let max_points = parameters.whole("max_points", POINTS, POINTS_ALLOWED);
    parameters.check()?;
    table(published, call, results::rolled(app, published, window_days, max_points)).await
}

/// Fills
#[utoipa::path(
    get, path = "/api/backtests/{run_id}/trades", operation_id = "trades", tag = "results",
    params(
        ("run_id" = RunId, Path, description = "The run"),
        ("limit" = Option<usize>, Query, description = "Fills of a page; 1000 without it", minimum = 1, maximum = 10_000),
        ("offset" = Option<usize>, Query, description = "Fills before the page", minimum = 0, maximum = 1_000_000_000),
    ),
    responses(
        (status = 200, description = "Fills in the order of execution", body = TradesPage, headers(("ETag" = String, description = "Never changes"))),
        (status = 304, description = "The caller has it"),
    ),
)]
async fn trades(app: &App, run: &Run, call: &Call) -> Result<Reply, Refusal> {
    let published = publication(run)?;
    let mut parameters = call.parameters(&["limit", "offset"]);
    let limit = parameters.whole("limit", 1000, 1..=10_000);
    let offset = parameters.whole("offset", 0, 0..=1_000_000_000);
    parameters.check()?;
    table(published, call, results::trades(app, published, limit, offset)).await
}

/// Holdings at the close of a day
#[utoipa::path(
    get, path = "/api/backtests/{run_id}/positions", operation_id = "positions", tag = "results",
    params(
        ("run_id" = RunId, Path, description = "The run"),
        ("date" = Option<chrono::NaiveDate>, Query, description = "The day; without it the last on which anything was held"),
    ),
    responses(
        (status = 200, description = "Holdings", body = Positions, headers(("ETag" = String, description = "Never changes"))),
        (status = 304, description = "The caller has it"),
    ),
)]
async fn positions(app: &App, run: &Run, call: &Call) -> Result<Reply, Refusal> {
    let published = publication(run)?;
    let mut parameters = call.parameters(&["date"]);
    let date = parameters.date("date");
    parameters.check()?;
    table(published, call, results::positions(app, published, date)).await
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
        Err(error) => Err(Reply::result(&error).into()),
    }
}

fn publication(run: &Run) -> Result<&Publication, Refusal> {
    match &run.state {
        RunState::Completed { publication, .. } => Ok(publication),
        state => {
            let status = state.status();
            let detail = format!("run {} is {status}, it has no results", run.id);
            Err(Reply::wrong_state(Code::RunNotCompleted, detail, status).into())
        }
    }
}

/// Names a result of a publication: what it is and how it was asked for.
fn etag(published: &Publication, call: &Call) -> String {
    let result = call.params.get("result");
    let asked = json!([published.manifest_sha256, env!("CARGO_PKG_VERSION"), result, call.query()]);
    format!("\"{}\"", &sha256_hex(asked.to_string())[..24])
}

/// The answer to somebody who has it already.
fn known(call: &Call, etag: &str) -> Result<Option<Reply>, Refusal> {
    call.must_match(etag)?;
    Ok(call.knows(etag).then(|| lasting(Reply::not_modified(), etag)))
}

/// What is published never changes, so nobody needs to ask twice.
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
    /// Size.
    size_bytes: u64,
    /// SHA-256 of its content, lower-case hex.
    sha256: String,
    /// Media type.
    content_type: String,
}

/// The bytes of a file.
#[derive(ToSchema)]
#[schema(value_type = Value)]
#[expect(dead_code, reason = "describes what is streamed")]
pub(super) struct Content(Vec<u8>);

/// List the files of a run
#[utoipa::path(
    get, path = "/api/backtests/{run_id}/artifacts", operation_id = "artifacts", tag = "results",
    params(("run_id" = RunId, Path, description = "The run")),
    responses(
        (status = 200, description = "Every file but the manifest itself", body = Artifacts, headers(("ETag" = String, description = "Never changes"))),
        (status = 304, description = "The caller has it"),
    ),
)]
async fn artifacts(app: &App, run: &Run, call: &Call) -> Result<Reply, Refusal> {
    let published = publication(run)?;
    call.parameters(&[]).check()?;
    let etag = etag(published, call);
    if let Some(known) = known(call, &etag)? {
        return Ok(known);
    }
    Ok(lasting(Reply::ok(&Artifacts { artifacts: listed(app, published).await? }), &etag))
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

/// The page for people
#[utoipa::path(
    get, path = "/api/backtests/{run_id}/report", operation_id = "report", tag = "results",
    params(("run_id" = RunId, Path, description = "The run"), ("Range" = Option<String>, Header, description = "Part of it, `bytes=0-1023`")),
    responses(
        (status = 200, description = "One self-contained page", body = String, content_type = "text/html", headers(("ETag" = String, description = "Never changes"))),
        (status = 206, description = "The part of it that was asked for", body = String, content_type = "text/html"),
        (status = 304, description = "The caller has it"),
    ),
)]
async fn report(app: &App, run: &Run, call: &Call) -> Result<Reply, Refusal> {
    let published = publication(run)?;
    call.parameters(&[]).check()?;
    file(app, published, "report.html", false, call).await
}

/// One file of a run
///
/// Names may have slashes. Any of the media types that the list of files names. A link is followed without the function
/// key.
#[utoipa::path(
    get, path = "/api/backtests/{run_id}/artifacts/{name}", operation_id = "artifact", tag = "results",
    params(
        ("run_id" = RunId, Path, description = "The run"),
        ("name" = String, Path, description = "Name in the list of files", example = "trades.csv"),
        ("redirect" = Option<bool>, Query, description = "Whether a link to the file in the storage account may be the answer; without links, its bytes are"),
        ("Range" = Option<String>, Header, description = "Part of it, `bytes=0-1023`"),
    ),
    responses(
        (status = 200, description = "Its bytes", content((inline(Content) = "*/*")), headers(
            ("ETag" = String, description = "SHA-256 of the content"), ("Accept-Ranges" = String, description = "`bytes`"))),
        (status = 206, description = "The part of it that was asked for", content((inline(Content) = "*/*")),
            headers(("Content-Range" = String, description = "Which part"))),
        (status = 302, description = "The file in the storage account; a link that is good for five minutes, to read this file alone",
            headers(("Location" = String, description = "The link. Whoever has it can read the file: treat it as a secret"))),
        (status = 304, description = "The caller has it"),
    ),
)]
async fn artifact(app: &App, run: &Run, name: &str, call: &Call) -> Result<Reply, Refusal> {
    let published = publication(run)?;
    let mut parameters = call.parameters(&["redirect"]);
    let redirect = parameters.text("redirect");
    if redirect.is_some_and(|text| !matches!(text, "true" | "false")) {
        parameters.fault("redirect", "must be true or false");
    }
    parameters.check()?;
    file(app, published, name, redirect == Some("true") && call.may_be_redirected(), call).await
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
    let range = match call.header("range").filter(|_| call.header("if-range").is_none_or(|tag| tag == etag)) {
        Some(header) => match parse_range(header, size) {
            Asked::Part(range) => Some(range),
            Asked::Whole => None,
            Asked::Outside => {
                let reply = Reply::problem(Code::RangeNotSatisfiable, format!("the file has {size} bytes"));
                return Err(reply.with(CONTENT_RANGE, &format!("bytes */{size}")).into());
            }
        },
        None => None,
    };
    let partial = range.as_ref().map(|range| format!("bytes {}-{}/{size}", range.start, range.end - 1));
    let range = range.unwrap_or(0..size);
    let length = range.end - range.start;
    let content = if call.is_head {
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

enum Asked {
    Whole,
    Part(Range<u64>),
    Outside,
}

/// One range of bytes; several, or another unit, are answered with the whole file, as RFC 9110 allows.
fn parse_range(header: &str, size: u64) -> Asked {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
    else {
        return Asked::Whole;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.is_empty() && suffix > 0 => size.saturating_sub(suffix)..size,
        _ => return Asked::Whole,
    };
    if range.start < range.end { Asked::Part(range) } else { Asked::Outside }
}
