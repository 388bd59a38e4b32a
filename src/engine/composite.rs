//! Several strategies, each with its own money: a leg decides on its own holdings (its sleeve), the legs' weights
//! are blended for the account, and when the account trades, each sleeve trades along. What is held in one leg
//! does not influence another.

use std::ops::Range;

use super::RunError;
use super::broker::{Blotter, Broker, Orders, Scope};
use super::carry::Carry;
use super::config::{BacktestConfig, BlendConfig, CompositeConfig, LegConfig, Normalize};
use super::entitlements;
use super::ledger::{Ledger, Marks};
use super::market::{CorporateAction, Market, SymbolId};
use super::outcome::{BlendStage, BlendWeights, DebugTable};
use super::rounding::EQUAL;
use super::sized_strategy::SizedStrategy;
use super::strategy::View;
use super::symbols::SymbolMap;
use super::wants::Wants;

/// The legs of a composite and their blend.
pub(crate) struct Composite<'c> {
    blend: &'c BlendConfig,
    legs: Vec<Leg<'c>>,
    /// Weights of the last decision before the constraints.
    blended: SymbolMap,
    /// Decisions whose weights summed to a net of 0, so that nothing was left of them.
    flat_days: usize,
    /// Scratch: orders of a sleeve, what becomes of them, and what it is worth.
    orders: Orders,
    blotter: Blotter,
    marks: Marks,
    record: BlendWeights,
}

/// A strategy with its own account.
struct Leg<'c> {
    config: &'c LegConfig,
    strategy: SizedStrategy,
    /// Share of the composite, of all shares 1.
    share: f64,
    sleeve: Ledger,
    /// Value of the sleeve at the last close.
    equity: f64,
    /// Weights of its last decision, normalised, as fractions of the sleeve.
    weights: SymbolMap,
    /// As for the composite.
    flat_days: usize,
    /// Scratch: weights of today's decision.
    decided: SymbolMap,
}

impl<'c> Composite<'c> {
    /// # Errors
    /// If a leg needs what the market lacks.
    pub(crate) fn new(
        composite: &'c CompositeConfig,
        config: &'c BacktestConfig,
        market: &Market,
    ) -> Result<Self, RunError> {
        let n_symbols = market.symbols().len();
        // A leg that is switched off keeps its share to itself.
        let total: f64 = composite.legs.iter().map(|leg| leg.weight).sum();
        let enabled = composite.legs.iter().filter(|leg| leg.enabled);
        let legs = enabled.map(|leg| {
            let sizing = leg.sizing.as_ref().unwrap_or(&config.sizing);
            let share = leg.weight / total;
            Ok(Leg {
                config: leg,
                strategy: SizedStrategy::new(&leg.strategy, sizing, share, config, market)?,
                share,
                sleeve: Ledger::new(config.initial_cash * share, n_symbols),
                equity: config.initial_cash * share,
                weights: SymbolMap::new(n_symbols),
                flat_days: 0,
                decided: SymbolMap::new(n_symbols),
            })
        });
        let legs: Vec<Leg<'c>> = legs.collect::<Result<_, RunError>>()?;
        let names = legs.iter().map(|leg| leg.config.name.clone()).collect();
        Ok(Self {
            blend: &composite.blend,
            legs,
            blended: SymbolMap::new(n_symbols),
            flat_days: 0,
            orders: Orders::new(n_symbols),
            blotter: Blotter::default(),
            marks: Marks::default(),
            record: BlendWeights { legs: names, ..BlendWeights::default() },
        })
    }

    /// The first bar from `bar` on at whose close a leg may decide.
    pub(crate) fn next_decision(&self, market: &Market, bar: usize) -> usize {
        self.legs.iter().map(|leg| leg.strategy.next_decision(market, bar)).min().unwrap_or(bar)
    }

    /// Marks each sleeve at the closes of `bars`.
    pub(crate) fn mark(&mut self, market: &Market, bars: Range<usize>) {
        for leg in &mut self.legs {
            leg.sleeve.mark(market, bars.clone(), &mut self.marks);
            leg.equity = self.marks.last();
        }
    }

