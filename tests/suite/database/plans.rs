//! What Postgres has to do for the run store, in counters that no busy machine changes: plans at a million rows,
//! statements of a life cycle, updates that stay on their page.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backtest_functions::cli::throwaway::Server;
use backtest_functions::run::{Kind, Location, Publication, RunId};
use backtest_functions::store::migrations;
use backtest_functions::store::pg::Database;
use backtest_functions::store::runs::{
    Claim, Claimant, Ending, Finish, ListQuery, NewRun, Progress, RunStore as _,
};
use serde_json::{Value, json};

use crate::support::pg_proxy::Proxy;
use crate::support::postgres;
use crate::support::service::{eventually, project};
use crate::support::submission::submission;

/// A million runs: nearly all of them final, 1,000 queued, 100 running.
const MILLION: &str = "
    INSERT INTO backtest.runs (run_id, status, submitted_at, available_at, completed_at, run_name, error, status_reason,
                               config_json, effective_config_json, started_at, lease_owner, lease_expires_at,
                               heartbeat_at, deadline_at, announced_at, announce_count, idempotency_key, submitted_by)
    SELECT 'RUN' || n, status, at, at, CASE WHEN status = 'failed' THEN at END, 'run ' || n,
           CASE WHEN status = 'failed' THEN 'x' END, CASE WHEN status = 'failed' THEN 'timeout' END, '{}', '{}', at,
           CASE WHEN status = 'running' THEN 'o' END, CASE WHEN status = 'running' THEN now() + interval '1 minute' END,
           CASE WHEN status = 'running' THEN now() END, CASE WHEN status = 'running' THEN now() + interval '1 hour' END,
           now(), 1, CASE WHEN n % 10 = 0 THEN 'key' || n END, 'ada'
    FROM (SELECT n, now() - interval '1 second' * (1000000 - n) AS at,
                 CASE WHEN n % 1000 = 1 THEN 'queued' WHEN n % 10000 = 2 THEN 'running' ELSE 'failed' END AS status
          FROM generate_series(1, 1000000) AS n) AS rows;
    INSERT INTO backtest.run_events (run_id, version, event, fence, actor, detail)
    SELECT 'RUN' || n, 1, 'submitted', 0, 'api', '{}' FROM generate_series(1, 100000) AS n;
    ANALYZE backtest.runs;
    ANALYZE backtest.run_events;";

/// Arguments of each statement that grows with nothing but what it returns.
const HOT: &[(&str, &str)] = &[
    ("runs.get", "'RUN500000'"),
    ("runs.get_by_key", "'key500000'"),
    ("events.list", "'RUN50000'"),
    (
        "runs.list",
        "NULL, NULL, NULL, NULL, NULL, NULL, NULL, 51, '{backtest,study,reproduction}', NULL, NULL, false, NULL",
    ),
    (
        "runs.list",
        "NULL, NULL, NULL, NULL, NULL, now() - interval '9 days', 'RUN300000', 51, '{backtest,study,reproduction}', NULL, NULL, false, NULL",
    ),
    (
        "runs.list",
        "'{queued}', NULL, NULL, NULL, NULL, NULL, NULL, 51, '{backtest,study,reproduction}', NULL, NULL, false, NULL",
    ),
    (
        "runs.list",
        "'{running}', NULL, NULL, NULL, 'ada', NULL, NULL, 51, '{backtest,study,reproduction}', NULL, NULL, false, NULL",
    ),
    (
        "runs.list",
        "NULL, NULL, now() - interval '5 days', now() - interval '4 days', NULL, NULL, NULL, 51, '{backtest,study,reproduction}', NULL, NULL, false, NULL",
    ),
    ("runs.list", "NULL, NULL, NULL, NULL, NULL, NULL, NULL, 51, '{backtest}', 'd', NULL, NULL, NULL"),
    (
        "runs.list",
        "'{completed}', NULL, NULL, NULL, NULL, NULL, NULL, 2, '{backtest}', NULL, NULL, NULL, 'f'",
    ),
    ("runs.amend", "'RUN500000', 1, 'ada', 'n', '{}', 'n', false, false, 'amended', '{}'"),
    ("runs.claim", "'RUN1001', 'o', 60, 600, 'v'"),
    ("runs.claim_of_owner", "'RUN1001', 'o'"),
    ("runs.beat", "'RUN10002', 0, 60, 0.5, 'x'"),
    (
        "runs.complete",
        "'RUN10002', 0, 'o', 'd', NULL, NULL, 'm', '{}', '{}', 'f', 'r', 'c', 'd', 1, 1, 0, 3, 250",
    ),
    ("ledger.count", "'RUN10002', 0, '{c}', '{1}', '{d}', '{1}', '{1}', '{0}', '{3}', '{250}'"),
    ("runs.fail", "'RUN10002', 0, 'o', 'timeout', 'x'"),
    ("runs.retry_later", "'RUN10002', 0, 'o', 'timeout', 'x', 10"),
    ("runs.acknowledge_cancel", "'RUN10002', 0, 'o'"),
    ("runs.announce", "'RUN1001', 1, 'api'"),
    ("runs.ask_cancel", "'RUN10002', 'api'"),
    ("runs.cancel_queued", "'RUN1001', 'api'"),
    ("runs.give_up", "'RUN10002', 1, 'reconcile', 'failed', 'timeout', 'x', NULL"),
    ("runs.parts", "'RUN500000'"),
    ("runs.cancel_study", "'RUN1001', 'api'"),
    ("runs.overdue", "500"),
    ("runs.backlog", ""),
];

