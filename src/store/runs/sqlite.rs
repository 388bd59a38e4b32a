//! Runs in one sqlite file: the embedded default, for one machine and any number of processes on it. The guards
//! are in the statements; the write lock that `BEGIN IMMEDIATE` takes makes each transition and its event one step.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, TransactionBehavior, named_params};
use serde_json::{Value, json};

use super::{
    Beat, Cancel, Claim, Claimant, Claimed, Ending, Finish, HeldLease, Inserted, ListQuery, NewRun, Overdue,
    Page, Position, Progress, RunStore, Settled, Settlement, StoreError, StoreHealth, Tally, detail,
    ending_of,
};
use crate::clock::Timestamp;
use crate::run::{
    Fence, Lease, Location, Publication, Reason, Run, RunEvent, RunId, RunState, Status, Submission, Verdict,
    Wake,
};

const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/sqlite/0001_runs.sql")];

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../sql/sqlite/", $name, ".sql"))
    };
}

/// The embedded run store.
#[derive(Debug, Clone)]
pub struct SqliteRuns {
    path: PathBuf,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl SqliteRuns {
    /// A store in the file at `path`, which is opened and brought to the current schema at its first use.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), connection: Arc::default() }
    }

    /// Runs `work` in a transaction that holds the write lock from its start, off the async threads.
    async fn write<T: Send + 'static>(
        &self,
        doing: impl Into<String>,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(doing.into(), move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
        .await
    }

    /// Runs `work` outside a transaction, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        doing: impl Into<String>,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(doing.into(), move |connection| work(connection)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        doing: String,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (path, slot) = (self.path.clone(), Arc::clone(&self.connection));
        let answer = tokio::task::spawn_blocking(move || {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = match slot.take() {
                Some(connection) => connection,
                None => open(&path)?,
            };
            work(slot.insert(connection))
        })
        .await
        .unwrap_or_else(|panic| Err(Failure::Panicked(panic)));
        answer.map_err(|failure| StoreError {
            doing,
            retryable: failure.is_retryable(),
            source: Box::new(failure),
        })
    }
}

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("sqlite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("create the folder of {path}: {source}", path = .path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("column {column} holds '{value}'")]
    Unreadable { column: &'static str, value: String },
    #[error("the file has schema version {found}, this program knows {known}")]
    Newer { found: i64, known: usize },
    #[error("the store's thread: {0}")]
    Panicked(tokio::task::JoinError),
}

impl Failure {
    /// A file that cannot be used is one, too: whoever runs the service puts it right, and nothing is lost meanwhile.
    fn is_retryable(&self) -> bool {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, NotADatabase, PermissionDenied, ReadOnly,
            SystemIoFailure,
        };
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    CannotOpen
                        | DatabaseBusy
                        | DatabaseLocked
                        | DiskFull
                        | NotADatabase
                        | PermissionDenied
                        | ReadOnly
                        | SystemIoFailure
                )
            ),
            Self::Folder { .. } | Self::Newer { .. } => true,
            Self::Unreadable { .. } | Self::Panicked(_) => false,
        }
    }
}

fn open(path: &Path) -> Result<Connection, Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|source| Failure::Folder { path: path.to_owned(), source })?;
    }
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&mut connection)?;
    Ok(connection)
}

/// Brings the file to the current schema; two processes that start at once take turns.
fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let applied = usize::try_from(found).unwrap_or(usize::MAX);
    if applied > MIGRATIONS.len() {
        return Err(Failure::Newer { found, known: MIGRATIONS.len() });
    }
    for migration in &MIGRATIONS[applied..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()?;
    Ok(())
}

