//! A Delta table as of a version: which files hold it, and commits that append or replace. Reading the files is
//! `parquet`'s business, what the rows mean is the caller's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, NaiveDate};
use delta_kernel::table_features::TableFeature;
use delta_kernel::table_properties::TableProperties;
use deltalake::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, new_null_array};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use deltalake::arrow::error::ArrowError;
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::kernel::transaction::{
    CommitBuilder, CommitProperties, PROTOCOL, TableReference, TransactionError,
};
use deltalake::kernel::{
    self, Action, EagerSnapshot, LogicalFileView, Metadata, MetadataExt as _, Protocol, StructType,
    new_metadata,
};
use deltalake::logstore::LogStoreRef;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter, RecordBatchWriter};
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use url::Url;

use super::columns;
use super::dates::{self, Bound, DateReading};
use super::parquet::{self, DateRange, InTable, ParquetFile, may_pass};
use super::without_hint::WithoutHint;
use crate::clock::Timestamp;

/// Where a table or file lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder or file of this machine.
    Local(PathBuf),
    /// An `abfss://container@account.dfs.core.windows.net/path` or like address.
    Remote(Url),
}

impl Location {
    /// Reads a folder path or an `abfss://` address.
    ///
    /// # Errors
    /// What is wrong with it. The address is not repeated, since it may hold a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            return Ok(Self::Local(PathBuf::from(text)));
        }
        let url = Url::parse(text).map_err(|error| format!("is not an address: {error}"))?;
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("must carry neither a password nor a query; keys belong into \
                        AZURE_STORAGE_CONNECTION_STRING"
                .to_owned());
        }
        if !matches!(url.scheme(), "abfss" | "abfs") || url.username().is_empty() || !url.has_host() {
            return Err(
                "must be a path or abfss://<container>@<account>.dfs.core.windows.net/<path>".to_owned()
            );
        }
        Ok(Self::Remote(url))
    }

    /// The place `relative` below this one.
    pub fn join(&self, relative: &str) -> Self {
        match self {
            Self::Local(folder) => Self::Local(folder.join(relative)),
            Self::Remote(url) => {
                let mut below = url.clone();
                below.set_path(&format!("{}/{relative}", url.path().trim_end_matches('/')));
                Self::Remote(below)
            }
        }
    }

    /// The folder that this lies in, and its name there; `None` of a place without a name.
    pub(super) fn split_last(&self) -> Option<(Self, String)> {
        match self {
            Self::Local(path) => Some((
                Self::Local(path.parent()?.to_owned()),
                path.file_name()?.to_string_lossy().into_owned(),
            )),
            Self::Remote(url) => {
                let (folder, name) = url.path().trim_end_matches('/').rsplit_once('/')?;
                let mut above = url.clone();
                above.set_path(folder);
                let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
                (!name.is_empty()).then_some((Self::Remote(above), name))
            }
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Remote(url) => url.fmt(f),
        }
    }
}

/// Keys for remote tables, as the storage layer names them. They stay out of `Debug`.
#[derive(Clone, Default)]
pub struct StorageOptions(pub HashMap<String, String>);

impl std::fmt::Debug for StorageOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// One version of one table. A table that is made anew under the same name has another id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableVersion {
    /// `id` of the metadata in the log.
    pub table_id: String,
    /// Number of the commit.
    pub version: u64,
}

/// Which version of a table is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AsOf {
    /// The newest there is.
    #[default]
    Newest,
    /// The newest that was committed at a moment or before.
    Moment(Timestamp),
    /// The one of a number.
    Version(u64),
    /// Exactly this one.
    Pinned(TableVersion),
}

impl std::fmt::Display for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newest => f.write_str("the newest version"),
            Self::Moment(moment) => write!(f, "a version of {moment} or before"),
            Self::Version(version) | Self::Pinned(TableVersion { version, .. }) => {
                write!(f, "version {version}")
            }
        }
    }
}

/// A table could not be used.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The log or a commit failed.
    #[error("{doing} {table}")]
    Delta {
        /// What was being done.
        doing: &'static str,
        /// To which table.
        table: String,
        /// Why it failed.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// The table uses something that this program does not read.
    #[error("{table} uses {feature}, which cannot be read here; rewrite the table without it")]
    Unsupported {
        table: String,
        /// What it uses.
        feature: String,
    },
    /// The table forbids what was to be written.
    #[error("{table} cannot be written here: {reason}")]
    Forbidden {
        table: String,
        /// Why, and what to do.
        reason: String,
    },
    /// There is a log without a single version: the rest of a copy, or of a table that was removed.
    #[error("{table} has a _delta_log without commits; restore its log, or remove the folder")]
    NoCommits { table: String },
    /// The version that is asked for cannot be read any more.
    #[error("{table} does not have {asked} any more: {why}")]
    Gone {
        table: String,
        /// What is asked for.
        asked: AsOf,
        /// What there is instead.
        why: String,
    },
    /// Another writer committed after the version that was written upon.
    #[error("{table} was changed by another writer meanwhile")]
    Conflict { table: String },
}

