//! The HTTP API as its document tells it: results, validation, refusals, limits, and the document itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use backtest_functions::store::pg::Database;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::service::{Answer, Handler, Home, eventually, momentum, project};
use crate::support::{postgres, tables};

/// A handler with a completed run `r`.
async fn with_run(home: &Home, settings: &[(&str, &str)]) -> Handler {
    let handler = home.handler(settings).await;
    complete(&handler, "r", momentum()).await;
    handler
}

async fn complete(handler: &Handler, id: &str, config: Value) {
    handler.submit(&json!({ "config": config, "run_id": id })).await;
    assert!(handler.wake(id).await.status.is_success());
    let run = handler.run(id).await;
    assert_eq!(run["status"], "completed", "{run}");
}

fn code(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status.as_u16());
    assert!(problem["instance"].as_str().unwrap().starts_with("urn:uuid:"), "{problem}");
    let code = problem["code"].as_str().unwrap();
    assert!(problem["type"].as_str().unwrap().ends_with(code), "{problem}");
    (answer.status.as_u16(), code.to_owned())
}

fn rows(answer: &Value, name: &str) -> Vec<Value> {
    answer[name].as_array().unwrap_or_else(|| panic!("no {name} in {answer}")).clone()
}

/// A file of the run, as a table.
async fn published(handler: &Handler, home: &Home, name: &str) -> deltalake::arrow::array::RecordBatch {
    let file = handler.get(&format!("/api/backtests/r/artifacts/{name}")).await;
    let path = home.path().join(name);
    std::fs::write(&path, file.body).unwrap();
    tables::read_parquet(&path)
}

#[tokio::test]
async fn daily_measures_are_thinned_evenly_and_end_with_the_last_day() {
    let home = Home::with_prices();
    let handler = with_run(&home, &[]).await;
    let all = handler.get("/api/backtests/r/metrics/timeseries").await.json();
    let points = rows(&all, "points");
    let file = published(&handler, &home, "metrics_timeseries.parquet").await;
    let values = tables::numbers(&file, "portfolio_value").unwrap();
    assert_eq!(
        (points.len(), &all["total_points"], &all["truncated"]),
        (values.len(), &json!(values.len()), &json!(false))
    );
    for (point, value) in points.iter().zip(&values) {
        assert_eq!(point["portfolio_value"].as_f64().unwrap(), *value);
    }
    for most in [50, 51, 100, 999] {
        let some =
            handler.get(&format!("/api/backtests/r/metrics/timeseries?max_points={most}")).await.json();
        let thinned = rows(&some, "points");
        assert_eq!((thinned.len(), &some["truncated"]), (most, &json!(true)));
        assert_eq!((thinned.first(), thinned.last()), (points.first(), points.last()));
        assert!(thinned.iter().all(|point| points.contains(point)));
        let days: Vec<&str> = thinned.iter().map(|point| point["date"].as_str().unwrap()).collect();
        assert!(days.is_sorted_by(|a, b| a < b), "{days:?}");
    }
    for wrong in ["49", "200001", "x", "", "+60", "60&max_points=60"] {
        let answer = handler.get(&format!("/api/backtests/r/metrics/timeseries?max_points={wrong}")).await;
        assert_eq!(code(&answer), (400, "invalid_parameter".into()), "{wrong}");
    }
}

#[tokio::test]
async fn a_window_that_was_published_is_computed_the_same_and_any_other_is_too() {
    let home = Home::with_prices();
    let handler = with_run(&home, &[]).await;
    let file = published(&handler, &home, "metrics_rolling.parquet").await;
    let windows = tables::numbers(&file, "window_days").unwrap();
    let of_63: Vec<usize> = (0..windows.len()).filter(|&row| windows[row] == 63.0).collect();
    let rolling = handler.get("/api/backtests/r/metrics/rolling").await.json();
    let points = rows(&rolling, "points");
    assert_eq!(points.len(), of_63.len());
    for name in [
        "rolling_return",
        "rolling_volatility",
        "rolling_sharpe",
        "rolling_max_drawdown",
        "turnover_sum",
        "gross_exposure_avg",
    ] {
        let column = tables::numbers(&file, name).unwrap();
        for (point, &row) in points.iter().zip(&of_63) {
            assert_eq!(
                point[name].as_f64().unwrap_or(f64::NAN).to_bits(),
                column[row].to_bits(),
                "{name} in {point}"
            );
        }
    }
    let short = handler.get("/api/backtests/r/metrics/rolling?window_days=2&max_points=50").await.json();
    assert_eq!(rows(&short, "points").len(), 50);
    let long = handler.get("/api/backtests/r/metrics/rolling?window_days=2000").await.json();
    assert!(rows(&long, "points").iter().all(|point| point["rolling_return"].is_null()), "no window is full");
    for wrong in ["1", "2001", "1.5"] {
        let answer = handler.get(&format!("/api/backtests/r/metrics/rolling?window_days={wrong}")).await;
        assert_eq!(code(&answer), (400, "invalid_parameter".into()), "{wrong}");
    }
}

