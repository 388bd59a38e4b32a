//! A local Functions host: runs the app in this folder the way Azure would, on one machine, with nothing installed.
//!
//! It reads `host.json` and each `function.json`, launches the handler as a child process and talks to it in the host's
//! own protocol. It imports nothing from the rest of the program but the reader of NCRONTAB, and shares no types with the
//! handler, so that the two check each other. In reading order: `app` (what is to run), `process` (the child), `invoke` and `envelope` (one
//! call), `guard`, `http` and `route` (requests), `queue` and `listener` (messages), `timer` (time), `keys`, `page`.
//!
//! By default it is kinder than Azure in four points, and says so in the log when it matters: a handler that exits
//! with 0 is restarted, an empty answer fails at once instead of hanging, a message held by a killed host returns
//! after 30 seconds instead of ten minutes, and one whose run the host's own end broke off returns at once.
//! [`Options::strict`] takes that back.

pub mod app;
pub mod envelope;
pub mod guard;
pub mod http;
pub mod invoke;
pub mod keys;
pub mod listener;
pub mod page;
pub mod process;
pub mod queue;
pub mod route;
pub mod timer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};
use uuid::Uuid;

use app::{App, AppError, Trigger};
use process::Severity;
use queue::Queues;

/// The version the host claims towards the handler.
pub const HOST_VERSION: &str = "4.1052.300";

const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Public port where none is named.
const PORT: u16 = 7071;
const EVENTS_KEPT: usize = 1024;

/// What to run, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of `host.json`.
    pub app_root: PathBuf,
    /// Settings of this machine; the file may be absent.
    pub local_settings: PathBuf,
    /// Folder whose direct children are the functions.
    pub functions_dir: PathBuf,
    /// Runs instead of `customHandler.description.defaultExecutablePath`.
    pub executable: Option<PathBuf>,
    /// Public port on 127.0.0.1; 0 takes any free one, `None` that of the local settings, else 7071.
    pub port: Option<u16>,
    /// Other sites that may call, instead of those of the local settings.
    pub cors: Option<guard::Cors>,
    /// Queues, timer status and keys; survives restarts, created on demand.
    pub state_dir: PathBuf,
    /// App settings of lowest priority. `Values` of `local.settings.json` go before them. A setting that names a storage
    /// service (`AzureWebJobsStorage`, or the `connection` of a binding) is refused unless it is empty or
    /// `UseDevelopmentStorage=disk`: this host keeps its queues on disk only.
    pub settings: BTreeMap<String, String>,
    /// Environment variables; they go before all settings, and the handler inherits them. Usually those of the process.
    pub environment: BTreeMap<String, String>,
    /// Check keys.
    pub enable_auth: bool,
    /// Behave as the real host also where that is unpleasant.
    pub strict: bool,
    /// Restart the handler when its executable changes.
    pub watch: bool,
    /// Where `/` leads, if a function answers there; the host's own page is at `/functions` either way.
    pub front_page: Option<String>,
    /// How long a message is held before it returns by itself; `None` is 600 in strict mode, else 30.
    pub lease_seconds: Option<u64>,
}

impl Options {
    /// The ordinary options for an app: functions in `functions/` where that exists, state in `.backtests/host`,
    /// the port of the local settings, an empty environment.
    pub fn new(app_root: impl Into<PathBuf>) -> Options {
        let app_root = app_root.into();
        let functions = app_root.join("functions");
        Options {
            functions_dir: if functions.is_dir() { functions } else { app_root.clone() },
            local_settings: app_root.join("local.settings.json"),
            state_dir: app_root.join(".backtests").join("host"),
            app_root,
            executable: None,
            port: None,
            cors: None,
            settings: BTreeMap::new(),
            environment: BTreeMap::new(),
            enable_auth: false,
            strict: false,
            watch: false,
            front_page: None,
            lease_seconds: None,
        }
    }

    fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.unwrap_or(if self.strict { 600 } else { 30 }))
    }
}

