//! Runs in `backtest.runs` of Postgres, for any number of instances. A transition and its event are one statement, sent
//! by itself; the guards are in the statements, and time is the server's.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, ToSql, Type};

use super::ledger::{BestTried, Experiment, Tried, in_order};
use super::schedule::{Look, NewSchedule, Schedule, ScheduleName, Schedules};
use super::transition::ending_of;
use super::{
    Amend, Backlog, Beat, Cancel, Change, Claim, Claimant, Claimed, Ending, Finish, HeldLease, Inserted,
    ListQuery, NewPart, NewRun, Overdue, Page, Progress, Repair, Repaired, RunStore, StoreError, StoreHealth,
};
use crate::clock::Timestamp;
use crate::run::{
    Deletion, Fence, Kind, Labels, Lease, Location, PartOf, Publication, Reason, Run, RunEvent, RunId,
    RunState, Status, Submission, Verdict,
};
use crate::statistics::sharpe::SharpeRatio;
use crate::store::pg::{self, Param, PgError, Pool};
use crate::store::{groups, migrations};

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../sql/postgres/", $name, ".sql"))
    };
}

/// The run store of a deployment.
#[derive(Debug, Clone)]
pub struct PostgresRuns {
    pool: Pool,
    /// The same connections, for what an executor does.
    executing: Pool,
    /// A beat never waits for other work.
    beats: Pool,
}

impl PostgresRuns {
    /// A store in the database of `pool`, which others may use too; `beats` is its alone.
    pub fn new(pool: &Pool, beats: &Pool) -> Self {
        Self {
            executing: pool.for_group(groups::EXECUTOR),
            beats: beats.for_group(groups::EXECUTOR),
            pool: pool.for_group(groups::API),
        }
    }

