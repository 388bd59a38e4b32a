//! `GET /api/backtests/{run_id}/…`: what a run left behind. The row says where; without a completed row there is
//! nothing to find, whatever lies in the store.

use std::ops::Range;

use futures_util::TryStreamExt;
use serde_json::{Value, json};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, ETAG};

use super::call::{Call, call};
use super::reply::{Code, Refusal, Reply};
use super::status::{describe, find};
use crate::run::{Publication, Run, RunState};
use crate::work::App;
use crate::work::report::{MANIFEST, content_type};

/// What a page of ours may do in a browser: show itself.
const PAGE_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'";

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let route = warp::path("api")
        .and(warp::path("backtests"))
        .and(warp::path::param())
        .and(warp::path::tail())
        .and(warp::get())
        .and(call())
        .map(|run_id: String, result: warp::path::Tail, call: Call| {
            call.with("run_id", &run_id).with("result", result.as_str())
        });
    super::plain("results", app, route, answer)
}

pub(super) async fn answer(app: App, call: Call) -> Reply {
    let run = match find(&app, &call).await {
        Ok(run) => run,
        Err(refusal) => return *refusal,
    };
    let result = call.params.get("result").map_or("", String::as_str).trim_end_matches('/');
    // The host's catch-all also matches nothing, and then this function comes before `status` in the alphabet.
    if matches!(result, "" | "status") {
        return describe(&run, &call);
    }
    if result == "events" {
        return events(&app, &run, &call).await;
    }
    let answered = async {
        let published = publication(&run)?;
        match result {
            "summary" => Ok(Reply::ok(published.summary.clone())),
            "artifacts" => Ok(Reply::ok(json!({ "artifacts": listed(&app, published).await? }))),
            "report" => artifact(&app, published, "report.html", &call).await,
            _ => match result.strip_prefix("artifacts/") {
                Some(name) => artifact(&app, published, name, &call).await,
                None => Err(Reply::problem(Code::NotFound, format!("a run has no '{result}'")).into()),
            },
        }
    };
    answered.await.unwrap_or_else(|refusal: Refusal| *refusal)
}

async fn events(app: &App, run: &Run, call: &Call) -> Reply {
    match app.runs.events(&run.id).await {
        Ok(events) => Reply::ok(json!({ "events": events })),
        Err(error) => Reply::store(&error, &call.invocation),
    }
}

fn publication(run: &Run) -> Result<&Publication, Refusal> {
    match &run.state {
        RunState::Completed { publication, .. } => Ok(publication),
        state => {
            let detail = format!("run {} is {}, it has no results", run.id, state.status());
            Err(Reply::problem(Code::RunNotCompleted, detail).into())
        }
    }
}

/// The manifest's list of files.
async fn listed(app: &App, published: &Publication) -> Result<Vec<Value>, Refusal> {
    let size = size_of(app, published, MANIFEST).await?;
    let content = app.artifacts.read(&published.location, MANIFEST, 0..size).await;
    let chunks = content.map_err(|error| Reply::artifacts(&error))?.try_collect::<Vec<_>>().await;
    let bytes = chunks.unwrap_or_default().concat();
    let manifest = serde_json::from_slice::<Value>(&bytes).ok();
    match manifest.and_then(|mut manifest| manifest.get_mut("artifacts")?.as_array_mut().map(std::mem::take))
    {
        Some(files) => Ok(files),
        None => Err(Reply::problem(Code::StoreUnavailable, "the manifest of the run cannot be read").into()),
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

/// One file, or the part of it that is asked for, as it comes from the store.
async fn artifact(app: &App, published: &Publication, name: &str, call: &Call) -> Result<Reply, Refusal> {
    let files = listed(app, published).await?;
    let hash = match files.iter().find(|file| file["name"] == name) {
        Some(file) => file["sha256"].as_str().unwrap_or_default().to_owned(),
        None if name == MANIFEST => published.manifest_sha256.clone(),
        None => return Err(unknown_artifact(name)),
    };
    // What is published never changes, so its hash is its tag and nobody needs to ask twice.
    let etag = format!("\"{hash}\"");
    let tagged =
        |reply: Reply| reply.with(ETAG, &etag).with(CACHE_CONTROL, "private, max-age=31536000, immutable");
    if call.header("if-none-match").is_some_and(|tags| tags.contains(&etag)) {
        return Ok(tagged(Reply::not_modified()));
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
    let content = app.artifacts.read(&published.location, name, range).await;
    let reply =
        Reply::file(content.map_err(|error| Reply::artifacts(&error))?, length, content_type(name), partial);
    let reply =
        if name.ends_with(".html") { reply.with(CONTENT_SECURITY_POLICY, PAGE_POLICY) } else { reply };
    let file_name = name.rsplit('/').next().unwrap_or(name);
    Ok(tagged(reply).with(CONTENT_DISPOSITION, &format!("inline; filename=\"{file_name}\"")))
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
