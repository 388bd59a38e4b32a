//! What strangers send us, each as a function that takes any bytes and stops at what must not be: a panic, an answer that blames
//! us, a value that does not survive being written and read again. `make fuzz` looks for such bytes; what it kept lies in
//! `tests/fuzz/corpus`, and `cargo test` tries all of it again.

use std::sync::LazyLock;

use backtest_functions::cli::boot;
use backtest_functions::cli::settings::Settings;
use backtest_functions::engine::config::BacktestConfig;
use backtest_functions::functions;
use backtest_functions::ncrontab::{Schedule, parse_time_span};
use backtest_functions::run::RunId;
use backtest_functions::store::delta::{Location, StorageOptions, Table};
use backtest_functions::store::import::{Asked, Kind, Mode, import};
use backtest_functions::store::pg::Database;
use backtest_functions::store::prices::{MarketData, Reach};
use backtest_functions::store::versions::Pins;
use backtest_functions::work::confidence::Confidence;
use backtest_functions::work::document::{parse_json, parse_yaml};
use backtest_functions::work::facts::Facts;
use backtest_functions::work::{App, report};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::html::assert_well_formed;
use super::toy::Toy;

/// Takes any bytes; what it must hold is asserted inside.
type Target = fn(&[u8]);

/// By name; each has a folder of that name in the corpus.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("config", config),
    ("envelope", envelope),
    ("cursor", cursor),
    ("schedule", schedule),
    ("dsn", dsn),
    ("delta_log", delta_log),
    ("csv", csv),
    ("parquet", parquet),
    ("report", report_page),
];

/// A config that is taken says what it is: written out with its defaults and read again, it is the same.
fn config(bytes: &[u8]) {
    let read = match std::str::from_utf8(bytes) {
        Ok(text) if !text.trim_start().starts_with('{') => parse_yaml(text),
        _ => parse_json(bytes),
    };
    let Ok(config) = read.map_err(drop).and_then(|value| BacktestConfig::from_value(&value).map_err(drop))
    else {
        return;
    };
    let resolved = config.resolved();
    let again =
        BacktestConfig::from_value(&resolved).unwrap_or_else(|faults| panic!("{faults:?} in {resolved}"));
    assert_eq!(again.resolved(), resolved);
}

/// A service without data, on a folder that goes with the process.
static SERVICE: LazyLock<(Runtime, App, TempDir)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let environment = [("BACKTEST_OUTPUT_DIR", at("results")), ("BACKTEST_LAKE", at("lake"))];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
    let app = boot::app(&Settings::from(&environment).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    (runtime, app, folder)
});

/// The service never blames itself for what it was sent.
fn asked(method: &str, path: &str, query: &str, body: &[u8]) {
    let (runtime, app, _) = &*SERVICE;
    let status = runtime.block_on(functions::answer_to(app, method, path, query, body.to_vec()));
    assert_ne!(status, 500, "{method} {path}");
}

/// The first byte chooses the function. What is said of a run is only said of runs that are not there.
fn envelope(bytes: &[u8]) {
    let Some((which, body)) = bytes.split_first() else { return };
    let functions =
        ["submit", "validate", "list", "status", "cancel", "execute", "execute_poison", "results"];
    asked("POST", &format!("/{}", functions[usize::from(*which) % functions.len()]), "", body);
}

fn cursor(bytes: &[u8]) {
    let text: String = url::form_urlencoded::byte_serialize(bytes).collect();
    asked("GET", "/api/backtests", &format!("cursor={text}"), b"");
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    asked("GET", "/api/backtests", &format!("cursor={encoded}"), b"");
}

/// What comes next comes later, and there is always something after it or never was.
fn schedule(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = parse_time_span(text);
    let Ok(schedule) = Schedule::parse(text) else { return };
    let _ = (schedule.is_denser_than_a_minute(), schedule.adjusts_for_daylight_saving());
    let base = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    if let Some(next) = schedule.next_after(base) {
        assert!(next > base, "{text:?}: {next}");
        assert!(schedule.next_after(next).is_none_or(|after| after > next), "{text:?}");
    }
}

