//! From a text file as vendors write it: into the lake, and straight into a run.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use backtest_functions::engine::BacktestConfig;
use backtest_functions::store::delta::{Location, StorageOptions};
use backtest_functions::store::import::{Asked, Kind, Mode, import};
use backtest_functions::store::prices::{MarketData, PRICE_TABLE, Reach};
use backtest_functions::store::versions::Pins;
use chrono::{Datelike as _, NaiveDate, Weekday};
use criterion::{BatchSize, Criterion, Throughput};
use serde_json::json;

const SYMBOLS: usize = 500;
const DAYS: usize = 1260;

/// `import/csv`: read the file, check and sort its rows, write a new table. `import/direct`: the price rows of a config that
/// names the file.
pub(crate) fn bench(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bars.csv");
    std::fs::write(&file, bars()).expect("a file");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = StorageOptions::default();

    let mut group = criterion.benchmark_group("import");
    group.sample_size(10).throughput(Throughput::Elements((SYMBOLS * DAYS) as u64));
    let (places, asked) = ([file.display().to_string()], Asked::nothing(Kind::Bars));
    group.bench_function("csv", |bencher| {
        bencher.iter_batched(
            || tempfile::tempdir().expect("a folder"),
            |lake| {
                let table = Location::Local(lake.path().join(PRICE_TABLE));
                let silent = &mut |_| {};
                let imported = import(&places, &asked, &table, &options, Mode::Append, silent);
                black_box(runtime.block_on(imported).expect("rows").rows);
                lake
            },
            BatchSize::PerIteration,
        );
    });
    let (data, config) = (data(), config(&file));
    group.bench_function("direct", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(data.load(&config, &Pins::default())).expect("rows")));
    });
    group.finish();
}

fn data() -> MarketData {
    MarketData {
        lake: None,
        options: StorageOptions::default(),
        account: None,
        reach: Reach::unlimited(),
        signals: None,
    }
}

fn config(file: &Path) -> BacktestConfig {
    let config = json!({
        "start_date": "2000-01-03", "end_date": "2030-12-31", "universe": { "symbols": ["*"] },
        "data": { "price_path": file.display().to_string() },
        "strategy": { "class": "StaticUniverseStrategy" },
    });
    BacktestConfig::from_value(&config).expect("a valid config")
}

/// Bars of every symbol, day by day, with all the usual columns.
fn bars() -> String {
    let first = NaiveDate::from_ymd_opt(2015, 1, 5).expect("a day");
    let days = first.iter_days().filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun));
    let mut text = String::from("Date,Ticker,Open,High,Low,Close,Adj Close,Volume\n");
    for (n, day) in days.take(DAYS).enumerate() {
        for symbol in 0..SYMBOLS {
            let close = 20.0 + symbol as f64 / 10.0 + ((n * 7 + symbol * 13) % 101) as f64 / 25.0;
            let (open, high, low) = (close - 0.12, close + 0.31, close - 0.44);
            let volume = 100_000 + 37 * ((n + symbol) % 1009);
            // Writing into a text does not fail.
            let _ = writeln!(
                text,
                "{day},S{symbol:04},{open:.2},{high:.2},{low:.2},{close:.2},{close:.2},{volume}"
            );
        }
    }
    text
}
