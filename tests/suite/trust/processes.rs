//! Trust on real processes: what runs are pinned to when tables move, are made anew or lose files; runs that are made again;
//! evidence; audits.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::service::{Handler, Home, eventually, long, run, run_well};

/// A lake with bars of five symbols over two years of weekdays; `bend` is added to the closes of symbol C in 2020.
fn import(home: &Home, days: std::ops::Range<usize>, bend: f64, options: &[&str]) {
    let mut text = "date,symbol,open,high,low,close,volume\n".to_owned();
    let start = chrono::NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
    let weekdays =
        start.iter_days().filter(|day| !["Sat", "Sun"].contains(&day.format("%a").to_string().as_str()));
    for (at, day) in weekdays.enumerate().skip(days.start).take(days.len()) {
        for (nth, symbol) in ["A", "B", "C", "D", "E"].into_iter().enumerate() {
            let wave = ((at * (nth + 3)) as f64 * 0.05).sin();
            let bent = if symbol == "C" && day < start + chrono::Days::new(366) { bend } else { 0.0 };
            let close = 100.0 + 10.0 * wave + nth as f64 * 7.0 + bent;
            text +=
                &format!("{day},{symbol},{close:.4},{:.4},{:.4},{close:.4},1000\n", close + 1.0, close - 1.0);
        }
    }
    let file = home.path().join("bars.csv");
    std::fs::write(&file, text).unwrap();
    let lake = home.lake();
    let mut arguments = vec!["lake", "import", file.to_str().unwrap(), "--lake", lake.to_str().unwrap()];
    arguments.extend(options);
    run_well(&arguments, home.path());
}

fn config() -> Value {
    json!({
        "start_date": "2020-06-01", "end_date": "2021-06-30", "universe": { "symbols": ["A", "B", "C", "D", "E"] },
        "strategy": { "class": "TopNSignalStrategy",
                      "parameters": { "signal_column": "reversal_21d", "top_n": 2, "rebalance": "weekly" } },
    })
}

fn table(home: &Home) -> std::path::PathBuf {
    home.lake().join("gold/prices_daily")
}

async fn submitted(handler: &Handler, id: &str, config: &Value) {
    let outputs = handler.submit(&json!({ "config": config, "run_id": id })).await;
    assert_eq!(outputs["res"]["statusCode"], 202, "{outputs}");
}

async fn executed(handler: &Handler, id: &str) -> Value {
    assert!(handler.wake(id).await.status.is_success());
    handler.run(id).await
}

/// Asks for a run about another, executes it and reads its document.
async fn derived(handler: &Handler, id: &str, what: &str) -> (Value, Value) {
    let asked = handler.post(&format!("/api/backtests/{id}/{what}"), &json!({})).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.json());
    let made = asked.json()["run_id"].as_str().unwrap().to_owned();
    let run = executed(handler, &made).await;
    assert_eq!(run["status"], "completed", "{run}");
    let file = if what == "audit" { "audit.json" } else { "reproduction.json" };
    (run, handler.get(&format!("/api/backtests/{made}/artifacts/{file}")).await.json())
}

