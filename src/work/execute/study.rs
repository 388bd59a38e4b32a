//! Attempts of studies: a part loads its markets once and evaluates its trials; the study itself, claimed when no part is
//! open any more, reads what they left and says what is to be said of the whole.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::{Attempt, Made, Stopped, broken_config, panic_text, pins_of, unavailable, unloaded};
use crate::engine::{BacktestConfig, Market, Outcome, RunError};
use crate::run::{Location, Publication, Reason, Run, RunState, Status};
use crate::store::prices::Loaded;
use crate::store::runs::ledger::Tried;
use crate::store::versions::united;
use crate::telemetry;
use crate::work::experiments::tried_in_study;
use crate::work::facts::{Facts, FilesError};
use crate::work::files;
use crate::work::study::Study;
use crate::work::study::complete::{Completed, Markets, complete};
use crate::work::study::evaluate::{Evaluation, OnTrial, PartResult, TrialStatus, Window};
use crate::work::study::tables::{self, PART_FILES};
use crate::work::study::trials::by_market;
use crate::work::summaries::{PartSummary, StudySummary};
use crate::work::{App, chain};

/// Files that are read at once.
const PARALLEL: usize = 8;

/// Trials that read the same rows, with the config of one of them.
type Group = (Option<BacktestConfig>, Vec<u32>);

