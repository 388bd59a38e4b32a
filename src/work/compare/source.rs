//! What a comparison needs of one run: its config, its days and its weights, from the files that it left. A completed run
//! of a service and a folder of this machine are read alike.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use serde_json::Value;

use crate::engine::Daily;
use crate::engine::config::BacktestConfig;
use crate::run::{Location, Publication, Run};
use crate::store::artifacts::{ArtifactError, ArtifactStore};
use crate::work::document::parse_yaml;
use crate::work::files::MANIFEST;
use crate::work::results::{self, ResultError, Weights};
use crate::work::trials::study_of;

/// A completed run as it is compared.
#[derive(Debug, Clone)]
pub struct Source {
    /// Id of the run, or the folder that it was read from.
    pub id: String,
    /// `run_name` of its config, where there is one.
    pub name: Option<String>,
    /// The config with all defaults.
    pub(super) config: Value,
    /// What was read; null where it is not known.
    pub(super) data_versions: Value,
    pub(super) engine_version: Option<String>,
    /// Digest of the results; equal ones are the same results.
    pub(super) results_sha256: Option<String>,
    /// Bars of a year, as its summary has them.
    pub(super) periods_per_year: Option<f64>,
    /// A year.
    pub(super) risk_free_rate: f64,
    pub(super) daily: Daily,
    /// `None` if it kept no positions.
    pub(super) weights: Option<Weights>,
}

/// A run cannot be compared.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A table of the run is not there or cannot be read.
    #[error("{run}")]
    Table {
        run: String,
        #[source]
        source: ResultError,
    },
    /// A file of the run is not there.
    #[error("{run} has no {name}; it is not a folder of a completed run")]
    Missing {
        run: String,
        /// The file.
        name: &'static str,
    },
    /// A file of the run cannot be read.
    #[error("read {name} of {run}")]
    Read {
        run: String,
        /// The file.
        name: &'static str,
        #[source]
        source: ArtifactError,
    },
    /// A file of the run is not a document.
    #[error("{name} of {run} cannot be read")]
    Document {
        run: String,
        /// The file.
        name: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Source {
    /// A completed run of a service.
    ///
    /// # Errors
    /// If it kept no daily measures, or its files cannot be read.
    pub async fn of_run(
        artifacts: &Arc<dyn ArtifactStore>,
        run: &Run,
        published: &Publication,
    ) -> Result<Self, SourceError> {
        let reader = Reader { artifacts, at: &published.location, run: run.id.to_string() };
        let config = serde_json::from_str(&run.submission.effective_config_json).unwrap_or(Value::Null);
        let (daily, weights) = tokio::try_join!(reader.days(), reader.weights())?;
        Ok(Self {
            id: run.id.to_string(),
            name: run.submission.run_name.clone(),
            config,
            data_versions: published.data_versions.clone(),
            engine_version: run.engine_version.clone(),
            results_sha256: published.results_sha256.clone(),
            periods_per_year: published.summary["periods_per_year"].as_f64(),
            risk_free_rate: published.summary["risk_free_rate"].as_f64().unwrap_or(0.0),
            daily,
            weights,
        })
    }

    /// A trial of a completed study that kept its returns. Of its days only these are known, and no weights.
    ///
    /// # Errors
    /// If the run is not a study, or kept no returns of the trial.
    pub async fn of_trial(
        artifacts: &Arc<dyn ArtifactStore>,
        run: &Run,
        published: &Publication,
        trial: u32,
    ) -> Result<Self, SourceError> {
        let name = format!("{}:{trial}", run.id);
        let table = |source| SourceError::Table { run: name.clone(), source };
        let (_, study) = study_of(run).map_err(|_| table(ResultError::NoReturns { trial }))?;
        let daily = results::kept_days(artifacts, &published.location, trial).await.map_err(table)?;
        let config = study.config(trial as usize).map_or(Value::Null, |config| config.resolved());
        Ok(Self {
            id: name,
            name: Some(study.label(trial as usize)),
            risk_free_rate: config["risk_free_rate"].as_f64().unwrap_or(0.0),
            periods_per_year: None,
            config,
            data_versions: published.data_versions.clone(),
            engine_version: run.engine_version.clone(),
            results_sha256: None,
            daily,
            weights: None,
        })
    }

    /// A folder that a run left on this machine.
    ///
    /// # Errors
    /// If it is none, or kept no daily measures.
    pub async fn of_folder(artifacts: &Arc<dyn ArtifactStore>, folder: &Path) -> Result<Self, SourceError> {
        const SUMMARY: &str = "summary.json";
        let at = Location::Local { dir: folder.display().to_string() };
        let reader = Reader { artifacts, at: &at, run: folder.display().to_string() };
        let missing = |name| SourceError::Missing { run: reader.run.clone(), name };
        let manifest = reader.json(MANIFEST).await?.ok_or_else(|| missing(MANIFEST))?;
        let summary = reader.json(SUMMARY).await?.ok_or_else(|| missing(SUMMARY))?;
        let (config, daily, weights) = tokio::try_join!(reader.config(), reader.days(), reader.weights())?;
        Ok(Self {
            id: text(&summary["run_id"]).unwrap_or_else(|| reader.run.clone()),
            name: text(&summary["run_name"]),
            config,
            data_versions: manifest["data_versions"].clone(),
            engine_version: text(&manifest["engine_version"]),
            results_sha256: text(&manifest["results_sha256"]),
            periods_per_year: summary["periods_per_year"].as_f64(),
            risk_free_rate: summary["risk_free_rate"].as_f64().unwrap_or(0.0),
            daily,
            weights,
        })
    }
}

impl SourceError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Table { source, .. } => source.is_retryable(),
            Self::Read { .. } => true,
            Self::Missing { .. } | Self::Document { .. } => false,
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The files of one run.
struct Reader<'a> {
    artifacts: &'a Arc<dyn ArtifactStore>,
    at: &'a Location,
    run: String,
}

