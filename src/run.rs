//! A run and its lawful life: identity, states that carry their facts, fence, lease, and what is due for a run
//! whose executor is gone or was never woken. Nothing here waits, stores or asks the time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::clock::Timestamp;

/// Identity of a run: a letter or digit, then at most 63 letters, digits, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", example = "RUN20260131-0123456789ab")]
pub struct RunId(String);

impl RunId {
    /// A fresh id, `RUN<YYYYMMDD>-<12 hex digits>`, whose date is that of `now`.
    pub fn generate(now: Timestamp) -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self(format!("RUN{}-{}", now.format("%Y%m%d"), &random[..12]))
    }

    /// The id of a part of the study with this id. `None` if that leaves no room for it.
    pub fn of_part(&self, part: u32) -> Option<Self> {
        format!("{self}-p{part:02}").parse().ok()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not a [`RunId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a letter or digit followed by at most 63 letters, digits, '_' or '-'")]
pub struct InvalidRunId;

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, InvalidRunId> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(InvalidRunId) }
    }
}

/// Whether a text is a letter or digit, then at most 63 letters, digits, `_` or `-`: what may stand in a path, a key or the name
/// of a file as it is.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(text: String) -> Result<Self, InvalidRunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

/// Grows with every claim of a run; every write of an executor names the fence it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence(pub i64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The right to execute a run, as the row states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Unique per claim: instance, invocation and a random part.
    pub owner: String,
    /// After this moment another executor may take over; until one does, the owner's writes still count.
    pub expires_at: Timestamp,
    /// Last confirmed beat.
    pub heartbeat_at: Timestamp,
    /// When this attempt has used up its wall time.
    pub deadline_at: Timestamp,
}

/// Where a run is in its life, with what is only true there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RunState {
    /// Waits for an executor, not before `available_at`.
    Queued {
        /// Start of the next attempt, later than now after a failure that is retried.
        available_at: Timestamp,
    },
    /// One executor holds the lease.
    Running {
        /// Who, and until when.
        lease: Lease,
        /// First claim of this attempt.
        started_at: Timestamp,
    },
    /// Published: the artifacts below the prefix are the result.
    Completed {
        /// Moment of publication.
        ended_at: Timestamp,
        /// Its files, and the figures of its list entry.
        publication: Publication,
    },
    /// Ended without a result.
    Failed {
        /// When it was given up.
        ended_at: Timestamp,
        /// Which class of failure.
        reason: Reason,
        /// What a person should know.
        error: String,
    },
    /// Ended because a caller asked for it.
    Canceled {
        /// When the cancel took effect, UTC.
        ended_at: Timestamp,
    },
}

impl RunState {
    /// The state's name as stored and shown.
    pub fn status(&self) -> Status {
        match self {
            Self::Queued { .. } => Status::Queued,
            Self::Running { .. } => Status::Running,
            Self::Completed { .. } => Status::Completed,
            Self::Failed { .. } => Status::Failed,
            Self::Canceled { .. } => Status::Canceled,
        }
    }
}

/// The names of the states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// See [`RunState::Queued`].
    Queued,
    /// See [`RunState::Running`].
    Running,
    /// See [`RunState::Completed`].
    Completed,
    /// See [`RunState::Failed`].
    Failed,
    /// See [`RunState::Canceled`].
    Canceled,
}

impl Status {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Completed, Self::Failed, Self::Canceled];

    /// The name as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of queued, running, completed, failed, canceled")]
pub struct UnknownStatus;

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a run is where it is: a closed list of codes, so that states stay few.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// The code as stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl FromStr for Reason {
            type Err = UnknownReason;

            fn from_str(text: &str) -> Result<Self, UnknownReason> {
                match text { $($text => Ok(Self::$name),)* _ => Err(UnknownReason) }
            }
        }
    };
}

reasons! {
    /// The executor was gone and another one takes over.
    LeaseLost = "lease_lost",
    /// One attempt used up its wall time.
    Timeout = "timeout",
    /// No claim is left.
    AttemptsExhausted = "attempts_exhausted",
    /// The data the config asks for is missing or wrong.
    InvalidData = "invalid_data",
    /// The version of a table that the run is pinned to cannot be read any more.
    DataGone = "data_gone",
    /// A file became another one while it was read.
    DataChanged = "data_changed",
    /// The config cannot be run: an older version accepted it, or it asks to keep more rows than can be kept.
    InvalidConfig = "invalid_config",
    /// A part of the study failed.
    PartFailed = "part_failed",
    /// The strategy cannot decide on this data.
    StrategyFailed = "strategy_failed",
    /// Lake or artifact store did not answer.
    StorageUnavailable = "storage_unavailable",
    /// The engine panicked, which is a fault of this program.
    EnginePanic = "engine_panic",
    /// The queue gave the message up.
    Poison = "poison",
    /// A caller asked for it.
    CanceledByUser = "canceled_by_user",
}

/// A text that names no [`Reason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason code")]
pub struct UnknownReason;

/// Pointers to the result of a completed run; the bulk is in the artifact store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    /// Where the files are.
    pub location: Location,
    /// SHA-256 of the manifest, lower-case hex.
    pub manifest_sha256: String,
    /// The metrics.
    pub summary: Value,
    /// What was read, for example table versions.
    pub data_versions: Value,
    /// SHA-256 over config, data versions and engine version: equal fingerprints mean equal artifacts.
    pub fingerprint: String,
    /// SHA-256 over the files that do not name the run, as in the manifest: equal digests mean equal results. `None` for
    /// runs from before there was one.
    #[serde(default)]
    pub results_sha256: Option<String>,
}

/// Place of a run's artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Location {
    /// A folder.
    Local {
        /// Absolute path of the folder that holds the manifest.
        dir: String,
    },
    /// A prefix in a container of the storage account.
    Adls {
        /// Container name.
        container: String,
        /// Prefix below it, without a trailing slash.
        prefix: String,
    },
}

