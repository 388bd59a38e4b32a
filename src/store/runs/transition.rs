//! What each verb asks of a run and does to it, for the stores that keep whole records: the guards of the run protocol as
//! plain functions of a run and the store's time. They decide; the store reads before and writes after.

use serde_json::{Value, json};

use super::{
    Amend, Beat, Cancel, Change, Claim, Claimant, Claimed, Ending, Finish, HeldLease, NewRun, Progress,
    Repair,
};
use crate::clock::Timestamp;
use crate::run::{Deletion, Fence, GiveUp, Labels, Lease, Reason, Run, RunState, Status, Verdict, decide};

/// What a look at a run leads to.
#[derive(Debug)]
pub(super) enum Decision<T> {
    /// An answer, and nothing to write: the guard does not hold.
    Leave(T),
    /// The run as it is now must be written, with the step that changed it unless it was a beat.
    Write(Option<Step>, T),
}

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
        Self::with(event, actor, json!({}))
    }

    fn with(event: &'static str, actor: &str, detail: Value) -> Self {
        Self { event, actor: actor.to_owned(), detail }
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
        labels: Labels::default(),
    };
    (run, Step::new("submitted", "api"))
}

/// Takes the lease of a queued run that is due, or of a running one whose lease is over.
pub(super) fn claim(run: &mut Run, claimant: &Claimant, now: Timestamp) -> Decision<Claim> {
    let (due, taken_from) = match &run.state {
        RunState::Queued { available_at } => (*available_at <= now, None),
        RunState::Running { lease, .. } => (lease.expires_at <= now, Some(lease.owner.clone())),
        _ => (false, None),
    };
    if !due || run.attempt >= run.max_attempts || run.cancel_requested_at.is_some() {
        return Decision::Leave(Claim::NotNow(run.state.status()));
    }
    run.status_reason = taken_from.is_some().then_some(Reason::LeaseLost);
    run.state = RunState::Running {
        lease: Lease {
            owner: claimant.owner.clone(),
            expires_at: now + claimant.lease,
            heartbeat_at: now,
            deadline_at: now + claimant.timeout,
        },
        started_at: now,
    };
    run.started_at = Some(now);
    run.attempt += 1;
    run.fence = Fence(run.fence.0 + 1);
    run.engine_version = Some(claimant.engine_version.clone());
    (run.progress, run.progress_note) = (0.0, None);
    run.version += 1;
    let step = match &taken_from {
        Some(owner) => Step::with("taken_over", &claimant.owner, json!({ "from": owner })),
        None => Step::new("claimed", &claimant.owner),
    };
    let claimed = Claimed::new(run.clone(), claimant, taken_from);
    Decision::Write(Some(step), Claim::Claimed(Box::new(claimed)))
}

/// Renews the lease; a beat does not enter the history.
pub(super) fn beat(run: &mut Run, held: &HeldLease, progress: &Progress, now: Timestamp) -> Decision<Beat> {
    let lease = match &mut run.state {
        RunState::Running { lease, .. } if run.fence == held.fence => lease,
        _ => return Decision::Leave(Beat::Lost),
    };
    lease.expires_at = now + held.length;
    lease.heartbeat_at = now;
    run.progress = run.progress.max(progress.share.clamp(0.0, 1.0));
    if let Some(note) = &progress.note {
        run.progress_note = Some(note.clone());
    }
    Decision::Write(None, Beat::Held { cancel_requested: run.cancel_requested_at.is_some() })
}

/// Ends the attempt. A retry that is not allowed becomes what it would end in: the cancel or the failure.
pub(super) fn finish(run: &mut Run, held: &HeldLease, ending: &Ending, now: Timestamp) -> Decision<Finish> {
    if run.fence != held.fence || run.state.status() != Status::Running {
        return Decision::Leave(Finish::Lost);
    }
    let owner = held.owner.as_str();
    let canceled = |run: &mut Run| {
        end(run, RunState::Canceled { ended_at: now }, Some(Reason::CanceledByUser));
        Step::new("canceled", owner)
    };
    let failed = |run: &mut Run, reason: Reason, error: &str| {
        let state = RunState::Failed { ended_at: now, reason, error: error.to_owned() };
        end(run, state, Some(reason));
        run.error = Some(error.to_owned());
        Step::with("failed", owner, json!({ "reason": reason }))
    };
    let step = match ending {
        Ending::Complete { publication, .. } => {
            let detail = json!({ "manifest_sha256": publication.manifest_sha256 });
            end(run, RunState::Completed { ended_at: now, publication: (**publication).clone() }, None);
            (run.error, run.progress) = (None, 1.0);
            Step::with("completed", owner, detail)
        }
        Ending::Fail { reason, error } => failed(run, *reason, error),
        Ending::AcknowledgeCancel => canceled(run),
        Ending::RetryLater { .. } if run.cancel_requested_at.is_some() => canceled(run),
        Ending::RetryLater { reason, error, .. } if run.attempt >= run.max_attempts => {
            failed(run, *reason, error)
        }
        Ending::RetryLater { reason, error, delay } => {
            end(run, RunState::Queued { available_at: now + *delay }, Some(*reason));
            (run.error, run.progress) = (Some(error.clone()), 0.0);
            Step::with("retry_scheduled", owner, json!({ "reason": reason }))
        }
    };
    Decision::Write(Some(step), Finish::Done(run.state.status()))
}