#[tokio::test]
async fn no_hot_statement_reads_the_table_at_a_million_rows() {
    let Some(dsn) = postgres::database() else { return };
    let client = Database::parse(&dsn, "test").unwrap().connect().await.unwrap();
    client.batch_execute(MILLION).await.unwrap();
    // As for the store: each statement is planned for its arguments.
    client.batch_execute("SET plan_cache_mode = force_custom_plan").await.unwrap();
    let scan = "EXPLAIN (FORMAT JSON) SELECT count(*) FROM backtest.runs WHERE error = 'y'";
    let scan: Value = client.query_one(scan, &[]).await.unwrap().get(0);
    assert!(scan.to_string().contains("Seq Scan"), "what is looked for below would be seen");
    for (number, (name, arguments)) in HOT.iter().enumerate() {
        let statement =
            std::fs::read_to_string(project(&format!("src/store/sql/postgres/{name}.sql"))).unwrap();
        client.batch_execute(&format!("PREPARE s{number} AS {statement}")).await.unwrap();
        let given = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE s{number} {given}");
        let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
        let plan = format!("{plan:#}");
        assert!(!plan.contains("Seq Scan"), "{name} ({arguments}): {plan}");
    }
}

/// Ten thousand parts are the newest rows; a list that leaves them out does not read them to do so.
#[tokio::test]
async fn ten_thousand_parts_neither_show_in_a_list_nor_slow_it() {
    let Some(dsn) = postgres::database() else { return };
    let client = Database::parse(&dsn, "test").unwrap().connect().await.unwrap();
    let fill = "
        INSERT INTO backtest.runs (run_id, kind, status, submitted_at, parts, config_json, effective_config_json)
        SELECT 'old' || n, 'backtest', 'queued', now() - interval '1 day', NULL, '{}', '{}'
        FROM generate_series(1, 200) AS n
        UNION ALL SELECT 'study', 'study', 'queued', now() - interval '1 hour', 10000, '{}', '{}';
        INSERT INTO backtest.runs (run_id, kind, status, submitted_at, study_id, part, parts, config_json,
                                   effective_config_json)
        SELECT 'study-p' || n, 'part', 'queued', now(), 'study', n, 10000, '{}', '{}'
        FROM generate_series(0, 9999) AS n;
        ANALYZE backtest.runs";
    client.batch_execute(fill).await.unwrap();
    let store = postgres::runs(&dsn);
    let page = store.list(&ListQuery { limit: 50, ..ListQuery::default() }).await.unwrap();
    assert_eq!((page.runs.len(), page.runs[0].id.as_str()), (50, "study"));
    assert!(page.runs.iter().all(|run| run.submission.part_of.is_none()));
    let of_parts = ListQuery { kinds: vec![Kind::Part], limit: 50, ..ListQuery::default() };
    assert_eq!(store.list(&of_parts).await.unwrap().runs.len(), 50, "who asks for parts gets them");

    let statement = std::fs::read_to_string(project("src/store/sql/postgres/runs.list.sql")).unwrap();
    client.batch_execute("SET plan_cache_mode = force_custom_plan").await.unwrap();
    client.batch_execute(&format!("PREPARE listed AS {statement}")).await.unwrap();
    let first = "NULL, NULL, NULL, NULL, NULL, NULL, NULL, 51, '{backtest,study,reproduction}', NULL, NULL, false, NULL";
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE listed ({first})");
    let plan: Value = client.query_one(&explain, &[]).await.unwrap().get(0);
    let buffers = &plan[0]["Plan"];
    let read =
        buffers["Shared Hit Blocks"].as_u64().unwrap() + buffers["Shared Read Blocks"].as_u64().unwrap();
    assert!(read < 100, "{read} pages for a page of 51 runs: {plan:#}");
}

