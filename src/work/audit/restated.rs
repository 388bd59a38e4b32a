//! Whether rows were written again: what the tables say now beside what they said first of each day. A signal that came to
//! know more by being written again was not known before. The rows are read in `store::restated`.

use serde_json::{Value, json};

use super::finding::{Check, Verdict};
use super::timing;
use crate::engine::{BacktestConfig, Market};
use crate::statistics::timing::{Correlation, Profile};
use crate::store::difference::Difference;
use crate::store::kept::KeptError;
use crate::store::prices::Loaded;
use crate::store::restated::{First, FirstRows, of_prices, of_signals};

/// By how much the mean rank correlation of a signal may grow: about what a whole published factor has.
const RISE: f64 = 0.03;

/// Standard errors that the later correlation must be from 0.
const T: f64 = 3.0;

/// Symbols that are named.
const EXAMPLES: usize = 10;

/// The rows of a config beside what its tables said first.
#[derive(Debug)]
pub struct Restated {
    prices: Option<Found>,
    signals: Option<Found>,
    /// The market with the signals as they were first; `None` if they are the same, or unknown.
    first: Option<Market>,
}

/// What differs; or why that cannot be told.
type Found = Result<Difference, String>;

impl Restated {
    /// Compares what was loaded with what was there first.
    pub fn of(config: &BacktestConfig, loaded: &Loaded, first: FirstRows) -> Self {
        let found = |made: Result<Difference, KeptError>| made.map_err(|error| error.to_string());
        let prices = first.prices.map(|first| match first {
            First::Same => Ok(Difference::default()),
            First::Unknown(why) => Err(why),
            First::Rows(rows) => found(of_prices(&rows, &loaded.prices)),
        });
        let mut market = None;
        let signals = first.signals.map(|first| match (first, &loaded.signals) {
            (First::Same, _) => Ok(Difference::default()),
            (First::Unknown(why), _) => Err(why),
            (First::Rows(_), None) => Err("no rows of them were loaded".to_owned()),
            (First::Rows(rows), Some(now)) => {
                let difference = found(of_signals(&rows, now))?;
                if !difference.is_nothing() {
                    // Against the prices of today: only the signals are in question.
                    market = Market::assemble(config, loaded.prices.clone(), Some(rows)).ok();
                }
                Ok(difference)
            }
        });
        Self { prices, signals, first: market }
    }

    /// What follows from that. `market` has the rows of now.
    pub(super) fn checks(&self, config: &BacktestConfig, market: &Market) -> Vec<Check> {
        let prices = self.prices.as_ref().map(|found| check("restated_prices", "prices", found));
        let signals = self.signals.as_ref().map(|found| {
            let made = check("restated_signals", "signals", found);
            match &self.first {
                Some(first) => with_correlations(made, config, first, market),
                None => made,
            }
        });
        signals.into_iter().chain(prices).collect()
    }
}

fn check(id: &'static str, what: &str, found: &Found) -> Check {
    let found = match found {
        Ok(found) => found,
        Err(why) => return Check::new(id, Verdict::NotProvable, format!("{what}: {why}"), json!({})),
    };
    let figures = json!({
        "rows_changed": found.changed,
        "rows_removed": found.removed,
        "rows_added_later": found.added,
        "first_date": found.first_date,
        "symbols": found.symbols.iter().take(EXAMPLES).collect::<Vec<_>>(),
        "largest_change": found.largest,
    });
    // A row that came later than others of its day is late, not restated.
    if found.changed + found.removed == 0 {
        let what = format!("{what}: no row was changed since the first commit that had rows of its day");
        return Check::new(id, Verdict::Clean, what, figures);
    }
    let what = format!(
        "{what}: {} rows are not what was committed first, {} of these are gone; they could not be known as they are \
         now",
        found.changed + found.removed,
        found.removed
    );
    let example = found.largest.as_ref().map(ToString::to_string);
    Check::new(id, Verdict::NotProvable, what, figures).with_example(example)
}

/// Adds what the signals said of later returns at first and say now.
fn with_correlations(mut made: Check, config: &BacktestConfig, first: &Market, now: &Market) -> Check {
    let (mut columns, mut risen) = (Vec::new(), Vec::new());
    for name in now.signal_columns() {
        let profile = |market| timing::profile_of(config, market, name);
        let (Some(before), Some(after)) = (profile(first), profile(now)) else { continue };
        let pair = |of: &dyn Fn(&Profile) -> Option<Correlation>| -> (Option<f64>, Option<f64>, Option<f64>) {
            let (before, after) = (of(&before), of(&after));
            let mean = |found: &Option<Correlation>| found.as_ref().and_then(|found| found.mean.ok());
            let t = after.as_ref().and_then(|found| found.t.ok());
            (mean(&before), mean(&after), t)
        };
        let next = pair(&|profile| profile.at(1).copied());
        let earning = pair(&|profile| Some(profile.earning));
        for (what, (before, after, t)) in [("the next day", next), ("what is earned", earning)] {
            if let (Some(before), Some(after)) = (before, after)
                && after.abs() - before.abs() >= RISE
                && t.is_none_or(|t| t.abs() >= T)
            {
                risen.push(format!("{name} with {what}, from {before:.3} to {after:.3}"));
            }
        }
        let shown = |(before, after, t): (Option<f64>, Option<f64>, Option<f64>)| -> Value {
            json!({ "first": before, "now": after, "t_now": t })
        };
        columns.push(json!({ "column": name, "next_day": shown(next), "earning": shown(earning) }));
    }
    made.figures["correlations"] = Value::Array(columns);
    if risen.is_empty() {
        return made;
    }
    let what = format!(
        "{}; written again, they say more of what came: the rank correlation of {}",
        made.what,
        risen.join(", of ")
    );
    Check { verdict: Verdict::Suspicious, what, ..made }
}
