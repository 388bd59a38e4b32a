//! One series: the normal distribution, the Sharpe ratio and its error, resampling and its intervals.

use backtest_functions::statistics::block_length::BlockLength;
use backtest_functions::statistics::bootstrap::Samples;
use backtest_functions::statistics::interval::{Interval, Intervals, Scale};
use backtest_functions::statistics::sharpe::SharpeRatio;
use backtest_functions::statistics::{Undefined, normal};

use super::{agree, columns, figures, list, stored, trials};
use crate::support::studies::{beside, committed, json};

#[test]
fn the_normal_distribution_is_exact_in_both_tails() {
    // scipy.stats.norm; below -5 mpmath, which has more digits than scipy there.
    let known = [
        (0.0, 0.5),
        (1.0, 0.841_344_746_068_542_9),
        (-1.96, 0.024_997_895_148_220_435),
        (-8.0, 6.220_960_574_271_784e-16),
        (-37.0, 5.725_571_222_524_576e-300),
    ];
    for (x, probability) in known {
        let got = normal::cdf(x);
        assert!((got - probability).abs() <= 4e-15 * probability, "cdf({x}): {got}, want {probability}");
        let got = normal::survival(-x);
        assert!((got - probability).abs() <= 4e-15 * probability, "survival({x}): {got}, want {probability}");
    }
    assert!((normal::two_sided(1.96) - 0.049_995_790_296_440_87).abs() < 1e-16);
    for (probability, x) in [
        (0.5, 0.0),
        (0.975, 1.959_963_984_540_054),
        (0.05, -1.644_853_626_951_472_9),
        (0.08, -1.405_071_560_309_632_2),
        (1e-10, -6.361_340_902_404_056),
        (1e-300, -37.047_096_299_361_2),
    ] {
        let got = normal::quantile(probability);
        assert!(
            (got - x).abs() <= 4e-15 * f64::max(x.abs(), 1.0),
            "quantile({probability}): {got}, want {x}"
        );
    }
    for step in 1..2000 {
        let probability = f64::from(step) / 2000.0;
        let there_and_back = normal::cdf(normal::quantile(probability));
        assert!((there_and_back - probability).abs() < 4e-16, "{probability}: {there_and_back}");
    }
    assert_eq!(normal::quantile(0.0), f64::NEG_INFINITY);
    assert_eq!(normal::quantile(1.0), f64::INFINITY);
    assert!(normal::quantile(1.5).is_nan());
}

#[test]
fn a_sharpe_ratio_tells_its_error_and_the_record_it_needs() {
    let Some(trials) = trials() else { return };
    let want = json(&committed("deflated_sharpe.json"));
    let winner = SharpeRatio::of(&trials[1], 0.0).unwrap();
    assert_eq!(winner.observations, 2053);
    stored("sharpe", winner.daily, &want["winner_sharpe_daily"]);
    stored("skew", winner.skew, &want["skew"]);
    stored("kurtosis", winner.kurtosis, &want["kurtosis"]);
    stored("psr", winner.probability_above(0.0).unwrap(), &want["cases"][0]["psr_zero"]);
    for case in list(&want["min_track_record_length"]) {
        let benchmark = case["benchmark_daily"].as_f64().unwrap();
        let days = winner.days_needed(benchmark, case["alpha"].as_f64().unwrap());
        stored("days needed", days.unwrap(), &case["days"]);
    }
    assert_eq!(winner.days_needed(winner.daily, 0.05), Err(Undefined::NotAbove));
    agree("p", winner.p_value(0.0).unwrap(), 0.002_332_100_055_955_7);
}

#[test]
fn what_does_not_vary_has_no_sharpe_ratio() {
    assert_eq!(SharpeRatio::of(&[0.001; 500], 0.0), Err(Undefined::NoDeviation));
    assert_eq!(SharpeRatio::of(&[0.001], 0.0), Err(Undefined::TooFewObservations { found: 1, needed: 2 }));
    // One of two values each day: skew 0, kurtosis 1, and nothing that a large ratio could be wrong by.
    let coin = SharpeRatio { daily: 1.0, skew: 1.0, kurtosis: 1.0, observations: 100 };
    assert_eq!(coin.probability_above(0.0), Err(Undefined::NoVariance));
}

