//! Submit: a document becomes a valid config, the config becomes a row, and an executor will run it. Everything
//! that can be wrong with a config is found here, all at once, before anything is stored.

use std::time::Duration;

use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;

use super::{App, ENGINE_TARGET, ENGINE_VERSION, document, sha256_hex};
use crate::engine::config::{BacktestConfig, Fault, Symbols};
use crate::run::{Kind, Publication, Run, RunId, Status, Submission, Wake};
use crate::store::kept::BYTES_MAX;
use crate::store::load_error::LoadError;
use crate::store::runs::{Inserted, ListQuery, NewPart, NewRun, StoreError};
use crate::store::versions::Pins;
use crate::telemetry;
use crate::work::study::Study;
use crate::work::study::trials::{Plan, ranges};

/// Symbols that a submitted universe may list.
const SYMBOLS_MAX: usize = 20_000;

/// A request to run a backtest.
#[derive(Debug, Clone)]
pub struct Request {
    /// The config as it came.
    pub config: Value,
    /// The caller's choice of an id.
    pub run_id: Option<RunId>,
    /// The run that this one repeats.
    pub parent_run_id: Option<RunId>,
    /// The caller's key: the same key and request give the same run.
    pub idempotency_key: Option<String>,
    /// The caller's name.
    pub submitted_by: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// The versions of its tables, where they are known; `None` looks for the newest that the config allows.
    pub pins: Option<Value>,
    /// Whether the caller sends the wake-up message that [`Submitted::announce`] asks for.
    pub announces: bool,
    /// Whether a completed run of the same config, data and engine is as good an answer.
    pub reuse: bool,
}

