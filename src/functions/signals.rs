//! `GET /api/signals/…`: composites and ranking signals of a day as Postgres serves them, and how far each month is
//! synced.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::{Value, json};
use warp::Filter;
use warp::filters::BoxedFilter;

use super::call::{Call, call};
use super::reply::{Code, Refusal, Reply};
use crate::engine::config::Fault;
use crate::signal::YearMonth;
use crate::store::pg::PgError;
use crate::store::signals::postgres::PostgresSignals;
use crate::work::App;
use crate::work::execute::chain;
use crate::work::sync::{Asked, Due, look};

const LIMIT_DEFAULT: i64 = 100;
const LIMIT_MAX: i64 = 10_000;

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let route = warp::path("api")
        .and(warp::path("signals"))
        .and(warp::path::tail())
        .and(warp::get())
        .and(call())
        .map(|view: warp::path::Tail, call: Call| call.with("view", view.as_str()));
    super::plain("signals", app, route, answer)
}

pub(super) async fn answer(app: App, call: Call) -> Reply {
    let view = call.params.get("view").map_or("", String::as_str).trim_end_matches('/');
    let answered = async {
        let query = match view {
            "composite" => Query::read(&call, &["date", "symbol", "limit"])?,
            "ranking" => Query::read(&call, &["date", "symbol", "strategy", "limit"])?,
            "sync" => Query::read(&call, &[])?,
            _ => return Err(Reply::problem(Code::NotFound, "there are composite, ranking and sync").into()),
        };
        let postgres = app.signals.postgres.as_ref().ok_or_else(|| {
            Refusal::from(Reply::problem(Code::SignalsUnavailable, "this service has no POSTGRES_DSN"))
        })?;
        let failed = |error: PgError| Refusal::from(unavailable(&error, &call));
        match view {
            "composite" => composite(postgres, &query).await.map_err(failed),
            "ranking" => ranking(postgres, &query).await.map_err(failed),
            _ => synced(&app, postgres).await.map_err(failed),
        }
    };
    answered.await.unwrap_or_else(|refusal: Refusal| *refusal)
}

struct Query {
    date: Option<NaiveDate>,
    symbols: Option<Vec<String>>,
    strategies: Option<Vec<String>>,
    limit: i64,
}

impl Query {
    fn read(call: &Call, known: &[&str]) -> Result<Self, Refusal> {
        let mut faults = Vec::new();
        let mut fault = |path: &str, message: String| faults.push(Fault { path: path.to_owned(), message });
        for name in call.query_names() {
            // `code` is the host's key, which it leaves in the query.
            if !known.contains(&name) && name != "code" {
                fault(name, format!("is no parameter of this view; it takes {}", listed(known)));
            }
        }
        let date = call.query_text("date").map(str::parse::<NaiveDate>).transpose().unwrap_or_else(|_| {
            fault("date", "must be a date as YYYY-MM-DD".to_owned());
            None
        });
        let mut limit = LIMIT_DEFAULT;
        if let Some(text) = call.query_text("limit") {
            match text.parse() {
                Ok(number) if (1..=LIMIT_MAX).contains(&number) => limit = number,
                _ => fault("limit", format!("must be a whole number from 1 to {LIMIT_MAX}, not '{text}'")),
            }
        }
        let texts = |name: &str| {
            let texts: Vec<String> = call.query(name).map(str::to_owned).collect();
            (!texts.is_empty()).then_some(texts)
        };
        let query = Self { date, symbols: texts("symbol"), strategies: texts("strategy"), limit };
        if faults.is_empty() { Ok(query) } else { Err(Reply::faults(Code::InvalidParameter, &faults).into()) }
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

async fn composite(postgres: &PostgresSignals, query: &Query) -> Result<Reply, PgError> {
    // One more tells whether there are more.
    let rows = postgres.composites(query.date, query.symbols.as_deref(), query.limit + 1).await?;
    let date = rows.first().map(|row| row.date).or(query.date);
    Ok(page(date, rows.iter().map(|row| json!(row)).collect(), query.limit))
}

async fn ranking(postgres: &PostgresSignals, query: &Query) -> Result<Reply, PgError> {
    let (symbols, strategies) = (query.symbols.as_deref(), query.strategies.as_deref());
    let rows = postgres.rankings(query.date, symbols, strategies, query.limit + 1).await?;
    let date = rows.first().map(|row| row.date).or(query.date);
    Ok(page(date, rows.iter().map(|row| json!(row)).collect(), query.limit))
}

fn page(date: Option<NaiveDate>, mut rows: Vec<Value>, limit: i64) -> Reply {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let truncated = rows.len() > limit;
    rows.truncate(limit);
    Reply::ok(json!({ "date": date, "signals": rows, "truncated": truncated }))
}

/// What Postgres knows of each month, beside what the lake holds now.
async fn synced(app: &App, postgres: &PostgresSignals) -> Result<Reply, PgError> {
    let states = postgres.states().await?;
    let (versions, behind) = match look(&app.signals, &Asked::default()).await {
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
    Ok(Reply::ok(json!({ "months": months, "lake": versions })))
}

fn unavailable(error: &PgError, call: &Call) -> Reply {
    let cause = chain(error);
    match error {
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
            Reply::bug(&call.invocation)
        }
    }
}
