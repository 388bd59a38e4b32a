//! Tables of other makers: what forbids a write is found before a file is written, what is listed and not used does not,
//! and what is left out of a read is only what the rows themselves would leave out.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use backtest_functions::store::blob::Condition;
use backtest_functions::store::dates::{self, DateReading};
use backtest_functions::store::delta::{Layout, Location, StorageOptions, Table};
use backtest_functions::store::parquet::{DateRange, Selection, column, scan};
use chrono::NaiveDate;
use deltalake::arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::service::{Home, program, run};

const TABLE: &str = "gold/prices_daily";

/// Two bars of 2020, and a later one.
const BARS: &str = "date,symbol,open,close\n2020-01-02,A,10,10\n2020-01-03,A,11,11\n";
const LATER: &str = "date,symbol,open,close\n2020-01-06,A,12,12\n";
const OTHERWISE: &str = "date,symbol,open,close\n2020-01-03,A,11,11.5\n";

/// A lake with a table of bars.
struct Desk(Home);

impl Desk {
    fn new() -> Self {
        let desk = Self(Home::empty());
        assert!(desk.import(BARS, &[]).status.success());
        desk
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(&[arguments, &["--lake", self.0.lake().to_str().unwrap()]].concat(), self.0.path())
    }

    fn import(&self, rows: &str, more: &[&str]) -> Output {
        std::fs::write(self.0.path().join("rows.csv"), rows).unwrap();
        self.run(&[&["lake", "import", "rows.csv"], more].concat())
    }

    fn log(&self) -> PathBuf {
        self.0.lake().join(TABLE).join("_delta_log")
    }

    fn metadata(&self) -> Value {
        let first = std::fs::read_to_string(self.log().join("00000000000000000000.json")).unwrap();
        let actions = first.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        actions.filter_map(|action| action.get("metaData").cloned()).next().unwrap()
    }

    /// Commits actions as another program would.
    fn commit(&self, actions: &[Value]) {
        let version = std::fs::read_dir(self.log())
            .unwrap()
            .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "json"))
            .count();
        let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
        std::fs::write(self.log().join(format!("{version:020}.json")), lines.join("\n")).unwrap();
    }

    fn configure(&self, key: &str, value: &str) {
        let mut metadata = self.metadata();
        metadata["configuration"][key] = json!(value);
        self.commit(&[json!({ "metaData": metadata })]);
    }

    /// What a backtest of `A` that buys and holds says.
    fn backtest(&self, data: &str) -> (Option<i32>, Value, String) {
        let config = format!(
            "start_date: 2020-01-01\nend_date: 2020-12-31\nuniverse: {{symbols: [A]}}\ninitial_cash: 1000\n\
             data: {{{data}}}\nstrategy: {{class: BuyAndHoldStrategy}}\n"
        );
        std::fs::write(self.0.path().join("config.yaml"), config).unwrap();
        let output = self.run(&["run", "config.yaml", "--out", "out", "--output", "json"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
    }
}

/// Every file below a folder, with its size.
fn tree(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            let size = path.metadata().unwrap().len();
            found.push((path, size));
        }
    }
    found.sort();
    found
}

fn warnings(summary: &Value) -> Vec<String> {
    serde_json::from_value(summary["warnings"].clone()).unwrap_or_default()
}

fn features(names: &[&str]) -> Value {
    json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": names } })
}

/// A column of the table with something noted about it.
fn noted(desk: &Desk, column: &str, key: &str) -> Value {
    let mut metadata = desk.metadata();
    let mut schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    for field in schema["fields"].as_array_mut().unwrap() {
        if field["name"] == column {
            field["metadata"] = json!({ key: "{\"expression\":{\"expression\":\"close > 0\"}}" });
        }
    }
    metadata["schemaString"] = json!(schema.to_string());
    json!({ "metaData": metadata })
}

