//! Reading Parquet wherever it lies: only the asked columns, only the row groups that may hold the asked dates.
//! What a column means is not known here.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono::NaiveDate;
use deltalake::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{DataType, Date32Type, Field, Float64Type, Schema, SchemaRef};
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

/// Rows of a decoded batch: large enough that the per-batch work vanishes, small enough to stay in cache.
const BATCH_ROWS: usize = 32 * 1024;

/// One Parquet file.
#[derive(Debug, Clone)]
pub struct ParquetFile {
    /// Where it lies.
    pub store: Arc<dyn ObjectStore>,
    /// Its path there.
    pub path: Path,
    /// Its size in bytes.
    pub size: u64,
    /// Values that hold for every row and are not in the file: Delta partition columns, as text.
    pub constants: HashMap<String, Option<String>>,
}

/// Which part of a file is wanted. Column names are matched without regard to case.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Lower-case names; `None` takes every column.
    pub columns: Option<Vec<String>>,
    /// Lower-case name of a date column and the inclusive range asked for. Rows outside may still come: the range
    /// only spares what certainly lies outside.
    pub dates: Option<(String, NaiveDate, NaiveDate)>,
}

impl Selection {
    fn takes(&self, column: &str) -> bool {
        self.columns.as_ref().is_none_or(|wanted| wanted.iter().any(|name| name.eq_ignore_ascii_case(column)))
    }
}

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub struct ReadError {
    /// The file.
    pub path: String,
    /// Why.
    #[source]
    pub source: ParquetError,
}

impl ReadError {
    /// Whether the store did not answer, as opposed to the file being bad.
    pub fn is_retryable(&self) -> bool {
        matches!(&self.source, ParquetError::External(cause)
            if cause.downcast_ref().is_some_and(super::delta::may_pass))
    }
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
                        // A closed channel means that nobody wants the rest.
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
    let row_groups = metadata.metadata().row_groups();
    let wanted = (0..row_groups.len()).filter(|&at| may_hold(&row_groups[at], selection)).collect();

    let mut batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
        .with_projection(ProjectionMask::leaves(&descriptor, leaves))
        .with_row_groups(wanted)
        .with_batch_size(BATCH_ROWS)
        .build()?;
    while let Some(batch) = batches.try_next().await? {
        let batch = with_constants(batch, file, selection)?;
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

fn with_constants(
    batch: RecordBatch,
    file: &ParquetFile,
    selection: &Selection,
) -> ParquetResult<RecordBatch> {
    let constants: Vec<_> = file.constants.iter().filter(|(name, _)| selection.takes(name)).collect();
    if constants.is_empty() {
        return Ok(batch);
    }
    let (mut fields, mut columns) = (batch.schema().fields().to_vec(), batch.columns().to_vec());
    for (name, value) in constants {
        let keys = vec![value.as_ref().map(|_| 0); batch.num_rows()];
        let text = Arc::new(deltalake::arrow::array::StringArray::from_iter([value.as_deref().or(Some(""))]));
        let column: ArrayRef =
            Arc::new(deltalake::arrow::array::Int32DictionaryArray::try_new(keys.into(), text)?);
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Whether the row group's statistics allow a date inside the asked range; without statistics they do.
fn may_hold(group: &RowGroupMetaData, selection: &Selection) -> bool {
    let Some((name, first, last)) = &selection.dates else { return true };
    let column = group.columns().iter().find(|column| {
        column.column_path().parts().len() == 1 && column.column_path().parts()[0].eq_ignore_ascii_case(name)
    });
    match column.and_then(|column| column.statistics()) {
        // Only Date32 is stored as 32-bit days; other types are left to the consumer.
        Some(Statistics::Int32(days)) => match (days.min_opt(), days.max_opt()) {
            (Some(&min), Some(&max)) => max >= days_since_epoch(*first) && min <= days_since_epoch(*last),
            _ => true,
        },
        _ => true,
    }
}

/// Days since 1970-01-01.
pub fn days_since_epoch(date: NaiveDate) -> i32 {
    date.to_epoch_days()
}

/// Finds a column without regard to case.
pub fn column<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a ArrayRef> {
    let at = batch.schema().fields().iter().position(|field| field.name().eq_ignore_ascii_case(name))?;
    Some(batch.column(at))
}

/// A column as days since 1970-01-01, from dates, timestamps, `YYYY-MM-DD` texts or whole numbers `YYYYMMDD`; an
/// unreadable one is null.
pub fn as_days(
    column: ArrayRef,
) -> Result<deltalake::arrow::array::Date32Array, deltalake::arrow::error::ArrowError> {
    // Cast as they are, whole numbers would be taken for days.
    let column = if column.data_type().is_integer() { cast(&column, &DataType::Utf8)? } else { column };
    let days = owned_cast(column, &DataType::Date32)?;
    Ok(days.as_primitive::<Date32Type>().clone())
}

/// A numeric column as doubles; a text that is no number is null.
pub fn as_doubles(
    column: ArrayRef,
) -> Result<deltalake::arrow::array::Float64Array, deltalake::arrow::error::ArrowError> {
    let doubles = owned_cast(column, &DataType::Float64)?;
    Ok(doubles.as_primitive::<Float64Type>().clone())
}

/// Drops the column it is given, so that numbers that needed no cast have one owner and can become a vector as they
/// are.
fn owned_cast(column: ArrayRef, to: &DataType) -> Result<ArrayRef, deltalake::arrow::error::ArrowError> {
    match column.data_type() {
        found if found == to => Ok(column),
        DataType::Dictionary(_, values) => cast(&cast(&column, values)?, to),
        _ => cast(&column, to),
    }
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
