//! The handler as a child process: launch, readiness, output lines, exits, restarts and the end. There is at most
//! one child, always on the same port. What is asked of the child is in `invoke` and `http`.

use std::collections::VecDeque;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{broadcast, mpsc, watch};
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use super::app::App;
use super::{Event, ExitReason, HostError};

const READY_INTERVAL: Duration = Duration::from_millis(25);
const KILL_PATIENCE: Duration = Duration::from_secs(1);
const WATCH_INTERVAL: Duration = Duration::from_millis(300);
const CRASH_WINDOW: Duration = Duration::from_secs(30 * 60);
const CRASHES_MAX: usize = 3;
const LAST_WORDS: usize = 3;

/// How a line of output is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Everything on stdout.
    Information,
    /// A line on stderr containing `warn`.
    Warning,
    /// Any other line on stderr.
    Error,
}

/// What the handler is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not answering yet; calls wait.
    Starting,
    /// Answering.
    Ready,
    /// Gone for good after exit code 0; calls are made and fail.
    Down,
}

/// The rest of the host's view of the child.
#[derive(Debug, Clone)]
pub struct Handler {
    /// Loopback port the child listens on, the same over all restarts.
    pub port: u16,
    /// Longest wait of a call for a child that is not ready.
    pub patience: Duration,
    state: watch::Receiver<State>,
    restarts: mpsc::UnboundedSender<String>,
}

impl Handler {
    /// Waits until calls can be made; false when patience ends first.
    pub async fn ready(&self) -> bool {
        let mut state = self.state.clone();
        let ready = state.wait_for(|state| *state != State::Starting);
        tokio::time::timeout(self.patience, ready).await.is_ok()
    }

    /// What the child is doing now.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Kills the child and starts a new one; not counted as a crash.
    pub fn restart(&self, why: &str) {
        // There is no listener only when the host is stopping.
        let _ = self.restarts.send(why.to_owned());
    }
}

/// Keeps the child running until the host ends.
pub struct Supervisor {
    app: Arc<App>,
    port: u16,
    public_port: u16,
    strict: bool,
    watch_executable: bool,
    state: watch::Sender<State>,
    restarts: mpsc::UnboundedReceiver<String>,
    events: broadcast::Sender<Event>,
    exit: watch::Sender<Option<ExitReason>>,
    client: reqwest::Client,
    trace_file: PathBuf,
}

/// How one child came to its end.
enum End {
    HostStops,
    Restart(String),
    Exited { status: ExitStatus, last_words: String },
    NeverReady,
    NotStarted(std::io::Error),
}

/// What the supervisor needs to know besides the app.
pub struct Setup {
    /// Port of the front door, for `WEBSITE_HOSTNAME`.
    pub public_port: u16,
    /// Behave as the real host where that is unpleasant.
    pub strict: bool,
    /// Restart when the executable changes.
    pub watch: bool,
    /// Remembers the child, so that a next host can find one left behind.
    pub trace_file: PathBuf,
    /// Where news goes.
    pub events: broadcast::Sender<Event>,
    /// Set once, when the host ends.
    pub exit: watch::Sender<Option<ExitReason>>,
}

impl Supervisor {
    /// Chooses the port; the child is not started yet.
    pub fn new(app: Arc<App>, setup: Setup) -> Result<(Supervisor, Handler), HostError> {
        let wanted = app.handler.port.unwrap_or(0);
        let probe = std::net::TcpListener::bind(("127.0.0.1", wanted))
            .map_err(|source| HostError::HandlerPort { port: wanted, source })?;
        let port =
            probe.local_addr().map_err(|source| HostError::HandlerPort { port: wanted, source })?.port();
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(HostError::Client)?;
        let (state, state_seen) = watch::channel(State::Starting);
        let (restart, restarts) = mpsc::unbounded_channel();
        let patience = app.handler.initialization_timeout.saturating_mul(4);
        let handler = Handler { port, patience, state: state_seen, restarts: restart };
        let Setup { public_port, strict, watch: watch_executable, trace_file, events, exit } = setup;
        let supervisor = Supervisor {
            app,
            port,
            public_port,
            strict,
            watch_executable,
            state,
            restarts,
            events,
            exit,
            client,
            trace_file,
        };
        Ok((supervisor, handler))
    }

