//! The orders that the last day leaves (`output.save_orders`): what each says, and that asking for them changes nothing else.
//! That they are what the next day trades, whatever the strategy, is tried in `properties`.

use backtest_functions::engine::{NextOrders, OrderReason, Outcome, RejectReason};
use serde_json::{Value, json};

use crate::support::toy::{NONE, Toy, day, near, said};

/// The outcome with the orders taken out of it, which is that of a run without them.
fn asked(toy: Toy) -> (Outcome, NextOrders) {
    let plain = toy.run();
    assert_eq!(plain.next_orders, None);
    let mut asked = toy.with(json!({ "output": { "save_orders": true } })).run();
    let next = asked.next_orders.take().unwrap();
    assert_eq!(format!("{plain:?}"), format!("{asked:?}"), "nothing else may change");
    assert_eq!(Some(&next.as_of), asked.daily.date.last());
    (asked, next)
}

/// Symbol, shares held, shares to trade, close and reason of each order.
fn told(outcome: &Outcome, next: &NextOrders) -> Vec<(String, f64, f64, f64, OrderReason)> {
    let name = |symbol| outcome.name(symbol).to_owned();
    next.orders
        .iter()
        .map(|order| {
            assert!(near(order.shares_target, order.shares_held + order.shares_delta));
            assert!(near(order.notional, order.shares_delta * order.close));
            (name(order.symbol), order.shares_held, order.shares_delta, order.close, order.reason)
        })
        .collect()
}

/// Symbol, weight now and weight to be.
fn weights(outcome: &Outcome, next: &NextOrders) -> Vec<(String, f64, f64)> {
    let all = next.targets.iter();
    all.map(|one| (outcome.name(one.symbol).to_owned(), one.weight_now, one.weight_target)).collect()
}

fn text(name: &str) -> String {
    name.to_owned()
}

fn buy_and_hold() -> Value {
    json!({ "class": "BuyAndHoldStrategy", "parameters": { "rebalance": "annually" } })
}

/// 100 shares of A were bought at 10; at the close of day 2 B is the best.
#[test]
fn the_last_day_is_decided_as_any_other() {
    let toy = Toy::flat(&[("A", &[10.0; 3]), ("B", &[10.0; 3])])
        .signal("s", &[("A", &[2.0, 2.0, 1.0]), ("B", &[1.0, 1.0, 2.0])])
        .with(json!({
            "strategy": { "class": "TopNSignalStrategy", "parameters": { "signal_column": "s", "top_n": 1 } },
        }));
    let (got, next) = asked(toy);
    assert_eq!(
        told(&got, &next),
        [
            (text("A"), 100.0, -100.0, 10.0, OrderReason::Dropped),
            (text("B"), 0.0, 100.0, 10.0, OrderReason::Decision),
        ]
    );
    assert_eq!(weights(&got, &next), [(text("A"), 1.0, 0.0), (text("B"), 0.0, 1.0)]);
    assert_eq!((next.orders[0].weight_now, next.orders[0].weight_target), (1.0, 0.0));
}

#[test]
fn without_a_decision_nothing_is_ordered_and_every_weight_stays() {
    let toy = Toy::flat(&[("A", &[10.0, 10.0, 20.0])]).with(json!({ "strategy": buy_and_hold() }));
    let (got, next) = asked(toy);
    assert!(next.orders.is_empty());
    assert_eq!(weights(&got, &next), [(text("A"), 1.0, 1.0)]);
}

/// 10 shares were bought at 100, and 90 is the stop; what is not stopped stays.
#[test]
fn a_holding_that_lost_too_much_is_sold_whatever_was_decided() {
    let toy = Toy::flat(&[("A", &[100.0, 100.0, 90.0]), ("B", &[100.0; 3])]).with(json!({
        "initial_cash": 2000,
        "strategy": { "class": "StaticUniverseStrategy", "parameters": { "rebalance": "annually" } },
        "constraints": { "stop_loss": 0.1 },
    }));
    let (got, next) = asked(toy);
    assert_eq!(told(&got, &next), [(text("A"), 10.0, -10.0, 90.0, OrderReason::StopLoss)]);
    let held = weights(&got, &next);
    assert!(near(held[0].1, 900.0 / 1900.0) && held[0].2 == 0.0, "{held:?}");
    assert!(near(held[1].1, 1000.0 / 1900.0) && held[1].2 == held[1].1, "{held:?}");
}

