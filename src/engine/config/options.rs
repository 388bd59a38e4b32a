//! How options are declared: each once, with its type, range, default and meaning. The reader of a section, its entry
//! in the JSON Schema and its Rust type come from the same declaration. Which options there are is said elsewhere.
//!
//! [`options!`] declares a section, [`kinds!`] and [`variants!`] a choice of several, [`words!`] a choice of words.
//! An option is a [`Scalar`] with what holds where it is left out: [`Scalar::required`], [`Scalar::or`] a default,
//! [`Scalar::off`], or [`Scalar::or_off`]: a default that `null` switches off. Whatever fits none of these is a
//! [`Kind`] of its own.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde_json::{Value, json};

use super::reader::{Faults, Fields};
use super::schema::{Definitions, ObjectSchema, nullable, prose};
use crate::engine::nearest::nearest;

/// A section of the config: an object with options.
pub(super) trait Section: Sized {
    /// Name of its definition in the schema.
    const NAME: &'static str;
    /// What it is for.
    const DOC: &'static str;

    fn read(f: &Fields<'_>) -> Self;
    fn describe(object: &mut ObjectSchema<'_>);
}

impl Definitions {
    /// A reference to the definition of a section.
    pub(super) fn section<T: Section>(&mut self) -> Value {
        self.named(T::NAME, T::DOC, |definitions| {
            let mut object = ObjectSchema::new(T::DOC, definitions);
            T::describe(&mut object);
            object.finish()
        })
    }

    /// The same, of which any part may be left out.
    pub(super) fn part_of<T: Section>(&mut self, name: &'static str) -> Value {
        self.named(name, T::DOC, |definitions| {
            let mut object = ObjectSchema::new(T::DOC, definitions);
            T::describe(&mut object);
            object.require_nothing();
            object.finish()
        })
    }

    /// A reference to the definition of a choice of words.
    pub(super) fn words<T: Words>(&mut self) -> Value {
        self.named(T::NAME, T::DOC, |_| {
            let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
            let meanings = T::MEANINGS.iter().map(|(word, meaning)| format!("`{word}`: {}", prose(meaning)));
            let description = [prose(T::DOC)].into_iter().chain(meanings).collect::<Vec<_>>().join("\n");
            json!({ "enum": words, "description": description })
        })
    }
}

/// An option, or several that are read as one value.
pub(super) trait Kind {
    /// What is read.
    type Value;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Self::Value;
    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>);
}

/// Describes a kind whose value is known to be a `T`, so that the kind itself can be inferred.
pub(super) fn describe<T, K: Kind<Value = T>>(
    kind: &K,
    key: &'static str,
    doc: &str,
    object: &mut ObjectSchema<'_>,
) {
    kind.describe(key, doc, object);
}

/// A type of values.
pub(super) trait Scalar: Sized {
    /// What is read.
    type Value: Serialize + Clone;

    /// The value as that type, or nothing and a fault.
    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<Self::Value>;
    fn schema(&self, definitions: &mut Definitions) -> Value;

    /// Whether `value` is the same as nothing at all.
    fn is_absent(&self, value: &Value) -> bool {
        value.is_null()
    }

    /// Whether null may stand for a default.
    fn takes_null_for(&self, _: &Self::Value) -> bool {
        true
    }

    /// What stands under `key`, if anything does.
    fn given<'v>(&self, f: &Fields<'v>, key: &'static str) -> Option<&'v Value> {
        f.value(key).filter(|value| !self.is_absent(value))
    }

    /// Left out or null it is `default`.
    fn or(self, default: impl Into<Self::Value>) -> Or<Self> {
        let default = default.into();
        Or { scalar: self, default }
    }

    /// Left out or null it is `None`.
    fn off(self) -> Off<Self> {
        Off(self)
    }

    /// Left out it is `default`, null is `None`.
    fn or_off(self, default: impl Into<Self::Value>) -> OrOff<Self> {
        let default = default.into();
        OrOff { scalar: self, default }
    }

