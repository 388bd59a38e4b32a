//! Returns by month, quarter and year, each from the last value of the period before (the initial cash for the
//! first), so that they compound to the total.

use chrono::{Datelike as _, NaiveDate};
use serde::Serialize;

/// Returns by calendar period. A period without a trading day is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PeriodReturns {
    /// One row per year.
    pub years: Vec<YearReturns>,
}

/// The returns of one calendar year.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct YearReturns {
    /// Calendar year.
    pub year: i32,
    /// January to December.
    pub months: [Option<f64>; 12],
    /// The four quarters.
    pub quarters: [Option<f64>; 4],
    /// The whole year.
    pub total: Option<f64>,
}

impl PeriodReturns {
    /// `dates` ascend and `values` (portfolio values) are parallel to them. A return from a value that is not
    /// positive is `None`.
    pub fn of(dates: &[NaiveDate], values: &[f64], initial_cash: f64) -> Self {
        let mut years: Vec<YearReturns> = Vec::new();
        let mut last_of_month = initial_cash;
        let (mut last_of_quarter, mut last_of_year) = (initial_cash, initial_cash);
        let mut day = 0;
        for month in dates.chunk_by(|a, b| (a.year(), a.month()) == (b.year(), b.month())) {
            day += month.len();
            let (date, value, next) = (month[0], values[day - 1], dates.get(day));
            if years.last().is_none_or(|last| last.year != date.year()) {
                years.push(YearReturns { year: date.year(), ..YearReturns::default() });
            }
            let Some(year) = years.last_mut() else { continue };
            year.months[date.month0() as usize] = growth(last_of_month, value);
            last_of_month = value;
            let ends_year = next.is_none_or(|next| next.year() != date.year());
            if ends_year || next.is_some_and(|next| next.quarter() != date.quarter()) {
                year.quarters[date.quarter() as usize - 1] = growth(last_of_quarter, value);
                last_of_quarter = value;
            }
            if ends_year {
                year.total = growth(last_of_year, value);
                last_of_year = value;
            }
        }
        Self { years }
    }

    /// All months that have a return, in order.
    pub fn months(&self) -> impl Iterator<Item = f64> + '_ {
        self.years.iter().flat_map(|year| year.months.iter().flatten().copied())
    }
}

fn growth(from: f64, to: f64) -> Option<f64> {
    (from > 0.0).then(|| to / from - 1.0)
}
