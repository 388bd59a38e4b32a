//! Execute: claim a run, load its data, compute on a thread of its own while the lease is renewed, publish, finish.
//! An attempt that loses the lease stops and leaves the row alone. The attempt that ends the last part of a study joins it, too.

mod study;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::audit::{Restated, Sources};
use super::compute::{ComputeError, Computed, Prepared, compute_and_tell};
use super::facts::Facts;
use super::files::{self, Artifact};
use super::history::{self, Changed};
use super::reproduce::{self, DataFound, Lost, Original, Reproduction};
use super::summaries::VerdictSummary;
use super::{App, ENGINE_VERSION, audit, chain, notify, sha256_hex, submit};
use crate::engine::{BacktestConfig, Market, Outcome};
use crate::run::{Fence, Kind, Location, Publication, Reason, Run, RunId, RunState, Status, retry_back_off};
use crate::store::artifacts::NewFile;
use crate::store::load_error::LoadError;
use crate::store::prices::Loaded;
use crate::store::runs::ledger::Tried;
use crate::store::runs::{Beat, Claim, Claimant, Claimed, Ending, Finish, HeldLease, Progress, StoreError};
use crate::store::versions::Pins;
use crate::telemetry;

/// Longest time between two beats; a quarter of the lease when that is shorter.
const BEAT_MAX: Duration = Duration::from_secs(15);

/// Share of the lease without a confirmed beat after which nothing is uploaded or finished any more.
const TRUST: f64 = 0.75;

/// Longest time for removing the files of an attempt that failed.
const CLEAN_UP: Duration = Duration::from_secs(20);

/// What came of a wake-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executed {
    /// The attempt ended and the row says how.
    Ended(Status),
    /// Another executor holds the run now.
    FencedOut,
    /// There was nothing to do.
    Dropped,
}

