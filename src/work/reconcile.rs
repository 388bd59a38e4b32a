//! Reconcile: look at the rows and repair what is overdue. Safe anywhere, any number of times, at once: what to do
//! is decided from the row as it was seen, and the store does it only if the row is still so.

use crate::run::{RunId, Verdict, decide};
use crate::store::runs::{Settlement, StoreError};
use crate::work::App;

/// Rows of one step.
const BATCH: usize = 500;

/// Ends what nobody will end, and answers whose wake-up message the caller must send.
pub async fn reconcile(app: &App) -> Result<Vec<RunId>, StoreError> {
    let overdue = app.runs.overdue(BATCH).await?;
    let verdicts: Vec<Settlement> = overdue
        .runs
        .into_iter()
        .map(|run| Settlement { verdict: decide(&run, overdue.now), run })
        .filter(|settlement| settlement.verdict != Verdict::Leave)
        .collect();
    if verdicts.is_empty() {
        return Ok(Vec::new());
    }
    let settled = app.runs.settle(&verdicts).await?;
    for (id, reason) in &settled.ended {
        tracing::warn!(run.id = %id, "gave up run {id}: {}", reason.as_str());
    }
    for id in &settled.announced {
        tracing::info!(run.id = %id, "announce run {id} again");
    }
    Ok(settled.announced)
}
