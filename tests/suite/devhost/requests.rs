//! Requests on their way to the handler and answers on their way back, in all three modes.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::handler::{PATIENCE, TestApp};
use super::header;

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
            .header("content-type", "application/yaml")
            .body("packed");
        let seen: Value = request.send().await.unwrap().json().await.unwrap();
        let id = header(&seen, "x-azure-functions-invocationid");
        assert_eq!(id.len(), 1);
        assert_eq!(header(&seen, "content-type"), ["application/yaml"]);
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
            assert_eq!(seen["query"], "a=1,2&b=x%20y");
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
    assert_eq!(host.finished().await.as_deref(), Some("the caller did not wait for the end"));
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
    assert_eq!(host.request("POST", "/api/runs").body("0123456789+").send().await.unwrap().status(), 500);
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
    assert_eq!(host.texts("jobs"), ["{\n  \"v\": 1\n}", "plain"]);

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