    /// Asks every leg and blends their weights. A leg without a decision stays at its last weights; without any
    /// decision there is none.
    pub(crate) fn decide(&mut self, view: &View<'_>, weights: &mut SymbolMap) -> Result<bool, RunError> {
        let mut decided = false;
        for leg in &mut self.legs {
            decided |= leg.decide(view)?;
        }
        if !decided {
            return Ok(false);
        }
        self.check_overlap(view)?;
        for leg in &self.legs {
            for (symbol, weight) in leg.weights.iter() {
                weights.insert(symbol, weights.get_or(symbol, 0.0) + leg.share * weight);
            }
        }
        let BlendConfig { normalize_final, target_gross, target_net, .. } = self.blend;
        self.flat_days += normalize(*normalize_final, *target_gross, *target_net, weights)
            .map_err(|problem| RunError::Strategy(format!("{}: blend: {problem}", view.date())))?;
        self.blended.copy_from(weights);
        for i in 0..self.legs.len() {
            record(&mut self.record, view, BlendStage::Leg(i), &self.legs[i].weights);
        }
        record(&mut self.record, view, BlendStage::Pre, weights);
        Ok(true)
    }

    /// Hears what the constraints left of the blend.
    pub(crate) fn constrained(&mut self, view: &View<'_>, weights: &SymbolMap) {
        record(&mut self.record, view, BlendStage::Post, weights);
    }

