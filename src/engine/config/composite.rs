//! Several strategies, each with its own money, blended by weight.

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::needs::Needs;
use super::options::{
    Bounds, Kind, Scalar as _, Section, flag, number, only, options, or_named, section, sections,
    text_or_number, word, words,
};
use super::reader::Fields;
use super::schema::{ObjectSchema, nullable};
use super::single::SingleConfig;
use super::sizing::SizingConfig;

/// Several strategies, each with its own money, blended by weight.
#[derive(Debug, Clone, PartialEq)]
pub struct CompositeConfig {
    /// How the legs come together.
    pub blend: BlendConfig,
    /// The legs; at least one.
    pub legs: Vec<LegConfig>,
}

options! {
    /// How the legs of a composite come together.
    BlendConfig {
        /// How leg weights become one.
        method: BlendMethod = only(BlendMethod::WeightedSum, "legs are added up by weight"),
        /// What the blended weights are scaled to.
        normalize_final: Normalize = word().or(Normalize::None),
        /// Sum of magnitudes aimed at by `gross`.
        target_gross: f64 = number(Bounds::at_least(0.0)).or(1.0),
        /// Sum of weights aimed at by `net`.
        target_net: f64 = number(Bounds::ANY).or(1.0),
        /// Whether two legs may hold the same symbol.
        allow_overlap: bool = flag().or(true),
    }
}

words! {
    /// How leg weights become one.
    BlendMethod {
        /// The sum of the legs' weights times their share.
        WeightedSum = "weighted_sum",
    }
}

words! {
    /// What weights are scaled to.
    Normalize {
        /// They stay as they are.
        None = "none",
        /// A sum of magnitudes.
        Gross = "gross",
        /// A sum.
        Net = "net",
    }
}

options! {
    /// One leg of a composite.
    LegConfig {
        /// Its name, unique within the composite; by default `leg1`, `leg2` and so on by its place.
        name: String = LegName,
        /// Its share, before all shares are scaled to sum 1.
        weight: f64 = or_named("alpha", number(Bounds::at_least(0.0)).required()),
        /// Its strategy; never a composite.
        strategy: SingleConfig = LegStrategy,
        /// Its sizer. `None`: the one of the config.
        #[serde(skip_serializing_if = "Option::is_none")]
        sizing: Option<SizingConfig> = or_named("sizer", LegSizing),
        /// What its weights are scaled to.
        normalize_leg: Normalize = word().or(Normalize::None),
        /// Sum of magnitudes aimed at by `gross`.
        target_gross: f64 = number(Bounds::at_least(0.0)).or(1.0),
        /// Sum of weights aimed at by `net`.
        target_net: f64 = number(Bounds::ANY).or(1.0),
        /// Whether it takes part. A leg that does not still counts when shares are scaled.
        enabled: bool = flag().or(true),
    }
}

/// Bytes that the name of a leg may have: folders of results are called so.
const LEG_NAME_MAX: usize = 64;