fn new_run(id: &str) -> NewRun {
    NewRun { id: id.parse().unwrap(), submission: submission(), max_attempts: 3, announced: true }
}

/// Submit, claim, beat, complete: four statements, each of which commits by itself. Beats stay on the page of their row,
/// as long as nobody needs their old versions; so the server is one of its own.
#[tokio::test]
async fn a_life_takes_four_statements_and_beats_touch_no_index() {
    if postgres::psql().is_none() {
        return;
    }
    let server = Server::start(false).await.unwrap().unwrap();
    let dsn = server.dsn("postgres");
    let mut admin = Database::parse(&dsn, "test").unwrap().connect().await.unwrap();
    migrations::up(&mut admin).await.unwrap();
    let proxy = Proxy::before(&dsn).await;
    let store = Arc::new(postgres::runs(&proxy.dsn));
    let id: RunId = "r".parse().unwrap();
    store.insert(&new_run("r")).await.unwrap();
    let claimant = Claimant {
        owner: "o".into(),
        lease: Duration::from_secs(60),
        timeout: Duration::from_secs(600),
        engine_version: "v".into(),
    };
    let Claim::Claimed(claimed) = store.claim(&id, &claimant).await.unwrap() else { panic!("not claimed") };
    store.beat(&claimed.lease, &Progress::default()).await.unwrap();
    let before_beats = proxy.statements.load(Ordering::Relaxed);
    for number in 1..=200 {
        store.beat(&claimed.lease, &Progress { share: f64::from(number) / 200.0, note: None }).await.unwrap();
    }
    let beats = proxy.statements.load(Ordering::Relaxed) - before_beats;
    assert_eq!(beats, 200);
    let publication = Publication {
        location: Location::Local { dir: "/r".into() },
        manifest_sha256: "m".into(),
        summary: json!({}),
        data_versions: json!({}),
        fingerprint: "f".into(),
        results_sha256: Some("d".into()),
    };
    let ended = store.finish(&claimed.lease, &Ending::from(publication)).await.unwrap();
    assert!(matches!(ended, Finish::Done(_)));
    assert_eq!(proxy.statements.load(Ordering::Relaxed) - beats, 4);

    let client = Database::parse(&dsn, "test").unwrap().connect().await.unwrap();
    let counters = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'runs'";
    let (updates, hot) = eventually("the server counts", async || {
        let row = client.query_one(counters, &[]).await.unwrap();
        let (updates, hot): (i64, i64) = (row.get(0), row.get(1));
        (updates >= 203).then_some((updates, hot))
    })
    .await;
    // Claim and complete move the row between partial indexes; beats do not.
    assert!(hot >= 201 && hot * 100 >= updates * 95, "{hot} of {updates} updates are heap-only");
}
