//! What may be held.

use super::options::{Bounds, Scalar as _, flag, number, options};

options! {
    /// What may be held; applied to the weights of a sizer in the order of the fields, `stop_loss` last.
    ConstraintsConfig {
        /// Whether negative weights are kept.
        allow_short: bool = flag().or(false),
        /// Largest magnitude of one weight.
        max_position_size: f64 = number(Bounds::SHARE).or(1.0),
        /// Largest sum of magnitudes.
        max_leverage: f64 = number(Bounds::POSITIVE).or(1.0),
        /// Least sum of weights.
        net_exposure_min: Option<f64> = number(Bounds::between(-10.0, 10.0)).off(),
        /// Largest sum of weights.
        net_exposure_max: Option<f64> = number(Bounds::between(-10.0, 10.0)).off(),
        /// Largest magnitude of the sum of weights; counts only without a band.
        max_net_exposure: Option<f64> = number(Bounds::between(0.0, 10.0)).off(),
        /// Symbols whose weight would change by less keep the weight of today's close.
        min_weight_change: Option<f64> = number(Bounds::between(0.0, 10.0)).off(),
        /// Largest sum of magnitudes of weight changes per decision.
        max_turnover: Option<f64> = number(Bounds::above_up_to(0.0, 10.0)).off(),
        /// Loss from the average entry price, as a fraction of it, at which a position is closed at the next fill.
        stop_loss: Option<f64> = number(Bounds::PART).off(),
    }
    checked by |constraints, f| {
        if let (Some(min), Some(max)) = (constraints.net_exposure_min, constraints.net_exposure_max)
            && min > max
        {
            f.fault("net_exposure_min", format!("must be at most net_exposure_max ({max}), got {min}"));
        }
    }
}

impl ConstraintsConfig {
    pub(super) fn without_effect(&self, found: &mut Vec<String>) {
        let band = self.net_exposure_min.is_some() || self.net_exposure_max.is_some();
        if band && self.max_net_exposure.is_some() {
            found.push("constraints.max_net_exposure has no effect beside a net exposure band".to_owned());
        }
    }
}
