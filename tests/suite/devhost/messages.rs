//! Queue messages: how they are described, held, tried again and poisoned.

use std::time::{Duration, Instant};

use backtest_functions::devhost::Event;
use backtest_functions::devhost::envelope::{messages, to_base64};
use backtest_functions::devhost::queue::Queues;
use serde_json::{Value, json};

use super::handler::TestApp;
use super::{header, until};

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

/// 35: text that is not base64 is never shown to the handler.
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

/// 38: a missing queue is not a fault; failures in a poison function are not poisoned again.
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

/// Strings that look like base64 are decoded on the way into a queue, unless the binding is binary.
#[test]
fn makes_messages_of_outputs() {
    let texts = |value: Value, binary: bool| -> Vec<String> {
        messages(&value, binary)
            .unwrap()
            .into_iter()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    };
    assert_eq!(texts(json!({ "a": 1 }), false), ["{\n  \"a\": 1\n}"]);
    assert_eq!(texts(json!([{ "a": 1 }, "b", 3, null]), false), ["{\n  \"a\": 1\n}", "b", "3"]);
    assert_eq!(texts(json!(r#"{"a":1}"#), true), [r#"{"a":1}"#]);
    assert!(messages(&json!(" {a}"), false).is_err());
    assert_eq!(texts(json!("[1,2]"), false), ["1", "2"]);
    assert_eq!(texts(json!("aGVsbG8="), false), ["hello"]);
    assert_eq!(texts(json!("aGVsbG8="), true), ["aGVsbG8="]);
    assert_eq!(texts(json!("hello"), false), ["hello"]);
}