/// A stored run.
#[derive(Debug)]
pub struct Submitted {
    /// The run as it is now.
    pub run: Run,
    /// Whether this request made it.
    pub created: bool,
    /// Wake-up messages that the caller must send.
    pub announce: Vec<Wake>,
    /// Whether it is an older one of the same config, data and engine.
    pub reused: bool,
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The config cannot be run; every fault is named.
    #[error("the config has {} faults", .0.len())]
    Invalid(Vec<Fault>),
    /// The run that this one repeats is none, or this one.
    #[error("{}: {}", .0.path, .0.message)]
    Parent(Fault),
    /// The idempotency key came before with another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The id is taken.
    #[error("run id {0} is taken")]
    IdTaken(RunId),
    /// The version of a table that the config names cannot be read, or none can be named, so that the parts of a study
    /// might read different ones.
    #[error(transparent)]
    Data(LoadError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// About how many bytes a config would keep of what it reads; `None` if it keeps nothing.
///
/// # Errors
/// A fault if they are more than may be kept.
pub async fn kept_bytes(app: &App, config: &BacktestConfig) -> Result<Result<Option<u64>, Fault>, LoadError> {
    if !config.output.keep_inputs {
        return Ok(Ok(None));
    }
    let bytes = app.data.rows_bytes(config).await?;
    if bytes <= BYTES_MAX {
        return Ok(Ok(Some(bytes)));
    }
    let megabytes = |bytes: u64| bytes / 1024 / 1024;
    let message = format!(
        "would keep about {} MB, at most {} MB are allowed; ask for fewer symbols or days, or leave it out",
        megabytes(bytes),
        megabytes(BYTES_MAX)
    );
    Ok(Err(Fault { path: "output.keep_inputs".into(), message }))
}

/// A config that may be run here.
pub fn check(app: &App, config: &Value) -> Result<BacktestConfig, Vec<Fault>> {
    let config = BacktestConfig::from_value(config)?;
    let mut faults = app.data.check(&config).err().unwrap_or_default();
    if let Symbols::Listed(symbols) = &config.universe.symbols
        && symbols.len() > SYMBOLS_MAX
    {
        let message = format!("lists {} symbols, at most {SYMBOLS_MAX} are allowed", symbols.len());
        faults.push(Fault { path: "universe.symbols".into(), message });
    }
    if let Some(dir) = &config.output.adls_dir
        && let Err(message) = app.artifacts.check(dir)
    {
        faults.push(Fault { path: "output.adls_dir".into(), message });
    }
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// A run that is repeated must be there, and another one. Runs are never removed, so that it stays there.
pub async fn check_parent(
    app: &App,
    run_id: Option<&RunId>,
    parent_run_id: Option<&RunId>,
) -> Result<(), SubmitError> {
    let Some(parent) = parent_run_id else { return Ok(()) };
    let message = if run_id == Some(parent) {
        "must be another run than this one".to_owned()
    } else if app.runs.get(parent).await?.is_none() {
        format!("must be a run of this service; there is no run '{parent}'")
    } else {
        return Ok(());
    };
    Err(SubmitError::Parent(Fault { path: "parent_run_id".into(), message }))
}

/// Longest time that the logs of the tables are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The versions of the tables that the run will read at every attempt. Where a lake does not answer, a run may wait for
/// it unpinned, unless its config names versions or `must`: the parts of a study would read different ones.
async fn pins(app: &App, config: &BacktestConfig, must: bool) -> Result<Option<Value>, SubmitError> {
    let must = must
        || [config.data.price_version, config.data.signal_version].iter().any(Option::is_some)
        || config.data.as_of.is_some();
    match tokio::time::timeout(PATIENCE, app.data.pins(config)).await {
        Ok(Ok(pins)) => Ok((!pins.is_empty()).then(|| json!(pins))),
        Ok(Err(LoadError::Refused(fault))) => Err(SubmitError::Invalid(vec![fault])),
        Ok(Err(error)) if error.is_gone() || must => Err(SubmitError::Data(error)),
        // The run waits for its data; whatever is newest then is what was asked for.
        Ok(Err(error)) => {
            tracing::warn!(%error, "the run is not pinned to versions of its tables");
            Ok(None)
        }
        Err(_) if must => Err(SubmitError::Data(LoadError::Open {
            place: "the lake".to_owned(),
            source: std::io::ErrorKind::TimedOut.into(),
        })),
        Err(_) => {
            tracing::warn!(
                "the lake did not answer in time: the run is not pinned to versions of its tables"
            );
            Ok(None)
        }
    }
}

/// A completed run of the same config, data and engine.
async fn equal(app: &App, config: &BacktestConfig) -> Result<Option<Run>, SubmitError> {
    // What cannot be looked at has no equal; its execution says why.
    let Ok(found) = app.data.survey(config).await else { return Ok(None) };
    let config_sha256 = sha256_hex(document::canonical(&config.resolved()));
    let query = ListQuery {
        kinds: vec![Kind::Backtest],
        statuses: vec![Status::Completed],
        fingerprint: Some(fingerprint(&config_sha256, &found.data_versions)),
        limit: 1,
        ..ListQuery::default()
    };
    Ok(app.runs.list(&query).await?.runs.into_iter().next())
}

/// Who asks for what is about another run.
#[derive(Debug, Clone)]
pub struct Derivation {
    /// What is to be made of it.
    pub kind: Kind,
    /// Whether an audit also reads what the tables said first.
    pub deep: bool,
    /// The caller's name.
    pub submitted_by: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Whether the caller sends the wake-up message that [`Submitted::announce`] asks for.
    pub announces: bool,
}

/// Stores a run about a published one, on the versions that it read, or finds the one that this engine has made before.
/// One that failed is made again.
pub async fn derive(
    app: &App,
    of: &Run,
    published: &Publication,
    asked: Derivation,
) -> Result<Submitted, SubmitError> {
    let kind = asked.kind;
    let depth = if asked.deep { ":deep" } else { "" };
    let mut key = format!("urn:{}:{}:{ENGINE_VERSION}{depth}", kind.as_str(), of.id);
    loop {
        let pins = Pins { first_rows: asked.deep, ..Pins::of(&published.data_versions) };
        let request = json!({ "kind": kind, "of": of.id, "key": key });
        let submission = Submission {
            request_sha256: sha256_hex(document::canonical(&request)),
            idempotency_key: Some(key.clone()),
            submitted_by: asked.submitted_by.clone(),
            parent_run_id: Some(of.id.clone()),
            traceparent: asked.traceparent.clone(),
            kind,
            experiment: None,
            pins: (!pins.is_empty()).then(|| json!(pins)),
            ..of.submission.clone()
        };
        let id = RunId::generate(app.clock.now());
        let new = NewRun { id, submission, max_attempts: app.terms.max_attempts, announced: asked.announces };
        let stored = store(app, new, Vec::new()).await?;
        let failed = matches!(stored.run.state.status(), Status::Failed | Status::Canceled);
        if stored.created || !failed {
            return Ok(stored);
        }
        key = format!("urn:{}:{}:{}{depth}", kind.as_str(), of.id, stored.run.id);
    }
}

/// Stores a run, or finds the one that the same request made before.
pub async fn submit(app: &App, request: Request) -> Result<Submitted, SubmitError> {
    let config = check(app, &request.config).map_err(SubmitError::Invalid)?;
    check_parent(app, request.run_id.as_ref(), request.parent_run_id.as_ref()).await?;
    if request.reuse
        && let Some(run) = equal(app, &config).await?
    {
        return Ok(Submitted { run, created: false, announce: Vec::new(), reused: true });
    }
    let pins = match &request.pins {
        Some(pins) => Some(pins.clone()),
        None => pins(app, &config, false).await?,
    };
    // Where the lake does not answer, the execution will find out.
    if let Ok(Ok(Err(fault))) = tokio::time::timeout(PATIENCE, kept_bytes(app, &config)).await {
        return Err(SubmitError::Invalid(vec![fault]));
    }
    let asked = Asked {
        kind: Kind::Backtest,
        name: config.run_name.as_deref(),
        config: &config,
        effective: config.resolved(),
        parts: None,
        trials: None,
        experiment: config.experiment.clone(),
        pins,
    };
    store(app, asked.by(app, request), Vec::new()).await
}

/// What a request asks for, once it was looked at.
struct Asked<'a> {
    kind: Kind,
    /// What it is called.
    name: Option<&'a str>,
    /// The config whose dates it has.
    config: &'a BacktestConfig,
    /// What was asked for, with its defaults.
    effective: Value,
    parts: Option<u32>,
    trials: Option<u32>,
    experiment: Option<String>,
    pins: Option<Value>,
}

impl Asked<'_> {
    /// The row of it.
    fn by(self, app: &App, request: Request) -> NewRun {
        let subject = if self.kind == Kind::Study { "study" } else { "config" };
        let asked =
            json!({ subject: request.config, "run_id": request.run_id, "parent": request.parent_run_id });
        NewRun {
            id: request.run_id.unwrap_or_else(|| RunId::generate(app.clock.now())),
            submission: Submission {
                // The column that is searched; the config keeps its name as it was sent.
                run_name: self.name.map(|name| name.nfc().collect()),
                start_date: self.config.start_date.to_string(),
                end_date: self.config.end_date.to_string(),
                config_json: request.config.to_string(),
                config_sha256: sha256_hex(document::canonical(&self.effective)),
                effective_config_json: self.effective.to_string(),
                request_sha256: sha256_hex(document::canonical(&asked)),
                idempotency_key: request.idempotency_key,
                submitted_by: request.submitted_by,
                parent_run_id: request.parent_run_id,
                traceparent: request.traceparent,
                kind: self.kind,
                part_of: None,
                parts: self.parts,
                trials: self.trials,
                experiment: self.experiment,
                pins: self.pins,
            },
            max_attempts: app.terms.max_attempts,
            announced: request.announces,
        }
    }
}

/// Stores a run, or a study with its parts, unless the same request did so before.
async fn store(app: &App, new: NewRun, parts: Vec<NewPart>) -> Result<Submitted, SubmitError> {
    let is_study = new.submission.kind == Kind::Study;
    let stored = telemetry::SUBMIT.of(async {
        if is_study { app.runs.insert_study(&new, &parts).await } else { app.runs.insert(&new).await }
    });
    match stored.await? {
        Inserted::Created(run) => {
            telemetry::SUBMITS.one();
            tracing::info!(run.id = %run.id, parts = parts.len(), "stored {} {}", run.submission.kind.as_str(), run.id);
            let announce = match (new.announced, is_study) {
                (false, _) => Vec::new(),
                (true, false) => vec![Wake::of(&run)],
                // A study waits for its parts.
                (true, true) => {
                    let wake = |part: NewPart| Wake::to(part.id, run.submission.traceparent.clone());
                    parts.into_iter().map(wake).collect()
                }
            };
            Ok(Submitted { run: *run, created: true, announce, reused: false })
        }
        Inserted::Replayed(run) => {
            telemetry::REPLAYS.one();
            // The first answer may have been lost with its message; of parts reconcile announces what was lost.
            let due = new.announced && !is_study && app.runs.announce(&run.id).await?;
            let announce = if due { vec![Wake::of(&run)] } else { Vec::new() };
            Ok(Submitted { run: *run, created: false, announce, reused: false })
        }
        Inserted::KeyReused => Err(SubmitError::KeyReused),
        Inserted::IdTaken => Err(SubmitError::IdTaken(new.id)),
    }
}

/// A study that may be run here, with its trials shared out.
pub struct Planned {
    /// What is asked for.
    pub study: Study,
    /// Its trials.
    pub plan: Plan,
    /// How many parts they make.
    pub parts: usize,
}

/// Checks a study and every config of it, and shares its trials out. Takes long for many trials, so it happens beside the
/// threads that answer.
///
/// # Errors
/// Every fault.
pub async fn check_study(app: &App, document: &Value) -> Result<Planned, Vec<Fault>> {
    let document = document.clone();
    let planned = tokio::task::spawn_blocking(move || {
        let study = Study::from_value(&document)?;
        let plan = study.plan()?;
        Ok::<_, Vec<Fault>>((study, plan))
    });
    let broken =
        |error: tokio::task::JoinError| vec![Fault { path: String::new(), message: error.to_string() }];
    let (study, plan) = planned.await.map_err(broken)??;
    check(app, &study.base_of(&plan))
        .map_err(|faults| faults.into_iter().map(of_base).collect::<Vec<_>>())?;
    let days = (plan.config.end_date - plan.config.start_date).num_days().max(0) as usize * 5 / 7;
    let symbols = match &plan.config.universe.symbols {
        Symbols::Listed(symbols) => symbols.len(),
        Symbols::All => SYMBOLS_GUESSED,
    };
    let parts = plan.parts_for(days, symbols);
    Ok(Planned { study, plan, parts })
}

/// A fault of a config, where it stands in a study.
pub(super) fn of_base(fault: Fault) -> Fault {
    Fault { path: format!("base.{}", fault.path), ..fault }
}

/// Symbols that a table is thought to have when a study is shared out.
const SYMBOLS_GUESSED: usize = 500;

/// Stores a study with its parts, or finds the one that the same request made before.
///
/// # Errors
/// If it cannot be run, its id or key is taken, or the store does not answer.
pub async fn submit_study(app: &App, request: Request) -> Result<Submitted, SubmitError> {
    let Planned { study, plan, parts } =
        check_study(app, &request.config).await.map_err(SubmitError::Invalid)?;
    check_parent(app, request.run_id.as_ref(), request.parent_run_id.as_ref()).await?;
    let pins = pins(app, &plan.config, true).await?;
    let asked = Asked {
        kind: Kind::Study,
        name: study.name.as_deref(),
        config: &plan.config,
        effective: request.config.clone(),
        parts: u32::try_from(parts).ok(),
        trials: u32::try_from(study.grid.count()).ok(),
        experiment: study.experiment.clone(),
        // All trials read the same versions.
        pins,
    };
    let new = asked.by(app, request);
    let too_long = || {
        let message = "leaves no room for the numbers of the parts; at most 60 characters".to_owned();
        SubmitError::Invalid(vec![Fault { path: "run_id".into(), message }])
    };
    let shares: Vec<NewPart> = plan
        .parts(parts)
        .into_iter()
        .zip(0..)
        .map(|(trials, number)| {
            Ok(NewPart {
                id: new.id.of_part(number).ok_or_else(too_long)?,
                config_json: json!({ "trials": ranges(trials) }).to_string(),
                trials: u32::try_from(trials.len()).unwrap_or(u32::MAX),
            })
        })
        .collect::<Result<_, SubmitError>>()?;
    store(app, new, shares).await
}

/// SHA-256 over what a result is a fact about: the effective config, the identity of the data and the engine. Equal
/// fingerprints mean equal results.
pub fn fingerprint(config_sha256: &str, data_versions: &Value) -> String {
    sha256_hex(document::canonical(&json!({
        "config": config_sha256, "data": data_versions, "engine": ENGINE_VERSION, "target": ENGINE_TARGET,
    })))
}
