//! `GET /api/experiments` and `GET /api/experiments/{name}`: what was tried under a name by everybody, and what is left of
//! the best once all of it is counted.

use super::call::Call;
use super::function::{Answer, Content, Function, Method, Operation};
use super::parameter::PathPart;
use super::reply::{Code, Refusal, Reply};
use super::schema::Shape;
use crate::work::App;
use crate::work::experiments::{self, Experiment, Experiments};

pub(super) const FUNCTION: Function =
    Function::http("experiments", "experiments/{*name}", &[&LIST_EXPERIMENTS, &GET_EXPERIMENT]);

const LIST_EXPERIMENTS: Operation = Operation {
    id: "listExperiments",
    method: Method::Get,
    path: "experiments",
    tag: "studies",
    summary: "All experiments",
    description: "What was tried under each name, by name. Where run records are kept in a storage account there is no ledger, \
                  and `reason` says so.",
    parameters: &[],
    bodies: &[],
    answers: &[Answer::document(200, "The experiments", &[Content::json(Shape::of::<Experiments>())])],
    refusals: &[Code::InvalidParameter, Code::StoreUnavailable],
    handler: |app, call| Box::pin(list(app, call)),
};

const NAME: PathPart = PathPart { name: "name", description: "Name of the experiment", shape: Shape::TEXT };

const GET_EXPERIMENT: Operation = Operation {
    id: "getExperiment",
    method: Method::Get,
    path: "experiments/{name}",
    tag: "studies",
    summary: "One experiment",
    description: "Every config that was tried under the name counts once, however many people tried it and however often.",
    parameters: &[&NAME],
    bodies: &[],
    answers: &[Answer::document(200, "The experiment", &[Content::json(Shape::of::<Experiment>())])],
    refusals: &[Code::InvalidParameter, Code::ExperimentNotFound, Code::StoreUnavailable],
    handler: |app, call| Box::pin(get(app, call)),
};

async fn list(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    match experiments::experiments(&app).await {
        Ok(found) => Ok(Reply::ok(&found)),
        Err(error) => Err(Reply::store(&error).into()),
    }
}

async fn get(app: App, call: Call) -> Result<Reply, Refusal> {
    call.query().check()?;
    let name = call.placeholder(NAME.name);
    match experiments::experiment(&app, name).await {
        Ok(Some(found)) => Ok(Reply::ok(&found)),
        Ok(None) => {
            let detail = format!("nothing was counted under '{name}'");
            Err(Reply::problem(Code::ExperimentNotFound, detail).into())
        }
        Err(error) => Err(Reply::store(&error).into()),
    }
}