impl TableError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Delta { source, .. } => match source.as_ref() {
                DeltaTableError::ObjectStore { source } => may_pass(source),
                DeltaTableError::Kernel { source: kernel::Error::ObjectStore(source) } => may_pass(source),
                DeltaTableError::KernelError(error) => kernel_may_pass(error),
                DeltaTableError::GenericError { source } => source.downcast_ref().is_some_and(may_pass),
                DeltaTableError::Transaction { .. } => true,
                _ => false,
            },
            Self::Unsupported { .. }
            | Self::Forbidden { .. }
            | Self::NoCommits { .. }
            | Self::Gone { .. } => false,
            Self::Conflict { .. } => true,
        }
    }
}

fn kernel_may_pass(error: &delta_kernel::Error) -> bool {
    match error {
        delta_kernel::Error::Backtraced { source, .. } => kernel_may_pass(source),
        delta_kernel::Error::ObjectStore(error) => may_pass(error),
        delta_kernel::Error::GenericError { source } => source.downcast_ref().is_some_and(may_pass),
        delta_kernel::Error::Reqwest(_) => true,
        delta_kernel::Error::IOError(error) => error.kind() != std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Key of the tag that [`Table::overwrite`] puts on files.
const STAMP: &str = "backtests.source";

/// A data file as the log describes it.
#[derive(Clone)]
pub struct DataFile {
    /// How it is read.
    pub file: ParquetFile,
    /// When it was written, in milliseconds since 1970.
    pub modified_ms: i64,
    /// Oldest and newest date in it; `None` when the log does not say.
    pub dates: Option<(NaiveDate, NaiveDate)>,
    /// What its writer noted about where its rows come from.
    pub stamp: Option<String>,
    view: LogicalFileView,
}

/// What the log says of the dates in a file: the one value of a table that is partitioned by it, else statistics.
pub(super) enum KnownDates {
    /// The day of every row; `None` if the rows have none.
    Partition(Option<i32>),
    /// Smallest and largest value, as the log writes them.
    Statistics(serde_json::Value, serde_json::Value),
    Nothing,
}

impl KnownDates {
    pub(super) fn of(
        partition: &HashMap<String, Option<String>>,
        stats: Option<&str>,
        date: &Field,
        reading: DateReading,
    ) -> Self {
        let column = date.name();
        if let Some(value) = partition.get(column) {
            let of_text = |text: &String| dates::day_of_partition(text, date.data_type(), reading.order);
            let day = value.as_ref().and_then(of_text);
            return Self::Partition(day);
        }
        let stats = stats.and_then(|stats| serde_json::from_str::<serde_json::Value>(stats).ok());
        let Some(mut stats) = stats else { return Self::Nothing };
        let mut bound = |bound: &str| stats.get_mut(bound)?.get_mut(column).map(serde_json::Value::take);
        match (bound("minValues"), bound("maxValues")) {
            (Some(least), Some(most)) => Self::Statistics(least, most),
            _ => Self::Nothing,
        }
    }

    fn of_view(view: &LogicalFileView, date: &Field, reading: DateReading) -> Self {
        Self::of(&view.partition_values_map(), view.stats().as_deref(), date, reading)
    }

    /// First and last day; `None` when the log does not say for certain.
    pub(super) fn range(&self, data_type: &DataType) -> Option<(NaiveDate, NaiveDate)> {
        let (first, last) = match self {
            Self::Partition(day) => ((*day)?, (*day)?),
            Self::Statistics(least, most) => {
                dates::bounds(data_type, Bound::of(least)?, Bound::of(most)?, DateReading::default())?
            }
            Self::Nothing => return None,
        };
        NaiveDate::from_epoch_days(first).zip(NaiveDate::from_epoch_days(last))
    }

    /// Whether a row may lie in the range.
    pub(super) fn may_hold(&self, data_type: &DataType, range: &DateRange) -> bool {
        match self {
            // Rows without a date are read, so that they can be counted.
            Self::Partition(None) | Self::Nothing => true,
            Self::Partition(Some(day)) => {
                (range.first.to_epoch_days()..=range.last.to_epoch_days()).contains(day)
            }
            Self::Statistics(least, most) => match (Bound::of(least), Bound::of(most)) {
                (Some(least), Some(most)) => {
                    dates::may_hold(data_type, (least, most), (range.first, range.last), range.reading)
                }
                _ => true,
            },
        }
    }
}

/// What a table is like, apart from its rows.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// Columns, partition columns included.
    pub schema: &'a SchemaRef,
    /// Columns that it is partitioned by.
    pub partition_columns: &'a [&'a str],
    /// What it is for.
    pub comment: &'a str,
}

impl Layout<'_> {
    fn columns(&self) -> Result<StructType, DeltaTableError> {
        self.schema.as_ref().try_into_kernel().map_err(|source| DeltaTableError::Arrow { source })
    }
}

/// What a write does with the rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    Added,
    TakenAway,
}

/// A Delta table, pinned to the version that was newest when it was opened.
#[derive(Debug, Clone)]
pub struct Table {
    name: String,
    options: StorageOptions,
    table: DeltaTable,
}

