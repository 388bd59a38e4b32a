//! From a Delta table to the dense market, beside decoding the same columns of the same files and nothing else.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::hint::black_box;

use backtest_functions::engine::{BacktestConfig, Market};
use backtest_functions::store::delta::{Location, StorageOptions, Table};
use backtest_functions::store::parquet::{Selection, scan};
use backtest_functions::store::prices::{MarketData, PRICE_TABLE, Reach};
use backtest_functions::store::sample::sample;
use backtest_functions::store::versions::Pins;
use criterion::{Criterion, Throughput};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const SYMBOLS: usize = 3000;
const DAYS: usize = 5040;

/// A lake in a folder of its own, and a config that reads all of its prices.
pub(crate) struct Lake {
    pub(crate) folder: TempDir,
    pub(crate) table: Location,
    pub(crate) options: StorageOptions,
    pub(crate) data: MarketData,
    pub(crate) config: BacktestConfig,
}

/// A lake with a synthetic market.
pub(crate) fn lake(runtime: &Runtime, symbols: usize, days: usize) -> Lake {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Location::Local(folder.path().to_owned());
    let (table, options) = (root.join(PRICE_TABLE), StorageOptions::default());
    runtime.block_on(sample(symbols, days, 1, &table, &options)).expect("a synthetic market");
    let data = MarketData {
        lake: Some(root),
        options: options.clone(),
        account: None,
        reach: Reach::default(),
        signals: None,
    };
    let config = BacktestConfig::from_value(&json!({
        "start_date": "2000-01-03", "end_date": "2030-12-31", "universe": { "symbols": ["*"] },
        "strategy": { "class": "StaticUniverseStrategy" },
    }))
    .expect("a valid config");
    Lake { folder, table, options, data, config }
}

/// `load/market`: open the table, read open and close of every symbol, make the market. `load/rows`: the same without
/// making the market. `load/decode`: read the same columns and drop them.
pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let Lake { folder: _folder, table, options, data, config } = lake(&runtime, SYMBOLS, DAYS);

    let mut group = criterion.benchmark_group("load");
    group.sample_size(10).throughput(Throughput::Elements((SYMBOLS * DAYS) as u64));
    group.bench_function("market", |bencher| {
        bencher.iter(|| {
            let loaded = runtime.block_on(data.load(&config, &Pins::default())).expect("rows");
            black_box(Market::assemble(&config, loaded.prices, loaded.signals).expect("a market"))
        });
    });
    group.bench_function("rows", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(data.load(&config, &Pins::default())).expect("rows")));
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let table = Table::open(&table, &options).await.expect("a table").expect("a table");
                let columns = ["date", "symbol", "open", "close"].map(str::to_owned).to_vec();
                let files = table.files(None).await.expect("files");
                let mut batches = scan(files, Selection { columns: Some(columns), dates: None });
                let mut rows = 0;
                while let Some(batch) = batches.recv().await {
                    rows += batch.expect("a batch").num_rows();
                }
                black_box(rows)
            })
        });
    });
    group.finish();
}
