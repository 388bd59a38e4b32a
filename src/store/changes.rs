//! What has become of the tables that a run read, by their logs: whether files that hold days of the run were written again
//! since. Rows are compared in `work::inputs`.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::columns;
use super::delta::{
    AddedFile, AsOf, DATE, FileAction, Location, Log, StorageOptions, Table, TableError, TableVersion,
    commit_of, decoded,
};
use super::kept_for_minutes::Kept;
use super::parquet::DateRange;
use super::versions::is_exact;

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
    /// The log no longer goes back to what the run read, the record does not name it exactly, or it has no log and was not
    /// read.
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
    pub(super) const UNKNOWN: Self =
        Self { state: InputState::Unknown, newest: None, files_changed_in_window: 0 };
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
    let key = format!("{location} {used:?} {} {dates:?}", newest.version());
    if let Some(known) = KNOWN.get(&key) {
        return Ok(known);
    }
    let Some(Since { added, removed }) = files_since(&newest, used.version).await? else {
        return Ok(change(InputState::Unknown, 0));
    };
    let schema = newest.schema()?;
    let date = columns::position(schema.fields().iter().map(|field| field.name().as_str()), DATE);
    let date = date.map(|at| schema.field(at));
    // A file that does not say its days may have any.
    let in_window = |file: &AddedFile| {
        date.is_none_or(|date| file.dates(date, dates.reading).may_hold(date.data_type(), &dates))
    };
    let came = added.values().filter(|file| file.data_change);
    let mut found = (came.clone().filter(|file| in_window(file)).count(), came.count());
    let mut before = None;
    for path in &removed {
        found.1 += 1;
        let was_in_window = match added.get(path) {
            Some(file) => in_window(file),
            None => {
                let before: &HashSet<String> = match &before {
                    Some(before) => before,
                    None => match files_at(location, options, used, dates).await? {
                        Some(files) => before.insert(files),
                        None => return Ok(change(InputState::Unknown, 0)),
                    },
                };
                before.contains(path)
            }
        };
        found.0 += usize::from(was_in_window);
    }
    let found = match found {
        (0, 0) => change(InputState::Current, 0),
        (0, _) => change(InputState::Appended, 0),
        (count, _) => change(InputState::Restated, count),
    };
    KNOWN.put(key, found.clone());
    Ok(found)
}

/// What was found of a table between two of its versions, by both and the days: what two commits differ in stays.
static KNOWN: Kept<TableChange> = Kept::new(1024);

/// What commits did to the files of a table.
#[derive(Default)]
struct Since {
    /// Files that came, unless their rows went again with them.
    added: HashMap<String, AddedFile>,
    /// Files that went with rows which were there before, or which others had put together.
    removed: HashSet<String>,
}

/// What became of the files in the commits behind a version. `None` if the log lacks one of these. Files that only put rows of
/// others together neither bring rows nor take any away.
async fn files_since(table: &Table, version: u64) -> Result<Option<Since>, TableError> {
    let store = table.store();
    let fault = |source| table.log_fault(source);
    let log = Log::list(&store).await.map_err(fault)?;
    let behind = version + 1..=table.version();
    if behind.clone().any(|each| log.commits.binary_search(&each).is_err()) {
        return Ok(None);
    }
    let mut commits =
        futures_util::stream::iter(behind.map(|each| commit_of(&store, each))).buffered(AT_ONCE);
    let mut since = Since::default();
    while let Some(commit) = commits.try_next().await.map_err(fault)? {
        let Some(commit) = commit else { return Ok(None) };
        for FileAction { add, remove } in commit.files() {
            if let Some(file) = remove.filter(|file| file.data_change) {
                match since.added.remove(&file.path) {
                    Some(added) if added.data_change => {}
                    // What it had put together was there before; its days are still to be known.
                    Some(added) => {
                        since.removed.insert(file.path.clone());
                        since.added.insert(file.path, added);
                    }
                    None => {
                        since.removed.insert(file.path);
                    }
                }
            }
            if let Some(file) = add {
                since.added.insert(file.path.clone(), file);
            }
        }
    }
    Ok(Some(since))
}

/// The files of a version that may hold rows of some days; `None` if it cannot be read any more.
async fn files_at(
    location: &Location,
    options: &StorageOptions,
    version: &TableVersion,
    dates: DateRange,
) -> Result<Option<HashSet<String>>, TableError> {
    let table = match Table::open_at(location, options, &AsOf::Pinned(version.clone())).await {
        Ok(Some(table)) => table,
        Ok(None) | Err(TableError::Gone { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let files = table.files(Some(dates)).await?;
    Ok(Some(files.iter().map(|file| decoded(file.path.as_ref())).collect()))
}
