//! Parameters of `StaticUniverseStrategy`.

use super::rebalance::{Rebalance, Schedule};
use super::{Class, Needs};
use crate::engine::config::options::{Scalar as _, options, some_texts};

options! {
    /// Parameters of `StaticUniverseStrategy`.
    StaticUniverseConfig {
        /// The symbols. `None`: the universe.
        symbols: Option<Vec<String>> = some_texts().off(),
        /// When the weights are set again.
        rebalance: Rebalance = Schedule.or(Rebalance::Daily),
    }
}

impl Class for StaticUniverseConfig {
    fn needs(&self, _: &mut Needs) {}

    fn named_symbols(&self) -> Vec<(String, &str)> {
        let named = self.symbols.iter().flatten().enumerate();
        named.map(|(i, symbol)| (format!("symbols[{i}]"), symbol.as_str())).collect()
    }

    fn positions(&self) -> Option<usize> {
        self.symbols.as_ref().map(Vec::len)
    }

    fn scales_holdings(&self) -> bool {
        false
    }

    fn without_effect(&self, _: &str, _: &mut Vec<String>) {}
}
