//! What cash would have earned: the same on all days, or a rate for each. Where the rates come from is told in `market`.

use std::borrow::Cow;

use super::returns::{daily_rate, mean};
use crate::engine::config::{RatePeriod, RiskFree};

/// Risk-free rates of the days of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RiskFreeDays {
    /// A year's rate, as a fraction; of rates by day their mean.
    pub annual: f64,
    /// What that is for one bar.
    pub daily: f64,
    /// What each day's is for one bar. `None`: the same on all days.
    by_day: Option<Vec<f64>>,
    /// The same for a year.
    yearly: Vec<f64>,
}

impl RiskFreeDays {
    /// `rates`: one for each day, for the period that `chosen` says, where it is a series.
    pub fn of(chosen: &RiskFree, rates: Option<&[f64]>, periods_per_year: f64) -> Self {
        let (rates, per) = match (chosen, rates) {
            (RiskFree::Series(series), Some(rates)) => (rates, series.per),
            (RiskFree::Rate(annual), _) => {
                return Self {
                    annual: *annual,
                    daily: daily_rate(*annual, periods_per_year),
                    by_day: None,
                    yearly: Vec::new(),
                };
            }
            (RiskFree::Series(_), None) => (&[][..], RatePeriod::Year),
        };
        let in_year = |rate: f64| match per {
            RatePeriod::Year => rate,
            RatePeriod::Day => (1.0 + rate).powf(periods_per_year) - 1.0,
        };
        let in_day = |rate: f64| match per {
            RatePeriod::Year => daily_rate(rate, periods_per_year),
            RatePeriod::Day => rate,
        };
        let yearly: Vec<f64> = rates.iter().copied().map(in_year).collect();
        let annual = mean(&yearly).unwrap_or(0.0);
        let by_day = Some(rates.iter().copied().map(in_day).collect());
        Self { annual, daily: daily_rate(annual, periods_per_year), by_day, yearly }
    }

    /// The rate of a day, for a year.
    pub fn annual_at(&self, day: usize) -> f64 {
        self.yearly.get(day).copied().unwrap_or(self.annual)
    }

    /// The rate of a day, for one bar.
    pub fn at(&self, day: usize) -> f64 {
        self.by_day.as_ref().and_then(|days| days.get(day).copied()).unwrap_or(self.daily)
    }

    /// Returns of the days from the second on, and the rate that is still to be taken off each.
    pub fn excess<'r>(&self, returns: &'r [f64]) -> (Cow<'r, [f64]>, f64) {
        if self.by_day.is_none() {
            return (returns.into(), self.daily);
        }
        let excess: Vec<f64> = (1..).zip(returns).map(|(day, one)| one - self.at(day)).collect();
        (excess.into(), 0.0)
    }
}
