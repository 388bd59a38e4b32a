//! What a config may not say: every fault is reported, each with its path, and nothing is taken and then ignored.

use backtest_functions::engine::config::{BacktestConfig, Fault, SignalColumns, Symbols};
use serde_json::{Value, json};

use crate::support::toy::{Toy, said};

fn minimal() -> Value {
    json!({
        "start_date": "2024-01-01",
        "end_date": "2024-12-31",
        "universe": { "symbols": ["A", "B"] },
        "strategy": { "class": "BuyAndHoldStrategy" },
    })
}

fn faults(config: &Value) -> Vec<String> {
    BacktestConfig::from_value(config).err().unwrap_or_default().iter().map(Fault::to_string).collect()
}

/// Sets one value, given by the path of keys, in the minimal config.
pub(crate) fn with(path: &str, value: Value) -> Value {
    let mut config = minimal();
    let mut place = &mut config;
    for key in path.split('.') {
        if place.get(key).is_none() {
            place[key] = json!({});
        }
        place = &mut place[key];
    }
    *place = value;
    config
}

#[test]
fn the_minimal_config_has_the_documented_defaults() {
    let config = BacktestConfig::from_value(&minimal()).unwrap();
    let resolved = config.resolved();
    assert_eq!(resolved["initial_cash"], json!(1_000_000.0));
    assert_eq!(
        resolved["sizing"],
        json!({ "class": "EqualWeightSizer", "parameters": { "max_positions": 10 } })
    );
    assert_eq!(resolved["constraints"]["max_leverage"], json!(1.0));
    assert_eq!(resolved["constraints"]["allow_short"], json!(false));
    assert_eq!(resolved["broker"]["fill_policy"], json!("next_open"));
    assert_eq!(resolved["data"]["signal_source"], json!("auto"));
    assert_eq!(resolved["output"]["save_plots"], json!(false));
    assert_eq!(BacktestConfig::from_value(&resolved).unwrap(), config);
    assert_eq!((config.warmup_bars(), config.signal_columns()), (0, SignalColumns::None));
}

/// A path in the minimal config, a value that it may not have, and what is said of it.
pub(crate) fn wrong_values() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("start_date", json!("2024-1-1"), "start_date: must be a date as YYYY-MM-DD, got \"2024-1-1\""),
        (
            "end_date",
            json!("2023-12-31"),
            "end_date: must not be before start_date (2024-01-01), got 2023-12-31",
        ),
        ("initial_cash", json!("many"), "initial_cash: must be a number, not the text \"many\""),
        ("universe.symbols", json!(["A", true]), "universe.symbols[1]: must be text"),
        (
            "universe.symbols",
            json!(["*", "A"]),
            "universe.symbols: \"*\" means every symbol and stands alone",
        ),
        (
            "constraints.allow_short",
            json!("false"),
            "constraints.allow_short: must be true or false, not the text",
        ),
        ("constraints.max_turnover", json!(0), "constraints.max_turnover: must be in (0, 10], got 0"),
        ("constraints.stop_loss", json!(1), "constraints.stop_loss: must be in (0, 1), got 1"),
        (
            "constraints.max_positon_size",
            json!(1),
            "constraints.max_positon_size: unknown field; did you mean",
        ),
        ("broker.lot_size", json!(0), "broker.lot_size: must be above 0, got 0"),
        (
            "broker.rounding_mode",
            json!("half_up"),
            "broker.rounding_mode: must be one of toward_zero, nearest",
        ),
        ("data.frequency", json!(1), "data.frequency: must be text, not the number 1"),
        (
            "sizing.parameters.max_positions",
            json!(3.5),
            "sizing.parameters.max_positions: must be a whole number",
        ),
        ("broker.allow_fractional_shares", json!(null), "broker.allow_fractional_shares: must not be null"),
        ("start_date", json!("2024-01-01T09:30:00"), "start_date: must be a date as YYYY-MM-DD"),
        ("strategy.type", json!("legacy"), "strategy.type: must be one of configured, composite"),
        ("strategy.parameters.rebalance", json!("5"), "written as a whole number: 5, not \"5\""),
        ("strategy.parameters.rebalance", json!(2.0), "written as a whole number: 2, not 2.0"),
        ("strategy.class", json!("BuyAndHoldStrateg"), "did you mean BuyAndHoldStrategy?"),
        (
            "strategy.parameters.symbol",
            json!("Z"),
            "strategy.parameters.symbol: \"Z\" is not in universe.symbols",
        ),
        (
            "strategy.parameters.rebalance",
            json!("fortnightly"),
            "strategy.parameters.rebalance: must be one of daily",
        ),
        (
            "strategy.parameters.rebalance",
            json!(0),
            "strategy.parameters.rebalance: must be at least 1, got 0",
        ),
        ("sizing.class", json!("KellySizer"), "sizing.parameters.mu_scale: is required"),
        (
            "sizing.class",
            json!("RiskParitySize"),
            "unknown sizer \"RiskParitySize\"; did you mean RiskParitySizer?",
        ),
        ("sizing.target_volatility", json!(0), "sizing.target_volatility: must be above 0, got 0"),
        (
            "sizing",
            json!({ "class": "RiskParitySizer", "parameters": { "lookback": 1 } }),
            "sizing.parameters.lookback: must be at least 2, got 1",
        ),
        (
            "sizing",
            json!({ "class": "MinimumVarianceSizer", "parameters": { "shrinkage": "some" } }),
            "sizing.parameters.shrinkage: must be one of none, ledoit_wolf, constant_correlation, got \"some\"",
        ),
        (
            "sizing",
            json!({ "class": "MinimumVarianceSizer", "parameters": { "shrinkage": 1.5 } }),
            "sizing.parameters.shrinkage: must be in [0, 1], got 1.5",
        ),
        ("benchmark", json!(1), "benchmark: must be text, not the number 1"),
        ("risk_free_rate", json!(-1), "risk_free_rate: must be in [-0.99, 10], got -1"),
    ]
}

