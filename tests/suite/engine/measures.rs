//! Measures of a run, with the arithmetic written out.

use backtest_functions::engine::config::RiskFree;
use backtest_functions::engine::metrics::contributions::{Contribution, contributions};
use backtest_functions::engine::metrics::periods::PeriodReturns;
use backtest_functions::engine::metrics::risk_free::RiskFreeDays;
use backtest_functions::engine::metrics::round_trips::round_trips;
use backtest_functions::engine::metrics::{
    benchmark::BenchmarkSummary, calendar, drawdown, returns, rolling,
};
use backtest_functions::engine::{SymbolId, Trades};
use chrono::{Datelike as _, NaiveDate, Weekday};
use serde_json::json;

use crate::support::toy::{NONE, Toy, day, near, weekdays};

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
    assert!(near(year.quarters[0].unwrap(), -0.01) && near(year.total.unwrap(), -0.01));
    assert!(near(periods.years[1].total.unwrap(), 0.2));
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
    assert!(near(returns::annualized_volatility(&r, 252.0).unwrap(), deviation * year));
    assert!(near(returns::sharpe_ratio(&r, 0.0, 252.0).unwrap(), 0.005 / deviation * year));
    assert!(near(returns::sortino_ratio(&r, 0.0, 252.0).unwrap(), 0.005 / 0.005 * year));
    assert!(near(returns::sharpe_ratio(&r, 0.005, 252.0).unwrap(), 0.0));
    assert!(near(returns::hit_rate(&r).unwrap(), 0.5));
    // Third powers of the deviations: 0.125, -3.375, 3.375, -0.125 sum to 0. Fourth: 0.0625 + 5.0625, twice.
    assert!(near(returns::skew(&r).unwrap(), 0.0));
    assert!(near(returns::excess_kurtosis(&r).unwrap(), 2.5625 / 1.5625 - 3.0));
    assert_eq!(returns::sharpe_ratio(&[0.01, 0.01], 0.0, 252.0), None, "no deviation, no ratio");
    assert_eq!(returns::sortino_ratio(&[0.01, 0.02], 0.0, 252.0), None, "no shortfall, no ratio");
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
        near(returns::annualized_return(0.1, 126, 252.0).unwrap(), 0.21),
        "10 % in half a year is 21 % in a year"
    );
    assert_eq!(returns::annualized_return(0.1, 0, 252.0), None);
    assert_eq!(returns::annualized_return(-1.5, 252, 252.0), None, "more than everything is lost");
}

/// Peak on 2 January, below it until 12 January: 10 days. Then a new peak on the 12th, below until the end.
#[test]
fn drawdowns() {
    assert!(near(drawdown::deepest(&[100.0, 120.0, 90.0, 130.0, 117.0]), -0.25));
    let dates = [1, 2, 5, 12, 15, 16].map(|day| date(2024, 1, day));
    assert_eq!(drawdown::longest_days(&dates, &[0.0, 0.0, -0.1, 0.0, -0.1, -0.2]), 10);
    assert_eq!(drawdown::longest_days(&dates, &[0.0; 6]), 0);
}

/// The first weekdays of 2024.
fn dates(count: usize) -> Vec<NaiveDate> {
    weekdays().take(count).collect()
}

/// Cash that earns nothing.
fn no_rate() -> RiskFreeDays {
    RiskFreeDays::of(&RiskFree::Rate(0.0), None, 252.0)
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
    let summary = BenchmarkSummary::of("SPX".to_owned(), &dates(5), &ours, &curve, &no_rate(), 252.0);
    assert!(near(summary.beta.unwrap(), 2.0) && near(summary.correlation.unwrap(), 1.0));
    assert!(summary.alpha.unwrap().abs() < 1e-12);
    // The differences are the benchmark's own returns.
    assert!(near(summary.tracking_error.unwrap(), returns::annualized_volatility(&theirs, 252.0).unwrap()));
    assert!(near(summary.information_ratio.unwrap(), returns::sharpe_ratio(&theirs, 0.0, 252.0).unwrap()));
    assert!(summary.up_capture.unwrap() > 1.0 && summary.down_capture.unwrap() > 1.0);
}

