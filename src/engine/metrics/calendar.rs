//! How many bars make a year, as the dates of the bars say.

use chrono::{Datelike as _, NaiveDate, Weekday};

/// Trading days in a year, where there is trading on weekdays.
pub const TRADING_DAYS: f64 = 252.0;

/// Bars in a year: 12 for monthly bars, 52 for weekly ones; for daily ones 365 where weekends trade, otherwise 252, also
/// without two bars. Told by the median gap and, of daily bars, by the share of Saturdays and Sundays: two in seven where
/// every day trades, one in five where the week begins on Sunday. `dates` ascend.
pub fn periods_per_year(dates: &[NaiveDate]) -> f64 {
    let mut gaps: Vec<i64> = dates.windows(2).map(|pair| (pair[1] - pair[0]).num_days()).collect();
    if gaps.is_empty() {
        return TRADING_DAYS;
    }
    let middle = gaps.len() / 2;
    let (_, &mut median, _) = gaps.select_nth_unstable(middle);
    let is_weekend = |date: &&NaiveDate| matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
    let weekends = dates.iter().filter(is_weekend).count() as f64 / dates.len() as f64;
    match median {
        20.. => 12.0,
        5.. => 52.0,
        _ if weekends > 0.25 => 365.0,
        _ => TRADING_DAYS,
    }
}

/// Weekdays from `first` on and before `end`.
pub fn weekdays(first: NaiveDate, end: NaiveDate) -> i64 {
    // Of any seven days in a row five are weekdays, so that only the rest of a week is counted.
    let days = (end - first).num_days().max(0);
    let rest = first.iter_days().take((days % 7) as usize);
    5 * (days / 7) + rest.filter(|date| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)).count() as i64
}
