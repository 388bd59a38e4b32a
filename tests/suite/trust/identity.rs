//! What a result came from: the engine that made it, the identity of its data, and digests that two runs share when their
//! results do.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use backtest_functions::engine::BacktestConfig;
use backtest_functions::engine::market::{PriceChunk, PriceDays, PriceRows, SignalRows};
use backtest_functions::store::delta::{Layout, Location, StorageOptions, Table};
use backtest_functions::store::kept;
use backtest_functions::store::prices::{MarketData, PRICE_TABLE, Reach};
use backtest_functions::store::versions::{Pins, names_content};
use backtest_functions::work::compute::{Prepared, compute};
use backtest_functions::work::document::canonical;
use backtest_functions::work::facts::Facts;
use backtest_functions::work::{sha256_hex, submit};
use chrono::NaiveDate;
use deltalake::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::service::{Home, project, run_well};

/// The manifest of a run of the example on this machine, under this id and with this text replaced.
fn manifest(home: &Home, id: &str, from: &str, to: &str) -> Value {
    let config = std::fs::read_to_string(project("examples/momentum.yaml")).unwrap().replace(from, to);
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    let lake = home.lake();
    let arguments = ["run", "config.yaml", "--run-id", id, "--out", "out", "--lake", lake.to_str().unwrap()];
    run_well(&arguments, home.path());
    let path = home.path().join("out").join(id).join("artifacts_manifest.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn equal_results_have_equal_digests_whatever_the_runs_are_called() {
    let home = Home::with_prices();
    let one = manifest(&home, "one", "", "");
    let other = manifest(&home, "other", "", "");
    assert_eq!(one["results_sha256"], other["results_sha256"]);
    assert_eq!(one["results_sha256"].as_str().unwrap().len(), 64);
    assert_ne!(one["artifacts"], other["artifacts"], "some files name the run");
    let third = manifest(&home, "third", "top_n: 2", "top_n: 1");
    assert_ne!(one["results_sha256"], third["results_sha256"]);
}

#[test]
fn the_engine_says_its_commit() {
    let home = Home::empty();
    let said = run_well(&["--version"], home.path());
    let engine = said.trim().strip_prefix("backtests ").unwrap();
    let (version, commit) = engine.split_once('+').expect("a version and a commit");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let commit = commit.strip_suffix("-dirty").unwrap_or(commit);
    let is_commit = commit.len() == 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_commit || commit == "unknown", "{said}");
}

/// Trading days of the small markets here.
const DAYS: usize = 12;

/// Two symbols over some days; the close of one day of one symbol is what the caller says.
fn bars(changed: Option<(usize, f64)>) -> RecordBatch {
    let first = NaiveDate::from_ymd_opt(2020, 1, 6).unwrap().to_epoch_days();
    let (mut dates, mut symbols, mut closes) = (Vec::new(), Vec::new(), Vec::new());
    for day in 0..DAYS {
        for (at, symbol) in ["A", "B"].into_iter().enumerate() {
            dates.push(first + day as i32);
            symbols.push(symbol);
            let close = 100.0 + (day * (at + 1)) as f64;
            closes.push(match changed {
                Some((row, close)) if row == 2 * day + at => close,
                _ => close,
            });
        }
    }
    RecordBatch::try_from_iter([
        ("date", Arc::new(Date32Array::from(dates)) as ArrayRef),
        ("symbol", Arc::new(StringArray::from(symbols)) as ArrayRef),
        ("open", Arc::new(Float64Array::from(closes.clone())) as ArrayRef),
        ("close", Arc::new(Float64Array::from(closes)) as ArrayRef),
    ])
    .unwrap()
}

/// Makes a table, or another one of it.
async fn write_table(folder: &Path, bars: RecordBatch) -> Table {
    let (location, options) = (Location::Local(folder.to_owned()), StorageOptions::default());
    let schema = bars.schema();
    let layout = Layout { schema: &schema, partition_columns: &[], comment: "bars" };
    match Table::open(&location, &options).await.unwrap() {
        Some(mut table) => {
            table.replace(vec![bars], layout).await.unwrap();
            table
        }
        None => {
            let mut table = Table::create(&location, &options, layout).await.unwrap();
            table.append(&[bars]).await.unwrap();
            table
        }
    }
}