#[tokio::test]
async fn trades_come_in_pages_and_positions_by_day() {
    let home = Home::with_prices();
    let handler = with_run(&home, &[]).await;
    let whole = handler.get("/api/backtests/r/trades").await.json();
    let trades = rows(&whole, "trades");
    assert!(trades.len() > 20);
    assert_eq!(
        (&whole["total"], &whole["limit"], &whole["offset"]),
        (&json!(trades.len()), &json!(1000), &json!(0))
    );
    let mut paged = Vec::new();
    for offset in (0..trades.len() + 7).step_by(7) {
        let page = handler.get(&format!("/api/backtests/r/trades?limit=7&offset={offset}")).await.json();
        assert_eq!(page["total"], whole["total"]);
        paged.extend(rows(&page, "trades"));
    }
    assert_eq!(paged, trades);
    let beyond = handler.get("/api/backtests/r/trades?offset=1000000000").await.json();
    assert_eq!(beyond["trades"], json!([]));

    let file = published(&handler, &home, "daily_positions.parquet").await;
    let (dates, names) = (tables::texts(&file, "date").unwrap(), tables::texts(&file, "symbol").unwrap());
    for day in ["2006-02-01", "2008-10-10", dates.last().unwrap()] {
        let held = handler.get(&format!("/api/backtests/r/positions?date={day}")).await.json();
        assert_eq!(held["date"], *day);
        let expected: Vec<&String> =
            names.iter().zip(&dates).filter(|(_, date)| *date == day).map(|(name, _)| name).collect();
        let got: Vec<Value> = rows(&held, "positions").iter().map(|one| one["symbol"].clone()).collect();
        assert_eq!(json!(got), json!(expected), "{day}");
    }
    let last = handler.get("/api/backtests/r/positions").await.json();
    assert_eq!(last["date"], *dates.last().unwrap());
    assert!(!rows(&last, "positions").is_empty());
    for (day, nearest) in [
        ("2008-10-12", "2008-10-10 and 2008-10-13"),
        ("1999-01-01", "the first is 2006-01-03"),
        ("2030-01-01", "the last is 2009-12-31"),
    ] {
        let answer = handler.get(&format!("/api/backtests/r/positions?date={day}")).await;
        assert_eq!(code(&answer), (404, "no_trading_day".into()), "{day}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(nearest), "{}", answer.json());
    }
    // A trading day on which nothing was held: no momentum is known in the first months of a run.
    let idle = handler.get("/api/backtests/r/positions?date=2006-01-03").await;
    assert_eq!(idle.status.as_u16(), 200, "{}", idle.json());
    for wrong in ["yesterday", "2008-1-1", "2008-02-30", ""] {
        let answer = handler.get(&format!("/api/backtests/r/positions?date={wrong}")).await;
        assert_eq!(code(&answer), (400, "invalid_parameter".into()), "{wrong}");
    }
}

#[tokio::test]
async fn a_run_without_trades_has_an_empty_list_and_one_that_kept_no_table_says_so() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let mut idle = momentum();
    // No momentum is known in the first year.
    (idle["start_date"], idle["end_date"]) = (json!("2006-01-03"), json!("2006-01-05"));
    idle["strategy"]["parameters"]["rebalance"] = json!("yearly");
    idle["strategy"] = json!({ "class": "StaticUniverseStrategy" });
    idle["broker"] = json!({ "min_trade_notional": 1e12 });
    idle["output"] = json!({ "save_metrics_parquet": false });
    complete(&handler, "idle", idle).await;
    let trades = handler.get("/api/backtests/idle/trades").await.json();
    assert_eq!(trades, json!({ "trades": [], "total": 0, "limit": 1000, "offset": 0 }));
    assert_eq!(
        handler.get("/api/backtests/idle/positions").await.json(),
        json!({ "date": null, "positions": [] })
    );
    let missing = handler.get("/api/backtests/idle/metrics/rolling").await;
    assert_eq!(code(&missing), (404, "artifact_not_found".into()));
    assert!(missing.json()["detail"].as_str().unwrap().contains("output.save_metrics_parquet"));
}

