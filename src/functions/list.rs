//! `GET /api/backtests`: runs newest first, a page at a time. A page begins where the one before ended, whatever
//! was submitted in between.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::Datelike as _;
use serde::Serialize;
use serde_json::json;
use unicode_normalization::UnicodeNormalization as _;
use utoipa::ToSchema;
use warp::http::header::LINK;

use super::call::Call;
use super::function::{Answer, AnswerHeader, Content, Function, Method, Operation};
use super::parameter::{Choice, Moment, Parameter, Query, Text, Texts, Whole};
use super::record::{INPUTS, RunRecord, record, record_with_inputs};
use super::reply::{Code, Refusal, Reply};
use super::schema::Shape;
use crate::clock::Timestamp;
use crate::engine::config::Fault;
use crate::run::{Kind, Status};
use crate::store::runs::{ListQuery, Position};
use crate::work::{App, sha256_hex};

pub(super) const FUNCTION: Function = Function::http("list", "backtests", &[&LIST_RUNS]);

const LIST_RUNS: Operation = Operation {
    id: "listRuns",
    method: Method::Get,
    path: "backtests",
    tag: "runs",
    summary: "List runs, newest first",
    description: "",
    parameters: &[
        &STATUS,
        &KIND,
        &Q,
        &SUBMITTED_AFTER,
        &SUBMITTED_BEFORE,
        &SUBMITTED_BY,
        &RESULTS_SHA256,
        &TAG,
        &ARCHIVED,
        &LIMIT,
        &CURSOR,
        &INPUTS,
    ],
    bodies: &[],
    answers: &[Answer::document(
        200,
        "A page of runs. `Link: rel=\"next\"` leads to the next.",
        &[Content::json(Shape::of::<RunPage<'_>>())],
    )
    .with(&[AnswerHeader::text("Link", "Address of the next page, unless this is the last")])],
    refusals: &[Code::InvalidParameter, Code::StoreUnavailable],
    handler: |app, call| Box::pin(list(app, call)),
};

const STATUS: Texts = Texts {
    name: "status",
    description: "Only runs in these states; may be repeated or joined by commas",
    item: Shape::of::<Status>(),
};
const KIND: Texts = Texts {
    name: "kind",
    description: "Only runs of these kinds; may be repeated or joined by commas. Without it backtests, studies and \
                  reproductions: the parts of a study belong to it",
    item: Shape::of::<Kind>(),
};
const RESULTS_SHA256: Text =
    Text { name: "results_sha256", description: "Only runs whose results have exactly this digest" };
const Q: Text =
    Text { name: "q", description: "Only runs whose id or name holds this text, whatever its case" };
const SUBMITTED_AFTER: Moment =
    Moment { name: "submitted_after", description: "Only runs submitted after this moment" };
const SUBMITTED_BEFORE: Moment =
    Moment { name: "submitted_before", description: "Only runs submitted before this moment" };
const SUBMITTED_BY: Text = Text { name: "submitted_by", description: "Only runs of exactly this caller" };
const TAG: Text = Text { name: "tag", description: "Only runs with exactly this tag" };
const ARCHIVED: Choice = Choice {
    name: "archived",
    description: "Whether runs that were put away are left out, shown alone, or shown too",
    words: &["false", "true", "any"],
};
const LIMIT: Whole = Whole { name: "limit", description: "Runs of a page", default: 50, allowed: 1..=500 };
const CURSOR: Text =
    Text { name: "cursor", description: "`next_cursor` of the page before; belongs to the same filters" };

/// Runs whose inputs are looked at together.
const LOOKS_AT_ONCE: usize = 8;

/// A page of runs.
#[derive(Serialize, ToSchema)]
pub(super) struct RunPage<'a> {
    /// Newest first.
    runs: Vec<RunRecord<'a>>,
    /// Where the next page begins; null at the end.
    next_cursor: Option<&'a str>,
}

async fn list(app: App, call: Call) -> Result<Reply, Refusal> {
    let (query, filters, with_inputs) = query(&call)?;
    let page = app.runs.list(&query).await.map_err(|error| Reply::store(&error))?;
    let cursor = page.next.map(|position| write_cursor(&position, &filters));
    let mut runs = Vec::with_capacity(page.runs.len());
    for some in page.runs.chunks(LOOKS_AT_ONCE) {
        if !with_inputs {
            runs.extend(some.iter().map(record));
            continue;
        }
        let mut looks = Vec::with_capacity(some.len());
        for run in some {
            looks.push(record_with_inputs(&app, run));
        }
        runs.extend(futures_util::future::try_join_all(looks).await?);
    }
    let reply = Reply::ok(&RunPage { runs, next_cursor: cursor.as_deref() });
    Ok(match cursor {
        Some(cursor) => {
            let next = next_page(&call, &cursor);
            reply.with(LINK, &format!("</api/backtests?{next}>; rel=\"next\""))
        }
        None => reply,
    })
}

/// The filters of a list, which a change of many runs knows too.
const FILTERS: [&dyn Parameter; 9] = [
    &STATUS,
    &KIND,
    &Q,
    &SUBMITTED_AFTER,
    &SUBMITTED_BEFORE,
    &SUBMITTED_BY,
    &RESULTS_SHA256,
    &TAG,
    &ARCHIVED,
];

/// The runs that some filters mean, or every fault of them.
pub(super) fn filters(pairs: &[(String, String)]) -> Result<ListQuery, Vec<Fault>> {
    let mut asked = Query::new(pairs, &FILTERS);
    let query = read_filters(&mut asked);
    let faults = asked.faults();
    if faults.is_empty() { Ok(query) } else { Err(faults) }
}

fn read_filters(asked: &mut Query<'_>) -> ListQuery {
    let mut query = ListQuery::default();
    for text in STATUS.read(asked) {
        match text.parse() {
            Ok(status) => query.statuses.push(status),
            Err(error) => asked.fault(STATUS.name, format!("{error}, not '{text}'")),
        }
    }
    for text in KIND.read(asked) {
        match text.parse() {
            Ok(kind) => query.kinds.push(kind),
            Err(error) => asked.fault(KIND.name, format!("{error}, not '{text}'")),
        }
    }
    // Names are kept composed, whichever way a keyboard or a file system writes an accent.
    query.text = Q.read(asked).map(|text| text.nfc().collect());
    query.submitted_by = SUBMITTED_BY.read(asked).map(str::to_owned);
    query.results_sha256 = RESULTS_SHA256.read(asked).map(str::to_owned);
    query.submitted_after = SUBMITTED_AFTER.read(asked);
    query.submitted_before = SUBMITTED_BEFORE.read(asked);
    query.tag = TAG.read(asked).map(str::to_owned);
    query.archived = match ARCHIVED.read(asked) {
        "true" => Some(true),
        "any" => None,
        _ => Some(false),
    };
    query
}

/// The query, a digest of its filters, to which a cursor is bound, and whether inputs are looked at.
fn query(call: &Call) -> Result<(ListQuery, String, bool), Refusal> {
    let mut asked = call.query();
    let mut query = read_filters(&mut asked);
    query.limit = LIMIT.read(&mut asked);
    let filters = json!([
        query.statuses,
        query.text,
        query.submitted_after,
        query.submitted_before,
        query.submitted_by,
        query.kinds,
        query.results_sha256,
        query.tag,
        query.archived
    ]);
    let filters = sha256_hex(filters.to_string())[..16].to_owned();
    if let Some(cursor) = CURSOR.read_as_sent(&mut asked) {
        query.after = read_cursor(cursor, &filters);
        if query.after.is_none() {
            asked.fault(CURSOR.name, "does not belong to these filters; start again without it");
        }
    }
    let with_inputs = INPUTS.read(&mut asked);
    asked.check()?;
    Ok((query, filters, with_inputs))
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
    for (name, value) in &call.message.query {
        if name != "cursor" && name != "code" {
            next.append_pair(name, value);
        }
    }
    next.append_pair("cursor", cursor).finish()
}
