//! What a function answers, and the only place that names HTTP statuses. Refusals are problem documents (RFC 9457)
//! with a code from a closed list; the cause of a failure goes to the log, never to the caller.

use bytes::Bytes;
use serde::Serialize;
use sync_wrapper::SyncStream;
use utoipa::ToSchema;
use warp::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{HeaderMap, Response as HttpResponse, StatusCode};
use warp::reply::{Reply as _, Response};

use crate::engine::config::Fault;
use crate::run::{Run, Status, Wake};
use crate::store::artifacts::{ArtifactError, ByteStream};
use crate::store::blob::Link;
use crate::store::load_error::LoadError;
use crate::store::runs::StoreError;
use crate::work::chain;
use crate::work::compare::SourceError;
use crate::work::results::ResultError;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:ident, $title:literal;)*) => {
        /// The closed list of problem codes; docs/errors.md says what to do about each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// The code as callers see it.
            pub(super) fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The status it comes with.
            pub(super) fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// Whether the same call may succeed a little later; the answer says when.
            pub(super) fn is_worth_repeating(self) -> bool {
                matches!(self, Self::TooManyRequests | Self::StoreUnavailable)
            }

            /// What all problems of this code have in common.
            pub(super) fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    MalformedRequest = "malformed_request", BAD_REQUEST, "The request cannot be read";
    BodyMissing = "body_missing", BAD_REQUEST, "There is no body";
    InvalidParameter = "invalid_parameter", BAD_REQUEST, "A parameter is invalid";
    InvalidConfig = "invalid_config", BAD_REQUEST, "The config is invalid";
    NotFound = "not_found", NOT_FOUND, "Nothing here";
    RunNotFound = "run_not_found", NOT_FOUND, "No such run";
    ArtifactNotFound = "artifact_not_found", NOT_FOUND, "No such artifact";
    NoTradingDay = "no_trading_day", NOT_FOUND, "Not a trading day of the run";
    TrialNotFound = "trial_not_found", NOT_FOUND, "The study has no such trial";
    ExperimentNotFound = "experiment_not_found", NOT_FOUND, "No such experiment";
    StrategyNotFound = "strategy_not_found", NOT_FOUND, "No such strategy";
    ScheduleNotFound = "schedule_not_found", NOT_FOUND, "No such schedule";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    DataGone = "data_gone", CONFLICT, "The data is gone";
    RunNotCompleted = "run_not_completed", CONFLICT, "The run has no results";
    RunNotEnded = "run_not_ended", CONFLICT, "The run has not ended";
    RunFinished = "run_finished", CONFLICT, "The run has ended";
    PartOfStudy = "part_of_study", CONFLICT, "The run is a part of a study";
    NotAStudy = "not_a_study", CONFLICT, "The run is not a study";
    RunIdTaken = "run_id_taken", CONFLICT, "The run id is taken";
    TooManySchedules = "too_many_schedules", CONFLICT, "There are too many schedules";
    RunDeleted = "run_deleted", GONE, "The run was deleted";
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, "The run has moved on";
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The media type is not supported";
    RangeNotSatisfiable = "range_not_satisfiable", RANGE_NOT_SATISFIABLE, "The range lies outside the file";
    IdempotencyKeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used before";
    SignalsUnavailable = "signals_unavailable", NOT_IMPLEMENTED, "Signals are not served here";
    TooManyRequests = "too_many_requests", TOO_MANY_REQUESTS, "Too many requests at once";
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, "A store does not answer";
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, "Something is wrong with this program";
}

/// A refusal, as RFC 9457 wants it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Names the code as a URI.
    r#type: String,
    /// The same for all problems of a code.
    title: &'static str,
    /// HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// This occurrence: the host's id of the invocation, by which the log can be searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    instance: Option<String>,
    /// For programs.
    code: Code,
    /// Every fault of the request, where there can be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Fault>,
    /// The state of the run, where it is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    run_status: Option<Status>,
}

/// Seconds after which a caller may try again.
const RETRY_AFTER_SECONDS: u64 = 5;

/// An answer of a function.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Runs whose wake-up message the host shall send; only an envelope can carry them.
    pub(super) announce: Vec<Wake>,
}

/// An answer that ends a call early.
pub(super) type Refusal = Box<Reply>;

/// Content of an answer.
pub(super) enum Body {
    /// A document, written already.
    Json(Bytes),
    /// A text of the media type that the header says.
    Text(Bytes),
    /// A refusal, whose occurrence is named before it leaves.
    Problem(Box<Problem>),
    Stream {
        content: ByteStream,
        /// Where it is known before the end.
        length: Option<u64>,
    },
    /// For a status that must not have one.
    Nothing,
}