    /// It must be there.
    fn required(self) -> Required<Self> {
        Required(self)
    }
}

/// See [`Scalar::or`].
pub(super) struct Or<S: Scalar> {
    scalar: S,
    default: S::Value,
}

impl<S: Scalar> Kind for Or<S> {
    type Value = S::Value;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> S::Value {
        if f.mentions(key) && f.lacks(key) && !self.scalar.takes_null_for(&self.default) {
            f.fault(key, "must not be null: leave it out for its default, or say which");
        }
        let read = self.scalar.given(f, key).and_then(|value| self.scalar.parse(f, key, value));
        read.unwrap_or_else(|| self.default.clone())
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let mut schema = self.scalar.schema(object.definitions);
        if self.scalar.takes_null_for(&self.default) {
            schema = nullable(schema);
        }
        schema["default"] = json!(self.default);
        object.property(key, doc, schema);
    }
}

/// See [`Scalar::off`].
pub(super) struct Off<S: Scalar>(S);

impl<S: Scalar> Kind for Off<S> {
    type Value = Option<S::Value>;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Option<S::Value> {
        self.0.parse(f, key, self.0.given(f, key)?)
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let mut schema = nullable(self.0.schema(object.definitions));
        schema["default"] = Value::Null;
        object.property(key, doc, schema);
    }
}

/// See [`Scalar::or_off`].
pub(super) struct OrOff<S: Scalar> {
    scalar: S,
    default: S::Value,
}

impl<S: Scalar> Kind for OrOff<S> {
    type Value = Option<S::Value>;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Option<S::Value> {
        match self.scalar.given(f, key) {
            Some(value) => self.scalar.parse(f, key, value),
            None if f.mentions(key) && f.lacks(key) => None,
            None => Some(self.default.clone()),
        }
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let mut schema = nullable(self.scalar.schema(object.definitions));
        schema["default"] = json!(self.default);
        object.property(key, doc, schema);
    }
}

/// See [`Scalar::required`].
pub(super) struct Required<S>(S);

impl<S: Scalar<Value: Default>> Kind for Required<S> {
    type Value = S::Value;

    /// A fault reads as an empty value, which is never seen.
    fn read(&self, f: &Fields<'_>, key: &'static str) -> S::Value {
        let Some(value) = self.0.given(f, key) else {
            f.fault(key, "is required");
            return S::Value::default();
        };
        self.0.parse(f, key, value).unwrap_or_default()
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let schema = self.0.schema(object.definitions);
        object.property(key, doc, schema);
        object.require(key);
    }
}

/// An option with a second name.
pub(super) struct Named<K> {
    kind: K,
    alias: &'static str,
}

/// `kind` under its key or, if that is left out, under `alias`.
pub(super) fn or_named<K: Kind>(alias: &'static str, kind: K) -> Named<K> {
    Named { kind, alias }
}

impl<K: Kind> Kind for Named<K> {
    type Value = K::Value;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> K::Value {
        match (f.value(key), f.value(self.alias)) {
            (Some(_), Some(_)) => {
                f.fault(self.alias, format!("is another name of {key}: give one of them"));
                self.kind.read(f, key)
            }
            (None, Some(_)) => self.kind.read(f, self.alias),
            (_, None) => self.kind.read(f, key),
        }
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        self.kind.describe(key, doc, object);
        self.kind.describe(self.alias, &format!("Another name of `{key}`."), object);
        object.require_one_of(key, self.alias);
    }
}

/// The range that a number must lie in. Its text completes "must be …".
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

