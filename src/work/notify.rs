//! Notify: tell the address of the settings what has happened: that a run has ended, that its history is another one than that
//! of the run before, that a schedule came to no run. The rows say so already, whatever becomes of this; the history of a
//! run says whether it arrived. Nothing of the data is told.

use std::time::Duration;

use serde_json::{Value, json};

use super::App;
use super::chain;
use super::history::{CHANGED, Changed};
use crate::run::{Run, RunId};
use crate::store::runs::schedule::ScheduleName;

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
            Ok(Some(run)) if run.state.status().is_final() => {
                tell_of(&app, &id, &ended_document(&app, &run)).await;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(run.id = %id, error = chain(&error), "no notice was sent of the end of run {id}");
            }
        }
    });
}

fn ended_document(app: &App, run: &Run) -> Value {
    json!({
        "run_id": run.id,
        "status": run.state.status(),
        "status_reason": run.status_reason,
        "run_name": run.submission.run_name,
        "url": format!("{}/api/backtests/{}", app.address, run.id),
    })
}

/// Writes into the history of a run that its days are not those of the run before, and tells of it.
pub fn history_changed(app: &App, id: &RunId, changed: &Changed) {
    let detail = json!({
        "before": changed.run_id,
        "shared_days": changed.shared,
        "days": changed.days,
        "first_day": changed.first_day,
        "largest_change": changed.largest.map(|(_, change)| change),
        "largest_on": changed.largest.map(|(day, _)| day),
        "engine_before": changed.engine_version,
    });
    tracing::warn!(run.id = %id, "run {id}: {changed}");
    let (app, id) = (app.clone(), id.clone());
    tokio::spawn(async move {
        if let Err(error) = app.runs.remark(&id, CHANGED, &detail, "history").await {
            tracing::warn!(run.id = %id, error = chain(&error), "it is not noted that the history of run {id} changed");
        }
        let url = format!("{}/api/backtests/{id}", app.address);
        tell_of(&app, &id, &json!({ "event": CHANGED, "run_id": id, "url": url })).await;
    });
}

/// Tells that a schedule came to no run where it should have. Why is in its row.
pub fn schedule_failed(app: &App, name: &ScheduleName) {
    let (app, name) = (app.clone(), name.clone());
    tokio::spawn(async move {
        let url = format!("{}/api/schedules/{name}", app.address);
        let document = json!({ "event": "schedule_failed", "schedule": name, "url": url });
        if let Some((false, _)) = tell(&app, &document).await {
            tracing::warn!(schedule = %name, "it was not told that schedule {name} came to no run");
        }
    });
}

/// Tells something of a run, and notes in its history whether it arrived.
async fn tell_of(app: &App, id: &RunId, document: &Value) {
    let Some((arrived, tries)) = tell(app, document).await else { return };
    let mut detail = json!({ "arrived": arrived, "tries": tries });
    if let Some(event) = document.get("event") {
        detail["event"] = event.clone();
    }
    if let Err(error) = app.runs.remark(id, "notified", &detail, "api").await {
        tracing::warn!(run.id = %id, error = chain(&error), "it is not noted that a notice of run {id} was sent");
    }
}

/// Sends a document, three times at most. Whether it arrived, and after how many tries; `None` without an address.
async fn tell(app: &App, document: &Value) -> Option<(bool, u32)> {
    let webhook = app.webhook.as_ref()?;
    let mut pauses = PAUSES.iter();
    let mut tries = 0;
    loop {
        tries += 1;
        match webhook.post(document.to_string()).await {
            Ok(()) => return Some((true, tries)),
            Err(error) => tracing::warn!(tries, error = chain(&error), "a notice was not taken: {document}"),
        }
        let Some(&pause) = pauses.next() else { return Some((false, tries)) };
        tokio::time::sleep(pause).await;
    }
}
