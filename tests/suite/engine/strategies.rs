//! What strategies want, on markets small enough to see through; above all options that the implementation this
//! engine replaces took and then ignored.

use backtest_functions::engine::RunError;
use chrono::Datelike;
use serde_json::{Value, json};

use crate::support::toy::{NONE, Toy, day, fills, near, said, trading_days};

fn names(outcome: &backtest_functions::engine::Outcome) -> Vec<String> {
    fills(outcome).into_iter().map(|(_, name, _)| name).collect()
}

/// 45 weekdays hold the starts of January, February and March.
#[test]
fn top_n_and_buy_and_hold_honour_rebalance() {
    let prices: Vec<f64> = (0..45).map(|n| 10.0 + f64::from(n % 7)).collect();
    for class in ["TopNSignalStrategy", "BuyAndHoldStrategy"] {
        let toy = Toy::flat(&[("A", &prices), ("B", &[10.0; 45])])
            .with(json!({ "strategy": { "class": class, "parameters": { "rebalance": "monthly" } } }))
            .signal("composite_percentile", &[("A", &[1.0; 45]), ("B", &[0.5; 45])]);
        let days = trading_days(&toy.run());
        let months: Vec<_> = days.iter().map(Datelike::month).collect();
        assert!(days.len() <= 3 && months.windows(2).all(|pair| pair[0] < pair[1]), "{class}: {days:?}");
    }
}

/// Three equal signals for two places: the first two by name.
#[test]
fn ties_go_by_symbol() {
    let toy = Toy::flat(&[("C", &[10.0; 3]), ("A", &[10.0; 3]), ("B", &[10.0; 3])])
        .with(json!({
            "strategy": { "class": "TopNSignalStrategy", "parameters": { "top_n": 2 } },
        }))
        .signal("composite_percentile", &[("C", &[0.5; 3]), ("A", &[0.5; 3]), ("B", &[0.5; 3])]);
    assert_eq!(names(&toy.run()), ["A", "B"]);
}

#[test]
fn column_names_have_no_case() {
    let toy = Toy::flat(&[("A", &[10.0; 3])])
        .with(json!({ "strategy": { "class": "TopNSignalStrategy", "parameters": { "signal_column": "Momentum" } } }))
        .signal("MOMENTUM", &[("A", &[1.0; 3])]);
    assert_eq!(names(&toy.run()), ["A"]);
}

/// A rises by 1 % a day, B by 0.1 %, C falls: 12-1 momentum prefers A, then B. Without enough history there is
/// no signal, and without a signal table other columns are refused by name.
#[test]
fn signals_are_computed_from_prices_when_there_is_no_table() {
    let path = |rate: f64| -> Vec<f64> { (0..260).map(|n| 100.0 * rate.powi(n)).collect() };
    let (a, b, c) = (path(1.01), path(1.001), path(0.999));
    let toy = |column: &str, n: u32| {
        Toy::flat(&[("A", &a), ("B", &b), ("C", &c)]).with(json!({
            "strategy": {
                "class": "TopNSignalStrategy",
                "parameters": { "signal_column": column, "top_n": n, "rebalance": "annually", "min_signal": 0.5 },
            },
            "start_date": "2024-12-25",
        }))
    };
    for column in ["composite_percentile", "momentum_12_1_percentile", "momentum_60d_percentile"] {
        assert_eq!(names(&toy(column, 3).run()), ["A", "B"], "percentiles 1, 0.5 and 0: {column}");
    }
    assert_eq!(names(&toy("reversal_21d_percentile", 1).run()), ["C"]);
    assert_eq!(names(&toy("momentum_12_1", 3).run()), ["A"], "11.6 for A, 0.26 for B, below 0 for C");
    assert!(
        toy("momentum_12_1", 3)
            .with(json!({ "start_date": "2024-01-01", "end_date": "2024-06-28" }))
            .run()
            .trades
            .symbol
            .is_empty()
    );
    let refused = toy("value", 1).try_run();
    assert!(matches!(&refused, Err(RunError::Data(message)) if message.contains("\"value\"")), "{refused:?}");
}

