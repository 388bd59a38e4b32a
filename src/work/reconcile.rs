//! Reconcile: look at the rows and repair what is overdue. Safe anywhere, any number of times, at once: what to do
//! is decided from the row as it was seen, and the store does it only if the row is still so.
//!
//! An announcement counts as sent with the row, and a run is not announced again for a while. So only those announce whose
//! answer, with which the host sends the messages, follows at once and cannot fail any more.

use crate::run::{Reason, Status, Verdict, Wake, decide};
use crate::store::blob::BlobError;
use crate::store::runs::{Repair, StoreError};
use crate::telemetry;
use crate::work::{App, notify};

/// Rows of one step.
const BATCH: usize = 500;

/// Ends the runs that no executor will end, and answers the wake-up messages that the caller must send at once.
pub async fn reconcile(app: &App) -> Result<Vec<Wake>, StoreError> {
    repair(app, |verdict| *verdict != Verdict::Leave).await
}

/// Only ends the runs that no executor will end: for a caller who has other things to do before it answers.
pub async fn end_overdue(app: &App) -> Result<(), StoreError> {
    repair(app, |verdict| matches!(verdict, Verdict::GiveUp(_))).await.map(drop)
}

async fn repair(app: &App, is_wanted: impl Fn(&Verdict) -> bool) -> Result<Vec<Wake>, StoreError> {
    let overdue = app.runs.overdue(BATCH).await?;
    let repairs: Vec<Repair> = overdue
        .runs
        .into_iter()
        .map(|run| Repair { verdict: decide(&run, overdue.now), run })
        .filter(|repair| is_wanted(&repair.verdict))
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

/// Measures how many messages could not be read or acted on.
pub async fn measure_poison(app: &App) -> Result<(), BlobError> {
    if let Some(queue) = &app.poison {
        let depth = queue.depth().await?;
        telemetry::POISONED.set(depth as f64);
        if depth > 0 {
            tracing::warn!(
                depth,
                "{depth} messages lie in the poison queue, which could not be read; look at them, and clear them"
            );
        }
    }
    Ok(())
}

/// Measures how many runs wait and run. Rows that have ended are many, and counted as they end.
pub async fn measure(app: &App) -> Result<(), StoreError> {
    let backlog = app.runs.backlog().await?;
    telemetry::RUNS.set(Status::Queued.as_str(), f64::from(backlog.queued));
    telemetry::RUNS.set(Status::Running.as_str(), f64::from(backlog.running));
    telemetry::OLDEST_DUE.set(backlog.oldest_due.as_secs_f64());
    Ok(())
}
