//! `GET /api/openapi.json`: what this service answers, as OpenAPI 3.1. `GET /api/config.schema.json`: what a config may
//! say, as JSON Schema, for editors.

use std::sync::LazyLock;

use bytes::Bytes;

use super::function::{Answer, Content, Function, Method, Operation};
use super::openapi::document;
use super::reply::{Reply, written};
use super::schema::Shape;
use crate::engine::config::schema as config_schema;

pub(super) const FUNCTION: Function = Function::anonymous(
    "docs",
    "{document:regex(^(openapi.json|config.schema.json)$)}",
    &[&GET_OPENAPI, &GET_CONFIG_SCHEMA],
);

const GET_OPENAPI: Operation = Operation {
    id: "getOpenapi",
    method: Method::Get,
    path: "openapi.json",
    tag: "service",
    summary: "This document",
    description: "",
    parameters: &[],
    bodies: &[],
    answers: &[Answer::document(200, "OpenAPI 3.1", &[Content::json(Shape::OBJECT)])],
    refusals: &[],
    handler: |_, _| {
        static OPENAPI: LazyLock<Option<Bytes>> = LazyLock::new(|| written(&document()).ok());
        Box::pin(async { Ok(lasting(&OPENAPI)) })
    },
};

const GET_CONFIG_SCHEMA: Operation = Operation {
    id: "getConfigSchema",
    path: "config.schema.json",
    summary: "The JSON Schema of a config",
    answers: &[Answer::document(200, "JSON Schema, draft 2020-12", &[Content::json(Shape::OBJECT)])],
    handler: |_, _| {
        static SCHEMA: LazyLock<Option<Bytes>> = LazyLock::new(|| written(&config_schema()).ok());
        Box::pin(async { Ok(lasting(&SCHEMA)) })
    },
    ..GET_OPENAPI
};

/// A document that is put together once.
fn lasting(document: &Option<Bytes>) -> Reply {
    document.clone().map_or_else(Reply::bug, Reply::document)
}
