//! Columns of the price table under any name, and numbers by day that all symbols share, benchmarks and risk-free rates, from
//! a column of the prices or from a table of their own.

use backtest_functions::engine::config::BacktestConfig;
use backtest_functions::engine::market::DataError;
use backtest_functions::engine::metrics::returns;
use backtest_functions::engine::{Outcome, RunError};
use serde_json::{Value, json};

use crate::support::service::{Home, run};
use crate::support::toy::{NONE, Toy, day, fills, near, said};

/// A pipeline that holds the best by a signal that all have, of those that a filter lets pass.
fn filtered(filter: &Value) -> Value {
    json!({ "strategy": {
        "type": "configured",
        "universe": { "source": "prices", "filters": [filter] },
        "scoring": { "type": "column", "column": "s" },
        "selection": { "type": "topn", "topn": { "n": 2 } },
    } })
}

fn two(filter: &Value) -> Toy {
    Toy::flat(&[("A", &[10.0; 4]), ("B", &[10.0; 4])])
        .signal("s", &[("A", &[1.0; 4]), ("B", &[1.0; 4])])
        .column("vwap", &[9.0, 9.0, 9.0, 9.0, 11.0, 11.0, 11.0, 11.0])
        // Deviations of the last two: 0.01 for A, 0.05 for B; closes do not move at all.
        .column("returns_1d", &[0.0, 0.02, 0.0, 0.02, 0.0, 0.1, 0.0, 0.1])
        .with(filtered(filter))
}

