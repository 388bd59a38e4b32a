//! Run records behind one trait. A verb is one guarded transition: it either happens as a whole, with its event,
//! or it answers that another writer was faster. Every guard uses the store's own time, and an executor's writes
//! are guarded by fence alone. The guards are written twice: in `transition` for the stores that keep whole records
//! (sqlite, adls), and as SQL statements for Postgres.

pub mod adls;
pub mod ledger;
pub mod postgres;
pub mod schedule;
pub mod sqlite;
mod transition;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use self::ledger::{Experiment, Tried};
use self::schedule::{Look, NewSchedule, Schedule, ScheduleName, Schedules};
use crate::clock::Timestamp;
use crate::run::{
    Fence, Kind, PartOf, Publication, Reason, Run, RunEvent, RunId, Status, Submission, Verdict, Wake,
};

/// Remembers runs. One conformance suite describes all implementations.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Stores a new run as queued, unless its id or idempotency key is taken.
    async fn insert(&self, run: &NewRun) -> Result<Inserted, StoreError>;

    /// Stores a study with its parts, all of them or none. A study is not claimed, nor announced, while one of its parts is
    /// open. Parts have the ids of [`RunId::of_part`].
    async fn insert_study(&self, study: &NewRun, parts: &[NewPart]) -> Result<Inserted, StoreError>;

    /// The parts of a study, in order.
    async fn parts(&self, study: &RunId) -> Result<Vec<Run>, StoreError>;

    /// One run, or `None`.
    async fn get(&self, id: &RunId) -> Result<Option<Run>, StoreError>;

    /// Runs newest first.
    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError>;

    /// History of a run, oldest first; empty for an unknown run.
    async fn events(&self, id: &RunId) -> Result<Vec<RunEvent>, StoreError>;

    /// Takes the lease of a queued run that is due, or of a running one whose lease is over.
    async fn claim(&self, id: &RunId, claimant: &Claimant) -> Result<Claim, StoreError>;

    /// Renews the lease and reports progress.
    async fn beat(&self, held: &HeldLease, progress: &Progress) -> Result<Beat, StoreError>;

    /// Counts what the holder of a part has tried under the experiment of its study. What was counted before, by whomever,
    /// stays as it is. A store without a ledger counts nothing, nor does one whose lease is lost.
    async fn count(&self, held: &HeldLease, tried: &[Tried]) -> Result<(), StoreError>;

    /// What was counted under each experiment, or under one, by name. `None` where records are kept without a ledger.
    async fn experiments(&self, name: Option<&str>) -> Result<Option<Vec<Experiment>>, StoreError>;

    /// Ends the attempt; a completed run is counted under its experiment by the same write.
    async fn finish(&self, held: &HeldLease, ending: &Ending) -> Result<Finish, StoreError>;

    /// Cancels a queued run at once and asks a running one to stop; a study with all its parts.
    async fn request_cancel(&self, id: &RunId, actor: &str) -> Result<Cancel, StoreError>;

    /// Changes what people note on a run that is still as it was `seen`: its version then. A run that has not ended cannot
    /// be deleted, a deleted one not be changed.
    async fn amend(&self, id: &RunId, seen: i64, change: &Change, actor: &str) -> Result<Amend, StoreError>;

    /// Marks the run as announced if a wake-up is due; exactly one caller per back-off gets `true` and sends it.
    async fn announce(&self, id: &RunId) -> Result<bool, StoreError>;

    /// Runs that may need something from reconcile, with the store's time; at most `limit`.
    async fn overdue(&self, limit: usize) -> Result<Overdue, StoreError>;

    /// How many runs wait and run.
    async fn backlog(&self) -> Result<Backlog, StoreError>;

    /// Carries out what is due for runs that are still as they were seen; answers what it did.
    async fn repair(&self, repairs: &[Repair]) -> Result<Repaired, StoreError>;

    /// Fails a run that is not final, also one that is held: the last resort for a poisoned message.
    async fn give_up(&self, id: &RunId, reason: Reason, error: &str) -> Result<bool, StoreError>;

    /// Adds a line to the history of a run for what happened beside its transitions; `false` for an unknown run.
    async fn remark(
        &self,
        id: &RunId,
        event: &'static str,
        detail: &Value,
        actor: &str,
    ) -> Result<bool, StoreError>;

    /// The schedules, or the one of a name.
    async fn schedules(&self, name: Option<&ScheduleName>) -> Result<Schedules, StoreError>;

    /// Stores a schedule, and whether it is new: one of its name makes room for it, and what that has run stays with it.
    async fn put_schedule(&self, new: &NewSchedule) -> Result<(Schedule, bool), StoreError>;

    /// Notes what came of a look at a schedule that is still as it was `seen`: of many instances that look at once, one does.
    async fn note_look(&self, seen: &Schedule, look: &Look) -> Result<bool, StoreError>;

    /// Removes a schedule; `false` if there was none of this name. Its runs stay.
    async fn delete_schedule(&self, name: &ScheduleName) -> Result<bool, StoreError>;

    /// Whether the store can be used, and what it is.
    async fn ping(&self) -> Result<StoreHealth, StoreError>;
}

