//! Who decides: a strategy alone, or a composite of several.

use serde::Serialize;
use serde_json::{Value, json};

use super::composite::CompositeConfig;
use super::needs::Needs;
use super::reader::Fields;
use super::schema::Definitions;
use super::single::{COMPOSITE, Form, SingleConfig, form_of};
use super::sizing::SizingConfig;

/// The strategy of a backtest.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StrategyConfig {
    /// One strategy for the whole account.
    Single(SingleConfig),
    /// Several strategies, each with its own money.
    Composite(CompositeConfig),
}

impl StrategyConfig {
    pub(super) fn read(f: Fields<'_>) -> Self {
        match Form::of(&f) {
            Form::Composite(options) => Self::Composite(options.read(f, COMPOSITE[0])),
            form => Self::Single(SingleConfig::of(form, f)),
        }
    }

    pub(super) fn schema(definitions: &mut Definitions) -> Value {
        let doc = "Who decides: a class, a pipeline of stages, or a composite.";
        definitions.named("StrategyConfig", doc, |definitions| {
            let mut forms = SingleConfig::forms(definitions);
            forms.push(form_of::<CompositeConfig>(definitions, "composite", COMPOSITE));
            json!({ "anyOf": forms })
        })
    }

    /// Symbols that must be in the universe, with the path below `strategy` where they are named.
    pub(super) fn named_symbols(&self) -> Vec<(String, &str)> {
        match self {
            Self::Single(strategy) => strategy.named_symbols(),
            Self::Composite(composite) => composite.named_symbols(),
        }
    }

    pub(super) fn needs(&self, needs: &mut Needs) {
        match self {
            Self::Single(strategy) => strategy.needs(needs),
            Self::Composite(composite) => composite.needs(needs),
        }
    }

    /// `sizing` is the sizer of its scores.
    pub(super) fn without_effect(&self, path: &str, sizing: &SizingConfig, found: &mut Vec<String>) {
        match self {
            Self::Single(strategy) => strategy.without_effect(path, sizing, found),
            Self::Composite(composite) => composite.without_effect(path, sizing, found),
        }
    }

    /// What the last day of a run cannot decide, since it hangs on the date of the next bar.
    pub(super) fn undecided_on_last_day(&self, path: &str, found: &mut Vec<String>) {
        match self {
            Self::Single(strategy) => strategy.undecided_on_last_day(path, found),
            Self::Composite(composite) => composite.undecided_on_last_day(path, found),
        }
    }
}

impl Default for StrategyConfig {
    fn default() -> Self {
        Self::Single(SingleConfig::default())
    }
}
