//! `GET /api/backtests`: runs newest first, a page at a time. A page begins where the one before ended, whatever
//! was submitted in between.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::Datelike as _;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::LINK;

use super::call::{Call, call, reads};
use super::record::{RunRecord, record};
use super::reply::{Refusal, Reply};
use crate::clock::Timestamp;
use crate::run::Status;
use crate::store::runs::{ListQuery, Position};
use crate::work::{App, sha256_hex};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 500;
const PARAMETERS: [&str; 7] =
    ["status", "q", "submitted_after", "submitted_before", "submitted_by", "limit", "cursor"];

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    super::plain("list", app, warp::path!("api" / "backtests").and(reads()).and(call()), answer)
}

/// A page of runs.
#[derive(Serialize, ToSchema)]
pub(super) struct RunPage<'a> {
    /// Newest first.
    runs: Vec<RunRecord<'a>>,
    /// Where the next page begins; null at the end.
    next_cursor: Option<&'a str>,
}

/// List runs, newest first
#[utoipa::path(
    get, path = "/api/backtests", operation_id = "list", tag = "runs",
    params(
        ("status" = Option<Vec<Status>>, Query, description = "Only runs in these states; may be repeated or joined by commas", style = Form, explode),
        ("q" = Option<String>, Query, description = "Only runs whose id or name holds this text, whatever its case"),
        ("submitted_after" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "Only runs submitted after this moment"),
        ("submitted_before" = Option<chrono::DateTime<chrono::Utc>>, Query, description = "Only runs submitted before this moment"),
        ("submitted_by" = Option<String>, Query, description = "Only runs of exactly this caller"),
        ("limit" = Option<usize>, Query, description = "Runs of a page; 50 without it", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; belongs to the same filters"),
    ),
    responses((status = 200, description = "A page of runs. `Link: rel=\"next\"` leads to the next.", body = RunPage,
        headers(("Link" = String, description = "Address of the next page, unless this is the last")))),
)]
pub(super) async fn answer(app: App, call: Call) -> Reply {
    let (query, filters) = match query(&call) {
        Ok(query) => query,
        Err(refusal) => return *refusal,
    };
    let page = match app.runs.list(&query).await {
        Ok(page) => page,
        Err(error) => return Reply::store(&error),
    };
    let cursor = page.next.map(|position| write_cursor(&position, &filters));
    let runs = page.runs.iter().map(record).collect();
    let reply = Reply::ok(&RunPage { runs, next_cursor: cursor.as_deref() });
    match cursor {
        Some(cursor) => {
            let next = next_page(&call, &cursor);
            reply.with(LINK, &format!("</api/backtests?{next}>; rel=\"next\""))
        }
        None => reply,
    }
}

/// The query and a digest of its filters, to which a cursor is bound.
fn query(call: &Call) -> Result<(ListQuery, String), Refusal> {
    let mut parameters = call.parameters(&PARAMETERS);
    let mut query = ListQuery::default();
    for text in parameters.texts("status") {
        match text.parse() {
            Ok(status) => query.statuses.push(status),
            Err(error) => parameters.fault("status", format!("{error}, not '{text}'")),
        }
    }
    let named = |text: &&str| !text.is_empty();
    query.text = parameters.text("q").filter(named).map(str::to_owned);
    query.submitted_by = parameters.text("submitted_by").filter(named).map(str::to_owned);
    query.submitted_after = parameters.time("submitted_after");
    query.submitted_before = parameters.time("submitted_before");
    query.limit = parameters.whole("limit", LIMIT_DEFAULT, 1..=LIMIT_MAX);
    let filters = json!([
        query.statuses,
        query.text,
        query.submitted_after,
        query.submitted_before,
        query.submitted_by
    ]);
    let filters = sha256_hex(filters.to_string())[..16].to_owned();
    if let Some(cursor) = parameters.text("cursor") {
        query.after = read_cursor(cursor, &filters);
        if query.after.is_none() {
            parameters.fault("cursor", "does not belong to these filters; start again without it");
        }
    }
    parameters.check()?;
    Ok((query, filters))
}

fn write_cursor(position: &Position, filters: &str) -> String {
    BASE64.encode(json!([position.submitted_at, position.run_id, filters]).to_string())
}

fn read_cursor(cursor: &str, filters: &str) -> Option<Position> {
    let bytes = BASE64.decode(cursor).ok()?;
    let (submitted_at, run_id, bound): (Timestamp, _, String) = serde_json::from_slice(&bytes).ok()?;
    // Of any other year no cursor was written.
    let lawful = bound == filters && (1..=9999).contains(&submitted_at.year());
    lawful.then_some(Position { submitted_at, run_id })
}

fn next_page(call: &Call, cursor: &str) -> String {
    let mut next = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in call.query() {
        if name != "cursor" && name != "code" {
            next.append_pair(name, value);
        }
    }
    next.append_pair("cursor", cursor).finish()
}
