//! Runs as documents in a storage account: one JSON blob a run, which every transition reads, checks and writes back
//! on condition that no other write came in between. Time is that of the account's replies, in whole seconds.
//!
//! Below `<prefix>/_runs/` lie
//!
//! - `documents/<run_id>.json`: the run with its history. Writing it for the first time is the submit.
//! - `keys/<sha256 of an idempotency key>.json`: which run the key belongs to. A key is taken by the first request
//!   that names it, even if that submit died: the same request then makes the run, another one is refused.
//! - `newest/<inverted time>-<inverted id>~<run_id>`: sorts as runs are listed, so that a page needs names and the
//!   documents on it. It is written before the document, so an entry without its document is passed over.
//! - `schedules/<name>.json`: the schedules; `clock` is written for the account's time when there is none yet.
//! - `open/<run_id>`: the runs that may not be final yet, which is all that reconcile looks at.
//!
//! What this store cannot do: a filter on anything but the submission time reads the documents one after the other, at
//! most a thousand a page, so a page may hold fewer runs than asked for and still have a next one. A deep page passes over
//! the names before it. Every beat writes the whole document. And it keeps no ledger of experiments: no write here can see
//! whether another run has tried the same.

use std::time::Duration;

use crate::digest::sha256_hex;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use futures_util::stream::iter;
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ledger::{Experiment, Tried};
use super::schedule::{Look, NewSchedule, Schedule, ScheduleName, Schedules};
use super::transition::{self, Decision, Step};
use super::{
    Amend, Backlog, Beat, Cancel, Change, Claim, Claimant, Ending, Finish, HeldLease, Inserted, ListQuery,
    NewPart, NewRun, Overdue, Page, Position, Progress, Repair, Repaired, RunStore, StoreError, StoreHealth,
};
use crate::clock::Timestamp;
use crate::run::{Kind, Reason, Run, RunEvent, RunId, RunState, Status, Verdict, decide};
use crate::store::blob::{BlobError, Condition, Container, Stamp, join};

/// Version of the documents.
const SCHEMA: u32 = 1;

/// A run that is marked as open, with its document if there is one, and when it was marked.
type Marked = (Option<(Document, Stamp)>, RunId, Timestamp);

/// Documents that one page reads at most.
const SCAN: usize = 1000;

/// Requests at once where many documents are read.
const PARALLEL: usize = 8;

/// Tries of a transition that others keep coming in between of.
const TRIES: u32 = 20;

/// Age at which a mark of an open run without a document is the remains of a submit that died.
const ABANDONED: Duration = Duration::from_secs(3600);

const JSON: &str = "application/json";

/// The run store of a storage account.
#[derive(Debug, Clone)]
pub struct AdlsRuns {
    container: Container,
    root: String,
}

/// A run as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Document {
    schema: u32,
    run: Run,
    events: Vec<Event>,
}

/// A line of the history with the mark of the write that made it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Event {
    #[serde(flatten)]
    event: RunEvent,
    /// Shows a writer whose reply was lost that it was carried out.
    mark: String,
}

impl Document {
    fn append(&mut self, step: Step, mark: &str, at: Timestamp) {
        let event = RunEvent {
            version: self.run.version,
            at,
            event: step.event.to_owned(),
            fence: self.run.fence.0,
            actor: step.actor,
            detail: step.detail,
        };
        self.events.push(Event { event, mark: mark.to_owned() });
    }

    fn is_marked(&self, mark: &str) -> bool {
        self.events.iter().any(|event| event.mark == mark)
    }
}

/// To whom an idempotency key belongs.
#[derive(Debug, Serialize, Deserialize)]
struct KeyOwner {
    run_id: RunId,
    request_sha256: String,
}

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("{name} cannot be read")]
    Unreadable { name: String, source: serde_json::Error },
    #[error("{name} has schema {found}, this program knows {SCHEMA}")]
    Newer { name: String, found: u32 },
    #[error("others kept writing {name}")]
    Contended { name: String },
}

impl Failure {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Blob(error) => error.is_retryable(),
            Self::Contended { .. } => true,
            Self::Unreadable { .. } | Self::Newer { .. } => false,
        }
    }
}

impl AdlsRuns {
    /// A store below a prefix of a container.
    pub fn new(container: Container, prefix: &str) -> Self {
        // No run id begins with an underscore, so this stands beside the artifacts of runs.
        Self { container, root: join(prefix, "_runs") }
    }