/// A connection string that is taken gives one for another login that is taken too, and says the same.
fn dsn(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(database) = Database::parse(text, "fuzz") else { return };
    let _ = database.libpq_environment("system");
    let other = database.dsn_of("other login", "p@ss:w/rd?");
    let again = Database::parse(&other, "fuzz").unwrap_or_else(|error| panic!("{other}: {error}"));
    assert!(again.has_password("p@ss:w/rd?"), "{other}");
    assert_eq!(again.dsn_of("other login", "p@ss:w/rd?"), other);
}

/// A price table with one commit, and a config that reads it.
fn prices(folder: &TempDir, path: &str) -> (MarketData, BacktestConfig) {
    let data = MarketData {
        lake: None,
        options: StorageOptions::default(),
        account: None,
        reach: Reach::unlimited(),
        signals: None,
    };
    let config = json!({
        "start_date": "2020-01-02", "end_date": "2020-01-10", "universe": { "symbols": ["*"] },
        "strategy": { "class": "BuyAndHoldStrategy" }, "data": { "price_path": folder.path().join(path) },
    });
    (data, BacktestConfig::from_value(&config).unwrap())
}

/// The second entry of a log.
fn delta_log(bytes: &[u8]) {
    const FIRST: &str = include_str!("../first.json");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("_delta_log");
    std::fs::create_dir(&log).unwrap();
    std::fs::write(log.join("00000000000000000000.json"), FIRST).unwrap();
    std::fs::write(log.join("00000000000000000001.json"), bytes).unwrap();
    let (data, config) = prices(&folder, ".");
    SERVICE.0.block_on(async {
        let location = Location::Local(folder.path().to_owned());
        if let Ok(Some(table)) = Table::open(&location, &StorageOptions::default()).await {
            let _ = (table.version(), table.comment(), table.schema(), table.partition_columns());
            let _ = table.files(None).await;
            let _ = table.data_files("date").await;
        }
        let _ = data.survey(&config).await;
    });
}

fn imported(bytes: &[u8], name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    let table = Location::Local(folder.path().join("table"));
    let (places, asked) = ([file.to_string_lossy().into_owned()], Asked::nothing(Kind::Bars));
    let options = StorageOptions::default();
    let done = SERVICE.0.block_on(import(&places, &asked, &table, &options, Mode::Append, &mut |_| {}));
    if let Ok(imported) = done {
        assert!(imported.contents.rows > 0);
    }
}

fn csv(bytes: &[u8]) {
    imported(bytes, "bars.csv");
}

/// A file whose statistics choose what is read of it.
fn parquet(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bars.parquet"), bytes).unwrap();
    let (data, config) = prices(&folder, "bars.parquet");
    SERVICE.0.block_on(async {
        let _ = data.survey(&config).await;
        let _ = data.load(&config, &Pins::default()).await;
    });
    imported(bytes, "bars.parquet");
}

/// Whatever names say, the page of a run stays a page: lines of the input are the name of the run and of two symbols.
fn report_page(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n').chain(std::iter::repeat(""));
    let (name, one, other) = (lines.next(), lines.next(), lines.next());
    let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
    let toy = Toy::flat(&[(one, &[10.0, 11.0, 12.0, 9.0]), (other, &[20.0, 19.0, 21.0, 22.0])]);
    let toy = toy.with(json!({ "run_name": name, "benchmark": one }));
    let Ok(config) = BacktestConfig::from_value(&toy.config) else { return };
    let Ok(market) = toy.try_market() else { return };
    let Ok(outcome) = toy.try_run() else { return };
    let run_id: RunId = "r".parse().unwrap();
    let facts = Facts {
        run_id: &run_id,
        submitted: &toy.config,
        config: &config,
        config_sha256: "c",
        data_versions: &json!({ "prices": other, "more": Value::String(text.to_string()) }),
        fence: None,
    };
    let confidence = serde_json::to_value(Confidence::of(&outcome)).unwrap();
    let page = report::page(&facts, &market, &outcome, &confidence).unwrap();
    assert_well_formed(&page);
    assert!(!page.contains("<script"), "no name makes a script");
}
