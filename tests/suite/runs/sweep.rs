//! What lost executors leave behind is swept, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use backtest_functions::clock::ManualClock;
use backtest_functions::run::{Fence, Location, Publication, RunId, Submission};
use backtest_functions::store::artifacts::{Artifacts, AzureArtifacts, LocalArtifacts, NewFile};
use backtest_functions::store::blob::Directory;
use backtest_functions::store::runs::sqlite::SqliteRuns;
use backtest_functions::store::runs::{Claim, Claimant, Ending, NewRun};
use backtest_functions::work::App;
use backtest_functions::work::sweep::{AGE, sweep};
use chrono::Utc;
use serde_json::json;

use crate::support::submission::submission;

fn app(folder: &std::path::Path, artifacts: Artifacts) -> App {
    crate::support::app::app(Arc::new(SqliteRuns::new(folder.join("runs.sqlite3"))), artifacts)
}

fn id(text: &str) -> RunId {
    text.parse().unwrap()
}

async fn insert(app: &App, name: &str) {
    let submission = Submission { request_sha256: name.into(), ..submission() };
    let new = NewRun { id: id(name), submission, max_attempts: 3, announced: true };
    app.runs.insert(&new).await.unwrap();
}

/// Claims the run with a lease that is over at once, and writes a file as that attempt.
async fn attempt(app: &App, name: &str) -> (backtest_functions::store::runs::HeldLease, Location) {
    let claimant = Claimant {
        owner: "one".into(),
        lease: Duration::ZERO,
        timeout: Duration::from_secs(600),
        engine_version: "test".into(),
    };
    let Claim::Claimed(claimed) = app.runs.claim(&id(name), &claimant).await.unwrap() else {
        panic!("{name} is not claimed")
    };
    let at = write(app, name, claimed.run.fence).await;
    (claimed.lease, at)
}

async fn write(app: &App, name: &str, fence: Fence) -> Location {
    let at = app.artifacts.location(None, &id(name), fence).unwrap();
    for name in ["manifest.json", "plots/equity.svg"] {
        let file = NewFile { name, content_type: "application/json", content: "{}".into() };
        app.artifacts.create(&at, file).await.unwrap();
    }
    at
}

async fn exists(app: &App, at: &Location) -> bool {
    app.artifacts.size(at, "plots/equity.svg").await.unwrap().is_some()
}

async fn only_attempts_that_no_row_names_go_and_only_when_they_are_old(mut app: App) {
    for name in ["done", "failed", "running"] {
        insert(&app, name).await;
    }
    let (_, lost) = attempt(&app, "done").await;
    let (lease, published) = attempt(&app, "done").await;
    let result = Publication {
        location: published.clone(),
        manifest_sha256: "m".into(),
        summary: json!({}),
        data_versions: json!({}),
        fingerprint: "f".into(),
        results_sha256: Some("d".into()),
    };
    app.runs.finish(&lease, &Ending::from(result)).await.unwrap();
    let (_, failed) = attempt(&app, "failed").await;
    app.runs.request_cancel(&id("failed"), "ada").await.unwrap();
    let reason = backtest_functions::run::Reason::Poison;
    assert!(app.runs.give_up(&id("failed"), reason, "poison").await.unwrap());
    let (_, running) = attempt(&app, "running").await;
    let another_stores = write(&app, "elsewhere", Fence(1)).await;

    assert_eq!(sweep(&app).await.unwrap(), 0, "all of it is young");
    let clock = Arc::new(ManualClock::at(Utc::now() + AGE + Duration::from_secs(300)));
    app.clock = clock;
    assert_eq!(sweep(&app).await.unwrap(), 2);
    for (at, stays) in
        [(lost, false), (failed, false), (published, true), (running, true), (another_stores, true)]
    {
        assert_eq!(exists(&app, &at).await, stays, "{at:?}");
    }
    assert_eq!(sweep(&app).await.unwrap(), 0, "again finds nothing");
}

#[tokio::test]
async fn in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let app = app(folder.path(), Artifacts::new(LocalArtifacts::new(&results).unwrap(), None));
    assert_eq!(sweep(&app).await.unwrap(), 0, "there is no folder yet");
    only_attempts_that_no_row_names_go_and_only_when_they_are_old(app).await;
    assert!(!results.join("failed").exists(), "a run without attempts has no folder");
}

#[tokio::test]
async fn in_a_storage_account() {
    let Some(storage) = crate::support::azurite::storage() else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = Directory::parse(&format!("{}/team/runs", storage.container)).unwrap();
    let azure = AzureArtifacts::new(storage.account(), Some(root), Vec::new());
    let app = app(folder.path(), Artifacts::new(LocalArtifacts::new(folder.path()).unwrap(), Some(azure)));
    assert_eq!(sweep(&app).await.unwrap(), 0, "there is no container yet");
    only_attempts_that_no_row_names_go_and_only_when_they_are_old(app).await;
}
