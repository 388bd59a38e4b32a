//! The rows of a load as tables: to be kept beside the results of a run, as Parquet that gives the same rows again, and to
//! be compared with other rows. Who keeps them is told in `work::files`, who compares them in `restated`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use deltalake::arrow::array::{
    Array as _, ArrayRef, AsArray as _, Date32Array, Float64Array, RecordBatch, StringArray,
    StringDictionaryBuilder,
};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Date32Type, Float64Type, Int32Type};
use deltalake::arrow::error::ArrowError;
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::parquet::basic::Compression;
use deltalake::parquet::errors::ParquetError;
use deltalake::parquet::file::metadata::KeyValue;
use deltalake::parquet::file::properties::WriterProperties;
use deltalake::parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};

use super::names::Names;
use crate::engine::market::{DayNumbers, PriceChunk, PriceRows, SignalRows};

/// Rows of a batch: the same whatever pieces the rows came in, so that equal rows give equal bytes.
const BATCH_ROWS: usize = 64 * 1024;

/// Key of what a file says beside its rows.
const ABOUT: &str = "backtests.rows";

/// Bytes that the kept files of a run may have together.
pub const BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Rows that cannot be kept, or were not kept like this.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// They fill more than may be kept.
    #[error(
        "output.keep_inputs would keep more than {} MB; leave it out, or ask for fewer symbols or days",
        BYTES_MAX / 1024 / 1024
    )]
    TooLarge,
    /// They are no table.
    #[error("the rows that are kept: {0}")]
    Table(#[from] ArrowError),
    /// They cannot be written, or read again.
    #[error("the rows that are kept: {0}")]
    Parquet(#[from] ParquetError),
    /// The file is not one that was written here.
    #[error("the rows that are kept: {0}")]
    Unknown(String),
}

/// What a file of prices says beside its rows.
#[derive(Debug, Default, Serialize, Deserialize)]
struct About {
    /// Symbols that were found, and have no row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    without_rows: Vec<String>,
    /// Exchange by symbol; `None` if the prices have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exchange: Option<BTreeMap<String, String>>,
    /// What the reader of the results should know about the rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// Names of the columns that any reader may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<String>,
    /// Such columns that are not there, and what is to be said of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lacks: Vec<(String, String)>,
    /// Names of the table that nobody asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
    /// The benchmark, where it has a table of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    benchmark: Option<DayNumbers>,
    /// The risk-free rate, where it has a table of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    risk_free: Option<DayNumbers>,
}

/// What stands before the names of columns that any reader may name, so that none is taken for one that every reader knows.
const OTHER: &str = "other:";

/// Rows, on their way into batches.
#[derive(Default)]
struct Rows {
    date: Vec<i32>,
    symbol: Vec<u32>,
    /// `None` in a cell: the piece that the row came in lacks the column. A missing number is NaN.
    columns: Vec<(String, Vec<Option<f64>>)>,
}

impl Rows {
    fn batch(&mut self, names: &[String]) -> Result<RecordBatch, ArrowError> {
        let mut symbols = StringDictionaryBuilder::<Int32Type>::new();
        for symbol in self.symbol.drain(..) {
            symbols.append(names.get(symbol as usize).map_or("", String::as_str))?;
        }
        let keys: [(&str, ArrayRef); 2] = [
            ("date", Arc::new(Date32Array::from(std::mem::take(&mut self.date)))),
            ("symbol", Arc::new(symbols.finish())),
        ];
        let numbers = self.columns.iter_mut().map(|(name, values)| {
            let values: ArrayRef = Arc::new(Float64Array::from(std::mem::take(values)));
            (name.as_str(), values)
        });
        let columns = keys.into_iter().chain(numbers).map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>())
    }
}

/// The columns of prices that every reader knows.
const KNOWN: [&str; 7] = ["open", "high", "low", "close", "volume", "dividend", "split_factor"];

/// A column of a chunk by its place among [`KNOWN`], and behind these among the others.
fn column_of(chunk: &PriceChunk, at: usize) -> &[f64] {
    let known = [
        &chunk.open,
        &chunk.high,
        &chunk.low,
        &chunk.close,
        &chunk.volume,
        &chunk.dividend,
        &chunk.split_factor,
    ];
    let other = || chunk.others.get(at - known.len());
    known.get(at).copied().or_else(other).map_or(&[], Vec::as_slice)
}