/// A run to be stored.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Id of the run that is stored.
    pub id: RunId,
    /// What was asked for.
    pub submission: Submission,
    /// Claims allowed.
    pub max_attempts: u32,
    /// Whether the caller sends the wake-up message itself.
    pub announced: bool,
}

/// A part of a study to be stored.
#[derive(Debug, Clone)]
pub struct NewPart {
    /// Id of the part.
    pub id: RunId,
    /// Which trials it evaluates, as JSON.
    pub config_json: String,
    /// How many trials the part evaluates.
    pub trials: u32,
}

impl NewPart {
    /// Part `number` of `study` as a run of its own.
    fn of(&self, study: &NewRun, number: u32) -> NewRun {
        NewRun {
            id: self.id.clone(),
            submission: Submission {
                kind: Kind::Part,
                part_of: Some(PartOf { study: study.id.clone(), part: number }),
                config_json: self.config_json.clone(),
                effective_config_json: self.config_json.clone(),
                trials: Some(self.trials),
                idempotency_key: None,
                parent_run_id: None,
                ..study.submission.clone()
            },
            max_attempts: study.max_attempts,
            announced: study.announced,
        }
    }
}

/// What became of an insert.
#[derive(Debug)]
pub enum Inserted {
    /// A new row.
    Created(Box<Run>),
    /// The idempotency key came before with the same request: that run, as it is now.
    Replayed(Box<Run>),
    /// The idempotency key came before with another request.
    KeyReused,
    /// The id is taken.
    IdTaken,
}

impl Inserted {
    /// The answer when a row was in the way: `owner` is the run that has the key of `new`, if there is one.
    fn refused(new: &NewRun, owner: Option<Run>) -> Self {
        match owner {
            Some(run) if run.submission.request_sha256 == new.submission.request_sha256 => {
                Self::Replayed(Box::new(run))
            }
            Some(_) => Self::KeyReused,
            None => Self::IdTaken,
        }
    }
}

/// Who wants a lease, and on what terms.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Unique per claim.
    pub owner: String,
    /// Length of the lease.
    pub lease: Duration,
    /// Wall time of the attempt.
    pub timeout: Duration,
    /// Version of the engine that will run it.
    pub engine_version: String,
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The lease is ours.
    Claimed(Box<Claimed>),
    /// Nothing to do now: it is held, not due, or ended.
    NotNow(Status),
    /// No such run.
    Unknown,
}

/// A claim that succeeded.
#[derive(Debug)]
pub struct Claimed {
    /// The run after the claim.
    pub run: Run,
    /// Proof for every later write.
    pub lease: HeldLease,
    /// The owner whose lease was over, when this was a take-over.
    pub taken_from: Option<String>,
}

impl Claimed {
    /// What `claimant` got: the run after the claim.
    fn new(run: Run, claimant: &Claimant, taken_from: Option<String>) -> Self {
        let lease = HeldLease {
            run_id: run.id.clone(),
            fence: run.fence,
            owner: claimant.owner.clone(),
            length: claimant.lease,
        };
        Self { run, lease, taken_from }
    }
}

