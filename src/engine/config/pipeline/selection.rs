//! Who is selected by a configured strategy.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::engine::config::options::{
    Bounds, Kind, Scalar as _, count, flag, kinds, number, number_or_less, options, tag, word, words,
};
use crate::engine::config::reader::Fields;
use crate::engine::config::schema::{ObjectSchema, by_type};

kinds! {
    /// Which symbols are selected, by their scores.
    Selection {
        /// The best.
        TopN(TopNSelection) = "topn",
        /// The best and the worst.
        LongShortTopN(LongShortSelection) = "long_short_topn",
        /// Everyone beyond a score.
        Threshold(ThresholdSelection) = "threshold",
        /// Everyone beyond a quantile of the scores.
        Quantiles(QuantileSelection) = "quantiles",
    }
}

options! {
    /// Options of the selection `topn`.
    TopNSelection {
        /// Names selected.
        n: u32 = count(0).required(),
        /// Which side they go.
        side: Side = word().or(Side::Long),
        /// Least score, of shorts its negative the largest. `None`: any; for shorts also below 0.
        min_score: Option<f64> = number(Bounds::ANY).or_off(0.0),
        /// Whether the highest score is the best.
        higher_is_better: bool = flag().or(true),
    }
}

words! {
    /// A side of the market.
    Side {
        /// Gains when prices rise.
        Long = "long",
        /// Gains when prices fall.
        Short = "short",
    }
}

options! {
    /// Options of the selection `long_short_topn`.
    LongShortSelection {
        /// Names on the long side.
        long_n: u32 = count(0).or(0_u32),
        /// Names on the short side.
        short_n: u32 = count(0).or(0_u32),
        /// Scores below this magnitude are left out.
        min_abs_score: f64 = number_or_less().or(0.0),
        /// No effect: ranks are the same either way.
        score_abs: bool = flag().or(true),
        /// Whether shorts are selected.
        allow_short: bool = flag().or(true),
        /// Whether high scores go long.
        long_if_high: bool = flag().or(true),
    }
}

options! {
    /// Options of the selection `threshold`.
    ThresholdSelection {
        /// Long at or above. `None`: no longs.
        long_if_gte: Option<f64> = number(Bounds::ANY).off(),
        /// Short at or below. `None`: no shorts.
        short_if_lte: Option<f64> = number(Bounds::ANY).off(),
        /// Whether shorts are selected.
        allow_short: bool = flag().or(true),
    }
}

options! {
    /// Options of the selection `quantiles`.
    QuantileSelection {
        /// Long at or above this quantile.
        long_q: f64 = number(Bounds::between(0.0, 1.0)).or(0.8),
        /// Short at or below this quantile.
        short_q: f64 = number(Bounds::between(0.0, 1.0)).or(0.2),
        /// Whether shorts are selected.
        allow_short: bool = flag().or(true),
    }
}

/// The stage, which must be there.
pub(super) struct SelectionStage;

impl Kind for SelectionStage {
    type Value = Selection;

    /// A fault reads as a selection of no symbol.
    fn read(&self, f: &Fields<'_>, key: &'static str) -> Selection {
        let f = f.section(key);
        let none = ThresholdSelection { long_if_gte: None, short_if_lte: None, allow_short: false };
        let Some(kind) = tag(&f, "type", Selection::WORDS, None) else { return Selection::Threshold(none) };
        let options = f.section(kind);
        let selection = Selection::read_kind(kind, &options).unwrap_or(Selection::Threshold(none));
        if let Selection::Threshold(_) = selection
            && options.lacks("long_if_gte")
            && options.lacks("short_if_lte")
        {
            f.fault("threshold", "needs long_if_gte or short_if_lte");
        }
        selection
    }

    fn describe(&self, key: &'static str, doc: &str, object: &mut ObjectSchema<'_>) {
        let schema = object.definitions.named("Selection", "Who is selected.", |definitions| {
            let types = Selection::describe_kinds(definitions);
            by_type(definitions, types)
        });
        object.property(key, doc, schema);
        object.require(key);
    }
}

impl Selection {
    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        match self {
            Self::LongShortTopN(selection) => {
                if selection.long_n == 0 && selection.short_n == 0 {
                    found.push(format!(
                        "{path}.selection: long_n and short_n are 0, so that nothing is ever selected"
                    ));
                }
                if !selection.score_abs {
                    found.push(format!("{path}.selection.long_short_topn.score_abs has no effect"));
                }
                if selection.short_n > 0 && !selection.allow_short {
                    found.push(format!(
                        "{path}.selection.long_short_topn.short_n has no effect without allow_short"
                    ));
                }
            }
            Self::TopN(selection) => {
                if selection.n == 0 {
                    found.push(format!("{path}.selection.topn.n is 0, so that nothing is ever selected"));
                }
                if selection.side == Side::Short && selection.min_score.is_some_and(|least| least < 0.0) {
                    found.push(format!(
                        "{path}.selection.topn.min_score has no effect: a short below 0 is not a threshold"
                    ));
                }
            }
            Self::Threshold(selection) => {
                if selection.short_if_lte.is_some() && !selection.allow_short {
                    found.push(format!(
                        "{path}.selection.threshold.short_if_lte has no effect without allow_short"
                    ));
                }
            }
            Self::Quantiles(selection) => {
                if selection.short_q > selection.long_q && selection.allow_short {
                    found.push(format!(
                        "{path}.selection.quantiles: short_q is above long_q; what lies between goes long"
                    ));
                }
            }
        }
    }

    /// Names that are selected at most on one side, if the config says how many.
    pub(in crate::engine::config) fn positions(&self) -> Option<usize> {
        match self {
            Self::TopN(selection) => Some(selection.n as usize),
            Self::LongShortTopN(_) | Self::Threshold(_) | Self::Quantiles(_) => None,
        }
    }
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", self.as_str())?;
        self.write_options(&mut map, self.as_str())?;
        map.end()
    }
}
