//! Reproduce: a published run computed again, from the config and the versions of the data that it names, under its own id
//! and fence, and compared file by file. What is made is only hashed; nothing but the verdict is kept.

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use deltalake::arrow::array::{AsArray as _, RecordBatch};
use deltalake::arrow::compute::{cast, concat_batches};
use deltalake::arrow::datatypes::{DataType, Float64Type};
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::compute::{ComputeError, Prepared, compute_and_tell};
use super::facts::Facts;
use super::files::{self, Artifact};
use super::{ENGINE_VERSION, chain, history, sha256_hex};
use crate::engine::BacktestConfig;
use crate::run::{Fence, RunId};
use crate::store::kept::{self, KeptError};
use crate::store::load_error::LoadError;
use crate::store::prices::Loaded;
use crate::store::versions::names_content;

/// Name of the file with the verdict.
pub const FILE: &str = "reproduction.json";

/// How far numbers of another engine may be apart, relative to the larger one.
const TOLERANCE: f64 = 1e-9;

/// A published run as its manifest describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct Original {
    /// Run that was made again.
    pub run_id: RunId,
    /// The attempt that published it; `None` on a person's machine.
    pub fence: Option<Fence>,
    /// The engine that computed it.
    pub engine_version: String,
    /// SHA-256 of its effective config.
    pub config_sha256: String,
    /// What it read.
    pub data_versions: Value,
    /// Every file but the manifest.
    pub artifacts: Vec<Listed>,
}

/// A file of a manifest.
#[derive(Debug, Clone, Deserialize)]
pub struct Listed {
    /// Name below the run.
    pub name: String,
    /// SHA-256 of its content, lower-case hex.
    pub sha256: String,
}

impl Original {
    /// Reads a manifest.
    pub fn of_manifest(content: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(content)
    }
}

/// Whether a run could be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every file is the same to the last byte.
    Identical,
    /// Another engine gives the same rows, and every number within 1e-9 of its size.
    EqualNumbers,
    /// Something differs.
    Different,
    /// The data is not there any more, or the config is no longer accepted.
    NotPossible,
}

/// What came of making a run again.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Reproduction {
    /// The run.
    pub of: RunId,
    /// Whether it could be made again.
    pub verdict: Verdict,
    /// Why not, where it could not be.
    pub reason: Option<String>,
    /// Who computed it, and who computed it again.
    pub engine: Engines,
    /// Whether the data is what the run names.
    pub data: DataFound,
    /// Every file of the run, in the order of its manifest.
    pub files: Vec<FileCompared>,
    /// Where numbers are furthest apart; null if no file that holds numbers differs.
    pub largest_difference: Option<LargestDifference>,
}

/// Versions of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Engines {
    /// Of the run.
    pub then: String,
    /// Of this program.
    pub now: String,
}

/// Whether the data is what the run names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataFound {
    /// To the last byte.
    Identical,
    /// Something else lies there now.
    Changed,
    /// It is not there any more, or was not looked at.
    Gone,
    /// It is not there any more as it was, and the run has kept what it read.
    Kept,
    /// The record is from before data was named exactly.
    Unnamed,
}

/// A file then and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileCompared {
    /// Name below the run.
    pub name: String,
    /// SHA-256 as published.
    pub expected: String,
    /// SHA-256 as made again; null if it was not.
    pub got: Option<String>,
    /// Whether they are the same.
    pub equal: bool,
}

/// Two numbers that should be the same.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LargestDifference {
    /// Name of the artifact.
    pub file: String,
    /// Column of a table, or path of a document.
    pub column: String,
    /// Row of a table, from 0.
    pub row: Option<usize>,
    /// Distance of the numbers; null where rows or texts differ.
    pub absolute: Option<f64>,
    /// The same relative to the larger number.
    pub relative: Option<f64>,
}

