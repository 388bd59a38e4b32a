//! Tables among the artifacts of a run, read a piece at a time: of a file only its footer, and the pages that hold the
//! asked rows, are fetched. Which rows are worth asking for is not known here.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono::NaiveDate;
use deltalake::arrow::array::{BooleanArray, Date32Array, RecordBatch, Scalar};
use deltalake::arrow::compute::kernels::cmp;
use deltalake::arrow::error::ArrowError;
use deltalake::parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, RowFilter, RowSelection,
};
use deltalake::parquet::arrow::async_reader::AsyncFileReader;
use deltalake::parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use deltalake::parquet::errors::{ParquetError, Result as ParquetResult};
use deltalake::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use deltalake::parquet::file::statistics::Statistics;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};

use super::artifacts::{ArtifactError, ArtifactStore};
use super::dates;
use crate::run::Location;

/// Bytes that are fetched with a footer: most files of a run are smaller than this.
const FOOTER: usize = 64 * 1024;

/// Gaps between wanted bytes that are fetched along instead of asking twice.
const GAP: u64 = 64 * 1024;

/// A Parquet file of a run.
#[derive(Clone)]
pub struct PublishedTable {
    file: File,
    metadata: ArrowReaderMetadata,
}

/// A table could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read {name}")]
pub struct ReadError {
    /// The file.
    pub name: String,
    /// What the reader said.
    #[source]
    pub source: ParquetError,
}

impl ReadError {
    /// Whether the store did not answer, as opposed to the file being bad.
    pub fn is_retryable(&self) -> bool {
        matches!(&self.source, ParquetError::External(cause) if cause.is::<ArtifactError>())
    }
}

impl PublishedTable {
    /// Opens a table; `None` when the run has no such file.
    pub async fn open(
        store: &Arc<dyn ArtifactStore>,
        at: &Location,
        name: &str,
    ) -> Result<Option<Self>, ReadError> {
        let fault = |source| ReadError { name: name.to_owned(), source };
        let size = store.size(at, name).await.map_err(|error| fault(external(error)))?;
        let Some(size) = size else { return Ok(None) };
        let mut file = File { store: Arc::clone(store), at: at.clone(), name: name.to_owned(), size };
        // The index of pages lets a page of rows be read without its neighbours.
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load_async(&mut file, options).await.map_err(fault)?;
        Ok(Some(Self { file, metadata }))
    }

    /// Rows of the table.
    pub fn rows(&self) -> usize {
        usize::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// Rows `offset..offset + limit`, as far as there are any.
    pub async fn page(&self, offset: usize, limit: usize) -> Result<Vec<RecordBatch>, ReadError> {
        let rows = self.rows();
        let from = offset.min(rows);
        self.pick(std::iter::once(from..from.saturating_add(limit).min(rows))).await
    }

    /// The rows of these ranges, which ascend and do not overlap.
    pub async fn pick(
        &self,
        ranges: impl Iterator<Item = Range<usize>>,
    ) -> Result<Vec<RecordBatch>, ReadError> {
        let selection = RowSelection::from_consecutive_ranges(ranges, self.rows());
        self.read(|builder| Ok(builder.with_row_selection(selection))).await
    }

    /// The rows whose date in `column` is `day`.
    pub async fn on(&self, column: &str, day: NaiveDate) -> Result<Vec<RecordBatch>, ReadError> {
        let days = day.to_epoch_days();
        let groups = self.metadata.metadata().row_groups();
        let wanted = (0..groups.len())
            .filter(|&at| {
                range_of(&groups[at], column).is_none_or(|(first, last)| (first..=last).contains(&days))
            })
            .collect();
        let is_day = move |batch: RecordBatch| -> Result<BooleanArray, ArrowError> {
            cmp::eq(&dates::days(Arc::clone(batch.column(0)))?, &Scalar::new(Date32Array::from(vec![days])))
        };
        self.read(|builder| {
            let leaves = builder.parquet_schema();
            let leaf = (0..leaves.num_columns())
                .find(|&leaf| leaves.column(leaf).name() == column)
                .ok_or_else(|| ParquetError::General(format!("there is no column '{column}'")))?;
            let mask = ProjectionMask::leaves(leaves, [leaf]);
            let filter = RowFilter::new(vec![Box::new(ArrowPredicateFn::new(mask, is_day))]);
            Ok(builder.with_row_groups(wanted).with_row_filter(filter))
        })
        .await
    }

    /// All rows of these columns; of the others nothing is fetched.
    pub async fn columns(&self, names: &[&str]) -> Result<Vec<RecordBatch>, ReadError> {
        self.read(|builder| {
            let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
            Ok(builder.with_projection(mask))
        })
        .await
    }

    /// The last date of `column`, from the statistics; `None` without rows.
    pub fn last(&self, column: &str) -> Option<NaiveDate> {
        let groups = self.metadata.metadata().row_groups().iter();
        let last = groups.filter_map(|group| Some(range_of(group, column)?.1)).max()?;
        NaiveDate::from_epoch_days(last)
    }

    async fn read(
        &self,
        narrow: impl FnOnce(
            ParquetRecordBatchStreamBuilder<File>,
        ) -> ParquetResult<ParquetRecordBatchStreamBuilder<File>>,
    ) -> Result<Vec<RecordBatch>, ReadError> {
        let read = async {
            let builder =
                ParquetRecordBatchStreamBuilder::new_with_metadata(self.file.clone(), self.metadata.clone());
            narrow(builder)?.build()?.try_collect().await
        };
        read.await.map_err(|source| ReadError { name: self.file.name.clone(), source })
    }
}

/// First and last day of a row group, if its statistics say.
fn range_of(
    group: &deltalake::parquet::file::metadata::RowGroupMetaData,
    column: &str,
) -> Option<(i32, i32)> {
    let chunk = group.columns().iter().find(|chunk| chunk.column_descr().name() == column)?;
    match chunk.statistics()? {
        Statistics::Int32(days) => Some((*days.min_opt()?, *days.max_opt()?)),
        _ => None,
    }
}

/// One file of the artifact store, of which ranges are read.
#[derive(Clone)]
struct File {
    store: Arc<dyn ArtifactStore>,
    at: Location,
    name: String,
    size: u64,
}

impl File {
    async fn fetch(&self, range: Range<u64>) -> Result<Bytes, ArtifactError> {
        let broken = |source| ArtifactError { doing: "read", name: self.name.clone(), source };
        let wanted = usize::try_from(range.end - range.start).unwrap_or_default();
        let chunks = self.store.read(&self.at, &self.name, range).await?;
        let mut chunks: Vec<Bytes> = chunks.try_collect().await.map_err(broken)?;
        let bytes = if chunks.len() == 1 { chunks.swap_remove(0) } else { chunks.concat().into() };
        if bytes.len() == wanted { Ok(bytes) } else { Err(broken(std::io::ErrorKind::UnexpectedEof.into())) }
    }
}

impl AsyncFileReader for File {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move { self.fetch(range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        let file = &*self;
        async move {
            let fetched = object_store::coalesce_ranges(&ranges, |range| file.fetch(range), GAP).await;
            fetched.map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            let reader = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                .with_prefetch_hint(Some(FOOTER));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

fn external(error: ArtifactError) -> ParquetError {
    ParquetError::External(Box::new(error))
}
