//! Which function a path belongs to.

use backtest_functions::devhost::Event;
use backtest_functions::devhost::route::Route;

use backtest_functions::devhost::app::{App, Trigger};
use serde_json::json;

use super::handler::TestApp;
use crate::support::service::project;

/// Otherwise its keys, its figures and its limits would be those of another one.
#[tokio::test(flavor = "multi_thread")]
async fn each_route_of_this_repository_is_served_by_its_own_function() {
    let app = TestApp::new()
        .setting("BACKTEST_QUEUE", "jobs")
        .setting("RECONCILE_SCHEDULE", "0 0 0 1 1 *")
        .setting("SIGNAL_SYNC_SCHEDULE", "0 0 0 1 1 *")
        .host("/customHandler/enableForwardingHttpRequest", json!(true))
        .with(|options| options.functions_dir = project("functions"));
    app.write_host_json();
    let functions = App::load(&app.options).unwrap().functions;
    let mut host = app.start().await;
    host.ready().await;
    let mut asked = 0;
    for function in &functions {
        let Trigger::Http { route, methods: Some(methods), .. } = &function.trigger else { continue };
        // One path for each route: a placeholder becomes a word, alternatives of an expression their first.
        let parts = route.template.split('/').map(|part| match part.strip_prefix('{') {
            Some(rest) => rest.split_once("^(").map_or("word", |(_, words)| words.split('|').next().unwrap()),
            None => part,
        });
        let path = format!("/api/{}", parts.collect::<Vec<_>>().join("/"));
        for method in methods.iter().filter(|method| *method != "HEAD") {
            host.request(method, &path).send().await.unwrap();
            let started = host.wait_for(|event| matches!(event, Event::InvocationStarted { .. })).await;
            let Event::InvocationStarted { function: served, .. } = started else { unreachable!() };
            assert_eq!(served, function.name, "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked >= 9, "{asked} calls");
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
        // A catch-all may be empty, but nothing is not of length 1.
        ("runs/{id}/{*rest:minlength(1)}", "runs/1", None),
        ("runs/{id}/{*rest:minlength(1)}", "runs/1/", None),
        ("runs/{id}/{*rest:minlength(1)}", "runs/1/a/b", some(&[("id", Some("1")), ("rest", Some("a/b"))])),
        ("runs/{*rest:required}", "runs", None),
        ("runs/{*rest}", "runs/a//b", None),
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
