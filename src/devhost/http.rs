//! The front door: finds the function for a request, checks the key, and passes the request on in one of three ways
//! (streamed, rebuilt, or described in JSON). Also the `/admin` endpoints. The page of functions is drawn in `page`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};
use uuid::Uuid;
use warp::Filter;
use warp::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::app::{App, AuthLevel, Function, HttpMode, Trigger};
use super::envelope::{Envelope, Pairs, RequestParts, collapse};
use super::guard;
use super::invoke::{InvocationError, Invoker, user_agent};
use super::keys::Keys;
use super::process::State;
use super::queue::{Message, QueueError, is_queue_name};
use super::route::Parameters;
use super::{HOST_VERSION, page, timer};

const INVOCATION_ID: HeaderName = HeaderName::from_static("x-azure-functions-invocationid");
const MS_INVOCATION_ID: HeaderName = HeaderName::from_static("x-ms-invocation-id");
const VERSION: HeaderName = HeaderName::from_static("x-azure-functions-hostversion");
const PROXY_IDLE_MAX: Duration = Duration::from_secs(240);
const PROXY_ATTEMPTS_MAX: u32 = 10;

/// What the front door needs.
#[derive(Debug)]
pub struct Front {
    /// Calls functions, over the one limit of the app.
    pub invoker: Arc<Invoker>,
    /// Access keys, when they are checked.
    pub keys: Option<Keys>,
    /// When the host started.
    pub started: Instant,
    /// True while listeners take nothing new.
    pub draining: watch::Sender<bool>,
    /// Where `/` leads, if a function answers there.
    pub front_page: Option<String>,
    /// How this host is reached beside the names of this machine.
    pub name: Option<String>,
}

/// A request without its body.
#[derive(Debug)]
struct Head {
    method: Method,
    /// As received, with prefix.
    path: String,
    /// As received, without `?`.
    query: String,
    headers: HeaderMap,
}

/// The body as it arrives.
type Upload = stream::BoxStream<'static, Result<Bytes, warp::Error>>;

/// All requests, as one filter.
pub fn filter(front: Arc<Front>) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::any()
        .map(move || front.clone())
        .and(warp::method())
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(|front: Arc<Front>, method, path: warp::path::FullPath, query, headers, body| async move {
            let head = Head { method, path: path.as_str().to_owned(), query, headers };
            front.answer(head, upload(body)).await
        })
        .recover(|_| async { Ok::<_, Infallible>(empty(StatusCode::NOT_FOUND)) })
        .unify()
}

fn upload(body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + 'static) -> Upload {
    body.map(|chunk| chunk.map(|mut chunk| chunk.copy_to_bytes(chunk.remaining()))).boxed()
}

impl Front {
    async fn answer(self: Arc<Self>, head: Head, body: Upload) -> Response {
        let cors = &self.invoker.app.cors;
        let mark = if head.query.is_empty() { "" } else { "?" };
        let target = format!("{}{mark}{}", head.path, head.query);
        if let Err(refused) = guard::check(&head.method, &target, &head.headers, cors, self.name.as_deref()) {
            let shown: String = target.chars().take(80).collect();
            warn!(
                "{} {shown} was refused ({}): {}",
                head.method,
                refused.status.as_u16(),
                refused.why.trim_end()
            );
            let mut response = Response::new(refused.why.into());
            *response.status_mut() = refused.status;
            return response;
        }
        if let Some(headers) = cors.preflight(&head.method, &head.headers) {
            let mut response = empty(StatusCode::NO_CONTENT);
            *response.headers_mut() = headers;
            return response;
        }
        let asked = head.headers.clone();
        let mut response = self.clone().dispatch(head, body).await;
        cors.admit(&asked, response.headers_mut());
        response
    }

    async fn dispatch(self: Arc<Self>, head: Head, body: Upload) -> Response {
        let path = decoded_path(&head.path);
        if let Some(rest) = path.strip_prefix("/admin/") {
            return self.admin(rest.trim_end_matches('/'), &head, body).await;
        }
        if path.starts_with("/runtime/health") {
            return json_answer(StatusCode::OK, &json!({ "status": "Healthy" }));
        }
        match self.find(&head.method, &path) {
            Some((index, parameters)) => self.invoke(index, parameters, head, body).await,
            None if path == "/" => self.front_page(),
            None if path.trim_end_matches('/') == "/functions" => page::draw(&self.invoker, self.started),
            None => empty(StatusCode::NOT_FOUND),
        }
    }

