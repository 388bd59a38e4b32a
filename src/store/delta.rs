//! A Delta table as of a version: which files hold it, and commits that append or replace. Reading the files is
//! `parquet`'s business, what the rows mean is the caller's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::datatypes::{Schema, SchemaRef};
use deltalake::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, StructType};
use deltalake::logstore::LogStoreRef;
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter, RecordBatchWriter};
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError, FilterLiteral, FilterOp, FilterValue};
use futures_util::TryStreamExt;
use url::Url;

use super::parquet::ParquetFile;

/// Where a table or file lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder or file of this machine.
    Local(PathBuf),
    /// An `abfss://container@account.dfs.core.windows.net/path` or like address.
    Remote(Url),
}

impl Location {
    /// Reads a folder path or an address with a scheme.
    pub fn parse(text: &str) -> Result<Self, url::ParseError> {
        if text.contains("://") {
            Url::parse(text).map(Self::Remote)
        } else {
            Ok(Self::Local(PathBuf::from(text)))
        }
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

/// A table could not be used.
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
        /// The table.
        table: String,
        /// What it uses.
        feature: String,
    },
}

impl TableError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Delta { source, .. } => matches!(
                source.as_ref(),
                DeltaTableError::ObjectStore { .. }
                    | DeltaTableError::Transaction { .. }
                    | DeltaTableError::Kernel { .. }
            ),
            Self::Unsupported { .. } => false,
        }
    }
}

/// A Delta table, pinned to the version that was newest when it was opened.
#[derive(Debug, Clone)]
pub struct Table {
    name: String,
    table: DeltaTable,
}

impl Table {
    /// Opens the newest version; `None` when there is no table.
    pub async fn open(location: &Location, options: &StorageOptions) -> Result<Option<Self>, TableError> {
        let name = location.to_string();
        let fault = |source| fault("open", &name, source);
        let Some(url) = address(location).map_err(fault)? else { return Ok(None) };
        let table = DeltaTableBuilder::from_url(url)
            .map_err(fault)?
            .with_storage_options(options.0.clone())
            .load()
            .await;
        match table {
            Ok(table) => Self { name, table }.checked().map(Some),
            Err(DeltaTableError::NotATable(_)) => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    /// Creates a table without rows.
    pub async fn create(
        location: &Location,
        options: &StorageOptions,
        schema: &Schema,
        partition_columns: &[&str],
    ) -> Result<Self, TableError> {
        let name = location.to_string();
        let fault = |source| fault("create", &name, source);
        if let Location::Local(folder) = location {
            std::fs::create_dir_all(folder).map_err(|error| fault(DeltaTableError::Io { source: error }))?;
        }
        let url = address(location)
            .map_err(fault)?
            .ok_or_else(|| fault(DeltaTableError::NotATable(name.clone())))?;
        let columns: StructType =
            schema.try_into_kernel().map_err(|error| fault(DeltaTableError::Arrow { source: error }))?;
        let table = CreateBuilder::new()
            .with_location(url.as_str())
            .with_storage_options(options.0.clone())
            .with_columns(columns.fields().cloned())
            .with_partition_columns(partition_columns.iter().copied())
            .await
            .map_err(fault)?;
        Ok(Self { name, table })
    }

    /// Version this value stands for.
    pub fn version(&self) -> u64 {
        self.table.version().map_or(0, u64::from)
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

    /// The data files that may hold a row whose `date_column` lies in the inclusive range; all files without one.
    pub async fn files(
        &self,
        dates: Option<(&str, NaiveDate, NaiveDate)>,
    ) -> Result<Vec<ParquetFile>, TableError> {
        let fault = |source| fault("list the files of", &self.name, source);
        let bounds = match dates {
            // Statistics of other types than dates are compared in their own ways; such files are all read.
            Some((column, first, last)) if self.is_date(column)? => {
                Some((self.column_name(column)?, first.to_string(), last.to_string()))
            }
            _ => None,
        };
        let filters: Vec<FilterLiteral<'_>> = match &bounds {
            Some((column, first, last)) => vec![
                (column, FilterOp::Ge, FilterValue::Scalar(first)),
                (column, FilterOp::Le, FilterValue::Scalar(last)),
            ],
            None => Vec::new(),
        };
        let store = self.table.object_store();
        let mut files = Vec::new();
        let mut views = self.table.get_active_add_actions_by_partitions(&filters);
        while let Some(view) = views.try_next().await.map_err(fault)? {
            if view.deletion_vector_descriptor().is_some() {
                return Err(TableError::Unsupported {
                    table: self.name.clone(),
                    feature: format!("a deletion vector (file {})", view.path()),
                });
            }
            files.push(ParquetFile {
                store: Arc::clone(&store),
                path: view.object_store_path(),
                size: u64::try_from(view.size()).unwrap_or_default(),
                constants: view.partition_values_map(),
            });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Adds rows as one commit. Nobody sees a part of it.
    pub async fn append(&mut self, batches: Vec<RecordBatch>) -> Result<(), TableError> {
        self.commit(batches, false).await
    }

    /// Replaces all rows as one commit. Nobody sees a part of it.
    pub async fn replace(&mut self, batches: Vec<RecordBatch>) -> Result<(), TableError> {
        self.commit(batches, true).await
    }

    async fn commit(&mut self, batches: Vec<RecordBatch>, replace: bool) -> Result<(), TableError> {
        let name = self.name.clone();
        let fault = |source| fault("write", &name, source);
        let mut writer = RecordBatchWriter::for_table(&self.table).map_err(fault)?;
        for batch in batches {
            writer.write(batch).await.map_err(fault)?;
        }
        let mut actions: Vec<Action> =
            writer.flush().await.map_err(fault)?.into_iter().map(Action::Add).collect();
        if replace {
            let old = self.table.get_active_add_actions_by_partitions(&[]).try_collect::<Vec<_>>().await;
            actions.extend(old.map_err(fault)?.iter().map(|file| Action::Remove(file.remove_action(true))));
        }
        let snapshot = self.table.snapshot().map_err(fault)?;
        let partition_columns = snapshot.metadata().partition_columns().to_vec();
        let operation = DeltaOperation::Write {
            mode: if replace { SaveMode::Overwrite } else { SaveMode::Append },
            partition_by: (!partition_columns.is_empty()).then_some(partition_columns),
            predicate: None,
        };
        let log: LogStoreRef = self.table.log_store();
        CommitBuilder::from(CommitProperties::default())
            .with_actions(actions)
            .build(Some(snapshot), log, operation)
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

    fn is_date(&self, column: &str) -> Result<bool, TableError> {
        let schema = self.schema()?;
        let field = schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(column));
        Ok(field.is_some_and(|field| *field.data_type() == deltalake::arrow::datatypes::DataType::Date32))
    }

    /// The table's own spelling of a column.
    fn column_name(&self, column: &str) -> Result<String, TableError> {
        let schema = self.schema()?;
        let field = schema.fields().iter().find(|field| field.name().eq_ignore_ascii_case(column));
        Ok(field.map_or_else(|| column.to_owned(), |field| field.name().clone()))
    }
}

/// Whether a folder of this machine holds a Delta table.
pub fn is_table(folder: &Path) -> bool {
    folder.join("_delta_log").is_dir()
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
    TableError::Delta { doing, table: table.to_owned(), source: Box::new(source) }
}
