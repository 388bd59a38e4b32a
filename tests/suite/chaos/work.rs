//! What clients do while everything fails: submit, also three times at once with one key, cancel, and page through the list.
//! They ask again until they are answered, and keep what they were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use backtest_functions::work::submit::{Request, SubmitError, submit};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::evidence::{Results, normal};
use super::queue;
use super::world::World;
use crate::support::service::submission;

/// Symbols and days of the market.
pub(super) const MARKET: (usize, usize) = (80, 2000);

/// What clients were told.
#[derive(Default)]
pub(super) struct Ledger {
    /// Runs that were accepted, in this order; with a key each answer is one.
    pub(super) accepted: Vec<Accepted>,
    /// Runs that were said to be canceled.
    pub(super) canceled: BTreeSet<String>,
    /// Runs that were said to have ended otherwise before they were canceled.
    pub(super) ended: BTreeSet<String>,
    /// What no client should be told.
    pub(super) complaints: Vec<String>,
    /// What scans of the list missed or saw twice.
    pub(super) scans: Vec<String>,
}

/// A submit that was answered well.
pub(super) struct Accepted {
    pub(super) run_id: String,
    pub(super) key: Option<String>,
}

/// A run of one symbol for some years. Files that hold its id in a form that cannot be compared are left out.
fn small(number: usize) -> Value {
    json!({
        "run_name": format!("small {number}"),
        "start_date": "2001-01-01", "end_date": format!("{}-12-31", 2001 + number % 2),
        "universe": { "symbols": [format!("SYN{:05}", 1 + number)] },
        "strategy": { "class": "StaticUniverseStrategy" },
        "output": {
            "save_config_parquet": false, "save_summary_parquet": false, "save_metrics_parquet": false,
            "save_trades": number % 2 == 1, "save_trades_parquet": number % 4 == 1,
            "save_daily_metrics": false, "save_positions_snapshot": false, "save_constraint_hits": false,
        },
    })
}

/// A run of all symbols over all years, which takes some seconds of computing.
fn long() -> Value {
    let mut config = small(0);
    config["run_name"] = json!("long");
    config["end_date"] = json!("2030-12-31");
    config["start_date"] = json!("2000-01-03");
    config["universe"]["symbols"] = json!(["*"]);
    config["sizing"] = json!({ "parameters": { "max_positions": 200 } });
    config
}

/// A study of two parts: a market for each look-back is worth more than one. All studies are this one, so that their
/// experiment has tried what one of them tries.
pub(super) fn study() -> Value {
    json!({
        "study": {
            "name": "chaos", "experiment": "chaos",
            "parameters": {
                "strategy.scoring.lookback": { "from": 5, "to": 5 + MARKETS - 1, "step": 1 },
                "strategy.selection.topn.n": [1, 2, 3],
            },
            "keep": { "returns": 5 },
            "statistics": { "blocks": 4, "bootstrap": 20 },
        },
        "base": {
            "start_date": "2001-01-01", "end_date": "2003-12-31",
            "universe": { "symbols": (1..6).map(|n| format!("SYN{n:05}")).collect::<Vec<_>>() },
            "strategy": {
                "type": "configured", "rebalance": { "freq": "weekly" },
                "scoring": { "type": "price_breakout", "lookback": 20 },
                "selection": { "type": "topn", "topn": { "n": 1 } },
            },
        },
    })
}

/// Look-backs of a study.
const MARKETS: usize = 35;

/// Trials of a study.
pub(super) const TRIALS: usize = 3 * MARKETS;

/// Different small configs.
const SMALL: usize = 8;

/// The results of all configs from a handler that nothing befalls, by the digest of the config.
pub(super) async fn results_without_faults(world: &World) -> BTreeMap<String, Results> {
    let folder = world.home.path().join("without-faults");
    let handler = world.home.handler(&[("BACKTEST_OUTPUT_DIR", folder.to_str().unwrap())]).await;
    let mut results = BTreeMap::new();
    for (number, config) in (0..SMALL).map(small).chain([long()]).enumerate() {
        let id = format!("wanted-{number}");
        handler.submit(&json!({ "config": config, "run_id": id })).await;
        handler.wake(&id).await;
        let run = handler.run(&id).await;
        assert_eq!(run["status"], "completed", "{run}");
        results.insert(key_of(&run), results_of(&folder, &id));
    }
    let mut body = study();
    body["run_id"] = json!("wanted-study");
    let stored = handler.envelope("studies", &submission(&body, None)).await.json();
    let parts = stored["Outputs"]["runs"].as_array().expect("a message for each part").len();
    assert_eq!(parts, 2, "a study that is shared out: {stored}");
    for id in (0..parts).map(|part| format!("wanted-study-p{part:02}")) {
        handler.wake(&id).await;
        results.insert(key_of(&handler.run(&id).await), results_of(&folder, &id));
    }
    let run = handler.run("wanted-study").await;
    assert_eq!(run["status"], "completed", "{run}");
    results.insert(key_of(&run), results_of(&folder, "wanted-study"));
    results
}

