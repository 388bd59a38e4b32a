//! A local Functions host: reads the same `host.json` and `function.json` files as the one on Azure, starts the
//! handler as a child and calls it in the same ways. It uses nothing of the handler's code, so that the two
//! witness the protocol independently.
//!
//! - [`app`]: the files and settings, checked as a whole
//! - [`process`]: the child: launch, readiness, exits, restarts
//! - [`envelope`], [`invoke`]: the JSON conversation, pure, and the call itself
//! - [`route`], [`http`], [`page`]: the front door
//! - [`queue`], [`listener`]: messages on disk, and who works on them
//! - [`ncrontab`], [`timer`]: when a timer fires, and who waits for it

pub mod app;
pub mod envelope;
mod http;
mod invoke;
mod listener;
pub mod ncrontab;
mod page;
pub mod process;
pub mod queue;
pub mod route;
mod timer;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use self::app::{App, AppError, Trigger};
use self::invoke::Invoker;
use self::process::{Setup, Severity, Supervisor};
use self::queue::{QueueError, Queues};

/// How a local host is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of `host.json`.
    pub app_root: PathBuf,
    /// Folder whose direct children are the functions.
    pub functions_dir: PathBuf,
    /// Program that takes the place of the one that `host.json` names.
    pub executable: Option<PathBuf>,
    /// Port of the front door; 0 takes a free one.
    pub port: u16,
    /// Where queues, timer status and keys are kept between starts.
    pub state_dir: PathBuf,
    /// App settings for when nothing else sets them; `local.settings.json` goes before.
    pub settings: BTreeMap<String, String>,
    /// The environment of this process; goes before both.
    pub environment: BTreeMap<String, String>,
    /// Ask callers for keys.
    pub enable_auth: bool,
    /// Behave as the real host also where that makes local work unpleasant.
    pub strict: bool,
    /// Restart the handler when its executable changes.
    pub watch: bool,
    /// How long a message is hidden while somebody works on it; renewed at half time. `None`: ten minutes when
    /// strict, as on Azure, else half a minute.
    pub message_lease: Option<Duration>,
}

impl Options {
    /// The usual host for an app root: functions in `functions/` when there is such a folder (a checkout), else
    /// beside `host.json` (an unpacked package).
    pub fn new(app_root: PathBuf) -> Self {
        let functions = app_root.join("functions");
        Self {
            functions_dir: if functions.is_dir() { functions } else { app_root.clone() },
            executable: None,
            port: 7071,
            state_dir: app_root.join(".functions-host"),
            settings: BTreeMap::new(),
            environment: BTreeMap::new(),
            enable_auth: false,
            strict: false,
            watch: false,
            message_lease: None,
            app_root,
        }
    }
}

/// Why a host could not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The app does not pass its checks.
    #[error(transparent)]
    App(#[from] AppError),
    /// The front door's port is taken.
    #[error("listen on 127.0.0.1:{port}")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The handler's port is taken.
    #[error("find a port for the handler (wanted {port}; 0 is any)")]
    HandlerPort {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The HTTP client could not be made.
    #[error("prepare the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The state folder cannot be used.
    #[error("use the state folder {folder}")]
    State {
        /// The folder.
        folder: String,
        /// Why.
        source: std::io::Error,
    },
    /// The queue file cannot be used.
    #[error("open the queues")]
    Queue(#[from] QueueError),
}

/// Why a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// It was told to.
    Stopped,
    /// The handler's program does not start.
    CannotStart(String),
    /// The handler failed three times within half an hour of each other.
    TooManyCrashes(String),
}

impl std::fmt::Display for ExitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("it was told to"),
            Self::CannotStart(why) => f.write_str(why),
            Self::TooManyCrashes(why) => write!(f, "the handler failed too often, at last because {why}"),
        }
    }
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A child was started.
    HandlerStarted {
        /// Its process id.
        pid: u32,
    },
    /// The child answers.
    HandlerReady,
    /// The child is gone.
    HandlerExited {
        /// Its exit code; `None` when a signal ended it.
        code: Option<i32>,
    },
    /// The child wrote a line.
    Line {
        /// The line.
        text: String,
        /// How it was logged.
        severity: Severity,
    },
    /// A function was called.
    Invoked {
        /// Its name.
        function: String,
        /// Whether the invocation succeeded.
        succeeded: bool,
    },
}

/// A host that is running.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    events: broadcast::Sender<Event>,
    exit: watch::Sender<Option<ExitReason>>,
    supervisor: tokio::task::JoinHandle<()>,
    tasks: JoinSet<()>,
}

/// Starts a host. The front door is open when this returns; the handler may still be starting.
pub async fn start(options: Options) -> Result<Host, HostError> {
    let app = Arc::new(App::load(&options)?);
    let state = |source| HostError::State { folder: options.state_dir.display().to_string(), source };
    std::fs::create_dir_all(&options.state_dir).map_err(state)?;
    let queues = Arc::new(Queues::open(&options.state_dir.join("queues.sqlite3"))?);
    let keys = if options.enable_auth { Some(http::Keys::load(&options.state_dir).map_err(state)?) } else { None };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
        .await
        .map_err(|source| HostError::Listen { port: options.port, source })?;
    let address = listener.local_addr().map_err(|source| HostError::Listen { port: options.port, source })?;

    let (events, _) = broadcast::channel(1024);
    let (exit, _) = watch::channel(None);
    let setup = Setup {
        public_port: address.port(),
        strict: options.strict,
        watch: options.watch,
        events: events.clone(),
        exit: exit.clone(),
    };
    let (supervisor, handler) = Supervisor::new(Arc::clone(&app), setup)?;
    let invoker = Arc::new(Invoker::new(Arc::clone(&app), handler, Arc::clone(&queues), events.clone(), options.strict)?);

    let ended = exit.clone();
    // With no functions at all there is nobody to call.
    let supervisor = if app.functions.is_empty() {
        tokio::spawn(async {})
    } else {
        tokio::spawn(async move {
            let reason = supervisor.run().await;
            ended.send_if_modified(|exit| exit.is_none() && exit.replace(reason).is_none());
        })
    };
    let mut tasks = JoinSet::new();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let lease = options.message_lease.unwrap_or(if options.strict { minutes(10) } else { minutes(1) / 2 });
    for function in app.functions.iter().filter(|function| !function.disabled) {
        let name = function.name.clone();
        match &function.trigger {
            Trigger::Http { .. } => {}
            Trigger::Queue { .. } => {
                tasks.spawn(listener::listen(Arc::clone(&invoker), name, lease));
            }
            Trigger::Timer { .. } => {
                tasks.spawn(timer::tick(Arc::clone(&invoker), name, options.state_dir.join("timers")));
            }
        }
    }
    tasks.spawn(http::serve(listener, invoker, keys));
    tracing::info!("listening on http://{address}, {} functions", app.functions.len());
    Ok(Host { address, events, exit, supervisor, tasks })
}

impl Host {
    /// Address of the front door.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Waits until the host ends by itself.
    pub async fn wait(&self) -> ExitReason {
        let mut exit = self.exit.subscribe();
        match exit.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(ExitReason::Stopped),
            // The sender lives as long as `self`.
            Err(_) => ExitReason::Stopped,
        }
    }

    /// Ends everything: the child is killed without notice, as on Azure.
    pub async fn stop(mut self) {
        self.exit.send_replace(Some(ExitReason::Stopped));
        self.tasks.abort_all();
        // It waits for the killed child for a second at most.
        let _ = self.supervisor.await;
    }
}
