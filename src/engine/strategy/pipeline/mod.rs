//! A strategy put together from stages, which work in this order on every bar: rebalance schedule, universe, scoring,
//! selection, holding policy, exits, scales, postprocessing. One file per stage. On a bar without a rebalance
//! there is a decision only if an exit fires or a scale changes.

mod columns;
mod exits;
mod holding;
mod postprocess;
mod rebalance;
mod record;
mod scoring;
mod selection;
mod stats;
mod universe;

use self::columns::Column;
use self::exits::{Action, Exits};
use self::holding::HoldingStage;
use self::rebalance::RebalanceSchedule;
use self::record::Recorder;
use self::scoring::Scorer;
use self::selection::Selector;
use self::universe::Universe;
use super::holding_tracker::HoldingTracker;
use super::{Decision, Strategy, View};
use crate::engine::RunError;
use crate::engine::config::{PipelineConfig, TooFew};
use crate::engine::market::{Market, SymbolId};
use crate::engine::outcome::{DebugKind, DebugTable};
use crate::engine::symbols::SymbolMap;

/// A configured strategy.
#[derive(Debug)]
pub(super) struct Pipeline {
    config: PipelineConfig,
    rebalance: RebalanceSchedule,
    universe: Universe,
    scorer: Scorer,
    selector: Selector,
    holding_policy: HoldingStage,
    exits: Exits,
    holdings: HoldingTracker,
    /// Scales of the last decision.
    last_scales: SymbolMap,
    recorder: Recorder,
    // Scratch, filled anew on each bar.
    eligible: Vec<SymbolId>,
    pool: Vec<SymbolId>,
    selected: SymbolMap,
    scores: Vec<f64>,
    row: Vec<f64>,
}

impl Pipeline {
    /// # Errors
    /// If the market lacks a column that a stage needs.
    pub(super) fn new(config: &PipelineConfig, market: &Market) -> Result<Self, RunError> {
        let n_symbols = market.symbols().len();
        for column in &config.signals.columns {
            Column::new(column, &config.signals, market)?;
        }
        Ok(Self {
            rebalance: RebalanceSchedule::new(&config.rebalance),
            universe: Universe::new(&config.universe, market)?,
            scorer: Scorer::new(&config.scoring, &config.signals, market)?,
            selector: Selector::new(&config.selection, n_symbols),
            holding_policy: HoldingStage::new(&config.holding_policy, n_symbols),
            exits: Exits::new(&config.exits, market),
            holdings: HoldingTracker::new(n_symbols),
            last_scales: SymbolMap::new(n_symbols),
            recorder: Recorder::new(&config.debug),
            eligible: Vec::with_capacity(n_symbols),
            pool: Vec::with_capacity(n_symbols),
            selected: SymbolMap::new(n_symbols),
            scores: vec![f64::NAN; n_symbols],
            row: vec![f64::NAN; n_symbols],
            config: config.clone(),
        })
    }

    /// Fills `eligible` and `scores`.
    fn score(&mut self, view: &View<'_>) {
        self.universe.today(view, &mut self.eligible);
        self.scores.fill(f64::NAN);
        self.scorer.score(view, &self.eligible, &mut self.scores);
    }

    /// Fills `selected`. Whether the rebalance takes place.
    fn select(&mut self, view: &View<'_>) -> Result<bool, RunError> {
        let Some(day) = self.rebalance.due(view) else { return Ok(false) };
        let (scores, holdings) = (&self.scores, &self.holding_policy);
        let may_enter =
            |symbol: &&SymbolId| !scores[symbol.index()].is_nan() && holdings.may_enter(view, **symbol);
        self.pool.clear();
        self.pool.extend(self.eligible.iter().filter(may_enter));
        self.selector.select(scores, &mut self.pool, &mut self.selected);
        match postprocess::too_few(&self.config.postprocess.steps, self.selected.len()) {
            None => {
                self.rebalance.take(view, day);
                Ok(true)
            }
            Some((TooFew::SkipRebalance, _)) => {
                self.selected.clear();
                Ok(false)
            }
            Some((TooFew::Error, least)) => Err(RunError::Strategy(format!(
                "{}: enforce_min_candidates: {} selected, at least {least} wanted",
                view.date(),
                self.selected.len(),
            ))),
        }
    }

    /// Asks the exit rules for every holding. Whether anything is sold.
    fn leave(&mut self, view: &View<'_>, scores: &mut SymbolMap) -> bool {
        let mut sold = false;
        for &symbol in view.ledger.held() {
            let Some((action, rule)) = self.exits.check(view, &self.holdings, symbol) else { continue };
            let scale = match action {
                Action::Exit => {
                    scores.retain(|other, _| other != symbol);
                    sold = true;
                    None
                }
                Action::Scale(scale) => {
                    self.holdings.shrink(symbol, scale);
                    Some(scale)
                }
            };
            self.recorder.exit(symbol, scale, || self.exits.describe(rule, &self.holdings, symbol));
        }
        sold
    }

    /// Leaves in `scales` what is below 1, for each holding the smaller of its decay and of what exits left.
    fn scale(&self, view: &View<'_>, scores: &SymbolMap, scales: &mut SymbolMap) {
        scales.retain(|symbol, scale| scores.contains(symbol) && scale != 1.0);
        for &symbol in scores.keys() {
            let left = self.holdings.holding(symbol).scale;
            if view.ledger.shares(symbol) != 0.0 && left < scales.get_or(symbol, 1.0) {
                scales.insert(symbol, left);
            }
        }
    }
}

impl Strategy for Pipeline {
    fn decide(&mut self, view: &View<'_>, decision: &mut Decision) -> Result<bool, RunError> {
        self.holdings.sync(view);
        self.holding_policy.sync(view);
        self.recorder.start_day();
        self.selected.clear();
        let is_due = self.rebalance.due(view).is_some();
        if is_due || self.holding_policy.asks_daily() || self.recorder.wants_scores() {
            self.score(view);
        }
        let rebalance = self.select(view)?;
        if rebalance {
            decision.scores.copy_from(&self.selected);
            self.holding_policy.on_rebalance(view, &self.holdings, &self.scores, decision);
        } else {
            self.holding_policy.on_other_bar(view, &self.holdings, &self.scores, decision);
        }
        let Decision { scores, scales } = decision;
        let sold = self.leave(view, scores);
        self.scale(view, scores, scales);
        if !rebalance && !sold && scales.same_as(&self.last_scales) {
            return Ok(false);
        }
        self.recorder.scores(view, &self.eligible, &self.scores);
        self.recorder.numbers(view, DebugKind::Selected, &self.selected);
        self.recorder.numbers(view, DebugKind::Held, scores);
        self.recorder.numbers(view, DebugKind::Scales, scales);
        postprocess::apply(&self.config.postprocess.steps, view, &self.holdings, scores, &mut self.row);
        self.recorder.numbers(view, DebugKind::Scores, scores);
        self.recorder.end_day(view);
        self.last_scales.copy_from(scales);
        self.holdings.remember(view, scores);
        Ok(true)
    }

    fn warnings(&self) -> Vec<String> {
        let (universe, exits) = (self.universe.warnings(), self.exits.warnings.iter().cloned());
        universe.into_iter().chain(exits).collect()
    }

    fn take_debug(&mut self) -> Option<DebugTable> {
        self.recorder.take()
    }
}
