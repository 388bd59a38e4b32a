//! `backtests serve`: the custom handler that the Functions host starts and calls over loopback.

use std::net::Ipv4Addr;

use tokio::net::TcpListener;

use super::exporter::Exporter;
use super::settings::{Settings, environment, log_filter};
use super::{CliError, boot, telemetry};
use crate::functions;

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
    let app = boot::app(&settings).map_err(|error| CliError::because("prepare the stores", error))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| CliError::because(format!("listen on port {port}"), error))?;
    tracing::info!(port, instance = settings.instance, "listening on port {port}");
    // The host ends us with SIGKILL, so there is no graceful way out to offer; others ask first, and nothing is lost when
    // their answer is only what was counted.
    tokio::spawn(exporter.clone().run(settings.instance.clone()));
    tokio::select! {
        () = warp::serve(functions::routes(&app)).incoming(listener).run() => Ok(()),
        () = asked_to_stop() => {
            exporter.tell(&settings.instance);
            // As a shell says it of a process that the signal ended.
            std::process::exit(128 + 15);
        }
    }
}

/// Returns when somebody sends SIGTERM.
async fn asked_to_stop() {
    #[cfg(unix)]
    if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        signal.recv().await;
        return;
    }
    std::future::pending::<()>().await;
}