/// A lake's own signal table need not have the columns that are computed from prices; a table that the config brings
/// must have all that it names.
#[test]
fn signals_that_a_table_lacks_are_computed_from_prices() {
    let path = |rate: f64| -> Vec<f64> { (0..260).map(|n| 100.0 * rate.powi(n)).collect() };
    let toy = Toy::flat(&[("A", &path(1.01)), ("B", &path(1.001))])
        .with(json!({
            "strategy": {
                "class": "TopNSignalStrategy",
                "parameters": { "signal_column": "momentum_12_1", "top_n": 1, "rebalance": "annually" },
            },
            "start_date": "2024-12-25",
        }))
        .signal("composite_percentile", &[("A", &[0.0; 260]), ("B", &[1.0; 260])]);
    assert_eq!(names(&toy.run()), ["A"]);
    let brought = toy.with(json!({ "data": { "signal_path": "signals.parquet" } })).try_run();
    let message = "the signal table has no such column";
    assert!(matches!(&brought, Err(RunError::Data(said)) if said.ends_with(message)), "{brought:?}");
}

/// The mean of 3 closes is below the close from the first trading day on only if it may look before it. Either
/// way nothing trades before `start_date`.
#[test]
fn look_backs_use_history_before_the_start() {
    let prices = [50.0, 40.0, 30.0, 20.0, 21.0, 20.0, 20.0, 20.0, 20.0, 20.0];
    let toy = Toy::flat(&[("A", &prices), ("B", &[10.0; 10])])
        .with(json!({
            "start_date": day(3).to_string(),
            "strategy": {
                "class": "LongShortTopNStrategy",
                "parameters": { "k_long": 1, "trailing_ma_days": 4, "rebalance": "annually" },
            },
            "sizing": { "class": "LongShortScoreSizer", "parameters": { "net_target": 1 } },
        }))
        .signal("composite_percentile", &[("A", &[1.0; 10]), ("B", &[0.5; 10])]);
    let got = toy.run();
    assert_eq!(trading_days(&got), [day(4), day(5)], "bought on day 4, below the mean of days 1 to 4");
    assert_eq!(got.daily.date[0], day(3));
    let cold = toy.with(json!({ "data": { "warmup_days": 0 } })).run();
    assert_eq!(trading_days(&cold), [day(4), day(7)], "without history the mean of 4 starts on day 6");
}

/// A calm and a wild name of the same mean: the optimiser prefers the calm one, fully invested and long only.
#[test]
fn the_optimisation_sizer_works() {
    let wave = |size: f64, half: i32| -> Vec<f64> {
        (0..40).map(|n| 100.0 + size * if n / half % 2 == 0 { 1.0 } else { -1.0 }).collect()
    };
    let toy = Toy::flat(&[("CALM", &wave(0.5, 1)), ("WILD", &wave(1.0, 2))]).with(json!({
        "strategy": { "parameters": { "rebalance": "daily" } },
        "sizing": { "class": "OptimizationSizer", "parameters": { "risk_aversion": 5000, "lookback_days": 20 } },
    }));
    let got = toy.run();
    let rows = got.position_table(&toy.market());
    let last: Vec<_> = (0..rows.date.len()).filter(|&i| rows.date[i] == day(39)).collect();
    assert_eq!(last.len(), 2);
    assert!(rows.weight[last[0]] > rows.weight[last[1]] && rows.weight[last[1]] > 0.0);
    assert!((got.daily.gross_exposure[39] - 1.0).abs() < 0.05);
}

