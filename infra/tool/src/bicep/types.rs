//! The table of Azure resource types: which keys a body may have, which it must have, which can only be read.
//! `types/generate.py` writes it from the models of Microsoft's own client libraries.

use std::collections::BTreeMap;

use serde_json::Value;

/// A type as the table writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// Text.
    Text,
    /// A whole number.
    Int,
    /// Any number.
    Number,
    /// `true` or `false`.
    Bool,
    /// Anything.
    Any,
    /// One of some texts.
    OneOf(Vec<String>),
    /// A list of these.
    List(Box<Type>),
    /// An object with free keys.
    Map(Box<Type>),
    /// A model of the table.
    Model(String),
}

/// A key of a model.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its type.
    pub kind: Type,
    /// Whether a body must have it.
    pub required: bool,
    /// Whether a body must not have it.
    pub read_only: bool,
}

/// The keys of a model; or, if one key decides, those of each variant.
#[derive(Debug, Clone)]
pub enum Model {
    /// Anything goes.
    Open,
    /// Its keys.
    Keys(BTreeMap<String, Key>),
    /// The key that decides, and the model for each of its values.
    Variants(String, BTreeMap<String, String>),
}

/// A resource type.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Name of its model.
    pub model: String,
    /// Versions that may be used, the preferred one last.
    pub versions: Vec<String>,
}

/// The table.
#[derive(Debug, Clone)]
pub struct Table {
    /// Resource types by name; a type whose shape depends on the resource's name carries it behind an `@`.
    pub resources: BTreeMap<String, Resource>,
    models: BTreeMap<String, Model>,
    read_as: BTreeMap<String, String>,
}

/// A table that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("read the table of resource types")]
pub struct TableError(#[from] serde_json::Error);

impl Table {
    /// The table that this program carries.
    pub fn load() -> Result<Self, TableError> {
        let table: Value = serde_json::from_str(include_str!("../../types/azure.json"))?;
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let entries = |value: &Value| value.as_object().cloned().unwrap_or_default();
        let resources = entries(&table["resources"])
            .into_iter()
            .map(|(name, shape)| {
                let model = shape["model"].as_str().unwrap_or_default().to_owned();
                (name, Resource { model, versions: texts(&shape["versions"]) })
            })
            .collect();
        let models =
            entries(&table["types"]).into_iter().map(|(name, shape)| (name, model(&shape))).collect();
        let read_as = entries(&table["read_as"])
            .into_iter()
            .filter_map(|(name, model)| Some((name, model.as_str()?.to_owned())))
            .collect();
        Ok(Self { resources, models, read_as })
    }

    /// A model by its name; one that was left out of the table is open.
    pub fn model(&self, name: &str) -> &Model {
        self.models.get(name).unwrap_or(&Model::Open)
    }

    /// The model that a resource is read back as.
    pub fn read_model<'a>(&'a self, name: &'a str) -> &'a str {
        self.read_as.get(name).map_or(name, String::as_str)
    }
}

fn model(shape: &Value) -> Model {
    let Some(keys) = shape.as_object() else { return Model::Open };
    if let Some(tag) = keys.get("?").and_then(Value::as_str) {
        let variants = keys.get("variants").and_then(Value::as_object).cloned().unwrap_or_default();
        let variants =
            variants.into_iter().filter_map(|(value, model)| Some((value, model.as_str()?.to_owned())));
        return Model::Variants(tag.to_owned(), variants.collect());
    }
    let key = |text: &str| {
        let kind = text.trim_start_matches(['*', '-']);
        Key { kind: kind_of(kind), required: text.starts_with('*'), read_only: text.starts_with('-') }
    };
    Model::Keys(keys.iter().filter_map(|(name, value)| Some((name.clone(), key(value.as_str()?)))).collect())
}

fn kind_of(text: &str) -> Type {
    if let Some(item) = text.strip_suffix("[]") {
        return Type::List(Box::new(kind_of(item)));
    }
    if let Some(item) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return Type::Map(Box::new(kind_of(item)));
    }
    if let Some(values) = text.strip_prefix('=') {
        return Type::OneOf(values.split('|').map(str::to_owned).collect());
    }
    match text {
        "string" => Type::Text,
        "int" => Type::Int,
        "number" => Type::Number,
        "bool" => Type::Bool,
        "any" => Type::Any,
        model => Type::Model(model.to_owned()),
    }
}
