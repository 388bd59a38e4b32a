//! What a table of the lake holds: rows, symbols, dates, gaps.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::NaiveDate;
use deltalake::arrow::array::{Array, AsArray, Date32Array, Float64Array, RecordBatch, StringArray};
use deltalake::arrow::compute;
use deltalake::arrow::datatypes::{DataType, SchemaRef};
use deltalake::arrow::error::ArrowError;

use super::columns::{self, ADJUSTED_CLOSE, SPLIT_FACTOR};
use super::dates;
use super::delta::{Location, StorageOptions, Table, TableError};
use super::numbers;
use super::parquet::{self, ParquetFile, ReadError, Selection};
use crate::engine::market::{PriceChunk, PricePanel, PriceRows, SplitLike, split_like};

/// What a table of bars holds.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Contents {
    /// Version of the table.
    pub version: u64,
    /// Bars.
    pub rows: usize,
    /// Distinct symbols.
    pub symbols: usize,
    /// Distinct dates.
    pub dates: usize,
    /// Oldest date.
    pub first: Option<NaiveDate>,
    /// Newest date.
    pub last: Option<NaiveDate>,
    /// Empty cells by column, where there are any.
    pub missing: Vec<(String, usize)>,
    /// Data files.
    pub files: usize,
    /// Bytes of the data files.
    pub bytes: u64,
    /// Column names.
    pub columns: Vec<String>,
    /// Jumps of closes that look like splits, in prices that were not adjusted for them, of tables of bars that were looked
    /// at for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_like: Option<SplitLikeJumps>,
}

/// Jumps that look like splits.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SplitLikeJumps {
    /// How many jumps there are.
    pub count: usize,
    /// The first ones: symbol, day, and the split that it would be.
    pub examples: Vec<String>,
}

/// A table could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// Its log could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A data file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A column is not what it must be.
    #[error("look at the columns: {0}")]
    Arrow(#[from] ArrowError),
}

/// What a table of bars holds; `None` when there is no table.
pub async fn inspect(table: &Location, options: &StorageOptions) -> Result<Option<Contents>, ContentsError> {
    let Some(table) = Table::open(table, options).await? else { return Ok(None) };
    let mut contents = of(&table).await?;
    contents.split_like = jumps(&table).await?;
    Ok(Some(contents))
}

/// Jumps of the closes that runs would see; `None` of a table that is none of bars.
async fn jumps(table: &Table) -> Result<Option<SplitLikeJumps>, ContentsError> {
    const SHOWN: usize = 5;
    let schema = table.schema()?;
    let has = |name: &str| schema.fields().iter().any(|field| columns::means(field.name(), name));
    if !["date", "symbol", "close"].into_iter().all(has) {
        return Ok(None);
    }
    let wanted = ["date", "symbol", "close", ADJUSTED_CLOSE, SPLIT_FACTOR].map(str::to_owned);
    let mut scan =
        parquet::scan(table.files(None).await?, Selection { columns: Some(wanted.to_vec()), dates: None });
    let (mut rows, mut ids) = (PriceRows::default(), HashMap::new());
    // Days and names of splits that runs book.
    let mut known: HashSet<(i32, String)> = HashSet::new();
    while let Some(batch) = scan.recv().await {
        let batch = batch?;
        let (days, names) = keys(&batch)?;
        let numbers = |name| parquet::column(&batch, name).map(|column| numbers::doubles(Arc::clone(column)));
        let (close, adjusted) = (numbers("close").transpose()?, numbers(ADJUSTED_CLOSE).transpose()?);
        let splits = numbers(SPLIT_FACTOR).transpose()?;
        let mut chunk = PriceChunk::default();
        for row in (0..batch.num_rows()).filter(|&row| days.is_valid(row) && names.is_valid(row)) {
            let value = |column: &Option<Float64Array>| {
                column.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row))
            };
            if adjusted.is_none() && value(&splits).is_some_and(|split| split > 0.0 && split != 1.0) {
                known.insert((days.value(row), names.value(row).to_owned()));
            }
            let Some(close) = value(&adjusted).or_else(|| value(&close)).filter(|close| close.is_finite())
            else {
                continue;
            };
            let next = u32::try_from(rows.symbols.len()).unwrap_or(u32::MAX);
            let id = match ids.get(names.value(row)) {
                Some(&id) => id,
                None => {
                    rows.symbols.push(names.value(row).to_owned());
                    ids.insert(names.value(row).to_owned(), next);
                    next
                }
            };
            chunk.date.push(days.value(row));
            chunk.symbol.push(id);
            chunk.open.push(close);
            chunk.close.push(close);
        }
        rows.chunks.push(chunk.into());
    }
    let panel = PricePanel::of(&rows).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
    let Some(panel) = panel else { return Ok(None) };
    let place = |jump: &SplitLike| (panel.dates()[jump.bar], &panel.symbols()[jump.symbol.index()]);
    let mut found = split_like(panel.closes());
    found.retain(|jump| {
        let (date, symbol) = place(jump);
        !known.contains(&(date.to_epoch_days(), symbol.clone()))
    });
    let example = |jump: &SplitLike| {
        let (date, symbol) = place(jump);
        format!("{symbol} {date}: {jump}")
    };
    Ok(Some(SplitLikeJumps { count: found.len(), examples: found.iter().take(SHOWN).map(example).collect() }))
}

/// What a table holds.
pub(super) async fn of(table: &Table) -> Result<Contents, ContentsError> {
    let schema: SchemaRef = table.schema()?;
    let files: Vec<ParquetFile> = table.files(None).await?;
    let bytes = files.iter().map(|file| file.size).sum();
    let mut found = Contents {
        version: table.version(),
        rows: 0,
        symbols: 0,
        dates: 0,
        first: None,
        last: None,
        missing: Vec::new(),
        files: files.len(),
        bytes,
        columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
        split_like: None,
    };
    let mut dates = BTreeSet::new();
    let mut symbols = HashSet::new();
    let mut scan = parquet::scan(files, Selection::default());
    while let Some(batch) = scan.recv().await {
        let batch = batch?;
        found.rows += batch.num_rows();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            if column.null_count() > 0 {
                match found.missing.iter_mut().find(|(name, _)| name == field.name()) {
                    Some((_, count)) => *count += column.null_count(),
                    None => found.missing.push((field.name().clone(), column.null_count())),
                }
            }
        }
        if parquet::column(&batch, "date").is_some() && parquet::column(&batch, "symbol").is_some() {
            let (days, names) = keys(&batch)?;
            dates.extend(days.iter().flatten());
            for name in names.iter().flatten() {
                if !symbols.contains(name) {
                    symbols.insert(name.to_owned());
                }
            }
        }
    }
    (found.symbols, found.dates) = (symbols.len(), dates.len());
    (found.first, found.last) = (
        dates.first().copied().and_then(NaiveDate::from_epoch_days),
        dates.last().copied().and_then(NaiveDate::from_epoch_days),
    );
    Ok(found)
}

fn keys(batch: &RecordBatch) -> Result<(Date32Array, StringArray), ArrowError> {
    let column = |name: &str| {
        parquet::column(batch, name)
            .ok_or_else(|| ArrowError::SchemaError(format!("there is no column '{name}'")))
    };
    let symbols = compute::cast(column("symbol")?, &DataType::Utf8)?;
    Ok((dates::days(Arc::clone(column("date")?))?, symbols.as_string::<i32>().clone()))
}
