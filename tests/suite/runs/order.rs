//! Order among runs: names, tags, notes, archive, delete, many at once, one archive of files, and the address that is told.

use std::io::{Cursor, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use backtest_functions::run::{Kind, PartOf, Publication, RunId, Submission};
use backtest_functions::store::artifacts::{Artifacts, LocalArtifacts, NewFile};
use backtest_functions::store::runs::adls::AdlsRuns;
use backtest_functions::store::runs::sqlite::SqliteRuns;
use backtest_functions::store::runs::{Claim, Claimant, Ending, ListQuery, NewRun, RunStore};
use backtest_functions::work::App;
use backtest_functions::work::order::{self, Action, Ordered, Patch, Selection};
use backtest_functions::work::reconcile::reconcile;
use backtest_functions::work::sweep::sweep;
use base64::Engine as _;
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::app;
use crate::support::azurite::Storage;
use crate::support::service::{Handler, Home, eventually, momentum, run, run_well};
use crate::support::submission::submission;

fn id(text: &str) -> RunId {
    text.parse().unwrap()
}

async fn completed(handler: &Handler, run_id: &str) {
    handler.submit(&json!({ "run_id": run_id, "config": momentum() })).await;
    handler.wake(run_id).await;
    assert_eq!(handler.run(run_id).await["status"], "completed");
}

async fn patch(handler: &Handler, run_id: &str, body: Value) -> (u16, Value) {
    let answer = handler.call(Method::PATCH, &format!("/api/backtests/{run_id}"), Some(&body)).await;
    (answer.status.as_u16(), answer.json())
}

async fn listed(handler: &Handler, query: &str) -> Vec<String> {
    let page = handler.get(&format!("/api/backtests?{query}")).await.json();
    let runs = page["runs"].as_array().unwrap_or_else(|| panic!("{page}"));
    runs.iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
}

async fn events(handler: &Handler, run_id: &str) -> Vec<String> {
    let events = handler.get(&format!("/api/backtests/{run_id}/events")).await.json();
    events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_run_is_named_tagged_noted_and_put_away() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    for run_id in ["a", "b"] {
        handler.submit(&json!({ "run_id": run_id, "config": momentum() })).await;
    }
    let before = handler.get("/api/backtests/a").await.header("etag").to_owned();
    let (status, run) = patch(
        &handler,
        "a",
        json!({ "tags": ["paper/x", "mom", "mom"], "note": "line\nline", "run_name": "first" }),
    )
    .await;
    assert_eq!(status, 200, "{run}");
    assert_eq!((&run["tags"], &run["note"]), (&json!(["paper/x", "mom"]), &json!("line\nline")));
    assert_eq!(run["run_name"], "first");
    assert_eq!(handler.run("a").await["tags"], json!(["paper/x", "mom"]), "it is kept");
    assert_eq!(listed(&handler, "tag=mom").await, ["a"]);
    assert_eq!(listed(&handler, "q=first").await, ["a"]);
    assert!(listed(&handler, "tag=mo").await.is_empty(), "a tag is a whole word");

    // Nothing is lost of what another caller wrote in between.
    let request =
        handler.http.patch(format!("{}/api/backtests/a", handler.url)).json(&json!({ "note": "late" }));
    let answer = handler.send(request.header("if-match", &before)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (412, &json!("precondition_failed")));
    let now = handler.get("/api/backtests/a").await.header("etag").to_owned();
    let request =
        handler.http.patch(format!("{}/api/backtests/a", handler.url)).json(&json!({ "note": null }));
    let answer = handler.send(request.header("if-match", &now)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["note"]), (200, &Value::Null));
    assert_eq!(answer.json()["tags"], json!(["paper/x", "mom"]), "what is left out stays");

    let (_, run) = patch(&handler, "a", json!({ "archived": true })).await;
    assert!(run["archived_at"].is_string());
    assert_eq!(listed(&handler, "").await, ["b"]);
    assert_eq!(listed(&handler, "archived=true").await, ["a"]);
    assert_eq!(listed(&handler, "archived=any").await.len(), 2);
    let (_, again) = patch(&handler, "a", json!({ "archived": true })).await;
    assert_eq!(again, run, "the same again changes nothing");
    patch(&handler, "a", json!({ "archived": false })).await;
    assert_eq!(listed(&handler, "").await.len(), 2);
    let told = events(&handler, "a").await;
    assert_eq!(told.iter().filter(|event| *event == "amended").count(), 4, "{told:?}");

    let (status, problem) = patch(
        &handler,
        "a",
        json!({ "tags": ["Upper", 1, "ok"], "note": "x".repeat(4001), "archived": "yes", "run_name": "a\u{7}", "what": 1 }),
    )
    .await;
    assert_eq!(status, 400);
    let paths: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["run_name", "tags[0]", "tags[1]", "note", "archived", "what"]);
    for (body, says) in [
        (json!({}), "names nothing to change"),
        (json!({ "tags": (0..21).map(|n| format!("t{n}")).collect::<Vec<_>>() }), "at most 20"),
        (json!([]), "must be an object"),
    ] {
        let (status, problem) = patch(&handler, "a", body).await;
        assert!(status == 400 && problem.to_string().contains(says), "{problem}");
    }
    assert_eq!(patch(&handler, "none", json!({ "note": "x" })).await.0, 404);
    assert_eq!(handler.get("/api/backtests?archived=maybe").await.status, 400);
}

