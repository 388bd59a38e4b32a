//! What has become of the tables that a run read, by their logs: whether files that hold days of the run were written again
//! since. Rows are compared in `work::inputs`.

use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::delta::{AsOf, Location, Log, StorageOptions, Table, TableError, TableVersion, commit_of};
use super::parquet::{DateRange, ParquetFile};
use super::versions::{file_lines, is_exact};

/// What has become of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputState {
    /// What the run read is what there is.
    Current,
    /// There is more, and nothing of what the run read was touched.
    Appended,
    /// What the run read was written again.
    Restated,
    /// The log no longer goes back to what the run read, or the record does not name it exactly.
    Unknown,
    /// It is not there any more, or another table stands in its place.
    Gone,
}

/// What the log says of a table since a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChange {
    /// In a word.
    pub state: InputState,
    /// Number of the newest version; `None` without the table.
    pub newest: Option<u64>,
    /// Files with days of the run that came or went since, apart from those that only put others together.
    pub files_changed_in_window: usize,
}

impl TableChange {
    pub(super) const GONE: Self = Self { state: InputState::Gone, newest: None, files_changed_in_window: 0 };

    /// Of what is named by its content: then and now.
    pub(super) fn of_content(used: &Value, now: &Value) -> Self {
        let state = match (is_exact(used), used == now) {
            (false, _) => InputState::Unknown,
            (true, true) => InputState::Current,
            (true, false) => InputState::Restated,
        };
        Self { state, newest: now["version"].as_u64(), files_changed_in_window: 0 }
    }
}

/// A line of a commit, as far as it says which files come and go with their rows.
#[derive(Deserialize)]
struct Action {
    add: Option<Touched>,
    remove: Option<Touched>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Touched {
    path: String,
    data_change: bool,
}

/// Commits that are read at once.
const AT_ONCE: usize = 16;

/// What has become of the files of a version that hold days of `dates`.
pub(super) async fn since(
    location: &Location,
    options: &StorageOptions,
    used: &TableVersion,
    dates: DateRange,
) -> Result<TableChange, TableError> {
    let Some(newest) = Table::open(location, options).await? else { return Ok(TableChange::GONE) };
    let change = |state, files_changed_in_window| TableChange {
        state,
        newest: Some(newest.version()),
        files_changed_in_window,
    };
    if newest.id()? != used.table_id {
        return Ok(change(InputState::Gone, 0));
    }
    if newest.version() == used.version {
        return Ok(change(InputState::Current, 0));
    }
    let before = match Table::open_at(location, options, &AsOf::Pinned(used.clone())).await {
        Ok(Some(before)) => before,
        Ok(None) | Err(TableError::Gone { .. }) => return Ok(change(InputState::Unknown, 0)),
        Err(error) => return Err(error),
    };
    let Some(touched) = touched_since(&newest, used.version).await? else {
        return Ok(change(InputState::Unknown, 0));
    };
    let moved = |before: &[ParquetFile], now: &[ParquetFile]| {
        let [before, now] = [before, now].map(|files| {
            let paths = files.iter().map(|file| decoded(file.path.as_ref()));
            paths.zip(file_lines(files)).collect::<HashSet<_>>()
        });
        before.symmetric_difference(&now).filter(|(path, _)| touched.contains(path)).count()
    };
    let in_window = moved(&before.files(Some(dates)).await?, &newest.files(Some(dates)).await?);
    let anywhere = moved(&before.files(None).await?, &newest.files(None).await?);
    Ok(match (in_window, anywhere) {
        (0, 0) => change(InputState::Current, 0),
        (0, _) => change(InputState::Appended, 0),
        (count, _) => change(InputState::Restated, count),
    })
}

/// The files that came or went with rows in the commits behind a version. `None` if the log lacks one of these.
async fn touched_since(table: &Table, version: u64) -> Result<Option<HashSet<String>>, TableError> {
    let store = table.store();
    let fault = |source| table.log_fault(source);
    let log = Log::list(&store).await.map_err(fault)?;
    let behind = version + 1..=table.version();
    if behind.clone().any(|each| log.commits.binary_search(&each).is_err()) {
        return Ok(None);
    }
    let mut commits =
        futures_util::stream::iter(behind.map(|each| commit_of(&store, each))).buffered(AT_ONCE);
    let mut touched = HashSet::new();
    while let Some(commit) = commits.try_next().await.map_err(fault)? {
        let Some(commit) = commit else { return Ok(None) };
        for line in commit.actions.split(|&byte| byte == b'\n') {
            let Ok(action) = serde_json::from_slice::<Action>(line) else { continue };
            let both = [action.add, action.remove].into_iter().flatten();
            touched.extend(both.filter(|file| file.data_change).map(|file| decoded(&file.path)));
        }
    }
    Ok(Some(touched))
}

/// A path as files have it; logs write some characters in percent.
pub(super) fn decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}
