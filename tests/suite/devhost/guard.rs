//! Whom the local host lets in: names of this machine, its own pages, sites that were named; and what it takes from
//! `local.settings.json`.

use reqwest::Response;
use serde_json::{Value, json};

use super::handler::{Running, TestApp};

/// A request with these headers, and nothing that the test's client would add.
async fn call(host: &Running, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method.parse().unwrap(), format!("{}{path}", host.base)).body("{}");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

/// A name that was made to point here after its page was loaded is still the page's name.
#[tokio::test(flavor = "multi_thread")]
async fn answers_only_to_names_of_this_machine() {
    let app = TestApp::new().http("hello", "hello", &["get"]).setting("WEBSITE_HOSTNAME", "dev.example");
    let host = app.start().await;
    for (name, status) in [
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1:7071", 200),
        ("[::1]:7071", 200),
        ("app.localhost:7071", 200),
        ("dev.example", 200),
        ("dev.example:443", 200),
        ("evil.example", 421),
        ("localhost.evil.example:7071", 421),
        ("192.168.0.7", 421),
    ] {
        for path in ["/api/hello", "/admin/host/status", "/"] {
            assert_eq!(call(&host, "GET", path, &[("host", name)]).await.status(), status, "{name}{path}");
        }
    }
    host.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lets_no_page_of_another_site_change_anything() {
    let app = TestApp::new().http("submit", "runs", &["get", "post"]).queue("work", "jobs");
    let host = app.start().await;
    let json = ("content-type", "application/json");
    let own = host.base.clone();
    for path in ["/api/runs", "/admin/host/drain", "/admin/functions/work", "/admin/queues/jobs/messages"] {
        for foreign in [
            ("origin", "https://evil.example"),
            ("origin", "http://localhost:3000"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let refused = call(&host, "POST", path, &[json, foreign]).await;
            assert_eq!(refused.status(), 403, "{path} {foreign:?}");
            assert!(refused.text().await.unwrap().contains("--cors"));
        }
        // What a page may send anywhere without being asked.
        for content_type in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=a"),
        ] {
            let headers: Vec<(&str, &str)> =
                content_type.map(|text| ("content-type", text)).into_iter().collect();
            assert_eq!(call(&host, "POST", path, &headers).await.status(), 415, "{path} {content_type:?}");
        }
    }
    assert!(
        app.requests().is_empty() && !host.host.queues().exists("jobs").unwrap(),
        "something came through"
    );
    let drain: Value = host.get("/admin/host/drain/status").await.json().await.unwrap();
    assert_eq!(drain["state"], "Disabled");
    for allowed in [
        vec![json],
        vec![json, ("origin", &own)],
        vec![("content-type", "application/yaml"), ("sec-fetch-site", "same-origin")],
    ] {
        assert_eq!(call(&host, "POST", "/api/runs", &allowed).await.status(), 200, "{allowed:?}");
    }
    // Reading changes nothing, and without CORS the page does not see the answer.
    let read = call(&host, "GET", "/api/runs", &[("origin", "https://evil.example")]).await;
    assert!(read.status() == 200 && !read.headers().contains_key("access-control-allow-origin"));
    host.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn honours_the_origins_of_the_local_settings_and_of_its_options() {
    let settings =
        r#"{ "Host": { "CORS": "http://localhost:3000, https://a.example/", "CORSCredentials": true } }"#;
    let app = TestApp::new().http("submit", "runs", &["post"]).file("local.settings.json", settings);
    let host = app.start().await;
    let from = |origin: &'static str| [("origin", origin), ("content-type", "application/json")];
    for origin in ["http://localhost:3000", "https://a.example"] {
        let answer = call(&host, "POST", "/api/runs", &from(origin)).await;
        assert_eq!(answer.status(), 200, "{origin}");
        assert_eq!(answer.headers()["access-control-allow-origin"], origin);
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
    }
    let asked = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,idempotency-key"),
    ];
    let answer = call(&host, "OPTIONS", "/api/runs", &asked).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["access-control-allow-methods"], "POST");
    assert_eq!(answer.headers()["access-control-allow-headers"], "content-type,idempotency-key");
    assert_eq!(call(&host, "POST", "/api/runs", &from("https://b.example")).await.status(), 403);
    assert_eq!(app.requests().len(), 2, "the question of a browser is not for the handler");
    host.host.stop().await;

    let cors = backtest_functions::devhost::guard::Cors::parse("https://b.example", false).unwrap();
    let app = app.with(|options| options.cors = Some(cors));
    let host = app.start().await;
    assert_eq!(call(&host, "POST", "/api/runs", &from("https://b.example")).await.status(), 200);
    assert_eq!(call(&host, "POST", "/api/runs", &from("https://a.example")).await.status(), 403);
    host.host.stop().await;
}

/// What stands in the file is honoured, refused or named.
#[tokio::test(flavor = "multi_thread")]
async fn takes_or_names_everything_in_the_local_settings() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = json!({
        "IsEncrypted": false,
        "Values": { "A": "1" },
        "Host": { "LocalHttpPort": port, "Other": true },
        "ConnectionStrings": { "x": "secret" },
    });
    let app = TestApp::new()
        .http("hello", "hello", &["get"])
        .file("local.settings.json", &settings.to_string())
        .with(|options| options.port = None);
    app.write_host_json();
    let read = backtest_functions::devhost::app::App::load(&app.options).unwrap();
    assert_eq!(
        read.without_effect,
        [
            "local.settings.json: Host.Other has no effect here",
            "local.settings.json: ConnectionStrings has no effect here"
        ]
    );
    let host = app.start().await;
    assert_eq!(host.host.address().port(), port);
    host.host.stop().await;

    let wrong = json!({ "Host": { "LocalHttpPort": 70_000, "CORS": "localhost" } });
    let text = app.file("local.settings.json", &wrong.to_string()).refusal().await;
    assert!(text.contains("local.settings.json: Host.LocalHttpPort: `70000` is not a port"), "{text}");
    assert!(text.contains("local.settings.json: Host.CORS: `localhost` is not an origin"), "{text}");
}