#[async_trait]
impl RunStore for SqliteRuns {
    async fn insert(&self, new: &NewRun) -> Result<Inserted, StoreError> {
        let new = new.clone();
        self.write(format!("insert run {}", new.id), move |tx| {
            let asked = &new.submission;
            let inserted = execute(
                tx,
                sql!("runs.insert"),
                named_params! {
                    ":run_id": new.id.as_str(),
                    ":run_name": asked.run_name,
                    ":start_date": asked.start_date,
                    ":end_date": asked.end_date,
                    ":config_json": asked.config_json,
                    ":effective_config_json": asked.effective_config_json,
                    ":max_attempts": new.max_attempts,
                    ":announced": i64::from(new.announced),
                    ":idempotency_key": asked.idempotency_key,
                    ":request_sha256": asked.request_sha256,
                    ":config_sha256": asked.config_sha256,
                    ":parent_run_id": asked.parent_run_id.as_ref().map(RunId::as_str),
                    ":submitted_by": asked.submitted_by,
                    ":traceparent": asked.traceparent,
                },
            )?;
            if inserted {
                append(tx, &new.id, "submitted", "api", &detail([]))?;
                return Ok(match get(tx, &new.id)? {
                    Some(run) => Inserted::Created(Box::new(run)),
                    None => Inserted::IdTaken,
                });
            }
            let before = match &asked.idempotency_key {
                Some(key) => {
                    select(tx, sql!("runs.get_by_key"), named_params! { ":idempotency_key": key })?.pop()
                }
                None => None,
            };
            Ok(match before {
                Some(run) if run.submission.request_sha256 == asked.request_sha256 => {
                    Inserted::Replayed(Box::new(run))
                }
                Some(_) => Inserted::KeyReused,
                None => Inserted::IdTaken,
            })
        })
        .await
    }

    async fn get(&self, id: &RunId) -> Result<Option<Run>, StoreError> {
        let id = id.clone();
        self.read(format!("get run {id}"), move |connection| get(connection, &id)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let query = query.clone();
        self.read("list runs", move |connection| {
            let statuses = (!query.statuses.is_empty()).then(|| json!(query.statuses).to_string());
            let mut runs = select(
                connection,
                sql!("runs.list"),
                named_params! {
                    ":statuses": statuses,
                    ":text": query.text,
                    ":submitted_after": query.submitted_after.map(text_of),
                    ":submitted_before": query.submitted_before.map(text_of),
                    ":submitted_by": query.submitted_by,
                    ":after_at": query.after.as_ref().map(|after| text_of(after.submitted_at)),
                    ":after_id": query.after.as_ref().map(|after| after.run_id.as_str()),
                    ":limit": sql_integer(query.limit.saturating_add(1)),
                },
            )?;
            let more = runs.len() > query.limit;
            runs.truncate(query.limit);
            let next = runs
                .last()
                .filter(|_| more)
                .map(|last| Position { submitted_at: last.submitted_at, run_id: last.id.clone() });
            Ok(Page { runs, next })
        })
        .await
    }

    async fn events(&self, id: &RunId) -> Result<Vec<RunEvent>, StoreError> {
        let id = id.clone();
        self.read(format!("read the events of run {id}"), move |connection| {
            let mut statement = connection.prepare_cached(sql!("events.list"))?;
            let mut rows = statement.query(named_params! { ":run_id": id.as_str() })?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(RunEvent {
                    version: row.get("version")?,
                    at: time(row, "at")?,
                    event: row.get("event")?,
                    fence: row.get("fence")?,
                    actor: row.get("actor")?,
                    detail: json_of(row, "detail")?.unwrap_or_default(),
                });
            }
            Ok(events)
        })
        .await
    }

    async fn claim(&self, id: &RunId, claimant: &Claimant) -> Result<Claim, StoreError> {
        let (id, claimant) = (id.clone(), claimant.clone());
        self.write(format!("claim run {id}"), move |tx| {
            let Some(before) = get(tx, &id)? else { return Ok(Claim::Unknown) };
            let claimed = execute(
                tx,
                sql!("runs.claim"),
                named_params! {
                    ":run_id": id.as_str(),
                    ":owner": claimant.owner,
                    ":lease": seconds_from_now(claimant.lease_seconds),
                    ":timeout": seconds_from_now(claimant.timeout_seconds),
                    ":engine_version": claimant.engine_version,
                },
            )?;
            if !claimed {
                return Ok(Claim::NotNow(before.state.status()));
            }
            let taken_from = match before.state {
                RunState::Running { lease, .. } => Some(lease.owner),
                _ => None,
            };
            let event = if taken_from.is_some() { "taken_over" } else { "claimed" };
            let from = detail([("from", taken_from.clone().map(Value::from))]);
            append(tx, &id, event, &claimant.owner, &from)?;
            let Some(run) = get(tx, &id)? else { return Ok(Claim::Unknown) };
            let lease = HeldLease {
                run_id: id,
                fence: run.fence,
                owner: claimant.owner,
                lease_millis: Duration::from_secs_f64(claimant.lease_seconds.max(0.0)).as_millis() as u64,
            };
            Ok(Claim::Claimed(Box::new(Claimed { run, lease, taken_from })))
        })
        .await
    }

