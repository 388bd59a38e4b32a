//! The engine loop does not allocate: running longer costs no more allocations than the growth of what is
//! recorded, which doubles its room now and then.

use std::ops::ControlFlow;

use backtest_functions::engine::run;
use serde_json::json;

use crate::support::toy::{Toy, day};

/// Ten symbols that go up and down in turn, with a signal that follows them, for that many days.
fn toy(days: usize) -> Toy {
    let names: Vec<String> = (0..10).map(|n| format!("S{n}")).collect();
    let path = |phase: usize| -> Vec<f64> { (0..days).map(|n| 100.0 + ((n + phase) % 17) as f64).collect() };
    let paths: Vec<Vec<f64>> = (0..10).map(|n| path(3 * n)).collect();
    let series: Vec<(&str, &[f64])> =
        names.iter().map(String::as_str).zip(paths.iter().map(Vec::as_slice)).collect();
    Toy::flat(&series)
        .with(json!({
            "end_date": "2099-12-31",
            "broker": { "slippage_bps": 5, "commission": 0.001, "allow_fractional_shares": false },
            "constraints": { "allow_short": true, "max_turnover": 0.5, "min_weight_change": 0.001, "stop_loss": 0.5 },
        }))
        .signal("score", &series)
}

fn allocations(toy: &Toy) -> u64 {
    let (config, market) = (toy.config(), toy.market());
    let measured = allocation_counter::measure(|| {
        run(&config, &market, &mut |_, _| ControlFlow::Continue(())).unwrap();
    });
    measured.count_total
}

#[test]
fn bars_do_not_allocate() {
    let top_n = json!({ "strategy": {
        "class": "TopNSignalStrategy",
        "parameters": { "signal_column": "score", "top_n": 4 },
    } });
    let long_short = json!({
        "strategy": {
            "class": "LongShortTopNStrategy",
            "parameters": { "signal_column": "score", "k_long": 3, "k_short": 3, "trailing_ma_days": 5, "stop_loss_pct": 0.1 },
        },
        "sizing": { "class": "LongShortScoreSizer", "parameters": { "weight_mode": "score" } },
    });
    let configured = json!({
        "strategy": {
            "type": "configured",
            "scoring": { "type": "column", "column": "score" },
            "selection": { "type": "topn", "topn": { "n": 4 } },
            "exits": { "rules": [{ "type": "trailing_stop", "pct": 0.05 }] },
        },
        "sizing": { "class": "LongShortScoreSizer", "parameters": {} },
    });
    let mut costly = long_short.clone();
    costly["broker"] = json!({
        "impact": {}, "borrow_rate": 0.01, "debit_rate": "risk_free + 0.01", "credit_rate": 0.01, "min_commission": 1,
    });
    let all = [("top n", top_n), ("long short", long_short), ("configured", configured), ("costs", costly)];
    for (name, parts) in all {
        let (short, long) = (allocations(&toy(500).with(parts.clone())), allocations(&toy(4000).with(parts)));
        // 3500 bars more: about 25 growing columns that double three times.
        assert!(long <= short + 100, "{name}: {short} allocations for 500 bars, {long} for 4000");
    }
}

/// Sizers that look back work on the days on which they decide, and on no other.
#[test]
fn days_without_a_rebalance_do_not_allocate_whatever_the_sizer() {
    for class in
        ["InverseVolatilitySizer", "RiskParitySizer", "HierarchicalRiskParitySizer", "MinimumVarianceSizer"]
    {
        let parts = json!({
            "start_date": day(40).to_string(),
            "strategy": { "class": "StaticUniverseStrategy", "parameters": { "rebalance": 100_000 } },
            "sizing": { "class": class, "parameters": { "lookback": 30 }, "target_volatility": 0.1 },
        });
        let (short, long) = (allocations(&toy(500).with(parts.clone())), allocations(&toy(4000).with(parts)));
        assert!(long <= short + 100, "{class}: {short} allocations for 500 bars, {long} for 4000");
    }
}

/// A dividend, and now and then a split, of some symbol on every tenth day.
#[test]
fn dividends_and_splits_do_not_allocate() {
    let events = |days: usize| {
        let paid = |n: usize, every: usize, value: f64, none: f64| -> Vec<f64> {
            (0..10 * days).map(|row| if (row % days + n) % every == 3 { value } else { none }).collect()
        };
        toy(days).events(&paid(0, 100, 0.3, f64::NAN), &paid(1, 150, 1.02, 1.0)).with(json!({ "strategy": {
            "class": "TopNSignalStrategy",
            "parameters": { "signal_column": "score", "top_n": 4 },
        } }))
    };
    let (short, long) = (allocations(&events(500)), allocations(&events(4000)));
    // Ten columns more that double three times.
    assert!(long <= short + 140, "{short} allocations for 500 bars, {long} for 4000");
}
