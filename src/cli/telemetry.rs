//! Log lines: JSON on stdout under the Functions host, which takes stderr for errors; text on a terminal, where a local
//! host speaks in words.

use std::io::IsTerminal;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{self, FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use super::table::harmless;

/// What lines of figures say.
const METRICS: &str = "metrics";

/// Parts of the tree that say too much at `info`. The kernel logs as an error what it also answers as one.
const QUIET: &str = "deltalake=warn,deltalake_core=warn,delta_kernel=off,buoyant_kernel=off,hyper=warn";

/// Logs to stdout, for a service. Panics become log lines too.
pub fn service(filter: Option<&str>) {
    let filter = EnvFilter::new(format!("{QUIET},{}", filter.unwrap_or("info")));
    let registry = tracing_subscriber::registry().with(filter);
    // A second call finds a subscriber in place, which is as good.
    let _ = if std::io::stdout().is_terminal() {
        registry.with(fmt::layer().with_target(false)).try_init()
    } else {
        registry.with(fmt::layer().json().flatten_event(true).with_span_list(false)).try_init()
    };
    log_panics();
}

/// Logs to stdout, for a local host and the handler that it runs: one line an event in words on a terminal.
pub fn host(filter: Option<&str>) {
    if !std::io::stdout().is_terminal() {
        return service(filter);
    }
    let filter = EnvFilter::new(format!("{QUIET},{}", filter.unwrap_or("info")));
    // A second call finds a subscriber in place, which is as good.
    let _ = tracing_subscriber::registry().with(filter).with(fmt::layer().event_format(Words)).try_init();
    log_panics();
}

fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(panic = %panic.payload_as_str().unwrap_or("no message"), place, "panicked");
    }));
}

/// Logs to stderr, for a command whose stdout is its answer; only warnings unless asked otherwise.
pub fn command(filter: Option<&str>) {
    let filter = EnvFilter::new(format!("{QUIET},{}", filter.unwrap_or("warn")));
    let layer = fmt::layer().with_target(false).with_writer(std::io::stderr);
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
}

/// Events as a person reads them: the time, what happened, how bad it is. Ids and figures are for the other formats.
struct Words;

impl<S, N> FormatEvent<S, N> for Words
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut message = Message::default();
        event.record(&mut message);
        let level = *event.metadata().level();
        let Some((level, text)) = in_words(level, &message.0) else { return Ok(()) };
        let mark = match level {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        writeln!(writer, "{} {mark}{}", chrono::Local::now().format("%H:%M:%S"), harmless(&text))
    }
}

/// The message of an event.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// What an event says. The handler writes its own lines as JSON; those of them that are only figures are left out.
fn in_words(level: Level, message: &str) -> Option<(Level, String)> {
    let Some(line) = message.starts_with('{').then(|| serde_json::from_str(message).ok()).flatten() else {
        return Some((level, message.to_owned()));
    };
    let line: Value = line;
    let text = line["message"].as_str().unwrap_or(message);
    if text == METRICS {
        return None;
    }
    let level = line["level"].as_str().and_then(|level| level.parse().ok()).unwrap_or(level);
    let why = line["error"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    Some((level, format!("{text}{why}")))
}
