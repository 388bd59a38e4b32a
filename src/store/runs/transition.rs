//! What each transition asks of a run and does to it, for a store that keeps whole records: the guards of the SQL
//! statements as plain functions of a run and the store's time. `None` means that the guard does not hold.

use chrono::Duration;
use serde_json::{Value, json};

use super::{Claimant, Ending, NewRun, Progress, detail};
use crate::clock::Timestamp;
use crate::run::{Fence, Lease, Reason, Run, RunState, Status};

/// A transition that happened, for the run's history.
#[derive(Debug)]
pub(super) struct Step {
    /// Verb.
    pub(super) event: &'static str,
    /// Who did it.
    pub(super) actor: String,
    /// Anything worth knowing.
    pub(super) detail: Value,
}

impl Step {
    fn new(event: &'static str, actor: &str) -> Self {
        Self { event, actor: actor.to_owned(), detail: detail([]) }
    }

    fn because(event: &'static str, actor: &str, reason: Reason) -> Self {
        Self { detail: detail([("reason", Some(json!(reason)))]), ..Self::new(event, actor) }
    }
}

/// A new run, and the first step of its history.
pub(super) fn submitted(new: &NewRun, now: Timestamp) -> (Run, Step) {
    let run = Run {
        id: new.id.clone(),
        submission: new.submission.clone(),
        state: RunState::Queued { available_at: now },
        status_reason: None,
        error: None,
        attempt: 0,
        max_attempts: new.max_attempts,
        fence: Fence(0),
        version: 1,
        submitted_at: now,
        started_at: None,
        announced_at: new.announced.then_some(now),
        announce_count: u32::from(new.announced),
        cancel_requested_at: None,
        progress: 0.0,
        progress_note: None,
        engine_version: None,
    };
    (run, Step::new("submitted", "api"))
}

/// Takes the lease of a queued run that is due, or of a running one whose lease is over.
pub(super) fn claim(run: &mut Run, claimant: &Claimant, now: Timestamp) -> Option<Step> {
    let (due, taken_from) = match &run.state {
        RunState::Queued { available_at } => (*available_at <= now, None),
        RunState::Running { lease, .. } => (lease.expires_at <= now, Some(lease.owner.clone())),
        _ => (false, None),
    };
    if !due || run.attempt >= run.max_attempts || run.cancel_requested_at.is_some() {
        return None;
    }
    run.status_reason = taken_from.is_some().then_some(Reason::LeaseLost);
    run.state = RunState::Running {
        lease: Lease {
            owner: claimant.owner.clone(),
            expires_at: now + seconds(claimant.lease_seconds),
            heartbeat_at: now,
            deadline_at: now + seconds(claimant.timeout_seconds),
        },
        started_at: now,
    };
    run.started_at = Some(now);
    run.attempt += 1;
    run.fence = Fence(run.fence.0 + 1);
    run.engine_version = Some(claimant.engine_version.clone());
    (run.progress, run.progress_note) = (0.0, None);
    run.version += 1;
    let event = if taken_from.is_some() { "taken_over" } else { "claimed" };
    let from = detail([("from", taken_from.map(Value::from))]);
    Some(Step { detail: from, ..Step::new(event, &claimant.owner) })
}

/// Renews the lease; a beat is no step of the history. Answers whether a cancel was asked for.
pub(super) fn beat(
    run: &mut Run,
    fence: Fence,
    lease_seconds: f64,
    progress: &Progress,
    now: Timestamp,
) -> Option<bool> {
    let RunState::Running { lease, .. } = &mut run.state else { return None };
    if run.fence != fence {
        return None;
    }
    lease.expires_at = now + seconds(lease_seconds);
    lease.heartbeat_at = now;
    run.progress = run.progress.max(progress.share.clamp(0.0, 1.0));
    if let Some(note) = &progress.note {
        run.progress_note = Some(note.clone());
    }
    Some(run.cancel_requested_at.is_some())
}