#[test]
fn block_lengths_are_those_of_the_corrected_rule() {
    let Some(trials) = trials() else { return };
    let Some(want) = figures("bootstrap_intervals.json") else { return };
    let length = BlockLength::of(&trials[1]).unwrap();
    stored("stationary", length.stationary, &want["optimal_block_length_arch"]["stationary"]);
    stored("circular", length.circular, &want["optimal_block_length_arch"]["circular"]);
    assert_eq!(BlockLength::of(&[0.0; 100]), Err(Undefined::NoDeviation));
}

/// The 500 samples that were drawn elsewhere.
pub(super) fn drawn() -> Option<Samples> {
    let rows: Vec<usize> =
        columns(&beside("bootstrap_indices.parquet")?)["index"].iter().map(|&row| row as usize).collect();
    Some(Samples::given(2053, rows.chunks_exact(2053)))
}

#[test]
fn intervals_are_percentiles_of_what_was_drawn() {
    let (Some(trials), Some(samples)) = (trials(), drawn()) else { return };
    let Some(want) = figures("bootstrap_intervals.json") else { return };
    let scale = Scale { days_per_year: 252.0, daily_risk_free: 0.0 };
    let got = Intervals::of(&trials[1], &samples, scale, 0.95);
    let check = |name: &str, got: Interval| {
        let want = &want["measures"][name];
        stored(&format!("{name} value"), got.value, &want["value"]);
        stored(&format!("{name} low"), got.low, &want["low"]);
        stored(&format!("{name} high"), got.high, &want["high"]);
        stored(&format!("{name} mean"), got.mean, &want["mean"]);
        stored(&format!("{name} error"), got.standard_error, &want["standard_error"]);
        assert_eq!(got.replications, 500);
    };
    check("sharpe_ratio", got.sharpe_ratio.unwrap());
    check("annualized_return", got.annualized_return.unwrap());
    check("annualized_volatility", got.annualized_volatility.unwrap());
    check("max_drawdown", got.max_drawdown.unwrap());
}

#[test]
fn a_series_that_stands_still_has_an_interval_only_where_it_has_a_figure() {
    let samples = Samples::stationary(100, 10.0, 50, 1);
    let scale = Scale { days_per_year: 252.0, daily_risk_free: 0.0 };
    let got = Intervals::of(&[0.0; 100], &samples, scale, 0.95);
    assert_eq!(got.sharpe_ratio, Err(Undefined::NoDeviation));
    let growth = got.annualized_return.unwrap();
    assert_eq!((growth.value, growth.low, growth.high), (0.0, 0.0, 0.0));
    let short = Intervals::of(&[0.0; 99], &samples, scale, 0.95);
    assert!(short.max_drawdown.is_err());
}

#[test]
fn samples_depend_on_seed_and_replication_alone() {
    let rows = |samples: &Samples, replication| samples.runs(replication).flatten().collect::<Vec<usize>>();
    let few = Samples::stationary(1000, 10.0, 3, 7);
    let many = Samples::stationary(1000, 10.0, 200, 7);
    assert_eq!(rows(&few, 2), rows(&many, 2));
    assert_ne!(rows(&few, 0), rows(&few, 1));
    assert_ne!(rows(&few, 0), rows(&Samples::stationary(1000, 10.0, 3, 8), 0));
    let (mut drawn, mut begun) = (vec![0_u32; 1000], 0);
    for replication in 0..200 {
        let rows = rows(&many, replication);
        assert_eq!(rows.len(), 1000);
        begun += rows.windows(2).filter(|pair| pair[1] != (pair[0] + 1) % 1000).count();
        rows.iter().for_each(|&row| drawn[row] += 1);
    }
    // 199,800 chances of 1 in 10, of which one in a thousand continues by accident: within four deviations.
    assert!((19_424..=20_497).contains(&begun), "{begun} blocks begun");
    assert!(drawn.iter().all(|&times| (50..=400).contains(&times)), "every row about 200 times");
    let whole = Samples::circular(1003, 20, 5, 7);
    assert_eq!(rows(&whole, 4).len(), 1000);
    assert!(
        rows(&whole, 4)
            .chunks_exact(20)
            .all(|block| block.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 1003))
    );
}