    /// Runs a transition; whether it changed the row.
    async fn step(&self, sql: &str, params: &[Param<'_>]) -> Result<bool, PgError> {
        Ok(!pg::query(&self.pool, sql, params).await?.is_empty())
    }

    /// The same for the transition of an executor.
    async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<bool, PgError> {
        Ok(!pg::query(&self.executing, sql, params).await?.is_empty())
    }

    async fn select(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Run>, PgError> {
        pg::query(&self.pool, sql, params).await?.iter().map(run_of).collect()
    }

    async fn find(&self, id: &RunId) -> Result<Option<Run>, PgError> {
        Ok(self.select(sql!("runs.get"), &[text(&id.as_str())]).await?.pop())
    }

    async fn now(&self) -> Result<Timestamp, PgError> {
        let rows = pg::query(&self.pool, sql!("clock.now"), &[]).await?;
        match rows.first() {
            Some(row) => column(row, "now"),
            None => Err(PgError::Unreadable { column: "now", value: String::new() }),
        }
    }

    async fn try_insert(&self, new: &NewRun) -> Result<Inserted, PgError> {
        let row = NewRow::of(new);
        let inserted = self.select(sql!("runs.insert"), &row.columns()).await?;
        match inserted.into_iter().next() {
            Some(run) => Ok(Inserted::Created(Box::new(run))),
            None => self.in_the_way(new).await,
        }
    }

    async fn try_insert_study(&self, study: &NewRun, parts: &[NewPart]) -> Result<Inserted, PgError> {
        let row = NewRow::of(study);
        let ids: Vec<&str> = parts.iter().map(|part| part.id.as_str()).collect();
        let configs: Vec<&str> = parts.iter().map(|part| part.config_json.as_str()).collect();
        let counts: Vec<i32> = parts.iter().map(|part| count(part.trials)).collect();
        let mut params = row.columns();
        params.extend([
            (&ids as &(dyn ToSql + Sync), Type::TEXT_ARRAY),
            (&configs, Type::TEXT_ARRAY),
            (&counts, Type::INT4_ARRAY),
        ]);
        match self.select(sql!("runs.insert_study"), &params).await?.into_iter().next() {
            Some(run) => Ok(Inserted::Created(Box::new(run))),
            None => self.in_the_way(study).await,
        }
    }

    /// The answer when a row was in the way of a new one.
    async fn in_the_way(&self, new: &NewRun) -> Result<Inserted, PgError> {
        let owner = match &new.submission.idempotency_key {
            Some(key) => self.select(sql!("runs.get_by_key"), &[text(key)]).await?.pop(),
            None => None,
        };
        Ok(Inserted::refused(new, owner))
    }

    /// Ends or asks a study and all its parts, in one statement; whether the study has ended by it.
    async fn cancel_study(&self, id: &RunId, actor: &str) -> Result<bool, PgError> {
        let run_id = id.as_str();
        let params = [text(&run_id), text(&actor)];
        let rows = pg::query(&self.pool, sql!("runs.cancel_study"), &params).await?;
        for row in &rows {
            let (changed, event): (String, String) = (column(row, "run_id")?, column(row, "event")?);
            if changed == id.as_str() {
                return Ok(event == "canceled");
            }
        }
        Ok(false)
    }

    async fn try_claim(&self, id: &RunId, claimant: &Claimant) -> Result<Claim, PgError> {
        let held = |run: Run, taken_from| Claim::Claimed(Box::new(Claimed::new(run, claimant, taken_from)));
        let (lease, timeout) = (claimant.lease.as_secs_f64(), claimant.timeout.as_secs_f64());
        let claimed = pg::query(
            &self.executing,
            sql!("runs.claim"),
            &[
                text(&id.as_str()),
                text(&claimant.owner),
                (&lease, Type::FLOAT8),
                (&timeout, Type::FLOAT8),
                text(&claimant.engine_version),
            ],
        )
        .await;
        let broken = match claimed {
            Ok(rows) => match rows.first() {
                Some(row) => return Ok(held(run_of(row)?, column(row, "taken_from")?)),
                None => {
                    let run = self.find(id).await?;
                    return Ok(run.map_or(Claim::Unknown, |run| Claim::NotNow(run.state.status())));
                }
            },
            Err(error) if error.is_broken() => error,
            Err(error) => return Err(error),
        };
        // Now only the row knows whether the claim landed.
        let run_id = id.as_str();
        let run = match self.find(id).await? {
            Some(run) if run.state.status() == Status::Queued => return Err(broken),
            Some(run) => run,
            None => return Ok(Claim::Unknown),
        };
        // Not ours also when it landed and was taken over since.
        if !matches!(&run.state, RunState::Running { lease, .. } if lease.owner == claimant.owner) {
            return Ok(Claim::NotNow(run.state.status()));
        }
        let params = [text(&run_id), text(&claimant.owner)];
        let events = pg::query(&self.pool, sql!("runs.claim_of_owner"), &params).await?;
        let taken_from = events.first().map(|row| column(row, "taken_from")).transpose()?.flatten();
        Ok(held(run, taken_from))
    }

    async fn try_finish(&self, held: &HeldLease, ending: &Ending) -> Result<Option<Status>, PgError> {
        let done = match ending {
            Ending::Complete { publication, tried } => {
                self.complete(held, publication, tried.as_deref()).await?
            }
            Ending::Fail { reason, error } => self.fail(held, *reason, error).await?,
            Ending::AcknowledgeCancel => self.acknowledge_cancel(held).await?,
            Ending::RetryLater { reason, error, delay } => {
                match self.retry_later(held, *reason, error, *delay).await? {
                    Some(status) => Some(status),
                    // A retry that is not allowed becomes what it would end in.
                    None => match self.find(&held.run_id).await? {
                        Some(run) if run.cancel_requested_at.is_some() => {
                            self.acknowledge_cancel(held).await?
                        }
                        Some(_) => self.fail(held, *reason, error).await?,
                        None => None,
                    },
                }
            }
        };
        Ok(done)
    }

    /// Asks the row, after a broken connection, whether a finish landed; `None` when the run is still held.
    async fn landed(&self, held: &HeldLease) -> Result<Option<Finish>, PgError> {
        Ok(match self.find(&held.run_id).await? {
            // Ending or taking over a run of another owner raises its fence.
            Some(run) if run.fence != held.fence => Some(Finish::Lost),
            Some(run) if run.state.status() == Status::Running => None,
            Some(run) => Some(Finish::Done(run.state.status())),
            None => Some(Finish::Lost),
        })
    }

    async fn complete(
        &self,
        held: &HeldLease,
        result: &Publication,
        tried: Option<&Tried>,
    ) -> Result<Option<Status>, PgError> {
        let sharpe = tried.and_then(|tried| tried.sharpe);
        let (output_dir, container, prefix) = match &result.location {
            Location::Local { dir } => (Some(dir), None, None),
            Location::Adls { container, prefix } => (None, Some(container), Some(prefix)),
        };
        let changed = self
            .execute(
                sql!("runs.complete"),
                &[
                    text(&held.run_id.as_str()),
                    (&held.fence.0, Type::INT8),
                    text(&held.owner),
                    text(&output_dir),
                    text(&container),
                    text(&prefix),
                    text(&result.manifest_sha256),
                    (&result.summary, Type::JSONB),
                    (&result.data_versions, Type::JSONB),
                    text(&result.fingerprint),
                    text(&result.results_sha256),
                    text(&tried.map(|tried| &tried.config_sha256)),
                    text(&tried.and_then(|tried| tried.returns_sha256.as_ref())),
                    (&tried.and_then(|tried| tried.sharpe_ratio), Type::FLOAT8),
                    (&sharpe.map(|sharpe| sharpe.daily), Type::FLOAT8),
                    (&sharpe.map(|sharpe| sharpe.skew), Type::FLOAT8),
                    (&sharpe.map(|sharpe| sharpe.kurtosis), Type::FLOAT8),
                    (&sharpe.map(|sharpe| count(sharpe.observations)), Type::INT4),
                ],
            )
            .await?;
        Ok(changed.then_some(Status::Completed))
    }

    async fn try_count(&self, held: &HeldLease, tried: &[&Tried]) -> Result<(), PgError> {
        let words = |of: &dyn Fn(&Tried) -> Option<String>| -> Vec<Option<String>> {
            tried.iter().map(|one| of(one)).collect()
        };
        let numbers = |of: &dyn Fn(&Tried) -> Option<f64>| -> Vec<Option<f64>> {
            tried.iter().map(|one| of(one)).collect()
        };
        let trials: Vec<Option<i32>> = tried.iter().map(|one| one.trial.map(count)).collect();
        let observations: Vec<Option<i32>> =
            tried.iter().map(|one| one.sharpe.map(|sharpe| count(sharpe.observations))).collect();
        pg::query(
            &self.executing,
            sql!("ledger.count"),
            &[
                text(&held.run_id.as_str()),
                (&held.fence.0, Type::INT8),
                (&words(&|one| Some(one.config_sha256.clone())), Type::TEXT_ARRAY),
                (&trials, Type::INT4_ARRAY),
                (&words(&|one| one.returns_sha256.clone()), Type::TEXT_ARRAY),
                (&numbers(&|one| one.sharpe_ratio), Type::FLOAT8_ARRAY),
                (&numbers(&|one| Some(one.sharpe?.daily)), Type::FLOAT8_ARRAY),
                (&numbers(&|one| Some(one.sharpe?.skew)), Type::FLOAT8_ARRAY),
                (&numbers(&|one| Some(one.sharpe?.kurtosis)), Type::FLOAT8_ARRAY),
                (&observations, Type::INT4_ARRAY),
            ],
        )
        .await
        .map(drop)
    }

    async fn fail(&self, held: &HeldLease, reason: Reason, error: &str) -> Result<Option<Status>, PgError> {
        Ok(self
            .execute(
                sql!("runs.fail"),
                &[
                    text(&held.run_id.as_str()),
                    (&held.fence.0, Type::INT8),
                    text(&held.owner),
                    text(&reason.as_str()),
                    text(&error),
                ],
            )
            .await?
            .then_some(Status::Failed))
    }

    async fn acknowledge_cancel(&self, held: &HeldLease) -> Result<Option<Status>, PgError> {
        Ok(self
            .execute(
                sql!("runs.acknowledge_cancel"),
                &[text(&held.run_id.as_str()), (&held.fence.0, Type::INT8), text(&held.owner)],
            )
            .await?
            .then_some(Status::Canceled))
    }

    async fn retry_later(
        &self,
        held: &HeldLease,
        reason: Reason,
        error: &str,
        delay: Duration,
    ) -> Result<Option<Status>, PgError> {
        let delay = delay.as_secs_f64();
        Ok(self
            .execute(
                sql!("runs.retry_later"),
                &[
                    text(&held.run_id.as_str()),
                    (&held.fence.0, Type::INT8),
                    text(&held.owner),
                    text(&reason.as_str()),
                    text(&error),
                    (&delay, Type::FLOAT8),
                ],
            )
            .await?
            .then_some(Status::Queued))
    }

    async fn announce_seen(&self, run: &Run, actor: &str) -> Result<bool, PgError> {
        self.step(sql!("runs.announce"), &[text(&run.id.as_str()), (&run.version, Type::INT8), text(&actor)])
            .await
    }

    async fn give_up_seen(
        &self,
        run: &Run,
        status: Status,
        reason: Reason,
        error: Option<&str>,
        actor: &str,
    ) -> Result<bool, PgError> {
        let lease_expires_at = match &run.state {
            RunState::Running { lease, .. } => Some(lease.expires_at),
            _ => None,
        };
        self.step(
            sql!("runs.give_up"),
            &[
                text(&run.id.as_str()),
                (&run.version, Type::INT8),
                text(&actor),
                text(&status.as_str()),
                text(&reason.as_str()),
                text(&error),
                (&lease_expires_at, Type::TIMESTAMPTZ),
            ],
        )
        .await
    }

    async fn try_cancel(&self, id: &RunId, actor: &str) -> Result<Cancel, PgError> {
        let run_id = id.as_str();
        let params = [text(&run_id), text(&actor)];
        let Some(seen) = self.find(id).await? else { return Ok(Cancel::Unknown) };
        let canceled = if seen.submission.kind == Kind::Study {
            self.cancel_study(id, actor).await?
        } else {
            let canceled = self.step(sql!("runs.cancel_queued"), &params).await?;
            if !canceled {
                self.step(sql!("runs.ask_cancel"), &params).await?;
            }
            canceled
        };
        let Some(run) = self.find(id).await? else { return Ok(Cancel::Unknown) };
        let is_open = !run.state.status().is_final();
        if is_open && run.cancel_requested_at.is_none() {
            // A claim or a retry came between the two statements.
            return Box::pin(self.try_cancel(id, actor)).await;
        }
        Ok(Cancel::of(run, canceled))
    }

    async fn try_amend(&self, id: &RunId, seen: i64, change: &Change, actor: &str) -> Result<Amend, PgError> {
        let (event, detail) = change.told();
        let changed = self
            .select(
                sql!("runs.amend"),
                &[
                    text(&id.as_str()),
                    (&seen, Type::INT8),
                    text(&actor),
                    text(&change.run_name),
                    (&change.tags, Type::TEXT_ARRAY),
                    text(&change.note),
                    (&change.archived, Type::BOOL),
                    (&change.deleted, Type::BOOL),
                    text(&event),
                    (&detail, Type::JSONB),
                ],
            )
            .await?;
        if let Some(run) = changed.into_iter().next() {
            return Ok(Amend::Done(Box::new(run)));
        }
        let run = self.find(id).await?;
        Ok(run.map_or(Amend::Unknown, |run| Amend::refused(run, seen, change)))
    }

    async fn try_list(&self, query: &ListQuery) -> Result<Page, PgError> {
        let statuses: Option<Vec<&str>> = (!query.statuses.is_empty())
            .then(|| query.statuses.iter().map(|status| status.as_str()).collect());
        let kinds: Vec<&str> = query.kinds().iter().map(|kind| kind.as_str()).collect();
        let after_at = query.after.as_ref().map(|after| after.submitted_at);
        let after_id = query.after.as_ref().map(|after| after.run_id.as_str());
        let limit = i64::try_from(query.limit.saturating_add(1)).unwrap_or(i64::MAX);
        let runs = self
            .select(
                sql!("runs.list"),
                &[
                    (&statuses, Type::TEXT_ARRAY),
                    text(&query.text),
                    (&query.submitted_after, Type::TIMESTAMPTZ),
                    (&query.submitted_before, Type::TIMESTAMPTZ),
                    text(&query.submitted_by),
                    (&after_at, Type::TIMESTAMPTZ),
                    text(&after_id),
                    (&limit, Type::INT8),
                    (&kinds, Type::TEXT_ARRAY),
                    text(&query.results_sha256),
                    text(&query.tag),
                    (&query.archived, Type::BOOL),
                    text(&query.fingerprint),
                ],
            )
            .await?;
        Ok(Page::of(runs, query.limit))
    }

    async fn try_repair(&self, repairs: &[Repair]) -> Result<Repaired, PgError> {
        let (mut repaired, mut failure) = (Repaired::default(), None);
        for one in repairs {
            let done = match &one.verdict {
                Verdict::Leave => Ok(false),
                Verdict::Announce => self.announce_seen(&one.run, "reconcile").await,
                Verdict::GiveUp(how) => {
                    let (status, reason, error) = ending_of(*how, &one.run);
                    self.give_up_seen(&one.run, status, reason, error.as_deref(), "reconcile").await
                }
            };
            match done {
                Ok(true) => repaired.note(one),
                Ok(false) => {}
                Err(error) => {
                    let is_of_all = error.is_retryable() || error.is_broken() || error.is_of_set_up();
                    failure = Some(error);
                    // Otherwise it is this row that cannot be repaired, and the others do not wait for it.
                    if is_of_all {
                        break;
                    }
                }
            }
        }
        repaired.or(failure, PgError::words)
    }

    async fn health(&self) -> Result<StoreHealth, PgError> {
        let rows = pg::query(&self.pool, sql!("store.usable"), &[]).await?;
        let version = rows.first().map(|row| column::<Option<i32>>(row, "version")).transpose()?.flatten();
        let Some(version) = version.filter(|&version| version >= migrations::NEEDED) else {
            return Err(PgError::NotMigrated(None));
        };
        if version > migrations::NEEDED {
            tracing::warn!(version, needed = migrations::NEEDED, "the schema is newer than this program");
        }
        Ok(StoreHealth { mode: "postgres", schema_version: Some(i64::from(version)) })
    }
}

/// The columns of a new row as the statements that insert one take them, in the order of their numbers from `$1`.
struct NewRow<'a> {
    new: &'a NewRun,
    id: &'a str,
    parent: Option<&'a str>,
    kind: &'static str,
    study: Option<&'a str>,
    part: Option<i32>,
    parts: Option<i32>,
    trials: Option<i32>,
    max_attempts: i32,
}

impl<'a> NewRow<'a> {
    fn of(new: &'a NewRun) -> Self {
        let asked = &new.submission;
        Self {
            new,
            id: new.id.as_str(),
            parent: asked.parent_run_id.as_ref().map(RunId::as_str),
            kind: asked.kind.as_str(),
            study: asked.part_of.as_ref().map(|of| of.study.as_str()),
            part: asked.part_of.as_ref().map(|of| count(of.part)),
            parts: asked.parts.map(count),
            trials: asked.trials.map(count),
            max_attempts: count(new.max_attempts),
        }
    }