#[tokio::test]
async fn a_run_reads_the_version_that_was_newest_when_it_was_submitted() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[]).await;
    submitted(&handler, "before", &config()).await;
    import(&home, 0..420, 5.0, &["--replace"]);
    submitted(&handler, "after", &config()).await;
    let (before, after) = (executed(&handler, "before").await, executed(&handler, "after").await);
    let version = |run: &Value| run["data_versions"]["prices"]["version"].clone();
    assert_eq!((version(&before), version(&after)), (json!(1), json!(2)), "{before}");
    assert_ne!(before["results_sha256"], after["results_sha256"]);
    assert_ne!(before["fingerprint"], after["fingerprint"]);

    // The older one again, by name: other config, equal results but for the config that was sent.
    let mut named = config();
    named["data"] = json!({ "price_version": 1 });
    submitted(&handler, "named", &named).await;
    let named = executed(&handler, "named").await;
    assert_eq!(named["data_versions"], before["data_versions"]);
    assert_eq!(named["summary"]["final_equity"], before["summary"]["final_equity"]);

    let mut gone = config();
    gone["data"] = json!({ "price_version": 9 });
    for call in ["/api/backtests", "/api/backtests/validate"] {
        let refused = handler.post(call, &json!({ "config": gone })).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (409, &json!("data_gone")), "{call}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains("version 9") && detail.contains("oldest version that can be read is 0"),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn a_run_whose_version_is_gone_fails_by_that_name() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[]).await;
    for id in ["vacuumed", "truncated", "recreated"] {
        submitted(&handler, id, &config()).await;
    }
    import(&home, 0..420, 5.0, &["--replace"]);
    let is_gone = async |id: &str| {
        let run = executed(&handler, id).await;
        assert_eq!((&run["status"], &run["status_reason"]), (&json!("failed"), &json!("data_gone")), "{run}");
    };
    let log = table(&home).join("_delta_log/00000000000000000000.json");
    let kept = std::fs::read(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    is_gone("truncated").await;
    std::fs::write(&log, kept).unwrap();
    // As VACUUM does: the files that only the version before has.
    let newest = std::fs::read_to_string(table(&home).join("_delta_log/00000000000000000002.json")).unwrap();
    for removed in newest.lines().filter_map(|line| {
        serde_json::from_str::<Value>(line).unwrap()["remove"]["path"].as_str().map(str::to_owned)
    }) {
        std::fs::remove_file(table(&home).join(removed)).unwrap();
    }
    is_gone("vacuumed").await;
    std::fs::remove_dir_all(table(&home)).unwrap();
    import(&home, 0..420, 0.0, &[]);
    is_gone("recreated").await;
}

#[tokio::test]
async fn a_run_is_made_again_to_the_last_byte_while_its_data_is_there() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[]).await;
    submitted(&handler, "r", &config()).await;
    let original = executed(&handler, "r").await;
    import(&home, 0..420, 5.0, &["--replace"]);
    let (run, found) = derived(&handler, "r", "reproduce").await;
    assert_eq!((&run["kind"], &run["parent_run_id"]), (&json!("reproduction"), &json!("r")));
    assert_eq!(
        (&found["verdict"], &found["data"], &found["of"]),
        (&json!("identical"), &json!("identical"), &json!("r"))
    );
    assert!(found["files"].as_array().unwrap().len() >= 10);
    assert_eq!(run["data_versions"], original["data_versions"]);
    // Asked again, it is the same.
    let again = handler.post("/api/backtests/r/reproduce", &json!({})).await;
    assert_eq!((again.status.as_u16(), &again.json()["run_id"]), (200, &run["run_id"]));
    // One that is about another cannot be made again itself.
    let nested = handler
        .post(&format!("/api/backtests/{}/reproduce", run["run_id"].as_str().unwrap()), &json!({}))
        .await;
    assert_eq!(nested.status.as_u16(), 409);

    submitted(&handler, "lost", &config()).await;
    executed(&handler, "lost").await;
    std::fs::remove_dir_all(table(&home)).unwrap();
    let (_, found) = derived(&handler, "lost", "reproduce").await;
    assert_eq!(found["verdict"], "not_possible", "{found}");
    assert!(found["reason"].as_str().unwrap().starts_with("data_gone"), "{found}");
}

#[tokio::test]
async fn an_equal_run_is_the_answer_only_where_that_is_asked_for() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[]).await;
    submitted(&handler, "first", &config()).await;
    executed(&handler, "first").await;
    let reuse = json!({ "config": config(), "reuse": true });
    let answer = handler.post("/api/backtests", &reuse).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["run_id"]), (200, &json!("first")));
    assert_eq!(answer.header("x-backtest-reused"), "true");
    let answer = handler.post("/api/backtests", &json!({ "config": config() })).await;
    assert_eq!(answer.status.as_u16(), 202, "never by default");
    import(&home, 0..420, 5.0, &["--replace"]);
    let answer = handler.post("/api/backtests", &reuse).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("x-backtest-reused")),
        (202, ""),
        "the data is another"
    );
}

