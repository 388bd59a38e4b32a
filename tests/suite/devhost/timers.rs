//! Timer functions: when they fire and what a tick looks like.

use backtest_functions::devhost::timer::{Status, never, open};
use backtest_functions::ncrontab::Schedule;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::handler::TestApp;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// 39: the table behind every timer. 20 November 2026 is a Friday.
#[test]
fn computes_the_next_occurrence() {
    for (expression, base, next) in [
        ("0 */5 * * * *", "2026-11-20T10:02:30Z", Some("2026-11-20T10:05:00Z")),
        ("0 */5 * * * *", "2026-11-20T10:05:00Z", Some("2026-11-20T10:10:00Z")),
        ("0 */5 * * * *", "2026-11-20T10:04:59.999Z", Some("2026-11-20T10:05:00Z")),
        // Five fields leave out the seconds.
        ("*/5 * * * *", "2026-11-20T10:02:30Z", Some("2026-11-20T10:05:00Z")),
        // A single value with a step runs to the end of the field.
        ("0 5/20 * * * *", "2026-11-20T10:06:00Z", Some("2026-11-20T10:25:00Z")),
        ("0 5/20 * * * *", "2026-11-20T10:45:00Z", Some("2026-11-20T11:05:00Z")),
        ("0 10-30/10 * * * *", "2026-11-20T10:30:00Z", Some("2026-11-20T11:10:00Z")),
        // Steps below one count as one.
        ("0 0/0 * * * *", "2026-11-20T10:00:00Z", Some("2026-11-20T10:01:00Z")),
        // A reversed range is swapped: 2 to 22, not over midnight.
        ("0 0 22-2 * * *", "2026-11-20T22:00:00Z", Some("2026-11-21T02:00:00Z")),
        ("0 0 0 * * Fri-Mon", "2026-11-20T00:00:00Z", Some("2026-11-23T00:00:00Z")),
        ("0 30 9 * * 1-5", "2026-11-20T10:00:00Z", Some("2026-11-23T09:30:00Z")),
        ("0 0 0 * * 0", "2026-11-20T00:00:00Z", Some("2026-11-22T00:00:00Z")),
        // Names by any prefix, the first in the calendar wins.
        ("0 0 0 1 J *", "2026-02-01T00:00:00Z", Some("2027-01-01T00:00:00Z")),
        ("0 0 0 1 ju *", "2026-02-01T00:00:00Z", Some("2026-06-01T00:00:00Z")),
        ("0 0 0 1 March,DEC *", "2026-02-01T00:00:00Z", Some("2026-03-01T00:00:00Z")),
        ("0 0 0 * * T", "2026-11-20T00:00:00Z", Some("2026-11-24T00:00:00Z")),
        // Both day fields must match: the next Friday the 13th.
        ("0 0 0 13 * 5", "2026-11-20T00:00:00Z", Some("2027-08-13T00:00:00Z")),
        ("0 0 0 31 * *", "2026-11-20T00:00:00Z", Some("2026-12-31T00:00:00Z")),
        ("0 0 0 29 2 *", "2026-11-20T00:00:00Z", Some("2028-02-29T00:00:00Z")),
        ("0 0 0 29 2 0", "2026-11-20T00:00:00Z", Some("2032-02-29T00:00:00Z")),
        ("0 0 0 30 2 *", "2026-11-20T00:00:00Z", None),
        ("59 59 23 31 12 *", "2026-11-20T00:00:00Z", Some("2026-12-31T23:59:59Z")),
        ("00:10:00", "2026-11-20T10:02:30Z", Some("2026-11-20T10:12:30Z")),
        ("1.00:00:00", "2026-11-20T10:02:30Z", Some("2026-11-21T10:02:30Z")),
        // More than 23 hours are read as days.
        ("24:00:00", "2026-11-20T10:00:00Z", Some("2026-12-14T10:00:00Z")),
    ] {
        let schedule = Schedule::parse(expression).unwrap();
        assert_eq!(schedule.next_after(at(base)), next.map(at), "{expression} after {base}");
    }
}

#[test]
fn refuses_what_is_no_schedule() {
    for expression in [
        "0 0 0 * * 7",
        "60 * * * * *",
        "* * * * *  * *",
        "* * * *",
        "@daily",
        "0 0 0 ? * *",
        "0 0 0 L * *",
        "0 0 0 * * 1#2",
        "0 0 0 0 * *",
        "0 0 24 * * *",
        "0 0 0 * Foo *",
        "0 0 0 * * -1",
        "0 0 0 1, * *",
        "0 0 0 */x * *",
        "",
        "00:00:00",
        "1:2:3:4:5",
    ] {
        assert!(Schedule::parse(expression).is_err(), "{expression}");
    }
    let error = Schedule::parse("0 0 0 * * 7").unwrap_err().to_string();
    assert_eq!(error, "day of week `7`: 7 is not within 0 to 6");
}