    async fn beat(&self, held: &HeldLease, progress: &Progress) -> Result<Beat, StoreError> {
        let (held, progress) = (held.clone(), progress.clone());
        self.write(format!("beat for run {}", held.run_id), move |tx| {
            let mut statement = tx.prepare_cached(sql!("runs.beat"))?;
            let asked = statement
                .query_row(
                    named_params! {
                        ":run_id": held.run_id.as_str(),
                        ":fence": held.fence.0,
                        ":lease": seconds_from_now(held.lease_millis as f64 / 1000.0),
                        ":progress": progress.share.clamp(0.0, 1.0),
                        ":note": progress.note,
                    },
                    |row| row.get(0),
                )
                .optional()?;
            Ok(match asked {
                Some(cancel_requested) => Beat::Held { cancel_requested },
                None => Beat::Lost,
            })
        })
        .await
    }

    async fn finish(&self, held: &HeldLease, ending: &Ending) -> Result<Finish, StoreError> {
        let (held, ending) = (held.clone(), ending.clone());
        self.write(format!("finish run {}", held.run_id), move |tx| {
            let ended = match &ending {
                Ending::Complete(publication) => complete(tx, &held, publication)?,
                Ending::Fail { reason, error } => fail(tx, &held, *reason, error)?,
                Ending::AcknowledgeCancel => acknowledge_cancel(tx, &held)?,
                Ending::RetryLater { reason, error, delay_seconds } => {
                    match retry_later(tx, &held, *reason, error, *delay_seconds)? {
                        Some(status) => Some(status),
                        None => end_instead_of_retry(tx, &held, *reason, error)?,
                    }
                }
            };
            Ok(ended.map_or(Finish::Lost, Finish::Done))
        })
        .await
    }

    async fn request_cancel(&self, id: &RunId, actor: &str) -> Result<Cancel, StoreError> {
        let (id, actor) = (id.clone(), actor.to_owned());
        self.write(format!("cancel run {id}"), move |tx| {
            let params = named_params! { ":run_id": id.as_str() };
            let canceled = execute(tx, sql!("runs.cancel_queued"), params)?;
            if canceled {
                append(tx, &id, "canceled", &actor, &detail([]))?;
            } else if execute(tx, sql!("runs.ask_cancel"), params)? {
                append(tx, &id, "cancel_requested", &actor, &detail([]))?;
            }
            Ok(match get(tx, &id)? {
                None => Cancel::Unknown,
                Some(run) => match run.state.status() {
                    Status::Canceled if canceled => Cancel::Canceled(Box::new(run)),
                    Status::Canceled => Cancel::Before(Box::new(run)),
                    Status::Running => Cancel::Asked(Box::new(run)),
                    _ => Cancel::Ended(Box::new(run)),
                },
            })
        })
        .await
    }

