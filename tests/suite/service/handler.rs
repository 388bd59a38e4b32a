//! The custom handler over real HTTP, in both calling modes.

use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::support::service::{Answer, Handler, Home, eventually, momentum, submission};

fn code(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    (answer.status.as_u16(), answer.json()["code"].as_str().unwrap().to_owned())
}

/// Submits and executes; returns the record afterwards.
async fn completed(handler: &Handler, id: &str, config: Value) -> Value {
    let outputs = handler.submit(&json!({ "config": config, "run_id": id })).await;
    assert_eq!(outputs["res"]["statusCode"], 202, "{outputs}");
    assert_eq!(outputs["runs"], json!([{ "v": 1, "run_id": id }]));
    assert!(handler.wake(id).await.status.is_success());
    handler.run(id).await
}

/// A trace goes from the submit with the messages, also with one that is sent later; what is none is left out.
#[tokio::test]
async fn a_trace_goes_with_the_messages() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let submit = async |id: &str, trace: &str| {
        let mut call = submission(&json!({ "config": momentum(), "run_id": id }), None);
        call["req"]["Headers"]["traceparent"] = json!([trace]);
        handler.envelope("submit", &call).await.json()["Outputs"]["runs"].clone()
    };
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let message = |id: &str| json!([{ "v": 1, "run_id": id, "traceparent": trace }]);
    assert_eq!(submit("traced", trace).await, message("traced"));
    assert_eq!(submit("untraced", "nonsense").await, json!([{ "v": 1, "run_id": "untraced" }]));

    // Called plainly, the message is left to reconcile.
    let plain = handler.http.post(format!("{}/api/backtests", handler.url)).header("traceparent", trace);
    let answer = handler.send(plain.json(&json!({ "config": momentum(), "run_id": "later" }))).await;
    assert_eq!(answer.status.as_u16(), 202);
    let outputs = handler.envelope("reconcile", &json!({})).await.json()["Outputs"]["runs"].clone();
    assert_eq!(outputs, message("later"));
}

#[tokio::test]
async fn a_submitted_config_becomes_a_result() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let run = completed(&handler, "r", momentum()).await;
    assert_eq!(
        (&run["status"], &run["attempt"], &run["progress"]),
        (&json!("completed"), &json!(1), &json!(1.0))
    );
    assert_eq!(run["data_versions"]["prices"]["version"], 1);
    assert!(run["summary"]["total_return"].is_f64());

    let listed = handler.get("/api/backtests?status=completed&q=MOMENT").await.json();
    assert_eq!(listed["runs"], json!([run]));
    assert_eq!(listed["next_cursor"], Value::Null);
    let events = handler.get("/api/backtests/r/events").await.json();
    let told: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["submitted", "claimed", "completed"]);
    assert_eq!(handler.get("/api/backtests/r/summary").await.json(), run["summary"]);
}

#[tokio::test]
async fn artifacts_are_what_their_manifest_says() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    completed(&handler, "r", momentum()).await;
    let artifacts = handler.get("/api/backtests/r/artifacts").await.json();
    let artifacts = artifacts["artifacts"].as_array().unwrap();
    assert!(artifacts.len() >= 10);
    for artifact in artifacts {
        let name = artifact["name"].as_str().unwrap();
        let answer = handler.get(&format!("/api/backtests/r/artifacts/{name}")).await;
        assert_eq!(answer.body.len() as u64, artifact["size_bytes"].as_u64().unwrap(), "{name}");
        assert_eq!(
            backtest_functions::work::sha256_hex(&answer.body),
            artifact["sha256"].as_str().unwrap(),
            "{name}"
        );
        assert_eq!(answer.header("content-type"), artifact["content_type"].as_str().unwrap(), "{name}");
    }

    let url = format!("{}/api/backtests/r/artifacts/trades.csv", handler.url);
    let whole = handler.send(handler.http.get(&url)).await;
    let part = handler.send(handler.http.get(&url).header("range", "bytes=5-9")).await;
    assert_eq!((part.status.as_u16(), part.body.as_slice()), (206, &whole.body[5..10]));
    assert_eq!(part.header("content-range"), format!("bytes 5-9/{}", whole.body.len()));
    let tail = handler.send(handler.http.get(&url).header("range", "bytes=-4")).await;
    assert_eq!(tail.body, whole.body[whole.body.len() - 4..]);
    let outside = handler.send(handler.http.get(&url).header("range", "bytes=99999999-")).await;
    assert_eq!(code(&outside), (416, "range_not_satisfiable".into()));
    let known = handler.send(handler.http.get(&url).header("if-none-match", whole.header("etag"))).await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));

    let page = handler.get("/api/backtests/r/report").await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));

    for name in ["none.csv", "..%2F..%2Fruns.sqlite3", "../../../runs.sqlite3"] {
        let answer = handler.get(&format!("/api/backtests/r/artifacts/{name}")).await;
        assert_eq!(answer.status.as_u16(), 404, "{name}");
    }
}

