//! Measures of a run, with the arithmetic written out.

use backtest_functions::engine::metrics::periods::PeriodReturns;
use backtest_functions::engine::metrics::{benchmark::BenchmarkSummary, drawdown, returns, rolling};
use chrono::NaiveDate;
use serde_json::json;

use crate::support::toy::{Toy, day, near};

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

/// From 100 in cash: January ends at 110 (10 %), February at 99 (-10 %), the next January at 118.8 (20 %).
#[test]
fn periods_compound_to_the_total() {
    let dates = [date(2023, 1, 30), date(2023, 1, 31), date(2023, 2, 28), date(2024, 1, 2)];
    let periods = PeriodReturns::of(&dates, &[104.0, 110.0, 99.0, 118.8], 100.0);
    let year = &periods.years[0];
    assert!(near(year.months[0].unwrap(), 0.1) && near(year.months[1].unwrap(), -0.1));
    assert_eq!(year.months[2], None);
    assert!(near(year.quarters[0].unwrap(), -0.01) && near(year.total, -0.01));
    assert!(near(periods.years[1].total, 0.2));
    let total: f64 = periods.months().map(|month| 1.0 + month).product();
    assert!(near(total, 1.188));
}

/// Returns 1 %, -1 %, 2 %, 0: mean 0.5 %, squares of the deviations 0.25, 2.25, 2.25, 0.25 (in %²), variance
/// 1.25 %²; the only shortfall is 1 %, so that the downside deviation is 0.5 %.
#[test]
fn ratios_of_returns() {
    let r = [0.01, -0.01, 0.02, 0.0];
    let year = 252.0_f64.sqrt();
    let deviation = 1.25e-4_f64.sqrt();
    assert!(near(returns::annualized_volatility(&r).unwrap(), deviation * year));
    assert!(near(returns::sharpe_ratio(&r, 0.0).unwrap(), 0.005 / deviation * year));
    assert!(near(returns::sortino_ratio(&r, 0.0).unwrap(), 0.005 / 0.005 * year));
    assert!(near(returns::sharpe_ratio(&r, 0.005).unwrap(), 0.0));
    assert!(near(returns::hit_rate(&r).unwrap(), 0.5));
    // Third powers of the deviations: 0.125, -3.375, 3.375, -0.125 sum to 0. Fourth: 0.0625 + 5.0625, twice.
    assert!(near(returns::skew(&r).unwrap(), 0.0));
    assert!(near(returns::excess_kurtosis(&r).unwrap(), 2.5625 / 1.5625 - 3.0));
    assert_eq!(returns::sharpe_ratio(&[0.01, 0.01], 0.0), None, "no deviation, no ratio");
    assert_eq!(returns::sortino_ratio(&[0.01, 0.02], 0.0), None, "no shortfall, no ratio");
    assert_eq!(returns::mean(&[]), None);
}

/// Of 21 returns from -10 % to 10 % the 5 % quantile lies exactly on the second worst; the tail is the worst two.
#[test]
fn tail_losses() {
    let r: Vec<f64> = (-10..=10).map(|n| f64::from(n) / 100.0).collect();
    let tail = returns::Tail::of(&r).unwrap();
    assert!(near(tail.value_at_risk, -0.09) && near(tail.conditional, -0.095));
    assert!(returns::Tail::of(&[]).is_none());
}

#[test]
fn growth_over_a_year() {
    assert!(
        near(returns::annualized_return(0.1, 126).unwrap(), 0.21),
        "10 % in half a year is 21 % in a year"
    );
    assert_eq!(returns::annualized_return(0.1, 0), None);
    assert_eq!(returns::annualized_return(-1.5, 252), None, "more than everything is lost");
}

/// Peak on 2 January, below it until 12 January: 10 days. Then a new peak on the 12th, below until the end.
#[test]
fn drawdowns() {
    assert!(near(drawdown::deepest(&[100.0, 120.0, 90.0, 130.0, 117.0]), -0.25));
    let dates = [1, 2, 5, 12, 15, 16].map(|day| date(2024, 1, day));
    assert_eq!(drawdown::longest_days(&dates, &[0.0, 0.0, -0.1, 0.0, -0.1, -0.2]), 10);
    assert_eq!(drawdown::longest_days(&dates, &[0.0; 6]), 0);
}

