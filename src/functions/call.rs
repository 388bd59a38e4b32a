//! A call of an HTTP function, however the host brought it: method, route parameters, query, headers, body.

use std::collections::HashMap;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use percent_encoding::percent_decode_str;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::HeaderMap;

use super::reply::{Code, Refusal, Reply};
use crate::run::RunId;

/// Bytes that a request body may have.
pub(super) const BODY_MAX: usize = 1024 * 1024;

/// Header in which the host names the invocation.
pub(super) const INVOCATION_HEADER: &str = "x-azure-functions-invocationid";

/// A call of an HTTP function.
pub(super) struct Call {
    /// The host's name of this invocation.
    pub(super) invocation: String,
    /// Values of the route's placeholders, decoded.
    pub(super) params: HashMap<&'static str, String>,
    /// Values of a parameter that stands several times are joined by commas, as one way of the host does.
    query: Vec<(String, String)>,
    /// As the client sent them.
    pub(super) headers: HeaderMap,
    body: Body,
    /// Whether the host sends the messages that the answer carries.
    pub(super) can_announce: bool,
}

enum Body {
    Whole(Bytes),
    TooLarge,
    Broken,
}

impl Call {
    /// A call that came in an envelope.
    pub(super) fn enveloped(
        params: HashMap<&'static str, String>,
        query: Vec<(String, String)>,
        headers: HeaderMap,
        body: Bytes,
        invocation: String,
    ) -> Self {
        let body = if body.len() > BODY_MAX { Body::TooLarge } else { Body::Whole(body) };
        Self { invocation, params, query, headers, body, can_announce: true }
    }

    /// Adds the value of a placeholder as it stands in the path.
    pub(super) fn with(mut self, name: &'static str, raw: &str) -> Self {
        self.params.insert(name, percent_decode_str(raw).decode_utf8_lossy().into_owned());
        self
    }

    /// The run that the route names. A text that cannot be an id names no run.
    pub(super) fn run_id(&self) -> Result<RunId, Refusal> {
        let text = self.params.get("run_id").map_or("", String::as_str);
        text.parse().map_err(|_| unknown_run(text).into())
    }

    /// Values of a query parameter, split at commas; empty ones do not count.
    pub(super) fn query(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.query.iter().filter(move |(found, _)| found == name);
        named.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The whole value of a query parameter, commas included.
    pub(super) fn query_text(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(found, value)| found == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Names of the query parameters.
    pub(super) fn query_names(&self) -> impl Iterator<Item = &str> {
        self.query.iter().map(|(name, _)| name.as_str())
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body, if it could be received.
    pub(super) fn body(&self) -> Result<&Bytes, Refusal> {
        match &self.body {
            Body::Whole(bytes) => Ok(bytes),
            Body::TooLarge => {
                Err(Reply::problem(Code::BodyTooLarge, format!("the body has more than {BODY_MAX} bytes"))
                    .into())
            }
            Body::Broken => Err(Reply::problem(Code::MalformedRequest, "the body ended early").into()),
        }
    }
}

/// The answer for a run that is not there.
pub(super) fn unknown_run(id: &str) -> Reply {
    Reply::problem(
        Code::RunNotFound,
        format!("there is no run '{}'", id.chars().take(80).collect::<String>()),
    )
}

/// Everything of a plain request but its route parameters.
pub(super) fn call() -> BoxedFilter<(Call,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    query
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(async |query: String, headers: HeaderMap, body| {
            let body = match collect(body, BODY_MAX).await {
                Ok(Some(bytes)) => Body::Whole(bytes),
                Ok(None) => Body::TooLarge,
                Err(_) => Body::Broken,
            };
            let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let invocation = invocation_of(&headers);
            Call { invocation, params: HashMap::new(), query, headers, body, can_announce: false }
        })
        .boxed()
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

/// Reads a body of at most `limit` bytes, with or without an announced length; `None` when it is longer.
pub(super) async fn collect<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
    limit: usize,
) -> Result<Option<Bytes>, warp::Error> {
    let mut body = std::pin::pin!(body);
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk?;
        if whole.len() + chunk.remaining() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
    }
    Ok(Some(whole.freeze()))
}
