//! Two series of the same days: whether their Sharpe ratios differ, and how far apart they moved.

use backtest_functions::statistics::Undefined;
use backtest_functions::statistics::comparison::{Comparison, active_share};
use backtest_functions::statistics::difference::{Blocks, Difference, Test, bootstrap_p_value};
use backtest_functions::statistics::random::Draws;
use serde_json::Value;

use super::{agree, figures, stored, trials};

fn check(got: Result<Test, Undefined>, want: &Value) {
    let got = got.unwrap();
    stored("error", got.standard_error, &want["standard_error"]);
    stored("z", got.z, &want["z"]);
    stored("p", got.p_value, &want["p_value"]);
}

#[test]
fn sharpe_ratios_differ_as_stored() {
    let (Some(trials), Some(want)) = (trials(), figures("sharpe_difference.json")) else { return };
    for (name, want) in want["cases"].as_object().unwrap() {
        let mut pair =
            name.split(" against t").map(|each| each.trim_start_matches('t').parse::<usize>().unwrap());
        let (a, b) = (pair.next().unwrap(), pair.next().unwrap());
        let got = Difference::of(&trials[a], &trials[b]).unwrap();
        assert_eq!(got.observations, 2053);
        stored("a", got.a, &want["sharpe_a_daily"]);
        stored("b", got.b, &want["sharpe_b_daily"]);
        // A difference of two near numbers has as many digits fewer.
        let daily = want["difference_daily"].as_f64().unwrap();
        assert!((got.daily() - daily).abs() < 1e-10 * got.a.abs(), "{name}: {}, want {daily}", got.daily());
        stored("correlation", got.correlation, &want["correlation"]);
        check(got.memmel, &want["memmel"]);
        check(got.independent, &want["delta_iid"]);
        check(got.robust, &want["hac"]);
        assert_eq!(got.lag as u64, want["hac"]["lag"].as_u64().unwrap());
        let (low, high) = got.robust.unwrap().interval(got.daily(), 0.95);
        stored("low", low, &want["hac"]["interval95_daily"][0]);
        stored("high", high, &want["hac"]["interval95_daily"][1]);
    }
}

#[test]
fn a_series_does_not_differ_from_itself() {
    let a: Vec<f64> = (0..100).map(|day| f64::from(day % 5) / 100.0 - 0.015).collect();
    let got = Difference::of(&a, &a).unwrap();
    assert_eq!(got.daily(), 0.0);
    assert_eq!(got.robust, Err(Undefined::NoVariance));
    assert_eq!(Difference::of(&a, &[0.01; 100]), Err(Undefined::NoDeviation));
}

/// Of two series of 500 days with these drifts.
fn p_value(drift: f64, seed: u64) -> f64 {
    let series = |number, drift: f64| -> Vec<f64> {
        (0..500).map(|day| (Draws::of(21, number).unit(day) - 0.5) * 0.03 + drift).collect()
    };
    let blocks = Blocks { length: 5, replications: 499, seed };
    bootstrap_p_value(&series(1, drift), &series(2, 0.0), blocks).unwrap()
}

#[test]
fn the_bootstrap_of_a_difference_sees_what_is_there() {
    let (none, some) = (p_value(0.0, 1), p_value(0.004, 1));
    assert!(none > 0.05, "nothing is there: {none}");
    // No replication reaches it: one in 500.
    assert_eq!(some, 1.0 / 500.0);
    assert_eq!(none, p_value(0.0, 1), "the same seed draws the same");
    assert_ne!(none, p_value(0.0, 2));
    let blocks = Blocks { length: 60, replications: 9, seed: 1 };
    let short = [0.01, 0.02, 0.03, 0.01].repeat(25);
    assert_eq!(
        bootstrap_p_value(&short, &short, blocks),
        Err(Undefined::TooFewObservations { found: 100, needed: 120 })
    );
}

#[test]
fn the_bootstrap_of_a_difference_agrees_with_the_long_run_variance() {
    let Some(trials) = trials() else { return };
    for (a, b) in [(1, 0), (1, 28), (1, 31)] {
        let robust = Difference::of(&trials[a], &trials[b]).unwrap().robust.unwrap().p_value;
        let drawn =
            bootstrap_p_value(&trials[a], &trials[b], Blocks { length: 5, replications: 999, seed: 1 });
        let drawn = drawn.unwrap();
        assert!((drawn - robust).abs() < 0.06, "t{a} against t{b}: {drawn}, robust {robust}");
    }
}

#[test]
fn two_runs_compare_as_stored() {
    let (Some(trials), Some(want)) = (trials(), figures("compare_two_runs.json")) else { return };
    let got = Comparison::of(&trials[1], &trials[28], 252.0).unwrap();
    stored("mean", got.mean_annual, &want["mean_difference_annual"]);
    stored("tracking error", got.tracking_error, &want["tracking_error_annual"]);
    stored("correlation", got.correlation.unwrap(), &want["correlation"]);
    stored("better", got.days_better, &want["days_a_better"]);
    stored("final", got.final_ratio, &want["final_ratio"]);
}

#[test]
fn active_share_is_half_of_what_differs() {
    // |0.5 - 0.2| + |0.5 - 0.5| + |0 - 0.3| = 0.6
    agree("active share", active_share([(0.5, 0.2), (0.5, 0.5), (0.0, 0.3)]), 0.3);
    assert_eq!(active_share([(1.0, 0.0), (0.0, 1.0)]), 1.0);
}