/// Executes the run if it can be claimed; `invocation` names the caller in the lease.
///
/// A caller who hangs up does not take the attempt along: the run would stay claimed without an executor until its lease is over.
pub async fn execute(app: &App, id: &RunId, invocation: &str) -> Result<Executed, StoreError> {
    let (app, id, invocation) = (app.clone(), id.clone(), invocation.to_owned());
    let attempt = async move { attempt(&app, &id, &invocation).await };
    match tokio::spawn(attempt.in_current_span()).await {
        Ok(executed) => executed,
        // The task is never aborted, so it panicked; the door that called answers for that.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn attempt(app: &App, id: &RunId, invocation: &str) -> Result<Executed, StoreError> {
    let _present = app.attempts.enter();
    let claimed = match claim(app, id, invocation).await? {
        Claim::Claimed(claimed) => *claimed,
        Claim::NotNow(status) => {
            telemetry::DROPPED.one(status.as_str());
            tracing::info!(run.id = %id, "nothing to do for run {id}: it is {status} and not to be claimed now");
            return Ok(Executed::Dropped);
        }
        Claim::Unknown => {
            telemetry::DROPPED.one("unknown");
            tracing::warn!(run.id = %id, "dropped a message for run {id}, which this store does not know");
            return Ok(Executed::Dropped);
        }
    };
    let study = claimed.run.submission.part_of.as_ref().map(|of| of.study.clone());
    let started = Instant::now();
    let executed = carry_out(app, claimed).await?;
    // The host bounds an invocation by little more than the wall time of one run: after a long part there is no time for more.
    if let (Some(study), Executed::Ended(status)) = (study, executed)
        && status.is_final()
        && started.elapsed() < app.terms.timeout / 2
    {
        join_if_due(app, &study, invocation).await;
    }
    Ok(executed)
}

async fn claim(app: &App, id: &RunId, invocation: &str) -> Result<Claim, StoreError> {
    let claimant = Claimant {
        owner: format!("{}/{invocation}/{}", app.terms.instance, uuid::Uuid::new_v4().simple()),
        lease: app.terms.lease,
        timeout: app.terms.timeout,
        engine_version: ENGINE_VERSION.to_owned(),
    };
    telemetry::CLAIM.of(app.runs.claim(id, &claimant)).await
}

/// Executes the study whose part has ended, if that was the last one: then it can be claimed, by one of those who ask.
/// What goes wrong here takes nothing from the part. Reconcile finds a study that waits without open parts.
async fn join_if_due(app: &App, study: &RunId, invocation: &str) {
    let joined = match claim(app, study, invocation).await {
        Ok(Claim::Claimed(claimed)) => carry_out(app, *claimed).await.map(drop),
        Ok(Claim::NotNow(_) | Claim::Unknown) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = joined {
        tracing::warn!(run.id = %study, error = chain(&error), "study {study} could not be joined now");
    }
}

/// Carries a claimed run to the end of the attempt.
async fn carry_out(app: &App, Claimed { run, lease, taken_from }: Claimed) -> Result<Executed, StoreError> {
    let id = &run.id;
    telemetry::CLAIMS.one();
    if let (1, RunState::Running { started_at, .. }) = (run.attempt, &run.state) {
        telemetry::QUEUE_WAIT.took((*started_at - run.submitted_at).to_std().unwrap_or_default());
    }
    match taken_from {
        Some(owner) => {
            telemetry::TAKEOVERS.one();
            tracing::warn!(run.id = %id, attempt = run.attempt, "took run {id} over from {owner}");
        }
        None => {
            let traceparent = run.submission.traceparent.as_deref();
            tracing::info!(run.id = %id, attempt = run.attempt, traceparent, "claimed run {id}");
        }
    }

    let started = Instant::now();
    let attempt = Attempt::start(app, &run, lease);
    let worked = match run.submission.kind {
        Kind::Study => attempt.join(app, &run).await.map(Ending::from),
        Kind::Part => attempt.part(app, &run).await.map(Ending::from),
        Kind::Backtest | Kind::Reproduction | Kind::Audit => attempt.work(app, &run).await,
    };
    let ending = match worked {
        Ok(ending) => ending,
        Err(Stopped::Ordered(Stop::Lost { at })) => {
            telemetry::FENCED_OUT.one(at);
            tracing::warn!(run.id = %id, "stopped run {id}: another executor holds it");
            return Ok(Executed::FencedOut);
        }
        Err(Stopped::Ordered(Stop::Canceled)) => Ending::AcknowledgeCancel,
        Err(Stopped::Ordered(Stop::TimedOut)) => Ending::Fail {
            reason: Reason::Timeout,
            error: format!("the run used up its wall time of {} s", app.terms.timeout.as_secs_f64()),
        },
        Err(Stopped::Ordered(Stop::Leaving)) => Ending::RetryLater {
            reason: Reason::LeaseLost,
            error: "the executor had to go and gave the run back".to_owned(),
            delay: Duration::ZERO,
        },
        Err(Stopped::Failed { reason, error, retry: false }) => Ending::Fail { reason, error },
        Err(Stopped::Failed { reason, error, retry: true }) => {
            Ending::RetryLater { reason, error, delay: jittered(retry_back_off(run.attempt)) }
        }
    };
    let elapsed_ms = started.elapsed().as_millis() as u64;
    telemetry::RUN.took(started.elapsed());
    match attempt.finish(app, &ending).await? {
        Finish::Done(status) => {
            count_ending(&ending, status);
            if status.is_final() {
                notify::ended(app, id);
            }
            if let (Status::Completed, Some(changed)) = (status, attempt.changed.get()) {
                notify::history_changed(app, id, changed);
            }
            tracing::info!(run.id = %id, %status, elapsed_ms, "run {id} is {status} after {elapsed_ms} ms");
            if status != Status::Completed {
                attempt.leave_no_files(app);
            }
            Ok(Executed::Ended(status))
        }
        Finish::Lost => {
            telemetry::FENCED_OUT.one("finish");
            tracing::warn!(run.id = %id, "the result of run {id} came too late: another executor holds it");
            Ok(Executed::FencedOut)
        }
    }
}

/// Counts how an attempt ended. A retry that was not allowed has become what it would end in.
fn count_ending(ending: &Ending, status: Status) {
    match (status, ending) {
        (Status::Queued, Ending::RetryLater { reason, .. }) => telemetry::RETRIES.one(reason.as_str()),
        (Status::Failed, Ending::RetryLater { reason, .. } | Ending::Fail { reason, .. }) => {
            telemetry::RUNS_ENDED.one(reason.as_str());
        }
        (status, _) => telemetry::RUNS_ENDED.one(status.as_str()),
    }
}

/// A claimed run while its lease is renewed in the background.
struct Attempt {
    lease: HeldLease,
    stop: watch::Receiver<Option<Stop>>,
    gauge: Arc<Gauge>,
    confirmed: watch::Receiver<Instant>,
    beats: tokio::task::JoinHandle<()>,
    /// Where it has put files.
    place: OnceLock<Location>,
    /// Where its days are not those of the run before.
    changed: OnceLock<Changed>,
}

/// Why an attempt must end early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Another executor holds the run, or may; and what found that out.
    Lost {
        at: &'static str,
    },
    Canceled,
    TimedOut,
    /// This process must go.
    Leaving,
}

/// What a beat says when another executor holds the run.
const BEATEN: Stop = Stop::Lost { at: "beat" };

/// Why an attempt has no result.
enum Stopped {
    Ordered(Stop),
    Failed { reason: Reason, error: String, retry: bool },
}

/// How far the engine is, shared between its thread and the beats.
struct Gauge {
    /// What is counted.
    unit: &'static str,
    done: AtomicU32,
    total: AtomicU32,
    stop: AtomicBool,
}

impl Gauge {
    fn progress(&self) -> Progress {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        if total == 0 {
            return Progress { share: 0.0, note: Some("loading prices".to_owned()) };
        }
        Progress {
            share: f64::from(done) / f64::from(total),
            note: Some(format!("{} {done} of {total}", self.unit)),
        }
    }
}

/// What a run asks for.
struct Asked {
    submitted: Value,
    config: BacktestConfig,
    config_sha256: String,
    pins: Pins,
}

impl Asked {
    fn of(run: &Run) -> Result<Self, Stopped> {
        let submitted: Value = serde_json::from_str(&run.submission.config_json).map_err(broken_config)?;
        let config = BacktestConfig::from_value(&submitted).map_err(|faults| {
            broken_config(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })?;
        Ok(Self {
            submitted,
            config,
            config_sha256: run.submission.config_sha256.clone(),
            pins: pins_of(run)?,
        })
    }

    fn facts<'a>(&'a self, run_id: &'a RunId, fence: Fence, data_versions: &'a Value) -> Facts<'a> {
        Facts {
            run_id,
            submitted: &self.submitted,
            config: &self.config,
            config_sha256: &self.config_sha256,
            data_versions,
            fence: Some(fence),
        }
    }
}

