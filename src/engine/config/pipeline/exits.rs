//! Who leaves a configured strategy, or is cut.

use crate::engine::config::needs::Needs;
use crate::engine::config::options::{
    Bounds, Scalar as _, choices, count_or_less, flag, number, options, text, variants, word, words,
};
use crate::engine::config::price_column::{PriceColumn, price_column};

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
        /// Today's close on the wrong side of a mean.
        TrailingMa = "trailing_ma" {
            /// Bars in the mean; 0: off.
            days: u32 = count_or_less(0).required(),
            /// Which price the mean is of.
            price_col: PriceColumn = price_column().or(PriceColumn::Close),
            /// Whether shorts leave above the mean; otherwise every holding leaves below it.
            side_aware: bool = flag().or(true),
        },
        /// A loss from entry.
        StopLoss = "stop_loss" {
            /// As a fraction of the entry price; off outside (0, 1).
            pct: f64 = number(Bounds::ANY).required(),
            /// Whether the worst price of the bar counts instead of its close.
            use_intraday_extremes: bool = flag().or(true),
            /// No effect.
            #[serde(skip_serializing_if = "Option::is_none")]
            price_col: Option<String> = text().off(),
        },
        /// A gain from entry.
        TakeProfit = "take_profit" {
            /// As a fraction of the entry price; off outside (0, 1).
            pct: f64 = number(Bounds::ANY).required(),
            /// No effect.
            #[serde(skip_serializing_if = "Option::is_none")]
            price_col: Option<String> = text().off(),
        },
        /// A loss from the best price.
        TrailingStop = "trailing_stop" {
            /// As a fraction of that price; off outside (0, 1).
            pct: f64 = number(Bounds::ANY).required(),
            /// Whether that is the best price since entry; otherwise the entry price.
            uses_hwm_lwm: bool = flag().or(true),
        },
        /// A number of bars.
        TimeStop = "time_stop" {
            /// Bars held, the entry day included; 0: off.
            days: u32 = count_or_less(0).required(),
        },
        /// A cut after a number of bars.
        PartialExitAfterDays = "partial_exit_after_days" {
            /// Bars held, the entry day included; 0: off.
            days: u32 = count_or_less(0).required(),
            /// Share that the cut takes away; off outside [0, 1].
            fraction: f64 = number(Bounds::ANY).or(0.0),
            /// Whether it fires only once per holding; otherwise on every later bar too, without cutting deeper, which
            /// keeps exits from firing where the first match or a cut counts.
            once: bool = flag().or(true),
        },
    }
}

impl ExitStage {
    pub(super) fn needs(&self, needs: &mut Needs) {
        for rule in self.rules.iter().filter(|rule| rule.is_off().is_none()) {
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
        let cuts = |rule: &ExitRule| match rule {
            ExitRule::PartialExitAfterDays { fraction, .. } => *fraction > 0.0 && rule.is_off().is_none(),
            ExitRule::TrailingMa { .. }
            | ExitRule::StopLoss { .. }
            | ExitRule::TakeProfit { .. }
            | ExitRule::TrailingStop { .. }
            | ExitRule::TimeStop { .. } => false,
        };
        self.rules.iter().any(cuts)
    }

    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        for (i, rule) in self.rules.iter().enumerate() {
            let path = format!("{path}.exits.rules[{i}]");
            if let Some(because) = rule.is_off() {
                found.push(format!("{path} has no effect: {because}"));
                continue;
            }
            match rule {
                ExitRule::StopLoss { price_col: Some(_), .. }
                | ExitRule::TakeProfit { price_col: Some(_), .. } => {
                    found.push(format!("{path}.price_col has no effect"));
                }
                ExitRule::PartialExitAfterDays { fraction, .. } if *fraction == 0.0 => {
                    found.push(format!("{path}.fraction is 0, so that it cuts nothing"));
                }
                ExitRule::TrailingMa { .. }
                | ExitRule::StopLoss { .. }
                | ExitRule::TakeProfit { .. }
                | ExitRule::TrailingStop { .. }
                | ExitRule::TimeStop { .. }
                | ExitRule::PartialExitAfterDays { .. } => {}
            }
        }
    }
}

impl ExitRule {
    /// Why it never fires, if it does not.
    pub(crate) fn is_off(&self) -> Option<&'static str> {
        let part = |pct: f64| (!(pct > 0.0 && pct < 1.0)).then_some("its pct is not in (0, 1)");
        match self {
            Self::StopLoss { pct, .. } | Self::TakeProfit { pct, .. } | Self::TrailingStop { pct, .. } => {
                part(*pct)
            }
            Self::TrailingMa { days: 0, .. }
            | Self::TimeStop { days: 0 }
            | Self::PartialExitAfterDays { days: 0, .. } => Some("its days are 0"),
            Self::PartialExitAfterDays { fraction, .. } => {
                (!(0.0..=1.0).contains(fraction)).then_some("its fraction is not in [0, 1]")
            }
            Self::TrailingMa { .. } | Self::TimeStop { .. } => None,
        }
    }
}
