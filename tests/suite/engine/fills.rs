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

/// Nine weights of one ninth sum to a hair more than 1, which is not a breach.
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

/// Orders that find no bar are listed and counted, whichever word the policy has.
#[test]
fn orders_without_a_bar_are_listed() {
    for policy in ["skip", "reject"] {
        let toy = Toy::flat(&[("A", &[10.0, 10.0, NONE, 10.0]), ("B", &[10.0, 10.0, 20.0, 10.0])])
            .with(json!({ "broker": { "on_missing_price": policy } }));
        let got = toy.run();
        let rejected = &got.rejected;
        assert_eq!((rejected.date[0], rejected.reason[0]), (day(2), RejectReason::MissingOpenPrice));
        assert!(rejected.quantity[0].is_some_and(f64::is_finite));
        assert_eq!(got.summary.account_of.orders_without_bar, 1);
        assert_eq!(got.summary.account_of.rejected_orders["missing_open_price"], 1);
    }
}

/// A halts on days 1 and 2. Its order waits for day 3, sized by the equity of that day; a decision takes its place.
#[test]
fn an_order_may_wait_for_the_next_bar() {
    let b = [10.0, 10.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0];
    let toy = |a: [f64; 9], rebalance: &str| {
        Toy::flat(&[("A", &a), ("B", &b)]).with(json!({
            "strategy": { "class": "StaticUniverseStrategy", "parameters": { "rebalance": rebalance } },
            "broker": { "unfilled": "next_bar" },
        }))
    };
    let mut halted = [10.0; 9];
    halted[1..3].fill(NONE);
    let got = toy(halted, "annually").run();
    // 500 buy 50 of B at 10, which are worth 1000 on day 3: equity is 1500, half of it 75 of A.
    assert_eq!(fills(&got), [(day(1), "B".to_owned(), 50.0), (day(3), "A".to_owned(), 75.0)]);
    assert!(got.rejected.date.is_empty());
    assert_eq!(got.summary.account_of.orders_without_bar, 1);

    let mut gone = [NONE; 9];
    gone[0] = 10.0;
    let got = toy(gone, "annually").run();
    assert_eq!(fills(&got).len(), 1);
    assert_eq!(
        (got.rejected.date.as_slice(), got.rejected.reason[0]),
        (&[day(6)][..], RejectReason::MissingOpenPrice)
    );

    let dropped = toy(halted, "annually").with(json!({ "broker": { "unfilled": "drop" } })).run();
    assert_eq!(fills(&dropped), [(day(1), "B".to_owned(), 50.0)]);
    assert_eq!(dropped.rejected.date, [day(1)]);
}

/// In a composite what waited is shared out as the legs' weights are.
#[test]
fn waiting_orders_of_a_composite_go_to_the_legs_that_want_them() {
    let mut a = [10.0; 6];
    a[1] = NONE;
    let leg = |name: &str, symbol: &str, weight: f64| {
        json!({ "name": name, "weight": weight, "strategy": {
            "class": "BuyAndHoldStrategy", "parameters": { "symbol": symbol, "rebalance": "annually" } } })
    };
    let got = Toy::flat(&[("A", &a), ("B", &[10.0; 6])])
        .with(json!({
            "strategy": { "type": "composite", "legs": [leg("one", "A", 0.25), leg("two", "B", 0.75)] },
            "broker": { "unfilled": "next_bar" },
        }))
        .run();
    assert_eq!(fills(&got), [(day(1), "B".to_owned(), 75.0), (day(2), "A".to_owned(), 25.0)]);
}

/// A billionth of a share is neither an order nor a holding.
#[test]
fn dust_is_no_order() {
    let toy = Toy::flat(&[("A", &[1e13; 4])]).with(
        json!({ "strategy": { "class": "BuyAndHoldStrategy", "parameters": { "rebalance": "annually" } } }),
    );
    let got = toy.run();
    assert!(fills(&got).is_empty(), "1000 at a price of 1e13 are 1e-10 shares");
    assert!(got.rejected.date.is_empty());
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

/// Short 100 shares at 10 with equity of 1000: at 25 everything and 500 more is lost. The run ends on that day, or goes
/// on with figures of days and returns that end there.
#[test]
fn ruin_is_named_with_its_day() {
    let toy = |policy: &str| {
        Toy::flat(&[("A", &[10.0, 10.0, 25.0, 25.0, 5.0])])
            .with(json!({
                "strategy": {
                    "class": "LongShortTopNStrategy",
                    "parameters": { "k_short": 1, "rebalance": "annually" },
                },
                "sizing": {
                    "class": "LongShortScoreSizer",
                    "parameters": { "gross_target": 1, "net_target": -1 },
                },
                "constraints": { "allow_short": true },
                "broker": { "on_ruin": policy },
            }))
            .signal("composite_percentile", &[("A", &[1.0; 5])])
            .run()
    };
    let stopped = toy("stop");
    assert_eq!(stopped.daily.date, [day(0), day(1), day(2)]);
    assert_eq!((stopped.summary.final_equity, stopped.summary.ruined_on), (-500.0, Some(day(2))));
    assert_eq!(stopped.summary.annualized_return, None);
    assert_eq!(stopped.daily.daily_return, [0.0, 0.0, -1.5]);
    assert!(stopped.summary.warnings.iter().any(|said| said.contains("ruin on 2024-01-03")));

    let went_on = toy("continue");
    assert_eq!((went_on.summary.final_equity, went_on.summary.ruined_on), (1500.0, Some(day(2))));
    let daily = &went_on.daily;
    for column in [&daily.daily_return, &daily.gross_exposure, &daily.net_exposure, &daily.turnover] {
        assert!(
            column[..3].iter().all(|value| value.is_finite())
                && column[3..].iter().all(|value| value.is_nan())
        );
    }
    let (a, b) = (&stopped.summary, &went_on.summary);
    assert_eq!((a.annualized_volatility, a.var_95), (b.annualized_volatility, b.var_95), "up to that day");
    assert_eq!(b.annualized_return, None);
}

/// Nothing trades at a price that is not above 0, so that it is not a value either.
#[test]
fn an_impossible_price_moves_no_other_position() {
    let mut bars = vec![[10.0; 4]; 5];
    bars[3][0] = 0.0;
    let toy = Toy::new(&[("A", bars), ("B", vec![[10.0; 4]; 5])]);
    assert_eq!(trading_days(&toy.run()), [day(1)]);
}
