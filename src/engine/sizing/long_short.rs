//! A long and a short budget, shared out per side equally or by score. The budget of an empty side stays unused.

use crate::engine::config::{LongShortScore, WeightMode};
use crate::engine::ledger::Ledger;
use crate::engine::market::SymbolId;
use crate::engine::strategy::{Decision, View};
use crate::engine::symbols::SymbolMap;

#[derive(Debug)]
pub(crate) struct LongShort {
    config: LongShortScore,
    /// Scratch: the candidates of a side, with their places in the decision.
    side: Vec<(usize, SymbolId)>,
}

impl LongShort {
    pub(super) fn new(config: &LongShortScore, n_symbols: usize) -> Self {
        Self { config: config.clone(), side: Vec::with_capacity(n_symbols) }
    }

    /// Longs get `(gross + net) / 2` and shorts `(gross - net) / 2` of equity.
    pub(super) fn size(&mut self, view: &View<'_>, decision: &Decision, weights: &mut SymbolMap) {
        let (gross, net) = (self.config.gross_target, self.config.net_target);
        let sides = [
            (1.0, self.config.max_longs, (gross + net) / 2.0),
            (-1.0, self.config.max_shorts, (gross - net) / 2.0),
        ];
        for (sign, most, budget) in sides {
            self.choose(view.ledger, decision, sign, most as usize);
            let total: f64 = self.side.iter().map(|&(_, symbol)| self.raw_weight(decision, symbol)).sum();
            if total <= 0.0 {
                continue;
            }
            for &(_, symbol) in &self.side {
                weights.insert(symbol, sign * self.raw_weight(decision, symbol) / total * budget);
            }
        }
    }

    /// Fills `side` with the strongest scores of a sign; if holdings are sticky, names already held go first.
    fn choose(&mut self, ledger: &Ledger, decision: &Decision, sign: f64, most: usize) {
        let Self { config, side, .. } = self;
        let strength = |symbol| decision.scores.get_or(symbol, 0.0) * sign;
        let is_held = |symbol| config.sticky_holdings && ledger.shares(symbol) * sign > 0.0;
        side.clear();
        side.extend(decision.scores.keys().iter().copied().enumerate().filter(|&(_, symbol)| {
            let strength = strength(symbol);
            strength > 0.0 && strength >= config.min_abs_score
        }));
        // Equal scores stay in the order of the decision.
        side.sort_unstable_by(|&(place_a, a), &(place_b, b)| {
            let held_first = is_held(b).cmp(&is_held(a));
            let strongest_first = strength(b).total_cmp(&strength(a));
            held_first.then(strongest_first).then(place_a.cmp(&place_b))
        });
        side.truncate(most);
    }

    /// Share of a symbol in its side's budget, before shares are made to sum to 1.
    fn raw_weight(&self, decision: &Decision, symbol: SymbolId) -> f64 {
        let score = decision.scores.get_or(symbol, 0.0).abs();
        let share = match self.config.weight_mode {
            WeightMode::Equal => 1.0,
            WeightMode::Score => score.powf(self.config.score_power),
        };
        share * decision.scales.get_or(symbol, 1.0)
    }
}