    fn columns(&self) -> Vec<Param<'_>> {
        let asked = &self.new.submission;
        vec![
            text(&self.id),
            text(&asked.run_name),
            text(&asked.start_date),
            text(&asked.end_date),
            text(&asked.config_json),
            text(&asked.effective_config_json),
            (&self.max_attempts, Type::INT4),
            (&self.new.announced, Type::BOOL),
            text(&asked.idempotency_key),
            text(&asked.request_sha256),
            text(&asked.config_sha256),
            text(&self.parent),
            text(&asked.submitted_by),
            text(&asked.traceparent),
            text(&self.kind),
            text(&self.study),
            (&self.part, Type::INT4),
            (&self.parts, Type::INT4),
            (&self.trials, Type::INT4),
            text(&asked.experiment),
            (&asked.pins, Type::JSONB),
        ]
    }
}

/// Trials that one statement counts.
const COUNTED_AT_ONCE: usize = 5000;

#[async_trait]
impl RunStore for PostgresRuns {
    async fn insert(&self, run: &NewRun) -> Result<Inserted, StoreError> {
        self.try_insert(run).await.map_err(failed(format!("insert run {}", run.id)))
    }

    async fn insert_study(&self, study: &NewRun, parts: &[NewPart]) -> Result<Inserted, StoreError> {
        self.try_insert_study(study, parts).await.map_err(failed(format!("insert study {}", study.id)))
    }

