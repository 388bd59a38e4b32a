//! The app as it stands on disk: its faults, its settings, runs by hand.

use backtest_functions::devhost::Options;
use backtest_functions::devhost::app::{App, HttpMode};
use serde_json::{Value, json};

use super::handler::TestApp;

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
        "host.json: extensions.queues.batchSize: `33` is not a number from 1 to 32",
        "functions/broken/function.json: is not JSON",
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
