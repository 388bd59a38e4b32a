//! Queue trigger, the last resort: the host gave up a message that failed too often, so its run is given up too. An
//! executor that still holds it is fenced out. The answer is always success: a failure would only bring the message back.

use super::execute::run_id;
use super::function::{Function, Outcome, Trigger, Triggered};
use crate::run::Reason;
use crate::telemetry;
use crate::work::chain;
use crate::work::{App, notify};

pub(super) const FUNCTION: Function = Function {
    name: "execute_poison",
    trigger: Trigger::Queue {
        queue: "%BACKTEST_QUEUE%-poison",
        handler: |app, call| Box::pin(given_up(app, call)),
    },
    announces: false,
};

async fn given_up(app: App, call: Triggered) -> Outcome {
    let Some(id) = run_id(&call) else {
        tracing::warn!("dropped a poisoned message that names no run");
        return Outcome::Done(Vec::new());
    };
    match app.runs.give_up(&id, Reason::Poison, "the queue gave its message up after too many failures").await
    {
        Ok(true) => {
            telemetry::RUNS_ENDED.one(Reason::Poison.as_str());
            notify::ended(&app, &id);
            tracing::error!(run.id = %id, "gave run {id} up: its message failed too often");
        }
        Ok(false) => tracing::info!(run.id = %id, "run {id} has ended, or is not known here"),
        // Reconcile announces it again or ends it.
        Err(error) => {
            tracing::error!(run.id = %id, error = chain(&error), "run {id} could not be given up");
        }
    }
    Outcome::Done(Vec::new())
}