    async fn announce(&self, id: &RunId) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(format!("announce run {id}"), move |tx| {
            let Some(run) = get(tx, &id)? else { return Ok(false) };
            let due = crate::run::decide(&run, now(tx)?) == Verdict::Announce;
            Ok(due && announce(tx, &run, "api")?)
        })
        .await
    }

    async fn overdue(&self, limit: usize) -> Result<Overdue, StoreError> {
        self.read("look for overdue runs", move |connection| {
            let params = named_params! { ":limit": sql_integer(limit) };
            Ok(Overdue { now: now(connection)?, runs: select(connection, sql!("runs.overdue"), params)? })
        })
        .await
    }

    async fn tally(&self) -> Result<Tally, StoreError> {
        self.read("count the runs", |connection| {
            Ok(connection.query_row(sql!("runs.tally"), [], |row| {
                Ok(Tally {
                    queued: row.get("queued")?,
                    running: row.get("running")?,
                    oldest_due_seconds: row.get("oldest_due_seconds")?,
                })
            })?)
        })
        .await
    }

    async fn settle(&self, verdicts: &[Settlement]) -> Result<Settled, StoreError> {
        let verdicts = verdicts.to_vec();
        self.write("settle overdue runs", move |tx| {
            let mut settled = Settled::default();
            for Settlement { run, verdict } in &verdicts {
                match verdict {
                    Verdict::Leave => {}
                    Verdict::Announce => {
                        if announce(tx, run, "reconcile")? {
                            settled.announced.push(Wake::of(run));
                        }
                    }
                    Verdict::GiveUp(how) => {
                        let (status, reason, error) = ending_of(*how, run);
                        if give_up(tx, run, status, reason, error.as_deref(), "reconcile")? {
                            settled.ended.push((run.id.clone(), reason));
                        }
                    }
                }
            }
            Ok(settled)
        })
        .await
    }

    async fn give_up(&self, id: &RunId, reason: Reason, error: &str) -> Result<bool, StoreError> {
        let (id, error) = (id.clone(), error.to_owned());
        self.write(format!("give up run {id}"), move |tx| {
            let Some(run) = get(tx, &id)? else { return Ok(false) };
            give_up(tx, &run, Status::Failed, reason, Some(&error), "queue")
        })
        .await
    }

    async fn ping(&self) -> Result<StoreHealth, StoreError> {
        self.read("reach the run store", |connection| {
            let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            Ok(StoreHealth { mode: "sqlite", schema_version: Some(version) })
        })
        .await
    }
}

fn complete(tx: &Transaction<'_>, held: &HeldLease, result: &Publication) -> Result<Option<Status>, Failure> {
    let (output_dir, container, prefix) = match &result.location {
        Location::Local { dir } => (Some(dir), None, None),
        Location::Adls { container, prefix } => (None, Some(container), Some(prefix)),
    };
    let changed = execute(
        tx,
        sql!("runs.complete"),
        named_params! {
            ":run_id": held.run_id.as_str(),
            ":fence": held.fence.0,
            ":output_dir": output_dir,
            ":adls_container": container,
            ":adls_prefix": prefix,
            ":manifest_sha256": result.manifest_sha256,
            ":summary": result.summary.to_string(),
            ":data_versions": result.data_versions.to_string(),
            ":fingerprint": result.fingerprint,
        },
    )?;
    let about = detail([("manifest_sha256", Some(json!(result.manifest_sha256)))]);
    ended(tx, held, changed, Status::Completed, "completed", &about)
}

fn fail(
    tx: &Transaction<'_>,
    held: &HeldLease,
    reason: Reason,
    error: &str,
) -> Result<Option<Status>, Failure> {
    let changed = execute(
        tx,
        sql!("runs.fail"),
        named_params! {
            ":run_id": held.run_id.as_str(),
            ":fence": held.fence.0,
            ":reason": reason.as_str(),
            ":error": error,
        },
    )?;
    ended(tx, held, changed, Status::Failed, "failed", &detail([("reason", Some(json!(reason)))]))
}

fn acknowledge_cancel(tx: &Transaction<'_>, held: &HeldLease) -> Result<Option<Status>, Failure> {
    let params = named_params! { ":run_id": held.run_id.as_str(), ":fence": held.fence.0 };
    let changed = execute(tx, sql!("runs.acknowledge_cancel"), params)?;
    ended(tx, held, changed, Status::Canceled, "canceled", &detail([]))
}