/// What kind of work a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One config.
    #[default]
    Backtest,
    /// Many configs that differ in parameters; it is executed once all of its parts have ended.
    Study,
    /// Some trials of a study.
    Part,
    /// A backtest again, to see whether the result is the same.
    Reproduction,
    /// A check of data.
    Audit,
}

impl Kind {
    /// Every kind, in the order in which documents name them.
    pub const ALL: [Self; 5] = [Self::Backtest, Self::Study, Self::Part, Self::Reproduction, Self::Audit];

    /// What a list shows unless it is asked for something else: parts belong to their study, audits to their table.
    pub const LISTED: [Self; 3] = [Self::Backtest, Self::Study, Self::Reproduction];

    /// The name as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backtest => "backtest",
            Self::Study => "study",
            Self::Part => "part",
            Self::Reproduction => "reproduction",
            Self::Audit => "audit",
        }
    }
}

/// A text that names no [`Kind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of backtest, study, part, reproduction, audit")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// Which part of which study a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartOf {
    /// Study that the part belongs to.
    pub study: RunId,
    /// Number of the part, from 0.
    pub part: u32,
}

/// What people note on a run; it says nothing about what was run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Labels {
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Plain text.
    pub note: Option<String>,
    /// When it was put away; lists leave it out unless asked.
    pub archived_at: Option<Timestamp>,
    /// When and by whom it was deleted: the row stays as proof that the id is used, its files go.
    pub deleted: Option<Deletion>,
}

/// The end of what a run left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When the files were deleted, UTC.
    pub at: Timestamp,
    /// Sign-in of the person, or the program, that deleted them.
    pub by: String,
}

/// What was asked for; it never changes, except for the name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// Free text of the config, or what it was renamed to since.
    pub run_name: Option<String>,
    /// First trading date asked for, `YYYY-MM-DD`.
    pub start_date: String,
    /// Last trading date asked for, `YYYY-MM-DD`.
    pub end_date: String,
    /// The config as it came, as JSON.
    pub config_json: String,
    /// The config after defaults, as JSON.
    pub effective_config_json: String,
    /// SHA-256 of the effective config.
    pub config_sha256: String,
    /// SHA-256 of the request, compared when an idempotency key comes again.
    pub request_sha256: String,
    /// The caller's key, unique among runs.
    pub idempotency_key: Option<String>,
    /// The caller's name as the platform states it.
    pub submitted_by: Option<String>,
    /// The run that this one repeats.
    pub parent_run_id: Option<RunId>,
    /// W3C trace context of the submit.
    pub traceparent: Option<String>,
    /// What kind of work it is.
    #[serde(default)]
    pub kind: Kind,
    /// For a part: of what.
    #[serde(default)]
    pub part_of: Option<PartOf>,
    /// For a study and its parts: how many parts the study has.
    #[serde(default)]
    pub parts: Option<u32>,
    /// For a study and its parts: trials to evaluate.
    #[serde(default)]
    pub trials: Option<u32>,
    /// Under which the ledger counts what was tried.
    #[serde(default)]
    pub experiment: Option<String>,
    /// The data as it was when the run was submitted; `None` reads what is there when it executes.
    #[serde(default)]
    pub pins: Option<Value>,
}

/// The message that wakes an executor for a run. An object, because a string that happens to be base64 would be
/// decoded on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wake {
    /// Version of the message.
    v: u8,
    /// Run that is to be executed.
    pub run_id: RunId,
    /// As in the [`Submission`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Wake {
    /// The message for the run with an id.
    pub fn to(run_id: RunId, traceparent: Option<String>) -> Self {
        Self { v: 1, run_id, traceparent }
    }

    /// The message for a run.
    pub fn of(run: &Run) -> Self {
        Self { v: 1, run_id: run.id.clone(), traceparent: run.submission.traceparent.clone() }
    }
}