impl Attempt {
    /// Evaluates the trials of a part.
    pub(super) async fn part(&self, app: &App, run: &Run) -> Result<Publication, Stopped> {
        let of = run.submission.part_of.as_ref().ok_or_else(|| broken_config("it is a part of nothing"))?;
        let whole = self.or_stopped(app.runs.get(&of.study)).await?.map_err(|error| unavailable(&error))?;
        // Where parts are stored before their study, they may be here first.
        let whole = whole.ok_or_else(|| retry("its study is not there yet"))?;
        let (document, study) = study_of(&whole)?;
        let trials = trials_of(run).ok_or_else(|| broken_config("it does not say which trials"))?;
        if trials.iter().any(|&trial| trial as usize >= study.grid.count()) {
            return Err(broken_config("it names a trial that the study does not have"));
        }
        let study = Arc::new(study);
        let groups = {
            let study = Arc::clone(&study);
            blocking(move || Ok(by_market(&study, &trials))).await?
        };
        let loaded = self.load_groups(app, run, &groups).await?;
        let (data_versions, location) = self.place(app, run, &groups, &loaded)?;
        self.gauge.total.store(run.submission.trials.unwrap_or(0), Ordering::Relaxed);
        let computed = {
            let (gauge, run, data_versions) = (Arc::clone(&self.gauge), run.clone(), data_versions.clone());
            let thread = blocking(move || {
                let on_trial = |_: u32, _: Option<Result<&mut Outcome, &RunError>>| {
                    gauge.done.fetch_add(1, Ordering::Relaxed);
                    if gauge.stop.load(Ordering::Relaxed) {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                };
                let started = tokio::time::Instant::now();
                let part = evaluate(&study, groups, loaded, &on_trial)?;
                telemetry::COMPUTE.took(started.elapsed());
                let files = tables::part_files(&study, &part).map_err(|error| files_failed(&error))?;
                let summary = json!(PartSummary::of(&run.id, &part.rows));
                let config = study.config(
                    part.rows
                        .iter()
                        .find(|row| row.status != TrialStatus::Invalid)
                        .map_or(0, |row| row.trial as usize),
                );
                let config = config.map_err(|_| broken_config("no trial makes a valid config"))?;
                let tried: Vec<Tried> = part.rows.iter().filter_map(tried_in_study).collect();
                let made = listed(&run, &document, &config, &data_versions, files, summary)?;
                Ok((made, tried))
            });
            thread.await
        };
        self.stopped_instead()?;
        let (made, tried) = computed?;
        let publication = self.publish(app, run, location, made).await?;
        // Before the part is done: the join finds everything counted.
        let counted = self.or_stopped(app.runs.count(&self.lease, &tried)).await?;
        counted.map_err(|error| unavailable(&error))?;
        Ok(publication)
    }

    /// Joins the parts of a study.
    pub(super) async fn join(&self, app: &App, run: &Run) -> Result<Publication, Stopped> {
        let (document, study) = study_of(run)?;
        let parts = self.or_stopped(app.runs.parts(&run.id)).await?.map_err(|error| unavailable(&error))?;
        let places = published(run, &parts)?;
        let data_versions = as_one(places.iter().map(|(_, versions)| versions))?;
        let read = self.or_stopped(read_all(app, &places)).await??;
        let study = Arc::new(study);
        let results: Vec<PartResult> = {
            let study = Arc::clone(&study);
            let read = move || {
                let parts = read.iter().map(|files| tables::read_part(&study, files));
                parts.collect::<Result<_, _>>().map_err(|error| Stopped::Failed {
                    reason: Reason::StorageUnavailable,
                    error: error.to_string(),
                    retry: true,
                })
            };
            blocking(read).await?
        };
        let all: Vec<u32> = (0..).take(study.grid.count()).collect();
        let groups = {
            let study = Arc::clone(&study);
            blocking(move || Ok(by_market(&study, &all))).await?
        };
        // Most studies are joined without a look at prices.
        let loaded = if needs_markets(&study, &results) {
            self.load_groups(app, run, &groups).await?
        } else {
            Vec::new()
        };
        let location = self.place(app, run, &groups, &loaded)?.1;
        let computed = {
            let (run, data_versions) = (run.clone(), data_versions.clone());
            blocking(move || {
                let mut markets = Markets::default();
                let configs = groups.iter().filter_map(|(config, _)| config.as_ref());
                for (config, loaded) in configs.zip(loaded) {
                    markets.add(config, assemble(config, loaded)?);
                }
                let done = complete(&study, &document, &run.id, &data_versions, results, &markets);
                let Completed { files, judged, .. } = done.map_err(|error| Stopped::Failed {
                    reason: Reason::InvalidData,
                    error: chain(&error),
                    retry: false,
                })?;
                let config = groups.into_iter().find_map(|(config, _)| config);
                let config = config.ok_or_else(|| broken_config("no trial makes a valid config"))?;
                let summary = json!(StudySummary::of(&run.id, &judged.statistics));
                listed(&run, &document, &config, &data_versions, files, summary)
            })
            .await
        };
        self.stopped_instead()?;
        self.publish(app, run, location, computed?).await
    }

    /// Loads the rows of each group that has a config.
    async fn load_groups(&self, app: &App, run: &Run, groups: &[Group]) -> Result<Vec<Loaded>, Stopped> {
        let pins = pins_of(run)?;
        let mut loaded = Vec::new();
        for config in groups.iter().filter_map(|(config, _)| config.as_ref()) {
            let one = self.or_stopped(telemetry::LOAD.of(app.data.load(config, &pins))).await?;
            loaded.push(one.map_err(|error| unloaded(&error))?);
        }
        Ok(loaded)
    }

    /// What was read, and where the files go.
    fn place(
        &self,
        app: &App,
        run: &Run,
        groups: &[Group],
        loaded: &[Loaded],
    ) -> Result<(Value, Location), Stopped> {
        let data_versions = as_one(loaded.iter().map(|one| &one.data_versions))?;
        let dir = groups.iter().find_map(|(config, _)| config.as_ref()?.output.adls_dir.as_deref());
        let location = app.artifacts.location(dir, &run.id, run.fence);
        let location = location.map_err(|error| broken_config(format!("output.adls_dir {error}")))?;
        Ok((data_versions, location))
    }

    /// What stopped the work is a better reason than that it stopped.
    fn stopped_instead(&self) -> Result<(), Stopped> {
        match *self.stop.borrow() {
            Some(stop) => Err(Stopped::Ordered(stop)),
            None => Ok(()),
        }
    }
}

/// Runs what takes long on a thread of its own; a panic there ends the attempt, not the process.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Stopped> + Send + 'static,
) -> Result<T, Stopped> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| {
        Err(Stopped::Failed { reason: Reason::EnginePanic, error: panic_text(panic), retry: true })
    })
}

/// What several markets read, as the study has it.
fn as_one<'v>(versions: impl Iterator<Item = &'v Value>) -> Result<Value, Stopped> {
    united(versions).ok_or_else(|| Stopped::Failed {
        reason: Reason::InvalidData,
        error: "the data changed while the study read it; submit it again".to_owned(),
        retry: false,
    })
}

fn retry(error: &str) -> Stopped {
    Stopped::Failed { reason: Reason::StorageUnavailable, error: error.to_owned(), retry: true }
}

fn files_failed(error: &FilesError) -> Stopped {
    Stopped::Failed { reason: Reason::EnginePanic, error: chain(error), retry: true }
}