    /// The pages of the app, where it has some.
    fn front_page(&self) -> Response {
        let pages = self.front_page.as_deref().filter(|path| self.find(&Method::GET, path).is_some());
        match pages.and_then(|path| HeaderValue::from_str(path).ok()) {
            Some(path) => {
                let mut response = empty(StatusCode::FOUND);
                response.headers_mut().insert(header::LOCATION, path);
                response
            }
            None => page::draw(&self.invoker, self.started),
        }
    }

    /// The first function, in order of names, whose route and methods fit.
    fn find(&self, method: &Method, path: &str) -> Option<(usize, Parameters)> {
        let rest = below_prefix(path, &self.invoker.app.route_prefix)?;
        self.invoker.app.functions.iter().enumerate().find_map(|(index, function)| {
            let Trigger::Http { route, methods, .. } = &function.trigger else { return None };
            let allowed =
                methods.as_ref().is_none_or(|methods| methods.iter().any(|one| one == method.as_str()));
            if function.disabled || !allowed {
                return None;
            }
            Some((index, route.matches(rest)?))
        })
    }

    async fn invoke(
        self: Arc<Self>,
        index: usize,
        parameters: Parameters,
        head: Head,
        body: Upload,
    ) -> Response {
        let Some(function) = self.invoker.app.functions.get(index) else {
            return empty(StatusCode::NOT_FOUND);
        };
        if !self.may_call(function, &head) {
            return empty(StatusCode::UNAUTHORIZED);
        }
        let limit = self.invoker.app.body_bytes_max;
        let length = content_length(&head.headers);
        // Kestrel's 413 is raised inside the invocation, where every fault becomes an empty 500.
        if length.is_some_and(|length| length > limit) {
            return empty(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let mode = self.invoker.app.http_mode(function);
        // With a length the host reads the whole body first, in every mode.
        let (buffered, body) = match length {
            Some(1..) => match read_all(body, limit).await {
                Ok(bytes) => (Some(bytes), None),
                Err(_) => return empty(StatusCode::INTERNAL_SERVER_ERROR),
            },
            _ => (None, Some(body)),
        };
        let cause = format!("{} {}", head.method, head.path);
        let result = match mode {
            HttpMode::Proxy => self.proxy(function, &cause, &head, buffered, body).await,
            HttpMode::Forward | HttpMode::Envelope => {
                // Unlike a streamed request, these go on when the caller hangs up.
                let front = self.clone();
                let work = tokio::spawn(async move {
                    let functions = &front.invoker.app.functions;
                    let function =
                        functions.get(index).ok_or(InvocationError::Unsendable("no such function"))?;
                    if mode == HttpMode::Forward {
                        front.forward(function, &cause, &head, buffered).await
                    } else {
                        front.describe(function, &cause, &head, parameters, buffered).await
                    }
                });
                work.await.unwrap_or(Err(InvocationError::Unsendable("the invocation broke off")))
            }
        };
        match result {
            Ok(response) => response,
            Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn may_call(&self, function: &Function, head: &Head) -> bool {
        let (Some(keys), Trigger::Http { auth, .. }) = (&self.keys, &function.trigger) else { return true };
        let offered = offered_key(head);
        match auth {
            AuthLevel::Anonymous => true,
            AuthLevel::Function => offered.is_some_and(|key| keys.opens_function(&function.name, &key)),
            AuthLevel::Admin => offered.is_some_and(|key| keys.is_master(&key)),
        }
    }

    /// Passes everything on untouched and streams the answer. A broken connection is tried again while nothing of the
    /// body has been used up.
    async fn proxy(
        &self,
        function: &Function,
        cause: &str,
        head: &Head,
        buffered: Option<Bytes>,
        mut body: Option<Upload>,
    ) -> Result<Response, InvocationError> {
        let limit = self.invoker.app.body_bytes_max;
        let has_stream = head.headers.contains_key(header::TRANSFER_ENCODING);
        self.invoker
            .recorded(function, cause, async |id| {
                let mut pause = Duration::from_millis(50);
                for attempt in 1.. {
                    let mut headers = end_to_end(&head.headers);
                    set_identity(&mut headers, id);
                    let mut request = self.request(head, &head.query).headers(headers);
                    let mut repeatable = true;
                    if let Some(bytes) = &buffered {
                        request = request.body(bytes.clone());
                        repeatable = false;
                    } else if let (true, Some(upload)) = (has_stream, body.take()) {
                        request = request.body(reqwest::Body::wrap_stream(bounded(upload, limit)));
                        repeatable = false;
                    }
                    match request.send().await {
                        Ok(response) => return Ok(streamed(response)),
                        Err(error) => {
                            let unsent = error.is_connect() && (buffered.is_some() || !has_stream);
                            if attempt >= PROXY_ATTEMPTS_MAX || !(repeatable || unsent) {
                                return Err(InvocationError::Call(error));
                            }
                            tokio::time::sleep(pause).await;
                            pause = (pause * 2).min(Duration::from_millis(250));
                        }
                    }
                }
                Err(InvocationError::Unsendable("no attempt was made"))
            })
            .await
    }

    /// Rebuilds the request as the host does, with its losses, and buffers the answer.
    async fn forward(
        &self,
        function: &Function,
        cause: &str,
        head: &Head,
        buffered: Option<Bytes>,
    ) -> Result<Response, InvocationError> {
        self.invoker
            .recorded(function, cause, async |id| {
                if head.headers.contains_key(header::TRANSFER_ENCODING) {
                    return Err(InvocationError::Unsendable(
                        "a chunked upload cannot be forwarded: the host copies the header but no body",
                    ));
                }
                let query = encode_query(&collapse(&decode_query(&head.query)));
                let mut request =
                    self.request(head, &query).headers(forwarded_headers(&head.headers, id, &buffered));
                if let Some(bytes) = buffered {
                    request = request.body(bytes);
                }
                let response = request.send().await.map_err(InvocationError::Call)?;
                let (status, headers) = (response.status(), answer_headers(response.headers(), &head.method));
                let bytes = response.bytes().await.map_err(InvocationError::Call)?;
                let mut answer = Response::new(bytes.into());
                *answer.status_mut() = status;
                *answer.headers_mut() = headers;
                Ok(answer)
            })
            .await
    }

    /// Describes the request in an envelope and makes a response of the answer.
    async fn describe(
        &self,
        function: &Function,
        cause: &str,
        head: &Head,
        parameters: Parameters,
        body: Option<Bytes>,
    ) -> Result<Response, InvocationError> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let host = head.headers.get(header::HOST).map_or_else(|| "localhost".to_owned(), text);
        let mark = if head.query.is_empty() { "" } else { "?" };
        let parts = RequestParts {
            url: format!("http://{host}{}{mark}{}", head.path, head.query),
            method: head.method.to_string(),
            query: decode_query(&head.query),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (title_case(name.as_str()), text(value)))
                .collect(),
            parameters,
            body,
        };
        let envelope = Envelope::of_request(&function.name, &function.trigger_name, &parts);
        let answer = self.invoker.envelope_http(function, cause, &envelope).await?;
        let mut response = Response::new(answer.body.into());
        *response.status_mut() =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in answer.headers {
            let skipped = ["content-length", "transfer-encoding", "connection"];
            match (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value)) {
                (Ok(name), _) if skipped.contains(&name.as_str()) => (),
                (Ok(name), Ok(value)) => drop(response.headers_mut().insert(name, value)),
                _ => warn!(function = function.name, "header `{name}` of the answer cannot be sent"),
            }
        }
        Ok(response)
    }

    fn request(&self, head: &Head, query: &str) -> reqwest::RequestBuilder {
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("http://127.0.0.1:{}{}{mark}{query}", self.invoker.handler.port, head.path);
        self.invoker.plain_client.request(head.method.clone(), url)
    }

    async fn admin(self: Arc<Self>, path: &str, head: &Head, body: Upload) -> Response {
        let is_ping = path.eq_ignore_ascii_case("host/ping");
        let master = offered_key(head);
        let allowed = match &self.keys {
            Some(keys) => master.is_some_and(|key| keys.is_master(&key)),
            None => true,
        };
        if !is_ping && !allowed {
            return empty(StatusCode::UNAUTHORIZED);
        }
        let parts: Vec<&str> = path.split('/').collect();
        match (head.method.as_str(), &parts[..]) {
            ("GET" | "POST" | "HEAD", ["host", "ping"]) => empty(StatusCode::OK),
            ("GET", ["host", "status"]) => json_answer(StatusCode::OK, &self.status()),
            ("GET", ["functions"]) => {
                let functions = &self.invoker.app.functions;
                let list: Vec<Value> =
                    functions.iter().map(|one| page::describe(&self.invoker.app, one)).collect();
                json_answer(StatusCode::OK, &json!(list))
            }
            ("GET", ["functions", name]) => match self.function(name) {
                Some(index) => {
                    let function = self.invoker.app.functions.get(index);
                    let described = function.map(|one| page::describe(&self.invoker.app, one));
                    json_answer(StatusCode::OK, &json!(described))
                }
                None => empty(StatusCode::NOT_FOUND),
            },
            ("GET", ["functions", name, "status"]) => match self.function(name) {
                Some(_) => json_answer(StatusCode::OK, &json!({ "errors": null })),
                None => empty(StatusCode::NOT_FOUND),
            },
            ("GET", ["queues", queue]) => match self.invoker.queues.peek(queue) {
                Ok(texts) => json_answer(StatusCode::OK, &json!({ "name": queue, "messages": texts })),
                Err(error) => fault(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            },
            ("POST", ["queues", queue, "messages"]) => {
                let Ok(body) = read_all(body, self.invoker.app.body_bytes_max).await else {
                    return empty(StatusCode::PAYLOAD_TOO_LARGE);
                };
                self.enqueue(queue, &body)
            }
            ("POST", ["functions", name]) => {
                let Some(index) = self.function(name) else { return empty(StatusCode::NOT_FOUND) };
                let Ok(body) = read_all(body, self.invoker.app.body_bytes_max).await else {
                    return empty(StatusCode::PAYLOAD_TOO_LARGE);
                };
                self.clone().run_by_hand(index, &body)
            }
            ("POST", ["host", "drain"]) => {
                self.draining.send_replace(true);
                json_answer(StatusCode::ACCEPTED, &self.drain_status())
            }
            ("GET", ["host", "drain", "status"]) => json_answer(StatusCode::OK, &self.drain_status()),
            ("POST", ["host", "resume"]) => {
                self.draining.send_replace(false);
                json_answer(StatusCode::OK, &json!({ "state": "Running" }))
            }
            ("POST", ["host", "restart"]) => {
                self.invoker.handler.restart("asked for by POST /admin/host/restart");
                empty(StatusCode::OK)
            }
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    fn function(&self, name: &str) -> Option<usize> {
        self.invoker.app.functions.iter().position(|function| function.name.eq_ignore_ascii_case(name))
    }

    fn status(&self) -> Value {
        let state = match self.invoker.handler.state() {
            State::Ready => "Running",
            State::Starting => "Starting",
            State::Down => "Error",
        };
        json!({
            "id": "backtests-dev",
            "state": state,
            "version": HOST_VERSION,
            "versionDetails": "backtests dev, a local stand-in",
            "platformVersion": "",
            "instanceId": "",
            "computerName": "",
            "processUptime": u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "functionAppContentEditingState": "NotAllowed",
            "errors": [],
        })
    }

    fn drain_status(&self) -> Value {
        let running = self.invoker.records().iter().filter(|record| record.outcome.is_none()).count();
        let state = match (*self.draining.borrow(), running) {
            (false, _) => "Disabled",
            (true, 0) => "Completed",
            (true, _) => "InProgress",
        };
        json!({ "state": state, "outstandingInvocations": running })
    }

    /// `{"text": …}` is put on a queue as it stands, without any encoding: what another producer may have sent.
    fn enqueue(&self, queue: &str, body: &[u8]) -> Response {
        let message: Option<Value> = serde_json::from_slice(body).ok();
        let Some(text) = message.as_ref().and_then(|message| message["text"].as_str()) else {
            return fault(StatusCode::BAD_REQUEST, "the body must be a JSON object like {\"text\": \"...\"}");
        };
        if !is_queue_name(queue) {
            return fault(StatusCode::BAD_REQUEST, "no queue can have that name");
        }
        match self.invoker.queues.put(queue, text) {
            Ok(id) => json_answer(StatusCode::CREATED, &json!({ "id": id })),
            Err(error @ QueueError::TooLarge(_)) => fault(StatusCode::BAD_REQUEST, &error.to_string()),
            Err(error) => fault(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// `{"input": …}` becomes the text of a message; a timer takes no notice of it.
    fn run_by_hand(self: Arc<Self>, index: usize, body: &[u8]) -> Response {
        let input = match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(entries)) => match entries.get("input") {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            },
            _ if body.is_empty() => String::new(),
            _ => {
                return fault(
                    StatusCode::BAD_REQUEST,
                    "the body must be a JSON object like {\"input\": \"...\"}",
                );
            }
        };
        let is_http = |function: &Function| matches!(function.trigger, Trigger::Http { .. });
        if self.invoker.app.functions.get(index).is_some_and(is_http) {
            return fault(StatusCode::BAD_REQUEST, "an HTTP function is called by its own route");
        }
        tokio::spawn(async move {
            let Some(function) = self.invoker.app.functions.get(index) else { return };
            // Failures are logged with the invocation; there is no message to try again.
            let _ = match &function.trigger {
                Trigger::Http { .. } => Ok(()),
                Trigger::Timer { .. } => timer::fire(&self.invoker, function, None, false, "by hand").await,
                Trigger::Queue { binary, .. } => {
                    let now = chrono::Utc::now();
                    let message = Message {
                        id: Uuid::new_v4().to_string(),
                        receipt: Uuid::new_v4().simple().to_string(),
                        body: String::new(),
                        dequeue_count: 1,
                        inserted_at: now,
                        expires_at: now + chrono::TimeDelta::days(7),
                        visible_at: now + chrono::TimeDelta::minutes(10),
                    };
                    let binding = &function.trigger_name;
                    let envelope =
                        Envelope::of_message(&function.name, binding, &message, input.as_bytes(), *binary);
                    self.invoker.envelope(function, "by hand", &envelope).await
                }
            };
        });
        empty(StatusCode::ACCEPTED)
    }
}

/// Where a path continues after the route prefix; `None` if it lies elsewhere.
fn below_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let path = path.strip_prefix('/')?;
    if prefix.is_empty() {
        return Some(path);
    }
    let (head, rest) = path.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(())?;
    rest.strip_prefix('/')
}

fn offered_key(head: &Head) -> Option<String> {
    let by_header = head.headers.get("x-functions-key").and_then(|value| value.to_str().ok());
    by_header.map(str::to_owned).or_else(|| {
        let pairs = decode_query(&head.query);
        pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("code")).map(|(_, value)| value)
    })
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read_all(mut body: Upload, limit: u64) -> Result<Bytes, StatusCode> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|_| StatusCode::BAD_REQUEST)?);
        if bytes.len() > limit {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
    }
    Ok(bytes.freeze())
}

/// The upload, broken off once it is above the limit.
fn bounded(body: Upload, limit: u64) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    let mut seen = 0_u64;
    body.map(move |chunk| {
        let chunk = chunk.map_err(std::io::Error::other)?;
        seen = seen.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if seen > limit { Err(std::io::Error::other("the body is too large")) } else { Ok(chunk) }
    })
}

