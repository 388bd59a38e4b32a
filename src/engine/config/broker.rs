//! How targets become fills, and what fills cost.

use super::needs::Needs;
use super::options::{Bounds, Scalar as _, count, flag, number, options, word, words};

words! {
    /// The price at which a decision is executed.
    FillPolicy {
        /// The open of the next bar.
        NextOpen = "next_open",
        /// The close of the next bar.
        NextClose = "next_close",
    }
}

words! {
    /// How a quantity becomes whole lots.
    RoundingMode {
        /// Fewer shares, whichever side.
        TowardZero = "toward_zero",
        /// The nearest lot, half to even.
        Nearest = "nearest",
        /// Down, so that sales grow.
        Floor = "floor",
        /// Up, so that purchases grow.
        Ceil = "ceil",
    }
}

words! {
    /// What happens to an order of a symbol without a price at the fill.
    MissingPrice {
        /// It is dropped, and listed among the rejected orders.
        Skip = "skip",
        /// The same.
        Reject = "reject",
    }
}

words! {
    /// What becomes of an order that finds no bar at its fill.
    Unfilled {
        /// It is dropped, and listed among the rejected orders.
        Drop = "drop",
        /// It waits for the symbol's next bar, for five bars at most.
        NextBar = "next_bar",
    }
}

words! {
    /// What happens when the account is worth nothing any more.
    OnRuin {
        /// The run ends on that day.
        Stop = "stop",
        /// It goes on, with figures that stop there.
        Continue = "continue",
    }
}

options! {
    /// How targets become fills, and what fills cost.
    BrokerConfig {
        /// Distance of fill and market price, in basis points.
        slippage_bps: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Distance of bid and ask in basis points; a fill pays half of it.
        spread_bps: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Commission as a rate on the notional.
        commission: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// The price at which a decision is executed.
        fill_policy: FillPolicy = word().or(FillPolicy::NextOpen),
        /// Whether parts of a share trade.
        allow_fractional_shares: bool = flag().or(true),
        /// Shares per lot; other than 1 makes lots bind even with fractional shares.
        lot_size: f64 = number(Bounds::POSITIVE).or(1.0),
        /// How a quantity becomes whole lots.
        rounding_mode: RoundingMode = word().or(RoundingMode::TowardZero),
        /// Smaller fills are rejected; in money.
        min_trade_notional: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// Smaller fills are rejected; in shares.
        min_trade_shares: f64 = number(Bounds::at_least(0.0)).or(0.0),
        /// What happens without a price at the fill: both words mean the same.
        on_missing_price: MissingPrice = word().or(MissingPrice::Skip),
        /// What becomes of an order that finds no bar at its fill.
        unfilled: Unfilled = word().or(Unfilled::Drop),
        /// What happens when the account is worth nothing any more.
        on_ruin: OnRuin = word().or(OnRuin::Stop),
        /// Largest share of a bar's volume in one fill. `None`: any.
        max_participation_rate: Option<f64> = number(Bounds::SHARE).off(),
        /// Bars without a price after which a holding is closed at its last price. `None`: never.
        max_stale_days: Option<u32> = count(1).off(),
    }
}

impl BrokerConfig {
    pub(super) fn needs(&self, needs: &mut Needs) {
        needs.prices.volume |= self.max_participation_rate.is_some();
    }

    pub(super) fn without_effect(&self, found: &mut Vec<String>) {
        let lots = !self.allow_fractional_shares || self.lot_size != 1.0;
        if !lots && self.rounding_mode != RoundingMode::TowardZero {
            found.push("broker.rounding_mode has no effect while fractions of a share trade".to_owned());
        }
        if self.lot_size.fract() != 0.0 {
            let whole = self.lot_size.trunc();
            found.push(format!(
                "broker.lot_size is taken as it is, {}; the reference implementation took {whole}",
                self.lot_size
            ));
        }
    }
}
