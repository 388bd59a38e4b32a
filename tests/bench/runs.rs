//! Runs in Postgres, with durable commits: submits through a handler, lives of runs through the store, pages of a list of
//! a million. What is measured is many callers at once, which criterion does not do.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use backtest_functions::cli::throwaway::Server;
use backtest_functions::run::{Location, Publication, RunId};
use backtest_functions::store::migrations;
use backtest_functions::store::pg::Database;
use backtest_functions::store::runs::postgres::PostgresRuns;
use backtest_functions::store::runs::{
    Claim, Claimant, Ending, ListQuery, Position, Progress, RunStore as _,
};
use serde_json::json;

use crate::handler::Handler;
use crate::table::Rate;

const ROUND: Duration = Duration::from_secs(4);
const MILLION: usize = 1_000_000;

/// Measures, with durable commits, if `filter` wants it and a Postgres is installed.
pub(crate) fn bench(filter: Option<&str>) -> Vec<Rate> {
    if filter.is_some_and(|filter| !"runs".contains(filter)) {
        return Vec::new();
    }
    tokio::runtime::Runtime::new().expect("a runtime").block_on(measure())
}

async fn measure() -> Vec<Rate> {
    let Some(server) = Server::start(true).await.expect("a server") else { return Vec::new() };
    let database = Database::parse(&server.dsn("postgres"), "bench").expect("a connection string");
    let mut admin = database.connect().await.expect("a connection");
    migrations::up(&mut admin).await.expect("a schema");

    let mut rates = Vec::new();
    let folder = tempfile::tempdir().expect("a folder");
    let dsn = server.dsn("postgres");
    let settings = [("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", dsn.as_str())];
    let handler = Handler::start(folder.path(), &settings).await;
    for clients in [1, 8, 16] {
        let name = format!("runs/submit, {clients} clients");
        let rate = many(name, clients, async |_| submit(&handler).await).await;
        rates.push(rate);
    }
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'backtests %'
                       AND application_name <> 'backtests bench'";
    let connections: i64 = admin.query_one(connections, &[]).await.expect("an answer").get(0);
    rates.push(Rate::count("runs/connections of the handler", connections));

    let store =
        Arc::new(PostgresRuns::new(&database.pool(2).expect("a pool"), &database.pool(1).expect("a pool")));
    for clients in [1, 8, 16] {
        // More than can be finished in a round.
        let queue = format!(
            "INSERT INTO backtest.runs (run_id, status, submitted_at, config_json, effective_config_json)
             SELECT 'L{clients}-' || n, 'queued', now(), '{{}}', '{{}}' FROM generate_series(0, 19999) AS n"
        );
        admin.batch_execute(&queue).await.expect("queued runs");
        let name = format!("runs/claim, beat, finish, {clients} clients");
        rates.push(many(name, clients, async |number| live(&store, clients, number).await).await);
    }

    let fill = format!(
        "INSERT INTO backtest.runs (run_id, status, submitted_at, completed_at, error, status_reason, config_json,
                                    effective_config_json)
         SELECT 'M' || n, 'failed', now() - interval '1 second' * n, now(), 'x', 'timeout', '{{}}', '{{}}'
         FROM generate_series(1, {MILLION}) AS n;
         ANALYZE backtest.runs"
    );
    admin.batch_execute(&fill).await.expect("a million rows");
    let oldest = "SELECT submitted_at, run_id FROM backtest.runs ORDER BY submitted_at OFFSET 1000 LIMIT 1";
    let oldest = admin.query_one(oldest, &[]).await.expect("a row");
    let deep = Position {
        submitted_at: oldest.get(0),
        run_id: oldest.get::<_, String>(1).parse().expect("a run id"),
    };
    for (name, after) in [("first", None), ("deep", Some(deep))] {
        let name = format!("runs/list 50 of a million, {name} page");
        let query = ListQuery { limit: 50, after, ..ListQuery::default() };
        rates.push(
            many(name, 1, async |_| {
                store.list(&query).await.expect("a page");
            })
            .await,
        );
    }
    rates
}

async fn submit(handler: &Handler) {
    let config = json!({
        "start_date": "2006-01-03", "end_date": "2009-12-31", "universe": { "symbols": ["AAPL", "IBM"] },
        "strategy": { "class": "StaticUniverseStrategy" },
    });
    handler.post("/api/backtests", &json!({ "config": config })).await;
}

/// Has `clients` at once repeat `work` for a while.
pub(crate) async fn many(name: String, clients: usize, work: impl AsyncFn(usize)) -> Rate {
    let (begin, number) = (Instant::now(), AtomicUsize::new(0));
    let (number, work) = (&number, &work);
    let each = (0..clients).map(|_| async move {
        let mut took = Vec::new();
        while begin.elapsed() < ROUND {
            let start = Instant::now();
            work(number.fetch_add(1, Ordering::Relaxed)).await;
            took.push(start.elapsed());
        }
        took
    });
    let took: Vec<Duration> = futures_util::future::join_all(each).await.concat();
    Rate::of(name, begin.elapsed(), took)
}

/// One queued run to its completion: claim, beat, finish.
async fn live(store: &PostgresRuns, clients: usize, number: usize) {
    let id: RunId = format!("L{clients}-{number}").parse().expect("a run id");
    let claimant = Claimant {
        owner: "o".into(),
        lease: Duration::from_secs(60),
        timeout: Duration::from_secs(600),
        engine_version: "v".into(),
    };
    let Claim::Claimed(claimed) = store.claim(&id, &claimant).await.expect("an answer") else {
        unreachable!("nobody else claims {id}")
    };
    store.beat(&claimed.lease, &Progress { share: 0.5, note: None }).await.expect("an answer");
    let publication = Publication {
        location: Location::Local { dir: "/r".into() },
        manifest_sha256: "m".into(),
        summary: json!({ "total_return": 0.1 }),
        data_versions: json!({}),
        fingerprint: "f".into(),
        results_sha256: None,
    };
    store.finish(&claimed.lease, &Ending::from(publication)).await.expect("an answer");
}