/// Puts another text into a file of a run, and its digest into the manifest, as another engine would have.
fn of_another_engine(folder: &Path, name: &str, change: impl Fn(&str) -> String) {
    let path = folder.join(name);
    let changed = change(&std::fs::read_to_string(&path).unwrap());
    std::fs::write(&path, &changed).unwrap();
    let manifest = folder.join("artifacts_manifest.json");
    let mut listed: Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    listed["engine_version"] = json!("0.0.9+000000000000");
    for file in listed["artifacts"].as_array_mut().unwrap() {
        if file["name"] == name {
            file["sha256"] = json!(backtest_functions::work::sha256_hex(&changed));
        }
    }
    std::fs::write(manifest, listed.to_string()).unwrap();
}

#[test]
fn a_fetched_folder_is_made_again_without_a_service() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    std::fs::write(home.path().join("c.json"), config().to_string()).unwrap();
    let lake = home.lake();
    let lake = lake.to_str().unwrap();
    run_well(&["run", "c.json", "--run-id", "r", "--out", "out", "--lake", lake], home.path());
    let reproduce = || {
        let output = run(&["reproduce", "out/r", "--lake", lake, "--output", "json"], home.path());
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), found)
    };
    let (code, found) = reproduce();
    assert_eq!((code, &found["verdict"]), (Some(0), &json!("identical")), "{found}");

    let folder = home.path().join("out/r");
    let last_digit = |digits: &'static str| {
        move |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let last = lines.last_mut().unwrap();
            let mut cells: Vec<String> = last.split(',').map(str::to_owned).collect();
            let value: f64 = cells[1].parse().unwrap();
            cells[1] = format!("{}", value * (1.0 + digits.parse::<f64>().unwrap()));
            *last = cells.join(",");
            lines.join("\n") + "\n"
        }
    };
    of_another_engine(&folder, "daily_metrics.csv", last_digit("1e-12"));
    let (code, found) = reproduce();
    assert_eq!((code, &found["verdict"]), (Some(0), &json!("equal_numbers")), "{found}");
    assert_eq!(found["largest_difference"]["column"], "portfolio_value");
    of_another_engine(&folder, "daily_metrics.csv", last_digit("1e-6"));
    let (code, found) = reproduce();
    assert_eq!((code, &found["verdict"]), (Some(1), &json!("different")), "{found}");
    assert!(found["largest_difference"]["relative"].as_f64().unwrap() > 1e-7);

    // A file that is not what its manifest says is not evidence of anything.
    std::fs::write(folder.join("trades.csv"), "nothing").unwrap();
    let output = run(&["reproduce", "out/r", "--lake", lake], home.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("changed since"));
}

#[test]
fn a_run_on_a_file_is_not_made_again_from_another_content() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let mut on_file = config();
    on_file["data"] = json!({ "price_path": "bars.csv" });
    std::fs::write(home.path().join("c.json"), on_file.to_string()).unwrap();
    run_well(&["run", "c.json", "--run-id", "r", "--out", "out"], home.path());
    run_well(&["reproduce", "out/r"], home.path());
    let bars = std::fs::read_to_string(home.path().join("bars.csv")).unwrap();
    std::fs::write(home.path().join("bars.csv"), bars.replacen("1000\n", "1001\n", 1)).unwrap();
    let output = run(&["reproduce", "out/r", "--output", "json"], home.path());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &found["verdict"], &found["data"]),
        (Some(3), &json!("not_possible"), &json!("changed"))
    );
    assert!(found["reason"].as_str().unwrap().starts_with("data_changed"), "{found}");
}

#[tokio::test]
async fn evidence_is_the_same_bytes_and_shows_what_was_changed() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[]).await;
    let mut named = config();
    named["experiment"] = json!("packed");
    submitted(&handler, "r", &named).await;
    let done = executed(&handler, "r").await;
    let bundle = handler.get("/api/backtests/r/evidence").await;
    assert_eq!((bundle.status.as_u16(), bundle.header("content-type")), (200, "application/zip"));
    assert_eq!(bundle.body, handler.get("/api/backtests/r/evidence").await.body);
    std::fs::write(home.path().join("r.zip"), &bundle.body).unwrap();
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&bundle.body)).unwrap();
    let ledger: Value = serde_json::from_reader(zip.by_name("ledger.json").unwrap()).unwrap();
    assert_eq!((&ledger["experiment"], &ledger["trials"]), (&json!("packed"), &json!(1)), "{ledger}");
    let lake = home.lake();
    let verified = run_well(&["verify", "r.zip"], home.path());
    assert!(verified.contains("none was changed"), "{verified}");
    let again =
        run_well(&["verify", "r.zip", "--lake", lake.to_str().unwrap(), "--output", "json"], home.path());
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap()["verdict"], "identical");
    // What is not compressed can be changed in place.
    let mut changed = bundle.body.clone();
    let at = changed.windows(16).position(|bytes| bytes == b"portfolio_value,").unwrap();
    changed[at] = b'P';
    std::fs::write(home.path().join("changed.zip"), &changed).unwrap();
    let output = run(&["verify", "changed.zip"], home.path());
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    // What was swept cannot be proven.
    std::fs::remove_file(Path::new(done["output_dir"].as_str().unwrap()).join("trades.csv")).unwrap();
    let gone = handler.get("/api/backtests/r/evidence").await;
    assert_eq!((gone.status.as_u16(), &gone.json()["code"]), (404, &json!("artifact_not_found")));
}

