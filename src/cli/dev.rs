//! `backtests dev`: the function set on this machine, under a local Functions host.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::settings::{environment, log_filter};
use super::throwaway::Server;
use super::{CliError, embedded, say, telemetry};
use crate::devhost::guard::Cors;
use crate::devhost::{self, Host, HostError, Options};
use crate::store::migrations;
use crate::store::pg::Database;

/// Folder below the app root where a local host keeps what it must remember.
const HOME: &str = ".backtests";

/// Longest wait for running messages after SIGTERM, as of the real host.
const DRAIN: Duration = Duration::from_secs(10);

/// Run the function set on this machine: HTTP, queue and timers, as the Functions host would.
///
/// Reads host.json and functions/*/function.json, starts `backtests serve` as a child and restarts it when it dies.
/// Nothing else is needed: runs go to a sqlite file, the lake and the artifacts are folders, all below
/// .backtests/ in the app root. Settings come from the environment, then from local.settings.json.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Port of the public address; 0 takes a free one [default: Host.LocalHttpPort of local.settings.json, else 7071].
    #[arg(long)]
    port: Option<u16>,
    /// Origins whose pages may call, joined by commas; * is all [default: Host.CORS of local.settings.json, else none].
    #[arg(long, value_name = "ORIGINS", value_parser = cors)]
    cors: Option<Cors>,
    /// Folder with host.json [default: this one if it has a host.json, else the functions that this program carries along].
    #[arg(long, value_name = "DIR")]
    app_root: Option<PathBuf>,
    /// Ask for function keys, as the service on Azure does; they are made at the first start, in
    /// .backtests/host/keys.json.
    #[arg(long)]
    enable_auth: bool,
    /// Imitate the real host where that makes local work unpleasant: message leases of ten minutes, invocations
    /// that hang on an empty answer, a handler that is not restarted after exit code 0.
    #[arg(long)]
    strict: bool,
    /// Restart the handler when its executable changes.
    #[arg(long)]
    watch: bool,
    /// Keep runs in a Postgres server that is started for this session and gone with it. Needs Postgres on this machine.
    #[arg(long)]
    postgres: bool,
}

pub(super) async fn run(args: Args) -> Result<(), CliError> {
    telemetry::host(log_filter(&environment()));
    let mut options = options(args.app_root.as_deref(), args.port)?;
    options.cors = args.cors;
    options.enable_auth = args.enable_auth;
    options.strict = args.strict;
    options.watch = args.watch;
    let server = match args.postgres {
        true => Some(with_postgres(&mut options).await?),
        false => None,
    };
    with_host(options, async |_| {
        tracing::info!("Ctrl-C stops this host");
        if let Some(server) = &server {
            say_where(server);
        }
        Ok(true)
    })
    .await
}

fn cors(text: &str) -> Result<Cors, String> {
    Cors::parse(text, false)
}

/// Starts a throw-away Postgres with the schema of this version, and has the handler keep its runs there.
pub(super) async fn with_postgres(options: &mut Options) -> Result<Server, CliError> {
    let failed = |error| CliError::because("start a Postgres server", error);
    let server = Server::start(false).await.map_err(failed)?.ok_or_else(|| {
        CliError::failed(
            "--postgres: no Postgres installation found (initdb); on Debian: apt-get install postgresql",
        )
    })?;
    let dsn = server.dsn("postgres");
    let database =
        Database::parse(&dsn, "dev").map_err(|error| CliError::because("reach the server", error))?;
    let mut client =
        database.connect().await.map_err(|error| CliError::because("reach the server", error))?;
    migrations::up(&mut client).await.map_err(|error| CliError::because("migrate", error))?;
    options.environment.insert("BACKTEST_RUN_STORE_MODE".into(), "postgres".into());
    options.environment.insert("POSTGRES_DSN".into(), dsn);
    options.environment.remove("BACKTEST_POSTGRES_DSN");
    Ok(server)
}

/// How a person looks at the rows.
pub(super) fn say_where(server: &Server) {
    say(format_args!(
        "rows: {} {} -c 'SELECT * FROM backtest.run_events ORDER BY at'",
        server.binaries().join("psql").display(),
        server.dsn("postgres")
    ));
}

