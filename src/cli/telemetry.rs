//! Log lines: JSON on stdout under the Functions host, which takes stderr for errors; text on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

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
