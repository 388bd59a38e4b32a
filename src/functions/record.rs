//! A run as callers see it.

use serde_json::{Value, json};

use crate::run::{Location, Run, RunState};

/// Seconds after which a watcher may look again.
pub(super) const POLL_SECONDS: u64 = 1;

/// The public record of a run.
pub(super) fn record(run: &Run) -> Value {
    let asked = &run.submission;
    let (completed_at, publication) = match &run.state {
        RunState::Completed { ended_at, publication } => (Some(*ended_at), Some(publication)),
        RunState::Failed { ended_at, .. } | RunState::Canceled { ended_at } => (Some(*ended_at), None),
        RunState::Queued { .. } | RunState::Running { .. } => (None, None),
    };
    let (output_dir, container, prefix) = match publication.map(|publication| &publication.location) {
        Some(Location::Local { dir }) => (Some(dir), None, None),
        Some(Location::Adls { container, prefix }) => (None, Some(container), Some(prefix)),
        None => (None, None, None),
    };
    let base = path(run);
    json!({
        "run_id": run.id,
        "status": run.state.status(),
        "status_reason": run.status_reason,
        "submitted_at": run.submitted_at,
        "started_at": run.started_at,
        "completed_at": completed_at,
        "run_name": asked.run_name,
        "start_date": asked.start_date,
        "end_date": asked.end_date,
        "output_dir": output_dir,
        "adls_container": container,
        "adls_prefix": prefix,
        "error": run.error,
        "attempt": run.attempt,
        "max_attempts": run.max_attempts,
        "progress": run.progress,
        "progress_note": run.progress_note,
        "cancel_requested_at": run.cancel_requested_at,
        "submitted_by": asked.submitted_by,
        "parent_run_id": asked.parent_run_id,
        "config_sha256": asked.config_sha256,
        "data_versions": publication.map(|publication| &publication.data_versions),
        "engine_version": run.engine_version,
        "fingerprint": publication.map(|publication| &publication.fingerprint),
        "summary": publication.map(|publication| &publication.summary),
        "links": {
            "self": base,
            "cancel": format!("{base}/cancel"),
            "events": format!("{base}/events"),
            "summary": format!("{base}/summary"),
            "artifacts": format!("{base}/artifacts"),
            "report": format!("{base}/report"),
        },
    })
}

/// Address of a run below the service.
pub(super) fn path(run: &Run) -> String {
    format!("/api/backtests/{}", run.id)
}
