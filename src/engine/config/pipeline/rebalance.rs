//! When a configured strategy selects anew.

use crate::engine::config::options::{Scalar as _, count, options, word, words};
use crate::engine::config::reader::Fields;

options! {
    /// When a configured strategy selects anew. The first bar always counts.
    RebalanceConfig {
        /// How often.
        freq: Freq = word().or(Freq::Daily),
        /// Bars between two rebalances, for `every_n_days` only.
        #[serde(skip_serializing_if = "Option::is_none")]
        every_n_days: Option<u32> = count(1).off(),
        /// The day of the week, for `weekly` only: every bar on that day.
        #[serde(skip_serializing_if = "Option::is_none")]
        weekday: Option<WeekdayWord> = word().off(),
        /// The first bar on or after this day of the month, for `monthly` only.
        #[serde(skip_serializing_if = "Option::is_none")]
        day_of_month: Option<u32> = count(1).at_most(31).switched(None),
        /// What happens if that day is not a trading day.
        allow_nontrading_shift: Shift = word().or(Shift::None),
    }
    checked by Self::check
}

words! {
    /// How often a configured strategy selects.
    Freq {
        /// On every bar.
        Daily = "daily",
        /// By ISO week.
        Weekly = "weekly",
        /// By month.
        Monthly = "monthly",
        /// By quarter.
        Quarterly = "quarterly",
        /// By year.
        Annually = "annually",
        /// After a number of bars.
        EveryNDays = "every_n_days",
    }
}

words! {
    /// A day of the week.
    WeekdayWord {
        /// Monday.
        Mon = "mon",
        /// Tuesday.
        Tue = "tue",
        /// Wednesday.
        Wed = "wed",
        /// Thursday.
        Thu = "thu",
        /// Friday.
        Fri = "fri",
    }
}

words! {
    /// Where a rebalance moves if its day is not a trading day. A day of the month always moves to the next bar
    /// unless it is told to move to the previous one.
    Shift {
        /// A weekday that is a holiday is left out.
        None = "none",
        /// To the last bar before.
        Prev = "prev",
        /// To the first bar after.
        Next = "next",
    }
}

impl RebalanceConfig {
    fn check(&self, f: &Fields<'_>) {
        if self.freq == Freq::EveryNDays && f.lacks("every_n_days") {
            f.fault("every_n_days", "is required with freq: every_n_days");
        }
    }

    pub(super) fn without_effect(&self, path: &str, found: &mut Vec<String>) {
        let path = format!("{path}.rebalance");
        for (key, given, wanted) in [
            ("every_n_days", self.every_n_days.is_some(), Freq::EveryNDays),
            ("weekday", self.weekday.is_some(), Freq::Weekly),
            ("day_of_month", self.day_of_month.is_some(), Freq::Monthly),
        ] {
            if given && self.freq != wanted {
                found.push(format!("{path}.{key} has no effect: it goes with freq: {}", wanted.as_str()));
            }
        }
        let (by_week, by_month) = (self.by_week(), self.by_month());
        match self.allow_nontrading_shift {
            Shift::None => {}
            Shift::Next if by_month => found.push(format!(
                "{path}.allow_nontrading_shift has no effect: a day of the month moves to the next bar anyway"
            )),
            Shift::Prev | Shift::Next if by_week || by_month => found.push(format!(
                "{path}.allow_nontrading_shift moves rebalances; the reference implementation ignored it"
            )),
            Shift::Prev | Shift::Next => found.push(format!(
                "{path}.allow_nontrading_shift has no effect: it goes with a weekday or a day_of_month"
            )),
        }
    }

    /// A rebalance that moves to the last bar before its day is seen once the bar after that day is there.
    pub(in crate::engine::config) fn undecided_on_last_day(&self, path: &str, found: &mut Vec<String>) {
        if self.allow_nontrading_shift == Shift::Prev && (self.by_week() || self.freq == Freq::Monthly) {
            found.push(format!(
                "output.save_orders: {path}.rebalance.allow_nontrading_shift: prev hangs on the date of the next bar; a rebalance \
                 that moves to the last day is not among its orders"
            ));
        }
    }

    fn by_week(&self) -> bool {
        self.freq == Freq::Weekly && self.weekday.is_some()
    }

    fn by_month(&self) -> bool {
        self.freq == Freq::Monthly && self.day_of_month.is_some()
    }
}
