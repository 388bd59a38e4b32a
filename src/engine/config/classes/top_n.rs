//! Parameters of `TopNSignalStrategy`.

use super::rebalance::{Rebalance, Schedule};
use super::{Class, DEFAULT_SIGNAL, Needs};
use crate::engine::config::options::{Bounds, Scalar as _, count, flag, number, options, text};

options! {
    /// Parameters of `TopNSignalStrategy`.
    TopNConfig {
        /// Signal column to rank by.
        signal_column: String = text().or(DEFAULT_SIGNAL),
        /// Names selected.
        top_n: u32 = count(0).or(10_u32),
        /// Least signal. `None`: any.
        min_signal: Option<f64> = number(Bounds::ANY).off(),
        /// Whether the highest signal is the best.
        higher_is_better: bool = flag().or(true),
        /// When it decides.
        rebalance: Rebalance = Schedule.or(Rebalance::Daily),
    }
}

impl Class for TopNConfig {
    fn needs(&self, needs: &mut Needs) {
        needs.signal(&self.signal_column);
    }

    fn named_symbols(&self) -> Vec<(String, &str)> {
        Vec::new()
    }

    fn positions(&self) -> Option<usize> {
        Some(self.top_n as usize)
    }

    fn scales_holdings(&self) -> bool {
        false
    }

    fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        if self.top_n == 0 {
            found.push(format!("{path}.parameters.top_n is 0, so that nothing is ever held"));
        }
    }
}
