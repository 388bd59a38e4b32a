//! Runs in one sqlite file: the embedded default, for one machine and any number of processes on it. The write lock that
//! `BEGIN IMMEDIATE` takes makes reading a run, deciding and writing it one step; the decisions are those of
//! `transition`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, ToSql, Transaction, TransactionBehavior, named_params};
use serde_json::{Value, json};

use super::ledger::{BestTried, Experiment, Tried, in_order};
use super::schedule::{Look, NewSchedule, Schedule, ScheduleName, Schedules};
use super::transition::{self, Decision, Step};
use super::{
    Amend, Backlog, Beat, Cancel, Change, Claim, Claimant, Ending, Finish, HeldLease, Inserted, ListQuery,
    NewPart, NewRun, Overdue, Page, Progress, Repair, Repaired, RunStore, StoreError, StoreHealth,
};
use crate::clock::Timestamp;
use crate::run::{
    Deletion, Fence, Kind, Labels, Lease, Location, PartOf, Publication, Reason, Run, RunEvent, RunId,
    RunState, Status, Submission,
};
use crate::statistics::sharpe::SharpeRatio;

const MIGRATIONS: [&str; 2] = [
    include_str!("../../../migrations/sqlite/0001_runs.sql"),
    include_str!("../../../migrations/sqlite/0002_studies.sql"),
];

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

    /// Reads a run, decides and writes it, with the write lock held from the start; `None` for an unknown run.
    async fn change<T: Send + 'static>(
        &self,
        doing: &str,
        id: &RunId,
        decide: impl FnOnce(&mut Run, Timestamp) -> Decision<T> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let id = id.clone();
        self.write(format!("{doing} run {id}"), move |tx| change(tx, &id, decide)).await
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
    /// Whether the same call may succeed later. A file that cannot be used counts: an operator puts it right, and nothing
    /// is lost meanwhile.
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
            let owner = match &new.submission.idempotency_key {
                Some(key) => {
                    select(tx, sql!("runs.get_by_key"), named_params! { ":idempotency_key": key })?.pop()
                }
                None => None,
            };
            if owner.is_some() || get(tx, &new.id)?.is_some() {
                return Ok(Inserted::refused(&new, owner));
            }
            let now = now(tx)?;
            let (run, step) = transition::submitted(&new, now);
            write(tx, &run, Some(step), now)?;
            Ok(Inserted::Created(Box::new(run)))
        })
        .await
    }

    async fn insert_study(&self, study: &NewRun, parts: &[NewPart]) -> Result<Inserted, StoreError> {
        let (study, parts) = (study.clone(), parts.to_vec());
        self.write(format!("insert study {}", study.id), move |tx| {
            let owner = match &study.submission.idempotency_key {
                Some(key) => {
                    select(tx, sql!("runs.get_by_key"), named_params! { ":idempotency_key": key })?.pop()
                }
                None => None,
            };
            let mut taken = owner.is_some() || get(tx, &study.id)?.is_some();
            for part in &parts {
                taken = taken || get(tx, &part.id)?.is_some();
            }
            if taken {
                return Ok(Inserted::refused(&study, owner));
            }
            let now = now(tx)?;
            // No message is sent for the study before its parts are done.
            let (run, step) = transition::submitted(&NewRun { announced: false, ..study.clone() }, now);
            write(tx, &run, Some(step), now)?;
            for (part, number) in parts.iter().zip(0..) {
                let (part, step) = transition::submitted(&part.of(&study, number), now);
                write(tx, &part, Some(step), now)?;
            }
            Ok(Inserted::Created(Box::new(run)))
        })
        .await
    }

    async fn parts(&self, study: &RunId) -> Result<Vec<Run>, StoreError> {
        let id = study.clone();
        self.read(format!("read the parts of study {id}"), move |connection| parts(connection, &id)).await
    }

    async fn get(&self, id: &RunId) -> Result<Option<Run>, StoreError> {
        let id = id.clone();
        self.read(format!("get run {id}"), move |connection| get(connection, &id)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let query = query.clone();
        self.read("list runs", move |connection| {
            let statuses = (!query.statuses.is_empty()).then(|| json!(query.statuses).to_string());
            // The two differ in a line: an index serves a comparison, and not one that may be left out.
            let statement = match query.fingerprint {
                Some(_) => sql!("runs.list_equal"),
                None => sql!("runs.list"),
            };
            let runs = select(
                connection,
                statement,
                named_params! {
                    ":statuses": statuses,
                    ":text": query.text,
                    ":submitted_after": query.submitted_after.map(text_of),
                    ":submitted_before": query.submitted_before.map(text_of),
                    ":submitted_by": query.submitted_by,
                    ":kinds": json!(query.kinds()).to_string(),
                    ":results_sha256": query.results_sha256,
                    ":tag": query.tag,
                    ":archived": query.archived,
                    ":fingerprint": query.fingerprint,
                    ":after_at": query.after.as_ref().map(|after| text_of(after.submitted_at)),
                    ":after_id": query.after.as_ref().map(|after| after.run_id.as_str()),
                    ":limit": sql_integer(query.limit.saturating_add(1)),
                },
            )?;
            Ok(Page::of(runs, query.limit))
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
        let claimed = self
            .write(format!("claim run {id}"), move |tx| {
                if waits_for_parts(tx, &id)? {
                    return Ok(Some(Claim::NotNow(Status::Queued)));
                }
                change(tx, &id, |run, now| transition::claim(run, &claimant, now))
            })
            .await?;
        Ok(claimed.unwrap_or(Claim::Unknown))
    }

    async fn beat(&self, held: &HeldLease, progress: &Progress) -> Result<Beat, StoreError> {
        let (lease, progress) = (held.clone(), progress.clone());
        let beat = move |run: &mut Run, now| transition::beat(run, &lease, &progress, now);
        Ok(self.change("beat for", &held.run_id, beat).await?.unwrap_or(Beat::Lost))
    }

    async fn count(&self, held: &HeldLease, tried: &[Tried]) -> Result<(), StoreError> {
        let (lease, tried) = (held.clone(), tried.to_vec());
        self.write(format!("count the trials of run {}", held.run_id), move |tx| {
            let holds = |run: &Run| run.fence == lease.fence && run.state.status() == Status::Running;
            let Some(part) = get(tx, &lease.run_id)?.filter(holds) else { return Ok(()) };
            let Some(of) = &part.submission.part_of else { return Ok(()) };
            let now = now(tx)?;
            in_order(&tried).into_iter().try_for_each(|one| count(tx, &part, &of.study, one, now))
        })
        .await
    }

    async fn experiments(&self, name: Option<&str>) -> Result<Option<Vec<Experiment>>, StoreError> {
        let name = name.map(str::to_owned);
        self.read("read the ledger of experiments", move |connection| {
            let mut statement = connection.prepare_cached(sql!("ledger.experiments"))?;
            let mut rows = statement.query(named_params! { ":experiment": name })?;
            let mut experiments = Vec::new();
            while let Some(row) = rows.next()? {
                experiments.push(experiment_of(row)?);
            }
            Ok(Some(experiments))
        })
        .await
    }

    async fn finish(&self, held: &HeldLease, ending: &Ending) -> Result<Finish, StoreError> {
        let (lease, ending) = (held.clone(), ending.clone());
        let finished = self
            .write(format!("finish run {}", held.run_id), move |tx| {
                let finish = |run: &mut Run, now| transition::finish(run, &lease, &ending, now);
                let finished = change(tx, &lease.run_id, finish)?;
                if let (Some(Finish::Done(_)), Ending::Complete { tried: Some(tried), .. }) =
                    (&finished, &ending)
                    && let Some(run) = get(tx, &lease.run_id)?
                {
                    count(tx, &run, &run.id, tried, now(tx)?)?;
                }
                Ok(finished)
            })
            .await?;
        Ok(finished.unwrap_or(Finish::Lost))
    }

    async fn request_cancel(&self, id: &RunId, actor: &str) -> Result<Cancel, StoreError> {
        let (id, actor) = (id.clone(), actor.to_owned());
        let canceled = self
            .write(format!("cancel run {id}"), move |tx| {
                let canceled = change(tx, &id, |run, now| transition::request_cancel(run, &actor, now))?;
                for part in parts(tx, &id)? {
                    change(tx, &part.id, |run, now| transition::request_cancel(run, &actor, now))?;
                }
                Ok(canceled)
            })
            .await?;
        Ok(canceled.unwrap_or(Cancel::Unknown))
    }

    async fn amend(&self, id: &RunId, seen: i64, change: &Change, actor: &str) -> Result<Amend, StoreError> {
        let (change, actor) = (change.clone(), actor.to_owned());
        let amend = move |run: &mut Run, now| transition::amend(run, seen, &change, &actor, now);
        Ok(self.change("amend", id, amend).await?.unwrap_or(Amend::Unknown))
    }

    async fn announce(&self, id: &RunId) -> Result<bool, StoreError> {
        let id = id.clone();
        let announced = self
            .write(format!("announce run {id}"), move |tx| {
                if waits_for_parts(tx, &id)? {
                    return Ok(Some(false));
                }
                change(tx, &id, transition::announce)
            })
            .await?;
        Ok(announced.unwrap_or(false))
    }

    async fn overdue(&self, limit: usize) -> Result<Overdue, StoreError> {
        self.read("look for overdue runs", move |connection| {
            let params = named_params! { ":limit": sql_integer(limit) };
            Ok(Overdue { now: now(connection)?, runs: select(connection, sql!("runs.overdue"), params)? })
        })
        .await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.read("count the runs", |connection| {
            Ok(connection.query_row(sql!("runs.backlog"), [], |row| {
                let oldest_due: f64 = row.get("oldest_due_seconds")?;
                Ok(Backlog {
                    queued: row.get("queued")?,
                    running: row.get("running")?,
                    oldest_due: Duration::try_from_secs_f64(oldest_due).unwrap_or_default(),
                })
            })?)
        })
        .await
    }

    async fn repair(&self, repairs: &[Repair]) -> Result<Repaired, StoreError> {
        let repairs = repairs.to_vec();
        self.write("repair overdue runs", move |tx| {
            let mut repaired = Repaired::default();
            for one in &repairs {
                if change(tx, &one.run.id, |run, now| transition::repair(run, one, now))? == Some(true) {
                    repaired.note(one);
                }
            }
            Ok(repaired)
        })
        .await
    }

    async fn give_up(&self, id: &RunId, reason: Reason, error: &str) -> Result<bool, StoreError> {
        let error = error.to_owned();
        let give_up = move |run: &mut Run, now| transition::give_up(run, reason, &error, now);
        Ok(self.change("give up", id, give_up).await?.unwrap_or(false))
    }

    async fn remark(
        &self,
        id: &RunId,
        event: &'static str,
        detail: &Value,
        actor: &str,
    ) -> Result<bool, StoreError> {
        let (detail, actor) = (detail.clone(), actor.to_owned());
        let remark = move |run: &mut Run, _| transition::remark(run, event, &detail, &actor);
        Ok(self.change("remark on", id, remark).await?.unwrap_or(false))
    }

    async fn schedules(&self, name: Option<&ScheduleName>) -> Result<Schedules, StoreError> {
        let name = name.cloned();
        self.read("read the schedules", move |connection| {
            Ok(Schedules { now: now(connection)?, schedules: schedules(connection, name.as_ref())? })
        })
        .await
    }

    async fn put_schedule(&self, new: &NewSchedule) -> Result<(Schedule, bool), StoreError> {
        let new = new.clone();
        self.write(format!("put schedule {}", new.name), move |tx| {
            let is_new = schedules(tx, Some(&new.name))?.is_empty();
            execute(
                tx,
                sql!("schedules.put"),
                named_params! {
                    ":name": new.name.as_str(),
                    ":config_json": new.config_json,
                    ":cron": new.cron,
                    ":run_when": new.when.as_str(),
                    ":submitted_by": new.submitted_by,
                    ":now": text_of(now(tx)?),
                },
            )?;
            match schedules(tx, Some(&new.name))?.pop() {
                Some(schedule) => Ok((schedule, is_new)),
                None => Err(Failure::Unreadable { column: "name", value: new.name.to_string() }),
            }
        })
        .await
    }

    async fn note_look(&self, seen: &Schedule, look: &Look) -> Result<bool, StoreError> {
        let (seen, look) = (seen.clone(), look.clone());
        self.write(format!("note a look at schedule {}", seen.name), move |tx| {
            let params = named_params! {
                ":name": seen.name.as_str(),
                ":seen_looked_at": seen.looked_at.map(text_of),
                ":seen_error": seen.error,
                ":looked_at": look.at.map(text_of),
                ":date": look.ran.as_ref().map(|(date, _)| date.to_string()),
                ":run_id": look.ran.as_ref().map(|(_, run_id)| run_id.as_str()),
                ":error": look.error,
            };
            Ok(tx.prepare_cached(sql!("schedules.note"))?.execute(params)? > 0)
        })
        .await
    }

    async fn delete_schedule(&self, name: &ScheduleName) -> Result<bool, StoreError> {
        let name = name.clone();
        self.write(format!("delete schedule {name}"), move |tx| {
            let params = named_params! { ":name": name.as_str() };
            Ok(tx.prepare_cached(sql!("schedules.delete"))?.execute(params)? > 0)
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

fn change<T>(
    tx: &Transaction<'_>,
    id: &RunId,
    decide: impl FnOnce(&mut Run, Timestamp) -> Decision<T>,
) -> Result<Option<T>, Failure> {
    let Some(mut run) = get(tx, id)? else { return Ok(None) };
    let now = now(tx)?;
    Ok(Some(match decide(&mut run, now) {
        Decision::Leave(answer) => answer,
        Decision::Write(step, answer) => {
            write(tx, &run, step, now)?;
            answer
        }
    }))
}

/// Writes a run as it is now, for the first time or again, and the step that made it so.
fn write(tx: &Transaction<'_>, run: &Run, step: Option<Step>, now: Timestamp) -> Result<(), Failure> {
    let (asked, now) = (&run.submission, text_of(now));
    let available_at = match &run.state {
        RunState::Queued { available_at } => Some(text_of(*available_at)),
        _ => None,
    };
    let lease = match &run.state {
        RunState::Running { lease, .. } => Some(lease),
        _ => None,
    };
    let ended_at = match &run.state {
        RunState::Completed { ended_at, .. }
        | RunState::Failed { ended_at, .. }
        | RunState::Canceled { ended_at } => Some(text_of(*ended_at)),
        RunState::Queued { .. } | RunState::Running { .. } => None,
    };
    let result = match &run.state {
        RunState::Completed { publication, .. } => Some(publication),
        _ => None,
    };
    let (output_dir, adls_container, adls_prefix) = match result.map(|result| &result.location) {
        Some(Location::Local { dir }) => (Some(dir), None, None),
        Some(Location::Adls { container, prefix }) => (None, Some(container), Some(prefix)),
        None => (None, None, None),
    };
    execute(
        tx,
        sql!("runs.put"),
        named_params! {
            ":run_id": run.id.as_str(),
            ":status": run.state.status().as_str(),
            ":status_reason": run.status_reason.map(Reason::as_str),
            ":submitted_at": text_of(run.submitted_at),
            ":started_at": run.started_at.map(text_of),
            ":completed_at": ended_at,
            ":run_name": asked.run_name,
            ":start_date": asked.start_date,
            ":end_date": asked.end_date,
            ":output_dir": output_dir,
            ":adls_container": adls_container,
            ":adls_prefix": adls_prefix,
            ":error": run.error,
            ":config_json": asked.config_json,
            ":effective_config_json": asked.effective_config_json,
            ":attempt": run.attempt,
            ":max_attempts": run.max_attempts,
            ":fence": run.fence.0,
            ":lease_owner": lease.map(|lease| &lease.owner),
            ":lease_expires_at": lease.map(|lease| text_of(lease.expires_at)),
            ":heartbeat_at": lease.map(|lease| text_of(lease.heartbeat_at)),
            ":deadline_at": lease.map(|lease| text_of(lease.deadline_at)),
            ":announced_at": run.announced_at.map(text_of),
            ":announce_count": run.announce_count,
            ":available_at": available_at,
            ":cancel_requested_at": run.cancel_requested_at.map(text_of),
            ":progress": run.progress,
            ":progress_note": run.progress_note,
            ":idempotency_key": asked.idempotency_key,
            ":request_sha256": asked.request_sha256,
            ":config_sha256": asked.config_sha256,
            ":data_versions": result.map(|result| result.data_versions.to_string()),
            ":engine_version": run.engine_version,
            ":fingerprint": result.map(|result| &result.fingerprint),
            ":parent_run_id": asked.parent_run_id.as_ref().map(RunId::as_str),
            ":submitted_by": asked.submitted_by,
            ":summary": result.map(|result| result.summary.to_string()),
            ":manifest_sha256": result.map(|result| &result.manifest_sha256),
            ":version": run.version,
            ":traceparent": asked.traceparent,
            ":kind": asked.kind.as_str(),
            ":study_id": asked.part_of.as_ref().map(|of| of.study.as_str()),
            ":part": asked.part_of.as_ref().map(|of| of.part),
            ":parts": asked.parts,
            ":trials": asked.trials,
            ":experiment": asked.experiment,
            ":pins": asked.pins.as_ref().map(Value::to_string),
            ":results_sha256": run.results_sha256(),
            ":tags": json!(run.labels.tags).to_string(),
            ":note": run.labels.note,
            ":archived_at": run.labels.archived_at.map(text_of),
            ":deleted_at": run.labels.deleted.as_ref().map(|deleted| text_of(deleted.at)),
            ":deleted_by": run.labels.deleted.as_ref().map(|deleted| &deleted.by),
            ":now": now,
        },
    )?;
    if let Some(step) = step {
        let params = named_params! {
            ":run_id": run.id.as_str(), ":version": run.version, ":at": now, ":event": step.event,
            ":fence": run.fence.0, ":actor": step.actor, ":detail": step.detail.to_string(),
        };
        execute(tx, sql!("events.append"), params)?;
    }
    Ok(())
}

/// Counts what `by`, the study of `run` or the run itself, has tried under its experiment, if it has one.
fn count(tx: &Transaction<'_>, run: &Run, by: &RunId, tried: &Tried, now: Timestamp) -> Result<(), Failure> {
    let Some(experiment) = &run.submission.experiment else { return Ok(()) };
    execute(
        tx,
        sql!("ledger.count"),
        named_params! {
            ":experiment": experiment,
            ":config_sha256": tried.config_sha256,
            ":first_run_id": by.as_str(),
            ":trial": tried.trial,
            ":first_at": text_of(now),
            ":submitted_by": run.submission.submitted_by,
            ":returns_sha256": tried.returns_sha256,
            ":sharpe_ratio": tried.sharpe_ratio,
            ":sharpe_daily": tried.sharpe.map(|sharpe| sharpe.daily),
            ":skewness": tried.sharpe.map(|sharpe| sharpe.skew),
            ":kurtosis": tried.sharpe.map(|sharpe| sharpe.kurtosis),
            ":observations": tried.sharpe.map(|sharpe| sql_integer(sharpe.observations)),
        },
    )
}

fn experiment_of(row: &Row<'_>) -> Result<Experiment, Failure> {
    let number = |name| row.get::<_, Option<f64>>(name);
    let sharpe = || -> Result<Option<SharpeRatio>, rusqlite::Error> {
        let moments = (number("best_sharpe_daily")?, number("best_skewness")?, number("best_kurtosis")?);
        let observations: Option<i64> = row.get("best_observations")?;
        Ok(match (moments, observations.and_then(|count| usize::try_from(count).ok())) {
            ((Some(daily), Some(skew), Some(kurtosis)), Some(observations)) => {
                Some(SharpeRatio { daily, skew, kurtosis, observations })
            }
            _ => None,
        })
    };
    let best = match (parsed(row, "best_run_id")?, number("best_sharpe_ratio")?) {
        (Some(run_id), Some(sharpe_ratio)) => {
            Some(BestTried { run_id, trial: row.get("best_trial")?, sharpe_ratio, sharpe: sharpe()? })
        }
        _ => None,
    };
    Ok(Experiment {
        name: row.get("experiment")?,
        trials: row.get("trials")?,
        distinct: row.get("distinct_trials")?,
        failed: row.get("failed")?,
        first_at: time(row, "first_at")?,
        last_at: time(row, "last_at")?,
        people: row.get("people")?,
        variance: row.get("variance")?,
        best,
    })
}

fn execute(tx: &Connection, sql: &str, params: &[(&str, &dyn ToSql)]) -> Result<(), Failure> {
    tx.prepare_cached(sql)?.execute(params)?;
    Ok(())
}

fn now(connection: &Connection) -> Result<Timestamp, Failure> {
    let text: String = connection.prepare_cached(sql!("clock.now"))?.query_row([], |row| row.get(0))?;
    parse_time("now", text)
}

fn get(connection: &Connection, id: &RunId) -> Result<Option<Run>, Failure> {
    Ok(select(connection, sql!("runs.get"), named_params! { ":run_id": id.as_str() })?.pop())
}

fn schedules(connection: &Connection, name: Option<&ScheduleName>) -> Result<Vec<Schedule>, Failure> {
    let mut statement = connection.prepare_cached(sql!("schedules.list"))?;
    let mut rows = statement.query(named_params! { ":name": name.map(ScheduleName::as_str) })?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Schedule {
            name: required(row, "name")?,
            config_json: row.get("config_json")?,
            cron: row.get("cron")?,
            when: required(row, "run_when")?,
            submitted_by: row.get("submitted_by")?,
            created_at: time(row, "created_at")?,
            updated_at: time(row, "updated_at")?,
            looked_at: optional_time(row, "looked_at")?,
            last_date: parsed(row, "last_date")?,
            last_run_id: parsed(row, "last_run_id")?,
            error: row.get("error")?,
        });
    }
    Ok(found)
}

/// The parts of a study, in order; none of any other run.
fn parts(connection: &Connection, id: &RunId) -> Result<Vec<Run>, Failure> {
    select(connection, sql!("runs.parts"), named_params! { ":run_id": id.as_str() })
}

/// Whether a run is a study with a part that has not ended.
fn waits_for_parts(connection: &Connection, id: &RunId) -> Result<bool, Failure> {
    Ok(parts(connection, id)?.iter().any(|part| !part.state.status().is_final()))
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
            kind: required::<Kind>(row, "kind")?,
            part_of: part_of(row)?,
            parts: row.get("parts")?,
            trials: row.get("trials")?,
            experiment: row.get("experiment")?,
            pins: json_of(row, "pins")?,
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
        labels: labels_of(row)?,
    })
}

fn part_of(row: &Row<'_>) -> Result<Option<PartOf>, Failure> {
    Ok(match (parsed(row, "study_id")?, row.get("part")?) {
        (Some(study), Some(part)) => Some(PartOf { study, part }),
        _ => None,
    })
}

fn labels_of(row: &Row<'_>) -> Result<Labels, Failure> {
    let tags: String = row.get("tags")?;
    let by: Option<String> = row.get("deleted_by")?;
    Ok(Labels {
        tags: match serde_json::from_str(&tags) {
            Ok(tags) => tags,
            Err(_) => return Err(Failure::Unreadable { column: "tags", value: tags }),
        },
        note: row.get("note")?,
        archived_at: optional_time(row, "archived_at")?,
        deleted: optional_time(row, "deleted_at")?.map(|at| Deletion { at, by: by.unwrap_or_default() }),
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
        results_sha256: row.get("results_sha256")?,
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

fn sql_integer(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