#[tokio::test]
async fn what_became_of_the_data_of_a_run_is_told_by_the_log() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[]).await;
    submitted(&handler, "r", &config()).await;
    executed(&handler, "r").await;
    let prices = async |deep: &str| {
        handler.get(&format!("/api/backtests/r/inputs{deep}")).await.json()["prices"].clone()
    };
    assert_eq!(prices("").await["state"], "current");
    import(&home, 520..600, 0.0, &[]);
    let found = prices("").await;
    assert_eq!(
        (&found["state"], &found["used"], &found["newest"]),
        (&json!("appended"), &json!(1), &json!(2)),
        "{found}"
    );
    import(&home, 0..600, 5.0, &["--replace"]);
    let found = prices("").await;
    assert_eq!(found["state"], "restated", "{found}");
    assert!(found["files_changed_in_window"].as_u64().unwrap() > 0 && found["rows_restated"].is_null());
    let found = prices("?deep=true").await;
    assert_eq!(found["symbols"], json!(["C"]), "{found}");
    assert!(
        found["rows_restated"].as_u64().unwrap() > 100
            && found["first_date"].as_str().unwrap() < "2020-06-01"
    );
    let change = found["largest_relative_change"].as_f64().unwrap();
    assert!((0.04..0.06).contains(&change), "{found}");
    // In one line, where it is asked for.
    let deep = handler.get("/api/backtests/r/inputs?deep=true").await.json();
    let rows = found["rows_restated"].as_u64().unwrap();
    let first = found["first_date"].as_str().unwrap();
    assert_eq!(deep["line"], format!("prices restated since: {rows} rows, first {first}"));
    let record = handler.get("/api/backtests/r?inputs=true").await.json();
    let listed = handler.get("/api/backtests?inputs=true").await.json()["runs"][0].clone();
    let line = record["inputs"]["line"].as_str().unwrap();
    assert!(line.starts_with("prices restated since: ") && line.contains("file"), "{line}");
    assert_eq!(
        (&listed["inputs"], &record["inputs"]["prices"]["state"]),
        (&record["inputs"], &json!("restated"))
    );
    assert!(handler.run("r").await["inputs"].is_null(), "it was not asked for");
    std::fs::remove_dir_all(table(&home)).unwrap();
    assert_eq!(prices("").await["state"], "gone");
}

/// A table of signals beside the prices: of each day and symbol what is earned from the next open to the one after.
fn leaking_signals(home: &Home) -> String {
    let bars = std::fs::read_to_string(home.path().join("bars.csv")).unwrap();
    let rows: Vec<Vec<&str>> = bars.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let mut text = "date,symbol,score\n".to_owned();
    for (at, row) in rows.iter().enumerate() {
        let open = |days: usize| rows.get(at + 5 * days).map(|row| row[2].parse::<f64>().unwrap());
        if let (Some(next), Some(later)) = (open(1), open(2)) {
            text += &format!("{},{},{}\n", row[0], row[1], later / next - 1.0);
        }
    }
    std::fs::write(home.path().join("signals.csv"), text).unwrap();
    "signals.csv".to_owned()
}

