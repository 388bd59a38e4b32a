//! What we want to hold. A strategy looks at everything known at the close of a bar and answers with scores, or
//! with nothing, which means no orders. One file per class, one folder for the configured pipeline; how scores
//! become weights is the sizer's business.

mod breakout;
mod buy_and_hold;
mod episodic_pivot;
mod events;
mod holding_tracker;
mod long_short_top_n;
mod pipeline;
mod ranking;
mod schedule;
mod signal;
mod static_universe;
mod top_n;

use chrono::NaiveDate;

use self::pipeline::Pipeline;
use super::RunError;
use super::config::{ClassConfig, SingleConfig, class_table};
use super::ledger::Ledger;
use super::market::{Market, SymbolId};
use super::outcome::DebugTable;
use super::symbols::SymbolMap;

/// What is known at the close of a bar: the market up to and including it, and the account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) market: &'a Market,
    pub(crate) bar: usize,
    pub(crate) ledger: &'a Ledger,
    /// Value of the account at this close.
    pub(crate) equity: f64,
}

impl View<'_> {
    pub(crate) fn date(&self) -> NaiveDate {
        self.market.dates()[self.bar]
    }

    /// Whether a symbol has a bar today.
    pub(crate) fn has_bar(&self, symbol: SymbolId) -> bool {
        !self.market.close(self.bar, symbol).is_nan()
    }

    /// Value of a holding over the value of the account; 0 if not held or if nothing is left.
    pub(crate) fn weight(&self, symbol: SymbolId) -> f64 {
        let position = self.ledger.position(symbol);
        if position.shares == 0.0 || self.equity <= 0.0 {
            return 0.0;
        }
        position.shares * position.last_price / self.equity
    }
}

/// What a strategy wants: a score per symbol, positive for long, negative for short, in an order that sizers
/// respect when they cut. A symbol without a score shall not be held.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) scores: SymbolMap,
    /// Share of its size that a symbol shall have; 1 where there is none.
    pub(crate) scales: SymbolMap,
}

impl Decision {
    pub(crate) fn new(n_symbols: usize) -> Self {
        Self { scores: SymbolMap::new(n_symbols), scales: SymbolMap::new(n_symbols) }
    }

    pub(crate) fn clear(&mut self) {
        self.scores.clear();
        self.scales.clear();
    }
}

/// Decides at the closes of bars, in their order; at the last one only where its orders are asked for.
pub(crate) trait Strategy {
    /// The first bar from `bar` on at whose close it may decide; it need not be one of the market. A strategy that
    /// has to see every bar decides on every bar.
    fn next_decision(&self, _market: &Market, bar: usize) -> usize {
        bar
    }

    /// Fills the empty `decision` and answers true, or answers false for "no decision".
    fn decide(&mut self, view: &View<'_>, decision: &mut Decision) -> Result<bool, RunError>;

    /// What the reader of the results should know.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// What was recorded beside the results, once.
    fn take_debug(&mut self) -> Option<DebugTable> {
        None
    }
}

/// What builds the strategy of a class from its parameters.
trait Build {
    /// # Errors
    /// If the market lacks a column or a symbol that the parameters name.
    fn build(&self, market: &Market) -> Result<Box<dyn Strategy>, RunError>;
}

/// Builds a strategy that decides alone.
///
/// # Errors
/// If the market lacks a column or a symbol that the config names.
pub(crate) fn build(config: &SingleConfig, market: &Market) -> Result<Box<dyn Strategy>, RunError> {
    macro_rules! build_class {
        ($(#[$doc:meta])* $table:ident { $($(#[$vdoc:meta])* $class:ident($ty:ty) = $word:literal),+ $(,)? }) => {
            match config {
                $(SingleConfig::Class($table::$class(class)) => class.build(market),)+
                SingleConfig::Configured(config) => Ok(Box::new(Pipeline::new(config, market)?)),
            }
        };
    }
    class_table!(build_class)
}

/// The id of a symbol that the config names.
fn named(market: &Market, name: &str) -> Result<SymbolId, RunError> {
    market.symbol(name).ok_or_else(|| RunError::Data(format!("the price table has no symbol {name:?}")))
}