#[test]
fn a_flat_benchmark_has_no_beta() {
    let summary =
        BenchmarkSummary::of("CASH".to_owned(), &dates(3), &[0.01, 0.02], &[1.0; 3], &no_rate(), 252.0);
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
    let table = rolling::rolling(&toy.run().daily, &[1, 2], 252.0);
    assert_eq!(table.window_days, [2; 4], "one day is not a window");
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

/// The benchmark's first price is on day 2: what it did and how the portfolio compares is of the days from there on.
#[test]
fn a_benchmark_counts_from_its_first_bar() {
    let prices = [100.0, 102.0, 99.0, 105.0, 104.0, 110.0];
    let whole = [50.0, 51.0, 49.0, 52.0, 50.0, 53.0];
    let late = [NONE, NONE, 49.0, 52.0, 50.0, 53.0];
    let toy = |benchmark: &[f64], from: usize| {
        Toy::flat(&[("A", &prices[from..]), ("B", &benchmark[from..])])
            .with(json!({
                "universe": { "symbols": ["A"] },
                "strategy": { "class": "BuyAndHoldStrategy" },
                "benchmark": "B",
            }))
            .run()
    };
    let got = toy(&late, 0);
    let curve = got.benchmark.unwrap();
    assert!(curve[0].is_nan() && curve[1].is_nan() && curve[2] == 1.0 && near(curve[5], 53.0 / 49.0));
    let versus = got.summary.benchmark.unwrap();
    assert_eq!((versus.first_day, versus.days), (Some(day(2)), 3));
    assert!(near(versus.total_return.unwrap(), 53.0 / 49.0 - 1.0));
    let theirs: Vec<f64> = late[2..].windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
    let ours: Vec<f64> = prices[2..].windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_ours, mean_theirs) = (mean(&ours), mean(&theirs));
    let moments = ours
        .iter()
        .zip(&theirs)
        .map(|(a, b)| ((a - mean_ours) * (b - mean_theirs), (b - mean_theirs).powi(2)));
    let (covariance, variance) = moments.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(near(versus.beta.unwrap(), covariance / variance));
    let whole = toy(&whole, 0).summary.benchmark.unwrap();
    assert_eq!((whole.first_day, whole.days), (Some(day(0)), 5));
}

/// Weekdays, a week that begins on Sunday, every day, every Friday, the first of each month.
#[test]
fn how_many_bars_make_a_year_is_told_by_their_dates() {
    let days = || date(2023, 1, 1).iter_days().take(730);
    let year = |dates: Vec<NaiveDate>| calendar::periods_per_year(&dates);
    let but = |left_out: [Weekday; 2]| days().filter(|day| !left_out.contains(&day.weekday())).collect();
    assert_eq!(year(but([Weekday::Sat, Weekday::Sun])), 252.0);
    assert_eq!(year(but([Weekday::Fri, Weekday::Sat])), 252.0, "Sunday is a fifth of such a week");
    assert_eq!(year(days().collect()), 365.0);
    assert_eq!(year(days().filter(|day| day.weekday() == Weekday::Fri).collect()), 52.0);
    assert_eq!(year(days().filter(|day| day.day() == 1).collect()), 12.0);
    assert_eq!(year(vec![date(2024, 1, 1)]), 252.0);
    assert_eq!(calendar::weekdays(date(2024, 1, 1), date(2024, 1, 15)), 10);
    assert_eq!(calendar::weekdays(date(2024, 1, 6), date(2024, 1, 8)), 0, "a weekend");
}

/// Scaled by the square root of the bars in a year, which the summary says and the config may settle.
#[test]
fn yearly_figures_follow_the_bars_of_a_year() {
    let prices: Vec<f64> = (0..80).map(|n| 100.0 + f64::from(n % 7)).collect();
    let toy = Toy::flat(&[("A", &prices)]).with(json!({ "strategy": { "class": "BuyAndHoldStrategy" } }));
    let told = toy.run().summary;
    let settled = toy.with(json!({ "metrics": { "periods_per_year": 63 } })).run().summary;
    assert_eq!((told.periods_per_year, settled.periods_per_year), (252.0, 63.0));
    assert!(near(told.annualized_volatility.unwrap(), 2.0 * settled.annualized_volatility.unwrap()));
    assert!(near(told.sharpe_ratio.unwrap(), 2.0 * settled.sharpe_ratio.unwrap()));
}

/// Asked for a year of which there are prices for 80 weekdays from the fourth week on.
#[test]
fn a_period_that_is_shorter_than_asked_is_said() {
    let mut prices = vec![NONE; 15];
    prices.extend([100.0; 80]);
    let got = Toy::flat(&[("A", &prices)]).run().summary;
    assert_eq!((got.first_day, got.last_day), (Some(day(15)), Some(day(94))));
    let asked = got.warnings.iter().filter(|said| said.starts_with("the computed period")).count();
    assert_eq!(asked, 2, "{:?}", got.warnings);
    let exact =
        Toy::flat(&[("A", &[100.0; 80])]).with(json!({ "end_date": day(79).to_string() })).run().summary;
    assert_eq!(exact.warnings, [""; 0]);
    let short =
        Toy::flat(&[("A", &[100.0; 59])]).with(json!({ "end_date": day(58).to_string() })).run().summary;
    assert!(short.warnings.len() == 1 && short.warnings[0].starts_with("only 59 trading days"));
}

