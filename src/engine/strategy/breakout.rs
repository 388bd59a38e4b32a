//! Names that leave their range, long above and short below, held until an exit.

use super::events::EventBook;
use super::signal::SignalReader;
use super::{Build, Decision, Strategy, View};
use crate::engine::RunError;
use crate::engine::config::BreakoutConfig;
use crate::engine::market::{Market, SymbolId};

#[derive(Debug)]
pub(super) struct Breakout {
    breakouts: SignalReader,
    /// `None` if breakdowns are not sold short, or there is no such column.
    breakdowns: Option<SignalReader>,
    warnings: Vec<String>,
    min_abs_score: f64,
    book: EventBook,
}

impl Build for BreakoutConfig {
    fn build(&self, market: &Market) -> Result<Box<dyn Strategy>, RunError> {
        let breakdowns = self.breakdown_score_column.as_deref().filter(|_| self.enable_shorts);
        Ok(Box::new(Breakout {
            breakouts: SignalReader::new(&self.breakout_score_column, market)?,
            warnings: breakdowns
                .filter(|column| SignalReader::find(column, market).is_none())
                .map(|column| {
                    format!("there is no signal column {column:?}, so that there are no breakdowns")
                })
                .into_iter()
                .collect(),
            breakdowns: breakdowns.and_then(|column| SignalReader::find(column, market)),
            min_abs_score: self.min_abs_score,
            book: EventBook::new(&self.exits, self.rebalance, market.symbols().len()),
        }))
    }
}

impl Strategy for Breakout {
    fn decide(&mut self, view: &View<'_>, decision: &mut Decision) -> Result<bool, RunError> {
        let ups = self.breakouts.today(view);
        let downs = self.breakdowns.as_mut().map_or(&[][..], |breakdowns| breakdowns.today(view));
        let score = |i: usize, up: f64| {
            // A negative one is a candidate too, for the short side.
            let up = Some(up).filter(|up| !up.is_nan());
            let down = downs.get(i).map(|down| -down.abs()).filter(|down| !down.is_nan());
            match (up, down) {
                (Some(up), Some(down)) if down.abs() > up.abs() => Some(down),
                (Some(up), _) => Some(up),
                (None, down) => down,
            }
        };
        let candidates = ups.iter().enumerate().filter_map(|(i, &up)| {
            let score = score(i, up).filter(|score| score.abs() >= self.min_abs_score)?;
            Some((SymbolId(i as u32), score))
        });
        Ok(self.book.decide(view, decision, candidates))
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}
