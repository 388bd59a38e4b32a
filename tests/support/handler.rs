//! A handler to try the local host with, and the apps it lives in. The test program itself plays the handler: the host
//! launches it with the name of one ignored test. What it does is chosen by the request.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backtest_functions::devhost::{self, Event, Host, Options};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use warp::Filter;

/// Longest wait for anything in these tests.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Plays the handler until killed.
pub(super) fn run() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("OUTLIVE_THE_HOST").is_empty() {
        exit_with_parent();
    }
    for line in variable("SAY_OUT").lines() {
        println!("{line}");
    }
    for line in variable("SAY_ERR").lines() {
        eprintln!("{line}");
    }
    note(
        "starts.jsonl",
        &json!({
            "environment": std::env::vars().collect::<std::collections::BTreeMap<_, _>>(),
            "arguments": std::env::args().collect::<Vec<_>>(),
            "directory": std::env::current_dir().unwrap(),
        }),
    );
    if let Ok(code) = variable("EXIT_AT_START").parse() {
        std::process::exit(code);
    }
    let port: u16 = variable("FUNCTIONS_CUSTOMHANDLER_PORT").parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        if !variable("NEVER_LISTEN").is_empty() {
            std::future::pending::<()>().await;
        }
        let delay: u64 = variable("LISTEN_AFTER_MS").parse().unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let filter = warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .then(|method: warp::http::Method, path: warp::path::FullPath, query: String, headers, body| async move {
                answer(method.as_str(), path.as_str(), &query, &headers, body).await
            });
        warp::serve(filter).run(([127, 0, 0, 1], port)).await;
    });
}

/// Runs a host on an app until killed, as a process of its own.
pub(super) fn run_host() {
    let mut options = Options::new(std::env::var("APP_ROOT").unwrap());
    options.port = Some(0);
    options.lease_seconds = Some(1);
    options.environment = std::env::vars().collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { devhost::start(options).await.unwrap().wait().await });
}

/// Without this a killed test program would leave its handlers behind.
fn exit_with_parent() {
    let parent = std::os::unix::process::parent_id();
    std::thread::spawn(move || {
        while std::os::unix::process::parent_id() == parent {
            std::thread::sleep(Duration::from_millis(200));
        }
        std::process::exit(1);
    });
}

fn note(file: &str, value: &Value) {
    let folder = PathBuf::from(std::env::var("FUNCTIONS_APP_ROOT_PATH").unwrap());
    let mut file = fs::OpenOptions::new().create(true).append(true).open(folder.join(file)).unwrap();
    file.write_all(format!("{value}\n").as_bytes()).unwrap();
}