    fn document_name(&self, id: &RunId) -> String {
        format!("{}/documents/{id}.json", self.root)
    }

    fn key_name(&self, key: &str) -> String {
        format!("{}/keys/{}.json", self.root, sha256_hex(key))
    }

    fn newest_prefix(&self) -> String {
        format!("{}/newest/", self.root)
    }

    fn open_prefix(&self) -> String {
        format!("{}/open/", self.root)
    }

    fn schedules_prefix(&self) -> String {
        format!("{}/schedules/", self.root)
    }

    /// A name that is written for the time of the reply.
    fn clock_name(&self) -> String {
        format!("{}/clock", self.root)
    }

    fn schedule_name(&self, name: &ScheduleName) -> String {
        format!("{}{name}.json", self.schedules_prefix())
    }

    async fn read(&self, id: &RunId) -> Result<Option<(Document, Stamp)>, Failure> {
        let name = self.document_name(id);
        let Some((content, stamp)) = self.container.get(&name).await? else { return Ok(None) };
        let document: Document = parse(&name, &content)?;
        if document.schema > SCHEMA {
            return Err(Failure::Newer { name, found: document.schema });
        }
        Ok(Some((document, stamp)))
    }

    async fn put(
        &self,
        name: &str,
        content: &impl Serialize,
        on: &Condition,
    ) -> Result<Option<Stamp>, Failure> {
        let text = serde_json::to_vec(content)
            .map_err(|source| Failure::Unreadable { name: name.to_owned(), source })?;
        Ok(self.container.put(name, Bytes::from(text), JSON, on).await?)
    }

    /// Writes a name without content, once or again. Answers the account's time.
    async fn note(&self, name: &str) -> Result<Timestamp, Failure> {
        match self.container.put(name, Bytes::new(), JSON, &Condition::Always).await? {
            Some(stamp) => Ok(stamp.now),
            None => Err(Failure::Contended { name: name.to_owned() }),
        }
    }

    /// Reads, decides and writes, again and again until no other write came in between; `None` for an unknown run.
    async fn change<T>(
        &self,
        id: &RunId,
        decide: impl Fn(&mut Run, Timestamp) -> Decision<T> + Send,
    ) -> Result<Option<T>, Failure> {
        let (name, mark) = (self.document_name(id), uuid::Uuid::new_v4().simple().to_string());
        // The answer of a write whose reply left open whether it was carried out.
        let (mut sent, mut patient) = (None, true);
        for _ in 0..TRIES {
            let Some((mut document, stamp)) = self.read(id).await? else { return Ok(None) };
            if let Some(answer) = sent.take_if(|_| document.is_marked(&mark)) {
                return Ok(Some(answer));
            }
            let (step, answer) = match decide(&mut document.run, stamp.now) {
                Decision::Leave(answer) => return Ok(Some(answer)),
                Decision::Write(step, answer) => (step, answer),
            };
            if let Some(step) = step {
                document.append(step, &mark, stamp.now);
            }
            match self.put(&name, &document, &Condition::Unchanged(stamp.etag)).await {
                Ok(Some(_)) => {
                    if document.run.state.status().is_final() {
                        self.close(id).await;
                    }
                    return Ok(Some(answer));
                }
                // Another write came in between, or the first reply to our own was lost: its mark in the document shows which.
                Ok(None) => sent = Some(answer),
                Err(error) if error.is_retryable() && std::mem::take(&mut patient) => sent = Some(answer),
                Err(error) => return Err(error),
            }
        }
        Err(Failure::Contended { name })
    }

    /// The parts of a study as far as they are there, in order; none of any other run.
    async fn read_parts(&self, study: &Run) -> Result<Vec<Run>, Failure> {
        let count = study.submission.parts.filter(|_| study.submission.kind == Kind::Study).unwrap_or(0);
        let ids: Vec<RunId> = (0..count).filter_map(|part| study.id.of_part(part)).collect();
        let documents: Vec<_> = ids.iter().map(|id| self.read(id)).collect();
        let found: Vec<_> = iter(documents).buffered(PARALLEL).try_collect().await?;
        Ok(found.into_iter().flatten().map(|(document, _)| document.run).collect())
    }