/// Ends the attempt. A retry that is not allowed becomes what it would end in: the cancel or the failure.
pub(super) fn finish(
    run: &mut Run,
    fence: Fence,
    owner: &str,
    ending: &Ending,
    now: Timestamp,
) -> Option<Step> {
    if run.fence != fence || run.state.status() != Status::Running {
        return None;
    }
    let canceled = |run: &mut Run| {
        end(run, RunState::Canceled { ended_at: now }, Some(Reason::CanceledByUser));
        Step::new("canceled", owner)
    };
    let failed = |run: &mut Run, reason: Reason, error: &str| {
        let state = RunState::Failed { ended_at: now, reason, error: error.to_owned() };
        end(run, state, Some(reason));
        run.error = Some(error.to_owned());
        Step::because("failed", owner, reason)
    };
    Some(match ending {
        Ending::Complete(publication) => {
            let manifest = json!(publication.manifest_sha256);
            end(run, RunState::Completed { ended_at: now, publication: (**publication).clone() }, None);
            (run.error, run.progress) = (None, 1.0);
            Step { detail: detail([("manifest_sha256", Some(manifest))]), ..Step::new("completed", owner) }
        }
        Ending::Fail { reason, error } => failed(run, *reason, error),
        Ending::AcknowledgeCancel => canceled(run),
        Ending::RetryLater { .. } if run.cancel_requested_at.is_some() => canceled(run),
        Ending::RetryLater { reason, error, .. } if run.attempt >= run.max_attempts => {
            failed(run, *reason, error)
        }
        Ending::RetryLater { reason, error, delay_seconds } => {
            end(run, RunState::Queued { available_at: now + seconds(*delay_seconds) }, Some(*reason));
            (run.error, run.progress) = (Some(error.clone()), 0.0);
            Step::because("retry_scheduled", owner, *reason)
        }
    })
}

/// Cancels a queued run at once and asks a running one to stop.
pub(super) fn request_cancel(run: &mut Run, actor: &str, now: Timestamp) -> Option<Step> {
    match run.state {
        RunState::Queued { .. } => {
            run.cancel_requested_at = Some(now);
            end(run, RunState::Canceled { ended_at: now }, Some(Reason::CanceledByUser));
            Some(Step::new("canceled", actor))
        }
        RunState::Running { .. } if run.cancel_requested_at.is_none() => {
            run.cancel_requested_at = Some(now);
            run.version += 1;
            Some(Step::new("cancel_requested", actor))
        }
        _ => None,
    }
}

/// Marks a run that nobody holds as announced.
pub(super) fn announce(run: &mut Run, actor: &str, now: Timestamp) -> Option<Step> {
    let free = match &run.state {
        RunState::Queued { .. } => true,
        RunState::Running { lease, .. } => lease.expires_at <= now,
        _ => false,
    };
    if !free {
        return None;
    }
    run.announced_at = Some(now);
    run.announce_count += 1;
    run.version += 1;
    Some(Step::new("announced", actor))
}

/// Ends a run that is not final, whoever holds it; the higher fence shuts its holder out.
pub(super) fn give_up(
    run: &mut Run,
    (status, reason, error): (Status, Reason, Option<&str>),
    actor: &str,
    now: Timestamp,
) -> Option<Step> {
    if run.state.status().is_final() {
        return None;
    }
    if let Some(error) = error {
        run.error = Some(error.to_owned());
    }
    let (state, event) = if status == Status::Canceled {
        (RunState::Canceled { ended_at: now }, "canceled")
    } else {
        let error = run.error.clone().unwrap_or_default();
        (RunState::Failed { ended_at: now, reason, error }, "failed")
    };
    end(run, state, Some(reason));
    run.fence = Fence(run.fence.0 + 1);
    Some(Step::because(event, actor, reason))
}

/// Whether a run is still as it was seen: no transition, no beat.
pub(super) fn is_as_seen(run: &Run, seen: &Run) -> bool {
    let lease_end = |run: &Run| match &run.state {
        RunState::Running { lease, .. } => Some(lease.expires_at),
        _ => None,
    };
    run.version == seen.version && lease_end(run) == lease_end(seen)
}

fn end(run: &mut Run, state: RunState, reason: Option<Reason>) {
    run.state = state;
    run.status_reason = reason;
    run.progress_note = None;
    run.version += 1;
}

fn seconds(seconds: f64) -> Duration {
    Duration::milliseconds((seconds * 1000.0) as i64)
}