#[test]
fn a_refused_write_leaves_no_file_behind() {
    let append_only: fn(&Desk) = |desk| desk.configure("delta.appendOnly", "true");
    let constraints: fn(&Desk) = |desk| {
        desk.commit(&[features(&["checkConstraints"])]);
        desk.configure("delta.constraints.positive", "close > 0");
    };
    type Case<'c> = (fn(&Desk), &'c str, &'c [&'c str], &'c str);
    let cases: &[Case<'_>] = &[
        (append_only, OTHERWISE, &["--upsert"], "may only be added to (delta.appendOnly)"),
        (append_only, LATER, &["--replace"], "may only be added to (delta.appendOnly)"),
        (|desk| desk.commit(&[features(&["rowTracking", "domainMetadata"])]), LATER, &[], "rowTracking"),
        (constraints, LATER, &[], "it has the features checkConstraints; take them off"),
        (
            |desk| {
                desk.commit(&[features(&["invariants"]), noted(desk, "close", "delta.invariants")]);
            },
            LATER,
            &[],
            "it has the features invariants",
        ),
        (
            |desk| {
                desk.commit(&[
                    features(&["generatedColumns"]),
                    noted(desk, "year", "delta.generationExpression"),
                ]);
            },
            LATER,
            &[],
            "it has the features generatedColumns",
        ),
        (|_| (), OTHERWISE, &[], "are in the table already"),
        (|_| (), "date,symbol,open,close,volume\n2020-01-06,A,1,1,1\n", &[], "only the file has volume"),
        (|_| (), "date,symbol,open,close\n2020-01-06,A,1,-1\n", &[], "prices or volumes that cannot be"),
    ];
    for (prepare, rows, options, expected) in cases {
        let desk = Desk::new();
        prepare(&desk);
        let before = tree(&desk.0.lake());
        let output = desk.import(rows, options);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{expected}: {output:?}");
        assert!(said.contains(expected), "{expected:?} is not in {said}");
        assert_eq!(tree(&desk.0.lake()), before, "{expected}: something was left behind");
    }
}

#[test]
fn features_that_are_listed_and_not_used_do_not_forbid_a_write() {
    let listed = ["invariants", "appendOnly", "checkConstraints", "generatedColumns", "changeDataFeed"];
    let legacy = json!({ "protocol": { "minReaderVersion": 1, "minWriterVersion": 4 } });
    for protocol in [features(&listed), legacy] {
        let desk = Desk::new();
        desk.commit(&[protocol]);
        let output = desk.import(LATER, &[]);
        assert!(output.status.success(), "{output:?}");
        assert!(desk.import(OTHERWISE, &["--upsert"]).status.success());
        let (code, summary, said) = desk.backtest("");
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(summary["last_day"], "2020-01-06", "{summary}");
    }
}

#[test]
fn a_last_checkpoint_that_points_at_nothing_is_passed_over() {
    for version in [1, 7] {
        let desk = Desk::new();
        std::fs::write(
            desk.log().join("_last_checkpoint"),
            json!({ "version": version, "size": 5 }).to_string(),
        )
        .unwrap();
        assert!(desk.import(LATER, &[]).status.success());
        let output = desk.run(&["lake", "inspect", "--output", "json"]);
        let contents: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!(contents["contents"]["rows"], 3, "{output:?}");
    }
}

#[test]
fn a_data_file_that_is_gone_is_said_to_be_and_how_to_repair_the_table() {
    let desk = Desk::new();
    let file = tree(&desk.0.lake())
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|end| end == "parquet"));
    std::fs::remove_file(file.unwrap().0).unwrap();
    let (code, _, said) = desk.backtest("");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("VACUUM may have removed it") && said.contains("repair()"), "{said}");
}

/// A table that got a column later: rows of before have none.
#[test]
fn a_column_that_an_older_file_lacks_is_null_there() {
    let desk = Desk::new();
    let mut metadata = desk.metadata();
    let mut schema: Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    let field = json!({ "name": "adj_close", "type": "double", "nullable": true, "metadata": {} });
    schema["fields"].as_array_mut().unwrap().push(field);
    metadata["schemaString"] = json!(schema.to_string());
    desk.commit(&[json!({ "metaData": metadata })]);
    assert!(desk.import("date,symbol,open,close,adj_close\n2020-01-06,A,12,12,6\n", &[]).status.success());
    let (code, summary, said) = desk.backtest("");
    assert_eq!(code, Some(0), "{said}");
    let expected = "2 price rows have no adjusted close; their prices stay as they are";
    assert!(warnings(&summary).contains(&expected.to_owned()), "{summary}");
}

