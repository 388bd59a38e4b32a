//! The commands, as a person gives them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::postgres;
use crate::support::service::{Dev, Home, eventually, momentum, program, project, run, run_well};

#[test]
fn the_demo_shows_the_whole_path() {
    // From an empty folder: the program carries along what it needs.
    let home = Home::empty();
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

    let carried = home.path().join(".backtests/app");
    for part in ["host.json", "functions", "examples"] {
        assert_eq!(
            files_of(&carried.join(part)),
            files_of(&project(part)),
            "{part} is not what a checkout has"
        );
    }
}

/// Every file at or below a place, by its path from there.
fn files_of(place: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut left = vec![place.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.insert(path.strip_prefix(place).unwrap().to_owned(), std::fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn a_new_folder_has_what_a_first_run_needs() {
    let home = Home::empty();
    let said = run_well(&["init", "work"], home.path());
    let folder = home.path().join("work");
    // What its texts name is there.
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert!(text("momentum.yaml").starts_with("# yaml-language-server: $schema=config.schema.json\n"));
    assert_eq!(
        text("config.schema.json"),
        std::fs::read_to_string(project("docs/config.schema.json")).unwrap()
    );
    assert!(text("notebook.ipynb").contains("\\\"prices/wiki5_ohlcv_daily.parquet\\\""));
    assert!(folder.join("prices/wiki5_ohlcv_daily.parquet").is_file());
    // The commands that it names do.
    let (mut next, steps) = (0, said.lines().filter(|line| line.starts_with("  ")));
    for step in steps {
        let step = step.rsplit("&& ").next().unwrap().trim().trim_end_matches(" --open");
        run_well(&step.split(' ').skip(1).collect::<Vec<_>>(), &folder);
        next += 1;
    }
    assert_eq!(next, 2, "{said}");
    let again = run(&["init", "work"], home.path());
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("has momentum.yaml, notebook.ipynb"), "{said}");
}

/// A host that is gone leaves its handler behind, which gives its run back at once instead of holding it for the lease.
#[tokio::test]
async fn a_run_whose_host_was_killed_goes_on_well_before_its_lease_is_over() {
    let home = Home::with_sample(200, 2500).with_clone();
    let start = || -> (Interrupted, String, String) {
        let mut command = program();
        command
            .args(["dev", "--port", "0"])
            .current_dir(home.path())
            .env("BACKTEST_LAKE", home.lake())
            .env("RECONCILE_SCHEDULE", "* * * * * *")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut host = Interrupted(command.spawn().unwrap());
        let (url, handler) = told(&mut host.0);
        (host, url, handler)
    };
    let (mut host, url, handler) = start();
    let config = "start_date: 2000-01-03\nend_date: 2030-12-31\nuniverse: {symbols: ['*']}\n\
                  strategy: {class: StaticUniverseStrategy}\nsizing: {parameters: {max_positions: 200}}\n";
    std::fs::write(home.path().join("long.yaml"), config).unwrap();
    run_well(&["submit", "long.yaml", "--run-id", "r", "--url", &url], home.path());
    let status = async |url: &str, wanted: &str| {
        let arguments = ["status", "r", "--url", url, "--output", "json"];
        let seen = async || {
            let run: Value = serde_json::from_slice(&run(&arguments, home.path()).stdout).ok()?;
            (run["status"] == wanted).then_some(run)
        };
        eventually(wanted, seen).await
    };
    status(&url, "running").await;
    host.0.kill().unwrap();
    host.0.wait().unwrap();
    let killed = Instant::now();
    let orphan = Path::new("/proc").join(&handler);
    eventually("the handler ends by itself", async || (!orphan.exists()).then_some(())).await;
    assert!(killed.elapsed() < Duration::from_secs(15), "the handler left after {:?}", killed.elapsed());

    let (_host, url, _) = start();
    let run = status(&url, "completed").await;
    assert_eq!(run["attempt"], 2, "{run}");
    let started: chrono::DateTime<chrono::Utc> = run["started_at"].as_str().unwrap().parse().unwrap();
    let waited = killed.elapsed() - (chrono::Utc::now() - started).to_std().unwrap();
    assert!(waited < Duration::from_secs(30), "the lease is 60 s, and the run waited {waited:?}");
}

#[test]
fn a_handler_that_is_started_by_hand_says_what_it_lacks() {
    let home = Home::empty();
    let first_line = |by_host: bool| {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut command = program();
        command.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match by_host {
            true => command.arg("serve").env("FUNCTIONS_CUSTOMHANDLER_PORT", &port),
            false => command.args(["serve", "--port", &port]).env_remove("FUNCTIONS_CUSTOMHANDLER_PORT"),
        };
        let mut handler = command.spawn().unwrap();
        let mut said = BufReader::new(handler.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line.contains("listening on port")));
        handler.kill().unwrap();
        let output = handler.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = first_line(false);
    assert!(said.contains("`backtests dev` is a host") && said.lines().count() == 1, "{said}");
    assert_eq!(first_line(true), "");
}

/// What a host tells of itself at its start: its address, and the process id of the handler.
fn told(host: &mut Child) -> (String, String) {
    let (mut port, mut handler) = (None, None);
    let number = |line: &str, after: &str| {
        let rest = line.split_once(after)?.1;
        Some(rest.split(|c: char| !c.is_ascii_digit()).next()?.to_owned()).filter(|number| !number.is_empty())
    };
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines().map_while(Result::ok);
    while port.is_none() || handler.is_none() {
        let line = lines.next().expect("the host goes on talking");
        port = port.or_else(|| number(&line, "listening on http://localhost:"));
        handler = handler.or_else(|| number(&line, "as process "));
    }
    // Nobody reads on, and a full pipe would stop the host.
    std::thread::spawn(move || lines.for_each(drop));
    (format!("http://127.0.0.1:{}", port.unwrap()), handler.unwrap())
}

/// On a terminal, which `script` pretends to be, one line is one event in words.
#[test]
fn on_a_terminal_the_host_speaks_in_words() {
    let home = Home::empty();
    let Ok(path) = which("script") else {
        println!("skipped: there is no program `script` to pretend a terminal");
        return;
    };
    let dev = format!("{} dev --port 0", env!("CARGO_BIN_EXE_backtests"));
    let mut command = Command::new(path);
    command.args(["--quiet", "--return", "--command", &dev, "/dev/null"]).current_dir(home.path());
    command.env_remove("BACKTEST_LAKE").env_remove("RUST_LOG");
    let mut script =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(script.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let mut until = |what: &str| {
        while !said.last().is_some_and(|line: &String| line.contains(what)) {
            let line = lines.next().unwrap_or_else(|| panic!("{what} did not come: {said:#?}"));
            said.push(line);
        }
        said.clone()
    };
    until("the handler is ready");
    // A second host is told where the first one is.
    let second = run(&["dev", "--port", "0"], home.path());
    let refused = String::from_utf8_lossy(&second.stderr);
    assert!(
        refused.contains("it listens on http://127.0.0.1:") && refused.contains("use that one"),
        "{refused}"
    );
    // Ctrl-C, as the terminal passes it on.
    script.stdin.take().unwrap().write_all(b"\x03").unwrap();
    let said = until("stopping: the handler is killed");
    script.wait().unwrap();
    assert!(said.iter().all(|line| !line.contains("{\"")), "JSON: {said:#?}");
    let row = said.iter().find(|line| line.contains("/api/backtests/validate")).unwrap();
    assert!(row.contains("validate") && row.contains("  POST"), "{row}");
}

/// Where a program is found.
fn which(name: &str) -> Result<PathBuf, std::env::VarError> {
    let path = std::env::var("PATH")?;
    let places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places.into_iter().find(|place| place.is_file()).ok_or(std::env::VarError::NotPresent)
}

#[tokio::test]
async fn a_handler_killed_in_a_run_is_restarted_and_the_run_completes() {
    let home = Home::with_sample(200, 2500).with_clone();
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
    let (url, handler) = told(&mut host.0);

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

/// Whoever supervises the host ends it by a signal; its handler goes with it.
#[test]
fn a_terminated_host_takes_its_handler_along() {
    let home = Home::empty().with_clone();
    let mut command = program();
    command
        .args(["dev", "--port", "0"])
        .current_dir(home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut host = command.spawn().unwrap();
    let mut lines = BufReader::new(host.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told = lines.find_map(|line| Some(line.split_once("as process ")?.1.to_owned())).unwrap();
    let handler: String = told.chars().take_while(char::is_ascii_digit).collect();
    assert!(Path::new("/proc").join(&handler).exists());
    let terminated = Command::new("kill").args(["-TERM", &host.id().to_string()]).status().unwrap();
    assert!(terminated.success() && host.wait().unwrap().success());
    assert!(!Path::new("/proc").join(&handler).exists(), "process {handler} lives on");
}

#[test]
fn a_config_that_fails_is_named_and_keeps_no_other_from_its_result() {
    let home = Home::with_prices();
    let good = std::fs::read_to_string(project("examples/momentum.yaml")).unwrap();
    std::fs::write(home.path().join("good.yaml"), &good).unwrap();
    std::fs::write(home.path().join("bad.yaml"), good.replace("momentum_12_1", "no_such_column")).unwrap();
    let lake = home.lake();
    let with = |more: &[&str]| {
        let common = ["run", "good.yaml", "--lake", lake.to_str().unwrap(), "--out", "out", "--results-only"];
        let output = run(&[&common[..], more].concat(), home.path());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = with(&["bad.yaml"]);
    assert!(code == Some(3) && said.contains("bad.yaml: ") && said.contains("no_such_column"), "{said}");
    let results = std::fs::read_to_string(home.path().join("out/results.csv")).unwrap();
    assert_eq!(results.lines().count(), 2, "{results}");
    std::fs::write(home.path().join("worse.yaml"), good.replace("top_n: 2", "top_n: -1")).unwrap();
    std::fs::write(home.path().join("worst.yaml"), good.replace("top_n: 2", "top_n: two")).unwrap();
    let (code, said) = with(&["worse.yaml", "worst.yaml"]);
    assert!(code == Some(2) && said.contains("worse.yaml has") && said.contains("worst.yaml has"), "{said}");
    let top_n = "strategy.parameters.top_n";
    for grid in [vec![format!("{top_n}=1"), format!("{top_n}=2")], vec![format!("{top_n}=1,,2")]] {
        let more: Vec<&str> = grid.iter().flat_map(|axis| ["--grid", axis]).collect();
        let (code, said) = with(&more);
        assert!(code == Some(2) && said.contains("--grid"), "{said}");
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
            // A name whose momentum is negative is not bought, which is what this example is about.
            let expected = if path.ends_with("momentum.yaml") { 1 } else { 0 };
            let warnings = summary["warnings"].as_array().unwrap();
            assert_eq!(warnings.len(), expected, "{}: {warnings:?}", path.display());
            assert!(warnings.iter().all(|said| said.as_str().unwrap().starts_with("what limits did: ")));
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
    let refused = run(&["run", project("examples/momentum.yaml").to_str().unwrap()], home.path());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("no lake is configured (--lake or BACKTEST_LAKE)"), "{said}");
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
        .env("BACKTEST_LAKE", "https://a.blob.core.windows.net/c?sig=verysecret")
        .env("RANKING_COMPOSITE_STRATEGY_WEIGHTS", r#"{"momentum_60d": 0}"#)
        .env("POSTGRES_AUTH", "entra")
        .env("BACKTEST_ALLOWED_DATA_DIRS", "data")
        .env("RUST_LOG", "=!=")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr) + String::from_utf8_lossy(&refused.stdout);
    for name in [
        "RUN_STORE_MODE:",
        "MAX_ATTEMPTS:",
        "ALLOW_LOCAL_DATA:",
        "STORAGE_CONNECTION_STRING:",
        "STORAGE_ACCOUNT_NAME:",
        "LAKE:",
        "STRATEGY_WEIGHTS:",
        "POSTGRES_AUTH:",
        "ALLOWED_DATA_DIRS:",
        "RUST_LOG:",
    ] {
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
        "init",
        "run",
        "submit",
        "status",
        "list",
        "watch",
        "cancel",
        "fetch",
        "validate",
        "summary",
        "report",
        "compare",
        "tag",
        "note",
        "archive",
        "delete",
        "metrics",
        "trades",
        "positions",
        "orders",
        "events",
        "schedules",
        "schedule",
        "unschedule",
        "completions",
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

#[tokio::test]
async fn every_call_of_the_service_has_its_command() {
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&[]).await;
    let command = |arguments: &str| -> Vec<String> {
        let arguments = arguments.split(' ').chain(["--url", &dev.url]);
        arguments.map(str::to_owned).collect()
    };
    let as_json = |arguments: &str| -> Value {
        let arguments = command(&format!("{arguments} --output json"));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        serde_json::from_str(&run_well(&arguments, home.path())).unwrap()
    };
    let as_table = |arguments: &str| {
        let arguments = command(arguments);
        run_well(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), home.path())
    };
    let validated = as_json("validate examples/momentum.yaml");
    assert!(as_table("validate examples/momentum.yaml").contains(validated["fingerprint"].as_str().unwrap()));
    assert_eq!(as_json("list")["runs"], serde_json::json!([]), "validate stored nothing");
    let done = as_json("submit examples/momentum.yaml --run-id r --watch");
    assert_eq!((&done["status"], &done["fingerprint"]), (&"completed".into(), &validated["fingerprint"]));

    assert_eq!(as_json("summary r"), done["summary"]);
    assert!(as_table("summary r").contains("total return"));
    assert_eq!(as_json("metrics r --max-points 50")["points"].as_array().unwrap().len(), 50);
    assert!(as_table("metrics r --max-points 50").starts_with("date"));
    assert!(as_table("metrics r --rolling 20 --max-points 50").contains("rolling_sharpe"));
    let trades = as_json("trades r --limit 3 --offset 2");
    assert_eq!((trades["trades"].as_array().unwrap().len(), &trades["offset"]), (3, &2.into()));
    let table = as_table("trades r --limit 3 --offset 2");
    assert!(table.contains("execution_date") && table.contains("more: --offset 5"), "{table}");
    assert_eq!(as_json("positions r --date 2008-10-10")["date"], "2008-10-10");
    assert!(as_table("positions r").contains("at the close of"));
    assert_eq!(as_json("events r")["events"][2]["event"], "completed");
    assert!(as_table("events r").contains("claimed"));

    // A run is named in short, its report is named at the end and shown when asked for.
    assert_eq!(as_json("status @latest")["run_id"], "r");
    let address = format!("report: {}/api/backtests/r/report", dev.url);
    assert!(as_table("summary r").contains(&address));
    for call in
        ["metrics r --max-points 50", "metrics r --rolling 20", "trades r", "positions r", "events r", "list"]
    {
        let table = as_table(call);
        assert!(
            table.lines().all(|line| line.chars().count() <= 80 || line.contains("not shown:")),
            "{call}:\n{table}"
        );
    }
    let browser = home.path().join("xdg-open");
    std::fs::write(&browser, "#!/bin/sh\ncp \"$1\" shown.html\n").unwrap();
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    let opened = program()
        .args(["report", "r", "--open", "--url", &dev.url])
        .current_dir(home.path())
        .env("PATH", format!("{}:/usr/bin:/bin", home.path().display()))
        .output()
        .unwrap();
    assert!(opened.status.success(), "{}", String::from_utf8_lossy(&opened.stderr));
    let shown = std::fs::read(home.path().join("shown.html")).unwrap();
    assert_eq!(shown, std::fs::read(home.path().join("r/report.html")).unwrap());

    // A config may come through a pipe.
    let config = std::fs::File::open(home.path().join("examples/momentum.yaml")).unwrap();
    let piped = program()
        .args(["submit", "-", "--run-id", "piped", "--watch", "--url", &dev.url])
        .current_dir(home.path())
        .stdin(config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&piped.stdout);
    for line in ["benchmark return", "Sortino ratio", "turnover a day, both sides", "costs", "report: "] {
        assert!(said.contains(line), "{line} is not in {said}");
    }

    let mut asked = momentum();
    asked["output"] = serde_json::json!({ "save_orders": true });
    std::fs::write(home.path().join("orders.json"), asked.to_string()).unwrap();
    as_json("submit orders.json --run-id orders --watch");
    let left = as_json("orders orders");
    assert!(
        as_table("orders orders")
            .starts_with(&format!("after the close of {}", left["as_of"].as_str().unwrap()))
    );
    assert!(as_table("orders orders --weights").contains("weight_target"));

    assert!(as_table("schedules").contains("no schedules; `backtests schedule NAME CONFIG` makes one"));
    asked.as_object_mut().unwrap().remove("end_date");
    std::fs::write(home.path().join("daily.json"), asked.to_string()).unwrap();
    let stored = as_json("schedule daily daily.json");
    assert_eq!((&stored["name"], &stored["cron"]), (&"daily".into(), &"0 */15 * * * *".into()));
    assert_eq!(as_json("schedules daily"), stored);
    assert!(as_table("schedules").starts_with("schedule"));
    assert!(as_table("unschedule daily").contains("its runs stay"));

    let exits = |arguments: &str| {
        let arguments = command(arguments);
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), home.path()).status.code()
    };
    std::fs::write(home.path().join("bad.yaml"), "start_date: 2020-01-01\n").unwrap();
    assert_eq!(exits("validate bad.yaml"), Some(2), "an invalid config");
    assert_eq!(exits("metrics r --rolling 1"), Some(2), "a parameter out of range");
    assert_eq!(exits("trades none"), Some(1), "a run that is not there");
}

#[test]
fn shells_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run_well(&["completions", shell], Path::new("."));
        assert!(script.contains("positions") && script.contains("rolling"), "{shell}:\n{script}");
    }
}

/// What the example with curl says against a host.
fn curl_example(home: &Home, dev: &Dev) -> String {
    let output = Command::new("bash")
        .arg(home.path().join("examples/curl.sh"))
        .env("BACKTEST_URL", &dev.url)
        .env_remove("BACKTEST_FUNCTION_KEY")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("every call answered"), "{said}");
    said
}

#[tokio::test]
async fn the_curl_example_runs_as_it_stands() {
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&[]).await;
    let unavailable = r#""code":"signals_unavailable""#;
    assert_eq!(curl_example(&home, &dev).matches(unavailable).count(), 3);
    drop(dev);
    if postgres::psql().is_none() {
        return;
    }
    let dev = home.dev(&["--postgres"]).await;
    let said = curl_example(&home, &dev);
    assert_eq!(said.matches(r#""signals":[]"#).count(), 2, "a lake without rankings has no signals: {said}");
    assert!(said.contains(r#""months":[]"#) && !said.contains(unavailable), "{said}");
}

/// A request of a `.http` file, variables filled in.
struct Written {
    method: reqwest::Method,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
}

/// The requests of a `.http` file; `api` takes the place of its own address.
fn written_requests(text: &str, api: &str) -> Vec<Written> {
    let mut variables = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix('@')) {
        let (name, value) = line.split_once('=').unwrap();
        let value = if name.trim() == "api" { api } else { value.trim() };
        variables.push((format!("{{{{{}}}}}", name.trim()), value.to_owned()));
    }
    let filled = variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let requests = filled.split("\n###").skip(1).map(|block| {
        let (head, body) = block.split_once("\n\n").unwrap_or((block, ""));
        // The first line is the title.
        let mut lines = head.lines().skip(1);
        let (method, url) = lines.next().unwrap().split_once(' ').unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        Written {
            method: method.parse().unwrap(),
            url: url.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: body.trim().to_owned(),
        }
    });
    requests.collect()
}

#[tokio::test]
async fn the_http_example_runs_as_it_stands() {
    let home = Home::with_prices().with_clone();
    // Signals are served from a database, what they predict from the lake.
    let Some(_) = postgres::psql() else { return };
    let lake = home.lake();
    let lake = lake.to_str().unwrap();
    run_well(&["lake", "rank", "--lake", lake], home.path());
    run_well(&["sync", "--month", "2013-02", "--lake", lake], home.path());
    let dev = home.dev(&["--postgres"]).await;
    let text = std::fs::read_to_string(project("examples/backtests.http")).unwrap();
    let client = reqwest::Client::new();
    let requests = written_requests(&text, &format!("{}/api", dev.url));
    let document = std::fs::read_to_string(project("docs/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    // Values stand in the place of names.
    let is_call_of = |url: &str, path: &str| {
        let given = url.split('?').next().unwrap().trim_start_matches(&dev.url).split('/');
        let wanted = path.split('/');
        given.clone().count() == wanted.clone().count()
            && given.zip(wanted).all(|(given, wanted)| given == wanted || wanted.starts_with('{'))
    };
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["GET", "POST"].into_iter().filter(|method| !item[method.to_lowercase()].is_null()) {
            let is_there = requests.iter().any(|one| one.method == method && is_call_of(&one.url, path));
            assert!(is_there, "{method} {path} is not in the file");
        }
    }
    for Written { method, url, headers, body } in requests {
        let mut request = client.request(method, &url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status();
        let too_late = url.ends_with("/cancel") && status.as_u16() == 409;
        assert!(status.is_success() || too_late, "{url}: {status} {}", answer.text().await.unwrap());
        if status.as_u16() == 202 && !url.ends_with("/cancel") && !url.ends_with("-canceled") {
            let run: Value = answer.json().await.unwrap();
            let run = format!("{}/api/backtests/{}", dev.url, run["run_id"].as_str().unwrap());
            // As the file tells its reader: wait until the run is completed.
            eventually("the run is completed", async || {
                let run: Value = client.get(&run).send().await.ok()?.json().await.ok()?;
                (run["status"] == "completed").then_some(())
            })
            .await;
        }
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

    for wrong in ["top_n", "strategy.parameters.top_n=-1", "run_name.x=1"] {
        let refused = run(
            &["run", config.to_str().unwrap(), "--lake", lake.to_str().unwrap(), "--grid", wrong],
            home.path(),
        );
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
    }
}
