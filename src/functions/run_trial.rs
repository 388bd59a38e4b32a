//! `POST /api/backtests/{run_id}/trials/{trial}/run`: a trial of a study as a run of its own, with all files.

use super::call::{Call, RUN_ID};
use super::function::{Answer, Content, Function, Method, Operation};
use super::parameter::PathPart;
use super::record::{RETRY_AFTER_POLL, RunRecord};
use super::reply::{Code, Refusal, Reply};
use super::schema::Shape;
use super::status::find;
use super::studies::refused;
use super::submit::{LOCATION_OF_RUN, answer, caller, traceparent};
use crate::work::App;
use crate::work::submit::{Request, submit};
use crate::work::trials::study_of;

pub(super) const FUNCTION: Function =
    Function::http("run_trial", "backtests/{run_id}/trials/{trial}/run", &[&RUN_TRIAL]).announcing();

const TRIAL: PathPart = PathPart { name: "trial", description: "Number of the trial", shape: Shape::TEXT };

const RUN_TRIAL: Operation = Operation {
    id: "runTrial",
    method: Method::Post,
    path: "backtests/{run_id}/trials/{trial}/run",
    tag: "studies",
    summary: "Run a trial of a study by itself",
    description: "Its returns are those of the trial. The study is its parent.",
    parameters: &[&RUN_ID, &TRIAL],
    bodies: &[],
    answers: &[Answer::document(
        202,
        "Stored; it will be executed",
        &[Content::json(Shape::of::<RunRecord<'_>>())],
    )
    .with(&[LOCATION_OF_RUN, RETRY_AFTER_POLL])],
    refusals: &[
        Code::InvalidParameter,
        Code::InvalidConfig,
        Code::RunNotFound,
        Code::TrialNotFound,
        Code::NotAStudy,
        Code::DataGone,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(run_trial(app, call)),
};

async fn run_trial(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let run = find(&app, &call).await?;
    let study = study_of(&run).map_err(refused)?.1;
    let text = call.placeholder(TRIAL.name);
    let trial = text.parse().ok().filter(|trial| *trial < study.grid.count());
    let config = trial.and_then(|trial: usize| study.submitted(trial).ok());
    let Some(config) = config else {
        let detail = format!("the study has trials 0 to {}, not '{text}'", study.grid.count() - 1);
        return Err(Reply::problem(Code::TrialNotFound, detail).into());
    };
    let request = Request {
        config,
        run_id: None,
        parent_run_id: Some(run.id.clone()),
        idempotency_key: None,
        submitted_by: caller(&app, &call),
        traceparent: traceparent(&call),
        pins: run.submission.pins.clone(),
        announces: call.message.is_enveloped,
        reuse: false,
    };
    Ok(answer(submit(&app, request).await))
}