#[test]
fn one_wrong_value_is_one_fault_with_its_path() {
    for (path, value, expected) in wrong_values() {
        let found = faults(&with(path, value));
        assert!(found.len() == 1 && found[0].contains(expected), "{path}: {found:?}, expected {expected:?}");
    }
}

#[test]
fn a_pipeline_is_checked_stage_by_stage() {
    let strategy = json!({
        "type": "configured",
        "rebalance": { "freq": "weekly", "weekday": "sat", "day_of_month": 3 },
        "universe": { "source": "index", "filters": [{ "type": "min_price" }, { "type": "sector", "value": 1 }] },
        "signals": { "fallback": { "enabled": true } },
        "scoring": { "type": "weighted_sum", "terms": [] },
        "selection": { "type": "topn", "topn": { "n": -1 }, "quantiles": {} },
        "holding_policy": { "type": "hybrid", "hybrid": { "base": "hybrid" } },
        "exits": { "rules": [{ "type": "stop_loss", "pct": "much" }] },
        "postprocess": { "steps": [{ "type": "clamp", "min": 2, "max": 1 }] },
        "debug": { "record_reason": true },
    });
    let found = faults(&with("strategy", strategy));
    let paths: Vec<_> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "strategy.rebalance.weekday",
            "strategy.universe.source",
            "strategy.universe.filters[0].value",
            "strategy.universe.filters[1].type",
            "strategy.scoring.terms",
            "strategy.selection.topn.n",
            "strategy.selection.quantiles",
            "strategy.holding_policy.hybrid.base",
            "strategy.exits.rules[0].pct",
            "strategy.postprocess.steps[0].min",
            "strategy.debug.record_reason",
        ]
    );
    assert!(found[5].ends_with("must be at least 0, got -1"), "{}", found[5]);
}

