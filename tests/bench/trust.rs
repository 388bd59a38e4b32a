//! What trust costs: the check of timing that every run makes beside the run, an audit beside its run, and what became of a
//! table with a long log.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;

use backtest_functions::engine::market::{PriceChunk, PriceRows, SignalRows};
use backtest_functions::engine::{BacktestConfig, run};
use backtest_functions::statistics::random::Draws;
use backtest_functions::store::changes::InputState;
use backtest_functions::store::delta::Table;
use backtest_functions::store::prices::{Loaded, PRICE_TABLE};
use backtest_functions::store::provenance::Origins;
use backtest_functions::work::audit::{self, Sources};
use backtest_functions::work::compute::{Prepared, compute};
use backtest_functions::work::facts::Facts;
use criterion::Criterion;
use serde_json::json;

use crate::load::{Lake, lake};

const SYMBOLS: u32 = 500;
const DAYS: i32 = 2520;

/// Actions of the log that is read to tell what became of a table.
const ACTIONS: usize = 10_000;

/// `trust/run`: a daily strategy on a signal table, files and all. `trust/glance`: what that run spends on the check of timing;
/// at most a twentieth. `trust/audit`: every check but the deep ones; at most twelve runs. `trust/superseded`: what became of
/// a table since, after 10,000 actions; at most 50 ms.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("trust");
    group.sample_size(10);
    let submitted = json!({
        "start_date": "1970-01-01", "end_date": "1980-01-01", "universe": { "symbols": ["*"] },
        "data": { "signal_path": "signals.csv" },
        "strategy": { "class": "TopNSignalStrategy",
                      "parameters": { "signal_column": "score", "top_n": 20, "rebalance": "daily" } },
    });
    let config = BacktestConfig::from_value(&submitted).expect("a valid config");
    let prepared = Prepared::of(&config, rows(), false).expect("a market");
    let facts = Facts {
        run_id: &"run".parse().expect("an id"),
        submitted: &submitted,
        config: &config,
        config_sha256: "",
        data_versions: &json!({}),
        fence: None,
    };
    group.bench_function("run", |bencher| {
        bencher.iter(|| {
            black_box(compute(&facts, &prepared, &mut |_, _| ControlFlow::Continue(())).expect("a result"))
        });
    });
    let outcome = run(&config, &prepared.market, &mut |_, _| ControlFlow::Continue(())).expect("a result");
    group.bench_function("glance", |bencher| {
        bencher.iter(|| black_box(audit::warnings(&config, &prepared.market, &outcome)));
    });
    let origins = Origins::default();
    let sources = Sources { origins: &origins, restated: None };
    group.bench_function("audit", |bencher| {
        bencher.iter(|| {
            let found =
                audit::audit(&config, &prepared.market, &sources, &mut |_, _| ControlFlow::Continue(()));
            black_box(found.expect("an audit"))
        });
    });

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let Lake { folder, table, options, data, config } = lake(&runtime, 20, 500);
    let used = runtime.block_on(data.survey(&config)).expect("a table").data_versions;
    let version =
        runtime.block_on(Table::open(&table, &options)).expect("a table").expect("a table").version();
    lengthen(&folder.path().join(PRICE_TABLE), version);
    let found = runtime.block_on(data.changes(&config, &used, false)).expect("an answer");
    assert_eq!(found.prices.state, InputState::Appended, "the log was not read as it is meant");
    let mut days = 0;
    group.bench_function("superseded", |bencher| {
        bencher.iter(|| {
            // Other days each time: what was found of the same ones is remembered.
            days += 1;
            let mut other = config.clone();
            other.start_date = config.start_date + chrono::Days::new(days);
            black_box(runtime.block_on(data.changes(&other, &used, false)).expect("an answer"))
        });
    });
    group.finish();
}

/// Random prices, and signals that know nothing of them.
fn rows() -> Loaded {
    let (mut prices, mut signals, mut score) = (PriceChunk::default(), SignalRows::default(), Vec::new());
    for day in 0..DAYS {
        for symbol in 0..SYMBOLS {
            let price = 100.0 + 10.0 * Draws::of(3, u64::from(symbol)).unit(day as u64);
            prices.date.push(day);
            prices.symbol.push(symbol);
            prices.open.push(price);
            prices.close.push(price + 1.0);
            signals.date.push(day);
            signals.symbol.push(symbol);
            score.push(Draws::of(5, u64::from(symbol)).unit(day as u64));
        }
    }
    let names: Vec<String> = (0..SYMBOLS).map(|symbol| format!("S{symbol:03}")).collect();
    signals.symbols.clone_from(&names);
    signals.columns.push(("score".to_owned(), score));
    Loaded {
        prices: PriceRows { symbols: names, chunks: vec![prices.into()], ..PriceRows::default() },
        signals: Some(signals),
        data_versions: json!({}),
    }
}

/// Writes commits behind a version that add files of other days, a hundred in each.
fn lengthen(table: &Path, version: u64) {
    for commit in 0..ACTIONS / 100 {
        let mut actions =
            String::from("{\"commitInfo\":{\"timestamp\":1600000000000,\"operation\":\"WRITE\"}}\n");
        for file in 0..100 {
            let stats = "{\\\"numRecords\\\":1,\\\"minValues\\\":{\\\"date\\\":\\\"2040-01-02\\\"},\\\"maxValues\\\":{\\\"date\\\":\\\"2040-01-02\\\"},\\\"nullCount\\\":{\\\"date\\\":0}}";
            let _ = writeln!(
                actions,
                "{{\"add\":{{\"path\":\"later-{commit}-{file}.parquet\",\"partitionValues\":{{\"year\":\"2040\"}},\"size\":100,\
                 \"modificationTime\":1600000000000,\"dataChange\":true,\"stats\":\"{stats}\"}}}}"
            );
        }
        let path = table.join(format!("_delta_log/{:020}.json", version + 1 + commit as u64));
        std::fs::write(path, actions).expect("a commit");
    }
}
