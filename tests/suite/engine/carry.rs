//! What holding costs and earns, and what orders move prices by: against stored figures, and with the arithmetic written out.

use backtest_functions::engine::config::BacktestConfig;
use backtest_functions::engine::metrics::contributions::contributions;
use backtest_functions::engine::{Outcome, RejectReason, RunError};
use serde_json::{Value, json};

use crate::support::service::project;
use crate::support::toy::{NONE, Toy, day, near, said};

fn golden() -> Value {
    let path = project("tests/golden/studies/costs.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The figures of one kind of carry.
fn carried(what: &str) -> Value {
    let golden = golden();
    let all = golden["carry"].as_array().unwrap();
    all.iter().find(|one| one["what"].as_str().unwrap().starts_with(what)).unwrap().clone()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} of {value}"))
}

/// Bought on day 3 with all the cash, at an open of 50, after returns of 2 % and -2 %.
fn bought(cash: f64, impact: &Value) -> Outcome {
    let bars = [50.0, 51.0, 51.0 * 0.98, 50.0, 50.0].map(|price| [price; 4]).to_vec();
    Toy::new(&[("A", bars)])
        .with(json!({
            "start_date": day(2).to_string(),
            "initial_cash": cash,
            "strategy": { "class": "BuyAndHoldStrategy" },
            "broker": { "impact": impact },
        }))
        .run()
}

#[test]
fn an_order_moves_its_price_by_the_square_root_of_its_share_of_the_volume() {
    for case in golden()["square_root_impact"].as_array().unwrap() {
        let (shares, price) = (number(case, "shares"), number(case, "price"));
        assert_eq!((price, number(case, "adv_shares"), number(case, "daily_volatility")), (50.0, 1e6, 0.02));
        let model = json!({ "coefficient": case["coefficient"], "volatility_days": 2, "adv_days": 2 });
        let got = bought(shares * price, &model);
        assert!(near(got.trades.quantity[0], shares), "{case}");
        assert!(near(got.trades.price[0], price * (1.0 + number(case, "impact_fraction"))), "{case}");
        assert!(near(got.trades.impact_cost[0], number(case, "cost")), "{case}");
        assert!(near(got.summary.total_impact_cost, got.trades.impact_cost.iter().sum()), "{case}");
        assert!(got.trades.slippage_cost[0].abs() < 1e-6, "{case}");
        assert_eq!(got.daily.impact_cost[1], got.trades.impact_cost[0]);
    }
}

/// Of a symbol with a single bar before the fill nothing can be told; so it is said.
#[test]
fn an_order_without_history_moves_nothing_and_is_counted() {
    let toy = Toy::flat(&[("A", &[10.0; 4])])
        .with(json!({ "strategy": { "class": "BuyAndHoldStrategy" }, "broker": { "impact": {} } }));
    let got = toy.run();
    assert_eq!((got.trades.price[0], got.trades.impact_cost[0]), (10.0, 0.0));
    let expected =
        "broker.impact: 1 orders moved no price, as there is no volume and no two returns before them";
    assert_eq!(said(&got), [expected]);
    let mut blind = toy;
    blind.chunks[0].volume.clear();
    let lack = "broker.impact: the price table has no column volume";
    assert_eq!(blind.try_run().unwrap_err(), RunError::Data(lack.to_owned()));
}

/// The whole holding is sold on the day after the close of day 4, into a volume that it is a hundred times of.
#[test]
fn a_sale_that_would_leave_no_price_is_rejected() {
    let mut toy = Toy::flat(&[("A", &[10.0, 20.0, 10.0, 20.0, 10.0, 20.0, 10.0])])
        .signal("s", &[("A", &[1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0])])
        .with(json!({
            "initial_cash": 1e9,
            "strategy": { "class": "TopNSignalStrategy", "parameters": { "signal_column": "s", "top_n": 1 } },
            "broker": { "impact": { "volatility_days": 2, "adv_days": 1, "coefficient": 0.2 } },
        }));
    toy.chunks[0].volume = vec![1e12, 1e12, 1e12, 1e12, 1e3, 1e3, 1e3];
    let got = toy.run();
    assert!(
        got.trades.quantity.iter().all(|&quantity| quantity > 0.0 || quantity.abs() < 1e8),
        "{:?}",
        got.trades
    );
    assert!(got.rejected.reason.contains(&RejectReason::MarketImpact), "{:?}", got.rejected);
}

/// Sold short on Tuesday and held: over the weekend the fee is that of three days.
fn short(broker: &Value, columns: &[(&str, &[f64])]) -> Outcome {
    let toy = Toy::flat(&[("A", &[10.0; 7])]).signal("s", &[("A", &[-1.0; 7])]).with(json!({
        "initial_cash": 200_000,
        "strategy": {
            "class": "LongShortTopNStrategy",
            "parameters": { "signal_column": "s", "k_short": 1, "rebalance": "annually" },
        },
        "sizing": { "class": "LongShortScoreSizer", "parameters": { "gross_target": 1, "net_target": -1 } },
        "constraints": { "allow_short": true },
        "broker": broker,
    }));
    columns.iter().fold(toy, |toy, (name, values)| toy.column(name, values)).run()
}

#[test]
fn borrowed_shares_cost_for_each_calendar_day() {
    let case = carried("borrow fee");
    let rate = number(&case, "annual_rate");
    let got = short(&json!({ "borrow_rate": rate }), &[]);
    assert_eq!((day(4) + chrono::Days::new(3), number(&case, "short_value")), (day(5), -200_000.0));
    assert!(near(got.daily.borrow_cost[5], -number(&case, "amount")), "{:?}", got.daily.borrow_cost);
    // Nothing is short at the close of the first day.
    assert_eq!(got.daily.borrow_cost[..2], [0.0, 0.0]);
    assert!(near(got.daily.borrow_cost[2], 200_000.0 * rate / 360.0));
    assert!(near(got.summary.total_borrow_cost, 200_000.0 * rate * 7.0 / 360.0));
    assert!(near(got.summary.final_equity, 200_000.0 - got.summary.total_borrow_cost));
    assert!(near(got.summary.total_costs, got.summary.total_borrow_cost));
    let year = short(&json!({ "borrow_rate": rate, "day_count": 365 }), &[]);
    assert!(near(year.summary.total_borrow_cost, 200_000.0 * rate * 7.0 / 365.0));
}

#[test]
fn a_column_says_what_borrowing_costs_until_the_next_number() {
    let fees: &[f64] = &[NONE, NONE, 0.36, NONE, NONE, 0.72, NONE];
    let got = short(&json!({ "borrow_rate": 0.036, "borrow_rate_column": "Fee" }), &[("fee", fees)]);
    // A day at 0.036, then one, one and three at 0.36, then one at 0.72.
    let expected = [0.0, 0.0, 20.0, 200.0, 200.0, 600.0, 400.0];
    for (day, (got, want)) in got.daily.borrow_cost.iter().zip(expected).enumerate() {
        assert!(near(*got, want), "day {day}: {got} {want}");
    }
    let toy = Toy::flat(&[("A", &[10.0; 3])]).column("fee", &[0.1, 25.0, 0.1]);
    let wrong = toy.clone().with(json!({ "broker": { "borrow_rate_column": "fee" } })).try_run().unwrap_err();
    assert!(
        wrong.to_string().contains("broker.borrow_rate_column: fee says 25 for A on 2024-01-02"),
        "{wrong}"
    );
    let none = toy.with(json!({ "broker": { "borrow_rate_column": "fees" } })).try_run().unwrap_err();
    assert!(
        none.to_string().starts_with("broker.borrow_rate_column: the price table has no column fees"),
        "{none}"
    );
}

#[test]
fn cash_earns_and_debt_costs_for_each_calendar_day() {
    let case = carried("credit interest");
    let idle = Toy::flat(&[("A", &[10.0; 7])]).signal("s", &[("A", &[-1.0; 7])]).with(json!({
        "start_date": day(4).to_string(),
        "initial_cash": case["cash"],
        "strategy": { "class": "TopNSignalStrategy", "parameters": { "signal_column": "s", "top_n": 1 } },
        "broker": { "credit_rate": case["annual_rate"], "debit_rate": 9 },
    }));
    let got = idle.run();
    assert_eq!(got.daily.interest[0], 0.0);
    assert!(near(got.daily.interest[1], number(&case, "amount")), "{:?}", got.daily.interest);
    assert!(near(got.daily.cash[1], number(&case, "cash") + number(&case, "amount")));
    assert!(near(got.summary.total_interest, got.summary.final_equity - number(&case, "cash")));
    assert_eq!(got.summary.total_costs, 0.0);

    let case = carried("debit interest");
    let owing = Toy::flat(&[("A", &[10.0; 4]), ("B", &[10.0; 4])])
        .signal("s", &[("A", &[1.0; 4]), ("B", &[1.0; 4])])
        .with(json!({
            "initial_cash": -number(&case, "cash"),
            "strategy": {
                "class": "LongShortTopNStrategy",
                "parameters": { "signal_column": "s", "k_long": 2, "rebalance": "annually" },
            },
            "sizing": { "class": "LongShortScoreSizer", "parameters": { "gross_target": 2, "net_target": 2 } },
            "constraints": { "max_leverage": 2 },
            "broker": { "debit_rate": case["annual_rate"], "credit_rate": 0 },
        }));
    let got = owing.run();
    assert!(near(got.daily.cash[1], number(&case, "cash")), "{:?}", got.daily.cash);
    assert!(near(got.daily.interest[2], number(&case, "amount")), "{:?}", got.daily.interest);
}

/// Rates of a year of 2 % and then 3 %, and half a percent less for cash.
#[test]
fn rates_on_cash_follow_the_risk_free_rate_of_the_day() {
    let idle = |risk_free: Value| {
        Toy::flat(&[("A", &[10.0; 3])]).column("rf", &[0.02, 0.03, 0.04]).signal("s", &[("A", &[-1.0; 3])]).with(json!({
            "initial_cash": 36_000,
            "strategy": { "class": "TopNSignalStrategy", "parameters": { "signal_column": "s", "top_n": 1 } },
            "broker": { "credit_rate": "risk_free - 0.005" },
            "risk_free_rate": risk_free,
        })).run()
    };
    let by_day = idle(json!({ "column": "rf" })).daily.interest;
    assert!(
        near(by_day[1], 100.0 * 0.015) && near(by_day[2], 100.0 * 0.025 * (36_001.5 / 36_000.0)),
        "{by_day:?}"
    );
    let same = idle(json!(0.02)).daily.interest;
    assert!(near(same[1], 1.5) && near(same[2], 100.0 * 0.015 * (36_001.5 / 36_000.0)), "{same:?}");
}

#[test]
fn rates_are_read_as_they_are_written() {
    let read = |key: &str, value: Value| {
        let mut config = Toy::flat(&[("A", &[10.0])]).config;
        config["broker"] = json!({ key: value });
        BacktestConfig::from_value(&config).map(|config| config.resolved()["broker"][key].clone())
    };
    for (key, value, written) in [
        ("debit_rate", json!("risk_free+0.015"), json!("risk_free + 0.015")),
        ("debit_rate", json!(" risk_free "), json!("risk_free")),
        ("credit_rate", json!("risk_free - 0.005"), json!("risk_free - 0.005")),
        ("credit_rate", json!("0.02"), json!(0.02)),
        ("credit_rate", json!(null), json!(0.0)),
        ("day_count", json!(365), json!(365)),
        ("day_count", json!(null), json!(360)),
        ("impact", json!({}), json!({ "coefficient": 1.0, "volatility_days": 20, "adv_days": 20 })),
        ("impact", json!(null), json!(null)),
        ("delisting_return", json!(-0.3), json!(-0.3)),
        ("delisting_return", json!("DLRET"), json!("dlret")),
    ] {
        assert_eq!(read(key, value.clone()).unwrap(), written, "{key}: {value}");
        assert_eq!(read(key, written.clone()).unwrap(), written, "{key}: {written}");
    }
    for (key, value, said) in [
        ("debit_rate", json!("risk_free * 2"), "broker.debit_rate: must be a number, or as risk_free + 0.01"),
        ("debit_rate", json!("sofr"), "broker.debit_rate: must be a number"),
        ("credit_rate", json!(11), "broker.credit_rate: must be in [-0.99, 10]"),
        ("day_count", json!(252), "broker.day_count: must be 360 or 365, got 252"),
        ("borrow_rate", json!(-0.1), "broker.borrow_rate: must be in [0, 10]"),
        ("delisting_return", json!(-1.5), "broker.delisting_return: must be in [-1, 10]"),
        ("impact", json!(1), "broker.impact: must be an object"),
        ("impact", json!({ "volatility_days": 1 }), "broker.impact.volatility_days: must be at least 2"),
    ] {
        let faults = read(key, value).unwrap_err();
        assert!(faults[0].to_string().starts_with(said), "{faults:?}");
    }
}

#[test]
fn a_fill_pays_by_share_and_at_least_the_minimum() {
    let paid = |broker: Value| {
        let toy = Toy::flat(&[("A", &[10.0; 3])]);
        toy.with(json!({ "strategy": { "class": "BuyAndHoldStrategy" }, "broker": broker }))
            .run()
            .trades
            .commission[0]
    };
    // 100 shares at 10.
    assert!(near(paid(json!({ "commission": 0.001, "commission_per_share": 0.02 })), 1.0 + 2.0));
    assert!(near(paid(json!({ "commission": 0.001, "min_commission": 5 })), 5.0));
    assert!(near(paid(json!({ "commission": 0.01, "min_commission": 5 })), 10.0));
}

/// 100 shares whose last price is 10, two days after their last bar.
#[test]
fn a_delisted_holding_returns_what_is_said() {
    let gone = |broker: Value| {
        Toy::flat(&[("A", &[10.0, 10.0, 10.0, NONE, NONE, NONE]), ("B", &[10.0; 6])])
            .column("dlret", &[NONE, NONE, -0.4, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE])
            .with(json!({
                "strategy": { "class": "BuyAndHoldStrategy", "parameters": { "symbol": "A" } },
                "broker": broker,
            }))
            .run()
    };
    for (value, price) in [(json!(null), 10.0), (json!(-0.3), 7.0), (json!(-1), 0.0), (json!("dlret"), 6.0)] {
        let got = gone(json!({ "max_stale_days": 2, "delisting_return": value }));
        assert_eq!(got.delisted.len(), 1, "{value}");
        assert!(
            near(got.delisted[0].price, price) && near(got.summary.final_equity, 100.0 * price),
            "{value}"
        );
    }
    let told = said(&gone(json!({ "max_stale_days": 2, "delisting_return": -0.3 })));
    assert!(told.iter().any(|line| line.ends_with("at 7, its last price and -0.3 of it")), "{told:?}");
    let idle = said(&gone(json!({ "delisting_return": -0.3 })));
    assert!(
        idle.contains(&"broker.delisting_return has no effect without max_stale_days".to_owned()),
        "{idle:?}"
    );
}

/// Long and short with every cost there is: what symbols brought in and interest add up to what the account won or lost, and
/// the account of a composite pays what its legs pay.
#[test]
fn contributions_and_interest_add_up_to_the_total_return() {
    let wave = |n: usize| -> Vec<f64> { (0..60).map(|day| 20.0 + ((day * (n + 2)) % 11) as f64).collect() };
    let (a, b) = (wave(1), wave(2));
    let long_short = json!({ "class": "LongShortTopNStrategy", "parameters": {
        "signal_column": "s", "k_long": 1, "k_short": 1, "rebalance": 3,
    } });
    let toy = |strategy: Value| {
        Toy::flat(&[("A", &a), ("B", &b)]).signal("s", &[("A", &a), ("B", &b.iter().map(|x| 25.0 - x).collect::<Vec<_>>())]).with(json!({
            "initial_cash": 1e6,
            "strategy": strategy,
            "sizing": { "class": "LongShortScoreSizer", "parameters": { "gross_target": 1.4, "net_target": 0.2 } },
            "constraints": { "allow_short": true, "max_leverage": 2 },
            "broker": {
                "slippage_bps": 5, "commission": 0.001, "min_commission": 1, "commission_per_share": 0.001,
                "impact": { "coefficient": 0.1 }, "borrow_rate": 0.05, "debit_rate": 0.08, "credit_rate": 0.02,
            },
        }))
    };
    let single = toy(long_short.clone());
    let (got, market) = (single.run(), single.market());
    let summary = &got.summary;
    assert!(
        summary.total_impact_cost > 0.0 && summary.total_borrow_cost > 0.0 && summary.total_interest != 0.0
    );
    let parts = contributions(&got, &market);
    let sum: f64 = parts.iter().map(|part| part.contribution).sum();
    assert!((sum + summary.total_interest / 1e6 - summary.total_return).abs() < 1e-10);
    assert!(near(parts.iter().map(|part| part.borrow_cost).sum(), summary.total_borrow_cost));
    assert!(near(parts.iter().map(|part| part.impact_cost).sum(), summary.total_impact_cost));
    let gross: f64 = parts.iter().map(|part| part.gross_profit).sum();
    assert!(near(gross - summary.total_costs + summary.total_interest, summary.final_equity - 1e6));

    let alone =
        json!({ "type": "composite", "legs": [{ "name": "x", "weight": 1, "strategy": long_short }] });
    let composite = toy(alone).run();
    assert!(
        near(composite.summary.final_equity, summary.final_equity),
        "{} {}",
        composite.summary.final_equity,
        summary.final_equity
    );
}
