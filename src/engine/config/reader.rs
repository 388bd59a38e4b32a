//! Reads a config object field by field: checks types and ranges, fills in defaults, and keeps every fault with
//! its path instead of stopping at the first. What the fields are is said by the modules beside this one.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

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
pub(super) struct Faults {
    listed: RefCell<Vec<Fault>>,
    unlisted: Cell<usize>,
}

impl Faults {
    /// More than a person reads; a long list of nothing but faults must not make an answer many times its size.
    const LISTED_MAX: usize = 1000;

    pub(super) fn take(&self) -> Vec<Fault> {
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

    fn push(&self, path: String, message: String) {
        let mut listed = self.listed.borrow_mut();
        if listed.len() < Self::LISTED_MAX {
            listed.push(Fault { path, message });
        } else {
            self.unlisted.set(self.unlisted.get() + 1);
        }
    }
}

/// The range a number must lie in. Its text completes "must be …".
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    low: f64,
    low_allowed: bool,
    high: f64,
    high_allowed: bool,
}

impl Bounds {
    pub(super) const ANY: Self = Self::new(f64::NEG_INFINITY, true, f64::INFINITY, true);
    /// A number above 0.
    pub(super) const POSITIVE: Self = Self::new(0.0, false, f64::INFINITY, true);
    /// A share that may be the whole: (0, 1].
    pub(super) const SHARE: Self = Self::new(0.0, false, 1.0, true);
    /// A share that is neither nothing nor the whole: (0, 1).
    pub(super) const PART: Self = Self::new(0.0, false, 1.0, false);

    const fn new(low: f64, low_allowed: bool, high: f64, high_allowed: bool) -> Self {
        Self { low, low_allowed, high, high_allowed }
    }

    pub(super) const fn at_least(low: f64) -> Self {
        Self::new(low, true, f64::INFINITY, true)
    }

    pub(super) const fn between(low: f64, high: f64) -> Self {
        Self::new(low, true, high, true)
    }

    pub(super) const fn above_up_to(low: f64, high: f64) -> Self {
        Self::new(low, false, high, true)
    }

    fn contains(self, x: f64) -> bool {
        (x > self.low || (self.low_allowed && x == self.low))
            && (x < self.high || (self.high_allowed && x == self.high))
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low.is_finite(), self.high.is_finite()) {
            (true, true) => {
                let open = if self.low_allowed { '[' } else { '(' };
                let close = if self.high_allowed { ']' } else { ')' };
                write!(f, "in {open}{}, {}{close}", self.low, self.high)
            }
            (true, false) if self.low_allowed => write!(f, "at least {}", self.low),
            (true, false) => write!(f, "above {}", self.low),
            (false, true) => write!(f, "at most {}", self.high),
            (false, false) => f.write_str("a finite number"),
        }
    }
}

/// An enum whose variants are words in the config.
pub(super) trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

/// Declares an enum that a config spells as words; the first word of a variant is the one written back.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The word for it in a config.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::engine::config::reader::Words for $name {
            const WORDS: &'static [(&'static str, Self)] =
                &[$(($word, Self::$variant), $(($alias, Self::$variant),)*)+];
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(super) use words;

/// Reads one object. A field that is left out, or null, takes its default. When the reader goes out of scope,
/// keys that nobody asked for become faults.
pub(super) struct Fields<'a> {
    path: String,
    map: Cell<Option<&'a Map<String, Value>>>,
    known: RefCell<Vec<&'static str>>,
    faults: &'a Faults,
}

impl<'a> Fields<'a> {
    /// Reads `value` as an object found at `path`; anything else is a fault and reads as an empty object.
    pub(super) fn of(value: &'a Value, path: String, faults: &'a Faults) -> Self {
        let map = value.as_object();
        if map.is_none() {
            faults.push(path.clone(), format!("must be an object, not {}", kind(value)));
        }
        Self { path, map: Cell::new(map), known: RefCell::default(), faults }
    }