fn retry_later(
    tx: &Transaction<'_>,
    held: &HeldLease,
    reason: Reason,
    error: &str,
    delay_seconds: f64,
) -> Result<Option<Status>, Failure> {
    let changed = execute(
        tx,
        sql!("runs.retry_later"),
        named_params! {
            ":run_id": held.run_id.as_str(),
            ":fence": held.fence.0,
            ":reason": reason.as_str(),
            ":error": error,
            ":delay": seconds_from_now(delay_seconds),
        },
    )?;
    ended(tx, held, changed, Status::Queued, "retry_scheduled", &detail([("reason", Some(json!(reason)))]))
}

/// A retry that is not allowed becomes what it would end in: the cancel that was asked for, or the failure.
fn end_instead_of_retry(
    tx: &Transaction<'_>,
    held: &HeldLease,
    reason: Reason,
    error: &str,
) -> Result<Option<Status>, Failure> {
    match get(tx, &held.run_id)? {
        Some(run) if run.cancel_requested_at.is_some() => acknowledge_cancel(tx, held),
        Some(_) => fail(tx, held, reason, error),
        None => Ok(None),
    }
}

fn ended(
    tx: &Transaction<'_>,
    held: &HeldLease,
    changed: bool,
    status: Status,
    event: &str,
    about: &Value,
) -> Result<Option<Status>, Failure> {
    if !changed {
        return Ok(None);
    }
    append(tx, &held.run_id, event, &held.owner, about)?;
    Ok(Some(status))
}

fn announce(tx: &Transaction<'_>, run: &Run, actor: &str) -> Result<bool, Failure> {
    let params = named_params! { ":run_id": run.id.as_str(), ":version": run.version };
    let changed = execute(tx, sql!("runs.announce"), params)?;
    if changed {
        append(tx, &run.id, "announced", actor, &detail([]))?;
    }
    Ok(changed)
}

fn give_up(
    tx: &Transaction<'_>,
    run: &Run,
    status: Status,
    reason: Reason,
    error: Option<&str>,
    actor: &str,
) -> Result<bool, Failure> {
    let lease_expires_at = match &run.state {
        RunState::Running { lease, .. } => Some(text_of(lease.expires_at)),
        _ => None,
    };
    let changed = execute(
        tx,
        sql!("runs.give_up"),
        named_params! {
            ":run_id": run.id.as_str(),
            ":version": run.version,
            ":lease_expires_at": lease_expires_at,
            ":status": status.as_str(),
            ":reason": reason.as_str(),
            ":error": error,
        },
    )?;
    if changed {
        append(tx, &run.id, status.as_str(), actor, &detail([("reason", Some(json!(reason)))]))?;
    }
    Ok(changed)
}

fn execute(tx: &Connection, sql: &str, params: &[(&str, &dyn ToSql)]) -> Result<bool, Failure> {
    Ok(tx.prepare_cached(sql)?.execute(params)? > 0)
}

fn append(tx: &Connection, id: &RunId, event: &str, actor: &str, about: &Value) -> Result<(), Failure> {
    let params = named_params! {
        ":run_id": id.as_str(), ":event": event, ":actor": actor, ":detail": about.to_string(),
    };
    execute(tx, sql!("events.append"), params)?;
    Ok(())
}

fn now(connection: &Connection) -> Result<Timestamp, Failure> {
    let text: String = connection.prepare_cached(sql!("clock.now"))?.query_row([], |row| row.get(0))?;
    parse_time("now", text)
}

fn get(connection: &Connection, id: &RunId) -> Result<Option<Run>, Failure> {
    Ok(select(connection, sql!("runs.get"), named_params! { ":run_id": id.as_str() })?.pop())
}

fn select(connection: &Connection, sql: &str, params: &[(&str, &dyn ToSql)]) -> Result<Vec<Run>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        runs.push(run_of(row)?);
    }
    Ok(runs)
}