    async fn parts(&self, study: &RunId) -> Result<Vec<Run>, StoreError> {
        let found = self.select(sql!("runs.parts"), &[text(&study.as_str())]).await;
        found.map_err(failed(format!("read the parts of study {study}")))
    }

    async fn get(&self, id: &RunId) -> Result<Option<Run>, StoreError> {
        self.find(id).await.map_err(failed(format!("get run {id}")))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        self.try_list(query).await.map_err(failed("list runs"))
    }

    async fn events(&self, id: &RunId) -> Result<Vec<RunEvent>, StoreError> {
        let rows = pg::query(&self.pool, sql!("events.list"), &[text(&id.as_str())]).await;
        rows.and_then(|rows| rows.iter().map(event_of).collect())
            .map_err(failed(format!("read the events of run {id}")))
    }

    async fn claim(&self, id: &RunId, claimant: &Claimant) -> Result<Claim, StoreError> {
        self.try_claim(id, claimant).await.map_err(failed(format!("claim run {id}")))
    }

    async fn beat(&self, held: &HeldLease, progress: &Progress) -> Result<Beat, StoreError> {
        let length = held.length.as_secs_f64();
        let share = progress.share.clamp(0.0, 1.0);
        let rows = pg::query(
            &self.beats,
            sql!("runs.beat"),
            &[
                text(&held.run_id.as_str()),
                (&held.fence.0, Type::INT8),
                (&length, Type::FLOAT8),
                (&share, Type::FLOAT8),
                text(&progress.note),
            ],
        )
        .await;
        rows.and_then(|rows| match rows.first() {
            Some(row) => Ok(Beat::Held { cancel_requested: column(row, "cancel_requested")? }),
            None => Ok(Beat::Lost),
        })
        .map_err(failed(format!("beat for run {}", held.run_id)))
    }

