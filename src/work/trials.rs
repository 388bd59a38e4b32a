//! What callers may ask of a study: its trials by page, its statistics, a figure over two parameters. Trials are there as
//! soon as their part has published; what is said of the whole waits for the study.

use std::sync::Arc;

use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::experiments::deflate_by_ledger;
use super::study::Study;
use super::study::evaluate::TrialRow;
use super::study::figures::FIGURES;
use super::study::surface::{self, Over, Surface};
use super::study::tables::{Read, read_trials};
use super::{App, chain};
use crate::run::{Location, Publication, Run, RunState};
use crate::store::artifacts::ArtifactError;
use crate::store::kept_for_minutes::Kept;
use crate::store::runs::StoreError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// The run is none.
    #[error("the run is not a study")]
    NoStudy,
    /// A parameter or figure that the study does not have.
    #[error("{0}")]
    Unknown(String),
    /// A file cannot be read as what it should be.
    #[error("{0}")]
    Unreadable(String),
    /// The artifact store did not answer.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The run store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A page of trials.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialsPage {
    /// In the order that was asked for; trials without the figure come last.
    #[schema(value_type = Vec<Object>)]
    pub trials: Vec<Value>,
    /// Trials of the study.
    pub total: usize,
    /// Trials that are there so far.
    pub evaluated: usize,
    /// Whether all of them are.
    pub complete: bool,
    /// Where the next page begins; null at the end.
    pub next_cursor: Option<String>,
}

/// Which trials, and in which order.
#[derive(Debug, Clone)]
pub struct TrialsQuery {
    /// A figure, or `trial`.
    pub sort: String,
    /// Whether the lowest comes first.
    pub ascending: bool,
    /// Only these.
    pub statuses: Vec<String>,
    /// Only these figures; all without any.
    pub fields: Vec<String>,
    /// Trials of a page.
    pub limit: usize,
    /// Trials before the page.
    pub offset: usize,
}

/// The study of a row.
///
/// # Errors
/// If it is none.
pub fn study_of(run: &Run) -> Result<(Value, Study), StudyError> {
    let document: Value = serde_json::from_str(&run.submission.config_json)
        .map_err(|error| StudyError::Unreadable(error.to_string()))?;
    let study = Study::from_value(&document).map_err(|_| StudyError::NoStudy)?;
    Ok((document, study))
}

/// Trials by page.
///
/// # Errors
/// If the run is not a study, a figure is unknown, or a store does not answer.
pub async fn trials(app: &App, run: &Run, query: TrialsQuery) -> Result<TrialsPage, StudyError> {
    let study = study_of(run)?.1;
    let known = |name: &String| FIGURES.iter().any(|(figure, _)| figure == name);
    if query.sort != "trial" && !known(&query.sort) {
        return Err(StudyError::Unknown(format!("'{}' is not a figure of a trial", query.sort)));
    }
    if let Some(unknown) = query.fields.iter().find(|name| !known(name)) {
        return Err(StudyError::Unknown(format!("'{unknown}' is not a figure of a trial")));
    }
    let read = all(app, run).await?;
    let evaluated = read.rows.len();
    let total = study.grid.count();
    let place = FIGURES.iter().position(|(figure, _)| *figure == query.sort);
    let mut rows: Vec<usize> = (0..evaluated)
        .filter(|&row| {
            query.statuses.is_empty()
                || query.statuses.iter().any(|status| status == read.rows[row].status.as_str())
        })
        .collect();
    let key = |row: usize| match place {
        Some(place) => read.rows[row].figures[place],
        None => Some(f64::from(read.rows[row].trial)),
    };
    rows.sort_by(|&a, &b| {
        let number = read.rows[a].trial.cmp(&read.rows[b].trial);
        match (key(a), key(b)) {
            (Some(x), Some(y)) if query.ascending => x.total_cmp(&y).then(number),
            (Some(x), Some(y)) => y.total_cmp(&x).then(number),
            (x, y) => y.is_some().cmp(&x.is_some()).then(number),
        }
    });
    let shown: Vec<Value> = rows
        .iter()
        .skip(query.offset)
        .take(query.limit)
        .map(|&row| trial(&study, &read, row, &query.fields))
        .collect();
    let end = query.offset + shown.len();
    Ok(TrialsPage {
        trials: shown,
        total,
        evaluated,
        complete: evaluated == total,
        next_cursor: (end < rows.len()).then(|| end.to_string()),
    })
}