impl Reply {
    /// 200 with a document.
    pub(super) fn ok(body: impl Serialize) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// 200 with a document that is written already.
    pub(super) fn document(document: Bytes) -> Self {
        Self::new(StatusCode::OK, Body::Json(document)).with(CONTENT_TYPE, "application/json")
    }

    /// 200 with a page.
    pub(super) fn page(html: String) -> Self {
        Self::text(html.into(), "text/html; charset=utf-8")
    }

    /// 200 with a text of a media type.
    pub(super) fn text(content: Bytes, media_type: &str) -> Self {
        Self::new(StatusCode::OK, Body::Text(content)).with(CONTENT_TYPE, media_type)
    }

    /// 201 with a document.
    pub(super) fn created(body: impl Serialize) -> Self {
        Self::json(StatusCode::CREATED, body)
    }

    /// 202 with a document.
    pub(super) fn accepted(body: impl Serialize) -> Self {
        Self::json(StatusCode::ACCEPTED, body)
    }

    /// 304: the caller has it.
    pub(super) fn not_modified() -> Self {
        Self::new(StatusCode::NOT_MODIFIED, Body::Nothing)
    }

    /// 302 to an address that is a secret of the caller.
    pub(super) fn elsewhere(link: &Link) -> Self {
        let mut reply = Self::new(StatusCode::FOUND, Body::Nothing);
        if let Ok(mut address) = HeaderValue::from_str(link.reveal()) {
            address.set_sensitive(true);
            reply.headers.insert(LOCATION, address);
        }
        reply
    }

    /// 503 with a document of our own.
    pub(super) fn not_ready(body: impl Serialize) -> Self {
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
        let reply = Self::new(status, Body::Stream { content, length: Some(length) });
        let reply = reply.with(CONTENT_TYPE, content_type).with(warp::http::header::ACCEPT_RANGES, "bytes");
        match partial {
            Some(range) => reply.with(warp::http::header::CONTENT_RANGE, &range),
            None => reply,
        }
    }

    /// Content that is made while it is sent.
    pub(super) fn stream(content: ByteStream, content_type: &str) -> Self {
        Self::new(StatusCode::OK, Body::Stream { content, length: None }).with(CONTENT_TYPE, content_type)
    }

    /// A refusal.
    pub(super) fn problem(code: Code, detail: impl Into<String>) -> Self {
        Self::refusal(code, detail.into(), Vec::new(), None)
    }

    /// 413.
    pub(super) fn body_too_large(bytes_max: usize) -> Self {
        Self::problem(Code::BodyTooLarge, format!("the body has more than {bytes_max} bytes"))
    }

    /// A refusal that lists every fault.
    pub(super) fn faults(code: Code, faults: &[Fault]) -> Self {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        let detail = match faults.len() {
            0 | 1 => first,
            more => format!("{first} (and {} more)", more - 1),
        };
        Self::refusal(code, detail, faults.to_vec(), None)
    }

    /// A refusal because of the state that a run is in.
    pub(super) fn wrong_state(code: Code, detail: String, status: Status) -> Self {
        Self::refusal(code, detail, Vec::new(), Some(status))
    }

    /// 410 for what a deleted run left behind.
    pub(super) fn deleted(run: &Run) -> Self {
        let (at, by) = match &run.labels.deleted {
            Some(deleted) => (deleted.at.format("%Y-%m-%d").to_string(), deleted.by.as_str()),
            None => (String::new(), ""),
        };
        let detail =
            format!("run {} was deleted on {at} by {by}; its record is kept, its files are not", run.id);
        Self::wrong_state(Code::RunDeleted, detail, run.state.status())
    }

    /// 405 with what would be taken, for example `GET`.
    pub(super) fn method_not_allowed(allowed: &str) -> Self {
        Self::problem(Code::MethodNotAllowed, format!("this address takes {allowed} alone"))
            .with(ALLOW, allowed)
    }

    fn refusal(code: Code, detail: String, errors: Vec<Fault>, run_status: Option<Status>) -> Self {
        let problem = Problem {
            r#type: format!("urn:backtest-functions:problem:{}", code.text()),
            title: code.title(),
            status: code.status().as_u16(),
            detail,
            instance: None,
            code,
            errors,
            run_status,
        };
        let reply = Self::new(code.status(), Body::Problem(Box::new(problem)))
            .with(CONTENT_TYPE, "application/problem+json");
        match code {
            Code::StoreUnavailable => reply.with(RETRY_AFTER, &RETRY_AFTER_SECONDS.to_string()),
            Code::TooManyRequests => reply.with(RETRY_AFTER, "1"),
            _ => reply,
        }
    }

