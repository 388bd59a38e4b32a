//! Studies, all of them below `study/`: from configs to the files of the whole, the statistics that grow with trials, and a
//! service that shares a study out among handlers.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use backtest_functions::cli::throwaway::Server;
use backtest_functions::run::RunId;
use backtest_functions::statistics::blocks::{BlockSums, Measure};
use backtest_functions::statistics::bootstrap::Samples;
use backtest_functions::statistics::overfitting::Overfitting;
use backtest_functions::statistics::selection::choose;
use backtest_functions::statistics::splits::{WalkForward, edges};
use backtest_functions::statistics::superiority::Maxima;
use backtest_functions::store::migrations;
use backtest_functions::store::pg::Database;
use backtest_functions::work::study::Study;
use backtest_functions::work::study::complete::{Markets, complete};
use backtest_functions::work::study::evaluate::{Evaluation, Window};
use backtest_functions::work::study::tables;
use backtest_functions::work::study::trials::ranges;
use criterion::{Criterion, Throughput};
use serde_json::{Value, json};

use crate::handler::Handler;
use crate::panels::{momentum, panel};
use crate::runs::many;
use crate::statistics::{DAYS, made};
use crate::table::Rate;

/// A hundred rates of slippage by a hundred of commission, monthly, the best five of 31 over 3,020 days.
fn document(bootstrap: usize) -> Value {
    let rates = |step: f64| (0..100).map(|n| f64::from(n) * step).collect::<Vec<_>>();
    json!({
        "study": {
            "parameters": { "broker.slippage_bps": rates(0.5), "broker.commission": rates(0.00002) },
            "keep": { "returns": 0 },
            "statistics": { "bootstrap": bootstrap },
        },
        "base": momentum(5, "momentum_12_1").resolved(),
    })
}

fn study_of(document: &Value) -> Study {
    Study::from_value(document).unwrap_or_else(|faults| unreachable!("{faults:?}"))
}

/// `study/part/B`: 10,000 trials from configs through a part, its files written and read, to table, statistics with B
/// replications and report; per element: one trial. `study/submit`: 100,000 trials read, validated and shared out.
/// `study/cscv/N`: 12,870 halves of 16 blocks; per element: one Sharpe ratio. `study/bootstrap/L`: the reality check of 1,000
/// trials over 2,520 days by 1,000 replications with this mean block; per element: one resampled trial.
/// `study/walk_forward`: 10,000 trials by 100 splits; per element: one trial in one split.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("study");
    group.sample_size(10);
    let id: RunId = "bench".parse().unwrap_or_else(|_| unreachable!("it is an id"));
    let config = momentum(5, "momentum_12_1");
    for bootstrap in [0, 1000] {
        let document = document(bootstrap);
        let study = study_of(&document);
        group.throughput(Throughput::Elements(study.grid.count() as u64));
        group.bench_function(format!("part/{bootstrap}"), |bencher| {
            bencher.iter_batched(
                || panel(31, 3020),
                |market| {
                    let plan = study.plan().unwrap_or_else(|faults| unreachable!("{faults:?}"));
                    let mut evaluation = Evaluation::new(&study, Window::of(&study, &config, &market));
                    let run = evaluation.run(&market, &plan.ordered, &|_, _| ControlFlow::Continue(()));
                    run.unwrap_or_else(|stopped| unreachable!("{stopped:?}"));
                    let files = tables::part_files(&study, &evaluation.finish()).expect("files");
                    let files: HashMap<&'static str, bytes::Bytes> = tables::PART_FILES
                        .iter()
                        .filter_map(|name| {
                            let file = files.iter().find(|file| file.name == *name)?;
                            Some((*name, file.content.clone()))
                        })
                        .collect();
                    let part = tables::read_part(&study, &files).expect("a part");
                    let mut markets = Markets::default();
                    markets.add(&config, market);
                    complete(&study, &document, &id, &Value::Null, vec![part], &markets).expect("a study")
                },
                criterion::BatchSize::PerIteration,
            );
        });
    }
    let many = json!({
        "study": { "parameters": {
            "broker.slippage_bps": (0..1000).map(f64::from).collect::<Vec<_>>(),
            "broker.commission": (0..100).map(|n| f64::from(n) * 0.0001).collect::<Vec<_>>(),
        } },
        "base": config.resolved(),
    });
    group.throughput(Throughput::Elements(100_000));
    group.bench_function("submit", |bencher| {
        bencher.iter(|| {
            let study = study_of(&many);
            let plan = study.plan().unwrap_or_else(|faults| unreachable!("{faults:?}"));
            let shares = plan.parts(plan.parts_for(3020, 31)).into_iter();
            shares.map(|trials| json!({ "trials": ranges(trials) }).to_string()).collect::<Vec<_>>()
        });
    });
    for trials in [1000, 10_000] {
        let mut blocks = BlockSums::equal(DAYS, 16);
        for (trial, returns) in made(trials, DAYS).iter().enumerate() {
            blocks.add(trial as u32, returns, 0.0);
        }
        group.throughput(Throughput::Elements(12_870 * trials as u64));
        group.bench_function(format!("cscv/{trials}"), |bencher| {
            bencher.iter(|| black_box(Overfitting::of(&blocks, Measure::Sharpe)));
        });
    }
    let trials = made(1000, DAYS);
    let series: Vec<&[f64]> = trials.iter().map(Vec::as_slice).collect();
    for block in [1.0, 10.0] {
        let samples = Samples::stationary(DAYS, block, 1000, 1);
        group.throughput(Throughput::Elements(1_000_000));
        group.bench_function(format!("bootstrap/{block}"), |bencher| {
            bencher.iter(|| black_box(Maxima::of(&series, &samples, block)));
        });
    }
    let walk = WalkForward { train: 504, test: 20, purge: 0, expanding: false };
    let splits = walk.splits(DAYS).expect("splits");
    let splits = &splits[..100];
    let mut folds = BlockSums::between(edges(splits));
    for trial in 0..10_000 {
        // Ten times the same thousand: what is chosen does not matter here.
        folds.add(trial, series[trial as usize % series.len()], 0.0);
    }
    group.throughput(Throughput::Elements(1_000_000));
    group.bench_function("walk_forward", |bencher| {
        bencher.iter(|| black_box(choose(&folds, splits, Measure::Sharpe)));
    });
    group.finish();
}

