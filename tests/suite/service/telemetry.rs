//! What a running service counts and measures: what is documented is told, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use backtest_functions::telemetry::ALL;
use futures_util::future::join;
use serde_json::{Value, json};

use crate::support::postgres::database;
use crate::support::service::{Handler, Home, eventually, long, momentum, project, run_well};

#[test]
fn the_page_lists_every_one_with_its_unit_and_meaning() {
    let page = std::fs::read_to_string(project("docs/metrics.md")).unwrap();
    let listed: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let known: Vec<String> = ALL
        .iter()
        .map(|one| {
            let label = one.label.map_or(String::new(), |label| format!("by `{label}`"));
            let (name, family, unit, meaning) = (one.name, one.kind.family(), one.unit, one.meaning);
            format!("| `{name}` | {family} | {unit} | {label} | {meaning} |").replace("|  |", "| |")
        })
        .collect();
    assert_eq!(listed, known, "docs/metrics.md has a row for each, as src/telemetry.rs has them");
    let names: BTreeSet<&str> = ALL.iter().map(|one| one.name).collect();
    assert_eq!(names.len(), ALL.len(), "each name once");
}

/// What the lines of a log tell: the entries of each name.
fn told(log: &Path) -> BTreeMap<String, Vec<Value>> {
    let mut told = BTreeMap::<String, Vec<Value>>::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["target"] != "metrics" {
            continue;
        }
        assert!(line["instance"].as_str().is_some_and(|name| name.contains(':')), "{line}");
        let entries: Vec<Value> = serde_json::from_str(line["metrics"].as_str().unwrap()).unwrap();
        assert!(!entries.is_empty(), "nothing is not worth a line");
        for entry in entries {
            told.entry(entry["name"].as_str().unwrap().to_owned()).or_default().push(entry);
        }
    }
    told
}

/// The sum of a counter, of one label or of all.
fn sum(told: &BTreeMap<String, Vec<Value>>, name: &str, label: Option<&str>) -> u64 {
    let entries = told.get(name).into_iter().flatten();
    let entries = entries.filter(|entry| label.is_none_or(|label| entry["label"] == label));
    entries.map(|entry| entry["value"].as_u64().unwrap()).sum()
}

async fn reconcile(handler: &Handler) -> Option<usize> {
    let outputs = handler.envelope("reconcile", &json!({ "timer": {} })).await.json()["Outputs"].clone();
    outputs["runs"].as_array().map(Vec::len)
}