/// A halts from day 1 on. Of 1000, 500 bought B, which doubled: half of 1500 are 75 shares of A at its last close. The run
/// itself writes the order down as rejected, as it always did.
#[test]
fn an_order_that_waits_is_among_them() {
    let toy = Toy::flat(&[("A", &[10.0, NONE, NONE]), ("B", &[10.0, 10.0, 20.0])]).with(json!({
        "strategy": { "class": "StaticUniverseStrategy", "parameters": { "rebalance": "annually" } },
        "broker": { "unfilled": "next_bar" },
    }));
    let (got, next) = asked(toy.clone());
    assert_eq!(got.rejected.date, [day(2)]);
    assert_eq!(told(&got, &next), [(text("A"), 0.0, 75.0, 10.0, OrderReason::Waiting)]);
    let (_, dropped) = asked(toy.with(json!({ "broker": { "unfilled": "drop" } })));
    assert!(dropped.orders.is_empty());
}

/// The same decision every day. On the last one A has no bar: B goes from 50 shares to 37.5, half of 1500 at 20, and of A, whose
/// order finds no price, as much is wanted at its last close.
#[test]
fn a_symbol_without_a_bar_is_ordered_at_its_last_close_and_named() {
    let toy = Toy::flat(&[("A", &[10.0, 10.0, NONE]), ("B", &[10.0, 10.0, 20.0])])
        .with(json!({ "strategy": { "class": "StaticUniverseStrategy" } }));
    let (got, next) = asked(toy);
    assert_eq!(told(&got, &next), [(text("A"), 50.0, 25.0, 10.0, OrderReason::NoBar)]);
    let held = weights(&got, &next);
    assert_eq!(held, [(text("A"), 500.0 / 1500.0, 0.5), (text("B"), 0.5, 0.5)]);
}

/// 990 buy 9.9 shares at 100: less than a lot of 10, and less than 1000 in money. Its weight is told all the same.
#[test]
fn an_order_that_a_rule_of_the_broker_stops_says_which() {
    for (broker, reason) in [
        (json!({ "lot_size": 10 }), RejectReason::RoundedToZero),
        (json!({ "min_trade_shares": 10 }), RejectReason::MinTradeShares),
        (json!({ "min_trade_notional": 1000 }), RejectReason::MinTradeNotional),
    ] {
        let toy = Toy::flat(&[("A", &[100.0])]).with(json!({
            "initial_cash": 990, "strategy": buy_and_hold(), "broker": broker,
        }));
        let (got, next) = asked(toy);
        assert_eq!(told(&got, &next), [(text("A"), 0.0, 0.0, 100.0, OrderReason::Rejected(reason))]);
        assert_eq!(weights(&got, &next), [(text("A"), 0.0, 1.0)]);
    }
}

/// Neither the volume of the next day nor its slippage is known: the order is whole, and its money that of the close.
#[test]
fn what_is_not_known_of_the_next_day_is_not_in_an_order() {
    let toy = Toy::flat(&[("A", &[100.0, 100.0])]).with(json!({
        "initial_cash": 1e9,
        "strategy": buy_and_hold(),
        "end_date": day(0).to_string(),
        "broker": { "max_participation_rate": 0.01, "slippage_bps": 100 },
    }));
    let (got, next) = asked(toy);
    assert_eq!(told(&got, &next), [(text("A"), 0.0, 1e7, 100.0, OrderReason::Decision)]);
}

