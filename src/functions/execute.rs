//! Queue trigger: a message wakes us. First the rows say which runs have lost their executor, then the named run is
//! executed if it can be claimed. A message that makes no sense is dropped, because it never will. Nothing is announced
//! here: the host sends messages when an invocation has ended well, and this one may take long or fail.

use super::envelope::message;
use super::function::{Function, Outcome, QUEUE, RUN, Trigger, Triggered};
use crate::run::RunId;
use crate::telemetry;
use crate::work::chain;
use crate::work::execute::execute;
use crate::work::{App, reconcile};

pub(super) const FUNCTION: Function = Function {
    name: "execute",
    trigger: Trigger::Queue { queue: QUEUE, handler: |app, call| Box::pin(executed(app, call)) },
    announces: false,
};

async fn executed(app: App, call: Triggered) -> Outcome {
    let Some(id) = run_id(&call) else {
        telemetry::DROPPED.one("malformed");
        tracing::warn!("dropped a message that names no run");
        return Outcome::Done(Vec::new());
    };
    // An invocation that is awake anyway looks after overdue runs; a failure here must not keep the named run from its chance.
    if let Err(error) = reconcile::end_overdue(&app).await {
        tracing::warn!(error = chain(&error), "could not reconcile before run {id}");
    }
    match execute(&app, &id, &call.invocation).await {
        Ok(_) => Outcome::Done(Vec::new()),
        Err(error) => {
            tracing::warn!(run.id = %id, error = chain(&error), "run {id} could not be executed now");
            Outcome::Again("the run store does not answer".to_owned())
        }
    }
}

/// The run that a message names.
pub(super) fn run_id(call: &Triggered) -> Option<RunId> {
    message(call.data.get(RUN)?)?.get("run_id")?.as_str()?.parse().ok()
}
