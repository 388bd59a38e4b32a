//! What is known of a run beside its outcome: who asked for what, and what was read. The files of the run and its
//! report are both made from it.

use deltalake::arrow::error::ArrowError;
use deltalake::parquet::errors::ParquetError;
use serde_json::{Value, json};

use super::{ENGINE_VERSION, document};
use crate::engine::config::BacktestConfig;
use crate::run::{Fence, RunId};
use crate::store::kept::KeptError;

/// What is known of a run beside its outcome.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Run that the facts are of.
    pub run_id: &'a RunId,
    /// The config as it came.
    pub submitted: &'a Value,
    /// The valid config.
    pub config: &'a BacktestConfig,
    /// SHA-256 of the effective config.
    pub config_sha256: &'a str,
    /// What was read.
    pub data_versions: &'a Value,
    /// The attempt of a service that computes it; `None` on a person's machine.
    pub fence: Option<Fence>,
}

impl Facts<'_> {
    /// What the config asks for that has no effect where it is run.
    pub(super) fn without_effect(&self) -> Vec<&'static str> {
        let output = &self.config.output;
        let of_service = [(
            output.local_dir.is_some(),
            "output.local_dir has no effect in a service, which keeps results in its own store",
        )];
        let of_machine = [
            (
                output.adls_dir.is_some(),
                "output.adls_dir has no effect without a service; the files went to a folder",
            ),
            (
                self.config.experiment.is_some(),
                "experiment has no effect without a service, whose ledger counts what is tried",
            ),
        ];
        let asked: &[(bool, &'static str)] = if self.fence.is_some() { &of_service } else { &of_machine };
        asked.iter().filter(|(asked, _)| *asked).map(|(_, warning)| *warning).collect()
    }
}

/// The files of a run could not be made.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A table as Parquet.
    #[error("write {name}: {source}")]
    Parquet {
        /// The file.
        name: String,
        source: ParquetError,
    },
    /// A table in memory.
    #[error("assemble a table: {0}")]
    Table(#[from] ArrowError),
    /// A table as CSV.
    #[error("write CSV: {0}")]
    Csv(#[from] csv::Error),
    /// A config or summary.
    #[error("write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A config as YAML.
    #[error("write YAML: {0}")]
    Yaml(#[from] document::NotADocument),
    /// The rows that were read.
    #[error(transparent)]
    Kept(#[from] KeptError),
}

/// The config after defaults, with what else decided the run.
pub fn resolved_config(facts: &Facts<'_>) -> Value {
    let mut resolved = facts.config.resolved();
    if let Value::Object(fields) = &mut resolved {
        fields.insert("run_id".into(), json!(facts.run_id));
        fields.insert("data_versions".into(), facts.data_versions.clone());
        fields.insert("engine_version".into(), json!(ENGINE_VERSION));
    }
    resolved
}
