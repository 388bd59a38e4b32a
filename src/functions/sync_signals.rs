//! Timer: brings the signals of every month that is behind up to date, in the lake and in Postgres.

use super::function::{Function, Outcome, Trigger, Triggered};
use crate::work::App;
use crate::work::chain;
use crate::work::sync::{SyncRequest, sync};

pub(super) const FUNCTION: Function = Function {
    name: "sync_signals",
    trigger: Trigger::Timer {
        schedule: "%SIGNAL_SYNC_SCHEDULE%",
        handler: |app, call| Box::pin(synced(app, call)),
    },
    announces: false,
};

async fn synced(app: App, _: Triggered) -> Outcome {
    let signals = &app.signals;
    match sync(signals, &app.data, &SyncRequest::default(), &mut |_, _, _| ()).await {
        Ok(report) => match report.failure(signals.terms.write_required) {
            None => Outcome::Done(Vec::new()),
            Some(failure) => {
                tracing::warn!(error = failure, "some signals could not be synced");
                Outcome::Again("some signals could not be synced".to_owned())
            }
        },
        Err(error) => {
            tracing::warn!(error = chain(&error), "could not look at the signals of the lake");
            Outcome::Again("the lake does not answer".to_owned())
        }
    }
}
