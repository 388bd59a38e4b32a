//! Submit: a document becomes a valid config, the config becomes a row, and an executor will run it. Everything
//! that can be wrong with a config is found here, all at once, before anything is stored.

use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;

use super::{App, ENGINE_TARGET, ENGINE_VERSION, document, sha256_hex};
use crate::engine::config::{BacktestConfig, Fault, Symbols};
use crate::run::{Kind, Run, RunId, Submission};
use crate::store::runs::{Inserted, NewRun, StoreError};
use crate::telemetry;

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
    /// Whether the caller sends the wake-up message that [`Submitted::announce`] asks for.
    pub announces: bool,
}

/// A stored run.
#[derive(Debug)]
pub struct Submitted {
    /// The run as it is now.
    pub run: Run,
    /// Whether this request made it.
    pub created: bool,
    /// Whether the caller must send a wake-up message.
    pub announce: bool,
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
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
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

/// Stores a run, or finds the one that the same request made before.
pub async fn submit(app: &App, request: Request) -> Result<Submitted, SubmitError> {
    let config = check(app, &request.config).map_err(SubmitError::Invalid)?;
    check_parent(app, request.run_id.as_ref(), request.parent_run_id.as_ref()).await?;
    let id = request.run_id.clone().unwrap_or_else(|| RunId::generate(app.clock.now()));
    let effective = config.resolved();
    let asked =
        json!({ "config": request.config, "run_id": request.run_id, "parent": request.parent_run_id });
    let new = NewRun {
        id: id.clone(),
        submission: Submission {
            // The column that is searched; the config keeps its name as it was sent.
            run_name: config.run_name.as_deref().map(|name| name.nfc().collect()),
            start_date: config.start_date.to_string(),
            end_date: config.end_date.to_string(),
            config_json: request.config.to_string(),
            config_sha256: sha256_hex(document::canonical(&effective)),
            effective_config_json: effective.to_string(),
            request_sha256: sha256_hex(document::canonical(&asked)),
            idempotency_key: request.idempotency_key,
            submitted_by: request.submitted_by,
            parent_run_id: request.parent_run_id,
            traceparent: request.traceparent,
            kind: Kind::Backtest,
            part_of: None,
            parts: None,
            trials: None,
            experiment: None,
            pins: None,
        },
        max_attempts: app.terms.max_attempts,
        announced: request.announces,
    };
    match telemetry::SUBMIT.of(app.runs.insert(&new)).await? {
        Inserted::Created(run) => {
            telemetry::SUBMITS.one();
            tracing::info!(run.id = %run.id, "stored run {}", run.id);
            Ok(Submitted { run: *run, created: true, announce: request.announces })
        }
        Inserted::Replayed(run) => {
            telemetry::REPLAYS.one();
            // The first answer may have been lost with its message.
            let announce = request.announces && app.runs.announce(&run.id).await?;
            Ok(Submitted { run: *run, created: false, announce })
        }
        Inserted::KeyReused => Err(SubmitError::KeyReused),
        Inserted::IdTaken => Err(SubmitError::IdTaken(id)),
    }
}

/// SHA-256 over what a result is a fact about: the effective config, the identity of the data and the engine. Equal
/// fingerprints mean equal results.
pub fn fingerprint(config_sha256: &str, data_versions: &Value) -> String {
    sha256_hex(document::canonical(&json!({
        "config": config_sha256, "data": data_versions, "engine": ENGINE_VERSION, "target": ENGINE_TARGET,
    })))
}