#[tokio::test]
async fn the_same_run_done_twice_gives_the_same_bytes() {
    // A table that is made anew is another one, so both services read the same lake; each has a store of its own.
    let home = Home::with_prices();
    let read = async |results: &str| {
        let handler = home.handler(&[("BACKTEST_OUTPUT_DIR", results)]).await;
        completed(&handler, "r", momentum()).await;
        handler.get("/api/backtests/r/artifacts/artifacts_manifest.json").await.body
    };
    let (one, other) = (read("one").await, read("other").await);
    assert_eq!(String::from_utf8(one).unwrap(), String::from_utf8(other).unwrap());
}

#[tokio::test]
async fn no_envelope_is_answered_with_an_empty_body() {
    let home = Home::empty();
    let handler = home.handler(&[]).await;
    let bodies: [&[u8]; 8] = [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"not json",
        b"\xff\xfe",
        br#"{"Data":{"req":7,"run":7,"timer":7}}"#,
        br#"{"Data":{"req":{"Headers":{"a b":["\n"]},"Body":"{"},"run":"\"bm90IGpzb24=\""},"Metadata":null}"#,
    ];
    for (function, _) in backtest_functions::functions::function_files() {
        for body in bodies {
            let request = handler.http.post(format!("{}/{function}", handler.url)).body(body.to_vec());
            let answer = handler.send(request).await;
            let text = String::from_utf8_lossy(body);
            assert!(answer.json().is_object(), "{function} to {text}");
            assert!(answer.header("content-type").contains("json"), "{function} to {text}");
        }
        // A wrong method and an unknown path are answered too.
        assert!(!handler.call(Method::DELETE, &format!("/{function}"), None).await.body.is_empty());
    }
    let huge = handler.http.post(format!("{}/execute", handler.url)).body(vec![b' '; 17 << 20]);
    assert!(handler.send(huge).await.json().is_object());
    assert!(handler.get("/").await.status.is_success(), "the handler is still there");
}

#[tokio::test]
async fn both_modes_give_the_same_answer() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    completed(&handler, "r", momentum()).await;
    for (function, path, query, params) in [
        ("status", "/api/backtests/r", json!({}), json!({ "run_id": "r" })),
        ("status", "/api/backtests/none", json!({}), json!({ "run_id": "none" })),
        (
            "list",
            "/api/backtests?status=completed,failed&limit=1",
            json!({ "status": "completed,failed", "limit": "1" }),
            json!({}),
        ),
        ("list", "/api/backtests?limit=0", json!({ "limit": "0" }), json!({})),
        ("results", "/api/backtests/r/artifacts", json!({}), json!({ "run_id": "r", "result": "artifacts" })),
        (
            "results",
            "/api/backtests/r/trades?limit=3",
            json!({ "limit": "3" }),
            json!({ "run_id": "r", "result": "trades" }),
        ),
        (
            "results",
            "/api/backtests/r/metrics/timeseries?max_points=50",
            json!({ "max_points": "50" }),
            json!({ "run_id": "r", "result": "metrics/timeseries" }),
        ),
        (
            "results",
            "/api/backtests/r/metrics/rolling?window_days=21&max_points=50",
            json!({ "window_days": "21", "max_points": "50" }),
            json!({ "run_id": "r", "result": "metrics/rolling" }),
        ),
        ("results", "/api/backtests/r/positions", json!({}), json!({ "run_id": "r", "result": "positions" })),
        ("results", "/api/backtests/r/summary", json!({}), json!({ "run_id": "r", "result": "summary" })),
        ("results", "/api/backtests/r/events", json!({}), json!({ "run_id": "r", "result": "events" })),
        ("health", "/api/readyz", json!({}), json!({ "probe": "readyz" })),
        ("health", "/api/healthz", json!({}), json!({ "probe": "healthz" })),
        ("results", "/api/backtests/r/status", json!({}), json!({ "run_id": "r", "result": "status" })),
        ("results", "/api/backtests/r/nothing", json!({}), json!({ "run_id": "r", "result": "nothing" })),
        ("schedules", "/api/schedules", json!({}), json!({})),
        ("schedules", "/api/schedules/none", json!({}), json!({ "name": "none" })),
        ("docs", "/api/openapi.json", json!({}), json!({ "document": "openapi.json" })),
        ("docs", "/api/config.schema.json", json!({}), json!({ "document": "config.schema.json" })),
    ] {
        let plain = handler.get(path).await;
        let request = json!({ "req": {
            "Url": path, "Method": "GET", "Query": query, "Params": params, "Headers": {},
        }});
        let enveloped = handler.envelope(function, &request).await.json();
        let inner = &enveloped["Outputs"]["res"];
        assert_eq!(inner["statusCode"], plain.status.as_u16(), "{path}");
        let (mut inside, mut outside) = (inner["body"].clone(), plain.json());
        // Two invocations have two names.
        for body in [&mut inside, &mut outside] {
            body.as_object_mut().unwrap().remove("instance");
        }
        assert_eq!(inside, outside, "{path}");
        assert_eq!(inner["headers"]["content-type"], plain.header("content-type"), "{path}");
    }
}

