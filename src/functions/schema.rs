//! The schemas of the document: what a type looks like as JSON, put under its name once and referred to from then on.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

/// What a value looks like.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// A type of ours, under its name.
    Named(fn() -> Described),
    /// A schema without a name.
    Plain(fn() -> Value),
    /// A schema that brings the named schemas it refers to.
    Composed(fn(&mut Schemas) -> Value),
}

/// A type as `utoipa` describes it.
pub(super) struct Described {
    name: Cow<'static, str>,
    schema: RefOr<Schema>,
    /// Types that it refers to.
    others: Vec<(String, RefOr<Schema>)>,
}

impl Shape {
    pub(super) const TEXT: Self = Self::Plain(|| json!({ "type": "string" }));
    /// An object with any fields.
    pub(super) const OBJECT: Self = Self::Plain(|| json!({ "type": "object", "additionalProperties": true }));
    /// Whatever it is.
    pub(super) const ANY: Self = Self::Plain(|| json!({}));
    /// Bytes.
    pub(super) const BINARY: Self = Self::Plain(|| json!({ "type": "string", "format": "binary" }));

    /// The shape of a type, under its name.
    pub(super) const fn of<T: ToSchema>() -> Self {
        Self::Named(described::<T>)
    }
}

fn described<T: ToSchema>() -> Described {
    let mut others = Vec::new();
    T::schemas(&mut others);
    Described { name: T::name(), schema: T::schema(), others }
}

/// Schemas by name.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    by_name: Map<String, Value>,
}

impl Schemas {
    /// A reference to a shape, or the shape itself if it has no name.
    pub(super) fn reference(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Plain(schema) => schema(),
            Shape::Composed(schema) => schema(self),
            Shape::Named(describe) => {
                let described = describe();
                for (name, schema) in &described.others {
                    self.answered(name, schema);
                }
                self.answered(&described.name, &described.schema)
            }
        }
    }

    /// Puts a schema under a name and refers to it.
    pub(super) fn put(&mut self, name: &str, schema: Value) -> Value {
        self.by_name.insert(name.to_owned(), schema);
        reference(name)
    }

    /// All of them, in the order of their names.
    pub(super) fn finish(mut self) -> Value {
        let texts: Map<String, Value> = self
            .by_name
            .iter()
            .filter(|(_, schema)| schema["type"] == "string" && schema.get("enum").is_none())
            .map(|(name, schema)| (name.clone(), schema.clone()))
            .collect();
        self.by_name.values_mut().for_each(|schema| null_beside_text(schema, &texts));
        self.by_name.sort_keys();
        Value::Object(self.by_name)
    }

    /// Puts the schema of an answer under a name and refers to it.
    pub(super) fn answered(&mut self, name: &str, schema: &RefOr<Schema>) -> Value {
        if !self.by_name.contains_key(name) {
            let mut schema = json!(schema);
            complete(&mut schema);
            self.by_name.insert(name.to_owned(), schema);
        }
        reference(name)
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Says of an answer that its fields are always there when they may be null: what may be missing is never null. And that
/// an object without known fields has any.
fn complete(schema: &mut Value) {
    each_part(schema, &mut |part| {
        if is_a(part, "object") && part.get("properties").is_none() {
            part.entry("additionalProperties").or_insert(json!(true));
        }
        let Some(Value::Object(fields)) = part.get("properties") else { return };
        let nullable: Vec<Value> =
            fields.iter().filter(|(_, field)| may_be_null(field)).map(|(name, _)| json!(name)).collect();
        if nullable.is_empty() {
            return;
        }
        if let Value::Array(required) = part.entry("required").or_insert(json!([])) {
            required.extend(nullable.into_iter().filter(|name| !required.contains(name)).collect::<Vec<_>>());
        }
    });
}

/// A text that may be null is written with two types: generators make a class without content of an alternative.
fn null_beside_text(schema: &mut Value, texts: &Map<String, Value>) {
    each_part(schema, &mut |part| {
        let Some(Value::Array(alternatives)) = part.get("oneOf") else { return };
        let [named, null] = alternatives.as_slice() else { return };
        let (named, null) = if named["type"] == "null" { (null, named) } else { (named, null) };
        let name = named["$ref"].as_str().and_then(|name| name.rsplit('/').next());
        let Some(Value::Object(text)) = name.and_then(|name| texts.get(name)) else { return };
        if null["type"] != "null" {
            return;
        }
        let description = named.get("description").cloned();
        part.shift_remove("oneOf");
        for (key, value) in text {
            part.entry(key.clone()).or_insert(value.clone());
        }
        part.insert("type".to_owned(), json!(["string", "null"]));
        if let Some(description) = description {
            part.insert("description".to_owned(), description);
        }
    });
}

/// Looks at a schema and everything inside it.
fn each_part(schema: &mut Value, look: &mut impl FnMut(&mut Map<String, Value>)) {
    match schema {
        Value::Object(part) => {
            look(part);
            part.values_mut().for_each(|part| each_part(part, look));
        }
        Value::Array(parts) => parts.iter_mut().for_each(|part| each_part(part, look)),
        _ => {}
    }
}

fn is_a(part: &Map<String, Value>, kind: &str) -> bool {
    match part.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|one| one == kind),
        Some(one) => one == kind,
        None => false,
    }
}

fn may_be_null(schema: &Value) -> bool {
    let Value::Object(part) = schema else { return false };
    let either = part.get("oneOf").and_then(Value::as_array);
    is_a(part, "null") || either.is_some_and(|either| either.iter().any(may_be_null))
}
