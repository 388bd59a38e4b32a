//! What a door answers, and the only place that names HTTP statuses. Refusals are problem documents (RFC 9457)
//! with a code from a closed list; the cause of a failure goes to the log, never to the caller.

use serde_json::{Value, json};
use sync_wrapper::SyncStream;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{HeaderMap, Response as HttpResponse, StatusCode};
use warp::reply::{Reply as _, Response};

use crate::engine::config::Fault;
use crate::run::RunId;
use crate::store::artifacts::{ArtifactError, ByteStream};
use crate::store::runs::StoreError;
use crate::work::execute::chain;

macro_rules! codes {
    ($($name:ident = $text:literal, $status:ident, $title:literal;)*) => {
        /// The closed list of problem codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code { $($name,)* }

        impl Code {
            fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    MalformedRequest = "malformed_request", BAD_REQUEST, "The request cannot be read";
    InvalidParameter = "invalid_parameter", BAD_REQUEST, "A parameter is invalid";
    InvalidConfig = "invalid_config", BAD_REQUEST, "The config is invalid";
    NotFound = "not_found", NOT_FOUND, "Nothing here";
    RunNotFound = "run_not_found", NOT_FOUND, "No such run";
    ArtifactNotFound = "artifact_not_found", NOT_FOUND, "No such artifact";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    RunNotCompleted = "run_not_completed", CONFLICT, "The run has no results";
    RunFinished = "run_finished", CONFLICT, "The run has ended";
    RunIdTaken = "run_id_taken", CONFLICT, "The run id is taken";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The media type is not supported";
    RangeNotSatisfiable = "range_not_satisfiable", RANGE_NOT_SATISFIABLE, "The range lies outside the file";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used before";
    SignalsUnavailable = "signals_unavailable", SERVICE_UNAVAILABLE, "Signals are not served here";
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "A store does not answer";
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, "Something is wrong with this program";
}

/// Seconds after which a caller may try again.
const RETRY_AFTER_SECONDS: u64 = 5;

/// An answer of a door.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Runs whose wake-up message the host shall send; only an envelope can carry them.
    pub(super) announce: Vec<RunId>,
}

/// An answer that ends a call early.
pub(super) type Refusal = Box<Reply>;

/// Content of an answer.
pub(super) enum Body {
    Json(Value),
    Stream {
        content: ByteStream,
        length: u64,
    },
    /// For a status that must not have one.
    Nothing,
}

impl Reply {
    /// 200 with a document.
    pub(super) fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// 202 with a document.
    pub(super) fn accepted(body: Value) -> Self {
        Self::json(StatusCode::ACCEPTED, body)
    }

    /// 304: the caller has it.
    pub(super) fn not_modified() -> Self {
        Self { body: Body::Nothing, ..Self::json(StatusCode::NOT_MODIFIED, Value::Null) }
    }

    /// 503 with a document of our own.
    pub(super) fn not_ready(body: Value) -> Self {
        Self::json(StatusCode::SERVICE_UNAVAILABLE, body).with(RETRY_AFTER, &RETRY_AFTER_SECONDS.to_string())
    }

    /// A whole file, or the part of it that `partial` describes as a `Content-Range`.
    pub(super) fn file(
        content: ByteStream,
        length: u64,
        content_type: &str,
        partial: Option<String>,
    ) -> Self {
        let status = if partial.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let reply = Self { body: Body::Stream { content, length }, ..Self::json(status, Value::Null) };
        let reply = reply.with(CONTENT_TYPE, content_type).with(warp::http::header::ACCEPT_RANGES, "bytes");
        match partial {
            Some(range) => reply.with(warp::http::header::CONTENT_RANGE, &range),
            None => reply,
        }
    }

    /// A refusal.
    pub(super) fn problem(code: Code, detail: impl Into<String>) -> Self {
        let body = json!({
            "type": format!("urn:backtest-functions:problem:{}", code.text()),
            "title": code.title(),
            "status": code.status().as_u16(),
            "detail": detail.into(),
            "code": code.text(),
        });
        let reply = Self::json(code.status(), body).with(CONTENT_TYPE, "application/problem+json");
        match code {
            Code::StoreUnavailable => reply.with(RETRY_AFTER, &RETRY_AFTER_SECONDS.to_string()),
            _ => reply,
        }
    }

    /// A refusal that lists every fault.
    pub(super) fn faults(code: Code, faults: &[Fault]) -> Self {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        let detail = match faults.len() {
            0 | 1 => first,
            more => format!("{first} (and {} more)", more - 1),
        };
        let mut reply = Self::problem(code, detail);
        if let Body::Json(body) = &mut reply.body {
            body["errors"] = json!(faults);
        }
        reply
    }

    /// A store that does not answer, or a bug of ours.
    pub(super) fn store(error: &StoreError, invocation: &str) -> Self {
        if error.retryable {
            tracing::warn!(error = chain(error), "the run store did not answer");
            return Self::problem(Code::StoreUnavailable, "the run store does not answer; try again");
        }
        tracing::error!(error = chain(error), "the run store failed");
        Self::bug(invocation)
    }

    /// Files that cannot be read now.
    pub(super) fn artifacts(error: &ArtifactError) -> Self {
        tracing::warn!(error = chain(error), "the artifact store did not answer");
        Self::problem(Code::StoreUnavailable, "the artifact store does not answer; try again")
    }

    /// 500: the body names the invocation and nothing else.
    pub(super) fn bug(invocation: &str) -> Self {
        let mut reply = Self::problem(Code::InternalError, "the log of this invocation says why");
        if let Body::Json(body) = &mut reply.body {
            body["instance"] = json!(format!("urn:uuid:{invocation}"));
        }
        reply
    }

    /// Sets a header; a value that is none is left out.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Asks the host to wake an executor for these runs.
    pub(super) fn announcing(mut self, runs: impl IntoIterator<Item = RunId>) -> Self {
        self.announce.extend(runs);
        self
    }

    /// The answer to a plain request.
    pub(super) fn into_plain(self) -> Response {
        let mut response = match self.body {
            Body::Json(body) => HttpResponse::new(body.to_string().into()),
            Body::Nothing => HttpResponse::new(String::new().into()),
            Body::Stream { content, length } => {
                let mut response = warp::reply::stream(SyncStream::new(content)).into_response();
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
                response
            }
        };
        *response.status_mut() = self.status;
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }

    fn json(status: StatusCode, body: Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        Self { status, headers, body: Body::Json(body), announce: Vec::new() }
    }
}
