//! Lakes with rankings, and the sync of them into a database of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backtest_functions::signal::YearMonth;
use backtest_functions::store::delta::{Layout, Location, StorageOptions, Table};
use backtest_functions::store::pg::Database;
use backtest_functions::store::prices::{MarketData, PRICE_TABLE, Reach};
use backtest_functions::store::signals::lake::{RANKINGS, SignalLake};
use backtest_functions::store::signals::postgres::PostgresSignals;
use backtest_functions::work::sync::{Report, SignalSync, SyncRequest, SyncTerms, sync};
use chrono::NaiveDate;
use deltalake::arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use deltalake::arrow::datatypes::SchemaRef;
use tokio_postgres::Client;

/// A row of rankings.
#[derive(Debug, Clone)]
pub(crate) struct Rank {
    pub(crate) date: NaiveDate,
    pub(crate) strategy: String,
    pub(crate) symbol: String,
    pub(crate) rank: i64,
}

/// Rankings of two strategies over six symbols on the first days of a month; `turn` makes others of them.
pub(crate) fn ranks(month: &str, days: u32, turn: usize) -> Vec<Rank> {
    let symbols = ["A", "B", "C", "D", "E", "F"];
    let mut rows = Vec::new();
    for day in 1..=days {
        for (at, strategy) in ["slow", "fast"].into_iter().enumerate() {
            for (place, _) in symbols.iter().enumerate() {
                rows.push(Rank {
                    date: format!("{month}-{day:02}").parse().unwrap(),
                    strategy: strategy.to_owned(),
                    symbol: symbols[(place * (1 + 4 * at) + turn) % symbols.len()].to_owned(),
                    rank: place as i64 + 1,
                });
            }
        }
    }
    rows
}

pub(crate) fn month(text: &str) -> YearMonth {
    text.parse().unwrap()
}

/// A folder with a lake.
pub(crate) struct Lake {
    folder: tempfile::TempDir,
}

impl Lake {
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// With the rankings of some months, a commit each.
    pub(crate) async fn with(months: &[&str]) -> Self {
        let lake = Self::empty();
        for month in months {
            lake.append(&ranks(month, 3, 0)).await;
        }
        lake
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn signals(&self) -> SignalLake {
        SignalLake::new(Location::Local(self.root().to_owned()), StorageOptions::default())
    }

    pub(crate) async fn append(&self, rows: &[Rank]) {
        self.table().await.append(&[batch(rows)]).await.unwrap();
    }

    /// Puts `rows` in the place of all rankings.
    pub(crate) async fn replace(&self, rows: &[Rank]) {
        let rows = batch(rows);
        self.table().await.replace(vec![rows.clone()], layout(&rows.schema())).await.unwrap();
    }

    async fn table(&self) -> Table {
        let (place, options) = (Location::Local(self.root().join(RANKINGS)), StorageOptions::default());
        match Table::open(&place, &options).await.unwrap() {
            Some(table) => table,
            None => {
                let schema = batch(&ranks("2020-01", 1, 0)).schema();
                Table::create(&place, &options, layout(&schema)).await.unwrap()
            }
        }
    }

    /// Data files of a table.
    pub(crate) fn data_files(&self, table: &str) -> Vec<PathBuf> {
        fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    collect(&path, found);
                } else if path.extension().is_some_and(|extension| extension == "parquet")
                    && !path.components().any(|part| part.as_os_str() == "_delta_log")
                {
                    found.push(path);
                }
            }
        }
        let mut found = Vec::new();
        collect(&self.root().join(table), &mut found);
        found.sort();
        found
    }
}

/// A row of prices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) date: NaiveDate,
    pub(crate) symbol: String,
    pub(crate) open: f64,
    pub(crate) close: f64,
}

impl Lake {
    /// The table of prices.
    pub(crate) async fn price_table(&self) -> Table {
        let (place, options) = (Location::Local(self.root().join(PRICE_TABLE)), StorageOptions::default());
        match Table::open(&place, &options).await.unwrap() {
            Some(table) => table,
            None => {
                let schema = bars(&[]).schema();
                let layout = Layout { schema: &schema, partition_columns: &[], comment: "" };
                Table::create(&place, &options, layout).await.unwrap()
            }
        }
    }

    /// Adds prices as one file.
    pub(crate) async fn append_prices(&self, rows: &[Bar]) {
        self.price_table().await.append(&[bars(rows)]).await.unwrap();
    }

    /// Puts prices, in one file, in the place of those of the files that lie between two days.
    pub(crate) async fn exchange_prices(&self, since: NaiveDate, until: NaiveDate, rows: &[Bar]) {
        let mut table = self.price_table().await;
        let mut old = table.data_files("date").await.unwrap();
        old.retain(|file| file.dates.is_some_and(|(first, last)| first >= since && last <= until));
        table.exchange(&old, vec![bars(rows)]).await.unwrap();
    }
}