/// Measures a service, if `filter` wants it: a page of 50 of 10,000 trials; and, where a Postgres is installed, a study of
/// eight parts by one, two and four handlers with a thread each. With more handlers than cores they share cores, which is what
/// limits them then.
pub(crate) fn service(filter: Option<&str>) -> Vec<Rate> {
    if filter.is_some_and(|filter| !"study".contains(filter)) {
        return Vec::new();
    }
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let mut rates = vec![page_of_trials().await];
        rates.extend(handlers().await);
        rates
    })
}

/// A lake of a synthetic market.
fn lake(folder: &Path) {
    let made = Command::new(env!("CARGO_BIN_EXE_backtests"))
        .args(["lake", "sample", "--symbols", "31", "--days", "3020", "--lake", "."])
        .current_dir(folder)
        .output()
        .expect("the program");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

async fn page_of_trials() -> Rate {
    let folder = tempfile::tempdir().expect("a folder");
    lake(folder.path());
    let handler = Handler::start(folder.path(), &[]).await;
    let mut body = document(0);
    body["run_id"] = json!("s");
    let study = handler.post("/api/studies", &body).await;
    for part in 0..study["parts"].as_u64().expect("parts") {
        handler.wake(&format!("s-p{part:02}")).await;
    }
    assert_eq!(handler.get("/api/backtests/s").await["status"], "completed");
    many("study/page of 50 of 10,000 trials".to_owned(), 1, async |number| {
        let path = format!("/api/backtests/s/trials?limit=50&cursor={}", 50 * (number % 200));
        assert_eq!(handler.get(&path).await["evaluated"], 10_000);
    })
    .await
}

/// Eight parts of one study, whose markets differ by their look-back.
async fn handlers() -> Vec<Rate> {
    let Some(server) = Server::start(true).await.expect("a server") else { return Vec::new() };
    let dsn = server.dsn("postgres");
    let database = Database::parse(&dsn, "bench").expect("a connection string");
    let mut admin = database.connect().await.expect("a connection");
    migrations::up(&mut admin).await.expect("a schema");
    let folder = tempfile::tempdir().expect("a folder");
    lake(folder.path());
    let settings = [
        ("BACKTEST_RUN_STORE_MODE", "postgres"),
        ("POSTGRES_DSN", dsn.as_str()),
        ("RAYON_NUM_THREADS", "1"),
        ("TOKIO_WORKER_THREADS", "1"),
    ];
    let mut rates = Vec::new();
    for count in [1, 2, 4] {
        let mut handlers = Vec::new();
        for _ in 0..count {
            handlers.push(Handler::start(folder.path(), &settings).await);
        }
        let id = format!("s{count}");
        let body = json!({
            "study": {
                "parameters": {
                    "strategy.scoring.lookback": { "from": 20, "to": 169, "step": 1 },
                    "strategy.selection.topn.n": (1..=10).collect::<Vec<_>>(),
                },
                "keep": { "returns": 0 }, "statistics": { "bootstrap": 0 },
            },
            "base": {
                "start_date": "2000-01-01", "end_date": "2099-12-31", "universe": { "symbols": ["*"] },
                "strategy": {
                    "type": "configured", "rebalance": { "freq": "weekly" },
                    "scoring": { "type": "price_breakout", "lookback": 20 },
                    "selection": { "type": "topn", "topn": { "n": 1 } },
                },
            },
            "run_id": id,
        });
        let begin = Instant::now();
        let study = handlers[0].post("/api/studies", &body).await;
        let parts = study["parts"].as_u64().expect("parts");
        let waiting: VecDeque<String> = (0..parts).map(|part| format!("{id}-p{part:02}")).collect();
        let waiting = Mutex::new(waiting);
        let next = || waiting.lock().expect("nobody panicked").pop_front();
        let each = handlers.iter().map(async |handler| {
            let mut took = Vec::new();
            while let Some(part) = next() {
                let start = Instant::now();
                handler.wake(&part).await;
                took.push(start.elapsed());
            }
            took
        });
        let took: Vec<Duration> = futures_util::future::join_all(each).await.concat();
        let whole = begin.elapsed();
        assert_eq!(handlers[0].get(&format!("/api/backtests/{id}")).await["status"], "completed");
        rates.push(Rate::of(format!("study/{parts} parts, {count} handlers of one thread"), whole, took));
    }
    rates
}