    /// Whether a run is a study with a part that has not ended. Parts that have, stay so: what is read here holds.
    async fn waits_for_parts(&self, id: &RunId) -> Result<bool, Failure> {
        let Some((document, _)) = self.read(id).await? else { return Ok(false) };
        self.study_waits(&document.run).await
    }

    async fn study_waits(&self, run: &Run) -> Result<bool, Failure> {
        if run.submission.kind != Kind::Study {
            return Ok(false);
        }
        let parts = self.read_parts(run).await?;
        let ended = parts.iter().filter(|part| part.state.status().is_final()).count();
        Ok(ended < run.submission.parts.unwrap_or(0) as usize)
    }

    /// Parts first: the study's own document makes it one. A part whose study is not there yet waits.
    async fn try_insert_study(&self, study: &NewRun, parts: &[NewPart]) -> Result<Inserted, Failure> {
        let key = study.submission.idempotency_key.as_deref();
        let known = match key {
            Some(key) => self.container.get(&self.key_name(key)).await?.is_some(),
            None => false,
        };
        if !known && self.read(&study.id).await?.is_none() {
            for (part, number) in parts.iter().zip(0..) {
                let part = part.of(study, number);
                if matches!(self.try_insert(&part).await?, Inserted::Created(_)) {
                    continue;
                }
                // The remains of the same submit that died, or the run of another submit.
                let before = self.read(&part.id).await?;
                if before.is_none_or(|(document, _)| document.run.submission != part.submission) {
                    return Ok(Inserted::IdTaken);
                }
            }
        }
        self.try_insert(&NewRun { announced: false, ..study.clone() }).await
    }

    /// Takes a final run off the list of open ones. What fails here, reconcile does later.
    async fn close(&self, id: &RunId) {
        if let Err(error) = self.container.delete(&format!("{}{id}", self.open_prefix())).await {
            tracing::debug!(run.id = %id, %error, "run {id} stays marked as open for now");
        }
    }

    async fn try_insert(&self, new: &NewRun) -> Result<Inserted, Failure> {
        let mut new = new.clone();
        if let Some(key) = new.submission.idempotency_key.clone() {
            match self.owner_of(&key, &new).await? {
                None => return Ok(Inserted::IdTaken),
                Some(owner) if owner.request_sha256 != new.submission.request_sha256 => {
                    return Ok(Inserted::KeyReused);
                }
                Some(owner) => new.id = owner.run_id,
            }
        }
        if let Some((document, _)) = self.read(&new.id).await? {
            return Ok(taken(document.run, &new));
        }
        let now = self.note(&format!("{}{}", self.open_prefix(), new.id)).await?;
        self.note(&format!("{}{}", self.newest_prefix(), entry_of(now, &new.id))).await?;
        let mark = uuid::Uuid::new_v4().simple().to_string();
        let (run, step) = transition::submitted(&new, now);
        let mut document = Document { schema: SCHEMA, run, events: Vec::new() };
        document.append(step, &mark, now);
        let name = self.document_name(&new.id);
        let unsure = match self.put(&name, &document, &Condition::Absent).await {
            Ok(Some(_)) => return Ok(Inserted::Created(Box::new(document.run))),
            Ok(None) => Failure::Contended { name },
            Err(error) if error.is_retryable() => error,
            Err(error) => return Err(error),
        };
        match self.read(&new.id).await? {
            Some((document, _)) if document.is_marked(&mark) => Ok(Inserted::Created(Box::new(document.run))),
            Some((document, _)) => Ok(taken(document.run, &new)),
            None => Err(unsure),
        }
    }

    /// Who has the key, which is `new` itself if it was free; `None` if `new` cannot have it because its id is taken.
    async fn owner_of(&self, key: &str, new: &NewRun) -> Result<Option<KeyOwner>, Failure> {
        let name = self.key_name(key);
        loop {
            if let Some((content, _)) = self.container.get(&name).await? {
                return parse(&name, &content).map(Some);
            }
            if let Some((document, _)) = self.read(&new.id).await?
                && document.run.submission.idempotency_key.as_deref() != Some(key)
            {
                return Ok(None);
            }
            let owner =
                KeyOwner { run_id: new.id.clone(), request_sha256: new.submission.request_sha256.clone() };
            if self.put(&name, &owner, &Condition::Absent).await?.is_some() {
                return Ok(Some(owner));
            }
        }
    }