fn trial(study: &Study, read: &Read, row: usize, fields: &[String]) -> Value {
    let of = &read.rows[row];
    let mut shown = Map::new();
    shown.insert("trial".into(), json!(of.trial));
    shown.insert("parameters".into(), Value::Object(study.grid.parameters(of.trial as usize)));
    shown.insert("status".into(), json!(of.status.as_str()));
    shown.insert("error".into(), json!(of.error));
    shown.insert("equal_to".into(), json!(read.equal_to.get(row).copied().flatten()));
    shown.insert("config_sha256".into(), json!(of.config_sha256));
    shown.insert("returns_sha256".into(), json!(of.returns_sha256));
    for (place, (name, _)) in FIGURES.iter().enumerate() {
        if fields.is_empty() || fields.iter().any(|field| field == name) {
            shown.insert((*name).into(), json!(of.figures[place]));
        }
    }
    Value::Object(shown)
}

/// The statistics of a completed study: those of its file, and beside them what is left of its best trial by the ledger.
///
/// # Errors
/// If it is none, or a store does not answer.
pub async fn statistics(app: &App, run: &Run, of: &Publication) -> Result<Value, StudyError> {
    study_of(run)?;
    let content = read(app, &of.location, "statistics.json").await?;
    let mut found: Value =
        serde_json::from_slice(&content).map_err(|error| StudyError::Unreadable(error.to_string()))?;
    deflate_by_ledger(app, run.submission.experiment.as_deref(), &mut found).await?;
    Ok(found)
}

/// A figure over two parameters, from the trials that are there.
///
/// # Errors
/// If the run is not a study, the study does not have a parameter or figure, or a store does not answer.
pub async fn surface(
    app: &App,
    run: &Run,
    (x, y): (&str, &str),
    measure: &str,
    over: Over,
) -> Result<Surface, StudyError> {
    let study = study_of(run)?.1;
    let place = |path: &str| {
        let found = study.grid.paths.iter().position(|known| known == path);
        found.ok_or_else(|| StudyError::Unknown(format!("'{path}' is not a parameter of the study")))
    };
    let (x, y) = (place(x)?, place(y)?);
    if !FIGURES.iter().any(|(figure, _)| *figure == measure) {
        return Err(StudyError::Unknown(format!("'{measure}' is not a figure of a trial")));
    }
    let read = all(app, run).await?;
    Ok(surface::of(&study, &read.rows, x, y, measure, over))
}

/// The trials that are there: those of the study, or of the parts that have published.
async fn all(app: &App, run: &Run) -> Result<Arc<Read>, StudyError> {
    if let RunState::Completed { publication, .. } = &run.state {
        let key = format!("{} {}", run.id, publication.manifest_sha256);
        if let Some(known) = TRIALS.get(&key) {
            return Ok(known);
        }
        let found = Arc::new(parsed(read(app, &publication.location, "trials.parquet").await?)?);
        TRIALS.put(key, Arc::clone(&found));
        return Ok(found);
    }
    let mut rows: Vec<TrialRow> = Vec::new();
    for part in app.runs.parts(&run.id).await? {
        if let RunState::Completed { publication, .. } = &part.state {
            rows.extend(parsed(read(app, &publication.location, "trials.parquet").await?)?.rows);
        }
    }
    rows.sort_by_key(|row| row.trial);
    Ok(Arc::new(Read { equal_to: vec![None; rows.len()], rows }))
}

/// The trials of completed studies, which stay as they are: those who turn the pages ask for the same ones again. Of a
/// study of 100,000 trials they are about 100 MB.
static TRIALS: Kept<Arc<Read>> = Kept::new(2);

fn parsed(content: bytes::Bytes) -> Result<Read, StudyError> {
    read_trials(content).map_err(|error| StudyError::Unreadable(error.to_string()))
}

/// All of a file.
async fn read(app: &App, at: &Location, name: &str) -> Result<bytes::Bytes, StudyError> {
    let size = app.artifacts.size(at, name).await?;
    let size = size.ok_or_else(|| StudyError::Unreadable(format!("{name} is not there")))?;
    let mut bytes = bytes::BytesMut::with_capacity(usize::try_from(size).unwrap_or(0));
    let mut content = app.artifacts.read(at, name, 0..size).await?;
    while let Some(piece) = content.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| StudyError::Unreadable(chain(&error)))?);
    }
    Ok(bytes.freeze())
}
