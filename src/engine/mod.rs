//! The arithmetic of a backtest: [`run`] takes a valid config and a market and gives an outcome. Everything here
//! is synchronous and pure: no files, no clock, no logging.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`config`] | what a user may ask for |
//! | [`market`], [`closes`], `table` | prices and signals as dense tables, and their memory |
//! | `lookback`, [`price_signals`] | what past bars say |
//! | `symbols` | symbols as numbers, and maps from them |
//! | `simulation` | one account going through the bars: fill, mark, decide |
//! | `plan`, `sized_strategy`, `composite` | who decides: one strategy with its sizer, or several with money of their own |
//! | `strategy` | what we want to hold: scores |
//! | `sizing` | what scores weigh |
//! | `constraints` | what we may hold |
//! | `broker` | what we can get, and what it costs |
//! | `carry` | what holding costs and earns |
//! | `entitlements` | dividends and splits of what is held |
//! | `ledger` | what we do hold, and what it is worth |
//! | `outcome`, [`metrics`] | what a run leaves behind, and what it is worth |

mod broker;
mod carry;
pub mod closes;
mod composite;
pub mod config;
mod constraints;
mod entitlements;
mod ledger;
mod lookback;
pub mod market;
pub mod metrics;
pub(crate) mod nearest;
mod outcome;
mod plan;
pub mod price_signals;
mod rounding;
mod simulation;
mod sized_strategy;
mod sizing;
mod strategy;
mod symbols;
mod table;
mod wants;

use std::ops::ControlFlow;

pub use self::config::BacktestConfig;
pub use self::market::{CorporateAction, Market, SymbolId};
pub use self::outcome::*;
use self::simulation::Simulation;

/// Why a backtest gave no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The rows do not make a market, or lack something that the config names.
    #[error("{0}")]
    Data(String),
    /// A strategy could not decide.
    #[error("{0}")]
    Strategy(String),
    /// The caller asked to stop.
    #[error("stopped after {done} of {total} days")]
    Stopped {
        /// Days computed.
        done: usize,
        /// Days of the backtest.
        total: usize,
    },
}

impl RunError {
    /// What kind of failure it is: `data`, `run` or `stopped`.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Strategy(_) => "run",
            Self::Stopped { .. } => "stopped",
        }
    }
}

/// Runs a backtest. `on_bar` hears now and then how many of how many trading days are done, and may stop the run:
/// after each day on which anything may be decided, and after the last. The close of the last day decides nothing, as no fill
/// follows, unless `output.save_orders` asks what it would: that is kept apart from all that the run came to.
///
/// # Errors
/// If the market lacks what the config names, a strategy cannot decide, or `on_bar` breaks.
pub fn run(
    config: &BacktestConfig,
    market: &Market,
    on_bar: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Outcome, RunError> {
    let mut simulation = Simulation::new(config, market)?;
    let (first, total) = (market.first_trading_bar(), market.trading_days());
    let mut done = 0;
    while done < total {
        let bar = first + done;
        simulation.fill(bar);
        // Until then nothing happens but time, so that all days up to it are marked at once.
        let decision = simulation.next_decision(bar).min(first + total - 1);
        simulation.mark(bar..decision + 1);
        done = if simulation.ended() { total } else { decision + 1 - first };
        if done < total {
            simulation.decide(decision)?;
        }
        if on_bar(done, total).is_break() {
            return Err(RunError::Stopped { done, total });
        }
    }
    let mut outcome = simulation.take_outcome();
    if config.output.save_orders && done > 0 {
        outcome.next_orders = Some(simulation.next_orders(first + outcome.daily.date.len() - 1)?);
    }
    Ok(outcome)
}
