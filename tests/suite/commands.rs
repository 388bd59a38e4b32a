//! The commands, as a person gives them.

use std::path::Path;

use serde_json::Value;

use crate::support::service::{Home, project, run, run_well};

/// A copy of what a clone has beside the sources.
fn clone_into(folder: &Path) {
    for file in ["host.json", "examples/momentum.yaml", "examples/data/wiki5_ohlcv_daily.parquet"] {
        std::fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        std::fs::copy(project(file), folder.join(file)).unwrap();
    }
    for function in std::fs::read_dir(project("functions")).unwrap() {
        let name = function.unwrap().file_name();
        let target = folder.join("functions").join(&name);
        std::fs::create_dir_all(&target).unwrap();
        std::fs::copy(project("functions").join(&name).join("function.json"), target.join("function.json"))
            .unwrap();
    }
}

#[test]
fn the_demo_shows_the_whole_path() {
    let home = Home::empty();
    clone_into(home.path());
    let said = run_well(&["demo", "--once", "--port", "0"], home.path());
    for expected in [
        "12154 real daily bars of 5 stocks",
        "submitted examples/momentum.yaml as RUN",
        "total return",
        "files: ",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in:\n{said}");
    }
    let again = run_well(&["demo", "--once", "--port", "0"], home.path());
    assert!(again.contains("lake: 12154 bars"), "the lake is filled once:\n{again}");
}

#[test]
fn a_run_without_a_service_gives_its_files_and_summary() {
    let home = Home::with_prices();
    let (config, lake) = (project("examples/momentum.yaml"), home.lake());
    let arguments = |out: &'static str| {
        let config = config.to_str().unwrap();
        vec![
            "run",
            config,
            "--run-id",
            "r",
            "--lake",
            lake.to_str().unwrap(),
            "--output",
            "json",
            "--out",
            out,
        ]
    };
    let summary: Value = serde_json::from_str(&run_well(&arguments("one"), home.path())).unwrap();
    assert_eq!(
        (&summary["run_id"], &summary["run_name"]),
        (&"r".into(), &"momentum, top two of five".into())
    );
    run_well(&arguments("two"), home.path());
    for file in std::fs::read_dir(home.path().join("one/r")).unwrap() {
        let name = file.unwrap().file_name();
        let read = |out: &str| std::fs::read(home.path().join(out).join("r").join(&name)).unwrap();
        assert_eq!(read("one"), read("two"), "{name:?} differs between two runs");
    }
    let refused = run(&arguments("one"), home.path());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is there already"));
}

#[test]
fn an_invalid_config_is_refused_with_every_fault() {
    let home = Home::empty();
    std::fs::write(
        home.path().join("bad.yaml"),
        "start_date: 2020-01-01\nend_date: 2019-01-01\nbroker: {lots: 1}\n",
    )
    .unwrap();
    let refused = run(&["run", "bad.yaml"], home.path());
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    for path in ["end_date:", "broker.lots:", "universe.symbols:", "strategy.class:", "data.price_path:"] {
        let due = path != "data.price_path:";
        assert_eq!(said.contains(path), due, "{path} in {said}");
    }
}

#[test]
fn settings_that_cannot_be_used_stop_the_program_with_one_message() {
    let refused = crate::support::service::program()
        .args(["serve", "--port", "1"])
        .env("BACKTEST_RUN_STORE_MODE", "oracle")
        .env("BACKTEST_MAX_ATTEMPTS", "0")
        .env("BACKTEST_ALLOW_LOCAL_DATA", "maybe")
        .env("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=verysecret")
        .env("AZURE_STORAGE_ACCOUNT_NAME", "a")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr) + String::from_utf8_lossy(&refused.stdout);
    for name in ["RUN_STORE_MODE", "MAX_ATTEMPTS", "ALLOW_LOCAL_DATA", "STORAGE_CONNECTION_STRING"] {
        assert!(said.contains(name), "{name} is not in {said}");
    }
    assert!(!said.contains("verysecret"), "a secret is in {said}");
}

#[test]
fn every_command_explains_itself() {
    for command in [
        "serve",
        "dev",
        "demo",
        "run",
        "submit",
        "status",
        "list",
        "watch",
        "cancel",
        "fetch",
        "lake",
        "lake import",
        "lake sample",
        "lake inspect",
    ] {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let page = run_well(&arguments, Path::new("."));
        assert!(page.contains("Usage: backtests") && page.lines().count() > 5, "{command}:\n{page}");
    }
}
