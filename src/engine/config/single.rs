//! A strategy that decides alone: a class, or a pipeline of stages. Also how a config says which of them it is, which is
//! the same wherever a strategy may stand.

use serde::Serialize;
use serde_json::{Value, json};

use super::classes::ClassConfig;
use super::needs::Needs;
use super::options::{Kind as _, Scalar as _, Section, class_of, text};
use super::pipeline::PipelineConfig;
use super::reader::Fields;
use super::schema::{Definitions, ObjectSchema};
use super::sizing::SizingConfig;

/// A strategy that decides alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum SingleConfig {
    /// A strategy chosen by class.
    Class(ClassConfig),
    /// A pipeline put together from stages.
    Configured(Box<PipelineConfig>),
}

/// The classes under which the reference implementation writes pipelines and composites, and what they say beside `type`.
pub(super) const CONFIGURED: [&str; 2] = ["ConfiguredStrategy", "configured"];
pub(super) const COMPOSITE: [&str; 2] = ["CompositeStrategy", "composite"];

/// What a config says that a strategy is.
#[derive(Debug)]
pub(super) enum Form {
    /// One of the classes, if it names one.
    Class(Option<String>),
    /// A pipeline with its stages.
    Configured(Options),
    /// A composite with its legs.
    Composite(Options),
    /// Nothing known; the fault is told.
    Unknown,
}

/// Where the options of a pipeline or composite stand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Options {
    /// Beside its `type`, below `parameters`, or some here and some there.
    BesideType,
    /// All below `parameters`, since its class alone says what it is.
    BelowParameters,
}

impl Form {
    /// A pipeline or composite is told by its `type`, or by its class alone.
    pub(super) fn of(f: &Fields<'_>) -> Self {
        let (kind, class) = (text().off().read(f, "type"), class_of(f));
        let (form, classes) = match kind.as_deref() {
            None => {
                return match class.as_deref() {
                    Some(class) if class == CONFIGURED[0] => Self::Configured(Options::BelowParameters),
                    Some(class) if class == COMPOSITE[0] => Self::Composite(Options::BelowParameters),
                    _ => Self::Class(class),
                };
            }
            Some("configured") => (Self::Configured(Options::BesideType), CONFIGURED),
            Some("composite") => (Self::Composite(Options::BesideType), COMPOSITE),
            Some(other) => {
                f.fault("type", format!("must be one of configured, composite, got {other:?}"));
                f.abandon();
                return Self::Unknown;
            }
        };
        if let Some(class) = class.filter(|class| !classes.contains(&class.as_str())) {
            f.fault("class", format!("must be {} beside this type, got {class:?}", classes[0]));
        }
        form
    }
}

impl Options {
    /// Reads the options of a pipeline or composite; `class` is the one that may say so alone.
    pub(super) fn read<T: Section>(self, f: Fields<'_>, class: &str) -> T {
        match self {
            Self::BesideType => T::read(&f.and_below("parameters")),
            Self::BelowParameters => {
                refuse_beside::<T>(&f, class);
                T::read(&f.section_or_list("parameters"))
            }
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
pub(super) fn form_of<T: Section>(definitions: &mut Definitions, kind: &str, classes: [&str; 2]) -> Value {
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

impl SingleConfig {
    /// Reads what stands where no composite may.
    pub(super) fn read(f: Fields<'_>) -> Self {
        Self::of(Form::of(&f), f)
    }

    /// Reads a strategy of a form.
    pub(super) fn of(form: Form, f: Fields<'_>) -> Self {
        match form {
            Form::Class(class) => Self::Class(ClassConfig::read(&f, class)),
            Form::Configured(options) => Self::Configured(Box::new(options.read(f, CONFIGURED[0]))),
            Form::Composite(options) => {
                let key = if options == Options::BesideType { "type" } else { "class" };
                f.fault(key, "a composite cannot be a leg of a composite");
                f.abandon();
                Self::default()
            }
            Form::Unknown => Self::default(),
        }
    }

    /// The schema of each form that it has.
    pub(super) fn forms(definitions: &mut Definitions) -> Vec<Value> {
        vec![
            ClassConfig::schema(definitions),
            form_of::<PipelineConfig>(definitions, "configured", CONFIGURED),
        ]
    }

    pub(super) fn schema(definitions: &mut Definitions) -> Value {
        let doc = "Who decides: a class, or a pipeline of stages.";
        definitions.named("LegStrategy", doc, |definitions| json!({ "anyOf": Self::forms(definitions) }))
    }

    /// Symbols that must be in the universe, with the path below `strategy` where they are named.
    pub(super) fn named_symbols(&self) -> Vec<(String, &str)> {
        match self {
            Self::Class(class) => {
                let named = class.declared().named_symbols().into_iter();
                named.map(|(path, symbol)| (format!("parameters.{path}"), symbol)).collect()
            }
            Self::Configured(_) => Vec::new(),
        }
    }

    pub(super) fn needs(&self, needs: &mut Needs) {
        match self {
            Self::Class(class) => class.declared().needs(needs),
            Self::Configured(pipeline) => pipeline.needs(needs),
        }
    }

    /// `sizing` is the sizer of its scores.
    pub(super) fn without_effect(&self, path: &str, sizing: &SizingConfig, found: &mut Vec<String>) {
        match self {
            Self::Class(class) => class.declared().without_effect(path, found),
            Self::Configured(pipeline) => pipeline.without_effect(path, found),
        }
        if let (Some(wanted), Some((class, most))) = (self.positions(), sizing.max_positions())
            && wanted > most as usize
        {
            found.push(format!("{path}: of {wanted} names {class} holds {most}, its max_positions"));
        }
        if self.scales_holdings() && !sizing.heeds_scales() {
            found.push(format!(
                "{path}: cuts and decays have no effect, since only LongShortScoreSizer heeds scales"
            ));
        }
    }

    pub(super) fn undecided_on_last_day(&self, path: &str, found: &mut Vec<String>) {
        if let Self::Configured(pipeline) = self {
            pipeline.rebalance.undecided_on_last_day(path, found);
        }
    }

    /// Names that it wants at once, if the config says how many.
    fn positions(&self) -> Option<usize> {
        match self {
            Self::Class(class) => class.declared().positions(),
            Self::Configured(pipeline) => pipeline.selection.positions(),
        }
    }

    /// Whether it ever asks for less than the whole size of a holding.
    fn scales_holdings(&self) -> bool {
        match self {
            Self::Class(class) => class.declared().scales_holdings(),
            Self::Configured(pipeline) => pipeline.scales_holdings(),
        }
    }
}

impl Default for SingleConfig {
    fn default() -> Self {
        Self::Class(ClassConfig::default())
    }
}