#[tokio::test]
async fn a_deleted_run_leaves_its_record_and_nothing_else() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    completed(&handler, "gone").await;
    handler.submit(&json!({ "run_id": "waits", "config": momentum() })).await;
    let refused = handler.call(Method::DELETE, "/api/backtests/waits", None).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (409, &json!("run_not_ended")));
    assert_eq!(refused.json()["run_status"], "queued");

    let kept = handler.run("gone").await;
    let etag = handler.get("/api/backtests/gone").await.header("etag").to_owned();
    patch(&handler, "gone", json!({ "note": "x" })).await;
    let request = handler.http.delete(format!("{}/api/backtests/gone", handler.url)).header("if-match", etag);
    assert_eq!(handler.send(request).await.status, 412, "it has moved on");
    let deleted = handler.call(Method::DELETE, "/api/backtests/gone", None).await;
    assert_eq!(deleted.status, 200);
    let deleted = deleted.json();
    assert!(deleted["deleted_at"].is_string() && deleted["deleted_by"] == "api", "{deleted}");
    for name in ["run_id", "config_sha256", "fingerprint", "data_versions", "status"] {
        assert_eq!(deleted[name], kept[name], "{name} is kept");
    }
    let again = handler.call(Method::DELETE, "/api/backtests/gone", None).await.json();
    assert_eq!(again, deleted, "a repeat finds what it asked for");

    assert!(!listed(&handler, "archived=any").await.contains(&"gone".to_owned()));
    for path in
        ["summary", "trades", "positions", "artifacts", "artifacts.zip", "report", "metrics/timeseries"]
    {
        let answer = handler.get(&format!("/api/backtests/gone/{path}")).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (410, &json!("run_deleted")), "{path}");
    }
    assert_eq!(handler.get("/api/compare?runs=gone,waits").await.status, 410);
    assert_eq!(patch(&handler, "gone", json!({ "note": "y" })).await.0, 410);
    let taken = handler.post("/api/backtests", &json!({ "run_id": "gone", "config": momentum() })).await;
    assert_eq!((taken.status.as_u16(), &taken.json()["code"]), (409, &json!("run_id_taken")));
    assert_eq!(events(&handler, "gone").await.last().unwrap(), "deleted");

    let files = home.path().join("results/gone");
    assert!(files.exists(), "the files wait for the sweep");
    handler.envelope("sweep", &json!({ "timer": {} })).await;
    assert!(!files.exists(), "and go with it");
    assert_eq!(handler.run("gone").await, deleted, "the record stays");
}