    /// Starts the child again and again as the rules of exits demand; returns when no child runs any more.
    pub async fn run(mut self) -> ExitReason {
        end_leftover(&self.trace_file).await;
        let mut crashes: VecDeque<Instant> = VecDeque::new();
        loop {
            let why = match self.run_once().await {
                End::HostStops => return ExitReason::Stopped,
                End::Restart(why) => {
                    info!("restarting the handler: {why}");
                    continue;
                }
                End::NotStarted(error) if self.strict || self.watch_executable => {
                    error!("cannot start {}: {error}", self.app.handler.program.display());
                    if self.wait_for_change().await { continue } else { return ExitReason::Stopped }
                }
                End::NotStarted(error) => {
                    let program = self.app.handler.program.display();
                    return ExitReason::CannotStart(format!("cannot start {program}: {error}"));
                }
                End::NeverReady => {
                    let seconds = self.app.handler.initialization_timeout.as_secs_f64();
                    format!("the handler did not answer on 127.0.0.1:{} within {seconds} s", self.port)
                }
                End::Exited { status, .. } if status.code() == Some(200) => {
                    info!("the handler exited with 200 and asked so for a restart");
                    continue;
                }
                End::Exited { status, .. } if status.success() && self.strict => {
                    warn!("the handler exited with 0 and stays down");
                    self.state.send_replace(State::Down);
                    if self.wait_for_change().await { continue } else { return ExitReason::Stopped }
                }
                End::Exited { status, .. } if status.success() => {
                    "the handler exited with 0; in Azure it would now stay down (--strict shows that)"
                        .to_owned()
                }
                End::Exited { status, last_words } if last_words.is_empty() => {
                    format!("the handler ended: {status}")
                }
                End::Exited { status, last_words } => format!("the handler ended: {status}; {last_words}"),
            };
            if crashes.back().is_some_and(|last| last.elapsed() > CRASH_WINDOW) {
                crashes.clear();
            }
            crashes.push_back(Instant::now());
            error!("{why} (failure {} of {CRASHES_MAX})", crashes.len());
            if crashes.len() >= CRASHES_MAX {
                return ExitReason::TooManyCrashes(why);
            }
        }
    }

