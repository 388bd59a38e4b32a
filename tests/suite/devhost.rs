//! The local host against a real handler process: launch and restarts, requests, messages, timers, and what it says
//! about a faulty app. The numbers in comments are those of the conformance list of the host contract.

#[path = "../support/handler.rs"]
mod handler;

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use backtest_functions::devhost::app::{App, HttpMode};
use backtest_functions::devhost::envelope::{messages, to_base64};
use backtest_functions::devhost::ncrontab::Schedule;
use backtest_functions::devhost::process::{Severity, severity};
use backtest_functions::devhost::queue::Queues;
use backtest_functions::devhost::route::Route;
use backtest_functions::devhost::timer::{Status, never, open};
use backtest_functions::devhost::{Event, ExitReason, Options};
use chrono::{DateTime, Utc};
use handler::{PATIENCE, TestApp};
use serde_json::{Value, json};

#[test]
#[ignore = "plays the handler for the other tests"]
fn as_handler() {
    handler::run();
}

#[test]
#[ignore = "runs a host of its own for one test"]
fn as_host() {
    handler::run_host();
}

async fn until(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it did not come true");
}

fn header<'a>(request: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = request["headers"].as_array().unwrap().iter();
    headers.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap()).collect()
}

// ---- launch and process

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

// ---- requests

/// 10, 11, 17: the path keeps its prefix, the ids are there, any status and headers come back as they are.
#[tokio::test(flavor = "multi_thread")]
async fn passes_requests_and_answers_on_in_both_plain_modes() {
    for proxying in [true, false] {
        let app = TestApp::new()
            .http("submit", "runs", &["post"])
            .host("/customHandler/enableForwardingHttpRequest", json!(true))
            .host("/customHandler/enableProxyingHttpRequest", json!(proxying));
        let mut host = app.start().await;
        let response = host.request("POST", "/api/runs").body("hello").send().await.unwrap();
        let request: Value = response.json().await.unwrap();
        assert_eq!(
            (&request["method"], &request["path"], &request["body"]),
            (&json!("POST"), &json!("/api/runs"), &json!("hello"))
        );
        let first = header(&request, "x-azure-functions-invocationid")[0].to_owned();
        assert!(uuid::Uuid::try_parse(&first).is_ok());
        assert_eq!(header(&request, "x-azure-functions-hostversion").len(), 1);
        let second: Value = host.request("POST", "/api/runs").send().await.unwrap().json().await.unwrap();
        assert_ne!(header(&second, "x-azure-functions-invocationid")[0], first);
        for _ in 0..2 {
            assert_eq!(host.finished().await, None);
        }
        // 18: a redirect is not followed either.
        for status in [404, 409, 422, 503, 302] {
            let wish = format!("status:{status}");
            let response = host.request("POST", "/api/runs").header("x-do", wish).send().await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()["location"], "/api/elsewhere");
            assert_eq!(response.headers()["etag"], "\"7\"");
            assert_eq!(response.headers()["retry-after"], "9");
            assert_eq!(response.text().await.unwrap(), "{\"a\":1}");
            assert_eq!(host.finished().await, None);
        }
        host.host.stop().await;
    }
}

/// 12, 13, 14, 15, 16: where the two plain modes differ.
#[tokio::test(flavor = "multi_thread")]
async fn shows_the_peculiarities_of_each_plain_mode() {
    for proxying in [true, false] {
        let app = TestApp::new()
            .http("submit", "runs", &["post"])
            .host("/customHandler/enableForwardingHttpRequest", json!(true))
            .host("/customHandler/enableProxyingHttpRequest", json!(proxying));
        let host = app.start().await;
        let request = host
            .request("POST", "/api/runs?a=1&a=2&b=x%20y")
            .header("x-azure-functions-invocationid", "mine")
            .header("user-agent", "tester/1")
            .header("content-encoding", "gzip")
            .header("content-type", "text/plain")
            .body("packed");
        let seen: Value = request.send().await.unwrap().json().await.unwrap();
        let id = header(&seen, "x-azure-functions-invocationid");
        assert_eq!(id.len(), 1);
        assert_eq!(header(&seen, "content-type"), ["text/plain"]);
        let chunked = futures_util::stream::iter([Ok::<_, std::io::Error>("piece")]);
        let chunked =
            host.request("POST", "/api/runs").body(reqwest::Body::wrap_stream(chunked)).send().await.unwrap();
        if proxying {
            assert!(uuid::Uuid::try_parse(id[0]).is_ok());
            assert_eq!(header(&seen, "x-ms-invocation-id"), id);
            assert_eq!(header(&seen, "user-agent"), ["tester/1"]);
            assert_eq!(seen["query"], "a=1&a=2&b=x%20y");
            assert_eq!(header(&seen, "content-encoding"), ["gzip"]);
            assert_eq!(chunked.status(), 200);
            let seen: Value = chunked.json().await.unwrap();
            assert_eq!(seen["body"], "piece");
        } else {
            assert!(id[0].starts_with("mine, "), "{}", id[0]);
            assert!(header(&seen, "user-agent")[0].starts_with("tester/1 Azure-Functions-Host/"));
            assert_eq!(seen["query"], "a=1%2C2&b=x%20y");
            assert!(header(&seen, "content-encoding").is_empty());
            assert_eq!(chunked.status(), 500);
            assert_eq!(app.requests().len(), 1);
        }
        host.host.stop().await;
    }
}

