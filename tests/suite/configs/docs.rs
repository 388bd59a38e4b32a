//! The reference of configs in `docs/config.md`: its examples are valid, and its options, defaults and words are those of
//! the code, no fewer and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use backtest_functions::engine::config::BacktestConfig;
use backtest_functions::work::document::parse_yaml;
use serde_json::{Value, json};

use crate::support::service::project;

/// Options that a resolved config leaves out while they are off, where it writes null for others.
const LEFT_OUT: [&str; 12] = [
    "experiment",
    "prices",
    "warmup_days",
    "price_version",
    "signal_version",
    "as_of",
    "time_zone",
    "every_n_days",
    "weekday",
    "day_of_month",
    "sizing",
    "target_volatility",
];

/// Options whose default does not stand in resolved configs, with it: configs of before stay as they were.
const UNSAID: [(&str, &str); 4] = [
    ("date_format", "YYYY-MM-DD"),
    ("on_impossible_price", "refuse"),
    ("keep_inputs", "false"),
    ("save_orders", "false"),
];

/// The page without its examples, and its examples in YAML.
fn page() -> (String, Vec<Value>) {
    let text = std::fs::read_to_string(project("docs/config.md")).unwrap();
    let (mut prose, mut examples) = (String::new(), Vec::new());
    for (i, part) in text.split("```").enumerate() {
        match part.strip_prefix("yaml\n") {
            Some(yaml) if i % 2 == 1 => examples.push(parse_yaml(yaml).unwrap()),
            _ => prose.push_str(part),
        }
    }
    (prose, examples)
}

/// What stands in backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A table of the page.
struct Table<'p> {
    /// The heading that it stands under.
    section: &'p str,
    /// Its own headings.
    columns: Vec<&'p str>,
    rows: Vec<Vec<&'p str>>,
}

impl Table<'_> {
    /// Whether a row has an option and its default, one or the same for several.
    fn has_keys(&self) -> bool {
        self.columns.starts_with(&["key", "default"])
    }

    /// Whether a row has a type or a class, and then all its options as `option: default`.
    fn has_types(&self) -> bool {
        ["options", "parameters"].contains(&self.columns[1])
    }
}

fn tables(page: &str) -> Vec<Table<'_>> {
    let (mut tables, mut section, mut inside) = (Vec::<Table<'_>>::new(), "", false);
    for line in page.lines() {
        let Some(row) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            inside = false;
            section =
                line.strip_prefix('#').map_or(section, |heading| heading.trim_start_matches('#').trim());
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        match tables.last_mut().filter(|_| inside) {
            Some(table) if cells[0] != "---" => table.rows.push(cells),
            Some(_) => {}
            None => tables.push(Table { section, columns: cells, rows: Vec::new() }),
        }
        inside = true;
    }
    tables
}

/// Options and their defaults in a row of keys.
fn keys_of<'p>(row: &[&'p str]) -> Vec<(&'p str, &'p str)> {
    let keys: Vec<&str> = spans(row[0]).collect();
    let mut defaults: Vec<&str> = spans(row[1]).collect();
    if row[1].split(' ').any(|word| word == "off") {
        defaults.push("null");
    }
    match defaults.len() {
        // One each, or all of them for every key: a key may have several, by class.
        n if n == keys.len() => keys.into_iter().zip(defaults).collect(),
        _ => keys.iter().flat_map(|key| defaults.iter().map(|one| (*key, *one))).collect(),
    }
}

fn is_default(values: &[Value], default: &str) -> bool {
    let default = parse_yaml(default).unwrap();
    values.iter().any(|value| match (value.as_f64(), default.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => *value == default,
    })
}

