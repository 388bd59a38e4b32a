//! Compute: from a market to the files of a run. Plain and synchronous; a service runs it on a thread of its own, a
//! person's machine on all of its cores.

use std::ops::ControlFlow;

use serde_json::Value;

use super::audit;
use super::confidence::{CONFIDENCE, Confidence};
use super::experiments;
use super::facts::{Facts, FilesError};
use super::files::{self, Artifact};
use crate::engine::market::DataError;
use crate::engine::{self, BacktestConfig, Market, Outcome, RunError};
use crate::store::kept::KeptError;
use crate::store::prices::Loaded;
use crate::store::runs::ledger::Tried;

/// Loaded rows, ready for runs.
#[derive(Debug)]
pub struct Prepared {
    /// The market that they make.
    pub market: Market,
    /// What the record says of them.
    pub data_versions: Value,
    /// The rows as files, for runs that keep them; empty if none does.
    pub kept: Vec<Artifact>,
}

impl Prepared {
    /// Makes a market of rows, and with `keep` also files.
    pub fn of(config: &BacktestConfig, loaded: Loaded, keep: bool) -> Result<Self, ComputeError> {
        let kept = if keep { files::inputs(&loaded).map_err(FilesError::from)? } else { Vec::new() };
        let Loaded { prices, signals, data_versions } = loaded;
        Ok(Self { market: Market::assemble(config, prices, signals)?, data_versions, kept })
    }
}

/// What a computed run is.
#[derive(Debug)]
pub struct Computed {
    /// Every file, the manifest last.
    pub files: Vec<Artifact>,
    /// The metrics, as in `summary.json`.
    pub summary: Value,
    /// SHA-256 over the files that do not name the run.
    pub results_sha256: String,
    /// What a service counts, where the config names an experiment.
    pub tried: Option<Tried>,
}

/// Why there is no result. None of these gets better by trying again, except files that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// The rows make no market.
    #[error(transparent)]
    Market(#[from] DataError),
    /// The engine stopped.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The result could not be put into files.
    #[error(transparent)]
    Files(#[from] FilesError),
}

impl ComputeError {
    /// Whether the data is to blame, as opposed to the strategy.
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Market(_) | Self::Run(RunError::Data(_)))
    }

    /// Whether the config asks to keep more than can be kept.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Files(FilesError::Kept(KeptError::TooLarge)))
    }
}

/// Runs the backtest and writes its files into memory.
pub fn compute(
    facts: &Facts<'_>,
    prepared: &Prepared,
    on_bar: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Computed, ComputeError> {
    compute_and_tell(facts, prepared, |_| None, on_bar)
}

/// The same, with what `tell` says of the outcome among its warnings: what no config, data or engine lets one say.
pub fn compute_and_tell(
    facts: &Facts<'_>,
    prepared: &Prepared,
    tell: impl FnOnce(&Outcome) -> Option<String>,
    on_bar: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Computed, ComputeError> {
    let market = &prepared.market;
    let mut outcome = engine::run(facts.config, market, on_bar)?;
    let told = tell(&outcome);
    outcome.summary.warnings.extend(told);
    Ok(computed(facts, market, &prepared.kept, &mut outcome)?)
}

/// Writes the files of a backtest that was run into memory, with the rows that it `kept` where it does; its summary gets what
/// only a look at the whole can warn of.
///
/// # Errors
/// If one cannot be made.
pub fn computed(
    facts: &Facts<'_>,
    market: &Market,
    kept: &[Artifact],
    outcome: &mut Outcome,
) -> Result<Computed, FilesError> {
    outcome.summary.warnings.extend(audit::warnings(facts.config, market, outcome));
    let mut summary = files::summary(facts, outcome)?;
    summary[CONFIDENCE] = serde_json::to_value(Confidence::of(outcome)).map_err(FilesError::from)?;
    let mut made = files::artifacts(facts, market, outcome, &summary)?;
    if facts.config.output.keep_inputs {
        made.extend_from_slice(kept);
    }
    let (manifest, results_sha256) = files::manifest(facts, &made)?;
    made.push(manifest);
    let tried = experiments::tried(facts.config, outcome);
    Ok(Computed { files: made, summary, results_sha256, tried })
}
