//! The one reader of dates. A date is a calendar day: texts, timestamps with and without a zone, days and `YYYYMMDD` as
//! whole numbers become days since 1970-01-01 here, for rows, for partitions and for the statistics that files are left
//! out by. Which column is a date, and what becomes of a row without one, is the caller's.

use std::sync::Arc;

use chrono::{DateTime, Month, NaiveDate, NaiveDateTime, Offset as _, TimeZone as _};
use chrono_tz::Tz;
use deltalake::arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, Int64Type, Schema, TimeUnit, UInt64Type,
};
use deltalake::arrow::error::ArrowError;
use serde_json::Value;

use super::columns;
use crate::engine::config::DateFormat;

/// Unreadable cells that are shown of a column.
const EXAMPLES: usize = 3;

const DAY_SECONDS: i64 = 86_400;

/// What a column alone does not say about its dates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DateReading {
    /// Whose days the instants are that carry no zone but UTC.
    pub time_zone: Option<Tz>,
    /// Which number comes first in a text such as `01/02/2020`; `None` refuses such texts.
    pub order: Option<Order>,
}

/// The order of day and month in a text that ends in the year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `MM/DD/YYYY`.
    MonthFirst,
    /// `DD/MM/YYYY`.
    DayFirst,
}

impl Order {
    /// The order that a config asks for; `None` reads only what tells it.
    pub fn of(format: DateFormat) -> Option<Self> {
        match format {
            DateFormat::Iso => None,
            DateFormat::MonthFirst => Some(Self::MonthFirst),
            DateFormat::DayFirst => Some(Self::DayFirst),
        }
    }
}

/// A column as days.
#[derive(Debug)]
pub struct Days {
    /// Days since 1970-01-01; null where there is none that can be read.
    pub days: Date32Array,
    /// The first cells that are none: their row in the column, and what stands there (nothing if it is empty).
    pub unreadable: Vec<(usize, String)>,
}

/// A column could not be read as dates as a whole.
#[derive(Debug, thiserror::Error)]
pub enum DateError {
    /// Instants, and nothing that says whose days they are.
    #[error(
        "dates are instants with times of day, for example {0}, and no zone says which day each belongs to; set \
         data.time_zone (--time-zone), as America/New_York"
    )]
    Zone(String),
    /// The zone of the column's type is not known.
    #[error("dates have the time zone '{0}', which is not known")]
    UnknownZone(String),
    /// Neither texts nor timestamps nor whole numbers.
    #[error("a column of type {0} holds no dates")]
    Type(DataType),
    /// The column could not be converted.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl From<DateError> for ArrowError {
    fn from(error: DateError) -> Self {
        match error {
            DateError::Arrow(error) => error,
            error => Self::ExternalError(Box::new(error)),
        }
    }
}

/// Whose days instants are.
#[derive(Debug, Clone, Copy)]
enum Zone {
    /// Days as they stand: the timestamps have no zone.
    Local,
    /// UTC, and nothing more was said: only midnights are days.
    Midnights,
    Fixed(i64),
    Named(Tz),
}

impl Zone {
    fn of(named: Option<&str>, reading: DateReading) -> Result<Self, DateError> {
        let Some(named) = named else { return Ok(Self::Local) };
        if matches!(named, "UTC" | "utc" | "Etc/UTC" | "Z" | "+00:00" | "+0000" | "GMT" | "Etc/GMT") {
            return Ok(reading.time_zone.map_or(Self::Midnights, Self::Named));
        }
        if let Some(seconds) = offset_seconds(named) {
            return Ok(Self::Fixed(seconds));
        }
        named.parse().map(Self::Named).map_err(|_| DateError::UnknownZone(named.to_owned()))
    }

    /// The day of a number of seconds since 1970 (of UTC; of the wall clock without a zone).
    fn day(self, seconds: i64) -> Option<i32> {
        let offset = match self {
            Self::Local | Self::Midnights => 0,
            Self::Fixed(offset) => offset,
            Self::Named(zone) => {
                let instant = DateTime::from_timestamp(seconds, 0)?.naive_utc();
                i64::from(zone.offset_from_utc_datetime(&instant).fix().local_minus_utc())
            }
        };
        i32::try_from(seconds.checked_add(offset)?.div_euclid(DAY_SECONDS)).ok()
    }
}

