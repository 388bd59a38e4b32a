//! What is left when all is over: rows and events, files, logs, and what clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backtest_functions::clock::ManualClock;
use backtest_functions::store::blob::Container;
use backtest_functions::work::App;
use backtest_functions::work::sha256_hex;
use backtest_functions::work::sweep::sweep;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::work::Ledger;
use super::world::{CONNECTIONS, Connections, World};

/// Digests of a run's files by name, comparable between runs: see [`normal`].
pub(super) type Results = BTreeMap<String, String>;

/// Files of an attempt by name.
pub(super) type Files = BTreeMap<String, Bytes>;

/// A row of `backtest.runs`.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    pub(super) run_id: String,
    pub(super) status: String,
    pub(super) status_reason: Option<String>,
    pub(super) attempt: usize,
    pub(super) max_attempts: usize,
    pub(super) fence: i64,
    pub(super) version: i64,
    pub(super) announce_count: usize,
    pub(super) cancel_requested_at: Option<DateTime<Utc>>,
    pub(super) output_dir: Option<String>,
    pub(super) adls_prefix: Option<String>,
    pub(super) manifest_sha256: Option<String>,
    pub(super) config_sha256: String,
    pub(super) kind: String,
    pub(super) study_id: Option<String>,
    pub(super) part: Option<i64>,
    pub(super) idempotency_key: Option<String>,
}

impl Row {
    /// Where its files are.
    pub(super) fn place(&self) -> Option<&str> {
        self.adls_prefix.as_deref().or(self.output_dir.as_deref())
    }
}

/// A row of `backtest.run_events`.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    run_id: String,
    pub(super) version: i64,
    pub(super) at: DateTime<Utc>,
    pub(super) event: String,
    pub(super) fence: i64,
    pub(super) actor: String,
    pub(super) detail: Value,
}

impl Event {
    /// Whether somebody got the lease.
    pub(super) fn is_claim(&self) -> bool {
        ["claimed", "taken_over"].contains(&self.event.as_str())
    }

    /// Whether nothing follows.
    pub(super) fn is_final(&self) -> bool {
        ["completed", "failed", "canceled"].contains(&self.event.as_str())
    }
}

/// All of it.
pub(super) struct Evidence {
    pub(super) rows: BTreeMap<String, Row>,
    pub(super) events: BTreeMap<String, Vec<Event>>,
    /// Files by the place of their attempt, before anything was swept.
    pub(super) files: BTreeMap<String, Files>,
    /// Places of attempts that a sweep left.
    pub(super) places_after_sweep: BTreeSet<String>,
    /// Lines of the handlers' logs.
    pub(super) log: Vec<Value>,
    /// Results without faults, by the digest of the config.
    pub(super) wanted: BTreeMap<String, Results>,
    /// What clients were told.
    pub(super) told: Ledger,
    /// Runs that did not end in time.
    pub(super) unsettled: Vec<String>,
    pub(super) poison: Vec<String>,
    pub(super) connections: Connections,
    /// Connections that all handlers may have.
    pub(super) connections_max: usize,
    /// Trials that the ledger counts under the experiment of all studies.
    pub(super) counted: usize,
    /// Runs a message of which was lost.
    lost: BTreeSet<String>,
    /// Finishes that the database refused.
    too_late: usize,
}

impl Evidence {
    /// Gathers it from a world that is over.
    pub(super) async fn gather(
        world: &World,
        wanted: BTreeMap<String, Results>,
        unsettled: Vec<String>,
    ) -> Self {
        for slot in &world.fleet {
            slot.end().await;
        }
        let rows: Vec<Row> = read(world, "SELECT to_jsonb(run) FROM backtest.runs AS run").await;
        let told = "SELECT to_jsonb(one) FROM backtest.run_events AS one ORDER BY run_id, version";
        let mut events = BTreeMap::<String, Vec<Event>>::new();
        for event in read::<Event>(world, told).await {
            events.entry(event.run_id.clone()).or_default().push(event);
        }
        let counted = world.ask("SELECT count(*) FROM backtest.trial_ledger").await[0].get::<_, i64>(0);
        let files = files(world).await;
        let in_ten_days = Arc::new(ManualClock::at(Utc::now() + chrono::Duration::days(10)));
        let swept = sweep(&App { clock: in_ten_days, ..world.app.clone() }).await.unwrap();
        println!("swept {swept} of {} attempts", files.len());
        let places_after_sweep = places(world).await;
        Self {
            rows: rows.into_iter().map(|row| (row.run_id.clone(), row)).collect(),
            events,
            files,
            places_after_sweep,
            log: log(world.journal.folder()),
            wanted,
            told: std::mem::take(&mut *world.ledger()),
            unsettled,
            poison: std::mem::take(&mut world.queue.poison.lock().unwrap()),
            connections: std::mem::take(&mut world.connections.lock().unwrap()),
            connections_max: CONNECTIONS * world.fleet.len(),
            counted: usize::try_from(counted).unwrap(),
            lost: std::mem::take(&mut world.queue.lost.lock().unwrap()),
            too_late: world.proxy.too_late(),
        }
    }