/// Who reads the tables of a lake.
fn reader(lake: &Path) -> MarketData {
    MarketData {
        lake: Some(Location::Local(lake.to_owned())),
        options: StorageOptions::default(),
        account: None,
        reach: Reach::unlimited(),
        signals: None,
    }
}

fn config(data: &Value) -> BacktestConfig {
    BacktestConfig::from_value(&json!({
        "start_date": "2020-01-06",
        "end_date": "2020-01-16",
        "initial_cash": 10000,
        "universe": { "symbols": ["A", "B"] },
        "data": data,
        "strategy": { "class": "BuyAndHoldStrategy" },
    }))
    .unwrap()
}

/// Fingerprint and digest of the results of a run, and what it read.
async fn run(data: &MarketData, config: &BacktestConfig, pins: &Pins) -> (String, String, Value) {
    let loaded = data.load(config, pins).await.unwrap();
    let config_sha256 = sha256_hex(canonical(&config.resolved()));
    let prepared = Prepared::of(config, loaded, false).unwrap();
    let facts = Facts {
        run_id: &"run".parse().unwrap(),
        submitted: &config.resolved(),
        config,
        config_sha256: &config_sha256,
        data_versions: &prepared.data_versions,
        fence: None,
    };
    let computed = compute(&facts, &prepared, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let manifest: Value = serde_json::from_slice(&computed.files.last().unwrap().content).unwrap();
    let results = manifest["results_sha256"].as_str().unwrap().to_owned();
    (submit::fingerprint(&config_sha256, &prepared.data_versions), results, prepared.data_versions)
}

#[tokio::test]
async fn a_table_is_named_by_its_id_its_version_and_the_files_that_are_read() {
    let home = Home::empty();
    let folder = home.lake().join(PRICE_TABLE);
    write_table(&folder, bars(None)).await;
    let (data, config) = (reader(&home.lake()), config(&json!({})));
    let (first, results, read) = run(&data, &config, &Pins::default()).await;
    let prices = &read["prices"];
    assert_eq!(
        (&prices["table"], &prices["version"], &prices["files"]),
        (&json!(PRICE_TABLE), &json!(1), &json!(1))
    );
    assert!(prices["files_digest"].as_str().unwrap().starts_with("sha256:"), "{read}");
    let committed: chrono::DateTime<chrono::Utc> = prices["committed_at"].as_str().unwrap().parse().unwrap();
    assert!((chrono::Utc::now() - committed).num_seconds() < 60);
    assert!(names_content(&read));
    assert!(!names_content(
        &json!({ "prices": { "table": "gold/prices_daily", "version": 1 }, "signals": null })
    ));
    // What validate says is what a run says.
    assert_eq!(data.survey(&config).await.unwrap().data_versions, read);

    // The lake moved elsewhere is the same.
    let moved = home.path().join("moved");
    std::fs::rename(home.lake(), &moved).unwrap();
    assert_eq!(run(&reader(&moved), &config, &Pins::default()).await, (first.clone(), results.clone(), read));
    std::fs::rename(&moved, home.lake()).unwrap();

    // Prices changed in place.
    write_table(&folder, bars(Some((4, 90.0)))).await;
    let (second, other_results, _) = run(&data, &config, &Pins::default()).await;
    assert!(second != first && other_results != results);

    // The table made anew, as far as the same version: equal rows, and yet nobody can know.
    std::fs::remove_dir_all(&folder).unwrap();
    write_table(&folder, bars(None)).await;
    let (third, same_results, read) = run(&data, &config, &Pins::default()).await;
    assert_eq!(read["prices"]["version"], 1);
    assert!(third != first && same_results == results);
}

#[tokio::test]
async fn a_pinned_version_is_read_whatever_becomes_of_the_table_and_refused_once_it_is_gone() {
    let home = Home::empty();
    let folder = home.lake().join(PRICE_TABLE);
    write_table(&folder, bars(None)).await;
    let (data, newest) = (reader(&home.lake()), config(&json!({})));
    let pins = data.pins(&newest).await.unwrap();
    let first = run(&data, &newest, &pins).await;
    assert_eq!(pins, Pins::of(&first.2), "what was read is what can be pinned");
    let moment = first.2["prices"]["committed_at"].clone();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    write_table(&folder, bars(Some((4, 90.0)))).await;
    assert_eq!(run(&data, &newest, &pins).await, first);
    assert_ne!(run(&data, &newest, &Pins::default()).await.1, first.1);
    // By number and by moment: the moment of a commit is the commit.
    for of_then in [json!({ "price_version": 1 }), json!({ "as_of": moment })] {
        // Another config, of the same data.
        assert_eq!(run(&data, &config(&of_then), &Pins::default()).await.2, first.2);
    }

    let gone = async |data_section: Value, pins: &Pins| {
        let error = data.load(&config(&data_section), pins).await.unwrap_err();
        assert!(error.is_gone() && !error.is_retryable(), "{error}");
        error.to_string()
    };
    let none = Pins::default();
    let said = gone(json!({ "price_version": 7 }), &none).await;
    assert!(said.contains("version 7") && said.contains("oldest version that can be read is 0"), "{said}");
    let said = gone(json!({ "as_of": "1999-01-01T00:00:00Z" }), &none).await;
    assert!(said.contains("1999-01-01"), "{said}");

    // The log is cut off below the pinned version.
    let log = folder.join("_delta_log");
    let commit = log.join("00000000000000000000.json");
    let kept = std::fs::read(&commit).unwrap();
    std::fs::remove_file(&commit).unwrap();
    gone(json!({}), &pins).await;
    std::fs::write(&commit, kept).unwrap();
    assert_eq!(run(&data, &newest, &pins).await, first);

    // Its files are removed.
    let newest_files: Vec<String> = {
        let table = Table::open(&Location::Local(folder.clone()), &StorageOptions::default()).await.unwrap();
        let files = table.unwrap().files(None).await.unwrap();
        files.iter().map(|file| file.path.to_string()).collect()
    };
    for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".parquet") && !newest_files.contains(&name) {
            std::fs::remove_file(file).unwrap();
        }
    }
    gone(json!({}), &pins).await;

    // Another table in its place, of the same version.
    std::fs::remove_dir_all(&folder).unwrap();
    write_table(&folder, bars(None)).await;
    let said = gone(json!({}), &pins).await;
    assert!(said.contains("another table"), "{said}");
    // And none.
    std::fs::remove_dir_all(&folder).unwrap();
    gone(json!({}), &pins).await;
}