#[tokio::test]
async fn a_queue_message_is_read_through_every_encoding_of_the_host() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let message = |id: &str| json!({ "v": 1, "run_id": id });
    let text = |id: &str| message(id).to_string();
    for (id, value) in [
        ("object", message("object")),
        ("text", json!(text("text"))),
        ("twice", json!(json!(text("twice")).to_string())),
    ] {
        handler.submit(&json!({ "config": momentum(), "run_id": id })).await;
        handler.envelope("execute", &json!({ "run": value })).await;
        assert_eq!(handler.run(id).await["status"], "completed", "{id}");
    }
}

#[tokio::test]
async fn every_fault_of_a_config_is_named_at_once() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let mut config = momentum();
    config["start_date"] = json!("2006-13-03");
    config["universe"]["symbols"] = json!(["AAPL", 7]);
    config["strategy"]["parameters"]["top_n"] = json!(-1);
    config["broker"] = json!({ "slipage_bps": 1, "commission": "free" });
    let answer = handler.post("/api/backtests", &json!({ "config": config })).await;
    assert_eq!(code(&answer), (400, "invalid_config".into()));
    let errors = answer.json()["errors"].clone();
    let mut paths: Vec<&str> =
        errors.as_array().unwrap().iter().map(|error| error["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "broker.commission",
            "broker.slipage_bps",
            "start_date",
            "strategy.parameters.top_n",
            "universe.symbols[1]"
        ]
    );
    assert_eq!(handler.get("/api/backtests").await.json()["runs"], json!([]), "nothing was stored");
}