/// Cancels a queued run at once and asks a running one to stop.
pub(super) fn request_cancel(run: &mut Run, actor: &str, now: Timestamp) -> Decision<Cancel> {
    match run.state {
        RunState::Queued { .. } => {
            run.cancel_requested_at = Some(now);
            end(run, RunState::Canceled { ended_at: now }, Some(Reason::CanceledByUser));
            Decision::Write(Some(Step::new("canceled", actor)), Cancel::of(run.clone(), true))
        }
        RunState::Running { .. } if run.cancel_requested_at.is_none() => {
            run.cancel_requested_at = Some(now);
            run.version += 1;
            Decision::Write(Some(Step::new("cancel_requested", actor)), Cancel::of(run.clone(), false))
        }
        _ => Decision::Leave(Cancel::of(run.clone(), false)),
    }
}

/// Adds a line to the history of a run.
pub(super) fn remark(run: &mut Run, event: &'static str, detail: &Value, actor: &str) -> Decision<bool> {
    run.version += 1;
    Decision::Write(Some(Step::with(event, actor, detail.clone())), true)
}

/// Changes what people note on a run.
pub(super) fn amend(
    run: &mut Run,
    seen: i64,
    change: &Change,
    actor: &str,
    now: Timestamp,
) -> Decision<Amend> {
    let ended = run.state.status().is_final();
    if run.version != seen || run.labels.deleted.is_some() || (change.deleted && !ended) {
        return Decision::Leave(Amend::refused(run.clone(), seen, change));
    }
    let (event, detail) = change.told();
    run.submission.run_name.clone_from(&change.run_name);
    run.labels = Labels {
        tags: change.tags.clone(),
        note: change.note.clone(),
        archived_at: change.archived.then(|| run.labels.archived_at.unwrap_or(now)),
        deleted: change.deleted.then(|| Deletion { at: now, by: actor.to_owned() }),
    };
    run.version += 1;
    Decision::Write(Some(Step::with(event, actor, detail)), Amend::Done(Box::new(run.clone())))
}

/// Marks the run as announced if a wake-up is due.
pub(super) fn announce(run: &mut Run, now: Timestamp) -> Decision<bool> {
    match decide(run, now) {
        Verdict::Announce => mark_announced(run, "api", now),
        _ => Decision::Leave(false),
    }
}

/// Carries out what is due for a run that is still as it was seen: no transition since, no beat.
pub(super) fn repair(
    run: &mut Run,
    Repair { run: seen, verdict }: &Repair,
    now: Timestamp,
) -> Decision<bool> {
    let lease_end = |run: &Run| match &run.state {
        RunState::Running { lease, .. } => Some(lease.expires_at),
        _ => None,
    };
    if run.version != seen.version || lease_end(run) != lease_end(seen) {
        return Decision::Leave(false);
    }
    match verdict {
        Verdict::Leave => Decision::Leave(false),
        Verdict::Announce => mark_announced(run, "reconcile", now),
        Verdict::GiveUp(how) => end_unattended(run, ending_of(*how, seen), "reconcile", now),
    }
}

/// Fails a run that is not final, also one that is held.
pub(super) fn give_up(run: &mut Run, reason: Reason, error: &str, now: Timestamp) -> Decision<bool> {
    end_unattended(run, (Status::Failed, reason, Some(error.to_owned())), "queue", now)
}

/// Status, reason and message of a run that reconcile ends.
pub(super) fn ending_of(how: GiveUp, run: &Run) -> (Status, Reason, Option<String>) {
    match how {
        GiveUp::Canceled => (Status::Canceled, Reason::CanceledByUser, None),
        GiveUp::TimedOut => {
            (Status::Failed, Reason::Timeout, Some("the run used up its wall time".to_owned()))
        }
        GiveUp::Exhausted => {
            let last = run.error.as_deref().unwrap_or("its executor disappeared");
            let error = format!("gave up after {} attempts; last: {last}", run.attempt);
            (Status::Failed, Reason::AttemptsExhausted, Some(error))
        }
    }
}

/// Marks a run as announced, unless it is held.
fn mark_announced(run: &mut Run, actor: &str, now: Timestamp) -> Decision<bool> {
    let free = match &run.state {
        RunState::Queued { .. } => true,
        RunState::Running { lease, .. } => lease.expires_at <= now,
        _ => false,
    };
    if !free {
        return Decision::Leave(false);
    }
    run.announced_at = Some(now);
    run.announce_count += 1;
    run.version += 1;
    Decision::Write(Some(Step::new("announced", actor)), true)
}

/// Ends a run that is not final; the higher fence shuts out an executor that still holds it.
fn end_unattended(
    run: &mut Run,
    (status, reason, error): (Status, Reason, Option<String>),
    actor: &str,
    now: Timestamp,
) -> Decision<bool> {
    if run.state.status().is_final() {
        return Decision::Leave(false);
    }
    run.error = error.or(run.error.take());
    let (state, event) = if status == Status::Canceled {
        (RunState::Canceled { ended_at: now }, "canceled")
    } else {
        let error = run.error.clone().unwrap_or_default();
        (RunState::Failed { ended_at: now, reason, error }, "failed")
    };
    end(run, state, Some(reason));
    run.fence = Fence(run.fence.0 + 1);
    Decision::Write(Some(Step::with(event, actor, json!({ "reason": reason }))), true)
}

fn end(run: &mut Run, state: RunState, reason: Option<Reason>) {
    run.state = state;
    run.status_reason = reason;
    run.progress_note = None;
    run.version += 1;
}