#[test]
fn a_file_of_a_folder_may_lack_what_another_has_and_none_may_lack_it_altogether() {
    let whole = "date,symbol,open,close,adj_close\n2020-01-06,A,12,12,12\n2020-01-07,A,12,12,12\n";
    for (older, expected) in [
        (
            "date,symbol,open,close\n2020-01-02,A,10,10\n",
            "1 price rows have no adjusted close; their prices stay as they are",
        ),
        ("date,symbol,open\n2020-01-02,A,10\n", "1 price rows have no open or no close; they are no bars"),
        (
            "date,open,close,adj_close\n2020-01-02,10,10,10\n",
            "1 price rows have no symbol; they are left out",
        ),
    ] {
        let desk = Desk::new();
        std::fs::create_dir(desk.0.path().join("bars")).unwrap();
        std::fs::write(desk.0.path().join("bars/1.csv"), older).unwrap();
        let (code, _, said) = desk.backtest("price_path: bars");
        assert_eq!(code == Some(0), expected.contains("adjusted"), "{said}");
        assert!(code == Some(0) || said.contains("has no column '"), "{said}");
        std::fs::write(desk.0.path().join("bars/2.csv"), whole).unwrap();
        let (code, summary, said) = desk.backtest("price_path: bars");
        assert_eq!(code, Some(0), "{said}");
        assert!(warnings(&summary).contains(&expected.to_owned()), "{expected}: {summary}");
    }
}

/// Midnight in Berlin is the day before in UTC: read as an instant, a signal would be known a day early, and a bar of Delhi
/// would be that of the day before.
#[test]
fn neither_a_signal_nor_a_bar_is_seen_a_day_early_whatever_zone_its_day_is_in() {
    // Whoever knew the next day would hold the one that doubles.
    let bars = |day: &dyn Fn(&str) -> String| {
        let rows = [
            ("2024-01-02", "10,10", "10,10"),
            ("2024-01-03", "10,10", "10,20"),
            ("2024-01-04", "10,9", "20,20"),
            ("2024-01-05", "9,9", "20,18"),
        ];
        let rows = rows.map(|(date, a, b)| format!("{0},A,{a}\n{0},B,{b}\n", day(date)));
        format!("date,symbol,open,close\n{}", rows.concat())
    };
    let signals = |day: &dyn Fn(&str) -> String| {
        let rows = [("2024-01-02", 1, 0), ("2024-01-03", 0, 1), ("2024-01-04", 0, 1)];
        let rows = rows.map(|(date, a, b)| format!("{0},A,{a}\n{0},B,{b}\n", day(date)));
        format!("date,symbol,s\n{}", rows.concat())
    };
    let written = |date: &str| date.to_owned();
    let home = Home::empty();
    let config = "start_date: 2024-01-02\nend_date: 2024-01-05\nuniverse: {symbols: [A, B]}\ninitial_cash: 1000\n\
                  data: {price_path: bars.csv, signal_path: signals.csv}\n\
                  strategy: {class: TopNSignalStrategy, parameters: {signal_column: s, top_n: 1}}\n";
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    for (name, day) in [
        ("days", (&|date: &str| date.to_owned()) as &dyn Fn(&str) -> String),
        ("texts with an offset", &|date: &str| format!("{date} 00:00:00+01:00")),
        ("texts with half an hour", &|date: &str| format!("{date} 00:00:00+05:30")),
        ("texts far east", &|date: &str| format!("{date}T00:00:00+14:00")),
        ("texts far west", &|date: &str| format!("{date} 20:00:00-08:00")),
    ] {
        // Beside days as they are, a shifted one of either would meet the wrong bar; beside its like it would stay unseen.
        for (bars, signals) in
            [(bars(&written), signals(day)), (bars(day), signals(&written)), (bars(day), signals(day))]
        {
            std::fs::write(home.path().join("bars.csv"), bars).unwrap();
            std::fs::write(home.path().join("signals.csv"), signals).unwrap();
            let output = run(&["run", "config.yaml", "--out", "out", "--output", "json"], home.path());
            let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            // A from the open of the 3rd to that of the 4th, 100 shares at 10; then B, 50 shares at 20, which end at 18.
            assert_eq!(summary["final_equity"], json!(900.0), "{name}: {output:?}");
            assert_eq!(summary["first_day"], json!("2024-01-02"), "{name}: {summary}");
        }
    }
}

