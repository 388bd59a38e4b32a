//! Timer: runs the schedules that are due, repairs what is overdue, and has the host wake executors for what waits.

use super::function::{Function, Outcome, Trigger, Triggered};
use crate::work::App;
use crate::work::chain;
use crate::work::reconcile::{measure, measure_poison, reconcile};
use crate::work::schedules::run_due;

pub(super) const FUNCTION: Function = Function {
    name: "reconcile",
    trigger: Trigger::Timer {
        schedule: "%RECONCILE_SCHEDULE%",
        handler: |app, call| Box::pin(reconciled(app, call)),
    },
    announces: true,
};

async fn reconciled(app: App, _: Triggered) -> Outcome {
    // Schedules first: once it is counted that a run was announced, the answer follows at once.
    let scheduled = run_due(&app).await;
    let reconciled = reconcile(&app).await;
    // What cannot be measured is still repaired.
    if let Err(error) = measure(&app).await {
        tracing::warn!(error = chain(&error), "could not count the runs");
    }
    if let Err(error) = measure_poison(&app).await {
        tracing::warn!(error = chain(&error), "could not count the messages of the poison queue");
    }
    let mut announce = scheduled.unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "could not run the schedules");
        Vec::new()
    });
    match reconciled {
        Ok(more) => {
            announce.extend(more);
            Outcome::Done(announce)
        }
        // What was announced must be sent, whatever else fails.
        Err(error) if !announce.is_empty() => {
            tracing::warn!(error = chain(&error), "could not reconcile; the next round goes on");
            Outcome::Done(announce)
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "could not reconcile");
            Outcome::Again("the run store does not answer".to_owned())
        }
    }
}
