//! When a timer fires: NCRONTAB expressions and constant intervals, as the timer trigger of the Functions host reads them.
//! Pure arithmetic on instants; waiting and remembering is for others.
//!
//! The dialect differs from the cron libraries in small ways that matter (a reversed range is swapped, `a/n` runs
//! to the end of the field, Sunday is only 0, both day fields must match), hence the six bit masks here. Times
//! are UTC, as in Azure, so that a schedule means the same on every desk.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};

/// Days looked through for the next occurrence: 29 February on a given weekday returns within 40 years.
const DAYS_SEARCHED_MAX: usize = 41 * 366;

/// The schedule of a timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// Fires at the instants whose six fields all match.
    Cron(Box<Cron>),
    /// Fires at a constant distance from the last run.
    Every(Duration),
}

/// One bit mask per field; bit `n` stands for the value `n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(String);

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const SECONDS: Field = Field { name: "seconds", min: 0, max: 59, names: &[] };
const MINUTES: Field = Field { name: "minutes", min: 0, max: 59, names: &[] };
const HOURS: Field = Field { name: "hours", min: 0, max: 23, names: &[] };
const DAYS: Field = Field { name: "day of month", min: 1, max: 31, names: &[] };
const MONTHS: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &[
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ],
};
const WEEKDAYS: Field = Field {
    name: "day of week",
    min: 0,
    max: 6,
    names: &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"],
};

impl Schedule {
    /// Reads six fields (`second minute hour day month weekday`), five (without seconds) or an interval
    /// (`hh:mm:ss`, `d.hh:mm:ss`).
    pub fn parse(text: &str) -> Result<Schedule, ScheduleError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        match fields[..] {
            [second, minute, hour, day, month, weekday] => {
                Cron::parse([second, minute, hour, day, month, weekday])
                    .map(|cron| Schedule::Cron(cron.into()))
            }
            [minute, hour, day, month, weekday] => {
                Cron::parse(["0", minute, hour, day, month, weekday]).map(|cron| Schedule::Cron(cron.into()))
            }
            [one] if one.contains(':') => match parse_time_span(one) {
                Some(interval) if !interval.is_zero() => Ok(Schedule::Every(interval)),
                _ => Err(ScheduleError(format!("`{one}` is not an interval `hh:mm:ss` longer than zero"))),
            },
            _ => Err(ScheduleError(format!(
                "expected 6 fields (or 5, without seconds), found {}",
                fields.len()
            ))),
        }
    }

    /// The first occurrence strictly later than `base`; `None` for a day that never comes (30 February).
    pub fn next_after(&self, base: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Schedule::Every(interval) => base.checked_add_signed(TimeDelta::from_std(*interval).ok()?),
            Schedule::Cron(cron) => cron.next_after(base),
        }
    }

    /// Whether some occurrences lie less than a minute apart; the host keeps no status for such a timer.
    pub fn is_denser_than_a_minute(&self) -> bool {
        match self {
            Schedule::Every(interval) => *interval < Duration::from_secs(60),
            Schedule::Cron(cron) => cron.seconds.count_ones() > 1,
        }
    }

    /// Whether daylight saving applies: yes for a calendar expression, no for an interval.
    pub fn adjusts_for_daylight_saving(&self) -> bool {
        matches!(self, Schedule::Cron(_))
    }
}

impl Cron {
    fn parse(fields: [&str; 6]) -> Result<Cron, ScheduleError> {
        let [second, minute, hour, day, month, weekday] = fields;
        Ok(Cron {
            seconds: SECONDS.mask(second)?,
            minutes: MINUTES.mask(minute)?,
            hours: HOURS.mask(hour)?,
            days: DAYS.mask(day)?,
            months: MONTHS.mask(month)?,
            weekdays: WEEKDAYS.mask(weekday)?,
        })
    }

    fn next_after(&self, base: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let start = base.with_nanosecond(0)?.checked_add_signed(TimeDelta::seconds(1))?;
        let mut earliest = start.time();
        for day in start.date_naive().iter_days().take(DAYS_SEARCHED_MAX) {
            if self.matches_day(day)
                && let Some(time) = self.first_time(earliest)
            {
                return Some(day.and_time(time).and_utc());
            }
            earliest = NaiveTime::MIN;
        }
        None
    }

    fn matches_day(&self, day: NaiveDate) -> bool {
        has(self.months, day.month())
            && has(self.days, day.day())
            && has(self.weekdays, day.weekday().num_days_from_sunday())
    }

