//! `GET /api/signals/…`: composites and ranking signals of a day as Postgres serves them, how far each month is synced, and
//! from the lake what each strategy predicts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use warp::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG};

use super::call::Call;
use super::function::{Answer, AnswerHeader, Content, Function, Method, Operation};
use super::parameter::{Day, Flag, PathPart, Query, Texts, Whole};
use super::reply::{Code, Refusal, Reply};
use super::results::{HTML, PAGE_POLICY};
use super::schema::Shape;
use crate::signal::YearMonth;
use crate::store::pg::PgError;
use crate::store::signals::postgres::{Composite, PostgresSignals, Ranking};
use crate::work::chain;
use crate::work::factors::{self, FactorError, FactorFigures, TearSheet};
use crate::work::sync::{self, Due, look};
use crate::work::{App, report, sha256_hex};

pub(super) const FUNCTION: Function = Function::http(
    "signals",
    "signals/{*view}",
    &[
        &LIST_COMPOSITE_SIGNALS,
        &LIST_RANKING_SIGNALS,
        &GET_SIGNAL_SYNC,
        &GET_FACTOR_SHEET,
        &FACTOR_SHEET_PAGE,
    ],
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

const STRATEGY_NAME: PathPart =
    PathPart { name: "strategy", description: "Strategy of the ranking signals", shape: Shape::TEXT };
const FROM: Day = Day { name: "from", description: "First day of signals that count; the first without it" };
const TO: Day = Day { name: "to", description: "Last day of signals that count; the last without it" };
const BY_DAY: Flag = Flag { name: "by_day", description: "Also the figures of each day" };
const NAMES_FIGURES: AnswerHeader = AnswerHeader::text("ETag", "Names these figures");

/// What a strategy predicts.
#[derive(Serialize, ToSchema)]
struct FactorPage {
    /// Its tear sheet.
    sheet: TearSheet,
    /// Months whose figures are not those of the signals and prices of now: the next sync makes them. Null while that cannot
    /// be told.
    #[schema(value_type = Option<Vec<String>>)]
    behind: Option<Vec<YearMonth>>,
}

const GET_FACTOR_SHEET: Operation = Operation {
    id: "getFactorSheet",
    method: Method::Get,
    path: "signals/factors/{strategy}",
    tag: "signals",
    summary: "What a strategy of the ranking signals predicts",
    description: "Information coefficients, returns by fifth of the symbols and turnover, as the sync keeps them beside the signals.",
    parameters: &[&STRATEGY_NAME, &FROM, &TO, &BY_DAY],
    bodies: &[],
    answers: &[
        Answer::document(200, "The tear sheet", &[Content::json(Shape::of::<FactorPage>())])
            .with(&[NAMES_FIGURES]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &[
        Code::InvalidParameter,
        Code::StrategyNotFound,
        Code::PreconditionFailed,
        Code::SignalsUnavailable,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(factor_sheet(app, call)),
};

const FACTOR_SHEET_PAGE: Operation = Operation {
    id: "getFactorSheetPage",
    path: "signals/factors/{strategy}/page",
    summary: "The same on a page",
    description: "",
    parameters: &[&STRATEGY_NAME, &FROM, &TO],
    answers: &[
        Answer::document(200, "One self-contained page", &[HTML]).with(&[NAMES_FIGURES]),
        Answer::NOT_MODIFIED,
    ],
    handler: |app, call| Box::pin(factor_page(app, call)),
    ..GET_FACTOR_SHEET
};

async fn factor_sheet(app: App, call: Call) -> Result<Reply, Refusal> {
    let mut query = call.query();
    let (days, by_day) = (Days::read(&mut query), BY_DAY.read(&mut query));
    query.check()?;
    let write = move |sheet, behind| Reply::ok(FactorPage { sheet, behind });
    sheet(&app, &call, days, by_day, write).await
}

async fn factor_page(app: App, call: Call) -> Result<Reply, Refusal> {
    let mut query = call.query();
    let days = Days::read(&mut query);
    query.check()?;
    let write = |sheet: TearSheet, behind: Option<Vec<YearMonth>>| {
        let note = match behind.as_deref() {
            None => Some("Whether months are behind cannot be told now.".to_owned()),
            Some([]) => None,
            Some(months) => Some(format!(
                "The signals or prices of {} months are others than these figures were made from; the next sync makes them anew.",
                months.len()
            )),
        };
        let notes: Vec<String> = note.into_iter().collect();
        Reply::page(report::factor_page(&sheet, &notes)).with(CONTENT_SECURITY_POLICY, PAGE_POLICY)
    };
    sheet(&app, &call, days, true, write).await
}

/// Which days of signals count.
#[derive(Clone, Copy)]
struct Days {
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
}

impl Days {
    fn read(query: &mut Query<'_>) -> Self {
        let (from, to) = (FROM.read(query), TO.read(query));
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            query.fault(FROM.name, "must not come after `to`");
        }
        Self { from, to }
    }

    fn hold(self, day: i32) -> bool {
        self.from.is_none_or(|from| from.to_epoch_days() <= day)
            && self.to.is_none_or(|to| day <= to.to_epoch_days())
    }
}

/// The sheet of the strategy that the path names, unless the caller has it already.
async fn sheet(
    app: &App,
    call: &Call,
    days: Days,
    by_day: bool,
    write: impl FnOnce(TearSheet, Option<Vec<YearMonth>>) -> Reply,
) -> Result<Reply, Refusal> {
    let strategy = call.placeholder(STRATEGY_NAME.name);
    let missing = || Reply::problem(Code::SignalsUnavailable, "this service has no BACKTEST_LAKE");
    let lake = app.signals.lake.as_ref().ok_or_else(missing)?;
    let kept = factors::kept(lake, &app.data, Some(strategy)).await;
    let FactorFigures { mut figures, strategies, digest, behind, .. } =
        kept.map_err(|error| no_figures(&error))?;
    let Some(mut figures) = figures.remove(strategy) else {
        return Err(unknown_strategy(strategy, &strategies).into());
    };
    let asked = (digest, &behind, env!("CARGO_PKG_VERSION"), call.id, &call.message.query);
    let etag = format!("\"{}\"", &sha256_hex(json!(asked).to_string())[..24]);
    call.must_match(&etag)?;
    let reply = if call.knows(&etag) {
        Reply::not_modified()
    } else {
        figures.retain(|day| days.hold(day.day));
        write(TearSheet::of(strategy, &figures, by_day), behind)
    };
    Ok(reply.with(ETAG, &etag).with(CACHE_CONTROL, "no-cache"))
}

fn unknown_strategy(strategy: &str, known: &BTreeSet<String>) -> Reply {
    let strategy: String = strategy.chars().take(80).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let detail = if known.is_empty() {
        "there are no factor figures; the sync makes them where the lake has ranking signals and prices"
            .to_owned()
    } else {
        format!("there are no figures of '{strategy}'; there are {}", known.join(", "))
    };
    Reply::problem(Code::StrategyNotFound, detail)
}

fn no_figures(error: &FactorError) -> Refusal {
    let cause = chain(error);
    let reply = if error.is_retryable() {
        tracing::warn!(error = cause, "the lake did not answer");
        Reply::problem(Code::StoreUnavailable, "the lake does not answer; try again")
    } else {
        tracing::error!(error = cause, "factor figures cannot be read");
        Reply::bug()
    };
    reply.into()
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
