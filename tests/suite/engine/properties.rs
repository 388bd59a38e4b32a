//! What must hold for every market and every strategy, tried on random ones.

use backtest_functions::engine::Outcome;
use backtest_functions::engine::market::PriceChunk;
use backtest_functions::engine::metrics::periods::PeriodReturns;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::toy::{NONE, Toy, day, fills, near};

const NAMES: [&str; 5] = ["E", "B", "D", "A", "C"];
const DAYS: usize = 40;

/// Daily steps of a bar: open against the last close, close against the open, room above and below, a signal.
/// Some bars and some signals are missing.
type Step = (f64, f64, f64, f64, f64, u8);

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let move_ = -0.06..0.06;
    let step = (move_.clone(), move_, 0.0..0.02, 0.0..0.02, -1.0..1.0, 0_u8..20);
    prop::collection::vec(prop::collection::vec(step, DAYS), NAMES.len())
}

/// A toy with a signal column `score`, and everything after `last` redrawn from `others`: all but the open of the
/// next bar, at which what was decided on `last` is filled.
fn toy(steps: &[Vec<Step>], redraw: Option<(usize, &[Vec<Step>])>) -> Toy {
    let mut bars = Vec::new();
    let mut signals = Vec::new();
    for (symbol, name) in NAMES.iter().enumerate() {
        let mut close = 50.0 + symbol as f64;
        let (mut rows, mut scores) = (Vec::new(), Vec::new());
        for n in 0..DAYS {
            let (open_move, ..) = steps[symbol][n];
            let (_, close_move, up, down, score, luck) = match redraw {
                Some((last, others)) if n > last => others[symbol][n],
                _ => steps[symbol][n],
            };
            let first_after = redraw.is_some_and(|(last, _)| n == last + 1);
            let open: f64 = close * (1.0 + open_move);
            let next: f64 = open * (1.0 + close_move);
            let bar = [open, open.max(next) * (1.0 + up), open.min(next) * (1.0 - down), next];
            // Whether there is a bar at all is known at its open.
            let gap = if first_after { steps[symbol][n].5 == 0 } else { luck == 0 };
            rows.push(if gap { [NONE; 4] } else { bar });
            scores.push(if luck < 3 { NONE } else { score });
            close = next;
        }
        bars.push((*name, rows));
        signals.push((*name, scores));
    }
    let signals: Vec<(&str, &[f64])> =
        signals.iter().map(|(name, scores)| (*name, scores.as_slice())).collect();
    Toy::new(&bars).signal("score", &signals)
}

/// Strategies of every kind, with sizers and constraints that suit them.
fn config() -> impl Strategy<Value = Value> {
    let long_short_sizer =
        json!({ "class": "LongShortScoreSizer", "parameters": { "weight_mode": "score" } });
    let class = |class: &str, parameters: Value| json!({ "class": class, "parameters": parameters });
    let strategies = vec![
        json!({ "strategy": class("BuyAndHoldStrategy", json!({ "symbol": "B" })) }),
        json!({ "strategy": class("StaticUniverseStrategy", json!({ "rebalance": 3 })) }),
        json!({ "strategy": class("TopNSignalStrategy", json!({ "signal_column": "score", "top_n": 2, "min_signal": 0 })) }),
        json!({
            "strategy": class("LongShortTopNStrategy", json!({
                "signal_column": "score", "k_long": 1, "k_short": 1, "rebalance": "weekly",
                "trailing_ma_days": 4, "stop_loss_pct": 0.05, "max_hold_days": 9, "partial_exit_days": 4,
            })),
            "sizing": long_short_sizer,
            "constraints": { "net_exposure_min": -0.2, "net_exposure_max": 0.4 },
        }),
        json!({
            "strategy": class("BreakoutStrategy", json!({
                "breakout_score_column": "score", "breakdown_score_column": null, "short_from_breakout": true,
                "min_abs_score": 0.7, "take_profit_pct": 0.08, "trailing_stop_pct": 0.05, "time_stop_days": 12,
            })),
            "sizing": long_short_sizer,
            "constraints": { "max_turnover": 0.6, "max_net_exposure": 0.5 },
        }),
        json!({
            "strategy": {
                "type": "configured",
                "rebalance": { "freq": "every_n_days", "every_n_days": 3 },
                "universe": { "source": "intersection", "filters": [{ "type": "max_volatility", "lookback": 5, "value": 0.05 }] },
                "scoring": { "type": "rank_transform", "ascending": true, "base": { "type": "column", "column": "score" } },
                "selection": { "type": "quantiles", "quantiles": { "long_q": 0.7, "short_q": 0.3 } },
                "holding_policy": { "type": "decay", "decay": { "decay_days": 4 } },
                "exits": { "rules": [{ "type": "stop_loss", "pct": 0.06 }, { "type": "partial_exit_after_days", "days": 4 }] },
                "postprocess": { "steps": [{ "type": "sticky_scores", "alpha": 0.4 }] },
            },
            "sizing": long_short_sizer,
            "constraints": { "max_position_size": 0.4, "min_weight_change": 0.02 },
        }),
        json!({
            "strategy": class("TopNSignalStrategy", json!({ "signal_column": "score", "top_n": 3, "rebalance": "weekly" })),
            "sizing": { "class": "KellySizer", "parameters": { "mu_scale": 0.001, "lookback_days": 15 } },
            "constraints": { "max_leverage": 1.5 },
        }),
        json!({
            "strategy": class("TopNSignalStrategy", json!({ "signal_column": "score", "top_n": 4, "rebalance": "weekly" })),
            "sizing": { "class": "RiskParitySizer", "parameters": { "lookback": 8 }, "target_volatility": 0.3, "volatility_lookback": 6 },
        }),
        json!({
            "strategy": class("TopNSignalStrategy", json!({ "signal_column": "score", "top_n": 5, "rebalance": 3 })),
            "sizing": class("HierarchicalRiskParitySizer", json!({ "lookback": 7, "max_positions": 4 })),
        }),
        json!({
            "strategy": class("TopNSignalStrategy", json!({ "signal_column": "score", "top_n": 4, "rebalance": "weekly" })),
            "sizing": class("MinimumVarianceSizer", json!({ "lookback": 8 })),
            "constraints": { "max_position_size": 0.45 },
        }),
        json!({
            "strategy": {
                "type": "composite",
                "legs": [
                    { "name": "one", "weight": 2, "strategy": class("TopNSignalStrategy", json!({ "signal_column": "score", "top_n": 1, "rebalance": "weekly" })) },
                    { "name": "two", "weight": 1, "strategy": class("BuyAndHoldStrategy", json!({ "symbol": "D", "rebalance": "monthly" })) },
                ],
            },
            "constraints": { "max_turnover": 0.5 },
        }),
    ];
    prop::sample::select(strategies).prop_map(|mut config| {
        config["constraints"]["allow_short"] = json!(true);
        config["broker"] = json!({ "slippage_bps": 5, "commission": 0.001 });
        config
    })
}

