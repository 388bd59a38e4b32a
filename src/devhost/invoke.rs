//! One invocation by envelope: the call, the reading of its answer, and the messages that the answer puts into
//! queues. Who invokes, and what a failure means, is known to `http`, `listener` and `timer`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::app::{App, Function, OutputKind};
use super::envelope::{Answer, AnswerError, Envelope, messages, to_base64};
use super::process::Handler;
use super::queue::{QueueError, Queues};
use super::{Event, HostError};

/// What the host says it is.
pub const HOST_VERSION: &str = "4.1052.300";
/// Header with the id of an invocation.
pub const INVOCATION_HEADER: &str = "x-azure-functions-invocationid";
/// Header with the version of the host.
pub const VERSION_HEADER: &str = "x-azure-functions-hostversion";
/// Invocations that the start page shows.
const REMEMBERED: usize = 50;

/// Calls the handler.
#[derive(Debug)]
pub struct Invoker {
    /// The app.
    pub app: Arc<App>,
    /// The child.
    pub handler: Handler,
    /// The queues.
    pub queues: Arc<Queues>,
    /// Connections are not kept: a call must not meet the end of a child that is gone.
    pub client: reqwest::Client,
    events: broadcast::Sender<Event>,
    strict: bool,
    history: Mutex<VecDeque<Invocation>>,
}

/// An invocation that ended.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Function.
    pub function: String,
    /// When it began.
    pub at: DateTime<Utc>,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// No child became ready in time.
    #[error("the handler is not ready")]
    NotReady,
    /// The call did not come back.
    #[error("call the handler")]
    Call(#[source] reqwest::Error),
    /// `functionTimeout` passed.
    #[error("the function took longer than functionTimeout ({0:?})")]
    TimedOut(Duration),
    /// The answer is no answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// An output could not be written.
    #[error("write the output {0}")]
    Output(String, #[source] QueueError),
}

impl Invoker {
    /// An invoker for a running child.
    pub fn new(
        app: Arc<App>,
        handler: Handler,
        queues: Arc<Queues>,
        events: broadcast::Sender<Event>,
        strict: bool,
    ) -> Result<Self, HostError> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(HostError::Client)?;
        Ok(Self { app, handler, queues, client, events, strict, history: Mutex::default() })
    }

    /// The function of that name, compared without case.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.app.functions.iter().find(|function| function.name.eq_ignore_ascii_case(name))
    }

    /// Calls a function, and writes the queue outputs of its answer.
    pub async fn invoke(&self, function: &Function, envelope: &Envelope) -> Result<Answer, InvokeError> {
        let (at, started) = (Utc::now(), Instant::now());
        let invocation = Uuid::new_v4();
        let outcome = match self.call(function, envelope, invocation).await {
            Ok(answer) => self.write_outputs(function, &answer).map(|()| answer),
            Err(error) => Err(error),
        };
        self.remember(function, at, started.elapsed(), outcome.as_ref().err().map(|error| chain(error)));
        outcome
    }

    /// Notes an invocation, for the log, the start page and whoever listens.
    pub fn remember(&self, function: &Function, at: DateTime<Utc>, took: Duration, failure: Option<String>) {
        let (name, millis) = (&function.name, took.as_millis());
        match &failure {
            None => tracing::info!(function = name, "{name} succeeded in {millis} ms"),
            Some(why) => tracing::error!(function = name, "{name} failed after {millis} ms: {why}"),
        }
        let succeeded = failure.is_none();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push_front(Invocation { function: name.clone(), at, took, failure });
        history.truncate(REMEMBERED);
        drop(history);
        // No receiver is fine: news is for whoever listens.
        let _ = self.events.send(Event::Invoked { function: name.clone(), succeeded });
    }

    /// The last invocations, newest first.
    pub fn history(&self) -> Vec<Invocation> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    async fn call(&self, function: &Function, envelope: &Envelope, invocation: Uuid) -> Result<Answer, InvokeError> {
        if !self.handler.ready().await {
            return Err(InvokeError::NotReady);
        }
        // Without a known length, so chunked: that is how the host on Azure sends envelopes.
        let body = envelope.to_bytes();
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(body)]));
        let url = format!("http://127.0.0.1:{}/{}", self.handler.port, function.name);
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json; charset=utf-8")
            .header("user-agent", format!("Azure-Functions-Host/{HOST_VERSION}"))
            .header(VERSION_HEADER, HOST_VERSION)
            .header(INVOCATION_HEADER, invocation.to_string())
            .body(body);
        let exchange = async {
            let response = request.send().await.map_err(InvokeError::Call)?;
            let status = response.status().as_u16();
            let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
            let content_type = content_type.map(str::to_owned);
            let body = response.bytes().await.map_err(InvokeError::Call)?;
            match Answer::read(status, content_type.as_deref(), &body) {
                Err(AnswerError::Empty { .. }) if self.strict => std::future::pending().await,
                answer => answer.map_err(InvokeError::from),
            }
        };
        let answer = match self.app.function_timeout {
            None => exchange.await?,
            Some(limit) => match tokio::time::timeout(limit, exchange).await {
                Ok(answered) => answered?,
                Err(_) => {
                    // Whatever else the child is doing ends with it; the host on Azure shows no mercy either.
                    self.handler.restart("a function took longer than functionTimeout");
                    return Err(InvokeError::TimedOut(limit));
                }
            },
        };
        for line in &answer.logs {
            tracing::info!(function = function.name, category = "user", "{line}");
        }
        Ok(answer)
    }

    fn write_outputs(&self, function: &Function, answer: &Answer) -> Result<(), InvokeError> {
        for output in &function.outputs {
            let OutputKind::Queue { queue, binary } = &output.kind else { continue };
            for message in answer.output(&output.name).map(|value| messages(value, *binary)).unwrap_or_default() {
                let body = if self.app.queues.base64 {
                    to_base64(&message)
                } else {
                    String::from_utf8_lossy(&message).into_owned()
                };
                self.queues.put(queue, &body).map_err(|error| InvokeError::Output(output.name.clone(), error))?;
            }
        }
        Ok(())
    }
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