/// Proof of a lease: every write of an executor names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    /// Run that is leased.
    pub run_id: RunId,
    /// The fence of this claim.
    pub fence: Fence,
    /// The owner of this claim.
    pub owner: String,
    /// How far from now a beat moves the end of the lease.
    pub length: Duration,
}

/// How far an attempt is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// `0.0..=1.0`.
    pub share: f64,
    /// For a person.
    pub note: Option<String>,
}

/// What became of a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The lease is renewed.
    Held {
        /// Whether a cancel was asked for.
        cancel_requested: bool,
    },
    /// The run is not ours any more.
    Lost,
}

/// How an attempt ends.
#[derive(Debug, Clone)]
pub enum Ending {
    /// With a result. This write is the publication.
    Complete {
        /// The result.
        publication: Box<Publication>,
        /// What is counted, where the run belongs to an experiment.
        tried: Option<Box<Tried>>,
    },
    /// Without, for good.
    Fail {
        /// Which class.
        reason: Reason,
        /// For a person.
        error: String,
    },
    /// Without, but another attempt may do better; fails for good when none is left.
    RetryLater {
        /// Which class.
        reason: Reason,
        /// For a person.
        error: String,
        /// Time from now before which it is not claimed.
        delay: Duration,
    },
    /// As the cancel asked.
    AcknowledgeCancel,
}

impl From<Publication> for Ending {
    /// With a result that no experiment counts.
    fn from(publication: Publication) -> Self {
        Self::Complete { publication: Box::new(publication), tried: None }
    }
}

/// What became of a finish.
#[derive(Debug)]
pub enum Finish {
    /// The row says so now.
    Done(Status),
    /// The run is not ours any more; the row is left alone.
    Lost,
}

/// What became of a cancel.
#[derive(Debug)]
pub enum Cancel {
    /// Final: canceled now.
    Canceled(Box<Run>),
    /// Final: it was canceled before.
    Before(Box<Run>),
    /// The executor was asked.
    Requested(Box<Run>),
    /// It ended otherwise before.
    Ended(Box<Run>),
    /// No such run.
    Unknown,
}

impl Cancel {
    /// The answer that belongs to a run after the request; `ended` says whether this request ended it.
    fn of(run: Run, ended: bool) -> Self {
        let status = run.state.status();
        let run = Box::new(run);
        match status {
            Status::Canceled if ended => Self::Canceled(run),
            Status::Canceled => Self::Before(run),
            Status::Queued | Status::Running => Self::Requested(run),
            Status::Completed | Status::Failed => Self::Ended(run),
        }
    }
}

/// What people note on a run, as it is to be from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What it is called.
    pub run_name: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Plain text.
    pub note: Option<String>,
    /// Whether lists leave it out.
    pub archived: bool,
    /// Whether it is deleted; that is for good.
    pub deleted: bool,
}

impl Change {
    /// What is noted on a run now.
    pub fn of(run: &Run) -> Self {
        Self {
            run_name: run.submission.run_name.clone(),
            tags: run.labels.tags.clone(),
            note: run.labels.note.clone(),
            archived: run.labels.archived_at.is_some(),
            deleted: run.labels.deleted.is_some(),
        }
    }

    /// The event's name, and what of it is worth knowing: not the note, which may be long.
    fn told(&self) -> (&'static str, Value) {
        let event = if self.deleted { "deleted" } else { "amended" };
        (event, json!({ "run_name": self.run_name, "tags": self.tags, "archived": self.archived }))
    }
}

/// What became of a change.
#[derive(Debug)]
pub enum Amend {
    /// The run as it is now.
    Done(Box<Run>),
    /// Another writer was faster: the run as it is.
    Stale(Box<Run>),
    /// It must end before it can be deleted.
    NotEnded(Box<Run>),
    /// It was deleted before.
    Deleted(Box<Run>),
    /// No such run.
    Unknown,
}

impl Amend {
    /// Why `change` was not made to a run that was seen as of a version.
    fn refused(run: Run, seen: i64, change: &Change) -> Self {
        let run = Box::new(run);
        if run.labels.deleted.is_some() {
            Self::Deleted(run)
        } else if run.version != seen || !change.deleted {
            Self::Stale(run)
        } else {
            Self::NotEnded(run)
        }
    }
}

