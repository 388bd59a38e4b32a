//! Parameters of `EpisodicPivotStrategy`.

use super::exits::{ExitConfig, Exits};
use super::rebalance::{Rebalance, Schedule};
use super::{Class, Needs};
use crate::engine::config::options::{Bounds, Scalar as _, flag, number, options, text};

options! {
    /// Parameters of `EpisodicPivotStrategy`.
    EpisodicPivotConfig {
        /// Signal column of scores.
        ep_score_column: String = text().or("ep_score"),
        /// Least score.
        min_ep_score: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Whether scores below `-min_ep_score` are sold short.
        enable_shorts: bool = flag().or(false),
        /// Whether the score may be put together from gap and volume columns if its own column is missing.
        allow_raw_fields: bool = flag().or(true),
        /// When a position is left.
        #[serde(flatten)]
        exits: ExitConfig = Exits { trailing_ma_days: 20 },
        /// When names are added.
        rebalance: Rebalance = Schedule.or(Rebalance::Daily),
    }
}

/// Names under which the opening gap is found in a signal table.
pub(crate) const GAP_COLUMNS: [&str; 4] = ["gap_pct", "gap", "gapPercent", "gap_percent"];
/// Names under which the ratio of volume to its mean is found in a signal table.
pub(crate) const VOLUME_RATIO_COLUMNS: [&str; 3] = ["vol_ratio", "volume_ratio", "volRatio"];
/// Further columns of a raw episodic-pivot score, with their weights.
pub(crate) const RAW_EP_TERMS: [(&str, f64); 3] =
    [("earnings_surprise", 0.1), ("rev_yoy", 0.05), ("eps_yoy", 0.05)];

impl Class for EpisodicPivotConfig {
    fn needs(&self, needs: &mut Needs) {
        needs.signal(&self.ep_score_column);
        if self.allow_raw_fields {
            let terms = RAW_EP_TERMS.iter().map(|(name, _)| name);
            GAP_COLUMNS.iter().chain(&VOLUME_RATIO_COLUMNS).chain(terms).for_each(|name| needs.signal(name));
        }
        self.exits.needs(needs);
    }

    fn named_symbols(&self) -> Vec<(String, &str)> {
        Vec::new()
    }

    fn positions(&self) -> Option<usize> {
        None
    }

    fn scales_holdings(&self) -> bool {
        self.exits.stops.cuts()
    }

    fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        if self.exits.stops.cuts() {
            found.push(format!(
                "{path}.parameters.partial_exit_days counts; the reference implementation ignored it"
            ));
        }
        self.exits.stops.without_effect(path, found);
    }
}
