//! Statistics of a study: cross-validation from sums by block, the reality check of a part, the interval of one run,
//! the timing of a signal.

use std::hint::black_box;

use backtest_functions::statistics::blocks::{BlockSums, Measure};
use backtest_functions::statistics::bootstrap::Samples;
use backtest_functions::statistics::interval::{Intervals, Scale};
use backtest_functions::statistics::overfitting::Overfitting;
use backtest_functions::statistics::random::Draws;
use backtest_functions::statistics::superiority::Maxima;
use backtest_functions::statistics::timing::{Panel, Profile, Traded};
use criterion::{Criterion, Throughput};

/// Ten years.
const DAYS: usize = 2520;

/// Rows of made numbers around 0 that hang together by column.
fn made(rows: usize, columns: usize) -> Vec<Vec<f64>> {
    let common = Draws::of(1, 0);
    let row = |row: usize| {
        let own = Draws::of(2, row as u64);
        let cell = |column: u64| (common.unit(column) - 0.5) * 0.02 + (own.unit(column) - 0.49) * 0.01;
        (0..columns as u64).map(cell).collect()
    };
    (0..rows).map(row).collect()
}

/// `statistics/cscv/N`: 12,870 halves of 16 blocks; per element: one Sharpe ratio. `statistics/maxima/L`: 1,000 trials,
/// 1,000 replications with this mean block; per element: one resampled trial. `statistics/intervals`: one run, 1,000
/// replications. `statistics/timing/E`: 31 symbols, 3,020 days, every E-th.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("statistics");
    group.sample_size(10);
    for trials in [1000, 10_000] {
        let mut blocks = BlockSums::equal(DAYS, 16);
        for (trial, returns) in made(trials, DAYS).iter().enumerate() {
            blocks.add(trial as u32, returns, 0.0);
        }
        group.throughput(Throughput::Elements(12_870 * trials as u64));
        let name = format!("cscv/{trials}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(Overfitting::of(&blocks, Measure::Sharpe)));
        });
    }
    let trials = made(1000, DAYS);
    let series: Vec<&[f64]> = trials.iter().map(Vec::as_slice).collect();
    for block in [1.0, 10.0] {
        let samples = Samples::stationary(DAYS, block, 1000, 1);
        group.throughput(Throughput::Elements(1_000_000));
        let name = format!("maxima/{block}");
        group
            .bench_function(name, |bencher| bencher.iter(|| black_box(Maxima::of(&series, &samples, block))));
    }
    group.throughput(Throughput::Elements(1000));
    let scale = Scale { days_per_year: 252.0, daily_risk_free: 0.0 };
    group.bench_function("intervals", |bencher| {
        bencher.iter(|| {
            let samples = Samples::stationary(DAYS, 10.0, 1000, 1);
            black_box(Intervals::of(series[0], &samples, scale, 0.95))
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