/// Why a host does not start.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The app has faults; the text lists them all.
    #[error(transparent)]
    App(#[from] AppError),
    /// The app folder is not there.
    #[error("find the app folder {}", .folder.display())]
    Root {
        /// Folder asked for.
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The state folder cannot be used.
    #[error("use the state folder {}", .folder.display())]
    State {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Two hosts on one state would fire every timer twice.
    #[error("another host is running on the state folder {}; {}", .folder.display(), at(.address.as_deref()))]
    InUse {
        folder: PathBuf,
        /// Where that host listens, if it got that far.
        address: Option<String>,
    },
    /// The queues cannot be opened.
    #[error("open the queues")]
    Queues(#[from] queue::QueueError),
    /// The public port is taken.
    #[error("listen on 127.0.0.1:{port}")]
    PublicPort {
        /// Port asked for.
        port: u16,
        #[source]
        source: std::io::Error,
    },
    /// There is no port for the handler.
    #[error("Unable to bind to port {port} (for the handler)")]
    HandlerPort {
        /// Port asked for; 0 for any.
        port: u16,
        #[source]
        source: std::io::Error,
    },
    /// No HTTP client could be made.
    #[error("prepare the connection to the handler")]
    Client(#[source] reqwest::Error),
}

fn at(address: Option<&str>) -> String {
    address.map_or_else(|| "it is still starting".to_owned(), |address| format!("it listens on {address}"))
}

/// Why a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to.
    Stopped,
    /// The handler failed three times, each within half an hour of the one before.
    TooManyCrashes(String),
    /// The handler cannot be launched at all.
    CannotStart(String),
    /// Calls waited in vain for the handler.
    NeverReady,
}

impl ExitReason {
    /// Whether a program that ran this host has done its work.
    pub fn is_success(&self) -> bool {
        *self == ExitReason::Stopped
    }
}

impl std::fmt::Display for ExitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExitReason::Stopped => write!(f, "stopped"),
            ExitReason::TooManyCrashes(last) => {
                write!(f, "the handler failed three times; the last time: {last}")
            }
            ExitReason::CannotStart(why) => f.write_str(why),
            ExitReason::NeverReady => write!(f, "calls waited in vain for the handler to get ready"),
        }
    }
}

/// News from a running host, to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A child was launched.
    HandlerStarted {
        /// Its process id.
        pid: u32,
    },
    /// The child answers.
    HandlerReady,
    /// The child is gone.
    HandlerExited {
        /// Its exit code; `None` if it was killed.
        code: Option<i32>,
    },
    /// The child wrote a line.
    Line {
        /// The line, without its end.
        text: String,
        /// How it was logged.
        severity: Severity,
    },
    /// An invocation began.
    InvocationStarted {
        /// Name of the function.
        function: String,
        /// Id of the invocation.
        id: Uuid,
    },
    /// An invocation ended.
    InvocationFinished {
        /// Name of the function.
        function: String,
        /// Id of the invocation.
        id: Uuid,
        /// Why it failed; `None` is success.
        failure: Option<String>,
    },
}

/// A running host. Dropping it stops it as well, without waiting.
#[derive(Debug)]
pub struct Host {
    address: SocketAddr,
    invoker: Arc<invoke::Invoker>,
    supervisor: JoinHandle<()>,
    server: JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
    draining: watch::Sender<bool>,
    /// Held while the host lives; the system releases it even after a kill.
    _lock: std::fs::File,
}

