//! `POST /api/backtests/validate`: what would become of a config, and every fault of it. Nothing is stored.

use super::call::Call;
use super::function::{Answer, Content, Function, Method, Operation};
use super::reply::{Code, Refusal, Reply};
use super::run_request::{self, RunRequest};
use super::schema::Shape;
use crate::work::App;
use crate::work::submit::{SubmitError, check_parent};
use crate::work::validate::{ValidateError, Validated, validate};

pub(super) const FUNCTION: Function = Function::http("validate", "backtests/validate", &[&VALIDATE_CONFIG]);

const VALIDATE_CONFIG: Operation = Operation {
    id: "validateConfig",
    method: Method::Post,
    path: "backtests/validate",
    tag: "runs",
    summary: "Check a config",
    description: "Takes what submit takes and stores nothing. The answer shows every field with its default.",
    parameters: &[],
    bodies: &run_request::BODIES,
    answers: &[Answer::document(
        200,
        "It can be run, and this is what would be",
        &[Content::json(Shape::of::<Validated>())],
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
    match check_parent(&app, request.run_id.as_ref(), request.parent_run_id.as_ref()).await {
        Err(SubmitError::Parent(fault)) => {
            return Err(Reply::faults(Code::InvalidParameter, &[fault]).into());
        }
        Err(SubmitError::Store(error)) => return Err(Reply::store(&error).into()),
        _ => {}
    }
    match validate(&app, &request.config).await {
        Ok(validated) => Ok(Reply::ok(&validated)),
        Err(ValidateError::Invalid(faults)) => Err(Reply::faults(Code::InvalidConfig, &faults).into()),
        Err(ValidateError::Data(error)) => Err(Reply::data(&error).into()),
    }
}