impl Table {
    /// Opens the newest version; `None` when there is no table.
    pub async fn open(location: &Location, options: &StorageOptions) -> Result<Option<Self>, TableError> {
        let name = location.to_string();
        let fault = |source| fault("open", &name, source);
        let Some(url) = address(location).map_err(fault)? else { return Ok(None) };
        let builder = || -> Result<DeltaTableBuilder, DeltaTableError> {
            Ok(DeltaTableBuilder::from_url(url.clone())?.with_storage_options(options.0.clone()))
        };
        let error = match builder().map_err(fault)?.load().await {
            Ok(table) => return Self { name, options: options.clone(), table }.checked().map(Some),
            Err(DeltaTableError::NotATable(_)) if has_log(location, options).await => {
                return Err(TableError::NoCommits { table: name });
            }
            Err(DeltaTableError::NotATable(_)) => return Ok(None),
            Err(error) => fault(error),
        };
        if error.is_retryable() {
            return Err(error);
        }
        // A hint that points at a checkpoint which is gone must not hide a log that is whole.
        let storage = builder().and_then(|builder| builder.build_storage());
        let Ok(storage) = storage else { return Err(error) };
        let without = Arc::new(WithoutHint(storage.root_object_store(None)));
        let table = match builder() {
            Ok(builder) => builder.with_storage_backend(without, url.clone()).load().await,
            Err(error) => Err(error),
        };
        match table {
            Ok(table) => Self { name, options: options.clone(), table }.checked().map(Some),
            Err(_) => Err(error),
        }
    }

    /// Opens the version that is asked for; `None` when there is no table and the newest is asked for.
    ///
    /// # Errors
    /// [`TableError::Gone`] when there is a table and not that version, or another table in its place.
    pub async fn open_at(
        location: &Location,
        options: &StorageOptions,
        as_of: &AsOf,
    ) -> Result<Option<Self>, TableError> {
        let name = location.to_string();
        let gone = |why: String| TableError::Gone { table: name.clone(), asked: as_of.clone(), why };
        let fault = |source| fault("open", &name, source);
        if *as_of == AsOf::Newest {
            return Self::open(location, options).await;
        }
        let no_table = || gone("there is no table".to_owned());
        let url = address(location).map_err(fault)?.ok_or_else(no_table)?;
        let builder = DeltaTableBuilder::from_url(url).map_err(fault)?;
        let mut table = builder.with_storage_options(options.0.clone()).build().map_err(fault)?;
        let store = table.object_store();
        let log_fault = |source| fault(DeltaTableError::ObjectStore { source });
        let version = match as_of {
            AsOf::Version(version) | AsOf::Pinned(TableVersion { version, .. }) => *version,
            AsOf::Newest => return Self::open(location, options).await,
            AsOf::Moment(moment) => {
                let log = Log::list(&store).await.map_err(log_fault)?;
                let found = log.version_at(&store, *moment).await.map_err(log_fault)?;
                found.ok_or_else(|| gone(log.oldest()))?
            }
        };
        if let Err(error) = table.load_version(version).await {
            let error = fault(error);
            if error.is_retryable() {
                return Err(error);
            }
            let log = Log::list(&store).await.map_err(log_fault)?;
            return Err(if log.has(version) { error } else { gone(log.oldest()) });
        }
        let table = Self { name: name.clone(), options: options.clone(), table }.checked()?;
        match as_of {
            AsOf::Pinned(pinned) if pinned.table_id != table.id()? => {
                let why = format!(
                    "another table stands in its place (id {}, not {})",
                    table.id()?,
                    pinned.table_id
                );
                Err(gone(why))
            }
            _ => Ok(Some(table)),
        }
    }

    /// Creates a table without rows.
    ///
    /// # Errors
    /// [`TableError::Conflict`] when there is one.
    pub async fn create(
        location: &Location,
        options: &StorageOptions,
        layout: Layout<'_>,
    ) -> Result<Self, TableError> {
        let name = location.to_string();
        let fault = |source| fault("create", &name, source);
        if let Location::Local(folder) = location {
            std::fs::create_dir_all(folder).map_err(|error| fault(DeltaTableError::Io { source: error }))?;
        }
        let url = address(location)
            .map_err(fault)?
            .ok_or_else(|| fault(DeltaTableError::NotATable(name.clone())))?;
        let columns = layout.columns().map_err(fault)?;
        let table = CreateBuilder::new()
            .with_location(url.as_str())
            .with_storage_options(options.0.clone())
            .with_columns(columns.fields().cloned())
            .with_partition_columns(layout.partition_columns.iter().copied())
            .with_comment(layout.comment)
            .await;
        match table {
            Ok(table) => Ok(Self { name, options: options.clone(), table }),
            // The error has no kind of its own.
            Err(_) if Self::open(location, options).await?.is_some() => {
                Err(TableError::Conflict { table: name })
            }
            Err(error) => Err(fault(error)),
        }
    }

    /// Version this value stands for.
    pub fn version(&self) -> u64 {
        self.table.version().map_or(0, u64::from)
    }

