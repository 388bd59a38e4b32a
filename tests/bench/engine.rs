//! The engine alone: monthly momentum on panels of four sizes, signal included, and how the cost grows.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use rayon::prelude::*;

use crate::panels::{RUNS, momentum, outcome, panel, pipeline, sets};

/// `engine/a` to `engine/c`: one run on one thread; `engine/pipeline`: 30 symbols, weekly, with two exit rules. `engine/d`: 1,000 parameter sets on the panel of `a`, on all
/// threads. `growth`: ten times the days, ten times the symbols.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    for (name, symbols, days, n) in RUNS {
        let (market, config) = (panel(symbols, days), momentum(n, "momentum_12_1"));
        group.throughput(Throughput::Elements((symbols * days) as u64));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(outcome(&config, &market))));
    }
    let (market, config) = (panel(30, 3020), pipeline());
    group.bench_function("pipeline", |bencher| bencher.iter(|| black_box(outcome(&config, &market))));
    let market = panel(31, 3020);
    let sets: Vec<_> = sets().map(|n| momentum(n, "momentum_12_1")).collect();
    group.throughput(Throughput::Elements(1000));
    group.sample_size(10).bench_function("d", |bencher| {
        bencher.iter(|| sets.par_iter().map(|set| outcome(set, &market).summary.final_equity).sum::<f64>());
    });
    group.finish();

    let mut group = criterion.benchmark_group("growth");
    for (symbols, days) in [(300, 2000), (300, 20_000), (3000, 2000)] {
        let (market, config) = (panel(symbols, days), momentum(20, "momentum_12_1"));
        let name = format!("{symbols}x{days}");
        group.bench_function(name, |bencher| bencher.iter(|| black_box(outcome(&config, &market))));
    }
    group.finish();
}