/// The same run with and without them: two files more, and not a byte of another one differs that does not hold the config.
#[tokio::test]
async fn the_orders_of_the_last_day_are_those_of_the_file_and_no_other_file_changes() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let mut config = momentum();
    config["strategy"]["parameters"]["rebalance"] = json!("daily");
    complete(&handler, "plain", config.clone()).await;
    config["output"] = json!({ "save_orders": true });
    complete(&handler, "r", config).await;

    let found = handler.get("/api/backtests/r/orders").await.json();
    assert_eq!(found["as_of"], "2009-12-31");
    let file = published(&handler, &home, "orders.parquet").await;
    let schema = file.schema();
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(
        columns,
        [
            "as_of",
            "symbol",
            "shares_held",
            "weight_now",
            "weight_target",
            "shares_target",
            "shares_delta",
            "close",
            "notional",
            "reason",
        ]
    );
    let orders = rows(&found, "orders");
    assert!(!orders.is_empty());
    for name in ["symbol", "reason"] {
        let column = tables::texts(&file, name).unwrap();
        assert_eq!(json!(orders.iter().map(|order| order[name].clone()).collect::<Vec<_>>()), json!(column));
    }
    for name in
        ["shares_held", "weight_now", "weight_target", "shares_target", "shares_delta", "close", "notional"]
    {
        let column = tables::numbers(&file, name).unwrap();
        assert_eq!(json!(orders.iter().map(|order| order[name].clone()).collect::<Vec<_>>()), json!(column));
    }
    let held = rows(&handler.get("/api/backtests/r/positions").await.json(), "positions");
    let targets = rows(&found, "target_weights");
    for position in &held {
        let target = targets.iter().find(|target| target["symbol"] == position["symbol"]).unwrap();
        assert_eq!(target["weight_now"], position["weight"]);
    }
    assert_eq!(targets.iter().filter(|target| target["weight_now"] != json!(0.0)).count(), held.len());

    let mut files = Vec::new();
    for id in ["plain", "r"] {
        let listed = handler.get(&format!("/api/backtests/{id}/artifacts")).await.json();
        let mut digests: BTreeMap<String, Value> = BTreeMap::new();
        for file in rows(&listed, "artifacts") {
            digests.insert(file["name"].as_str().unwrap().to_owned(), file["sha256"].clone());
        }
        files.push(digests);
    }
    let [plain, mut asked] = <[_; 2]>::try_from(files).unwrap();
    assert!(asked.remove("orders.parquet").is_some() && asked.remove("target_weights.parquet").is_some());
    assert_eq!(plain.keys().collect::<Vec<_>>(), asked.keys().collect::<Vec<_>>());
    let differing: Vec<&String> = plain.keys().filter(|name| plain[*name] != asked[*name]).collect();
    assert_eq!(
        differing,
        [
            "config.parquet",
            "config.resolved.json",
            "config.yaml",
            "report.html",
            "summary.json",
            "summary.parquet"
        ]
    );
    let missing = handler.get("/api/backtests/plain/orders").await;
    assert_eq!(code(&missing), (404, "artifact_not_found".into()));
    assert!(missing.json()["detail"].as_str().unwrap().contains("output.save_orders"), "{}", missing.json());
}

#[tokio::test]
async fn results_of_an_unfinished_run_are_refused_with_its_state() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    handler.submit(&json!({ "config": momentum(), "run_id": "q" })).await;
    for result in [
        "summary",
        "metrics/timeseries",
        "metrics/rolling",
        "trades",
        "positions",
        "orders",
        "artifacts",
        "artifacts/trades.csv",
        "report",
    ] {
        let answer = handler.get(&format!("/api/backtests/q/{result}")).await;
        assert_eq!(code(&answer), (409, "run_not_completed".into()), "{result}");
        assert_eq!(answer.json()["run_status"], "queued");
        assert_eq!(
            code(&handler.get(&format!("/api/backtests/none/{result}")).await),
            (404, "run_not_found".into())
        );
    }
    assert_eq!(handler.get("/api/backtests/q/events").await.json()["events"][0]["event"], "submitted");
}

#[tokio::test]
async fn what_is_known_is_not_sent_again_and_what_has_moved_is_not_touched() {
    let home = Home::with_prices();
    let handler = with_run(&home, &[]).await;
    for result in [
        "summary",
        "metrics/timeseries?max_points=60",
        "metrics/rolling",
        "trades?limit=5",
        "positions",
        "artifacts",
        "artifacts/trades.csv",
        "report",
    ] {
        let url = format!("{}/api/backtests/r/{result}", handler.url);
        let first = handler.send(handler.http.get(&url)).await;
        let etag = first.header("etag").to_owned();
        assert!(etag.starts_with('"') && first.header("cache-control").contains("immutable"), "{result}");
        // A comparison that only saves sending takes weak tags; one that decides does not.
        let weak = handler.send(handler.http.get(&url).header("if-match", format!("W/{etag}"))).await;
        assert_eq!(code(&weak), (412, "precondition_failed".into()), "{result}");
        let again =
            handler.send(handler.http.get(&url).header("if-none-match", format!("\"x\", W/{etag}"))).await;
        assert_eq!(
            (again.status.as_u16(), again.header("etag"), again.body.len()),
            (304, etag.as_str(), 0),
            "{result}"
        );
        let other = handler.send(handler.http.get(&url).header("if-match", "\"x\"")).await;
        assert_eq!(code(&other), (412, "precondition_failed".into()), "{result}");
    }
    handler.submit(&json!({ "config": momentum(), "run_id": "q" })).await;
    let url = format!("{}/api/backtests/q/cancel", handler.url);
    let stale = handler.send(handler.http.post(&url).header("if-match", "\"stale\"")).await;
    assert_eq!(code(&stale), (412, "precondition_failed".into()));
    let etag = handler.get("/api/backtests/q").await.header("etag").to_owned();
    let canceled = handler.send(handler.http.post(&url).header("if-match", etag)).await;
    assert_eq!(canceled.json()["status"], "canceled");
}