/// Starts a host. It listens when this returns; the handler may still be starting, and calls wait for it.
pub async fn start(mut options: Options) -> Result<Host, HostError> {
    let root = std::path::absolute(&options.app_root).and_then(|root| root.canonicalize());
    let folder = options.app_root.clone();
    let functions_inside = options.functions_dir.strip_prefix(&folder).ok().map(PathBuf::from);
    options.app_root = root.map_err(|source| HostError::Root { folder, source })?;
    if let Some(inside) = functions_inside {
        options.functions_dir = options.app_root.join(inside);
    }
    let app = Arc::new(App::load(&options)?);

    let timers_folder = options.state_dir.join("timers");
    let state_fault = |source| HostError::State { folder: options.state_dir.clone(), source };
    std::fs::create_dir_all(&timers_folder).map_err(state_fault)?;
    let lock = std::fs::File::create(options.state_dir.join("lock")).map_err(state_fault)?;
    lock.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => HostError::InUse {
            folder: options.state_dir.clone(),
            address: std::fs::read_to_string(options.state_dir.join("address")).ok(),
        },
        std::fs::TryLockError::Error(source) => state_fault(source),
    })?;
    let queues = Arc::new(Queues::open(&options.state_dir.join("queues.sqlite"))?);
    let keys = match options.enable_auth {
        false => None,
        true => {
            let file = options.state_dir.join("keys.json");
            let (keys, made) = keys::Keys::load(&file, &app).map_err(state_fault)?;
            if made {
                info!("new keys are in {}", file.display());
            }
            Some(keys)
        }
    };

    for note in &app.without_effect {
        warn!("{note}");
    }
    let port = options.port.or(app.local_port).unwrap_or(PORT);
    let listen = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
    let (socket, address) = listen
        .and_then(|socket| socket.local_addr().map(|address| (socket, address)))
        .map_err(|source| HostError::PublicPort { port, source })?;
    // A second host that is started says where this one is.
    std::fs::write(options.state_dir.join("address"), format!("http://{address}")).map_err(state_fault)?;

    let events = broadcast::Sender::new(EVENTS_KEPT);
    let exit = watch::Sender::new(None);
    let setup = process::Setup {
        public_port: address.port(),
        strict: options.strict,
        watch: options.watch,
        trace_file: options.state_dir.join("handler"),
        events: events.clone(),
        exit: exit.clone(),
    };
    let (supervisor, handler) = process::Supervisor::new(app.clone(), setup)?;
    let invoker = invoke::Invoker::new(app.clone(), handler, queues, events, exit.clone(), options.strict)?;
    let invoker = Arc::new(invoker);
    let draining = watch::Sender::new(false);

    let mut workers = Vec::new();
    for (index, function) in app.functions.iter().enumerate().filter(|(_, function)| !function.disabled) {
        let (invoker, draining) = (invoker.clone(), draining.subscribe());
        match &function.trigger {
            Trigger::Http { .. } => (),
            Trigger::Queue { .. } => {
                let listener = listener::Listener { invoker, index, lease: options.lease(), draining };
                workers.push(tokio::spawn(listener.run()));
            }
            Trigger::Timer { .. } => {
                let folder = timers_folder.clone();
                workers.push(tokio::spawn(timer::Timer { invoker, index, folder, draining }.run()));
            }
        }
    }

    let supervisor = if app.functions.is_empty() {
        warn!("no functions were found in {}; the handler is not started", options.functions_dir.display());
        let mut exit = exit.subscribe();
        tokio::spawn(async move {
            let _ = exit.wait_for(Option::is_some).await;
        })
    } else {
        tokio::spawn(async move {
            let reason = supervisor.run().await;
            exit.send_if_modified(|exit| {
                let first = exit.is_none();
                exit.get_or_insert(reason);
                first
            });
        })
    };
    http::announce(&app);
    info!("listening on http://localhost:{}/", address.port());
    let front = http::Front {
        invoker: invoker.clone(),
        keys,
        started: Instant::now(),
        draining: draining.clone(),
        front_page: options.front_page.clone(),
        name: app.environment.get("WEBSITE_HOSTNAME").cloned(),
    };
    let front = Arc::new(front);
    let server = tokio::spawn(warp::serve(http::filter(front)).incoming(socket).run());
    Ok(Host { address, invoker, supervisor, server, workers, draining, _lock: lock })
}

impl Host {
    /// Where the front door is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port the handler was told to listen on.
    pub fn handler_port(&self) -> u16 {
        self.invoker.handler.port
    }

    /// News from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.invoker.events.subscribe()
    }

    /// The queues, for looking into and for putting messages by hand.
    pub fn queues(&self) -> &Queues {
        &self.invoker.queues
    }

    /// Waits until the host ends by itself; [`Host::stop`] then cleans up.
    pub async fn wait(&self) -> ExitReason {
        let mut exit = self.invoker.exit.subscribe();
        let reason = exit.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or(ExitReason::Stopped)
    }

    /// Takes no new messages and waits for those being worked on, at most `patience`: what the real host does when it is
    /// terminated. Answers how many are left.
    pub async fn drain(&self, patience: Duration) -> usize {
        self.draining.send_replace(true);
        let mut running = self.invoker.messages_running.subscribe();
        // The sender lives as long as the host.
        let _ = tokio::time::timeout(patience, running.wait_for(|count| *count == 0)).await;
        self.messages_running()
    }

    /// Messages being worked on.
    pub fn messages_running(&self) -> usize {
        *self.invoker.messages_running.borrow()
    }

    /// Stops: the handler is killed without notice, nothing new is taken.
    pub async fn stop(mut self) {
        self.invoker.exit.send_if_modified(set_stopped);
        self.settle().await;
    }

    /// Waits for the child's end and for messages to be put back, but not for long.
    async fn settle(&mut self) {
        let everything = async {
            let _ = (&mut self.supervisor).await;
            for worker in &mut self.workers {
                let _ = worker.await;
            }
        };
        if tokio::time::timeout(STOP_PATIENCE, everything).await.is_err() {
            warn!("some invocations did not end with the handler");
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.invoker.exit.send_if_modified(set_stopped);
        self.server.abort();
        self.workers.iter().for_each(JoinHandle::abort);
    }
}

fn set_stopped(exit: &mut Option<ExitReason>) -> bool {
    let first = exit.is_none();
    exit.get_or_insert(ExitReason::Stopped);
    first
}
