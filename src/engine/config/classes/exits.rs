//! The exits that event strategies share, as parameters of theirs.

use serde::Serialize;

use crate::engine::config::needs::Needs;
use crate::engine::config::options::{
    Bounds, Kind, Scalar as _, Section as _, count, flag, number, options, untold,
};
use crate::engine::config::reader::Fields;
use crate::engine::config::schema::ObjectSchema;

/// When a class strategy ends or cuts a holding; checked in the order of the fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExitConfig {
    /// Bars in the mean of closes that ends a holding. `None`: off.
    pub trailing_ma_days: Option<u32>,
    /// The others.
    #[serde(flatten)]
    pub stops: Stops,
}

options! {
    /// Exits with the same default in every class.
    Stops {
        /// Bars after which a holding ends. `None`: off.
        time_stop_days: Option<u32> = count(1).off(),
        /// Loss from entry that ends a holding. `None`: off.
        stop_loss_pct: Option<f64> = number(Bounds::PART).off(),
        /// Gain from entry that ends a holding. `None`: off.
        take_profit_pct: Option<f64> = number(Bounds::POSITIVE).off(),
        /// Loss from the best price since entry that ends a holding. `None`: off.
        trailing_stop_pct: Option<f64> = number(Bounds::PART).off(),
        /// Whether long stops look at the low of a bar instead of its close; short stops always look at the high.
        use_low_for_stop: bool = flag().or(true),
        /// Bars after which a holding is cut. `None`: off.
        partial_exit_days: Option<u32> = count(1).off(),
        /// Share that a cut takes away.
        partial_exit_fraction: f64 = number(Bounds::between(0.0, 1.0)).or(0.5),
    }
}

/// Exits among the parameters of a class, with its own default for the days of the mean.
pub(super) struct Exits {
    pub(super) trailing_ma_days: u32,
}

impl Kind for Exits {
    type Value = ExitConfig;

    fn read(&self, f: &Fields<'_>, _: &'static str) -> ExitConfig {
        ExitConfig {
            trailing_ma_days: count(1).switched(Some(self.trailing_ma_days)).read(f, "trailing_ma_days"),
            stops: Stops::read(f),
        }
    }

    fn describe(&self, _: &'static str, _: &str, object: &mut ObjectSchema<'_>) {
        let mean = count(1).switched(Some(self.trailing_ma_days));
        mean.describe(
            "trailing_ma_days",
            "Bars in the mean of closes that ends a holding; null: off.",
            object,
        );
        Stops::describe(object);
    }
}

impl Stops {
    /// Whether a holding is ever cut.
    pub(super) fn cuts(&self) -> bool {
        self.partial_exit_days.is_some() && self.partial_exit_fraction > 0.0
    }

    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        let path = format!("{path}.parameters");
        if self.partial_exit_days.is_some() && self.partial_exit_fraction == 0.0 {
            found.push(format!("{path}.partial_exit_fraction is 0, so that nothing is cut"));
        }
        if self.partial_exit_days.is_none()
            && self.partial_exit_fraction != untold::<Self>().partial_exit_fraction
        {
            found.push(format!("{path}.partial_exit_fraction has no effect without partial_exit_days"));
        }
        if !self.use_low_for_stop && self.stop_loss_pct.is_none() && self.trailing_stop_pct.is_none() {
            found.push(format!("{path}.use_low_for_stop has no effect without a stop"));
        }
    }
}

impl ExitConfig {
    pub(super) fn needs(&self, needs: &mut Needs) {
        if let Some(days) = self.trailing_ma_days {
            needs.bars_to_today(days);
        }
        needs.prices.high_low |= self.stops.stop_loss_pct.is_some()
            || self.stops.take_profit_pct.is_some()
            || self.stops.trailing_stop_pct.is_some();
    }
}