    fn schema(self) -> Value {
        let mut schema = json!({ "type": "number" });
        for (bound, allowed, inclusive, exclusive) in [
            (self.low, self.low_allowed, "minimum", "exclusiveMinimum"),
            (self.high, self.high_allowed, "maximum", "exclusiveMaximum"),
        ] {
            if bound.is_finite() {
                schema[if allowed { inclusive } else { exclusive }] = json!(bound);
            }
        }
        schema
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

/// A finite number.
pub(super) struct Number {
    bounds: Bounds,
    /// Smaller numbers are read as this one.
    floor: Option<f64>,
}

/// A finite number within bounds; it may be quoted.
pub(super) const fn number(bounds: Bounds) -> Number {
    Number { bounds, floor: None }
}

/// A number from 0 up; a smaller one is 0.
pub(super) const fn number_or_less() -> Number {
    Number { bounds: Bounds::ANY, floor: Some(0.0) }
}

/// A finite number, also in quotes.
fn numeric(value: &Value) -> Option<f64> {
    let quoted = || value.as_str()?.trim().parse().ok();
    value.as_f64().or_else(quoted).filter(|number: &f64| number.is_finite())
}

impl Scalar for Number {
    type Value = f64;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<f64> {
        let Some(number) = numeric(value) else {
            f.wrong_type(key, "a number", value);
            return None;
        };
        if !self.bounds.contains(number) {
            f.fault(key, format!("must be {}, got {number}", self.bounds));
            return None;
        }
        Some(self.floor.map_or(number, |floor| number.max(floor)))
    }

    fn schema(&self, _: &mut Definitions) -> Value {
        self.bounds.schema()
    }
}

/// A whole number; `10.0` is one.
pub(super) struct Count {
    least: u32,
    most: u32,
    /// Whether smaller numbers are read as the least one.
    or_less: bool,
}

/// A whole number, at least `least`; it may be quoted.
pub(super) const fn count(least: u32) -> Count {
    Count { least, most: u32::MAX, or_less: false }
}

/// A whole number from `least` up; a smaller one is `least`.
pub(super) const fn count_or_less(least: u32) -> Count {
    Count { least, most: u32::MAX, or_less: true }
}

impl Count {
    pub(super) const fn at_most(self, most: u32) -> Self {
        Self { most, ..self }
    }

    /// A default that null, 0 and whatever is less switch off.
    pub(super) const fn switched(self, default: Option<u32>) -> Switch {
        Switch { count: self, default }
    }
}

/// See [`Count::switched`].
pub(super) struct Switch {
    count: Count,
    default: Option<u32>,
}

impl Kind for Switch {
    type Value = Option<u32>;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Option<u32> {
        match f.value(key) {
            Some(value) if numeric(value).is_some_and(|number| number <= 0.0 && number.fract() == 0.0) => {
                f.note(key, "is not above 0, which switches it off");
                None
            }
            Some(value) => self.count.parse(f, key, value),
            None if f.mentions(key) => None,
            None => self.default,
        }
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let schema =
            json!({ "type": ["integer", "null"], "maximum": self.count.most, "default": self.default });
        object.property(key, doc, schema);
    }
}

impl Scalar for Count {
    type Value = u32;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<u32> {
        let Some(number) = numeric(value).filter(|x| x.fract() == 0.0) else {
            f.wrong_type(key, "a whole number", value);
            return None;
        };
        if number < f64::from(self.least) && self.or_less {
            return Some(self.least);
        }
        if number < f64::from(self.least) {
            f.fault(key, format!("must be at least {}, got {number}", self.least));
            return None;
        }
        if number > f64::from(self.most) {
            f.fault(key, format!("must be at most {}, got {number}", self.most));
            return None;
        }
        Some(number as u32)
    }

    fn schema(&self, _: &mut Definitions) -> Value {
        let mut schema = json!({ "type": "integer", "maximum": self.most });
        if !self.or_less {
            schema["minimum"] = json!(self.least);
        }
        schema
    }
}

/// `true` or `false`.
pub(super) struct Flag;

/// `true` or `false`.
pub(super) const fn flag() -> Flag {
    Flag
}

impl Scalar for Flag {
    type Value = bool;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<bool> {
        let number = value.as_f64().and_then(|number| match number {
            0.0 => Some(false),
            1.0 => Some(true),
            _ => None,
        });
        let flag = value.as_bool().or(number);
        if flag.is_none() {
            f.wrong_type(key, "true or false", value);
        }
        flag
    }

    /// Some take null for false, others for the default; where these differ it is asked which.
    fn takes_null_for(&self, default: &bool) -> bool {
        !default
    }

    fn schema(&self, _: &mut Definitions) -> Value {
        json!({ "type": "boolean" })
    }
}

/// Text without the blanks around it; never empty.
pub(super) struct Text {
    longest: Option<(usize, LengthIn)>,
    /// Whether a number is a text too.
    or_number: bool,
}

#[derive(Clone, Copy)]
enum LengthIn {
    Characters,
    Bytes,
}

/// Text without the blanks around it; never empty.
pub(super) const fn text() -> Text {
    Text { longest: None, or_number: false }
}

/// The same, for which a number is taken as it is written.
pub(super) const fn text_or_number() -> Text {
    Text { longest: None, or_number: true }
}

impl Text {
    pub(super) const fn characters(self, longest: usize) -> Self {
        Self { longest: Some((longest, LengthIn::Characters)), ..self }
    }

    pub(super) const fn bytes(self, longest: usize) -> Self {
        Self { longest: Some((longest, LengthIn::Bytes)), ..self }
    }
}

impl Scalar for Text {
    type Value = String;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<String> {
        let number = value.as_number().filter(|_| self.or_number).map(ToString::to_string);
        let Some(text) = value.as_str().or(number.as_deref()) else {
            f.wrong_type(key, "text", value);
            return None;
        };
        let text = plain(f, key, text)?;
        if let Some((longest, unit)) = self.longest {
            let (length, unit) = match unit {
                LengthIn::Characters => (text.chars().count(), "characters"),
                LengthIn::Bytes => (text.len(), "bytes"),
            };
            if length > longest {
                f.fault(key, format!("must have at most {longest} {unit}, has {length}"));
            }
        }
        Some(text.to_owned())
    }

    fn schema(&self, _: &mut Definitions) -> Value {
        let mut schema = json!({ "type": "string" });
        if self.or_number {
            schema["type"] = json!(["string", "number"]);
        }
        if let Some((longest, _)) = self.longest {
            schema["maxLength"] = json!(longest);
        }
        schema
    }

    fn is_absent(&self, value: &Value) -> bool {
        value.is_null() || value.as_str() == Some("")
    }
}

/// A text without the blanks around it, if it can stand in a line.
fn plain<'t>(f: &Fields<'_>, key: &str, text: &'t str) -> Option<&'t str> {
    let text = text.trim();
    if text.is_empty() {
        f.fault(key, "must not be blank");
    } else if text.contains(char::is_control) {
        f.fault(key, "must not hold control characters, such as line ends");
    } else {
        return Some(text);
    }
    None
}

/// A list of distinct texts, trimmed.
pub(super) struct Texts {
    may_be_empty: bool,
}

/// A list of distinct texts that may be empty.
pub(super) const fn texts() -> Texts {
    Texts { may_be_empty: true }
}

/// A list of distinct texts, at least one.
pub(super) const fn some_texts() -> Texts {
    Texts { may_be_empty: false }
}

impl Texts {
    /// Left out or null the list is empty.
    pub(super) fn or_none(self) -> Or<Self> {
        Or { scalar: self, default: Vec::new() }
    }
}

impl Scalar for Texts {
    type Value = Vec<String>;

    fn parse(&self, f: &Fields<'_>, key: &'static str, _: &Value) -> Option<Vec<String>> {
        let items = f.list(key)?;
        let mut texts: Vec<String> = Vec::new();
        // A universe may list thousands.
        let mut seen = HashSet::new();
        let mut repeated = Vec::new();
        for (i, value) in items.iter().enumerate() {
            let at = format!("{key}[{i}]");
            let Some(text) = value.as_str() else {
                f.wrong_type(&at, "text (quote it if it looks like something else)", value);
                continue;
            };
            match plain(f, &at, text) {
                None => {}
                Some(text) if seen.insert(text) => texts.push(text.to_owned()),
                Some(text) => repeated.push(text),
            }
        }
        if let Some(first) = repeated.first() {
            let more = match repeated.len() {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            f.note(key, format!("names {first}{more} again, which changes nothing"));
        }
        if items.is_empty() && !self.may_be_empty {
            f.fault(key, "must be a non-empty list");
        }
        Some(texts)
    }

    fn schema(&self, definitions: &mut Definitions) -> Value {
        let least = u32::from(!self.may_be_empty);
        let mut item = text().schema(definitions);
        item["pattern"] = json!("\\S");
        json!({ "type": "array", "items": item, "minItems": least })
    }
}

/// An enum whose variants are words in the config.
pub(super) trait Words: Copy + PartialEq + Serialize + 'static {
    /// Name of its definition in the schema.
    const NAME: &'static str;
    /// What is chosen.
    const DOC: &'static str;
    /// Every word; the first one of a variant is the one that is written back.
    const WORDS: &'static [(&'static str, Self)];
    /// What each variant means, by the word that is written back.
    const MEANINGS: &'static [(&'static str, &'static str)];
}