impl Reproduction {
    /// That it could not be tried.
    pub fn not_possible(original: &Original, data: DataFound, reason: String) -> Self {
        Self {
            of: original.run_id.clone(),
            verdict: Verdict::NotPossible,
            reason: Some(reason),
            engine: engines(original),
            data,
            files: Vec::new(),
            largest_difference: None,
        }
    }
}

fn engines(original: &Original) -> Engines {
    Engines { then: original.engine_version.clone(), now: ENGINE_VERSION.to_owned() }
}

/// How what was loaded stands to what a run read.
pub fn found(read: &Value, loaded: &Value) -> DataFound {
    match (names_content(read), loaded == read) {
        (_, true) => DataFound::Identical,
        (true, false) => DataFound::Changed,
        (false, false) => DataFound::Unnamed,
    }
}

/// Data that a run read, and that is not there any more.
#[derive(Debug, Clone)]
pub struct Lost {
    /// Whether there is something else now.
    pub data: DataFound,
    /// What was read and what there is, behind a code.
    pub reason: String,
}

/// What was loaded, if it is what a run read.
///
/// # Errors
/// What was lost; or the error of a lake that may answer later.
pub fn again(
    read: &Value,
    loaded: Result<Loaded, LoadError>,
) -> Result<Result<(Loaded, DataFound), Lost>, LoadError> {
    match loaded {
        Ok(loaded) => Ok(match found(read, &loaded.data_versions) {
            DataFound::Changed => {
                let now = &loaded.data_versions;
                let reason = format!("data_changed: the run read {read}, now there is {now}");
                Err(Lost { data: DataFound::Changed, reason })
            }
            data => Ok((loaded, data)),
        }),
        Err(error) if error.is_retryable() => Err(error),
        Err(error) => {
            let reason = format!("data_gone: {}", chain(&error));
            Ok(Err(Lost { data: DataFound::Gone, reason }))
        }
    }
}

/// The files that a run kept of what it read.
pub fn kept_files(original: &Original) -> Vec<&Listed> {
    let is_kept = |file: &&Listed| [files::KEPT_PRICES, files::KEPT_SIGNALS].contains(&file.name.as_str());
    original.artifacts.iter().filter(is_kept).collect()
}

/// The rows in these files, with their names; `None` if the run kept none.
///
/// # Errors
/// If a file is not what was published, or not one of rows.
pub fn of_kept(original: &Original, contents: &HashMap<String, Bytes>) -> Result<Option<Loaded>, KeptError> {
    let listed = kept_files(original);
    let content = |name: &str| -> Result<Option<Bytes>, KeptError> {
        let Some(file) = listed.iter().find(|file| file.name == name) else { return Ok(None) };
        let content = contents.get(name).filter(|content| sha256_hex(content) == file.sha256);
        content.map_or_else(
            || Err(KeptError::Unknown(format!("{name} is not there as it was published"))),
            |content| Ok(Some(content.clone())),
        )
    };
    let Some(prices) = content(files::KEPT_PRICES)? else { return Ok(None) };
    Ok(Some(Loaded {
        prices: kept::read_prices(prices)?,
        signals: content(files::KEPT_SIGNALS)?.map(kept::read_signals).transpose()?,
        data_versions: original.data_versions.clone(),
    }))
}