/// A column of days as tables of other makers have them.
fn physical(days: &[i32], kind: usize) -> ArrayRef {
    let date = |day: i32| NaiveDate::from_epoch_days(day).unwrap();
    let number = |day: i32| date(day).format("%Y%m%d").to_string().parse::<i32>().unwrap();
    let micros = |day: i32| i64::from(day) * 86_400_000_000;
    let all = days.iter().copied();
    match kind {
        0 => Arc::new(Date32Array::from(days.to_vec())),
        1 => Arc::new(Int32Array::from_iter_values(all.map(number))),
        2 => Arc::new(Int64Array::from_iter_values(all.map(|day| i64::from(number(day))))),
        3 => Arc::new(Int32Array::from(days.to_vec())),
        4 => Arc::new(TimestampMicrosecondArray::from_iter_values(all.map(micros)).with_timezone("UTC")),
        // Numbers of both kinds in one column.
        5 => Arc::new(Int64Array::from_iter_values(
            all.enumerate().map(|(at, day)| i64::from(if at % 2 == 0 { day } else { number(day) })),
        )),
        _ => Arc::new(StringArray::from_iter_values(all.map(|day| date(day).to_string()))),
    }
}

/// Changes what the log says of its files' dates: as it was written, not at all, or as Spark does in New York.
fn restate(log: &Path, how: usize) {
    for entry in std::fs::read_dir(log).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let line = |line: &str| {
            let mut action: Value = serde_json::from_str(line).unwrap();
            let Some(add) = action.get_mut("add").and_then(Value::as_object_mut) else {
                return line.to_owned();
            };
            if how == 1 {
                add.remove("stats");
            } else if let Some(stats) = add["stats"].as_str() {
                let mut stats: Value = serde_json::from_str(stats).unwrap();
                for bound in ["minValues", "maxValues"] {
                    let Some(text) = stats[bound]["date"].as_str() else { continue };
                    let Ok(instant) = text.parse::<chrono::DateTime<chrono::Utc>>() else { continue };
                    let there = instant.with_timezone(&chrono::FixedOffset::west_opt(5 * 3600).unwrap());
                    stats[bound]["date"] = json!(there.format("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string());
                }
                add.insert("stats".to_owned(), json!(stats.to_string()));
            }
            action.to_string()
        };
        std::fs::write(&path, text.lines().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    }
}

async fn days_of(table: &Table, range: DateRange, pruned: bool) -> Vec<i32> {
    let files = table.files(pruned.then_some(range)).await.unwrap();
    let selection = Selection { columns: None, dates: pruned.then_some(range) };
    let mut batches = scan(files, selection);
    let mut found = Vec::new();
    while let Some(batch) = batches.recv().await {
        let days = dates::read(Arc::clone(column(&batch.unwrap(), "date").unwrap()), range.reading).unwrap();
        let wanted = range.first.to_epoch_days()..=range.last.to_epoch_days();
        found.extend(days.days.iter().flatten().filter(|day| wanted.contains(day)));
    }
    found.sort_unstable();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_a_log_leaves_out_the_row_filter_would_leave_out_too(
        files in proptest::collection::vec(proptest::collection::vec(18_000_i32..18_400, 1..6), 1..4),
        kind in 0_usize..7,
        statistics in 0_usize..3,
        by_day in any::<bool>(),
        first in 17_990_i32..18_410,
        length in 0_i32..60,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Local(folder.path().to_owned());
        let options = StorageOptions::default();
        let batch = |days: &[i32]| {
            let value: ArrayRef = Arc::new(Float64Array::from(vec![1.0; days.len()]));
            RecordBatch::try_from_iter([("date", physical(days, kind)), ("value", value)]).unwrap()
        };
        let schema = batch(&[18_000]).schema();
        // Partitions by instants are written as texts with a time, which is another matter.
        let partition_columns: &[&str] = if by_day && kind != 4 { &["date"] } else { &[] };
        let day = |day| NaiveDate::from_epoch_days(day).unwrap();
        let range = DateRange { first: day(first), last: day(first + length), reading: DateReading::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (pruned, all) = runtime.block_on(async {
            let layout = Layout { schema: &schema, partition_columns, comment: "rows" };
            let mut table = Table::create(&location, &options, layout).await.unwrap();
            for days in &files {
                table.append(&[batch(days)]).await.unwrap();
            }
            restate(&folder.path().join("_delta_log"), statistics);
            let table = Table::open(&location, &options).await.unwrap().unwrap();
            (days_of(&table, range, true).await, days_of(&table, range, false).await)
        });
        prop_assert_eq!(&pruned, &all);
        let mut wanted: Vec<i32> =
            files.concat().into_iter().filter(|day| (first..=first + length).contains(day)).collect();
        wanted.sort_unstable();
        prop_assert_eq!(pruned, wanted);
    }
}

#[test]
fn tables_may_be_partitioned_by_whatever_dates_and_rows_tell_and_by_nothing_else() {
    for (parts, refused) in [
        (&["year"][..], false),
        (&[], false),
        (&["year_month"], false),
        (&["year", "month"], false),
        (&["symbol"], false),
        (&["region"], true),
    ] {
        let desk = Desk(Home::empty());
        let location = Location::Local(desk.0.lake().join(TABLE));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["A"]));
        let number: ArrayRef = Arc::new(Float64Array::from(vec![10.0]));
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("date", Arc::new(Date32Array::from(vec![18_263]))),
            ("symbol", Arc::clone(&texts)),
            ("open", Arc::clone(&number)),
            ("close", number),
        ];
        for part in parts.iter().filter(|part| **part != "symbol") {
            let column: ArrayRef = match *part {
                "year" => Arc::new(Int32Array::from(vec![2020])),
                "month" => Arc::new(Int32Array::from(vec![1])),
                "year_month" => Arc::new(StringArray::from(vec!["2020-01"])),
                _ => Arc::clone(&texts),
            };
            columns.push((part, column));
        }
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let schema = rows.schema();
            let layout = Layout { schema: &schema, partition_columns: parts, comment: "bars" };
            let mut table = Table::create(&location, &StorageOptions::default(), layout).await.unwrap();
            table.append(&[rows]).await.unwrap();
        });
        let before = tree(&desk.0.lake());
        let output = desk.import(LATER, &["--upsert"]);
        assert_eq!(output.status.success(), !refused, "{parts:?}: {output:?}");
        if refused {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("is partitioned by 'region', which the file lacks"), "{said}");
            assert_eq!(tree(&desk.0.lake()), before);
            continue;
        }
        let (code, summary, said) = desk.backtest("");
        assert_eq!(code, Some(0), "{parts:?}: {said}");
        // A hundred shares at 10 are bought on the 6th at 12: 83.33… shares, which end at 12.
        assert_eq!(summary["final_equity"], json!(1000.0), "{parts:?}: {summary}");
    }
}

