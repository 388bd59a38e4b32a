//! The commands, as a person gives them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::service::{Home, eventually, program, project, run, run_well};

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

#[tokio::test]
async fn a_handler_killed_in_a_run_is_restarted_and_the_run_completes() {
    let home = Home::with_sample(200, 2500);
    clone_into(home.path());
    let mut command = program();
    command
        .args(["dev", "--port", "0"])
        .current_dir(home.path())
        .env("BACKTEST_LAKE", home.lake())
        .env("BACKTEST_LEASE_SECONDS", "2")
        .env("RECONCILE_SCHEDULE", "* * * * * *")
        .env("AzureFunctionsJobHost__extensions__queues__visibilityTimeout", "00:00:01")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut host = Interrupted(command.spawn().unwrap());
    // The host tells its address, and the process id of the handler it starts.
    let (mut port, mut handler) = (None, None);
    let number = |line: &str, after: &str| {
        let rest = line.split_once(after)?.1;
        Some(rest.split(|c: char| !c.is_ascii_digit()).next()?.to_owned()).filter(|number| !number.is_empty())
    };
    let mut lines = BufReader::new(host.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    while port.is_none() || handler.is_none() {
        let line = lines.next().expect("the host goes on talking");
        port = port.or_else(|| number(&line, "listening on http://localhost:"));
        handler = handler.or_else(|| number(&line, "as process "));
    }
    // Nobody reads on, and a full pipe would stop the host.
    std::thread::spawn(move || lines.for_each(drop));
    let (url, handler) = (format!("http://127.0.0.1:{}", port.unwrap()), handler.unwrap());

    let config = "start_date: 2000-01-03\nend_date: 2030-12-31\nuniverse: {symbols: ['*']}\n\
                  strategy: {class: StaticUniverseStrategy}\nsizing: {parameters: {max_positions: 200}}\n";
    std::fs::write(home.path().join("long.yaml"), config).unwrap();
    run_well(&["submit", "long.yaml", "--run-id", "r", "--url", &url], home.path());
    let status = || -> Value {
        let output = run(&["status", "r", "--url", &url, "--output", "json"], home.path());
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    eventually("the run is under way", async || (status()["status"] == "running").then_some(())).await;
    assert!(Command::new("kill").args(["-9", &handler]).status().unwrap().success());
    run_well(&["watch", "r", "--url", &url], home.path());
    let run = status();
    assert_eq!((&run["status"], &run["attempt"]), (&"completed".into(), &2.into()), "{run}");
}

/// Ends as a person would end it, so that the host takes its handler along.
struct Interrupted(Child);

impl Drop for Interrupted {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
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
fn every_example_runs_as_it_stands() {
    let home = Home::with_prices();
    let lake = home.lake();
    for example in std::fs::read_dir(project("examples")).unwrap() {
        let path = example.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let arguments = [
                "run",
                path.to_str().unwrap(),
                "--lake",
                lake.to_str().unwrap(),
                "--out",
                "out",
                "--output",
                "json",
            ];
            let summary: Value = serde_json::from_str(&run_well(&arguments, home.path())).unwrap();
            assert!(summary["trades"].as_u64().unwrap() > 0, "{} trades nothing", path.display());
            assert_eq!(summary["warnings"], serde_json::json!([]), "{}", path.display());
        }
    }
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
    let refused = program()
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

#[test]
fn a_grid_gives_one_sorted_table_over_prices_loaded_once() {
    let home = Home::with_prices();
    let (config, lake) = (project("examples/momentum.yaml"), home.lake());
    let said = run_well(
        &[
            "run",
            config.to_str().unwrap(),
            "--lake",
            lake.to_str().unwrap(),
            "--out",
            "grid",
            "--run-id",
            "g",
            "--grid",
            "strategy.parameters.top_n=1,2,3",
            "--grid",
            "broker.commission=0,0.001",
            "--output",
            "json",
        ],
        home.path(),
    );
    let results: Vec<Value> = serde_json::from_str(&said).unwrap();
    assert_eq!(results.len(), 6);
    let sharpe: Vec<f64> = results.iter().map(|run| run["sharpe_ratio"].as_f64().unwrap()).collect();
    assert!(sharpe.is_sorted_by(|a, b| a >= b), "{sharpe:?}");
    let table = std::fs::read_to_string(home.path().join("grid/results.csv")).unwrap();
    assert_eq!(table.lines().count(), 7, "{table}");
    assert!(home.path().join("grid/results.parquet").is_file());

    // A run of the grid is the run that its config alone would give.
    let text =
        std::fs::read_to_string(&config).unwrap().replace("top_n: 2", "top_n: 3").replace("0.0005", "0.001");
    std::fs::write(home.path().join("alone.yaml"), text).unwrap();
    let alone = run_well(
        &[
            "run",
            "alone.yaml",
            "--lake",
            lake.to_str().unwrap(),
            "--out",
            "one",
            "--run-id",
            "a",
            "--output",
            "json",
        ],
        home.path(),
    );
    let alone: Value = serde_json::from_str(&alone).unwrap();
    let label = "strategy.parameters.top_n=3 broker.commission=0.001";
    let same = results.iter().find(|run| run["config"].as_str().unwrap().ends_with(label)).unwrap();
    assert_eq!(same["final_equity"], alone["final_equity"]);
    let folder = home.path().join("grid").join(same["run_id"].as_str().unwrap());
    let trades = |folder: &Path| std::fs::read(folder.join("trades.csv")).unwrap();
    assert_eq!(trades(&folder), trades(&home.path().join("one/a")));

    for wrong in ["top_n", "strategy.parameters.top_n=0", "run_name.x=1"] {
        let refused = run(
            &["run", config.to_str().unwrap(), "--lake", lake.to_str().unwrap(), "--grid", wrong],
            home.path(),
        );
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
    }
}