#[tokio::test]
async fn an_audit_finds_signals_that_know_the_future_and_none_in_honest_ones() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[]).await;
    submitted(&handler, "honest", &config()).await;
    executed(&handler, "honest").await;
    let (run_of_audit, found) = derived(&handler, "honest", "audit").await;
    assert_eq!(run_of_audit["kind"], "audit");
    let check = |found: &Value, id: &str| {
        found["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["id"] == id)
            .unwrap_or_else(|| panic!("{id}: {found}"))
            .clone()
    };
    assert_eq!(check(&found, "future")["verdict"], "clean", "{found}");
    assert_ne!(found["verdict"], "leaking");
    let prices = check(&found, "provenance_prices");
    assert!(prices["what"].as_str().unwrap().contains("backfilled"), "{prices}");
    let page = handler
        .get(&format!("/api/backtests/{}/artifacts/audit.html", run_of_audit["run_id"].as_str().unwrap()))
        .await;
    assert!(String::from_utf8_lossy(&page.body).contains("Audit of honest"));

    let mut leaking = config();
    leaking["data"] = json!({ "signal_path": leaking_signals(&home) });
    leaking["strategy"]["parameters"] = json!({ "signal_column": "score", "top_n": 1, "rebalance": "daily" });
    std::fs::write(home.path().join("leaking.json"), leaking.to_string()).unwrap();
    let lake = home.lake();
    let lake = lake.to_str().unwrap();
    let output = run(&["audit", "leaking.json", "--lake", lake, "--output", "json"], home.path());
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["verdict"], "leaking", "{found}");
    assert_eq!(check(&found, "timing")["verdict"], "leaking");
    assert_eq!(check(&found, "future")["verdict"], "clean", "the engine itself does not look ahead: {found}");
    // Every run is told, audited or not.
    let summary: Value = serde_json::from_str(&run_well(
        &["run", "leaking.json", "--lake", lake, "--output", "json"],
        home.path(),
    ))
    .unwrap();
    let warnings = summary["warnings"].to_string();
    assert!(warnings.contains("signal score knows"), "{warnings}");
}

/// Puts everything below a folder back as another has it.
fn restore(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            restore(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_run_that_kept_what_it_read_is_made_again_without_the_table() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[("BACKTEST_ALLOW_LOCAL_DATA", "true")]).await;
    let mut keeping = config();
    keeping["output"] = json!({ "keep_inputs": true });
    // A second source, with a column that not every row has.
    let signals = "date,symbol,score\n2020-05-29,A,1\n2020-05-29,B,2\n2020-09-01,C,3\n2021-01-04,D,\n";
    std::fs::write(home.path().join("scores.csv"), signals).unwrap();
    keeping["data"] = json!({ "signal_path": home.path().join("scores.csv") });
    keeping["strategy"]["parameters"]["signal_column"] = json!("score");
    let checked = handler.post("/api/backtests/validate", &json!({ "config": keeping })).await.json();
    let estimate = checked["estimate"]["kept_bytes"].as_u64().unwrap();
    submitted(&handler, "r", &keeping).await;
    let done = executed(&handler, "r").await;
    assert_eq!(done["status"], "completed", "{done}");
    let folder = std::path::PathBuf::from(done["output_dir"].as_str().unwrap());
    let kept: u64 = ["prices", "signals"]
        .map(|name| std::fs::metadata(folder.join(format!("inputs/{name}.parquet"))).unwrap().len())
        .iter()
        .sum();
    assert!((kept / 4..=kept * 4).contains(&estimate), "{estimate} was the estimate, {kept} were kept");
    // The same rows give the same bytes.
    submitted(&handler, "twin", &keeping).await;
    assert_eq!(executed(&handler, "twin").await["results_sha256"], done["results_sha256"]);
    let (_, found) = derived(&handler, "r", "reproduce").await;
    assert_eq!((&found["verdict"], &found["data"]), (&json!("identical"), &json!("identical")), "{found}");

    let lake = home.lake();
    let away = home.path().join("fetched");
    std::fs::create_dir(&away).unwrap();
    restore(&folder, &away);
    std::fs::remove_dir_all(table(&home)).unwrap();
    std::fs::write(home.path().join("scores.csv"), signals.replace("C,3", "C,4")).unwrap();
    let (_, found) = derived(&handler, "twin", "reproduce").await;
    assert_eq!((&found["verdict"], &found["data"]), (&json!("identical"), &json!("kept")), "{found}");
    assert_eq!(derived(&handler, "twin", "audit").await.0["status"], "completed");
    let here = ["reproduce", "fetched", "--lake", lake.to_str().unwrap(), "--output", "json"];
    let found: Value = serde_json::from_str(&run_well(&here, home.path())).unwrap();
    assert_eq!((&found["verdict"], &found["data"]), (&json!("identical"), &json!("kept")), "{found}");

    // What is not what was published is not computed from.
    let prices = folder.join("inputs/prices.parquet");
    let mut content = std::fs::read(&prices).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&prices, content).unwrap();
    std::fs::remove_file(home.path().join("scores.csv")).unwrap();
    let asked = handler.post("/api/backtests/r/audit", &json!({})).await.json();
    let audit = executed(&handler, asked["run_id"].as_str().unwrap()).await;
    assert_eq!(
        (&audit["status"], &audit["status_reason"]),
        (&json!("failed"), &json!("data_gone")),
        "{audit}"
    );
    assert!(audit["error"].as_str().unwrap().contains("not there as it was published"), "{audit}");
}

