//! Reconcile: look at the rows and repair what is overdue. Safe anywhere, any number of times, at once: what to do
//! is decided from the row as it was seen, and the store does it only if the row is still so.

use crate::run::{Reason, Status, Verdict, Wake, decide};
use crate::store::runs::{Repair, StoreError};
use crate::telemetry;
use crate::work::{App, notify};

/// Rows of one step.
const BATCH: usize = 500;

/// Ends the runs that no executor will end, and answers the wake-up messages that the caller must send.
pub async fn reconcile(app: &App) -> Result<Vec<Wake>, StoreError> {
    let overdue = app.runs.overdue(BATCH).await?;
    let repairs: Vec<Repair> = overdue
        .runs
        .into_iter()
        .map(|run| Repair { verdict: decide(&run, overdue.now), run })
        .filter(|repair| repair.verdict != Verdict::Leave)
        .collect();
    if repairs.is_empty() {
        return Ok(Vec::new());
    }
    let repaired = app.runs.repair(&repairs).await?;
    for (id, reason) in &repaired.ended {
        telemetry::RUNS_ENDED.one(ended_as(*reason));
        notify::ended(app, id);
        tracing::warn!(run.id = %id, "gave up run {id}: {}", reason.as_str());
    }
    telemetry::RECOVERED.add(repaired.announced.len());
    for Wake { run_id: id, .. } in &repaired.announced {
        tracing::info!(run.id = %id, "announce run {id} again");
    }
    Ok(repaired.announced)
}

/// The last part of a reason's story: who asked for it has canceled the run, everything else has failed it.
fn ended_as(reason: Reason) -> &'static str {
    if reason == Reason::CanceledByUser { Status::Canceled.as_str() } else { reason.as_str() }
}

/// Measures how many runs wait and run. Rows that have ended are many, and counted as they end.
pub async fn measure(app: &App) -> Result<(), StoreError> {
    let backlog = app.runs.backlog().await?;
    telemetry::RUNS.set(Status::Queued.as_str(), f64::from(backlog.queued));
    telemetry::RUNS.set(Status::Running.as_str(), f64::from(backlog.running));
    telemetry::OLDEST_DUE.set(backlog.oldest_due.as_secs_f64());
    Ok(())
}
