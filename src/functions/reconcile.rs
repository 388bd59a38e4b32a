//! Timer: repairs what is overdue, and has the host wake executors for what waits.

use super::envelope::{Outcome, Triggered};
use crate::work::App;
use crate::work::execute::chain;

pub(super) async fn answer(app: App, _: Triggered) -> Outcome {
    match crate::work::reconcile::reconcile(&app).await {
        Ok(announce) => Outcome::Done(announce),
        Err(error) => {
            tracing::warn!(error = chain(&error), "could not reconcile");
            Outcome::Again("the run store does not answer".to_owned())
        }
    }
}
