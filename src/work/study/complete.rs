//! From parts to the files of a study: joined, judged, drawn and listed.

use std::collections::HashMap;

use serde_json::Value;

use super::config::Study;
use super::evaluate::{PartResult, again};
use super::join::{JoinError, Joined};
use super::judge::Judgement;
use super::trials::layout;
use super::{report, tables};
use crate::engine::config::BacktestConfig;
use crate::engine::{Market, Outcome};
use crate::run::RunId;
use crate::work::document;
use crate::work::facts::{Facts, FilesError};
use crate::work::files::{self, Artifact};
use crate::work::sha256_hex;

/// Why a study has no result.
#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    /// The parts are not one study.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The result could not be put into files.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// The markets that trials read, by what of a config decides it.
#[derive(Debug, Default)]
pub struct Markets(HashMap<String, Market>);

impl Markets {
    /// Adds the market that `config` reads.
    pub fn add(&mut self, config: &BacktestConfig, market: Market) {
        self.0.insert(layout(config), market);
    }

    /// The market that `config` reads.
    pub fn get(&self, config: &BacktestConfig) -> Option<&Market> {
        self.0.get(&layout(config))
    }

    /// Runs a trial again and shows what came of it.
    ///
    /// # Errors
    /// If its market is not here, or it does not run.
    pub fn again(
        &self,
        study: &Study,
        trial: u32,
        show: &mut dyn FnMut(&BacktestConfig, &Market, &Outcome),
    ) -> Result<(), String> {
        let config = study.config(trial as usize).map_err(|_| "it makes no valid config".to_owned())?;
        let market = self.get(&config).ok_or("its market was not loaded")?;
        let (config, outcome) = again(study, market, trial).map_err(|error| error.to_string())?;
        show(&config, market, &outcome);
        Ok(())
    }
}

/// A study that is done.
#[derive(Debug)]
pub struct Completed {
    /// Every file but the manifest.
    pub files: Vec<Artifact>,
    /// What is said of the whole.
    pub judged: Judgement,
    /// The trials.
    pub joined: Joined,
}

/// Joins the parts of a study, judges it and writes its files into memory.
///
/// # Errors
/// If the parts are not one study, or a file cannot be made.
pub fn complete(
    study: &Study,
    document: &Value,
    run_id: &RunId,
    data_versions: &Value,
    parts: Vec<PartResult>,
    markets: &Markets,
) -> Result<Completed, CompleteError> {
    let rerun = |trial: u32, show: &mut dyn FnMut(&BacktestConfig, &Market, &Outcome)| {
        markets.again(study, trial, show)
    };
    let joined = Joined::of(study, parts, &rerun)?;
    let judged = Judgement::of(study, &joined, &rerun)?;
    let mut made = tables::study_files(study, &joined, &judged)?;
    let text = document::to_yaml(document).map_err(FilesError::from)?;
    made.push(Artifact { name: "config.yaml".to_owned(), content: text.into() });
    let page = report::page(study, &joined, &judged);
    made.push(Artifact { name: "report.html".to_owned(), content: page.into() });
    for trial in joined.best_trials(study, study.keep_runs) {
        let mut kept: Result<Vec<Artifact>, FilesError> = Ok(Vec::new());
        rerun(trial, &mut |config, market, outcome| {
            kept = run_files(study, trial, run_id, data_versions, config, market, outcome);
        })
        .map_err(|message| JoinError::Again { trial, message })?;
        made.extend(kept?);
    }
    Ok(Completed { files: made, judged, joined })
}

/// All files of the run of a trial, below `runs/<trial>/`.
fn run_files(
    study: &Study,
    trial: u32,
    run_id: &RunId,
    data_versions: &Value,
    config: &BacktestConfig,
    market: &Market,
    outcome: &Outcome,
) -> Result<Vec<Artifact>, FilesError> {
    let submitted = study.submitted(trial as usize).unwrap_or(Value::Null);
    let facts = Facts {
        run_id,
        submitted: &submitted,
        config,
        config_sha256: &sha256_hex(document::canonical(&config.resolved())),
        data_versions,
        fence: None,
    };
    let summary = files::summary(&facts, outcome)?;
    let mut made = files::artifacts(&facts, market, outcome, &summary)?;
    for file in &mut made {
        file.name = format!("runs/{trial}/{}", file.name);
    }
    Ok(made)
}
