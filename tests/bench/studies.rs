//! Studies: a part of 10,000 trials from configs to the files of the whole study.

use std::hint::black_box;
use std::ops::ControlFlow;

use backtest_functions::run::RunId;
use backtest_functions::work::study::Study;
use backtest_functions::work::study::complete::{Markets, complete};
use backtest_functions::work::study::evaluate::{Evaluation, Window};
use criterion::{Criterion, Throughput};
use serde_json::{Value, json};

use crate::panels::{momentum, panel};

/// A hundred rates of slippage by a hundred of commission, monthly, the best five of 31 over 3,020 days.
fn study(bootstrap: usize) -> (Study, Value) {
    let rates = |step: f64| (0..100).map(|n| f64::from(n) * step).collect::<Vec<_>>();
    let document = json!({
        "study": {
            "parameters": { "broker.slippage_bps": rates(0.5), "broker.commission": rates(0.00002) },
            "keep": { "returns": 0 },
            "statistics": { "bootstrap": bootstrap },
        },
        "base": momentum(5, "momentum_12_1").resolved(),
    });
    let study = Study::from_value(&document).unwrap_or_else(|faults| unreachable!("{faults:?}"));
    (study, document)
}

/// `studies/B`: plan, trials, table, statistics and report with B replications; per element: one trial. `studies/plan`: 100,000
/// trials validated and shared out.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("studies");
    group.sample_size(10);
    let id: RunId = "bench".parse().unwrap_or_else(|_| unreachable!("it is an id"));
    let config = momentum(5, "momentum_12_1");
    for bootstrap in [0, 1000] {
        let (study, document) = study(bootstrap);
        group.throughput(Throughput::Elements(study.grid.count() as u64));
        group.bench_function(bootstrap.to_string(), |bencher| {
            bencher.iter_batched(
                || panel(31, 3020),
                |market| {
                    let plan = study.plan().unwrap_or_else(|faults| unreachable!("{faults:?}"));
                    let mut evaluation = Evaluation::new(&study, Window::of(&study, &config, &market));
                    let run = evaluation.run(&market, &plan.ordered, &|_, _| ControlFlow::Continue(()));
                    run.unwrap_or_else(|stopped| unreachable!("{stopped:?}"));
                    let mut markets = Markets::default();
                    markets.add(&config, market);
                    let parts = vec![evaluation.finish()];
                    black_box(complete(&study, &document, &id, &Value::Null, parts, &markets).is_ok())
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
    let many = Study::from_value(&many).unwrap_or_else(|faults| unreachable!("{faults:?}"));
    group.throughput(Throughput::Elements(100_000));
    group.bench_function("plan", |bencher| bencher.iter(|| black_box(many.plan().is_ok())));
    group.finish();
}