#[test]
fn legs_are_checked_with_their_place() {
    let strategy = json!({
        "type": "composite",
        "legs": [
            { "name": "x", "weight": -1, "strategy": { "class": "TopNSignalStrategy" } },
            { "name": "x", "alpha": 1, "weight": 1, "strategy": { "type": "composite", "legs": [] } },
            { "weight": 1 },
            { "name": "a b", "strategy": { "class": "TopNSignalStrategy" } },
            { "name": "a_b", "strategy": { "class": "TopNSignalStrategy" } },
        ],
    });
    let found = faults(&with("strategy", strategy));
    for expected in [
        "strategy.legs[0].weight: must be at least 0, got -1",
        "strategy.legs[1].alpha: is another name of weight",
        "strategy.legs[1].strategy.type: a composite cannot be a leg of a composite",
        "strategy.legs[1].name: \"x\" is there twice",
        "strategy.legs[3].weight: is required",
        "strategy.legs[4].name: its folder would be \"a_b\", that of \"a b\"",
        "strategy.legs[2].strategy: is required",
    ] {
        assert!(found.iter().any(|fault| fault.starts_with(expected)), "{expected} not in {found:#?}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let found =
        faults(&json!({ "strategy": {}, "universe": { "symbols": [] }, "sizer": {}, "initial_cash": 0 }));
    assert_eq!(found.len(), 6, "{found:#?}");
}

#[test]
fn a_config_that_is_no_object_is_a_fault() {
    assert_eq!(faults(&json!([1])), ["must be an object, not a list"]);
}

#[test]
fn look_backs_and_columns_are_known_before_loading() {
    let mut config = minimal();
    config["strategy"] = json!({
        "class": "TopNSignalStrategy",
        "parameters": { "signal_column": "Momentum" },
    });
    let parsed = BacktestConfig::from_value(&config).unwrap();
    assert_eq!(parsed.signal_columns(), SignalColumns::Named(vec!["Momentum".to_owned()]));
    assert_eq!(parsed.warmup_bars(), 257, "without a signal table it may have to be computed");
    config["data"] = json!({ "signal_path": "signals.parquet" });
    assert_eq!(BacktestConfig::from_value(&config).unwrap().warmup_bars(), 0);
    config["sizing"] = json!({ "class": "KellySizer", "parameters": { "mu_scale": 1, "lookback_days": 60 } });
    assert_eq!(BacktestConfig::from_value(&config).unwrap().warmup_bars(), 60);
    // A missing close may be up to five bars older.
    config["sizing"] = json!({ "class": "RiskParitySizer", "parameters": { "lookback": 90 } });
    assert_eq!(BacktestConfig::from_value(&config).unwrap().warmup_bars(), 95);
    config["sizing"] = json!({ "target_volatility": 0.1, "volatility_lookback": 40 });
    assert_eq!(BacktestConfig::from_value(&config).unwrap().warmup_bars(), 45);
    config["data"]["warmup_days"] = json!(0);
    assert_eq!(BacktestConfig::from_value(&config).unwrap().warmup_bars(), 0);
}

/// A body may hold a hundred thousand symbols or faults; reading them takes no longer than reading the body.
#[test]
fn a_long_list_is_read_once_and_its_faults_are_counted() {
    let symbols: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let mut config = minimal();
    config["universe"] = json!({ "symbols": symbols });
    config["strategy"] = json!({ "class": "StaticUniverseStrategy", "parameters": { "symbols": symbols } });
    assert!(BacktestConfig::from_value(&config).is_ok());
    config["universe"]["symbols"] = json!(vec![1; 100_000]);
    config["strategy"]["parameters"] = json!({});
    let faults = BacktestConfig::from_value(&config).unwrap_err();
    assert_eq!(faults.len(), 1001);
    assert_eq!(faults[1000].to_string(), "99000 more faults are not listed");
}

/// A class name has two spellings, the price fields may be a list, and the star may stand without one.
#[test]
fn aliases_mean_the_same() {
    let mut config = minimal();
    config["strategy"] = json!({ "class_name": "BuyAndHoldStrategy" });
    config["data"] =
        json!({ "price_fields": ["open", "high", "low", "close", "volume"], "price_source": "adls" });
    config["universe"] = json!({ "symbols": "*" });
    let parsed = BacktestConfig::from_value(&config).unwrap();
    assert_eq!(parsed.universe.symbols, Symbols::All);
    assert_eq!(parsed.resolved()["strategy"]["class"], "BuyAndHoldStrategy");
    assert_eq!(parsed.resolved()["data"]["price_source"], "ADLS");
}

/// Valid options without effect are not refused, but the summary names them.
#[test]
fn what_has_no_effect_is_said() {
    let toy = |parts: Value| said(&Toy::flat(&[("A", &[10.0; 3])]).with(parts).run());
    assert_eq!(toy(json!({})), [""; 0]);
    let leg =
        json!({ "name": "x", "weight": 1, "target_net": 0.5, "strategy": { "class": "BuyAndHoldStrategy" } });
    for (parts, expected) in [
        (json!({ "broker": { "rounding_mode": "floor" } }), "broker.rounding_mode"),
        (
            json!({ "constraints": { "net_exposure_max": 1, "max_net_exposure": 1 } }),
            "constraints.max_net_exposure",
        ),
        (json!({ "strategy": { "type": "composite", "legs": [leg] } }), "strategy.legs[0].target_net"),
        (
            json!({ "strategy": {
                "type": "configured",
                "universe": { "source": "prices" },
                "scoring": { "type": "price_breakout" },
                "selection": { "type": "topn", "topn": { "n": 1 } },
                "exits": { "rules": [{ "type": "partial_exit_after_days", "days": 3, "fraction": 0.5 }] },
            } }),
            "strategy: cuts and decays",
        ),
        (
            json!({ "strategy": {
                "type": "configured",
                "universe": { "source": "prices" },
                "signals": { "provider": "computed_from_prices" },
                "scoring": { "type": "column", "column": "momentum_12_1" },
                "selection": { "type": "topn", "topn": { "n": 1 } },
            } }),
            "strategy.signals.provider: computed_from_prices does not know momentum_12_1",
        ),
        (
            json!({ "strategy": {
                "type": "configured",
                "universe": { "source": "prices" },
                "scoring": { "type": "price_breakout" },
                "selection": { "type": "long_short_topn", "long_short_topn": {} },
            } }),
            "strategy.selection: long_n and short_n are 0",
        ),
        (
            json!({
                "strategy": { "class": "StaticUniverseStrategy", "parameters": { "symbols": ["A"] } },
                "sizing": { "class": "LongShortScoreSizer", "parameters": { "score_power": 2, "net_target": 1 } },
            }),
            "sizing.parameters.score_power",
        ),
        (
            json!({ "strategy": {
                "type": "configured",
                "universe": { "source": "prices" },
                "scoring": { "type": "price_breakout" },
                "selection": { "type": "topn", "topn": { "n": 20 } },
            } }),
            "strategy: of 20 names EqualWeightSizer holds 10",
        ),
    ] {
        let found = toy(parts);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:?}");
    }
}

/// A pipeline on prices with some of its stages replaced.
fn pipeline(parts: &Value) -> Value {
    let mut strategy = json!({
        "type": "configured",
        "universe": { "source": "prices" },
        "scoring": { "type": "price_breakout" },
        "selection": { "type": "topn", "topn": { "n": 1 } },
    });
    strategy.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
    strategy
}

/// What is taken although it does nothing, or not what it did elsewhere, is said once, with its path.
#[test]
fn what_is_taken_otherwise_than_it_may_be_meant_is_said() {
    let rule = |rule: Value| json!({ "strategy": pipeline(&json!({ "exits": { "rules": [rule] } })) });
    let filter = |filter: Value| {
        let universe = json!({ "source": "prices", "filters": [filter] });
        json!({ "strategy": pipeline(&json!({ "universe": universe })) })
    };
    let stage = |stage: Value| json!({ "strategy": pipeline(&stage) });
    let class = |class: &str, parameters: Value| {
        json!({ "strategy": { "class": class, "parameters": parameters },
                "sizing": { "class": "LongShortScoreSizer" } })
    };
    for (parts, expected) in [
        (json!({ "universe": { "symbols": ["A", "A"] } }), "universe.symbols names A again"),
        (json!({ "data": { "frequency": "1D" } }), "data.frequency \"1D\" has no effect"),
        (json!({ "data": { "price_fields": ["close"] } }), "data.price_fields has no effect"),
        (json!({ "run_id": "x" }), "run_id has no effect"),
        (
            json!({ "broker": { "lot_size": 2.5, "allow_fractional_shares": false } }),
            "broker.lot_size is taken as it is",
        ),
        (
            json!({ "output": { "save_run_index_parquet": false } }),
            "output.save_run_index_parquet has no effect",
        ),
        (json!({ "sizing": { "class": "EqualWeightSizer", "module": "m" } }), "sizing.module has no effect"),
        (
            json!({ "sizing": { "parameters": { "max_positions": 0 } } }),
            "sizing.parameters.max_positions is 0",
        ),
        (
            json!({ "sizing": { "volatility_lookback": 20 } }),
            "sizing.volatility_lookback has no effect without target_volatility",
        ),
        (
            json!({
                "strategy": { "class": "TopNSignalStrategy", "parameters": { "top_n": 3 } },
                "sizing": { "class": "RiskParitySizer", "parameters": { "max_positions": 2 } },
            }),
            "strategy: of 3 names RiskParitySizer holds 2, its max_positions",
        ),
        (
            rule(json!({ "type": "take_profit", "pct": 1.5 })),
            "strategy.exits.rules[0] has no effect: its pct",
        ),
        (
            rule(json!({ "type": "trailing_ma", "days": -1 })),
            "strategy.exits.rules[0] has no effect: its days",
        ),
        (
            rule(json!({ "type": "stop_loss", "pct": 0.1, "price_col": "close" })),
            "strategy.exits.rules[0].price_col",
        ),
        (
            rule(json!({ "type": "partial_exit_after_days", "days": 2 })),
            "strategy.exits.rules[0].fraction is 0, so that it cuts nothing",
        ),
        (filter(json!({ "type": "min_adv", "lookback": 0 })), "strategy.universe.filters[0] has no effect"),
        (
            filter(json!({ "type": "no_missing_prices", "window": -2 })),
            "strategy.universe.filters[0] has no effect",
        ),
        (filter(json!({ "type": "blacklist", "symbols": [] })), "strategy.universe.filters[0] has no effect"),
        (stage(json!({ "rebalance": { "weekday": "fri" } })), "strategy.rebalance.weekday has no effect"),
        (
            stage(json!({ "rebalance": { "freq": "monthly", "day_of_month": 0 } })),
            "strategy.rebalance.day_of_month is not above 0",
        ),
        (
            stage(
                json!({ "rebalance": { "freq": "weekly", "weekday": "mon", "allow_nontrading_shift": "next" } }),
            ),
            "strategy.rebalance.allow_nontrading_shift moves rebalances",
        ),
        (
            stage(json!({ "signals": { "fallback": { "allowed_missing_columns": ["x"] } } })),
            "strategy.signals.fallback has no effect",
        ),
        (
            stage(
                json!({ "selection": { "type": "long_short_topn", "long_short_topn": { "long_n": 1, "score_abs": false } } }),
            ),
            "strategy.selection.long_short_topn.score_abs has no effect",
        ),
        (
            stage(json!({ "scoring": { "type": "price_breakout", "lookback": 1 } })),
            "strategy.scoring.lookback is below 2",
        ),
        (
            stage(json!({ "postprocess": { "steps": [{ "type": "sticky_scores", "enabled": false }] } })),
            "strategy.postprocess.steps[0] has no effect",
        ),
        (
            stage(json!({ "holding_policy": {
                "type": "hybrid",
                "hybrid": { "base": "replace_all", "overlay": "grace_period" },
                "grace_period": { "exit_only_on_risk": false },
            } })),
            "strategy.holding_policy.grace_period counts in a hybrid",
        ),
        (
            json!({ "strategy": { "class": "StaticUniverseStrategy", "parameters": { "rebalance": "Weekly" } } }),
            "strategy.parameters.rebalance is weekly; the reference implementation took \"Weekly\" for daily",
        ),
        (
            class("BreakoutStrategy", json!({ "short_from_breakout": true })),
            "strategy.parameters.short_from_breakout has no effect",
        ),
        (
            class("EpisodicPivotStrategy", json!({ "trailing_ma_days": 0 })),
            "strategy.parameters.trailing_ma_days is not above 0",
        ),
        (
            class("EpisodicPivotStrategy", json!({ "partial_exit_days": 3 })),
            "strategy.parameters.partial_exit_days counts",
        ),
        (
            json!({ "strategy": { "type": "composite", "blend": { "method": "max" }, "legs": [
                { "weight": 1, "strategy": { "class": "BuyAndHoldStrategy" } },
            ] } }),
            "strategy.blend.method \"max\" has no effect",
        ),
    ] {
        let mut config = minimal();
        config.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        let read =
            BacktestConfig::from_value(&config).unwrap_or_else(|faults| panic!("{config}: {faults:?}"));
        let found = read.warnings();
        assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:?}");
        assert_eq!(
            BacktestConfig::from_value(&read.resolved()),
            Ok(read),
            "a resolved config reads as itself"
        );
    }
}