/// Hands an answer on piece by piece. A caller that hangs up ends the request to the handler as well.
fn streamed(response: reqwest::Response) -> Response {
    let (status, headers) = (response.status(), end_to_end(response.headers()));
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    tokio::spawn(async move {
        let mut pieces = response.bytes_stream();
        loop {
            let piece = tokio::select! {
                () = sender.closed() => return,
                piece = tokio::time::timeout(PROXY_IDLE_MAX, pieces.next()) => piece,
            };
            let piece = match piece {
                Ok(Some(piece)) => piece.map_err(std::io::Error::other),
                Ok(None) => return,
                Err(_) => Err(std::io::Error::other("no bytes for 240 s")),
            };
            let broken = piece.is_err();
            if sender.send(piece).await.is_err() || broken {
                return;
            }
        }
    });
    let mut answer = warp::reply::Reply::into_response(warp::reply::stream(Pieces(receiver)));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// Headers that concern the whole way, not one connection.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let hop =
        ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
    let stays =
        |name: &HeaderName| !hop.contains(&name.as_str()) && !named.iter().any(|one| one == name.as_str());
    let kept = headers.iter().filter(|(name, _)| stays(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn set_identity(headers: &mut HeaderMap, id: Uuid) {
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        headers.insert(INVOCATION_ID, value.clone());
        headers.insert(MS_INVOCATION_ID, value);
    }
    headers.insert(VERSION, HeaderValue::from_static(HOST_VERSION));
}

/// Headers as .NET rebuilds them: one line a name, values joined; of `content-*` only type and length remain, and only
/// with a body; the host's own id comes after one that the client sent.
fn forwarded_headers(headers: &HeaderMap, id: Uuid, body: &Option<Bytes>) -> HeaderMap {
    let mut forwarded = HeaderMap::new();
    let mut lines: Vec<(HeaderName, Vec<Vec<u8>>)> = Vec::new();
    for name in headers.keys() {
        let is_kept_content = *name == header::CONTENT_TYPE && body.is_some();
        if name.as_str().starts_with("content-") && !is_kept_content || *name == header::CONNECTION {
            continue;
        }
        let values = headers.get_all(name).iter().map(|value| value.as_bytes().to_vec());
        lines.push((name.clone(), values.collect()));
    }
    let mut append =
        |name: HeaderName, value: String| match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value.into_bytes()),
            None => lines.push((name, vec![value.into_bytes()])),
        };
    append(INVOCATION_ID, id.to_string());
    append(VERSION, HOST_VERSION.to_owned());
    append(header::USER_AGENT, user_agent());
    for (name, values) in lines {
        let separator: &[u8] = match name {
            header::USER_AGENT => b" ",
            header::COOKIE => b"; ",
            _ => b", ",
        };
        if let Ok(value) = HeaderValue::from_bytes(&values.join(separator)) {
            forwarded.insert(name, value);
        }
    }
    forwarded
}