/// The versions that a run is to read; what is not pinned is read as it is.
fn pins_of(run: &Run) -> Result<Pins, Stopped> {
    let pins = run.submission.pins.clone().map(serde_json::from_value).transpose();
    Ok(pins.map_err(broken_config)?.unwrap_or_default())
}

/// What an attempt made, to be published.
struct Made {
    /// Every file, the manifest last.
    files: Vec<Artifact>,
    /// What the row keeps of it.
    summary: Value,
    /// Digest of the results; `None` for what is about the results of another run.
    results_sha256: Option<String>,
    data_versions: Value,
    /// What its experiment counts, if it has one.
    tried: Option<Box<Tried>>,
}

/// What was found about another run: a document, other files, and the manifest.
fn derived(
    run: &Run,
    asked: &Asked,
    found: &impl Serialize,
    data_versions: Value,
    more: Vec<Artifact>,
) -> Result<Made, Stopped> {
    let unwritten = |error: String| Stopped::Failed { reason: Reason::EnginePanic, error, retry: false };
    let document = serde_json::to_value(found).map_err(|error| unwritten(error.to_string()))?;
    let name = if run.submission.kind == Kind::Audit { audit::FILE } else { reproduce::FILE };
    let mut files = vec![Artifact { name: name.to_owned(), content: format!("{document:#}\n").into() }];
    files.extend(more);
    let facts = asked.facts(&run.id, run.fence, &data_versions);
    let (manifest, _) = files::manifest(&facts, &files).map_err(|error| unwritten(error.to_string()))?;
    files.push(manifest);
    let summary = json!(VerdictSummary::of(run, &document));
    Ok(Made { files, summary, results_sha256: None, data_versions, tried: None })
}

/// A store that did not answer.
fn unavailable(error: &dyn std::error::Error) -> Stopped {
    Stopped::Failed { reason: Reason::StorageUnavailable, error: chain(error), retry: true }
}