/// Declares an enum that a config spells as words; the first word of a variant is the one written back.
macro_rules! words {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident = $word:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $vdoc])* $variant),+ }

        impl $name {
            /// The word for it in a config.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::engine::config::options::Words for $name {
            const NAME: &'static str = stringify!($name);
            const DOC: &'static str = concat!($($doc, "\n"),*);
            const WORDS: &'static [(&'static str, Self)] =
                &[$(($word, Self::$variant), $(($alias, Self::$variant),)*)+];
            const MEANINGS: &'static [(&'static str, &'static str)] =
                &[$(($word, concat!($($vdoc, "\n"),*))),+];
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(super) use words;

/// One of the words of `T`, without regard to case.
pub(super) struct Word<T>(PhantomData<T>);

/// One of the words of `T`, without regard to case.
pub(super) const fn word<T: Words>() -> Word<T> {
    Word(PhantomData)
}

impl<T: Words> Scalar for Word<T> {
    type Value = T;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<T> {
        let words: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
        let found = OneOf(&words).parse(f, key, value)?;
        T::WORDS.iter().find(|(word, _)| *word == found).map(|&(_, choice)| choice)
    }

    fn schema(&self, definitions: &mut Definitions) -> Value {
        definitions.words::<T>()
    }

    fn is_absent(&self, value: &Value) -> bool {
        text().is_absent(value)
    }
}

