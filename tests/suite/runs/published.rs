//! Tables of a run are read a piece at a time: what is fetched is counted at the artifact store.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use backtest_functions::run::{Fence, Location, RunId};
use backtest_functions::store::artifacts::{
    ArtifactError, ArtifactStore, Attempt, ByteStream, LocalArtifacts, NewFile,
};
use backtest_functions::store::published::PublishedTable;
use chrono::NaiveDate;
use deltalake::arrow::array::{ArrayRef, AsArray, Date32Array, Float64Array, RecordBatch};
use deltalake::arrow::datatypes::Float64Type;
use deltalake::parquet::arrow::ArrowWriter;
use deltalake::parquet::file::properties::WriterProperties;
use futures_util::stream::BoxStream;

/// Rows of the table: a thousand a day.
const ROWS: usize = 400_000;

/// The local store, with the bytes that were asked of it.
struct Counted {
    store: LocalArtifacts,
    bytes: AtomicU64,
}

#[async_trait]
impl ArtifactStore for Counted {
    fn check(&self, dir: &str) -> Result<(), String> {
        self.store.check(dir)
    }

    fn location(&self, dir: Option<&str>, run: &RunId, fence: Fence) -> Result<Location, String> {
        self.store.location(dir, run, fence)
    }

    async fn create(&self, at: &Location, file: NewFile<'_>) -> Result<(), ArtifactError> {
        self.store.create(at, file).await
    }

    async fn size(&self, at: &Location, name: &str) -> Result<Option<u64>, ArtifactError> {
        self.store.size(at, name).await
    }

    async fn read(&self, at: &Location, name: &str, range: Range<u64>) -> Result<ByteStream, ArtifactError> {
        self.bytes.fetch_add(range.end - range.start, Ordering::Relaxed);
        self.store.read(at, name, range).await
    }

    fn attempts(&self) -> BoxStream<'static, Result<Attempt, ArtifactError>> {
        self.store.attempts()
    }

    async fn remove(&self, at: &Location) -> Result<(), ArtifactError> {
        self.store.remove(at).await
    }

    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    async fn ping(&self) -> Result<(), ArtifactError> {
        self.store.ping().await
    }
}

fn day(n: usize) -> NaiveDate {
    NaiveDate::from_ymd_opt(2000, 1, 3).unwrap() + chrono::Days::new(n as u64)
}

fn values(batches: &[RecordBatch]) -> Vec<f64> {
    let columns =
        batches.iter().map(|batch| batch.column_by_name("value").unwrap().as_primitive::<Float64Type>());
    columns.flat_map(|column| column.values().to_vec()).collect()
}

#[tokio::test]
async fn a_piece_of_a_table_costs_a_piece_of_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let counted =
        Arc::new(Counted { store: LocalArtifacts::new(folder.path()).unwrap(), bytes: AtomicU64::new(0) });
    let store: Arc<dyn ArtifactStore> = counted.clone();
    let at = store.location(None, &"r".parse().unwrap(), Fence(1)).unwrap();
    // Values without a pattern, so that nothing but leaving out makes them few.
    let value: Vec<f64> = (0..ROWS).map(|row| (row as f64 * 0.7).sin()).collect();
    let date: Date32Array = (0..ROWS).map(|row| Some(day(row / 1000).to_epoch_days())).collect();
    let columns: [(&str, ArrayRef); 2] =
        [("date", Arc::new(date)), ("value", Arc::new(Float64Array::from(value.clone())))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    // Distinct values would only make a dictionary that every page needs.
    let properties = WriterProperties::builder().set_column_dictionary_enabled("value".into(), false).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let file = writer.into_inner().unwrap();
    let size = file.len() as u64;
    let file =
        NewFile { name: "t.parquet", content_type: "application/vnd.apache.parquet", content: file.into() };
    store.create(&at, file).await.unwrap();

    assert!(PublishedTable::open(&store, &at, "none.parquet").await.unwrap().is_none());
    let table = PublishedTable::open(&store, &at, "t.parquet").await.unwrap().unwrap();
    assert_eq!((table.rows(), table.last("date")), (ROWS, Some(day(399))));
    let cost = async |what: &str, read: &mut (dyn Future<Output = Vec<f64>> + Unpin), expected: &[f64]| {
        counted.bytes.store(0, Ordering::Relaxed);
        assert_eq!(read.await, expected, "{what}");
        let bytes = counted.bytes.load(Ordering::Relaxed);
        assert!(bytes < size / 4, "{what} fetched {bytes} of {size} bytes");
    };
    let page = async || values(&table.page(250_000, 100).await.unwrap());
    cost("a page", &mut Box::pin(page()), &value[250_000..250_100]).await;
    let tail = async || values(&table.page(ROWS - 5, 100).await.unwrap());
    cost("the last page", &mut Box::pin(tail()), &value[ROWS - 5..]).await;
    let held = async || values(&table.on("date", day(123)).await.unwrap());
    cost("a day", &mut Box::pin(held()), &value[123_000..124_000]).await;
    let none = async || values(&table.on("date", day(400)).await.unwrap());
    cost("a day outside", &mut Box::pin(none()), &[]).await;
    let picked: Vec<f64> = [0, 7, 399_999].map(|row| value[row]).into();
    let rows = async || values(&table.pick([0..1, 7..8, ROWS - 1..ROWS].into_iter()).await.unwrap());
    cost("three rows", &mut Box::pin(rows()), &picked).await;
}