fn held(outcome: &Outcome) -> Vec<String> {
    let mut names: Vec<String> = fills(outcome).into_iter().map(|(_, name, _)| name).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn filters_look_at_the_column_of_the_prices_that_they_name() {
    let price = two(&json!({ "type": "min_price", "column": "VWAP", "value": 10 }));
    assert_eq!(held(&price.run()), ["B"]);
    // Shares at vwap: 9 and 11 million a day.
    let traded = two(
        &json!({ "type": "min_dollar_volume", "lookback": 1, "value": 10e6, "price_col": "vwap", "volume_col": "volume" }),
    );
    assert_eq!(held(&traded.run()), ["B"]);
    let calm = two(&json!({ "type": "max_volatility", "lookback": 2, "value": 0.02 }));
    assert_eq!(held(&calm.run()), ["A"], "the column of returns goes before returns of closes");
    let named =
        two(&json!({ "type": "max_volatility", "lookback": 2, "value": 0.02, "returns_col": "vwap" }));
    assert_eq!(held(&named.run()), ["A", "B"], "neither vwap moves");
    let mut none = two(&json!({ "type": "max_volatility", "lookback": 2, "value": 0.02 }));
    none.others.clear();
    none.chunks[0].others.clear();
    assert_eq!(held(&none.run()), ["A", "B"], "without the column closes count");
}

#[test]
fn a_column_that_the_prices_lack_is_refused_by_name() {
    for (filter, lack) in [
        (
            json!({ "type": "min_price", "column": "wvap", "value": 1 }),
            "filter min_price: the price table has no column wvap",
        ),
        (
            json!({ "type": "max_volatility", "value": 1, "returns_col": "ret" }),
            "filter max_volatility: the price table has no column ret",
        ),
        (
            json!({ "type": "min_adv", "value": 1, "volume_col": "shares" }),
            "filter min_adv: the price table has no column shares",
        ),
    ] {
        assert_eq!(two(&filter).try_run().unwrap_err(), RunError::Data(lack.to_owned()));
    }
}

/// Today's 12 is above 11, the highest vwap before, and is bought on the day after; of closes nothing ever moves.
#[test]
fn breakouts_and_means_are_of_the_column_that_they_name() {
    let toy = |column: &str, exits: Value| {
        Toy::flat(&[("A", &[10.0; 6])]).column("vwap", &[10.0, 11.0, 12.0, 12.0, 8.0, 8.0]).with(
            json!({ "strategy": {
            "type": "configured",
            "universe": { "source": "prices" },
            "scoring": { "type": "price_breakout", "lookback": 2, "price_col": column },
            "selection": { "type": "topn", "topn": { "n": 1 } },
            "holding_policy": null,
            "exits": { "rules": [exits] },
        } }),
        )
    };
    let never = json!({ "type": "time_stop", "days": 0 });
    assert!(fills(&toy("close", never.clone()).run()).is_empty());
    assert_eq!(fills(&toy("vwap", never).run())[0].0, day(3));
    // The mean of two is 12 on day 3, above the close of 10: sold on day 4.
    let below = toy("vwap", json!({ "type": "trailing_ma", "days": 2, "price_col": "vwap" })).run();
    assert_eq!(fills(&below)[1].0, day(4));
    let unknown = toy("vwap", json!({ "type": "trailing_ma", "days": 2, "price_col": "wvap" })).run();
    assert!(
        said(&unknown).contains(&"trailing_ma had no effect: the price table has no column wvap".to_owned()),
        "{:?}",
        said(&unknown)
    );
}

/// An index that doubles on day 2 and has no level on day 1.
#[test]
fn a_benchmark_may_be_a_column_of_the_prices() {
    let index = [50.0, NONE, 100.0, 100.0];
    let toy = Toy::flat(&[("A", &[10.0; 4]), ("B", &[10.0; 4])])
        .column("spx", &[index, index].concat())
        .with(json!({ "benchmark": { "column": "SPX" } }));
    let got = toy.run();
    assert_eq!(got.benchmark.unwrap(), [1.0, 1.0, 2.0, 2.0]);
    assert_eq!(got.summary.benchmark.unwrap().name, "SPX");

    let mut twice = toy.clone();
    twice.chunks[0].others[0][6] = 101.0;
    let error = twice.try_market().unwrap_err();
    assert_eq!(
        error.to_string(),
        "benchmark: the column SPX says 100 and 101 on 2024-01-03; all rows of a day must say the same"
    );
    let missing = toy.with(json!({ "benchmark": { "column": "sp500" } })).try_market().unwrap_err();
    assert!(matches!(missing, DataError::Lacks { what: "benchmark", .. }), "{missing}");
}

/// Returns of 0, 1 %, -1 % over rates of 0, 0.1 %, 0.2 % a day.
#[test]
fn ratios_are_over_the_rate_of_each_day() {
    let rates = [0.0, 0.0, 0.001, 0.002];
    let toy = |series: Value, scale: f64| {
        Toy::flat(&[("A", &[100.0, 100.0, 101.0, 99.99])])
            .column("rf", &rates.map(|rate| rate * scale))
            .with(json!({ "strategy": { "class": "BuyAndHoldStrategy" }, "risk_free_rate": series }))
    };
    let daily = toy(json!({ "column": "rf", "per": "day" }), 1.0).run().summary;
    let excess = [0.0, 0.009, -0.012];
    let periods = daily.periods_per_year;
    let close = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-9;
    assert!(close(daily.sharpe_ratio, returns::sharpe_ratio(&excess, 0.0, periods)));
    assert!(close(daily.sortino_ratio, returns::sortino_ratio(&excess, 0.0, periods)));
    let year = |rate: f64| (1.0 + rate).powf(periods) - 1.0;
    assert!(near(daily.risk_free_rate, rates.map(year).iter().sum::<f64>() / 4.0));
    let percent = toy(json!({ "column": "rf", "per": "day", "unit": "percent" }), 100.0).run().summary;
    assert!(close(percent.sharpe_ratio, daily.sharpe_ratio));
    // The same on all days is what one number is.
    let constant = toy(json!({ "column": "rf" }), 0.0).run().summary;
    assert!(close(constant.sharpe_ratio, toy(json!(0), 1.0).run().summary.sharpe_ratio));
    let wrong = toy(json!({ "column": "rf" }), 2000.0).try_market().unwrap_err();
    assert!(wrong.to_string().contains("rf says 2 on 2024-01-03, which is not a rate"), "{wrong}");
    let late = toy(json!({ "column": "rf" }), NONE).try_market().unwrap_err();
    assert!(late.to_string().contains("rf has no rate on 2024-01-01 or before"), "{late}");
}

#[test]
fn a_series_says_where_its_numbers_stand() {
    for (part, expected) in [
        (json!({ "benchmark": {} }), "benchmark.column: is required: a column of the price table"),
        (json!({ "benchmark": { "column": "x", "symbol": "S" } }), "benchmark.symbol: needs a path"),
        (json!({ "benchmark": { "colum": "x" } }), "did you mean \"column\"?"),
        (json!({ "benchmark": ["SPY"] }), "benchmark: must be text"),
        (json!({ "risk_free_rate": { "path": "x.csv" } }), "risk_free_rate.column: is required"),
        (
            json!({ "risk_free_rate": { "column": "x", "per": "month" } }),
            "risk_free_rate.per: must be one of year, day",
        ),
        (json!({ "risk_free_rate": 11 }), "risk_free_rate: must be in [-0.99, 10]"),
    ] {
        let mut config = Toy::flat(&[("A", &[10.0])]).config;
        config.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        let faults = BacktestConfig::from_value(&config).unwrap_err();
        assert!(faults.iter().any(|fault| fault.to_string().contains(expected)), "{part}: {faults:?}");
    }
    let series = json!({ "path": "x.csv", "column": "rf", "symbol": null, "per": "year", "unit": "percent" });
    let toy = Toy::flat(&[("A", &[10.0])]).with(json!({ "risk_free_rate": series }));
    assert_eq!(toy.config().resolved()["risk_free_rate"], series);
}

const BARS: &str = "date,symbol,open,close\n2024-01-02,A,10,10\n2024-01-03,A,10,11\n2024-01-04,A,11,12\n";

/// Runs buy and hold with a part of a config, and answers exit code, summary and what was said.
fn backtest(home: &Home, more: &str) -> (Option<i32>, Value, String) {
    let config = format!(
        "start_date: 2024-01-02\nend_date: 2024-01-04\nuniverse: {{symbols: [A]}}\ninitial_cash: 1000\n\
         data: {{price_path: bars.csv}}\nstrategy: {{class: BuyAndHoldStrategy}}\n{more}\n"
    );
    std::fs::write(home.path().join("bars.csv"), BARS).unwrap();
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    let output = run(&["run", "config.yaml", "--out", "out", "--output", "json"], home.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

#[test]
fn benchmarks_and_rates_are_read_from_files_of_their_own() {
    let home = Home::empty();
    // The level of the 30th holds until the 4th; an adjusted close goes before a close.
    let index =
        "Date,Ticker,Close,Adj Close\n2023-12-29,SPX,99,50\n2024-01-04,SPX,99,60\n2024-01-04,NDX,7,7\n";
    std::fs::write(home.path().join("index.csv"), index).unwrap();
    std::fs::write(
        home.path().join("rates.csv"),
        "observation_date,DGS3MO\n2023-12-01,5.2\n2024-01-04,5.4\n",
    )
    .unwrap();
    let (code, summary, said) = backtest(
        &home,
        "benchmark: {path: index.csv, symbol: SPX}\nrisk_free_rate: {path: rates.csv, column: DGS3MO, unit: percent}",
    );
    assert_eq!(code, Some(0), "{said}");
    assert!(near(summary["benchmark"]["total_return"].as_f64().unwrap(), 0.2), "{summary}");
    assert_eq!(summary["benchmark"]["name"], "SPX");
    assert!(near(summary["risk_free_rate"].as_f64().unwrap(), (0.052 + 0.052 + 0.054) / 3.0), "{summary}");
    let read: Value =
        serde_json::from_slice(&std::fs::read(home.path().join("out/run.json")).unwrap_or_default())
            .unwrap_or_default();
    assert!(read.is_null() || read["data_versions"]["benchmark"]["content_sha256"].is_string(), "{read}");

    for (more, expected) in [
        ("benchmark: {path: index.csv}", "benchmark.symbol: must say whose rows count: SPX, NDX"),
        ("benchmark: {path: index.csv, symbol: SPXX}", "for SPXX; did you mean SPX?"),
        (
            "benchmark: {path: index.csv, symbol: SPX, column: clsoe}",
            "there is no column 'clsoe'; did you mean Close?",
        ),
        ("benchmark: {path: gone.csv}", "benchmark.path"),
        ("benchmark: {path: 'x/{symbol}.csv'}", "benchmark.path: must be one table or file"),
        (
            "risk_free_rate: {path: rates.csv, column: DGS3MO}",
            "DGS3MO says 5.2 on 2023-12-01, which is not a rate",
        ),
    ] {
        let (code, _, said) = backtest(&home, more);
        assert_ne!(code, Some(0), "{more}");
        assert!(said.contains(expected), "{more}: {said}");
    }
}

#[test]
fn names_that_the_data_lack_come_with_those_that_may_have_been_meant() {
    let home = Home::empty();
    for (more, expected) in [
        (
            "universe: {symbols: [AA]}",
            "no price row for the universe between 2024-01-02 and 2024-01-04; check universe, dates and price_path; AA; did you mean A?",
        ),
        ("benchmark: B", "benchmark B: no price between 2024-01-02 and 2024-01-04; did you mean A?"),
        (
            "strategy: {type: configured, universe: {filters: [{type: min_price, column: opn, value: 1}]}, \
             scoring: {type: price_breakout}, selection: {type: topn, topn: {n: 1}}}",
            "filter min_price: the price table has no column 'opn'; did you mean open?",
        ),
        (
            "data: {price_path: bars.csv, signal_path: signals.csv}\n\
             strategy: {class: TopNSignalStrategy, parameters: {signal_column: momentun}}",
            "the signal table has no such column; did you mean momentum?",
        ),
    ] {
        std::fs::write(home.path().join("signals.csv"), "date,symbol,momentum\n2024-01-02,A,1\n").unwrap();
        // The later of two keys is refused, so that the given one takes the place of the usual one.
        let key = more.split(':').next().unwrap();
        let lines = [
            "universe: {symbols: [A]}",
            "data: {price_path: bars.csv}",
            "strategy: {class: BuyAndHoldStrategy}",
        ];
        let kept = lines
            .iter()
            .filter(|line| !more.split('\n').any(|part| part.starts_with(line.split(':').next().unwrap())));
        let config = format!(
            "start_date: 2024-01-02\nend_date: 2024-01-04\n{}\n{more}\n",
            kept.copied().collect::<Vec<_>>().join("\n")
        );
        std::fs::write(home.path().join("bars.csv"), BARS).unwrap();
        std::fs::write(home.path().join("config.yaml"), config).unwrap();
        let output = run(&["run", "config.yaml", "--out", "out"], home.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{key}: {said}");
    }
}

/// A date that is missing, or none, is one fault and not two.
#[test]
fn a_missing_day_is_one_fault() {
    for (part, expected) in [
        (json!({ "end_date": null }), "end_date: is required"),
        (json!({ "start_date": null }), "start_date: is required"),
        (json!({ "end_date": "2024-13-01" }), "end_date: must be a date as YYYY-MM-DD, got \"2024-13-01\""),
    ] {
        let mut config = Toy::flat(&[("A", &[10.0])]).config;
        config.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        let faults = BacktestConfig::from_value(&config).unwrap_err();
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
}

/// What an option without effect, a missing file of a symbol and an unused column would have a run say is said before.
#[tokio::test]
async fn validate_says_what_a_run_would_warn_of() {
    let home = Home::empty();
    for (symbol, column) in [("A", "adj_last"), ("B", "close_2")] {
        std::fs::create_dir_all(home.path().join("bars")).unwrap();
        let rows = format!("date,open,close,{column}\n2024-01-02,10,10,5\n2024-01-03,10,10,5\n");
        std::fs::write(home.path().join(format!("bars/{symbol}.csv")), rows).unwrap();
    }
    let config = json!({
        "start_date": "2024-01-02", "end_date": "2024-01-03",
        "universe": { "symbols": ["A", "B", "C"] },
        "data": { "price_path": home.path().join("bars/{symbol}.csv") },
        "strategy": { "class": "BuyAndHoldStrategy" },
        "broker": { "rounding_mode": "floor" },
    });
    let handler = home.handler(&[("BACKTEST_ALLOW_LOCAL_DATA", "true")]).await;
    let validated = handler.post("/api/backtests/validate", &json!({ "config": config })).await.json();
    let before: Vec<String> = serde_json::from_value(validated["warnings"].clone()).unwrap();
    assert_eq!(before.len(), 3, "{validated}");
    for (said, begins) in before.iter().zip([
        "broker.rounding_mode has no effect",
        "the column 'adj_last' of the prices looks like an adjusted close",
        "data.price_path: there is nothing at",
    ]) {
        assert!(said.starts_with(begins), "{said}");
    }
    std::fs::write(home.path().join("config.json"), config.to_string()).unwrap();
    let output = run(&["run", "config.json", "--out", "out", "--output", "json"], home.path());
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let after: Vec<String> = serde_json::from_value(summary["warnings"].clone()).unwrap_or_default();
    assert!(before.iter().all(|said| after.contains(said)), "{before:?} {after:?}");
}