/// The study of a row.
fn study_of(run: &Run) -> Result<(Value, Study), Stopped> {
    let document: Value = serde_json::from_str(&run.submission.config_json).map_err(broken_config)?;
    let study = Study::from_value(&document).map_err(|faults| {
        broken_config(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    Ok((document, study))
}

/// The trials of a part: `{"trials": [[first, last], …]}`.
fn trials_of(run: &Run) -> Option<Vec<u32>> {
    let config: Value = serde_json::from_str(&run.submission.config_json).ok()?;
    let ranges: Vec<[u32; 2]> = serde_json::from_value(config.get("trials")?.clone()).ok()?;
    Some(ranges.into_iter().flat_map(|[first, last]| first..=last).collect())
}

fn assemble(config: &BacktestConfig, loaded: Loaded) -> Result<Market, Stopped> {
    Market::assemble(config, loaded.prices, loaded.signals).map_err(|error| Stopped::Failed {
        reason: Reason::InvalidData,
        error: error.to_string(),
        retry: false,
    })
}

fn evaluate(
    study: &Study,
    groups: Vec<Group>,
    loaded: Vec<Loaded>,
    on_trial: OnTrial<'_>,
) -> Result<PartResult, Stopped> {
    let mut evaluation: Option<Evaluation<'_>> = None;
    let with_config = groups.into_iter().filter_map(|(config, trials)| Some((config?, trials)));
    for ((config, trials), loaded) in with_config.zip(loaded) {
        let market = assemble(&config, loaded)?;
        if evaluation.is_none() {
            let window = Window::of(study, &config, &market);
            window.splits(study).map_err(|error| Stopped::Failed {
                reason: Reason::InvalidData,
                error: format!("study.validation: {error}"),
                retry: false,
            })?;
            evaluation = Some(Evaluation::new(study, window));
        }
        if let Some(evaluation) = &mut evaluation
            && evaluation.run(&market, &trials, on_trial).is_err()
        {
            return Err(retry("the evaluation was stopped"));
        }
    }
    evaluation.map(Evaluation::finish).ok_or_else(|| broken_config("no trial makes a valid config"))
}

/// The files with their manifest.
fn listed(
    run: &Run,
    document: &Value,
    config: &BacktestConfig,
    data_versions: &Value,
    mut made: Vec<files::Artifact>,
    summary: Value,
) -> Result<Made, Stopped> {
    let facts = Facts {
        run_id: &run.id,
        submitted: document,
        config,
        config_sha256: &run.submission.config_sha256,
        data_versions,
        fence: Some(run.fence),
    };
    let (manifest, results_sha256) = files::manifest(&facts, &made).map_err(|error| files_failed(&error))?;
    made.push(manifest);
    Ok(Made {
        files: made,
        summary,
        results_sha256: Some(results_sha256),
        data_versions: data_versions.clone(),
        tried: None,
    })
}

/// Where the parts published, and what each read.
fn published(study: &Run, parts: &[Run]) -> Result<Vec<(Location, Value)>, Stopped> {
    let expected = study.submission.parts.unwrap_or(0) as usize;
    if parts.len() != expected {
        return Err(broken_config(format!("{} of {expected} parts are there", parts.len())));
    }
    let place = |part: &Run| match &part.state {
        RunState::Completed { publication, .. } => {
            Ok((publication.location.clone(), publication.data_versions.clone()))
        }
        state => {
            let number = part.submission.part_of.as_ref().map_or(0, |of| of.part);
            let error = part.error.as_deref().unwrap_or_default();
            let status: Status = state.status();
            Err(Stopped::Failed {
                reason: Reason::PartFailed,
                error: format!("part {number} is {status}: {error}"),
                retry: false,
            })
        }
    };
    parts.iter().map(place).collect()
}

/// The files of all parts.
async fn read_all(
    app: &App,
    places: &[(Location, Value)],
) -> Result<Vec<HashMap<&'static str, bytes::Bytes>>, Stopped> {
    let parts: Vec<_> = places.iter().map(|(at, _)| read_part_files(app, at)).collect();
    stream::iter(parts).buffered(PARALLEL).try_collect().await
}

/// The files of one part.
async fn read_part_files(app: &App, at: &Location) -> Result<HashMap<&'static str, bytes::Bytes>, Stopped> {
    let mut files = HashMap::new();
    for name in PART_FILES {
        files.insert(name, read(app, at, name).await?);
    }
    Ok(files)
}

/// All of a file.
async fn read(app: &App, at: &Location, name: &'static str) -> Result<bytes::Bytes, Stopped> {
    let content = app.artifacts.whole(at, name).await.map_err(|error| unavailable(&error))?;
    content.ok_or_else(|| retry(&format!("{name} of a part is not there")))
}

/// Whether trials have to be looked at again: for what they held, for their files, or because two parts counted the same
/// returns.
fn needs_markets(study: &Study, parts: &[PartResult]) -> bool {
    let mut seen = BTreeSet::new();
    let repeated = parts.iter().any(|part| {
        let own: BTreeSet<&str> = part.rows.iter().filter_map(|row| row.returns_sha256.as_deref()).collect();
        let repeated = own.iter().any(|digest| seen.contains(digest));
        seen.extend(own);
        repeated
    });
    study.validation.is_some() || study.keep_runs > 0 || repeated
}
