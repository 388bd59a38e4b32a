//! What the functions state, as an OpenAPI 3.1 document.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::FUNCTIONS;
use super::function::{Answer, Content, Method, Operation};
use super::parameter::{Parameter, Place};
use super::reply::{Code, Problem};
use super::schema::{Schemas, Shape};

const DESCRIPTION: &str = "Submit a backtest, watch it, fetch what it left behind. Refusals are problem documents (RFC \
    9457) with a `code` from a closed list. Any call may carry `X-Azure-Functions-InvocationId`; problems name it in \
    `instance`. `HEAD` is answered as `GET`, without the body.";

/// Groups of operations.
const TAGS: [(&str, &str); 7] = [
    ("runs", "Runs and their life"),
    ("trust", "Whether results can be made again, and could have been had"),
    ("results", "What a completed run left behind"),
    ("studies", "Many trials of one config, and how far the best can be believed"),
    ("schedules", "Configs that are run whenever their tables have a new day"),
    ("signals", "Ranking signals as Postgres serves them"),
    ("service", "The service itself"),
];

/// What every call may refuse with that needs a key.
const ALWAYS: [Code; 2] = [Code::TooManyRequests, Code::InternalError];

pub(super) fn document() -> Value {
    let mut schemas = Schemas::default();
    let mut paths = BTreeMap::<String, Map<String, Value>>::new();
    for function in FUNCTIONS {
        for operation in function.operations() {
            let path = paths.entry(operation.documented_path()).or_default();
            let described = described(operation, function.is_anonymous(), &mut schemas);
            if operation.method == Method::Get {
                path.insert("head".to_owned(), head(&described));
            }
            path.insert(method(operation).to_owned(), described);
        }
    }
    schemas.reference(&Shape::of::<Problem>());
    let mut schemas = schemas.finish();
    // Generated exceptions then say what is wrong, not the name of their type.
    schemas["Problem"]["properties"]["detail"]["x-ms-primary-error-message"] = json!(true);
    let key = |place: &str, name: &str| json!({ "type": "apiKey", "name": name, "in": place, "description": "Function key" });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Backtest Functions",
            "description": DESCRIPTION,
            "license": { "name": "MIT", "identifier": "MIT" },
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": "/", "description": "This service" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "function_key": key("header", "x-functions-key"),
                "function_key_in_query": key("query", "code"),
            },
        },
        "security": [{ "function_key": [] }, { "function_key_in_query": [] }],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
    })
}

fn method(operation: &Operation) -> &'static str {
    match operation.method {
        Method::Get => "get",
        Method::Post => "post",
        Method::Put => "put",
        Method::Patch => "patch",
        Method::Delete => "delete",
    }
}

fn described(operation: &Operation, is_anonymous: bool, schemas: &mut Schemas) -> Value {
    let mut described = json!({
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": operation.id,
    });
    if !operation.description.is_empty() {
        described["description"] = json!(operation.description);
    }
    if !operation.parameters.is_empty() {
        described["parameters"] =
            operation.parameters.iter().map(|parameter| parameter_of(*parameter, schemas)).collect();
    }
    if !operation.bodies.is_empty() {
        described["requestBody"] =
            json!({ "content": contents(operation.bodies, schemas), "required": true });
    }
    let mut responses = Map::new();
    for answer in operation.answers {
        responses.insert(answer.status.to_string(), answer_of(answer, schemas));
    }
    responses.extend(refusals(operation, is_anonymous, schemas));
    responses.sort_keys();
    described["responses"] = Value::Object(responses);
    if is_anonymous {
        described["security"] = json!([{}]);
    }
    described
}

fn parameter_of(parameter: &dyn Parameter, schemas: &mut Schemas) -> Value {
    let place = match parameter.place() {
        Place::Query => "query",
        Place::Path => "path",
        Place::Header => "header",
    };
    let schema = parameter.schema(schemas);
    let mut described = json!({
        "name": parameter.name(),
        "in": place,
        "description": parameter.description(),
        "required": parameter.place() == Place::Path,
    });
    if schema["type"] == "array" {
        described["style"] = json!("form");
        described["explode"] = json!(true);
    }
    described["schema"] = schema;
    described
}

fn contents(contents: &[Content], schemas: &mut Schemas) -> Value {
    let described = contents.iter().map(|content| {
        let mut described = json!({ "schema": schemas.reference(&content.shape) });
        if let Some(example) = content.example {
            described["example"] = json!(example);
        }
        (content.media_type.to_owned(), described)
    });
    Value::Object(described.collect())
}

fn answer_of(answer: &Answer, schemas: &mut Schemas) -> Value {
    let mut described = json!({ "description": answer.description });
    if !answer.headers.is_empty() {
        let header = answer.headers.iter().map(|header| {
            let described = json!({ "description": header.description, "schema": { "type": header.kind } });
            (header.name.to_owned(), described)
        });
        described["headers"] = Value::Object(header.collect());
    }
    if !answer.contents.is_empty() {
        described["content"] = contents(answer.contents, schemas);
    }
    described
}

/// What a call may refuse with, a response for each status that it does not answer otherwise.
fn refusals(operation: &Operation, is_anonymous: bool, schemas: &mut Schemas) -> Map<String, Value> {
    let always = if is_anonymous { [].as_slice() } else { &ALWAYS };
    let mut by_status = BTreeMap::<u16, Vec<Code>>::new();
    for code in operation.refusals.iter().chain(always) {
        by_status.entry(code.status().as_u16()).or_default().push(*code);
    }
    let described = by_status.into_iter().map(|(status, codes)| {
        let each: Vec<String> =
            codes.iter().map(|code| format!("`{}`: {}", code.text(), code.title())).collect();
        let mut described = json!({
            "description": each.join("; "),
            "content": { "application/problem+json": { "schema": schemas.reference(&Shape::of::<Problem>()) } },
        });
        if codes.iter().any(|code| code.is_worth_repeating()) {
            let seconds = json!({ "description": "Seconds until another try is worth it", "schema": { "type": "integer" } });
            described["headers"] = json!({ "Retry-After": seconds });
        }
        (status.to_string(), described)
    });
    described.collect()
}

/// The call that answers as `get` does, without a body.
fn head(get: &Value) -> Value {
    let mut head = get.clone();
    head["operationId"] = json!(format!("{}Head", get["operationId"].as_str().unwrap_or_default()));
    head["summary"] =
        json!(format!("{}: the head of the answer", get["summary"].as_str().unwrap_or_default()));
    for response in head["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Value::Object(response) = response {
            response.shift_remove("content");
        }
    }
    head
}
