//! `GET /api/compare`: completed runs side by side, as a document and as a page to send around.

use serde_json::{Value, json};
use warp::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG};

use super::call::{Call, unknown_run};
use super::function::{Answer, AnswerHeader, Content, Function, Method, Operation};
use super::parameter::{Text, Texts, Whole};
use super::reply::{Code, Refusal, Reply};
use super::results::{HTML, PAGE_POLICY};
use super::schema::Shape;
use crate::engine::config::Fault;
use crate::run::{Kind, Publication, Run, RunId, RunState};
use crate::work::chain;
use crate::work::compare::{Comparison, RUNS_MAX, Source, SourceError, compare};
use crate::work::results::ResultError;
use crate::work::{App, report, sha256_hex};

pub(super) const FUNCTION: Function =
    Function::http("compare", "compare/{*page}", &[&COMPARE_RUNS, &COMPARISON_PAGE]);

const COMPARE_RUNS: Operation = Operation {
    id: "compareRuns",
    method: Method::Get,
    path: "compare",
    tag: "results",
    summary: "Completed runs side by side",
    description: "Over the days that all of them have: where their configs differ, every figure again, how far apart they \
                  moved and what they held, and whether their Sharpe ratios differ by more than chance.",
    parameters: &[&RUNS, &BASE, &BOOTSTRAP],
    bodies: &[],
    answers: &[
        Answer::document(200, "What differs, and whether chance explains it", &[Content::json(COMPARISON)])
            .with(&[NEVER_CHANGES]),
        Answer::NOT_MODIFIED,
    ],
    refusals: &[
        Code::InvalidParameter,
        Code::RunNotFound,
        Code::ArtifactNotFound,
        Code::RunNotCompleted,
        Code::RunDeleted,
        Code::PreconditionFailed,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(document(app, call)),
};

const COMPARISON_PAGE: Operation = Operation {
    id: "getComparisonPage",
    path: "compare/page",
    summary: "Completed runs side by side, on a page",
    description: "",
    answers: &[
        Answer::document(200, "One self-contained page", &[HTML]).with(&[NEVER_CHANGES]),
        Answer::NOT_MODIFIED,
    ],
    handler: |app, call| Box::pin(page(app, call)),
    ..COMPARE_RUNS
};

const COMPARISON: Shape = Shape::of::<Comparison>();
const NEVER_CHANGES: AnswerHeader = AnswerHeader::text("ETag", "Never changes");

const RUNS: Texts = Texts {
    name: "runs",
    description: "Two to ten completed runs, or trials of completed studies that kept their returns, as `study:12`; may be \
                  repeated or joined by commas",
    item: Shape::Plain(named_schema),
};
const BASE: Text = Text {
    name: "base",
    description: "The run that the others are compared with; without it the first. It becomes A in the answer",
};
const BOOTSTRAP: Whole = Whole {
    name: "bootstrap",
    description: "Replications of the test by resampling; 0 leaves it out",
    default: 0,
    allowed: 0..=5000,
};

fn named_schema() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}(:[0-9]{1,6})?$",
            "example": "RUN20260131-0123456789ab" })
}

/// A run, or a trial of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    run: RunId,
    trial: Option<u32>,
}

impl Named {
    fn read(text: &str) -> Result<Self, String> {
        let (run, trial) = match text.split_once(':') {
            Some((run, trial)) => (run, Some(trial)),
            None => (text, None),
        };
        let digits =
            |trial: &&str| (1..=6).contains(&trial.len()) && trial.bytes().all(|byte| byte.is_ascii_digit());
        let number = trial.map(|trial| Some(trial).filter(digits).and_then(|trial| trial.parse().ok()));
        match (run.parse::<RunId>(), number) {
            (Ok(run), None) => Ok(Self { run, trial: None }),
            (Ok(run), Some(Some(trial))) => Ok(Self { run, trial: Some(trial) }),
            (Ok(_), Some(None)) => Err("must name a trial by its number, as study:12".to_owned()),
            (Err(error), _) => Err(error.to_string()),
        }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.trial {
            Some(trial) => write!(f, "{}:{trial}", self.run),
            None => write!(f, "{}", self.run),
        }
    }
}

async fn document(app: App, call: Call) -> Result<Reply, Refusal> {
    answer(app, call, |comparison| Reply::ok(comparison)).await
}

async fn page(app: App, call: Call) -> Result<Reply, Refusal> {
    let html = |comparison: &Comparison| {
        Reply::page(report::comparison_page(comparison)).with(CONTENT_SECURITY_POLICY, PAGE_POLICY)
    };
    answer(app, call, html).await
}

