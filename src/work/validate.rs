//! Validate: everything that submit and execute would find out about a config or a study before they compute, and nothing
//! stored.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::submit::{Planned, check, check_study, fingerprint, kept_bytes, of_base};
use super::{App, document, sha256_hex};
use crate::engine::config::{BacktestConfig, Fault, Symbols};
use crate::store::load_error::LoadError;
use crate::store::prices::Survey;

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

/// A study that can be run, and how much there is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StudyPlan {
    trials: usize,
    /// Trials that make no valid config; none unless `skip_invalid`.
    invalid: usize,
    /// Distinct sets of rows that are read.
    markets: usize,
    /// Parts that instances share.
    parts: usize,
    /// What of the trials' configs has no effect, each once, and what there is to say of the rows that the first one reads.
    warnings: Vec<String>,
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
    let found = survey(app, &config).await?;
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

/// Checks a study and the config of every trial, and that their data is there.
pub async fn validate_study(app: &App, document: &Value) -> Result<StudyPlan, ValidateError> {
    let Planned { study, plan, parts } = check_study(app, document).await.map_err(ValidateError::Invalid)?;
    let found = survey(app, &plan.config).await.map_err(|error| match error {
        ValidateError::Invalid(faults) => ValidateError::Invalid(faults.into_iter().map(of_base).collect()),
        error => error,
    })?;
    Ok(StudyPlan {
        trials: plan.ordered.len(),
        invalid: plan.invalid,
        markets: plan.markets,
        parts,
        warnings: study.warnings().chain(plan.warnings).chain(found.warnings).collect(),
    })
}

/// What a run would read; a table or column that is not there is a fault of the config.
async fn survey(app: &App, config: &BacktestConfig) -> Result<Survey, ValidateError> {
    app.data.survey(config).await.map_err(|error| match error {
        LoadError::Missing { field, place } => {
            let message = format!("there is no table or file at {place}");
            ValidateError::Invalid(vec![Fault { path: field.to_owned(), message }])
        }
        error @ LoadError::NoColumn { .. } => {
            ValidateError::Invalid(vec![Fault { path: "data".to_owned(), message: error.to_string() }])
        }
        error => ValidateError::Data(error),
    })
}