#[tokio::test]
async fn files_have_no_versions_to_ask_for() {
    let home = Home::empty();
    let file = home.path().join("bars.csv");
    std::fs::write(&file, "date,symbol,open,close\n2020-01-06,A,1,1\n2020-01-06,B,1,1\n").unwrap();
    let path = file.to_str().unwrap();
    for (section, field) in [
        (json!({ "price_path": path, "price_version": 1 }), "data.price_version"),
        (json!({ "price_path": path, "as_of": "2026-01-01T00:00:00Z" }), "data.as_of"),
    ] {
        let error = reader(&home.lake()).load(&config(&section), &Pins::default()).await.unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
}

/// A file of bars, of the same length whatever digits are in it.
fn csv(digits: &[u8]) -> String {
    let mut text = "date,symbol,open,close\n".to_owned();
    for (day, digit) in digits.iter().enumerate() {
        text += &format!("2020-01-{:02},A,10{digit}.5,10{digit}.5\n", day + 6);
        text += &format!("2020-01-{:02},B,20.0,20.0\n", day + 6);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Two inputs of equal names, sizes and times of writing: the fingerprints are equal exactly if the bytes are, and
    /// then the results are, too.
    #[test]
    fn equal_fingerprints_mean_equal_results(
        one in prop::collection::vec(0_u8..3, 10),
        other in prop::collection::vec(0_u8..3, 10),
        changes in any::<bool>(),
        per_symbol in any::<bool>(),
    ) {
        let home = Home::empty();
        let other = if changes { other } else { one.clone() };
        let place = if per_symbol { "bars_{symbol}.csv" } else { "bars.csv" };
        let config = config(&json!({ "price_path": home.path().join(place).to_str().unwrap() }));
        let written = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
        let outcome = |digits: &[u8]| {
            for name in ["bars.csv", "bars_A.csv", "bars_B.csv"] {
                let text: String = match name.strip_prefix("bars_") {
                    Some(symbol) => {
                        let mine = format!(",{}", symbol.replace(".csv", ","));
                        let wanted = csv(digits);
                        wanted.lines().filter(|line| line.starts_with("date") || line.contains(&mine))
                            .map(|line| format!("{line}\n")).collect()
                    }
                    None => csv(digits),
                };
                let path = home.path().join(name);
                std::fs::write(&path, text).unwrap();
                std::fs::File::options().append(true).open(path).unwrap().set_modified(written).unwrap();
            }
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(run(&reader(&home.lake()), &config, &Pins::default()))
        };
        let (first, second) = (outcome(&one), outcome(&other));
        prop_assert_eq!(first.0 == second.0, one == other);
        if first.0 == second.0 {
            prop_assert_eq!(&first.1, &second.1);
        }
        prop_assert!(names_content(&first.2), "{}", first.2);
    }
}

#[test]
fn kept_rows_are_read_back_as_they_were_whatever_pieces_they_came_in() {
    let piece = |day: i32, volume: &[f64]| PriceChunk {
        date: vec![day, day, day + 1],
        symbol: vec![0, 1, 0],
        open: vec![1.0, f64::NAN, 0.1 + 0.2],
        close: vec![1.5, 2.5, f64::NAN],
        volume: volume.to_vec(),
        ..PriceChunk::default()
    };
    // The second piece comes of a file without volumes, and a symbol was seen outside the window alone.
    let (with, without) = (piece(0, &[7.0, f64::NAN, 9.0]), piece(2, &[]));
    let rows = |chunks: Vec<PriceChunk>| PriceRows {
        symbols: ["A", "B", "NONE"].map(str::to_owned).to_vec(),
        exchange: vec![Some("XNYS".to_owned()), None, Some("XPAR".to_owned())],
        chunks: chunks.into_iter().map(PriceDays::from).collect(),
        warnings: vec!["one row is odd".to_owned()],
        ..PriceRows::default()
    };
    let whole = rows(vec![with.clone(), without.clone()]);
    let bytes = kept::write_prices(&whole, kept::BYTES_MAX).unwrap();
    let back = kept::read_prices(bytes.clone()).unwrap();
    // NaN is written, too.
    assert_eq!(format!("{back:?}"), format!("{whole:?}"));
    let part = |rows: std::ops::Range<usize>| PriceChunk {
        date: with.date[rows.clone()].to_vec(),
        symbol: with.symbol[rows.clone()].to_vec(),
        open: with.open[rows.clone()].to_vec(),
        close: with.close[rows.clone()].to_vec(),
        volume: with.volume[rows].to_vec(),
        ..PriceChunk::default()
    };
    let pieces = rows(vec![part(0..1), part(1..3), without]);
    assert_eq!(kept::write_prices(&pieces, kept::BYTES_MAX).unwrap(), bytes);
    assert!(matches!(kept::write_prices(&whole, 100), Err(kept::KeptError::TooLarge)));

    let signals = SignalRows {
        symbols: vec!["A".to_owned(), "B".to_owned()],
        date: vec![3, 3, 4],
        symbol: vec![0, 1, 0],
        columns: vec![("Score".to_owned(), vec![f64::NAN, -0.0, 1e-300])],
        ..SignalRows::default()
    };
    let bytes = kept::write_signals(&signals, kept::BYTES_MAX).unwrap();
    assert_eq!(format!("{:?}", kept::read_signals(bytes).unwrap()), format!("{signals:?}"));
    let none = SignalRows { columns: vec![("score".to_owned(), Vec::new())], ..SignalRows::default() };
    let bytes = kept::write_signals(&none, kept::BYTES_MAX).unwrap();
    assert_eq!(kept::read_signals(bytes.clone()).unwrap(), none);
    assert!(kept::read_prices(bytes.slice(..bytes.len() / 2)).is_err(), "half a file is none");
}
