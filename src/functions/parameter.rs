//! The parameters of operations, each stated once: its name, what it means, what it may be and what it is when it is left
//! out. The same statement reads it and describes it.

use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

use super::reply::{Code, Refusal, Reply};
use super::schema::{Schemas, Shape};
use crate::clock::Timestamp;
use crate::engine::config::{Fault, parse_date};

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the question mark.
    Query,
    Path,
    Header,
}

/// A parameter of an operation.
pub(super) trait Parameter: Sync {
    fn name(&self) -> &'static str;

    /// What it means.
    fn description(&self) -> &'static str;

    /// What it may be.
    fn schema(&self, schemas: &mut Schemas) -> Value;

    /// Where it stands.
    fn place(&self) -> Place {
        Place::Query
    }
}

/// A part of the path.
pub(super) struct PathPart {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) shape: Shape,
}

/// A header that is read.
pub(super) struct Header {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    /// Characters that it may have.
    pub(super) length: Option<RangeInclusive<usize>>,
}

pub(super) struct Whole {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) default: usize,
    pub(super) allowed: RangeInclusive<usize>,
}

/// A day, `YYYY-MM-DD`.
pub(super) struct Day {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
}

/// A moment, RFC 3339.
pub(super) struct Moment {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
}

/// A text; an empty one counts as none.
pub(super) struct Text {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
}

/// Texts: the parameter may stand several times, or once with commas.
pub(super) struct Texts {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    /// What each may be.
    pub(super) item: Shape,
}

/// `true` or `false`; without it, `false`.
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
}

/// One of a few words; without it, the first.
pub(super) struct Choice {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) words: &'static [&'static str],
}

/// The name and the description, which all have.
macro_rules! named {
    () => {
        fn name(&self) -> &'static str {
            self.name
        }

        fn description(&self) -> &'static str {
            self.description
        }
    };
}

impl Parameter for PathPart {
    named!();

    fn schema(&self, schemas: &mut Schemas) -> Value {
        schemas.reference(&self.shape)
    }

    fn place(&self) -> Place {
        Place::Path
    }
}

impl Parameter for Header {
    named!();

    fn schema(&self, _: &mut Schemas) -> Value {
        match &self.length {
            Some(length) => {
                json!({ "type": "string", "minLength": length.start(), "maxLength": length.end() })
            }
            None => json!({ "type": "string" }),
        }
    }

    fn place(&self) -> Place {
        Place::Header
    }
}

impl Parameter for Whole {
    named!();

    fn schema(&self, _: &mut Schemas) -> Value {
        let (least, most) = (self.allowed.start(), self.allowed.end());
        json!({ "type": "integer", "minimum": least, "maximum": most, "default": self.default })
    }
}

impl Parameter for Day {
    named!();

    fn schema(&self, _: &mut Schemas) -> Value {
        json!({ "type": "string", "format": "date" })
    }
}

impl Parameter for Moment {
    named!();

    fn schema(&self, _: &mut Schemas) -> Value {
        json!({ "type": "string", "format": "date-time" })
    }
}

impl Parameter for Text {
    named!();

    fn schema(&self, _: &mut Schemas) -> Value {
        json!({ "type": "string" })
    }
}

impl Parameter for Texts {
    named!();

    fn schema(&self, schemas: &mut Schemas) -> Value {
        json!({ "type": "array", "items": schemas.reference(&self.item) })
    }
}

impl Parameter for Flag {
    named!();

    fn schema(&self, _: &mut Schemas) -> Value {
        json!({ "type": "boolean", "default": false })
    }
}

impl Parameter for Choice {
    named!();

    fn schema(&self, _: &mut Schemas) -> Value {
        json!({ "type": "string", "enum": self.words, "default": self.words.first() })
    }
}

/// The query of a call, read parameter by parameter; what is wrong with it is kept until all were read.
pub(super) struct Query<'a> {
    pairs: &'a [(String, String)],
    faults: Vec<Fault>,
}

