//! What differs between two sets of rows of the same kind, by date and symbol: of two versions of a table, or of a table
//! and what is put into it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, RecordBatch, StringArray,
};
use deltalake::arrow::compute::{cast, concat_batches, filter_record_batch};
use deltalake::arrow::datatypes::{DataType, SchemaRef};
use deltalake::arrow::error::ArrowError;
use serde::Serialize;

use super::columns;
use super::dates::{self, DateError, DateReading};
use super::delta::{AsOf, Location, StorageOptions, Table, TableError};
use super::numbers;
use super::parquet::{self, ParquetFile, ReadError, Selection};

/// Columns that say which row is which; the last one only where a table has it.
const KEYS: [&str; 3] = ["date", "symbol", "strategy"];

/// Rows that two sets do not share, and values that differ in rows that both have.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Rows that only the later set has.
    pub added: usize,
    /// Rows that only the earlier one has.
    pub removed: usize,
    /// Rows of both with other values.
    pub changed: usize,
    /// Values that changed, by column.
    pub columns: BTreeMap<String, usize>,
    /// Symbols of the rows that differ.
    pub symbols: BTreeSet<String>,
    /// The earliest day of these rows.
    pub first_date: Option<NaiveDate>,
    /// The largest change of each symbol, measured by the value before it.
    #[serde(skip)]
    pub sizes: BTreeMap<String, f64>,
    /// The change that is the largest, measured by the value before it.
    pub largest: Option<Change>,
    /// Symbols whose history came anew, on another basis: adjusted for a split or a dividend since.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub restated: BTreeSet<String>,
    /// Columns that only the earlier set has.
    pub columns_removed: Vec<String>,
    /// Columns that only the later one has.
    pub columns_added: Vec<String>,
}

/// A value that changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Column that it stands in.
    pub column: String,
    /// On which day.
    pub date: Option<NaiveDate>,
    /// Symbol whose row it is in.
    pub symbol: String,
    /// Value in the earlier set.
    pub before: f64,
    /// Value in the later set.
    pub after: f64,
}

impl Change {
    fn size(&self) -> f64 {
        (self.after / self.before - 1.0).abs()
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { column, symbol, before, after, .. } = self;
        let date = self.date.map_or_else(|| "no date".to_owned(), |date| date.to_string());
        let percent = 100.0 * (after / before - 1.0);
        write!(f, "{column} of {symbol} on {date}, {before} to {after} ({percent:+.2} %)")
    }
}

