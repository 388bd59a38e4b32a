//! Who stays in a configured strategy although not selected.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

use crate::engine::config::options::{
    Bounds, Kind, OneOf, Scalar as _, count_or_less, flag, kinds, number, number_or_less, options, untold,
    word, words,
};
use crate::engine::config::reader::Fields;
use crate::engine::config::schema::{ObjectSchema, nullable, prose};

/// Who stays although not selected.
#[derive(Debug, Clone, PartialEq)]
pub enum HoldingPolicy {
    /// One policy.
    One(Policy),
    /// One policy after another.
    Hybrid {
        /// The first.
        base: Policy,
        /// Applied to what the first leaves.
        overlay: Policy,
    },
}

kinds! {
    /// A policy of its own.
    Policy {
        /// The selection replaces what is held.
        ReplaceAll(ReplaceAll) = "replace_all",
        /// Held names that still rank near the top stay.
        Sticky(Sticky) = "sticky",
        /// Held names stay for a while.
        GracePeriod(GracePeriod) = "grace_period",
        /// Dropped names shrink over a few bars.
        Decay(Decay) = "decay",
    }
}

options! {
    /// Options of the policy `replace_all`.
    ReplaceAll {
        /// Whether held names leave when they are not selected.
        exit_if_not_selected: bool = flag().or(true),
        /// Whether held names take today's score when nothing is selected anew.
        refresh_held_scores: bool = flag().or(false),
        /// What today's score becomes.
        refresh_mode: RefreshMode = word().or(RefreshMode::AbsSigned),
    }
}

words! {
    /// What a refreshed score becomes.
    RefreshMode {
        /// Its magnitude, with the sign of the side held.
        AbsSigned = "abs_signed",
        /// As it is.
        Raw = "raw",
    }
}

options! {
    /// Options of the policy `sticky`.
    Sticky {
        /// A held name stays while its rank is within this multiple of the number selected on its side.
        keep_if_rank_within_multiple: f64 = number_or_less().or(2.0),
        /// A held name leaves when its score falls below this magnitude.
        keep_min_abs_score: f64 = number_or_less().or(0.0),
        /// Bars during which a name that left is not selected again. `0`: none.
        reentry_cooldown_days: u32 = count_or_less(0).or(0_u32),
    }
}

options! {
    /// Options of the policy `grace_period`.
    GracePeriod {
        /// Bars since entry during which a held name stays.
        min_hold_days: u32 = count_or_less(0).or(3_u32),
        /// Whether only exits end a holding.
        exit_only_on_risk: bool = flag().or(true),
    }
}

options! {
    /// Options of the policy `decay`.
    Decay {
        /// Scale at the end of the decay.
        dropped_scale: f64 = number(Bounds::between(0.0, 1.0)).or(0.5),
        /// Bars until a dropped name leaves; 0: it stays, at `dropped_scale`.
        decay_days: u32 = count_or_less(0).or(5_u32),
    }
}

/// The word for two policies.
const HYBRID: &str = "hybrid";

/// Holdings are kept.
const KEEP: ReplaceAll = ReplaceAll {
    exit_if_not_selected: false,
    refresh_held_scores: false,
    refresh_mode: RefreshMode::AbsSigned,
};

/// The stage. Left out or empty, holdings are kept; given with its type alone, they are replaced.
pub(super) struct HoldingStage;

impl Kind for HoldingStage {
    type Value = HoldingPolicy;

    fn read(&self, f: &Fields<'_>, key: &'static str) -> HoldingPolicy {
        let nothing = |value: &Value| value.as_object().is_some_and(serde_json::Map::is_empty);
        if f.value(key).is_none_or(nothing) {
            return HoldingPolicy::One(Policy::ReplaceAll(KEEP));
        }
        HoldingPolicy::read(&f.section(key))
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let schema = object.definitions.named("HoldingPolicy", doc, |definitions| {
            let policies = Policy::describe_kinds(definitions);
            let parts: Vec<&str> = policies.iter().map(|(word, ..)| *word).collect();
            let hybrid = json!({
                "type": "object",
                "properties": { "base": { "enum": parts }, "overlay": { "enum": parts } },
                "additionalProperties": false,
            });
            // A hybrid takes the options of its parts from the sections beside it.
            let mut both = ObjectSchema::new("One policy after another.", definitions);
            both.constant("type", HYBRID);
            both.property(
                HYBRID,
                "The first policy, and the one applied to what it leaves.",
                nullable(hybrid),
            );
            for (word, meaning, options) in &policies {
                both.property(word, meaning, nullable(options.clone()));
            }
            let both = both.finish();
            let one = policies.into_iter().map(|(word, meaning, options)| {
                json!({
                    "type": "object",
                    "description": prose(meaning),
                    "properties": { "type": { "const": word }, word: nullable(options) },
                    "additionalProperties": false,
                })
            });
            json!({ "anyOf": one.chain([both]).collect::<Vec<_>>() })
        });
        object.property(key, doc, nullable(schema));
    }
}