/// What the runs come to, unless the caller has it already.
async fn answer(app: App, call: Call, write: impl FnOnce(&Comparison) -> Reply) -> Result<Reply, Refusal> {
    let (named, bootstrap) = asked(&call)?;
    let runs = completed(&app, &named).await?;
    let published: Vec<(&Run, &Publication)> = runs.iter().filter_map(with_publication).collect();
    let etag = etag(&call, &published);
    call.must_match(&etag)?;
    let lasting =
        |reply: Reply| reply.with(ETAG, &etag).with(CACHE_CONTROL, "private, max-age=31536000, immutable");
    if call.knows(&etag) {
        return Ok(lasting(Reply::not_modified()));
    }
    let sources = published.iter().zip(&named).map(async |((run, published), named)| match named.trial {
        Some(trial) => Source::of_trial(&app.artifacts, run, published, trial).await,
        None => Source::of_run(&app.artifacts, run, published).await,
    });
    let sources = futures_util::future::try_join_all(sources).await.map_err(|error| refusal(&error))?;
    // Resampling takes a while, and others want to be answered meanwhile.
    let compared = tokio::task::spawn_blocking(move || compare(&sources, bootstrap)).await;
    match compared {
        Ok(comparison) => Ok(lasting(write(&comparison))),
        Err(error) => {
            tracing::error!(error = chain(&error), "runs could not be compared");
            Err(Reply::bug().into())
        }
    }
}

/// The runs in the order of the answer, the base first, and the replications.
fn asked(call: &Call) -> Result<(Vec<Named>, usize), Refusal> {
    let mut query = call.query();
    let mut ids: Vec<Named> = Vec::new();
    for text in RUNS.read(&query).filter(|text| !text.is_empty()).collect::<Vec<_>>() {
        match Named::read(text) {
            Ok(id) if ids.contains(&id) => query.fault(RUNS.name, format!("names {id} twice")),
            Ok(id) => ids.push(id),
            Err(error) => query.fault(RUNS.name, format!("{error}, not '{text}'")),
        }
    }
    if !(2..=RUNS_MAX).contains(&ids.len()) {
        query.fault(RUNS.name, format!("must name two to {RUNS_MAX} runs, not {}", ids.len()));
    }
    if let Some(base) = BASE.read(&mut query) {
        match ids.iter().position(|id| id.to_string() == base) {
            Some(place) => ids[..=place].rotate_right(1),
            None => query.fault(BASE.name, format!("must be one of the runs, not '{base}'")),
        }
    }
    let bootstrap = BOOTSTRAP.read(&mut query);
    query.check()?;
    Ok((ids, bootstrap))
}

/// The runs, if all of them are completed.
async fn completed(app: &App, named: &[Named]) -> Result<Vec<Run>, Refusal> {
    let found = futures_util::future::try_join_all(named.iter().map(|named| app.runs.get(&named.run))).await;
    let found = found.map_err(|error| Reply::store(&error))?;
    let mut runs = Vec::new();
    for (named, run) in named.iter().zip(found) {
        let run = run.ok_or_else(|| unknown_run(named.run.as_str()))?;
        if (run.submission.kind == Kind::Study) != named.trial.is_some() {
            let message = match named.trial {
                Some(_) => format!("{} is not a study, so it has no trials", named.run),
                None => format!("{0} is a study; name one of its trials, as {0}:12", named.run),
            };
            let faults = [Fault { path: RUNS.name.to_owned(), message }];
            return Err(Reply::faults(Code::InvalidParameter, &faults).into());
        }
        runs.push(run);
    }
    if let Some(deleted) = runs.iter().find(|run| run.labels.deleted.is_some()) {
        return Err(Reply::deleted(deleted).into());
    }
    let unfinished: Vec<&Run> = runs.iter().filter(|run| with_publication(run).is_none()).collect();
    if let Some(first) = unfinished.first() {
        let said: Vec<String> =
            unfinished.iter().map(|run| format!("{} is {}", run.id, run.state.status())).collect();
        let detail = format!("only completed runs can be compared: {}", said.join(", "));
        return Err(Reply::wrong_state(Code::RunNotCompleted, detail, first.state.status()).into());
    }
    Ok(runs)
}

fn with_publication(run: &Run) -> Option<(&Run, &Publication)> {
    match &run.state {
        RunState::Completed { publication, .. } => Some((run, publication)),
        _ => None,
    }
}

fn etag(call: &Call, published: &[(&Run, &Publication)]) -> String {
    let manifests: Vec<&str> =
        published.iter().map(|(_, published)| published.manifest_sha256.as_str()).collect();
    let asked = (manifests, env!("CARGO_PKG_VERSION"), call.id, &call.message.query);
    format!("\"{}\"", &sha256_hex(json!(asked).to_string())[..24])
}

fn refusal(error: &SourceError) -> Refusal {
    match error {
        SourceError::Table {
            source: ResultError::NotKept { .. } | ResultError::NoReturns { .. }, ..
        } => Reply::problem(Code::ArtifactNotFound, chain(error)).into(),
        error => Reply::comparison(error).into(),
    }
}
