//! Statistics of one run: its intervals, the timing of a signal. Those of many trials are measured with studies.

use std::hint::black_box;

use backtest_functions::statistics::bootstrap::Samples;
use backtest_functions::statistics::interval::{Intervals, Scale};
use backtest_functions::statistics::random::Draws;
use backtest_functions::statistics::timing::{Panel, Profile, Traded};
use criterion::{Criterion, Throughput};

/// Ten years.
pub(crate) const DAYS: usize = 2520;

/// Rows of made numbers around 0 that hang together by column.
pub(crate) fn made(rows: usize, columns: usize) -> Vec<Vec<f64>> {
    let common = Draws::of(1, 0);
    let row = |row: usize| {
        let own = Draws::of(2, row as u64);
        let cell = |column: u64| (common.unit(column) - 0.5) * 0.02 + (own.unit(column) - 0.49) * 0.01;
        (0..columns as u64).map(cell).collect()
    };
    (0..rows).map(row).collect()
}

/// `statistics/intervals`: one run, 1,000 replications. `statistics/timing/E`: 31 symbols, 3,020 days, every E-th.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("statistics");
    group.sample_size(10);
    let trials = made(1, DAYS);
    group.throughput(Throughput::Elements(1000));
    let scale = Scale { days_per_year: 252.0, daily_risk_free: 0.0 };
    group.bench_function("intervals", |bencher| {
        bencher.iter(|| {
            let samples = Samples::stationary(DAYS, 10.0, 1000, 1);
            black_box(Intervals::of(&trials[0], &samples, scale, 0.95))
        });
    });
    let (days, symbols) = (3020, 31);
    let (signal, close) = (made(days, symbols), made(days, symbols));
    let panel = Panel {
        days,
        symbols,
        signal: &|day| &signal[day],
        open: &|day| &close[day],
        close: &|day| &close[day],
    };
    for every in [1, 16] {
        group.throughput(Throughput::Elements((days / every) as u64));
        let name = format!("timing/{every}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(Profile::of(&panel, Traded::NextOpen, every)));
        });
    }
    group.finish();
}
