//! A call of an operation, however the host brought it: placeholders of the path, query, headers, body.

use std::collections::HashMap;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use warp::http::HeaderMap;

use super::parameter::{Parameter, PathPart, Query};
use super::reply::{Code, Refusal, Reply};
use super::schema::Shape;
use crate::engine::config::Fault;
use crate::run::RunId;

/// Bytes that a request body may have.
pub(super) const BODY_MAX: usize = 1024 * 1024;

/// Header in which the host names the invocation.
pub(super) const INVOCATION_HEADER: &str = "x-azure-functions-invocationid";

/// The run that a path names.
pub(super) const RUN_ID: PathPart =
    PathPart { name: "run_id", description: "The run", shape: Shape::of::<RunId>() };

/// Values of a path's placeholders.
pub(super) type Placeholders = HashMap<&'static str, String>;

/// A call of an operation.
pub(super) struct Call {
    /// Name of the operation.
    pub(super) id: &'static str,
    /// Every parameter that the operation reads.
    pub(super) parameters: &'static [&'static dyn Parameter],
    /// Values of the placeholders in its path, decoded.
    pub(super) placeholders: Placeholders,
    /// What came with it.
    pub(super) message: Message,
}

/// What comes with a call beside its path and method.
pub(super) struct Message {
    /// The host's name of this invocation.
    pub(super) invocation: String,
    /// Whether the caller wants the head of the answer alone.
    pub(super) is_head: bool,
    /// Values of a parameter that stands several times are joined by commas, as one way of the host does.
    pub(super) query: Vec<(String, String)>,
    /// As the client sent them.
    pub(super) headers: HeaderMap,
    /// The body, as far as it could be received.
    pub(super) body: Body,
    /// Whether it came in an envelope. The host then sends the messages that the answer carries, and does not follow where
    /// the answer leads.
    pub(super) is_enveloped: bool,
}

/// The body of a call.
pub(super) enum Body {
    Whole(Bytes),
    TooLarge,
    Broken,
}

impl Body {
    /// What [`collect`] came to.
    pub(super) fn of<E>(collected: Result<Option<Bytes>, E>) -> Self {
        match collected {
            Ok(Some(bytes)) => Self::Whole(bytes),
            Ok(None) => Self::TooLarge,
            Err(_) => Self::Broken,
        }
    }
}

impl Call {
    /// The run that the path names. A text that cannot be an id names no run.
    pub(super) fn run_id(&self) -> Result<RunId, Refusal> {
        let text = self.placeholder(RUN_ID.name);
        text.parse().map_err(|_| unknown_run(text).into())
    }

    /// The value of a placeholder of the path.
    pub(super) fn placeholder(&self, name: &str) -> &str {
        self.placeholders.get(name).map_or("", String::as_str)
    }

    /// The query, of which only the parameters of the operation may stand there.
    pub(super) fn query(&self) -> Query<'_> {
        Query::new(&self.message.query, self.parameters)
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.message.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header that decides what happens: one that cannot be read must not count as none.
    pub(super) fn deciding_header(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        let fault = |message: &str| {
            let faults = [Fault { path: name.to_owned(), message: message.to_owned() }];
            Err(Reply::faults(Code::InvalidParameter, &faults).into())
        };
        let mut values = self.message.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => fault("stands there several times"),
            (Some(value), None) => {
                value.to_str().map(Some).or_else(|_| fault("must be visible ASCII characters"))
            }
        }
    }

    /// Whether the caller has what `etag` names already.
    pub(super) fn knows(&self, etag: &str) -> bool {
        // A weak tag will do, as RFC 9110 has it for a comparison that only saves sending.
        let tags = self.header("if-none-match").into_iter().flat_map(tags);
        tags.map(|tag| tag.trim_start_matches("W/")).any(|tag| tag == etag || tag == "*")
    }

    /// Refuses a caller who wants to go on from something else than what `etag` names.
    pub(super) fn must_match(&self, etag: &str) -> Result<(), Refusal> {
        // A weak tag names nothing exactly, so it cannot match.
        let is_named = |list| tags(list).any(|tag| tag == etag || tag == "*");
        if self.deciding_header("If-Match")?.is_none_or(is_named) {
            return Ok(());
        }
        let detail = "If-Match names another state than that of now; read it again";
        Err(Reply::problem(Code::PreconditionFailed, detail).into())
    }

    /// The body, if it could be received.
    pub(super) fn body(&self) -> Result<&Bytes, Refusal> {
        match &self.message.body {
            Body::Whole(bytes) => Ok(bytes),
            Body::TooLarge => Err(Reply::body_too_large(BODY_MAX).into()),
            Body::Broken => Err(Reply::problem(Code::MalformedRequest, "the body ended early").into()),
        }
    }
}

/// The tags of `If-Match` or `If-None-Match`.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// The answer for a run that is not there.
pub(super) fn unknown_run(id: &str) -> Reply {
    Reply::problem(
        Code::RunNotFound,
        format!("there is no run '{}'", id.chars().take(80).collect::<String>()),
    )
}

/// The host's name of this invocation; a client may have sent one before, so the last counts.
pub(super) fn invocation_of(headers: &HeaderMap) -> String {
    let named = headers.get_all(INVOCATION_HEADER).iter().next_back().and_then(|value| value.to_str().ok());
    let last = named.and_then(|value| value.rsplit(',').next()).map(str::trim);
    match last.and_then(|value| uuid::Uuid::parse_str(value).ok()) {
        Some(id) => id.to_string(),
        None => uuid::Uuid::new_v4().to_string(),
    }
}

/// Bytes of a body that is too long which are still read: a caller who is answered before it was heard to the end
/// sees a broken connection instead of the answer.
const DRAIN_MAX: usize = 128 * 1024 * 1024;

/// Reads a body of at most `limit` bytes, with or without an announced length; `None` when it is longer.
pub(super) async fn collect<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
    limit: usize,
) -> Result<Option<Bytes>, warp::Error> {
    let mut body = std::pin::pin!(body);
    let (mut whole, mut length) = (BytesMut::new(), 0);
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk?;
        length += chunk.remaining();
        if length <= limit {
            whole.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
        } else if length > DRAIN_MAX {
            break;
        } else {
            whole.clear();
        }
    }
    Ok((length <= limit).then(|| whole.freeze()))
}