#[tokio::test]
async fn bad_requests_are_refused_with_their_code() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let send = async |content_type: &str, body: Vec<u8>| {
        let request =
            handler.http.post(format!("{}/api/backtests", handler.url)).header("content-type", content_type);
        code(&handler.send(request.body(body)).await)
    };
    let malformed = || (400, "malformed_request".to_owned());
    assert_eq!(send("application/json", vec![b' '; 2 << 20]).await, (413, "body_too_large".into()));
    assert_eq!(send("application/yaml", b"a: [1".to_vec()).await, malformed());
    assert_eq!(send("application/yaml", b"a: 1\na: 2".to_vec()).await, malformed());
    assert_eq!(send("application/yaml", b"a: .nan".to_vec()).await, malformed());
    assert_eq!(send("application/json", br#"{"config":{"a":1,"a":2}}"#.to_vec()).await, malformed());
    assert_eq!(send("application/json", br#"{"config":{},"config_yaml":""}"#.to_vec()).await, malformed());
    assert_eq!(send("application/json", br#"{"config":{},"run_id":"../x"}"#.to_vec()).await, malformed());
    assert_eq!(send("application/json", br#"{"confg":{}}"#.to_vec()).await, malformed());
    assert_eq!(send("application/json", [b'['; 10_000].to_vec()).await, malformed());
    assert_eq!(send("text/plain", b"hello".to_vec()).await, (415, "unsupported_media_type".into()));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &('b'..='k')
            .map(|c| format!("{c}: &{c} [{0}]\n", vec![format!("*{}", (c as u8 - 1) as char); 9].join(",")))
            .collect::<String>();
    assert_eq!(send("application/yaml", bomb.into_bytes()).await, malformed());

    assert_eq!(code(&handler.get("/api/backtests/none").await), (404, "run_not_found".into()));
    assert_eq!(code(&handler.get("/api/backtests/%2e%2e").await), (404, "not_found".into()));
    assert_eq!(code(&handler.get("/api/nothing").await), (404, "not_found".into()));
    assert_eq!(code(&handler.get("/api/backtests?offset=5").await), (400, "invalid_parameter".into()));
    assert_eq!(
        code(&handler.get("/api/backtests?limit=501&status=odd").await),
        (400, "invalid_parameter".into())
    );
    assert_eq!(code(&handler.get("/api/backtests?cursor=x").await), (400, "invalid_parameter".into()));
}

/// What arrived instead of a document is said by its own name, with what to send.
#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_by_what_it_is() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let send = async |content_type: &str, encoding: &str, body: Vec<u8>| {
        let request = handler.http.post(format!("{}/api/backtests/validate", handler.url));
        let request = request.header("content-type", content_type).header("content-encoding", encoding);
        let answer = handler.send(request.body(body)).await;
        (code(&answer), answer.json()["detail"].as_str().unwrap().to_owned())
    };
    let utf_16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (content_type, encoding, body, expected, told) in [
        ("application/json", "identity", Vec::new(), (400, "body_missing"), "is empty"),
        ("application/yaml", "identity", b" \n".to_vec(), (400, "body_missing"), "is empty"),
        ("application/json", "gzip", b"{}".to_vec(), (415, "unsupported_media_type"), "compressed"),
        (
            "application/json",
            "identity",
            b"\x1f\x8b\x08".to_vec(),
            (415, "unsupported_media_type"),
            "compressed",
        ),
        ("application/json", "identity", utf_16, (415, "unsupported_media_type"), "UTF-16"),
        (
            "application/json",
            "identity",
            b"{\"config\":\"\xe9\"}".to_vec(),
            (400, "malformed_request"),
            "not UTF-8",
        ),
        (
            "application/json",
            "identity",
            b"{\n \"config\": nil}".to_vec(),
            (400, "malformed_request"),
            "line 2, column",
        ),
        (
            "application/json",
            "identity",
            b"{\"config\": {".to_vec(),
            (400, "malformed_request"),
            "ends too early",
        ),
        (
            "application/yaml",
            "identity",
            b"a: 1\na: 2".to_vec(),
            (400, "malformed_request"),
            "line 2, column 1: key 'a' stands twice",
        ),
        (
            "application/yaml",
            "identity",
            b"a: !secret x".to_vec(),
            (400, "malformed_request"),
            "the tag '!secret' is not known",
        ),
        ("application/yaml", "identity", b"a: *b".to_vec(), (400, "malformed_request"), "line 1, column"),
        (
            "application/yaml",
            "identity",
            b"a: 1\n---\nb: 2".to_vec(),
            (400, "malformed_request"),
            "several documents",
        ),
        (
            "application/yaml",
            "identity",
            "- ".repeat(70).into_bytes(),
            (400, "malformed_request"),
            "64 levels",
        ),
        (
            "application/json",
            "identity",
            "[".repeat(70).into_bytes(),
            (400, "malformed_request"),
            "64 levels",
        ),
        (
            "application/json",
            "identity",
            "[1,".repeat(220_000).into_bytes(),
            (400, "malformed_request"),
            "64 levels",
        ),
        (
            "application/json",
            "identity",
            format!("[{}1]", "1,".repeat(220_000)).into_bytes(),
            (400, "malformed_request"),
            "200000 values",
        ),
    ] {
        let ((status, name), detail) = send(content_type, encoding, body).await;
        assert_eq!((status, name.as_str()), expected, "{detail}");
        assert!(detail.contains(told), "{told}: {detail}");
        assert!(!detail.contains("Options") && !detail.contains("::"), "{detail}");
    }

    // The host makes an empty text of a body that comes in chunks.
    let lost = json!({ "req": { "Method": "POST", "Query": {}, "Params": {}, "Body": "",
        "Headers": { "Content-Type": ["application/json"], "Transfer-Encoding": ["chunked"] } } });
    let answer = handler.envelope("submit", &lost).await.json()["Outputs"]["res"].clone();
    assert_eq!((&answer["statusCode"], &answer["body"]["code"]), (&json!(400), &json!("body_missing")));
    assert!(answer["body"]["detail"].as_str().unwrap().contains("Content-Length"), "{answer}");
}

/// Anyone can write the header of the platform's sign-in, so it counts only where the platform writes it.
#[tokio::test]
async fn who_submits_is_believed_only_of_the_platform() {
    let home = Home::with_prices();
    let submitted_by = async |handler: &Handler, names: &[&[u8]]| {
        let mut request = handler.http.post(format!("{}/api/backtests", handler.url));
        for name in names {
            request = request.header("x-ms-client-principal-name", HeaderValue::from_bytes(name).unwrap());
        }
        let answer = handler.send(request.json(&json!({ "config": momentum() }))).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.json());
        answer.json()["submitted_by"].clone()
    };
    let anyone = home.handler(&[]).await;
    assert_eq!(submitted_by(&anyone, &[b"ada@example.com"]).await, Value::Null);
    let signed_in = home.handler(&[("BACKTEST_TRUST_PRINCIPAL_HEADER", "true")]).await;
    let long = "\u{e9}".repeat(200);
    for (name, expected) in [
        ("ada@example.com", json!("ada@example.com")),
        ("Zo\u{eb}", json!("Zo\u{eb}")),
        (long.as_str(), json!(long)),
        (format!("{long}x").as_str(), Value::Null),
        ("", Value::Null),
    ] {
        assert_eq!(submitted_by(&signed_in, &[name.as_bytes()]).await, expected);
    }
    assert_eq!(submitted_by(&signed_in, &[b"Zo\xeb"]).await, Value::Null, "that is not UTF-8");
    assert_eq!(
        submitted_by(&signed_in, &[b"ada", b"bob"]).await,
        Value::Null,
        "one of them is not the platform's"
    );
}

/// What stands around a config, as other programs write it.
#[tokio::test]
async fn what_is_empty_around_a_config_counts_as_left_out() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let yaml = serde_json::to_string(&momentum()).unwrap();
    for (body, accepted) in [
        (json!({ "config": momentum(), "config_yaml": null, "run_id": "" }), true),
        (json!({ "config": momentum(), "config_yaml": "", "strict": true }), true),
        (json!({ "config": {}, "config_yaml": yaml, "parent_run_id": null }), true),
        (json!({ "config": null, "config_yaml": yaml, "strict": null }), true),
        (json!({ "config": momentum(), "config_yaml": yaml }), false),
        (json!({ "config": {}, "config_yaml": "" }), false),
        (json!({ "config": null, "config_yaml": null }), false),
        (json!({ "config": momentum(), "strict": false }), false),
        (json!({ "config": momentum(), "stricter": true }), false),
    ] {
        let answer = handler.post("/api/backtests", &body).await;
        if accepted {
            assert_eq!(answer.status.as_u16(), 202, "{body}: {}", answer.json());
            assert!(answer.json()["run_id"].as_str().unwrap().starts_with("RUN"), "{body}");
        } else {
            assert_eq!(code(&answer), (400, "malformed_request".into()), "{body}");
        }
    }
    let marked = |text: String| format!("\u{feff}{text}");
    for (content_type, body) in [
        ("application/json", marked(json!({ "config": momentum() }).to_string())),
        ("application/json", json!({ "config_yaml": marked(yaml.clone()) }).to_string()),
        ("application/yaml", marked(yaml.clone())),
    ] {
        for path in ["/api/backtests", "/api/backtests/validate"] {
            let request = handler.http.post(format!("{}{path}", handler.url));
            let answer = handler.send(request.header("content-type", content_type).body(body.clone())).await;
            assert!(answer.status.is_success(), "{path} {content_type}: {}", answer.json());
        }
    }
}

/// The host compares fixed words of a route without their case, so a request in capitals reaches us as it was written.
#[tokio::test]
async fn words_of_a_path_may_be_in_any_case_and_names_may_not() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    completed(&handler, "Run-1", momentum()).await;
    for path in
        ["/API/BACKTESTS", "/api/Backtests/Run-1/", "/Api/backtests/Run-1/Metrics/TimeSeries", "/api/HEALTHZ"]
    {
        assert_eq!(handler.get(path).await.status.as_u16(), 200, "{path}");
    }
    assert_eq!(code(&handler.get("/api/backtests/run-1").await), (404, "run_not_found".into()));
    let file = handler.get("/api/backtests/Run-1/artifacts/TRADES.csv").await;
    assert_eq!(code(&file), (404, "artifact_not_found".into()));
    for path in
        ["/api", "/api//backtests", "/backtests", "/api/backtests//summary", "/api/backtests/Run-1/nothing"]
    {
        assert_eq!(code(&handler.get(path).await), (404, "not_found".into()), "{path}");
    }
}

/// Times as other programs write them, and names as other keyboards do.
#[tokio::test]
async fn filters_take_times_and_accents_in_every_spelling() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let mut config = momentum();
    // Decomposed, as names of files are on some systems.
    config["run_name"] = json!("cafe\u{301} one");
    handler.submit(&json!({ "config": config, "run_id": "r" })).await;
    let found = async |name: &str, value: &str| {
        let request = handler.http.get(format!("{}/api/backtests", handler.url)).query(&[(name, value)]);
        let answer = handler.send(request).await;
        assert_eq!(answer.status.as_u16(), 200, "{value}: {}", answer.json());
        answer.json()["runs"].as_array().unwrap().len()
    };
    for text in ["caf\u{e9}", "cafe\u{301}"] {
        assert_eq!(found("q", text).await, 1, "{text}");
    }
    for time in [
        "2025-11-29 00:00:00+00:00",
        "2025-11-29 00:00:00 00:00",
        "2025-11-29T00:00:00Z",
        "2025-11-29 00:00:00.5Z",
    ] {
        assert_eq!(found("submitted_after", time).await, 1, "{time}");
    }
    for wrong in ["2025-11-29", "2025-11-29 00:00:00", "yesterday", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"] {
        let request = handler.http.get(format!("{}/api/backtests", handler.url));
        let answer = handler.send(request.query(&[("submitted_after", wrong)])).await;
        assert_eq!(code(&answer), (400, "invalid_parameter".into()), "{wrong}");
    }
}

#[tokio::test]
async fn data_that_is_not_there_fails_the_run_with_its_reason() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let mut unknown = momentum();
    unknown["universe"]["symbols"] = json!(["ZZZZ"]);
    let run = completed(&handler, "unknown", unknown).await;
    assert_eq!((&run["status"], &run["status_reason"]), (&json!("failed"), &json!("invalid_data")));
    let mut outside = momentum();
    (outside["start_date"], outside["end_date"]) = (json!("2030-01-01"), json!("2030-12-31"));
    let run = completed(&handler, "outside", outside).await;
    assert_eq!((&run["status"], &run["status_reason"]), (&json!("failed"), &json!("invalid_data")));
    assert!(run["error"].as_str().unwrap().contains("2030-01-01"), "{run}");
    assert_eq!(code(&handler.get("/api/backtests/outside/summary").await), (409, "run_not_completed".into()));
    let mut column = momentum();
    column["strategy"]["parameters"]["signal_column"] = json!("no_such_column");
    let run = completed(&handler, "column", column).await;
    assert_eq!(run["status"], "failed");
    assert!(run["error"].as_str().unwrap().contains("no_such_column"), "{run}");
}

