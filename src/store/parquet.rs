//! Reading Parquet wherever it lies: only the asked columns, only the row groups that may hold the asked dates.
//! What a column means is not known here.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono::NaiveDate;
use deltalake::arrow::array::{
    Array, ArrayRef, Int32DictionaryArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake::arrow::error::ArrowError;
use deltalake::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use deltalake::parquet::arrow::async_reader::AsyncFileReader;
use deltalake::parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use deltalake::parquet::errors::{ParquetError, Result as ParquetResult};
use deltalake::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use deltalake::parquet::file::statistics::Statistics;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::mpsc;

use super::columns;
use super::dates::{self, Bound, DateReading};

/// Rows of a decoded batch: large enough that the per-batch work vanishes, small enough to stay in cache.
const BATCH_ROWS: usize = 32 * 1024;

/// A Parquet file that was opened: its schema and statistics are known, its rows are not read.
#[derive(Debug, Clone)]
pub struct ParquetFile {
    /// Where it lies.
    pub store: Arc<dyn ObjectStore>,
    /// Its path there.
    pub path: Path,
    /// Its size in bytes.
    pub size: u64,
    /// Values that hold for every row and are not in the file: Delta partition columns, as text. An empty text is no
    /// value.
    pub constants: HashMap<String, Option<String>>,
    /// What the table that the file belongs to says of it.
    pub table: Option<InTable>,
}

/// What the log of a table says of one of its files.
#[derive(Debug, Clone)]
pub struct InTable {
    /// Columns of the table; those that the file lacks are null in it.
    pub schema: SchemaRef,
    /// Rows of the file, where the log knows.
    pub rows: Option<u64>,
    /// When the file was written, in milliseconds since 1970.
    pub modified_ms: i64,
}

/// Which part of a file is wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Names, whose other usual forms are taken too (`columns::means`); `None` takes every column.
    pub columns: Option<Vec<String>>,
    /// Which rows are asked for by date. Rows outside may still come: the range only spares what certainly lies
    /// outside.
    pub dates: Option<DateRange>,
}

/// Rows by date.
#[derive(Debug, Clone, Copy)]
pub struct DateRange {
    /// First day.
    pub first: NaiveDate,
    /// Last day.
    pub last: NaiveDate,
    /// How the column `date` is read.
    pub reading: DateReading,
}

impl Selection {
    fn takes(&self, column: &str) -> bool {
        self.columns.as_ref().is_none_or(|wanted| {
            wanted.iter().any(|name| {
                columns::means(column, name)
                    || name == columns::ADJUSTED_CLOSE && columns::resembles_adjusted_close(column)
            })
        })
    }
}

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read {path}{}", self.hint())]
pub struct ReadError {
    /// The file.
    pub path: String,
    /// What the reader said.
    #[source]
    pub source: ParquetError,
}

impl ReadError {
    /// What to do about a file that is gone.
    fn hint(&self) -> &'static str {
        if self.is_gone() {
            ": the file is gone. If it belongs to a Delta table, VACUUM may have removed it: restore it, or let \
             the log forget it (FSCK REPAIR TABLE, or DeltaTable(…).repair() in Python)"
        } else {
            ""
        }
    }

    /// Whether there is no such file, as opposed to one that cannot be read.
    pub fn is_gone(&self) -> bool {
        matches!(&self.source, ParquetError::External(cause)
            if matches!(cause.downcast_ref(), Some(object_store::Error::NotFound { .. })))
    }

    /// Whether the store did not answer, as opposed to the file being bad.
    pub fn is_retryable(&self) -> bool {
        matches!(&self.source, ParquetError::External(cause)
            if cause.downcast_ref().is_some_and(may_pass))
    }
}

/// Whether storage that said this may say something else later.
pub(super) fn may_pass(error: &object_store::Error) -> bool {
    !matches!(error, object_store::Error::NotFound { .. } | object_store::Error::InvalidPath { .. })
}

/// Decodes `files` in parallel and hands over their batches in the order of files and rows. Text columns come as
/// dictionaries, so that a consumer looks at each distinct text once per batch.
pub fn scan(files: Vec<ParquetFile>, selection: Selection) -> mpsc::Receiver<Result<RecordBatch, ReadError>> {
    scan_with(files, selection, || Ok)
}

