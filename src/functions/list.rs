//! `GET /api/backtests`: runs newest first, a page at a time. A page begins where the one before ended, whatever
//! was submitted in between.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::LINK;

use super::call::{Call, call};
use super::record::record;
use super::reply::{Code, Reply};
use crate::clock::Timestamp;
use crate::engine::config::Fault;
use crate::store::runs::{ListQuery, Position};
use crate::work::{App, sha256_hex};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 500;
const PARAMETERS: [&str; 7] =
    ["status", "q", "submitted_after", "submitted_before", "submitted_by", "limit", "cursor"];

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    super::plain("list", app, warp::path!("api" / "backtests").and(warp::get()).and(call()), answer)
}

pub(super) async fn answer(app: App, call: Call) -> Reply {
    let (query, filters) = match query(&call) {
        Ok(query) => query,
        Err(faults) => return Reply::faults(Code::InvalidParameter, &faults),
    };
    let page = match app.runs.list(&query).await {
        Ok(page) => page,
        Err(error) => return Reply::store(&error, &call.invocation),
    };
    let cursor = page.next.map(|position| write_cursor(&position, &filters));
    let runs: Vec<Value> = page.runs.iter().map(record).collect();
    let reply = Reply::ok(json!({ "runs": runs, "next_cursor": cursor }));
    match cursor {
        Some(cursor) => {
            let next = next_page(&call, &cursor);
            reply.with(LINK, &format!("</api/backtests?{next}>; rel=\"next\""))
        }
        None => reply,
    }
}

/// The query and a digest of its filters, to which a cursor is bound.
fn query(call: &Call) -> Result<(ListQuery, String), Vec<Fault>> {
    let mut faults = Vec::new();
    let mut fault = |path: &str, message: String| faults.push(Fault { path: path.to_owned(), message });
    for name in call.query_names() {
        // `code` is the host's key, which it leaves in the query.
        if !PARAMETERS.contains(&name) && name != "code" {
            fault(name, format!("is no parameter; there are {}", PARAMETERS.join(", ")));
        }
    }
    let mut query = ListQuery { limit: LIMIT_DEFAULT, ..ListQuery::default() };
    for text in call.query("status") {
        match text.parse() {
            Ok(status) => query.statuses.push(status),
            Err(error) => fault("status", format!("{error}, not '{text}'")),
        }
    }
    query.text = call.query_text("q").map(str::to_owned);
    query.submitted_by = call.query_text("submitted_by").map(str::to_owned);
    for (name, bound) in
        [("submitted_after", &mut query.submitted_after), ("submitted_before", &mut query.submitted_before)]
    {
        match call.query_text(name).map(parse_time) {
            Some(Ok(time)) => *bound = Some(time),
            Some(Err(message)) => fault(name, message),
            None => {}
        }
    }
    if let Some(text) = call.query_text("limit") {
        match text.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => query.limit = limit,
            _ => fault("limit", format!("must be a whole number from 1 to {LIMIT_MAX}, not '{text}'")),
        }
    }
    let filters = json!([
        query.statuses,
        query.text,
        query.submitted_after,
        query.submitted_before,
        query.submitted_by
    ]);
    let filters = sha256_hex(filters.to_string())[..16].to_owned();
    if let Some(cursor) = call.query_text("cursor") {
        match read_cursor(cursor, &filters) {
            Some(position) => query.after = Some(position),
            None => fault("cursor", "does not belong to these filters; start again without it".to_owned()),
        }
    }
    if faults.is_empty() { Ok((query, filters)) } else { Err(faults) }
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    // A `+` of an offset that was not escaped arrives as a blank.
    DateTime::parse_from_rfc3339(&text.replace(' ', "+"))
        .map(|time| time.with_timezone(&Utc))
        .map_err(|_| format!("must be a time like 2026-01-31T00:00:00Z, not '{text}'"))
}

fn write_cursor(position: &Position, filters: &str) -> String {
    BASE64.encode(json!([position.submitted_at, position.run_id, filters]).to_string())
}

fn read_cursor(cursor: &str, filters: &str) -> Option<Position> {
    let bytes = BASE64.decode(cursor).ok()?;
    let (submitted_at, run_id, bound): (Timestamp, _, String) = serde_json::from_slice(&bytes).ok()?;
    (bound == filters).then_some(Position { submitted_at, run_id })
}

fn next_page(call: &Call, cursor: &str) -> String {
    let mut next = url::form_urlencoded::Serializer::new(String::new());
    for name in PARAMETERS.iter().filter(|name| **name != "cursor") {
        if let Some(value) = call.query_text(name) {
            next.append_pair(name, value);
        }
    }
    next.append_pair("cursor", cursor).finish()
}