/// `+05:30` in seconds.
fn offset_seconds(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// A column as days since 1970-01-01.
///
/// # Errors
/// When the column as a whole holds no days; single cells that hold none are null.
pub fn read(column: ArrayRef, reading: DateReading) -> Result<Days, DateError> {
    let days = match column.data_type() {
        // Without a copy: of a column of which every row is wanted its numbers are handed on.
        DataType::Date32 => return Ok(Days::of(owned(column), |_| None)),
        DataType::Dictionary(key, _) if **key == DataType::Int32 => {
            let dictionary = column.as_dictionary::<Int32Type>();
            let values = read(Arc::clone(dictionary.values()), reading)?.days;
            let value = |key: i32| values.is_valid(key as usize).then(|| values.value(key as usize));
            dictionary.keys().iter().map(|key| key.and_then(value)).collect()
        }
        DataType::Dictionary(_, values) => return read(cast(&column, values)?, reading),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(&column, &DataType::Utf8)?;
            texts.as_string::<i32>().iter().map(|text| day_of_text(text?, reading.order)).collect()
        }
        DataType::UInt64 => {
            let numbers = column.as_primitive::<UInt64Type>().iter();
            numbers.map(|number| day_of_number(i64::try_from(number?).ok()?)).collect()
        }
        found if found.is_integer() => {
            let numbers = cast(&column, &DataType::Int64)?;
            numbers.as_primitive::<Int64Type>().iter().map(|number| day_of_number(number?)).collect()
        }
        // What becomes of whole numbers beside an empty cell in some programs.
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let numbers = cast(&column, &DataType::Float64)?;
            let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 1e15).then_some(number as i64);
            numbers.as_primitive::<Float64Type>().iter().map(|n| day_of_number(whole(n?)?)).collect()
        }
        DataType::Date64 => instants(&column, TimeUnit::Millisecond, Zone::Local)?,
        DataType::Timestamp(unit, named) => instants(&column, *unit, Zone::of(named.as_deref(), reading)?)?,
        DataType::Null => Date32Array::new_null(column.len()),
        other => return Err(DateError::Type(other.clone())),
    };
    let texts = (days.null_count() > 0).then(|| cast(&column, &DataType::Utf8)).transpose()?;
    let cell = |row: usize| {
        let texts = texts.as_ref()?.as_string::<i32>();
        texts.is_valid(row).then(|| texts.value(row).to_owned())
    };
    Ok(Days::of(days, cell))
}

/// A column of which nothing else is known as days since 1970-01-01; null where there is none that can be read.
pub fn days(column: ArrayRef) -> Result<Date32Array, ArrowError> {
    Ok(read(column, DateReading::default())?.days)
}

impl Days {
    fn of(days: Date32Array, cell: impl Fn(usize) -> Option<String>) -> Self {
        let empty = if days.null_count() == 0 { 0..0 } else { 0..days.len() };
        let empty = empty.filter(|&row| days.is_null(row)).take(EXAMPLES);
        let unreadable = empty.map(|row| (row, cell(row).unwrap_or_default())).collect();
        Self { days, unreadable }
    }
}

/// The numbers, uncopied.
#[expect(
    clippy::needless_pass_by_value,
    reason = "drops the reference, so that the numbers can become a vector as they are"
)]
fn owned(column: ArrayRef) -> Date32Array {
    column.as_primitive::<Date32Type>().clone()
}