/// A text that is taken whatever it says, since there is only one thing that it could mean.
pub(super) struct Only<T> {
    choice: T,
    /// Completes "has no effect: …".
    because: &'static str,
}

/// See [`Only`].
pub(super) const fn only<T: Words>(choice: T, because: &'static str) -> Only<T> {
    Only { choice, because }
}

impl<T: Words> Kind for Only<T> {
    type Value = T;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> T {
        let mut words = T::WORDS.iter().filter(|(_, one)| *one == self.choice).map(|(word, _)| word);
        let given = text().off().read(f, key);
        if let Some(text) = given.filter(|text| !words.any(|word| word.eq_ignore_ascii_case(text))) {
            f.note(key, format!("{text:?} has no effect: {}", self.because));
        }
        self.choice
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        object.property(key, doc, json!({ "type": ["string", "null"], "default": self.choice }));
    }
}

/// A section; left out, its options take their defaults.
pub(super) struct Nested<T>(PhantomData<T>);

/// A section; left out, its options take their defaults.
pub(super) const fn section<T: Section>() -> Nested<T> {
    Nested(PhantomData)
}

impl<T: Section> Kind for Nested<T> {
    type Value = T;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> T {
        T::read(&f.section(key))
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let schema = nullable(object.definitions.section::<T>());
        object.property(key, doc, schema);
    }
}

/// What is chosen by a word among several, each with options of its own.
pub(super) trait Choice: Sized {
    /// `None` and a fault if the word is missing or unknown.
    fn read(f: &Fields<'_>) -> Option<Self>;
    fn schema(definitions: &mut Definitions) -> Value;
}

/// A list of objects; left out it is empty.
pub(super) struct Items<T> {
    may_be_empty: bool,
    item: PhantomData<T>,
}

/// A list of choices that may be empty.
pub(super) const fn choices<T: Choice>() -> Items<T> {
    Items { may_be_empty: true, item: PhantomData }
}

impl<T: Choice> Items<T> {
    pub(super) const fn at_least_one(self) -> Self {
        Self { may_be_empty: false, ..self }
    }
}

impl<T: Choice> Kind for Items<T> {
    type Value = Vec<T>;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Vec<T> {
        let items: Vec<Option<T>> = f.sections(key).iter().map(T::read).collect();
        if items.is_empty() && !self.may_be_empty {
            f.fault(key, "must be a non-empty list");
        }
        items.into_iter().flatten().collect()
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let items = T::schema(object.definitions);
        let mut schema = json!({ "type": "array", "items": items });
        if self.may_be_empty {
            schema = nullable(schema);
            schema["default"] = json!([]);
        } else {
            schema["minItems"] = json!(1);
            object.require(key);
        }
        object.property(key, doc, schema);
    }
}

/// A list of sections.
pub(super) struct Sections<T>(PhantomData<T>);

/// A list of sections, at least one.
pub(super) const fn sections<T: Section>() -> Sections<T> {
    Sections(PhantomData)
}

impl<T: Section> Kind for Sections<T> {
    type Value = Vec<T>;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Vec<T> {
        let items: Vec<T> = f.sections(key).iter().map(T::read).collect();
        if items.is_empty() {
            f.fault(key, "must be a non-empty list");
        }
        items
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let items = object.definitions.section::<T>();
        object.property(key, doc, json!({ "type": "array", "items": items, "minItems": 1 }));
        object.require(key);
    }
}

/// One of several words, without regard to case; as it is written here.
pub(super) struct OneOf<'w>(pub(super) &'w [&'static str]);

impl Scalar for OneOf<'_> {
    type Value = &'static str;

    fn parse(&self, f: &Fields<'_>, key: &'static str, value: &Value) -> Option<&'static str> {
        let text = text().parse(f, key, value)?;
        let found = self.0.iter().find(|word| word.eq_ignore_ascii_case(&text));
        if found.is_none() {
            f.fault(key, format!("must be one of {}, got {text:?}", self.0.join(", ")));
        }
        found.copied()
    }