#[tokio::test]
async fn validate_finds_what_submit_and_execute_would_and_stores_nothing() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let validated = handler.post("/api/backtests/validate", &json!({ "config": momentum() })).await;
    assert_eq!(validated.status.as_u16(), 200);
    let validated = validated.json();
    assert_eq!(validated["effective_config"]["initial_cash"], 1_000_000.0);
    assert_eq!(validated["estimate"]["symbols"], 4);
    assert_eq!(validated["warnings"], json!([]));
    assert!(
        validated["estimate"]["bytes"].as_u64().unwrap() > 0
            && validated["estimate"]["files"].as_u64().unwrap() > 0
    );
    assert_eq!(handler.get("/api/backtests").await.json()["runs"], json!([]), "nothing was stored");

    complete(&handler, "r", momentum()).await;
    let run = handler.run("r").await;
    assert_eq!(
        (&run["fingerprint"], &run["data_versions"]),
        (&validated["fingerprint"], &validated["data_versions"])
    );

    let refused =
        handler.post("/api/backtests/validate", &json!({ "config": { "broker": { "lots": 1 } } })).await;
    assert_eq!(code(&refused), (400, "invalid_config".into()));
    assert!(refused.json()["errors"].as_array().unwrap().len() >= 4, "{}", refused.json());
    let elsewhere = Home::empty();
    let without_data = elsewhere.handler(&[]).await;
    let refused = without_data.post("/api/backtests/validate", &json!({ "config": momentum() })).await;
    assert_eq!((code(&refused).0, &refused.json()["errors"][0]["path"]), (400, &json!("data.price_path")));
}

#[tokio::test]
async fn limits_hold() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let mut large = momentum();
    large["universe"]["symbols"] = (0..20_001).map(|n| format!("S{n}")).collect();
    for path in ["/api/backtests", "/api/backtests/validate"] {
        let answer = handler.post(path, &json!({ "config": large })).await;
        assert_eq!(code(&answer), (400, "invalid_config".into()));
        assert_eq!(answer.json()["errors"][0]["path"], "universe.symbols");
        let post = |kind: &str, body: String| {
            handler.send(
                handler.http.post(format!("{}{path}", handler.url)).header("content-type", kind).body(body),
            )
        };
        let deep = format!("{{\"config\":{}{}}}", "[".repeat(500), "]".repeat(500));
        assert_eq!(code(&post("application/json", deep).await), (400, "malformed_request".into()));
        // Databases keep no NUL in a text.
        let nul = json!({ "config": { "run_name": "a\0b" } }).to_string();
        assert_eq!(code(&post("application/json", nul).await), (400, "malformed_request".into()));
        assert_eq!(
            code(&post("application/yaml", "- ".repeat(5000)).await),
            (400, "malformed_request".into())
        );
        assert_eq!(
            code(&post("application/json", " ".repeat((1 << 20) + 1)).await),
            (413, "body_too_large".into())
        );
        assert_eq!(code(&post("text/csv", "a,b".into()).await), (415, "unsupported_media_type".into()));
        let mut whole = json!({ "config": momentum() }).to_string();
        whole.push_str(&" ".repeat((1 << 20) - whole.len()));
        assert!(post("application/json", whole).await.status.is_success(), "a body of exactly 1 MiB is read");
    }
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_probes_are_not() {
    let home = Home::with_prices();
    let handler = home.handler(&[("BACKTEST_MAX_REQUESTS", "1")]).await;
    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    let file = rusqlite::Connection::open(home.path().join("results/runs.sqlite3")).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The other request may be the first to come, and the file is not waited for without end.
    let cancel = eventually("the cancel is let in", async || {
        let answer = handler.call(Method::POST, "/api/backtests/r/cancel", None).await;
        answer.status.is_success().then_some(answer)
    });
    let (canceled, ()) = tokio::join!(cancel, async {
        let refused = eventually("a request is refused while another waits for the file", async || {
            let answer = handler.get("/api/backtests").await;
            (answer.status.as_u16() == 429).then_some(answer)
        })
        .await;
        assert_eq!(code(&refused), (429, "too_many_requests".into()));
        assert_eq!(refused.header("retry-after"), "1");
        assert!(handler.get("/api/healthz").await.status.is_success());
        file.execute_batch("ROLLBACK").unwrap();
    });
    assert_eq!(canceled.json()["status"], "canceled");
    assert!(handler.get("/api/backtests").await.status.is_success(), "the place is free again");
}

#[tokio::test]
async fn a_database_that_is_held_up_is_answered_with_503() {
    let Some(dsn) = postgres::database() else { return };
    let home = Home::with_prices();
    let handler = home.handler(&[("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", &dsn)]).await;
    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    let mut holder = Database::parse(&dsn, "test").unwrap().connect().await.unwrap();
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE backtest.runs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // More requests than the pool has connections: some wait in a statement, the others for a connection.
    let answers = futures_util::future::join_all((0..6).map(|_| handler.get("/api/backtests/r"))).await;
    for answer in answers {
        assert_eq!(code(&answer), (503, "store_unavailable".into()));
        assert_eq!(answer.header("retry-after"), "5");
        assert!(!String::from_utf8_lossy(&answer.body).contains("postgres"), "no internals");
    }
    lock.rollback().await.unwrap();
    let answer = eventually("the pool has recovered", async || {
        let answer = handler.get("/api/backtests/r").await;
        answer.status.is_success().then_some(answer)
    })
    .await;
    assert_eq!(answer.json()["status"], "queued");
}