async fn answer(
    method: &str,
    path: &str,
    query: &str,
    headers: &warp::http::HeaderMap,
    body: bytes::Bytes,
) -> warp::reply::Response {
    if path == "/" {
        return reply(404, "", b"");
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
    let request = json!({
        "method": method,
        "path": path,
        "query": query,
        "headers": headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect::<Vec<_>>(),
        "body": text,
        "running": running,
        "process": std::process::id(),
    });
    note("requests.jsonl", &request);
    let wish =
        headers.get("x-do").map(|wish| wish.to_str().unwrap().to_owned()).or_else(|| wish_within(&text));
    let enveloped = !path.starts_with("/api/");
    let response = obey(wish.as_deref().unwrap_or(""), enveloped, &request).await;
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    response
}

/// The `do` of a message, dug out of whatever encoding it came in.
fn wish_within(text: &str) -> Option<String> {
    let envelope: Value = serde_json::from_str(text).ok()?;
    let data = envelope["Data"].as_object()?.values().next()?;
    let content = match data {
        Value::Object(request) => request.get("Body")?.as_str()?.to_owned(),
        Value::String(word) => match devhost::envelope::from_base64(word) {
            Some(bytes) => String::from_utf8(bytes).ok()?,
            None => serde_json::from_str::<String>(word).ok()?,
        },
        _ => return None,
    };
    let message: Value = serde_json::from_str(&content).ok()?;
    Some(message["do"].as_str()?.to_owned())
}

async fn obey(wish: &str, enveloped: bool, request: &Value) -> warp::reply::Response {
    let (verb, argument) = wish.split_once(':').unwrap_or((wish, ""));
    match verb {
        "exit" => std::process::exit(argument.parse().unwrap()),
        // Dies on the first request that says so, then behaves.
        "die_once" => {
            let marker = PathBuf::from(std::env::var("FUNCTIONS_APP_ROOT_PATH").unwrap()).join("died");
            if !marker.exists() {
                fs::write(marker, "").unwrap();
                std::process::abort();
            }
            reply(200, "application/json", b"{}")
        }
        "hang" => std::future::pending().await,
        "slow" => {
            tokio::time::sleep(Duration::from_millis(argument.parse().unwrap())).await;
            reply(200, "application/json", b"{}")
        }
        "status" => {
            let mut response = reply(argument.parse().unwrap(), "application/json", b"{\"a\":1}");
            for (name, value) in [
                ("location", "/api/elsewhere"),
                ("etag", "\"7\""),
                ("retry-after", "9"),
                ("allow", "GET"),
                ("expires", "Thu, 01 Jan 2026 00:00:00 GMT"),
                ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
            ] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        "empty" => reply(200, "application/json", b""),
        "null" => reply(200, "application/json", b"null"),
        "text" => reply(200, "text/plain", b"{}"),
        "malformed" => reply(200, "application/json", b"{\"Outputs\":"),
        "answer" => reply(200, "application/json", argument.as_bytes()),
        "drip" => {
            let pieces = futures_util::stream::unfold(0, |count| async move {
                let pause = if count == 0 { 0 } else { 60_000 };
                tokio::time::sleep(Duration::from_millis(pause)).await;
                Some((Ok::<_, std::io::Error>("drop\n"), count + 1))
            });
            warp::reply::Reply::into_response(warp::reply::stream(Box::pin(SyncStream::new(pieces))))
        }
        _ if enveloped => reply(200, "application/json", b"{}"),
        _ => reply(200, "application/json", request.to_string().as_bytes()),
    }
}

/// A stream behind a mutex, as `Sync` as a response body must be.
struct SyncStream<S>(std::sync::Mutex<std::pin::Pin<Box<S>>>);

impl<S> SyncStream<S> {
    fn new(stream: S) -> Self {
        SyncStream(std::sync::Mutex::new(Box::pin(stream)))
    }
}

impl<S: futures_util::Stream> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.lock().unwrap().as_mut().poll_next(context)
    }
}

fn reply(status: u16, content_type: &str, body: &[u8]) -> warp::reply::Response {
    let mut response = warp::reply::Response::new(body.to_vec().into());
    *response.status_mut() = warp::http::StatusCode::from_u16(status).unwrap();
    if !content_type.is_empty() {
        response.headers_mut().insert("content-type", content_type.parse().unwrap());
    }
    response
}

/// An app in a folder of its own.
pub(super) struct TestApp {
    folder: tempfile::TempDir,
    /// Options of the next start.
    pub(super) options: Options,
    host_json: Value,
}

impl TestApp {
    /// An app whose handler is this program; no functions yet.
    pub(super) fn new() -> TestApp {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(folder.path());
        options.port = Some(0);
        options.environment = std::env::vars().filter(|(name, _)| name != "AzureWebJobsStorage").collect();
        let host_json = json!({
            "version": "2.0",
            "functionTimeout": "00:05:00",
            "customHandler": {
                "description": {
                    "defaultExecutablePath": std::env::current_exe().unwrap(),
                    "arguments": ["devhost::as_handler", "--exact", "--ignored", "--nocapture"],
                },
                "enableForwardingHttpRequest": false,
                "enableProxyingHttpRequest": true,
            },
            "extensions": { "queues": { "maxPollingInterval": "00:00:00.2" } },
        });
        TestApp { folder, options, host_json }
    }

    /// Sets a value in `host.json`, by JSON pointer.
    pub(super) fn host(mut self, pointer: &str, value: Value) -> TestApp {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut place = &mut self.host_json;
        for step in parent.split('/').skip(1) {
            place = &mut place[step];
        }
        place[name] = value;
        self
    }

