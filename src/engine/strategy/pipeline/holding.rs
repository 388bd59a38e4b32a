//! Who stays although not selected. A policy works on a map that starts as the selection and adds what it keeps;
//! a holding that is kept has its last score, and while it decays a falling scale.

use super::super::holding_tracker::HoldingTracker;
use super::super::ranking::compare;
use super::super::{Decision, View};
use crate::engine::config::{Decay, HoldingPolicy, Policy, RefreshMode, ReplaceAll, Sticky};
use crate::engine::market::SymbolId;
use crate::engine::symbols::SymbolMap;

/// The policy of a pipeline with what it remembers.
#[derive(Debug)]
pub(super) struct HoldingStage {
    policy: HoldingPolicy,
    /// What the last rebalance selected.
    last_selection: SymbolMap,
    decaying: Decaying,
    cooldown: Cooldown,
}

impl HoldingStage {
    pub(super) fn new(policy: &HoldingPolicy, n_symbols: usize) -> Self {
        Self {
            policy: policy.clone(),
            last_selection: SymbolMap::new(n_symbols),
            decaying: Decaying { since: vec![None; n_symbols] },
            cooldown: Cooldown {
                bars: sticky(policy).map_or(0, |sticky| sticky.reentry_cooldown_days as usize),
                was_held: vec![false; n_symbols],
                until: vec![0; n_symbols],
            },
        }
    }

    /// Whether scores of today are needed although nothing is selected.
    pub(super) fn asks_daily(&self) -> bool {
        let (first, second) = parts(&self.policy);
        let refreshes =
            |policy: &Policy| matches!(policy, Policy::ReplaceAll(all) if all.refresh_held_scores);
        // What decays on every bar leaves to the other policy who else stays.
        let decides = matches!(first, Policy::Decay(_)) && matches!(second, Some(Policy::Sticky(_)));
        refreshes(first) || second.is_some_and(refreshes) || decides
    }

    /// Notices who left since the last bar. To be called once per bar.
    pub(super) fn sync(&mut self, view: &View<'_>) {
        self.cooldown.sync(view);
    }

    /// Whether a name may be selected: one that left has to wait for its cooldown.
    pub(super) fn may_enter(&self, view: &View<'_>, symbol: SymbolId) -> bool {
        view.bar >= self.cooldown.until[symbol.index()]
    }

    /// Adds to a new selection what the policy keeps. `scores` are today's, one cell per symbol.
    pub(super) fn on_rebalance(
        &mut self,
        view: &View<'_>,
        holdings: &HoldingTracker,
        scores: &[f64],
        kept: &mut Decision,
    ) {
        self.last_selection.copy_from(&kept.scores);
        let today = Today { view, holdings, scores };
        let (first, second) = parts(&self.policy);
        for policy in [first].into_iter().chain(second) {
            keep(policy, &mut self.decaying, &today, kept);
        }
    }

    /// Fills the empty `kept` on a bar without a rebalance: with all holdings or, as names decay on every bar, with the
    /// last selection and what has not decayed yet. A second policy takes what the first one keeps for the selection.
    pub(super) fn on_other_bar(
        &mut self,
        view: &View<'_>,
        holdings: &HoldingTracker,
        scores: &[f64],
        kept: &mut Decision,
    ) {
        let (first, second) = parts(&self.policy);
        if let Policy::Decay(policy) = first {
            kept.scores.copy_from(&self.last_selection);
            self.decaying.keep(policy, view, holdings, kept);
        } else {
            for &symbol in view.ledger.held() {
                let last = holdings.last_score(symbol);
                let score = match first {
                    Policy::ReplaceAll(policy) => refreshed(policy, scores[symbol.index()], last),
                    Policy::Sticky(_) | Policy::GracePeriod(_) | Policy::Decay(_) => last,
                };
                kept.scores.insert(symbol, score);
            }
        }
        if let Some(second) = second {
            keep(second, &mut self.decaying, &Today { view, holdings, scores }, kept);
        }
    }
}

/// What a policy looks at when it decides who stays.
struct Today<'t, 'v> {
    view: &'t View<'v>,
    holdings: &'t HoldingTracker,
    scores: &'t [f64],
}

/// Adds to `kept` the holdings that the policy keeps beside it.
fn keep(policy: &Policy, decaying: &mut Decaying, today: &Today<'_, '_>, kept: &mut Decision) {
    let Today { view, holdings, scores } = today;
    match policy {
        Policy::ReplaceAll(policy) => {
            if !policy.exit_if_not_selected {
                add(view, &mut kept.scores, |symbol| {
                    Some(refreshed(policy, scores[symbol.index()], holdings.last_score(symbol)))
                });
                // Holdings come before new names, so that a sizer that cuts keeps them.
                kept.scores.lead_with(view.ledger.held(), |symbol| view.ledger.shares(symbol) != 0.0);
            }
        }
        Policy::Sticky(policy) => {
            let selected = Selected::count(&kept.scores);
            add(view, &mut kept.scores, |symbol| {
                selected.near_the_top(policy, scores, symbol).then(|| holdings.last_score(symbol))
            });
        }
        Policy::GracePeriod(policy) => add(view, &mut kept.scores, |symbol| {
            let young = holdings.holding(symbol).bars_held <= policy.min_hold_days;
            (policy.exit_only_on_risk || young).then(|| holdings.last_score(symbol))
        }),
        Policy::Decay(policy) => decaying.keep(policy, view, holdings, kept),
    }
}

