//! Parameters of `LongShortTopNStrategy`.

use super::exits::{ExitConfig, Stops};
use super::rebalance::{Rebalance, Schedule};
use super::{Class, DEFAULT_SIGNAL, Needs};
use crate::engine::config::options::{Bounds, Scalar as _, count, flag, number, options, text};

options! {
    /// Parameters of `LongShortTopNStrategy`.
    LongShortTopNConfig {
        /// Signal column to rank by.
        signal_column: String = text().or(DEFAULT_SIGNAL),
        /// Names added on the long side.
        k_long: u32 = count(0).or(0_u32),
        /// Names added on the short side.
        k_short: u32 = count(0).or(0_u32),
        /// Whether the highest signal goes long.
        long_if_high: bool = flag().or(true),
        /// Signals below this magnitude are left out.
        min_abs_score: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Bars in the mean of closes that ends a holding. `None`: off.
        trailing_ma_days: Option<u32> = count(1).switched(None),
        /// Loss from entry that ends a holding. `None`: off.
        stop_loss_pct: Option<f64> = number(Bounds::PART).off(),
        /// Whether long stops look at the low of a bar instead of its close.
        use_low_for_stop: bool = flag().or(true),
        /// Bars after which a holding is cut. `None`: off.
        partial_exit_days: Option<u32> = count(1).off(),
        /// Share that a cut takes away.
        partial_exit_fraction: f64 = number(Bounds::between(0.0, 1.0)).or(0.5),
        /// Bars after which a holding ends. `None`: off.
        max_hold_days: Option<u32> = count(1).switched(None),
        /// When names are added.
        rebalance: Rebalance = Schedule.or(Rebalance::Daily),
    }
}

impl LongShortTopNConfig {
    pub(crate) fn exits(&self) -> ExitConfig {
        ExitConfig {
            trailing_ma_days: self.trailing_ma_days,
            stops: Stops {
                time_stop_days: self.max_hold_days,
                stop_loss_pct: self.stop_loss_pct,
                take_profit_pct: None,
                trailing_stop_pct: None,
                use_low_for_stop: self.use_low_for_stop,
                partial_exit_days: self.partial_exit_days,
                partial_exit_fraction: self.partial_exit_fraction,
            },
        }
    }
}

impl Class for LongShortTopNConfig {
    fn needs(&self, needs: &mut Needs) {
        needs.signal(&self.signal_column);
        self.exits().needs(needs);
    }

    fn named_symbols(&self) -> Vec<(String, &str)> {
        Vec::new()
    }

    fn positions(&self) -> Option<usize> {
        None
    }

    fn scales_holdings(&self) -> bool {
        self.exits().stops.cuts()
    }

    fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        if self.k_long == 0 && self.k_short == 0 {
            found.push(format!("{path}: k_long and k_short are 0, so that nothing is ever bought"));
        }
        self.exits().stops.without_effect(path, found);
    }
}
