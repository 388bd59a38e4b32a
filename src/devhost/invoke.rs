//! One invocation: wait for the handler, call it with an envelope, read its answer, carry out the outputs. Also the
//! record of what ran, for the log and the page of functions. Passing plain requests through is in `http`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::stream;
use tokio::sync::{broadcast, watch};
use tracing::{error, info};
use uuid::Uuid;

use super::app::{App, Function, OutputKind};
use super::envelope::{Answer, AnswerError, Envelope, HttpAnswer, messages, to_base64};
use super::process::Handler;
use super::queue::{QueueError, Queues};
use super::{Event, ExitReason, HOST_VERSION, HostError};

/// Invocations kept for the page of functions.
const RECORD_LENGTH: usize = 50;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why an invocation failed.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// No connection, or one that broke.
    #[error("call the handler")]
    Call(#[source] reqwest::Error),
    /// The handler never got ready; the host stops as well.
    #[error("the handler did not get ready in time")]
    NotReady,
    /// An answer that fails the invocation.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// An output could not be written.
    #[error("write output `{name}` to queue `{queue}`")]
    Output {
        /// Binding.
        name: String,
        /// Queue of the binding.
        queue: String,
        #[source]
        source: QueueError,
    },
    /// `functionTimeout` is over; the handler is killed.
    #[error("timed out after {} s (functionTimeout); the handler is killed", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The request cannot be passed on.
    #[error("{0}")]
    Unsendable(&'static str),
    /// The request body broke off or was too large.
    #[error("read the request body")]
    RequestBody,
}

/// A finished or running invocation.
#[derive(Debug, Clone)]
pub struct Record {
    /// The id sent to the handler.
    pub id: Uuid,
    /// Name of the function that was called.
    pub function: String,
    /// What started it: a path, a queue, a timer.
    pub cause: String,
    /// When the call began, UTC.
    pub started_at: DateTime<Utc>,
    /// `None` while it runs.
    pub outcome: Option<Outcome>,
}

/// How an invocation ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How long it took.
    pub elapsed: Duration,
    /// Why it failed; `None` is success.
    pub failure: Option<String>,
}

/// What invocations share.
#[derive(Debug)]
pub struct Invoker {
    /// What host.json and the function.json files declare.
    pub app: Arc<App>,
    /// The child.
    pub handler: Handler,
    /// Where outputs with a queue binding go.
    pub queues: Arc<Queues>,
    /// Where news goes.
    pub events: broadcast::Sender<Event>,
    /// Set once, when the host ends.
    pub exit: watch::Sender<Option<ExitReason>>,
    /// Behave as the real host where that is unpleasant.
    pub strict: bool,
    /// Messages being worked on, over all queues.
    pub messages_running: watch::Sender<usize>,
    /// For plain requests: follows no redirects.
    pub plain_client: reqwest::Client,
    envelope_client: reqwest::Client,
    records: Mutex<VecDeque<Record>>,
}

