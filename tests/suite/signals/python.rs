//! Tables shared with the Python package `deltalake`: what it writes is read here, what is written here is read by it,
//! and the stored answers are compared from outside.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::postgres::database;
use crate::support::service::{program, project};
use crate::support::signals::{Lake, Synced, connect, everything, states};

/// A Python that has the package; `None`, said in one line, where there is none and none is needed.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let candidates = [project("target/python/bin/python3"), PathBuf::from("python3")];
        let has_package = |python: &PathBuf| {
            let imported = Command::new(python).args(["-c", "import deltalake, pyarrow"]).output();
            imported.is_ok_and(|output| output.status.success())
        };
        let found = candidates.into_iter().find(has_package);
        if found.is_none() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the Python package deltalake");
            let _ = writeln!(std::io::stderr(), "no Python package deltalake: tests with it are skipped");
        }
        found
    };
    PYTHON.get_or_init(find).as_deref()
}

fn run(python: &Path, arguments: &[&str]) -> Output {
    let output =
        Command::new(python).arg(project("tests/support/delta.py")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn read(python: &Path, lake: &str, months: &[&str]) -> Value {
    serde_json::from_slice(&run(python, &[&["read", lake], months].concat()).stdout).unwrap()
}

#[tokio::test]
async fn tables_of_python_are_read_and_written_in_their_own_types() {
    let (Some(python), Some(dsn)) = (python(), database()) else { return };
    let lake = Lake::empty();
    let root = lake.root().to_str().unwrap();
    run(python, &["make", root]);
    let synced = Synced::new(&lake, Some(&dsn));
    assert_eq!(
        synced.well().await,
        ["2020-03 10 5 15 1", "2020-02 30 15 45 3", "2020-01 30 15 45 3", "2019-12 0 0 -"]
    );
    let client = connect(&dsn).await;
    let rows = everything(&client).await;
    assert!(rows.iter().all(|row| !row.contains("WRONG") && !row.contains("GONE")), "{rows:#?}");
    assert!(synced.well().await.is_empty());

    // Python reads what Postgres serves, row for row.
    let signals = read(python, root, &[]);
    let text = |row: &Value, names: &[&str]| -> String {
        let cells = names.iter().filter_map(|name| match &row[*name] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            // As Postgres writes a whole number of doubles.
            Value::Number(number) => Some(number.to_string().trim_end_matches(".0").to_owned()),
            other => panic!("{other}"),
        });
        cells.collect::<Vec<_>>().join(" ")
    };
    let ranking =
        ["date", "year_month", "symbol", "strategy", "rank", "rank_percentile", "n_symbols", "score"];
    let composite = [
        "date",
        "year_month",
        "symbol",
        "composite_percentile",
        "composite_rank",
        "strategies_present",
        "strategies_hit",
    ];
    let mut lines: Vec<String> =
        signals["ranking_signal"].as_array().unwrap().iter().map(|row| text(row, &ranking)).collect();
    let composites = signals["composite_signal_daily"].as_array().unwrap();
    lines.extend(composites.iter().map(|row| text(row, &composite)));
    assert_eq!(lines, rows);
    assert_eq!(states(&client).await.len(), 3);
}

#[tokio::test]
async fn signals_that_somebody_else_makes_are_carried_to_postgres() {
    let (Some(python), Some(dsn)) = (python(), database()) else { return };
    let lake = Lake::empty();
    run(python, &["signals", lake.root().to_str().unwrap()]);
    let synced = Synced::new(&lake, Some(&dsn));
    assert_eq!(synced.well().await, ["2020-05 4 4 8 2"]);
    let rows = everything(&connect(&dsn).await).await;
    assert_eq!(
        (rows[0].as_str(), rows[7].as_str()),
        ("2020-05-04 2020-05 A slow 1 1 2", "2020-05-05 2020-05 B 0 2 1 1")
    );
    assert!(synced.well().await.is_empty());
}

/// The cases of stored answers.
const CASES: [&str; 4] = ["s01_month", "s02_ties_and_holes", IMPOSSIBLE, "s04_weights_two_months"];
/// Its ranks are fractions, and some lie above the number of symbols: the arithmetic of them is held by `signals`, and
/// the sync refuses the month by name instead of serving percentiles below 0.
const IMPOSSIBLE: &str = "s03_bad_rows";

#[test]
fn the_stored_answers_agree_from_outside() {
    let root = project("../shared/golden");
    let Some(python) = python() else { return };
    if !root.join("check_signals.py").is_file() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", root.display());
        println!("skipped: {} is not there", root.display());
        return;
    }
    let has_pandas = Command::new(python).args(["-c", "import pandas"]).output().unwrap().status.success();
    if !has_pandas {
        println!("skipped: the check needs the Python package pandas");
        return;
    }
    let actual = tempfile::tempdir().unwrap();
    for case in CASES {
        let lake = tempfile::tempdir().unwrap();
        let lake = lake.path().to_str().unwrap();
        let rankings = root.join("signals").join(case).join("rankings.parquet");
        run(python, &["rankings", lake, rankings.to_str().unwrap()]);
        let params = std::fs::read(root.join("signals").join(case).join("params.json")).unwrap();
        let params: Value = serde_json::from_slice(&params).unwrap();
        for one in params["runs"].as_array().unwrap() {
            let folder = actual.path().join(case).join(one["name"].as_str().unwrap());
            std::fs::create_dir_all(&folder).unwrap();
            let months: Vec<&str> =
                one["year_months"].as_array().unwrap().iter().map(|month| month.as_str().unwrap()).collect();
            let mut command = program();
            command.args(["sync", "--lake", lake]);
            months.iter().for_each(|month| _ = command.args(["--month", month]));
            for (key, variable) in
                [("top_n", "RANKING_TOP_N"), ("weights_env", "RANKING_COMPOSITE_STRATEGY_WEIGHTS")]
            {
                match &one[key] {
                    Value::Null => {}
                    Value::String(text) => _ = command.env(variable, text),
                    other => _ = command.env(variable, other.to_string()),
                }
            }
            let output = command.output().unwrap();
            if case == IMPOSSIBLE {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(!output.status.success() && said.contains("rankings cannot be"), "{said}");
            } else if output.status.success() {
                let signals = read(python, lake, &months);
                for name in ["ranking_signal", "composite_signal_daily"] {
                    std::fs::write(folder.join(format!("{name}.json")), signals[name].to_string()).unwrap();
                }
            } else {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(said.contains("RANKING_COMPOSITE_STRATEGY_WEIGHTS"), "{said}");
                std::fs::write(folder.join("error.json"), json!({ "category": "weights" }).to_string())
                    .unwrap();
            }
        }
    }
    let answered = CASES.into_iter().filter(|case| *case != IMPOSSIBLE);
    let checked = Command::new(python)
        .arg(root.join("check_signals.py"))
        .arg(actual.path())
        .args(answered.flat_map(|case| ["--case", case]))
        .args(["--expected".as_ref(), root.join("signals").as_os_str()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    println!("{said}");
    assert!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
}