#[tokio::test]
async fn a_key_makes_one_run_however_often_and_at_once_it_is_sent() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let send = |body: Value| {
        let request =
            handler.http.post(format!("{}/api/backtests", handler.url)).header("idempotency-key", "k");
        handler.send(request.json(&body))
    };
    let answers = futures_util::future::join_all((0..8).map(|_| send(json!({ "config": momentum() })))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 202]);
    let ids: BTreeSet<String> = answers.iter().map(|answer| answer.json()["run_id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    let mut other = momentum();
    other["initial_cash"] = json!(5);
    assert_eq!(code(&send(json!({ "config": other })).await), (422, "idempotency_key_reused".into()));
    assert_eq!(handler.get("/api/backtests").await.json()["runs"].as_array().unwrap().len(), 1);
}

/// Every older run exactly once, while others are submitted between the pages.
async fn scan_during_submits(settings: &[(&str, &str)]) {
    let home = Home::with_prices();
    let handler = home.handler(settings).await;
    let submit = async |id: String| {
        assert_eq!(
            handler.submit(&json!({ "config": momentum(), "run_id": id })).await["res"]["statusCode"],
            202
        );
    };
    for n in 0..23 {
        submit(format!("old{n}")).await;
    }
    let (mut next, mut seen, mut newer) = ("/api/backtests?limit=4&q=o".to_owned(), Vec::new(), 0);
    loop {
        let page = handler.get(&next).await;
        seen.extend(rows(&page.json(), "runs").iter().map(|run| run["run_id"].as_str().unwrap().to_owned()));
        for _ in 0..3 {
            submit(format!("novel{newer}")).await;
            newer += 1;
        }
        let Some((link, _)) = page.header("link").split_once('>') else { break };
        next = link.trim_start_matches('<').to_owned();
    }
    let expected: Vec<String> = (0..23).rev().map(|n| format!("old{n}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn pages_hold_every_older_run_once_in_sqlite() {
    scan_during_submits(&[]).await;
}

#[tokio::test]
async fn pages_hold_every_older_run_once_in_postgres() {
    if let Some(dsn) = postgres::database() {
        scan_during_submits(&[("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", &dsn)]).await;
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let home = Home::empty();
    let handler = home.handler(&[]).await;
    for (method, path, allowed) in [
        (Method::DELETE, "/api/backtests", "GET, HEAD, POST"),
        (Method::POST, "/api/backtests/r", "DELETE, GET, HEAD, PATCH"),
        (Method::GET, "/api/backtests/r/cancel", "POST"),
        (Method::PUT, "/api/backtests/r/artifacts/legs/a/weights.csv", "GET, HEAD"),
        (Method::POST, "/api/openapi.json", "GET, HEAD"),
        (Method::DELETE, "/api/healthz", "GET, HEAD"),
        (Method::DELETE, "/API/Backtests/", "GET, HEAD, POST"),
        (Method::PUT, "/api/backtests/validate", "POST"),
        (Method::POST, "/api/compare/page", "GET, HEAD"),
    ] {
        let answer = handler.call(method.clone(), path, None).await;
        assert_eq!(code(&answer), (405, "method_not_allowed".into()), "{method} {path}");
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
    assert_eq!(code(&handler.get("/api/nothing").await), (404, "not_found".into()));
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&[]).await;
    let handler = with_run(&home, &[("BACKTEST_OUTPUT_DIR", ".backtests/results")]).await;
    let document = handler.get("/api/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    let reading: Vec<&String> =
        paths.iter().filter(|(_, item)| item["get"].is_object()).map(|(path, _)| path).collect();
    assert!(reading.len() >= 17, "{reading:?}");
    assert!(reading.contains(&&"/api/backtests/{run_id}/status".to_owned()));
    // Through the host too, whose functions name their methods.
    for base in [&handler.url, &dev.url] {
        for path in &reading {
            let path = path.replace("{run_id}", "r").replace("{name}", "trades.csv");
            let send = async |method: Method| {
                handler.send(handler.http.request(method, format!("{base}{path}"))).await
            };
            let (get, head) = (send(Method::GET).await, send(Method::HEAD).await);
            assert_eq!((get.status, head.body.len()), (head.status, 0), "{base}{path}");
            assert!(!get.body.is_empty(), "{base}{path}");
            let kept = |answer: &Answer| {
                let mut headers = answer.headers.clone();
                for moving in ["date", "transfer-encoding", "x-azure-functions-invocationid"] {
                    headers.remove(moving);
                }
                headers
            };
            assert_eq!(kept(&get), kept(&head), "{base}{path}");
        }
    }
    // Only for GET does RFC 9110 say what a range means.
    let url = format!("{}/api/backtests/r/artifacts/trades.csv", handler.url);
    let whole = handler.send(handler.http.get(&url)).await;
    let head = handler.send(handler.http.head(&url).header("range", "bytes=2-5")).await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length")),
        (200, whole.body.len().to_string().as_str())
    );
    assert_eq!(handler.call(Method::HEAD, "/api/backtests/none", None).await.status.as_u16(), 404);
    assert_eq!(handler.call(Method::HEAD, "/api/backtests/r/cancel", None).await.status.as_u16(), 405);
    let request = json!({ "req": { "Method": "HEAD", "Query": {}, "Headers": {},
        "Params": { "run_id": "r", "result": "artifacts/trades.csv" } } });
    let enveloped = &handler.envelope("results", &request).await.json()["Outputs"]["res"];
    assert_eq!((&enveloped["statusCode"], &enveloped["body"]), (&json!(200), &json!("")));
}

/// The document that the handler serves.
async fn document() -> Value {
    let home = Home::empty();
    home.handler(&[]).await.get("/api/openapi.json").await.json()
}

#[tokio::test]
async fn the_document_is_the_one_that_is_published() {
    let file = project("docs/openapi.json");
    let served = serde_json::to_string_pretty(&document().await).unwrap() + "\n";
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&file, &served).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        served == published,
        "docs/openapi.json is not what the handler serves; look at the difference after\n  \
         RENEW=1 cargo test --locked --test suite -- api::the_document_is_the_one_that_is_published"
    );
}

#[tokio::test]
async fn the_schema_of_a_config_is_the_one_that_is_published() {
    let home = Home::empty();
    let handler = home.handler(&[]).await;
    let served = handler.get("/api/config.schema.json").await.json();
    let served = serde_json::to_string_pretty(&served).unwrap() + "\n";
    let file = project("docs/config.schema.json");
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&file, &served).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(served == published, "docs/config.schema.json is old; RENEW=1 writes it");
    for example in std::fs::read_dir(project("examples")).unwrap() {
        let path = example.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let first = text.lines().next().unwrap();
            assert_eq!(
                first,
                "# yaml-language-server: $schema=../docs/config.schema.json",
                "{}",
                path.display()
            );
        }
    }
}