/// A name that was cut, sold and bought again starts whole.
#[test]
fn a_cut_ends_with_its_position() {
    let mut closes = vec![10.0; 12];
    closes[6] = 5.0; // stopped out on day 6
    let toy = Toy::flat(&[("A", &closes), ("B", &[10.0; 12])])
        .with(json!({
            "strategy": {
                "class": "BreakoutStrategy",
                "parameters": {
                    "trailing_ma_days": null, "stop_loss_pct": 0.3, "partial_exit_days": 3,
                    "partial_exit_fraction": 0.5, "enable_shorts": false, "rebalance": "daily",
                },
            },
            "sizing": { "class": "LongShortScoreSizer", "parameters": { "net_target": 1 } },
        }))
        .signal(
            "breakout_score",
            &[
                ("A", &[1.0, NONE, NONE, NONE, NONE, NONE, NONE, 1.0, NONE, NONE, NONE, NONE]),
                ("B", &[1.0, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE]),
            ],
        );
    let market = toy.market();
    let got = toy.run();
    let rows = got.position_table(&market);
    let weight = |n: usize, name: &str| {
        let row = (0..rows.date.len()).find(|&i| rows.date[i] == day(n) && got.name(rows.symbol[i]) == name);
        row.map_or(0.0, |row| rows.weight[row])
    };
    assert_eq!(weight(7, "A"), 0.0, "stopped out");
    // B was cut long ago; A is new and whole, so that it gets twice as much.
    assert!(near(weight(8, "A"), 2.0 / 3.0) && near(weight(8, "B"), 1.0 / 3.0));
}

/// A configured strategy over one signal column.
fn pipeline(parts: &Value) -> Value {
    let mut strategy = json!({
        "type": "configured",
        "scoring": { "type": "column", "column": "score" },
        "selection": { "type": "topn", "topn": { "n": 1 } },
        "holding_policy": { "type": "replace_all" },
    });
    for (key, value) in parts.as_object().unwrap() {
        strategy[key] = value.clone();
    }
    json!({ "strategy": strategy, "sizing": { "class": "EqualWeightSizer" } })
}

/// Three times 0.1 is a little more than 0.3, so that their mean misses them by a last bit, which is not a reason to sell.
#[test]
fn equal_scores_stand_out_in_no_direction() {
    for part in [
        json!({ "scoring": { "type": "weighted_sum", "normalize": "zscore",
                             "terms": [{ "column": "score", "weight": 1 }] } }),
        json!({ "postprocess": { "steps": [{ "type": "normalize", "method": "zscore" }] } }),
    ] {
        let mut parts = part.clone();
        parts["selection"] = json!({ "type": "topn", "topn": { "n": 3, "min_score": 0 } });
        let sizer =
            json!({ "sizing": { "class": "LongShortScoreSizer", "parameters": { "net_target": 1 } } });
        let score = [0.1, 0.1, 0.1];
        let toy = Toy::flat(&[("A", &[10.0; 3]), ("B", &[10.0; 3]), ("C", &[10.0; 3])])
            .with(pipeline(&parts))
            .with(sizer)
            .signal("score", &[("A", &score), ("B", &score), ("C", &score)]);
        assert!(toy.run().trades.symbol.is_empty(), "{part}: neither long nor short");
    }
}

