//! Schedules: who submits when several look at once, what a new day and a restated one lead to, and what is refused. Times are
//! the store's, so that a schedule which looks every second makes these tests wait for one now and then.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use backtest_functions::run::RunId;
use backtest_functions::store::artifacts::{Artifacts, LocalArtifacts};
use backtest_functions::store::delta::{Location, StorageOptions};
use backtest_functions::store::prices::{MarketData, Reach};
use backtest_functions::store::runs::adls::AdlsRuns;
use backtest_functions::store::runs::sqlite::SqliteRuns;
use backtest_functions::store::runs::{ListQuery, RunStore};
use backtest_functions::work::App;
use backtest_functions::work::schedules::{Asked, PutError, put, run_due};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::order::hook;
use crate::support::app::app;
use crate::support::service::{Handler, Home, eventually, run_well};

/// Bars of three symbols for weekdays from 2020-01-01 on, by number; `bend` is added to the closes of symbol C on one of them.
fn import(home: &Home, days: Range<usize>, bend: Option<(usize, f64)>, options: &[&str]) {
    let mut text = "date,symbol,open,high,low,close,volume\n".to_owned();
    let start = chrono::NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
    let weekdays =
        start.iter_days().filter(|day| !["Sat", "Sun"].contains(&day.format("%a").to_string().as_str()));
    for (at, day) in weekdays.enumerate().skip(days.start).take(days.len()) {
        for (nth, symbol) in ["A", "B", "C"].into_iter().enumerate() {
            let wave = ((at * (nth + 3)) as f64 * 0.05).sin();
            let bent = bend.filter(|(day, _)| symbol == "C" && *day == at).map_or(0.0, |(_, bent)| bent);
            let close = 100.0 + 10.0 * wave + nth as f64 * 7.0 + bent;
            text +=
                &format!("{day},{symbol},{close:.4},{:.4},{:.4},{close:.4},1000\n", close + 1.0, close - 1.0);
        }
    }
    let (file, lake) = (home.path().join("bars.csv"), home.lake());
    std::fs::write(&file, text).unwrap();
    let mut arguments = vec!["lake", "import", file.to_str().unwrap(), "--lake", lake.to_str().unwrap()];
    arguments.extend(options);
    run_well(&arguments, home.path());
}

fn config() -> Value {
    json!({
        "run_name": "daily", "start_date": "2020-01-06", "universe": { "symbols": ["A", "B", "C"] },
        "strategy": { "class": "StaticUniverseStrategy", "parameters": { "rebalance": "weekly" } },
        "output": { "save_orders": true },
    })
}

fn fields(document: &Value) -> Map<String, Value> {
    document.as_object().unwrap().clone()
}

/// A rule as a test of each store.
macro_rules! on_every_store {
    ($($rule:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $rule() {
                let folder = tempfile::tempdir().unwrap();
                let runs = std::sync::Arc::new(super::SqliteRuns::new(folder.path().join("runs.sqlite3")));
                super::$rule(runs, folder.path()).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $rule() {
                if let Some(dsn) = crate::support::postgres::database() {
                    let folder = tempfile::tempdir().unwrap();
                    let runs = std::sync::Arc::new(crate::support::postgres::runs(&dsn));
                    super::$rule(runs, folder.path()).await;
                }
            })*
        }

        mod adls {
            $(#[tokio::test]
            async fn $rule() {
                if let Some(storage) = crate::support::azurite::storage() {
                    let folder = tempfile::tempdir().unwrap();
                    let runs = std::sync::Arc::new(super::AdlsRuns::new(storage.container(), "team/runs"));
                    super::$rule(runs, folder.path()).await;
                }
            })*
        }
    };
}

on_every_store! {
    of_instances_that_look_at_once_one_submits_and_a_new_day_has_the_run_before_as_parent,
}

