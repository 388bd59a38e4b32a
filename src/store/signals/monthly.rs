//! Tables of the lake of which each month is a partition: listed by month from the log, overwritten a month at a time. The
//! source of a month's rows is noted with its files. What the rows mean is told by who keeps such a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Field, Int32Type, Schema};
use deltalake::arrow::error::ArrowError;

use crate::digest::sha256_hex;
use crate::signal::YearMonth;
use crate::store::dates::{self, DateReading};
use crate::store::delta::{DataFile, Layout, Location, StorageOptions, Table, TableError};
use crate::store::names::Names;
use crate::store::numbers;
use crate::store::parquet::{self, DateRange, ParquetFile, ReadError, Selection};

/// Column that these tables are partitioned by.
const PARTITION: &str = "year_month";

/// Why the lake did not do what it was asked.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A log could not be read, or a commit failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A data file could not be read.
    #[error("read {table}")]
    Read {
        table: &'static str,
        /// Which file, and why.
        #[source]
        source: ReadError,
    },
    /// The folder of the lake is not there: a slip of the pen, or a disk that is not mounted.
    #[error("there is no folder {0}")]
    NoFolder(String),
    /// A lake without any table that signals are about, while signals of it are served.
    #[error(
        "{place} has neither rankings nor signals, but Postgres serves {months} months; is this the right lake?"
    )]
    NoTables {
        /// The lake.
        place: String,
        /// Months that would be removed.
        months: usize,
    },
    /// A column is missing, or holds something else.
    #[error("{table}: {what}")]
    Content {
        table: &'static str,
        /// What is wrong.
        what: String,
    },
}

impl LakeError {
    /// Whether another writer was faster.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Table(TableError::Conflict { .. }))
    }
}

/// That a column holds something else than it must.
pub(super) fn content(table: &'static str) -> impl Fn(ArrowError) -> LakeError {
    move |error| LakeError::Content { table, what: error.to_string() }
}

/// A table, by month.
pub(super) struct Monthly {
    /// Its place below the lake root.
    pub(super) name: &'static str,
    /// What it says of itself when it is made here.
    comment: &'static str,
    /// `None` while there is none.
    pub(super) table: Option<Table>,
    /// Its files, oldest first.
    pub(super) files: BTreeMap<YearMonth, Vec<DataFile>>,
}

impl Monthly {
    /// Lists the files of a table.
    pub(super) async fn new(
        name: &'static str,
        comment: &'static str,
        table: Option<Table>,
    ) -> Result<Self, LakeError> {
        let mut monthly = Self { name, comment, table, files: BTreeMap::new() };
        monthly.list().await?;
        Ok(monthly)
    }

    /// Refuses a table whose months cannot be overwritten one by one.
    fn check_layout(&self) -> Result<(), LakeError> {
        let Some(table) = &self.table else { return Ok(()) };
        let found = table.partition_columns()?;
        if let [one] = found.as_slice()
            && one.eq_ignore_ascii_case(PARTITION)
        {
            return Ok(());
        }
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        let what = format!(
            "it is partitioned by {found} and must be by {PARTITION} alone; write it anew with \
             partition_by=[\"{PARTITION}\"], or move it away and let `backtests sync` make it"
        );
        Err(LakeError::Content { table: self.name, what })
    }

    async fn list(&mut self) -> Result<(), LakeError> {
        self.files.clear();
        self.check_layout()?;
        let Some(table) = &self.table else { return Ok(()) };
        for file in table.data_files("date").await? {
            let mut values = file.file.constants.iter();
            let value = values.find(|(name, _)| name.eq_ignore_ascii_case(PARTITION));
            let value = value.and_then(|(_, value)| value.clone()).unwrap_or_default();
            match value.parse() {
                Ok(month) => self.files.entry(month).or_default().push(file),
                // One such partition must not keep back every month.
                Err(error) => tracing::warn!("left out a partition of {}: {PARTITION} {error}", self.name),
            }
        }
        Ok(())
    }