    /// Two legs may not pull a symbol in opposite directions, nor share one if overlap is not allowed.
    fn check_overlap(&self, view: &View<'_>) -> Result<(), RunError> {
        for (i, leg) in self.legs.iter().enumerate() {
            for (symbol, weight) in leg.weights.iter() {
                for other in &self.legs[i + 1..] {
                    let theirs = other.weights.get_or(symbol, 0.0);
                    let problem = if weight * theirs < 0.0 {
                        "hold opposite sides of"
                    } else if weight * theirs > 0.0 && !self.blend.allow_overlap {
                        "both hold, without allow_overlap,"
                    } else {
                        continue;
                    };
                    let (date, symbol) = (view.date(), view.market.name(symbol));
                    let (one, two) = (&leg.config.name, &other.config.name);
                    return Err(RunError::Strategy(format!(
                        "{date}: legs {one:?} and {two:?} {problem} {symbol}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Books in each sleeve what holding cost and earned.
    pub(crate) fn accrue(&mut self, market: &Market, bar: usize, carry: &Carry) {
        for leg in &mut self.legs {
            carry.accrue(market, bar, &mut leg.sleeve, |_, _| {});
        }
    }

    /// Books dividends and splits in each sleeve.
    pub(crate) fn entitle(
        &mut self,
        market: &Market,
        bar: usize,
        actions: &[CorporateAction],
        broker: &Broker<'_>,
    ) {
        for leg in &mut self.legs {
            entitlements::book(market, bar, actions, broker, &mut leg.sleeve, &mut self.blotter);
            self.blotter.clear();
        }
    }

    /// Whether a sleeve holds a symbol.
    pub(crate) fn holds(&self, symbol: SymbolId) -> bool {
        self.legs.iter().any(|leg| leg.sleeve.shares(symbol) != 0.0)
    }

    /// Trades each sleeve to its own weights, cut as the account's weights were cut.
    pub(crate) fn follow(
        &mut self,
        market: &Market,
        bar: usize,
        prices: &[f64],
        account: &Orders,
        broker: &mut Broker<'_>,
    ) {
        for leg in &mut self.legs {
            let orders = &mut self.orders;
            orders.clear();
            orders.scope = account.scope;
            let cut = |symbol, weight: f64| {
                let before = self.blended.get_or(symbol, 0.0);
                let after = account.targets.get_or(symbol, 0.0);
                if before == 0.0 { 0.0 } else { weight * (after / before) }
            };
            if account.scope == Scope::Targets {
                for &symbol in account.targets.keys() {
                    orders.targets.insert(symbol, cut(symbol, leg.weights.get_or(symbol, 0.0)));
                }
            } else {
                for (symbol, weight) in leg.weights.iter() {
                    orders.targets.insert(symbol, cut(symbol, weight));
                }
            }
            broker.execute(market, bar, prices, orders, &mut leg.sleeve, &mut self.blotter);
            self.blotter.clear();
        }
    }

    /// Closes in each sleeve what stopped trading.
    pub(crate) fn close_stale(&mut self, market: &Market, bar: usize, broker: &mut Broker<'_>) {
        for leg in &mut self.legs {
            broker.close_stale(market, bar, &mut leg.sleeve, &mut self.blotter);
            self.blotter.clear();
        }
    }

    /// What the strategies of all legs wanted.
    pub(crate) fn wants(&self) -> Wants {
        self.legs.iter().map(|leg| leg.strategy.wants()).fold(Wants::default(), Wants::plus)
    }

    /// Warnings of the legs, with their names, and what normalizing left nothing of.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let flat = |days: usize| {
            let times = if days == 1 { "one decision".to_owned() } else { format!("{days} decisions") };
            (days > 0)
                .then(|| format!("the weights of {times} summed to a net of 0, so that nothing was held"))
        };
        let named = |leg: &Leg<'_>| -> Vec<String> {
            let warnings = leg.strategy.warnings().into_iter().chain(flat(leg.flat_days));
            warnings.map(|warning| format!("leg {:?}: {warning}", leg.config.name)).collect()
        };
        let blend = flat(self.flat_days).map(|warning| format!("blend: {warning}"));
        self.legs.iter().flat_map(named).chain(blend).collect()
    }

    /// What was recorded so far, once.
    pub(crate) fn take_records(&mut self) -> (BlendWeights, Option<DebugTable>) {
        let mut tables = self.legs.iter_mut().enumerate().filter_map(|(i, leg)| {
            let mut table = leg.strategy.take_debug()?;
            table.leg.fill(Some(i));
            Some(table)
        });
        let first = tables.next();
        let debug = first.map(|first| {
            tables.fold(first, |mut all, more| {
                all.append(more);
                all
            })
        });
        (std::mem::take(&mut self.record), debug)
    }
}

impl Leg<'_> {
    /// Decides on the sleeve as it stands at today's close. Whether there was a decision.
    fn decide(&mut self, account: &View<'_>) -> Result<bool, RunError> {
        let view = View { ledger: &self.sleeve, equity: self.equity, ..*account };
        self.decided.clear();
        if !self.strategy.decide(&view, &mut self.decided)? {
            return Ok(false);
        }
        let LegConfig { name, normalize_leg, target_gross, target_net, .. } = self.config;
        self.flat_days += normalize(*normalize_leg, *target_gross, *target_net, &mut self.decided)
            .map_err(|problem| RunError::Strategy(format!("{}: leg {name:?}: {problem}", account.date())))?;
        self.weights.copy_from(&self.decided);
        Ok(true)
    }
}

/// Scales weights to a sum (of magnitudes). Nothing is left of weights that sum to 0, which is counted, nor of any for a
/// target of 0; a scale that would turn sides is an error, given as text.
fn normalize(how: Normalize, gross: f64, net: f64, weights: &mut SymbolMap) -> Result<usize, String> {
    let (target, sum) = match how {
        Normalize::None => return Ok(0),
        Normalize::Gross => (gross, weights.iter().map(|(_, weight)| weight.abs()).sum::<f64>()),
        Normalize::Net => (net, weights.iter().map(|(_, weight)| weight).sum::<f64>()),
    };
    if sum.abs() < EQUAL || target == 0.0 {
        let flat = usize::from(target != 0.0 && weights.iter().any(|(_, weight)| weight != 0.0));
        weights.clear();
        return Ok(flat);
    }
    if target * sum < 0.0 {
        return Err(format!("a net weight of {sum} cannot be scaled to {target} without turning every side"));
    }
    weights.update(|_, weight| weight * (target / sum));
    Ok(0)
}

fn record(table: &mut BlendWeights, view: &View<'_>, stage: BlendStage, weights: &SymbolMap) {
    for (symbol, weight) in weights.iter() {
        table.date.push(view.date());
        table.stage.push(stage);
        table.symbol.push(symbol);
        table.weight.push(weight);
    }
}