/// Configs that have every option of the code between them, most with their defaults.
pub(crate) fn configs() -> Vec<Value> {
    let column = json!({ "type": "column", "column": "x" });
    let topn = json!({ "type": "topn", "topn": { "n": 1 } });
    let pipeline = |parts: Value| {
        let mut strategy = json!({ "type": "configured", "scoring": column, "selection": topn });
        strategy.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        json!({ "strategy": strategy })
    };
    let mut parts = vec![
        json!({ "data": {
            "warmup_days": 5, "time_zone": "UTC", "date_format": "MM/DD/YYYY", "on_impossible_price": "skip",
            "prices": "unadjusted",
        } }),
        json!({ "sizing": { "class": "LongShortScoreSizer" } }),
        json!({ "sizing": { "class": "KellySizer", "parameters": { "mu_scale": 1 } } }),
        json!({ "sizing": { "class": "OptimizationSizer" } }),
        json!({ "sizing": { "class": "InverseVolatilitySizer", "target_volatility": 0.1 } }),
        json!({ "sizing": { "class": "RiskParitySizer" } }),
        json!({ "sizing": { "class": "HierarchicalRiskParitySizer" } }),
        json!({ "sizing": { "class": "MinimumVarianceSizer" } }),
        json!({ "sizing": { "class": "MinimumVarianceSizer", "parameters": { "shrinkage": 0.2 } } }),
        json!({ "strategy": { "type": "composite", "legs": [
            { "name": "x", "weight": 1, "strategy": { "class": "BuyAndHoldStrategy" }, "sizing": { "class": "EqualWeightSizer" } },
        ] } }),
        pipeline(json!({})),
        json!({ "data": { "price_version": 1, "signal_version": 1 } }),
        json!({ "data": { "as_of": "2026-01-01T00:00:00Z" } }),
        json!({ "broker": { "impact": {} } }),
        json!({ "experiment": "momentum", "output": { "keep_inputs": true, "save_orders": true } }),
        json!({ "benchmark": { "path": "x.csv" }, "risk_free_rate": { "column": "x" } }),
        pipeline(json!({ "rebalance": { "freq": "every_n_days", "every_n_days": 5 } })),
        pipeline(json!({ "rebalance": { "freq": "weekly", "weekday": "mon" } })),
        pipeline(json!({ "rebalance": { "freq": "monthly", "day_of_month": 10 } })),
        pipeline(json!({ "universe": { "filters": [
            { "type": "whitelist", "symbols": ["AAPL"] },
            { "type": "blacklist", "symbols": ["AAPL"] },
            { "type": "min_price", "value": 1 },
            { "type": "min_dollar_volume", "value": 1 },
            { "type": "min_adv", "value": 1 },
            { "type": "require_signal_columns", "columns": ["x"] },
            { "type": "no_missing_prices" },
            { "type": "max_volatility", "value": 1 },
            { "type": "exchange_in", "values": ["NYSE"] },
        ] } })),
        pipeline(json!({ "scoring": { "type": "weighted_sum", "terms": [{ "column": "x" }] } })),
        pipeline(json!({ "scoring": { "type": "max_of", "scores": [{ "type": "column", "column": "x" }] } })),
        pipeline(json!({ "scoring": { "type": "rank_transform", "base": column } })),
        pipeline(json!({ "scoring": { "type": "price_breakout" } })),
        pipeline(json!({ "scoring": { "type": "episodic_pivot_heuristic" } })),
        pipeline(json!({ "selection": { "type": "long_short_topn" } })),
        pipeline(json!({ "selection": { "type": "threshold", "threshold": { "long_if_gte": 1 } } })),
        pipeline(json!({ "selection": { "type": "threshold", "threshold": { "short_if_lte": 1 } } })),
        pipeline(json!({ "selection": { "type": "quantiles" } })),
        pipeline(json!({ "exits": { "rules": [
            { "type": "trailing_ma", "days": 5 },
            { "type": "stop_loss", "pct": 0.1, "price_col": "close" },
            { "type": "take_profit", "pct": 0.1, "price_col": "close" },
            { "type": "trailing_stop", "pct": 0.1 },
            { "type": "time_stop", "days": 5 },
            { "type": "partial_exit_after_days", "days": 5 },
        ] } })),
        pipeline(json!({ "postprocess": { "steps": [
            { "type": "clamp" },
            { "type": "normalize" },
            { "type": "sticky_scores" },
            { "type": "enforce_min_candidates", "min_total": 5 },
        ] } })),
    ];
    for policy in ["replace_all", "sticky", "grace_period", "decay", "hybrid"] {
        parts.push(pipeline(json!({ "holding_policy": { "type": policy } })));
    }
    for class in ["BuyAndHold", "StaticUniverse", "TopNSignal", "LongShortTopN", "Breakout", "EpisodicPivot"]
    {
        parts.push(json!({ "strategy": { "class": format!("{class}Strategy") } }));
    }
    let minimal = &page().1[0];
    parts.into_iter().map(|part| resolved(&with(minimal, &part))).collect()
}