/// Proxy mode hands the first piece on while the answer is still being written.
#[tokio::test(flavor = "multi_thread")]
async fn streams_answers_when_proxying() {
    let app = TestApp::new().http("stream", "stream", &["get"]);
    let host = app.start().await;
    let mut response = host.request("GET", "/api/stream").header("x-do", "drip").send().await.unwrap();
    let piece = tokio::time::timeout(PATIENCE, response.chunk()).await.unwrap().unwrap().unwrap();
    assert_eq!(piece, "drop\n");
    host.host.stop().await;
}

/// A caller that hangs up takes a streamed request with it.
#[tokio::test(flavor = "multi_thread")]
async fn gives_up_a_streamed_request_when_the_caller_hangs_up() {
    let app = TestApp::new().http("hello", "hello", &["get"]);
    let mut host = app.start().await;
    host.ready().await;
    let request =
        host.request("GET", "/api/hello").header("x-do", "hang").timeout(Duration::from_millis(300));
    assert!(request.send().await.is_err());
    assert_eq!(host.finished().await.as_deref(), Some("nobody waited for the end"));
    host.host.stop().await;
}

/// 19, 20: 404 without body for unknown paths and wrong methods; the first name in the alphabet wins.
#[tokio::test(flavor = "multi_thread")]
async fn finds_functions_in_order_of_names() {
    let app = TestApp::new()
        .http("b_latest", "runs/latest", &["get"])
        .http("A_any", "runs/{id}/{*rest}", &["get"])
        .http("c_number", "number/{value:int:range(1,9)}", &["get"])
        .http("d_probe", "{probe:regex(^(healthz|readyz)$)}", &["get"]);
    let mut host = app.start().await;
    host.ready().await;
    for (method, path, status) in [
        ("GET", "/api/unknown", 404),
        ("POST", "/api/runs/7", 404),
        ("GET", "/api/number/10", 404),
        ("GET", "/api/number/9", 200),
        ("GET", "/api/healthz", 200),
        ("GET", "/api/healthzz", 404),
        ("GET", "/runs/7", 404),
    ] {
        let response = host.request(method, path).send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        if status == 404 {
            assert!(response.bytes().await.unwrap().is_empty());
        }
    }
    for path in ["/api/runs/latest", "/api/runs/7/a/b", "/api/runs/7"] {
        host.get(path).await;
        let wanted = |event: &Event| matches!(event, Event::InvocationFinished { function, .. } if function.starts_with(['A', 'b']));
        let event = host.wait_for(wanted).await;
        assert!(
            matches!(&event, Event::InvocationFinished { function, .. } if function == "A_any"),
            "{path}: {event:?}"
        );
    }
    host.host.stop().await;
}