    async fn count(&self, held: &HeldLease, tried: &[Tried]) -> Result<(), StoreError> {
        for some in in_order(tried).chunks(COUNTED_AT_ONCE) {
            let counted = self.try_count(held, some).await;
            counted.map_err(failed(format!("count the trials of run {}", held.run_id)))?;
        }
        Ok(())
    }

    async fn experiments(&self, name: Option<&str>) -> Result<Option<Vec<Experiment>>, StoreError> {
        let rows = pg::query(&self.pool, sql!("ledger.experiments"), &[text(&name)]).await;
        let experiments: Result<Vec<Experiment>, PgError> =
            rows.and_then(|rows| rows.iter().map(experiment_of).collect());
        experiments.map(Some).map_err(failed("read the ledger of experiments"))
    }

    async fn finish(&self, held: &HeldLease, ending: &Ending) -> Result<Finish, StoreError> {
        let failed = || failed(format!("finish run {}", held.run_id));
        match self.try_finish(held, ending).await {
            Ok(ended) => return Ok(ended.map_or(Finish::Lost, Finish::Done)),
            Err(error) if error.is_broken() => {}
            Err(error) => return Err(failed()(error)),
        }
        if let Some(finish) = self.landed(held).await.map_err(failed())? {
            return Ok(finish);
        }
        let ended = self.try_finish(held, ending).await.map_err(failed())?;
        Ok(ended.map_or(Finish::Lost, Finish::Done))
    }

