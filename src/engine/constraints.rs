//! What may be held: cuts the weights that a sizer asks for, in a fixed order, at the close of the decision, and
//! writes down what it cut.

use super::config::ConstraintsConfig;
use super::outcome::ConstraintHit;
use super::rounding::EQUAL;
use super::strategy::View;
use super::symbols::SymbolMap;

/// Name of the hits of shorts that may not be.
pub(crate) const SHORTS_DISALLOWED: &str = "shorts_disallowed";

/// Name of the hits of holdings that lost too much.
const STOP_LOSS: &str = "stop_loss";

/// The constraints of a backtest, with their record.
#[derive(Debug)]
pub(crate) struct Constraints<'c> {
    limits: &'c ConstraintsConfig,
    pub(crate) hits: Vec<ConstraintHit>,
}

impl<'c> Constraints<'c> {
    pub(crate) fn new(limits: &'c ConstraintsConfig) -> Self {
        Self { limits, hits: Vec::new() }
    }

    /// Cuts `weights`: each position, then their sum of magnitudes, then their sum, then the change against what
    /// is held. The last two may lift a weight above the first limits again.
    pub(crate) fn apply(&mut self, view: &View<'_>, weights: &mut SymbolMap) {
        self.cap_positions(view, weights);
        self.cap_leverage(view, weights);
        self.bound_net_exposure(view, weights);
        self.leave_small_changes(view, weights);
        self.cap_turnover(view, weights);
    }

    fn hit(&mut self, view: &View<'_>, constraint: &'static str, before: f64, after: f64, details: Named) {
        self.hits.push(ConstraintHit {
            as_of: view.date(),
            constraint,
            symbol: None,
            before: Some(before),
            after: Some(after),
            details: details.into(),
        });
    }

    fn cap_positions(&mut self, view: &View<'_>, weights: &mut SymbolMap) {
        let (cap, allow_short) = (self.limits.max_position_size, self.limits.allow_short);
        let hits = &mut self.hits;
        let mut hit = |constraint, symbol, before, after, details: Named| {
            hits.push(ConstraintHit {
                as_of: view.date(),
                constraint,
                symbol: Some(symbol),
                before: Some(before),
                after: Some(after),
                details: details.into(),
            });
        };
        weights.retain(|symbol, weight| {
            let short = weight < 0.0 && !allow_short;
            if short {
                hit(SHORTS_DISALLOWED, symbol, weight, 0.0, &[]);
            } else if weight.abs() > cap {
                hit("position_cap", symbol, weight, cap.copysign(weight), &[("cap", cap)]);
            }
            !short
        });
        weights.update(|_, weight| weight.clamp(-cap, cap));
    }

    fn cap_leverage(&mut self, view: &View<'_>, weights: &mut SymbolMap) {
        let limit = self.limits.max_leverage;
        let gross: f64 = weights.iter().map(|(_, weight)| weight.abs()).sum();
        if gross > limit * (1.0 + EQUAL) {
            let scale = limit / gross;
            weights.update(|_, weight| weight * scale);
            self.hit(view, "max_leverage", gross, limit, &[("scale", scale)]);
        }
    }

    fn bound_net_exposure(&mut self, view: &View<'_>, weights: &mut SymbolMap) {
        if weights.is_empty() {
            return;
        }
        let limits = self.limits;
        if limits.net_exposure_min.is_some() || limits.net_exposure_max.is_some() {
            if let Some(min) = limits.net_exposure_min {
                self.raise_net_exposure(view, weights, min);
            }
            if let Some(max) = limits.net_exposure_max {
                self.lower_net_exposure(view, weights, max);
            }
        } else if let Some(max) = limits.max_net_exposure {
            let (longs, shorts) = sides(weights);
            let net = longs + shorts;
            if net.abs() > max * (1.0 + EQUAL) {
                let scale = max / net.abs();
                weights.update(|_, weight| weight * scale);
                self.hit(view, "max_net_exposure", net, net * scale, &[("scale", scale)]);
            }
        }
    }

    /// Shrinks shorts until the sum of weights reaches `min`.
    fn raise_net_exposure(&mut self, view: &View<'_>, weights: &mut SymbolMap, min: f64) {
        let (longs, shorts) = sides(weights);
        let net = longs + shorts;
        if net >= min - EQUAL * min.abs() {
            return;
        }
        if shorts == 0.0 {
            return self.hit(view, "net_exposure_min_unachievable", net, net, &[("min_net", min)]);
        }
        let factor = ((min - longs) / shorts).clamp(0.0, 1.0);
        weights.update(|_, weight| if weight < 0.0 { weight * factor } else { weight });
        let after = longs + shorts * factor;
        self.hit(view, "net_exposure_min", net, after, &[("factor", factor), ("min_net", min)]);
    }

