//! Rules of the reference implementation that small cases hold, a folder each: made-up prices and signals, a config, and
//! the trades, the weights or the refusal that must come of it. They go through the program as a user runs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::service::{project, run};
use crate::support::tables::{days, numbers, read_parquet, texts};

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(project("tests/golden/rules")).unwrap().map(|case| case.unwrap().path()).collect();
    cases.sort();
    cases
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Values by day and symbol.
type Table = BTreeMap<(String, String), f64>;

fn table(path: &Path, day: &str, value: &str) -> Table {
    let batch = read_parquet(path);
    let dates = days(&batch, day).unwrap().into_iter().map(|day| {
        let date = chrono::NaiveDate::from_epoch_days(day).unwrap();
        date.to_string()
    });
    let keys = dates.zip(texts(&batch, "symbol").unwrap());
    keys.zip(numbers(&batch, value).unwrap()).collect()
}

/// The first difference, in words.
fn difference(case: &Path) -> Option<String> {
    let out = TempDir::new().unwrap();
    let want = json(&case.join("expected.json"));
    let mut config: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(case.join("config.yaml")).unwrap()).unwrap();
    config["data"]["warmup_days"] = Value::from(0);
    let file = out.path().join("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let folder = out.path().to_str().unwrap();
    let done = run(&["run", file.to_str().unwrap(), "--out", folder, "--run-id", "x"], case);
    let category = match done.status.code() {
        Some(0) => "ok",
        Some(2) => "invalid_config",
        Some(3) => "data",
        _ => "run",
    };
    if want["category"] != category {
        let said = String::from_utf8_lossy(&done.stderr);
        return Some(format!("{} expected, got {category}: {said}", want["category"]));
    }
    let results = out.path().join("x");
    if let Some(trades) = want["trades"].as_array() {
        let mut have = table(&results.join("trades.parquet"), "execution_date", "quantity");
        for trade in trades {
            let text = |i: usize| trade[i].as_str().unwrap().to_owned();
            *have.entry((text(0), text(1))).or_default() -= trade[2].as_f64().unwrap();
        }
        if let Some((key, off)) = have.iter().find(|(_, off)| off.abs() > 1e-6) {
            return Some(format!("the trade of {key:?} is off by {off}"));
        }
        let have = json(&results.join("summary.json"))["final_equity"].as_f64().unwrap();
        let want = want["final_equity"].as_f64().unwrap();
        if (have - want).abs() > 1e-8 * want.abs().max(1.0) {
            return Some(format!("a final equity of {want} expected, got {have}"));
        }
    }
    if let Some(weights) = want["weights"].as_object() {
        let shares = table(&results.join("daily_positions.parquet"), "date", "shares");
        let prices = std::fs::read_to_string(case.join("prices.csv")).unwrap();
        let opens: Table = prices
            .lines()
            .skip(1)
            .map(|line| {
                let cells: Vec<&str> = line.split(',').collect();
                ((cells[0].to_owned(), cells[1].to_owned()), cells[2].parse().unwrap())
            })
            .collect();
        for (day, weights) in weights {
            let fill = &opens.keys().find(|(date, _)| date > day).unwrap().0;
            let value = |symbol: &str| {
                let key = (fill.clone(), symbol.to_owned());
                shares.get(&key).copied().unwrap_or(0.0) * opens[&key]
            };
            let weights = weights.as_object().unwrap();
            let total: f64 = weights.keys().map(|symbol| value(symbol)).sum();
            for (symbol, weight) in weights {
                let (want, have) = (weight.as_f64().unwrap(), value(symbol) / total);
                if (want - have).abs() > 2e-5 {
                    return Some(format!("{day}: a weight of {want} expected for {symbol}, got {have}"));
                }
            }
        }
    }
    None
}

#[test]
fn every_rule_agrees() {
    let cases = cases();
    assert_eq!(cases.len(), 32);
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case.file_name()?.display(), difference(case)?)))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
