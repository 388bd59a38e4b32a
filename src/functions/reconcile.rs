//! Timer: repairs what is overdue, and has the host wake executors for what waits.

use super::function::{Function, Outcome, Trigger, Triggered};
use crate::work::App;
use crate::work::chain;
use crate::work::reconcile::{measure, measure_poison, reconcile};

pub(super) const FUNCTION: Function = Function {
    name: "reconcile",
    trigger: Trigger::Timer {
        schedule: "%RECONCILE_SCHEDULE%",
        handler: |app, call| Box::pin(reconciled(app, call)),
    },
    announces: true,
};

async fn reconciled(app: App, _: Triggered) -> Outcome {
    let reconciled = reconcile(&app).await;
    // What cannot be measured is still repaired.
    if let Err(error) = measure(&app).await {
        tracing::warn!(error = chain(&error), "could not count the runs");
    }
    if let Err(error) = measure_poison(&app).await {
        tracing::warn!(error = chain(&error), "could not count the messages of the poison queue");
    }
    match reconciled {
        Ok(announce) => Outcome::Done(announce),
        Err(error) => {
            tracing::warn!(error = chain(&error), "could not reconcile");
            Outcome::Again("the run store does not answer".to_owned())
        }
    }
}