    /// What names the table, however often it was written and wherever it lies.
    pub fn id(&self) -> Result<&str, TableError> {
        let snapshot = self.table.snapshot().map_err(|error| fault("open", &self.name, error))?;
        Ok(snapshot.metadata().id())
    }

    /// The version that this value stands for, with the table's id.
    pub fn table_version(&self) -> Result<TableVersion, TableError> {
        Ok(TableVersion { table_id: self.id()?.to_owned(), version: self.version() })
    }

    /// When this version was committed; `None` if the log has its commit only in a checkpoint.
    pub async fn committed_at(&self) -> Result<Option<Timestamp>, TableError> {
        let commit = commit_of(&self.store(), self.version()).await;
        Ok(commit.map_err(|source| self.log_fault(source))?.map(|commit| commit.at))
    }

    /// Where its files and its log lie.
    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        self.table.object_store()
    }

    /// That its log could not be read.
    pub(super) fn log_fault(&self, source: object_store::Error) -> TableError {
        fault("read the log of", &self.name, DeltaTableError::ObjectStore { source })
    }

    /// What its maker said that it is for.
    pub fn comment(&self) -> Option<String> {
        self.table.snapshot().ok()?.metadata().description().map(str::to_owned)
    }

    /// Columns of the table, partition columns included.
    pub fn schema(&self) -> Result<SchemaRef, TableError> {
        let snapshot =
            self.table.snapshot().map_err(|error| fault("read the schema of", &self.name, error))?;
        let schema: Schema = snapshot.schema().as_ref().try_into_arrow().map_err(|error| {
            fault("read the schema of", &self.name, DeltaTableError::Arrow { source: error })
        })?;
        Ok(Arc::new(schema))
    }

    /// Columns that it is partitioned by.
    pub fn partition_columns(&self) -> Result<Vec<String>, TableError> {
        let snapshot = self.table.snapshot().map_err(|error| fault("open", &self.name, error))?;
        Ok(snapshot.metadata().partition_columns().to_vec())
    }

    /// The data files that may hold a row of these dates, by its column `date`; all files without a range.
    pub async fn files(&self, dates: Option<DateRange>) -> Result<Vec<ParquetFile>, TableError> {
        let mut views = self.views().await?;
        let schema = self.schema()?;
        let date = columns::position(schema.fields().iter().map(|field| field.name().as_str()), DATE);
        if let (Some(range), Some(date)) = (dates, date.map(|at| schema.field(at))) {
            views.retain(|view| {
                KnownDates::of_view(view, date, range.reading).may_hold(date.data_type(), &range)
            });
        }
        let mut files: Vec<ParquetFile> = views.iter().map(|view| self.parquet(view, &schema)).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// The files that the log says are there; one with rows that are deleted in it cannot be read.
    async fn views(&self) -> Result<Vec<LogicalFileView>, TableError> {
        let views = self.table.get_active_add_actions_by_partitions(&[]).try_collect::<Vec<_>>().await;
        let views = views.map_err(|source| fault("list the files of", &self.name, source))?;
        match views.iter().find(|view| view.deletion_vector_descriptor().is_some()) {
            None => Ok(views),
            Some(view) => Err(TableError::Unsupported {
                table: self.name.clone(),
                feature: format!("a deletion vector (file {})", view.path()),
            }),
        }
    }

    fn parquet(&self, view: &LogicalFileView, schema: &SchemaRef) -> ParquetFile {
        ParquetFile {
            store: self.table.object_store(),
            path: view.object_store_path(),
            size: u64::try_from(view.size()).unwrap_or_default(),
            constants: view.partition_values_map(),
            table: Some(InTable {
                schema: Arc::clone(schema),
                rows: view.num_records().and_then(|rows| u64::try_from(rows).ok()),
                modified_ms: view.modification_time(),
            }),
        }
    }

    /// Adds rows as one commit. A part of it is never visible. Their columns are cast to the table's.
    pub async fn append(&mut self, batches: &[RecordBatch]) -> Result<(), TableError> {
        self.writable(Rows::Added)?;
        let batches = batches.iter().map(|batch| self.conform(batch)).collect::<Result<_, _>>()?;
        let actions = self.write(batches).await?;
        self.finish(actions, SaveMode::Append, None, CommitProperties::default()).await
    }

    /// Makes another table of this one, rows, columns and all, as one commit. A part of it is never visible.
    pub async fn replace(&mut self, batches: Vec<RecordBatch>, layout: Layout<'_>) -> Result<(), TableError> {
        self.writable(Rows::TakenAway)?;
        let name = self.name.clone();
        let fault = |source| fault("write", &name, source);
        let before = self.table.snapshot().map_err(fault)?.metadata().id().to_owned();
        let metadata = layout.columns().and_then(|columns| {
            let none: [(&str, &str); 0] = [];
            Ok(new_metadata(&columns, layout.partition_columns, none)?
                .with_description(layout.comment.to_owned())?
                .with_table_id(before)?)
        });
        let mut actions = vec![Action::Metadata(metadata.map_err(fault)?)];
        actions.extend(self.views().await?.iter().map(|file| Action::Remove(file.remove_action(true))));
        let partition_columns = layout.partition_columns.iter().map(|&column| column.to_owned()).collect();
        let writer = RecordBatchWriter::try_new(
            self.table.table_url(),
            Arc::clone(layout.schema),
            Some(partition_columns),
            Some(self.options.0.clone()),
        );
        actions.extend(self.write_with(writer.map_err(fault)?, batches).await?);
        self.finish(actions, SaveMode::Overwrite, None, CommitProperties::default()).await
    }

    /// All data files, oldest first, with the dates that the log knows of `date_column`.
    pub async fn data_files(&self, date_column: &str) -> Result<Vec<DataFile>, TableError> {
        let schema = self.schema()?;
        let date = columns::position(schema.fields().iter().map(|field| field.name().as_str()), date_column);
        let date = date.map(|at| schema.field(at));
        let file = |view: LogicalFileView| {
            #[expect(deprecated, reason = "the only way to the tags of a file")]
            let tags = view.add_action().tags.unwrap_or_default();
            DataFile {
                file: self.parquet(&view, &schema),
                modified_ms: view.modification_time(),
                dates: date.and_then(|date| {
                    KnownDates::of_view(&view, date, DateReading::default()).range(date.data_type())
                }),
                stamp: tags.get(STAMP).cloned().flatten(),
                view,
            }
        };
        let mut files: Vec<DataFile> = self.views().await?.into_iter().map(file).collect();
        files.sort_by(|a, b| a.modified_ms.cmp(&b.modified_ms).then_with(|| a.file.path.cmp(&b.file.path)));
        Ok(files)
    }

    /// Puts rows, without any of no symbol, in the place of the files of one partition, as one commit. `stamp` is noted with
    /// the new files. The columns of `rows` are cast to the table's.
    ///
    /// # Errors
    /// [`TableError::Conflict`] when another commit came after this version, whatever it was: look again, then decide again.
    pub async fn overwrite(
        &mut self,
        partition: (&str, &str),
        old: &[DataFile],
        rows: Option<RecordBatch>,
        stamp: &str,
    ) -> Result<(), TableError> {
        self.writable(if old.is_empty() { Rows::Added } else { Rows::TakenAway })?;
        let mut actions = match rows {
            Some(rows) => self.write(vec![self.conform(&rows)?]).await?,
            None => Vec::new(),
        };
        for action in &mut actions {
            if let Action::Add(add) = action {
                add.tags = Some(HashMap::from([(STAMP.to_owned(), Some(stamp.to_owned()))]));
            }
        }
        actions.extend(old.iter().map(|file| Action::Remove(file.view.remove_action(true))));
        let predicate = format!("{} = '{}'", partition.0, partition.1);
        self.finish(
            actions,
            SaveMode::Overwrite,
            Some(predicate),
            CommitProperties::default().with_max_retries(0),
        )
        .await
    }

    /// Puts rows in the place of some files, as one commit.
    ///
    /// # Errors
    /// As [`Self::overwrite`].
    pub async fn exchange(&mut self, old: &[DataFile], rows: Vec<RecordBatch>) -> Result<(), TableError> {
        self.writable(if old.is_empty() { Rows::Added } else { Rows::TakenAway })?;
        let rows = rows.iter().map(|rows| self.conform(rows)).collect::<Result<_, _>>()?;
        let mut actions = self.write(rows).await?;
        actions.extend(old.iter().map(|file| Action::Remove(file.view.remove_action(true))));
        let properties = CommitProperties::default().with_max_retries(0);
        self.finish(actions, SaveMode::Overwrite, None, properties).await
    }

    /// Notes other stamps with files that stay as they are, as one commit.
    ///
    /// # Errors
    /// As [`Self::overwrite`].
    pub async fn restamp(&mut self, files: &[(&DataFile, &str)]) -> Result<(), TableError> {
        let actions = files.iter().map(|(file, stamp)| {
            #[expect(deprecated, reason = "the only way to say of a file what the log says already")]
            let mut add = file.view.add_action();
            add.data_change = false;
            add.tags.get_or_insert_default().insert(STAMP.to_owned(), Some((*stamp).to_owned()));
            Action::Add(add)
        });
        let actions = actions.collect();
        let properties = CommitProperties::default().with_max_retries(0);
        self.finish(actions, SaveMode::Overwrite, None, properties).await
    }

    /// Moves on to the newest version.
    pub async fn refresh(&mut self) -> Result<(), TableError> {
        self.table.update_state().await.map_err(|error| fault("open", &self.name, error))
    }

    /// Refuses a write that the table forbids, before a file of it is written: such a file would never be found again.
    fn writable(&self, rows: Rows) -> Result<(), TableError> {
        let forbidden = |reason| Err(TableError::Forbidden { table: self.name.clone(), reason });
        let snapshot = self.snapshot("write")?;
        let table = self.as_written(snapshot)?;
        match PROTOCOL.can_commit(&table, &[], &DeltaOperation::FileSystemCheck {}) {
            Ok(()) => {}
            Err(TransactionError::UnsupportedTableFeatures(features)) => {
                let features = features.iter().filter(|feature| uses(snapshot, feature));
                let features = features.map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return forbidden(format!(
                    "it has the features {features}; take them off (ALTER TABLE … DROP FEATURE …), or write it anew"
                ));
            }
            Err(error) => return forbidden(error.to_string()),
        }
        let append_only = snapshot.metadata().configuration().get("delta.appendOnly");
        if rows == Rows::TakenAway && append_only.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return forbidden(
                "its rows may only be added to (delta.appendOnly); ALTER TABLE … SET TBLPROPERTIES \
                 ('delta.appendOnly' = 'false') lifts that"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn snapshot(&self, doing: &'static str) -> Result<&EagerSnapshot, TableError> {
        let state = self.table.snapshot().map_err(|error| fault(doing, &self.name, error))?;
        Ok(state.snapshot())
    }

    /// The table without the features that it lists and does not use.
    fn as_written<'a>(&self, snapshot: &'a EagerSnapshot) -> Result<Unused<'a>, TableError> {
        let unused = |feature: &TableFeature| !uses(snapshot, feature);
        let found = match PROTOCOL.can_write_to(snapshot) {
            Err(TransactionError::UnsupportedTableFeatures(features)) if features.iter().all(unused) => {
                // What is left is what this library can do: the protocol of tables without features.
                let plain = serde_json::from_value(
                    serde_json::json!({ "minReaderVersion": 1, "minWriterVersion": 2 }),
                );
                plain.map_err(|error| {
                    fault("write", &self.name, DeltaTableError::generic(error.to_string()))
                })?
            }
            _ => snapshot.protocol().clone(),
        };
        Ok(Unused { snapshot, protocol: found })
    }

    /// The rows with the columns of the table, in its order and types; a column that they lack is null.
    pub(super) fn conform(&self, rows: &RecordBatch) -> Result<RecordBatch, TableError> {
        let schema = self.schema()?;
        let columns = schema.fields().iter().map(|field| match parquet::column(rows, field.name()) {
            Some(column) => kept_in(field, column),
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
        });
        columns
            .collect::<Result<Vec<_>, _>>()
            .and_then(|columns| RecordBatch::try_new(Arc::clone(&schema), columns))
            .map_err(|error| fault("write", &self.name, DeltaTableError::Arrow { source: error }))
    }

    /// Writes data files that no version has yet.
    async fn write(&self, batches: Vec<RecordBatch>) -> Result<Vec<Action>, TableError> {
        let writer = RecordBatchWriter::for_table(&self.table);
        self.write_with(writer.map_err(|source| fault("write", &self.name, source))?, batches).await
    }

    async fn write_with(
        &self,
        mut writer: RecordBatchWriter,
        batches: Vec<RecordBatch>,
    ) -> Result<Vec<Action>, TableError> {
        let fault = |source| fault("write", &self.name, source);
        for batch in batches {
            writer.write(batch).await.map_err(fault)?;
        }
        Ok(writer.flush().await.map_err(fault)?.into_iter().map(Action::Add).collect())
    }

    async fn finish(
        &mut self,
        actions: Vec<Action>,
        mode: SaveMode,
        predicate: Option<String>,
        properties: CommitProperties,
    ) -> Result<(), TableError> {
        let name = self.name.clone();
        let fault = |source| fault("write", &name, source);
        let snapshot = self.snapshot("write")?;
        let written = self.as_written(snapshot)?;
        let partition_columns = snapshot.metadata().partition_columns().to_vec();
        let operation = DeltaOperation::Write {
            mode,
            partition_by: (!partition_columns.is_empty()).then_some(partition_columns),
            predicate,
        };
        let log: LogStoreRef = self.table.log_store();
        CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(&written), log, operation)
            .await
            .map_err(fault)?;
        self.table.update_state().await.map_err(fault)
    }

    /// Refuses what would be read wrongly.
    fn checked(self) -> Result<Self, TableError> {
        let snapshot = self.table.snapshot().map_err(|error| fault("open", &self.name, error))?;
        match snapshot.metadata().configuration().get("delta.columnMapping.mode").map(String::as_str) {
            None | Some("none") => Ok(self),
            Some(mode) => Err(TableError::Unsupported {
                feature: format!("column mapping by {mode}"),
                table: self.name,
            }),
        }
    }
}