    fn schema(&self, _: &mut Definitions) -> Value {
        json!({ "enum": self.0 })
    }

    fn is_absent(&self, value: &Value) -> bool {
        text().is_absent(value)
    }
}

/// The class of an object, under `class` or `class_name`. A `module` beside it is no longer of use.
pub(super) fn class_of(f: &Fields<'_>) -> Option<String> {
    if f.value("module").is_some() {
        f.note("module", "has no effect");
    }
    let (class, alias) = (text().off().read(f, "class"), text().off().read(f, "class_name"));
    if class.is_some() && alias.is_some() && class != alias {
        f.fault("class_name", "is another name of class: give one of them");
    }
    class.or(alias)
}

/// The values that a section has when nothing is said in it.
pub(super) fn untold<T: Section>() -> T {
    let (nothing, faults) = (json!({}), Faults::default());
    T::read(&Fields::of(&nothing, String::new(), &faults))
}

/// The word under `key` that says which of `known` an object is; a fault if it is missing or unknown, after which
/// the other keys of the object cannot be judged.
pub(super) fn tag(
    f: &Fields<'_>,
    key: &'static str,
    known: &[&'static str],
    default: Option<&'static str>,
) -> Option<&'static str> {
    if f.lacks(key) && default.is_some() {
        f.value(key);
        return default;
    }
    if f.lacks(key) {
        f.fault(key, format!("is required: one of {}", known.join(", ")));
    }
    let found = f.value(key).and_then(|value| OneOf(known).parse(f, key, value));
    if found.is_none() {
        f.abandon();
    }
    found
}

/// The message for a class that does not exist.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown {what} {name:?}; did you mean {near}?"),
        None => format!("unknown {what} {name:?}; known: {}", known.join(", ")),
    }
}

/// The key of an option: the name of its field, unless it is given another.
macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident, $key:literal) => {
        $key
    };
}
pub(super) use key;