/// A is the best until day 1 and again from day 3 on, but may not come back for 5 bars after it left.
#[test]
fn a_cooldown_keeps_names_out() {
    let a = [9.0, 9.0, NONE, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0];
    let run = |cooldown: u32| {
        let policy = json!({
            "type": "sticky",
            "sticky": { "keep_if_rank_within_multiple": 0.1, "reentry_cooldown_days": cooldown },
        });
        let toy = Toy::flat(&[("A", &[10.0; 12]), ("B", &[10.0; 12])])
            .with(pipeline(&json!({ "holding_policy": policy })))
            .signal("score", &[("A", &a), ("B", &[5.0; 12])]);
        let outcome = toy.run();
        fills(&outcome)
            .into_iter()
            .filter(|(_, name, q)| name == "A" && *q > 0.0)
            .map(|f| f.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(run(0), [day(1), day(4)]);
    assert_eq!(run(5), [day(1), day(9)], "left at the open of day 3, selected again at the close of day 8");
}

/// The day that is 10 January lies on a Wednesday without a bar.
#[test]
fn a_rebalance_can_move_to_a_neighbouring_bar() {
    let without =
        |n: usize| -> Vec<f64> { (0..15).map(|i| if i == n { NONE } else { 10.0 + i as f64 }).collect() };
    let run = |shift: &str| {
        let rebalance = json!({ "freq": "weekly", "weekday": "wed", "allow_nontrading_shift": shift });
        let toy = Toy::flat(&[("A", &without(7))])
            .with(pipeline(&json!({ "rebalance": rebalance, "universe": { "source": "prices" } })))
            .with(json!({ "constraints": { "max_position_size": 0.5 } }))
            .signal("score", &[("A", &[1.0; 15])]);
        trading_days(&toy.run())
    };
    // First on day 0, which always counts, and then on every Wednesday, that of the same week too.
    assert_eq!(run("none"), [day(1), day(3), day(13)]);
    assert_eq!(run("next"), [day(1), day(3), day(9), day(13)]);
    assert_eq!(run("prev"), [day(1), day(3), day(8), day(13)]);
}

/// B has no bar on day 2, so that it is out while the window holds that day.
#[test]
fn no_missing_prices_looks_for_gaps() {
    let filters = json!([{ "type": "no_missing_prices", "window": 3 }]);
    let toy = Toy::flat(&[("A", &[10.0; 8]), ("B", &[10.0, 10.0, NONE, 10.0, 10.0, 10.0, 10.0, 10.0])])
        .with(pipeline(&json!({ "universe": { "source": "prices", "filters": filters } })))
        .signal("score", &[("A", &[1.0; 8]), ("B", &[2.0; 8])]);
    let first = |name: &str| fills(&toy.run()).into_iter().find(|(_, n, _)| n == name).map(|f| f.0);
    assert_eq!(first("A"), Some(day(3)), "three bars on day 2, filled on day 3");
    assert_eq!(first("B"), Some(day(6)), "days 3 to 5 without a gap");
}

#[test]
fn exchange_in_filters_or_warns() {
    let filters = json!([{ "type": "exchange_in", "values": ["NYSE"] }]);
    let mut toy = Toy::flat(&[("A", &[10.0; 3]), ("B", &[10.0; 3])])
        .with(pipeline(&json!({ "universe": { "source": "prices", "filters": filters } })))
        .signal("score", &[("A", &[2.0; 3]), ("B", &[1.0; 3])]);
    let blind = toy.run();
    assert_eq!(names(&blind), ["A"]);
    assert!(blind.summary.warnings.iter().any(|warning| warning.contains("exchange_in")));
    toy.exchange = vec![Some("XETRA".to_owned()), Some("NYSE".to_owned())];
    let seeing = toy.run();
    assert_eq!(names(&seeing), ["B"]);
    assert_eq!(said(&seeing), [""; 0]);
}

/// A negative breakout score is a short, whatever the flags; a breakdown column that is not there is none, and said.
#[test]
fn negative_breakouts_are_shorts_and_a_missing_breakdown_column_is_none() {
    for parameters in [json!({ "enable_shorts": false }), json!({ "short_from_breakout": true }), json!({})] {
        let toy = Toy::flat(&[("A", &[10.0; 3])])
            .with(json!({
                "strategy": { "class": "BreakoutStrategy", "parameters": parameters },
                "sizing": { "class": "LongShortScoreSizer", "parameters": {} },
                "constraints": { "allow_short": true },
            }))
            .signal("breakout_score", &[("A", &[-1.0; 3])]);
        let got = toy.run();
        assert_eq!(fills(&got), [(day(1), "A".to_owned(), -50.0)]);
        let missing = got
            .summary
            .warnings
            .iter()
            .any(|warning| warning.contains("no signal column \"breakdown_score\""));
        assert_eq!(missing, parameters.get("enable_shorts").is_none(), "{:?}", got.summary.warnings);
    }
}

/// Names that leave a policy that replaces everyone are taken over by a second one only on the day of the rebalance: on
/// other days the first keeps all holdings, so that nobody decays.
#[test]
fn the_second_policy_of_a_hybrid_takes_what_the_first_keeps() {
    let run = |base: &str, overlay: &str| {
        let policy = json!({ "type": "hybrid", "hybrid": { "base": base, "overlay": overlay }, "decay": { "decay_days": 2 } });
        let toy = Toy::flat(&[("A", &[10.0; 8]), ("B", &[10.0; 8])])
            .with(pipeline(&json!({
                "rebalance": { "freq": "every_n_days", "every_n_days": 3 },
                "holding_policy": policy,
            })))
            .signal("score", &[("A", &[2.0, 2.0, 2.0, NONE, NONE, NONE, NONE, NONE]), ("B", &[1.0; 8])]);
        let left: f64 =
            fills(&toy.run()).into_iter().filter(|(_, name, _)| name == "A").map(|fill| fill.2).sum();
        left.abs() < 1e-9
    };
    assert!(run("decay", "replace_all"), "what has decayed leaves");
    assert!(!run("replace_all", "decay"), "what the first keeps does not decay");
    assert!(!run("decay", "grace_period"), "what has decayed is kept by the second");
}

/// Weights that sum to a net of 0 cannot be scaled to another one: nothing is held, and it is said.
#[test]
fn a_net_of_zero_leaves_nothing() {
    let leg = |name: &str, side: &str, symbol: &str| {
        let filters = json!([{ "type": "whitelist", "symbols": [symbol] }]);
        let mut strategy = pipeline(&json!({
            "universe": { "source": "prices", "filters": filters },
            "selection": { "type": "topn", "topn": { "n": 1, "side": side, "min_score": null } },
        }))["strategy"]
            .clone();
        strategy["rebalance"] = json!({ "freq": "daily" });
        json!({ "name": name, "weight": 1, "strategy": strategy,
                "sizing": { "class": "LongShortScoreSizer" } })
    };
    let strategy = json!({
        "type": "composite",
        "blend": { "normalize_final": "net" },
        "legs": [leg("one", "long", "A"), leg("two", "short", "B")],
    });
    let got = Toy::flat(&[("A", &[10.0; 4]), ("B", &[10.0; 4])])
        .with(json!({ "strategy": strategy, "constraints": { "allow_short": true } }))
        .signal("score", &[("A", &[1.0; 4]), ("B", &[1.0; 4])])
        .run();
    assert!(fills(&got).is_empty(), "{:?}", fills(&got));
    let said = got
        .summary
        .warnings
        .iter()
        .filter(|warning| warning.starts_with("blend: the weights of 3 decisions"));
    assert_eq!(said.count(), 1, "{:?}", got.summary.warnings);
}

/// The parts of a hybrid policy take their options from the sections beside it.
#[test]
fn parts_of_a_hybrid_have_options() {
    let run = |days: u32| {
        let policy = json!({
            "type": "hybrid",
            "hybrid": { "base": "replace_all", "overlay": "grace_period" },
            "grace_period": { "min_hold_days": days, "exit_only_on_risk": false },
        });
        let toy = Toy::flat(&[("A", &[10.0; 8]), ("B", &[10.0; 8])])
            .with(pipeline(&json!({ "holding_policy": policy })))
            .signal("score", &[("A", &[2.0, NONE, NONE, NONE, NONE, NONE, NONE, NONE]), ("B", &[1.0; 8])]);
        let sold = fills(&toy.run()).into_iter().filter(|(_, name, q)| name == "A" && *q < 0.0);
        sold.map(|fill| fill.0).max()
    };
    assert_eq!(run(1), Some(day(3)));
    assert_eq!(run(4), Some(day(6)));
}

/// Two legs of half the money each; the second sells, and what the first holds stays.
#[test]
fn legs_have_their_own_money() {
    let leg = |name: &str, column: &str| {
        json!({
            "name": name,
            "weight": 1,
            "strategy": { "class": "TopNSignalStrategy", "parameters": { "signal_column": column, "top_n": 1 } },
        })
    };
    let strategy = json!({ "type": "composite", "legs": [leg("one", "x"), leg("two", "y")] });
    let mut toy = Toy::flat(&[("A", &[10.0; 5]), ("B", &[10.0; 5])]);
    toy.config["strategy"] = strategy;
    let toy = toy
        .signal("x", &[("A", &[1.0; 5]), ("B", &[0.5; 5])])
        .signal("y", &[("A", &[NONE; 5]), ("B", &[1.0, 1.0, NONE, NONE, NONE])]);
    let got = toy.run();
    let quantities: Vec<_> = fills(&got).into_iter().map(|(date, name, q)| (date, name, q.round())).collect();
    let expected = [(day(1), "A", 50.0), (day(1), "B", 50.0), (day(3), "B", -50.0)];
    assert_eq!(quantities, expected.map(|(date, name, q)| (date, name.to_owned(), q)));
    assert_eq!(got.blend.unwrap().legs, ["one", "two"]);
}

/// Holdings of both kinds leave through `decay` after two bars, at three quarters and then half their size.
#[test]
fn dropped_names_decay() {
    let policy = json!({ "type": "decay", "decay": { "dropped_scale": 0.5, "decay_days": 2 } });
    let toy = Toy::flat(&[("A", &[10.0; 8]), ("B", &[10.0; 8])])
        .with(pipeline(&json!({
            "holding_policy": policy,
            "selection": { "type": "topn", "topn": { "n": 2 } },
        })))
        .with(json!({ "sizing": { "class": "LongShortScoreSizer", "parameters": { "net_target": 1 } } }))
        .signal("score", &[("A", &[1.0; 8]), ("B", &[1.0, 1.0, NONE, NONE, NONE, NONE, NONE, NONE])]);
    let market = toy.market();
    let got = toy.run();
    let rows = got.position_table(&market);
    let shares: Vec<_> = (0..rows.date.len())
        .filter(|&i| got.name(rows.symbol[i]) == "B")
        .map(|i| (rows.date[i], (rows.shares[i] * 100.0).round() / 100.0))
        .collect();
    // Dropped on day 2 at full scale, 3/4 on day 3 (3/7 of 100 shares), gone on day 4; fills are a day later.
    assert_eq!(shares, [(day(1), 50.0), (day(2), 50.0), (day(3), 50.0), (day(4), 42.86)]);
}

/// A look-back may be longer than any history; it takes what is there, and no memory for what is not.
#[test]
fn a_look_back_beyond_everything_takes_what_is_there() {
    let path: Vec<f64> = (0..40).map(|n| 100.0 + f64::from(n % 7)).collect();
    let with = |days: u32| {
        Toy::flat(&[("A", &path)])
            .with(json!({ "sizing": { "class": "KellySizer", "parameters": { "mu_scale": 1, "lookback_days": days } } }))
            .run()
            .summary
            .final_equity
    };
    assert_eq!(with(u32::MAX), with(40));
}

/// Sell rules look at the extremes of the bar where they are told to.
#[test]
fn stops_look_at_lows_and_take_profits_at_highs() {
    let bars = vec![
        [10.0; 4],
        [10.0; 4],
        [10.0, 12.5, 10.0, 10.0], // high 25 % above entry
        [10.0; 4],
    ];
    let toy = |rule: Value| {
        let exits = json!({ "rules": [rule] });
        let rebalance = json!({ "freq": "annually" });
        let toy = Toy::new(&[("A", bars.clone()), ("B", vec![[1.0; 4]; 4])])
            .with(pipeline(&json!({ "exits": exits, "rebalance": rebalance })))
            .signal("score", &[("A", &[1.0; 4]), ("B", &[0.5; 4])]);
        trading_days(&toy.run())
    };
    assert_eq!(toy(json!({ "type": "take_profit", "pct": 0.2 })), [day(1), day(3)]);
    assert_eq!(toy(json!({ "type": "take_profit", "pct": 0.3 })), [day(1)]);
    assert_eq!(toy(json!({ "type": "trailing_stop", "pct": 0.2 })), [day(1), day(3)], "20 % below the high");
    assert_eq!(toy(json!({ "type": "trailing_stop", "pct": 0.2, "uses_hwm_lwm": false })), [day(1)]);
}