/// What lies in the log of a table: which versions can still be made of it.
pub(super) struct Log {
    /// Numbers of the commits, ascending.
    pub(super) commits: Vec<u64>,
    /// Numbers of the versions that a checkpoint holds, ascending.
    checkpoints: Vec<u64>,
}

impl Log {
    pub(super) async fn list(store: &dyn ObjectStore) -> Result<Self, object_store::Error> {
        let names = store.list(Some(&object_store::path::Path::from(LOG)));
        let names: Vec<String> = names
            .map_ok(|file| file.location.filename().unwrap_or_default().to_owned())
            .try_collect()
            .await?;
        let (mut commits, mut checkpoints) = (Vec::new(), Vec::new());
        for name in names {
            let Some((number, rest)) = name.split_once('.') else { continue };
            let Some(version) = number.parse().ok().filter(|_| number.len() == 20) else { continue };
            if rest == "json" {
                commits.push(version);
            } else if rest.starts_with("checkpoint.") {
                checkpoints.push(version);
            }
        }
        commits.sort_unstable();
        checkpoints.sort_unstable();
        checkpoints.dedup();
        Ok(Self { commits, checkpoints })
    }

    /// Whether the version can be made: of the commits since a checkpoint, or since the first.
    fn has(&self, version: u64) -> bool {
        let commits_since =
            |first: u64| (first..=version).all(|each| self.commits.binary_search(&each).is_ok());
        let checkpoint = self.checkpoints.iter().rev().find(|&&each| each <= version);
        commits_since(checkpoint.map_or(0, |at| at + 1)) || commits_since(0)
    }