/// Declares a section: a struct with its reader and its schema. `checked by f` names what is asked of several options
/// together, as a `fn(&Self, &Fields)`.
macro_rules! options {
    (
        $(#[doc = $doc:literal])*
        $(#[serde($($serde:tt)*)])?
        $name:ident {
            $($(#[doc = $fdoc:literal])* $(#[serde($($fserde:tt)*)])? $field:ident $(as $key:literal)? : $ty:ty = $kind:expr),* $(,)?
        }
        $(checked by $check:expr)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        $(#[serde($($serde)*)])?
        pub struct $name {
            $($(#[doc = $fdoc])* $(#[serde($($fserde)*)])? $(#[serde(rename = $key)])? pub $field: $ty),*
        }

        impl $crate::engine::config::options::Section for $name {
            const NAME: &'static str = stringify!($name);
            const DOC: &'static str = concat!($($doc, "\n"),*);

            fn read(f: &$crate::engine::config::reader::Fields<'_>) -> Self {
                let read = Self {
                    $($field: $crate::engine::config::options::Kind::read(
                        &$kind, f, $crate::engine::config::options::key!($field $(, $key)?),
                    )),*
                };
                $(let check: fn(&Self, &$crate::engine::config::reader::Fields<'_>) = $check;
                check(&read, f);)?
                read
            }

            fn describe(object: &mut $crate::engine::config::schema::ObjectSchema<'_>) {
                $($crate::engine::config::options::describe::<$ty, _>(
                    &$kind,
                    $crate::engine::config::options::key!($field $(, $key)?),
                    concat!($($fdoc, "\n"),*),
                    object,
                );)*
            }
        }
    };
}
pub(super) use options;

/// Declares a choice by word, each with a section of options. Where the options stand is up to the reader.
macro_rules! kinds {
    (
        $(#[doc = $doc:literal])*
        $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident($ty:ty) = $word:literal),+ $(,)? }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name { $($(#[doc = $vdoc])* $variant($ty)),+ }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for it in a config.
            pub fn as_str(&self) -> &'static str {
                match self { $(Self::$variant(_) => $word),+ }
            }

            /// Reads the options of the kind called `word`. `None` if there is none.
            fn read_kind(word: &str, options: &$crate::engine::config::reader::Fields<'_>) -> Option<Self> {
                use $crate::engine::config::options::Section;
                $(if word == $word {
                    return Some(Self::$variant(<$ty as Section>::read(options)));
                })+
                None
            }

            /// Word, meaning and options of each kind.
            fn describe_kinds(
                definitions: &mut $crate::engine::config::schema::Definitions,
            ) -> Vec<(&'static str, &'static str, serde_json::Value)> {
                vec![$(($word, concat!($($vdoc, "\n"),*), definitions.section::<$ty>())),+]
            }

            /// Writes the options below `key`.
            fn write_options<M: serde::ser::SerializeMap>(&self, map: &mut M, key: &'static str) -> Result<(), M::Error> {
                match self { $(Self::$variant(options) => map.serialize_entry(key, options)),+ }
            }
        }
    };
}
pub(super) use kinds;

/// Declares a choice by the word under `type`, with the options of each beside it. `by default` names the word of an object
/// that has none.
macro_rules! variants {
    (
        $(#[doc = $doc:literal])*
        $name:ident $(by default $default:literal)? {
            $(
                $(#[doc = $vdoc:literal])*
                $variant:ident = $word:literal {
                    $($(#[doc = $fdoc:literal])* $(#[serde($($fserde:tt)*)])? $field:ident : $ty:ty = $kind:expr),* $(,)?
                }
                $(checked by $check:expr)?
            ),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        #[serde(tag = "type")]
        pub enum $name {
            $($(#[doc = $vdoc])* #[serde(rename = $word)] $variant {
                $($(#[doc = $fdoc])* $(#[serde($($fserde)*)])? $field: $ty),*
            }),+
        }

        impl $crate::engine::config::options::Choice for $name {
            fn read(f: &$crate::engine::config::reader::Fields<'_>) -> Option<Self> {
                let word = $crate::engine::config::options::tag(f, "type", &[$($word),+], None $(.or(Some($default)))?)?;
                $(if word == $word {
                    let read = Self::$variant {
                        $($field: $crate::engine::config::options::Kind::read(&$kind, f, stringify!($field))),*
                    };
                    $(let check: fn(&Self, &$crate::engine::config::reader::Fields<'_>) = $check;
                    check(&read, f);)?
                    return Some(read);
                })+
                None
            }

            fn schema(definitions: &mut $crate::engine::config::schema::Definitions) -> serde_json::Value {
                definitions.named(stringify!($name), concat!($($doc, "\n"),*), |definitions| {
                    let mut all = Vec::new();
                    $({
                        let mut object = $crate::engine::config::schema::ObjectSchema::new(
                            concat!($($vdoc, "\n"),*), definitions,
                        );
                        object.constant("type", $word);
                        $($crate::engine::config::options::describe::<$ty, _>(
                            &$kind, stringify!($field), concat!($($fdoc, "\n"),*), &mut object,
                        );)*
                        all.push(object.finish());
                    })+
                    serde_json::json!({ "oneOf": all })
                })
            }
        }
    };
}
pub(super) use variants;
