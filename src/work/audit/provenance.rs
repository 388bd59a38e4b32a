//! When the rows of a table were committed, beside the days that they are of: rows that were there within days of their
//! date could be known then; of rows that were written later nothing shows it. What the log says is read in
//! `store::provenance`.

use chrono::{Datelike as _, Days, NaiveDate, NaiveTime, Weekday};
use serde_json::json;

use super::finding::{Check, Verdict};
use crate::clock::Timestamp;
use crate::engine::BacktestConfig;
use crate::store::provenance::{FileOrigin, Origins};

/// Days after its date by which a row counts as written in time.
const IN_TIME: i64 = 5;
/// Lags that are told, in days.
const LAGS: [i64; 3] = [1, 5, 30];
/// Hour of the day, UTC, at which the day of a row is over.
const CLOSE_HOUR: u32 = 22;

/// What the logs of the tables of a run show.
pub(super) fn checks(origins: &Origins, config: &BacktestConfig) -> Vec<Check> {
    let window = (config.start_date, config.end_date);
    let both = [
        ("provenance_signals", "signals", &origins.signals),
        ("provenance_prices", "prices", &origins.prices),
    ];
    both.into_iter()
        .filter_map(|(id, what, origins)| Some((id, what, origins.as_ref()?)))
        .map(|(id, what, origins)| match origins {
            Ok(files) => check(id, what, files, window),
            Err(why) => Check::new(id, Verdict::NotProvable, format!("{what}: {why}"), json!({})),
        })
        .collect()
}

/// Rows by how late they were committed. Rows of a file lie evenly over the weekdays of its dates.
fn check(id: &'static str, what: &str, files: &[FileOrigin], window: (NaiveDate, NaiveDate)) -> Check {
    let (mut rows, mut unknown, mut within) = (0.0, 0.0, [0.0; LAGS.len()]);
    for file in files {
        let count = file.rows.unwrap_or(1) as f64;
        let Some((first, last)) = file.dates else {
            unknown += count;
            continue;
        };
        let all = weekdays(first, last).count().max(1) as f64;
        let inside: Vec<NaiveDate> = weekdays(first.max(window.0), last.min(window.1)).collect();
        let each = count / all;
        rows += each * inside.len() as f64;
        let Some(committed) = file.committed_at else {
            unknown += each * inside.len() as f64;
            continue;
        };
        for day in inside {
            for (sum, lag) in within.iter_mut().zip(LAGS) {
                if committed <= close_of(day, lag) {
                    *sum += each;
                }
            }
        }
    }
    let share = |part: f64| if rows > 0.0 { part / rows } else { 0.0 };
    let shares = LAGS.iter().zip(within).map(|(lag, sum)| json!({ "days": lag, "share": share(sum) }));
    let figures = json!({
        "rows": rows.round(),
        "committed_within": shares.collect::<Vec<_>>(),
        "without_commit": unknown.round(),
    });
    let in_time = LAGS.iter().position(|&lag| lag == IN_TIME).map_or(0.0, |at| share(within[at]));
    if rows == 0.0 {
        return Check::new(
            id,
            Verdict::NotProvable,
            format!("{what}: the log does not say which days its files hold"),
            figures,
        );
    }
    if unknown > 0.0 {
        let what = format!(
            "{what}: the log no longer has the commits of {:.0} % of the rows; a longer delta.logRetentionDuration would \
             have kept them",
            100.0 * (unknown / rows.max(unknown))
        );
        return Check::new(id, Verdict::NotProvable, what, figures);
    }
    if in_time > 1.0 - 1e-9 {
        let what =
            format!("{what}: point in time, every row was committed within {IN_TIME} days of its date");
        return Check::new(id, Verdict::Clean, what, figures);
    }
    let what = format!(
        "{what}: backfilled, {:.0} % of the rows were written later than {IN_TIME} days after their date; nothing shows \
         that they were known",
        100.0 * (1.0 - in_time)
    );
    Check::new(id, Verdict::NotProvable, what, figures)
}

/// The end of a day, so many days later.
fn close_of(day: NaiveDate, lag: i64) -> Timestamp {
    let later = day.checked_add_days(Days::new(lag.unsigned_abs())).unwrap_or(day);
    let hour = NaiveTime::from_hms_opt(CLOSE_HOUR, 0, 0).unwrap_or_default();
    later.and_time(hour).and_utc()
}

fn weekdays(first: NaiveDate, last: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    let all = first.iter_days().take_while(move |day| *day <= last);
    all.filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun))
}