/// Hive writes a partition of nothing as a folder of its own; its rows belong to no symbol, and hold no part of a portfolio.
#[test]
fn rows_of_a_partition_without_a_symbol_are_counted_and_hold_nothing() {
    let home = Home::empty();
    let put = |path: &str, rows: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, rows).unwrap();
    };
    let bars =
        |close: i32| format!("date,open,close\n2020-01-02,10,10\n2020-01-03,10,10\n2020-01-06,10,{close}\n");
    let scores = |score: i32| format!("date,s\n2020-01-02,{score}\n2020-01-03,{score}\n");
    for (folder, close, score) in [("A", 12, 1), ("__HIVE_DEFAULT_PARTITION__", 100, 9)] {
        put(&format!("bars/symbol={folder}/part-0.csv"), &bars(close));
        put(&format!("signals/symbol={folder}/part-0.csv"), &scores(score));
    }
    let config = "start_date: 2020-01-01\nend_date: 2020-12-31\nuniverse: {symbols: ['*']}\ninitial_cash: 1000\n\
                  data: {price_path: bars, signal_path: signals}\n\
                  strategy: {class: TopNSignalStrategy, parameters: {signal_column: s, top_n: 2}}\n";
    put("config.yaml", config);
    let output = run(&["run", "config.yaml", "--out", "out", "--output", "json"], home.path());
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let said = warnings(&summary);
    for expected in
        ["3 price rows have no symbol; they are left out", "2 signal rows have no symbol; they are left out"]
    {
        assert!(said.iter().any(|warning| warning == expected), "{expected}: {said:?} {output:?}");
    }
    // All of the money in A, as if the other folder were not there.
    assert_eq!(summary["final_equity"], json!(1200.0), "{summary}");
}