/// A portfolio that moves twice as much as its benchmark has beta 2, alpha 0 and correlation 1.
#[test]
fn twice_the_benchmark() {
    let theirs = [0.01, -0.02, 0.03, 0.0];
    let mut curve = vec![1.0];
    for r in theirs {
        curve.push(curve[curve.len() - 1] * (1.0 + r));
    }
    let ours = theirs.map(|r| 2.0 * r);
    let summary = BenchmarkSummary::of("SPX".to_owned(), &ours, &curve, 0.0);
    assert!(near(summary.beta.unwrap(), 2.0) && near(summary.correlation.unwrap(), 1.0));
    assert!(summary.alpha.unwrap().abs() < 1e-12);
    // The differences are the benchmark's own returns.
    assert!(near(summary.tracking_error.unwrap(), returns::annualized_volatility(&theirs).unwrap()));
    assert!(near(summary.information_ratio.unwrap(), returns::sharpe_ratio(&theirs, 0.0).unwrap()));
    assert!(summary.up_capture.unwrap() > 1.0 && summary.down_capture.unwrap() > 1.0);
}

#[test]
fn a_flat_benchmark_has_no_beta() {
    let summary = BenchmarkSummary::of("CASH".to_owned(), &[0.01, 0.02], &[1.0, 1.0, 1.0], 0.0);
    assert_eq!((summary.beta, summary.alpha, summary.correlation), (None, None, None));
    assert_eq!((summary.up_capture, summary.down_capture), (None, None));
}

/// The benchmark need not be in the universe. B doubles, then stays: 1, 2, 2. Equal weights gain (0 + 100 %) / 2.
#[test]
fn benchmarks_by_symbol_and_by_universe() {
    let toy = Toy::flat(&[("A", &[10.0; 3]), ("B", &[10.0, 20.0, 20.0])]);
    let symbol = toy.clone().with(json!({ "universe": { "symbols": ["A"] }, "benchmark": "B" })).run();
    assert_eq!(symbol.benchmark.unwrap(), [1.0, 2.0, 2.0]);
    assert_eq!(symbol.symbols, ["A"]);
    let universe = toy.with(json!({ "benchmark": "equal_weight" })).run();
    assert_eq!(universe.benchmark.unwrap(), [1.0, 1.5, 1.5]);
    assert_eq!(universe.summary.benchmark.unwrap().name, "equal_weight");
}

/// Windows of 2 days over values 100, 110, 99: returns 10 % and then 1.1 * 0.9 - 1.
#[test]
fn rolling_windows() {
    let toy = Toy::flat(&[("A", &[100.0, 100.0, 110.0, 99.0])])
        .with(json!({ "strategy": { "class": "BuyAndHoldStrategy" } }));
    let table = rolling::rolling(&toy.run().daily, &[1, 2]);
    assert_eq!(table.window_days, [2; 4], "one day is no window");
    let expected = [None, Some(0.0), Some(0.1), Some(-0.01)];
    for (got, want) in table.rolling_return.iter().zip(expected) {
        assert!(got.is_some() == want.is_some() && near(got.unwrap_or(0.0), want.unwrap_or(0.0)));
    }
    assert_eq!(table.rolling_sharpe[1], None, "nothing moved");
    assert!(near(table.rolling_max_drawdown[3].unwrap(), -0.1));
}

/// Bought on Tuesday (day 1), sold on the next Monday (day 5): six calendar days.
#[test]
fn holding_days_of_closed_positions() {
    let toy = Toy::flat(&[("A", &[10.0; 8])])
        .with(json!({ "strategy": { "class": "TopNSignalStrategy" } }))
        .signal("composite_percentile", &[("A", &[1.0, 1.0, 1.0, 1.0])]);
    let got = toy.run();
    assert_eq!(got.trades.execution_date, [day(1), day(5)]);
    assert_eq!(got.summary.average_holding_days, Some(6.0));
}

#[test]
fn one_day_has_no_ratios() {
    let summary = Toy::flat(&[("A", &[10.0])]).run().summary;
    assert_eq!((summary.days, summary.trades, summary.final_equity), (1, 0, 1000.0));
    assert_eq!(summary.annualized_return, None);
    assert_eq!((summary.annualized_volatility, summary.sharpe_ratio, summary.var_95), (None, None, None));
}
