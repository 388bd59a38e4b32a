//! The JSON Schema of a config (draft 2020-12), put together from the declarations of its options. It says what one
//! writes today; older spellings are read too. What depends on several options together is for the reader alone.

use serde_json::{Map, Value, json};

/// Definitions by name, each described once.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) done: Map<String, Value>,
}

impl Definitions {
    /// A reference to a definition, which `make` describes unless it is there.
    pub(super) fn named(
        &mut self,
        name: &'static str,
        doc: &str,
        make: impl FnOnce(&mut Self) -> Value,
    ) -> Value {
        if !self.done.contains_key(name) {
            // Definitions may hold themselves.
            self.done.insert(name.to_owned(), Value::Null);
            let mut schema = make(self);
            if schema.get("description").is_none() {
                schema["description"] = json!(prose(doc));
            }
            self.done.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    /// Whether something must be said in what a reference refers to.
    fn requires(&self, reference: &Value) -> bool {
        let name = reference["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        name.and_then(|name| self.done.get(name)).is_some_and(|schema| schema.get("required").is_some())
    }
}

/// The schema of an object while it is described.
#[derive(Debug)]
pub(super) struct ObjectSchema<'d> {
    description: String,
    properties: Map<String, Value>,
    keys: Vec<&'static str>,
    required: Vec<&'static str>,
    /// Pairs of names of one option, of which one must be there.
    either: Vec<[&'static str; 2]>,
    pub(super) definitions: &'d mut Definitions,
}

impl<'d> ObjectSchema<'d> {
    pub(super) fn new(doc: &str, definitions: &'d mut Definitions) -> Self {
        Self {
            description: prose(doc),
            properties: Map::new(),
            keys: Vec::new(),
            required: Vec::new(),
            either: Vec::new(),
            definitions,
        }
    }

    /// Adds an option.
    pub(super) fn property(&mut self, key: &'static str, doc: &str, mut schema: Value) {
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".to_owned(), json!(prose(doc)));
        }
        self.properties.insert(key.to_owned(), schema);
        self.keys.push(key);
    }

    /// Adds an option that is always there and always the same.
    pub(super) fn constant(&mut self, key: &'static str, word: &str) {
        self.properties.insert(key.to_owned(), json!({ "const": word }));
        self.require(key);
    }

    /// The options alone, for an object that has others too.
    pub(super) fn into_properties(self) -> Map<String, Value> {
        self.properties
    }

    /// The options so far.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().copied()
    }

    /// The option must be there.
    pub(super) fn require(&mut self, key: &'static str) {
        self.required.push(key);
    }

    /// Every option may be left out.
    pub(super) fn require_nothing(&mut self) {
        self.required.clear();
    }

    /// If `key` must be there, `alias` may be instead.
    pub(super) fn require_one_of(&mut self, key: &'static str, alias: &'static str) {
        if self.required.contains(&key) {
            self.required.retain(|required| *required != key && *required != alias);
            self.either.push([key, alias]);
        }
    }

    pub(super) fn finish(self) -> Value {
        let mut schema = json!({
            "type": "object",
            "description": self.description,
            "properties": self.properties,
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        if !self.either.is_empty() {
            let either = |[key, alias]: &[&str; 2]| json!({ "anyOf": [{ "required": [key] }, { "required": [alias] }] });
            schema["allOf"] = self.either.iter().map(either).collect();
        }
        schema
    }
}

/// The same schema, and null.
pub(super) fn nullable(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        Some(Value::String(kind)) => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

/// A doc comment as one paragraph without links.
pub(super) fn prose(doc: &str) -> String {
    let words: Vec<&str> = doc.split_whitespace().collect();
    words.join(" ").replace("[`", "`").replace("`]", "`")
}

/// Objects with a class and, below `parameters`, the options of that class: word, meaning and options of each class. One of
/// them may be the default. Options `beside` the class are the same for all.
pub(super) fn by_class(
    definitions: &Definitions,
    classes: Vec<(&'static str, &'static str, Value)>,
    default: Option<&str>,
    beside: &Map<String, Value>,
) -> Value {
    let one = |(word, doc, parameters): (&str, &str, Value)| {
        let required = if definitions.requires(&parameters) { vec!["parameters"] } else { Vec::new() };
        let class = json!({ "const": word });
        let mut schema = json!({
            "type": "object",
            "description": prose(doc),
            "properties": {
                "class": class,
                "class_name": class,
                "module": { "description": "No effect." },
                "parameters": if required.is_empty() {
                    json!({ "anyOf": [parameters, { "type": "array", "items": {}, "maxItems": 0 }, { "type": "null" }] })
                } else {
                    parameters
                },
            },
            "required": required,
            "additionalProperties": false,
        });
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.extend(beside.clone());
        }
        if default != Some(word) {
            schema["anyOf"] = json!([{ "required": ["class"] }, { "required": ["class_name"] }]);
        }
        schema
    };
    json!({ "anyOf": classes.into_iter().map(one).collect::<Vec<_>>() })
}

/// Objects with a type, and below its name the options of that type: word, meaning and options of each.
pub(super) fn by_type(definitions: &Definitions, types: Vec<(&'static str, &'static str, Value)>) -> Value {
    let one = |(word, doc, options): (&str, &str, Value)| {
        let required = if definitions.requires(&options) { vec!["type", word] } else { vec!["type"] };
        json!({
            "type": "object",
            "description": prose(doc),
            "properties": { "type": { "const": word }, word: nullable(options) },
            "additionalProperties": false,
            "required": required,
        })
    };
    json!({ "anyOf": types.into_iter().map(one).collect::<Vec<_>>() })
}
