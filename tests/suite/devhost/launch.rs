//! The handler as a child process: launch, readiness, crashes, restarts, its lines and its end.

use std::time::{Duration, Instant};

use backtest_functions::devhost::process::{Severity, severity};
use backtest_functions::devhost::{Event, ExitReason};
use serde_json::{Value, json};

use super::handler::{PATIENCE, TestApp};

/// 1, 2: five variables, two equal ports, expanded arguments without port, the app folder as working directory.
#[tokio::test(flavor = "multi_thread")]
async fn launches_with_the_variables_of_the_contract() {
    let app = TestApp::new()
        .http("hello", "hello", &["get"])
        .setting("WORD", "--quiet")
        .setting("FROM_SETTINGS", "yes")
        .host(
            "/customHandler/description/arguments",
            json!(["devhost::as_handler", "--exact", "--ignored", "--nocapture", "%WORD%", "%NO_SUCH%"]),
        );
    let mut host = app.start().await;
    host.ready().await;
    let start = app.starts().remove(0);
    let environment = &start["environment"];
    let port = host.host.handler_port().to_string();
    assert_eq!(environment["FUNCTIONS_CUSTOMHANDLER_PORT"], port);
    assert_eq!(environment["FUNCTIONS_HTTPWORKER_PORT"], port);
    assert_eq!(environment["FUNCTIONS_CUSTOMHANDLER_WORKER_ID"], environment["FUNCTIONS_HTTPWORKER_ID"]);
    assert!(uuid::Uuid::try_parse(environment["FUNCTIONS_HTTPWORKER_ID"].as_str().unwrap()).is_ok());
    let root = app.root().canonicalize().unwrap();
    assert_eq!(environment["FUNCTIONS_APP_ROOT_PATH"], json!(root));
    assert_eq!(start["directory"], json!(root));
    assert_eq!(environment["FROM_SETTINGS"], "yes");
    let arguments: Vec<&str> =
        start["arguments"].as_array().unwrap().iter().skip(1).map(|a| a.as_str().unwrap()).collect();
    assert_eq!(arguments, ["devhost::as_handler", "--exact", "--ignored", "--nocapture", "--quiet"]);
    host.host.stop().await;
}

/// 3: a 404 counts as ready, and a request made before that waits.
#[tokio::test(flavor = "multi_thread")]
async fn holds_requests_until_the_handler_is_ready() {
    let app = TestApp::new().http("hello", "hello", &["get"]).setting("LISTEN_AFTER_MS", "300");
    let host = app.start().await;
    assert_eq!(host.get("/api/hello").await.status(), 200);
    host.host.stop().await;
}

/// 5: three handlers in a row that never listen end the host.
#[tokio::test(flavor = "multi_thread")]
async fn gives_up_after_three_handlers_that_never_listen() {
    let app = TestApp::new()
        .http("hello", "hello", &["get"])
        .setting("NEVER_LISTEN", "1")
        .host("/customHandler/initializationTimeout", json!("00:00:00.25"));
    let host = app.start().await;
    let reason = tokio::time::timeout(PATIENCE, host.host.wait()).await.unwrap();
    assert!(matches!(reason, ExitReason::TooManyCrashes(_)), "{reason}");
    assert!(!reason.is_success());
    assert_eq!(app.starts().len(), 3);
}

/// 6: a handler that dies in a run is restarted on the same port, and the message comes again.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_after_a_crash_and_retries_the_message() {
    let app = TestApp::new().queue("work", "jobs");
    let mut host = app.start().await;
    host.put("jobs", r#"{"do":"die_once"}"#);
    assert!(host.finished().await.is_some());
    assert_eq!(host.finished().await, None);
    let envelopes = app.envelopes();
    assert_eq!(envelopes[0]["Metadata"]["DequeueCount"], "1");
    assert_eq!(envelopes[1]["Metadata"]["DequeueCount"], "2");
    let ports: Vec<Value> = app
        .starts()
        .iter()
        .map(|start| start["environment"]["FUNCTIONS_CUSTOMHANDLER_PORT"].clone())
        .collect();
    assert_eq!(ports.len(), 2);
    assert_eq!(ports[0], ports[1]);
    host.until_length("jobs", 0).await;
    host.host.stop().await;
}

