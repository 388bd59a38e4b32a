//! Names that gap on volume, held until an exit.

use super::events::EventBook;
use super::signal::SignalReader;
use super::{Build, Decision, Strategy, View};
use crate::engine::RunError;
use crate::engine::config::{EpisodicPivotConfig, GAP_COLUMNS, RAW_EP_TERMS, VOLUME_RATIO_COLUMNS};
use crate::engine::market::{Market, SymbolId};

#[derive(Debug)]
pub(super) struct EpisodicPivot {
    terms: Vec<(SignalReader, f64)>,
    /// Whether the terms are raw fields, missing ones counting 0, instead of the one score column.
    raw: bool,
    min_score: f64,
    enable_shorts: bool,
    scores: Vec<f64>,
    book: EventBook,
}

impl Build for EpisodicPivotConfig {
    fn build(&self, market: &Market) -> Result<Box<dyn Strategy>, RunError> {
        let column = &self.ep_score_column;
        let (terms, raw) = match SignalReader::new(column, market) {
            Ok(score) => (vec![(score, 1.0)], false),
            Err(_) if self.allow_raw_fields => (raw_terms(column, market)?, true),
            Err(missing) => return Err(missing),
        };
        let n_symbols = market.symbols().len();
        Ok(Box::new(EpisodicPivot {
            terms,
            raw,
            min_score: self.min_ep_score,
            enable_shorts: self.enable_shorts,
            scores: vec![f64::NAN; n_symbols],
            book: EventBook::new(&self.exits, self.rebalance, n_symbols),
        }))
    }
}

impl Strategy for EpisodicPivot {
    fn decide(&mut self, view: &View<'_>, decision: &mut Decision) -> Result<bool, RunError> {
        if self.raw {
            for (i, score) in self.scores.iter_mut().enumerate() {
                *score =
                    if view.market.has_signal_row(view.bar, SymbolId(i as u32)) { 0.0 } else { f64::NAN };
            }
        } else {
            self.scores.fill(0.0);
        }
        for (reader, weight) in &mut self.terms {
            for (score, &value) in self.scores.iter_mut().zip(reader.today(view)) {
                *score += *weight * if self.raw && value.is_nan() { 0.0 } else { value };
            }
        }
        let candidates = self.scores.iter().enumerate().filter(|(_, score)| {
            **score >= self.min_score || (self.enable_shorts && **score < -self.min_score)
        });
        Ok(self.book.decide(view, decision, candidates.map(|(i, &score)| (SymbolId(i as u32), score))))
    }
}

/// Gap plus half the volume ratio, which must be there, and small shares of earnings figures, which may be.
fn raw_terms(score_column: &str, market: &Market) -> Result<Vec<(SignalReader, f64)>, RunError> {
    let one_of = |names: &[&str], weight: f64| {
        let found = names.iter().find_map(|name| SignalReader::find(name, market));
        found.map(|reader| (reader, weight)).ok_or_else(|| {
            let names = names.join(", ");
            RunError::Data(format!("the signals have neither column {score_column:?} nor one of {names}"))
        })
    };
    let mut terms = vec![one_of(&GAP_COLUMNS, 1.0)?, one_of(&VOLUME_RATIO_COLUMNS, 0.5)?];
    let earnings = RAW_EP_TERMS.iter().filter_map(|&(name, w)| Some((SignalReader::find(name, market)?, w)));
    terms.extend(earnings);
    Ok(terms)
}