#[tokio::test]
async fn a_submitted_config_reads_no_local_path_unless_allowed() {
    let home = Home::with_prices();
    let mut config = momentum();
    config["data"] = json!({ "price_path": "/etc/hosts" });
    let handler = home.handler(&[]).await;
    let answer = handler.post("/api/backtests", &json!({ "config": config })).await;
    assert_eq!(answer.json()["errors"][0]["path"], "data.price_path");
    let allowed =
        home.handler(&[("BACKTEST_ALLOW_LOCAL_DATA", "true"), ("BACKTEST_ALLOWED_DATA_DIRS", "lake")]).await;
    let answer = allowed.post("/api/backtests", &json!({ "config": config })).await;
    assert_eq!(answer.json()["errors"][0]["path"], "data.price_path");
    config["data"]["price_path"] = json!("gold/prices_daily");
    let answer = handler.post("/api/backtests", &json!({ "config": config })).await;
    assert_eq!(answer.status.as_u16(), 202, "a table of the lake may always be named");
}

/// Neither a name that means the folder above nor a link leads out of the folders that may be read.
#[tokio::test]
async fn a_symbol_leads_to_no_other_folder() {
    let home = Home::with_prices();
    let (inside, outside) = (home.path().join("inside"), home.path().join("outside.csv"));
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(&outside, "date,open,close\n2006-01-03,1,1\n2006-01-04,1,1\n").unwrap();
    std::os::unix::fs::symlink(home.path(), inside.join("LINK")).unwrap();
    std::fs::copy(&outside, inside.join("A.csv")).unwrap();
    let dirs = inside.display().to_string();
    let settings = [("BACKTEST_ALLOW_LOCAL_DATA", "true"), ("BACKTEST_ALLOWED_DATA_DIRS", dirs.as_str())];
    let handler = home.handler(&settings).await;
    for (id, symbol, path, status) in [
        ("inside", "A", "{symbol}.csv", "completed"),
        ("above", ".", "{symbol}/../outside.csv", "failed"),
        ("after", "A.csv", "{symbol}/../../outside.csv", "failed"),
        ("link", "LINK", "{symbol}/outside.csv", "failed"),
    ] {
        let mut config = momentum();
        config["universe"]["symbols"] = json!([symbol]);
        config["strategy"] = json!({ "class": "BuyAndHoldStrategy" });
        config["data"] = json!({ "price_path": format!("{dirs}/{path}") });
        config.as_object_mut().unwrap().remove("benchmark");
        let outputs = handler.submit(&json!({ "config": config, "run_id": id })).await;
        if outputs["res"]["statusCode"] == 400 {
            assert_eq!(status, "failed", "{outputs}");
            assert_eq!(outputs["res"]["body"]["errors"][0]["path"], "data.price_path", "{outputs}");
            continue;
        }
        assert!(handler.wake(id).await.status.is_success());
        let run = handler.run(id).await;
        assert_eq!(run["status"], status, "{run}");
    }
}

