//! What must be observable after things went wrong, with runs in Postgres: processes are killed and stopped, connections
//! cut at the worst moment, the server crashed. Each test says on its output how long recovery took.

use std::time::{Duration, Instant};

use backtest_functions::store::pg::Database;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::pg_proxy::{Cut, Proxy};
use crate::support::postgres;
use crate::support::service::{Handler, Home, eventually, long, momentum};

const LEASE_SECONDS: &str = "2";

async fn handler(home: &Home, dsn: &str, more: &[(&str, &str)]) -> Handler {
    let own = [
        ("BACKTEST_RUN_STORE_MODE", "postgres"),
        ("POSTGRES_DSN", dsn),
        ("BACKTEST_LEASE_SECONDS", LEASE_SECONDS),
    ];
    home.handler(&own.iter().chain(more).copied().collect::<Vec<_>>()).await
}

/// Delivers a message as the host does: again until it is taken.
async fn deliver(handler: &Handler, id: &str) {
    eventually("the message is taken", async || handler.wake(id).await.status.is_success().then_some(()))
        .await;
}

/// Reconciles until some run is to be woken.
async fn announced(handler: &Handler) -> Vec<Value> {
    eventually("reconcile announces a run", async || {
        let answer = handler.envelope("reconcile", &json!({ "timer": {} })).await;
        let runs = answer.status.is_success().then(|| answer.json()["Outputs"]["runs"].clone());
        runs.as_ref().and_then(Value::as_array).cloned()
    })
    .await
}

/// Names of the run's events in order; their versions have neither gap nor repeat.
async fn events(handler: &Handler, id: &str) -> Vec<String> {
    let events = handler.get(&format!("/api/backtests/{id}/events")).await.json();
    let events = events["events"].as_array().unwrap();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["version"], json!(at + 1), "{events:?}");
    }
    events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

fn recovered(case: &str, since: Instant) {
    println!("recovery time: {case}: {:.1} s", since.elapsed().as_secs_f64());
}

