//! Walks through a config object key by key and keeps every fault with its path instead of stopping at the first.
//! Which types an option may have is said by `options`, which options there are by the modules beside this one.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::engine::nearest::nearest;

/// One thing that is wrong with a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fault {
    /// Where: `strategy.selection.topn.n`, `strategy.legs[1].weight`. Empty for the config as a whole.
    pub path: String,
    /// What: `must be at least 1, got 0`.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// The faults found so far; shared by all readers of one config.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    listed: RefCell<Vec<Fault>>,
    unlisted: Cell<usize>,
    notes: RefCell<Vec<String>>,
}

impl Faults {
    /// More than a person reads; a long list of nothing but faults must not make an answer many times its size.
    const LISTED_MAX: usize = 1000;

    pub(crate) fn take(&self) -> Vec<Fault> {
        let mut faults = self.listed.take();
        match self.unlisted.take() {
            0 => {}
            n => {
                faults
                    .push(Fault { path: String::new(), message: format!("{n} more faults are not listed") });
            }
        }
        faults
    }

    /// What was taken, but not as it may have been meant.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    fn push(&self, path: String, message: String) {
        let mut listed = self.listed.borrow_mut();
        if listed.len() < Self::LISTED_MAX {
            listed.push(Fault { path, message });
        } else {
            self.unlisted.set(self.unlisted.get() + 1);
        }
    }
}

/// Reads one object. A field that is left out, or null, takes its default. When the reader goes out of scope,
/// keys that were not asked for become faults.
pub(crate) struct Fields<'a> {
    path: String,
    map: Cell<Option<&'a Map<String, Value>>>,
    known: RefCell<Vec<&'static str>>,
    faults: &'a Faults,
    /// An object whose keys count where this one lacks them.
    below: Option<Box<Fields<'a>>>,
}

impl<'a> Fields<'a> {
    /// Reads `value` as an object found at `path`; anything else is a fault and reads as an empty object.
    pub(crate) fn of(value: &'a Value, path: String, faults: &'a Faults) -> Self {
        let map = value.as_object();
        if map.is_none() {
            faults.push(path.clone(), format!("must be an object, not {}", kind(value)));
        }
        Self { path, map: Cell::new(map), known: RefCell::default(), faults, below: None }
    }

    /// The object under `key`; empty if left out.
    pub(crate) fn section(&self, key: &'static str) -> Fields<'a> {
        match self.value(key) {
            Some(value) => Fields::of(value, self.path_of(key), self.faults),
            None => {
                let (path, known) = (self.path_of(key), RefCell::default());
                Fields { path, map: Cell::new(None), known, faults: self.faults, below: None }
            }
        }
    }

    /// The object under `key`; an empty list is an empty object.
    pub(crate) fn section_or_list(&self, key: &'static str) -> Fields<'a> {
        match self.value(key).and_then(Value::as_array) {
            Some(list) if list.is_empty() => {
                let (path, known) = (self.path_of(key), RefCell::default());
                Fields { path, map: Cell::new(None), known, faults: self.faults, below: None }
            }
            _ => self.section(key),
        }
    }

    /// This object and, for the keys that it lacks, the one under `key`.
    pub(crate) fn and_below(mut self, key: &'static str) -> Fields<'a> {
        self.below = Some(Box::new(self.section_or_list(key)));
        self
    }

    /// The objects of the list under `key`; none if left out.
    pub(crate) fn sections(&self, key: &'static str) -> Vec<Fields<'a>> {
        let items = self.list(key).into_iter().flatten().enumerate();
        items.map(|(i, v)| Fields::of(v, format!("{}[{i}]", self.path_of(key)), self.faults)).collect()
    }

    /// What stands under `key`, unless it is left out or null.
    pub(crate) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(key);
        let below = self.below.as_ref().and_then(|below| Some((below, below.value(key)?)));
        match (self.map.get().and_then(|map| map.get(key)), below) {
            (Some(value), None) => Some(value),
            (None, below) => below.map(|(_, value)| value),
            (Some(value), Some((below, _))) => {
                below.note(key, format!("has no effect beside {}", self.path_of(key)));
                Some(value)
            }
        }
        .filter(|value| !value.is_null())
    }

    /// Whether `key` is there at all, be it null.
    pub(crate) fn mentions(&self, key: &str) -> bool {
        self.has(key) || self.below.as_ref().is_some_and(|below| below.mentions(key))
    }

    fn has(&self, key: &str) -> bool {
        self.map.get().is_some_and(|map| map.contains_key(key))
    }

    /// Keys of whose faults something was said already.
    pub(crate) fn know(&self, keys: impl IntoIterator<Item = &'static str>) {
        self.known.borrow_mut().extend(keys);
    }

    /// Gives up on this object: its keys cannot be judged because what it describes is unknown.
    pub(crate) fn abandon(&self) {
        self.map.set(None);
        if let Some(below) = &self.below {
            below.abandon();
        }
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        let first = key.split(['.', '[']).next().unwrap_or(key);
        match &self.below {
            Some(below) if !self.has(first) && below.mentions(first) => below.path_of(key),
            _ if self.path.is_empty() => key.to_owned(),
            _ => format!("{}.{key}", self.path),
        }
    }

    /// Remembers something about `key` that the reader of the results should know: it completes "`key` …".
    pub(crate) fn note(&self, key: &str, message: impl fmt::Display) {
        let note = format!("{} {message}", self.path_of(key));
        let mut notes = self.faults.notes.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Remembers a fault of `key`.
    pub(crate) fn fault(&self, key: &str, message: impl Into<String>) {
        self.faults.push(self.path_of(key), message.into());
    }

    pub(crate) fn wrong_type(&self, key: &str, wanted: &str, value: &Value) {
        self.fault(key, format!("must be {wanted}, not {}", kind(value)));
    }

    /// Whether `key` is left out or null.
    pub(crate) fn lacks(&self, key: &str) -> bool {
        let own = self.map.get().and_then(|map| map.get(key));
        own.map_or_else(|| self.below.as_ref().is_none_or(|below| below.lacks(key)), Value::is_null)
    }

    /// The list under `key`, if it is one.
    pub(crate) fn list(&self, key: &'static str) -> Option<&'a Vec<Value>> {
        let value = self.value(key)?;
        if value.as_array().is_none() {
            self.wrong_type(key, "a list", value);
        }
        value.as_array()
    }
}

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        let known = self.known.borrow();
        for key in self.map.get().into_iter().flat_map(Map::keys) {
            if known.iter().any(|k| k == key) {
                continue;
            }
            let message = match nearest(key, known.iter().copied()) {
                Some(near) => format!("unknown field; did you mean {near:?}?"),
                None => "unknown field".to_owned(),
            };
            self.fault(key, message);
        }
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(x) => format!("the boolean {x}"),
        Value::Number(x) => format!("the number {x}"),
        Value::String(x) => format!("the text {x:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