/// What a local host needs to run this program from `app_root`, or from what it carries along where there is none.
pub(super) fn options(app_root: Option<&Path>, port: Option<u16>) -> Result<Options, CliError> {
    let named = app_root.unwrap_or(Path::new("."));
    let here = named
        .canonicalize()
        .map_err(|error| CliError::because(format!("find the app root {}", named.display()), error))?;
    let program = std::env::current_exe().map_err(|error| CliError::because("find this program", error))?;
    let home = here.join(HOME);
    let carried = app_root.is_none() && !here.join("host.json").exists();
    let root = if carried { home.join("app") } else { here.clone() };
    if carried {
        embedded::unpack(&root).map_err(|error| {
            CliError::because(format!("write the functions into {}", root.display()), error)
        })?;
    }
    let at = |name: &str| home.join(name).display().to_string();
    // A lake without tables is one that nothing was imported into yet; one without a folder is a mistake.
    std::fs::create_dir_all(home.join("lake"))
        .map_err(|error| CliError::because(format!("create the folder {}", at("lake")), error))?;
    let settings: BTreeMap<String, String> = [
        ("BACKTEST_QUEUE", "backtest-runs".to_owned()),
        ("RECONCILE_SCHEDULE", "0 * * * * *".to_owned()),
        ("SIGNAL_SYNC_SCHEDULE", "0 */15 * * * *".to_owned()),
        ("BACKTEST_LAKE", at("lake")),
        ("BACKTEST_OUTPUT_DIR", at("results")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    Ok(Options {
        executable: Some(program),
        local_settings: here.join("local.settings.json"),
        port,
        state_dir: home.join("host"),
        settings,
        environment: environment(),
        front_page: Some("/api/ui".to_owned()),
        ..Options::new(root)
    })
}

/// Starts a host and does `work` beside it. If that answers true, the host goes on until it is told to stop or ends by
/// itself. Its handler never outlives this.
pub(super) async fn with_host(
    options: Options,
    work: impl AsyncFnOnce(&Host) -> Result<bool, CliError>,
) -> Result<(), CliError> {
    // Before there is a handler, so that no signal leaves one behind.
    let mut told = pin!(told_to_stop());
    let host = devhost::start(options).await.map_err(|error| {
        let next = match error {
            HostError::PublicPort { .. } => "; --port chooses another, 0 takes a free one",
            HostError::InUse { .. } => "; use that one, or end it first",
            _ => "",
        };
        let why = CliError::because("start the local host", error);
        CliError::failed(format!("{}{next}", why.message))
    })?;
    let worked = tokio::select! {
        worked = work(&host) => worked,
        _ = &mut told => Err(CliError::failed("interrupted")),
    };
    let ended = match worked {
        Ok(true) => tokio::select! {
            reason = host.wait() => Err(CliError::failed(format!("the local host ended: {reason}"))),
            kind = &mut told => {
                if kind == SignalKind::terminate() {
                    drain(&host).await;
                }
                Ok(())
            }
        },
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    tracing::info!(
        "stopping: the handler is killed; runs and messages are kept, and what was under way is taken up again at the next \
         start"
    );
    host.stop().await;
    ended
}

/// Gives running messages the time that the real host gives them.
async fn drain(host: &Host) {
    let running = host.messages_running();
    if running == 0 {
        return;
    }
    tracing::info!(
        "terminated: waiting up to {} s for {running} running message(s); Ctrl-C does not wait",
        DRAIN.as_secs()
    );
    tokio::select! {
        left = host.drain(DRAIN) => match left {
            0 => (),
            left => tracing::warn!("{left} message(s) did not end in time"),
        },
        _ = told_to_stop() => (),
    }
}

/// Ctrl-C, a closed terminal, or the supervisor of this process: which of them. Listens from the call on.
fn told_to_stop() -> impl Future<Output = SignalKind> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| Some((kind, signal(kind).ok()?))).collect();
    poll_fn(move |context| {
        let told = signals
            .iter_mut()
            .find_map(|(kind, signal)| signal.poll_recv(context).is_ready().then_some(*kind));
        told.map_or(Poll::Pending, Poll::Ready)
    })
}
