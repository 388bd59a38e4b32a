//! Peculiarities of the genuine host that were seen on it, one test each: what a handler or a caller may stumble over in
//! Azure shows here first.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::handler::{Running, TestApp};
use super::until;

/// An app with one function that is called by envelope and has a queue output.
fn enveloped(output: &str) -> TestApp {
    let bindings = json!([
        { "type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous", "route": "runs/{id?}" },
        { "type": "http", "direction": "out", "name": output },
        { "type": "queue", "direction": "out", "name": "jobs", "queueName": "jobs" },
    ]);
    TestApp::new().function("submit", bindings)
}

/// Status and body of a call whose handler answers this.
async fn answered(host: &Running, answer: &Value) -> (u16, String) {
    let body = json!({ "do": format!("answer:{answer}") }).to_string();
    let response = host.request("POST", "/api/runs").body(body).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_answers_as_loosely_and_as_strictly() {
    let app = enveloped("res");
    let host = app.start().await;
    let res = |res: Value| json!({ "Outputs": { "res": res } });
    for (answer, status, body) in [
        (json!({}), 204, ""),
        (json!({ "Outputs": {} }), 200, "{}"),
        (res(Value::Null), 500, ""),
        (res(json!("text")), 500, ""),
        (res(json!({ "status": 409, "body": "b" })), 200, "b"),
        (res(json!({ "STATUSCODE": "409", "body": "b" })), 409, "b"),
        (res(json!({ "statusCode": "no status", "body": "b" })), 200, "b"),
        (res(json!({ "statusCode": 7, "body": "b" })), 200, "b"),
        (res(json!({ "body": "b", "headers": { "x": ["a", "b"] } })), 500, ""),
        (res(json!({ "body": "b", "headers": { "x": "ä" } })), 500, ""),
        (res(json!({ "body": "b", "headers": { "x": 1 } })), 200, "b"),
    ] {
        assert_eq!(answered(&host, &answer).await, (status, body.to_owned()), "{answer}");
    }
    host.host.stop().await;

    let app = enveloped("$return");
    let host = app.start().await;
    for (answer, status, body) in [
        (json!({}), 204, ""),
        (json!({ "ReturnValue": null }), 204, ""),
        (json!({ "ReturnValue": "aGVsbG8=" }), 200, "hello"),
        (json!({ "ReturnValue": "hello!" }), 200, "hello!"),
        (json!({ "ReturnValue": { "statusCode": 202, "body": "b" } }), 202, "b"),
    ] {
        assert_eq!(answered(&host, &answer).await, (status, body.to_owned()), "{answer}");
    }
    host.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_json_messages_anew_and_refuses_what_only_looks_like_json() {
    let app = enveloped("res");
    let host = app.start().await;
    let sends = |jobs: Value| json!({ "Outputs": { "res": {}, "jobs": jobs } });
    assert_eq!(answered(&host, &sends(json!([{ "v": 1 }, "plain"]))).await.0, 200);
    assert_eq!(answered(&host, &sends(json!("{\"v\":2}"))).await.0, 200);
    assert_eq!(answered(&host, &sends(json!("{not json}"))).await.0, 500);
    assert_eq!(host.texts("jobs"), ["{\n  \"v\": 1\n}", "plain", "{\n  \"v\": 2\n}"]);
    host.host.stop().await;
}

/// Moments lose their form, a route parameter goes before the body, the last value of a doubled name counts.
#[tokio::test(flavor = "multi_thread")]
async fn describes_requests_with_its_own_idea_of_values() {
    let app = enveloped("res");
    let host = app.start().await;
    let body = json!({ "at": "2026-01-02T03:04:05Z", "shifted": "2026-01-02T03:04:05+01:00", "day": "2026-01-02",
        "flag": true, "id": "from body" });
    host.request("POST", "/api/runs/from-route?x=1&x=2").body(body.to_string()).send().await.unwrap();
    let envelope = app.envelopes().remove(0);
    let metadata = &envelope["Metadata"];
    for (name, value) in [
        ("at", "\"01/02/2026 03:04:05\""),
        ("shifted", "\"01/02/2026 02:04:05\""),
        ("day", "\"2026-01-02\""),
        ("flag", "\"True\""),
        ("id", "\"from-route\""),
    ] {
        assert_eq!(metadata[name], value, "{name}");
    }
    assert_eq!(
        (&metadata["Query"]["x"], &envelope["Data"]["req"]["Query"]["x"]),
        (&json!("2"), &json!("1,2"))
    );

    for (bytes, text) in [
        (
            [&[0xff, 0xfe][..], &"{\"ä\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()]
                .concat(),
            "{\"ä\":1}",
        ),
        (
            [&[0xfe, 0xff][..], &"{\"ä\":2}".encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>()]
                .concat(),
            "{\"ä\":2}",
        ),
        ("\u{feff}{\"ä\":3}".as_bytes().to_vec(), "{\"ä\":3}"),
    ] {
        host.request("POST", "/api/runs").body(bytes).send().await.unwrap();
        assert_eq!(app.envelopes().pop().unwrap()["Data"]["req"]["Body"], text);
    }
    host.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_away_long_request_lines_and_empty_parts_of_a_path() {
    let app = TestApp::new().http("all", "files/{*rest}", &["get"]);
    let host = app.start().await;
    for (path, status) in [
        ("/api/files/a/b".to_owned(), 200),
        ("/api/files/a//b".to_owned(), 404),
        ("/api/files//a".to_owned(), 404),
        (format!("/api/files/{}", "a".repeat(8100)), 200),
        (format!("/api/files/{}", "a".repeat(8200)), 414),
        (format!("/api/files/a?{}", "a".repeat(8200)), 414),
    ] {
        assert_eq!(host.get(&path).await.status(), status, "{}", &path[..20.min(path.len())]);
    }
    host.host.stop().await;
}

/// .NET counts these among the headers of the content, and the host does not copy them.
#[tokio::test(flavor = "multi_thread")]
async fn loses_headers_of_the_content_when_forwarding() {
    for proxying in [true, false] {
        let app = TestApp::new()
            .http("hello", "hello", &["get"])
            .host("/customHandler/enableForwardingHttpRequest", json!(true))
            .host("/customHandler/enableProxyingHttpRequest", json!(proxying));
        let host = app.start().await;
        let answer = host.request("GET", "/api/hello").header("x-do", "status:200").send().await.unwrap();
        for name in ["allow", "expires", "last-modified"] {
            assert_eq!(answer.headers().contains_key(name), proxying, "{name}");
        }
        host.host.stop().await;
    }
}

/// Raw text on a queue is what another producer may have sent: if it is not base64, nobody is called and it lies in the
/// poison queue, where it cannot be read either.
#[tokio::test(flavor = "multi_thread")]
async fn raw_text_that_is_not_base64_is_poison_without_a_call() {
    let app = TestApp::new().queue("work", "jobs").queue("work_poison", "jobs-poison");
    let host = app.start().await;
    let put = async |queue: &str, body: Value| {
        let path = format!("/admin/queues/{queue}/messages");
        host.request("POST", &path).body(body.to_string()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(put("jobs", json!({ "text": "{plain}" })).await, 201);
    host.until_length("jobs-poison", 1).await;
    host.until_length("jobs", 0).await;
    assert_eq!(put("jobs", json!({ "text": "aGVsbG8=" })).await, 201);
    until(|| !app.requests().is_empty()).await;
    assert_eq!(app.envelopes()[0]["Data"]["job"], "\"hello\"");
    let left: Value = host.get("/admin/queues/jobs-poison").await.json().await.unwrap();
    assert_eq!(left["messages"], json!(["{plain}"]));
    assert_eq!(app.requests().len(), 1, "neither function was called for it");
    assert_eq!(put("No%20Queue", json!({ "text": "a" })).await, 400);
    assert_eq!(put("no_queue", json!({ "text": "a" })).await, 400);
    assert_eq!(put("jobs", json!({ "body": "a" })).await, 400);
    host.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_not_utf8_is_poison_unless_bytes_are_asked_for() {
    let bytes = "/w=="; // one byte, 0xff
    let app = TestApp::new().queue("work", "jobs");
    let host = app.start().await;
    host.host.queues().put("jobs", bytes).unwrap();
    host.until_length("jobs-poison", 1).await;
    assert!(app.requests().is_empty());
    host.host.stop().await;

    let binding = json!({ "type": "queueTrigger", "direction": "in", "name": "job", "queueName": "jobs", "dataType": "binary" });
    let app = TestApp::new().function("work", json!([binding]));
    let mut host = app.start().await;
    host.host.queues().put("jobs", bytes).unwrap();
    assert_eq!(host.finished().await, None);
    assert_eq!(app.envelopes()[0]["Data"]["job"], bytes);
    host.host.stop().await;
}

/// However many executions are allowed: what fails in a poison queue lies there until its lease is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_poison_function_is_called_once_a_lease() {
    let app = TestApp::new()
        .queue("work", "jobs-poison")
        .host("/extensions/queues/maxDequeueCount", json!(5))
        .with(|options| options.lease_seconds = Some(2));
    let mut host = app.start().await;
    host.put("jobs-poison", r#"{"do":"status:500"}"#);
    assert!(host.finished().await.is_some());
    let first = Instant::now();
    assert!(host.finished().await.is_some());
    assert!(first.elapsed() > Duration::from_millis(1500), "{:?}", first.elapsed());
    host.host.stop().await;
}

/// Terminated, the host lets messages that are being worked on come to their end, and takes no others.
#[tokio::test(flavor = "multi_thread")]
async fn waits_for_running_messages_when_it_is_terminated() {
    let app = TestApp::new()
        .queue("work", "jobs")
        .host("/extensions/queues/batchSize", json!(1))
        .host("/extensions/queues/newBatchThreshold", json!(0));
    let mut host = app.start().await;
    host.put("jobs", r#"{"do":"slow:700"}"#);
    host.put("jobs", r#"{"do":"slow:700"}"#);
    until(|| app.requests().len() == 1).await;
    assert_eq!(host.host.messages_running(), 1);
    assert_eq!(host.host.drain(Duration::from_secs(10)).await, 0);
    assert_eq!(host.finished().await, None);
    assert_eq!((app.requests().len(), host.texts("jobs").len()), (1, 1));

    let started = Instant::now();
    host.request("POST", "/admin/host/resume").send().await.unwrap();
    until(|| app.requests().len() == 2).await;
    assert_eq!(host.host.drain(Duration::from_millis(100)).await, 1, "patience has an end");
    assert!(started.elapsed() < Duration::from_secs(5));
    host.host.stop().await;
}