/// Name of the folder of results of a leg of that name.
pub fn folder_of(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// The name of a leg, empty where it has none of its own.
struct LegName;

impl Kind for LegName {
    type Value = String;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> String {
        text_or_number().bytes(LEG_NAME_MAX).off().read(f, key).unwrap_or_default()
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        text_or_number().bytes(LEG_NAME_MAX).off().describe(key, doc, object);
    }
}

/// The strategy of a leg, which must be there.
struct LegStrategy;

impl Kind for LegStrategy {
    type Value = SingleConfig;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> SingleConfig {
        if f.value(key).is_none() {
            f.fault(key, "is required");
            return SingleConfig::default();
        }
        SingleConfig::read(f.section(key))
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let schema = SingleConfig::schema(object.definitions);
        object.property(key, doc, schema);
        object.require(key);
    }
}

/// The sizer of a leg; left out or empty it is that of the config.
struct LegSizing;

impl Kind for LegSizing {
    type Value = Option<SizingConfig>;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> Option<SizingConfig> {
        let given = f.value(key)?;
        if given.as_object().is_some_and(serde_json::Map::is_empty) {
            return None;
        }
        Some(SizingConfig::read(&f.section(key)))
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let schema = nullable(SizingConfig::schema(object.definitions));
        object.property(key, doc, schema);
    }
}

impl Section for CompositeConfig {
    const NAME: &'static str = "CompositeConfig";
    const DOC: &'static str = "Several strategies, each with its own money, blended by weight.";

    fn read(f: &Fields<'_>) -> Self {
        let mut read = Self { blend: section().read(f, "blend"), legs: sections().read(f, "legs") };
        for (leg, place) in read.legs.iter_mut().zip(1..).filter(|(leg, _)| leg.name.is_empty()) {
            leg.name = format!("leg{place}");
        }
        read.check(f);
        read
    }

    fn describe(object: &mut ObjectSchema<'_>) {
        section::<BlendConfig>().describe("blend", "How the legs come together.", object);
        sections::<LegConfig>().describe("legs", "The legs; at least one.", object);
    }
}

impl CompositeConfig {
    fn check(&self, f: &Fields<'_>) {
        let legs = &self.legs;
        for (i, leg) in legs.iter().enumerate() {
            let folder = folder_of(&leg.name);
            let earlier = legs[..i].iter().find(|earlier| folder_of(&earlier.name) == folder);
            if let Some(earlier) = earlier {
                let message = match earlier.name == leg.name {
                    true => format!("{:?} is there twice", leg.name),
                    false => format!("its folder would be {folder:?}, that of {:?}", earlier.name),
                };
                f.fault(&format!("legs[{i}].name"), message);
            }
        }
        if !legs.is_empty() && legs.iter().map(|leg| leg.weight).sum::<f64>() <= 0.0 {
            f.fault("legs", "the weights must sum to more than 0");
        }
        if !legs.is_empty() && legs.iter().all(|leg| !leg.enabled) {
            f.fault("legs", "at least one leg must be enabled");
        }
    }

    pub(super) fn named_symbols(&self) -> Vec<(String, &str)> {
        let legs = self.legs.iter().enumerate();
        let named = legs.flat_map(|(i, leg)| {
            let inner = leg.strategy.named_symbols().into_iter();
            inner.map(move |(path, symbol)| (format!("legs[{i}].strategy.{path}"), symbol))
        });
        named.collect()
    }

    pub(super) fn needs(&self, needs: &mut Needs) {
        for leg in &self.legs {
            leg.strategy.needs(needs);
            if let Some(sizing) = &leg.sizing {
                sizing.needs(needs);
            }
        }
    }

    pub(super) fn without_effect(&self, path: &str, sizing: &SizingConfig, found: &mut Vec<String>) {
        let blend = &self.blend;
        let at = format!("{path}.blend");
        targets(&at, blend.normalize_final, blend.target_gross, blend.target_net, found);
        if self.legs.iter().all(|leg| leg.sizing.is_some()) && *sizing != SizingConfig::default() {
            found.push("sizing has no effect: every leg has its own".to_owned());
        }
        for (i, leg) in self.legs.iter().enumerate().filter(|(_, leg)| leg.enabled) {
            let path = format!("{path}.legs[{i}]");
            targets(&path, leg.normalize_leg, leg.target_gross, leg.target_net, found);
            if let Some(sizing) = &leg.sizing {
                sizing.without_effect(&format!("{path}.sizing"), found);
            }
            let sizing = leg.sizing.as_ref().unwrap_or(sizing);
            leg.strategy.without_effect(&format!("{path}.strategy"), sizing, found);
        }
    }

    pub(super) fn undecided_on_last_day(&self, path: &str, found: &mut Vec<String>) {
        for (i, leg) in self.legs.iter().enumerate().filter(|(_, leg)| leg.enabled) {
            leg.strategy.undecided_on_last_day(&format!("{path}.legs[{i}].strategy"), found);
        }
    }
}

/// A target other than the default counts only if weights are scaled to it.
fn targets(path: &str, normalize: Normalize, gross: f64, net: f64, found: &mut Vec<String>) {
    for (name, target, counts) in
        [("target_gross", gross, Normalize::Gross), ("target_net", net, Normalize::Net)]
    {
        if target != 1.0 && normalize != counts {
            found.push(format!("{path}.{name} has no effect without normalizing to it"));
        }
        if target == 0.0 && normalize == counts {
            found.push(format!("{path}.{name} is 0, so that nothing is held"));
        }
    }
}

impl Serialize for CompositeConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("CompositeConfig", 3)?;
        s.serialize_field("type", "composite")?;
        s.serialize_field("blend", &self.blend)?;
        s.serialize_field("legs", &self.legs)?;
        s.end()
    }
}