/// 7: exit 0 is for good in strict mode, and the next call fails with 500 and no body.
#[tokio::test(flavor = "multi_thread")]
async fn leaves_a_handler_down_that_exited_with_0_when_strict() {
    let app = TestApp::new().http("hello", "hello", &["get"]).with(|options| options.strict = true);
    let mut host = app.start().await;
    host.ready().await;
    let response = host.request("GET", "/api/hello").header("x-do", "exit:0").send().await.unwrap();
    assert_eq!(response.status(), 500);
    host.wait_for(|event| *event == Event::HandlerExited { code: Some(0) }).await;
    let response = host.get("/api/hello").await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.bytes().await.unwrap().len(), 0);
    assert_eq!(app.starts().len(), 1);
    host.host.stop().await;
}

/// 7: by default exit 0 is repaired; exit 200 is free of charge however often it happens.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_after_exit_0_and_as_often_as_asked_after_exit_200() {
    let app = TestApp::new().queue("work", "jobs").host("/extensions/queues/maxDequeueCount", json!(1));
    let mut host = app.start().await;
    host.ready().await;
    for code in [200, 0, 200, 200, 200] {
        host.put("jobs", &json!({ "do": format!("exit:{code}") }).to_string());
        host.wait_for(|event| *event == Event::HandlerExited { code: Some(code) }).await;
        host.ready().await;
    }
    assert_eq!(app.starts().len(), 6);
    host.host.stop().await;
}

/// 8: stopping kills at once, without waiting for the handler's work.
#[tokio::test(flavor = "multi_thread")]
async fn stops_within_a_second_by_killing() {
    let app = TestApp::new().queue("work", "jobs");
    let mut host = app.start().await;
    host.put("jobs", r#"{"do":"hang"}"#);
    host.ready().await;
    while app.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let started = Instant::now();
    host.host.stop().await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

/// 9: what each line counts as.
#[tokio::test(flavor = "multi_thread")]
async fn logs_the_lines_of_the_handler_by_severity() {
    let app = TestApp::new()
        .http("hello", "hello", &["get"])
        .setting("SAY_OUT", "error on stdout")
        .setting("SAY_ERR", "a WARNing\nanything\nbind: Address already in use (os error 98)");
    let mut host = app.start().await;
    let mut found = Vec::new();
    while found.len() < 4 {
        let mine = |text: &str| {
            ["error on", "a WARN", "anything", "Port is"].iter().any(|start| text.starts_with(start))
        };
        let event = host.wait_for(|event| matches!(event, Event::Line { text, .. } if mine(text))).await;
        if let Event::Line { text, severity } = event {
            found.push((text, severity));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let found: Vec<(&str, Severity)> =
        found.iter().map(|(text, severity)| (text.as_str(), *severity)).collect();
    assert_eq!(
        found,
        [
            ("Port is already in use. Process cannot start.", Severity::Error),
            ("a WARNing", Severity::Warning),
            ("anything", Severity::Error),
            ("error on stdout", Severity::Information),
        ]
    );
    assert_eq!(severity("anything", false), Severity::Information);
    assert_eq!(severity("it Failed", false), Severity::Error);
    host.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn says_at_once_that_the_executable_is_missing() {
    let app = TestApp::new()
        .http("hello", "hello", &["get"])
        .host("/customHandler/description/defaultExecutablePath", json!("no-such-program"));
    let reason = tokio::time::timeout(PATIENCE, app.start().await.host.wait()).await.unwrap();
    assert!(matches!(&reason, ExitReason::CannotStart(why) if why.contains("no-such-program")), "{reason}");
}
