//! Fills, holdings and constraints on markets small enough to compute by hand; above all where this engine does
//! better than the implementation that it replaces.

use backtest_functions::engine::RejectReason;
use serde_json::json;

use crate::support::toy::{NONE, Toy, day, fills, near, trading_days};

/// 1000 buys 10 at 100. Without a bar on day 2 the holding stands at 110, its last close: 1100, not 0.
#[test]
fn a_holding_without_a_bar_keeps_its_last_price() {
    let toy = Toy::flat(&[("A", &[100.0, 100.0, 110.0, NONE, 120.0, 120.0]), ("Z", &[1.0; 6])])
        .with(json!({ "strategy": { "class": "BuyAndHoldStrategy" } }));
    let got = toy.run();
    assert!(near(got.daily.portfolio_value[3], 1100.0) && near(got.daily.portfolio_value[4], 1200.0));
    let rows = got.position_table(&toy.market());
    let stale: Vec<_> = rows.date.iter().zip(&rows.stale).filter(|(_, stale)| **stale).collect();
    assert_eq!(stale, [(&day(3), &true)]);
    assert!(got.trades.execution_date.iter().all(|date| *date != day(3)), "nothing trades without a bar");
}

/// Bought at 100 on day 1, last bar on day 2 at 90. Two bars later it is closed at 90, once, without costs.
#[test]
fn a_holding_that_stops_trading_is_closed_at_its_last_price() {
    let toy = Toy::flat(&[("A", &[100.0, 100.0, 90.0, NONE, NONE, NONE]), ("Z", &[1.0; 6])]).with(json!({
        "strategy": { "class": "BuyAndHoldStrategy", "parameters": { "rebalance": "annually" } },
        "broker": { "max_stale_days": 2, "commission": 0.01 },
    }));
    let got = toy.run();
    assert_eq!(got.delisted.len(), 1);
    let gone = &got.delisted[0];
    assert_eq!((gone.date, gone.last_bar, gone.price), (day(4), day(2), 90.0));
    assert_eq!(got.daily.commission[4], 0.0);
    assert!(near(got.daily.cash[4], got.daily.portfolio_value[4]));
    assert!(got.summary.warnings.iter().any(|w| w.starts_with("A: delisted")), "{:?}", got.summary.warnings);
}

/// What nobody knows cannot be kept to; before anything is traded the option is named.
#[test]
fn a_participation_cap_needs_volumes() {
    let capped = json!({ "broker": { "max_participation_rate": 0.1 } });
    let mut toy = Toy::flat(&[("A", &[100.0; 3])]).with(capped);
    toy.chunks.iter_mut().for_each(|chunk| chunk.volume.clear());
    let refused = toy.try_run().unwrap_err();
    assert!(refused.to_string().contains("broker.max_participation_rate"), "{refused}");
}

/// Bought at 100; 10 % below that on day 2, so sold at the next fill, whatever the strategy wants.
#[test]
fn a_stop_loss_closes_the_position_at_the_next_fill() {
    let toy = Toy::flat(&[("A", &[100.0, 100.0, 90.0, 80.0, 80.0])]).with(json!({
        "strategy": { "class": "BuyAndHoldStrategy", "parameters": { "rebalance": "annually" } },
        "constraints": { "stop_loss": 0.1 },
    }));
    let got = toy.run();
    assert_eq!(fills(&got), [(day(1), "A".to_owned(), 10.0), (day(3), "A".to_owned(), -10.0)]);
    let hit = &got.constraint_hits[0];
    assert_eq!((hit.constraint, hit.as_of, hit.after), ("stop_loss", day(2), Some(0.0)));
}

/// The stop of one holding leaves the others alone when there is no decision.
#[test]
fn a_stop_loss_trades_nothing_else() {
    let toy = Toy::flat(&[("A", &[100.0, 100.0, 80.0, 80.0, 80.0]), ("B", &[10.0, 10.0, 11.0, 11.0, 11.0])])
        .with(json!({
            "strategy": { "parameters": { "rebalance": "annually" } },
            "constraints": { "stop_loss": 0.1 },
        }));
    let got = toy.run();
    let sold: Vec<_> = fills(&got).into_iter().filter(|(date, ..)| *date > day(1)).collect();
    assert_eq!(sold, [(day(3), "A".to_owned(), -5.0)]);
}