    /// Adds an app setting.
    pub(super) fn setting(mut self, name: &str, value: &str) -> TestApp {
        self.options.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Changes the options.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Options)) -> TestApp {
        change(&mut self.options);
        self
    }

    /// Adds a function with these bindings.
    pub(super) fn function(self, name: &str, bindings: Value) -> TestApp {
        self.file(&format!("{name}/function.json"), &Value::from_iter([("bindings", bindings)]).to_string())
    }

    /// An HTTP function open to all.
    pub(super) fn http(self, name: &str, route: &str, methods: &[&str]) -> TestApp {
        self.function(
            name,
            json!([
                { "type": "httpTrigger", "direction": "in", "name": "req", "authLevel": "anonymous",
                  "route": route, "methods": methods },
                { "type": "http", "direction": "out", "name": "res" },
            ]),
        )
    }

    /// A function listening to `queue` in text mode.
    pub(super) fn queue(self, name: &str, queue: &str) -> TestApp {
        let binding = json!({ "type": "queueTrigger", "direction": "in", "name": "job", "queueName": queue });
        self.function(name, json!([binding]))
    }

    /// A timer function.
    pub(super) fn timer(self, name: &str, schedule: &str) -> TestApp {
        let binding =
            json!({ "type": "timerTrigger", "direction": "in", "name": "timer", "schedule": schedule });
        self.function(name, json!([binding]))
    }

    /// Writes a file into the app.
    pub(super) fn file(self, path: &str, text: &str) -> TestApp {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// The folder of the app.
    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a host.
    pub(super) async fn start(&self) -> Running {
        let host = self.try_start().await.unwrap();
        Running { events: host.events(), client: client(), base: format!("http://{}", host.address()), host }
    }

    /// Starts a host that may refuse.
    pub(super) async fn try_start(&self) -> Result<Host, devhost::HostError> {
        self.write_host_json();
        devhost::start(self.options.clone()).await
    }

    /// Writes `host.json` without starting anything.
    pub(super) fn write_host_json(&self) {
        fs::write(self.folder.path().join("host.json"), self.host_json.to_string()).unwrap();
    }

    /// The text of the refusal.
    pub(super) async fn refusal(&self) -> String {
        self.try_start().await.map(|_| ()).unwrap_err().to_string()
    }

    /// The requests the handler received, readiness left out.
    pub(super) fn requests(&self) -> Vec<Value> {
        self.lines("requests.jsonl")
    }

    /// One entry for each start of the handler.
    pub(super) fn starts(&self) -> Vec<Value> {
        self.lines("starts.jsonl")
    }

    /// The envelopes among the requests.
    pub(super) fn envelopes(&self) -> Vec<Value> {
        let bodies = self.requests();
        bodies
            .iter()
            .map(|request| serde_json::from_str(request["body"].as_str().unwrap()).unwrap())
            .collect()
    }

    fn lines(&self, file: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join(file)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A client that follows nothing, keeps no connections and sends JSON unless it says otherwise.
pub(super) fn client() -> reqwest::Client {
    let json = ("content-type".parse().unwrap(), "application/json".parse().unwrap());
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let builder = builder.default_headers([json].into_iter().collect());
    builder.pool_max_idle_per_host(0).build().unwrap()
}

/// A running host and a caller.
pub(super) struct Running {
    /// The host.
    pub(super) host: Host,
    /// News since the start.
    pub(super) events: broadcast::Receiver<Event>,
    /// A caller.
    pub(super) client: reqwest::Client,
    /// Scheme and address.
    pub(super) base: String,
}

impl Running {
    /// Waits for an event.
    pub(super) async fn wait_for(&mut self, mut is_it: impl FnMut(&Event) -> bool) -> Event {
        let wait = async {
            loop {
                let event = self.events.recv().await.unwrap();
                if is_it(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the event did not come")
    }

    /// Waits for the end of an invocation; the failure if it failed.
    pub(super) async fn finished(&mut self) -> Option<String> {
        match self.wait_for(|event| matches!(event, Event::InvocationFinished { .. })).await {
            Event::InvocationFinished { failure, .. } => failure,
            _ => None,
        }
    }

    /// Waits until the handler answers.
    pub(super) async fn ready(&mut self) {
        self.wait_for(|event| *event == Event::HandlerReady).await;
    }

    /// A request to be completed.
    pub(super) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.base))
    }

    /// A plain GET.
    pub(super) async fn get(&self, path: &str) -> reqwest::Response {
        self.request("GET", path).send().await.unwrap()
    }

    /// Puts a text message, encoded as by an ordinary producer.
    pub(super) fn put(&self, queue: &str, text: &str) {
        self.host.queues().put(queue, &devhost::envelope::to_base64(text.as_bytes())).unwrap();
    }

    /// The decoded texts in a queue.
    pub(super) fn texts(&self, queue: &str) -> Vec<String> {
        let bodies = self.host.queues().peek(queue).unwrap();
        let decode = |body: &String| devhost::envelope::from_base64(body).unwrap_or_default();
        bodies.iter().map(|body| String::from_utf8(decode(body)).unwrap()).collect()
    }

    /// Waits until a queue holds so many messages.
    pub(super) async fn until_length(&self, queue: &str, length: u64) {
        let wait = async {
            while self.host.queues().len(queue).unwrap() != length {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the queue never got that long");
    }
}