impl<'a> Query<'a> {
    /// The query of an operation that has these parameters: others are faults.
    pub(super) fn new(pairs: &'a [(String, String)], parameters: &[&'static dyn Parameter]) -> Self {
        let known: Vec<&str> = parameters
            .iter()
            .filter(|parameter| parameter.place() == Place::Query)
            .map(|parameter| parameter.name())
            .collect();
        let mut query = Self { pairs, faults: Vec::new() };
        for (name, value) in pairs {
            // `code` is the host's key, which it leaves in the query.
            if name == "code" {
                continue;
            }
            if value.contains('\0') {
                query.fault(name, "holds a NUL character");
            }
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                query.fault(name, format!("is not a parameter here; there are {known}"));
            }
        }
        query
    }

    /// Says what is wrong with a parameter.
    pub(super) fn fault(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push(Fault { path: name.to_owned(), message: message.into() });
    }

    /// What was wrong with it.
    pub(super) fn faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Refuses the call if anything was wrong.
    pub(super) fn check(self) -> Result<(), Refusal> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Reply::faults(Code::InvalidParameter, &self.faults).into())
    }

    /// The value of a parameter that may stand there once.
    fn once(&mut self, name: &str) -> Option<&'a str> {
        let mut values =
            self.pairs.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() {
            self.fault(name, "stands there several times");
        }
        value
    }
}

impl Whole {
    /// The number, or the default.
    pub(super) fn read(&self, query: &mut Query<'_>) -> usize {
        let Some(text) = query.once(self.name) else { return self.default };
        // A sign or a blank would be read too.
        let number = text
            .parse()
            .ok()
            .filter(|number| text.starts_with(|c: char| c.is_ascii_digit()) && self.allowed.contains(number));
        number.unwrap_or_else(|| {
            let (least, most) = (self.allowed.start(), self.allowed.end());
            query.fault(self.name, format!("must be a whole number from {least} to {most}, not '{text}'"));
            self.default
        })
    }
}

impl Day {
    /// The day, if there is one.
    pub(super) fn read(&self, query: &mut Query<'_>) -> Option<NaiveDate> {
        let text = query.once(self.name)?;
        let date = parse_date(text);
        if date.is_none() {
            query.fault(self.name, format!("must be a day like 2026-01-31, not '{text}'"));
        }
        date
    }
}

impl Moment {
    /// The moment, if there is one.
    pub(super) fn read(&self, query: &mut Query<'_>) -> Option<Timestamp> {
        let text = query.once(self.name)?;
        let time = read_moment(text);
        if time.is_none() {
            query.fault(self.name, format!("must be a time like 2026-01-31T00:00:00Z, not '{text}'"));
        }
        time
    }
}

/// A time as RFC 3339 writes it, also with a blank between day and time, as Python's `str` of one has it, and with a blank
/// instead of the `+` of an offset, as one arrives that was not escaped.
fn read_moment(text: &str) -> Option<Timestamp> {
    let parsed = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc));
    let (day, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(['T', 't', ' '])?;
    parsed(&format!("{day}T{}", time.replace(' ', "+")))
}

impl Text {
    /// The text, if there is one that is not empty.
    pub(super) fn read<'a>(&self, query: &mut Query<'a>) -> Option<&'a str> {
        query.once(self.name).filter(|text| !text.is_empty())
    }

    /// The text, also an empty one.
    pub(super) fn read_as_sent<'a>(&self, query: &mut Query<'a>) -> Option<&'a str> {
        query.once(self.name)
    }
}

impl Texts {
    /// All of them.
    pub(super) fn read<'a>(&self, query: &Query<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
        let name = self.name;
        let named = query.pairs.iter().filter(move |(found, _)| found == name);
        named.flat_map(|(_, value)| value.split(',')).map(str::trim)
    }
}

impl Flag {
    /// Whether it is set.
    pub(super) fn read(&self, query: &mut Query<'_>) -> bool {
        let text = query.once(self.name);
        if text.is_some_and(|text| !matches!(text, "true" | "false")) {
            query.fault(self.name, "must be true or false");
        }
        text == Some("true")
    }
}

impl Choice {
    /// The word, or the first of them.
    pub(super) fn read(&self, query: &mut Query<'_>) -> &'static str {
        let first = self.words.first().copied().unwrap_or_default();
        let Some(text) = query.once(self.name) else { return first };
        match self.words.iter().find(|word| **word == text) {
            Some(word) => word,
            None => {
                query.fault(self.name, format!("must be one of {}, not '{text}'", self.words.join(", ")));
                first
            }
        }
    }
}
