//! A call of an HTTP function, however the host brought it: method, route parameters, query, headers, body.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use bytes::{Buf, Bytes, BytesMut};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::{Stream, StreamExt};
use percent_encoding::percent_decode_str;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, Method};

use super::reply::{Code, Refusal, Reply};
use crate::clock::Timestamp;
use crate::engine::config::{Fault, parse_date};
use crate::run::RunId;

/// Bytes that a request body may have.
pub(super) const BODY_MAX: usize = 1024 * 1024;

/// Header in which the host names the invocation.
pub(super) const INVOCATION_HEADER: &str = "x-azure-functions-invocationid";

/// A call of an HTTP function.
pub(super) struct Call {
    /// The host's name of this invocation.
    pub(super) invocation: String,
    /// Whether the caller wants the head of the answer alone.
    pub(super) is_head: bool,
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
        is_head: bool,
        params: HashMap<&'static str, String>,
        query: Vec<(String, String)>,
        headers: HeaderMap,
        body: Bytes,
        invocation: String,
    ) -> Self {
        let body = if body.len() > BODY_MAX { Body::TooLarge } else { Body::Whole(body) };
        Self { invocation, is_head, params, query, headers, body, can_announce: true }
    }

    /// A call whose envelope was longer than any lawful body makes it.
    pub(super) fn too_large(invocation: String) -> Self {
        let (params, headers) = (HashMap::new(), HeaderMap::new());
        let is_head = false;
        Self {
            invocation,
            is_head,
            params,
            query: Vec::new(),
            headers,
            body: Body::TooLarge,
            can_announce: true,
        }
    }

    /// Adds the value of a placeholder as it stands in the path.
    pub(super) fn with(mut self, name: &'static str, raw: &str) -> Self {
        self.params.insert(name, percent_decode_str(raw).decode_utf8_lossy().into_owned());
        self
    }

    /// Whether the answer may lead elsewhere; an envelope must not be answered so.
    pub(super) fn may_be_redirected(&self) -> bool {
        !self.can_announce
    }

    /// The run that the route names. A text that cannot be an id names no run.
    pub(super) fn run_id(&self) -> Result<RunId, Refusal> {
        let text = self.params.get("run_id").map_or("", String::as_str);
        text.parse().map_err(|_| unknown_run(text).into())
    }

    /// The query, of which only these parameters may stand there.
    pub(super) fn parameters(&self, known: &'static [&'static str]) -> Parameters<'_> {
        Parameters::of(&self.query, known)
    }

    /// The query as it came.
    pub(super) fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header that decides what happens: one that cannot be read must not count as none.
    pub(super) fn deciding_header(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        let fault = |message: &str| {
            let faults = [Fault { path: name.to_owned(), message: message.to_owned() }];
            Err(Reply::faults(Code::InvalidParameter, &faults).into())
        };
        let mut values = self.headers.get_all(name).iter();
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
        self.header("if-none-match").is_some_and(|tags| names_tag(tags, etag))
    }

    /// Refuses a caller who wants to go on from something else than what `etag` names.
    pub(super) fn must_match(&self, etag: &str) -> Result<(), Refusal> {
        if self.deciding_header("If-Match")?.is_none_or(|tags| names_tag(tags, etag)) {
            return Ok(());
        }
        let detail = "If-Match names another state than that of now; read it again";
        Err(Reply::problem(Code::PreconditionFailed, detail).into())
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

/// The query of a call, read parameter by parameter; what is wrong with it is kept until all were read.
pub(super) struct Parameters<'a> {
    query: &'a [(String, String)],
    faults: Vec<Fault>,
}

impl<'a> Parameters<'a> {
    fn of(query: &'a [(String, String)], known: &[&str]) -> Self {
        let mut parameters = Self { query, faults: Vec::new() };
        for (name, value) in query {
            // `code` is the host's key, which it leaves in the query.
            if name == "code" {
                continue;
            }
            if value.contains('\0') {
                parameters.fault(name, "holds a NUL character");
            }
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                parameters.fault(name, format!("is no parameter here; there are {known}"));
            }
        }
        parameters
    }

    /// Says what is wrong with a parameter.
    pub(super) fn fault(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push(Fault { path: name.to_owned(), message: message.into() });
    }

    /// The value of a parameter that may stand there once.
    pub(super) fn text(&mut self, name: &str) -> Option<&'a str> {
        let mut values =
            self.query.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() {
            self.fault(name, "stands there several times");
        }
        value
    }

    /// Values of a parameter that may stand there several times, or once with commas.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let name = name.to_owned();
        let named = self.query.iter().filter(move |(found, _)| *found == name);
        named.flat_map(|(_, value)| value.split(',')).map(str::trim)
    }

    /// A whole number.
    pub(super) fn whole(&mut self, name: &str, default: usize, allowed: RangeInclusive<usize>) -> usize {
        let Some(text) = self.text(name) else { return default };
        // A sign or a blank would be read too.
        let number = text
            .parse()
            .ok()
            .filter(|number| text.starts_with(|c: char| c.is_ascii_digit()) && allowed.contains(number));
        number.unwrap_or_else(|| {
            let (least, most) = (allowed.start(), allowed.end());
            self.fault(name, format!("must be a whole number from {least} to {most}, not '{text}'"));
            default
        })
    }

    /// A day, `YYYY-MM-DD`.
    pub(super) fn date(&mut self, name: &str) -> Option<NaiveDate> {
        let text = self.text(name)?;
        let date = parse_date(text);
        if date.is_none() {
            self.fault(name, format!("must be a day like 2026-01-31, not '{text}'"));
        }
        date
    }

    /// A moment, RFC 3339.
    pub(super) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.text(name)?;
        // A `+` of an offset that was not escaped arrives as a blank.
        let time = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
        if time.is_err() {
            self.fault(name, format!("must be a time like 2026-01-31T00:00:00Z, not '{text}'"));
        }
        time.ok().map(|time| time.with_timezone(&Utc))
    }

    /// Refuses the call if anything was wrong.
    pub(super) fn check(self) -> Result<(), Refusal> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Reply::faults(Code::InvalidParameter, &self.faults).into())
    }
}

/// Whether a list of tags, as in `If-Match` and `If-None-Match`, names this one.
fn names_tag(list: &str, etag: &str) -> bool {
    list.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*")
}

/// The answer for a run that is not there.
pub(super) fn unknown_run(id: &str) -> Reply {
    Reply::problem(
        Code::RunNotFound,
        format!("there is no run '{}'", id.chars().take(80).collect::<String>()),
    )
}

/// The methods of calls that read: `HEAD` is answered as `GET`, and the server leaves the body out.
pub(super) fn reads() -> BoxedFilter<()> {
    warp::get().or(warp::head()).unify().boxed()
}

/// Everything of a plain request but its route parameters.
pub(super) fn call() -> BoxedFilter<(Call,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(async |method: Method, query: String, headers: HeaderMap, body| {
            let body = match collect(body, BODY_MAX).await {
                Ok(Some(bytes)) => Body::Whole(bytes),
                Ok(None) => Body::TooLarge,
                Err(_) => Body::Broken,
            };
            let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let invocation = invocation_of(&headers);
            let (is_head, params) = (method == Method::HEAD, HashMap::new());
            Call { invocation, is_head, params, query, headers, body, can_announce: false }
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
