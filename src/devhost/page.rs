//! The page of functions: which there are, where, and what ran last. Self-contained HTML; it looks anew every few
//! seconds.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use super::HOST_VERSION;
use super::app::{App, Function, OutputKind, Trigger};
use super::invoke::{Invoker, Record};
use super::process::State;

const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; opacity: .6; font-size: .85rem; }
td, th { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8883; vertical-align: top; }
code { font: .92em ui-monospace, monospace; } .dim { opacity: .6; }
.good { color: #2a8a4a; } .bad { color: #d0453a; } .busy { color: #b07a10; }
";

/// The page as of now.
pub fn draw(invoker: &Arc<Invoker>, started: Instant) -> Response {
    let app = &invoker.app;
    let (class, state) = match invoker.handler.state() {
        State::Ready => ("good", "ready"),
        State::Starting => ("busy", "starting"),
        State::Down => ("bad", "down"),
    };
    let functions: String =
        app.functions.iter().map(|function| function_row(app, function, invoker)).collect();
    let records: String = invoker.records().iter().map(record_row).collect();
    let records =
        if records.is_empty() { "<tr><td class=dim>nothing ran yet</td></tr>".to_owned() } else { records };
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>\
         <title>Functions on this machine</title><style>{STYLE}</style>\
         <h1>Functions on this machine</h1>\
         <div class=dim>handler <b class={class}>{state}</b> on port {port} · up {uptime} s · speaks as host {HOST_VERSION}</div>\
         <h2>Functions</h2><table><tr><th>name<th>starts on<th>where<th></tr>{functions}</table>\
         <h2>Last invocations</h2><table><tr><th>when (UTC)<th>function<th>cause<th>took<th>result</tr>{records}</table></html>",
        port = invoker.handler.port,
        uptime = started.elapsed().as_secs(),
    );
    let mut response = Response::new(html.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// A function for `/admin/functions`.
pub fn describe(app: &App, function: &Function) -> Value {
    let outputs = function.outputs.iter().map(|output| match &output.kind {
        OutputKind::Http => json!({ "name": output.name, "type": "http", "direction": "out" }),
        OutputKind::Queue { queue, .. } => {
            json!({ "name": output.name, "type": "queue", "direction": "out", "queueName": queue })
        }
    });
    let name = &function.trigger_name;
    let trigger = match &function.trigger {
        Trigger::Http { route, methods, .. } => json!({
            "name": name, "type": "httpTrigger", "direction": "in", "route": route.template,
            "methods": methods.iter().flatten().map(|method| method.to_ascii_lowercase()).collect::<Vec<_>>(),
        }),
        Trigger::Queue { queue, .. } => {
            json!({ "name": name, "type": "queueTrigger", "direction": "in", "queueName": queue })
        }
        Trigger::Timer { expression, .. } => {
            json!({ "name": name, "type": "timerTrigger", "direction": "in", "schedule": expression })
        }
    };
    let bindings: Vec<Value> = std::iter::once(trigger).chain(outputs).collect();
    let invoke_url_template = match &function.trigger {
        Trigger::Http { route, .. } => json!(public_path(app, &route.template)),
        _ => Value::Null,
    };
    json!({
        "name": function.name,
        "language": "Custom",
        "isDisabled": function.disabled,
        "invoke_url_template": invoke_url_template,
        "config": { "bindings": bindings },
    })
}

fn function_row(app: &App, function: &Function, invoker: &Invoker) -> String {
    let (kind, place) = match &function.trigger {
        Trigger::Http { route, methods, .. } => {
            let methods = methods.as_ref().map_or_else(|| "any".to_owned(), |methods| methods.join(", "));
            ("request", format!("{methods} {}", public_path(app, &route.template)))
        }
        Trigger::Queue { queue, .. } => {
            ("message", format!("{queue} ({} waiting)", invoker.queues.len(queue).unwrap_or(0)))
        }
        Trigger::Timer { expression, .. } => ("time", expression.clone()),
    };
    let note = if function.disabled { "disabled" } else { "" };
    let (name, place) = (escaped(&function.name), escaped(&place));
    format!("<tr><td><b>{name}</b><td>{kind}<td><code>{place}</code><td class=dim>{note}</tr>")
}

fn record_row(record: &Record) -> String {
    let (took, class, result) = match &record.outcome {
        None => (String::new(), "busy", "running".to_owned()),
        Some(outcome) => {
            let took = format!("{} ms", outcome.elapsed.as_millis());
            match &outcome.failure {
                None => (took, "good", "succeeded".to_owned()),
                Some(why) => (took, "bad", escaped(why)),
            }
        }
    };
    let mut row = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        row,
        "<tr title={id}><td>{when}<td>{function}<td><code>{cause}</code><td>{took}<td class={class}>{result}</tr>",
        id = record.id,
        when = record.started_at.format("%H:%M:%S"),
        function = escaped(&record.function),
        cause = escaped(&record.cause),
    );
    row
}

/// The path of a route as callers see it.
pub fn public_path(app: &App, template: &str) -> String {
    if app.route_prefix.is_empty() {
        format!("/{template}")
    } else {
        format!("/{}/{template}", app.route_prefix)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
