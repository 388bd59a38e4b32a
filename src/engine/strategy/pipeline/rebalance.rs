//! When a pipeline selects anew.

use chrono::{Datelike as _, Days, NaiveDate, Weekday};

use super::super::View;
use super::super::schedule::{month, quarter, week_changed};
use crate::engine::config::{Freq, RebalanceConfig, Shift, WeekdayWord};

/// Remembers the last rebalance.
#[derive(Debug)]
pub(super) struct RebalanceSchedule {
    config: RebalanceConfig,
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    /// The day that was meant: the configured weekday, even if the rebalance had to move.
    day: NaiveDate,
    bar: usize,
}

impl RebalanceSchedule {
    pub(super) fn new(config: &RebalanceConfig) -> Self {
        Self { config: config.clone(), last: None }
    }

    /// The day that today's rebalance is meant for. `None` if today is none. It stays due until it is taken.
    pub(super) fn due(&self, view: &View<'_>) -> Option<NaiveDate> {
        let today = view.date();
        let Some(last) = self.last else { return Some(today) };
        let config = &self.config;
        let due = match config.freq {
            Freq::Daily => true,
            Freq::Weekly => return self.weekly(view, last),
            Freq::Monthly => self.monthly(view, last),
            Freq::Quarterly => quarter(last.day) != quarter(today),
            Freq::Annually => last.day.year() != today.year(),
            Freq::EveryNDays => view.bar - last.bar >= config.every_n_days.map_or(1, |n| n as usize),
        };
        due.then_some(today)
    }

    /// Remembers that today's rebalance, meant for `day`, was made.
    pub(super) fn take(&mut self, view: &View<'_>, day: NaiveDate) {
        self.last = Some(Last { day, bar: view.bar });
    }

    fn weekly(&self, view: &View<'_>, last: Last) -> Option<NaiveDate> {
        let today = view.date();
        let Some(weekday) = self.config.weekday.map(WeekdayWord::day) else {
            return week_changed(last.day, today).then_some(today);
        };
        // Every such day, that of the first bar's week too; but none counts twice.
        let (from, to) = self.reach(view);
        let mut days = from.iter_days().take_while(|&day| day <= to);
        days.find(|day| day.weekday() == weekday && *day > last.day)
    }

    fn monthly(&self, view: &View<'_>, last: Last) -> bool {
        let today = view.date();
        let day_of_month = self.config.day_of_month.unwrap_or(1);
        if self.config.allow_nontrading_shift != Shift::Prev {
            return month(last.day) != month(today) && today.day() >= day_of_month;
        }
        // The last bar on or before the day; a shorter month ends on that day.
        let (from, to) = self.reach(view);
        let ends = |day: NaiveDate| day.succ_opt().is_none_or(|next| next.month() != day.month());
        let mut days = from.iter_days().take_while(|&day| day <= to);
        days.any(|day| {
            month(last.day) != month(day)
                && (day.day() == day_of_month || (day.day() < day_of_month && ends(day)))
        })
    }

    /// The days for which today's bar stands: itself, and the days without a bar before or after it if
    /// rebalances may move.
    fn reach(&self, view: &View<'_>) -> (NaiveDate, NaiveDate) {
        let (dates, today) = (view.market.dates(), view.date());
        match self.config.allow_nontrading_shift {
            Shift::None => (today, today),
            Shift::Next => {
                let before = view.bar.checked_sub(1).map(|bar| dates[bar]);
                (before.and_then(|day| day.succ_opt()).unwrap_or(today), today)
            }
            Shift::Prev => {
                let after = dates.get(view.bar + 1);
                (today, after.and_then(|day| day.checked_sub_days(Days::new(1))).unwrap_or(today))
            }
        }
    }
}

impl WeekdayWord {
    fn day(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Mon,
            Self::Tue => Weekday::Tue,
            Self::Wed => Weekday::Wed,
            Self::Thu => Weekday::Thu,
            Self::Fri => Weekday::Fri,
        }
    }
}