#[tokio::test]
async fn many_runs_are_changed_at_once() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    for run_id in ["q1", "q2", "q3"] {
        handler.submit(&json!({ "run_id": run_id, "config": momentum() })).await;
    }
    completed(&handler, "done").await;
    let bulk = async |body: Value| {
        let answer = handler.post("/api/backtests/bulk", &body).await;
        (answer.status.as_u16(), answer.json())
    };
    let (status, done) =
        bulk(json!({ "ids": ["q1", "q2", "none"], "action": "tag", "tags": ["scratch"] })).await;
    assert_eq!(status, 200);
    assert_eq!(
        done,
        json!({ "dry_run": false, "matched": 3, "done": 2, "unchanged": 0, "refused": { "unknown": 1 }, "left": 0,
                "ids": ["q1", "q2"] })
    );
    let dry = json!({ "filter": { "tag": "scratch" }, "action": "cancel", "dry_run": true });
    let (_, would) = bulk(dry.clone()).await;
    assert_eq!(
        (&would["done"], &would["ids"]),
        (&json!(2), &json!(["q2", "q1"])),
        "newest first, as they are listed"
    );
    assert_eq!(handler.run("q1").await["status"], "queued", "nothing was done");
    let mut wet = dry;
    wet["dry_run"] = json!(false);
    assert_eq!(bulk(wet.clone()).await.1["done"], 2);
    assert_eq!(handler.run("q1").await["status"], "canceled");
    assert_eq!(bulk(wet).await.1["refused"], json!({ "ended": 2 }));

    assert_eq!(
        bulk(json!({ "filter": { "q": "q", "archived": "any" }, "action": "archive" })).await.1["done"],
        3
    );
    assert_eq!(listed(&handler, "").await, ["done"]);
    let (_, some) = bulk(json!({ "ids": ["q1", "q3", "done"], "action": "delete" })).await;
    assert_eq!((&some["done"], &some["refused"]), (&json!(2), &json!({ "not_ended": 1 })));
    assert_eq!(bulk(json!({ "ids": ["q1"], "action": "delete" })).await.1["unchanged"], 1);
    assert_eq!(
        bulk(json!({ "ids": ["q1"], "action": "untag", "tags": ["scratch"] })).await.1["refused"],
        json!({ "deleted": 1 })
    );

    for (body, says) in [
        (json!({ "action": "delete" }), "is required (or filter)"),
        (json!({ "filter": {}, "action": "delete" }), "every run"),
        (json!({ "ids": ["q1"], "filter": { "q": "x" }, "action": "delete" }), "send one of them"),
        (json!({ "filter": { "colour": "red" }, "action": "delete" }), "filter.colour"),
        (json!({ "filter": { "status": "lost" }, "action": "delete" }), "filter.status"),
        (json!({ "ids": ["q1"], "action": "burn" }), "must be one of archive"),
        (json!({ "ids": ["q1"], "action": "tag" }), "at least one tag"),
        (json!({ "ids": ["q1"], "action": "archive", "tags": ["x"] }), "has no effect"),
    ] {
        let (status, problem) = bulk(body.clone()).await;
        assert!(status == 400 && problem.to_string().contains(says), "{body}: {problem}");
    }
}

#[tokio::test]
async fn the_commands_keep_order() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    completed(&handler, "run-one").await;
    let says = |arguments: &[&str]| run_well(&[arguments, &["--url", &handler.url]].concat(), home.path());
    assert!(says(&["tag", "run-one", "mom", "paper/1"]).contains("mom paper/1"));
    let left = says(&["tag", "run-one", "mom", "--remove"]);
    assert!(left.contains("paper/1") && !left.contains("mom paper/1"), "{left}");
    assert!(says(&["note", "run-one", "the one to beat"]).contains("the one to beat"));
    assert!(says(&["list", "--tag", "paper/1"]).contains("run-one"));
    assert!(says(&["list", "--tag", "other"]).contains("no runs"));
    assert!(says(&["archive", "run-"]).contains("run-one is put away"));
    assert!(says(&["list"]).contains("no runs"));
    assert!(says(&["list", "--archived"]).contains("run-one"));
    assert!(
        says(&["archive", "run-", "--undo"]).contains("is back"),
        "archived runs are found by their beginning"
    );
    let asked = run(&["delete", "run-one", "--url", &handler.url], home.path());
    assert_eq!(asked.status.code(), Some(2), "nobody sits at a terminal");
    assert!(String::from_utf8_lossy(&asked.stderr).contains("--yes"));
    assert!(says(&["delete", "run-one", "--yes"]).contains("run-one is deleted"));
    assert!(says(&["list"]).contains("no runs"));
}