#[test]
fn a_folder_and_a_template_in_storage_are_read_as_here() {
    let Some(storage) = crate::support::azurite::storage() else { return };
    let home = Home::empty();
    let lake = format!("abfss://{}@devstoreaccount1.dfs.core.windows.net/lake", storage.container);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let container = storage.container();
        container.ping().await.unwrap();
        let put = async |path: String, content: String| {
            container.put(&path, content.into(), "text/csv", &Condition::Always).await.unwrap();
        };
        for (symbol, close) in [("A", 12), ("B", 20)] {
            let rows =
                format!("Date,Open,Close\n2020-01-02,10,10\n2020-01-03,10,10\n2020-01-06,10,{close}\n");
            for path in
                [format!("bars/symbol={symbol}/part-0.csv"), format!("silver/plain/{symbol}/bars.csv")]
            {
                put(path, rows.clone()).await;
            }
            put(format!("bars/symbol={symbol}/_SUCCESS"), String::new()).await;
            let rows = rows.replace("\n20", &format!("\n{symbol},20")).replace("Date,", "Symbol,Date,");
            put(format!("one/{symbol}.csv"), rows).await;
        }
    });
    let within = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).current_dir(home.path()).env("BACKTEST_LAKE", &lake);
        command.env("AZURE_STORAGE_CONNECTION_STRING", &storage.connection).output().unwrap()
    };
    // Delta tables, one a symbol, as the reference lays them out.
    for (symbol, close) in [("A", 12), ("B", 20)] {
        let rows = format!("date,open,close\n2020-01-02,10,10\n2020-01-03,10,10\n2020-01-06,10,{close}\n");
        std::fs::write(home.path().join("rows.csv"), rows).unwrap();
        let table = format!("silver/market-data/{symbol}");
        let output = within(&["lake", "import", "rows.csv", "--symbol", symbol, "--table", &table]);
        assert!(output.status.success(), "{output:?}");
    }
    let container = &storage.container;
    for path in [
        format!("{container}/bars"),
        format!("{container}/one"),
        format!("{container}/one/A.csv"),
        format!("{container}/silver/plain/{{symbol}}"),
        format!("{container}/lake/silver/market-data/{{symbol}}"),
        format!(
            "abfss://{container}@devstoreaccount1.dfs.core.windows.net/lake/silver/market-data/{{symbol}}"
        ),
    ] {
        let config = format!(
            "start_date: 2020-01-01\nend_date: 2020-12-31\nuniverse: {{symbols: [A]}}\ninitial_cash: 1000\n\
             data: {{price_source: ADLS, price_path: '{path}'}}\nstrategy: {{class: BuyAndHoldStrategy}}\n"
        );
        std::fs::write(home.path().join("config.yaml"), config).unwrap();
        let output = within(&["run", "config.yaml", "--out", "out", "--output", "json"]);
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!(summary["final_equity"], json!(1200.0), "{path}: {output:?}");
    }
}