/// How many runs wait and run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Runs that wait.
    pub queued: u32,
    /// Runs that are held.
    pub running: u32,
    /// How long the run has waited that could have been claimed first; zero without one.
    pub oldest_due: Duration,
}

/// Runs that may need something.
#[derive(Debug)]
pub struct Overdue {
    /// The store's time when the rows were read; without rows it says nothing.
    pub now: Timestamp,
    /// The rows.
    pub runs: Vec<Run>,
}

/// What is due for a run as it was seen.
#[derive(Debug, Clone)]
pub struct Repair {
    /// The run as it was seen.
    pub run: Run,
    /// What is due.
    pub verdict: Verdict,
}

/// What repairs did.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Wake-up messages that the caller must send.
    pub announced: Vec<Wake>,
    /// Runs that ended, with the reason.
    pub ended: Vec<(RunId, Reason)>,
}

impl Repaired {
    /// What was done although something failed: what was announced counts as sent, so it must be sent. The failure, when
    /// nothing was done.
    fn or<E>(self, failure: Option<E>, words: impl FnOnce(&E) -> String) -> Result<Self, E> {
        match failure {
            Some(error) if self.announced.is_empty() && self.ended.is_empty() => Err(error),
            Some(error) => {
                let words = words(&error);
                tracing::warn!(error = words, "could not repair all that is overdue; the next round goes on");
                Ok(self)
            }
            None => Ok(self),
        }
    }

    /// Notes a repair that was carried out.
    fn note(&mut self, Repair { run, verdict }: &Repair) {
        match verdict {
            Verdict::Leave => {}
            Verdict::Announce => self.announced.push(Wake::of(run)),
            Verdict::GiveUp(how) => self.ended.push((run.id.clone(), transition::ending_of(*how, run).1)),
        }
    }
}

/// Which runs to list. Deleted ones are not among them.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Any of these; empty means those of [`Kind::LISTED`].
    pub kinds: Vec<Kind>,
    /// Any of these; empty means all.
    pub statuses: Vec<Status>,
    /// Literal substring of id or name, without regard to ASCII case.
    pub text: Option<String>,
    /// Submitted after this moment.
    pub submitted_after: Option<Timestamp>,
    /// Submitted before this moment.
    pub submitted_before: Option<Timestamp>,
    /// Exactly this caller.
    pub submitted_by: Option<String>,
    /// Exactly these results.
    pub results_sha256: Option<String>,
    /// Exactly this config, data and engine.
    pub fingerprint: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Whether put away; `None` means either.
    pub archived: Option<bool>,
    /// Only rows after this one in list order.
    pub after: Option<Position>,
    /// Rows of a page.
    pub limit: usize,
}

impl ListQuery {
    /// The kinds that are listed.
    fn kinds(&self) -> &[Kind] {
        if self.kinds.is_empty() { &Kind::LISTED } else { &self.kinds }
    }
}

/// A place in the list order: newest `submitted_at` first, then greatest id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Of the last row seen.
    pub submitted_at: Timestamp,
    /// Of the last row seen.
    pub run_id: RunId,
}

impl Position {
    /// The place of a run.
    fn of(run: &Run) -> Self {
        Self { submitted_at: run.submitted_at, run_id: run.id.clone() }
    }
}

/// A page of runs.
#[derive(Debug)]
pub struct Page {
    /// Newest first.
    pub runs: Vec<Run>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Position>,
}

impl Page {
    /// The page of `runs`, of which a store fetches one more than `limit` to learn whether there is a next page.
    fn of(mut runs: Vec<Run>, limit: usize) -> Self {
        let more = runs.len() > limit;
        runs.truncate(limit);
        let next = runs.last().filter(|_| more).map(Position::of);
        Self { runs, next }
    }
}

/// What a store says of itself.
#[derive(Debug, Clone)]
pub struct StoreHealth {
    /// `sqlite`, `adls` or `postgres`.
    pub mode: &'static str,
    /// Schema version, where there is one.
    pub schema_version: Option<i64>,
}

/// A store could not answer. Sources say why; they are for logs, never for callers.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct StoreError {
    /// What was being done.
    pub doing: String,
    /// Whether the same call may succeed later: the store does not answer, or is not set up yet.
    pub retryable: bool,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