/// The rows of prices as they came: `date`, `symbol`, and the columns that any of them has.
pub(super) fn price_batches(prices: &PriceRows, push: Push<'_>) -> Result<(), KeptError> {
    let others = prices.others.iter().map(|name| format!("{OTHER}{name}"));
    let names = KNOWN.iter().map(|name| (*name).to_owned()).chain(others).enumerate();
    let is_there = |(at, name): &(usize, String)| {
        let required = matches!(name.as_str(), "open" | "close");
        required || prices.chunks.iter().any(|chunk| !column_of(chunk.columns(), *at).is_empty())
    };
    let columns: Vec<(usize, String)> = names.filter(is_there).collect();
    let mut rows = Rows {
        columns: columns.iter().map(|(_, name)| (name.clone(), Vec::new())).collect(),
        ..Rows::default()
    };
    for chunk in &prices.chunks {
        for (row, (day, symbol)) in chunk.keys().enumerate() {
            rows.date.push(day);
            rows.symbol.push(symbol);
            for ((_, values), (at, _)) in rows.columns.iter_mut().zip(&columns) {
                values.push(column_of(chunk.columns(), *at).get(row).copied());
            }
            if rows.date.len() == BATCH_ROWS {
                push(rows.batch(&prices.symbols)?)?;
            }
        }
    }
    push(rows.batch(&prices.symbols)?)
}

/// The rows of signals as they came.
pub(super) fn signal_batches(signals: &SignalRows, push: Push<'_>) -> Result<(), KeptError> {
    let count = signals.date.len();
    // One batch at least, for its columns.
    for first in (0..count.max(1)).step_by(BATCH_ROWS) {
        let range = first..count.min(first + BATCH_ROWS);
        let columns = signals.columns.iter().map(|(name, values)| {
            (name.clone(), values[range.clone()].iter().copied().map(Some).collect::<Vec<_>>())
        });
        let mut rows = Rows {
            date: signals.date[range.clone()].to_vec(),
            symbol: signals.symbol[range.clone()].to_vec(),
            columns: columns.collect(),
        };
        push(rows.batch(&signals.symbols)?)?;
    }
    Ok(())
}

/// Prices as a Parquet file that [`read_prices`] makes the same rows of. The same rows give the same bytes.
///
/// # Errors
/// [`KeptError::TooLarge`] as soon as the file has more than `bytes_max`.
pub fn write_prices(prices: &PriceRows, bytes_max: u64) -> Result<Bytes, KeptError> {
    let mut with_rows = vec![false; prices.symbols.len()];
    for chunk in &prices.chunks {
        for (_, symbol) in chunk.keys() {
            if let Some(known) = with_rows.get_mut(symbol as usize) {
                *known = true;
            }
        }
    }
    let without = prices.symbols.iter().zip(with_rows).filter(|(_, known)| !known);
    let exchange = prices.symbols.iter().zip(&prices.exchange);
    let about = About {
        without_rows: without.map(|(name, _)| name.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
        exchange: (!prices.exchange.is_empty()).then(|| {
            exchange.filter_map(|(name, exchange)| Some((name.clone(), exchange.clone()?))).collect()
        }),
        warnings: prices.warnings.clone(),
        others: prices.others.clone(),
        lacks: prices.lacks.clone(),
        left_out: prices.left_out.clone(),
        benchmark: prices.benchmark.clone(),
        risk_free: prices.risk_free.clone(),
    };
    write(&about, bytes_max, |push| price_batches(prices, push))
}

/// Signals as a Parquet file that [`read_signals`] makes the same rows of.
///
/// # Errors
/// As [`write_prices`].
pub fn write_signals(signals: &SignalRows, bytes_max: u64) -> Result<Bytes, KeptError> {
    write(&About::default(), bytes_max, |push| signal_batches(signals, push))
}

/// Takes batches one by one.
pub(super) type Push<'p> = &'p mut dyn FnMut(RecordBatch) -> Result<(), KeptError>;

fn write(
    about: &About,
    bytes_max: u64,
    batches: impl FnOnce(Push<'_>) -> Result<(), KeptError>,
) -> Result<Bytes, KeptError> {
    let about = serde_json::to_string(about).map_err(|error| KeptError::Unknown(error.to_string()))?;
    let mut writer: Option<ArrowWriter<Vec<u8>>> = None;
    batches(&mut |batch| {
        let writer = match &mut writer {
            Some(writer) => writer,
            None => {
                let about = KeyValue { key: ABOUT.to_owned(), value: Some(about.clone()) };
                let mut properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_key_value_metadata(Some(vec![about]));
                let schema = batch.schema();
                // Of measured numbers hardly any comes twice, so that a dictionary only takes time and room.
                for field in schema.fields().iter().filter(|field| field.data_type().is_floating()) {
                    let path = ColumnPath::new(vec![field.name().clone()]);
                    properties = properties.set_column_dictionary_enabled(path, false);
                }
                writer.insert(ArrowWriter::try_new(Vec::new(), schema, Some(properties.build()))?)
            }
        };
        writer.write(&batch)?;
        let written = (writer.bytes_written() + writer.in_progress_size()) as u64;
        if written > bytes_max { Err(KeptError::TooLarge) } else { Ok(()) }
    })?;
    let Some(writer) = writer else { return Err(KeptError::Unknown("there are none".to_owned())) };
    Ok(writer.into_inner()?.into())
}

/// A file that was kept, batch by batch, and what it says beside its rows.
fn read(
    content: Bytes,
    push: &mut dyn FnMut(&About, &Read) -> Result<(), KeptError>,
) -> Result<About, KeptError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(content)?;
    let about = builder.metadata().file_metadata().key_value_metadata();
    let about = about.into_iter().flatten().find(|entry| entry.key == ABOUT);
    let about = about.and_then(|entry| entry.value.as_deref());
    let foreign = || KeptError::Unknown("the file was not written by this program".to_owned());
    let about = about.ok_or_else(foreign)?;
    let about: About = serde_json::from_str(about).map_err(|error| KeptError::Unknown(error.to_string()))?;
    let schema = Arc::clone(builder.schema());
    let mut none = true;
    for batch in builder.with_batch_size(BATCH_ROWS).build()? {
        none = false;
        push(&about, &Read::of(&batch?)?)?;
    }
    if none {
        // For its columns.
        push(&about, &Read::of(&RecordBatch::new_empty(schema))?)?;
    }
    Ok(about)
}

/// A batch of a file that was kept.
struct Read {
    date: Date32Array,
    symbol: StringArray,
    columns: Vec<(String, Float64Array)>,
}

impl Read {
    fn of(batch: &RecordBatch) -> Result<Self, KeptError> {
        let column = |name: &str| {
            let found = batch.column_by_name(name);
            found.ok_or_else(|| KeptError::Unknown(format!("there is no column {name}")))
        };
        let date = cast(column("date")?, &DataType::Date32)?.as_primitive::<Date32Type>().clone();
        let symbol = cast(column("symbol")?, &DataType::Utf8)?.as_string::<i32>().clone();
        if date.null_count() + symbol.null_count() > 0 {
            return Err(KeptError::Unknown("a row has no date or no symbol".to_owned()));
        }
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).skip(2).map(|(field, values)| {
            let values = cast(values, &DataType::Float64)?;
            Ok((field.name().clone(), values.as_primitive::<Float64Type>().clone()))
        });
        Ok(Self { date, symbol, columns: columns.collect::<Result<_, ArrowError>>()? })
    }
}