/// Data that was not loaded.
fn unloaded(error: &LoadError) -> Stopped {
    let reason = match error {
        LoadError::Changed { .. } => Reason::DataChanged,
        error if error.is_gone() => Reason::DataGone,
        error if error.is_retryable() => Reason::StorageUnavailable,
        _ => Reason::InvalidData,
    };
    Stopped::Failed { reason, error: chain(error), retry: error.is_retryable() }
}

impl Attempt {
    fn start(app: &App, run: &Run, lease: HeldLease) -> Self {
        let (stop_sender, stop) = watch::channel(None);
        let (confirmed_sender, confirmed) = watch::channel(Instant::now());
        let unit = if run.submission.kind == Kind::Part { "trial" } else { "day" };
        let (done, total, stop_work) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
        let gauge = Arc::new(Gauge { unit, done, total, stop: stop_work });
        let beats = tokio::spawn(beat(
            app.clone(),
            lease.clone(),
            Arc::clone(&gauge),
            stop_sender,
            confirmed_sender,
            run.id.clone(),
        ));
        Self { lease, stop, gauge, confirmed, beats, place: OnceLock::new(), changed: OnceLock::new() }
    }

    /// Everything between claim and finish.
    async fn work(&self, app: &App, run: &Run) -> Result<Ending, Stopped> {
        let asked = Asked::of(run)?;
        let location = app.artifacts.location(asked.config.output.adls_dir.as_deref(), &run.id, run.fence);
        let location = location.map_err(|error| broken_config(format!("output.adls_dir {error}")))?;
        let mut made = match run.submission.kind {
            Kind::Reproduction => self.reproduce(app, run, asked).await?,
            Kind::Audit => self.audit(app, run, asked).await?,
            Kind::Backtest | Kind::Study | Kind::Part => self.backtest(app, run, asked).await?,
        };
        let tried = made.tried.take();
        let publication = Box::new(self.publish(app, run, location, made).await?);
        Ok(Ending::Complete { publication, tried })
    }

    /// Computes the backtest that was asked for.
    async fn backtest(&self, app: &App, run: &Run, asked: Asked) -> Result<Made, Stopped> {
        let loaded = self.load(app, &asked).await?;
        let data_versions = loaded.data_versions.clone();
        let before =
            self.or_stopped(history::before(app, run)).await?.map_err(|error| unavailable(&error))?;
        let (run_id, fence) = (run.id.clone(), run.fence);
        let computed = self.on_thread(move |on_bar| {
            let prepared = Prepared::of(&asked.config, loaded, asked.config.output.keep_inputs)?;
            let facts = asked.facts(&run_id, fence, &prepared.data_versions);
            let mut changed = None;
            let tell = |outcome: &Outcome| {
                changed = before.and_then(|before| before.changed(&outcome.daily));
                changed.as_ref().map(ToString::to_string)
            };
            let computed = compute_and_tell(&facts, &prepared, tell, on_bar)?;
            Ok((computed, changed))
        });
        let (computed, changed) = computed.await?;
        if let Some(changed) = changed {
            // The first one to say so; an attempt computes once.
            let _ = self.changed.set(changed);
        }
        let Computed { files, summary, results_sha256, tried } = computed;
        let results_sha256 = Some(results_sha256);
        Ok(Made { files, summary, results_sha256, data_versions, tried: tried.map(Box::new) })
    }

    /// Makes a published run again and compares the files.
    async fn reproduce(&self, app: &App, run: &Run, asked: Asked) -> Result<Made, Stopped> {
        let (of, published) = self.published_parent(app, run).await?;
        let Some(original) = self.original(app, &published).await? else {
            let nothing = Original {
                run_id: of.id.clone(),
                fence: Some(of.fence),
                engine_version: of.engine_version.clone().unwrap_or_default(),
                config_sha256: of.submission.config_sha256.clone(),
                data_versions: published.data_versions.clone(),
                artifacts: Vec::new(),
            };
            let reason = "files_gone: the files of the run are not there any more".to_owned();
            let found = Reproduction::not_possible(&nothing, DataFound::Gone, reason);
            return derived(run, &asked, &found, published.data_versions, Vec::new());
        };
        let data_versions = original.data_versions.clone();
        let (loaded, data) = match self.load_again(app, &asked, &published, Some(&original)).await? {
            Ok(loaded) => loaded,
            Err(Lost { data, reason }) => {
                let found = Reproduction::not_possible(&original, data, reason);
                return derived(run, &asked, &found, data_versions, Vec::new());
            }
        };
        let again = (original.clone(), asked.submitted.clone(), asked.config.clone());
        let summary = published.summary.clone();
        let made = self.on_thread(move |on_bar| {
            let (original, submitted, config) = again;
            reproduce::recompute(&original, (&submitted, &summary), &config, loaded, on_bar)
        });
        let made = made.await?;
        let mut then = HashMap::new();
        for name in reproduce::to_be_read(&original, &made) {
            let content = self.or_stopped(app.artifacts.whole(&published.location, &name)).await?;
            let content = content.map_err(|error| unavailable(&error))?.ok_or_else(|| Stopped::Failed {
                reason: Reason::DataGone,
                error: format!("{name} of run {} is not there any more", original.run_id),
                retry: false,
            })?;
            then.insert(name, content);
        }
        let found = reproduce::compare(&original, data, &made, &then);
        derived(run, &asked, &found, data_versions, Vec::new())
    }

