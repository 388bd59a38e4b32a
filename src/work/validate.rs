//! Validate: everything that submit and execute would find out about a config before they compute, and nothing stored.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::submit::{check, fingerprint, kept_bytes};
use super::{App, document, sha256_hex};
use crate::engine::config::{Fault, Symbols};
use crate::store::load_error::LoadError;

/// A config that can be run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Validated {
    /// The config after defaults.
    #[schema(value_type = Object)]
    pub effective_config: Value,
    /// What would be read now, for example table versions.
    #[schema(value_type = Object)]
    pub data_versions: Value,
    /// That of a run now; a completed run with the same one has the same artifacts.
    pub fingerprint: String,
    /// What the summary of a run would warn of, as far as it is known without computing.
    pub warnings: Vec<String>,
    /// How much there would be to do.
    pub estimate: Estimate,
}

/// How much there is to do, as far as it is known without reading any prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Estimate {
    /// Symbols of the universe; null when that is every symbol of the table.
    pub symbols: Option<usize>,
    /// Weekdays from the first day that is read, warm-up included, to the last.
    pub weekdays: usize,
    /// Files that may hold rows of these days.
    pub files: usize,
    /// Bytes of these files, of which only the needed columns are read.
    pub bytes: u64,
    /// About how many bytes `output.keep_inputs` would add to the results; null without it.
    pub kept_bytes: Option<u64>,
}

/// Why a config would not run.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// Every fault.
    #[error("the config has {} faults", .0.len())]
    Invalid(Vec<Fault>),
    /// The lake did not answer.
    #[error(transparent)]
    Data(LoadError),
}

/// Checks a config, and that its data is there.
pub async fn validate(app: &App, config: &Value) -> Result<Validated, ValidateError> {
    let config = check(app, config).map_err(ValidateError::Invalid)?;
    let found = app.data.survey(&config).await.map_err(|error| match error {
        LoadError::Missing { field, place } => {
            let message = format!("there is no table or file at {place}");
            ValidateError::Invalid(vec![Fault { path: field.to_owned(), message }])
        }
        error @ LoadError::NoColumn { .. } => {
            ValidateError::Invalid(vec![Fault { path: "data".to_owned(), message: error.to_string() }])
        }
        error => ValidateError::Data(error),
    })?;
    let kept_bytes = kept_bytes(app, &config)
        .await
        .map_err(ValidateError::Data)?
        .map_err(|fault| ValidateError::Invalid(vec![fault]))?;
    let effective_config = config.resolved();
    let symbols = match &config.universe.symbols {
        Symbols::All => None,
        Symbols::Listed(symbols) => Some(symbols.len()),
    };
    Ok(Validated {
        fingerprint: fingerprint(&sha256_hex(document::canonical(&effective_config)), &found.data_versions),
        warnings: config.warnings().into_iter().chain(found.warnings).collect(),
        effective_config,
        data_versions: found.data_versions,
        estimate: Estimate {
            symbols,
            weekdays: found.weekdays,
            files: found.files,
            bytes: found.bytes,
            kept_bytes,
        },
    })
}
