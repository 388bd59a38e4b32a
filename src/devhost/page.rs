//! The start page: the functions of the app, how each is started, and what happened last.

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, html};

use super::app::{Function, HttpMode, Trigger};
use super::invoke::Invoker;
use super::process::State;

const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
code { font: .92em ui-monospace, monospace; } .failed { color: #c33; } .quiet { opacity: .65; }
";

/// The page as it is now.
pub fn start_page(invoker: &Invoker) -> String {
    let app = &invoker.app;
    let history = invoker.history();
    let state = match invoker.handler.state() {
        State::Ready => "is ready",
        State::Starting => "is starting",
        State::Down => "is down",
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content="5";
                title { "Local Functions host" }
                style { (STYLE) }
            }
            body {
                h1 { "Local Functions host" }
                p { "The handler " (state) " on port " (invoker.handler.port) "." }
                table {
                    tr { th { "function" } th { "starts with" } th { "called by" } th { "last invocation" } }
                    @for function in &app.functions {
                        tr {
                            td { strong { (function.name) } @if function.disabled { " (disabled)" } }
                            td { (trigger(&app.route_prefix, function)) }
                            td { (mode(invoker, function)) }
                            td {
                                @match history.iter().find(|one| one.function == function.name) {
                                    Some(last) => { (moment(last.at)) " · " (outcome(last.failure.as_deref())) }
                                    None => { span.quiet { "none yet" } }
                                }
                            }
                        }
                    }
                }
                h2 { "Last invocations" }
                table {
                    tr { th { "when" } th { "function" } th { "took" } th { "outcome" } }
                    @for one in &history {
                        tr {
                            td { (moment(one.at)) }
                            td { (one.function) }
                            td { (one.took.as_millis()) " ms" }
                            td { (outcome(one.failure.as_deref())) }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

fn trigger(prefix: &str, function: &Function) -> Markup {
    match &function.trigger {
        Trigger::Http { route, methods, .. } => {
            let methods = methods.as_ref().map_or_else(|| "any method".to_owned(), |methods| methods.join(", "));
            let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
            html! { code { (methods) " " (prefix) "/" (route.template) } }
        }
        Trigger::Queue { queue, .. } => html! { "a message in " code { (queue) } },
        Trigger::Timer { expression, .. } => html! { "the timer " code { (expression) } },
    }
}

fn mode(invoker: &Invoker, function: &Function) -> &'static str {
    match (&function.trigger, invoker.app.http_mode(function)) {
        (Trigger::Http { .. }, HttpMode::Proxy) => "proxied request",
        (Trigger::Http { .. }, HttpMode::Forward) => "forwarded request",
        _ => "envelope",
    }
}

fn outcome(failure: Option<&str>) -> Markup {
    match failure {
        None => html! { "succeeded" },
        Some(why) => html! { span.failed { (why) } },
    }
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%H:%M:%S UTC").to_string()
}