fn instants(column: &ArrayRef, unit: TimeUnit, zone: Zone) -> Result<Date32Array, DateError> {
    let numbers = cast(column, &DataType::Int64)?;
    let per_second = per_second(unit);
    // Rows mostly come day by day.
    let mut last: Option<(i64, Option<i32>)> = None;
    let mut odd = None;
    let mut day = |number: i64| {
        if let Some((known, day)) = last
            && known == number
        {
            return day;
        }
        if matches!(zone, Zone::Midnights) && number.rem_euclid(DAY_SECONDS * per_second) != 0 {
            odd.get_or_insert(number.div_euclid(per_second));
        }
        let day = zone.day(number.div_euclid(per_second));
        last = Some((number, day));
        day
    };
    let days: Date32Array = numbers.as_primitive::<Int64Type>().iter().map(|number| day(number?)).collect();
    match odd {
        Some(seconds) => {
            let instant = DateTime::from_timestamp(seconds, 0);
            Err(DateError::Zone(instant.map_or_else(|| seconds.to_string(), |instant| instant.to_string())))
        }
        None => Ok(days),
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Whether a whole number counts days, as opposed to spelling one as `YYYYMMDD`.
fn counts_days(number: i64) -> bool {
    // To the year 2243, and as far back. No `YYYYMMDD` is that small.
    number.unsigned_abs() <= 99_999
}

/// Whether a column of a table holds dates as whole numbers.
pub fn counted_in(schema: Option<&Schema>, column: &str) -> bool {
    let field = schema.and_then(|schema| schema.field_with_name(column).ok());
    field.is_some_and(|field| field.data_type().is_integer())
        && columns::position(std::iter::once(column), "date").is_some()
}

/// The day of a partition, whose value the log writes as text whatever the type of the column.
pub fn day_of_partition(text: &str, data_type: &DataType, order: Option<Order>) -> Option<i32> {
    if data_type.is_integer() {
        return day_of_number(text.parse().ok()?);
    }
    day_of_text(text, order)
}

/// The day of a whole number: days since 1970-01-01, or `YYYYMMDD`.
fn day_of_number(number: i64) -> Option<i32> {
    if counts_days(number) {
        return i32::try_from(number).ok();
    }
    let number = u32::try_from(number).ok().filter(|number| *number < 100_000_000)?;
    day_of(i32::try_from(number / 10_000).ok()?, number / 100 % 100, number % 100)
}

/// The day of a year, month and day of month; years of four digits.
fn day_of(year: i32, month: u32, day: u32) -> Option<i32> {
    let year = Some(year).filter(|year| (1000..=9999).contains(year))?;
    NaiveDate::from_ymd_opt(year, month, day).map(|date| date.to_epoch_days())
}

/// The day that a text names. A time of day, an offset or a zone behind it does not move the day that is written.
pub fn day_of_text(text: &str, order: Option<Order>) -> Option<i32> {
    let text = text.trim();
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let first = digits(text);
    if first == 8 && is_time(&text[8..]) {
        return day_of_number(text[..8].parse().ok()?).filter(|_| !text.starts_with("000"));
    }
    if let Some(day) = day_with_month_name(text) {
        return Some(day);
    }
    fn number(text: &str, widest: usize) -> Option<(u32, &str)> {
        let width = text.bytes().take_while(u8::is_ascii_digit).count();
        let number = text[..width].parse().ok()?;
        (1..=widest).contains(&width).then_some((number, &text[width..]))
    }
    let separator = |rest: &str| rest.bytes().next().filter(|byte| matches!(byte, b'-' | b'/' | b'.'));
    let (a, rest) = number(text, 4)?;
    let mark = separator(rest)?;
    let (b, rest) = number(&rest[1..], 2)?;
    let rest = rest.strip_prefix(char::from(mark))?;
    let (c, rest) = number(rest, if first == 4 { 2 } else { 4 })?;
    if !is_time(rest) {
        return None;
    }
    match (first, order) {
        (4, _) => day_of(i32::try_from(a).ok()?, b, c),
        (1 | 2, Some(Order::MonthFirst)) => day_of(i32::try_from(c).ok()?, a, b),
        (1 | 2, Some(Order::DayFirst)) => day_of(i32::try_from(c).ok()?, b, a),
        _ => None,
    }
}

/// Whether what stands behind a date is nothing or a time of day.
fn is_time(rest: &str) -> bool {
    let Some(time) = rest.strip_prefix(['T', 't', ' ']) else { return rest.is_empty() };
    let time = time.trim_start();
    let digits = time.bytes().take_while(u8::is_ascii_digit).count();
    let clock = digits == 2 && time[2..].starts_with(':') || matches!(digits, 4 | 6);
    clock && time.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":.,+-/_[] ".contains(&byte))
}

/// `02-Jan-2020`, `2 January 2020`, `Jan 02, 2020`: what comes first does not matter where the month has a name.
fn day_with_month_name(text: &str) -> Option<i32> {
    if !text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let mut parts = text.split(['-', ' ', '/', '.', ',']).filter(|part| !part.is_empty());
    let parts = [parts.next()?, parts.next()?, parts.next().filter(|_| parts.next().is_none())?];
    let (month, day) = match (month_named(parts[0]), month_named(parts[1])) {
        (Some(month), None) => (month, parts[1]),
        (None, Some(month)) => (month, parts[0]),
        _ => return None,
    };
    let whole = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let year: u32 = whole(parts[2]).filter(|_| parts[2].len() == 4)?;
    day_of(i32::try_from(year).ok()?, month, whole(day).filter(|_| day.len() <= 2)?)
}

/// January is 1; whole, or as three letters, in any case.
fn month_named(text: &str) -> Option<u32> {
    text.parse::<Month>().ok().map(|month| month.number_from_month())
}

/// A bound as statistics state it.
#[derive(Debug, Clone, Copy)]
pub enum Bound<'a> {
    /// A stored number, in the unit of the column's type.
    Number(i64),
    /// A text, as in the log of a Delta table.
    Text(&'a str),
}

impl<'a> Bound<'a> {
    /// A bound of a Delta log.
    pub fn of(value: &'a Value) -> Option<Self> {
        value.as_i64().map(Self::Number).or_else(|| value.as_str().map(Self::Text))
    }
}

/// First and last day of a column of a type whose smallest and largest value are known; `None` if these say nothing
/// certain about the days of the values between them.
pub fn bounds(
    data_type: &DataType,
    least: Bound<'_>,
    most: Bound<'_>,
    reading: DateReading,
) -> Option<(i32, i32)> {
    let of_each = |day: &dyn Fn(Bound<'_>) -> Option<i32>| Some((day(least)?, day(most)?));
    match data_type {
        DataType::Date32 => of_each(&|bound| match bound {
            Bound::Number(days) => i32::try_from(days).ok(),
            Bound::Text(text) => day_of_text(text, None),
        }),
        found if found.is_integer() => {
            let (Bound::Number(least), Bound::Number(most)) = (least, most) else { return None };
            // Numbers of the two kinds are not in the order of their days.
            (counts_days(least) == counts_days(most)).then_some(())?;
            Some((day_of_number(least)?, day_of_number(most)?))
        }
        DataType::Date64 => of_each(&|bound| match bound {
            Bound::Number(millis) => Zone::Local.day(millis.div_euclid(1_000)),
            Bound::Text(text) => day_of_text(text, None),
        }),
        DataType::Timestamp(unit, named) => {
            let zone = Zone::of(named.as_deref(), reading).ok()?;
            of_each(&|bound| match bound {
                Bound::Number(number) => zone.day(number.div_euclid(per_second(*unit))),
                Bound::Text(text) => zone.day(seconds_of(text)?),
            })
        }
        // Texts are in the order of their days only if all are written alike.
        _ => None,
    }
}

/// Whether a column with such a smallest and largest value may hold a day of the inclusive range.
pub fn may_hold(
    data_type: &DataType,
    (least, most): (Bound<'_>, Bound<'_>),
    (first, last): (NaiveDate, NaiveDate),
    reading: DateReading,
) -> bool {
    // Clocks that are set back past midnight make a day come twice.
    let slack = i32::from(matches!(data_type, DataType::Timestamp(_, Some(_))));
    bounds(data_type, least, most, reading).is_none_or(|(least, most)| {
        most >= first.to_epoch_days() - slack && least <= last.to_epoch_days() + slack
    })
}

/// Seconds since 1970 of a timestamp as a log writes it; without an offset those of its wall clock.
fn seconds_of(text: &str) -> Option<i64> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.timestamp());
    }
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let local = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    local.map(|local| local.and_utc().timestamp()).or_else(|| {
        let date: NaiveDate = text.parse().ok()?;
        Some(i64::from(date.to_epoch_days()) * DAY_SECONDS)
    })
}