#[tokio::test]
async fn a_run_on_a_file_is_not_audited_on_another_content() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[("BACKTEST_ALLOW_LOCAL_DATA", "true")]).await;
    let bars = home.path().join("bars.csv");
    let mut on_file = config();
    on_file["data"] = json!({ "price_path": bars });
    submitted(&handler, "r", &on_file).await;
    executed(&handler, "r").await;
    let text = std::fs::read_to_string(&bars).unwrap();
    std::fs::write(&bars, text.replacen("1000\n", "1001\n", 1)).unwrap();
    let asked = handler.post("/api/backtests/r/audit", &json!({})).await.json();
    let audit = executed(&handler, asked["run_id"].as_str().unwrap()).await;
    assert_eq!(
        (&audit["status"], &audit["status_reason"]),
        (&json!("failed"), &json!("data_changed")),
        "{audit}"
    );
}

#[tokio::test]
async fn signals_that_no_table_had_stay_computed_whatever_comes() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[]).await;
    submitted(&handler, "before", &config()).await;
    submitted(&handler, "waits", &config()).await;
    let before = executed(&handler, "before").await;
    assert_eq!(before["data_versions"]["signals"], json!({ "source": "computed from prices" }));
    let signals = "date,symbol,reversal_21d\n2020-06-01,A,1\n2020-06-01,B,2\n2020-12-01,C,1\n";
    std::fs::write(home.path().join("signals.csv"), signals).unwrap();
    let (file, lake) = (home.path().join("signals.csv"), home.lake());
    let (file, lake) = (file.to_str().unwrap(), lake.to_str().unwrap());
    run_well(&["lake", "import", file, "--lake", lake, "--table", "made", "--signals"], home.path());
    std::fs::create_dir_all(home.lake().join("platinum/signals")).unwrap();
    std::fs::rename(home.lake().join("made"), home.lake().join("platinum/signals/daily")).unwrap();
    submitted(&handler, "after", &config()).await;
    let (waited, after) = (executed(&handler, "waits").await, executed(&handler, "after").await);
    assert_eq!(waited["results_sha256"], before["results_sha256"], "the run reads what it was submitted on");
    assert_eq!(after["data_versions"]["signals"]["table"], "platinum/signals/daily", "{after}");
    let (_, found) = derived(&handler, "before", "reproduce").await;
    assert_eq!((&found["verdict"], &found["data"]), (&json!("identical"), &json!("identical")), "{found}");
}

#[tokio::test]
async fn a_symbol_that_had_no_table_gets_none_unseen() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let bars = std::fs::read_to_string(home.path().join("bars.csv")).unwrap();
    let lake = home.lake();
    let import_one = |symbol: &str| {
        let rows =
            bars.lines().filter(|line| line.starts_with("date") || line.split(',').nth(1) == Some(symbol));
        let file = home.path().join(format!("{symbol}.csv"));
        std::fs::write(&file, rows.collect::<Vec<_>>().join("\n")).unwrap();
        let table = format!("single/{symbol}");
        run_well(
            &["lake", "import", file.to_str().unwrap(), "--lake", lake.to_str().unwrap(), "--table", &table],
            home.path(),
        );
    };
    for symbol in ["A", "B"] {
        import_one(symbol);
    }
    let mut single = config();
    single["data"] = json!({ "price_path": "single/{symbol}" });
    let handler = home.handler(&[]).await;
    submitted(&handler, "before", &single).await;
    submitted(&handler, "waits", &single).await;
    let done = executed(&handler, "before").await;
    assert_eq!(done["status"], "completed", "{done}");
    import_one("C");
    let waited = executed(&handler, "waits").await;
    assert_eq!(
        (&waited["status"], &waited["status_reason"]),
        (&json!("failed"), &json!("data_gone")),
        "{waited}"
    );
    assert!(waited["error"].as_str().unwrap().contains("single/C"), "{waited}");
    let (_, found) = derived(&handler, "before", "reproduce").await;
    assert_eq!(found["verdict"], "not_possible", "{found}");
}