/// What results are compared by: the config, and of a study's part its number.
fn key_of(run: &Value) -> String {
    result_key(run["config_sha256"].as_str().unwrap(), run["part"].as_i64())
}

/// The same of a row.
pub(super) fn result_key(config_sha256: &str, part: Option<i64>) -> String {
    part.map_or_else(|| config_sha256.to_owned(), |part| format!("part {part} of {config_sha256}"))
}

/// Digests of the files of the first attempt at a run.
fn results_of(folder: &std::path::Path, id: &str) -> Results {
    let files = super::evidence::files_below(&folder.join(id).join("f1"));
    files.iter().map(|(name, content)| (name.clone(), normal(id, content))).collect()
}

/// Something that clients do.
enum Deed {
    Submit {
        run_id: String,
        config: Value,
    },
    SubmitThrice {
        key: String,
        config: Value,
    },
    /// Of a run that aborts its process; few attempts.
    SubmitAborting {
        run_id: String,
    },
    SubmitStudy {
        run_id: String,
    },
    Cancel,
}

/// Does it all, spread over the time, and waits for the answers.
pub(super) async fn go(world: Arc<World>) {
    let mut rng = ChaCha8Rng::seed_from_u64(world.seed ^ 1);
    let mut plan = Vec::new();
    let seconds = world.size.seconds;
    let keys = world.size.of(500);
    let (slow, long_ones, aborting) = (world.size.of(50), world.size.of(10), world.size.of(20));
    let plain = world.size.of(2000) - keys - slow - long_ones - aborting;
    let id = |kind: &str, number: usize| format!("{kind}-{number:05}");
    let deeds = (0..keys)
        .map(|n| Deed::SubmitThrice { key: id("key", n), config: small(n % SMALL) })
        .chain((0..plain).map(|n| Deed::Submit { run_id: id("small", n), config: small(n % SMALL) }))
        .chain((0..slow).map(|n| Deed::Submit { run_id: id("slow", n), config: world.slow_config() }))
        .chain((0..long_ones).map(|n| Deed::Submit { run_id: id("long", n), config: long() }))
        .chain((0..aborting).map(|n| Deed::SubmitAborting { run_id: id("abort", n) }))
        .chain((0..world.size.of(8)).map(|n| Deed::SubmitStudy { run_id: id("study", n) }))
        .chain((0..world.size.of(88)).map(|_| Deed::Cancel));
    for deed in deeds {
        // Three attempts that each lose a lease take their time.
        let is_long = matches!(deed, Deed::SubmitAborting { .. } | Deed::SubmitStudy { .. });
        let latest = if is_long { 0.8 } else { 0.95 };
        plan.push((rng.random::<f64>() * latest * seconds, deed, rng.random::<u64>()));
    }
    plan.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (started, mut under_way) = (Instant::now(), Vec::new());
    let scans = tokio::spawn(scan_again_and_again(world.clone()));
    for (at, deed, seed) in plan {
        tokio::time::sleep_until(started + Duration::from_secs_f64(at)).await;
        let world = world.clone();
        under_way.push(tokio::spawn(async move {
            match deed {
                Deed::Submit { run_id, config } => {
                    let body = json!({ "config": config, "run_id": run_id });
                    submit_until_accepted(&world, "submit", &body, None).await;
                }
                Deed::SubmitStudy { run_id } => {
                    let mut body = study();
                    body["run_id"] = json!(run_id);
                    submit_until_accepted(&world, "studies", &body, None).await;
                }
                Deed::SubmitThrice { key, config } => {
                    let body = json!({ "config": config });
                    let once = || submit_until_accepted(&world, "submit", &body, Some(&key));
                    tokio::join!(once(), once(), once());
                }
                Deed::SubmitAborting { run_id } => submit_aborting(&world, &run_id).await,
                Deed::Cancel => cancel_one(&world, ChaCha8Rng::seed_from_u64(seed)).await,
            }
        }));
    }
    for deed in under_way {
        deed.await.unwrap();
    }
    world.no_more_work();
    scans.await.unwrap();
}

impl World {
    /// A config that takes long where there is blob storage, because storage is slow for the runs that have it; elsewhere
    /// the computing takes long.
    fn slow_config(&self) -> Value {
        if self.blobs.is_some() { small(0) } else { long() }
    }
}