/// Two sets could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum DifferenceError {
    /// A table could not be opened.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A data file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Rows of a date and symbol are what is compared.
    #[error("the table has no column '{0}'")]
    NoColumn(&'static str),
    /// The dates are none.
    #[error(transparent)]
    Dates(#[from] DateError),
    /// The columns do not go together.
    #[error("compare the rows: {0}")]
    Arrow(#[from] ArrowError),
}

/// Rows that are found by date and symbol.
pub(super) struct Keyed {
    pub(super) rows: RecordBatch,
    pub(super) days: Date32Array,
    pub(super) symbols: StringArray,
    /// What tells rows of a day and symbol apart, where there are several.
    more: Option<StringArray>,
}

/// What a row is found by.
type Key<'a> = (Option<i32>, Option<&'a str>, Option<&'a str>);

impl Keyed {
    pub(super) fn new(rows: RecordBatch) -> Result<Self, DifferenceError> {
        let texts = |name| -> Result<Option<StringArray>, ArrowError> {
            let Some(column) = parquet::column(&rows, name) else { return Ok(None) };
            Ok(Some(cast(column, &DataType::Utf8)?.as_string::<i32>().clone()))
        };
        let date = parquet::column(&rows, "date").ok_or(DifferenceError::NoColumn("date"))?;
        let days = dates::read(Arc::clone(date), DateReading::default())?.days;
        let symbols = texts("symbol")?.ok_or(DifferenceError::NoColumn("symbol"))?;
        let more = texts(KEYS[2])?;
        Ok(Self { days, symbols, more, rows })
    }

    fn key(&self, row: usize) -> Key<'_> {
        fn text(texts: &StringArray, row: usize) -> Option<&str> {
            texts.is_valid(row).then(|| texts.value(row))
        }
        let more = self.more.as_ref().and_then(|more| text(more, row));
        (self.days.is_valid(row).then(|| self.days.value(row)), text(&self.symbols, row), more)
    }

    /// For each row the row of `other` with the same key.
    pub(super) fn pairs(&self, other: &Self) -> Vec<Option<usize>> {
        let mut known = HashMap::with_capacity(other.rows.num_rows());
        for row in 0..other.rows.num_rows() {
            known.insert(other.key(row), row);
        }
        (0..self.rows.num_rows()).map(|row| known.get(&self.key(row)).copied()).collect()
    }

    /// Of several rows with the same key the last one.
    pub(super) fn last_of_each(self) -> Result<Self, DifferenceError> {
        let last: BooleanArray =
            self.pairs(&self).into_iter().zip(0..).map(|(last, row)| Some(last == Some(row))).collect();
        if last.true_count() == last.len() {
            return Ok(self);
        }
        Self::new(filter_record_batch(&self.rows, &last)?)
    }

    fn symbol(&self, row: usize) -> String {
        if self.symbols.is_valid(row) { self.symbols.value(row).to_owned() } else { "no symbol".to_owned() }
    }

    fn date(&self, row: usize) -> Option<NaiveDate> {
        self.days.is_valid(row).then(|| NaiveDate::from_epoch_days(self.days.value(row))).flatten()
    }
}

impl Difference {
    /// What `after` has otherwise than `before`. `pairs` tells for each row of `before` its row of `after`. Also answers
    /// which rows of `before` have changed.
    pub(super) fn of(
        before: &Keyed,
        after: &Keyed,
        pairs: &[Option<usize>],
    ) -> Result<(Self, Vec<bool>), DifferenceError> {
        let mut found = Self::default();
        let mut changed = vec![false; pairs.len()];
        let names = |schema: SchemaRef| -> Vec<String> {
            schema.fields().iter().map(|field| field.name().clone()).collect()
        };
        let (old, new) = (names(before.rows.schema()), names(after.rows.schema()));
        found.columns_removed = old.iter().filter(|name| !new.contains(name)).cloned().collect();
        found.columns_added = new.iter().filter(|name| !old.contains(name)).cloned().collect();
        for (at, name) in old.iter().enumerate() {
            let Some(other) = after.rows.column_by_name(name) else { continue };
            if KEYS.iter().any(|key| columns::means(name, key)) {
                continue;
            }
            let column = before.rows.column(at);
            if parquet::is_numeric(column.data_type()) {
                let (old, new) = (doubles(column)?, doubles(other)?);
                for (row, pair) in pairs.iter().enumerate() {
                    let Some(pair) = *pair else { continue };
                    let (value, now) = (value(&old, row), value(&new, pair));
                    if value == now || value.is_nan() && now.is_nan() {
                        continue;
                    }
                    changed[row] = true;
                    *found.columns.entry(name.clone()).or_default() += 1;
                    let change = Change {
                        column: name.clone(),
                        date: before.date(row),
                        symbol: String::new(),
                        before: value,
                        after: now,
                    };
                    let size = change.size();
                    if size.is_finite() {
                        let most = found.sizes.entry(before.symbol(row)).or_default();
                        *most = most.max(size);
                    }
                    if size.is_finite() && found.largest.as_ref().is_none_or(|known| known.size() < size) {
                        found.largest = Some(Change { symbol: before.symbol(row), ..change });
                    }
                }
            } else {
                let (old, new) = (cast(column, &DataType::Utf8)?, cast(other, &DataType::Utf8)?);
                let (old, new) = (old.as_string::<i32>(), new.as_string::<i32>());
                for (row, pair) in pairs.iter().enumerate() {
                    let Some(pair) = *pair else { continue };
                    let same = match (old.is_valid(row), new.is_valid(pair)) {
                        (true, true) => old.value(row) == new.value(pair),
                        (one, other) => one == other,
                    };
                    if !same {
                        changed[row] = true;
                        *found.columns.entry(name.clone()).or_default() += 1;
                    }
                }
            }
        }
        let mut matched = vec![false; after.rows.num_rows()];
        for (row, pair) in pairs.iter().enumerate() {
            match pair {
                Some(pair) => matched[*pair] = true,
                None => found.removed += 1,
            }
            found.changed += usize::from(changed[row]);
            if pair.is_none() || changed[row] {
                found.touch(before, row);
            }
        }
        for row in (0..matched.len()).filter(|&row| !matched[row]) {
            found.added += 1;
            found.touch(after, row);
        }
        Ok((found, changed))
    }

    fn touch(&mut self, rows: &Keyed, row: usize) {
        self.symbols.insert(rows.symbol(row));
        self.first_date = [self.first_date, rows.date(row)].into_iter().flatten().min();
    }

    /// Rows that one set has otherwise than the other, or alone.
    pub fn rows(&self) -> usize {
        self.added + self.removed + self.changed
    }

    /// Adds the changes of other rows of the same two sets.
    pub(super) fn join_changes(&mut self, other: Self) {
        self.changed += other.changed;
        for (symbol, size) in other.sizes {
            let most = self.sizes.entry(symbol).or_default();
            *most = most.max(size);
        }
        for (column, count) in other.columns {
            *self.columns.entry(column).or_default() += count;
        }
        let size = |change: &Option<Change>| change.as_ref().map_or(-1.0, Change::size);
        if size(&other.largest) > size(&self.largest) {
            self.largest = other.largest;
        }
    }

    /// Whether nothing differs.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

fn doubles(column: &ArrayRef) -> Result<Float64Array, ArrowError> {
    numbers::doubles(Arc::clone(column))
}

fn value(column: &Float64Array, row: usize) -> f64 {
    if column.is_valid(row) { column.value(row) } else { f64::NAN }
}

/// What differs between two versions of a table; `None` if there is no table. Only files that one of them has are read.
pub async fn between(
    location: &Location,
    options: &StorageOptions,
    before: u64,
    after: u64,
) -> Result<Option<Difference>, DifferenceError> {
    let open = async |version| Table::open_at(location, options, &AsOf::Version(version)).await;
    let (Some(old), Some(new)) = (open(before).await?, open(after).await?) else { return Ok(None) };
    let (old_files, new_files) = (old.files(None).await?, new.files(None).await?);
    let lacks = |files: &[ParquetFile], file: &ParquetFile| files.iter().all(|known| known.path != file.path);
    // A file that both have is the same in both, unless a column came meanwhile, and that is null in it.
    let old_rows =
        rows(old_files.iter().filter(|file| lacks(&new_files, file)).cloned().collect(), &old).await?;
    let new_rows =
        rows(new_files.iter().filter(|file| lacks(&old_files, file)).cloned().collect(), &new).await?;
    let pairs = old_rows.pairs(&new_rows);
    Ok(Some(Difference::of(&old_rows, &new_rows, &pairs)?.0))
}

async fn rows(files: Vec<ParquetFile>, table: &Table) -> Result<Keyed, DifferenceError> {
    let schema = table.schema()?;
    let mut batches = Vec::new();
    let mut scan = parquet::scan(files, Selection::default());
    while let Some(batch) = scan.recv().await {
        batches.push(table.conform(&batch?)?);
    }
    Keyed::new(concat_batches(&schema, &batches)?)
}