fn run_of(row: &Row<'_>) -> Result<Run, Failure> {
    let status_reason = parsed::<Reason>(row, "status_reason")?;
    let error: Option<String> = row.get("error")?;
    let state = match required::<Status>(row, "status")? {
        Status::Queued => RunState::Queued { available_at: time(row, "available_at")? },
        Status::Running => RunState::Running {
            lease: Lease {
                owner: row.get("lease_owner")?,
                expires_at: time(row, "lease_expires_at")?,
                heartbeat_at: time(row, "heartbeat_at")?,
                deadline_at: time(row, "deadline_at")?,
            },
            started_at: time(row, "started_at")?,
        },
        Status::Completed => {
            RunState::Completed { ended_at: time(row, "completed_at")?, publication: publication_of(row)? }
        }
        Status::Failed => RunState::Failed {
            ended_at: time(row, "completed_at")?,
            reason: required(row, "status_reason")?,
            error: error.clone().unwrap_or_default(),
        },
        Status::Canceled => RunState::Canceled { ended_at: time(row, "completed_at")? },
    };
    Ok(Run {
        id: required(row, "run_id")?,
        submission: Submission {
            run_name: row.get("run_name")?,
            start_date: row.get("start_date")?,
            end_date: row.get("end_date")?,
            config_json: row.get("config_json")?,
            effective_config_json: row.get("effective_config_json")?,
            config_sha256: row.get("config_sha256")?,
            request_sha256: row.get("request_sha256")?,
            idempotency_key: row.get("idempotency_key")?,
            submitted_by: row.get("submitted_by")?,
            parent_run_id: parsed(row, "parent_run_id")?,
            traceparent: row.get("traceparent")?,
        },
        state,
        status_reason,
        error,
        attempt: row.get("attempt")?,
        max_attempts: row.get("max_attempts")?,
        fence: Fence(row.get("fence")?),
        version: row.get("version")?,
        submitted_at: time(row, "submitted_at")?,
        started_at: optional_time(row, "started_at")?,
        announced_at: optional_time(row, "announced_at")?,
        announce_count: row.get("announce_count")?,
        cancel_requested_at: optional_time(row, "cancel_requested_at")?,
        progress: row.get("progress")?,
        progress_note: row.get("progress_note")?,
        engine_version: row.get("engine_version")?,
    })
}

fn publication_of(row: &Row<'_>) -> Result<Publication, Failure> {
    let location = match row.get::<_, Option<String>>("output_dir")? {
        Some(dir) => Location::Local { dir },
        None => Location::Adls { container: row.get("adls_container")?, prefix: row.get("adls_prefix")? },
    };
    Ok(Publication {
        location,
        manifest_sha256: row.get("manifest_sha256")?,
        summary: json_of(row, "summary")?.unwrap_or_default(),
        data_versions: json_of(row, "data_versions")?.unwrap_or_default(),
        fingerprint: row.get("fingerprint")?,
    })
}

fn required<T: FromStr>(row: &Row<'_>, column: &'static str) -> Result<T, Failure> {
    let value: String = row.get(column)?;
    value.parse().map_err(|_| Failure::Unreadable { column, value })
}

fn parsed<T: FromStr>(row: &Row<'_>, column: &'static str) -> Result<Option<T>, Failure> {
    match row.get::<_, Option<String>>(column)? {
        Some(value) => value.parse().map(Some).map_err(|_| Failure::Unreadable { column, value }),
        None => Ok(None),
    }
}

fn json_of(row: &Row<'_>, column: &'static str) -> Result<Option<Value>, Failure> {
    parsed(row, column)
}

fn time(row: &Row<'_>, column: &'static str) -> Result<Timestamp, Failure> {
    parse_time(column, row.get(column)?)
}

fn optional_time(row: &Row<'_>, column: &'static str) -> Result<Option<Timestamp>, Failure> {
    row.get::<_, Option<String>>(column)?.map(|text| parse_time(column, text)).transpose()
}

fn parse_time(column: &'static str, text: String) -> Result<Timestamp, Failure> {
    match DateTime::parse_from_rfc3339(&text) {
        Ok(time) => Ok(time.with_timezone(&Utc)),
        Err(_) => Err(Failure::Unreadable { column, value: text }),
    }
}

/// The one width in which the file keeps times.
fn text_of(time: Timestamp) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// A modifier of sqlite's date functions.
fn seconds_from_now(seconds: f64) -> String {
    format!("{seconds:+.3} seconds")
}

fn sql_integer(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
