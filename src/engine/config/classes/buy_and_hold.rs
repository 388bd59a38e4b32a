//! Parameters of `BuyAndHoldStrategy`.

use super::rebalance::{Rebalance, Schedule};
use super::{Class, Needs};
use crate::engine::config::options::{Scalar as _, options, text};

options! {
    /// Parameters of `BuyAndHoldStrategy`.
    BuyAndHoldConfig {
        /// The symbol. `None`: the first of the universe.
        symbol: Option<String> = text().off(),
        /// When the weight is set again.
        rebalance: Rebalance = Schedule.or(Rebalance::Daily),
    }
}

impl Class for BuyAndHoldConfig {
    fn needs(&self, _: &mut Needs) {}

    fn named_symbols(&self) -> Vec<(String, &str)> {
        self.symbol.iter().map(|symbol| ("symbol".to_owned(), symbol.as_str())).collect()
    }

    fn positions(&self) -> Option<usize> {
        None
    }

    fn scales_holdings(&self) -> bool {
        false
    }

    fn without_effect(&self, _: &str, _: &mut Vec<String>) {}
}