/// Its credentials would go there.
#[tokio::test]
async fn a_submitted_config_names_no_other_account() {
    let home = Home::with_prices();
    let settings = [("AZURE_STORAGE_ACCOUNT_NAME", "acme"), ("BACKTEST_ADLS_CONTAINER_ALLOWLIST", "lake")];
    let handler = home.handler(&settings).await;
    for (path, fault) in [
        ("abfss://lake@evil.dfs.core.windows.net/x", "is not the storage account of this service"),
        ("abfss://other@acme.dfs.core.windows.net/x", "is not in BACKTEST_ADLS_CONTAINER_ALLOWLIST"),
        ("https://evil.example/lake/x?sig=KEY", "neither a password nor a query"),
    ] {
        let mut config = momentum();
        config["data"] = json!({ "price_path": path });
        let answer = handler.post("/api/backtests", &json!({ "config": config })).await;
        let said = answer.json()["errors"][0]["message"].to_string();
        assert!(said.contains(fault) && !said.contains("KEY"), "{path}: {said}");
    }
}

/// A file system that is full gives its error late; nothing may be published of it.
#[tokio::test]
async fn a_full_disk_is_a_storage_error() {
    let home = Home::with_prices();
    let small = home.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=200k", "tmpfs", small.to_str().unwrap()];
    if !std::process::Command::new("mount").args(mount).output().is_ok_and(|done| done.status.success()) {
        eprintln!("skipped: no file system of a given size can be mounted here");
        return;
    }
    let database = home.path().join("runs.db").display().to_string();
    let settings =
        [("BACKTEST_OUTPUT_DIR", small.to_str().unwrap()), ("BACKTEST_DB_PATH", database.as_str())];
    let handler = home.handler(&settings).await;
    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    handler.wake("r").await;
    let run = handler.run("r").await;
    eventually("what was written of it is removed", async || (!small.join("r").exists()).then_some(())).await;
    let unmounted = std::process::Command::new("umount").args(["-l", small.to_str().unwrap()]).status();
    assert!(unmounted.unwrap().success());
    assert_eq!(
        (&run["status"], &run["status_reason"]),
        (&json!("queued"), &json!("storage_unavailable")),
        "{run}"
    );
}

