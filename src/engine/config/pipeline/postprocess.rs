//! What happens to the scores of a configured strategy at last.

use crate::engine::config::options::{
    Bounds, Scalar as _, choices, count_or_less, flag, number, options, variants, word, words,
};
use crate::engine::config::reader::Fields;

options! {
    /// What happens to scores at last.
    Postprocess {
        /// The steps, in this order.
        steps: Vec<Step> = choices(),
    }
}

variants! {
    /// A step of [`Postprocess`].
    Step {
        /// Cuts scores off.
        Clamp = "clamp" {
            /// The least. `None`: any.
            min: Option<f64> = number(Bounds::ANY).off(),
            /// The largest. `None`: any.
            max: Option<f64> = number(Bounds::ANY).off(),
        }
        checked by Self::check_range,
        /// Rescales scores.
        Normalize = "normalize" {
            /// How the scores of a day are brought to one scale.
            method: StepNormalize = word().or(StepNormalize::Zscore),
        },
        /// Mixes scores with those of the last decision.
        StickyScores = "sticky_scores" {
            /// Whether it is done.
            enabled: bool = flag().or(true),
            /// Share of the last score.
            alpha: f64 = number(Bounds::between(0.0, 1.0)).or(0.7),
        },
        /// Asks for a number of selected names, before anything else is done; of several such steps the first counts.
        EnforceMinCandidates = "enforce_min_candidates" {
            /// The least number; 0: off.
            min_total: u32 = count_or_less(0).required(),
            /// What happens below it.
            action: TooFew = word().or(TooFew::SkipRebalance),
        },
    }
}

words! {
    /// How [`Step::Normalize`] rescales.
    StepNormalize {
        /// Distance from the mean in population standard deviations.
        Zscore = "zscore",
        /// From 0 for the lowest to 1 for the highest.
        Minmax = "minmax",
        /// Ranks from -1 to 1.
        RankPercentile = "rank_percentile",
    }
}

words! {
    /// What happens when too few are selected.
    TooFew {
        /// The rebalance is put off to the next bar.
        SkipRebalance = "skip_rebalance",
        /// The run fails.
        Error = "error",
    }
}

impl Postprocess {
    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        let mut asks = false;
        for (i, step) in self.steps.iter().enumerate() {
            let because = match step {
                Step::Clamp { min: None, max: None } => "it has neither min nor max",
                Step::StickyScores { enabled: false, .. } => "it is not enabled",
                Step::StickyScores { alpha: 0.0, .. } => "its alpha is 0",
                Step::EnforceMinCandidates { .. } if asks => "the first step of its kind counts",
                Step::EnforceMinCandidates { min_total: 0, .. } => {
                    asks = true;
                    "its min_total is 0"
                }
                Step::EnforceMinCandidates { .. } => {
                    asks = true;
                    continue;
                }
                Step::Clamp { .. } | Step::Normalize { .. } | Step::StickyScores { .. } => continue,
            };
            found.push(format!("{path}.postprocess.steps[{i}] has no effect: {because}"));
        }
    }
}

impl Step {
    fn check_range(&self, f: &Fields<'_>) {
        if let Self::Clamp { min: Some(min), max: Some(max) } = self
            && min > max
        {
            f.fault("min", format!("must be at most max ({max}), got {min}"));
        }
    }
}