/// Adds the holdings, in the order in which they were bought, to which `score` gives a score.
fn add(view: &View<'_>, kept: &mut SymbolMap, score: impl Fn(SymbolId) -> Option<f64>) {
    for &symbol in view.ledger.held() {
        if !kept.contains(symbol)
            && let Some(score) = score(symbol)
        {
            kept.insert(symbol, score);
        }
    }
}

/// Holdings that were dropped and shrink.
#[derive(Debug)]
struct Decaying {
    /// Bar on which a holding was first seen dropped, by symbol.
    since: Vec<Option<usize>>,
}

impl Decaying {
    /// Adds holdings that are not in `kept`, with a falling scale, until their decay is over.
    fn keep(&mut self, policy: &Decay, view: &View<'_>, holdings: &HoldingTracker, kept: &mut Decision) {
        for &symbol in view.ledger.held() {
            let since = self.since(holdings, symbol);
            if kept.scores.contains(symbol) {
                self.since[symbol.index()] = None;
                continue;
            }
            let since = since.unwrap_or(view.bar);
            self.since[symbol.index()] = Some(since);
            if let Some(scale) = decayed(policy, view.bar - since) {
                kept.scales.insert(symbol, scale);
                kept.scores.insert(symbol, holdings.last_score(symbol));
            }
        }
    }

    /// Since when a holding decays. An earlier holding of the same symbol does not count.
    fn since(&self, holdings: &HoldingTracker, symbol: SymbolId) -> Option<usize> {
        self.since[symbol.index()].filter(|&bar| bar >= holdings.holding(symbol).entry_bar)
    }
}

/// Names that left and may not come back yet.
#[derive(Debug)]
struct Cooldown {
    bars: usize,
    /// Whether a symbol was held on the last bar.
    was_held: Vec<bool>,
    /// Bar from which on a symbol may be selected.
    until: Vec<usize>,
}

impl Cooldown {
    fn sync(&mut self, view: &View<'_>) {
        if self.bars == 0 {
            return;
        }
        for (i, was_held) in self.was_held.iter_mut().enumerate() {
            let is_held = view.ledger.shares(SymbolId(i as u32)) != 0.0;
            if *was_held && !is_held {
                self.until[i] = view.bar + self.bars;
            }
            *was_held = is_held;
        }
    }
}

/// The scale of a name dropped that many bars ago; none once the decay is over.
fn decayed(policy: &Decay, bars: usize) -> Option<f64> {
    if policy.decay_days == 0 {
        return Some(policy.dropped_scale);
    }
    let share = bars as f64 / f64::from(policy.decay_days);
    (share < 1.0).then_some(1.0 - share * (1.0 - policy.dropped_scale))
}

fn refreshed(policy: &ReplaceAll, today: f64, last: f64) -> f64 {
    match policy.refresh_mode {
        _ if !policy.refresh_held_scores || today.is_nan() => last,
        RefreshMode::Raw => today,
        RefreshMode::AbsSigned => today.abs().copysign(last),
    }
}

fn sticky(policy: &HoldingPolicy) -> Option<&Sticky> {
    let (first, second) = parts(policy);
    [first].into_iter().chain(second).find_map(|policy| match policy {
        Policy::Sticky(policy) => Some(policy),
        Policy::ReplaceAll(_) | Policy::GracePeriod(_) | Policy::Decay(_) => None,
    })
}

/// The policies that work one after another.
fn parts(policy: &HoldingPolicy) -> (&Policy, Option<&Policy>) {
    match policy {
        HoldingPolicy::One(policy) => (policy, None),
        HoldingPolicy::Hybrid { base, overlay } => (base, Some(overlay)),
    }
}

/// How many were selected on each side.
struct Selected {
    longs: usize,
    shorts: usize,
}

impl Selected {
    fn count(selection: &SymbolMap) -> Self {
        let count = |side: fn(f64) -> bool| selection.iter().filter(|&(_, score)| side(score)).count();
        Self { longs: count(|score| score > 0.0), shorts: count(|score| score < 0.0) }
    }

    /// Whether the rank of a symbol among today's scores of the same sign is within the multiple of those
    /// selected on that side, whichever side is held.
    fn near_the_top(&self, policy: &Sticky, scores: &[f64], symbol: SymbolId) -> bool {
        let score = scores[symbol.index()];
        let strength = score.abs();
        if strength.is_nan() || strength == 0.0 || strength < policy.keep_min_abs_score {
            return false;
        }
        let n_selected = if score > 0.0 { self.longs } else { self.shorts };
        let limit = (policy.keep_if_rank_within_multiple * n_selected.max(1) as f64).round_ties_even();
        let others = (0..).map(SymbolId).zip(scores).filter(|(_, other)| **other * score > 0.0);
        let before = others.filter(|(other, score)| {
            compare(score.abs(), strength).reverse().then(other.cmp(&symbol)).is_lt()
        });
        (before.count() as f64) < limit
    }
}