    async fn try_list(&self, query: &ListQuery) -> Result<Page, Failure> {
        let (prefix, asked) = (self.newest_prefix(), query.clone());
        let entries = self.container.list(&prefix).map_err(Failure::from);
        let entries = entries.try_filter_map(move |listed| {
            let entry = listed.name.strip_prefix(&prefix).and_then(position_of);
            std::future::ready(Ok(entry))
        });
        let beyond =
            move |entry: &Position| asked.submitted_after.is_none_or(|bound| entry.submitted_at > bound);
        let wanted = query.clone();
        let documents = entries
            .try_take_while(move |entry| std::future::ready(Ok(beyond(entry))))
            .try_filter(move |entry| std::future::ready(is_on_page(entry, &wanted)))
            .map(|entry| async {
                let entry = entry?;
                let found = self.read(&entry.run_id).await?;
                // The entry of a submit that lost its id to another names another time.
                let run = found.map(|(document, _)| document.run);
                Ok::<_, Failure>((run.filter(|run| run.submitted_at == entry.submitted_at), entry))
            })
            .buffered(PARALLEL);
        futures_util::pin_mut!(documents);
        let (mut runs, mut scanned) = (Vec::new(), 0);
        while let Some((run, entry)) = documents.try_next().await? {
            scanned += 1;
            if let Some(run) = run.filter(|run| matches(run, query)) {
                if runs.len() == query.limit {
                    runs.push(run);
                    return Ok(Page::of(runs, query.limit));
                }
                runs.push(run);
            }
            if scanned >= SCAN {
                return Ok(Page { runs, next: Some(entry) });
            }
        }
        Ok(Page { runs, next: None })
    }

