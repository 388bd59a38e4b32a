//! How many connections of the database a handler has, whatever it does at once, and what happens when there are few.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use backtest_functions::store::pg::{self, Database};
use futures_util::future::{join, join_all};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::database;
use crate::support::service::{Answer, Handler, Home, run_well, run_well_with};
use crate::support::signals::connect;

/// Longest wait for an answer: some connections are waited for twice, two seconds each.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most connections that a handler had at once until `done`.
async fn most_connections(dsn: &str, handler: &Handler, done: &AtomicBool) -> i64 {
    let watcher = Database::parse(dsn, "watcher").unwrap().connect().await.unwrap();
    let of = format!("backtests %:{}", handler.id());
    let mut most = 0;
    while !done.load(Ordering::Relaxed) {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE $1";
        most = most.max(watcher.query_one(count, &[&of]).await.unwrap().get(0));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    most
}

/// A config that reads its signals from Postgres, and computes long enough for some beats.
fn served() -> Value {
    json!({
        "start_date": "2000-02-01", "end_date": "2001-03-30", "universe": { "symbols": ["*"] },
        "data": { "signal_source": "postgres" },
        "strategy": { "class": "TopNSignalStrategy",
                      "parameters": { "signal_column": "composite_percentile", "top_n": 8, "rebalance": "daily" } },
        "sizing": { "class": "OptimizationSizer" },
    })
}

/// The answer, within bounds: good, or a refusal that says when to come again.
async fn answered(handler: &Handler, method: Method, path: &str, body: Option<Value>) -> Answer {
    let answer = tokio::time::timeout(PATIENCE, handler.call(method.clone(), path, body.as_ref())).await;
    let answer = answer.unwrap_or_else(|_| panic!("{method} {path} hangs"));
    let status = answer.status.as_u16();
    if status == 503 {
        assert_eq!(answer.json()["code"], "store_unavailable", "{method} {path}");
        assert_eq!(answer.header("retry-after"), "5", "{method} {path}");
    } else {
        assert!(answer.status.is_success(), "{method} {path}: {status} {}", answer.json());
    }
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_does_everything_at_once_has_three() {
    let Some(dsn) = database() else { return };
    let home = Home::with_sample(8, 400);
    run_well(&["lake", "rank", "--lake", home.lake().to_str().unwrap()], home.path());
    let settings = [
        ("BACKTEST_RUN_STORE_MODE", "postgres"),
        ("POSTGRES_DSN", &dsn),
        // Beats every quarter of a second.
        ("BACKTEST_LEASE_SECONDS", "1"),
    ];
    let handler = home.handler(&settings).await;
    let timer = json!({ "timer": {} });
    assert!(handler.envelope("sync_signals", &timer).await.status.is_success());
    let admin = connect(&dsn).await;
    for n in 0..4 {
        handler.submit(&json!({ "config": served(), "run_id": format!("r{n}") })).await;
    }
    // Every month is written again.
    admin.batch_execute("TRUNCATE ranking.signal_sync_state, ranking.signal_sync_day CASCADE").await.unwrap();

    let done = AtomicBool::new(false);
    let (handler, done) = (&handler, &done);
    let work = async {
        let sync = async {
            let answer = handler.envelope("sync_signals", &timer).await;
            assert!(answer.status.is_success(), "{}", answer.json());
        };
        let runs = join_all((0..4).map(|n| async move {
            assert!(handler.wake(&format!("r{n}")).await.status.is_success());
        }));
        let requests = join_all((0..12).map(|n| async move {
            for _ in 0..5 {
                let config = Some(json!({ "config": served() }));
                answered(handler, Method::POST, "/api/backtests", config).await;
                for path in [
                    "/api/backtests?limit=5",
                    "/api/signals/composite",
                    "/api/signals/ranking",
                    "/api/readyz",
                ] {
                    answered(handler, Method::GET, path, None).await;
                }
                answered(handler, Method::GET, &format!("/api/backtests/r{}", n % 4), None).await;
                let reconciled = handler.envelope("reconcile", &json!({ "timer": {} })).await;
                assert!(reconciled.status.is_success() || reconciled.status.as_u16() == 503);
            }
        }));
        join(sync, join(runs, requests)).await;
        done.store(true, Ordering::Relaxed);
    };
    let (most, ()) = join(most_connections(&dsn, handler, done), work).await;
    assert_eq!(most, 3, "two that are shared, one for beats");
    for n in 0..4 {
        let run = handler.run(&format!("r{n}")).await;
        assert_eq!((&run["status"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run}");
    }
    let behind = handler.get("/api/signals/sync").await.json();
    let months = behind["months"].as_array().unwrap();
    assert!(months.len() > 12 && months.iter().all(|month| month["behind"] == false), "{behind}");
}

#[tokio::test]
async fn one_connection_is_enough_for_many_requests_at_once() {
    let Some(dsn) = database() else { return };
    let home = Home::with_prices();
    let settings = [
        ("BACKTEST_RUN_STORE_MODE", "postgres"),
        ("POSTGRES_DSN", &dsn),
        ("BACKTEST_POSTGRES_CONNECTIONS", "1"),
        ("BACKTEST_MAX_REQUESTS", "1000"),
    ];
    let handler = home.handler(&settings).await;
    let config = crate::support::service::momentum();
    let refused = AtomicUsize::new(0);
    let requests = async |round: usize| {
        let all = (0..150).map(|n| {
            let (handler, config, refused) = (&handler, &config, &refused);
            async move {
                let id = format!("r{round}-{n}");
                let submit = json!({ "config": config, "run_id": id });
                let submitted = answered(handler, Method::POST, "/api/backtests", Some(submit)).await;
                let listed = answered(handler, Method::GET, "/api/backtests?limit=3", None).await;
                if listed.status.is_success() {
                    let runs = listed.json()["runs"].as_array().unwrap().len();
                    assert!(runs <= 3, "{runs}");
                }
                if submitted.status.is_success() {
                    let read = answered(handler, Method::GET, &format!("/api/backtests/{id}"), None).await;
                    assert!(!read.status.is_success() || read.json()["run_id"] == id);
                }
                refused.fetch_add(usize::from(!submitted.status.is_success()), Ordering::Relaxed);
                (id, submitted.status.is_success())
            }
        });
        join_all(all).await
    };
    let first = requests(0).await;
    // The one connection waits for a lock, until some have waited for the connection in vain.
    refused.store(0, Ordering::Relaxed);
    let mut holder = connect(&dsn).await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE backtest.runs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (second, ()) = join(requests(1), async {
        while refused.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        lock.rollback().await.unwrap();
    })
    .await;
    // Who was told that a run is stored finds it; nobody's request was stored by half; who was refused comes again, and is
    // served.
    for (id, stored) in first.iter().chain(&second) {
        let found = handler.get(&format!("/api/backtests/{id}")).await.status;
        assert!(found.is_success() || (!stored && found.as_u16() == 404), "{id}: {found}");
        if found.as_u16() == 404 {
            handler.submit(&json!({ "config": config, "run_id": id })).await;
        }
    }
}

/// Behind a pooler in transaction mode every statement may meet another session, and one that was another handler's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_behind_pgbouncer_in_transaction_mode() {
    let Some(direct) = database() else { return };
    // Fewer sessions than the handlers have connections.
    let Some(pooler) = PgBouncer::start(&direct, 3).await else { return };
    let dsn = pooler.before(&direct);
    let home = Home::with_sample(8, 400);
    run_well(&["lake", "rank", "--lake", home.lake().to_str().unwrap()], home.path());
    let settings = [
        ("BACKTEST_RUN_STORE_MODE", "postgres"),
        ("POSTGRES_DSN", dsn.as_str()),
        // Beats every quarter of a second.
        ("BACKTEST_LEASE_SECONDS", "1"),
    ];
    let handlers = [home.handler(&settings).await, home.handler(&settings).await];
    let [one, other] = &handlers;
    let ready = one.get("/api/readyz").await;
    assert!(ready.status.is_success(), "{}", ready.json());
    let timer = json!({ "timer": {} });
    let synced = one.envelope("sync_signals", &timer).await;
    assert!(synced.status.is_success(), "{}", synced.json());

    let ids: Vec<String> = (0..8).map(|n| format!("r{n}")).collect();
    for (n, id) in ids.iter().enumerate() {
        handlers[n % 2].submit(&json!({ "config": served(), "run_id": id })).await;
    }
    other.submit(&json!({ "config": served(), "run_id": "canceled" })).await;
    assert_eq!(
        one.call(Method::POST, "/api/backtests/canceled/cancel", None).await.json()["status"],
        "canceled"
    );
    // Each run is offered to both at once, while a month is written and everything is read.
    let runs = join_all(ids.iter().map(|id| async move {
        let (one, other) = join(one.wake(id), other.wake(id)).await;
        assert!(one.status.is_success() && other.status.is_success());
    }));
    let reads = join_all([one, other].map(|handler| async move {
        for _ in 0..10 {
            for path in
                ["/api/backtests?limit=5", "/api/signals/composite", "/api/signals/ranking", "/api/readyz"]
            {
                answered(handler, Method::GET, path, None).await;
            }
            assert!(handler.envelope("reconcile", &json!({ "timer": {} })).await.status.is_success());
        }
    }));
    let writes = async {
        let out = run_well_with(
            &["sync", "--month", "2001-01", "--force", "--lake", home.lake().to_str().unwrap()],
            home.path(),
            &[("POSTGRES_DSN", &dsn)],
        );
        assert!(out.contains("2001-01"), "{out}");
    };
    join(runs, join(reads, writes)).await;
    for id in &ids {
        let run = one.run(id).await;
        assert_eq!((&run["status"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run}");
    }
    let listed = other.get("/api/backtests?limit=100&status=completed").await.json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), ids.len());
    // Not one session was left with a limit of somebody's statement, or with a statement under a name.
    let pooled = connect(&dsn).await;
    for _ in 0..20 {
        let left =
            "SELECT current_setting('statement_timeout'), (SELECT count(*) FROM pg_prepared_statements)";
        let row = pooled.query_typed_one(left, &[]).await.unwrap();
        assert_eq!((row.get::<_, &str>(0), row.get::<_, i64>(1)), ("0", 0));
    }
}

/// The limit of a statement holds also where a pooler takes nothing at the start of a session.
#[tokio::test]
async fn a_statement_is_bounded_with_and_without_a_pooler() {
    let Some(direct) = database() else { return };
    let pooler = PgBouncer::start(&direct, 2).await;
    let behind = pooler.as_ref().map(|pooler| pooler.before(&direct));
    for dsn in [Some(direct.clone()), behind].into_iter().flatten() {
        let pool = Database::parse(&dsn, "test").unwrap().pool(1).unwrap();
        let said = pg::query(&pool, "SELECT pg_sleep(60)", &[]).await.unwrap_err().words();
        assert_eq!(said, "canceling statement due to statement timeout");
        let rows = pg::query(&pool, "SHOW statement_timeout", &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, &str>(0), "5s");
        // A statement that fails leaves the connection as it was.
        assert!(pg::query(&pool, "SELECT 1 / 0", &[]).await.is_err());
        let one = pg::query(&pool, "SELECT 1", &[]).await.unwrap();
        assert_eq!(one[0].get::<_, i32>(0), 1);
    }
}