    /// The object under `key`; empty if left out.
    pub(super) fn section(&self, key: &'static str) -> Fields<'a> {
        match self.value(key) {
            Some(value) => Fields::of(value, self.path_of(key), self.faults),
            None => {
                let known = RefCell::default();
                Fields { path: self.path_of(key), map: Cell::new(None), known, faults: self.faults }
            }
        }
    }

    /// The objects of the list under `key`; none if left out.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Fields<'a>> {
        let items = self.list(key).into_iter().flatten().enumerate();
        items.map(|(i, v)| Fields::of(v, format!("{}[{i}]", self.path_of(key)), self.faults)).collect()
    }

    /// What stands under `key`, unless it is left out or null.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.known.borrow_mut().push(key);
        self.map.get().and_then(|map| map.get(key)).filter(|value| !value.is_null())
    }

    /// Whether `key` is there at all, be it null.
    pub(super) fn mentions(&self, key: &str) -> bool {
        self.map.get().is_some_and(|map| map.contains_key(key))
    }

    /// Gives up on this object: its keys cannot be judged because what it describes is unknown.
    pub(super) fn abandon(&self) {
        self.map.set(None);
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Remembers a fault of `key`.
    pub(super) fn fault(&self, key: &str, message: impl Into<String>) {
        self.faults.push(self.path_of(key), message.into());
    }

    fn wrong_type(&self, key: &str, wanted: &str, value: &Value) {
        self.fault(key, format!("must be {wanted}, not {}", kind(value)));
    }

    fn required<T: Default>(&self, key: &str, found: Option<T>) -> T {
        if found.is_none() && self.map.get().is_none_or(|map| map.get(key).is_none_or(Value::is_null)) {
            self.fault(key, "is required");
        }
        found.unwrap_or_default()
    }

    pub(super) fn number_opt(&self, key: &'static str, bounds: Bounds) -> Option<f64> {
        let value = self.value(key)?;
        let Some(number) = value.as_f64().filter(|x| x.is_finite()) else {
            self.wrong_type(key, "a number", value);
            return None;
        };
        if !bounds.contains(number) {
            self.fault(key, format!("must be {bounds}, got {number}"));
            return None;
        }
        Some(number)
    }

    pub(super) fn number(&self, key: &'static str, default: f64, bounds: Bounds) -> f64 {
        self.number_opt(key, bounds).unwrap_or(default)
    }

    pub(super) fn number_required(&self, key: &'static str, bounds: Bounds) -> f64 {
        let found = self.number_opt(key, bounds);
        self.required(key, found)
    }

    /// A number that null turns off, while leaving it out gives `default`.
    pub(super) fn number_or_off(
        &self,
        key: &'static str,
        default: Option<f64>,
        bounds: Bounds,
    ) -> Option<f64> {
        if self.mentions(key) {
            self.number_opt(key, bounds)
        } else {
            self.number_opt(key, bounds).or(default)
        }
    }

    pub(super) fn count_opt(&self, key: &'static str, least: u32) -> Option<u32> {
        let value = self.value(key)?;
        let whole = value.as_f64().filter(|x| x.fract() == 0.0);
        let Some(number) = whole else {
            self.wrong_type(key, "a whole number", value);
            return None;
        };
        if number < f64::from(least) {
            self.fault(key, format!("must be at least {least}, got {number}"));
            return None;
        }
        if number > f64::from(u32::MAX) {
            self.fault(key, format!("must be at most {}, got {number}", u32::MAX));
            return None;
        }
        Some(number as u32)
    }

    pub(super) fn count(&self, key: &'static str, default: u32, least: u32) -> u32 {
        self.count_opt(key, least).unwrap_or(default)
    }

    pub(super) fn count_required(&self, key: &'static str, least: u32) -> u32 {
        let found = self.count_opt(key, least);
        self.required(key, found)
    }

    /// As [`Fields::number_or_off`], for a whole number.
    pub(super) fn count_or_off(&self, key: &'static str, default: u32, least: u32) -> Option<u32> {
        let found = self.count_opt(key, least);
        if self.mentions(key) { found } else { Some(default) }
    }

    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.value(key) else { return default };
        value.as_bool().unwrap_or_else(|| {
            self.wrong_type(key, "true or false", value);
            default
        })
    }

    /// Text without the blanks around it; never empty.
    pub(super) fn text_opt(&self, key: &'static str) -> Option<String> {
        let value = self.value(key)?;
        let Some(text) = value.as_str() else {
            self.wrong_type(key, "text", value);
            return None;
        };
        self.plain(key, text).map(str::to_owned)
    }

    /// A text without the blanks around it, if it can stand in a line.
    fn plain<'t>(&self, key: &str, text: &'t str) -> Option<&'t str> {
        let text = text.trim();
        if text.is_empty() {
            self.fault(key, "must not be blank");
        } else if text.contains(char::is_control) {
            self.fault(key, "must not hold control characters, such as line ends");
        } else {
            return Some(text);
        }
        None
    }

    pub(super) fn text(&self, key: &'static str, default: &str) -> String {
        self.text_opt(key).unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn text_required(&self, key: &'static str) -> String {
        let found = self.text_opt(key);
        self.required(key, found)
    }

    /// Text that null turns off, while leaving it out gives `default`.
    pub(super) fn text_or_off(&self, key: &'static str, default: &str) -> Option<String> {
        let found = self.text_opt(key);
        if self.mentions(key) { found } else { Some(default.to_owned()) }
    }

    /// One of the words of `T`, without regard to case.
    pub(super) fn word_opt<T: Words>(&self, key: &'static str) -> Option<T> {
        let text = self.text_opt(key)?;
        let found = T::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        if found.is_none() {
            let words: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
            self.fault(key, format!("must be one of {}, got {text:?}", words.join(", ")));
        }
        found.map(|&(_, choice)| choice)
    }

    pub(super) fn word<T: Words>(&self, key: &'static str, default: T) -> T {
        self.word_opt(key).unwrap_or(default)
    }

    /// As [`Fields::word_opt`], and a fault if left out.
    pub(super) fn word_required<T: Words>(&self, key: &'static str) -> Option<T> {
        if self.value(key).is_none() {
            let words: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
            self.fault(key, format!("is required: one of {}", words.join(", ")));
        }
        self.word_opt(key)
    }

    pub(super) fn list(&self, key: &'static str) -> Option<&'a Vec<Value>> {
        let value = self.value(key)?;
        if value.as_array().is_none() {
            self.wrong_type(key, "a list", value);
        }
        value.as_array()
    }

    /// A list of distinct texts, trimmed.
    pub(super) fn texts(&self, key: &'static str) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        // A universe may list thousands.
        let mut seen = HashSet::new();
        for (i, value) in self.list(key).into_iter().flatten().enumerate() {
            let at = format!("{key}[{i}]");
            let Some(text) = value.as_str() else {
                self.wrong_type(&at, "text (quote it if it looks like something else)", value);
                continue;
            };
            match self.plain(&at, text) {
                None => {}
                Some(text) if seen.insert(text) => texts.push(text.to_owned()),
                Some(text) => self.fault(&at, format!("{text:?} is there twice")),
            }
        }
        texts
    }

    /// As [`Fields::texts`], and a fault if empty or left out.
    pub(super) fn texts_required(&self, key: &'static str) -> Vec<String> {
        let texts = self.texts(key);
        if self.map.get().is_none_or(|map| {
            map.get(key).is_none_or(|v| v.is_null() || v.as_array().is_some_and(Vec::is_empty))
        }) {
            self.fault(key, "must be a non-empty list");
        }
        texts
    }
}

impl Drop for Fields<'_> {
    fn drop(&mut self) {
        let known = self.known.borrow();
        for key in self.map.get().into_iter().flat_map(Map::keys) {
            if known.iter().any(|k| k == key) {
                continue;
            }
            let message = match nearest(key, &known) {
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

/// The candidate closest to `word`, if it is close enough to be a slip of the pen.
pub(super) fn nearest<'w>(word: &str, candidates: &[&'w str]) -> Option<&'w str> {
    let limit = (word.chars().count() / 3).max(1);
    let near = candidates.iter().map(|candidate| (edits(word, candidate), *candidate));
    near.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}

/// Levenshtein distance in characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
