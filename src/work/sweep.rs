//! Sweep: remove what lost executors left behind. The files of an attempt are found only through a row that names
//! them, so an attempt of an ended run that its row does not name is garbage.
//!
//! A run that this store does not know is left alone: after a change of `BACKTEST_RUN_STORE_MODE` its row is in the
//! store before, and a change back must find the results.

use std::time::Duration;

use futures_util::TryStreamExt;

use super::App;
use crate::run::{Run, RunState};
use crate::store::artifacts::{ArtifactError, Attempt};
use crate::store::runs::StoreError;
use crate::telemetry;

/// Age below which nothing is removed.
pub const AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A sweep stopped; what it removed before stays removed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The run store did not answer.
    #[error(transparent)]
    Runs(#[from] StoreError),
    /// The artifact store did not answer.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
}

/// Removes the attempts that no row names and that are older than [`AGE`], and all of deleted runs; answers how many.
pub async fn sweep(app: &App) -> Result<usize, SweepError> {
    let old = app.clock.now() - AGE;
    let mut attempts = app.artifacts.attempts();
    let mut removed = 0;
    while let Some(attempt) = attempts.try_next().await? {
        let Some(run) = app.runs.get(&attempt.run).await? else { continue };
        let garbage = attempt.newest < old && is_garbage(&run, &attempt);
        if garbage || is_deleted(app, &run).await? {
            app.artifacts.remove(&attempt.location).await?;
            tracing::info!(run.id = %run.id, "removed what attempt f{} of run {} left", attempt.fence, run.id);
            telemetry::SWEPT.one();
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether a run was deleted, or the study that it is a part of. Then everything goes, however young.
async fn is_deleted(app: &App, run: &Run) -> Result<bool, StoreError> {
    let study = match &run.submission.part_of {
        Some(of) => app.runs.get(&of.study).await?,
        None => None,
    };
    Ok([Some(run), study.as_ref()].into_iter().flatten().any(|run| run.labels.deleted.is_some()))
}

fn is_garbage(run: &Run, attempt: &Attempt) -> bool {
    match &run.state {
        RunState::Completed { publication, .. } => publication.location != attempt.location,
        state => state.status().is_final(),
    }
}
