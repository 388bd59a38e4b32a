//! Who decides: a class, a pipeline of stages, or a composite of several.

use serde::Serialize;
use serde_json::{Value, json};

use super::classes::ClassConfig;
use super::composite::CompositeConfig;
use super::needs::Needs;
use super::options::{Kind as _, Scalar as _, Section, class_of, text};
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

/// Where a strategy stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// Below `strategy` of the config.
    Top,
    /// In a leg of a composite, where there are no composites.
    Leg,
}

/// The classes under which the reference implementation writes pipelines and composites, and what they say beside `type`.
const CONFIGURED: [&str; 2] = ["ConfiguredStrategy", "configured"];
const COMPOSITE: [&str; 2] = ["CompositeStrategy", "composite"];

impl StrategyConfig {
    /// A pipeline or composite is told by its `type`, with its stages beside it, below `parameters`, or some here and some
    /// there; or by its class alone, with all below `parameters`.
    pub(super) fn read(f: Fields<'_>, place: Place) -> Self {
        let (kind, class) = (text().off().read(&f, "type"), class_of(&f));
        let classes = match kind.as_deref() {
            None => {
                return match class.as_deref() {
                    Some(class) if class == CONFIGURED[0] => {
                        refuse_beside::<PipelineConfig>(&f, class);
                        Self::Configured(Box::new(PipelineConfig::read(&f.section_or_list("parameters"))))
                    }
                    Some(class) if class == COMPOSITE[0] && place == Place::Top => {
                        refuse_beside::<CompositeConfig>(&f, class);
                        Self::Composite(CompositeConfig::read(&f.section_or_list("parameters")))
                    }
                    Some(class) if class == COMPOSITE[0] => Self::nested(&f, "class"),
                    _ => Self::Class(ClassConfig::read(&f, class)),
                };
            }
            Some("configured") => CONFIGURED,
            Some("composite") if place == Place::Top => COMPOSITE,
            Some("composite") => return Self::nested(&f, "type"),
            Some(other) => {
                f.fault("type", format!("must be one of configured, composite, got {other:?}"));
                f.abandon();
                return Self::default();
            }
        };
        if let Some(class) = class.filter(|class| !classes.contains(&class.as_str())) {
            f.fault("class", format!("must be {} beside this type, got {class:?}", classes[0]));
        }
        let f = f.and_below("parameters");
        match classes {
            CONFIGURED => Self::Configured(Box::new(PipelineConfig::read(&f))),
            _ => Self::Composite(CompositeConfig::read(&f)),
        }
    }

    fn nested(f: &Fields<'_>, key: &str) -> Self {
        f.fault(key, "a composite cannot be a leg of a composite");
        f.abandon();
        Self::default()
    }

    pub(super) fn schema(definitions: &mut Definitions, place: Place) -> Value {
        let (name, doc) = match place {
            Place::Top => ("StrategyConfig", "Who decides: a class, a pipeline of stages, or a composite."),
            Place::Leg => ("LegStrategy", "Who decides: a class, or a pipeline of stages."),
        };
        definitions.named(name, doc, |definitions| {
            let mut forms = vec![ClassConfig::schema(definitions)];
            forms.push(form_of::<PipelineConfig>(definitions, "configured", CONFIGURED));
            if place == Place::Top {
                forms.push(form_of::<CompositeConfig>(definitions, "composite", COMPOSITE));
            }
            json!({ "anyOf": forms })
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

/// Where a class says what a strategy is, its options stand below `parameters`; beside it they would not be read.
fn refuse_beside<T: Section>(f: &Fields<'_>, class: &str) {
    let mut definitions = Definitions::default();
    let mut object = ObjectSchema::new("", &mut definitions);
    T::describe(&mut object);
    for key in object.keys() {
        if f.mentions(key) {
            f.fault(key, format!("goes below parameters with class: {class}"));
        }
    }
    f.know(object.keys());
}

/// A strategy of a type, with its options beside it or below `parameters`.
fn form_of<T: Section>(definitions: &mut Definitions, kind: &str, classes: [&str; 2]) -> Value {
    let below = definitions.part_of::<T>(T::NAME);
    let mut object = ObjectSchema::new(T::DOC, definitions);
    object.property("type", "What it is.", json!({ "const": kind }));
    object.property("class", "Older spelling of `type`.", json!({ "enum": classes }));
    object.property("module", "No effect.", json!({}));
    T::describe(&mut object);
    object.property("parameters", "Options that do not stand beside; as archived configs have them.", below);
    let mut form = object.finish();
    // What is required may stand here or there.
    form["anyOf"] = json!([{ "required": form["required"] }, { "required": ["parameters"] }]);
    form["required"] = json!([]);
    form["oneOf"] = json!([{ "required": ["type"] }, { "required": ["class", "parameters"], "not": { "required": ["type"] } }]);
    form
}

impl Default for StrategyConfig {
    fn default() -> Self {
        Self::Class(ClassConfig::default())
    }
}