    /// The newest version that was committed at a moment or before.
    async fn version_at(
        &self,
        store: &dyn ObjectStore,
        moment: Timestamp,
    ) -> Result<Option<u64>, object_store::Error> {
        let readable: Vec<u64> = self.commits.iter().copied().filter(|&each| self.has(each)).collect();
        let (mut first, mut after) = (0, readable.len());
        while first < after {
            let middle = first.midpoint(after);
            match commit_of(store, readable[middle]).await? {
                Some(commit) if commit.at <= moment => first = middle + 1,
                _ => after = middle,
            }
        }
        Ok(first.checked_sub(1).map(|at| readable[at]))
    }

    /// What can still be read, in words.
    fn oldest(&self) -> String {
        let all = self.commits.iter().chain(&self.checkpoints).copied();
        let readable = || all.clone().filter(|&each| self.has(each));
        match (readable().min(), readable().max()) {
            (Some(oldest), Some(newest)) => {
                format!("the oldest version that can be read is {oldest}, the newest {newest}")
            }
            _ => "no version can be read".to_owned(),
        }
    }
}

/// Folder of the log below a table.
const LOG: &str = "_delta_log";

/// The column that says which day a row is of.
pub(super) const DATE: &str = "date";

/// The commit of a version.
pub(super) struct Commit {
    /// When, as it says itself; where it is silent, the time of its file.
    pub(super) at: Timestamp,
    /// Its actions, a line each.
    actions: Bytes,
}