/// The folders of `functions/` hold what the functions state; `RENEW=1` writes them.
#[test]
fn the_files_of_the_host_are_what_the_functions_state() {
    let stated = backtest_functions::functions::function_files();
    for (name, file) in &stated {
        let path = project(&format!("functions/{name}/function.json"));
        let expected = serde_json::to_string_pretty(file).unwrap() + "\n";
        if std::env::var_os("RENEW").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, expected, "{} is not what src/functions/{name}.rs states", path.display());
    }
    let folders = std::fs::read_dir(project("functions")).unwrap();
    let folders: BTreeSet<String> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    let names: BTreeSet<String> = stated.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, names, "each folder has a function, and each function a folder");
}

/// Generators of clients make useless types of some schemas: of objects without fields, of alternatives to null beside a
/// text, of bytes without a format, of names with underscores.
#[tokio::test]
async fn the_document_has_nothing_that_generators_stumble_over() {
    fn look(place: &str, schema: &Value, wrong: &mut Vec<String>) {
        if let Some(fields) = schema.as_object() {
            let is = |kind: &str| {
                schema["type"] == kind
                    || schema["type"].as_array().is_some_and(|all| all.contains(&json!(kind)))
            };
            if is("object")
                && !fields.contains_key("properties")
                && !fields.contains_key("additionalProperties")
            {
                wrong.push(format!("{place}: an object of which nothing is said"));
            }
            if let Some([first, second]) = schema["oneOf"].as_array().map(Vec::as_slice)
                && [first, second].iter().any(|one| one["type"] == "null")
                && [first, second].iter().any(|one| one["$ref"] == "#/components/schemas/RunId")
            {
                wrong.push(format!("{place}: a text or null as an alternative"));
            }
            fields.iter().for_each(|(name, part)| look(&format!("{place}/{name}"), part, wrong));
        } else if let Some(parts) = schema.as_array() {
            parts.iter().for_each(|part| look(place, part, wrong));
        }
    }
    let document = document().await;
    let mut wrong = Vec::new();
    look("", &document, &mut wrong);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut used = Vec::new();
    names_below(&document, schemas, &mut used);
    assert_eq!(used.len(), schemas.len(), "each schema is referred to");
    let config = project("docs/config.schema.json");
    let config: Value = serde_json::from_str(&std::fs::read_to_string(config).unwrap()).unwrap();
    for (name, definition) in config["$defs"].as_object().unwrap() {
        // Two schemas of one name would be one.
        assert_eq!(schemas[name]["description"], definition["description"], "{name}");
    }
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            let is_camel =
                id.starts_with(|c: char| c.is_ascii_lowercase()) && id.chars().all(char::is_alphanumeric);
            if !is_camel || !ids.insert(id.to_owned()) {
                wrong.push(format!("{path}: {id} is not in camel case, or stands twice"));
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let schema = &parameter["schema"];
                let counts = ["integer", "number", "boolean"].iter().any(|kind| schema["type"] == *kind);
                if parameter["in"] == "query" && counts && schema.get("default").is_none() {
                    wrong.push(format!("{path}: {} has no default", parameter["name"]));
                }
            }
        }
    }
    let record = &document["components"]["schemas"]["RunRecord"]["properties"];
    assert_eq!(record["parent_run_id"]["type"], json!(["string", "null"]), "{}", record["parent_run_id"]);
    let problem = &document["components"]["schemas"]["Problem"]["properties"];
    assert_eq!(problem["detail"]["x-ms-primary-error-message"], true);
    for (file, media) in [("artifacts/{name}", "application/octet-stream"), ("report", "text/html")] {
        let answers = &document["paths"][format!("/api/backtests/{{run_id}}/{file}")]["get"]["responses"];
        assert_eq!(
            answers["200"]["content"][media]["schema"],
            json!({ "type": "string", "format": "binary" })
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Routes of the HTTP functions, with their methods in capitals.
fn routes() -> Vec<(String, String)> {
    let mut routes = Vec::new();
    for function in std::fs::read_dir(project("functions")).unwrap() {
        let text = std::fs::read_to_string(function.unwrap().path().join("function.json")).unwrap();
        let function: Value = serde_json::from_str(&text).unwrap();
        for binding in
            function["bindings"].as_array().unwrap().iter().filter(|one| one["type"] == "httpTrigger")
        {
            for method in binding["methods"].as_array().unwrap() {
                let route = format!("/api/{}", binding["route"].as_str().unwrap());
                routes.push((method.as_str().unwrap().to_uppercase(), route));
            }
        }
    }
    routes
}

/// Whether a path of the document is one that the host brings to a route.
fn leads_to(path: &str, route: &str) -> bool {
    let (mut given, mut wanted) = (path.split('/'), route.split('/'));
    loop {
        match (given.next(), wanted.next()) {
            (None, None) => return true,
            (Some(_), Some(part)) if part.starts_with("{*") => return true,
            // Without a least length it may be empty.
            (None, Some(part)) if part.starts_with("{*") && !part.contains(':') => return true,
            (Some(name), Some(part)) if part.contains(":regex(") => {
                let alternatives = part.split_once("^(").unwrap().1.split_once(")$").unwrap().0;
                if !alternatives.split('|').any(|one| one == name) {
                    return false;
                }
            }
            (Some(name), Some(part)) if part == name || (part.starts_with('{') && name.starts_with('{')) => {}
            _ => return false,
        }
    }
}

#[tokio::test]
async fn every_route_is_documented_and_every_documented_path_has_a_route() {
    let document = document().await;
    let described: Vec<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let routes = routes();
    assert!(routes.len() >= 8, "{routes:?}");
    for (method, path) in &described {
        assert!(
            routes.iter().any(|(allowed, route)| allowed == method && leads_to(path, route)),
            "{method} {path} is in the document, but no function of functions/ has the route"
        );
    }
    for (method, route) in &routes {
        assert!(
            described.iter().any(|(other, path)| other == method && leads_to(path, route)),
            "{method} {route} is a route of functions/, but not in the document"
        );
    }
    for (method, path) in &described {
        let operation = &document["paths"][path][method.to_lowercase()];
        for needed in ["operationId", "summary", "tags"] {
            assert!(!operation[needed].is_null(), "{method} {path} has no {needed}");
        }
        let anonymous = operation["security"] == json!([{}]);
        assert_eq!(
            anonymous,
            [
                "/api/healthz",
                "/api/readyz",
                "/api/openapi.json",
                "/api/config.schema.json",
                "/api/ui",
                "/api/ui/{file}"
            ]
            .contains(&path.as_str()),
            "{path}"
        );
        assert!(anonymous || operation["responses"]["429"].is_object(), "{method} {path} has no refusals");
    }
}

/// Names of the schemas that one refers to, and that those refer to.
fn names_below(schema: &Value, schemas: &serde_json::Map<String, Value>, found: &mut Vec<String>) {
    match schema {
        Value::Object(parts) => {
            if let Some(reference) = parts.get("$ref").and_then(Value::as_str) {
                let name = reference.strip_prefix("#/components/schemas/").unwrap().to_owned();
                let of = schemas.get(&name).unwrap_or_else(|| panic!("{reference} leads nowhere"));
                if !found.contains(&name) {
                    found.push(name);
                    names_below(of, schemas, found);
                }
            }
            parts.values().for_each(|part| names_below(part, schemas, found));
        }
        Value::Array(parts) => parts.iter().for_each(|part| names_below(part, schemas, found)),
        _ => {}
    }
}

/// Fields of the objects in a schema that may be null, and whether they are always there.
fn nullable(schema: &Value, found: &mut Vec<(String, bool)>) {
    if let Some(fields) = schema["properties"].as_object() {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, field) in fields {
            let null = json!("null");
            let types = field["type"].as_array().is_some_and(|types| types.contains(&null));
            let either = field["oneOf"].as_array();
            if types || either.is_some_and(|either| either.iter().any(|one| one["type"] == null)) {
                found.push((name.clone(), required.contains(&json!(name))));
            }
        }
    }
    match schema {
        Value::Object(parts) => parts.values().for_each(|part| nullable(part, found)),
        Value::Array(parts) => parts.iter().for_each(|part| nullable(part, found)),
        _ => {}
    }
}

#[tokio::test]
async fn what_may_be_null_in_an_answer_is_always_there() {
    let mut document = document().await;
    let schemas = document["components"]["schemas"].as_object_mut().unwrap();
    // A request may leave out what it may set to null.
    let mut in_configs = Vec::new();
    names_below(&schemas["RunRequest"].clone(), schemas, &mut in_configs);
    assert!(in_configs.len() > 20, "{in_configs:?}");
    for name in ["Config", "WithConfig", "WithYaml"] {
        let mut fields = Vec::new();
        nullable(&schemas[name], &mut fields);
        assert!(!fields.is_empty() && fields.iter().all(|(_, there)| !there), "{name}: {fields:?}");
    }
    for name in in_configs.iter().map(String::as_str).chain(["RunPatch", "BulkRequest"]) {
        schemas.remove(name);
    }
    let mut fields = Vec::new();
    nullable(&document, &mut fields);
    assert!(fields.len() > 60, "{fields:?}");
    let missing: Vec<_> = fields.iter().filter(|(_, there)| !there).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn every_code_is_explained() {
    let document = document().await;
    let codes: Vec<&str> = document["components"]["schemas"]["Code"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.as_str().unwrap())
        .collect();
    let page = std::fs::read_to_string(project("docs/errors.md")).unwrap();
    let explained: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(code, _)| code))
        .collect();
    assert_eq!(explained, codes, "docs/errors.md has a row for each code, in the order of the enum");
}

