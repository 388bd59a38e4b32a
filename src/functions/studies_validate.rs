//! `POST /api/studies/validate`: what would become of a study, and every fault of every trial. Nothing is stored.

use super::call::Call;
use super::function::{Answer, Content, Function, Method, Operation};
use super::reply::{Code, Refusal, Reply};
use super::run_request::{self, RunRequest};
use super::schema::Shape;
use crate::work::App;
use crate::work::validate::{StudyPlan, ValidateError, validate_study};

pub(super) const FUNCTION: Function =
    Function::http("studies_validate", "studies/validate", &[&VALIDATE_STUDY]);

const VALIDATE_STUDY: Operation = Operation {
    id: "validateStudy",
    method: Method::Post,
    path: "studies/validate",
    tag: "studies",
    summary: "Check a study",
    description: "Takes what submit takes and stores nothing.",
    parameters: &[],
    bodies: &run_request::STUDY_BODIES,
    answers: &[Answer::document(
        200,
        "It can be run, and so much there is to do",
        &[Content::json(Shape::of::<StudyPlan>())],
    )],
    refusals: &[
        Code::MalformedRequest,
        Code::InvalidParameter,
        Code::InvalidConfig,
        Code::DataGone,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::StoreUnavailable,
    ],
    handler: |app, call| Box::pin(validated(app, call)),
};

async fn validated(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let request = RunRequest::read(&call).await?;
    match validate_study(&app, &request.config).await {
        Ok(plan) => Ok(Reply::ok(&plan)),
        Err(ValidateError::Invalid(faults)) => Err(Reply::faults(Code::InvalidConfig, &faults).into()),
        Err(ValidateError::Data(error)) => Err(Reply::data(&error).into()),
    }
}