/// One execution record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Id under which the run is stored and its files are published.
    pub id: RunId,
    /// What was asked for.
    pub submission: Submission,
    /// Where the run is on its way from queued to its end.
    pub state: RunState,
    /// Why it is there, where that is worth saying.
    pub status_reason: Option<Reason>,
    /// Last failure, kept over a retry.
    pub error: Option<String>,
    /// Claims so far.
    pub attempt: u32,
    /// Claims allowed.
    pub max_attempts: u32,
    /// Fence of the newest claim; 0 before the first.
    pub fence: Fence,
    /// Counts transitions; each has its event.
    pub version: i64,
    /// When it was stored.
    pub submitted_at: Timestamp,
    /// Start of the newest attempt.
    pub started_at: Option<Timestamp>,
    /// Last wake-up message.
    pub announced_at: Option<Timestamp>,
    /// Wake-up messages so far.
    pub announce_count: u32,
    /// When a caller asked a running run to stop.
    pub cancel_requested_at: Option<Timestamp>,
    /// Share of the bars that are done, `0.0..=1.0`.
    pub progress: f64,
    /// What the executor is doing.
    pub progress_note: Option<String>,
    /// Version of the engine that claimed it last.
    pub engine_version: Option<String>,
    /// What people note on it.
    #[serde(default)]
    pub labels: Labels,
}

impl Run {
    /// What its results are a fact about, once it has some.
    pub fn fingerprint(&self) -> Option<&str> {
        match &self.state {
            RunState::Completed { publication, .. } => Some(&publication.fingerprint),
            _ => None,
        }
    }

    /// SHA-256 over the files of its results, once it has some.
    pub fn results_sha256(&self) -> Option<&str> {
        match &self.state {
            RunState::Completed { publication, .. } => publication.results_sha256.as_deref(),
            _ => None,
        }
    }
}

/// One line of a run's history, written together with its transition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunEvent {
    /// The run's version after the transition.
    pub version: i64,
    /// Store time.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Verb of the transition.
    pub event: String,
    /// Fence after the transition.
    pub fence: i64,
    /// Who did it: `api`, `reconcile` or a lease owner.
    pub actor: String,
    /// Anything worth knowing, as JSON.
    #[schema(value_type = Object)]
    pub detail: Value,
}

/// What a run needs that no executor looks after.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing.
    Leave,
    /// A wake-up message.
    Announce,
    /// An end, because no executor will bring it about.
    GiveUp(GiveUp),
}

/// How an unattended run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// Every attempt lost its executor.
    Exhausted,
    /// The attempt outlived its wall time.
    TimedOut,
    /// Cancel was asked and the executor did not acknowledge it.
    Canceled,
}

/// How long an executor has to acknowledge a cancel before reconcile ends the run.
pub const CANCEL_GRACE: Duration = Duration::from_secs(60);

/// Decides what is due for `run` at `now`, which is the store's time.
///
/// A wake-up is due when none was sent since the run became available (queued) or lost its executor (lease over),
/// and again `2 min * 2^min(count, 5)` after the last one.
pub fn decide(run: &Run, now: Timestamp) -> Verdict {
    match &run.state {
        RunState::Queued { available_at } if *available_at <= now => announce_if_due(run, *available_at, now),
        RunState::Running { lease, .. } => {
            let lease_over = lease.expires_at <= now;
            if run.cancel_requested_at.is_some_and(|at| lease_over || at + CANCEL_GRACE <= now) {
                Verdict::GiveUp(GiveUp::Canceled)
            } else if lease.deadline_at <= now {
                Verdict::GiveUp(GiveUp::TimedOut)
            } else if !lease_over {
                Verdict::Leave
            } else if run.attempt >= run.max_attempts {
                Verdict::GiveUp(GiveUp::Exhausted)
            } else {
                announce_if_due(run, lease.expires_at, now)
            }
        }
        _ => Verdict::Leave,
    }
}

fn announce_if_due(run: &Run, since: Timestamp, now: Timestamp) -> Verdict {
    let due = match run.announced_at {
        None => true,
        Some(at) => at < since || at + announce_back_off(run.announce_count) <= now,
    };
    if due { Verdict::Announce } else { Verdict::Leave }
}

/// Wait after the `count`-th wake-up message before the next.
pub fn announce_back_off(count: u32) -> Duration {
    Duration::from_secs(120 << count.min(5))
}

/// Wait before attempt `attempt + 1`, before jitter: 10 s doubling, 10 min at most.
pub fn retry_back_off(attempt: u32) -> Duration {
    Duration::from_secs((10 << attempt.saturating_sub(1).min(6)).min(600))
}
