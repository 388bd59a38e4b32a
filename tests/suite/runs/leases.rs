//! Leases between real processes, and what a kill leaves behind.

use std::time::Duration;

use serde_json::json;

use crate::support::service::{Home, eventually, long, momentum};

#[tokio::test]
async fn two_processes_on_one_database_execute_each_run_once() {
    let home = Home::with_prices();
    let (one, two) = (home.handler(&[]).await, home.handler(&[]).await);
    let ids: Vec<String> = (0..12).map(|number| format!("run-{number}")).collect();
    for id in &ids {
        one.submit(&json!({ "config": momentum(), "run_id": id })).await;
    }
    // Every message is doubled, and each copy reaches another process.
    let wakes = ids.iter().flat_map(|id| [one.wake(id), two.wake(id)]);
    for answer in futures_util::future::join_all(wakes).await {
        assert!(answer.status.is_success());
    }
    for id in &ids {
        let run = two.run(id).await;
        assert_eq!((&run["status"], &run["attempt"]), (&json!("completed"), &json!(1)), "{id}");
    }
}

#[tokio::test]
async fn a_killed_executor_is_taken_over() {
    let home = Home::with_sample(200, 2500);
    let settings = [("BACKTEST_LEASE_SECONDS", "2")];
    let (mut one, two) = (home.handler(&settings).await, home.handler(&settings).await);
    one.submit(&json!({ "config": long(), "run_id": "r" })).await;
    one.dies_in("r", &two).await;

    two.wake("r").await;
    assert_eq!(two.run("r").await["attempt"], 1, "the lease still holds");
    let announced = eventually("reconcile announces the run", async || {
        let outputs = two.envelope("reconcile", &json!({ "timer": {} })).await.json()["Outputs"].clone();
        outputs["runs"].as_array().map(Vec::len)
    })
    .await;
    assert_eq!(announced, 1);
    two.wake("r").await;
    let run = two.run("r").await;
    assert_eq!((&run["status"], &run["attempt"]), (&json!("completed"), &json!(2)), "{run}");
    let events = two.get("/api/backtests/r/events").await.json();
    let taken =
        events["events"].as_array().unwrap().iter().find(|one| one["event"] == "taken_over").unwrap().clone();
    assert!(
        taken["detail"]["from"].as_str().is_some_and(|owner| !owner.is_empty()),
        "the event names the old owner"
    );
    assert!(run["output_dir"].as_str().unwrap().ends_with("/f2"));
}

#[tokio::test]
async fn a_running_run_can_be_canceled() {
    let home = Home::with_sample(200, 2500);
    let handler = home.handler(&[]).await;
    handler.submit(&json!({ "config": long(), "run_id": "r" })).await;
    let canceled = async {
        handler.sees_running("r").await;
        handler.call(reqwest::Method::POST, "/api/backtests/r/cancel", None).await
    };
    let (_, canceled) = tokio::join!(handler.wake("r"), canceled);
    assert_eq!(canceled.status.as_u16(), 202);
    assert_eq!(handler.run("r").await["status"], "canceled");
}

#[tokio::test]
async fn a_run_past_its_wall_time_fails_by_its_own_executor() {
    let home = Home::with_sample(200, 2500);
    let handler = home.handler(&[("BACKTEST_RUN_TIMEOUT_SECONDS", "1")]).await;
    handler.submit(&json!({ "config": long(), "run_id": "r" })).await;
    handler.wake("r").await;
    let run = handler.run("r").await;
    assert_eq!((&run["status"], &run["status_reason"]), (&json!("failed"), &json!("timeout")), "{run}");
}

#[tokio::test]
async fn a_lost_message_is_sent_again_and_a_wrong_one_is_dropped() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    // A plain submit cannot carry its message.
    handler.post("/api/backtests", &json!({ "config": momentum(), "run_id": "r" })).await;
    let reconcile =
        async || handler.envelope("reconcile", &json!({})).await.json()["Outputs"]["runs"].clone();
    assert_eq!(reconcile().await, json!([{ "v": 1, "run_id": "r" }]));
    assert!(reconcile().await.is_null(), "once is enough");
    for message in [json!("not a message"), json!({ "v": 1 }), json!({ "v": 1, "run_id": "unknown" })] {
        let answer = handler.envelope("execute", &json!({ "run": message })).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "Outputs": {} })));
    }
}

/// The last resort ends a run that has not ended, and nothing else.
#[tokio::test]
async fn a_poisoned_message_ends_its_run() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    for id in ["stuck", "done"] {
        handler.submit(&json!({ "config": momentum(), "run_id": id })).await;
    }
    handler.wake("done").await;
    for message in [
        json!({ "run_id": "stuck" }),
        json!({ "run_id": "done" }),
        json!({ "run_id": "unknown" }),
        json!("x"),
    ] {
        let answer = handler.envelope("execute_poison", &json!({ "run": message })).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "Outputs": {} })));
    }
    let run = handler.run("stuck").await;
    assert_eq!((&run["status"], &run["status_reason"]), (&json!("failed"), &json!("poison")), "{run}");
    assert_eq!(handler.run("done").await["status"], "completed");
}

#[tokio::test]
async fn the_handler_answers_while_it_computes() {
    let home = Home::with_sample(200, 2500);
    let handler = home.handler(&[]).await;
    handler.submit(&json!({ "config": long(), "run_id": "r" })).await;
    let probe = async {
        handler.sees_running("r").await;
        tokio::time::timeout(Duration::from_secs(1), handler.get("/")).await
    };
    let (_, probed) = tokio::join!(handler.wake("r"), probe);
    assert!(probed.is_ok(), "the host's ping went unanswered for a second");
}