#[tokio::test]
async fn the_archive_holds_every_file_and_is_the_same_each_time() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    completed(&handler, "r").await;
    let answer = handler.get("/api/backtests/r/artifacts.zip").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/zip"));
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"r.zip\"");
    assert_eq!(answer.body, handler.get("/api/backtests/r/artifacts.zip").await.body);
    let request = handler.http.get(format!("{}/api/backtests/r/artifacts.zip", handler.url));
    assert_eq!(handler.send(request.header("if-none-match", answer.header("etag"))).await.status, 304);
    let mut archive = zip::ZipArchive::new(Cursor::new(answer.body)).unwrap();
    let listed = handler.get("/api/backtests/r/artifacts").await.json();
    let listed = listed["artifacts"].as_array().unwrap();
    assert_eq!(archive.len(), listed.len() + 1, "and the manifest");
    let folder = home.path().join("results/r/f1");
    for place in 0..archive.len() {
        let mut file = archive.by_index(place).unwrap();
        let name = file.name().unwrap().strip_prefix("r/").unwrap().to_owned();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        assert!(content == std::fs::read(folder.join(&name)).unwrap(), "{name}");
    }
    // A file that is gone breaks the transfer off; half an archive does not look like one.
    std::fs::remove_file(folder.join("trades.csv")).unwrap();
    let request = handler.http.get(format!("{}/api/backtests/r/artifacts.zip", handler.url));
    assert!(handler.try_send(request).await.is_err());
}

/// A listener that answers each request with the next status and hands over what it got.
pub(super) fn hook(statuses: Vec<u16>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook?token=hidden", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for status in statuses {
            let Ok((stream, _)) = listener.accept() else { return };
            let request = request_of(&stream);
            let _ = (&stream).write_all(
                format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes(),
            );
            let _ = sender.send(request);
        }
    });
    (address, receiver)
}

fn request_of(mut stream: &TcpStream) -> String {
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut chunk).unwrap_or(0);
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let length = text
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split('\r').next()?.parse().ok());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if read == 0 || length.zip(body).is_some_and(|(length, body): (usize, usize)| body >= length) {
            return text;
        }
    }
}

#[tokio::test]
async fn the_end_of_a_run_is_told_signed_until_it_arrives() {
    let home = Home::with_prices();
    let (address, told) = hook(vec![500, 200]);
    let handler =
        home.handler(&[("BACKTEST_NOTIFY_URL", &address), ("BACKTEST_NOTIFY_SECRET", "a secret")]).await;
    completed(&handler, "r").await;
    let first = eventually("the end is told", async || told.try_recv().ok()).await;
    let second = eventually("and again, as it was not taken", async || told.try_recv().ok()).await;
    let body = |request: &str| request.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&first), body(&second));
    assert_eq!(
        serde_json::from_str::<Value>(&body(&second)).unwrap(),
        json!({ "run_id": "r", "status": "completed", "status_reason": null, "run_name": "momentum",
                "url": "/api/backtests/r" })
    );
    assert!(second.starts_with("POST /hook?token=hidden "), "{second}");
    let key = azure_core_key("a secret");
    let want = format!("x-backtest-signature: sha256={}", hex_hmac(&body(&second), &key));
    assert!(second.to_ascii_lowercase().contains(&want), "{want} in {second}");
    let noted = async || events(&handler, "r").await.contains(&"notified".to_owned()).then_some(());
    eventually("the history says that it arrived", noted).await;
    let events = handler.get("/api/backtests/r/events").await.json();
    let last = events["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["event"], &last["detail"]),
        (&json!("notified"), &json!({ "arrived": true, "tries": 2 }))
    );
    // A canceled run is told too.
    let shown = run_well_with(&home, &address);
    assert!(!shown.contains("hidden") && !shown.contains("a secret"), "{shown}");
}