/// A file that a commit adds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddedFile {
    /// Where it lies below the table.
    #[serde(deserialize_with = "decoded_path")]
    pub(super) path: String,
    /// Whether its rows are new, as opposed to rows of others that are put together.
    pub(super) data_change: bool,
    pub(super) size: u64,
    pub(super) modification_time: i64,
    #[serde(default)]
    pub(super) partition_values: HashMap<String, Option<String>>,
    /// JSON in a text.
    pub(super) stats: Option<String>,
    pub(super) deletion_vector: Option<serde::de::IgnoredAny>,
}

/// A file that a commit takes away.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RemovedFile {
    /// Where it lies below the table.
    #[serde(deserialize_with = "decoded_path")]
    pub(super) path: String,
    /// Whether its rows went with it.
    pub(super) data_change: bool,
}

/// A line of a commit, as far as it says which files come and go.
#[derive(Debug, Deserialize)]
pub(super) struct FileAction {
    pub(super) add: Option<AddedFile>,
    pub(super) remove: Option<RemovedFile>,
}

impl Commit {
    /// What it says of files.
    pub(super) fn files(&self) -> impl Iterator<Item = FileAction> {
        self.actions.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
    }
}

impl AddedFile {
    /// What the log says of its dates.
    pub(super) fn dates(&self, date: &Field, reading: DateReading) -> KnownDates {
        KnownDates::of(&self.partition_values, self.stats.as_deref(), date, reading)
    }
}

/// A path as files have it; logs write some characters in percent.
fn decoded_path<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(decoded(&String::deserialize(deserializer)?))
}

/// The same of a path that is at hand.
pub(super) fn decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// The commit of a version; `None` if the log has it only in a checkpoint.
pub(super) async fn commit_of(
    store: &dyn ObjectStore,
    version: u64,
) -> Result<Option<Commit>, object_store::Error> {
    let path = object_store::path::Path::from(format!("{LOG}/{version:020}.json"));
    let file = match object_store::ObjectStoreExt::get(store, &path).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        file => file?,
    };
    let written = file.meta.last_modified;
    let actions = file.bytes().await?;
    let stated = actions.split(|&byte| byte == b'\n').find_map(|line| {
        let action: CommitAction = serde_json::from_slice(line).ok()?;
        let info = action.commit_info?;
        info.in_commit_timestamp.or(info.timestamp).and_then(DateTime::from_timestamp_millis)
    });
    Ok(Some(Commit { at: stated.unwrap_or(written), actions }))
}

/// A line of a commit, as far as it says when.
#[derive(Deserialize)]
struct CommitAction {
    #[serde(rename = "commitInfo")]
    commit_info: Option<CommitTimes>,
}