#[tokio::test]
async fn an_answer_to_a_claim_or_a_finish_gets_lost() {
    let Some(dsn) = postgres::database() else { return };
    let (home, proxy) = (Home::with_prices(), Proxy::before(&dsn).await);
    let handler = handler(&home, &proxy.dsn, &[]).await;
    for (id, statement, cut) in [
        ("a", "-- runs.claim\n", Cut::BeforeReply),
        ("b", "-- runs.complete\n", Cut::BeforeReply),
        ("c", "-- runs.complete\n", Cut::BeforeRequest),
    ] {
        handler.submit(&json!({ "config": momentum(), "run_id": id })).await;
        proxy.cut(statement, cut);
        let since = Instant::now();
        assert!(handler.wake(id).await.status.is_success());
        assert!(proxy.is_done(), "the connection was cut");
        let run = handler.run(id).await;
        assert_eq!((&run["status"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run}");
        assert_eq!(events(&handler, id).await, ["submitted", "claimed", "completed"]);
        recovered(&format!("{statement:?} cut {cut:?}"), since);
    }
    // A claim that the server never saw: the message comes again.
    handler.submit(&json!({ "config": momentum(), "run_id": "d" })).await;
    proxy.cut("-- runs.claim\n", Cut::BeforeRequest);
    let since = Instant::now();
    assert_eq!(handler.wake("d").await.status.as_u16(), 503, "the host delivers the message again");
    handler.wake("d").await;
    assert_eq!(events(&handler, "d").await, ["submitted", "claimed", "completed"]);
    recovered("claim never sent", since);
}

#[tokio::test]
async fn an_answer_to_a_submit_gets_lost() {
    let Some(dsn) = postgres::database() else { return };
    let (home, proxy) = (Home::with_prices(), Proxy::before(&dsn).await);
    let handler = handler(&home, &proxy.dsn, &[]).await;
    let submit = async |key: &str| {
        let request =
            handler.http.post(format!("{}/api/backtests", handler.url)).header("idempotency-key", key);
        handler.send(request.json(&json!({ "config": momentum() }))).await
    };
    for (key, cut) in [("one", Cut::BeforeReply), ("two", Cut::BeforeRequest)] {
        proxy.cut("-- runs.insert\n", cut);
        let since = Instant::now();
        let refused = submit(key).await;
        assert_eq!(refused.status.as_u16(), 503, "{:?}", String::from_utf8_lossy(&refused.body));
        assert!(!refused.header("retry-after").is_empty());
        let again = submit(key).await;
        assert_eq!(again.status.as_u16(), if cut == Cut::BeforeReply { 200 } else { 202 });
        assert_eq!(submit(key).await.json()["run_id"], again.json()["run_id"]);
        recovered(&format!("submit cut {cut:?}"), since);
    }
    let runs = handler.get("/api/backtests").await.json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 2);
    // Plain submits carry no message, so reconcile sends it.
    assert_eq!(announced(&handler).await.len(), 2);
}

#[tokio::test]
async fn an_executor_is_killed() {
    let Some(dsn) = postgres::database() else { return };
    let home = Home::with_sample(80, 2000);
    let (mut one, two) = (handler(&home, &dsn, &[]).await, handler(&home, &dsn, &[]).await);
    one.submit(&json!({ "config": long(), "run_id": "r" })).await;
    one.dies_in("r", &two).await;
    let since = Instant::now();
    announced(&two).await;
    let woken = async {
        two.wake("r").await;
    };
    let claimed = async {
        eventually("somebody takes over", async || (two.run("r").await["attempt"] == 2).then_some(())).await;
        recovered("SIGKILL to takeover, lease 2 s", since);
    };
    tokio::join!(woken, claimed);
    let run = two.run("r").await;
    assert_eq!((&run["status"], &run["attempt"]), (&json!("completed"), &json!(2)), "{run}");
    assert_eq!(events(&two, "r").await, ["submitted", "claimed", "announced", "taken_over", "completed"]);
}

/// An executor that always dies ends with its attempts, not with patience.
#[tokio::test]
async fn executors_die_until_no_attempt_is_left() {
    let Some(dsn) = postgres::database() else { return };
    let home = Home::with_sample(80, 2000);
    let attempts = [("BACKTEST_MAX_ATTEMPTS", "2")];
    let watcher = handler(&home, &dsn, &attempts).await;
    watcher.submit(&json!({ "config": long(), "run_id": "r" })).await;
    for attempt in 1..=2 {
        let mut victim = handler(&home, &dsn, &attempts).await;
        {
            let wake = victim.wake("r");
            let claimed = eventually("the run is claimed", async || {
                let run = watcher.run("r").await;
                (run["status"] == "running" && run["attempt"] == attempt).then_some(())
            });
            futures_util::pin_mut!(wake, claimed);
            futures_util::future::select(wake, claimed).await;
        }
        victim.kill();
        if attempt == 1 {
            announced(&watcher).await;
        }
    }
    let since = Instant::now();
    let run = eventually("reconcile gives the run up", async || {
        watcher.envelope("reconcile", &json!({ "timer": {} })).await;
        let run = watcher.run("r").await;
        (run["status"] == "failed").then_some(run)
    })
    .await;
    recovered("last executor dead to failed, lease 2 s", since);
    assert_eq!((&run["status_reason"], &run["attempt"]), (&json!("attempts_exhausted"), &json!(2)));
}

#[tokio::test]
async fn an_executor_is_stopped_past_its_lease_and_goes_on() {
    let Some(dsn) = postgres::database() else { return };
    let home = Home::with_sample(80, 2000);
    let (one, two) = (handler(&home, &dsn, &[]).await, handler(&home, &dsn, &[]).await);
    one.submit(&json!({ "config": long(), "run_id": "r" })).await;
    let successor = async {
        two.sees_running("r").await;
        one.signal("STOP");
        assert_eq!(two.run("r").await["status"], "running", "it was stopped in the middle");
        let since = Instant::now();
        announced(&two).await;
        two.wake("r").await;
        recovered("SIGSTOP past the lease to completed by another, lease 2 s", since);
        let row = two.run("r").await;
        assert_eq!((&row["status"], &row["attempt"]), (&json!("completed"), &json!(2)), "{row}");
        one.signal("CONT");
        row
    };
    let (answer, row) = tokio::join!(one.wake("r"), successor);
    assert!(answer.status.is_success(), "losing a lease is an answer, not an error");
    assert_eq!(two.run("r").await, row, "the zombie changed nothing");
    assert_eq!(events(&two, "r").await, ["submitted", "claimed", "announced", "taken_over", "completed"]);
    assert!(row["output_dir"].as_str().unwrap().ends_with("/f2"));
}

#[tokio::test]
async fn messages_come_doubled_late_and_for_nobody() {
    let Some(dsn) = postgres::database() else { return };
    let home = Home::with_prices();
    let (one, two) = (handler(&home, &dsn, &[]).await, handler(&home, &dsn, &[]).await);
    let ids: Vec<String> = (0..6).map(|number| format!("run-{number}")).collect();
    for id in &ids {
        one.submit(&json!({ "config": momentum(), "run_id": id })).await;
    }
    let wakes = ids.iter().flat_map(|id| [one.wake(id), two.wake(id), one.wake("nobody")]);
    for answer in join_all(wakes).await {
        assert!(answer.status.is_success());
    }
    for id in &ids {
        assert!(two.wake(id).await.status.is_success(), "late");
        assert_eq!(events(&two, id).await, ["submitted", "claimed", "completed"], "{id}");
    }
    // The same runs are unknown to a handler with another store; readiness says which one it has.
    let other = home.handler(&[]).await;
    assert!(other.wake(&ids[0]).await.status.is_success());
    assert_eq!(other.get("/api/readyz").await.json()["parts"]["run_store"]["mode"], "sqlite");
    assert_eq!(two.get("/api/readyz").await.json()["parts"]["run_store"]["mode"], "postgres");
}

/// One of the two wins, and the answer says which.
#[tokio::test]
async fn a_cancel_races_the_end() {
    let Some(dsn) = postgres::database() else { return };
    let home = Home::with_prices();
    let handler = handler(&home, &dsn, &[]).await;
    let mut seen = [0; 2];
    for number in 0..12 {
        let id = format!("run-{number}");
        handler.submit(&json!({ "config": momentum(), "run_id": id })).await;
        let path = format!("/api/backtests/{id}/cancel");
        let cancel = handler.call(reqwest::Method::POST, &path, None);
        let wake = async {
            tokio::time::sleep(Duration::from_millis(number)).await;
            handler.wake(&id).await
        };
        let (_, answer) = tokio::join!(wake, cancel);
        let run = handler.run(&id).await;
        let canceled = run["status"] == "canceled";
        assert!(canceled || run["status"] == "completed", "{run}");
        match answer.status.as_u16() {
            200 => assert!(canceled, "{run}"),
            409 => assert!(!canceled, "{run}"),
            // Asked: the executor may have been past the point where it looks.
            202 => {}
            other => panic!("{other}"),
        }
        let finals = ["completed", "failed", "canceled"];
        let events = events(&handler, &id).await;
        assert_eq!(events.iter().filter(|event| finals.contains(&event.as_str())).count(), 1, "{events:?}");
        seen[usize::from(canceled)] += 1;
    }
    assert!(seen[1] > 0, "no cancel came in time: {seen:?}");
}

#[tokio::test]
async fn the_database_crashes_in_the_middle() {
    let Some(server) = postgres::Crashable::start().await else { return };
    let home = Home::with_sample(80, 2000);
    let handler = handler(&home, &server.dsn(), &[]).await;
    handler.submit(&json!({ "config": long(), "run_id": "r" })).await;
    let crash = async {
        handler.sees_running("r").await;
        let since = Instant::now();
        server.control(&["restart", "-m", "immediate"]);
        eventually("the service is ready again", async || {
            handler.get("/api/readyz").await.status.is_success().then_some(())
        })
        .await;
        recovered("immediate restart of the database to ready", since);
    };
    tokio::join!(handler.wake("r"), crash);
    if handler.run("r").await["status"] != "completed" {
        announced(&handler).await;
        deliver(&handler, "r").await;
    }
    let run = handler.run("r").await;
    assert_eq!(run["status"], "completed", "{run}");
    assert!(run["attempt"].as_u64().unwrap() <= 2, "{run}");
    let finals = events(&handler, "r").await.into_iter().filter(|event| event == "completed").count();
    assert_eq!(finals, 1);
}

#[tokio::test]
async fn the_database_is_away_for_longer_than_a_lease() {
    let Some(server) = postgres::Crashable::start().await else { return };
    let home = Home::with_sample(80, 2000);
    let handler = handler(&home, &server.dsn(), &[]).await;
    handler.submit(&json!({ "config": long(), "run_id": "r" })).await;
    let outage = async {
        handler.sees_running("r").await;
        server.control(&["stop", "-m", "immediate"]);
        let away = Instant::now();
        let body = json!({ "config": momentum(), "run_id": "s" });
        while away.elapsed() < Duration::from_secs(3) {
            for answer in [handler.get("/api/backtests").await, handler.post("/api/backtests", &body).await] {
                assert_eq!(answer.status.as_u16(), 503);
                assert!(!answer.header("retry-after").is_empty());
                assert_eq!(answer.json()["code"], "store_unavailable", "{}", answer.json());
            }
            assert_eq!(handler.get("/api/healthz").await.status.as_u16(), 200);
            assert_eq!(handler.get("/api/readyz").await.status.as_u16(), 503);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // With the options of before; `start` would know none.
        server.control(&["restart"]);
        Instant::now()
    };
    let (_, since) = tokio::join!(handler.wake("r"), outage);
    let run = eventually("the run ends", async || {
        let run = handler.run("r").await;
        if run["status"] == "completed" {
            return Some(run);
        }
        let answer = handler.envelope("reconcile", &json!({ "timer": {} })).await;
        if answer.status.is_success() && answer.json()["Outputs"]["runs"].is_array() {
            deliver(&handler, "r").await;
        }
        None
    })
    .await;
    recovered("database back after 3 s, lease 2 s, to completed", since);
    assert!(run["attempt"].as_u64().unwrap() <= 2, "{run}");
    assert_eq!(handler.get("/api/backtests/s").await.status.as_u16(), 404, "what was refused is not there");
}

/// The engine panics whenever it runs, because no machine has the stacks that its threads ask for: every attempt
/// ends, the process does not.
#[tokio::test]
async fn the_engine_panics_until_no_attempt_is_left() {
    let Some(dsn) = postgres::database() else { return };
    let home = Home::with_prices();
    // More than an address can name.
    let stack = (1_u64 << 62).to_string();
    let more = [("BACKTEST_MAX_ATTEMPTS", "2"), ("RUST_MIN_STACK", stack.as_str())];
    let handler = handler(&home, &dsn, &more).await;
    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    assert!(handler.wake("r").await.status.is_success(), "the attempt ended in the store");
    let run = handler.run("r").await;
    assert_eq!((&run["status"], &run["attempt"]), (&json!("queued"), &json!(1)), "{run}");
    announced(&handler).await;
    assert!(handler.wake("r").await.status.is_success());
    let run = handler.run("r").await;
    assert_eq!((&run["status"], &run["attempt"]), (&json!("failed"), &json!(2)), "{run}");
    assert_eq!(run["status_reason"], "engine_panic");
    assert!(run["error"].as_str().unwrap().contains("thread pool"), "the last message is kept: {run}");
}

/// Every connection of the pool waits for a lock: HTTP says to come again, the queue keeps its message.
#[tokio::test]
async fn the_pool_is_exhausted() {
    let Some(dsn) = postgres::database() else { return };
    let home = Home::with_prices();
    let handler = handler(&home, &dsn, &[]).await;
    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    let mut blocker = Database::parse(&dsn, "test").unwrap().connect().await.unwrap();
    let transaction = blocker.transaction().await.unwrap();
    transaction.batch_execute("LOCK TABLE backtest.runs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let asked = join_all((0..6).map(|_| handler.get("/api/backtests/r"))).await;
    for answer in asked {
        assert_eq!(answer.status.as_u16(), 503);
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(handler.wake("r").await.status.as_u16(), 503, "the host delivers the message again");
    transaction.rollback().await.unwrap();
    let since = Instant::now();
    handler.wake("r").await;
    assert_eq!(handler.run("r").await["status"], "completed");
    recovered("pool free again to completed", since);
    // A service stays within its budget: two connections and one for beats.
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name LIKE 'backtests %' AND application_name <> 'backtests test'";
    let connections: i64 = blocker.query_one(count, &[]).await.unwrap().get(0);
    assert!((1..=3).contains(&connections), "{connections}");
}

/// What was announced counts as sent, so whoever announces has an answer that cannot fail any more: an executor is not one.
#[tokio::test]
async fn an_executor_announces_nothing_and_a_broken_reconcile_sends_what_it_announced() {
    let Some(dsn) = postgres::database() else { return };
    let home = Home::with_prices();
    let handler = handler(&home, &dsn, &[]).await;
    // Called plainly, a submit leaves its message to reconcile.
    for id in ["a", "b", "c"] {
        let stored = handler.post("/api/backtests", &json!({ "config": momentum(), "run_id": id })).await;
        assert_eq!(stored.status.as_u16(), 202, "{}", stored.json());
    }
    // Nobody may end or announce one of them.
    let admin = Database::parse(&dsn, "test").unwrap().connect().await.unwrap();
    let stubborn = "
        CREATE FUNCTION backtest.stubborn() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
        CREATE TRIGGER stubborn BEFORE UPDATE ON backtest.runs FOR EACH ROW
            WHEN (OLD.run_id = 'b') EXECUTE FUNCTION backtest.stubborn()";
    admin.batch_execute(stubborn).await.unwrap();
    // An executor that fails, and one that does not.
    assert_eq!(handler.wake("b").await.status.as_u16(), 503, "the claim fails");
    let woken = handler.wake("c").await;
    assert_eq!(woken.json()["Outputs"], json!({}), "no message leaves an executor");
    assert_eq!(handler.run("c").await["status"], "completed");
    assert_eq!(events(&handler, "a").await, ["submitted"], "nothing of it was counted as sent");

    let answer = handler.envelope("reconcile", &json!({ "timer": {} })).await;
    assert_eq!(answer.json()["Outputs"]["runs"], json!([{ "v": 1, "run_id": "a" }]));
    assert_eq!(events(&handler, "a").await, ["submitted", "announced"]);
    admin.batch_execute("DROP TRIGGER stubborn ON backtest.runs").await.unwrap();
    let answer = handler.envelope("reconcile", &json!({ "timer": {} })).await;
    assert_eq!(answer.json()["Outputs"]["runs"], json!([{ "v": 1, "run_id": "b" }]));
}