/// A folder that is there and takes no files, as that of a process is, makes a service unready.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_service_is_ready_when_it_can_write_its_results() {
    let home = Home::with_prices();
    let database = home.path().join("runs.db").display().to_string();
    let settings = [("BACKTEST_OUTPUT_DIR", "/proc/self"), ("BACKTEST_DB_PATH", database.as_str())];
    let answer = home.handler(&settings).await.get("/api/readyz").await;
    let part = &answer.json()["parts"]["artifact_store"];
    assert_eq!((answer.status.as_u16(), &part["state"]), (503, &json!("unavailable")), "{part}");
    assert!(part["message"].as_str().unwrap().starts_with("write to the folder /proc/self: "), "{part}");

    let handler = home.handler(&[]).await;
    for _ in 0..3 {
        assert_eq!(handler.get("/api/readyz").await.status.as_u16(), 200);
    }
    let host = async || handler.get("/api/readyz").await.json()["parts"]["host"].clone();
    assert_eq!(
        host().await,
        json!({ "state": "ok", "last_call_seconds": null }),
        "nobody has brought anything"
    );
    assert!(handler.envelope("reconcile", &json!({ "timer": {} })).await.status.is_success());
    assert!(host().await["last_call_seconds"].as_u64().unwrap() < 30);
    let left: Vec<_> = std::fs::read_dir(home.path().join("results"))
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert!(left.iter().all(|name| name.to_str().unwrap().starts_with("runs.sqlite3")), "{left:?}");
}

/// A header that decides what happens is read or refused, never overlooked.
#[tokio::test]
async fn a_deciding_header_is_not_overlooked() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    let not_ascii = HeaderValue::from_bytes("k\u{e9}".as_bytes()).unwrap();
    let post = |path: &str| {
        handler.http.post(format!("{}{path}", handler.url)).json(&json!({ "config": momentum() }))
    };
    let answer = handler.send(post("/api/backtests").header("idempotency-key", not_ascii.clone())).await;
    assert_eq!(code(&answer), (400, "invalid_parameter".into()));
    let twice = post("/api/backtests").header("idempotency-key", "a").header("idempotency-key", "b");
    assert_eq!(code(&handler.send(twice).await), (400, "invalid_parameter".into()));
    let answer = handler.send(post("/api/backtests/r/cancel").header("if-match", not_ascii)).await;
    assert_eq!(code(&answer), (400, "invalid_parameter".into()));
    assert_eq!(handler.run("r").await["status"], "queued");
    let enveloped = json!({ "req": {
        "Url": "http://x/api/backtests", "Method": "POST", "Params": {}, "Query": {}, "Identities": [],
        "Headers": { "Content-Type": ["application/json"], "Idempotency-Key": ["k\u{e9}"] },
        "Body": json!({ "config": momentum() }).to_string(),
    } });
    let answer = handler.envelope("submit", &enveloped).await.json();
    assert_eq!(answer["Outputs"]["res"]["statusCode"], 400, "{answer}");
}

#[tokio::test]
async fn bodies_and_dates_beyond_everything_are_refused_as_such() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let large = json!({ "req": { "Method": "POST", "Headers": {}, "Body": "x".repeat(20 << 20) } });
    let answer = handler.envelope("submit", &large).await.json();
    assert_eq!(answer["Outputs"]["res"]["statusCode"], 413);
    for date in ["-5000-01-01", "+10000-01-01", "0000-01-01"] {
        let mut config = momentum();
        config["start_date"] = json!(date);
        config["run_name"] = json!(format!("{}\u{1b}[31m", "n".repeat(300)));
        let answer = handler.post("/api/backtests/validate", &json!({ "config": config })).await.json();
        let paths: Vec<&str> =
            answer["errors"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["run_name", "start_date"], "{answer}");
    }
    let yaml = handler.http.post(format!("{}/api/backtests/validate", handler.url));
    let yaml = yaml.header("content-type", "application/yaml").body("run_name: caf\u{fffd}\n");
    assert_eq!(code(&handler.send(yaml).await), (400, "malformed_request".into()));
}

#[tokio::test]
async fn the_same_key_and_request_give_the_same_run() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let submit = async |config: &Value| {
        let request =
            handler.http.post(format!("{}/api/backtests", handler.url)).header("idempotency-key", "k");
        handler.send(request.json(&json!({ "config": config }))).await
    };
    let config = momentum();
    let (first, second) = tokio::join!(submit(&config), submit(&config));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 202]);
    assert_eq!(first.json()["run_id"], second.json()["run_id"]);
    let mut other = momentum();
    other["initial_cash"] = json!(5);
    assert_eq!(code(&submit(&other).await), (422, "idempotency_key_reused".into()));
}

