//! The real program in a folder of its own: a handler that answers over real HTTP, an app root with a lake.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backtests"));
    for (name, _) in std::env::vars().filter(|(name, _)| {
        ["BACKTEST_", "AZURE_", "RUST_LOG", "POSTGRES_DSN"].iter().any(|own| name.starts_with(own))
    }) {
        command.env_remove(name);
    }
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str], folder: &Path) -> Output {
    program().args(arguments).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

/// Runs the program, which must succeed, and returns its stdout.
pub(crate) fn run_well(arguments: &[&str], folder: &Path) -> String {
    run_well_with(arguments, folder, &[])
}

/// The same with settings.
pub(crate) fn run_well_with(arguments: &[&str], folder: &Path, settings: &[(&str, &str)]) -> String {
    let mut program = program();
    program.args(arguments).current_dir(folder).stdin(Stdio::null()).envs(settings.iter().copied());
    let output = program.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A file of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder with a lake of the real sample prices, where handlers keep what they keep.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    /// With the real sample prices.
    pub(crate) fn with_prices() -> Self {
        let home = Self::empty();
        let sample = project("examples/data/wiki5_ohlcv_daily.parquet");
        run_well(
            &["lake", "import", sample.to_str().unwrap(), "--lake", home.lake().to_str().unwrap()],
            home.path(),
        );
        home
    }

    /// With a synthetic market.
    pub(crate) fn with_sample(symbols: usize, days: usize) -> Self {
        let home = Self::empty();
        let (symbols, days) = (symbols.to_string(), days.to_string());
        let lake = home.lake();
        let arguments =
            ["lake", "sample", "--symbols", &symbols, "--days", &days, "--lake", lake.to_str().unwrap()];
        run_well(&arguments, home.path());
        home
    }

    /// With nothing.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.path().join("lake")
    }

    /// A copy of what a clone has beside the sources.
    pub(crate) fn with_clone(self) -> Self {
        for file in [
            "host.json",
            "examples/momentum.yaml",
            "examples/data/wiki5_ohlcv_daily.parquet",
            "examples/curl.sh",
        ] {
            self.copy(file);
        }
        for function in std::fs::read_dir(project("functions")).unwrap() {
            let name = function.unwrap().file_name();
            self.copy(&format!("functions/{}/function.json", name.to_str().unwrap()));
        }
        self
    }

    fn copy(&self, file: &str) {
        std::fs::create_dir_all(self.path().join(file).parent().unwrap()).unwrap();
        std::fs::copy(project(file), self.path().join(file)).unwrap();
    }

    /// Starts the local host on this home, which is a clone.
    pub(crate) async fn dev(&self, options: &[&str]) -> Dev {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = program()
            .args(["dev", "--port", &port.to_string()])
            .args(options)
            .current_dir(self.path())
            .env("BACKTEST_LAKE", self.lake())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let dev = Dev { child, url: format!("http://127.0.0.1:{port}") };
        eventually("the local host answers", async || {
            let answer = reqwest::get(format!("{}/api/readyz", dev.url)).await;
            answer.ok()?.status().is_success().then_some(())
        })
        .await;
        dev
    }

    /// Starts a handler on this home; `settings` go beside the usual ones.
    pub(crate) async fn handler(&self, settings: &[(&str, &str)]) -> Handler {
        self.handler_that_logs(settings, Stdio::null()).await
    }

    /// The same with a place for the lines of its log.
    pub(crate) async fn handler_that_logs(&self, settings: &[(&str, &str)], log: Stdio) -> Handler {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let handler = self.handler_at(port, settings, log);
        eventually("the handler answers", async || handler.answers().await.then_some(())).await;
        handler
    }

    /// The same on a port of the caller's choice, where it answers soon.
    pub(crate) fn handler_at(&self, port: u16, settings: &[(&str, &str)], log: Stdio) -> Handler {
        let child = program()
            .arg("serve")
            .current_dir(self.path())
            .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
            .env("BACKTEST_LAKE", self.lake())
            .env("BACKTEST_OUTPUT_DIR", self.path().join("results"))
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Handler { child, caller: Caller::of(port) }
    }
}

/// A local host, ended as a person would end it, so that it takes its handler along.
pub(crate) struct Dev {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// A handler process, killed when it is dropped.
pub(crate) struct Handler {
    child: Child,
    caller: Caller,
}

impl Deref for Handler {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// Whoever calls a handler, as the host and as clients do. It outlives the process that it calls.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Caller {
    /// Of the handler that listens on a port, now or later.
    pub(crate) fn of(port: u16) -> Self {
        Self { url: format!("http://127.0.0.1:{port}"), http: reqwest::Client::new() }
    }