    /// The first matching time of day not before `earliest`.
    fn first_time(&self, earliest: NaiveTime) -> Option<NaiveTime> {
        let (from_hour, from_minute, from_second) = (earliest.hour(), earliest.minute(), earliest.second());
        for hour in from(self.hours, from_hour) {
            let minute_min = if hour == from_hour { from_minute } else { 0 };
            for minute in from(self.minutes, minute_min) {
                let same_minute = hour == from_hour && minute == from_minute;
                let second_min = if same_minute { from_second } else { 0 };
                if let Some(second) = from(self.seconds, second_min).next() {
                    return NaiveTime::from_hms_opt(hour, minute, second);
                }
            }
        }
        None
    }
}

impl Field {
    fn mask(&self, text: &str) -> Result<u64, ScheduleError> {
        text.split(',').try_fold(0, |mask, item| Ok(mask | self.item(item)?))
    }

    /// `*`, `a` or `a-b`, each with an optional `/step`.
    fn item(&self, item: &str) -> Result<u64, ScheduleError> {
        let (range, step) = match item.split_once('/') {
            None => (item, None),
            Some((range, step)) => match step.parse::<u32>() {
                Ok(step) => (range, Some(step.max(1))),
                Err(_) => return Err(self.fault(item, "the step is not a number")),
            },
        };
        let (low, high) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.max),
            Some((low, high)) => (self.value(item, low)?, self.value(item, high)?),
            None => {
                let value = self.value(item, range)?;
                (value, if step.is_some() { self.max } else { value })
            }
        };
        let (low, high) = (low.min(high), low.max(high));
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
        Ok((low..=high).step_by(step).fold(0, |mask, value| mask | 1 << value))
    }

    fn value(&self, item: &str, text: &str) -> Result<u32, ScheduleError> {
        if let Ok(value) = text.parse::<u32>() {
            if (self.min..=self.max).contains(&value) {
                return Ok(value);
            }
            return Err(self.fault(item, &format!("{value} is not within {} to {}", self.min, self.max)));
        }
        let prefix = text.to_ascii_lowercase();
        let names = if prefix.is_empty() { &[] } else { self.names };
        match (self.min..).zip(names).find(|(_, name)| name.starts_with(&prefix)) {
            Some((value, _)) => Ok(value),
            None => Err(self.fault(item, &format!("`{text}` is not a value of this field"))),
        }
    }

    fn fault(&self, item: &str, why: &str) -> ScheduleError {
        ScheduleError(format!("{} `{item}`: {why}", self.name))
    }
}

/// Reads a .NET time span: `hh:mm`, `hh:mm:ss[.fraction]`, `d.hh:mm:ss`, or a plain number of days. A first part
/// above 23 makes `24:00:00` mean 24 days, as .NET has it. `None` if it is none of these, or negative.
pub fn parse_time_span(text: &str) -> Option<Duration> {
    const DAY_SECONDS: u64 = 86_400;
    let text = text.trim();
    if let Ok(days) = text.parse::<u64>() {
        return days.checked_mul(DAY_SECONDS).map(Duration::from_secs);
    }
    let (clock, mut days) = match text.split_once('.') {
        Some((days, clock)) if !days.contains(':') => (clock, days.parse::<u64>().ok()?),
        _ => (text, 0),
    };
    let parts: Vec<&str> = clock.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes] => (hours, minutes, "0"),
        [first, hours, minutes] if days == 0 && first.parse::<u64>().is_ok_and(|first| first > 23) => {
            days = first.parse().ok()?;
            (hours, minutes, "0")
        }
        [hours, minutes, seconds] => (hours, minutes, seconds),
        _ => return None,
    };
    let (hours, minutes) = (hours.parse::<u64>().ok()?, minutes.parse::<u64>().ok()?);
    let seconds = seconds.parse::<f64>().ok().filter(|seconds| (0.0..60.0).contains(seconds))?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let whole = days.checked_mul(DAY_SECONDS)?.checked_add(hours * 3600 + minutes * 60)?;
    Some(Duration::from_secs(whole) + Duration::from_secs_f64(seconds))
}

fn has(mask: u64, value: u32) -> bool {
    mask >> value & 1 == 1
}

/// The values of `mask` from `min` upwards.
fn from(mask: u64, min: u32) -> impl Iterator<Item = u32> {
    (min..u64::BITS).filter(move |value| has(mask, *value))
}