    async fn request_cancel(&self, id: &RunId, actor: &str) -> Result<Cancel, StoreError> {
        self.try_cancel(id, actor).await.map_err(failed(format!("cancel run {id}")))
    }

    async fn amend(&self, id: &RunId, seen: i64, change: &Change, actor: &str) -> Result<Amend, StoreError> {
        self.try_amend(id, seen, change, actor).await.map_err(failed(format!("amend run {id}")))
    }

    async fn announce(&self, id: &RunId) -> Result<bool, StoreError> {
        let announced = async {
            let now = self.now().await?;
            match self.find(id).await? {
                Some(run) if crate::run::decide(&run, now) == Verdict::Announce => {
                    self.announce_seen(&run, "api").await
                }
                _ => Ok(false),
            }
        };
        announced.await.map_err(failed(format!("announce run {id}")))
    }

    async fn overdue(&self, limit: usize) -> Result<Overdue, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let looked = async {
            let rows = pg::query(&self.pool, sql!("runs.overdue"), &[(&limit, Type::INT8)]).await?;
            let now = rows.first().map(|row| column(row, "seen_at")).transpose()?.unwrap_or_default();
            Ok(Overdue { now, runs: rows.iter().map(run_of).collect::<Result<_, _>>()? })
        };
        looked.await.map_err(failed("look for overdue runs"))
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let counted = async {
            let rows = pg::query(&self.pool, sql!("runs.backlog"), &[]).await?;
            let Some(row) = rows.first() else { return Ok(Backlog::default()) };
            let count = |name| column::<i64>(row, name).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            let oldest_due = column::<f64>(row, "oldest_due_seconds")?;
            Ok(Backlog {
                queued: count("queued")?,
                running: count("running")?,
                oldest_due: Duration::try_from_secs_f64(oldest_due).unwrap_or_default(),
            })
        };
        counted.await.map_err(failed("count the runs"))
    }

    async fn repair(&self, repairs: &[Repair]) -> Result<Repaired, StoreError> {
        self.try_repair(repairs).await.map_err(failed("repair overdue runs"))
    }

    async fn give_up(&self, id: &RunId, reason: Reason, error: &str) -> Result<bool, StoreError> {
        let given_up = async {
            match self.find(id).await? {
                Some(run) => self.give_up_seen(&run, Status::Failed, reason, Some(error), "queue").await,
                None => Ok(false),
            }
        };
        given_up.await.map_err(failed(format!("give up run {id}")))
    }

    async fn remark(
        &self,
        id: &RunId,
        event: &'static str,
        detail: &Value,
        actor: &str,
    ) -> Result<bool, StoreError> {
        let run_id = id.as_str();
        let params =
            [text(&run_id), text(&event), (detail as &(dyn ToSql + Sync), Type::JSONB), text(&actor)];
        self.step(sql!("runs.remark"), &params).await.map_err(failed(format!("remark on run {id}")))
    }

    async fn schedules(&self, name: Option<&ScheduleName>) -> Result<Schedules, StoreError> {
        let read = async {
            let name = name.map(ScheduleName::as_str);
            let rows = pg::query(&self.pool, sql!("schedules.list"), &[text(&name)]).await?;
            let now = rows.first().map(|row| column(row, "now")).transpose()?;
            let schedules = rows.iter().map(schedule_of).collect::<Result<_, PgError>>()?;
            Ok(Schedules { now: now.unwrap_or(Timestamp::UNIX_EPOCH), schedules })
        };
        read.await.map_err(failed("read the schedules"))
    }

    async fn put_schedule(&self, new: &NewSchedule) -> Result<(Schedule, bool), StoreError> {
        let put = async {
            let rows = pg::query(
                &self.pool,
                sql!("schedules.put"),
                &[
                    text(&new.name.as_str()),
                    text(&new.config_json),
                    text(&new.cron),
                    text(&new.when.as_str()),
                    text(&new.submitted_by),
                ],
            )
            .await?;
            match rows.first() {
                Some(row) => Ok((schedule_of(row)?, column(row, "created")?)),
                None => Err(PgError::Unreadable { column: "name", value: new.name.to_string() }),
            }
        };
        put.await.map_err(failed(format!("put schedule {}", new.name)))
    }

    async fn note_look(&self, seen: &Schedule, look: &Look) -> Result<bool, StoreError> {
        let (date, run_id) = look.ran.as_ref().map(|(date, run_id)| (*date, run_id.as_str())).unzip();
        let noted = self
            .step(
                sql!("schedules.note"),
                &[
                    text(&seen.name.as_str()),
                    (&seen.looked_at, Type::TIMESTAMPTZ),
                    text(&seen.error),
                    (&look.at, Type::TIMESTAMPTZ),
                    (&date, Type::DATE),
                    text(&run_id),
                    text(&look.error),
                ],
            )
            .await;
        noted.map_err(failed(format!("note a look at schedule {}", seen.name)))
    }

    async fn delete_schedule(&self, name: &ScheduleName) -> Result<bool, StoreError> {
        let deleted = self.step(sql!("schedules.delete"), &[text(&name.as_str())]).await;
        deleted.map_err(failed(format!("delete schedule {name}")))
    }

    async fn ping(&self) -> Result<StoreHealth, StoreError> {
        self.health().await.map_err(|error| {
            let doing = match &error {
                PgError::NotMigrated(_) | PgError::NotAllowed { .. } => "use",
                _ => "reach",
            };
            failed(format!("{doing} the run store: {}", error.words()))(error)
        })
    }
}