    /// Shrinks longs until the sum of weights falls to `max`.
    fn lower_net_exposure(&mut self, view: &View<'_>, weights: &mut SymbolMap, max: f64) {
        let (longs, shorts) = sides(weights);
        let net = longs + shorts;
        if net <= max + EQUAL * max.abs() {
            return;
        }
        if longs == 0.0 {
            return self.hit(view, "net_exposure_max_unachievable", net, net, &[("max_net", max)]);
        }
        let factor = ((max - shorts) / longs).clamp(0.0, 1.0);
        weights.update(|_, weight| if weight > 0.0 { weight * factor } else { weight });
        let after = longs * factor + shorts;
        self.hit(view, "net_exposure_max", net, after, &[("factor", factor), ("max_net", max)]);
    }

    /// Keeps the current weight of every symbol that would change by less than the threshold.
    fn leave_small_changes(&mut self, view: &View<'_>, weights: &mut SymbolMap) {
        let Some(threshold) = self.limits.min_weight_change.filter(|&threshold| threshold > 0.0) else {
            return;
        };
        let mut kept = 0_u32;
        let mut keep = |target: f64, current: f64| {
            let change = (target - current).abs();
            kept += u32::from(change < threshold && change > EQUAL);
            if change < threshold { current } else { target }
        };
        weights.update(|symbol, target| keep(target, view.weight(symbol)));
        for &symbol in view.ledger.held() {
            if !weights.contains(symbol) {
                let weight = keep(0.0, view.weight(symbol));
                if weight != 0.0 {
                    weights.insert(symbol, weight);
                }
            }
        }
        if kept > 0 {
            self.hits.push(ConstraintHit {
                as_of: view.date(),
                constraint: "min_weight_change",
                symbol: None,
                before: None,
                after: None,
                details: [("clipped", f64::from(kept)), ("threshold", threshold)][..].into(),
            });
        }
    }

    /// Scales all changes so that the sum of their magnitudes is within the cap.
    fn cap_turnover(&mut self, view: &View<'_>, weights: &mut SymbolMap) {
        let Some(cap) = self.limits.max_turnover else { return };
        let changes = weights.iter().map(|(symbol, target)| (target - view.weight(symbol)).abs());
        let dropped = view.ledger.held().iter().filter(|&&symbol| !weights.contains(symbol));
        let turnover = changes.sum::<f64>() + dropped.map(|&symbol| view.weight(symbol).abs()).sum::<f64>();
        if turnover <= cap * (1.0 + EQUAL) {
            return;
        }
        let factor = cap / turnover;
        let part_way = |current: f64, target: f64| current + (target - current) * factor;
        weights.update(|symbol, target| part_way(view.weight(symbol), target));
        for &symbol in view.ledger.held() {
            if !weights.contains(symbol) {
                weights.insert(symbol, part_way(view.weight(symbol), 0.0));
            }
        }
        self.hit(view, "max_turnover", turnover, cap, &[("factor", factor)]);
    }

    /// Whether the stop closes a holding, as far as hits are still on record.
    pub(crate) fn stopped(&self, symbol: super::SymbolId) -> bool {
        self.hits.iter().any(|hit| hit.constraint == STOP_LOSS && hit.symbol == Some(symbol))
    }

    /// Positions whose loss at today's close, against their average price, reaches the stop. They are closed at
    /// the next fill whatever the strategy decided, and do not count against the turnover cap.
    pub(crate) fn stop_losses(&mut self, view: &View<'_>, mut close: impl FnMut(super::SymbolId)) {
        let Some(stop) = self.limits.stop_loss else { return };
        for &symbol in view.ledger.held() {
            let position = view.ledger.position(symbol);
            let (price, entry) = (position.last_price, position.average_price);
            let reached = if position.shares > 0.0 {
                price <= entry * (1.0 - stop)
            } else {
                price >= entry * (1.0 + stop)
            };
            if reached {
                self.hits.push(ConstraintHit {
                    as_of: view.date(),
                    constraint: STOP_LOSS,
                    symbol: Some(symbol),
                    before: Some(view.weight(symbol)),
                    after: Some(0.0),
                    details: [("entry", entry), ("price", price), ("stop", stop)][..].into(),
                });
                close(symbol);
            }
        }
    }
}

/// Numbers with their names.
type Named<'a> = &'a [(&'static str, f64)];

/// Sums of the positive and of the negative weights.
fn sides(weights: &SymbolMap) -> (f64, f64) {
    weights.iter().fold((0.0, 0.0), |(longs, shorts), (_, weight)| {
        if weight > 0.0 { (longs + weight, shorts) } else { (longs, shorts + weight) }
    })
}
