//! Parameters of `BreakoutStrategy`.

use super::exits::{ExitConfig, Exits};
use super::rebalance::{Rebalance, Schedule};
use super::{Class, Needs};
use crate::engine::config::options::{Bounds, Scalar as _, flag, number, options, text};

options! {
    /// Parameters of `BreakoutStrategy`.
    BreakoutConfig {
        /// Signal column of breakouts.
        breakout_score_column: String = text().or("breakout_score"),
        /// Signal column of breakdowns. `None`: there are none.
        breakdown_score_column: Option<String> = text().or_off(DEFAULT_BREAKDOWN),
        /// Whether the breakdown column is looked at.
        enable_shorts: bool = flag().or(true),
        /// No effect: a negative breakout score is sold short either way.
        short_from_breakout: bool = flag().or(false),
        /// Scores below this magnitude are left out.
        min_abs_score: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// When a position is left.
        #[serde(flatten)]
        exits: ExitConfig = Exits { trailing_ma_days: 10 },
        /// When names are added.
        rebalance: Rebalance = Schedule.or(Rebalance::Daily),
    }
}

const DEFAULT_BREAKDOWN: &str = "breakdown_score";

impl Class for BreakoutConfig {
    fn needs(&self, needs: &mut Needs) {
        needs.signal(&self.breakout_score_column);
        if let Some(breakdowns) = self.breakdown_score_column.as_ref().filter(|_| self.enable_shorts) {
            needs.signal(breakdowns);
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
        if self.short_from_breakout {
            found.push(format!(
                "{path}.parameters.short_from_breakout has no effect: negative breakout scores are sold short anyway"
            ));
        }
        let named = self.breakdown_score_column.as_deref().is_some_and(|column| column != DEFAULT_BREAKDOWN);
        if named && !self.enable_shorts {
            found.push(format!(
                "{path}.parameters.breakdown_score_column has no effect without enable_shorts"
            ));
        }
        self.exits.stops.without_effect(path, found);
    }
}