/// An instance on this lake.
fn instance(runs: &Arc<dyn RunStore>, folder: &Path, lake: &Path) -> App {
    let results = LocalArtifacts::new(folder.join("results")).unwrap();
    App {
        data: Arc::new(MarketData {
            lake: Some(Location::parse(lake.to_str().unwrap()).unwrap()),
            options: StorageOptions::default(),
            account: None,
            reach: Reach::unlimited(),
            signals: None,
        }),
        ..app(Arc::clone(runs), Artifacts::new(results, None))
    }
}

async fn listed(app: &App) -> Vec<backtest_functions::run::Run> {
    let query = ListQuery { limit: 50, ..ListQuery::default() };
    app.runs.list(&query).await.unwrap().runs
}

/// Lets both look at once until there are so many runs; answers how many messages they were to send.
async fn look_until(one: &App, other: &App, runs: usize) -> usize {
    let mut sent = 0;
    let sent = &mut sent;
    for _ in 0..40 {
        let (here, there) = tokio::join!(run_due(one), run_due(other));
        *sent += here.unwrap().len() + there.unwrap().len();
        if listed(one).await.len() >= runs {
            return *sent;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("there are {} runs", listed(one).await.len());
}

async fn of_instances_that_look_at_once_one_submits_and_a_new_day_has_the_run_before_as_parent(
    runs: Arc<dyn RunStore>,
    folder: &Path,
) {
    let home = Home::empty();
    import(&home, 0..60, None, &[]);
    let (one, other) = (instance(&runs, folder, &home.lake()), instance(&runs, folder, &home.lake()));
    let asked = Asked::from_fields(fields(&json!({ "config": config(), "cron": "* * * * * *" }))).unwrap();
    let (stored, is_new) = put(&one, "daily".parse().unwrap(), asked, Some("ada".into())).await.unwrap();
    assert!(is_new && stored.last_run_id.is_none());
    assert_eq!(look_until(&one, &other, 1).await, 1, "one message for one run");

    // Another look finds nothing new.
    let seen = async || one.runs.schedules(None).await.unwrap().schedules.pop().unwrap();
    let first_look = seen().await.looked_at;
    eventually("it is looked at again", async || {
        let (here, there) = tokio::join!(run_due(&one), run_due(&other));
        assert!(here.unwrap().is_empty() && there.unwrap().is_empty());
        (seen().await.looked_at > first_look).then_some(())
    })
    .await;
    let before = listed(&one).await;
    let [first] = before.as_slice() else { panic!("{before:?}") };
    let kept = seen().await;
    assert_eq!((kept.last_run_id.as_ref(), kept.error), (Some(&first.id), None));
    let day = kept.last_date.unwrap();
    assert_eq!(first.submission.end_date, day.to_string());
    assert_eq!(first.submission.idempotency_key, Some(format!("schedule/daily/{day}")));
    assert_eq!(
        (first.submission.submitted_by.as_deref(), &first.submission.parent_run_id),
        (Some("ada"), &None)
    );
    let events = one.runs.events(&first.id).await.unwrap();
    let scheduled: Vec<&Value> =
        events.iter().filter(|event| event.event == "scheduled").map(|event| &event.detail).collect();
    assert_eq!(scheduled, [&json!({ "schedule": "daily", "date": day })]);

    import(&home, 60..61, None, &[]);
    assert_eq!(look_until(&one, &other, 2).await, 1);
    let now = listed(&one).await;
    let second = now.iter().find(|run| run.id != first.id).unwrap();
    assert_eq!(second.submission.parent_run_id.as_ref(), Some(&first.id));
    assert!(second.submission.end_date > first.submission.end_date);
}

async fn put_daily(handler: &Handler, body: &Value) -> (u16, Value) {
    let answer = handler.call(Method::PUT, "/api/schedules/daily", Some(body)).await;
    (answer.status.as_u16(), answer.json())
}

/// The timers of both instances tick until the schedule has run another day; one executes that run and answers its record.
async fn next_run(handler: &Handler, other: &Handler, before: &Value) -> Value {
    let id = eventually("the schedule runs", async || {
        let timer = json!({ "timer": {} });
        let (here, there) =
            tokio::join!(handler.envelope("reconcile", &timer), other.envelope("reconcile", &timer));
        assert!(here.status.is_success() && there.status.is_success(), "{}{}", here.json(), there.json());
        let last = handler.get("/api/schedules/daily").await.json()["last_run_id"].clone();
        (last != *before).then_some(last)
    })
    .await;
    let id = id.as_str().unwrap();
    handler.wake(id).await;
    let run = handler.run(id).await;
    assert_eq!(run["status"], "completed", "{run}");
    run
}

fn said(run: &Value) -> Vec<&str> {
    let warnings = run["summary"]["warnings"].as_array().unwrap().iter().filter_map(Value::as_str);
    warnings.filter(|warning| warning.starts_with("history_changed")).collect()
}

async fn events(handler: &Handler, run: &Value, event: &str) -> Vec<Value> {
    let id = run["run_id"].as_str().unwrap();
    let events = handler.get(&format!("/api/backtests/{id}/events")).await.json();
    let all = events["events"].as_array().unwrap().iter().filter(|one| one["event"] == event);
    all.map(|one| one["detail"].clone()).collect()
}

/// A close of day 30 is another one in the third version of the table. Nothing but the run of that day is concerned before it.
#[tokio::test]
async fn a_restated_history_is_warned_of_with_its_first_day_and_how_much_and_told() {
    let home = Home::empty();
    import(&home, 0..60, None, &[]);
    let (address, told) = hook(vec![200; 10]);
    let handler =
        home.handler(&[("BACKTEST_NOTIFY_URL", &address), ("BACKTEST_NOTIFY_SECRET", "a secret")]).await;
    let other = home.handler(&[]).await;
    let body = json!({ "config": config(), "cron": "* * * * * *", "when": "new_data" });
    assert_eq!(put_daily(&handler, &body).await.0, 201);
    let first = next_run(&handler, &other, &Value::Null).await;
    assert_eq!((&first["parent_run_id"], &first["end_date"]), (&Value::Null, &json!("2020-03-24")));
    let orders = format!("/api/backtests/{}/orders", first["run_id"].as_str().unwrap());
    let orders = handler.get(&orders).await;
    assert_eq!(orders.json()["as_of"], "2020-03-24");

    import(&home, 60..62, None, &[]);
    let second = next_run(&handler, &other, &first["run_id"]).await;
    assert_eq!((&second["parent_run_id"], &second["end_date"]), (&first["run_id"], &json!("2020-03-26")));
    assert!(said(&second).is_empty(), "{second}");
    assert!(events(&handler, &second, "history_changed").await.is_empty());

    import(&home, 0..63, Some((30, 5.0)), &["--replace"]);
    let third = next_run(&handler, &other, &second["run_id"]).await;
    let listed = handler.get("/api/backtests").await.json();
    assert_eq!(listed["runs"].as_array().unwrap().len(), 3, "two timers, one run a day: {listed}");
    let [warning] = said(&third)[..] else { panic!("{third}") };
    // Day 30 after Wednesday the 1st of January is Wednesday the 12th of February.
    for part in [second["run_id"].as_str().unwrap(), "the first of them 2020-02-12", "on 2020-02-12"] {
        assert!(warning.contains(part), "{part} is not in {warning}");
    }
    let changed =
        eventually("it is an event", async || events(&handler, &third, "history_changed").await.pop()).await;
    assert_eq!((&changed["before"], &changed["first_day"]), (&second["run_id"], &json!("2020-02-12")));
    // A third of the portfolio moved by 5 of about 114.
    let largest = changed["largest_change"].as_f64().unwrap();
    assert!((0.005..0.03).contains(&largest), "{changed}");
    let notice = eventually("and told", async || {
        let request = told.try_recv().ok()?;
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n")?.1).ok()?;
        (body["event"] == "history_changed").then_some(body)
    })
    .await;
    let id = third["run_id"].as_str().unwrap();
    assert_eq!(
        notice,
        json!({ "event": "history_changed", "run_id": id, "url": format!("/api/backtests/{id}") })
    );

    // Made again it is the same to the last byte, what was said of the run before included.
    let asked = handler.post(&format!("/api/backtests/{id}/reproduce"), &json!({})).await.json();
    let made = asked["run_id"].as_str().unwrap();
    handler.wake(made).await;
    let found = handler.get(&format!("/api/backtests/{made}/artifacts/reproduction.json")).await.json();
    assert_eq!(found["verdict"], "identical", "{found}");
}

#[tokio::test]
async fn a_schedule_is_put_shown_listed_and_deleted() {
    let home = Home::empty();
    import(&home, 0..10, None, &[]);
    let handler = home.handler(&[]).await;
    assert_eq!(handler.get("/api/schedules").await.json(), json!({ "schedules": [] }));
    let missing = handler.get("/api/schedules/daily").await;
    assert_eq!((missing.status.as_u16(), &missing.json()["code"]), (404, &json!("schedule_not_found")));
    let mut body = json!({ "config": config(), "cron": "0 30 22 * * 1-5" });
    let (status, stored) = put_daily(&handler, &body).await;
    assert_eq!((status, &stored["config"], &stored["when"]), (201, &config(), &json!("new_data")));
    let next = stored["next_look_at"].as_str().unwrap();
    assert!(next.ends_with("T22:30:00Z"), "{next}");
    assert_eq!(handler.get("/api/schedules/daily").await.json(), stored);
    assert_eq!(handler.get("/api/schedules").await.json()["schedules"], json!([stored]));
    body["cron"] = json!("0 0 23 * * *");
    let (status, again) = put_daily(&handler, &body).await;
    assert_eq!((status, &again["created_at"]), (200, &stored["created_at"]));
    let gone = handler.call(Method::DELETE, "/api/schedules/daily", None).await;
    assert_eq!((gone.status.as_u16(), gone.json()["cron"].as_str()), (200, Some("0 0 23 * * *")));
    let again = handler.call(Method::DELETE, "/api/schedules/daily", None).await;
    assert_eq!(again.status.as_u16(), 404);
}

#[tokio::test]
async fn what_cannot_run_on_a_schedule_is_refused_by_its_field() {
    let home = Home::empty();
    import(&home, 0..10, None, &[]);
    let handler = home.handler(&[]).await;
    let faults = async |body: Value| -> (Value, Vec<(String, String)>) {
        let (status, refused) = put_daily(&handler, &body).await;
        assert_eq!(status, 400, "{refused}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let errors = refused["errors"].as_array().unwrap().iter();
        (refused["code"].clone(), errors.map(|one| (text(&one["path"]), text(&one["message"]))).collect())
    };
    for (cron, why) in [
        (json!("0 99 22 * * *"), "minutes `99`: 99 is not within 0 to 59"),
        (json!("daily"), "expected 6 fields (or 5, without seconds), found 1"),
        (json!("00:15:00"), "not an interval"),
        (json!("0 0 0 30 2 *"), "names a day that never comes"),
        (json!(5), "must be a text"),
    ] {
        let (code, found) = faults(json!({ "config": config(), "cron": cron })).await;
        assert_eq!((code, found.len(), found[0].0.as_str()), (json!("malformed_request"), 1, "cron"));
        assert!(found[0].1.contains(why), "{} is not {why}", found[0].1);
    }
    let (_, found) = faults(json!({ "when": "always", "Cron": "" })).await;
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["config", "cron", "when", "Cron"]);

    let with = |pointer: &str, value: Value| {
        let mut config = config();
        let (section, field) = pointer.split_once('.').unwrap_or(("", pointer));
        if section.is_empty() {
            config[field] = value;
        } else {
            config[section][field] = value;
        }
        json!({ "config": config, "cron": "0 0 22 * * *" })
    };
    for (path, value) in [
        ("end_date", json!("2020-02-01")),
        ("data.price_version", json!(1)),
        ("data.as_of", json!("2026-01-01T00:00:00Z")),
        ("experiment", json!("momentum")),
        ("output.save_metrics_parquet", json!(false)),
        ("strategy.class", json!("None")),
    ] {
        let (code, found) = faults(with(path, value)).await;
        assert_eq!((code, &found[0].0), (json!("invalid_config"), &format!("config.{path}")), "{found:?}");
    }
    let name = handler.call(Method::PUT, "/api/schedules/a.b", Some(&with("run_name", json!("x")))).await;
    assert_eq!((name.status.as_u16(), &name.json()["code"]), (400, &json!("invalid_parameter")));
    assert_eq!(handler.get("/api/schedules").await.json(), json!({ "schedules": [] }));

    // Keys of schedules are the service's.
    let submit = handler.http.post(format!("{}/api/backtests", handler.url));
    let mut whole = config();
    whole["end_date"] = json!("2020-01-10");
    let submit =
        submit.header("idempotency-key", "schedule/daily/2020-01-14").json(&json!({ "config": whole }));
    let refused = handler.send(submit).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["code"]), (400, &json!("invalid_parameter")));
}

