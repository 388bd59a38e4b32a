//! The front door: finds the function for a request, asks for keys if told to, and passes the request on in the way
//! that the app's files ask for.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use chrono::Utc;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use percent_encoding::percent_decode_str;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sync_wrapper::SyncStream;
use tokio::net::TcpListener;
use uuid::Uuid;
use warp::Filter;
use warp::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, USER_AGENT};
use warp::http::{HeaderMap, HeaderName, HeaderValue, Response as HttpResponse, StatusCode};
use warp::reply::{Reply as _, Response};

use super::app::{AuthLevel, Function, HttpMode, OutputKind, Trigger};
use super::envelope::{Envelope, HttpAnswer, Pairs, RequestParts, collapse};
use super::invoke::{HOST_VERSION, INVOCATION_HEADER, Invoker, VERSION_HEADER, chain};
use super::page;

/// Attempts of a proxied request whose connection fails.
const PROXY_ATTEMPTS: u32 = 10;

/// Headers that belong to one connection.
const HOP_BY_HOP: [&str; 8] = [
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade",
];

/// Content headers that forwarding loses.
const LOST_IN_FORWARDING: [&str; 4] =
    ["content-encoding", "content-disposition", "content-language", "content-range"];

/// Keys that callers must show.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keys {
    master: String,
    function: String,
}

impl Keys {
    /// The keys of this host; made and shown at the first start.
    pub fn load(state_dir: &Path) -> std::io::Result<Self> {
        let file = state_dir.join("keys.json");
        match std::fs::read(&file) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = || format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
                let keys = Self { master: key(), function: key() };
                std::fs::write(&file, serde_json::to_vec_pretty(&keys)?)?;
                tracing::info!("made function keys; they are in {}", file.display());
                Ok(keys)
            }
            Err(error) => Err(error),
        }
    }

    fn allow(&self, level: AuthLevel, key: Option<&str>) -> bool {
        match level {
            AuthLevel::Anonymous => true,
            AuthLevel::Function => key.is_some_and(|key| key == self.function || key == self.master),
            AuthLevel::Admin => key.is_some_and(|key| key == self.master),
        }
    }
}

/// Answers requests until the host ends.
pub async fn serve(listener: TcpListener, invoker: Arc<Invoker>, keys: Option<Keys>) {
    let keys = Arc::new(keys);
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let door = warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream().map(body))
        .then(move |method, path: warp::path::FullPath, query, headers, content: Body| {
            let door = Door { invoker: Arc::clone(&invoker), keys: Arc::clone(&keys) };
            let request = Request { method, path: path.as_str().to_owned(), query, headers };
            async move { door.answer(request, content).await }.boxed()
        });
    warp::serve(door.boxed()).incoming(listener).run().await;
}

struct Door {
    invoker: Arc<Invoker>,
    keys: Arc<Option<Keys>>,
}

struct Request {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
}

type Body = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>;

fn body<B: Buf>(chunks: impl Stream<Item = Result<B, warp::Error>> + Send + 'static) -> Body {
    Box::pin(chunks.map_ok(|mut chunk| chunk.copy_to_bytes(chunk.remaining())))
}

/// A body on its way to the handler.
enum Content {
    None,
    Whole(Bytes),
    /// Without a length; only a proxy can pass it on.
    Streaming(Body),
}

impl Request {
    fn pairs(&self) -> Pairs {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    fn header(&self, name: impl warp::http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The key that the caller shows.
    fn key(&self) -> Option<String> {
        let in_query = || self.pairs().into_iter().find(|(name, _)| name == "code").map(|(_, value)| value);
        self.header("x-functions-key").map(str::to_owned).or_else(in_query)
    }
}

impl Door {
    async fn answer(&self, request: Request, body: Body) -> Response {
        if let Some(rest) = request.path.strip_prefix("/admin/") {
            return self.admin(rest, &request, body).await;
        }
        let Some((function, parameters)) = self.find(&request) else {
            if request.path == "/" && request.method == Method::GET {
                return warp::reply::html(page::start_page(&self.invoker)).into_response();
            }
            return empty(StatusCode::NOT_FOUND);
        };
        let Trigger::Http { auth, .. } = &function.trigger else { return empty(StatusCode::NOT_FOUND) };
        if self.keys.as_ref().as_ref().is_some_and(|keys| !keys.allow(*auth, request.key().as_deref())) {
            return empty(StatusCode::UNAUTHORIZED);
        }
        let content = match self.receive(&request, body).await {
            Ok(content) => content,
            Err(status) => return empty(status),
        };
        match self.invoker.app.http_mode(function) {
            HttpMode::Envelope => self.envelope(function, &request, parameters, content).await,
            mode => self.pass_on(mode, function, request, content).await,
        }
    }

    /// The first function, by name, whose route and methods fit.
    fn find(&self, request: &Request) -> Option<(&Function, Vec<(String, Option<String>)>)> {
        let app = &self.invoker.app;
        let path = percent_decode_str(request.path.strip_prefix('/')?).decode_utf8().ok()?.into_owned();
        let below = match app.route_prefix.as_str() {
            "" => path.as_str(),
            prefix => {
                let split = path.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix))?.len();
                let rest = &path[split..];
                if rest.is_empty() { rest } else { rest.strip_prefix('/')? }
            }
        };
        app.functions.iter().filter(|function| !function.disabled).find_map(|function| match &function.trigger {
            Trigger::Http { route, methods, .. } => {
                let allowed = methods.as_ref().is_none_or(|methods| methods.iter().any(|one| one == request.method.as_str()));
                Some((function, route.matches(below).filter(|_| allowed)?))
            }
            _ => None,
        })
    }