/// As [`scan`], with what is made of the batches made on the threads that decode them. `each_file` gives the function
/// for the batches of one file.
pub fn scan_with<T, E, F>(
    files: Vec<ParquetFile>,
    selection: Selection,
    each_file: impl Fn() -> F + Send + 'static,
) -> mpsc::Receiver<Result<T, E>>
where
    T: Send + 'static,
    E: From<ReadError> + Send + 'static,
    F: FnMut(RecordBatch) -> Result<T, E> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    let selection = Arc::new(selection);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    tokio::spawn(async move {
        let mut files = files.into_iter();
        let mut decoding = VecDeque::new();
        loop {
            while decoding.len() < workers
                && let Some(file) = files.next()
            {
                let (results, decoded) = mpsc::channel(64);
                let (selection, make) = (Arc::clone(&selection), each_file());
                // A task of its own: decoding is work, and a stream alone would do it on one thread.
                tokio::spawn(async move {
                    if let Err(source) = scan_file(&file, &selection, make, &results).await {
                        let error = ReadError { path: file.path.to_string(), source };
                        // A closed channel means that the rest is not wanted.
                        let _ = results.send(Err(error.into())).await;
                    }
                });
                decoding.push_back(decoded);
            }
            let Some(mut decoded) = decoding.pop_front() else { return };
            while let Some(result) = decoded.recv().await {
                if sender.send(result).await.is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

/// Names of the columns that stand in the file.
pub async fn columns(file: &ParquetFile) -> Result<Vec<String>, ReadError> {
    let metadata =
        ArrowReaderMetadata::load_async(&mut Reader(file.clone()), ArrowReaderOptions::new()).await;
    let metadata = metadata.map_err(|source| ReadError { path: file.path.to_string(), source })?;
    Ok(metadata.schema().fields().iter().map(|field| field.name().clone()).collect())
}

async fn scan_file<T, E>(
    file: &ParquetFile,
    selection: &Selection,
    mut make: impl FnMut(RecordBatch) -> Result<T, E>,
    sender: &mpsc::Sender<Result<T, E>>,
) -> ParquetResult<()> {
    let mut reader = Reader(file.clone());
    let plain = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await?;
    let hinted = ArrowReaderOptions::new().with_schema(with_dictionaries(plain.schema()));
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), hinted)?;

    let descriptor = metadata.metadata().file_metadata().schema_descr_ptr();
    let leaves: Vec<usize> = (0..descriptor.num_columns())
        .filter(|&leaf| {
            selection.takes(descriptor.column(leaf).path().parts().first().map_or("", |name| name))
        })
        .collect();
    check_rows(file, metadata.metadata().file_metadata().num_rows())?;
    let row_groups = metadata.metadata().row_groups();
    let schema = conform(plain.schema(), file);
    let wanted = (0..row_groups.len()).filter(|&at| may_hold(&row_groups[at], &schema, selection)).collect();

    let mut batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
        .with_projection(ProjectionMask::leaves(&descriptor, leaves))
        .with_row_groups(wanted)
        .with_batch_size(BATCH_ROWS)
        .build()?;
    while let Some(batch) = batches.try_next().await? {
        let batch = as_in_table(batch, file, selection)?;
        let batch = with_constants(batch, &file.constants, selection, file.table.as_ref())?;
        if sender.send(make(batch)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The file's schema with every text column read as a dictionary.
fn with_dictionaries(schema: &SchemaRef) -> SchemaRef {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                field.as_ref().clone().with_data_type(dictionary.clone())
            }
            _ => field.as_ref().clone(),
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// Refuses a file that holds other rows than the log of its table says: what is missing must not look deleted.
fn check_rows(file: &ParquetFile, found: i64) -> ParquetResult<()> {
    match file.table.as_ref().and_then(|table| table.rows) {
        Some(rows) if u64::try_from(found) != Ok(rows) => {
            Err(ParquetError::General(format!("it holds {found} rows, but the log of its table says {rows}")))
        }
        _ => Ok(()),
    }
}

/// The type that a column of the file has in its table: a table knows whether its timestamps are instants, files often
/// do not.
fn type_in_table(field: &Field, file: &ParquetFile) -> DataType {
    let fields = file.table.iter().flat_map(|table| table.schema.fields());
    let known = fields.into_iter().find(|known| known.name().eq_ignore_ascii_case(field.name()));
    match (known.map(|known| known.data_type()), field.data_type()) {
        (Some(DataType::Timestamp(_, Some(zone))), DataType::Timestamp(unit, None)) => {
            DataType::Timestamp(*unit, Some(Arc::clone(zone)))
        }
        (Some(DataType::Timestamp(_, None)), DataType::Timestamp(unit, Some(_))) => {
            DataType::Timestamp(*unit, None)
        }
        (_, own) => own.clone(),
    }
}

/// The file's schema with the types that its columns have in the table.
fn conform(schema: &SchemaRef, file: &ParquetFile) -> SchemaRef {
    let of_table = |field: &Arc<Field>| {
        let data_type = type_in_table(field, file);
        field.as_ref().clone().with_data_type(data_type)
    };
    Arc::new(Schema::new(schema.fields().iter().map(of_table).collect::<Vec<_>>()))
}

/// A batch as its table has it: with its types, and with nulls in the columns that the file lacks.
fn as_in_table(batch: RecordBatch, file: &ParquetFile, selection: &Selection) -> ParquetResult<RecordBatch> {
    let Some(table) = &file.table else { return Ok(batch) };
    let (schema, mut columns, rows) = batch.into_parts();
    let mut fields: Vec<Arc<Field>> = conform(&schema, file).fields().to_vec();
    for (field, column) in fields.iter().zip(&mut columns) {
        if field.data_type() != column.data_type() {
            *column = cast(column, field.data_type())?;
        }
    }
    for field in table.schema.fields() {
        let is_there = |name: &str| name.eq_ignore_ascii_case(field.name());
        let there = fields.iter().any(|known| is_there(known.name()))
            || file.constants.keys().any(|name| is_there(name));
        if !there && selection.takes(field.name()) {
            columns.push(new_null_array(field.data_type(), rows));
            fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// Adds the columns whose value is the same in every row. Of a Delta table their types are known, of folders they are not.
pub(super) fn with_constants(
    batch: RecordBatch,
    constants: &HashMap<String, Option<String>>,
    selection: &Selection,
    table: Option<&InTable>,
) -> Result<RecordBatch, ArrowError> {
    let constants: Vec<_> = constants.iter().filter(|(name, _)| selection.takes(name)).collect();
    if constants.is_empty() {
        return Ok(batch);
    }
    let (mut fields, mut columns) = (batch.schema().fields().to_vec(), batch.columns().to_vec());
    for (name, value) in constants {
        let mut column = constant(value.as_deref(), batch.num_rows())?;
        // A text of digits is a day only where the table says that the column holds whole numbers.
        if dates::counted_in(table.map(|table| table.schema.as_ref()), name) {
            column = cast(&column, &DataType::Dictionary(DataType::Int32.into(), DataType::Int64.into()))?;
        }
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// A column with the same text in each of its rows; an empty one is not a value.
pub(super) fn constant(value: Option<&str>, rows: usize) -> Result<ArrayRef, ArrowError> {
    let value = value.filter(|value| !value.is_empty());
    let texts = Arc::new(StringArray::from_iter([Some(value.unwrap_or_default())]));
    Ok(Arc::new(Int32DictionaryArray::try_new(vec![value.map(|_| 0); rows].into(), texts)?))
}

/// Whether the row group's statistics allow a date inside the asked range; without statistics they do.
fn may_hold(group: &RowGroupMetaData, schema: &Schema, selection: &Selection) -> bool {
    let Some(range) = &selection.dates else { return true };
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let Some(field) = columns::position(names, "date").map(|at| schema.field(at)) else { return true };
    let column = group.columns().iter().find(|column| {
        column.column_path().parts().len() == 1 && column.column_path().parts()[0] == *field.name()
    });
    let bounds = match column.and_then(|column| column.statistics()) {
        Some(Statistics::Int32(days)) => {
            days.min_opt().zip(days.max_opt()).map(|(&least, &most)| (i64::from(least), i64::from(most)))
        }
        Some(Statistics::Int64(numbers)) => {
            numbers.min_opt().zip(numbers.max_opt()).map(|(&least, &most)| (least, most))
        }
        _ => None,
    };
    // The bits of a large unsigned number are those of a negative one.
    let bounds = bounds.filter(|(least, _)| *least >= 0 || !field.data_type().is_unsigned_integer());
    bounds.is_none_or(|(least, most)| {
        let bounds = (Bound::Number(least), Bound::Number(most));
        dates::may_hold(field.data_type(), bounds, (range.first, range.last), range.reading)
    })
}

/// Finds a column by its name, or by another usual one.
pub fn column<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a ArrayRef> {
    let schema = batch.schema_ref();
    let at = columns::position(schema.fields().iter().map(|field| field.name().as_str()), name)?;
    Some(batch.column(at))
}

/// Whether a column's type can be read as a number.
pub fn is_numeric(data_type: &DataType) -> bool {
    data_type.is_numeric() || matches!(data_type, DataType::Boolean)
}

/// Reads ranges of one object; what the Parquet reader asks for is all that is fetched.
struct Reader(ParquetFile);

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move { self.0.store.get_range(&self.0.path, range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move { self.0.store.get_ranges(&self.0.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let size = self.0.size;
            let reader = ParquetMetaDataReader::new()
                .with_metadata_options(options.map(|options| options.metadata_options().clone()))
                .with_prefetch_hint(Some(64 * 1024));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}
