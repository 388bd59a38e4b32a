//! When the rows of a table came to be there, by its log alone: for each file the commit that first had its rows, and for
//! each day the files in which its rows came first. A file that only puts rows of others together, as compaction does, is as
//! old as the youngest of these.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::datatypes::SchemaRef;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;

use super::columns;
use super::delta::{AddedFile, DATE, Log, Table, TableError, commit_of, decoded};
use super::parquet::{DateRange, InTable, ParquetFile};
use crate::clock::Timestamp;

/// Where the rows of a file come from.
#[derive(Debug, Clone, PartialEq)]
pub struct FileOrigin {
    /// The file.
    pub path: String,
    /// When its rows were committed first; `None` if the log does not have that commit any more.
    pub committed_at: Option<Timestamp>,
    /// Oldest and newest date in it; `None` when the log does not say.
    pub dates: Option<(NaiveDate, NaiveDate)>,
    /// How many rows; `None` when the log does not say.
    pub rows: Option<u64>,
}

/// What the logs of the tables of a run say, or why they say nothing.
#[derive(Debug, Default)]
pub struct Origins {
    /// Of the prices; `None` if they are not a Delta table.
    pub prices: Option<Result<Vec<FileOrigin>, String>>,
    /// Of the signals; `None` if the run reads no rows of them.
    pub signals: Option<Result<Vec<FileOrigin>, String>>,
}

/// Commits that are read at once.
const AT_ONCE: usize = 16;

/// The files in which the rows of some days came first.
#[derive(Debug)]
pub(super) enum FirstFiles {
    /// These, the earliest commit last: of several rows of a day and symbol the last one counts.
    Known(Vec<ParquetFile>),
    /// The log does not tell, and why.
    Unknown(String),
}

impl Table {
    /// The files in which the rows of some days came first, up to this version: of each day those of the first commit that had
    /// rows of it. Files that only put rows of others together are passed over. They need not be there any more.
    pub(super) async fn first_files(&self, dates: DateRange) -> Result<FirstFiles, TableError> {
        let store = self.store();
        let fault = |source| self.log_fault(source);
        let log = Log::list(&store).await.map_err(fault)?;
        let versions = 0..=self.version();
        if versions.clone().any(|version| log.commits.binary_search(&version).is_err()) {
            return Ok(FirstFiles::Unknown(
                "the log no longer goes back to the first commit; a longer delta.logRetentionDuration would have kept it"
                    .to_owned(),
            ));
        }
        let schema = self.schema()?;
        let date = columns::position(schema.fields().iter().map(|field| field.name().as_str()), DATE);
        let date = date.map(|at| schema.field(at));
        let first = dates.first.to_epoch_days();
        let mut known =
            vec![false; usize::try_from(dates.last.to_epoch_days() - first + 1).unwrap_or_default()];
        let mut commits =
            futures_util::stream::iter(versions.map(|version| commit_of(&store, version))).buffered(AT_ONCE);
        let mut found = Vec::new();
        while let Some(commit) = commits.try_next().await.map_err(fault)? {
            let Some(commit) = commit else { continue };
            let (mut of_commit, mut days_of_commit) = (Vec::new(), Vec::new());
            for add in commit.files().filter_map(|action| action.add) {
                if !add.data_change {
                    continue;
                }
                if add.deletion_vector.is_some() {
                    return Ok(FirstFiles::Unknown("a file of it has a deletion vector".to_owned()));
                }
                let said = date.map(|date| add.dates(date, dates.reading));
                let range = said.zip(date).and_then(|(said, date)| said.range(date.data_type()));
                // A file that does not say its days may have any.
                let (from, to) = range.unwrap_or((dates.first, dates.last));
                let (from, to) = (from.max(dates.first), to.min(dates.last));
                let days = (from.to_epoch_days() - first)..=(to.to_epoch_days() - first);
                let days: Vec<usize> = days.filter_map(|day| usize::try_from(day).ok()).collect();
                if days.iter().any(|&day| !known[day]) {
                    days_of_commit.extend(days);
                    of_commit.push(self.file_of(add, &schema));
                }
            }
            for day in days_of_commit {
                known[day] = true;
            }
            found.push(of_commit);
        }
        Ok(FirstFiles::Known(found.into_iter().rev().flatten().collect()))
    }

    fn file_of(&self, add: AddedFile, schema: &SchemaRef) -> ParquetFile {
        let stats: Option<serde_json::Value> =
            add.stats.as_deref().and_then(|stats| serde_json::from_str(stats).ok());
        ParquetFile {
            store: self.store(),
            path: Path::from(add.path),
            size: add.size,
            constants: add.partition_values,
            table: Some(InTable {
                schema: Arc::clone(schema),
                rows: stats.and_then(|stats| stats["numRecords"].as_u64()),
                modified_ms: add.modification_time,
            }),
        }
    }

    /// Where the rows of its files come from.
    pub async fn origins(&self) -> Result<Vec<FileOrigin>, TableError> {
        let store = self.store();
        let fault = |source| self.log_fault(source);
        let log = Log::list(&store).await.map_err(fault)?;
        let commits = log.commits.iter().copied().filter(|&version| version <= self.version());
        let reads = commits.map(|version| commit_of(&store, version));
        let mut commits = futures_util::stream::iter(reads).buffered(AT_ONCE);
        let mut known: HashMap<String, Option<Timestamp>> = HashMap::new();
        while let Some(commit) = commits.try_next().await.map_err(fault)? {
            let Some(commit) = commit else { continue };
            let (mut adds, mut removed) = (Vec::new(), Vec::new());
            for action in commit.files() {
                adds.extend(action.add);
                removed.extend(action.remove.map(|remove| remove.path));
            }
            let of_removed: Vec<Option<Timestamp>> =
                removed.iter().map(|path| known.remove(path).unwrap_or_default()).collect();
            for add in adds {
                let first = match (add.data_change, known.get(&add.path)) {
                    // What is only noted anew was there before.
                    (_, Some(before)) => *before,
                    (true, None) => Some(commit.at),
                    (false, None) if of_removed.is_empty() => None,
                    (false, None) => of_removed
                        .iter()
                        .try_fold(None, |youngest, at| at.map(|at| youngest.max(Some(at))))
                        .flatten(),
                };
                known.insert(add.path, first);
            }
        }
        let files = self.data_files(DATE).await?;
        Ok(files
            .into_iter()
            .map(|file| {
                let path = decoded(file.file.path.as_ref());
                FileOrigin {
                    committed_at: known.get(&path).copied().flatten(),
                    path,
                    dates: file.dates,
                    rows: file.file.table.and_then(|table| table.rows),
                }
            })
            .collect())
    }
}
