//! `backtests serve`: the custom handler that the Functions host starts and calls over loopback.

use std::net::Ipv4Addr;
use std::os::unix::process::parent_id;
use std::time::Duration;

use tokio::net::TcpListener;

use super::exporter::Exporter;
use super::settings::{Settings, environment, log_filter};
use super::{CliError, boot, telemetry};
use crate::functions;

/// How often the host is looked for.
const HOST_INTERVAL: Duration = Duration::from_millis(250);

/// Longest wait for runs to be given back.
const GIVE_BACK_PATIENCE: Duration = Duration::from_secs(5);

/// Run the custom handler: what host.json starts. It listens on 127.0.0.1, on the port of
/// FUNCTIONS_CUSTOMHANDLER_PORT, and answers both calling modes of the host.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Port to listen on, when the host does not say.
    #[arg(long)]
    port: Option<u16>,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let environment = environment();
    telemetry::service(log_filter(&environment));
    // Before anything is recorded.
    let exporter = Exporter::install();
    let settings = Settings::from(&environment)?;
    let port = settings.handler_port.or(args.port).ok_or_else(|| {
        CliError::usage("FUNCTIONS_CUSTOMHANDLER_PORT is not set; the host sets it, or use --port")
    })?;
    if settings.handler_port.is_none() {
        warn_without_host();
    }
    let app = boot::app(&settings).map_err(|error| CliError::because("prepare the stores", error))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| CliError::because(format!("listen on port {port}"), error))?;
    tracing::info!(port, instance = settings.instance, "listening on port {port}");
    tokio::spawn(exporter.clone().run(settings.instance.clone()));
    // The host ends us with SIGKILL and no word. A host that asks first, or leaves us behind, gets the runs back at once instead
    // of when their leases are over.
    let why = tokio::select! {
        () = warp::serve(functions::routes(&app)).incoming(listener).run() => return Ok(()),
        () = asked_to_stop() => "was asked to stop",
        // Started by hand there is no host to lose.
        () = left_behind(), if settings.handler_port.is_some() => "was left behind by its host",
    };
    let (running, left) = app.attempts.give_back(GIVE_BACK_PATIENCE).await;
    tracing::warn!(
        running,
        left,
        "this handler {why}; of {running} runs under way {} were given back",
        running - left
    );
    exporter.tell(&settings.instance);
    // As a shell says it of a process that the signal ended.
    std::process::exit(128 + 15);
}

#[expect(clippy::print_stderr, reason = "stderr is an error line to the host, and there is none")]
fn warn_without_host() {
    eprintln!(
        "note: no Functions host started this handler, so it receives no messages and timers: what is submitted stays \
         queued; `backtests dev` is a host"
    );
}

/// Returns when the process that started this one is gone.
async fn left_behind() {
    let host = parent_id();
    while parent_id() == host {
        tokio::time::sleep(HOST_INTERVAL).await;
    }
}

/// Returns at SIGTERM.
async fn asked_to_stop() {
    #[cfg(unix)]
    if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        signal.recv().await;
        return;
    }
    std::future::pending::<()>().await;
}
