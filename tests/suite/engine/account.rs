//! What became of what was asked: every count made again from the files of a run, on real prices, and by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::service::{Home, run_well};
use crate::support::toy::{NONE, Toy, day};

/// The rows of a CSV file by column name.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}

fn counted<'a>(kinds: impl Iterator<Item = &'a str>) -> Value {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    kinds.for_each(|kind| *counts.entry(kind).or_default() += 1);
    json!(counts)
}

/// A pipeline that wants two longs and two shorts a month, a sizer with room for one of each, no shorts allowed, less
/// leverage than asked for, and small orders refused.
#[test]
fn every_count_can_be_made_again_from_the_files() {
    let home = Home::with_prices();
    let config = json!({
        "start_date": "2005-01-03", "end_date": "2013-03-01",
        "universe": { "symbols": ["*"] },
        "strategy": {
            "type": "configured",
            "universe": { "source": "prices" },
            "rebalance": { "freq": "monthly" },
            "scoring": { "type": "column", "column": "momentum_60d" },
            "selection": { "type": "long_short_topn", "long_short_topn": { "long_n": 2, "short_n": 2 } },
            "debug": { "record_intermediates": true },
        },
        "sizing": {
            "class": "LongShortScoreSizer",
            "parameters": { "max_longs": 1, "max_shorts": 1, "gross_target": 1.6, "net_target": 0.2 },
        },
        "constraints": { "allow_short": false, "max_position_size": 0.8, "max_leverage": 0.7 },
        "broker": { "min_trade_notional": 30_000 },
    });
    let path = home.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let lake = home.lake();
    let args = [
        "run",
        path.to_str().unwrap(),
        "--lake",
        lake.to_str().unwrap(),
        "--run-id",
        "counted",
        "--out",
        "out",
    ];
    run_well(&args, home.path());
    let folder = home.path().join("out/counted");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let summary: Value = serde_json::from_str(&read("summary.json")).unwrap();
    let account = &summary["account_of"];

    let hits: Value = serde_json::from_str(&read("constraint_hits.json")).unwrap();
    let kinds = hits.as_array().unwrap().iter().map(|hit| hit["constraint"].as_str().unwrap());
    assert_eq!(account["hits"], counted(kinds));
    let rejected = rows(&folder.join("rejected_orders.csv"));
    assert_eq!(account["rejected_orders"], counted(rejected.iter().map(|row| row["reason"].as_str())));
    assert!(account["hits"]["max_leverage"].as_u64() > Some(10), "{account}");
    assert!(account["rejected_orders"]["min_trade_notional"].as_u64() > Some(0), "{account}");

    let daily = rows(&folder.join("daily_metrics.csv"));
    let in_cash = daily.iter().filter(|row| number(row, "gross_exposure") == 0.0).count();
    assert_eq!(account["days_in_cash"], json!(in_cash));

    let scores = rows(&folder.join("strategy_debug/scores.csv"));
    let decided: BTreeSet<&str> = scores.iter().map(|row| row["date"].as_str()).collect();
    let shorts = scores.iter().filter(|row| number(row, "value") < 0.0).count();
    let named = account["decisions"].as_u64().unwrap() - account["decisions_without_names"].as_u64().unwrap();
    assert_eq!(named as usize, decided.len());
    assert_eq!(account["names_wanted"], json!(scores.len()));
    assert_eq!(account["shorts_wanted"], json!(shorts));
    // Of each decision the sizer takes one long and, where there are any, one short, which is not allowed.
    let shorts_of =
        |date: &&&str| scores.iter().any(|row| row["date"] == **date && number(row, "value") < 0.0);
    let dropped = decided.iter().filter(shorts_of).count();
    assert_eq!(account["shorts_dropped_by_allow_short"], json!(dropped));
    assert_eq!(account["shorts_dropped_by_sizer"], json!(shorts - dropped));
    let longs = decided
        .iter()
        .filter(|date| scores.iter().any(|row| row["date"] == ***date && number(row, "value") > 0.0));
    assert_eq!(account["names_cut"], json!(scores.len() - dropped - longs.count()));

    // What was reached is seen at the close of the day after each decision.
    let after = |date: &str| &daily[daily.iter().position(|row| row["date"] == date).unwrap() + 1];
    let reached: f64 = decided.iter().map(|date| number(after(date), "gross_exposure")).sum();
    let filled = account["decisions"].as_u64().unwrap() as f64;
    assert!((account["gross_reached"].as_f64().unwrap() - reached / filled).abs() < 1e-12);
    for field in
        ["names_cut", "shorts_dropped_by_sizer", "shorts_dropped_by_allow_short", "hits", "gross_reached"]
    {
        assert!(account["notable"].as_array().unwrap().contains(&json!(field)), "{field}: {account}");
    }
    let warnings = summary["warnings"].as_array().unwrap();
    let said = warnings.iter().filter(|said| said.as_str().unwrap().starts_with("what limits did")).count();
    assert_eq!(said, 1, "one warning");

    let page = read("report.html");
    assert!(page.contains("What limits did") && page.contains("names wanted got no weight from the sizer"));
}