    /// The files of a month.
    pub(super) fn of(&self, month: YearMonth) -> &[DataFile] {
        self.files.get(&month).map_or(&[], Vec::as_slice)
    }

    /// What the rows of a month were made from, if all of its files say the same.
    pub(super) fn stamp(&self, month: YearMonth) -> Option<String> {
        let mut stamps = self.of(month).iter().map(|file| file.stamp.as_deref());
        let first = stamps.next().flatten()?;
        stamps.all(|stamp| stamp == Some(first)).then(|| first.to_owned())
    }

    /// Version of the table; 0 without one.
    pub(super) fn version(&self) -> i64 {
        self.table.as_ref().map_or(0, |table| i64::try_from(table.version()).unwrap_or(i64::MAX))
    }

    /// Puts rows in the place of those of a month, noting `stamp` as their source; if they are the `same`, only that is noted.
    /// Answers whether rows were written.
    pub(super) async fn bring_to(
        &mut self,
        (root, options): (&Location, &StorageOptions),
        month: YearMonth,
        rows: RecordBatch,
        same: bool,
        stamp: &str,
    ) -> Result<bool, LakeError> {
        let old = self.files.get(&month).cloned().unwrap_or_default();
        if rows.num_rows() == 0 && old.is_empty() {
            return Ok(false);
        }
        if same {
            self.restamp(&[(month, stamp.to_owned())]).await?;
            return Ok(false);
        }
        if self.table.is_none() {
            let layout =
                Layout { schema: &rows.schema(), partition_columns: &[PARTITION], comment: self.comment };
            self.table = Some(Table::create(&root.join(self.name), options, layout).await?);
        }
        let Some(table) = &mut self.table else { return Ok(false) };
        let rows = Some(rows).filter(|rows| rows.num_rows() > 0);
        table.overwrite((PARTITION, &month.to_string()), &old, rows, stamp).await?;
        self.list().await?;
        Ok(true)
    }

    /// Notes other sources of months whose rows stay as they are, as one commit.
    pub(super) async fn restamp(&mut self, months: &[(YearMonth, String)]) -> Result<(), LakeError> {
        let files = months.iter().flat_map(|(month, stamp)| {
            self.files.get(month).into_iter().flatten().map(move |file| (file, stamp.as_str()))
        });
        let other = files.filter(|(file, stamp)| file.stamp.as_deref() != Some(*stamp));
        let files: Vec<(&DataFile, &str)> = other.collect();
        if let (Some(table), false) = (&mut self.table, files.is_empty()) {
            table.restamp(&files).await?;
            self.list().await?;
        }
        Ok(())
    }
}

/// SHA-256 over tables, paths and sizes, in hex.
pub(super) fn digest<'a>(files: impl Iterator<Item = (&'a str, &'a DataFile)>) -> String {
    let mut lines: Vec<String> =
        files.map(|(table, file)| format!("{table}\t{}\t{}\n", file.file.path, file.file.size)).collect();
    lines.sort_unstable();
    sha256_hex(lines.concat())
}

/// Hands over the batches of some files. Dates spare what certainly lies outside; rows outside may still come.
pub(super) async fn each_batch(
    table: &'static str,
    files: Vec<ParquetFile>,
    columns: &[&str],
    dates: Option<(NaiveDate, NaiveDate)>,
    mut each: impl FnMut(&RecordBatch) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let selection = Selection {
        columns: Some(columns.iter().map(|&name| name.to_owned()).collect()),
        dates: dates.map(|(first, last)| DateRange { first, last, reading: DateReading::default() }),
    };
    let mut batches = parquet::scan(files, selection);
    while let Some(batch) = batches.recv().await {
        each(&batch.map_err(|source| LakeError::Read { table, source })?)?;
    }
    Ok(())
}

