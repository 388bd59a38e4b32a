//! When a class strategy decides anew, by calendar. The pipeline counts in its own way.

use chrono::{Datelike as _, NaiveDate};

use crate::engine::config::Rebalance;

/// Remembers the last rebalance.
#[derive(Debug)]
pub(super) struct Schedule {
    rule: Rebalance,
    last: Option<NaiveDate>,
}

impl Schedule {
    pub(super) fn new(rule: Rebalance) -> Self {
        Self { rule, last: None }
    }

    /// The first bar from `bar` on that is a rebalance; the number of bars if none is.
    pub(super) fn next(&self, dates: &[NaiveDate], bar: usize) -> usize {
        let later = dates[bar..].iter().position(|&day| self.is_due(day));
        later.map_or(dates.len(), |later| bar + later)
    }

    /// Whether today is a rebalance; if so, it becomes the last one.
    pub(super) fn strikes(&mut self, today: NaiveDate) -> bool {
        let due = self.is_due(today);
        if due {
            self.last = Some(today);
        }
        due
    }

    fn is_due(&self, today: NaiveDate) -> bool {
        self.last.is_none_or(|last| is_due(self.rule, last, today))
    }
}

fn is_due(rule: Rebalance, last: NaiveDate, today: NaiveDate) -> bool {
    match rule {
        Rebalance::Daily => true,
        Rebalance::Weekly => week_changed(last, today),
        Rebalance::Monthly => month(last) != month(today),
        Rebalance::Quarterly => quarter(last) != quarter(today),
        Rebalance::Annually => last.year() != today.year(),
        Rebalance::EveryDays(days) => (today - last).num_days() >= i64::from(days),
    }
}

/// Whether the ISO week is another one. Seven days later it always is.
pub(super) fn week_changed(last: NaiveDate, today: NaiveDate) -> bool {
    last.iso_week() != today.iso_week()
}

pub(super) fn month(date: NaiveDate) -> (i32, u32) {
    (date.year(), date.month())
}

pub(super) fn quarter(date: NaiveDate) -> (i32, u32) {
    (date.year(), date.quarter())
}