    /// A store that does not answer, or a bug of ours.
    pub(super) fn store(error: &StoreError) -> Self {
        if error.retryable {
            tracing::warn!(error = chain(error), "the run store did not answer");
            return Self::problem(Code::StoreUnavailable, "the run store does not answer; try again");
        }
        tracing::error!(error = chain(error), "the run store failed");
        Self::bug()
    }

    /// Files that cannot be read now.
    pub(super) fn artifacts(error: &ArtifactError) -> Self {
        tracing::warn!(error = chain(error), "the artifact store did not answer");
        Self::problem(Code::StoreUnavailable, "the artifact store does not answer; try again")
    }

    /// A result that cannot be read, now or ever.
    pub(super) fn result(error: &ResultError) -> Self {
        if error.is_retryable() {
            tracing::warn!(error = chain(error), "the artifact store did not answer");
            return Self::problem(Code::StoreUnavailable, "the artifact store does not answer; try again");
        }
        tracing::error!(error = chain(error), "a published table cannot be read");
        Self::bug()
    }

    /// Runs whose files cannot be read, now or ever.
    pub(super) fn comparison(error: &SourceError) -> Self {
        if error.is_retryable() {
            tracing::warn!(error = chain(error), "the artifact store did not answer");
            return Self::problem(Code::StoreUnavailable, "the artifact store does not answer; try again");
        }
        tracing::error!(error = chain(error), "the files of a run cannot be read");
        Self::bug()
    }

    /// Prices or signals that cannot be looked at now, or not at all.
    pub(super) fn data(error: &LoadError) -> Self {
        if error.is_gone() {
            return Self::problem(Code::DataGone, error.to_string());
        }
        if error.is_retryable() {
            tracing::warn!(error = chain(error), "the lake did not answer");
            return Self::problem(Code::StoreUnavailable, "the lake does not answer; try again");
        }
        tracing::warn!(error = chain(error), "the lake cannot be read");
        let fault =
            Fault { path: "data".to_owned(), message: "what it names cannot be read as a table".to_owned() };
        Self::faults(Code::InvalidConfig, &[fault])
    }

    /// 500: the body names the invocation and nothing else.
    pub(super) fn bug() -> Self {
        Self::problem(Code::InternalError, "the log of this invocation says why")
    }

    /// Names the invocation in a refusal.
    pub(super) fn naming(mut self, invocation: &str) -> Self {
        if let Body::Problem(problem) = &mut self.body {
            problem.instance = Some(format!("urn:uuid:{invocation}"));
        }
        self
    }

    /// Sets a header; a value that is none is left out.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Asks the host to send these messages.
    pub(super) fn announcing(mut self, messages: impl IntoIterator<Item = Wake>) -> Self {
        self.announce.extend(messages);
        self
    }

    /// The head of this answer alone.
    pub(super) fn without_body(self) -> Self {
        Self { body: Body::Nothing, ..self }
    }

    /// The answer to a plain request.
    pub(super) fn into_plain(self) -> Response {
        let mut response = match self.body {
            Body::Json(document) | Body::Text(document) => HttpResponse::new(document.into()),
            Body::Problem(problem) => HttpResponse::new(written(&problem).unwrap_or_default().into()),
            Body::Nothing => HttpResponse::new(String::new().into()),
            Body::Stream { content, length } => {
                let mut response = warp::reply::stream(SyncStream::new(content)).into_response();
                if let Some(length) = length {
                    response.headers_mut().insert(CONTENT_LENGTH, length.into());
                }
                response
            }
        };
        *response.status_mut() = self.status;
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }

    fn json(status: StatusCode, body: impl Serialize) -> Self {
        match written(&body) {
            Ok(document) => Self::new(status, Body::Json(document)).with(CONTENT_TYPE, "application/json"),
            Err(error) => {
                tracing::error!(error = chain(&error), "an answer cannot be written");
                Self::bug()
            }
        }
    }

    fn new(status: StatusCode, body: Body) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        Self { status, headers, body, announce: Vec::new() }
    }
}

/// A document as it goes out.
pub(super) fn written(document: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(document).map(Bytes::from)
}