    /// A published run by its manifest; `None` if that is not there any more.
    async fn original(&self, app: &App, published: &Publication) -> Result<Option<Original>, Stopped> {
        let manifest = self.or_stopped(app.artifacts.whole(&published.location, files::MANIFEST)).await?;
        let manifest = manifest.map_err(|error| unavailable(&error))?;
        Ok(manifest.and_then(|content| Original::of_manifest(&content).ok()))
    }

    /// Loads what a published run read; where that is gone, what the run kept of it.
    async fn load_again(
        &self,
        app: &App,
        asked: &Asked,
        published: &Publication,
        original: Option<&Original>,
    ) -> Result<Result<(Loaded, DataFound), Lost>, Stopped> {
        let read = &published.data_versions;
        let pins = Pins::of(read);
        let loading = app.data.load(&asked.config, &pins);
        let loaded = self.or_stopped(telemetry::LOAD.of(loading)).await?;
        let lost = match reproduce::again(read, loaded).map_err(|error| unloaded(&error))? {
            Ok(found) => return Ok(Ok(found)),
            Err(lost) => lost,
        };
        let Some(original) = original else { return Ok(Err(lost)) };
        let mut contents = HashMap::new();
        for file in reproduce::kept_files(original) {
            let content = self.or_stopped(app.artifacts.whole(&published.location, &file.name)).await?;
            if let Some(content) = content.map_err(|error| unavailable(&error))? {
                contents.insert(file.name.clone(), content);
            }
        }
        let original = original.clone();
        let kept = tokio::task::spawn_blocking(move || reproduce::of_kept(&original, &contents)).await;
        Ok(match kept {
            Ok(Ok(Some(kept))) => Ok((kept, DataFound::Kept)),
            Ok(Ok(None)) => Err(lost),
            Ok(Err(error)) => Err(Lost { reason: format!("{}; {}", lost.reason, chain(&error)), ..lost }),
            Err(panic) => return Err(broken_config(panic)),
        })
    }

    /// Audits the run that was asked for.
    async fn audit(&self, app: &App, run: &Run, asked: Asked) -> Result<Made, Stopped> {
        let (_, published) = self.published_parent(app, run).await?;
        let origins = self.or_stopped(app.data.origins(&asked.config, &asked.pins)).await?;
        let original = self.original(app, &published).await?;
        let loaded = self.load_again(app, &asked, &published, original.as_ref()).await?;
        // Of other data than that of the run nothing would follow for the run.
        let (loaded, _) = loaded.map_err(|Lost { data, reason }| Stopped::Failed {
            reason: if data == DataFound::Changed { Reason::DataChanged } else { Reason::DataGone },
            error: reason,
            retry: false,
        })?;
        let data_versions = loaded.data_versions.clone();
        let first = if asked.pins.first_rows {
            Some(self.or_stopped(app.data.first_rows(&asked.config, &asked.pins)).await?)
        } else {
            None
        };
        let config = asked.config.clone();
        let found = self.on_thread(move |on_step| {
            let restated = first.map(|first| Restated::of(&config, &loaded, first));
            let market = Market::assemble(&config, loaded.prices, loaded.signals)?;
            let sources = Sources { origins: &origins, restated: restated.as_ref() };
            Ok(audit::audit(&config, &market, &sources, on_step)?)
        });
        let found = found.await?;
        let of = run.submission.parent_run_id.as_ref().map_or_else(|| run.id.to_string(), RunId::to_string);
        let page = Artifact { name: audit::PAGE.to_owned(), content: audit::page::page(&of, &found).into() };
        derived(run, &asked, &found, data_versions, vec![page])
    }