    /// A body with a length is read as a whole before anything else happens, in every mode.
    async fn receive(&self, request: &Request, body: Body) -> Result<Content, StatusCode> {
        let limit = self.invoker.app.body_bytes_max;
        match request.header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
            Some(0) => Ok(Content::None),
            Some(length) if length > limit => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Some(_) => match collect(body, limit).await {
                Some(bytes) => Ok(Content::Whole(bytes)),
                None => Err(StatusCode::BAD_REQUEST),
            },
            None if request.headers.contains_key(TRANSFER_ENCODING) => Ok(Content::Streaming(body)),
            None => Ok(Content::None),
        }
    }

    async fn envelope(
        &self,
        function: &Function,
        request: &Request,
        parameters: Vec<(String, Option<String>)>,
        content: Content,
    ) -> Response {
        let headers = request.headers.iter();
        let parts = RequestParts {
            url: format!("http://{}{}", request.header(HOST).unwrap_or("localhost"), full_path(request)),
            method: request.method.to_string(),
            query: request.pairs(),
            headers: headers
                .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
                .collect(),
            parameters,
            body: match content {
                Content::Whole(bytes) => Some(bytes),
                Content::None | Content::Streaming(_) => None,
            },
        };
        let envelope = Envelope::of_request(&function.name, &function.trigger_name, &parts);
        let Ok(answer) = self.invoker.invoke(function, &envelope).await else {
            return empty(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let output = function.outputs.iter().find(|output| matches!(output.kind, OutputKind::Http));
        match output.map(|output| answer.http(&output.name)) {
            None => empty(StatusCode::OK),
            Some(Ok(http)) => from_answer(http),
            Some(Err(error)) => {
                tracing::error!(function = function.name, "{error}");
                empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// The plain ways: streamed through untouched, or rebuilt and buffered.
    async fn pass_on(&self, mode: HttpMode, function: &Function, request: Request, content: Content) -> Response {
        let (at, started) = (Utc::now(), Instant::now());
        let outcome = self.exchange(mode, &request, content).await;
        // A refusal by the handler is an invocation that succeeded.
        self.invoker.remember(function, at, started.elapsed(), outcome.as_ref().err().cloned());
        outcome.unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
    }

    async fn exchange(&self, mode: HttpMode, request: &Request, content: Content) -> Result<Response, String> {
        let proxying = mode == HttpMode::Proxy;
        if !proxying && matches!(content, Content::Streaming(_)) {
            return Err("a chunked upload cannot be forwarded; send it with a length".to_owned());
        }
        if !self.invoker.handler.ready().await {
            return Err("the handler is not ready".to_owned());
        }
        let headers = if proxying { proxied(&request.headers) } else { forwarded(&request.headers, &content) };
        let path = if proxying { full_path(request) } else { collapsed_path(request) };
        let url = format!("http://127.0.0.1:{}{path}", self.invoker.handler.port);
        let build = || self.invoker.client.request(request.method.clone(), &url).headers(headers.clone());
        let response = match content {
            Content::Streaming(body) => build().body(reqwest::Body::wrap_stream(body)).send().await,
            Content::None => retried(proxying, || build().send()).await,
            Content::Whole(bytes) => retried(proxying, || build().body(bytes.clone()).send()).await,
        };
        let response = response.map_err(|error| chain(&error.without_url()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut reply = if proxying {
            warp::reply::stream(SyncStream::new(response.bytes_stream().map_err(std::io::Error::other))).into_response()
        } else {
            let bytes = response.bytes().await.map_err(|error| chain(&error.without_url()))?;
            HttpResponse::new(bytes).map(Into::into)
        };
        *reply.status_mut() = status;
        for (name, value) in &headers {
            if !HOP_BY_HOP.contains(&name.as_str()) {
                reply.headers_mut().append(name, value.clone());
            }
        }
        Ok(reply)
    }

    async fn admin(&self, path: &str, request: &Request, body: Body) -> Response {
        let open = path == "host/ping";
        let master = |keys: &Keys| keys.allow(AuthLevel::Admin, request.key().as_deref());
        if !open && !self.keys.as_ref().as_ref().is_none_or(master) {
            return empty(StatusCode::UNAUTHORIZED);
        }
        match (request.method.as_str(), path) {
            ("GET" | "POST", "host/ping") => empty(StatusCode::OK),
            ("GET", "host/status") => document(StatusCode::OK, &json!({
                "state": "Running", "version": HOST_VERSION, "id": "local", "errors": [],
            })),
            ("GET", "functions") => {
                let names = self.invoker.app.functions.iter();
                let list: Vec<Value> = names.map(|one| json!({ "name": one.name, "isDisabled": one.disabled })).collect();
                document(StatusCode::OK, &json!(list))
            }
            ("POST", path) => match path.strip_prefix("functions/") {
                Some(name) => self.fire(name, collect(body, self.invoker.app.body_bytes_max).await).await,
                None => empty(StatusCode::NOT_FOUND),
            },
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    /// Runs a queue or timer function by hand; the answer does not wait for it.
    async fn fire(&self, name: &str, body: Option<Bytes>) -> Response {
        let Some(function) = self.invoker.function(name) else { return empty(StatusCode::NOT_FOUND) };
        let given: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
        let input = match &given["input"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let (name, binding) = (function.name.clone(), &function.trigger_name);
        let envelope = match &function.trigger {
            Trigger::Http { .. } => return empty(StatusCode::BAD_REQUEST),
            Trigger::Timer { schedule, .. } => {
                let adjusts = schedule.adjusts_for_daylight_saving();
                Envelope::of_tick(&name, binding, adjusts, Value::Null, false)
            }
            Trigger::Queue { binary, .. } => {
                let now = Utc::now();
                let message = super::queue::Message {
                    id: Uuid::new_v4().to_string(),
                    receipt: String::new(),
                    body: String::new(),
                    dequeue_count: 1,
                    inserted_at: now,
                    expires_at: now,
                    visible_at: now,
                };
                Envelope::of_message(&name, binding, &message, input.as_bytes(), *binary)
            }
        };
        let invoker = Arc::clone(&self.invoker);
        tokio::spawn(async move {
            if let Some(function) = invoker.function(&name) {
                // A failure is in the log.
                let _ = invoker.invoke(function, &envelope).await;
            }
        });
        empty(StatusCode::ACCEPTED)
    }
}

/// Sends again while the connection fails and the way allows it: a proxy does, with a growing pause.
async fn retried<F: Future<Output = reqwest::Result<reqwest::Response>>>(
    proxying: bool,
    send: impl Fn() -> F,
) -> reqwest::Result<reqwest::Response> {
    let mut pause = Duration::from_millis(50);
    let attempts = if proxying { PROXY_ATTEMPTS } else { 1 };
    for _ in 1..attempts {
        match send().await {
            Err(error) if error.is_request() => tokio::time::sleep(pause).await,
            done => return done,
        }
        pause = (2 * pause).min(Duration::from_millis(250));
    }
    send().await
}

fn full_path(request: &Request) -> String {
    if request.query.is_empty() { request.path.clone() } else { format!("{}?{}", request.path, request.query) }
}

/// Forwarding rebuilds the query: a name that stands twice becomes one with joined values.
fn collapsed_path(request: &Request) -> String {
    if request.query.is_empty() {
        return request.path.clone();
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(collapse(&request.pairs())).finish();
    format!("{}?{query}", request.path)
}

fn proxied(from: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in from {
        if !HOP_BY_HOP.contains(&name.as_str()) && name != CONTENT_LENGTH {
            headers.append(name, value.clone());
        }
    }
    let invocation = Uuid::new_v4().to_string();
    set(&mut headers, VERSION_HEADER, HOST_VERSION);
    set(&mut headers, INVOCATION_HEADER, &invocation);
    set(&mut headers, "x-ms-invocation-id", &invocation);
    headers
}

fn forwarded(from: &HeaderMap, content: &Content) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let bare = matches!(content, Content::None);
    for (name, value) in from {
        let lost = LOST_IN_FORWARDING.contains(&name.as_str()) || (bare && name == CONTENT_TYPE);
        if !lost && !HOP_BY_HOP.contains(&name.as_str()) && name != CONTENT_LENGTH && name != CONNECTION {
            headers.append(name, value.clone());
        }
    }
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let agent = format!("{agent} Azure-Functions-Host/{HOST_VERSION}").trim_start().to_owned();
    set(&mut headers, "user-agent", &agent);
    set(&mut headers, VERSION_HEADER, HOST_VERSION);
    // One that the client sent stays in front of ours.
    if let Ok(value) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        headers.append(INVOCATION_HEADER, value);
    }
    headers
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn from_answer(answer: HttpAnswer) -> Response {
    let mut response = HttpResponse::new(Bytes::from(answer.body)).map(Into::into);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

async fn collect(mut body: Body, limit: u64) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        whole.extend_from_slice(&chunk.ok()?);
        if whole.len() as u64 > limit {
            return None;
        }
    }
    Some(whole.freeze())
}

fn document(status: StatusCode, body: &Value) -> Response {
    warp::reply::with_status(warp::reply::json(body), status).into_response()
}

fn empty(status: StatusCode) -> Response {
    warp::reply::with_status(warp::reply::reply(), status).into_response()
}