impl Invoker {
    /// Puts the parts together.
    pub fn new(
        app: Arc<App>,
        handler: Handler,
        queues: Arc<Queues>,
        events: broadcast::Sender<Event>,
        exit: watch::Sender<Option<ExitReason>>,
        strict: bool,
    ) -> Result<Invoker, HostError> {
        let client = |redirects| {
            let builder = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT);
            // A connection the handler closed between two calls must not fail the second.
            let builder = builder.pool_idle_timeout(Duration::from_secs(1));
            builder.redirect(redirects).build().map_err(HostError::Client)
        };
        // The plain ways pass a redirect on; the envelope follows it unless the app forwards.
        let follows = if app.forwarding { reqwest::redirect::Policy::none() } else { Default::default() };
        let plain_client = client(reqwest::redirect::Policy::none())?;
        let envelope_client = client(follows)?;
        let records = Mutex::default();
        Ok(Invoker {
            app,
            handler,
            queues,
            events,
            exit,
            strict,
            messages_running: watch::Sender::new(0),
            plain_client,
            envelope_client,
            records,
        })
    }

    /// Calls the handler for a queue message or a tick.
    pub async fn envelope(
        &self,
        function: &Function,
        cause: &str,
        envelope: &Envelope,
    ) -> Result<(), InvocationError> {
        self.recorded(function, cause, async |id| {
            let answer = self.call(function, id, envelope).await?;
            self.write_outputs(function, &answer)
        })
        .await
    }

    /// Calls the handler for a request that travels by envelope.
    pub async fn envelope_http(
        &self,
        function: &Function,
        cause: &str,
        envelope: &Envelope,
    ) -> Result<HttpAnswer, InvocationError> {
        self.recorded(function, cause, async |id| {
            let answer = self.call(function, id, envelope).await?;
            let output = function.outputs.iter().find(|output| matches!(output.kind, OutputKind::Http));
            let response = match output {
                Some(output) => answer.http(&output.name)?,
                None => HttpAnswer { status: 204, headers: Vec::new(), body: Vec::new() },
            };
            self.write_outputs(function, &answer)?;
            Ok(response)
        })
        .await
    }

    /// Runs `work` as an invocation: waits for the handler, bounds the time, logs and records.
    pub async fn recorded<T>(
        &self,
        function: &Function,
        cause: &str,
        work: impl AsyncFnOnce(Uuid) -> Result<T, InvocationError>,
    ) -> Result<T, InvocationError> {
        let id = Uuid::new_v4();
        let started = Instant::now();
        let name = function.name.as_str();
        info!(function = name, invocation = %id, "executing {name} ({cause})");
        self.begin(Record {
            id,
            function: name.to_owned(),
            cause: cause.to_owned(),
            started_at: Utc::now(),
            outcome: None,
        });
        let unfinished = Unfinished { invoker: self, id, function: name, started };
        let result = match self.app.function_timeout {
            None => self.when_ready(id, work).await,
            Some(limit) => match tokio::time::timeout(limit, self.when_ready(id, work)).await {
                Ok(result) => result,
                Err(_) => {
                    self.handler.restart(&format!("functionTimeout of {name} is over"));
                    Err(InvocationError::TimedOut(limit))
                }
            },
        };
        let elapsed = started.elapsed();
        let elapsed_ms = elapsed.as_millis();
        let failure = result.as_ref().err().map(chain);
        match &failure {
            None => info!(function = name, invocation = %id, "executed {name} (succeeded, {elapsed_ms} ms)"),
            Some(why) => {
                error!(function = name, invocation = %id, "executed {name} (failed, {elapsed_ms} ms): {why}");
            }
        }
        std::mem::forget(unfinished);
        self.finish(id, name, Outcome { elapsed, failure });
        result
    }

    async fn when_ready<T>(
        &self,
        id: Uuid,
        work: impl AsyncFnOnce(Uuid) -> Result<T, InvocationError>,
    ) -> Result<T, InvocationError> {
        if !self.handler.ready().await {
            self.exit.send_if_modified(|exit| {
                let first = exit.is_none();
                exit.get_or_insert(ExitReason::NeverReady);
                first
            });
            return Err(InvocationError::NotReady);
        }
        work(id).await
    }

    async fn call(
        &self,
        function: &Function,
        id: Uuid,
        envelope: &Envelope,
    ) -> Result<Answer, InvocationError> {
        let url = format!("http://127.0.0.1:{}/{}", self.handler.port, function.name);
        // A stream has no length, so the request goes out chunked, as from the real host.
        let body = stream::iter([Ok::<_, std::io::Error>(envelope.to_bytes())]);
        let request = self.envelope_client.post(url).body(reqwest::Body::wrap_stream(body));
        let request = request
            .header("content-type", "application/json; charset=utf-8")
            .header("x-azure-functions-hostversion", HOST_VERSION)
            .header("x-azure-functions-invocationid", id.to_string())
            .header("user-agent", user_agent());
        let response = request.send().await.map_err(InvocationError::Call)?;
        let status = response.status().as_u16();
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.map(str::to_owned);
        let body = response.bytes().await.map_err(InvocationError::Call)?;
        let answer = match Answer::read(status, content_type.as_deref(), &body) {
            Err(AnswerError::Empty { .. }) if self.strict => {
                // The real host has no way out of here but the timeout around us.
                std::future::pending().await
            }
            read => read?,
        };
        let name = function.name.as_str();
        for line in &answer.logs {
            info!(function = name, invocation = %id, category = "User", "{line}");
        }
        Ok(answer)
    }

    fn write_outputs(&self, function: &Function, answer: &Answer) -> Result<(), InvocationError> {
        for output in &function.outputs {
            let OutputKind::Queue { queue, binary } = &output.kind else { continue };
            let Some(value) = answer.output(&output.name) else { continue };
            let contents = messages(value, *binary)
                .map_err(|why| AnswerError::Output { name: output.name.clone(), why })?;
            self.write_messages(queue, &contents).map_err(|source| InvocationError::Output {
                name: output.name.clone(),
                queue: queue.clone(),
                source,
            })?;
        }
        Ok(())
    }

    fn write_messages(&self, queue: &str, contents: &[Vec<u8>]) -> Result<(), QueueError> {
        self.queues.create(queue)?;
        for content in contents {
            let body = if self.app.queues.base64 {
                to_base64(content)
            } else {
                String::from_utf8_lossy(content).into()
            };
            self.queues.put(queue, &body)?;
        }
        Ok(())
    }

    /// The last invocations, newest first.
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    fn begin(&self, record: Record) {
        let event = Event::InvocationStarted { function: record.function.clone(), id: record.id };
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.push_back(record);
        if records.len() > RECORD_LENGTH {
            records.pop_front();
        }
        // No receiver is fine: nothing depends on the news.
        let _ = self.events.send(event);
    }

    fn finish(&self, id: Uuid, function: &str, outcome: Outcome) {
        let event =
            Event::InvocationFinished { function: function.to_owned(), id, failure: outcome.failure.clone() };
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = records.iter_mut().find(|record| record.id == id) {
            record.outcome = Some(outcome);
        }
        // No receiver is fine: nothing depends on the news.
        let _ = self.events.send(event);
    }
}

/// Closes the record of an invocation that was dropped half-way: a caller hung up, or the host ends.
struct Unfinished<'a> {
    invoker: &'a Invoker,
    id: Uuid,
    function: &'a str,
    started: Instant,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let name = self.function;
        info!(function = name, invocation = %self.id, "gave up {name}: its caller does not wait any more");
        let outcome = Outcome {
            elapsed: self.started.elapsed(),
            failure: Some("the caller did not wait for the end".to_owned()),
        };
        self.invoker.finish(self.id, name, outcome);
    }
}

/// What the host calls itself towards the handler.
pub fn user_agent() -> String {
    format!("Azure-Functions-Host/{HOST_VERSION}")
}

fn chain(error: &InvocationError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