    /// The completed run that a reproduction is of.
    async fn published_parent(&self, app: &App, run: &Run) -> Result<(Run, Publication), Stopped> {
        let id = run.submission.parent_run_id.as_ref().ok_or_else(|| broken_config("names no run"))?;
        let parent = self.or_stopped(app.runs.get(id)).await?.map_err(|error| unavailable(&error))?;
        match parent {
            Some(parent) => match parent.state.clone() {
                RunState::Completed { publication, .. } => Ok((parent, publication)),
                _ => Err(broken_config(format!("run {id} has no results"))),
            },
            None => Err(broken_config(format!("there is no run {id}"))),
        }
    }

    /// Loads what was asked for, as it was when it was asked for.
    async fn load(&self, app: &App, asked: &Asked) -> Result<Loaded, Stopped> {
        let loaded = self.or_stopped(telemetry::LOAD.of(app.data.load(&asked.config, &asked.pins))).await?;
        loaded.map_err(|error| unloaded(&error))
    }

    /// Computes on a thread of its own; a panic there ends the attempt, not the process.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn FnMut(usize, usize) -> ControlFlow<()>) -> Result<T, ComputeError>
        + Send
        + 'static,
    ) -> Result<T, Stopped> {
        let gauge = Arc::clone(&self.gauge);
        let thread = tokio::task::spawn_blocking(move || {
            let mut on_bar = |done: usize, total: usize| {
                gauge.total.store(u32::try_from(total).unwrap_or(u32::MAX), Ordering::Relaxed);
                gauge.done.store(u32::try_from(done).unwrap_or(u32::MAX), Ordering::Relaxed);
                if gauge.stop.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            };
            let started = Instant::now();
            let computed = work(&mut on_bar);
            telemetry::COMPUTE.took(started.elapsed());
            computed.map_err(|error| {
                let reason = match &error {
                    error if error.is_too_large() => Reason::InvalidConfig,
                    ComputeError::Files(_) => Reason::EnginePanic,
                    error if error.is_data() => Reason::InvalidData,
                    _ => Reason::StrategyFailed,
                };
                let retry = matches!(error, ComputeError::Files(_)) && !error.is_too_large();
                Stopped::Failed { reason, error: chain(&error), retry }
            })
        });
        let finished = thread.await;
        // What stopped the engine is a better reason than that it stopped.
        if let Some(stop) = *self.stop.borrow() {
            return Err(Stopped::Ordered(stop));
        }
        finished.unwrap_or_else(|panic| {
            Err(Stopped::Failed { reason: Reason::EnginePanic, error: panic_text(panic), retry: true })
        })
    }

    /// Uploads the files, the manifest last. Nothing is public before the row names the place.
    async fn publish(
        &self,
        app: &App,
        run: &Run,
        location: Location,
        made: Made,
    ) -> Result<Publication, Stopped> {
        // The first one to say so; an attempt publishes once.
        let _ = self.place.set(location.clone());
        let mut manifest_sha256 = String::new();
        for Artifact { name, content } in made.files {
            self.still_trusted(app)?;
            if name == files::MANIFEST {
                manifest_sha256 = sha256_hex(&content);
            }
            let file = NewFile { name: &name, content_type: files::content_type(&name), content };
            let written = self.or_stopped(app.artifacts.create(&location, file)).await?;
            written.map_err(|error| unavailable(&error))?;
        }
        Ok(Publication {
            location,
            manifest_sha256,
            summary: made.summary,
            fingerprint: submit::fingerprint(&run.submission.config_sha256, &made.data_versions),
            data_versions: made.data_versions,
            results_sha256: made.results_sha256,
        })
    }

    /// Ends the attempt in the row, unless the lease is too uncertain to say anything.
    async fn finish(&self, app: &App, ending: &Ending) -> Result<Finish, StoreError> {
        if self.still_trusted(app).is_err() {
            return Ok(Finish::Lost);
        }
        self.beats.abort();
        telemetry::FINISH.of(app.runs.finish(&self.lease, ending)).await
    }

    /// Removes what was put where no row names it. The storage may be what failed, so this is not waited for: what stays is
    /// swept some day.
    fn leave_no_files(&self, app: &App) {
        let Some(place) = self.place.get().cloned() else { return };
        let (artifacts, id) = (Arc::clone(&app.artifacts), self.lease.run_id.clone());
        let removal = async move {
            match tokio::time::timeout(CLEAN_UP, artifacts.remove(&place)).await {
                Ok(Ok(())) => {
                    tracing::info!(run.id = %id, "removed the files of a failed attempt of run {id}");
                }
                Ok(Err(error)) => {
                    let error = chain(&error);
                    tracing::info!(run.id = %id, error, "the files of a failed attempt of run {id} are left to the sweep");
                }
                Err(_) => {
                    tracing::info!(run.id = %id, "the files of a failed attempt of run {id} are left to the sweep");
                }
            }
        };
        tokio::spawn(removal.in_current_span());
    }

    /// Whether a beat was confirmed recently enough to start a write.
    fn still_trusted(&self, app: &App) -> Result<(), Stopped> {
        if self.confirmed.borrow().elapsed() <= app.terms.lease.mul_f64(TRUST) {
            Ok(())
        } else {
            Err(Stopped::Ordered(Stop::Lost { at: "upload" }))
        }
    }

    /// Waits for `work`, or for the order to stop.
    async fn or_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        let mut stop = self.stop.clone();
        tokio::select! {
            done = work => Ok(done),
            Ok(order) = stop.wait_for(Option::is_some) => Err(Stopped::Ordered(order.unwrap_or(BEATEN))),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.gauge.stop.store(true, Ordering::Relaxed);
        self.beats.abort();
    }
}