#[tokio::test]
async fn an_audit_tells_signals_that_came_to_know_more_by_being_written_again() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let lake = home.lake();
    let lake = lake.to_str().unwrap();
    let (file, leaking) = (home.path().join("scores.csv"), home.path().join(leaking_signals(&home)));
    let leaking = std::fs::read_to_string(leaking).unwrap();
    // At first the scores are noise; then those of 2020 are what is earned.
    let noise = |at: usize| ((at * 7919) % 1009) as f64 / 1009.0;
    let honest: String = leaking
        .lines()
        .enumerate()
        .map(|(at, line)| match (at, line.rsplit_once(',')) {
            (1.., Some((keys, _))) => format!("{keys},{}\n", noise(at)),
            _ => format!("{line}\n"),
        })
        .collect();
    let import_scores = |text: &str, mode: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let mut arguments =
            vec!["lake", "import", file.to_str().unwrap(), "--lake", lake, "--table", "scores", "--signals"];
        arguments.extend(mode);
        run_well(&arguments, home.path());
    };
    import_scores(&honest, &[]);
    let mut scored = config();
    scored["data"] = json!({ "signal_path": "scores" });
    scored["strategy"]["parameters"] = json!({ "signal_column": "score", "top_n": 2, "rebalance": "weekly" });
    std::fs::write(home.path().join("scored.json"), scored.to_string()).unwrap();
    let check = |id: &str| -> Value {
        let output =
            run(&["audit", "scored.json", "--lake", lake, "--deep", "--output", "json"], home.path());
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let check = found["checks"].as_array().unwrap().iter().find(|check| check["id"] == id);
        check.unwrap_or_else(|| panic!("{id}: {found}")).clone()
    };
    for id in ["restated_signals", "restated_prices"] {
        assert_eq!(check(id)["verdict"], "clean", "{}", check(id));
    }
    let handler = home.handler(&[]).await;
    submitted(&handler, "first", &scored).await;
    assert_eq!(executed(&handler, "first").await["status"], "completed");

    let later: Vec<&str> = leaking
        .lines()
        .enumerate()
        .filter(|(at, line)| *at == 0 || line.starts_with("2020"))
        .map(|(_, line)| line)
        .collect();
    import_scores(&later.join("\n"), &["--upsert"]);
    let found = check("restated_signals");
    assert_eq!(found["verdict"], "suspicious", "{found}");
    let changed = found["figures"]["rows_changed"].as_u64().unwrap();
    assert!((600..=later.len() as u64).contains(&changed), "{changed} of {}: {found}", later.len());
    let earning = &found["figures"]["correlations"][0]["earning"];
    assert!(
        earning["first"].as_f64().unwrap().abs() < 0.15 && earning["now"].as_f64().unwrap() > 0.3,
        "{earning}"
    );
    assert!(found["what"].as_str().unwrap().contains("score with what is earned"), "{found}");

    // The run of before read what was there first, and its audit says so.
    let asked = handler.post("/api/backtests/first/audit?deep=true", &json!({})).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.json());
    let audit = asked.json()["run_id"].as_str().unwrap().to_owned();
    assert_eq!(executed(&handler, &audit).await["status"], "completed");
    let document = handler.get(&format!("/api/backtests/{audit}/artifacts/audit.json")).await.json();
    let signals =
        document["checks"].as_array().unwrap().iter().find(|check| check["id"] == "restated_signals");
    assert_eq!(signals.unwrap()["verdict"], "clean", "{document}");

    // Of files that are gone nobody knows what they said.
    let log = home.lake().join("scores/_delta_log");
    let removed = std::fs::read_dir(&log).unwrap().flat_map(|entry| {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        let removed = text.lines().filter_map(|line| {
            serde_json::from_str::<Value>(line).ok()?["remove"]["path"].as_str().map(str::to_owned)
        });
        removed.collect::<Vec<_>>()
    });
    for path in removed.collect::<Vec<_>>() {
        std::fs::remove_file(home.lake().join("scores").join(path)).unwrap();
    }
    let found = check("restated_signals");
    assert_eq!(found["verdict"], "not_provable", "{found}");
    assert!(found["what"].as_str().unwrap().contains("delta.deletedFileRetentionDuration"), "{found}");
}