/// 39: first start, missed occurrences, a changed schedule.
#[test]
fn decides_what_a_start_makes_up_for() {
    let schedule = Schedule::parse("0 */5 * * * *").unwrap();
    let now = at("2026-11-20T10:02:00Z");
    let status = |last: DateTime<Utc>, next: &str| Status { last, next: at(next), last_updated: last };
    let table = [
        (None, "2026-11-20T10:05:00Z", false),
        (Some(status(at("2026-11-20T10:00:00.001Z"), "2026-11-20T10:05:00Z")), "2026-11-20T10:05:00Z", false),
        // However many were missed, one run makes up for them.
        (Some(status(at("2026-11-20T08:00:00.001Z"), "2026-11-20T08:05:00Z")), "2026-11-20T08:05:00Z", true),
        // Never ran: nothing to make up for.
        (Some(status(never(), "2026-11-20T08:05:00Z")), "2026-11-20T10:05:00Z", false),
        // Planned by another schedule.
        (Some(status(at("2026-11-20T08:00:00Z"), "2026-11-20T09:00:00Z")), "2026-11-20T10:05:00Z", false),
    ];
    for (remembered, next, past_due) in table {
        let opening = open(&schedule, remembered, now).unwrap();
        assert_eq!((opening.status.next, opening.past_due), (at(next), past_due), "{remembered:?}");
    }
    assert_eq!(never().to_rfc3339(), "0001-01-01T00:00:00+00:00");
}

/// 39: what a tick looks like without monitoring, and that the schedule goes on after a failure.
#[tokio::test(flavor = "multi_thread")]
async fn fires_a_dense_timer_without_status() {
    let app = TestApp::new().timer("Tick", "* * * * * *");
    let mut host = app.start().await;
    for _ in 0..2 {
        assert_eq!(host.finished().await, None);
    }
    let envelope = app.envelopes().remove(0);
    assert_eq!(
        envelope["Data"],
        json!({ "timer": { "Schedule": { "AdjustForDST": true }, "ScheduleStatus": null, "IsPastDue": false } })
    );
    assert_eq!(envelope["Metadata"].as_object().unwrap().keys().collect::<Vec<_>>(), ["sys"]);
    assert_eq!(envelope["Metadata"]["sys"]["MethodName"], "Tick");
    assert!(!app.options.state_dir.join("timers/Tick.json").exists());
    host.host.stop().await;
}

/// 39: the first start does not fire; after downtime there is exactly one run that is past due.
#[tokio::test(flavor = "multi_thread")]
async fn makes_up_once_for_missed_ticks() {
    let app = TestApp::new().timer("Tick", "0 0 */6 * * *").http("hello", "hello", &["get"]);
    let mut host = app.start().await;
    host.ready().await;
    host.get("/api/hello").await;
    host.host.stop().await;
    let file = app.options.state_dir.join("timers/Tick.json");
    let status: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(app.requests().len(), 1, "the first start fired");
    assert!(status["Last"].as_str().unwrap().starts_with("0001-01-01T00:00:00"));

    let schedule = Schedule::parse("0 0 */6 * * *").unwrap();
    let last = Utc::now() - chrono::TimeDelta::days(3);
    let next = schedule.next_after(last).unwrap();
    let missed = Status { last, next, last_updated: last };
    std::fs::write(&file, serde_json::to_string(&missed).unwrap()).unwrap();
    let mut host = app.start().await;
    assert_eq!(host.finished().await, None);
    host.host.stop().await;
    let mut host = app.start().await;
    host.ready().await;
    host.get("/api/hello").await;
    host.host.stop().await;
    let ticks: Vec<Value> = app.requests().into_iter().filter(|request| request["path"] == "/Tick").collect();
    assert_eq!(ticks.len(), 1);
    let tick: Value = serde_json::from_str(ticks[0]["body"].as_str().unwrap()).unwrap();
    let timer = &tick["Data"]["timer"];
    assert_eq!(timer["IsPastDue"], true);
    assert_eq!(timer["ScheduleStatus"]["Next"], next.to_rfc3339());
    assert_eq!(timer["ScheduleStatus"]["Last"], last.to_rfc3339());
}