#[tokio::test]
async fn everything_that_is_documented_is_told_and_nothing_else() {
    let (Some(dsn), Some(queues)) = (database(), crate::support::azurite::queues()) else { return };
    let home = Home::with_sample(80, 2000);
    // Where signals are made: a lake of its own, which takes no time.
    let small = Home::with_sample(5, 320);
    run_well(&["lake", "rank", "--lake", small.lake().to_str().unwrap()], small.path());
    // Where results cannot be written.
    let blocked = home.path().join("blocked");
    std::fs::write(&blocked, "").unwrap();
    let log = |name: &str| home.path().join(name);
    let start = async |name: &str, more: &[(&str, &str)]| {
        let mut settings = vec![
            ("BACKTEST_RUN_STORE_MODE", "postgres"),
            ("POSTGRES_DSN", &dsn),
            ("BACKTEST_LEASE_SECONDS", "2"),
        ];
        settings.extend(more);
        let file = std::fs::File::create(log(name)).unwrap();
        home.handler_that_logs(&settings, Stdio::from(file)).await
    };
    let one = start("one", &[]).await;
    // Its poison queue is looked at with every tick.
    let connection = queues.connection();
    let two = start("two", &[("AzureWebJobsStorage", &connection), ("BACKTEST_QUEUE", "jobs")]).await;
    let stuck = start("stuck", &[("BACKTEST_OUTPUT_DIR", blocked.to_str().unwrap())]).await;
    let signals = start("signals", &[("BACKTEST_LAKE", small.lake().to_str().unwrap())]).await;

    // A run whose executor is stopped past its lease, and goes on when another one has ended it.
    one.submit(&json!({ "config": long(), "run_id": "r" })).await;
    let successor = async {
        two.sees_running("r").await;
        one.signal("STOP");
        eventually("reconcile announces the run", async || reconcile(&two).await).await;
        two.wake("r").await;
        one.signal("CONT");
    };
    let (answer, ()) = join(one.wake("r"), successor).await;
    assert!(answer.status.is_success());
    assert_eq!(two.run("r").await["status"], "completed");
    // A message too many, and one that makes no sense.
    two.wake("r").await;
    two.envelope("execute", &json!({ "run": "?" })).await;
    // A key twice.
    let request = || two.http.post(format!("{}/api/backtests", two.url)).header("idempotency-key", "k");
    for status in [202, 200] {
        let answer = two.send(request().json(&json!({ "config": momentum(), "run_id": "k" }))).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    // Canceled, and asked again.
    for _ in 0..2 {
        let canceled = two.call(reqwest::Method::POST, "/api/backtests/k/cancel", None).await;
        assert_eq!(canceled.json()["status"], "canceled");
    }
    // What an attempt left behind long ago.
    let orphan = home.path().join("results/r/f1/summary.json");
    std::fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    let left = std::fs::File::create(&orphan).unwrap();
    left.set_modified(SystemTime::now() - Duration::from_secs(8 * 86_400)).unwrap();
    assert!(two.envelope("sweep", &json!({ "timer": {} })).await.status.is_success());
    assert!(!orphan.exists());
    assert!(signals.envelope("sync_signals", &json!({ "timer": {} })).await.status.is_success());
    // A run that must be tried again.
    stuck.submit(&json!({ "config": long(), "run_id": "s" })).await;
    stuck.wake("s").await;
    assert_eq!(two.run("s").await["status_reason"], "storage_unavailable");
    reconcile(&two).await;

    let mut all = BTreeMap::<String, Vec<Value>>::new();
    for (name, handler) in [("one", one), ("two", two), ("stuck", stuck), ("signals", signals)] {
        assert_eq!(handler.stop(), Some(143), "{name}");
        told(&log(name)).into_iter().for_each(|(name, entries)| all.entry(name).or_default().extend(entries));
    }
    let names: BTreeSet<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(names, ALL.iter().map(|one| one.name).collect(), "what is told and what is documented");
    for described in ALL {
        for entry in &all[described.name] {
            assert_eq!(entry["label"].is_string(), described.label.is_some(), "{entry}");
            assert_eq!(entry["count"].is_u64(), described.kind.family() == "histogram", "{entry}");
        }
    }
    let sum = |name, label| sum(&all, name, label);
    assert_eq!((sum("submits", None), sum("idempotent_replays", None)), (3, 1));
    assert_eq!((sum("claims", None), sum("takeovers", None)), (3, 1));
    assert_eq!(sum("announcements_recovered", None), 1);
    // Two by submits, one by reconcile.
    assert_eq!(sum("announcements_sent", None), 3);
    let dropped = |reason| sum("announcements_dropped", Some(reason));
    assert_eq!((dropped("completed"), dropped("malformed")), (1, 1));
    assert_eq!(sum("fenced_out", None), 1);
    assert_eq!(sum("retries", Some("storage_unavailable")), 1);
    let ended = |reason| sum("runs_ended", Some(reason));
    assert_eq!((ended("completed"), ended("canceled"), sum("runs_ended", None)), (1, 1, 2));
    assert_eq!(sum("orphans_swept", None), 1);
    assert!(sum("beats", None) > 0 && sum("sync_rows_written", None) > 1000);
    assert_eq!(sum("sync_months", None), sum("sync_months", Some("synced")));
    let runs: Vec<(&Value, &Value)> =
        all["runs"].iter().map(|entry| (&entry["label"], &entry["value"])).collect();
    assert_eq!(runs, [(&json!("queued"), &json!(1.0)), (&json!("running"), &json!(0.0))]);
    let took = &all["run_ms"][0];
    let of = |name: &str| took[name].as_f64().unwrap();
    assert!(of("p50") <= of("p95") && of("p95") <= of("p99") && of("max") <= of("sum"), "{took}");
}
