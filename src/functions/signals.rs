//! `GET /api/signals/…`: composites and ranking signals of a day as Postgres serves them, and how far each month is
//! synced.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;

use super::call::{Call, call, reads};
use super::reply::{Code, Refusal, Reply};
use crate::signal::YearMonth;
use crate::store::pg::PgError;
use crate::store::signals::postgres::{Composite, PostgresSignals, Ranking};
use crate::work::App;
use crate::work::execute::chain;
use crate::work::sync::{Asked, Due, look};

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 10_000;

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let route = warp::path("api")
        .and(warp::path("signals"))
        .and(warp::path::tail())
        .and(reads())
        .and(call())
        .map(|view: warp::path::Tail, call: Call| call.with("view", view.as_str()));
    super::plain("signals", app, route, answer)
}

pub(super) async fn answer(app: App, call: Call) -> Reply {
    let answered = match call.params.get("view").map_or("", String::as_str).trim_end_matches('/') {
        "composite" => composite(&app, &call).await,
        "ranking" => ranking(&app, &call).await,
        "sync" => synced(&app, &call).await,
        _ => return Reply::problem(Code::NotFound, "there are composite, ranking and sync"),
    };
    answered.unwrap_or_else(|refusal: Refusal| *refusal)
}

/// Composites of a day.
#[derive(Serialize, ToSchema)]
struct CompositePage {
    /// The day; null if there is none.
    date: Option<NaiveDate>,
    /// Best first.
    #[schema(value_type = Vec<Object>)]
    signals: Vec<Composite>,
    /// Whether there are more than `limit`.
    truncated: bool,
}

/// Ranking signals of a day.
#[derive(Serialize, ToSchema)]
struct RankingPage {
    /// The day; null if there is none.
    date: Option<NaiveDate>,
    /// By strategy and rank.
    #[schema(value_type = Vec<Object>)]
    signals: Vec<Ranking>,
    /// Whether there are more than `limit`.
    truncated: bool,
}

/// How far signals are synced.
#[derive(Serialize, ToSchema)]
struct SyncPage {
    /// What Postgres knows of each month, newest first; `behind` is null while the lake cannot be looked at.
    #[schema(value_type = Vec<Object>)]
    months: Vec<Value>,
    /// Versions of the Delta tables of ranking signals and of composites.
    #[schema(value_type = Object)]
    lake: Value,
}

/// Composite signals of a day
#[utoipa::path(
    get, path = "/api/signals/composite", operation_id = "composite_signals", tag = "signals",
    params(
        ("date" = Option<NaiveDate>, Query, description = "The day; the newest without it"),
        ("symbol" = Option<Vec<String>>, Query, description = "Only these; may be repeated or joined by commas", style = Form, explode),
        ("limit" = Option<usize>, Query, description = "Rows; 100 without it", minimum = 1, maximum = 10_000),
    ),
    responses((status = 200, description = "Composites, best first", body = CompositePage)),
)]
pub(super) async fn composite(app: &App, call: &Call) -> Result<Reply, Refusal> {
    let Query { date, symbols, limit, .. } = Query::read(call, &["date", "symbol", "limit"])?;
    // One more tells whether there are more.
    let read = postgres(app)?.composites(date, symbols.as_deref(), limit + 1).await;
    let (signals, truncated) = cut(read.map_err(|error| unavailable(&error))?, limit);
    let date = signals.first().map(|row| row.date).or(date);
    Ok(Reply::ok(CompositePage { date, signals, truncated }))
}

/// Ranking signals of a day
#[utoipa::path(
    get, path = "/api/signals/ranking", operation_id = "ranking_signals", tag = "signals",
    params(
        ("date" = Option<NaiveDate>, Query, description = "The day; the newest without it"),
        ("symbol" = Option<Vec<String>>, Query, description = "Only these; may be repeated or joined by commas", style = Form, explode),
        ("strategy" = Option<Vec<String>>, Query, description = "Only these; may be repeated or joined by commas", style = Form, explode),
        ("limit" = Option<usize>, Query, description = "Rows; 100 without it", minimum = 1, maximum = 10_000),
    ),
    responses((status = 200, description = "Ranking signals", body = RankingPage)),
)]
pub(super) async fn ranking(app: &App, call: &Call) -> Result<Reply, Refusal> {
    let query = Query::read(call, &["date", "symbol", "strategy", "limit"])?;
    let Query { date, symbols, strategies, limit } = query;
    let read = postgres(app)?.rankings(date, symbols.as_deref(), strategies.as_deref(), limit + 1).await;
    let (signals, truncated) = cut(read.map_err(|error| unavailable(&error))?, limit);
    let date = signals.first().map(|row| row.date).or(date);
    Ok(Reply::ok(RankingPage { date, signals, truncated }))
}