#[test]
fn weights_are_those_that_the_constraints_leave() {
    let toy = Toy::flat(&[("A", &[10.0; 2]), ("B", &[10.0; 2])]).with(json!({
        "strategy": { "class": "StaticUniverseStrategy" },
        "constraints": { "max_position_size": 0.2 },
    }));
    let (got, next) = asked(toy);
    assert_eq!(weights(&got, &next), [(text("A"), 0.2, 0.2), (text("B"), 0.2, 0.2)]);
    assert_eq!(got.constraint_hits.len(), 2, "those of the first day, and not of the last");
}

/// Every record of a decision stays as it was: exits, scores, weights of legs.
#[test]
fn nothing_of_the_last_decision_is_in_the_records_of_the_run() {
    let scores: &[f64] = &[1.0, 1.0, 1.0, -1.0];
    let pipeline = json!({
        "type": "configured",
        "scoring": { "type": "column", "column": "s" },
        "selection": { "type": "topn", "topn": { "n": 1, "min_score": 0 } },
        "exits": { "rules": [{ "type": "time_stop", "days": 3 }] },
        "debug": { "record_intermediates": true, "record_reasons": true },
    });
    let toy = |strategy: Value| {
        Toy::flat(&[("A", &[10.0; 4]), ("B", &[10.0; 4])])
            .signal("s", &[("A", scores), ("B", &[0.5; 4])])
            .with(json!({ "strategy": strategy }))
    };
    let (got, next) = asked(toy(pipeline.clone()));
    assert!(got.debug.as_ref().unwrap().date.iter().all(|date| *date < day(3)));
    assert_eq!(next.orders.len(), 2);
    let legs = json!({ "type": "composite", "legs": [{ "name": "x", "weight": 1, "strategy": pipeline }] });
    let (got, next) = asked(toy(legs));
    assert!(got.blend.as_ref().unwrap().date.iter().all(|date| *date < day(3)));
    assert_eq!(next.orders.len(), 2);
}

/// 100 shares short of A at 10 are worth -2500 on day 2, with 2000 in cash.
#[test]
fn an_account_that_is_worth_nothing_orders_nothing() {
    for policy in ["stop", "continue"] {
        let toy = Toy::flat(&[("A", &[10.0, 10.0, 25.0])])
            .with(json!({
                "strategy": { "class": "LongShortTopNStrategy", "parameters": { "k_short": 1 } },
                "sizing": { "class": "LongShortScoreSizer", "parameters": { "gross_target": 1, "net_target": -1 } },
                "constraints": { "allow_short": true },
                "broker": { "on_ruin": policy },
            }))
            .signal("composite_percentile", &[("A", &[1.0; 3])]);
        let (got, next) = asked(toy);
        assert!(got.summary.final_equity < 0.0, "{}", got.summary.final_equity);
        assert_eq!((next.orders.len(), next.targets.len()), (0, 0), "{policy}");
    }
}

/// Day 4 is a Friday; whether the Monday after it is a trading day, no bar tells yet.
#[test]
fn a_rebalance_that_may_have_moved_to_the_last_day_is_warned_of() {
    let toy = |shift: &str| {
        Toy::flat(&[("A", &[10.0; 5])])
            .signal("s", &[("A", &[1.0; 5])])
            .with(json!({
                "strategy": {
                    "type": "configured",
                    "rebalance": { "freq": "weekly", "weekday": "mon", "allow_nontrading_shift": shift },
                    "scoring": { "type": "column", "column": "s" },
                    "selection": { "type": "topn", "topn": { "n": 1 } },
                },
                "output": { "save_orders": true },
            }))
            .run()
    };
    let about_orders = |outcome: &Outcome| -> Vec<String> {
        said(outcome).into_iter().filter(|warning| warning.starts_with("output.save_orders")).collect()
    };
    assert_eq!(
        about_orders(&toy("prev")),
        [
            "output.save_orders: strategy.rebalance.allow_nontrading_shift: prev hangs on the date of the next bar; a \
          rebalance that moves to the last day is not among its orders"
        ]
    );
    assert!(about_orders(&toy("next")).is_empty());
}
