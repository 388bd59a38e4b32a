//! When the rows of a table came to be there, by its log alone: for each file the commit that first had its rows. A file that
//! only puts rows of others together, as compaction does, is as old as the youngest of these.

use std::collections::HashMap;

use chrono::NaiveDate;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use super::changes::decoded;
use super::delta::{DATE, Log, Table, TableError, commit_of};
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
    /// Of the prices.
    pub prices: Option<Result<Vec<FileOrigin>, String>>,
    /// Of the signals; `None` if the run reads no rows of them.
    pub signals: Option<Result<Vec<FileOrigin>, String>>,
}

/// A line of a commit, as far as it says which files come and go.
#[derive(Deserialize)]
struct Action {
    add: Option<Add>,
    remove: Option<Remove>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Add {
    path: String,
    data_change: bool,
}

#[derive(Deserialize)]
struct Remove {
    path: String,
}

/// Commits that are read at once.
const AT_ONCE: usize = 16;

impl Table {
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
            for line in commit.actions.split(|&byte| byte == b'\n') {
                let Ok(action) = serde_json::from_slice::<Action>(line) else { continue };
                adds.extend(action.add);
                removed.extend(action.remove.map(|remove| decoded(&remove.path)));
            }
            let of_removed: Vec<Option<Timestamp>> =
                removed.iter().map(|path| known.remove(path).unwrap_or_default()).collect();
            for add in adds {
                let path = decoded(&add.path);
                let first = match (add.data_change, known.get(&path)) {
                    // What is only noted anew was there before.
                    (_, Some(before)) => *before,
                    (true, None) => Some(commit.at),
                    (false, None) if of_removed.is_empty() => None,
                    (false, None) => of_removed
                        .iter()
                        .try_fold(None, |youngest, at| at.map(|at| youngest.max(Some(at))))
                        .flatten(),
                };
                known.insert(path, first);
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