impl Reader<'_> {
    async fn days(&self) -> Result<Daily, SourceError> {
        results::every_day(self.artifacts, self.at).await.map_err(|source| self.table(source))
    }

    async fn weights(&self) -> Result<Option<Weights>, SourceError> {
        match results::weights(self.artifacts, self.at).await {
            Ok(weights) => Ok(Some(weights)),
            Err(ResultError::NotKept { .. }) => Ok(None),
            Err(source) => Err(self.table(source)),
        }
    }

    fn table(&self, source: ResultError) -> SourceError {
        SourceError::Table { run: self.run.clone(), source }
    }

    async fn json(&self, name: &'static str) -> Result<Option<Value>, SourceError> {
        let Some(bytes) = self.bytes(name).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| self.unreadable(name, source.into()))
    }

    /// The config with all defaults, without what names the run. One that was not kept is made of the config as it came.
    async fn config(&self) -> Result<Value, SourceError> {
        const RESOLVED: &str = "config.resolved.json";
        const SUBMITTED: &str = "config.yaml";
        if let Some(mut config) = self.json(RESOLVED).await? {
            if let Value::Object(fields) = &mut config {
                for name in ["run_id", "data_versions", "engine_version"] {
                    fields.remove(name);
                }
            }
            return Ok(config);
        }
        let Some(bytes) = self.bytes(SUBMITTED).await? else { return Ok(Value::Null) };
        let text = String::from_utf8_lossy(&bytes);
        let submitted = parse_yaml(&text).map_err(|source| self.unreadable(SUBMITTED, Box::new(source)))?;
        Ok(BacktestConfig::from_value(&submitted).map_or(submitted, |config| config.resolved()))
    }

    fn unreadable(
        &self,
        name: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> SourceError {
        SourceError::Document { run: self.run.clone(), name, source }
    }

    async fn bytes(&self, name: &'static str) -> Result<Option<Bytes>, SourceError> {
        let fault = |source| SourceError::Read { run: self.run.clone(), name, source };
        let Some(size) = self.artifacts.size(self.at, name).await.map_err(fault)? else { return Ok(None) };
        let chunks = self.artifacts.read(self.at, name, 0..size).await.map_err(fault)?;
        let chunks: Vec<Bytes> = chunks
            .try_collect()
            .await
            .map_err(|source| fault(ArtifactError { doing: "read", name: name.to_owned(), source }))?;
        Ok(Some(chunks.concat().into()))
    }
}