/// Below the first peak on days 1 and 2, back on day 3; below the next from day 4 on, and not over. The deepest is first.
#[test]
fn falls_have_a_peak_a_trough_and_a_recovery() {
    let falls = drawdown::deepest_falls(&[0.0, -0.05, -0.1, 0.0, -0.2, -0.1], 10);
    let fall = |peak, trough, recovery, depth| drawdown::Fall { peak, trough, recovery, depth };
    assert_eq!(falls, [fall(3, 4, None, -0.2), fall(0, 2, Some(3), -0.1)]);
    assert_eq!(drawdown::deepest_falls(&[0.0, -0.05, 0.0, -0.2], 1).len(), 1);
    assert_eq!(
        drawdown::deepest_falls(&[-0.1, -0.2], 5),
        [fall(0, 1, None, -0.2)],
        "below the money at the start"
    );
    assert_eq!(drawdown::deepest_falls(&[0.0; 3], 5), []);
}

/// 10 bought at 10 and 10 at 20, 15 sold at 30, 10 sold at 25 (5 of them short), 5 bought back at 20; 1 % commission.
#[test]
fn round_trips_are_first_in_first_out() {
    let quantity = vec![10.0, 10.0, -15.0, -10.0, 5.0];
    let price = vec![10.0, 20.0, 30.0, 25.0, 20.0];
    let notional: Vec<f64> = quantity.iter().zip(&price).map(|(q, p)| q * p).collect();
    let trades = Trades {
        execution_date: dates(5),
        symbol: vec![SymbolId(0); 5],
        commission: notional.iter().map(|notional| notional.abs() / 100.0).collect(),
        slippage_cost: vec![0.0; 5],
        impact_cost: vec![0.0; 5],
        cash_after: vec![0.0; 5],
        quantity,
        price,
        notional,
    };
    let trips = round_trips(&trades, None);
    let rows: Vec<(f64, bool, f64)> =
        trips.iter().map(|trip| (trip.quantity, trip.is_short, trip.profit)).collect();
    let expected = [
        (10.0, false, 10.0 * 20.0 - 10.0 * 0.4),
        (5.0, false, 5.0 * 10.0 - 5.0 * 0.5),
        (5.0, false, 5.0 * 5.0 - 5.0 * 0.45),
        (5.0, true, 5.0 * 5.0 - 5.0 * 0.45),
    ];
    assert_eq!(rows.len(), expected.len());
    for (got, want) in rows.iter().zip(expected) {
        assert!((got.0, got.1) == (want.0, want.1) && near(got.2, want.2), "{got:?} {want:?}");
    }
    assert_eq!((trips[1].opened, trips[1].closed), (day(1), day(2)));
    assert!(near(trips[0].profit_share, 196.0 / 100.0));
}

/// Long and short, costs, a position that turns and one that is open at the end: contributions add up to the total.
#[test]
fn contributions_add_up_to_the_total_return() {
    let wave = |n: usize| -> Vec<f64> { (0..60).map(|day| 20.0 + ((day * (n + 2)) % 11) as f64).collect() };
    let (a, b, c) = (wave(1), wave(2), wave(3));
    let toy = Toy::flat(&[("A", &a), ("B", &b), ("C", &c)])
        .with(json!({
            "strategy": {
                "class": "LongShortTopNStrategy",
                "parameters": { "k_long": 1, "k_short": 1, "rebalance": 3, "max_hold_days": 5 },
            },
            "sizing": { "class": "LongShortScoreSizer", "parameters": { "gross_target": 1.2, "net_target": 0.2 } },
            "constraints": { "allow_short": true, "max_leverage": 2 },
            "broker": { "slippage_bps": 20, "spread_bps": 10, "commission": 0.002 },
        }))
        .signal("composite_percentile", &[("A", &a), ("B", &b), ("C", &c)]);
    let (got, market) = (toy.run(), toy.market());
    let parts = contributions(&got, &market);
    let sum = |of: fn(&Contribution) -> f64| parts.iter().map(of).sum::<f64>();
    assert!(parts.iter().any(|part| part.is_short) && parts.iter().any(|part| !part.is_short));
    assert!((sum(|part| part.contribution) - got.summary.total_return).abs() < 1e-12);
    assert!(near(sum(|part| part.commission), got.summary.total_commission));
    assert!(near(sum(|part| part.slippage_cost), got.summary.total_slippage_cost));
    let gross = sum(|part| part.gross_profit) - got.summary.total_costs;
    assert!(near(gross, got.summary.final_equity - 1000.0));
}

#[test]
fn rolling_beta_is_that_of_the_window() {
    let benchmark = [1.0, 1.1, 1.0, 1.2, 1.1, 1.3];
    let twice: Vec<f64> = benchmark.windows(2).fold(vec![1.0], |mut values, two| {
        let last = values[values.len() - 1];
        values.push(last * (1.0 + 2.0 * (two[1] / two[0] - 1.0)));
        values
    });
    let betas = rolling::rolling_beta(&twice, &benchmark, 3);
    assert_eq!(betas.len(), 5);
    assert_eq!(betas[..2], [None, None]);
    assert!(betas[2..].iter().all(|beta| near(beta.unwrap(), 2.0)));
    assert_eq!(rolling::rolling_beta(&twice, &[1.0; 6], 3), [None; 5]);
}