/// Computes the files of a run again, as it would have written them. What its `summary` says of the run before it is said again:
/// that one need not be there any more.
pub fn recompute(
    original: &Original,
    (submitted, summary): (&Value, &Value),
    config: &BacktestConfig,
    loaded: Loaded,
    on_bar: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Artifact>, ComputeError> {
    let facts = Facts {
        run_id: &original.run_id,
        submitted,
        config,
        config_sha256: &original.config_sha256,
        data_versions: &original.data_versions,
        fence: original.fence,
    };
    let prepared = Prepared::of(config, loaded, config.output.keep_inputs)?;
    let told = history::told(summary).map(str::to_owned);
    let mut files = compute_and_tell(&facts, &prepared, |_| told, on_bar)?.files;
    // The manifest says what the others are.
    files.retain(|file| file.name != files::MANIFEST);
    Ok(files)
}

/// The published files whose content must be looked at, because digests alone do not tell how far they are apart.
pub fn to_be_read(original: &Original, made: &[Artifact]) -> Vec<String> {
    let differs = |listed: &&Listed| {
        let again = made.iter().find(|file| file.name == listed.name);
        holds_numbers(&listed.name) && again.is_some_and(|file| sha256_hex(&file.content) != listed.sha256)
    };
    original.artifacts.iter().filter(differs).map(|listed| listed.name.clone()).collect()
}

/// Compares what was made with what was published; `then` has the published files of [`to_be_read`].
pub fn compare(
    original: &Original,
    data: DataFound,
    made: &[Artifact],
    then: &HashMap<String, Bytes>,
) -> Reproduction {
    let (mut compared, mut largest, mut verdict) = (Vec::new(), None, Verdict::Identical);
    let other_engine = original.engine_version != ENGINE_VERSION;
    for Listed { name, sha256 } in &original.artifacts {
        let again = made.iter().find(|file| file.name == *name);
        let got = again.map(|file| sha256_hex(&file.content));
        let equal = got.as_ref() == Some(sha256);
        if !equal {
            let apart = again.zip(then.get(name)).and_then(|(again, then)| {
                let found = distance(name, then, &again.content)?;
                Some(LargestDifference { file: name.clone(), ..found })
            });
            let near =
                apart.as_ref().is_none_or(|apart| apart.relative.is_some_and(|size| size <= TOLERANCE));
            let tells = again.is_none() || name == "config.yaml";
            let same_numbers = other_engine && near && !tells;
            verdict = match verdict {
                Verdict::Identical if same_numbers => Verdict::EqualNumbers,
                Verdict::EqualNumbers if same_numbers => Verdict::EqualNumbers,
                _ => Verdict::Different,
            };
            if is_larger(apart.as_ref(), largest.as_ref()) {
                largest = apart;
            }
        }
        compared.push(FileCompared { name: name.clone(), expected: sha256.clone(), got, equal });
    }
    // The same engine writes the same files, and no others.
    let more = made.iter().any(|file| original.artifacts.iter().all(|listed| listed.name != file.name));
    if more && !other_engine {
        verdict = Verdict::Different;
    }
    Reproduction {
        of: original.run_id.clone(),
        verdict,
        reason: None,
        engine: engines(original),
        data,
        files: compared,
        largest_difference: largest,
    }
}

/// What differs in kind is further apart than any number.
fn is_larger(one: Option<&LargestDifference>, other: Option<&LargestDifference>) -> bool {
    let size = |found: &LargestDifference| found.relative.unwrap_or(f64::INFINITY);
    one.is_some_and(|one| other.is_none_or(|other| size(one) > size(other)))
}

/// Tables, and documents of figures; pages, pictures and configs show the same in words.
fn holds_numbers(name: &str) -> bool {
    let is_config = name.starts_with("config.");
    !is_config && [".csv", ".parquet", ".json"].iter().any(|end| name.ends_with(end))
}

/// The largest distance of two versions of a file. `None` if they hold the same.
fn distance(name: &str, then: &[u8], now: &[u8]) -> Option<LargestDifference> {
    let in_kind = |column: &str, row| LargestDifference {
        file: String::new(),
        column: column.to_owned(),
        row,
        absolute: None,
        relative: None,
    };
    if name.ends_with(".json") {
        return match (serde_json::from_slice(then), serde_json::from_slice(now)) {
            (Ok(then), Ok(now)) => in_document("", &then, &now),
            _ => Some(in_kind("", None)),
        };
    }
    let columns = if name.ends_with(".csv") { in_csv } else { in_parquet };
    let (Some(then), Some(now)) = (columns(then), columns(now)) else { return Some(in_kind("", None)) };
    if then.len() != now.len() {
        return Some(in_kind("", None));
    }
    let mut largest: Option<LargestDifference> = None;
    for ((column, then), (other, now)) in then.iter().zip(&now) {
        if column != other || then.len() != now.len() {
            return Some(in_kind(column, None));
        }
        for (row, (then, now)) in then.iter().zip(now).enumerate() {
            let found = match (then, now) {
                (Cell::Number(then), Cell::Number(now)) => apart(column, Some(row), *then, *now),
                (then, now) if then == now => None,
                _ => Some(in_kind(column, Some(row))),
            };
            if is_larger(found.as_ref(), largest.as_ref()) {
                largest = found;
            }
        }
    }
    largest
}

/// The distance of two numbers; `None` if they are the same, or both no number.
fn apart(column: &str, row: Option<usize>, then: f64, now: f64) -> Option<LargestDifference> {
    if then == now || then.is_nan() && now.is_nan() {
        return None;
    }
    let absolute = (then - now).abs();
    let relative = absolute / then.abs().max(now.abs());
    let finite = relative.is_finite();
    Some(LargestDifference {
        file: String::new(),
        column: column.to_owned(),
        row,
        absolute: finite.then_some(absolute),
        relative: finite.then_some(relative),
    })
}

fn in_document(path: &str, then: &Value, now: &Value) -> Option<LargestDifference> {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let in_kind = || {
        Some(LargestDifference {
            file: String::new(),
            column: path.to_owned(),
            row: None,
            absolute: None,
            relative: None,
        })
    };
    match (then, now) {
        (Value::Object(then), Value::Object(now)) if then.keys().eq(now.keys()) => {
            let each = then.iter().filter_map(|(name, then)| in_document(&below(name), then, &now[name]));
            each.reduce(|a, b| if is_larger(Some(&b), Some(&a)) { b } else { a })
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            let pairs = then.iter().zip(now).enumerate();
            let each = pairs.filter_map(|(at, (then, now))| in_document(&below(&at.to_string()), then, now));
            each.reduce(|a, b| if is_larger(Some(&b), Some(&a)) { b } else { a })
        }
        (Value::Number(then), Value::Number(now)) => match (then.as_f64(), now.as_f64()) {
            (Some(then), Some(now)) => apart(path, None, then, now),
            _ => in_kind(),
        },
        (then, now) if then == now => None,
        _ => in_kind(),
    }
}

#[derive(PartialEq)]
enum Cell {
    Number(f64),
    Text(String),
}

type Columns = Vec<(String, Vec<Cell>)>;

fn in_csv(content: &[u8]) -> Option<Columns> {
    let mut reader = csv::Reader::from_reader(content);
    let mut columns: Columns =
        reader.headers().ok()?.iter().map(|name| (name.to_owned(), Vec::new())).collect();
    for record in reader.records() {
        for ((_, cells), text) in columns.iter_mut().zip(&record.ok()?) {
            cells.push(text.parse().map_or_else(|_| Cell::Text(text.to_owned()), Cell::Number));
        }
    }
    Some(columns)
}

fn in_parquet(content: &[u8]) -> Option<Columns> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(content)).ok()?;
    let schema = reader.schema().clone();
    let batches = reader.build().ok()?.collect::<Result<Vec<RecordBatch>, _>>().ok()?;
    let all = concat_batches(&schema, &batches).ok()?;
    let mut columns = Columns::new();
    for (field, column) in schema.fields().iter().zip(all.columns()) {
        let cells = if field.data_type().is_numeric() {
            let numbers = cast(column, &DataType::Float64).ok()?;
            let numbers = numbers.as_primitive::<Float64Type>().iter();
            numbers.map(|number| Cell::Number(number.unwrap_or(f64::NAN))).collect()
        } else {
            let texts = cast(column, &DataType::Utf8).ok()?;
            let texts = texts.as_string::<i32>().iter();
            texts.map(|text| Cell::Text(text.unwrap_or_default().to_owned())).collect()
        };
        columns.push((field.name().clone(), cells));
    }
    Some(columns)
}