/// Nothing was limited: nothing is said, on the page neither.
#[test]
fn a_run_without_limits_says_nothing_of_them() {
    let prices: Vec<f64> = (0..80).map(|n| 10.0 + f64::from(n % 3)).collect();
    let toy = Toy::flat(&[("A", &prices)]).with(json!({ "end_date": day(79).to_string() }));
    let summary = toy.run().summary;
    assert_eq!(summary.account_of.notable, [""; 0]);
    assert_eq!(summary.warnings, [""; 0]);
}

/// B has no bar from day 3 on; it is held to the end at its last close, and that is said.
#[test]
fn a_holding_that_is_carried_to_the_end_is_named() {
    let toy = Toy::flat(&[("A", &[10.0; 6]), ("B", &[10.0, 10.0, 10.0, NONE, NONE, NONE])]);
    let summary = toy.run().summary;
    assert_eq!(summary.account_of.holdings_without_bar, ["B"]);
    assert!(summary.warnings.iter().any(|said| said.contains("without a bar: B (broker.max_stale_days")));
}

/// A signal dated on a Saturday is not seen, which is said; aligned it counts on Monday, unless Monday has its own.
#[test]
fn signals_of_days_without_trading_are_counted_or_aligned() {
    let saturday = day(4).succ_opt().unwrap().to_epoch_days();
    let toy = |alignment: &str, own_on_monday: bool| {
        let mut toy = Toy::flat(&[("A", &[10.0; 8]), ("B", &[10.0; 8])])
            .with(json!({
                "strategy": {
                    "class": "TopNSignalStrategy",
                    "parameters": { "top_n": 1, "rebalance": "daily" },
                },
                "data": { "signal_alignment": alignment },
            }))
            .signal("composite_percentile", &[("A", &[1.0]), ("B", &[0.5])]);
        let rows = toy.signals.as_mut().unwrap();
        let monday = day(5).to_epoch_days();
        let mut add = |date: i32, symbol: u32, value: f64| {
            rows.date.push(date);
            rows.symbol.push(symbol);
            rows.columns[0].1.push(value);
        };
        if own_on_monday {
            add(monday, 1, 0.1);
            add(monday, 0, 0.2);
        }
        add(saturday, 0, 0.3);
        add(saturday, 1, 0.9);
        toy.run()
    };
    let bought = |outcome: &backtest_functions::engine::Outcome| -> Vec<String> {
        let trades = &outcome.trades;
        let buys = (0..trades.symbol.len()).filter(|&row| trades.quantity[row] > 0.0);
        buys.map(|row| outcome.name(trades.symbol[row]).to_owned()).collect()
    };
    let unseen = toy("same_day", false);
    assert_eq!(bought(&unseen), ["A"]);
    assert_eq!(unseen.summary.account_of.signal_days_without_trading, 1);
    assert!(unseen.summary.warnings.iter().any(|said| said.contains("data.signal_alignment")));
    let seen = toy("next_trading_day", false);
    assert_eq!(bought(&seen), ["A", "B"], "B of Saturday on Monday");
    assert!(!seen.summary.warnings.iter().any(|said| said.contains("data.signal_alignment")));
    assert_eq!(bought(&toy("next_trading_day", true)), ["A", "A"], "Monday's own rows are the later ones");
}
