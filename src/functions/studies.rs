//! `POST /api/studies`: many trials of one config become a run with parts. And what is asked of a study under its address:
//! trials, statistics, a figure over two parameters.

use serde_json::Value;

use super::call::{Call, RUN_ID};
use super::function::{Answer, Content, Function, Method, Operation};
use super::parameter::{Text, Texts, Whole};
use super::record::{RETRY_AFTER_POLL, RunRecord};
use super::reply::{Code, Refusal, Reply};
use super::run_request;
use super::schema::Shape;
use super::status::{find, publication};
use super::submit::{IDEMPOTENCY_KEY, LOCATION_OF_RUN, REFUSALS, answer, request};
use crate::engine::config::Fault;
use crate::work::App;
use crate::work::chain;
use crate::work::study::surface::{Over, Surface};
use crate::work::submit::submit_study;
use crate::work::trials::{self, StudyError, TrialsPage, TrialsQuery};

pub(super) const FUNCTION: Function = Function::http("studies", "studies", &[&SUBMIT_STUDY]).announcing();

const SUBMIT_STUDY: Operation = Operation {
    id: "submitStudy",
    method: Method::Post,
    path: "studies",
    tag: "studies",
    summary: "Submit a study",
    description: "The body is an object with `study` and `base`, or holds one as `config` or `config_yaml`. A study that cannot \
                  be run is refused with every fault of every trial, and nothing is stored.",
    parameters: &[&IDEMPOTENCY_KEY],
    bodies: &run_request::STUDY_BODIES,
    answers: &[
        Answer::document(
            202,
            "Stored; its parts will be executed",
            &[Content::json(Shape::of::<RunRecord<'_>>())],
        )
        .with(&[LOCATION_OF_RUN, RETRY_AFTER_POLL]),
        Answer::document(
            200,
            "The study of the same key and body, as it is now",
            &[Content::json(Shape::of::<RunRecord<'_>>())],
        )
        .with(&[LOCATION_OF_RUN, RETRY_AFTER_POLL]),
    ],
    refusals: &REFUSALS,
    handler: |app, call| Box::pin(submitted(app, call)),
};

async fn submitted(app: App, call: Call) -> Result<Reply, Refusal> {
    let request = request(&app, &call).await?;
    if request.reuse {
        let message = "is for backtests; the same Idempotency-Key gives the same study".to_owned();
        return Ok(Reply::faults(Code::InvalidParameter, &[Fault { path: "reuse".into(), message }]));
    }
    Ok(answer(submit_study(&app, request).await))
}

const SORT: Text = Text { name: "sort", description: "A figure, or `trial`; without it `sharpe_ratio`" };
const ORDER: Text = Text { name: "order", description: "`asc` or `desc`; without it `desc`" };
const STATUS: Texts = Texts {
    name: "status",
    description: "Only trials that are `ok`, `failed` or `invalid`; may be repeated or joined by commas",
    item: Shape::TEXT,
};
const FIELDS: Texts = Texts {
    name: "fields",
    description: "Only these figures; may be repeated or joined by commas",
    item: Shape::TEXT,
};
const LIMIT: Whole = Whole { name: "limit", description: "Trials of a page", default: 50, allowed: 1..=1000 };
const CURSOR: Text = Text { name: "cursor", description: "`next_cursor` of the page before" };

pub(super) const LIST_TRIALS: Operation = Operation {
    id: "listTrials",
    method: Method::Get,
    path: "backtests/{run_id}/trials",
    tag: "studies",
    summary: "The trials of a study",
    description: "While parts are open, those of the parts that have published.",
    parameters: &[&RUN_ID, &SORT, &ORDER, &STATUS, &FIELDS, &LIMIT, &CURSOR],
    bodies: &[],
    answers: &[Answer::document(200, "A page of trials", &[Content::json(Shape::of::<TrialsPage>())])],
    refusals: &[Code::InvalidParameter, Code::RunNotFound, Code::NotAStudy, Code::StoreUnavailable],
    handler: |app, call| Box::pin(list_trials(app, call)),
};

async fn list_trials(app: App, call: Call) -> Result<Reply, Refusal> {
    let mut asked = call.query();
    let ascending = match ORDER.read(&mut asked) {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(other) => {
            asked.fault(ORDER.name, format!("must be asc or desc, not '{other}'"));
            false
        }
    };
    let offset = match CURSOR.read(&mut asked).map(str::parse) {
        None => 0,
        Some(Ok(offset)) => offset,
        Some(Err(_)) => {
            asked.fault(CURSOR.name, "is none that a page gave".to_owned());
            0
        }
    };
    let query = TrialsQuery {
        sort: SORT.read(&mut asked).unwrap_or("sharpe_ratio").to_owned(),
        ascending,
        statuses: STATUS.read(&asked).map(str::to_owned).collect(),
        fields: FIELDS.read(&asked).map(str::to_owned).collect(),
        limit: LIMIT.read(&mut asked),
        offset,
    };
    asked.check()?;
    let run = find(&app, &call).await?;
    let page = trials::trials(&app, &run, query).await.map_err(refused)?;
    Ok(Reply::ok(&page))
}

pub(super) const GET_STATISTICS: Operation = Operation {
    id: "getStatistics",
    method: Method::Get,
    path: "backtests/{run_id}/statistics",
    tag: "studies",
    summary: "How far the best trial of a study can be believed",
    description: "What has no value is null, with its reason under `undefined`.",
    parameters: &[&RUN_ID],
    bodies: &[],
    answers: &[Answer::document(200, "The statistics", &[Content::json(Shape::OBJECT)])],
    refusals: &[
        Code::InvalidParameter,
        Code::RunNotFound,
        Code::RunNotCompleted,
        Code::NotAStudy,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(statistics(app, call)),
};

async fn statistics(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let run = find(&app, &call).await?;
    trials::study_of(&run).map_err(refused)?;
    let found: Value = trials::statistics(&app, &run, publication(&run)?).await.map_err(refused)?;
    Ok(Reply::ok(&found))
}

const X: Text = Text { name: "x", description: "Path of the parameter along a row" };
const Y: Text = Text { name: "y", description: "Path of the parameter along a column" };
const MEASURE: Text = Text { name: "measure", description: "A figure; without it `sharpe_ratio`" };
const OVER: Text = Text {
    name: "over",
    description: "What stands for trials that differ in other parameters: `best` or `mean`; without it `best`",
};

pub(super) const GET_SURFACE: Operation = Operation {
    id: "getSurface",
    method: Method::Get,
    path: "backtests/{run_id}/surface",
    tag: "studies",
    summary: "A figure of a study over two parameters",
    description: "",
    parameters: &[&RUN_ID, &X, &Y, &MEASURE, &OVER],
    bodies: &[],
    answers: &[Answer::document(200, "The figure", &[Content::json(Shape::of::<Surface>())])],
    refusals: &[Code::InvalidParameter, Code::RunNotFound, Code::NotAStudy, Code::StoreUnavailable],
    handler: |app, call| Box::pin(surface(app, call)),
};

async fn surface(app: App, call: Call) -> Result<Reply, Refusal> {
    let mut asked = call.query();
    let over = match OVER.read(&mut asked) {
        None | Some("best") => Over::Best,
        Some("mean") => Over::Mean,
        Some(other) => {
            asked.fault(OVER.name, format!("must be best or mean, not '{other}'"));
            Over::Best
        }
    };
    let [x, y] = [&X, &Y].map(|path| {
        let given = path.read(&mut asked).map(str::to_owned);
        if given.is_none() {
            asked.fault(path.name, "is required".to_owned());
        }
        given.unwrap_or_default()
    });
    let measure = MEASURE.read(&mut asked).unwrap_or("sharpe_ratio").to_owned();
    asked.check()?;
    let run = find(&app, &call).await?;
    let found = trials::surface(&app, &run, (&x, &y), &measure, over).await.map_err(refused)?;
    Ok(Reply::ok(&found))
}

/// The refusal that belongs to an error.
pub(super) fn refused(error: StudyError) -> Refusal {
    match error {
        StudyError::NoStudy => Reply::problem(Code::NotAStudy, "the run is not a study").into(),
        StudyError::Unknown(detail) => Reply::problem(Code::InvalidParameter, detail).into(),
        StudyError::Store(error) => Reply::store(&error).into(),
        error @ (StudyError::Unreadable(_) | StudyError::Artifacts(_)) => {
            tracing::error!(error = chain(&error), "a file of a study could not be read");
            Reply::problem(Code::StoreUnavailable, "the artifact store does not answer").into()
        }
    }
}