/// Milliseconds since 1970.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitTimes {
    timestamp: Option<i64>,
    in_commit_timestamp: Option<i64>,
}

/// A column in the type that the table has for it.
///
/// # Errors
/// When a value would be lost, or its fraction.
fn kept_in(field: &Field, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let kept = cast(column, field.data_type())?;
    // A day would become the days since 1970, whatever the numbers of the table are.
    let is_number_of_day = column.data_type() == &DataType::Date32 && field.data_type().is_integer();
    let fractions = field.data_type().is_integer() && column.data_type().is_floating();
    let whole = |column: &Float64Array| column.iter().flatten().all(|value| value.fract() == 0.0);
    if is_number_of_day
        || kept.null_count() > column.null_count()
        || fractions && !whole(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>())
    {
        let (name, to) = (field.name(), field.data_type());
        return Err(ArrowError::CastError(format!(
            "the column '{name}' of the table is {to}, which some values are not"
        )));
    }
    Ok(kept)
}

/// What lies below a place in storage.
pub(super) fn store(
    location: &Location,
    options: &StorageOptions,
) -> Result<Arc<dyn ObjectStore>, TableError> {
    let name = location.to_string();
    let fault = |source| fault("look into", &name, source);
    let url = address(location)
        .map_err(fault)?
        .ok_or_else(|| fault(DeltaTableError::InvalidTableLocation(name.clone())))?;
    let builder = DeltaTableBuilder::from_url(url).map_err(fault)?;
    let storage = builder.with_storage_options(options.0.clone()).build_storage().map_err(fault)?;
    Ok(storage.object_store(None))
}

/// Whether there is a folder of a table's log; of one in storage, whether anything lies in it.
async fn has_log(location: &Location, options: &StorageOptions) -> bool {
    if let Location::Local(folder) = location {
        return is_table(folder);
    }
    let Ok(store) = store(location, options) else { return false };
    let log = object_store::path::Path::from("_delta_log");
    store.list(Some(&log)).next().await.is_some_and(|found| found.is_ok())
}

/// A table as a commit looks at it: features that it lists and does not use do not stand in the way.
#[derive(Debug)]
struct Unused<'a> {
    snapshot: &'a EagerSnapshot,
    protocol: Protocol,
}

impl TableReference for Unused<'_> {
    fn config(&self) -> &TableProperties {
        self.snapshot.config()
    }

    fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn metadata(&self) -> &Metadata {
        self.snapshot.metadata()
    }

    fn eager_snapshot(&self) -> &EagerSnapshot {
        self.snapshot
    }
}

/// Whether a table uses a feature that it lists, as far as that is known.
fn uses(snapshot: &EagerSnapshot, feature: &TableFeature) -> bool {
    let marked = |keys: &[&str]| {
        let fields = snapshot.schema();
        let fields: Vec<_> = fields.fields().collect();
        fields.iter().any(|field| field.metadata.keys().any(|key| keys.contains(&key.as_str())))
    };
    let settings = snapshot.metadata().configuration();
    let is_on = |key: &str| settings.get(key).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    match feature {
        TableFeature::Invariants => marked(&["delta.invariants"]),
        TableFeature::GeneratedColumns => marked(&["delta.generationExpression"]),
        TableFeature::IdentityColumns => marked(&["delta.identity.start", "delta.identity.step"]),
        TableFeature::AllowColumnDefaults => marked(&["CURRENT_DEFAULT", "EXISTS_DEFAULT"]),
        TableFeature::CheckConstraints => settings.keys().any(|key| key.starts_with("delta.constraints.")),
        TableFeature::ChangeDataFeed => is_on("delta.enableChangeDataFeed"),
        TableFeature::ColumnMapping => {
            settings.get("delta.columnMapping.mode").is_some_and(|mode| mode != "none")
        }
        _ => true,
    }
}

/// Whether a folder of this machine holds a Delta table.
pub fn is_table(folder: &Path) -> bool {
    folder.join(LOG).is_dir()
}

/// The address in the form that the Delta crate wants; `None` for a folder that does not exist.
fn address(location: &Location) -> Result<Option<Url>, DeltaTableError> {
    match location {
        Location::Remote(url) => Ok(Some(url.clone())),
        Location::Local(folder) => match folder.canonicalize() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DeltaTableError::Io { source }),
            Ok(folder) => Url::from_directory_path(&folder)
                .map(Some)
                .map_err(|()| DeltaTableError::InvalidTableLocation(folder.display().to_string())),
        },
    }
}

fn fault(doing: &'static str, table: &str, source: DeltaTableError) -> TableError {
    use TransactionError::{CommitConflict, MaxCommitAttempts};
    if let DeltaTableError::Transaction { source: CommitConflict(_) | MaxCommitAttempts(_) }
    | DeltaTableError::VersionAlreadyExists(_) = &source
    {
        return TableError::Conflict { table: table.to_owned() };
    }
    TableError::Delta { doing, table: table.to_owned(), source: Box::new(source) }
}
