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
        breakdown_score_column: Option<String> = text().or_off("breakdown_score"),
        /// Whether breakdowns are sold short.
        enable_shorts: bool = flag().or(true),
        /// Whether a negative breakout score is a breakdown; otherwise it is no candidate.
        short_from_breakout: bool = flag().or(false),
        /// Scores below this magnitude are left out.
        min_abs_score: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Exits.
        #[serde(flatten)]
        exits: ExitConfig = Exits { trailing_ma_days: 10 },
        /// When names are added.
        rebalance: Rebalance = Schedule.or(Rebalance::Daily),
    }
}

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
        self.exits.stops.partial_exit_days.is_some()
    }

    fn without_effect(&self, _: &str, _: &mut Vec<String>) {}
}