/// Clients wait longer each time, and each for its turn, as a service that is overloaded asks them to: a slow machine takes
/// longer for it all, instead of drowning in what is repeated.
async fn submit_until_accepted(world: &World, function: &str, body: &Value, key: Option<&str>) {
    let (mut again, mut pause) = (false, Duration::from_millis(200));
    loop {
        let turn = world.turns.acquire().await.unwrap();
        let sent = submission(body, key);
        let answer = world.anybody().envelope(function, &sent, Duration::from_secs(5)).await;
        drop(turn);
        let outputs = answer.ok().filter(|answer| answer.status.is_success());
        if let Some(outputs) = outputs.map(|answer| answer.json()["Outputs"].clone()) {
            let reply = &outputs["res"];
            let run_id = match reply["statusCode"].as_u64().unwrap() {
                200 | 202 => {
                    queue::send(world, &outputs);
                    reply["body"]["run_id"].as_str().unwrap().to_owned()
                }
                // An answer got lost, but the run is there.
                409 if again && key.is_none() => body["run_id"].as_str().unwrap().to_owned(),
                429 | 503 => String::new(),
                _ => return world.ledger().complaints.push(format!("a submit was answered: {reply}")),
            };
            if !run_id.is_empty() {
                let key = key.map(str::to_owned);
                world.journal.note("submit accepted", &run_id);
                return world.ledger().accepted.push(Accepted { run_id, key });
            }
        }
        again = true;
        world.journal.note("submit repeated", body["run_id"].as_str().or(key).unwrap());
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

/// Submits past the handlers, whose number of attempts is another one.
async fn submit_aborting(world: &World, run_id: &str) {
    let request = Request {
        config: world.slow_config(),
        run_id: Some(run_id.parse().unwrap()),
        parent_run_id: None,
        idempotency_key: None,
        submitted_by: None,
        traceparent: None,
        pins: None,
        announces: true,
        reuse: false,
    };
    loop {
        match submit(&world.app, request.clone()).await {
            Ok(_) => queue::send(world, &json!({ "runs": [{ "v": 1, "run_id": run_id }] })),
            Err(SubmitError::IdTaken(_)) => {}
            Err(_) => {
                sleep(Duration::from_millis(200)).await;
                continue;
            }
        }
        world.journal.note("submit accepted", run_id);
        return world.ledger().accepted.push(Accepted { run_id: run_id.to_owned(), key: None });
    }
}

/// Cancels one of the latest runs; old ones have ended.
async fn cancel_one(world: &World, mut rng: ChaCha8Rng) {
    let run_id = {
        let ledger = world.ledger();
        let live: Vec<_> = ledger.accepted.iter().filter(|one| !one.run_id.starts_with("abort")).collect();
        let newest = live.len().saturating_sub(25);
        if live.is_empty() {
            return;
        }
        live[rng.random_range(newest..live.len())].run_id.clone()
    };
    cancel(world, &run_id).await;
}

/// Cancels a run of the lease owner whose name begins with `owner`, if it has one.
pub(super) async fn cancel_what_it_executes(world: &World, owner: &str) {
    let held = world.held().await.into_iter().filter(|(run, by)| {
        // A part ends with its study alone.
        by.starts_with(owner) && !["abort", "study"].iter().any(|kind| run.starts_with(kind))
    });
    if let Some((run_id, _)) = held.max() {
        cancel(world, &run_id).await;
    }
}

async fn cancel(world: &World, run_id: &str) {
    world.journal.note("cancel", run_id);
    for _ in 0..20 {
        let answer = world.anybody().call(Method::POST, &format!("/api/backtests/{run_id}/cancel")).await;
        let answer = answer.ok().filter(|answer| ![429, 503].contains(&answer.status.as_u16()));
        if let Some(answer) = answer {
            let mut ledger = world.ledger();
            match answer.status.as_u16() {
                200 => drop(ledger.canceled.insert(run_id.to_owned())),
                202 => {}
                409 => drop(ledger.ended.insert(run_id.to_owned())),
                _ => ledger.complaints.push(format!("the cancel of {run_id} was answered {}", answer.status)),
            }
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn scan_again_and_again(world: Arc<World>) {
    while world.has_more_work() {
        scan(&world).await;
        sleep(Duration::from_millis(500)).await;
    }
}

/// Pages through the list. Runs that were accepted before must come exactly once.
async fn scan(world: &World) {
    let older: BTreeSet<String> = world.ledger().accepted.iter().map(|one| one.run_id.clone()).collect();
    let (mut seen, mut cursor) = (BTreeMap::<String, usize>::new(), None);
    loop {
        let path = match &cursor {
            Some(cursor) => format!("/api/backtests?limit=40&cursor={cursor}"),
            None => "/api/backtests?limit=40".to_owned(),
        };
        let answer = world.anybody().call(Method::GET, &path).await;
        let Some(page) = answer.ok().filter(|answer| answer.status.is_success()) else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let page = page.json();
        for run in page["runs"].as_array().unwrap() {
            *seen.entry(run["run_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    world.journal.note("scan of the list", format_args!("{} runs", seen.len()));
    let mut ledger = world.ledger();
    for run in older.iter().filter(|run| !seen.contains_key(*run)) {
        ledger.scans.push(format!("a scan missed run {run}, which was accepted before"));
    }
    for (run, times) in seen.iter().filter(|(_, times)| **times > 1) {
        ledger.scans.push(format!("a scan saw run {run} {times} times"));
    }
}