/// Decided at the close of day 0, filled at the close of day 1 instead of its open.
#[test]
fn next_close_fills_at_the_close() {
    let toy = Toy::new(&[("A", vec![[100.0; 4], [100.0, 125.0, 100.0, 125.0], [125.0; 4]])]).with(json!({
        "strategy": { "class": "BuyAndHoldStrategy", "parameters": { "rebalance": "annually" } },
        "broker": { "fill_policy": "next_close" },
    }));
    assert_eq!(fills(&toy.run()), [(day(1), "A".to_owned(), 8.0)]);
}

/// With a volume of 25 and a rate of one half the cap is 12.5 shares, which is 10 in lots of 10.
#[test]
fn the_participation_cap_respects_lots() {
    let mut toy = Toy::flat(&[("A", &[10.0; 3])]).with(json!({
        "strategy": { "class": "BuyAndHoldStrategy", "parameters": { "rebalance": "annually" } },
        "broker": { "max_participation_rate": 0.5, "lot_size": 10, "allow_fractional_shares": false },
    }));
    toy.chunks[0].volume = vec![25.0; 3];
    let got = toy.run();
    assert_eq!(fills(&got), [(day(1), "A".to_owned(), 10.0)]);
    assert_eq!(got.rejected.reason, [RejectReason::ParticipationCap]);
    assert_eq!(got.rejected.quantity, [Some(90.0)], "the part that did not fill");
}

/// A day on which nobody trades fills nothing; the order is tried again when the strategy asks again.
#[test]
fn zero_volume_fills_nothing() {
    let mut toy = Toy::flat(&[("A", &[10.0; 4])]).with(json!({
        "strategy": { "class": "BuyAndHoldStrategy" },
        "broker": { "max_participation_rate": 0.5 },
    }));
    toy.chunks[0].volume = vec![1e6, 0.0, 1e6, 1e6];
    let got = toy.run();
    assert_eq!(trading_days(&got), [day(2)]);
    assert_eq!((got.rejected.date[0], got.rejected.reason[0]), (day(1), RejectReason::ParticipationCap));
}

/// A sale leaves nothing behind, however the last bit of `shares * price / price` falls.
#[test]
fn an_exit_sells_the_whole_holding() {
    let prices: Vec<f64> = (0..60).map(|n| 4.628_031_f64 + 0.017 * f64::from(n * n % 23)).collect();
    let toy = Toy::flat(&[("A", &prices)])
        .with(json!({ "initial_cash": 73_191.514_7, "strategy": { "class": "TopNSignalStrategy" } }));
    let on_and_off: Vec<f64> = (0..60).map(|n| if n % 2 == 0 { 1.0 } else { NONE }).collect();
    let got = toy.signal("composite_percentile", &[("A", &on_and_off)]).run();
    assert_eq!(got.trades.symbol.len(), 59);
    for (day, start) in got.holdings.start.iter().enumerate() {
        let end = got.holdings.start.get(day + 1).copied().unwrap_or(got.holdings.symbol.len());
        assert_eq!(end - start, (day + 1) % 2, "held on every other day only");
    }
}

/// 0.3 / 0.1 is a hair below 3: three lots all the same, whichever the mode.
#[test]
fn float_noise_costs_no_lot() {
    for mode in ["toward_zero", "nearest", "floor", "ceil"] {
        let toy = Toy::flat(&[("A", &[1.0; 3])]).with(json!({
            "initial_cash": 0.3,
            "strategy": { "class": "BuyAndHoldStrategy", "parameters": { "rebalance": "annually" } },
            "broker": { "lot_size": 0.1, "rounding_mode": mode },
        }));
        assert!(near(fills(&toy.run())[0].2, 0.3), "{mode}");
    }
}

/// Nine weights of one ninth sum to a hair more than 1, which is no breach.
#[test]
fn rounding_is_no_breach_of_leverage() {
    let names: Vec<String> = (0..9).map(|n| format!("S{n}")).collect();
    let series: Vec<(&str, &[f64])> = names.iter().map(|name| (name.as_str(), &[10.0; 3][..])).collect();
    assert!(Toy::flat(&series).run().constraint_hits.is_empty());
}

