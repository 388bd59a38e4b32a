//! What is recorded beside the results, if the config asks for it: who was eligible, what everyone scored, who was
//! selected and held, and which exit fired.

use super::super::View;
use crate::engine::config::DebugConfig;
use crate::engine::market::SymbolId;
use crate::engine::outcome::{DebugKind, DebugTable};
use crate::engine::symbols::SymbolMap;

/// The record of a pipeline. Exits wait in it until their day has a decision, which they cause.
#[derive(Debug)]
pub(super) struct Recorder {
    config: DebugConfig,
    table: DebugTable,
    exits: Vec<(SymbolId, Option<f64>, String)>,
}

impl Recorder {
    pub(super) fn new(config: &DebugConfig) -> Self {
        Self { config: config.clone(), table: DebugTable::default(), exits: Vec::new() }
    }

    /// Whether anything but exits is recorded.
    pub(super) fn wants_scores(&self) -> bool {
        self.config.record_intermediates
    }

    /// Forgets what waits from a day without a decision.
    pub(super) fn start_day(&mut self) {
        self.exits.clear();
    }

    /// An exit rule fired: the new scale, or none for a full exit, and the rule in words.
    pub(super) fn exit(&mut self, symbol: SymbolId, scale: Option<f64>, rule: impl FnOnce() -> String) {
        if self.config.record_reasons {
            self.exits.push((symbol, scale, rule()));
        }
    }

    /// Numbers of a decision.
    pub(super) fn numbers(&mut self, view: &View<'_>, kind: DebugKind, numbers: &SymbolMap) {
        if self.config.record_intermediates {
            for (symbol, number) in numbers.iter() {
                self.table.push(view.date(), kind, symbol, Some(number), String::new());
            }
        }
    }

    /// Who was eligible for a decision, and with which scores.
    pub(super) fn scores(&mut self, view: &View<'_>, eligible: &[SymbolId], scores: &[f64]) {
        if self.config.record_intermediates {
            for &symbol in eligible {
                self.table.push(view.date(), DebugKind::Universe, symbol, None, String::new());
                let score = scores[symbol.index()];
                if !score.is_nan() {
                    self.table.push(view.date(), DebugKind::RawScores, symbol, Some(score), String::new());
                }
            }
        }
    }

    /// The day had a decision: its exits are recorded.
    pub(super) fn end_day(&mut self, view: &View<'_>) {
        for (symbol, scale, rule) in self.exits.drain(..) {
            self.table.push(view.date(), DebugKind::Exits, symbol, scale, rule);
        }
    }

    /// The table, once; none if nothing was asked for.
    pub(super) fn take(&mut self) -> Option<DebugTable> {
        let asked = self.config.record_intermediates || self.config.record_reasons;
        asked.then(|| std::mem::take(&mut self.table))
    }
}