/// The answer's own headers, without those that .NET counts among the content's and the host does not copy. The length
/// stays only where there is a length without a body.
fn answer_headers(headers: &HeaderMap, method: &Method) -> HeaderMap {
    let mut headers = end_to_end(headers);
    for lost in [header::ALLOW, header::EXPIRES, header::LAST_MODIFIED] {
        headers.remove(lost);
    }
    if *method != Method::HEAD {
        headers.remove(header::CONTENT_LENGTH);
    }
    headers
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = status;
    response
}

fn fault(status: StatusCode, why: &str) -> Response {
    json_answer(status, &json!({ "error": why }))
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(value.to_string().into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// Decodes `%XX`, except an encoded slash, which must not cut a segment in two.
fn decoded_path(path: &str) -> String {
    let guarded = path.replace("%2F", "%252F").replace("%2f", "%252f");
    decode(&guarded, false)
}

fn decode_query(query: &str) -> Pairs {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        })
        .collect()
}

fn encode_query(pairs: &Pairs) -> String {
    pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b',' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
        encoded
    })
}

fn decode(text: &str, plus_is_blank: bool) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 2;
            }
            (b'+', _, _) if plus_is_blank => decoded.push(b' '),
            (other, _, _) => decoded.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// `content-type` becomes `Content-Type`, as clients of HTTP/1.1 usually spell it.
fn title_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

/// Shows the functions at the start, as the lines of a table.
pub fn announce(app: &App) {
    let widest = app.functions.iter().map(|function| function.name.len()).max().unwrap_or(0);
    for function in &app.functions {
        let name = function.name.as_str();
        let state = if function.disabled { "  (disabled)" } else { "" };
        let (on, place) = match &function.trigger {
            Trigger::Http { route, methods, .. } => {
                let methods = methods.as_ref().map_or_else(|| "any".to_owned(), |methods| methods.join(","));
                (methods, page::public_path(app, &route.template))
            }
            Trigger::Queue { queue, .. } => ("queue".to_owned(), queue.clone()),
            Trigger::Timer { expression, .. } => ("timer".to_owned(), expression.clone()),
        };
        info!(function = name, "{name:<widest$}  {on:<8}  {place}{state}");
    }
}

/// What a channel brings, as a stream.
struct Pieces(mpsc::Receiver<Result<Bytes, std::io::Error>>);

impl Stream for Pieces {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}
