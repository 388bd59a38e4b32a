//! `GET /api/openapi.json`: what this service answers, as OpenAPI 3.1. Every door describes its calls beside its code;
//! here they come together with what they have in common.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{AllOf, ArrayItems, ObjectBuilder, OneOf, Schema, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{ContentBuilder, HeaderBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use warp::Filter;
use warp::filters::BoxedFilter;

use super::call::{Call, call, reads};
use super::reply::Code::{self, *};
use super::reply::{Problem, Reply, written};
use super::{cancel, health, list, results, signals, status, submit, validate};
use crate::work::App;

/// Every call of the service. A new door adds its calls here and their refusals below.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Backtest Functions",
        description = "Submit a backtest, watch it, fetch what it left behind. Refusals are problem documents (RFC 9457) with a `code` from a closed list. Any call may carry `X-Azure-Functions-InvocationId`; problems name it in `instance`. `HEAD` is answered as `GET`, without the body.",
    ),
    servers((url = "/", description = "This service")),
    tags(
        (name = "runs", description = "Runs and their life"),
        (name = "results", description = "What a completed run left behind"),
        (name = "signals", description = "Ranking signals as Postgres serves them"),
        (name = "service", description = "The service itself"),
    ),
    paths(
        submit::answer, validate::answer, list::answer, status::answer, cancel::answer,
        results::events, results::summary, results::timeseries, results::rolling, results::trades,
        results::positions, results::artifacts, results::artifact, results::report,
        signals::composite, signals::ranking, signals::synced, health::live, health::ready, answer,
    ),
    components(schemas(Problem)),
    security(("function_key" = []), ("function_key_in_query" = [])),
)]
struct Document;

/// What each call may refuse with, beside what every call may.
const REFUSALS: [(&str, &[Code]); 20] = [
    (
        "submit",
        &[
            MalformedRequest,
            InvalidParameter,
            InvalidConfig,
            RunIdTaken,
            BodyTooLarge,
            UnsupportedMediaType,
            IdempotencyKeyReused,
            StoreUnavailable,
        ],
    ),
    (
        "validate",
        &[
            MalformedRequest,
            InvalidParameter,
            InvalidConfig,
            BodyTooLarge,
            UnsupportedMediaType,
            StoreUnavailable,
        ],
    ),
    ("list", &[InvalidParameter, StoreUnavailable]),
    ("status", &[InvalidParameter, RunNotFound, PreconditionFailed, StoreUnavailable]),
    ("cancel", &[InvalidParameter, RunNotFound, RunFinished, PreconditionFailed, StoreUnavailable]),
    ("events", &[InvalidParameter, RunNotFound, StoreUnavailable]),
    ("summary", &RESULT),
    ("timeseries", &TABLE),
    ("rolling", &TABLE),
    ("trades", &TABLE),
    ("positions", &TABLE),
    ("artifacts", &RESULT),
    ("artifact", &FILE),
    ("report", &FILE),
    ("composite_signals", &SIGNALS),
    ("ranking_signals", &SIGNALS),
    ("signal_sync", &SIGNALS),
    ("healthz", &[]),
    ("readyz", &[]),
    ("openapi", &[]),
];
const RESULT: [Code; 5] =
    [InvalidParameter, RunNotFound, RunNotCompleted, PreconditionFailed, StoreUnavailable];
const TABLE: [Code; 6] =
    [InvalidParameter, RunNotFound, ArtifactNotFound, RunNotCompleted, PreconditionFailed, StoreUnavailable];
const FILE: [Code; 7] = [
    InvalidParameter,
    RunNotFound,
    ArtifactNotFound,
    RunNotCompleted,
    PreconditionFailed,
    RangeNotSatisfiable,
    StoreUnavailable,
];
const SIGNALS: [Code; 3] = [InvalidParameter, SignalsUnavailable, StoreUnavailable];
/// What every call may refuse with, but the probes of the platform.
const ALWAYS: [Code; 2] = [TooManyRequests, InternalError];

/// Schemas of requests, in which a field that may be null may also be missing.
const ASKED: [&str; 4] = ["Config", "RunRequest", "WithConfig", "WithYaml"];

/// The document, put together once.
static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(document);

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let route = warp::path!("api" / "openapi.json").and(reads()).and(call());
    super::plain("docs", app, route, async |_, _| answer())
}

/// By envelope.
pub(super) async fn answer_call(_: App, _: Call) -> Reply {
    answer()
}

/// This document
#[utoipa::path(
    get, path = "/api/openapi.json", operation_id = "openapi", tag = "service", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
fn answer() -> Reply {
    static WRITTEN: LazyLock<Option<Bytes>> = LazyLock::new(|| written(&*DOCUMENT).ok());
    match &*WRITTEN {
        Some(document) => Reply::document(document.clone()),
        None => Reply::bug(),
    }
}