/// Selling everything is a change of 1; with a cap of 0.25 it takes its time.
#[test]
fn the_turnover_cap_holds_for_liquidation() {
    let toy = Toy::flat(&[("A", &[10.0; 6])])
        .with(json!({
            "strategy": { "class": "TopNSignalStrategy" },
            "constraints": { "max_turnover": 0.25 },
        }))
        .signal("composite_percentile", &[("A", &[1.0, 1.0, 1.0, 1.0, NONE, NONE])]);
    let got = toy.run();
    let gross: Vec<f64> = got.daily.gross_exposure.iter().map(|x| (x * 1e9).round() / 1e9).collect();
    assert_eq!(gross, [0.0, 0.25, 0.5, 0.75, 1.0, 0.75]);
}

/// Orders that could not fill are listed only if the policy says so.
#[test]
fn missing_prices_are_rejected_by_name() {
    let run = |policy: &str| {
        let toy = Toy::flat(&[("A", &[10.0, 10.0, NONE, 10.0]), ("B", &[10.0, 10.0, 20.0, 10.0])])
            .with(json!({ "broker": { "on_missing_price": policy } }));
        toy.run().rejected
    };
    let rejected = run("reject");
    assert_eq!((rejected.date[0], rejected.reason[0]), (day(2), RejectReason::MissingOpenPrice));
    assert!(rejected.quantity[0].is_some_and(f64::is_finite));
    assert!(run("skip").date.is_empty());
}

/// A buy of 9.9 shares at 100 is less than a lot of 10, and less than 1000 in money.
#[test]
fn small_orders_are_rejected_with_their_reason() {
    let reason = |broker: serde_json::Value| {
        let toy = Toy::flat(&[("A", &[100.0; 3])]).with(json!({
            "initial_cash": 990,
            "strategy": { "class": "BuyAndHoldStrategy", "parameters": { "rebalance": "annually" } },
            "broker": broker,
        }));
        toy.run().rejected.reason
    };
    assert_eq!(reason(json!({ "lot_size": 10 })), [RejectReason::RoundedToZero]);
    assert_eq!(reason(json!({ "min_trade_shares": 10 })), [RejectReason::MinTradeShares]);
    assert_eq!(reason(json!({ "min_trade_notional": 1000 })), [RejectReason::MinTradeNotional]);
}

/// 10 basis points of slippage and half of 20 of spread: a buy of 1000 at 100 fills at 100.2 and pays 1 %.
#[test]
fn costs_are_those_of_the_book() {
    let toy = Toy::flat(&[("A", &[100.0; 3])]).with(json!({
        "strategy": { "class": "BuyAndHoldStrategy", "parameters": { "rebalance": "annually" } },
        "broker": { "slippage_bps": 10, "spread_bps": 20, "commission": 0.01 },
    }));
    let got = toy.run();
    assert!(near(got.trades.price[0], 100.2) && near(got.trades.commission[0], 10.02));
    assert!(near(got.trades.slippage_cost[0], 2.0));
    assert!(near(got.daily.cash[1], -12.02), "costs come on top; cash may go negative by them");
}

/// Short at 10 with equity of 1000; at 25 everything is lost, and the measures say so without NaN.
#[test]
fn ruin_is_reported_and_not_hidden() {
    let toy = Toy::flat(&[("A", &[10.0, 10.0, 25.0, 25.0, 25.0])])
        .with(json!({
            "strategy": { "class": "LongShortTopNStrategy", "parameters": { "k_short": 1 } },
            "sizing": {
                "class": "LongShortScoreSizer",
                "parameters": { "gross_target": 1, "net_target": -1 },
            },
            "constraints": { "allow_short": true },
        }))
        .signal("composite_percentile", &[("A", &[1.0; 5])]);
    let got = toy.run();
    assert!(got.summary.final_equity < 0.0);
    assert_eq!(got.summary.annualized_return, None);
    let columns = [&got.daily.daily_return, &got.daily.gross_exposure, &got.daily.turnover];
    assert!(columns.iter().all(|column| column.iter().all(|x| x.is_finite())));
}

/// Nothing trades at a price that is not above 0, so that it is no value either.
#[test]
fn an_impossible_price_moves_no_other_position() {
    let mut bars = vec![[10.0; 4]; 5];
    bars[3][0] = 0.0;
    let toy = Toy::new(&[("A", bars), ("B", vec![[10.0; 4]; 5])]);
    assert_eq!(trading_days(&toy.run()), [day(1)]);
}