/// The Python environment of schemathesis, which `.ci/run` makes.
fn schemathesis() -> Option<std::path::PathBuf> {
    let program =
        Path::new(env!("CARGO_BIN_EXE_backtests")).ancestors().nth(2)?.join("python/bin/schemathesis");
    if program.is_file() {
        return Some(program);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs schemathesis in {}", program.display());
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "no schemathesis in target/: its half of the API tests is skipped");
    None
}

/// The document of a service in which a config is any object: its schema is larger than all the rest and holds itself, and to
/// try every constraint in it by every call takes ten times as long as everything else.
async fn without_configs(url: &str) -> Value {
    let mut document: Value = serde_json::from_slice(
        &reqwest::get(format!("{url}/api/openapi.json")).await.unwrap().bytes().await.unwrap(),
    )
    .unwrap();
    let schemas = document["components"]["schemas"].as_object_mut().unwrap();
    let example = schemas["Config"]["example"].clone();
    schemas["Config"] = json!({ "type": "object", "additionalProperties": true, "example": example });
    document
}

/// Tries everything that a document says of the service at `url`, within bounds and with a fixed seed; answers how many
/// operations that were.
async fn try_everything(home: &Home, url: &str, document: &Value, settings: &str, options: &[&str]) -> usize {
    let Some(program) = schemathesis() else { return usize::MAX };
    let written = home.path().join("openapi.json");
    std::fs::write(&written, document.to_string()).unwrap();
    let config = home.path().join("schemathesis.toml");
    let judged = std::fs::read_to_string(project("tests/support/schemathesis.toml")).unwrap();
    std::fs::write(&config, format!("{settings}\n{judged}")).unwrap();
    let output = tokio::process::Command::new(program)
        .arg("--config-file")
        .arg(config)
        .arg("run")
        .arg(written)
        .args(["--url", url, "--seed", "7", "--generation-database", "none", "--no-color"])
        .args(options)
        .current_dir(home.path())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let tried = said.lines().find_map(|line| line.trim().strip_prefix("Tested: ")?.parse::<usize>().ok());
    tried.unwrap_or_else(|| panic!("it does not say what it tried:\n{said}"))
}

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let home = Home::with_prices();
    // Signals are served from a database.
    let Some(dsn) = postgres::database() else { return };
    let handler = home.handler(&[("POSTGRES_DSN", &dsn)]).await;
    // What the examples of the document name.
    complete(&handler, "RUN20260131-0123456789ab", momentum()).await;
    // Keys are looked at by the Functions host, which the next test asks.
    let options = ["--checks", "all", "--exclude-checks", "ignored_auth", "--max-examples", "15"];
    let document = without_configs(&handler.url).await;
    // What may delete the run that all others ask for comes last.
    let deleting = ["deleteRun", "changeRuns"];
    let without = deleting.iter().flat_map(|id| ["--exclude-operation-id", *id]);
    let without: Vec<&str> = options.into_iter().chain(without).collect();
    assert!(try_everything(&home, &handler.url, &document, "", &without).await >= 16);
    let only = deleting.iter().flat_map(|id| ["--include-operation-id", *id]);
    let only: Vec<&str> = options.into_iter().chain(only).collect();
    assert!(try_everything(&home, &handler.url, &document, "", &only).await >= 2);
    assert!(handler.get("/api/readyz").await.status.is_success(), "the handler is still well");
}