/// The prices of a file of [`write_prices`].
pub fn read_prices(content: Bytes) -> Result<PriceRows, KeptError> {
    let mut names = Names::default();
    let mut chunks = Vec::new();
    let about = read(content, &mut |about, batch| {
        let others: Vec<String> = about.others.iter().map(|name| format!("{OTHER}{name}")).collect();
        let count = batch.date.len();
        // Rows that lack the same columns came in one piece.
        let lacks = |row: usize| batch.columns.iter().map(move |(_, values)| values.is_null(row));
        let mut first = 0;
        while first < count {
            let end = (first..count).find(|&row| !lacks(row).eq(lacks(first))).unwrap_or(count);
            let column = |name: &str| -> Vec<f64> {
                let found = batch.columns.iter().find(|(known, _)| known == name);
                let found = found.filter(|(_, values)| values.is_valid(first));
                found.map_or_else(Vec::new, |(_, values)| values.values()[first..end].to_vec())
            };
            let chunk = PriceChunk {
                date: batch.date.values()[first..end].to_vec(),
                symbol: (first..end).map(|row| names.id(batch.symbol.value(row))).collect(),
                open: column("open"),
                high: column("high"),
                low: column("low"),
                close: column("close"),
                volume: column("volume"),
                dividend: column("dividend"),
                split_factor: column("split_factor"),
                others: others.iter().map(|name| column(name)).collect(),
            };
            chunks.push(chunk.into());
            first = end;
        }
        Ok(())
    })?;
    for name in &about.without_rows {
        names.id(name);
    }
    let exchange = about
        .exchange
        .map(|mut known| names.names.iter().map(|name| known.remove(name)).collect::<Vec<Option<String>>>());
    Ok(PriceRows {
        symbols: names.names,
        exchange: exchange.unwrap_or_default(),
        chunks,
        warnings: about.warnings,
        others: about.others,
        lacks: about.lacks,
        left_out: about.left_out,
        benchmark: about.benchmark,
        risk_free: about.risk_free,
    })
}

/// The signals of a file of [`write_signals`].
pub fn read_signals(content: Bytes) -> Result<SignalRows, KeptError> {
    let mut names = Names::default();
    let mut rows = SignalRows::default();
    read(content, &mut |_, batch| {
        rows.date.extend(batch.date.values());
        rows.symbol.extend((0..batch.symbol.len()).map(|row| names.id(batch.symbol.value(row))));
        if rows.columns.is_empty() {
            rows.columns = batch.columns.iter().map(|(name, _)| (name.clone(), Vec::new())).collect();
        }
        for ((_, into), (_, values)) in rows.columns.iter_mut().zip(&batch.columns) {
            into.extend(values.iter().map(|value| value.unwrap_or(f64::NAN)));
        }
        Ok(())
    })?;
    rows.symbols = names.names;
    Ok(rows)
}