/// How far each month of signals is synced
#[utoipa::path(
    get, path = "/api/signals/sync", operation_id = "signal_sync", tag = "signals",
    responses((status = 200, description = "Months, newest first", body = SyncPage)),
)]
pub(super) async fn synced(app: &App, call: &Call) -> Result<Reply, Refusal> {
    call.parameters(&[]).check()?;
    let states = postgres(app)?.states().await.map_err(|error| unavailable(&error))?;
    let (lake, behind) = match look(&app.signals, &Asked::default()).await {
        Ok(looked) => (json!({ "state": "ok", "versions": looked.versions }), Some(looked.due)),
        Err(error) => {
            tracing::warn!(error = chain(&error), "could not look at the signals of the lake");
            (json!({ "state": "unavailable" }), None)
        }
    };
    let mut due: BTreeMap<YearMonth, Due> = behind.iter().flatten().map(|due| (due.month, *due)).collect();
    let mut months: Vec<Value> = states
        .iter()
        .map(|state| {
            let due = state.year_month.parse().ok().and_then(|month| due.remove(&month));
            let mut month = json!(state);
            month["behind"] = json!(behind.as_ref().map(|_| due.is_some()));
            month["why"] = json!(due.and_then(|due| due.delta.or(due.postgres)));
            month
        })
        .collect();
    // Months that Postgres has never heard of.
    months.extend(due.into_values().map(|due| {
        json!({ "year_month": due.month, "status": "missing", "behind": true, "why": due.delta.or(due.postgres) })
    }));
    months.sort_by(|a, b| b["year_month"].as_str().cmp(&a["year_month"].as_str()));
    Ok(Reply::ok(SyncPage { months, lake }))
}

struct Query {
    date: Option<NaiveDate>,
    symbols: Option<Vec<String>>,
    strategies: Option<Vec<String>>,
    limit: i64,
}

impl Query {
    fn read(call: &Call, known: &'static [&'static str]) -> Result<Self, Refusal> {
        let mut parameters = call.parameters(known);
        let date = parameters.date("date");
        let limit = parameters.whole("limit", LIMIT_DEFAULT, 1..=LIMIT_MAX);
        let texts = |name| {
            let texts: Vec<String> = parameters.texts(name).map(str::to_owned).collect();
            (!texts.is_empty()).then_some(texts)
        };
        let (symbols, strategies) = (texts("symbol"), texts("strategy"));
        parameters.check()?;
        Ok(Self { date, symbols, strategies, limit: i64::try_from(limit).unwrap_or(i64::MAX - 1) })
    }
}

/// At most `limit` rows, and whether there were more.
fn cut<T>(mut rows: Vec<T>, limit: i64) -> (Vec<T>, bool) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let truncated = rows.len() > limit;
    rows.truncate(limit);
    (rows, truncated)
}

fn postgres(app: &App) -> Result<&PostgresSignals, Refusal> {
    let missing = || Reply::problem(Code::SignalsUnavailable, "this service has no POSTGRES_DSN");
    app.signals.postgres.as_ref().ok_or_else(|| missing().into())
}

fn unavailable(error: &PgError) -> Refusal {
    let cause = chain(error);
    let reply = match error {
        PgError::NotMigrated(_) | PgError::NotAllowed => {
            tracing::warn!(error = cause, "signals cannot be read");
            Reply::problem(Code::SignalsUnavailable, error.to_string())
        }
        error if error.is_retryable() => {
            tracing::warn!(error = cause, "postgres did not answer");
            Reply::problem(Code::StoreUnavailable, "the database does not answer; try again")
        }
        _ => {
            tracing::error!(error = cause, "reading signals failed");
            Reply::bug()
        }
    };
    reply.into()
}
