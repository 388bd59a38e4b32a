//! Timer, once a day: removes what lost executors left behind.

use super::function::{Function, Outcome, Trigger, Triggered};
use crate::work::App;
use crate::work::chain;

pub(super) const FUNCTION: Function = Function {
    name: "sweep",
    trigger: Trigger::Timer { schedule: "0 30 3 * * *", handler: |app, call| Box::pin(swept(app, call)) },
    announces: false,
};

async fn swept(app: App, _: Triggered) -> Outcome {
    match crate::work::sweep::sweep(&app).await {
        Ok(removed) => {
            tracing::info!(removed, "swept the artifacts");
            Outcome::Done(Vec::new())
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "could not sweep the artifacts");
            Outcome::Again("a store does not answer".to_owned())
        }
    }
}