    /// Documents of the runs that are not marked as ended, with their marks. A mark may have no document.
    fn open(&self) -> impl Stream<Item = Result<Marked, Failure>> + '_ {
        let prefix = self.open_prefix();
        let open = self.container.list(&prefix).map_err(Failure::from);
        let marked = open.try_filter_map(move |listed| {
            let id = listed.name.strip_prefix(&prefix).and_then(|id| id.parse::<RunId>().ok());
            std::future::ready(Ok(id.map(|id| (id, listed.modified))))
        });
        let looked = marked.map(async |found| {
            let (id, marked_at) = found?;
            Ok::<_, Failure>((self.read(&id).await?, id, marked_at))
        });
        looked.buffer_unordered(PARALLEL)
    }

    async fn try_backlog(&self) -> Result<Backlog, Failure> {
        let open = self.open();
        futures_util::pin_mut!(open);
        let mut backlog = Backlog::default();
        while let Some((found, ..)) = open.try_next().await? {
            let Some((document, stamp)) = found else { continue };
            match &document.run.state {
                RunState::Queued { available_at } => {
                    backlog.queued += 1;
                    // Negative for a run that is not due yet.
                    let waited = (stamp.now - *available_at).to_std().unwrap_or_default();
                    backlog.oldest_due = backlog.oldest_due.max(waited);
                }
                RunState::Running { .. } => backlog.running += 1,
                _ => {}
            }
        }
        Ok(backlog)
    }

    async fn try_overdue(&self, limit: usize) -> Result<Overdue, Failure> {
        let looked = self.open();
        futures_util::pin_mut!(looked);
        let (mut overdue, mut orphans) =
            (Overdue { now: DateTime::UNIX_EPOCH, runs: Vec::new() }, Vec::new());
        while let Some((found, id, marked_at)) = looked.try_next().await? {
            let Some((document, stamp)) = found else {
                orphans.push((id, marked_at));
                continue;
            };
            overdue.now = overdue.now.max(stamp.now);
            if document.run.state.status().is_final() {
                self.close(&id).await;
            } else if decide(&document.run, stamp.now) != Verdict::Leave
                && !(document.run.state.status() == Status::Queued && self.study_waits(&document.run).await?)
            {
                overdue.runs.push(document.run);
                if overdue.runs.len() >= limit {
                    break;
                }
            }
        }
        for (id, marked_at) in orphans {
            // By the time of another reply: without one there is no hurry either.
            if marked_at + ABANDONED < overdue.now {
                self.close(&id).await;
            }
        }
        Ok(overdue)
    }

    async fn read_schedule(&self, name: &ScheduleName) -> Result<Option<(Schedule, Stamp)>, Failure> {
        let blob = self.schedule_name(name);
        let Some((content, stamp)) = self.container.get(&blob).await? else { return Ok(None) };
        Ok(Some((parse(&blob, &content)?, stamp)))
    }

    async fn try_schedules(&self, name: Option<&ScheduleName>) -> Result<Schedules, Failure> {
        let names = match name {
            Some(name) => vec![name.clone()],
            None => {
                let prefix = self.schedules_prefix();
                let listed: Vec<_> = self.container.list(&prefix).try_collect().await?;
                let name_of = |blob: &str| -> Option<ScheduleName> {
                    blob.strip_prefix(&prefix)?.strip_suffix(".json")?.parse().ok()
                };
                listed.iter().filter_map(|listed| name_of(&listed.name)).collect()
            }
        };
        let documents: Vec<_> = names.iter().map(|name| self.read_schedule(name)).collect();
        let found: Vec<_> = iter(documents).buffered(PARALLEL).try_collect().await?;
        let found: Vec<(Schedule, Stamp)> = found.into_iter().flatten().collect();
        let now = found.iter().map(|(_, stamp)| stamp.now).max().unwrap_or(DateTime::UNIX_EPOCH);
        let mut schedules: Vec<Schedule> = found.into_iter().map(|(schedule, _)| schedule).collect();
        schedules.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Schedules { now, schedules })
    }

    async fn try_put_schedule(&self, new: &NewSchedule) -> Result<(Schedule, bool), Failure> {
        let blob = self.schedule_name(&new.name);
        for _ in 0..TRIES {
            let (before, on, now) = match self.read_schedule(&new.name).await? {
                Some((schedule, stamp)) => (Some(schedule), Condition::Unchanged(stamp.etag), stamp.now),
                // Only a reply that finds something tells the account's time.
                None => (None, Condition::Absent, self.note(&self.clock_name()).await?),
            };
            let is_new = before.is_none();
            let schedule = Schedule::stored(new, before, now);
            if self.put(&blob, &schedule, &on).await?.is_some() {
                return Ok((schedule, is_new));
            }
        }
        Err(Failure::Contended { name: blob })
    }

    async fn try_note_look(&self, seen: &Schedule, look: &Look) -> Result<bool, Failure> {
        let blob = self.schedule_name(&seen.name);
        for _ in 0..TRIES {
            let Some((mut schedule, stamp)) = self.read_schedule(&seen.name).await? else { return Ok(false) };
            if !schedule.take(seen, look) {
                return Ok(false);
            }
            if self.put(&blob, &schedule, &Condition::Unchanged(stamp.etag)).await?.is_some() {
                return Ok(true);
            }
        }
        Err(Failure::Contended { name: blob })
    }

    async fn try_delete_schedule(&self, name: &ScheduleName) -> Result<bool, Failure> {
        let was_there = self.read_schedule(name).await?.is_some();
        self.container.delete(&self.schedule_name(name)).await?;
        Ok(was_there)
    }

    async fn try_repair(&self, repairs: &[Repair]) -> Result<Repaired, Failure> {
        let all: Vec<_> = repairs
            .iter()
            .map(|one| self.change(&one.run.id, |run, now| transition::repair(run, one, now)))
            .collect();
        let done: Vec<Result<Option<bool>, Failure>> = iter(all).buffered(PARALLEL).collect().await;
        let (mut repaired, mut failure) = (Repaired::default(), None);
        for (one, done) in repairs.iter().zip(done) {
            match done {
                Ok(Some(true)) => repaired.note(one),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        repaired.or(failure, ToString::to_string)
    }
}

#[async_trait]
impl RunStore for AdlsRuns {
    async fn insert(&self, run: &NewRun) -> Result<Inserted, StoreError> {
        self.try_insert(run).await.map_err(failed(format!("insert run {}", run.id)))
    }

    async fn insert_study(&self, study: &NewRun, parts: &[NewPart]) -> Result<Inserted, StoreError> {
        self.try_insert_study(study, parts).await.map_err(failed(format!("insert study {}", study.id)))
    }

    async fn parts(&self, study: &RunId) -> Result<Vec<Run>, StoreError> {
        let failed = || failed(format!("read the parts of study {study}"));
        match self.read(study).await.map_err(failed())? {
            Some((document, _)) => self.read_parts(&document.run).await.map_err(failed()),
            None => Ok(Vec::new()),
        }
    }

    async fn get(&self, id: &RunId) -> Result<Option<Run>, StoreError> {
        let found = self.read(id).await.map_err(failed(format!("get run {id}")))?;
        Ok(found.map(|(document, _)| document.run))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        self.try_list(query).await.map_err(failed("list runs"))
    }

    async fn events(&self, id: &RunId) -> Result<Vec<RunEvent>, StoreError> {
        let found = self.read(id).await.map_err(failed(format!("read the events of run {id}")))?;
        let events = found.map(|(document, _)| document.events).unwrap_or_default();
        Ok(events.into_iter().map(|event| event.event).collect())
    }

    async fn claim(&self, id: &RunId, claimant: &Claimant) -> Result<Claim, StoreError> {
        if self.waits_for_parts(id).await.map_err(failed(format!("claim run {id}")))? {
            return Ok(Claim::NotNow(Status::Queued));
        }
        let claimed = self.change(id, |run, now| transition::claim(run, claimant, now)).await;
        Ok(claimed.map_err(failed(format!("claim run {id}")))?.unwrap_or(Claim::Unknown))
    }

    async fn beat(&self, held: &HeldLease, progress: &Progress) -> Result<Beat, StoreError> {
        let id = &held.run_id;
        let beat = self.change(id, |run, now| transition::beat(run, held, progress, now)).await;
        Ok(beat.map_err(failed(format!("beat for run {id}")))?.unwrap_or(Beat::Lost))
    }

    async fn count(&self, _: &HeldLease, _: &[Tried]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn experiments(&self, _: Option<&str>) -> Result<Option<Vec<Experiment>>, StoreError> {
        Ok(None)
    }

    async fn finish(&self, held: &HeldLease, ending: &Ending) -> Result<Finish, StoreError> {
        let id = &held.run_id;
        let finish = self.change(id, |run, now| transition::finish(run, held, ending, now)).await;
        Ok(finish.map_err(failed(format!("finish run {id}")))?.unwrap_or(Finish::Lost))
    }

    async fn request_cancel(&self, id: &RunId, actor: &str) -> Result<Cancel, StoreError> {
        let failed = || failed(format!("cancel run {id}"));
        let cancel = |run: &mut Run, now| transition::request_cancel(run, actor, now);
        let canceled = self.change(id, cancel).await.map_err(failed())?.unwrap_or(Cancel::Unknown);
        if let Cancel::Canceled(run) | Cancel::Before(run) | Cancel::Requested(run) = &canceled {
            for part in self.read_parts(run).await.map_err(failed())? {
                self.change(&part.id, cancel).await.map_err(failed())?;
            }
        }
        Ok(canceled)
    }

    async fn amend(&self, id: &RunId, seen: i64, change: &Change, actor: &str) -> Result<Amend, StoreError> {
        let amended = self.change(id, |run, now| transition::amend(run, seen, change, actor, now)).await;
        Ok(amended.map_err(failed(format!("amend run {id}")))?.unwrap_or(Amend::Unknown))
    }

    async fn announce(&self, id: &RunId) -> Result<bool, StoreError> {
        if self.waits_for_parts(id).await.map_err(failed(format!("announce run {id}")))? {
            return Ok(false);
        }
        let announced = self.change(id, transition::announce).await;
        Ok(announced.map_err(failed(format!("announce run {id}")))?.unwrap_or(false))
    }

    async fn overdue(&self, limit: usize) -> Result<Overdue, StoreError> {
        self.try_overdue(limit).await.map_err(failed("look for overdue runs"))
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.try_backlog().await.map_err(failed("count the runs"))
    }

    async fn repair(&self, repairs: &[Repair]) -> Result<Repaired, StoreError> {
        self.try_repair(repairs).await.map_err(failed("repair overdue runs"))
    }

    async fn give_up(&self, id: &RunId, reason: Reason, error: &str) -> Result<bool, StoreError> {
        let given_up = self.change(id, |run, now| transition::give_up(run, reason, error, now)).await;
        Ok(given_up.map_err(failed(format!("give up run {id}")))?.unwrap_or(false))
    }

    async fn remark(
        &self,
        id: &RunId,
        event: &'static str,
        detail: &Value,
        actor: &str,
    ) -> Result<bool, StoreError> {
        let remarked = self.change(id, |run, _| transition::remark(run, event, detail, actor)).await;
        Ok(remarked.map_err(failed(format!("remark on run {id}")))?.unwrap_or(false))
    }

    async fn schedules(&self, name: Option<&ScheduleName>) -> Result<Schedules, StoreError> {
        self.try_schedules(name).await.map_err(failed("read the schedules"))
    }

    async fn put_schedule(&self, new: &NewSchedule) -> Result<(Schedule, bool), StoreError> {
        self.try_put_schedule(new).await.map_err(failed(format!("put schedule {}", new.name)))
    }

    async fn note_look(&self, seen: &Schedule, look: &Look) -> Result<bool, StoreError> {
        let noted = self.try_note_look(seen, look).await;
        noted.map_err(failed(format!("note a look at schedule {}", seen.name)))
    }

    async fn delete_schedule(&self, name: &ScheduleName) -> Result<bool, StoreError> {
        self.try_delete_schedule(name).await.map_err(failed(format!("delete schedule {name}")))
    }

    async fn ping(&self) -> Result<StoreHealth, StoreError> {
        let reached = self.container.ping().await.map_err(Failure::from);
        reached.map_err(failed("reach the run store"))?;
        Ok(StoreHealth { mode: "adls", schema_version: Some(i64::from(SCHEMA)) })
    }
}

fn failed(doing: impl Into<String>) -> impl FnOnce(Failure) -> StoreError {
    let doing = doing.into();
    move |error| StoreError { doing, retryable: error.is_retryable(), source: Box::new(error) }
}

fn parse<T: for<'de> Deserialize<'de>>(name: &str, content: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(content).map_err(|source| Failure::Unreadable { name: name.to_owned(), source })
}

/// What an insert finds where its document would be.
fn taken(before: Run, new: &NewRun) -> Inserted {
    let key = &new.submission.idempotency_key;
    let is_owner = key.is_some() && before.submission.idempotency_key == *key;
    Inserted::refused(new, is_owner.then_some(before))
}

/// Whether an entry of the index can be on the page, as far as its name tells.
fn is_on_page(entry: &Position, query: &ListQuery) -> bool {
    let older = |after: &Position| {
        (entry.submitted_at, entry.run_id.as_str()) < (after.submitted_at, after.run_id.as_str())
    };
    query.after.as_ref().is_none_or(older)
        && query.submitted_before.is_none_or(|bound| entry.submitted_at < bound)
}

/// Whether a run passes the filters that only its document can answer.
fn matches(run: &Run, query: &ListQuery) -> bool {
    let holds = |text: &str, part: &str| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase());
    let named = |part: &String| {
        holds(run.id.as_str(), part)
            || run.submission.run_name.as_deref().is_some_and(|name| holds(name, part))
    };
    let labels = &run.labels;
    labels.deleted.is_none()
        && query.kinds().contains(&run.submission.kind)
        && query.tag.as_ref().is_none_or(|tag| labels.tags.contains(tag))
        && query.archived.is_none_or(|archived| labels.archived_at.is_some() == archived)
        && query.fingerprint.as_deref().is_none_or(|wanted| run.fingerprint() == Some(wanted))
        && query.results_sha256.as_deref().is_none_or(|digest| run.results_sha256() == Some(digest))
        && (query.statuses.is_empty() || query.statuses.contains(&run.state.status()))
        && query.text.as_ref().is_none_or(named)
        && query.submitted_by.as_ref().is_none_or(|by| run.submission.submitted_by.as_ref() == Some(by))
}

/// The last moment that the index can hold, in milliseconds: about the year 2286.
const LATEST_MILLIS: i64 = 9_999_999_999_999;

/// A name that sorts newest first and, at the same moment, greatest id first. Names sort upwards, so both are inverted;
/// the `~` sorts after every digit, so that an id comes before its own beginning.
fn entry_of(at: Timestamp, id: &RunId) -> String {
    let inverted: String = id.as_str().bytes().map(|byte| format!("{:02x}", !byte)).collect();
    format!("{:013}-{inverted}~{id}", LATEST_MILLIS - at.timestamp_millis())
}

/// What [`entry_of`] made a name of.
fn position_of(entry: &str) -> Option<Position> {
    let (millis, rest) = entry.split_once('-')?;
    let submitted_at = DateTime::from_timestamp_millis(LATEST_MILLIS - millis.parse::<i64>().ok()?)?;
    Some(Position { submitted_at, run_id: rest.split_once('~')?.1.parse().ok()? })
}