/// What the schema of a config allows is taken or refused as a config, and what it forbids is refused, whatever that is.
#[tokio::test]
async fn schemathesis_finds_nothing_in_configs() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let document = handler.get("/api/openapi.json").await.json();
    let mut options =
        vec!["--checks", "all", "--exclude-checks", "ignored_auth", "--phases", "examples,fuzzing"];
    options.extend(["--max-examples", "60", "--include-operation-id", "validateConfig"]);
    assert!(try_everything(&home, &handler.url, &document, "", &options).await >= 1);
    assert!(handler.get("/api/readyz").await.status.is_success(), "the handler is still well");
}

#[tokio::test]
async fn every_call_but_probes_and_document_asks_for_a_key() {
    // Signals are served from a database.
    let Some(_) = postgres::psql() else { return };
    let home = Home::with_prices().with_clone();
    let dev = home.dev(&["--enable-auth", "--postgres"]).await;
    let keys = std::fs::read_to_string(home.path().join(".backtests/host/keys.json")).unwrap();
    let keys: Value = serde_json::from_str(&keys).unwrap();
    let settings = format!("headers = {{ \"x-functions-key\" = {} }}", keys["host"]);
    let options = [
        "--checks",
        "ignored_auth,not_a_server_error",
        "--phases",
        "examples,fuzzing",
        "--max-examples",
        "5",
    ];
    let document = without_configs(&dev.url).await;
    assert!(try_everything(&home, &dev.url, &document, &settings, &options).await >= 16);
}