    /// Whether somebody answers.
    pub(crate) async fn answers(&self) -> bool {
        self.http.get(&self.url).send().await.is_ok()
    }

    /// Sends a request to a handler that answers.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// The same to one that may be gone before it answers.
    pub(crate) async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }

    /// A plain request.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = self.http.request(method, format!("{}{path}", self.url));
        self.send(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    /// A call by envelope, as the host makes it: chunked.
    pub(crate) async fn envelope(&self, function: &str, data: &Value) -> Answer {
        self.send(self.enveloped(function, data)).await
    }

    /// The request of such a call.
    pub(crate) fn enveloped(&self, function: &str, data: &Value) -> reqwest::RequestBuilder {
        let body = json!({ "Data": data, "Metadata": {} }).to_string();
        let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
        let request =
            self.http.post(format!("{}/{function}", self.url)).header("content-type", "application/json");
        request.body(reqwest::Body::wrap_stream(chunks))
    }

    /// Submits by envelope and returns what the host is given: the HTTP answer and the messages.
    pub(crate) async fn submit(&self, body: &Value) -> Value {
        self.envelope("submit", &submission(body, None)).await.json()["Outputs"].clone()
    }

    /// Delivers a wake-up message; returns when the invocation has ended.
    pub(crate) async fn wake(&self, run_id: &str) -> Answer {
        self.envelope("execute", &delivery(&json!({ "v": 1, "run_id": run_id }).to_string())).await
    }

    pub(crate) async fn run(&self, run_id: &str) -> Value {
        self.get(&format!("/api/backtests/{run_id}")).await.json()
    }

    /// Waits until an attempt at a run is under way, be it in another process.
    pub(crate) async fn sees_running(&self, run_id: &str) {
        let running = async || (self.run(run_id).await["status"] == "running").then_some(());
        eventually("the run is under way", running).await;
    }
}

impl Handler {
    /// Kills this process in the middle of a run that it is told to execute; `watcher` sees when that is.
    pub(crate) async fn dies_in(&mut self, run_id: &str, watcher: &Handler) {
        self.dies_in_what_follows(run_id, run_id, watcher).await;
    }

    /// The same in the middle of a run that follows from another one that it is told to execute.
    pub(crate) async fn dies_in_what_follows(&mut self, woken: &str, run_id: &str, watcher: &Handler) {
        {
            let (wake, running) = (self.wake(woken), watcher.sees_running(run_id));
            futures_util::pin_mut!(wake, running);
            futures_util::future::select(wake, running).await;
        }
        self.kill();
        assert_eq!(watcher.run(run_id).await["status"], "running", "it was killed in the middle");
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended, by itself or by somebody's hand.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal with the program that has it on every system.
    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Asks it to stop, and answers its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the envelope of a submit holds.
pub(crate) fn submission(body: &Value, key: Option<&str>) -> Value {
    let mut headers = json!({ "Content-Type": ["application/json"] });
    if let Some(key) = key {
        headers["Idempotency-Key"] = json!([key]);
    }
    json!({ "req": {
        "Url": "http://localhost/api/backtests", "Method": "POST", "Query": {}, "Params": {},
        "Headers": headers, "Body": body.to_string(),
    }})
}

/// What the envelope of a queue message holds.
pub(crate) fn delivery(message: &str) -> Value {
    json!({ "run": base64::engine::general_purpose::STANDARD.encode(message) })
}

/// Free ports below those that connections are given, so that nobody takes one while its server is away for a moment.
pub(crate) fn lasting_ports() -> impl Iterator<Item = u16> {
    let first = 20_000 + uuid::Uuid::new_v4().as_fields().1 % 12_000;
    let ports = (first..32_000).chain(20_000..first);
    ports.filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A config that holds all symbols of a [`Home::with_sample`]. In a debug build it takes some seconds on one of 2,000 days.
pub(crate) fn long() -> Value {
    json!({
        "start_date": "2000-01-03", "end_date": "2030-12-31", "universe": { "symbols": ["*"] },
        "strategy": { "class": "StaticUniverseStrategy" }, "sizing": { "parameters": { "max_positions": 200 } },
    })
}

/// A config that runs on the sample prices.
pub(crate) fn momentum() -> Value {
    json!({
        "run_name": "momentum", "start_date": "2006-01-03", "end_date": "2009-12-31",
        "universe": { "symbols": ["AAPL", "GOOG", "IBM", "MSFT"] },
        "strategy": { "class": "TopNSignalStrategy",
                      "parameters": { "signal_column": "momentum_12_1", "top_n": 2, "rebalance": "monthly" } },
    })
}