/// What `settings` shows where both are set.
fn run_well_with(home: &Home, address: &str) -> String {
    let output = crate::support::service::program()
        .args(["settings"])
        .current_dir(home.path())
        .env("BACKTEST_NOTIFY_URL", address)
        .env("BACKTEST_NOTIFY_SECRET", "a secret")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// A secret in the words of the library.
fn azure_core_key(secret: &str) -> azure_core::credentials::Secret {
    azure_core::credentials::Secret::new(base64::engine::general_purpose::STANDARD.encode(secret))
}

fn hex_hmac(body: &str, key: &azure_core::credentials::Secret) -> String {
    let signed = azure_core::hmac::hmac_sha256(body, key).unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(signed).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn nobody_who_is_told_holds_a_run_up() {
    let home = Home::with_prices();
    // It takes the connection and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let handler = home.handler(&[("BACKTEST_NOTIFY_URL", &address), ("BACKTEST_NOTIFY_SECRET", "s")]).await;
    handler.submit(&json!({ "run_id": "r", "config": momentum() })).await;
    let woken = tokio::time::timeout(Duration::from_secs(4), handler.wake("r")).await;
    woken.expect("the invocation ends before anybody was told");
    assert_eq!(handler.run("r").await["status"], "completed");
}

#[test]
fn an_address_that_must_not_be_told_is_refused_at_the_start() {
    for (address, secret, says) in [
        ("http://example.com/hook", Some("s"), "must begin with https://"),
        ("ftp://example.com/hook", Some("s"), "must begin with https://"),
        ("https://user:word@example.com/", Some("s"), "user name"),
        ("https://example.com/?token=hidden", None, "needs BACKTEST_NOTIFY_SECRET"),
        ("", Some("s"), "has no effect without BACKTEST_NOTIFY_URL"),
    ] {
        let mut command = crate::support::service::program();
        command.arg("settings").env("BACKTEST_NOTIFY_URL", address);
        secret.map(|secret| command.env("BACKTEST_NOTIFY_SECRET", secret));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!output.status.success() && said.contains(says), "{address}: {said}");
        assert!(!said.contains("hidden") && !said.contains("word@"), "{said}");
    }
}

/// Each rule as a test of each store.
macro_rules! on_every_store {
    ($($rule:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $rule() {
                let folder = tempfile::tempdir().unwrap();
                let runs = std::sync::Arc::new(super::SqliteRuns::new(folder.path().join("runs.sqlite3")));
                super::$rule(super::with(runs, folder.path())).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $rule() {
                if let Some(dsn) = crate::support::postgres::database() {
                    let folder = tempfile::tempdir().unwrap();
                    let runs = std::sync::Arc::new(crate::support::postgres::runs(&dsn));
                    super::$rule(super::with(runs, folder.path())).await;
                }
            })*
        }

        mod adls {
            $(#[tokio::test]
            async fn $rule() {
                if let Some(storage) = crate::support::azurite::storage() {
                    let folder = tempfile::tempdir().unwrap();
                    let runs = std::sync::Arc::new(super::AdlsRuns::new(storage.container(), "team/runs"));
                    super::$rule(super::with(runs, folder.path())).await;
                }
            })*
        }
    };
}

on_every_store! {
    what_is_noted_is_kept_and_told,
    a_deletion_stands_whatever_else_happens,
    the_parts_of_a_deleted_study_leave_no_files,
}

fn with(runs: Arc<dyn RunStore>, folder: &Path) -> App {
    app(runs, Artifacts::new(LocalArtifacts::new(folder.join("results")).unwrap(), None))
}

async fn insert(app: &App, name: &str) {
    let submission = Submission { request_sha256: name.into(), ..submission() };
    let new = NewRun { id: id(name), submission, max_attempts: 3, announced: false };
    app.runs.insert(&new).await.unwrap();
}

/// Ends a run with one file.
async fn complete(app: &App, name: &str) {
    let claimant = Claimant {
        owner: "one".into(),
        lease: Duration::from_secs(60),
        timeout: Duration::from_secs(600),
        engine_version: "test".into(),
    };
    let Claim::Claimed(claimed) = app.runs.claim(&id(name), &claimant).await.unwrap() else { panic!() };
    let location = app.artifacts.location(None, &id(name), claimed.run.fence).unwrap();
    let file = NewFile { name: "summary.json", content_type: "application/json", content: "{}".into() };
    app.artifacts.create(&location, file).await.unwrap();
    let result = Publication {
        location,
        manifest_sha256: "m".into(),
        summary: json!({}),
        data_versions: json!({}),
        fingerprint: "f".into(),
        results_sha256: None,
    };
    app.runs.finish(&claimed.lease, &Ending::from(result)).await.unwrap();
}

async fn what_is_noted_is_kept_and_told(app: App) {
    insert(&app, "a").await;
    insert(&app, "b").await;
    let fields = json!({ "tags": ["x"], "note": "n", "archived": true }).as_object().unwrap().clone();
    let patch = Patch::from_fields(fields).unwrap();
    let Ordered::Done(run) = order::amend(&app, &id("a"), &patch, "ada", |_| true).await.unwrap() else {
        panic!()
    };
    assert_eq!(
        (run.labels.tags.as_slice(), run.labels.note.as_deref()),
        (["x".to_owned()].as_slice(), Some("n"))
    );
    let kept = app.runs.get(&id("a")).await.unwrap().unwrap();
    assert_eq!(kept.labels, run.labels);
    // What a run is goes on as if nothing had been noted.
    complete(&app, "a").await;
    let untag = Action::Untag(vec!["x".to_owned()]);
    let query = ListQuery { tag: Some("x".into()), limit: 10, ..ListQuery::default() };
    let done = order::bulk(&app, &Selection::Filter(Box::new(query)), &untag, "ada", false).await.unwrap();
    assert_eq!((done.matched, done.done), (1, 1));
    assert!(app.runs.remark(&id("a"), "notified", &json!({ "arrived": true }), "api").await.unwrap());
    assert!(!app.runs.remark(&id("none"), "notified", &json!({}), "api").await.unwrap());
    let events = app.runs.events(&id("a")).await.unwrap();
    let told: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(told, ["submitted", "amended", "claimed", "completed", "amended", "notified"]);
    assert_eq!((events[1].actor.as_str(), &events[5].detail), ("ada", &json!({ "arrived": true })));
    let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
    assert!(versions.windows(2).all(|two| two[1] == two[0] + 1), "{versions:?}");
    let ordered = order::delete(&app, &id("b"), "ada", |_| true).await.unwrap();
    assert!(matches!(ordered, Ordered::NotEnded(_)), "{ordered:?}");
}

/// Deletion, reconcile, sweep, cancel and notes at the same time, again and again: the run is deleted once and stays so.
async fn a_deletion_stands_whatever_else_happens(app: App) {
    for round in 0..3 {
        let name = format!("r{round}");
        let run_id = id(&name);
        insert(&app, &name).await;
        complete(&app, &name).await;
        let patch = Patch { note: Some(Some("meanwhile".into())), ..Patch::default() };
        let always = |_: &backtest_functions::run::Run| true;
        let (deleted, twice, noted, reconciled, swept, canceled) = tokio::join!(
            order::delete(&app, &run_id, "ada", always),
            order::delete(&app, &run_id, "bob", always),
            order::amend(&app, &run_id, &patch, "eve", always),
            reconcile(&app),
            sweep(&app),
            app.runs.request_cancel(&run_id, "eve"),
        );
        let done = [&deleted, &twice].into_iter().filter(|one| matches!(one, Ok(Ordered::Done(_)))).count();
        assert_eq!(done, 1, "{deleted:?} {twice:?}");
        noted.unwrap();
        reconciled.unwrap();
        swept.unwrap();
        canceled.unwrap();
        let run = app.runs.get(&run_id).await.unwrap().unwrap();
        let by = &run.labels.deleted.as_ref().unwrap().by;
        assert!(["ada", "bob"].contains(&by.as_str()));
        assert_eq!(run.state.status().as_str(), "completed", "what it was stays");
        sweep(&app).await.unwrap();
        let backtest_functions::run::RunState::Completed { publication, .. } = &run.state else { panic!() };
        assert_eq!(app.artifacts.size(&publication.location, "summary.json").await.unwrap(), None);
        let events = app.runs.events(&run_id).await.unwrap();
        assert_eq!(events.iter().filter(|event| event.event == "deleted").count(), 1);
        let page = app.runs.list(&ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap();
        assert!(page.runs.is_empty());
    }
}

async fn the_parts_of_a_deleted_study_leave_no_files(app: App) {
    let new = |name: &str, kind: Kind, part_of: Option<PartOf>| NewRun {
        id: id(name),
        submission: Submission {
            request_sha256: name.into(),
            kind,
            part_of,
            parts: Some(1),
            trials: Some(1),
            ..submission()
        },
        max_attempts: 3,
        announced: false,
    };
    app.runs.insert(&new("study", Kind::Study, None)).await.unwrap();
    // Named as parts are: `adls` finds them by their names.
    let part_of = PartOf { study: id("study"), part: 0 };
    app.runs.insert(&new("study-p00", Kind::Part, Some(part_of))).await.unwrap();
    complete(&app, "study-p00").await;
    complete(&app, "study").await;
    assert_eq!(sweep(&app).await.unwrap(), 0);
    order::delete(&app, &id("study"), "ada", |_| true).await.unwrap();
    assert_eq!(sweep(&app).await.unwrap(), 2);
    assert_eq!(app.artifacts.attempts().count().await, 0);
}

/// Settings of a service that keeps its records, and with `adls` its files too, in a storage account.
fn in_storage(storage: &Storage) -> [(&'static str, String); 3] {
    [
        ("BACKTEST_RUN_STORE_MODE", "adls".to_owned()),
        ("AZURE_STORAGE_CONNECTION_STRING", storage.connection.clone()),
        ("BACKTEST_ADLS_RUNS_DIR", format!("{}/team/runs", storage.container)),
    ]
}

/// Each rule as a test of a service with each store.
macro_rules! on_every_service {
    ($($rule:ident, $sqlite:ident, $postgres:ident, $adls:ident;)*) => {
        $(#[tokio::test]
        async fn $sqlite() {
            $rule(&[]).await;
        }

        #[tokio::test]
        async fn $postgres() {
            if let Some(dsn) = crate::support::postgres::database() {
                $rule(&[("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", &dsn)]).await;
            }
        }

        #[tokio::test]
        async fn $adls() {
            if let Some(storage) = crate::support::azurite::storage() {
                let settings = in_storage(&storage);
                let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
                $rule(&settings).await;
            }
        })*
    };
}

on_every_service! {
    a_fetch_sees_the_whole_or_an_error_while_a_run_is_deleted,
        a_fetch_during_a_deletion_with_sqlite,
        a_fetch_during_a_deletion_with_postgres,
        a_fetch_during_a_deletion_with_adls;
    a_run_that_is_made_again_while_it_is_deleted_comes_to_an_end,
        a_reproduction_during_a_deletion_with_sqlite,
        a_reproduction_during_a_deletion_with_postgres,
        a_reproduction_during_a_deletion_with_adls;
}

/// Deletes a run and removes its files, after so many milliseconds.
async fn delete_after(handler: &Handler, run_id: &str, wait: u64) {
    tokio::time::sleep(Duration::from_millis(wait)).await;
    let deleted = handler.call(Method::DELETE, &format!("/api/backtests/{run_id}"), None).await;
    assert_eq!(deleted.status, 200, "{}", deleted.json());
    handler.envelope("sweep", &json!({ "timer": {} })).await;
}

/// Whoever fetches while a run is deleted and swept gets all of a file or an error, never another file or half of one in silence.
async fn a_fetch_sees_the_whole_or_an_error_while_a_run_is_deleted(settings: &[(&str, &str)]) {
    let home = Home::with_prices();
    let handler = home.handler(settings).await;
    completed(&handler, "r").await;
    let whole = handler.get("/api/backtests/r/artifacts.zip").await.body;
    let fetch = async |wait: u64| {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let request = handler.http.get(format!("{}/api/backtests/r/artifacts.zip", handler.url));
        handler.try_send(request).await
    };
    let (first, second, third, ()) =
        tokio::join!(fetch(0), fetch(10), fetch(20), delete_after(&handler, "r", 10));
    for fetched in [first, second, third] {
        match fetched {
            Ok(answer) if answer.status == 200 => assert!(answer.body == whole, "half of it"),
            Ok(answer) => assert!([404, 410].contains(&answer.status.as_u16()), "{}", answer.status),
            Err(_) => {}
        }
    }
    assert_eq!(fetch(0).await.unwrap().status, 410);
}

/// Either there was enough to compare, or it is said that there was not; nothing hangs, and the deletion stands.
async fn a_run_that_is_made_again_while_it_is_deleted_comes_to_an_end(settings: &[(&str, &str)]) {
    let home = Home::with_prices();
    let handler = home.handler(settings).await;
    for (run_id, wait) in [("early", 0), ("meanwhile", 40), ("late", 400)] {
        completed(&handler, run_id).await;
        let asked = handler.post(&format!("/api/backtests/{run_id}/reproduce"), &json!({})).await;
        assert_eq!(asked.status, 202, "{}", asked.json());
        let made = asked.json()["run_id"].as_str().unwrap().to_owned();
        tokio::join!(handler.wake(&made), delete_after(&handler, run_id, wait));
        let run = handler.run(&made).await;
        match run["status"].as_str() {
            Some("completed") => {
                let verdict = run["summary"]["verdict"].as_str().unwrap_or_default();
                assert!(["identical", "not_possible"].contains(&verdict), "{run}");
            }
            Some("failed") => assert_eq!(run["status_reason"], "data_gone", "{run}"),
            _ => panic!("{run}"),
        }
        let deleted = handler.run(run_id).await;
        assert!(deleted["deleted_at"].is_string() && deleted["status"] == "completed", "{deleted}");
        let again = handler.post(&format!("/api/backtests/{run_id}/reproduce"), &json!({})).await;
        assert_eq!((again.status.as_u16(), &again.json()["code"]), (410, &json!("run_deleted")));
    }
}
