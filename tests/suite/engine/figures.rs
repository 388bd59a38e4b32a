//! docs/figures.md names every figure of a summary, and no other.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::service::{Home, momentum, project, run_well};

/// The fields of a summary; those of an object with its name before them. Counts by kind are one figure.
fn fields(value: &Value, before: &str, found: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().unwrap() {
        let path = format!("{before}{name}");
        // An interval is one figure.
        if value.is_object() && ["benchmark", "account_of", "confidence"].contains(&path.as_str()) {
            fields(value, &format!("{path}."), found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn every_figure_of_a_summary_is_explained() {
    let home = Home::with_prices();
    let mut config = momentum();
    config["benchmark"] = json!("equal_weight");
    let path = home.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let lake = home.lake();
    let args =
        ["run", path.to_str().unwrap(), "--lake", lake.to_str().unwrap(), "--out", "out", "--output", "json"];
    let summary: Value = serde_json::from_str(&run_well(&args, home.path())).unwrap();
    let mut figures = BTreeSet::new();
    fields(&summary, "", &mut figures);
    // Those that only runs on unadjusted prices have.
    let bars =
        "date,symbol,open,close,dividend\n2024-01-02,A,10,10,\n2024-01-03,A,10,10,\n2024-01-04,A,9,9,1\n";
    std::fs::write(home.path().join("bars.csv"), bars).unwrap();
    let config = json!({
        "start_date": "2024-01-01",
        "end_date": "2024-01-31",
        "universe": { "symbols": ["A"] },
        "data": { "price_path": "bars.csv" },
        "benchmark": "equal_weight",
        "strategy": { "class": "BuyAndHoldStrategy" },
    });
    std::fs::write(&path, config.to_string()).unwrap();
    let args = ["run", path.to_str().unwrap(), "--out", "out", "--output", "json"];
    let summary: Value = serde_json::from_str(&run_well(&args, home.path())).unwrap();
    fields(&summary, "", &mut figures);

    let page = std::fs::read_to_string(project("docs/figures.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let named = rows.flat_map(|row| row.split(" |").next().unwrap_or_default().split("`, `"));
    let named: BTreeSet<String> = named.map(|name| name.trim_end_matches('`').to_owned()).collect();
    assert_eq!(figures, named);
}