/// Forms in which the reference implementation, or an older version, wrote the same strategy.
#[test]
fn archived_forms_mean_the_same() {
    let stages = json!({
        "universe": { "source": "prices" },
        "scoring": { "type": "price_breakout" },
        "selection": { "type": "topn", "topn": { "n": 1 } },
    });
    let written = |strategy: Value| BacktestConfig::from_value(&with("strategy", strategy)).unwrap();
    let plain = written(pipeline(&json!({})));
    for form in [
        json!({ "class": "ConfiguredStrategy", "parameters": stages }),
        json!({ "class_name": "ConfiguredStrategy", "module": "m", "parameters": stages }),
        json!({ "type": "configured", "class": "configured", "parameters": stages }),
        json!({
            "type": "configured",
            "parameters": { "universe": { "source": "prices" }, "scoring": { "type": "column" } },
            "scoring": { "type": "price_breakout" },
            "selection": { "type": "topn", "topn": { "n": 1 } },
        }),
    ] {
        assert_eq!(written(form.clone()), plain, "{form}");
    }
    let leg = json!({ "weight": 1, "strategy": { "class": "BuyAndHoldStrategy" }, "sizing": {} });
    let named = json!({ "name": "leg1", "alpha": 1, "strategy": { "class": "BuyAndHoldStrategy" } });
    assert_eq!(
        written(json!({ "class": "CompositeStrategy", "parameters": { "legs": [leg] } })),
        written(json!({ "type": "composite", "legs": [named] })),
    );
    let found = faults(&with(
        "strategy",
        json!({
            "class": "ConfiguredStrategy",
            "parameters": stages,
            "rebalance": { "freq": "weekly" },
        }),
    ));
    assert_eq!(found, ["strategy.rebalance: goes below parameters with class: ConfiguredStrategy"]);
    let beside = json!({ "type": "configured", "class": "TopNSignalStrategy", "parameters": stages });
    assert!(faults(&with("strategy", beside))[0].starts_with("strategy.class: must be ConfiguredStrategy"));
}

