//! Who leaves, or is cut: rules asked for each holding on every bar.

use super::super::View;
use super::super::holding_tracker::HoldingTracker;
use crate::engine::config::{ExitRule, ExitStage, Precedence};
use crate::engine::lookback;
use crate::engine::market::{Market, PriceField, SymbolId};

/// What a rule does to a holding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Action {
    /// It is sold.
    Exit,
    /// It keeps this share of its size.
    Scale(f64),
}

/// The exit rules of a pipeline that may fire, with what they remember.
#[derive(Debug)]
pub(super) struct Exits {
    config: ExitStage,
    /// Whether a rule has cut a holding: `cut[rule][symbol]` is the entry bar of that holding.
    cut: Vec<Vec<Option<usize>>>,
    /// What the mean of a rule is of, by rule; of no meaning for those without one.
    means: Vec<PriceField>,
    pub(super) warnings: Vec<String>,
}

/// Whether the price table has what a rule looks at. A mean of a column that it lacks never ends a holding.
fn has_column(rule: &ExitRule, market: &Market, warnings: &mut Vec<String>) -> bool {
    match rule {
        ExitRule::TrailingMa { price_col, .. } => {
            let found = market.price_field(price_col);
            if let Err(lack) = &found {
                warnings.push(format!("trailing_ma had no effect: {lack}"));
            }
            found.is_ok()
        }
        ExitRule::StopLoss { .. }
        | ExitRule::TakeProfit { .. }
        | ExitRule::TrailingStop { .. }
        | ExitRule::TimeStop { .. }
        | ExitRule::PartialExitAfterDays { .. } => true,
    }
}

impl Exits {
    pub(super) fn new(config: &ExitStage, market: &Market) -> Self {
        let mut warnings = Vec::new();
        let mut config = config.clone();
        config.rules.retain(|rule| rule.is_off().is_none() && has_column(rule, market, &mut warnings));
        let cut = config.rules.iter().map(|rule| match rule {
            ExitRule::PartialExitAfterDays { .. } => vec![None; market.symbols().len()],
            _ => Vec::new(),
        });
        let means = config.rules.iter().map(|rule| match rule {
            ExitRule::TrailingMa { price_col, .. } => {
                market.price_field(price_col).unwrap_or(PriceField::Close)
            }
            _ => PriceField::Close,
        });
        Self { cut: cut.collect(), means: means.collect(), config, warnings }
    }

    /// What happens to a holding today, and the position of the rule that says so. Nothing without a bar.
    pub(super) fn check(
        &mut self,
        view: &View<'_>,
        holdings: &HoldingTracker,
        symbol: SymbolId,
    ) -> Option<(Action, usize)> {
        if !view.has_bar(symbol) {
            return None;
        }
        let (mut exit, mut scale) = (None, None);
        for rule in 0..self.config.rules.len() {
            let Some(action) = self.fires(rule, view, holdings, symbol) else { continue };
            if self.config.precedence == Precedence::FirstMatch {
                return Some((action, rule));
            }
            match action {
                Action::Exit => exit = exit.or(Some((action, rule))),
                Action::Scale(_) => scale = scale.or(Some((action, rule))),
            }
        }
        match self.config.precedence {
            Precedence::ExitOverScale | Precedence::FirstMatch => exit.or(scale),
            Precedence::ScaleOverExit => scale.or(exit),
        }
    }

    fn fires(
        &mut self,
        rule: usize,
        view: &View<'_>,
        holdings: &HoldingTracker,
        symbol: SymbolId,
    ) -> Option<Action> {
        let (market, bar) = (view.market, view.bar);
        let holding = holdings.holding(symbol);
        let exits = match self.config.rules[rule] {
            ExitRule::TrailingMa { days, side_aware, .. } => {
                let price_field = self.means[rule];
                let seen = market.seen(bar);
                let price = |b, s| seen.price(price_field, b, s);
                let mean = lookback::mean(market, bar, symbol, days as usize, price)?;
                let above = side_aware && !holding.is_long;
                lookback::is_beyond(market.close(bar, symbol), mean, above)
            }
            ExitRule::StopLoss { pct, use_intraday_extremes, .. } => {
                holding.has_lost(view, symbol, holding.entry_price, pct, use_intraday_extremes)
            }
            ExitRule::TakeProfit { pct, .. } => holding.has_gained(view, symbol, pct),
            ExitRule::TrailingStop { pct, uses_hwm_lwm } => {
                let from = if uses_hwm_lwm { holding.water_mark() } else { holding.entry_price };
                holding.has_lost(view, symbol, from, pct, true)
            }
            ExitRule::TimeStop { days } => holding.bars_held >= days,
            ExitRule::PartialExitAfterDays { days, fraction, once } => {
                let cut = &mut self.cut[rule][symbol.index()];
                let again = *cut == Some(holding.entry_bar);
                if holding.bars_held < days || (once && again) {
                    return None;
                }
                *cut = Some(holding.entry_bar);
                return Some(Action::Scale(1.0 - fraction));
            }
        };
        exits.then_some(Action::Exit)
    }

    /// A rule in words, for the record.
    pub(super) fn describe(&self, rule: usize, holdings: &HoldingTracker, symbol: SymbolId) -> String {
        let holding = holdings.holding(symbol);
        let side = if holding.is_long { "long" } else { "short" };
        match &self.config.rules[rule] {
            ExitRule::TrailingMa { days, side_aware, .. } => {
                let beyond = if *side_aware && !holding.is_long { "above" } else { "below" };
                format!("exit;{side}_close_{beyond}_ma({days})")
            }
            ExitRule::StopLoss { pct, .. } => format!("exit;{side}_stop_loss({pct})"),
            ExitRule::TakeProfit { pct, .. } => format!("exit;{side}_take_profit({pct})"),
            ExitRule::TrailingStop { pct, .. } => format!("exit;{side}_trailing_stop({pct})"),
            ExitRule::TimeStop { days } => format!("exit;time_stop({days})"),
            ExitRule::PartialExitAfterDays { days, fraction, .. } => {
                format!("partial_exit_after_days({days},{fraction})")
            }
        }
    }
}
