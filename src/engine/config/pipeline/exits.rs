//! Who leaves a configured strategy, or is cut.

use super::PriceColumn;
use crate::engine::config::needs::Needs;
use crate::engine::config::options::{
    Bounds, Scalar as _, choices, count, flag, number, options, variants, word, words,
};

options! {
    /// Who leaves, or is cut.
    ExitStage {
        /// What counts when several rules fire for one holding.
        precedence: Precedence = word().or(Precedence::ExitOverScale),
        /// The rules, in this order.
        rules: Vec<ExitRule> = choices(),
    }
}

words! {
    /// What counts when several exit rules fire.
    Precedence {
        /// A full exit.
        ExitOverScale = "exit_over_scale",
        /// A cut.
        ScaleOverExit = "scale_over_exit",
        /// The first rule that fires.
        FirstMatch = "first_match",
    }
}

variants! {
    /// A rule that ends or cuts a holding.
    ExitRule {
        /// A price on the wrong side of its own mean.
        TrailingMa = "trailing_ma" {
            /// Bars in the mean.
            days: u32 = count(1).required(),
            /// Which price.
            price_col: PriceColumn = word().or(PriceColumn::Close),
            /// Whether shorts leave above the mean; otherwise every holding leaves below it.
            side_aware: bool = flag().or(true),
        },
        /// A loss from entry.
        StopLoss = "stop_loss" {
            /// As a fraction of the entry price.
            pct: f64 = number(Bounds::PART).required(),
            /// Whether the worst price of the bar counts instead of its close.
            use_intraday_extremes: bool = flag().or(true),
        },
        /// A gain from entry.
        TakeProfit = "take_profit" {
            /// As a fraction of the entry price.
            pct: f64 = number(Bounds::POSITIVE).required(),
        },
        /// A loss from the best price.
        TrailingStop = "trailing_stop" {
            /// As a fraction of that price.
            pct: f64 = number(Bounds::PART).required(),
            /// Whether that is the best price since entry; otherwise the entry price.
            uses_hwm_lwm: bool = flag().or(true),
        },
        /// A number of bars.
        TimeStop = "time_stop" {
            /// Bars held, the entry day included.
            days: u32 = count(1).required(),
        },
        /// A cut after a number of bars.
        PartialExitAfterDays = "partial_exit_after_days" {
            /// Bars held, the entry day included.
            days: u32 = count(1).required(),
            /// Share that the cut takes away.
            fraction: f64 = number(Bounds::SHARE).or(0.5),
            /// Whether it fires only once per holding; otherwise on every later bar too, without cutting deeper, which
            /// keeps exits from firing where the first match or a cut counts.
            once: bool = flag().or(true),
        },
    }
}

impl ExitStage {
    pub(super) fn needs(&self, needs: &mut Needs) {
        for rule in &self.rules {
            match rule {
                ExitRule::TrailingMa { days, price_col, .. } => {
                    needs.bars_to_today(*days);
                    price_col.needs(needs);
                }
                ExitRule::StopLoss { use_intraday_extremes, .. } => {
                    needs.prices.high_low |= *use_intraday_extremes;
                }
                ExitRule::TakeProfit { .. } | ExitRule::TrailingStop { .. } => needs.prices.high_low = true,
                ExitRule::TimeStop { .. } | ExitRule::PartialExitAfterDays { .. } => {}
            }
        }
    }

    /// Whether a rule cuts holdings.
    pub(super) fn cuts(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule, ExitRule::PartialExitAfterDays { .. }))
    }
}