    async fn run_once(&mut self) -> End {
        self.state.send_replace(State::Starting);
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(error) => return End::NotStarted(error),
        };
        let started = Instant::now();
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let stdout = child.stdout.take().map(|pipe| tokio::spawn(self.pump(pipe, None)));
        let stderr = child.stderr.take().map(|pipe| tokio::spawn(self.pump(pipe, Some(last_words.clone()))));
        let pumps: Vec<_> = stdout.into_iter().chain(stderr).collect();
        let before = stamp(&self.app.handler.program);
        let mut exit = self.exit.subscribe();
        let readiness = poll_ready(self.client.clone(), self.port, self.app.handler.initialization_timeout);
        tokio::pin!(readiness);
        let mut is_ready = false;
        let end = loop {
            tokio::select! {
                _ = exit.wait_for(Option::is_some) => break End::HostStops,
                status = child.wait() => match status {
                    Ok(status) => break End::Exited { status, last_words: String::new() },
                    Err(error) => break End::NotStarted(error),
                },
                Some(why) = self.restarts.recv() => break End::Restart(why),
                () = changed(&self.app.handler.program, before), if self.watch_executable => {
                    break End::Restart("the executable changed".to_owned());
                }
                answered = &mut readiness, if !is_ready => {
                    if !answered {
                        break End::NeverReady;
                    }
                    is_ready = true;
                    info!("the handler is ready after {} ms", started.elapsed().as_millis());
                    self.state.send_replace(State::Ready);
                    self.tell(Event::HandlerReady);
                }
            }
        };
        self.state.send_replace(State::Starting);
        if !matches!(end, End::Exited { .. }) {
            kill(&mut child).await;
        }
        // The pipes end with the process, unless it left children of its own behind.
        for pump in pumps {
            let _ = tokio::time::timeout(Duration::from_millis(200), pump).await;
        }
        match end {
            End::Exited { status, .. } => {
                self.tell(Event::HandlerExited { code: status.code() });
                let lines = last_words.lock().unwrap_or_else(PoisonError::into_inner);
                End::Exited { status, last_words: lines.iter().cloned().collect::<Vec<_>>().join(" | ") }
            }
            other => {
                self.tell(Event::HandlerExited { code: None });
                other
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let handler = &self.app.handler;
        let worker_id = Uuid::new_v4().to_string();
        let port = self.port.to_string();
        let mut command = Command::new(&handler.program);
        command
            .args(&handler.arguments)
            .current_dir(&handler.directory)
            .env_clear()
            .env("AZURE_FUNCTIONS_ENVIRONMENT", "Development")
            .env("FUNCTIONS_WORKER_RUNTIME", "custom")
            .env("WEBSITE_HOSTNAME", format!("localhost:{}", self.public_port))
            .env("AzureWebJobsScriptRoot", &self.app.root)
            .envs(&self.app.environment)
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", &port)
            .env("FUNCTIONS_HTTPWORKER_PORT", &port)
            .env("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", &worker_id)
            .env("FUNCTIONS_HTTPWORKER_ID", &worker_id)
            .env("FUNCTIONS_APP_ROOT_PATH", &self.app.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = command.spawn()?;
        let pid = child.id().unwrap_or_default();
        info!("started {} as process {pid} on port {port}", handler.program.display());
        if let Err(error) = std::fs::write(&self.trace_file, format!("{pid} {worker_id}")) {
            debug!("cannot remember the handler in {}: {error}", self.trace_file.display());
        }
        self.tell(Event::HandlerStarted { pid });
        Ok(child)
    }

    /// Logs one pipe line by line. `last_words` is given for stderr and keeps its latest errors.
    fn pump(
        &self,
        pipe: impl AsyncRead + Unpin + Send + 'static,
        last_words: Option<Arc<Mutex<VecDeque<String>>>>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let events = self.events.clone();
        let errors_only = self.app.handler.stderr_is_errors;
        async move {
            let mut lines = BufReader::new(pipe);
            let mut bytes = Vec::new();
            while matches!(lines.read_until(b'\n', &mut bytes).await, Ok(1..)) {
                let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
                bytes.clear();
                let severity =
                    if last_words.is_some() { severity(&text, errors_only) } else { Severity::Information };
                let text = if last_words.is_some() { plain(text) } else { text };
                match severity {
                    Severity::Information => info!(category = "Host.Function.Console", "{text}"),
                    Severity::Warning => warn!(category = "Host.Function.Console", "{text}"),
                    Severity::Error => error!(category = "Host.Function.Console", "{text}"),
                }
                if let (Severity::Error, Some(words)) = (severity, &last_words) {
                    let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
                    words.push_back(text.clone());
                    if words.len() > LAST_WORDS {
                        words.pop_front();
                    }
                }
                // No receiver is fine: nothing depends on the news.
                let _ = events.send(Event::Line { text, severity });
            }
        }
    }

    /// Waits for a reason to start another child; false when the host ends instead.
    async fn wait_for_change(&mut self) -> bool {
        let before = stamp(&self.app.handler.program);
        let mut exit = self.exit.subscribe();
        tokio::select! {
            _ = exit.wait_for(Option::is_some) => false,
            Some(_) = self.restarts.recv() => true,
            () = changed(&self.app.handler.program, before), if self.watch_executable => true,
        }
    }

    fn tell(&self, event: Event) {
        // No receiver is fine: nothing depends on the news.
        let _ = self.events.send(event);
    }
}

/// How a line on stderr is logged. With `errors_only` false, only lines that speak of failure are errors.
pub fn severity(line: &str, errors_only: bool) -> Severity {
    let line = line.to_ascii_lowercase();
    let alarming = ["error", "fail", "severe", "unhandled exception"];
    if line.contains("warn") {
        Severity::Warning
    } else if errors_only || alarming.iter().any(|word| line.contains(word)) {
        Severity::Error
    } else {
        Severity::Information
    }
}

/// The host puts its own words in place of the many ways to say that a port is taken.
fn plain(line: String) -> String {
    if line.to_ascii_lowercase().contains("address already in use") || line.contains("EADDRINUSE") {
        "Port is already in use. Process cannot start.".to_owned()
    } else {
        line
    }
}

/// `GET /` until anything answers; false once the time is used up, counted in steps.
async fn poll_ready(client: reqwest::Client, port: u16, limit: Duration) -> bool {
    let url = format!("http://127.0.0.1:{port}/");
    let steps = limit.as_millis().div_ceil(READY_INTERVAL.as_millis());
    for _ in 0..steps {
        match client.get(&url).send().await {
            Ok(_) => return true,
            Err(error) if !is_socket_error(&error) => return true,
            Err(error) => debug!("not ready: {error}"),
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
    false
}

/// Whether the connection itself failed, as opposed to a strange answer over it.
fn is_socket_error(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if inner.is::<std::io::Error>() {
            return true;
        }
        source = inner.source();
    }
    error.is_connect()
}

/// SIGKILL, no notice; the real host gives none either.
async fn kill(child: &mut Child) {
    if let Err(error) = child.start_kill() {
        debug!("kill: {error}");
    }
    if tokio::time::timeout(KILL_PATIENCE, child.wait()).await.is_err() {
        warn!("the handler is still alive 1 s after it was killed");
    }
}

/// Ends the handler of a host that was itself killed. Only a process that carries the remembered worker id in its
/// environment is touched; where that cannot be read (outside Linux) nothing is.
async fn end_leftover(trace_file: &Path) {
    let Ok(trace) = std::fs::read_to_string(trace_file) else { return };
    let Some((pid, worker_id)) = trace.trim().split_once(' ') else { return };
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return };
    let mark = format!("FUNCTIONS_CUSTOMHANDLER_WORKER_ID={worker_id}");
    if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
        warn!("ending process {pid}, a handler that an earlier host left behind");
        if let Err(error) = Command::new("kill").args(["-9", pid]).status().await {
            warn!("kill {pid}: {error}");
        }
    }
}

type Stamp = Option<(SystemTime, u64)>;

/// Enough of a file's metadata to tell a new build from the old one; nothing for a name found on `PATH`.
fn stamp(program: &Path) -> Stamp {
    let metadata = std::fs::metadata(program).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Returns once the program differs from `before` and has kept still for one look, so that no half-written file starts.
async fn changed(program: &Path, before: Stamp) {
    let mut seen = before;
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let now = stamp(program);
        if now.is_some() && now != before && now == seen {
            return;
        }
        seen = now;
    }
}