    /// What must have happened, how often it did, and how often it must have in the whole time.
    pub(super) fn guards(&self) -> [(&'static str, usize, usize); 9] {
        let events =
            |holds: &dyn Fn(&Event) -> bool| self.events.values().flatten().filter(|one| holds(one)).count();
        let lines = |text: &str| self.lines(text).count();
        let announced = |run: &String| {
            self.events.get(run).is_some_and(|events| events.iter().any(|one| one.event == "announced"))
        };
        let of_kind = |kind: &'static str| self.rows.values().filter(move |row| row.kind == kind);
        let exhausted = |row: &&Row| row.status_reason.as_deref() == Some("attempts_exhausted");
        [
            ("takeovers", events(&|one| one.event == "taken_over"), 30),
            ("writes fenced out", lines(": another executor holds it"), 15),
            ("finishes that came too late to the database", self.too_late, 3),
            (
                "runs announced again after a message was lost",
                self.lost.iter().filter(|run| announced(run)).count(),
                10,
            ),
            ("messages for runs that were not to be claimed", lines("nothing to do for run"), 30),
            ("studies that completed", of_kind("study").filter(|row| row.status == "completed").count(), 4),
            ("parts that were taken over", of_kind("part").filter(|row| row.attempt > 1).count(), 6),
            ("runs without an attempt left", self.rows.values().filter(exhausted).count(), 10),
            (
                "cancels that nobody acknowledged",
                events(&|one| one.event == "canceled" && one.actor == "reconcile"),
                3,
            ),
        ]
    }

    /// Lines of the log whose message holds a text.
    pub(super) fn lines(&self, text: &str) -> impl Iterator<Item = &Value> {
        self.log
            .iter()
            .filter(move |line| line["message"].as_str().is_some_and(|message| message.contains(text)))
    }

    /// A row with its events, each.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&Row, &[Event])> {
        self.rows.values().map(|row| (row, self.events.get(&row.run_id).map_or(&[][..], Vec::as_slice)))
    }
}

async fn read<T: DeserializeOwned>(world: &World, sql: &str) -> Vec<T> {
    let rows = world.ask(sql).await;
    rows.iter().map(|row| serde_json::from_value(row.get(0)).unwrap()).collect()
}

/// Names of all blobs of all attempts: `runs/<run_id>/f<fence>/<file>`, where the file may be in a folder.
async fn blobs(container: &Container) -> Vec<String> {
    container.list("runs/").map_ok(|listed| listed.name).try_collect().await.unwrap()
}

/// Place of a blob's attempt.
fn place_of(blob: &str) -> &str {
    let end = blob.match_indices('/').nth(2).map_or(blob.len(), |(end, _)| end);
    &blob[..end]
}

/// Folders of all attempts on this machine.
fn attempts(world: &World) -> Vec<PathBuf> {
    folders(&world.home.path().join("results")).iter().flat_map(|run| folders(run)).collect()
}

/// Places of all attempts that left a file.
async fn places(world: &World) -> BTreeSet<String> {
    match &world.blobs {
        Some(storage) => {
            blobs(&storage.container()).await.iter().map(|name| place_of(name).to_owned()).collect()
        }
        None => attempts(world).iter().map(|attempt| attempt.display().to_string()).collect(),
    }
}

/// All files of all attempts by place.
async fn files(world: &World) -> BTreeMap<String, Files> {
    let Some(storage) = &world.blobs else {
        let attempts = attempts(world).into_iter();
        return attempts.map(|attempt| (attempt.display().to_string(), files_below(&attempt))).collect();
    };
    let container = storage.container();
    let contents = futures_util::stream::iter(blobs(&container).await).map(|name| {
        let container = container.clone();
        // A task each, so that all cores read.
        tokio::spawn(async move {
            let (content, _) = container.get(&name).await.unwrap().unwrap();
            (name, content)
        })
    });
    let mut places = BTreeMap::<String, Files>::new();
    for (name, content) in contents.buffer_unordered(8).try_collect::<Vec<_>>().await.unwrap() {
        let place = place_of(&name);
        places.entry(place.to_owned()).or_default().insert(name[place.len() + 1..].to_owned(), content);
    }
    places
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

/// Files below a folder of this machine.
pub(super) fn files_below(folder: &Path) -> Files {
    fn collect(folder: &Path, root: &Path, files: &mut Files) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, root, files);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                files.insert(name, std::fs::read(&path).unwrap().into());
            }
        }
    }
    let mut files = Files::new();
    collect(folder, folder, &mut files);
    files
}

/// Digest of a file in which every id of its run is left out, so that files of two runs can be compared.
pub(super) fn normal(run_id: &str, content: &[u8]) -> String {
    match std::str::from_utf8(content) {
        Ok(text) => sha256_hex(text.replace(run_id, "")),
        Err(_) => sha256_hex(content),
    }
}

/// Lines of all logs of handlers. A process that was killed may not have written its last one to the end.
fn log(folder: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("chaos-"));
    let texts: Vec<String> =
        logs.map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()).collect();
    texts.iter().flat_map(|text| text.lines()).filter_map(|line| serde_json::from_str(line).ok()).collect()
}
