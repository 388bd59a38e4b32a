//! Sizers that look at risk, and the target for volatility: whole runs against stored figures of other programs, and with the
//! arithmetic written out.

use std::collections::BTreeMap;

use backtest_functions::engine::{Outcome, RunError};
use serde_json::{Value, json};

use crate::support::service::project;
use crate::support::tables::{days, numbers, read_parquet, texts};
use crate::support::toy::{NONE, Toy, day, near, said};

const NAMES: [&str; 4] = ["AAPL", "GOOG", "IBM", "MSFT"];

fn golden() -> Value {
    let path = project("tests/golden/studies/portfolio_construction.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn list(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

fn matrix(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(list).collect()
}

/// The adjusted closes that the stored figures are of: the last 253 of each name.
fn closes() -> Vec<(&'static str, Vec<f64>)> {
    let batch = read_parquet(&project("examples/data/wiki5_ohlcv_daily.parquet"));
    let (dates, symbols) = (days(&batch, "date").unwrap(), texts(&batch, "symbol").unwrap());
    let adjusted = numbers(&batch, "adj_close").unwrap();
    let of_name = |name: &'static str| {
        let rows = (0..dates.len()).filter(|&row| symbols[row] == name);
        let by_date: BTreeMap<i32, f64> = rows.map(|row| (dates[row], adjusted[row])).collect();
        let mut last: Vec<f64> = by_date.into_values().rev().take(253).collect();
        last.reverse();
        (name, last)
    };
    NAMES.map(of_name).to_vec()
}

/// A toy that decides once, at the last of those closes, and trades on the day after it.
fn toy(sizing: &Value) -> Toy {
    let mut series = closes();
    series.iter_mut().for_each(|(_, path)| path.push(path[252]));
    let series: Vec<(&str, &[f64])> = series.iter().map(|(name, path)| (*name, path.as_slice())).collect();
    Toy::flat(&series).with(json!({ "start_date": day(252).to_string(), "sizing": sizing }))
}

/// Weights of the first fills of a run that trades without costs, by name.
fn bought(outcome: &Outcome) -> BTreeMap<String, f64> {
    let t = &outcome.trades;
    let first = (0..t.symbol.len()).filter(|&i| t.execution_date[i] == t.execution_date[0]);
    let weight = |i: usize| t.quantity[i] * t.price[i] / outcome.summary.initial_cash;
    first.map(|i| (outcome.name(t.symbol[i]).to_owned(), weight(i))).collect()
}

/// The same of the four names.
fn of_names(outcome: &Outcome) -> Vec<f64> {
    let bought = bought(outcome);
    NAMES.iter().map(|name| bought.get(*name).copied().unwrap_or(0.0)).collect()
}

fn assert_agree(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let agrees = |(got, want): (&f64, &f64)| (got - want).abs() <= tolerance * want.abs();
    assert!(got.iter().zip(want).all(agrees), "{got:?}, expected {want:?}");
}

fn sizer(class: &str, parameters: &Value) -> Value {
    json!({ "class": class, "parameters": parameters })
}

/// The weights of least variance without bounds: the inverse of a covariance times ones, scaled to sum 1.
fn least_variance(covariance: &[Vec<f64>]) -> Vec<f64> {
    let mut rows: Vec<Vec<f64>> =
        covariance.iter().map(|row| row.iter().copied().chain([1.0]).collect()).collect();
    for pivot in 0..rows.len() {
        let of_pivot: Vec<f64> = rows[pivot].iter().map(|cell| cell / rows[pivot][pivot]).collect();
        for row in &mut rows {
            let factor = row[pivot];
            row.iter_mut().zip(&of_pivot).for_each(|(cell, of_pivot)| *cell -= factor * of_pivot);
        }
        rows[pivot] = of_pivot;
    }
    let total: f64 = rows.iter().map(|row| row[row.len() - 1]).sum();
    rows.iter().map(|row| row[row.len() - 1] / total).collect()
}

#[test]
fn weights_are_those_of_other_programs() {
    let golden = golden();
    let unshrunk = json!({ "shrinkage": "none" });
    for (class, parameters, want, tolerance) in [
        ("InverseVolatilitySizer", json!({}), &golden["inverse_volatility"], 1e-10),
        ("RiskParitySizer", json!({}), &golden["equal_risk_contribution"]["weights"], 1e-7),
        ("HierarchicalRiskParitySizer", json!({}), &golden["hrp_single_linkage"]["weights"], 1e-10),
        ("MinimumVarianceSizer", unshrunk.clone(), &golden["min_variance_unconstrained"], 1e-10),
        ("MinimumVarianceSizer", unshrunk, &golden["min_variance_long_only"], 1e-6),
    ] {
        let got = toy(&sizer(class, &parameters)).run();
        assert_agree(&of_names(&got), &list(want), tolerance);
        assert_eq!(said(&got), [""; 0], "{class}");
    }
    // What is found is nearer to equal than the stored weights need it.
    let weights = of_names(&toy(&sizer("RiskParitySizer", &json!({}))).run());
    let covariance = matrix(&golden["population_covariance"]);
    let parts: Vec<f64> = (0..4)
        .map(|i| {
            weights[i] * covariance[i].iter().zip(&weights).map(|(cell, weight)| cell * weight).sum::<f64>()
        })
        .collect();
    let total: f64 = parts.iter().sum();
    assert!(parts.iter().all(|part| (part / total - 0.25).abs() < 1e-10), "{parts:?}");
}

/// Weights do not depend on the scale of a covariance, so that those of the stored ones are what must come out.
#[test]
fn shrunk_covariances_are_those_of_other_programs() {
    let golden = golden();
    for (rule, stored) in [
        ("ledoit_wolf", "ledoit_wolf_2004_identity_target"),
        ("constant_correlation", "ledoit_wolf_2003_constant_correlation"),
    ] {
        let got = toy(&sizer("MinimumVarianceSizer", &json!({ "shrinkage": rule }))).run();
        assert_agree(&of_names(&got), &least_variance(&matrix(&golden[stored]["covariance"])), 1e-10);
        if rule == "ledoit_wolf" {
            let same = toy(&sizer("MinimumVarianceSizer", &json!({}))).run();
            assert_eq!(of_names(&same), of_names(&got), "it is the default");
            let share = json!({ "shrinkage": golden[stored]["shrinkage"] });
            let same = toy(&sizer("MinimumVarianceSizer", &share)).run();
            assert_agree(&of_names(&same), &of_names(&got), 1e-10);
        }
    }
}

/// The least variance below a cap, by what tells it: names on the bounds but for those that are as risky as each other at the
/// margin, the capped ones less.
#[test]
fn the_least_variance_keeps_below_the_cap() {
    let sizing = sizer("MinimumVarianceSizer", &json!({ "shrinkage": "none" }));
    let got = toy(&sizing).with(json!({ "constraints": { "max_position_size": 0.4 } })).run();
    let (weights, covariance) = (of_names(&got), matrix(&golden()["population_covariance"]));
    assert!(near(weights.iter().sum(), 1.0) && near(weights[2], 0.4), "{weights:?}");
    let margin =
        |i: usize| -> f64 { covariance[i].iter().zip(&weights).map(|(cell, weight)| cell * weight).sum() };
    for free in [0, 1, 3] {
        assert!(weights[free] > 0.0 && weights[free] < 0.4, "{weights:?}");
        assert!((margin(free) / margin(0) - 1.0).abs() < 1e-10 && margin(2) < margin(0), "{weights:?}");
    }
    assert!(got.constraint_hits.is_empty(), "what is asked for is within the cap: {:?}", got.constraint_hits);
    // Four names at most at a fifth each: the rest is cash.
    let got = toy(&sizing).with(json!({ "constraints": { "max_position_size": 0.2 } })).run();
    assert_agree(&of_names(&got), &[0.2; 4], 1e-12);
}

/// A leg with half of the money may aim at twice the cap in its own account.
#[test]
fn the_cap_of_a_leg_is_that_of_the_account() {
    let leg = |name: &str, sizing: Value| {
        let strategy =
            json!({ "class": "StaticUniverseStrategy", "parameters": { "rebalance": "annually" } });
        json!({ "name": name, "weight": 1, "strategy": strategy, "sizing": sizing })
    };
    let least = sizer("MinimumVarianceSizer", &json!({ "shrinkage": "none" }));
    let idle = json!({ "class": "KellySizer", "parameters": { "mu_scale": 1, "kelly_fraction": 0 } });
    let toy = toy(&json!({})).with(json!({
        "strategy": { "type": "composite", "legs": [leg("least", least), leg("idle", idle)] },
        "constraints": { "max_position_size": 0.25 },
    }));
    let got = toy.run();
    let weights = of_names(&got);
    assert!(near(weights[2], 0.25) && near(weights.iter().sum(), 0.5), "{weights:?}");
    assert!(got.constraint_hits.is_empty(), "{:?}", got.constraint_hits);
}

/// A name that goes up and down by as much as `size`, in its own rhythm.
fn wave(days: usize, size: f64, beat: usize) -> Vec<f64> {
    (0..days).map(|n| if (n / beat).is_multiple_of(2) { 100.0 } else { 100.0 + size }).collect()
}

fn waves(days: usize) -> Vec<(&'static str, Vec<f64>)> {
    vec![("A", wave(days, 1.0, 1)), ("B", wave(days, 2.0, 2)), ("C", wave(days, 3.0, 3))]
}

/// Decides once, at the close of day `on`.
fn once(series: &[(&'static str, Vec<f64>)], on: usize, parts: Value) -> Toy {
    let series: Vec<(&str, &[f64])> = series.iter().map(|(name, path)| (*name, path.as_slice())).collect();
    Toy::flat(&series)
        .with(json!({
            "start_date": day(on).to_string(),
            "strategy": { "parameters": { "rebalance": "annually" } },
        }))
        .with(parts)
}

#[test]
fn names_without_enough_bars_get_no_weight_and_are_counted() {
    for class in
        ["InverseVolatilitySizer", "RiskParitySizer", "HierarchicalRiskParitySizer", "MinimumVarianceSizer"]
    {
        let sizing = json!({ "sizing": sizer(class, &json!({ "lookback": 8 })) });
        let mut series = waves(20);
        // Listed one bar too late for the close of day 12.
        series[2].1[..5].fill(NONE);
        let got = once(&series, 12, sizing.clone()).run();
        assert_eq!(bought(&got).keys().collect::<Vec<_>>(), ["A", "B"], "{class}");
        assert!(near(bought(&got).values().sum(), 1.0), "{class}");
        let told =
            "sizing: 1 name wanted (C) got no weight, for want of a close on each of the last 9 trading days";
        assert_eq!(said(&got), [told], "{class}");
        assert_eq!(got.summary.account_of.names_cut, 1, "{class}");
        let got = once(&series, 13, sizing.clone()).run();
        assert_eq!((bought(&got).len(), said(&got)), (3, Vec::new()), "{class}");
        // Before there are as many bars of anything nothing is held.
        let got = once(&waves(20), 7, sizing).run();
        assert!(
            got.trades.symbol.is_empty() && said(&got)[0].starts_with("sizing: 3 names wanted (A, B, C)")
        );
    }
}

#[test]
fn a_missing_close_is_the_last_one_for_five_bars() {
    let sizing = json!({ "sizing": sizer("InverseVolatilitySizer", &json!({ "lookback": 8 })) });
    let gone = |from: usize, to: usize| {
        let mut series = waves(30);
        series[1].1[from..to].fill(NONE);
        once(&series, 20, sizing.clone()).run()
    };
    let carried = |from: usize, to: usize| {
        let mut series = waves(30);
        let last = series[1].1[from - 1];
        series[1].1[from..to].fill(last);
        once(&series, 20, sizing.clone()).run()
    };
    // Days 12 to 20 are looked at: a gap among them, before them, and over their first.
    for (from, to) in [(14, 19), (2, 11), (8, 13)] {
        assert_eq!(bought(&gone(from, to)), bought(&carried(from, to)), "{from} to {to}");
        assert_eq!(bought(&gone(from, to)).len(), 3, "{from} to {to}");
    }
    for (from, to) in [(13, 19), (7, 13)] {
        assert_eq!(bought(&gone(from, to)).keys().collect::<Vec<_>>(), ["A", "C"], "{from} to {to}");
    }
}

#[test]
fn a_name_that_stands_still_gets_no_weight_and_is_counted() {
    let mut series = waves(20);
    series[0].1.fill(50.0);
    let sizing = json!({ "sizing": sizer("RiskParitySizer", &json!({ "lookback": 8 })) });
    let got = once(&series, 12, sizing).run();
    assert_eq!(bought(&got).keys().collect::<Vec<_>>(), ["B", "C"]);
    let told = "sizing: 1 name wanted (A) got no weight, as closes did not move on the last 9 trading days";
    assert_eq!(said(&got), [told]);
}

/// Scores say only who is wanted and who comes first; who is wanted short is not held.
#[test]
fn the_first_names_with_a_score_above_0_are_weighed() {
    let scores: [(&str, &[f64]); 3] = [("A", &[-2.0; 20]), ("B", &[1.0; 20]), ("C", &[2.0; 20])];
    let run = |parameters: Value| {
        once(&waves(20), 12, json!({ "sizing": sizer("InverseVolatilitySizer", &parameters) }))
            .with(json!({ "strategy": {
                "class": "LongShortTopNStrategy",
                "parameters": { "signal_column": "s", "k_long": 2, "k_short": 1, "rebalance": "annually" },
            } }))
            .signal("s", &scores)
            .run()
    };
    let both = run(json!({ "lookback": 8 }));
    assert_eq!(bought(&both).keys().collect::<Vec<_>>(), ["B", "C"]);
    assert_eq!(both.summary.account_of.shorts_dropped_by_sizer, 1);
    let first = bought(&run(json!({ "lookback": 8, "max_positions": 1 })));
    assert!(first.len() == 1 && near(first["C"], 1.0), "{first:?}");
}

#[test]
fn a_covariance_of_too_many_names_is_refused() {
    let names: Vec<String> = (0..2001).map(|n| format!("S{n}")).collect();
    let path = [10.0, 11.0, 10.0, 11.0];
    let series: Vec<(&str, &[f64])> = names.iter().map(|name| (name.as_str(), &path[..])).collect();
    let sized = |class: &str| {
        let sizing = sizer(class, &json!({ "lookback": 2 }));
        Toy::flat(&series).with(json!({ "start_date": day(2).to_string(), "sizing": sizing })).try_run()
    };
    let refused = sized("HierarchicalRiskParitySizer").unwrap_err();
    let told = format!("{}: 2001 symbols have a score; this sizer takes 2000 at most", day(2));
    assert_eq!(refused, RunError::Strategy(told));
    assert!(near(bought(&sized("InverseVolatilitySizer").unwrap())["S0"], 1.0 / 2001.0));
}

/// Sample deviation.
fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

/// Two names with closes of 100, 101, 100 and so on: returns of 1/100 and -1/101 in turn.
#[test]
fn gross_is_the_target_over_the_estimate() {
    let twins = [("A", wave(20, 1.0, 1)), ("B", wave(20, 1.0, 1))];
    let target = |target: f64, max_leverage: f64| {
        let sizing = json!({ "target_volatility": target, "volatility_lookback": 4 });
        once(&twins, 12, json!({ "sizing": sizing, "constraints": { "max_leverage": max_leverage } })).run()
    };
    let gross = |outcome: &Outcome| bought(outcome).values().sum::<f64>();
    let year = deviation(&[0.01, -1.0 / 101.0, 0.01, -1.0 / 101.0]) * 252_f64.sqrt();
    let half = target(year / 2.0, 1.0);
    assert!(near(gross(&half), 0.5) && near(bought(&half)["A"], 0.25), "{:?}", bought(&half));
    assert_eq!((said(&half), half.constraint_hits.len()), (Vec::new(), 0));
    assert!(near(gross(&target(year * 1.5, 2.0)), 1.5));
    let held_down = target(year * 3.0, 1.8);
    assert!(near(gross(&held_down), 1.8));
    assert!(held_down.constraint_hits.is_empty(), "{:?}", held_down.constraint_hits);
    let told = "sizing.target_volatility: 1 decision stayed below the target, at the sum of magnitudes that \
                constraints.max_leverage allows";
    assert_eq!(said(&held_down), [told]);
}

/// Long A against short B: what one loses the other may win.
#[test]
fn the_estimate_is_of_all_weights_together_whatever_their_side() {
    let series = waves(20);
    let sizing = json!({
        "class": "LongShortScoreSizer", "parameters": { "net_target": 0.2 },
        "target_volatility": 0.05, "volatility_lookback": 6,
    });
    let toy = once(&series[..2], 12, json!({ "sizing": sizing, "constraints": { "allow_short": true } }))
        .with(json!({ "strategy": {
            "class": "LongShortTopNStrategy",
            "parameters": { "signal_column": "s", "k_long": 1, "k_short": 1, "rebalance": "annually" },
        } }))
        .signal("s", &[("A", &[2.0; 20]), ("B", &[1.0; 20])]);
    let returns =
        |path: &[f64]| -> Vec<f64> { path.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect() };
    let (a, b) = (returns(&series[0].1[6..13]), returns(&series[1].1[6..13]));
    let both: Vec<f64> = a.iter().zip(&b).map(|(a, b)| 0.6 * a - 0.4 * b).collect();
    let scale = 0.05 / (deviation(&both) * 252_f64.sqrt());
    let got = bought(&toy.run());
    assert!(scale < 1.0 && near(got["A"], 0.6 * scale) && near(got["B"], -0.4 * scale), "{got:?} {scale}");
}

/// A year of 365 days has a larger volatility, so that less is held.
#[test]
fn the_year_is_that_of_the_figures() {
    let run = |periods: Value| {
        let sizing = json!({ "target_volatility": 0.02, "volatility_lookback": 4 });
        once(&waves(20)[..1], 12, json!({ "sizing": sizing, "metrics": { "periods_per_year": periods } }))
            .run()
    };
    let (by_dates, longer) = (bought(&run(Value::Null))["A"], bought(&run(json!(365)))["A"]);
    assert!(near(longer, by_dates * (252.0_f64 / 365.0).sqrt()), "{by_dates} {longer}");
}

#[test]
fn names_without_an_estimate_move_as_the_rest_and_are_counted() {
    let mut series = waves(20);
    series[1].1[..10].fill(NONE);
    let sizing = json!({ "target_volatility": 0.02, "volatility_lookback": 4 });
    let of_two = once(&series[..2], 12, json!({ "sizing": sizing })).run();
    let of_one = once(&series[..1], 12, json!({ "sizing": sizing })).run();
    let (two, one) = (bought(&of_two), bought(&of_one));
    assert!(near(two["A"], one["A"] / 2.0) && near(two["B"], one["A"] / 2.0), "{two:?} {one:?}");
    let told = "sizing.target_volatility: the estimate is without 1 name wanted (B), for want of a close";
    assert!(said(&of_two)[0].starts_with(told), "{:?}", said(&of_two));
    series[0].1[..10].fill(NONE);
    let of_none = once(&series[..2], 12, json!({ "sizing": sizing })).run();
    assert!(of_none.trades.symbol.is_empty());
    let told = "sizing.target_volatility: 1 decision held nothing, as none of the names had a close on each of the last 5";
    assert!(said(&of_none).iter().any(|line| line.starts_with(told)), "{:?}", said(&of_none));
}

/// Two markets that are the same up to a day: all that was decided by then is the same.
#[test]
fn later_bars_change_nothing_that_was_decided_before() {
    for class in
        ["InverseVolatilitySizer", "RiskParitySizer", "HierarchicalRiskParitySizer", "MinimumVarianceSizer"]
    {
        let sizing = json!({
            "class": class, "parameters": { "lookback": 8 }, "target_volatility": 0.1, "volatility_lookback": 5,
        });
        let run = |series: &[(&'static str, Vec<f64>)]| {
            once(
                series,
                12,
                json!({ "sizing": sizing, "strategy": { "parameters": { "rebalance": "daily" } } }),
            )
            .run()
        };
        let (one, mut series) = (run(&waves(30)), waves(30));
        series.iter_mut().for_each(|(_, path)| path[21..].iter_mut().for_each(|price| *price *= 1.3));
        let two = run(&series);
        let until = |outcome: &Outcome| {
            let t = &outcome.trades;
            let rows = (0..t.symbol.len()).filter(|&i| t.execution_date[i] <= day(20));
            rows.map(|i| (t.execution_date[i], t.symbol[i], t.quantity[i])).collect::<Vec<_>>()
        };
        assert!(until(&one).len() > 10, "{class}");
        assert_eq!(until(&one), until(&two), "{class}");
        assert_eq!(one.daily.portfolio_value[..9], two.daily.portfolio_value[..9], "{class}");
    }
}