/// Values that stand for others, as they are found in configs written by hand or by programs.
#[test]
fn values_are_taken_for_what_they_are() {
    let read = |path: &str, value: Value| BacktestConfig::from_value(&with(path, value)).unwrap();
    assert_eq!(read("initial_cash", json!("5000")).initial_cash, 5000.0);
    assert_eq!(read("run_name", json!(7)).run_name.as_deref(), Some("7"));
    assert_eq!(read("run_name", json!("")).run_name, None);
    assert_eq!(read("output.adls_dir", json!("")).output.adls_dir, None);
    assert!(!read("broker.allow_fractional_shares", json!(0)).broker.allow_fractional_shares);
    assert_eq!(read("start_date", json!("2024-01-01 00:00:00")).start_date.to_string(), "2024-01-01");
    assert_eq!(read("end_date", json!("2024-12-31T00:00:00Z")).end_date.to_string(), "2024-12-31");
    let empty = pipeline(&json!({ "holding_policy": {} }));
    assert_eq!(read("strategy", empty), read("strategy", pipeline(&json!({}))));
}

/// A repeat of an archived run does not write where that run wrote.
#[test]
fn a_resolved_config_keeps_no_absolute_folder() {
    let mut config = with("output.local_dir", json!("/srv/results"));
    assert_eq!(
        BacktestConfig::from_value(&config).unwrap().output.local_dir.as_deref(),
        Some("/srv/results")
    );
    config["submitted_at"] = json!("2026-01-01T00:00:00Z");
    let read = BacktestConfig::from_value(&config).unwrap();
    assert_eq!(read.output.local_dir, None);
    assert_eq!(read.warnings().len(), 2, "{:?}", read.warnings());
}