fn failed(doing: impl Into<String>) -> impl FnOnce(PgError) -> StoreError {
    let doing = doing.into();
    move |error| {
        let retryable = error.is_retryable() || error.is_of_set_up();
        StoreError { doing, retryable, source: Box::new(error) }
    }
}

fn text<T: ToSql + Sync>(value: &T) -> Param<'_> {
    (value, Type::TEXT)
}

fn count(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

fn column<T: FromSqlOwned>(row: &Row, name: &'static str) -> Result<T, PgError> {
    Ok(row.try_get(name)?)
}

fn required<T: FromStr>(row: &Row, name: &'static str) -> Result<T, PgError> {
    let value: Option<String> = column(row, name)?;
    let value = value.unwrap_or_default();
    value.parse().map_err(|_| PgError::Unreadable { column: name, value })
}

fn parsed<T: FromStr>(row: &Row, name: &'static str) -> Result<Option<T>, PgError> {
    match column::<Option<String>>(row, name)? {
        Some(value) => value.parse().map(Some).map_err(|_| PgError::Unreadable { column: name, value }),
        None => Ok(None),
    }
}

fn counted(row: &Row, name: &'static str) -> Result<u32, PgError> {
    let number: i32 = column(row, name)?;
    u32::try_from(number).map_err(|_| PgError::Unreadable { column: name, value: number.to_string() })
}

fn optional_count(row: &Row, name: &'static str) -> Result<Option<u32>, PgError> {
    let number: Option<i32> = column(row, name)?;
    let counted = |number: i32| {
        u32::try_from(number).map_err(|_| PgError::Unreadable { column: name, value: number.to_string() })
    };
    number.map(counted).transpose()
}

/// A text that rows from before leases may lack.
fn or_empty(row: &Row, name: &'static str) -> Result<String, PgError> {
    Ok(column::<Option<String>>(row, name)?.unwrap_or_default())
}

fn experiment_of(row: &Row) -> Result<Experiment, PgError> {
    let number = |name| column::<Option<f64>>(row, name);
    let counted = |name| column::<i64>(row, name).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    let moments = (number("best_sharpe_daily")?, number("best_skewness")?, number("best_kurtosis")?);
    let observations = column::<Option<i32>>(row, "best_observations")?;
    let sharpe = match (moments, observations.and_then(|count| usize::try_from(count).ok())) {
        ((Some(daily), Some(skew), Some(kurtosis)), Some(observations)) => {
            Some(SharpeRatio { daily, skew, kurtosis, observations })
        }
        _ => None,
    };
    let trial = optional_count(row, "best_trial")?;
    let best = match (parsed(row, "best_run_id")?, number("best_sharpe_ratio")?) {
        (Some(run_id), Some(sharpe_ratio)) => Some(BestTried { run_id, trial, sharpe_ratio, sharpe }),
        _ => None,
    };
    Ok(Experiment {
        name: column(row, "experiment")?,
        trials: counted("trials")?,
        distinct: counted("distinct_trials")?,
        failed: counted("failed")?,
        first_at: column(row, "first_at")?,
        last_at: column(row, "last_at")?,
        people: counted("people")?,
        variance: column(row, "variance")?,
        best,
    })
}

fn schedule_of(row: &Row) -> Result<Schedule, PgError> {
    Ok(Schedule {
        name: required(row, "name")?,
        config_json: column(row, "config_json")?,
        cron: column(row, "cron")?,
        when: required(row, "run_when")?,
        submitted_by: column(row, "submitted_by")?,
        created_at: column(row, "created_at")?,
        updated_at: column(row, "updated_at")?,
        looked_at: column(row, "looked_at")?,
        last_date: column(row, "last_date")?,
        last_run_id: parsed(row, "last_run_id")?,
        error: column(row, "error")?,
    })
}

fn event_of(row: &Row) -> Result<RunEvent, PgError> {
    Ok(RunEvent {
        version: column(row, "version")?,
        at: column(row, "at")?,
        event: column(row, "event")?,
        fence: column(row, "fence")?,
        actor: column(row, "actor")?,
        detail: column(row, "detail")?,
    })
}

fn run_of(row: &Row) -> Result<Run, PgError> {
    let status_reason = parsed::<Reason>(row, "status_reason")?;
    let error: Option<String> = column(row, "error")?;
    let submitted_at: Timestamp = column(row, "submitted_at")?;
    let ended_at = column::<Option<Timestamp>>(row, "completed_at")?.unwrap_or(submitted_at);
    let state = match required::<Status>(row, "status")? {
        Status::Queued => RunState::Queued { available_at: column(row, "available_at")? },
        Status::Running => RunState::Running {
            lease: Lease {
                owner: column(row, "lease_owner")?,
                expires_at: column(row, "lease_expires_at")?,
                heartbeat_at: column(row, "heartbeat_at")?,
                deadline_at: column(row, "deadline_at")?,
            },
            started_at: column(row, "started_at")?,
        },
        Status::Completed => RunState::Completed { ended_at, publication: publication_of(row)? },
        Status::Failed => RunState::Failed {
            ended_at,
            reason: status_reason.unwrap_or(Reason::StrategyFailed),
            error: error.clone().unwrap_or_default(),
        },
        Status::Canceled => RunState::Canceled { ended_at },
    };
    Ok(Run {
        id: required(row, "run_id")?,
        submission: Submission {
            run_name: column(row, "run_name")?,
            start_date: or_empty(row, "start_date")?,
            end_date: or_empty(row, "end_date")?,
            config_json: column(row, "config_json")?,
            effective_config_json: column(row, "effective_config_json")?,
            config_sha256: column(row, "config_sha256")?,
            request_sha256: column(row, "request_sha256")?,
            idempotency_key: column(row, "idempotency_key")?,
            submitted_by: column(row, "submitted_by")?,
            parent_run_id: parsed(row, "parent_run_id")?,
            traceparent: column(row, "traceparent")?,
            kind: required::<Kind>(row, "kind")?,
            part_of: part_of(row)?,
            parts: optional_count(row, "parts")?,
            trials: optional_count(row, "trials")?,
            experiment: column(row, "experiment")?,
            pins: column(row, "pins")?,
        },
        state,
        status_reason,
        error,
        attempt: counted(row, "attempt")?,
        max_attempts: counted(row, "max_attempts")?,
        fence: Fence(column(row, "fence")?),
        version: column(row, "version")?,
        submitted_at,
        started_at: column(row, "started_at")?,
        announced_at: column(row, "announced_at")?,
        announce_count: counted(row, "announce_count")?,
        cancel_requested_at: column(row, "cancel_requested_at")?,
        progress: column(row, "progress")?,
        progress_note: column(row, "progress_note")?,
        engine_version: column(row, "engine_version")?,
        labels: labels_of(row)?,
    })
}

fn part_of(row: &Row) -> Result<Option<PartOf>, PgError> {
    Ok(match (parsed(row, "study_id")?, optional_count(row, "part")?) {
        (Some(study), Some(part)) => Some(PartOf { study, part }),
        _ => None,
    })
}

fn labels_of(row: &Row) -> Result<Labels, PgError> {
    let by: Option<String> = column(row, "deleted_by")?;
    let at: Option<Timestamp> = column(row, "deleted_at")?;
    Ok(Labels {
        tags: column(row, "tags")?,
        note: column(row, "note")?,
        archived_at: column(row, "archived_at")?,
        deleted: at.map(|at| Deletion { at, by: by.unwrap_or_default() }),
    })
}

fn publication_of(row: &Row) -> Result<Publication, PgError> {
    let location = match column::<Option<String>>(row, "output_dir")? {
        Some(dir) => Location::Local { dir },
        None => Location::Adls {
            container: or_empty(row, "adls_container")?,
            prefix: or_empty(row, "adls_prefix")?,
        },
    };
    Ok(Publication {
        location,
        manifest_sha256: or_empty(row, "manifest_sha256")?,
        summary: column::<Option<Value>>(row, "summary")?.unwrap_or_default(),
        data_versions: column::<Option<Value>>(row, "data_versions")?.unwrap_or_default(),
        fingerprint: or_empty(row, "fingerprint")?,
        results_sha256: column(row, "results_sha256")?,
    })
}
