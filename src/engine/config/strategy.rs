//! Who decides: a class, a pipeline of stages, or a composite of several.

use serde::Serialize;
use serde_json::{Value, json};

use super::classes::ClassConfig;
use super::composite::CompositeConfig;
use super::needs::Needs;
use super::options::{Kind as _, Scalar as _, Section as _, text};
use super::pipeline::PipelineConfig;
use super::reader::Fields;
use super::schema::{Definitions, ObjectSchema};
use super::sizing::SizingConfig;

/// The strategy of a backtest.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StrategyConfig {
    /// A strategy chosen by class.
    Class(ClassConfig),
    /// A pipeline put together from stages.
    Configured(Box<PipelineConfig>),
    /// Several strategies, each with its own money.
    Composite(CompositeConfig),
}

impl StrategyConfig {
    pub(super) fn read(f: &Fields<'_>) -> Self {
        match text().off().read(f, "type").as_deref() {
            None => Self::Class(ClassConfig::read(f)),
            Some("configured") => Self::Configured(Box::new(PipelineConfig::read(f))),
            Some("composite") => Self::Composite(CompositeConfig::read(f)),
            Some(other) => Self::unknown(f, other),
        }
    }

    /// A leg of a composite may be anything but a composite.
    pub(super) fn read_leg(f: &Fields<'_>) -> Self {
        match text().off().read(f, "type").as_deref() {
            Some("composite") => {
                f.fault("type", "a composite cannot be a leg of a composite");
                f.value("legs");
                f.value("blend");
                Self::default()
            }
            _ => Self::read(f),
        }
    }

    fn unknown(f: &Fields<'_>, kind: &str) -> Self {
        f.fault("type", format!("must be one of configured, composite, got {kind:?}"));
        Self::default()
    }

    pub(super) fn schema(definitions: &mut Definitions) -> Value {
        definitions.named("StrategyConfig", "Who decides.", |definitions| {
            let mut composite = ObjectSchema::new(CompositeConfig::DOC, definitions);
            composite.constant("type", "composite");
            CompositeConfig::describe(&mut composite);
            let composite = composite.finish();
            json!({ "anyOf": [Self::leg_schema(definitions), composite] })
        })
    }

    pub(super) fn leg_schema(definitions: &mut Definitions) -> Value {
        definitions.named("LegStrategy", "Who decides: a class, or a pipeline.", |definitions| {
            let mut pipeline = ObjectSchema::new(PipelineConfig::DOC, definitions);
            pipeline.constant("type", "configured");
            PipelineConfig::describe(&mut pipeline);
            let pipeline = pipeline.finish();
            json!({ "anyOf": [ClassConfig::schema(definitions), pipeline] })
        })
    }

    /// Symbols that must be in the universe, with the path below `strategy` where they are named.
    pub(super) fn named_symbols(&self) -> Vec<(String, &str)> {
        match self {
            Self::Class(class) => {
                let named = class.declared().named_symbols().into_iter();
                named.map(|(path, symbol)| (format!("parameters.{path}"), symbol)).collect()
            }
            Self::Configured(_) => Vec::new(),
            Self::Composite(composite) => composite.named_symbols(),
        }
    }

    pub(super) fn needs(&self, needs: &mut Needs) {
        match self {
            Self::Class(class) => class.declared().needs(needs),
            Self::Configured(pipeline) => pipeline.needs(needs),
            Self::Composite(composite) => composite.needs(needs),
        }
    }

    /// `sizing` is the sizer of its scores.
    pub(super) fn without_effect(&self, path: &str, sizing: &SizingConfig, found: &mut Vec<String>) {
        match self {
            Self::Class(class) => class.declared().without_effect(path, found),
            Self::Configured(pipeline) => pipeline.without_effect(path, found),
            Self::Composite(composite) => return composite.without_effect(path, sizing, found),
        }
        if let (Some(wanted), SizingConfig::EqualWeightSizer(sizer)) = (self.positions(), sizing)
            && wanted > sizer.max_positions as usize
        {
            found.push(format!(
                "{path}: of {wanted} names EqualWeightSizer holds {}, its max_positions",
                sizer.max_positions
            ));
        }
        if self.scales_holdings() && !sizing.heeds_scales() {
            found.push(format!(
                "{path}: cuts and decays have no effect, since only LongShortScoreSizer heeds scales"
            ));
        }
    }

    /// Names that it wants at once, if the config says how many.
    fn positions(&self) -> Option<usize> {
        match self {
            Self::Class(class) => class.declared().positions(),
            Self::Configured(pipeline) => pipeline.selection.positions(),
            Self::Composite(_) => None,
        }
    }

    /// Whether it ever asks for less than the whole size of a holding.
    fn scales_holdings(&self) -> bool {
        match self {
            Self::Class(class) => class.declared().scales_holdings(),
            Self::Configured(pipeline) => pipeline.scales_holdings(),
            Self::Composite(_) => false,
        }
    }
}

impl Default for StrategyConfig {
    fn default() -> Self {
        Self::Class(ClassConfig::default())
    }
}