#[tokio::test]
async fn an_attempt_that_takes_over_reads_what_the_first_one_read() {
    let settings = [("BACKTEST_LEASE_SECONDS", "2")];
    let home = Home::with_sample(200, 1200);
    let lake = home.lake();
    let lake = lake.to_str().unwrap();
    let (mut one, two) = (home.handler(&settings).await, home.handler(&settings).await);
    submitted(&one, "r", &long()).await;
    one.dies_in("r", &two).await;
    // The table moves on, and its newest version has other numbers.
    std::fs::write(
        home.path().join("more.csv"),
        "date,symbol,open,close\n2000-01-03,S0000,1,1\n2000-01-04,S0000,2,2\n",
    )
    .unwrap();
    run_well(&["lake", "import", "more.csv", "--replace", "--lake", lake], home.path());
    let taken = eventually("the run ends", async || {
        for message in two.envelope("reconcile", &json!({})).await.json()["Outputs"]["runs"]
            .as_array()
            .into_iter()
            .flatten()
        {
            two.wake(message["run_id"].as_str().unwrap()).await;
        }
        let run = two.run("r").await;
        (run["status"] == "completed" || run["status"] == "failed").then_some(run)
    })
    .await;
    assert_eq!((&taken["status"], &taken["attempt"]), (&json!("completed"), &json!(2)), "{taken}");
    assert_eq!(taken["data_versions"]["prices"]["version"], taken["pins"]["prices"]["version"], "{taken}");
    assert_eq!(taken["summary"]["days"], 1200, "the newest version has two days");
}

#[tokio::test]
async fn rows_that_came_into_the_window_are_seen_also_when_they_were_put_together_since() {
    let home = Home::empty();
    import(&home, 0..420, 0.0, &[]);
    let handler = home.handler(&[]).await;
    submitted(&handler, "r", &config()).await;
    executed(&handler, "r").await;
    let prices = async || handler.get("/api/backtests/r/inputs").await.json()["prices"].clone();
    let compact = |version: u64| {
        let log = table(&home).join("_delta_log");
        let newest = std::fs::read_to_string(log.join(format!("{version:020}.json"))).unwrap();
        let mut actions = newest.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut added = actions.find(|action| action["add"].is_object()).unwrap();
        let path = added["add"]["path"].as_str().unwrap().to_owned();
        let together = format!("together-{version}.parquet");
        std::fs::copy(table(&home).join(&path), table(&home).join(&together)).unwrap();
        let removed = json!({ "remove": { "path": path, "deletionTimestamp": 0, "dataChange": false } });
        added["add"]["path"] = json!(together);
        added["add"]["dataChange"] = json!(false);
        let file = log.join(format!("{:020}.json", version + 1));
        std::fs::write(file, format!("{removed}\n{added}\n")).unwrap();
    };
    compact(1);
    let found = prices().await;
    assert_eq!((&found["state"], &found["newest"]), (&json!("current"), &json!(2)), "{found}");

    std::fs::write(
        home.path().join("more.csv"),
        "date,symbol,open,high,low,close,volume\n2020-07-01,F,1,1,1,1,1\n",
    )
    .unwrap();
    run_well(&["lake", "import", "more.csv", "--lake", home.lake().to_str().unwrap()], home.path());
    assert_eq!(prices().await["state"], "restated");
    compact(3);
    let found = prices().await;
    assert_eq!(
        (&found["state"], &found["newest"], &found["files_changed_in_window"]),
        (&json!("restated"), &json!(4), &json!(1)),
        "{found}"
    );
}
