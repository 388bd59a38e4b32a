//! `GET /api/signals/…`: composites and ranking signals of a day as Postgres serves them, and how far each month is
//! synced.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::call::Call;
use super::function::{Answer, Content, Function, Method, Operation};
use super::parameter::{Day, Texts, Whole};
use super::reply::{Code, Refusal, Reply};
use super::schema::Shape;
use crate::signal::YearMonth;
use crate::store::pg::PgError;
use crate::store::signals::postgres::{Composite, PostgresSignals, Ranking};
use crate::work::App;
use crate::work::chain;
use crate::work::sync::{self, Due, look};

pub(super) const FUNCTION: Function = Function::http(
    "signals",
    "signals/{*view}",
    &[&LIST_COMPOSITE_SIGNALS, &LIST_RANKING_SIGNALS, &GET_SIGNAL_SYNC],
);

const REFUSALS: [Code; 3] = [Code::InvalidParameter, Code::SignalsUnavailable, Code::StoreUnavailable];

const DATE: Day = Day { name: "date", description: "The day; the newest without it" };
const SYMBOL: Texts = Texts {
    name: "symbol",
    description: "Only these; may be repeated or joined by commas",
    item: Shape::TEXT,
};
const STRATEGY: Texts = Texts {
    name: "strategy",
    description: "Only these; may be repeated or joined by commas",
    item: Shape::TEXT,
};
const LIMIT: Whole = Whole { name: "limit", description: "Rows", default: 100, allowed: 1..=10_000 };

/// Composites of a day.
#[derive(Serialize, ToSchema)]
struct CompositePage {
    /// The day; null if there is none.
    date: Option<NaiveDate>,
    /// Best first.
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

const LIST_COMPOSITE_SIGNALS: Operation = Operation {
    id: "listCompositeSignals",
    method: Method::Get,
    path: "signals/composite",
    tag: "signals",
    summary: "Composite signals of a day",
    description: "",
    parameters: &[&DATE, &SYMBOL, &LIMIT],
    bodies: &[],
    answers: &[Answer::document(
        200,
        "Composites, best first",
        &[Content::json(Shape::of::<CompositePage>())],
    )],
    refusals: &REFUSALS,
    handler: |app, call| Box::pin(composite(app, call)),
};

async fn composite(app: App, call: Call) -> Result<Reply, Refusal> {
    let Filters { date, symbols, limit, .. } = Filters::read(&call)?;
    // One row too many shows that there are more.
    let read = postgres(&app)?.composites(date, symbols.as_deref(), limit + 1).await;
    let (signals, truncated) = cut(read.map_err(|error| unavailable(&error))?, limit);
    let date = signals.first().map(|row| row.date).or(date);
    Ok(Reply::ok(CompositePage { date, signals, truncated }))
}

const LIST_RANKING_SIGNALS: Operation = Operation {
    id: "listRankingSignals",
    method: Method::Get,
    path: "signals/ranking",
    tag: "signals",
    summary: "Ranking signals of a day",
    description: "",
    parameters: &[&DATE, &SYMBOL, &STRATEGY, &LIMIT],
    bodies: &[],
    answers: &[Answer::document(200, "Ranking signals", &[Content::json(Shape::of::<RankingPage>())])],
    refusals: &REFUSALS,
    handler: |app, call| Box::pin(ranking(app, call)),
};

async fn ranking(app: App, call: Call) -> Result<Reply, Refusal> {
    let filters = Filters::read(&call)?;
    let Filters { date, symbols, strategies, limit } = filters;
    let read = postgres(&app)?.rankings(date, symbols.as_deref(), strategies.as_deref(), limit + 1).await;
    let (signals, truncated) = cut(read.map_err(|error| unavailable(&error))?, limit);
    let date = signals.first().map(|row| row.date).or(date);
    Ok(Reply::ok(RankingPage { date, signals, truncated }))
}

const GET_SIGNAL_SYNC: Operation = Operation {
    id: "getSignalSync",
    method: Method::Get,
    path: "signals/sync",
    tag: "signals",
    summary: "How far each month of signals is synced",
    description: "",
    parameters: &[],
    bodies: &[],
    answers: &[Answer::document(200, "Months, newest first", &[Content::json(Shape::of::<SyncPage>())])],
    refusals: &REFUSALS,
    handler: |app, call| Box::pin(synced(app, call)),
};

async fn synced(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let states = postgres(&app)?.states().await.map_err(|error| unavailable(&error))?;
    let (lake, behind) = match look(&app.signals, &sync::SyncRequest::default()).await {
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

/// Which rows are wanted.
struct Filters {
    date: Option<NaiveDate>,
    symbols: Option<Vec<String>>,
    strategies: Option<Vec<String>>,
    limit: i64,
}

impl Filters {
    /// A parameter that the operation does not have is a fault of the query, and is none here.
    fn read(call: &Call) -> Result<Self, Refusal> {
        let mut query = call.query();
        let (date, limit) = (DATE.read(&mut query), LIMIT.read(&mut query));
        let some = |texts: &Texts| {
            let texts: Vec<String> = texts.read(&query).map(str::to_owned).collect();
            (!texts.is_empty()).then_some(texts)
        };
        let (symbols, strategies) = (some(&SYMBOL), some(&STRATEGY));
        query.check()?;
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
        PgError::NotMigrated(_) | PgError::NotAllowed { .. } => {
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
