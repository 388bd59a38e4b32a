//! Audit: whether a result could have been had, and whether its signals could have been known. Each check looks for one
//! kind of peek and says how sure it is; one that cannot look says why. Here is what they have in common; each is a file
//! beside this one. What every run is told of it, cheaply, is [`warnings`].

mod delay;
mod finding;
mod future;
pub mod page;
mod plausibility;
mod provenance;
mod restated;
mod timing;
mod universe;

use std::ops::ControlFlow;
use std::time::Instant;

use serde_json::{Map, json};

pub use self::finding::{Audit, Check, Verdict};
pub use self::restated::Restated;
use crate::engine::{self, BacktestConfig, Market, Outcome, RunError};
use crate::store::provenance::Origins;

/// Name of the file with the findings.
pub const FILE: &str = "audit.json";

/// Name of the same as a page.
pub const PAGE: &str = "audit.html";

/// What is known of where the rows of a market come from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// When the rows of its tables were committed.
    pub origins: &'a Origins,
    /// The rows beside what the tables said first; `None` if they were not compared.
    pub restated: Option<&'a Restated>,
}

/// Makes every check of a config on its market. `on_step` hears how many of how many runs are made, and may stop.
///
/// # Errors
/// If the config cannot be run on this market, or `on_step` breaks.
pub fn audit(
    config: &BacktestConfig,
    market: &Market,
    sources: &Sources<'_>,
    on_step: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Audit, RunError> {
    let total = 1 + future::PROBES + delay::DAYS.len();
    let (mut checks, mut costs_ms, mut done) = (Vec::new(), Map::new(), 0);
    let mut step = |count: usize| {
        done += count;
        match on_step(done, total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(RunError::Stopped { done, total }),
        }
    };
    let mut timed = |name: &str, made: Vec<Check>, since: Instant| {
        costs_ms.insert(name.to_owned(), json!(since.elapsed().as_millis() as u64));
        checks.extend(made);
    };
    let mut start = Instant::now();
    let full = engine::run(config, market, &mut |_, _| ControlFlow::Continue(()))?;
    step(1)?;
    timed("run", Vec::new(), std::mem::replace(&mut start, Instant::now()));
    let found = future::check(config, market, &full, &mut || step(1))?;
    timed("future", vec![found], std::mem::replace(&mut start, Instant::now()));
    timed("timing", timing::checks(config, market), std::mem::replace(&mut start, Instant::now()));
    let found = delay::check(config, market, &full, &mut || step(1))?;
    timed("delay", vec![found], std::mem::replace(&mut start, Instant::now()));
    let mut rest = vec![plausibility::check(market, &full)];
    rest.extend(provenance::checks(sources.origins, config));
    rest.extend(sources.restated.into_iter().flat_map(|restated| restated.checks(config, market)));
    rest.push(universe::check(config, market));
    timed("rest", rest, start);
    let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::NotProvable);
    Ok(Audit { verdict, checks, costs_ms })
}

/// What every run is told: of signals that look ahead, and of figures that are too good.
pub fn warnings(config: &BacktestConfig, market: &Market, outcome: &Outcome) -> Vec<String> {
    let mut found = timing::warnings(config, market);
    found.extend(plausibility::findings(market, outcome));
    found
}