fn bars(rows: &[Bar]) -> RecordBatch {
    let dates = Date32Array::from_iter_values(rows.iter().map(|row| row.date.to_epoch_days()));
    let symbols = StringArray::from_iter_values(rows.iter().map(|row| row.symbol.as_str()));
    let numbers =
        |of: fn(&Bar) -> f64| -> ArrayRef { Arc::new(Float64Array::from_iter_values(rows.iter().map(of))) };
    RecordBatch::try_from_iter_with_nullable([
        ("date", Arc::new(dates) as ArrayRef, true),
        ("symbol", Arc::new(symbols), true),
        ("open", numbers(|row| row.open), true),
        ("close", numbers(|row| row.close), true),
    ])
    .unwrap()
}

fn layout(schema: &SchemaRef) -> Layout<'_> {
    Layout { schema, partition_columns: &["strategy"], comment: "" }
}

fn batch(rows: &[Rank]) -> RecordBatch {
    let text =
        |of: fn(&Rank) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(of))) };
    let dates = Date32Array::from_iter_values(rows.iter().map(|row| row.date.to_epoch_days()));
    let ranks = Int64Array::from_iter_values(rows.iter().map(|row| row.rank));
    let scores = Float64Array::from_iter_values(rows.iter().map(|row| -(row.rank as f64)));
    RecordBatch::try_from_iter_with_nullable([
        ("date", Arc::new(dates) as ArrayRef, true),
        ("strategy", text(|row| &row.strategy), true),
        ("symbol", text(|row| &row.symbol), true),
        ("rank", Arc::new(ranks), true),
        ("score", Arc::new(scores), true),
    ])
    .unwrap()
}

/// The sync of a lake into a database.
pub(crate) struct Synced {
    pub(crate) sync: SignalSync,
    data: MarketData,
}

impl Synced {
    pub(crate) fn new(lake: &Lake, dsn: Option<&str>) -> Self {
        let postgres =
            dsn.map(|dsn| PostgresSignals::new(Database::parse(dsn, "test").unwrap().pool(2).unwrap()));
        let data = MarketData {
            lake: Some(Location::Local(lake.root().to_owned())),
            options: StorageOptions::default(),
            account: None,
            reach: Reach::unlimited(),
            signals: None,
        };
        let sync = SignalSync { lake: Some(lake.signals()), postgres, terms: SyncTerms::default() };
        Self { sync, data }
    }

    pub(crate) async fn ask(&self, asked: &SyncRequest) -> Report {
        sync(&self.sync, &self.data, asked, &mut |_, _, _| ()).await.unwrap()
    }

    /// As the timer does it.
    pub(crate) async fn tick(&self) -> Report {
        self.ask(&SyncRequest::default()).await
    }

    /// A tick that must succeed; answers what was done, a line a month: `month signals composites copied days`.
    pub(crate) async fn well(&self) -> Vec<String> {
        let report = self.tick().await;
        assert_eq!(report.failure(true), None);
        lines(&report)
    }
}

/// A line a month: `month signals composites copied days`.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    let line = |month: &backtest_functions::work::sync::MonthReport| {
        let rows = month.rows.map_or("-".to_owned(), |rows| format!("{} {}", rows.signals, rows.composites));
        let copied =
            month.written.map_or("-".to_owned(), |written| format!("{} {}", written.rows, written.days));
        format!("{} {rows} {copied}", month.due.month)
    };
    report.months.iter().map(line).collect()
}

pub(crate) async fn connect(dsn: &str) -> Client {
    Database::parse(dsn, "test").unwrap().connect().await.unwrap()
}

/// The answer of a question, a text a row.
pub(crate) async fn answers(client: &Client, question: &str) -> Vec<String> {
    let rows = client.query(question, &[]).await.unwrap();
    rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect()
}

/// Every signal as Postgres serves it, a line each.
pub(crate) async fn everything(client: &Client) -> Vec<String> {
    let ranking = "SELECT concat_ws(' ', date, year_month, symbol, strategy, rank, rank_percentile, n_symbols, score) \
                   FROM ranking.ranking_signal ORDER BY date, symbol, strategy";
    let composite = "SELECT concat_ws(' ', date, year_month, symbol, composite_percentile, composite_rank, \
                     strategies_present, strategies_hit) FROM ranking.composite_signal_daily ORDER BY date, symbol";
    let mut lines = answers(client, ranking).await;
    lines.extend(answers(client, composite).await);
    lines
}

/// `month status rows rows` of every month, newest first.
pub(crate) async fn states(client: &Client) -> Vec<String> {
    let question = "SELECT concat_ws(' ', year_month, status, signals_rows, composite_rows) \
                    FROM ranking.signal_sync_state ORDER BY year_month DESC";
    answers(client, question).await
}