/// A file has no log; a table that is not there yet may come; a day that has not come yet would be the last one ever run.
#[tokio::test]
async fn a_schedule_that_cannot_run_says_why_and_is_told_once() {
    let home = Home::empty();
    import(&home, 0..10, None, &[]);
    let folder = tempfile::tempdir().unwrap();
    let runs: Arc<dyn RunStore> = Arc::new(SqliteRuns::new(folder.path().join("runs.sqlite3")));
    let here = instance(&runs, folder.path(), &home.lake());
    let asked = |config: Value| {
        Asked::from_fields(fields(&json!({ "config": config, "cron": "* * * * * *" }))).unwrap()
    };
    let mut of_file = config();
    of_file["data"] = json!({ "price_path": home.path().join("bars.csv") });
    let refused = put(&here, "file".parse().unwrap(), asked(of_file), None).await.unwrap_err();
    let PutError::Config(faults) = refused else { panic!("{refused}") };
    assert_eq!(faults[0].path, "config.data.price_path");
    assert!(faults[0].message.contains("must be a Delta table"), "{faults:?}");

    let mut of_none = config();
    of_none["data"] = json!({ "price_path": home.lake().join("not/there") });
    put(&here, "none".parse().unwrap(), asked(of_none), None).await.unwrap();
    let error = eventually("it says that there is no table", async || {
        assert!(run_due(&here).await.unwrap().is_empty());
        here.runs.schedules(None).await.unwrap().schedules.pop().unwrap().error
    })
    .await;
    assert!(error.contains("there is no table or file at"), "{error}");
    here.runs.delete_schedule(&"none".parse().unwrap()).await.unwrap();

    let file = home.path().join("future.csv");
    std::fs::write(&file, "date,symbol,open,high,low,close,volume\n9998-12-31,A,1,1,1,1,1\n").unwrap();
    let (file, lake) = (file.to_str().unwrap(), home.lake());
    run_well(&["lake", "import", file, "--lake", lake.to_str().unwrap(), "--upsert"], home.path());
    put(&here, "future".parse().unwrap(), asked(config()), None).await.unwrap();
    let error = eventually("it says that the day has not come", async || {
        assert!(run_due(&here).await.unwrap().is_empty());
        here.runs.schedules(None).await.unwrap().schedules.pop().unwrap().error
    })
    .await;
    assert!(error.contains("9998-12-31, which has not come yet"), "{error}");
    assert!(listed(&here).await.is_empty());
}

#[test]
fn ids_of_runs_and_names_of_schedules_are_made_of_the_same_letters() {
    for text in ["a", "A-1_b", "", "-a", "a.b", "a/b", &"a".repeat(65)] {
        let name = text.parse::<backtest_functions::store::runs::schedule::ScheduleName>();
        assert_eq!(name.is_ok(), text.parse::<RunId>().is_ok(), "{text}");
    }
}