/// Renews the lease until the attempt ends. The first beats come soon, so that a watcher sees a short run move.
async fn beat(
    app: App,
    lease: HeldLease,
    gauge: Arc<Gauge>,
    stop: watch::Sender<Option<Stop>>,
    confirmed: watch::Sender<Instant>,
    id: RunId,
) {
    let order = |why| {
        gauge.stop.store(true, Ordering::Relaxed);
        // The receiver lives as long as the attempt.
        let _ = stop.send(Some(why));
    };
    let deadline = Instant::now() + app.terms.timeout;
    let longest = BEAT_MAX.min(app.terms.lease / 4);
    let mut pause = Duration::from_secs(1).min(longest);
    loop {
        let wake = (Instant::now() + jittered(pause)).min(deadline);
        tokio::select! {
            () = tokio::time::sleep_until(wake) => (),
            () = app.attempts.told_to_leave() => return order(Stop::Leaving),
        }
        if Instant::now() >= deadline {
            return order(Stop::TimedOut);
        }
        let sent = Instant::now();
        match telemetry::BEAT.of(app.runs.beat(&lease, &gauge.progress())).await {
            Ok(Beat::Held { cancel_requested: false }) => {
                telemetry::BEATS.one();
                let _ = confirmed.send(sent);
            }
            Ok(Beat::Held { cancel_requested: true }) => {
                telemetry::BEATS.one();
                return order(Stop::Canceled);
            }
            Ok(Beat::Lost) => return order(BEATEN),
            // Silence is not a loss: the lease is ours until another executor takes it.
            Err(error) => {
                tracing::warn!(run.id = %id, error = chain(&error), "could not renew the lease of run {id}");
            }
        }
        pause = (2 * pause).min(longest);
    }
}

/// A fifth more or less, so that many instances do not move in step.
fn jittered(duration: Duration) -> Duration {
    let random = (uuid::Uuid::new_v4().as_u128() % 1_000_000) as f64 / 1_000_000.0;
    duration.mul_f64(0.8 + 0.4 * random)
}

fn broken_config(error: impl std::fmt::Display) -> Stopped {
    Stopped::Failed { reason: Reason::InvalidConfig, error: error.to_string(), retry: false }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    let said = match error.try_into_panic() {
        Ok(payload) => match (payload.downcast_ref::<String>(), payload.downcast_ref::<&str>()) {
            (Some(text), _) => text.clone(),
            (None, Some(text)) => (*text).to_owned(),
            (None, None) => "no message".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    format!("the engine panicked: {said}")
}
