//! What checks find, and how they say it.

use serde::Serialize;
use serde_json::{Map, Value};

/// What a check found, from nothing to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing that an honest result would not show.
    Clean,
    /// The check could not look, or what it saw proves nothing.
    NotProvable,
    /// More than an honest result shows, and yet no proof.
    Suspicious,
    /// It knows what had not happened yet.
    Leaking,
}

impl Verdict {
    /// The word as it is written and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::NotProvable => "not_provable",
            Self::Suspicious => "suspicious",
            Self::Leaking => "leaking",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// Which check.
    pub id: &'static str,
    /// What it found.
    pub verdict: Verdict,
    /// The same in a sentence.
    pub what: String,
    /// The numbers behind it.
    pub figures: Value,
    /// The first of what it found, where there is one.
    pub first_example: Option<String>,
}

impl Check {
    pub(super) fn new(id: &'static str, verdict: Verdict, what: impl Into<String>, figures: Value) -> Self {
        Self { id, verdict, what: what.into(), figures, first_example: None }
    }

    pub(super) fn with_example(self, example: Option<String>) -> Self {
        Self { first_example: example, ..self }
    }
}

/// What all checks found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// The worst of the checks.
    pub verdict: Verdict,
    /// Every check, in the order in which they were made.
    pub checks: Vec<Check>,
    /// What each took, in milliseconds.
    pub costs_ms: Map<String, Value>,
}

impl Audit {
    /// Whether it needs a look.
    pub fn has_findings(&self) -> bool {
        self.verdict >= Verdict::Suspicious
    }
}