/// A column that must be there.
pub(super) fn required<'a>(
    table: &'static str,
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a ArrayRef, LakeError> {
    parquet::column(batch, name)
        .ok_or_else(|| LakeError::Content { table, what: format!("there is no column '{name}'") })
}

/// A cell; NaN where there is none.
pub(super) fn number(column: &Float64Array, row: usize) -> f64 {
    if column.is_valid(row) { column.value(row) } else { f64::NAN }
}

/// The cells of a batch of signals, none of which may be missing.
pub(super) struct Cells<'a> {
    /// For messages.
    pub(super) table: &'static str,
    /// In which the days must lie.
    pub(super) month: YearMonth,
    pub(super) batch: &'a RecordBatch,
}

impl Cells<'_> {
    fn column(&self, name: &str) -> Result<&ArrayRef, LakeError> {
        required(self.table, self.batch, name)
    }

    fn wrong(&self, what: impl std::fmt::Display) -> LakeError {
        LakeError::Content { table: self.table, what: format!("month {}: {what}", self.month) }
    }

    pub(super) fn days(&self, name: &str) -> Result<Vec<i32>, LakeError> {
        let days = dates::days(Arc::clone(self.column(name)?)).map_err(content(self.table))?;
        let inside = |day: Option<i32>| day.filter(|day| YearMonth::of_day(*day) == Some(self.month));
        let days: Option<Vec<i32>> = days.iter().map(inside).collect();
        days.ok_or_else(|| self.wrong(format_args!("a {name} is missing or lies in another month")))
    }

    pub(super) fn optional(&self, name: &str) -> Result<Vec<f64>, LakeError> {
        let Some(column) = parquet::column(self.batch, name) else {
            return Ok(vec![f64::NAN; self.batch.num_rows()]);
        };
        let values = numbers::doubles(Arc::clone(column)).map_err(content(self.table))?;
        Ok((0..values.len()).map(|row| number(&values, row)).collect())
    }

    pub(super) fn numbers(&self, name: &str) -> Result<Vec<f64>, LakeError> {
        self.column(name)?;
        let values = self.optional(name)?;
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(self.wrong(format_args!("a {name} is missing or not finite")))
        }
    }

    pub(super) fn percentiles(&self, name: &str) -> Result<Vec<f64>, LakeError> {
        let values = self.numbers(name)?;
        match values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
            None => Ok(values),
            Some(value) => Err(self.wrong(format_args!("a {name} is {value}, and must be from 0 to 1"))),
        }
    }

    pub(super) fn integers(&self, name: &str) -> Result<Vec<i32>, LakeError> {
        let values = cast(self.column(name)?, &DataType::Int32).map_err(content(self.table))?;
        let values: Option<Vec<i32>> = values.as_primitive::<Int32Type>().iter().collect();
        values.ok_or_else(|| self.wrong(format_args!("a {name} is missing or too large")))
    }

    pub(super) fn names(&self, name: &str, known: &mut Names) -> Result<Vec<u32>, LakeError> {
        let ids = known.of(self.column(name)?).map_err(content(self.table))?;
        let ids: Option<Vec<u32>> = ids.into_iter().collect();
        ids.ok_or_else(|| self.wrong(format_args!("a {name} is missing")))
    }
}

/// Rows of a month: its days, and further columns.
pub(super) fn batch(
    month: YearMonth,
    days: Vec<i32>,
    more: Vec<(&'static str, ArrayRef)>,
) -> Result<RecordBatch, ArrowError> {
    let month = month.to_string();
    let months = texts(days.iter().map(|_| month.as_str()));
    let mut columns: Vec<(&str, ArrayRef)> =
        vec![("date", Arc::new(Date32Array::from(days))), (PARTITION, months)];
    columns.extend(more);
    named(columns)
}

/// Columns of a table that may all be null, as existing tables have them.
pub(super) fn named(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch, ArrowError> {
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, column)| column).collect())
}

pub(super) fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub(super) fn longs(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(i64::from)))
}

pub(super) fn doubles(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(values))
}