#[tokio::test]
async fn status_is_cheap_to_ask_again() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let submitted = handler.post("/api/backtests", &json!({ "config": momentum(), "run_id": "r" })).await;
    assert_eq!((submitted.header("location"), submitted.header("retry-after")), ("/api/backtests/r", "1"));
    let first = handler.get("/api/backtests/r").await;
    let ask = || {
        handler
            .http
            .get(format!("{}/api/backtests/r", handler.url))
            .header("if-none-match", first.header("etag"))
    };
    assert_eq!(handler.send(ask()).await.status.as_u16(), 304);
    handler.wake("r").await;
    assert_eq!(handler.send(ask()).await.status.as_u16(), 200, "the run has moved");
}

#[tokio::test]
async fn a_canceled_run_is_not_executed_and_a_finished_one_not_canceled() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    handler.submit(&json!({ "config": momentum(), "run_id": "a" })).await;
    let canceled = handler.call(Method::POST, "/api/backtests/a/cancel", None).await;
    assert_eq!((canceled.status.as_u16(), &canceled.json()["status"]), (200, &json!("canceled")));
    handler.wake("a").await;
    assert_eq!(handler.run("a").await["attempt"], 0);
    completed(&handler, "b", momentum()).await;
    assert_eq!(
        code(&handler.call(Method::POST, "/api/backtests/b/cancel", None).await),
        (409, "run_finished".into())
    );
}

#[tokio::test]
async fn a_cursor_belongs_to_its_filters() {
    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    for id in ["a", "b", "c"] {
        handler.submit(&json!({ "config": momentum(), "run_id": id })).await;
    }
    let first = handler.get("/api/backtests?limit=2").await;
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    assert!(first.header("link").contains("rel=\"next\""));
    let rest = handler.get(&format!("/api/backtests?limit=2&cursor={cursor}")).await.json();
    assert_eq!(rest["runs"].as_array().unwrap().len(), 1);
    let other = handler.get(&format!("/api/backtests?status=queued&cursor={cursor}")).await;
    assert_eq!(code(&other), (400, "invalid_parameter".into()));
}

/// The run that another one repeats is there, and not the same one; whoever validates learns it too.
#[tokio::test]
async fn a_parent_is_another_run_that_is_there() {
    let home = Home::with_prices();
    let database = crate::support::postgres::database();
    let postgres =
        database.as_deref().map(|dsn| [("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", dsn)]);
    for settings in [Some([].as_slice()), postgres.as_ref().map(<[_; 2]>::as_slice)].into_iter().flatten() {
        let handler = home.handler(settings).await;
        let body =
            |id: &str, parent: &str| json!({ "config": momentum(), "run_id": id, "parent_run_id": parent });
        for (body, message) in [
            (body("p", "p"), "must be another run than this one"),
            (body("p", "gone"), "must be a run of this service; there is no run 'gone'"),
        ] {
            for path in ["/api/backtests", "/api/backtests/validate"] {
                let refused = handler.post(path, &body).await;
                assert_eq!(code(&refused), (400, "invalid_parameter".into()));
                let faults = json!([{ "path": "parent_run_id", "message": message }]);
                assert_eq!(refused.json()["errors"], faults);
            }
            let enveloped = handler.submit(&body).await;
            assert_eq!(
                (&enveloped["res"]["statusCode"], enveloped.get("runs")),
                (&json!(400), None),
                "{enveloped}"
            );
        }
        assert_eq!(handler.get("/api/backtests").await.json()["runs"], json!([]), "nothing was stored");
        handler.submit(&json!({ "config": momentum(), "run_id": "first" })).await;
        assert_eq!(handler.submit(&body("again", "first")).await["res"]["statusCode"], 202);
        assert_eq!(handler.run("again").await["parent_run_id"], "first");
    }
}

/// A message that nobody can read lies in the poison queue for good, and no function is called for it: it is counted.
#[tokio::test]
async fn what_lies_in_the_poison_queue_is_counted() {
    let Some(queues) = crate::support::azurite::queues() else { return };
    let home = Home::empty();
    let part = async |settings: &[(&str, &str)]| {
        let handler = home.handler(settings).await;
        let ticked = handler.envelope("reconcile", &json!({ "timer": {} })).await;
        assert!(ticked.status.is_success(), "what cannot be counted keeps nobody from reconciling");
        let answer = handler.get("/api/readyz").await;
        assert_eq!(answer.status.as_u16(), 200, "nor from answering");
        answer.json()["parts"]["poison_queue"].clone()
    };
    assert_eq!(part(&[]).await, json!({ "state": "unknown", "messages": null }));
    let connection = queues.connection();
    let settings = [("AzureWebJobsStorage", connection.as_str()), ("BACKTEST_QUEUE", "jobs")];
    assert_eq!(
        part(&settings).await,
        json!({ "state": "ok", "messages": 0 }),
        "a queue that was never needed"
    );
    queues.fill("jobs-poison", 3).await;
    let poisoned = part(&settings).await;
    assert_eq!((&poisoned["state"], &poisoned["messages"]), (&json!("poisoned"), &json!(3)), "{poisoned}");
    drop(queues);
    let away = part(&settings).await;
    assert_eq!((&away["state"], &away["messages"]), (&json!("unavailable"), &json!(null)), "{away}");
    assert!(!away["message"].as_str().unwrap().contains("127.0.0.1"), "{away}");
}