impl HoldingPolicy {
    fn read(f: &Fields<'_>) -> Self {
        let words = [Policy::WORDS, &[HYBRID]].concat();
        let named = |f: &Fields<'_>, key, default| OneOf(&words).or(default).read(f, key);
        let kind = named(f, "type", "replace_all");
        if let Some(policy) = Policy::read_at(f, kind) {
            return Self::One(policy);
        }
        // The parts of a hybrid are named in its section and take their options from the sections beside it.
        let hybrid = f.section(HYBRID);
        let part = |key: &'static str, default| {
            Policy::read_at(f, named(&hybrid, key, default)).unwrap_or_else(|| {
                hybrid.fault(key, "a hybrid cannot be a part of a hybrid");
                Policy::ReplaceAll(KEEP)
            })
        };
        Self::Hybrid { base: part("base", "replace_all"), overlay: part("overlay", "grace_period") }
    }

    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        let path = format!("{path}.holding_policy");
        match self {
            Self::One(policy) => policy.without_effect(&path, found),
            Self::Hybrid { base, overlay } => {
                for policy in [base, overlay] {
                    policy.without_effect(&path, found);
                    if !policy.is_untold() {
                        let name = policy.as_str();
                        found.push(format!(
                            "{path}.{name} counts in a hybrid; the reference implementation took its defaults"
                        ));
                    }
                }
            }
        }
    }

    pub(super) fn decays(&self) -> bool {
        match self {
            Self::One(policy) => policy.decays(),
            Self::Hybrid { base, overlay } => base.decays() || overlay.decays(),
        }
    }
}

impl Policy {
    /// The policy of that name with the options of its section. `None` if there is none, as for a hybrid.
    fn read_at(f: &Fields<'_>, word: &'static str) -> Option<Self> {
        Self::WORDS.contains(&word).then(|| Self::read_kind(word, &f.section(word))).flatten()
    }

    /// Whether nothing is said of its options.
    fn is_untold(&self) -> bool {
        match self {
            Self::ReplaceAll(options) => *options == untold(),
            Self::Sticky(options) => *options == untold(),
            Self::GracePeriod(options) => *options == untold(),
            Self::Decay(options) => *options == untold(),
        }
    }

    fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        match self {
            Self::ReplaceAll(options) => {
                if options.refresh_mode != RefreshMode::AbsSigned && !options.refresh_held_scores {
                    found.push(format!(
                        "{path}.replace_all.refresh_mode has no effect without refresh_held_scores"
                    ));
                }
            }
            Self::Sticky(options) => {
                if options.keep_if_rank_within_multiple == 0.0 {
                    found.push(format!(
                        "{path}.sticky.keep_if_rank_within_multiple is 0, so that no symbol is kept"
                    ));
                }
            }
            Self::GracePeriod(options) => {
                if options.exit_only_on_risk && options.min_hold_days != untold::<GracePeriod>().min_hold_days
                {
                    found.push(format!(
                        "{path}.grace_period.min_hold_days has no effect beside exit_only_on_risk"
                    ));
                }
            }
            Self::Decay(options) => {
                if options.decay_days == 0 {
                    found.push(format!("{path}.decay.decay_days is 0, so that a dropped name never leaves"));
                }
            }
        }
    }

    fn decays(&self) -> bool {
        match self {
            Self::Decay(_) => true,
            Self::ReplaceAll(_) | Self::Sticky(_) | Self::GracePeriod(_) => false,
        }
    }
}

impl Serialize for HoldingPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::One(policy) => {
                map.serialize_entry("type", policy.as_str())?;
                policy.write_options(&mut map, policy.as_str())?;
            }
            Self::Hybrid { base, overlay } => {
                map.serialize_entry("type", HYBRID)?;
                map.serialize_entry(HYBRID, &json!({ "base": base.as_str(), "overlay": overlay.as_str() }))?;
                base.write_options(&mut map, base.as_str())?;
                if overlay.as_str() != base.as_str() {
                    overlay.write_options(&mut map, overlay.as_str())?;
                }
            }
        }
        map.end()
    }
}