/// A config whose top-level keys are replaced by those of a part.
fn with(minimal: &Value, part: &Value) -> Value {
    let mut config = minimal.clone();
    config.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
    config
}

fn resolved(config: &Value) -> Value {
    let parsed = BacktestConfig::from_value(config);
    parsed.unwrap_or_else(|faults| panic!("{config}: {faults:?}")).resolved()
}

/// Every key, with all values that it has anywhere.
type Options = BTreeMap<String, Vec<Value>>;

fn collect(value: &Value, found: &mut Options) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.entry(key.clone()).or_default().push(value.clone());
                collect(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// Options by type or class. They stand beside the type, below its name, or below `parameters`; those of items of a
/// list count as their owner's.
fn by_type(value: &Value, found: &mut BTreeMap<String, Options>) {
    if let Value::Array(items) = value {
        items.iter().for_each(|item| by_type(item, found));
    }
    let Value::Object(fields) = value else { return };
    fields.values().for_each(|value| by_type(value, found));
    let Some(name) = fields.get("class").or_else(|| fields.get("type")).and_then(Value::as_str) else {
        return;
    };
    let below = fields.get("parameters").or_else(|| fields.get(name)).filter(|below| below.is_object());
    let own = found.entry(name.to_owned()).or_default();
    let is_option = |key: &str| below.is_some() || key != "type";
    for (key, value) in below.unwrap_or(value).as_object().unwrap().iter().filter(|(key, _)| is_option(key)) {
        own.entry(key.clone()).or_default().push(value.clone());
        let is_group = value.as_object().is_some_and(|group| !group.contains_key("type"));
        if value.is_array() || is_group {
            collect(value, own);
        }
    }
}

/// A block with a `start_date` is a whole config; others are parts of one, to be put into the first.
pub(crate) fn examples_of_the_page() -> Vec<Value> {
    let (_, examples) = page();
    let whole = |example: &Value| match example.get("start_date") {
        Some(_) => example.clone(),
        None => with(&examples[0], example),
    };
    examples.iter().map(whole).collect()
}

#[test]
fn every_example_of_the_page_is_valid() {
    let examples = examples_of_the_page();
    assert!(examples.len() >= 5, "a page without examples");
    for example in &examples {
        resolved(example);
    }
}

#[test]
fn options_and_their_defaults_are_those_of_the_code() {
    let ((page, _), mut known) = (page(), Options::new());
    configs().iter().for_each(|config| collect(config, &mut known));
    let named: BTreeSet<&str> = spans(&page).map(|span| span.split(": ").next().unwrap()).collect();
    for key in known.keys() {
        assert!(named.contains(key.as_str()), "{key} is not on the page");
    }
    let tables = tables(&page);
    for row in tables.iter().filter(|table| table.has_keys()).flat_map(|table| &table.rows) {
        for key in spans(row[0]) {
            assert!(known.contains_key(key), "the page has an option {key}, the code has not");
        }
        for (key, default) in keys_of(row) {
            assert!(
                is_default(&known[key], default)
                    || (default == "null" && LEFT_OUT.contains(&key))
                    || UNSAID.contains(&(key, default)),
                "{key}: by default {default} on the page, one of {:?} in the code",
                known[key]
            );
        }
    }
    for section in ["Constraints", "Broker", "Output"] {
        let of_section = tables.iter().filter(|table| table.section == section && table.has_keys());
        let listed: BTreeSet<&str> =
            of_section.flat_map(|table| &table.rows).flat_map(|r| spans(r[0])).collect();
        let listed: BTreeSet<&str> =
            listed.into_iter().filter(|key| UNSAID.iter().all(|(unsaid, _)| unsaid != key)).collect();
        let code = &configs()[0][section.to_lowercase()];
        assert_eq!(listed, code.as_object().unwrap().keys().map(String::as_str).collect(), "{section}");
    }
}

#[test]
fn types_and_classes_have_the_options_of_the_code() {
    let ((page, _), mut known) = (page(), BTreeMap::new());
    configs().iter().for_each(|config| by_type(config, &mut known));
    known.remove("configured");
    known.remove("composite");
    let tables = tables(&page);
    let exits =
        tables.iter().find(|table| table.rows.iter().any(|row| row[0] == "`trailing_ma_days`")).unwrap();
    let exits: BTreeSet<&str> = exits.rows.iter().flat_map(|row| spans(row[0])).collect();
    let mut listed = BTreeSet::new();
    for row in tables.iter().filter(|table| table.has_types()).flat_map(|table| &table.rows) {
        for name in spans(row[0]) {
            listed.insert(name);
            let of_code = known.get(name).unwrap_or_else(|| panic!("the code has no {name}"));
            let mut options = BTreeSet::new();
            for span in spans(row[1]) {
                let (option, default) =
                    span.split_once(": ").map_or((span, None), |(option, default)| (option, Some(default)));
                options.insert(option);
                let values = of_code.get(option).unwrap_or_else(|| panic!("{name} has no option {option}"));
                assert!(
                    default.is_none_or(|default| is_default(values, default)),
                    "{name}: {span} on the page, {values:?} in the code"
                );
            }
            if row[1].contains("exits") {
                options.extend(&exits);
            }
            for option in of_code.keys() {
                assert!(options.contains(option.as_str()), "{name} has an option {option}");
            }
        }
    }
    assert_eq!(listed, known.keys().map(String::as_str).collect());
}

/// The files that declare what a config may say.
fn declarations() -> Vec<PathBuf> {
    let folders = ["", "classes", "pipeline"].map(|folder| project("src/engine/config").join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect()
}

/// The words that an option may be, as the code declares them (`Daily = "daily"`), are all explained.
#[test]
fn every_word_is_on_the_page() {
    let (page, _) = page();
    let named: BTreeSet<&str> = spans(&page).flat_map(|span| span.split(": ")).collect();
    let mut count = 0;
    for file in declarations() {
        let code = std::fs::read_to_string(&file).unwrap();
        for line in code.lines().map(str::trim) {
            if line.starts_with(char::is_uppercase) && line.contains(" = \"") {
                for word in line.split('"').skip(1).step_by(2) {
                    assert!(named.contains(word), "{word} of {} is not on the page", file.display());
                    count += 1;
                }
            }
        }
    }
    assert!(count > 80, "{count} words: are they still declared in this way?");
}

/// Names of columns, of hits and of reasons stand in the code as texts; links lead to headings.
#[test]
fn other_names_and_links_are_real() {
    let (page, _) = page();
    let files = [
        "engine/constraints.rs",
        "engine/price_signals.rs",
        "engine/outcome.rs",
        "store/columns.rs",
        "store/rows.rs",
    ];
    let code = files.map(|file| std::fs::read_to_string(project(&format!("src/{file}"))).unwrap()).concat();
    for table in tables(&page) {
        let place = match table.columns[..] {
            ["column" | "`reason`", ..] => 0,
            [_, _, _, "hit" | "rejected as"] => 3,
            _ => continue,
        };
        for name in table.rows.iter().flat_map(|row| spans(row[place])) {
            assert!(code.contains(&format!("\"{name}\"")), "{name} is not a name in the code");
        }
    }
    let heading = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    let headings: BTreeSet<String> = page.lines().filter(|line| line.starts_with('#')).map(heading).collect();
    for link in page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(headings.contains(link), "there is no heading #{link}");
    }
}
