//! Run records behind one trait. A verb is one guarded transition: it either happens as a whole, with its event,
//! or it answers that somebody else was faster. Every guard uses the store's own time, and an executor's writes
//! are guarded by fence alone.

pub mod adls;
pub mod postgres;
pub mod sqlite;
mod transition;

use async_trait::async_trait;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::run::{
    Fence, GiveUp, Publication, Reason, Run, RunEvent, RunId, Status, Submission, Verdict, Wake,
};

/// Remembers runs. One conformance suite describes all implementations.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Stores a new run as queued, unless its id or idempotency key is taken.
    async fn insert(&self, run: &NewRun) -> Result<Inserted, StoreError>;

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

    /// Ends the attempt.
    async fn finish(&self, held: &HeldLease, ending: &Ending) -> Result<Finish, StoreError>;

    /// Cancels a queued run at once and asks a running one to stop.
    async fn request_cancel(&self, id: &RunId, actor: &str) -> Result<Cancel, StoreError>;

    /// Marks the run as announced if a wake-up is due; exactly one caller per back-off gets `true` and sends it.
    async fn announce(&self, id: &RunId) -> Result<bool, StoreError>;

    /// Runs that may need something from reconcile, with the store's time; at most `limit`.
    async fn overdue(&self, limit: usize) -> Result<Overdue, StoreError>;

    /// How much waits and runs.
    async fn tally(&self) -> Result<Tally, StoreError>;

    /// Applies verdicts to rows that are still as they were seen; answers which ids were announced.
    async fn settle(&self, verdicts: &[Settlement]) -> Result<Settled, StoreError>;

    /// Fails a run that is not final, whoever holds it: the last resort for a poisoned message.
    async fn give_up(&self, id: &RunId, reason: Reason, error: &str) -> Result<bool, StoreError>;

    /// Whether the store can be used, and what it is.
    async fn ping(&self) -> Result<StoreHealth, StoreError>;
}

/// A run to be stored.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// What was asked for.
    pub submission: Submission,
    /// Claims allowed.
    pub max_attempts: u32,
    /// Whether the caller sends the wake-up message itself.
    pub announced: bool,
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

/// Who wants a lease, and on what terms.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Unique per claim.
    pub owner: String,
    /// Length of the lease.
    pub lease_seconds: f64,
    /// Wall time of the attempt.
    pub timeout_seconds: f64,
    /// Version of the engine that will run it.
    pub engine_version: String,
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The lease is ours.
    Claimed(Box<Claimed>),
    /// Nothing to do now: somebody holds it, it is not due, or it ended.
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

/// Proof of a lease: every write of an executor names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    /// The run.
    pub run_id: RunId,
    /// The fence of this claim.
    pub fence: Fence,
    /// The owner of this claim.
    pub owner: String,
    /// How far a beat moves the end of the lease.
    pub lease_millis: u64,
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
        /// Somebody asked for a cancel.
        cancel_requested: bool,
    },
    /// The run is not ours any more.
    Lost,
}

/// How an attempt ends.
#[derive(Debug, Clone)]
pub enum Ending {
    /// With a result. This write is the publication.
    Complete(Box<Publication>),
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
        /// Not before this many seconds from now.
        delay_seconds: f64,
    },
    /// As somebody asked.
    AcknowledgeCancel,
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
    Asked(Box<Run>),
    /// It ended otherwise before.
    Ended(Box<Run>),
    /// No such run.
    Unknown,
}

/// How much waits and runs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Runs that wait.
    pub queued: u32,
    /// Runs that are held.
    pub running: u32,
    /// How long the run has waited that could have been claimed first; 0 without one.
    pub oldest_due_seconds: f64,
}

/// Runs that may need something.
#[derive(Debug)]
pub struct Overdue {
    /// The store's time when the rows were read; without rows it says nothing.
    pub now: Timestamp,
    /// The rows.
    pub runs: Vec<Run>,
}

/// A verdict on a row as it was seen.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The run as it was seen.
    pub run: Run,
    /// What is due.
    pub verdict: Verdict,
}

/// What settling did.
#[derive(Debug, Default)]
pub struct Settled {
    /// Wake-up messages that the caller must send.
    pub announced: Vec<Wake>,
    /// Runs that ended, with the reason.
    pub ended: Vec<(RunId, Reason)>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
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
    /// Only rows after this one in list order.
    pub after: Option<Position>,
    /// Rows of a page.
    pub limit: usize,
}

/// A place in the list order: newest `submitted_at` first, then greatest id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Of the last row seen.
    pub submitted_at: Timestamp,
    /// Of the last row seen.
    pub run_id: RunId,
}

/// A page of runs.
#[derive(Debug)]
pub struct Page {
    /// Newest first.
    pub runs: Vec<Run>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Position>,
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

/// Status, reason and message of a run that reconcile ends.
pub(crate) fn ending_of(how: GiveUp, run: &Run) -> (Status, Reason, Option<String>) {
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

/// Detail of an event as JSON, built from the pairs that are present.
pub(crate) fn detail<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Value {
    pairs.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_owned(), value))).collect()
}