/// All numbers of two runs, the second scaled down by `factor`, up to day `days`.
fn assert_same(a: &Outcome, b: &Outcome, factor: f64, days: usize) {
    assert_eq!(a.daily.date[..days], b.daily.date[..days]);
    for n in 0..days {
        let (x, y) = (a.daily.portfolio_value[n], b.daily.portfolio_value[n] / factor);
        assert!(near(x, y), "{}: {x} and {y}", a.daily.date[n]);
    }
    let until = a.daily.date[days - 1];
    let (mut x, mut y) = (fills(a), fills(b));
    // Rounding may or may not leave an order of next to nothing.
    let matters = |fill: &(chrono::NaiveDate, String, f64)| fill.0 <= until && fill.2.abs() > 1e-7;
    x.retain(matters);
    y.iter_mut().for_each(|fill| fill.2 /= factor);
    y.retain(matters);
    assert_eq!(x.len(), y.len());
    for (x, y) in x.iter().zip(&y) {
        assert!(
            (x.0, &x.1) == (y.0, &y.1) && (x.2 - y.2).abs() < 1e-6 * x.2.abs().max(1.0),
            "{x:?} and {y:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn twice_the_cash_is_twice_of_everything(steps in steps(), config in config()) {
        let toy = toy(&steps, None).with(config);
        let twice = toy.clone().with(json!({ "initial_cash": 2000 }));
        assert_same(&toy.run(), &twice.run(), 2.0, DAYS);
    }

    #[test]
    fn the_order_of_the_universe_does_not_matter(steps in steps(), config in config(), order in Just(NAMES.to_vec()).prop_shuffle()) {
        let toy = toy(&steps, None).with(config);
        let shuffled = toy.clone().with(json!({ "universe": { "symbols": order } }));
        assert_same(&toy.run(), &shuffled.run(), 1.0, DAYS);
    }

    #[test]
    fn a_symbol_that_is_never_selected_does_not_matter(steps in steps(), config in config()) {
        // Names of its own: all that a strategy can select by is a signal or being named.
        prop_assume!(config["strategy"]["class"] != "StaticUniverseStrategy");
        let toy = toy(&steps, None).with(config);
        let mut more = toy.clone();
        more.symbols.push("AA".to_owned());
        let sevens = vec![7.0; DAYS];
        more.chunks.push(PriceChunk {
            date: (0..DAYS).map(|n| day(n).to_epoch_days()).collect(),
            symbol: vec![NAMES.len() as u32; DAYS],
            open: sevens.clone(),
            high: sevens.clone(),
            low: sevens.clone(),
            close: sevens.clone(),
            volume: sevens,
            ..PriceChunk::default()
        });
        let alone = toy.clone().with(json!({ "universe": { "symbols": NAMES } }));
        let company: Vec<&str> = NAMES.into_iter().chain(["AA"]).collect();
        let more = more.with(json!({ "universe": { "symbols": company } }));
        let (alone, more) = (alone.run(), more.run());
        // On a day on which nobody else has a bar, the newcomer alone makes a trading day.
        prop_assume!(alone.daily.date == more.daily.date);
        assert_same(&alone, &more, 1.0, alone.daily.date.len());
    }

    #[test]
    fn the_future_does_not_matter(steps in steps(), others in steps(), config in config(), last in 1..DAYS - 2) {
        let one = toy(&steps, None).with(config.clone()).run();
        let two = toy(&steps, Some((last, &others))).with(config).run();
        let until = day(last + 1);
        let before = |outcome: &Outcome| {
            let mut fills = fills(outcome);
            fills.retain(|fill| fill.0 <= until);
            fills
        };
        assert_eq!(before(&one), before(&two));
    }

    #[test]
    fn a_shorter_run_is_the_start_of_a_longer_one(steps in steps(), config in config(), last in 1..DAYS) {
        let toy = toy(&steps, None).with(config);
        let long = toy.run();
        let short = toy.with(json!({ "end_date": day(last).to_string() })).run();
        let days = short.daily.date.len();
        assert_eq!(short.daily.portfolio_value, long.daily.portfolio_value[..days]);
        let end = day(last);
        let mut fills_of_long = fills(&long);
        fills_of_long.retain(|fill| fill.0 <= end);
        assert_eq!(fills(&short), fills_of_long);
    }

    /// They are sized at the last close, and so is the next day where it opens there. What has no bar then does not trade.
    #[test]
    fn the_orders_of_the_last_day_are_what_the_next_day_trades(
        steps in steps(), config in config(), last in 1..DAYS - 1, fractional in any::<bool>(),
    ) {
        let mut steps = steps;
        for symbol in &mut steps {
            symbol[last].5 = symbol[last].5.max(1);
            symbol[last + 1].0 = 0.0;
        }
        let place = |name: &str| NAMES.iter().position(|known| *known == name).unwrap();
        let trades_then = |name: &str| steps[place(name)][last + 1].5 != 0;
        prop_assume!(NAMES.into_iter().any(trades_then));
        let toy = toy(&steps, None).with(config).with(json!({ "broker": { "allow_fractional_shares": fractional } }));
        let mut traded = fills(&toy.run());
        traded.retain(|fill| fill.0 == day(last + 1));
        let short = toy.with(json!({ "end_date": day(last).to_string() }));
        let plain = short.run();
        let mut asked = short.with(json!({ "output": { "save_orders": true } })).run();
        let next = asked.next_orders.take().unwrap();
        prop_assert_eq!(plain, asked.clone());
        let orders = next.orders.iter().map(|order| (day(last + 1), asked.name(order.symbol).to_owned(), order.shares_delta));
        let planned: Vec<_> = orders.filter(|(_, name, shares)| *shares != 0.0 && trades_then(name)).collect();
        prop_assert_eq!(planned, traded);
    }

    #[test]
    fn days_marked_together_are_as_days_marked_one_by_one(steps in steps(), config in config()) {
        let toy = toy(&steps, None).with(config);
        // A limit that nothing reaches makes the account look at every day.
        let one_by_one = toy.clone().with(json!({ "broker": { "max_stale_days": 1000 } })).run();
        prop_assert_eq!(toy.run(), one_by_one);
    }

    #[test]
    fn costs_never_raise_equity(steps in steps(), slippage in 0.0..50.0, commission in 0.0..0.01) {
        // Fully invested or not at all, so that every cost is one for good.
        let toy = toy(&steps, None).with(json!({
            "strategy": { "class": "TopNSignalStrategy", "parameters": { "signal_column": "score", "top_n": 2, "min_signal": 0 } },
            "data": { "warmup_days": 0 },
        }));
        let free = toy.run();
        let dear = toy.with(json!({ "broker": { "slippage_bps": slippage, "commission": commission } })).run();
        for n in 0..free.daily.date.len() {
            prop_assert!(dear.daily.portfolio_value[n] <= free.daily.portfolio_value[n] * (1.0 + 1e-9));
        }
    }

    #[test]
    fn months_and_years_compound_to_the_total(steps in steps(), config in config()) {
        let got = toy(&steps, None).with(config).run();
        prop_assume!(got.daily.portfolio_value.iter().all(|value| *value > 0.0));
        let periods = PeriodReturns::of(&got.daily.date, &got.daily.portfolio_value, 1000.0);
        let months: f64 = periods.months().map(|one| 1.0 + one).product();
        let years: f64 = periods.years.iter().filter_map(|year| year.total).map(|total| 1.0 + total).product();
        let quarters: f64 = periods.years.iter().flat_map(|year| year.quarters.iter().flatten()).map(|one| 1.0 + one).product();
        for product in [months, years, quarters] {
            prop_assert!(near(product, 1.0 + got.summary.total_return));
        }
    }
}
