//! Notify: tell the address of the settings that a run has ended. The row says so already, whatever becomes of this; the
//! history of the run says whether it arrived.

use std::time::Duration;

use serde_json::json;

use super::App;
use super::chain;
use crate::run::{Run, RunId};

/// Waits before the second and the third try.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Tells of a run that has ended, beside whatever its caller goes on with. Without an address nothing is told.
pub fn ended(app: &App, id: &RunId) {
    if app.webhook.is_none() {
        return;
    }
    let (app, id) = (app.clone(), id.clone());
    tokio::spawn(async move {
        match app.runs.get(&id).await {
            Ok(Some(run)) if run.state.status().is_final() => tell(&app, &run).await,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(run.id = %id, error = chain(&error), "no notice was sent of the end of run {id}");
            }
        }
    });
}

async fn tell(app: &App, run: &Run) {
    let (Some(webhook), id) = (&app.webhook, &run.id) else { return };
    let document = json!({
        "run_id": id,
        "status": run.state.status(),
        "status_reason": run.status_reason,
        "run_name": run.submission.run_name,
        "url": format!("{}/api/backtests/{id}", app.address),
    });
    let mut pauses = PAUSES.iter();
    let mut tries = 0;
    let arrived = loop {
        tries += 1;
        match webhook.post(document.to_string()).await {
            Ok(()) => break true,
            Err(error) => {
                tracing::warn!(run.id = %id, tries, error = chain(&error), "the end of run {id} was not taken");
            }
        }
        let Some(&pause) = pauses.next() else { break false };
        tokio::time::sleep(pause).await;
    };
    let detail = json!({ "arrived": arrived, "tries": tries });
    if let Err(error) = app.runs.remark(id, "notified", &detail, "api").await {
        tracing::warn!(run.id = %id, error = chain(&error), "it is not noted that the end of run {id} was told");
    }
}