/// The methods that an address takes, for example `GET, HEAD`; `None` when there is nothing at it.
pub(super) fn methods(path: &str) -> Option<String> {
    let found = DOCUMENT.paths.paths.iter().find(|(template, _)| fits(template, path))?;
    let names: Vec<&str> = operations(found.1).map(|(name, _)| name).collect();
    Some(names.join(", "))
}

/// Whether a path fits a template. A `{name}` at the end stands for the rest, slashes included.
fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (template.split('/').peekable(), path.split('/'));
    while let Some(part) = wanted.next() {
        let Some(given) = found.next() else { return false };
        let is_placeholder = part.starts_with('{') && !given.is_empty();
        if part == "{name}" && is_placeholder && wanted.peek().is_none() {
            return true;
        }
        if part != given && !is_placeholder {
            return false;
        }
    }
    found.next().is_none()
}

fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    [("GET", &item.get), ("HEAD", &item.head), ("POST", &item.post)]
        .into_iter()
        .filter_map(|(name, operation)| Some((name, operation.as_ref()?)))
}

fn document() -> OpenApi {
    let mut document = Document::openapi();
    if let Some(components) = &mut document.components {
        let header = ApiKey::Header(ApiKeyValue::with_description("x-functions-key", "Function key"));
        let query = ApiKey::Query(ApiKeyValue::with_description("code", "Function key"));
        components.add_security_scheme("function_key", SecurityScheme::ApiKey(header));
        components.add_security_scheme("function_key_in_query", SecurityScheme::ApiKey(query));
        let schemas = components.schemas.iter_mut();
        let answers = schemas.filter(|(name, _)| !ASKED.contains(&name.as_str()));
        answers.for_each(|(_, schema)| complete(schema));
    }
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            refuse(operation);
            operation.responses.responses.values_mut().filter_map(written_here).for_each(|response| {
                let contents = response.content.values_mut().filter_map(written_here);
                contents.filter_map(|content| content.schema.as_mut()).for_each(complete);
            });
        }
        item.head = item.get.as_ref().map(head);
    }
    document
}

/// What stands at this place itself and not elsewhere in the document.
fn written_here<T>(part: &mut RefOr<T>) -> Option<&mut T> {
    match part {
        RefOr::T(part) => Some(part),
        RefOr::Ref(_) => None,
    }
}

/// The call that answers as `get` does, without a body.
fn head(get: &Operation) -> Operation {
    let mut head = get.clone();
    head.operation_id = head.operation_id.map(|id| format!("{id}_head"));
    head.summary = head.summary.map(|summary| format!("{summary}: the head of the answer"));
    let responses = head.responses.responses.values_mut();
    responses.filter_map(written_here).for_each(|response| response.content.clear());
    head
}

/// Says of an answer that its fields are always there when they may be null: what may be missing is never null.
fn complete(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            for (name, field) in &mut object.properties {
                complete(field);
                if may_be_null(field) && !object.required.contains(name) {
                    object.required.push(name.clone());
                }
            }
        }
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                complete(items);
            }
        }
        RefOr::T(Schema::OneOf(OneOf { items, .. }) | Schema::AllOf(AllOf { items, .. })) => {
            items.iter_mut().for_each(complete);
        }
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

fn may_be_null(schema: &RefOr<Schema>) -> bool {
    let null = |types: &SchemaType| match types {
        SchemaType::Type(one) => *one == Type::Null,
        SchemaType::Array(several) => several.contains(&Type::Null),
        SchemaType::AnyValue => false,
    };
    match schema {
        RefOr::T(Schema::Object(object)) => null(&object.schema_type),
        RefOr::T(Schema::Array(array)) => null(&array.schema_type),
        RefOr::T(Schema::OneOf(either)) => either.items.iter().any(may_be_null),
        RefOr::T(_) | RefOr::Ref(_) => false,
    }
}

/// Adds what a call may refuse with, a response for each status.
fn refuse(operation: &mut Operation) {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let own = REFUSALS.iter().find(|(name, _)| *name == id).map_or([].as_slice(), |(_, codes)| codes);
    let probe = operation.security.as_ref().is_some_and(|security| security.len() == 1);
    let always = if probe { [].as_slice() } else { &ALWAYS };
    let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
    for code in own.iter().chain(always) {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    for (status, codes) in by_status {
        let told: Vec<String> =
            codes.iter().map(|code| format!("`{}`: {}", code.text(), code.title())).collect();
        let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
        let mut response = ResponseBuilder::new()
            .description(told.join("; "))
            .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build());
        if matches!(status, 429 | 503) {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
            let header = HeaderBuilder::new()
                .schema(Some(seconds))
                .description(Some("Seconds until another try is worth it"))
                .build();
            response = response.header("Retry-After", header);
        }
        operation.responses.responses.insert(status.to_string(), RefOr::T(response.build()));
    }
}