/// 21: keys are asked for only when switched on.
#[tokio::test(flavor = "multi_thread")]
async fn checks_keys_when_asked_to() {
    let bindings = json!([
        { "type": "httpTrigger", "direction": "in", "name": "req" },
        { "type": "http", "direction": "out", "name": "res" },
    ]);
    let mut app = TestApp::new().function("locked", bindings).http("open", "open", &["get"]);
    let host = app.start().await;
    assert_eq!(host.get("/api/locked").await.status(), 200);
    host.host.stop().await;

    app.options.enable_auth = true;
    let host = app.start().await;
    let file = app.options.state_dir.join("keys.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let keys: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let key = keys["functions"]["locked"].as_str().unwrap();
    let refused = host.get("/api/locked").await;
    assert_eq!(refused.status(), 401);
    assert!(refused.bytes().await.unwrap().is_empty());
    assert_eq!(host.get("/api/locked?code=wrong").await.status(), 401);
    assert_eq!(host.get(&format!("/api/locked?code={key}")).await.status(), 200);
    let by_header = host.request("GET", "/api/locked").header("x-functions-key", key).send().await.unwrap();
    assert_eq!(by_header.status(), 200);
    assert_eq!(host.get("/api/open").await.status(), 200);
    assert_eq!(host.get("/admin/host/status").await.status(), 401);
    let master = keys["master"].as_str().unwrap();
    assert_eq!(host.get(&format!("/admin/host/status?code={master}")).await.status(), 200);
    host.host.stop().await;
}

/// 22: a body above the limit never reaches the handler; a setting moves the limit.
#[tokio::test(flavor = "multi_thread")]
async fn refuses_a_body_above_the_limit() {
    let app =
        TestApp::new().http("submit", "runs", &["post"]).setting("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", "10");
    let host = app.start().await;
    assert_eq!(host.request("POST", "/api/runs").body("0123456789").send().await.unwrap().status(), 200);
    assert_eq!(host.request("POST", "/api/runs").body("0123456789+").send().await.unwrap().status(), 413);
    assert_eq!(app.requests().len(), 1);
    host.host.stop().await;
}

/// 23: a further output closes the plain ways; the outputs of the answer become response and messages.
#[tokio::test(flavor = "multi_thread")]
async fn describes_requests_when_there_is_another_output() {
    let bindings = json!([
        { "type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous", "route": "runs/{id?}" },
        { "type": "http", "direction": "out", "name": "res" },
        { "type": "queue", "direction": "out", "name": "jobs", "queueName": "jobs" },
    ]);
    let app = TestApp::new().function("submit", bindings);
    let host = app.start().await;
    let answer = json!({ "Outputs": {
        "res": { "statusCode": "202", "headers": { "Location": "/api/runs/1" }, "body": { "id": 1 } },
        "jobs": [{ "v": 1 }, "plain"],
    }});
    let body = json!({ "do": format!("answer:{answer}"), "id": "from body" }).to_string();
    let request =
        host.request("POST", "/api/runs?x=1&x=2").header("content-type", "application/json").body(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(response.headers()["location"], "/api/runs/1");
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.text().await.unwrap(), "{\n  \"id\": 1\n}");
    assert_eq!(host.texts("jobs"), [r#"{"v":1}"#, "plain"]);

    let request = app.requests().remove(0);
    assert_eq!(request["path"], "/submit");
    let envelope = app.envelopes().remove(0);
    let described = &envelope["Data"]["req"];
    assert_eq!(described["Method"], "POST");
    assert_eq!(described["Url"], format!("{}/api/runs?x=1&x=2", host.base));
    assert_eq!(described["Query"]["x"], "1,2");
    assert_eq!(described["Params"], json!({ "id": null }));
    assert_eq!(described["Headers"]["Content-Type"], json!(["application/json"]));
    assert_eq!(envelope["Metadata"]["x"], "\"2\"");
    assert_eq!(envelope["Metadata"]["id"], "\"from body\"");
    // Without a usable answer the caller learns nothing.
    let failed = host.request("POST", "/api/runs").body(r#"{"do":"text"}"#).send().await.unwrap();
    assert_eq!(failed.status(), 500);
    assert!(failed.bytes().await.unwrap().is_empty());
    host.host.stop().await;
}

// ---- messages

/// 27, 28, 30, 31: how a text message is described.
#[tokio::test(flavor = "multi_thread")]
async fn describes_messages_as_the_host_does() {
    let app = TestApp::new().queue("Work", "jobs").host("/extensions/queues/batchSize", json!(1));
    let mut host = app.start().await;
    host.put("jobs", "hello");
    assert_eq!(host.finished().await, None);
    host.put(
        "jobs",
        r#" {"id": 7, "run_id": "r1", "flag": true, "list": [1], "queueTrigger": "x", "sub": {"a": 1}} "#,
    );
    assert_eq!(host.finished().await, None);
    let requests = app.requests();
    let request = &requests[0];
    assert_eq!((&request["method"], &request["path"]), (&json!("POST"), &json!("/Work")));
    assert_eq!(header(request, "content-type"), ["application/json; charset=utf-8"]);
    assert_eq!(header(request, "transfer-encoding"), ["chunked"]);
    assert!(header(request, "content-length").is_empty());
    assert!(header(request, "user-agent")[0].starts_with("Azure-Functions-Host/"));
    assert_eq!(header(request, "x-azure-functions-invocationid").len(), 1);

    let envelopes = app.envelopes();
    let first = &envelopes[0];
    assert_eq!(first["Data"], json!({ "job": "\"hello\"" }));
    let metadata = &first["Metadata"];
    assert_eq!(metadata["DequeueCount"], "1");
    for name in ["Id", "PopReceipt"] {
        let text = metadata[name].as_str().unwrap();
        assert!(text.len() > 2 && text.starts_with('"') && text.ends_with('"'), "{name}: {text}");
    }
    for name in ["InsertionTime", "ExpirationTime", "NextVisibleTime"] {
        let text = metadata[name].as_str().unwrap();
        assert_eq!((text.len(), &text[19..]), (25, "+00:00"), "{name}: {text}");
    }
    assert_eq!(metadata["sys"]["MethodName"], "Work");
    assert!(metadata.get("QueueTrigger").is_none());

    let second = &envelopes[1];
    let text: String = serde_json::from_str(second["Data"]["job"].as_str().unwrap()).unwrap();
    assert!(text.starts_with(" {\"id\": 7"));
    let metadata = &second["Metadata"];
    assert_eq!(metadata["Id"], "\"7\"");
    assert_eq!(metadata["run_id"], "\"r1\"");
    assert_eq!(metadata["flag"], "\"True\"");
    assert_eq!(metadata["sub"], json!({ "a": 1 }));
    assert!(
        metadata.get("list").is_none()
            && metadata.get("queueTrigger").is_none()
            && metadata.get("id").is_none()
    );
    host.host.stop().await;
}

/// 29: bytes are encoded once, and nothing leaks out of them.
#[tokio::test(flavor = "multi_thread")]
async fn hands_bytes_over_in_binary_mode() {
    let binding = json!({ "type": "queueTrigger", "direction": "in", "name": "job", "queueName": "jobs", "dataType": "binary" });
    let app = TestApp::new().function("work", json!([binding]));
    let mut host = app.start().await;
    host.put("jobs", r#"{"id":7}"#);
    assert_eq!(host.finished().await, None);
    let envelope = app.envelopes().remove(0);
    assert_eq!(envelope["Data"]["job"], "eyJpZCI6N30=");
    assert_ne!(envelope["Metadata"]["Id"], "\"7\"");
    host.host.stop().await;
}

/// 32, 34: bad answers are failures; after as many executions as allowed the same text lies in the poison queue.
#[tokio::test(flavor = "multi_thread")]
async fn moves_a_message_to_poison_after_its_executions() {
    let app = TestApp::new().queue("work", "jobs").host("/extensions/queues/maxDequeueCount", json!(2));
    let mut host = app.start().await;
    host.put("jobs", r#"{"do":"answer:{}"}"#);
    assert_eq!(host.finished().await, None);
    host.until_length("jobs", 0).await;
    let wishes = ["text", "malformed", "status:500", "empty", "null"];
    for (count, wish) in wishes.iter().enumerate() {
        let message = json!({ "do": wish }).to_string();
        host.put("jobs", &message);
        for _ in 0..2 {
            let failure = host.finished().await.expect("a failure");
            assert_eq!(failure.contains("would hang"), ["empty", "null"].contains(wish), "{wish}: {failure}");
        }
        host.until_length("jobs-poison", count as u64 + 1).await;
        assert_eq!(host.texts("jobs-poison").pop().unwrap(), message);
    }
    assert_eq!(app.requests().len(), 1 + 2 * wishes.len());
    host.host.stop().await;
}

/// 34: a failed message rests for the visibility timeout.
#[tokio::test(flavor = "multi_thread")]
async fn shows_a_failed_message_again_after_the_visibility_timeout() {
    let app = TestApp::new()
        .queue("work", "jobs")
        .host("/extensions/queues/maxDequeueCount", json!(2))
        .setting("AzureFunctionsJobHost__extensions__queues__visibilityTimeout", "00:00:00.7");
    let mut host = app.start().await;
    host.put("jobs", r#"{"do":"status:500"}"#);
    assert!(host.finished().await.is_some());
    let failed = Instant::now();
    assert!(host.finished().await.is_some());
    assert!(failed.elapsed() > Duration::from_millis(650), "{:?}", failed.elapsed());
    host.host.stop().await;
}

/// 33: in strict mode an empty answer hangs until the timeout, which kills the handler.
#[tokio::test(flavor = "multi_thread")]
async fn hangs_on_an_empty_answer_when_strict() {
    let app = TestApp::new()
        .queue("work", "jobs")
        .host("/functionTimeout", json!("00:00:01"))
        .host("/extensions/queues/maxDequeueCount", json!(1))
        .with(|options| options.strict = true);
    let mut host = app.start().await;
    host.ready().await;
    host.put("jobs", r#"{"do":"empty"}"#);
    let failure = host.finished().await.expect("a failure");
    assert!(failure.contains("timed out"), "{failure}");
    host.ready().await;
    assert_eq!(app.starts().len(), 2);
    host.host.stop().await;
}

/// 35: text that is no base64 is never shown to the handler.
#[tokio::test(flavor = "multi_thread")]
async fn moves_undecodable_messages_to_poison_uninvoked() {
    let app = TestApp::new().queue("work", "jobs");
    let host = app.start().await;
    host.host.queues().put("jobs", "{plain}").unwrap();
    host.until_length("jobs-poison", 1).await;
    assert_eq!(host.host.queues().peek("jobs-poison").unwrap(), ["{plain}"]);
    assert!(app.requests().is_empty());
    host.host.stop().await;
}

/// 36: a long run keeps its message by renewing; after the host is gone the message returns when the lease ends.
#[tokio::test(flavor = "multi_thread")]
async fn holds_messages_by_a_lease() {
    let app = TestApp::new()
        .queue("work", "jobs")
        .with(|options| (options.strict, options.lease_seconds) = (true, Some(1)));
    let mut host = app.start().await;
    host.put("jobs", r#"{"do":"slow:1800"}"#);
    assert_eq!(host.finished().await, None);
    host.until_length("jobs", 0).await;
    assert_eq!(app.requests().len(), 1);
    host.put("jobs", r#"{"do":"slow:900"}"#);
    while app.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let killed = Instant::now();
    host.host.stop().await;
    let mut host = app.start().await;
    assert_eq!(host.finished().await, None);
    assert!(killed.elapsed() > Duration::from_millis(1600), "{:?}", killed.elapsed());
    assert_eq!(app.envelopes()[2]["Metadata"]["DequeueCount"], "2");
    host.host.stop().await;
}

/// 36: after a kill of the whole host the message returns when its lease ends, and the handler left behind is ended.
#[tokio::test(flavor = "multi_thread")]
async fn recovers_from_a_kill_of_the_whole_host() {
    let app = TestApp::new().queue("work", "jobs").with(|options| options.lease_seconds = Some(1));
    app.write_host_json();
    let host = app.start().await;
    host.host.stop().await;
    let queues = Queues::open(&app.options.state_dir.join("queues.sqlite")).unwrap();
    queues.put("jobs", &to_base64(br#"{"do":"slow:60000"}"#)).unwrap();
    let mut other = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["devhost::as_host", "--exact", "--ignored", "--nocapture"])
        .env("APP_ROOT", app.root())
        .env("OUTLIVE_THE_HOST", "yes")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until(|| !app.requests().is_empty()).await;
    let busy = app.try_start().await.map(drop).unwrap_err().to_string();
    assert!(busy.starts_with("another host is running"), "{busy}");
    other.kill().unwrap();
    other.wait().unwrap();
    let orphan = app.requests()[0]["process"].to_string();
    // A process that ended but was not yet collected has no environment any more.
    let is_alive = || std::fs::read(format!("/proc/{orphan}/environ")).is_ok_and(|text| !text.is_empty());
    assert!(is_alive());
    let host = app.start().await;
    until(|| app.requests().len() == 2).await;
    assert_eq!(app.envelopes()[1]["Metadata"]["DequeueCount"], "2");
    until(|| !is_alive()).await;
    host.host.stop().await;
}

/// 37: one at a time when so configured, several otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn runs_as_many_at_once_as_configured() {
    for (batch, threshold, most) in [(1, 0, 1), (4, 2, 6)] {
        let app = TestApp::new()
            .queue("work", "jobs")
            .host("/extensions/queues/batchSize", json!(batch))
            .host("/extensions/queues/newBatchThreshold", json!(threshold));
        let mut host = app.start().await;
        host.ready().await;
        for _ in 0..8 {
            host.put("jobs", r#"{"do":"slow:60"}"#);
        }
        for _ in 0..8 {
            assert_eq!(host.finished().await, None);
        }
        let running =
            app.requests().iter().map(|request| request["running"].as_u64().unwrap()).max().unwrap();
        assert!(running <= most && (most == 1 || running > 1), "{running} of {most}");
        host.host.stop().await;
    }
}

/// 38: a missing queue is no fault; failures in a poison function are not poisoned again.
#[tokio::test(flavor = "multi_thread")]
async fn waits_for_queues_and_never_poisons_poison() {
    let app = TestApp::new()
        .queue("work", "jobs-poison")
        .host("/extensions/queues/maxDequeueCount", json!(1))
        .with(|options| options.lease_seconds = Some(1));
    let mut host = app.start().await;
    host.ready().await;
    assert!(!host.host.queues().exists("jobs-poison").unwrap());
    host.put("jobs-poison", r#"{"do":"status:500"}"#);
    assert!(host.finished().await.is_some());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(host.texts("jobs-poison").len(), 1);
    assert_eq!(app.requests().len(), 1);
    assert!(!host.host.queues().exists("jobs-poison-poison").unwrap());
    host.host.stop().await;
}

/// A message written through a binding is taken at once, not at the next look.
#[tokio::test(flavor = "multi_thread")]
async fn wakes_the_listener_of_a_written_queue() {
    let bindings = json!([
        { "type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous" },
        { "type": "http", "direction": "out", "name": "res" },
        { "type": "queue", "direction": "out", "name": "jobs", "queueName": "jobs" },
    ]);
    let app = TestApp::new()
        .function("submit", bindings)
        .queue("work", "jobs")
        .host("/extensions/queues/maxPollingInterval", json!("00:01:00"));
    let mut host = app.start().await;
    host.ready().await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let body = json!({ "do": r#"answer:{"Outputs":{"res":{},"jobs":{"v":1}}}"# }).to_string();
    host.request("POST", "/api/submit").body(body).send().await.unwrap();
    let answered = Instant::now();
    host.wait_for(|event| matches!(event, Event::InvocationStarted { function, .. } if function == "work"))
        .await;
    // A few milliseconds on an idle machine; the next look would be up to a minute away.
    assert!(answered.elapsed() < Duration::from_millis(500), "{:?}", answered.elapsed());
    host.host.stop().await;
}

// ---- time

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

// ---- the rest

/// 40: a run by hand is accepted at once and makes one call.
#[tokio::test(flavor = "multi_thread")]
async fn runs_functions_by_hand() {
    let app =
        TestApp::new().queue("work", "jobs").timer("tick", "0 0 0 1 1 *").http("hello", "hello", &["get"]);
    let mut host = app.start().await;
    let response =
        host.request("POST", "/admin/functions/work").body(r#"{"input":"{\"a\":1}"}"#).send().await.unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(host.finished().await, None);
    assert_eq!(host.request("POST", "/admin/functions/tick").body("{}").send().await.unwrap().status(), 202);
    assert_eq!(host.finished().await, None);
    let envelopes = app.envelopes();
    assert_eq!(envelopes[0]["Data"]["job"], "\"{\\\"a\\\":1}\"");
    assert_eq!(envelopes[1]["Data"]["timer"]["IsPastDue"], false);
    assert_eq!(host.request("POST", "/admin/functions/absent").send().await.unwrap().status(), 404);
    assert_eq!(host.request("POST", "/admin/functions/hello").send().await.unwrap().status(), 400);

    assert_eq!(host.get("/admin/host/ping").await.status(), 200);
    let status: Value = host.get("/admin/host/status").await.json().await.unwrap();
    assert_eq!(status["state"], "Running");
    let functions: Value = host.get("/admin/functions").await.json().await.unwrap();
    let names: Vec<&Value> = functions.as_array().unwrap().iter().map(|function| &function["name"]).collect();
    assert_eq!(names, ["hello", "tick", "work"]);
    let page = host.get("/").await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    for text in ["hello", "/api/hello", "0 0 0 1 1 *", "by hand", "succeeded"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    host.host.stop().await;
}

/// 40: every fault at once, with file and field.
#[tokio::test(flavor = "multi_thread")]
async fn lists_every_fault_of_an_app() {
    let queue = |name: &str| json!([{ "type": "queueTrigger", "direction": "in", "name": name, "queueName": "%NO_QUEUE%" }]);
    let app = TestApp::new()
        .host("/version", json!("1.0"))
        .host("/extensions/queues/batchSize", json!(33))
        .file("functions/broken/function.json", "{ \"bindings\": [")
        .file("functions/outer/inner/function.json", "{}")
        .file("functions/docs/readme.txt", "no function")
        .with(|options| options.functions_dir = options.app_root.join("functions"))
        .function("functions/name", queue("my_job"))
        .function(
            "functions/time",
            json!([{ "type": "timerTrigger", "direction": "in", "name": "t", "schedule": "0 0 0 * * 7" }]),
        )
        .function("functions/kind", json!([{ "type": "blobTrigger", "direction": "in", "name": "b" }]))
        .function(
            "functions/route",
            json!([
                { "type": "httpTrigger", "direction": "out", "name": "req", "route": "a/{b:what}" },
                { "type": "http", "direction": "out", "name": "req" },
            ]),
        )
        .function(
            "functions/two",
            json!([
                { "type": "httpTrigger", "direction": "in", "name": "a" },
                { "type": "httpTrigger", "direction": "in", "name": "b" },
            ]),
        );
    let text = app.refusal().await;
    for fault in [
        "host.json: version: must be \"2.0\"",
        "host.json: extensions.queues.batchSize: `33` is no number from 1 to 32",
        "functions/broken/function.json: is no JSON",
        "functions/outer/inner/function.json: is nested too deep",
        "functions/name/function.json: bindings[0].name: `my_job`",
        "functions/name/function.json: bindings[0].queueName: `%NO_QUEUE%` is not set",
        "functions/time/function.json: bindings[0].schedule: `0 0 0 * * 7`",
        "functions/kind/function.json: bindings[0].type: `blobTrigger`",
        "functions/route/function.json: bindings[0].direction",
        "functions/route/function.json: bindings[0].route: route `a/{b:what}`",
        "functions/route/function.json: bindings[1].name: `req` is used twice",
        "functions/two/function.json: bindings: needs exactly one trigger, has 2",
    ] {
        assert!(text.contains(fault), "{fault}\nin\n{text}");
    }
    assert!(text.starts_with("the function app has 12 faults:"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_storage_it_does_not_have() {
    let app =
        TestApp::new().queue("work", "jobs").setting("AzureWebJobsStorage", "UseDevelopmentStorage=true");
    let text = app.refusal().await;
    assert!(text.contains("settings: AzureWebJobsStorage: names a storage service"), "{text}");
    let app = app.setting("AzureWebJobsStorage", "UseDevelopmentStorage=disk");
    app.start().await.host.stop().await;
}

/// 40: settings: defaults, then the local file, then the environment; overrides of `host.json`; comments.
#[tokio::test(flavor = "multi_thread")]
async fn layers_settings_and_overrides() {
    let app = TestApp::new()
        .function("work", json!([{ "type": "queueTrigger", "direction": "in", "name": "job", "queueName": "%QUEUE%" }]))
        .http("hello", "hello", &["get"])
        .file("local.settings.json", "{ // values\n \"Values\": { \"QUEUE\": \"from-file\", \"TOP\": \"file\", /* x */ \"URL\": \"http://a\" } }")
        .setting("QUEUE", "from-default")
        .setting("TOP", "default")
        .setting("AzureFunctionsJobHost__extensions__http__routePrefix", "v2")
        .setting("AzureWebJobs.work.Disabled", "true")
        .with(|options| drop(options.environment.insert("TOP".to_owned(), "environment".to_owned())));
    let mut host = app.start().await;
    host.ready().await;
    assert_eq!(host.get("/api/hello").await.status(), 404);
    let functions: Value = host.get("/admin/functions").await.json().await.unwrap();
    assert_eq!(functions[0]["invoke_url_template"], "/v2/hello");
    assert_eq!(functions[1]["config"]["bindings"][0]["queueName"], "from-file");
    assert_eq!(functions[1]["isDisabled"], true);
    let environment = &app.starts()[0]["environment"];
    assert_eq!((&environment["TOP"], &environment["URL"]), (&json!("environment"), &json!("http://a")));
    host.host.stop().await;
}

/// A new build of the executable is started by itself when watched.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_on_a_new_executable_when_watching() {
    let app = TestApp::new().http("hello", "hello", &["get"]).with(|options| options.watch = true);
    let copy = app.root().join("handler");
    let program = std::env::current_exe().unwrap();
    std::fs::copy(&program, &copy).unwrap();
    let app = app.host("/customHandler/description/defaultExecutablePath", json!("handler"));
    let mut host = app.start().await;
    host.ready().await;
    let beside = app.root().join("handler.new");
    std::fs::copy(&program, &beside).unwrap();
    std::fs::rename(&beside, &copy).unwrap();
    host.ready().await;
    assert_eq!(app.starts().len(), 2);
    host.host.stop().await;
}

/// The app of this repository is one that the host takes.
#[tokio::test(flavor = "multi_thread")]
async fn accepts_the_app_of_this_repository() {
    let mut options = Options::new(env!("CARGO_MANIFEST_DIR"));
    let names = ["BACKTEST_QUEUE", "RECONCILE_SCHEDULE", "SIGNAL_SYNC_SCHEDULE"];
    let values = ["backtest-runs", "0 * * * * *", "0 */15 * * * *"];
    options.settings = names.into_iter().map(str::to_owned).zip(values.map(str::to_owned)).collect();
    let app = App::load(&options).unwrap();
    assert!(app.functions.len() >= 8);
    let mode = |name: &str| {
        let function = app.functions.iter().find(|function| function.name == name).unwrap();
        app.http_mode(function)
    };
    assert_eq!((mode("submit"), mode("status")), (HttpMode::Envelope, HttpMode::Proxy));
}

#[test]
fn matches_routes_as_the_front_door_does() {
    let some = |pairs: &[(&str, Option<&str>)]| {
        let owned = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
        Some(owned.collect::<Vec<_>>())
    };
    for (template, path, wanted) in [
        ("runs", "RUNS/", some(&[])),
        ("runs", "runs/1", None),
        ("runs/{id}", "runs/", None),
        ("runs/{id?}", "runs", some(&[("id", None)])),
        ("runs/{id=7}", "runs", some(&[("id", Some("7"))])),
        ("runs/{id}/{*rest}", "runs/1", some(&[("id", Some("1")), ("rest", None)])),
        ("runs/{id}/{**rest}", "runs/1/a/b", some(&[("id", Some("1")), ("rest", Some("a/b"))])),
        ("{*all}", "", some(&[("all", None)])),
        ("{name}.{kind}", "report.html", some(&[("name", Some("report")), ("kind", Some("html"))])),
        ("{id:guid}", "nope", None),
        (
            "{id:guid}",
            "24ad4c06-1e5c-4a8e-9c53-0e7d54cb0a3c",
            some(&[("id", Some("24ad4c06-1e5c-4a8e-9c53-0e7d54cb0a3c"))]),
        ),
        ("{word:alpha:length(2,3)}", "abc", some(&[("word", Some("abc"))])),
        ("{word:alpha:length(2,3)}", "abcd", None),
        ("{word:alpha}", "ab1", None),
        ("{count:int:min(3)?}", "", some(&[("count", None)])),
        ("{count:int:min(3)?}", "2", None),
        ("{text:minlength(2)}", "a", None),
        ("{text:maxlength(2)}", "abc", None),
        ("{code:regex(^\\d{{3}}$)}", "123", some(&[("code", Some("123"))])),
        ("{code:regex(^\\d{{3}}$)}", "1234", None),
    ] {
        assert_eq!(Route::parse(template).unwrap().matches(path), wanted, "{template} on {path}");
    }
    for template in ["/runs", "a//b", "{", "a}", "{id:what}", "{*rest}/more", "{:int}", "{x:min(a)}"] {
        assert!(Route::parse(template).is_err(), "{template}");
    }
}

/// Strings that look like base64 are decoded on the way into a queue, unless the binding is binary.
#[test]
fn makes_messages_of_outputs() {
    let texts = |value: Value, binary: bool| -> Vec<String> {
        messages(&value, binary)
            .into_iter()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    };
    assert_eq!(texts(json!({ "a": 1 }), false), [r#"{"a":1}"#]);
    assert_eq!(texts(json!([{ "a": 1 }, "b", 3, null]), false), [r#"{"a":1}"#, "b", "3"]);
    assert_eq!(texts(json!("[1,2]"), false), ["1", "2"]);
    assert_eq!(texts(json!("aGVsbG8="), false), ["hello"]);
    assert_eq!(texts(json!("aGVsbG8="), true), ["aGVsbG8="]);
    assert_eq!(texts(json!("hello"), false), ["hello"]);
}
