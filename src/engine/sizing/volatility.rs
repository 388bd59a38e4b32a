//! A target for the volatility of what a sizer gives: all weights are scaled by the target over what the weights would have
//! had of late.

use super::history::{deviation, last_returns};
use super::tally::Tally;
use crate::engine::config::VolatilityConfig;
use crate::engine::strategy::View;
use crate::engine::symbols::SymbolMap;

/// The target of one sizer.
#[derive(Debug)]
pub(super) struct VolatilityTarget {
    /// Annual, as a fraction.
    annual: f64,
    lookback: usize,
    /// Bars of a year.
    periods_per_year: f64,
    /// Largest sum of magnitudes of the scaled weights.
    max_gross: f64,
    /// Decisions of which weights had no estimate, and those of which the largest sum kept the target away.
    without_estimate: usize,
    held_down: usize,
    /// Names that were weighed and had too few bars to be in the estimate.
    without_bars: Tally,
    /// Scratch: returns of one name, and of all by their weights.
    returns: Vec<f64>,
    of_all: Vec<f64>,
}

impl VolatilityTarget {
    /// `None` without a target.
    pub(super) fn new(config: &VolatilityConfig, periods_per_year: f64, max_gross: f64) -> Option<Self> {
        Some(Self {
            annual: config.target_volatility?,
            lookback: config.volatility_lookback as usize,
            periods_per_year,
            max_gross,
            without_estimate: 0,
            held_down: 0,
            without_bars: Tally::default(),
            returns: Vec::new(),
            of_all: Vec::new(),
        })
    }

    /// Scales the weights. The estimate is the sample deviation of what they would have returned on each of the last bars,
    /// for a year; names with too few bars are taken to move as the rest does. Without any that has enough nothing is held.
    pub(super) fn scale(&mut self, view: &View<'_>, weights: &mut SymbolMap) {
        let gross: f64 = weights.iter().map(|(_, weight)| weight.abs()).sum();
        if gross == 0.0 {
            return;
        }
        self.of_all.clear();
        let mut known = 0.0;
        for (symbol, weight) in weights.iter() {
            if !last_returns(view, symbol, self.lookback, &mut self.returns) {
                self.without_bars.count(view.market.name(symbol));
                continue;
            }
            known += weight.abs();
            self.of_all.resize(self.returns.len(), 0.0);
            self.of_all.iter_mut().zip(&self.returns).for_each(|(sum, one)| *sum += weight * one);
        }
        if known == 0.0 {
            self.without_estimate += 1;
            weights.clear();
            return;
        }
        let estimate = deviation(&self.of_all) * self.periods_per_year.sqrt() * (gross / known);
        let (wanted, most) = (self.annual / estimate, self.max_gross / gross);
        self.held_down += usize::from(wanted > most);
        let scale = wanted.min(most);
        weights.update(|_, weight| weight * scale);
    }

    /// What the reader of the results should know.
    pub(super) fn warnings(&self) -> Vec<String> {
        let decisions = |count: usize| match count {
            1 => "1 decision".to_owned(),
            count => format!("{count} decisions"),
        };
        let bars = self.lookback + 1;
        let without_bars = self.without_bars.phrase().map(|names| {
            format!(
                "sizing.target_volatility: the estimate is without {names}, for want of a close on each of the last {bars} \
                 trading days"
            )
        });
        let without_estimate = (self.without_estimate > 0).then(|| {
            format!(
                "sizing.target_volatility: {} held nothing, as none of the names had a close on each of the last {bars} \
                 trading days",
                decisions(self.without_estimate)
            )
        });
        let held_down = (self.held_down > 0).then(|| {
            format!(
                "sizing.target_volatility: {} stayed below the target, at the sum of magnitudes that \
                 constraints.max_leverage allows",
                decisions(self.held_down)
            )
        });
        without_bars.into_iter().chain(without_estimate).chain(held_down).collect()
    }
}
