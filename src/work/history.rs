//! History: whether the days that a run of a schedule shares with the run before it are still the same, to the last bit. They are
//! unless data was restated, or the engine is another one; whoever trades by such runs has to know.

use std::fmt;

use chrono::NaiveDate;
use serde_json::Value;

use super::App;
use super::results::{self, ResultError};
use crate::engine::Daily;
use crate::run::{Run, RunId, RunState};
use crate::store::runs::StoreError;
use crate::store::runs::schedule::KEYS;

/// What the warning begins with, and the name of its event and its notice.
pub const CHANGED: &str = "history_changed";

/// Runs before a run that are looked at for one with results.
const GENERATIONS: usize = 10;

/// Parts of a config by which the days of two runs may not differ.
const APART: [&str; 3] = ["end_date", "run_name", "output"];

/// The run before a run of a schedule.
#[derive(Debug)]
pub struct Before {
    run_id: RunId,
    engine_version: Option<String>,
    days: Daily,
}

/// That days which two runs share are not the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The run before.
    pub run_id: RunId,
    /// The engine that computed it.
    pub engine_version: Option<String>,
    /// Days that either of them has until the last one of the run before.
    pub shared: usize,
    /// Of these, days that differ in anything.
    pub days: usize,
    /// The first of them.
    pub first_day: NaiveDate,
    /// Largest change of the portfolio value, over the larger one, with its day; `None` if it is the same on all of them.
    pub largest: Option<(NaiveDate, f64)>,
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run_id, engine_version, shared, days, first_day, largest } = self;
        write!(
            f,
            "{CHANGED}: of the {shared} days that run {run_id} has too, {days} are not the same, the first of them \
             {first_day}; "
        )?;
        match largest {
            Some((day, change)) => {
                write!(f, "the portfolio value differs by up to {change:.2e} of it, on {day}")?;
            }
            None => f.write_str("the portfolio value is the same on all of them")?,
        }
        match engine_version {
            Some(then) if then != super::ENGINE_VERSION => {
                write!(f, "; that run was computed by engine {then}")
            }
            _ => Ok(()),
        }
    }
}

/// The run before could not be looked at.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Results(#[from] ResultError),
}

/// The newest run before one of a schedule that has results, where nothing but the data and the engine tells them apart. `None`
/// for every other run.
///
/// # Errors
/// If a store does not answer, and may later.
pub async fn before(app: &App, run: &Run) -> Result<Option<Before>, HistoryError> {
    let is_scheduled = run.submission.idempotency_key.as_ref().is_some_and(|key| key.starts_with(KEYS));
    let mut parent = run.submission.parent_run_id.clone().filter(|_| is_scheduled);
    for _ in 0..GENERATIONS {
        let Some(id) = parent else { return Ok(None) };
        let Some(found) = app.runs.get(&id).await? else { return Ok(None) };
        if !alike(run, &found) {
            tracing::info!(run.id = %run.id, "the config of run {} is another than that of {id} before it", run.id);
            return Ok(None);
        }
        if let RunState::Completed { publication, .. } = &found.state
            && found.labels.deleted.is_none()
        {
            match results::every_day(&app.artifacts, &publication.location).await {
                Ok(days) => {
                    return Ok(Some(Before { run_id: id, engine_version: found.engine_version, days }));
                }
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(error) => {
                    let error = super::chain(&error);
                    tracing::warn!(run.id = %run.id, error, "the days of run {id} cannot be compared with");
                }
            }
        }
        parent = found.submission.parent_run_id;
    }
    Ok(None)
}

/// Whether two configs ask for the same but for their end.
fn alike(run: &Run, before: &Run) -> bool {
    let asked = |run: &Run| {
        let mut config: Value = serde_json::from_str(&run.submission.effective_config_json).ok()?;
        let fields = config.as_object_mut()?;
        for part in APART {
            fields.remove(part);
        }
        Some(config)
    };
    asked(run).is_some_and(|config| asked(before) == Some(config))
}

/// A measure of every day.
type Measure = fn(&Daily) -> &[f64];

/// Everything that a day is measured by, but for the number of its fills.
const MEASURES: [Measure; 14] = [
    |days| &days.portfolio_value,
    |days| &days.cash,
    |days| &days.daily_return,
    |days| &days.cumulative_return,
    |days| &days.drawdown,
    |days| &days.gross_exposure,
    |days| &days.net_exposure,
    |days| &days.turnover,
    |days| &days.commission,
    |days| &days.slippage_cost,
    |days| &days.impact_cost,
    |days| &days.borrow_cost,
    |days| &days.interest,
    // Empty where prices are adjusted.
    |days| &days.dividends,
];

impl Before {
    /// What of its days is another now; `None` if all of them are as they were.
    pub fn changed(&self, now: &Daily) -> Option<Changed> {
        let then = &self.days;
        let end = *then.date.last()?;
        let (mut i, mut j, mut shared) = (0, 0, 0);
        let mut differing: Vec<NaiveDate> = Vec::new();
        let mut largest: Option<(NaiveDate, f64)> = None;
        loop {
            let (old, new) = (then.date.get(i), now.date.get(j).filter(|day| **day <= end));
            let Some(&day) = old.into_iter().chain(new).min() else { break };
            shared += 1;
            match (old == Some(&day), new == Some(&day)) {
                (true, true) => {
                    let at = |days: &[f64], day: usize| days.get(day).copied().unwrap_or(0.0);
                    let is_same = |measure: &Measure| same(at(measure(then), i), at(measure(now), j));
                    if !MEASURES.iter().all(is_same) || then.n_trades[i] != now.n_trades[j] {
                        differing.push(day);
                        let (old, new) = (then.portfolio_value[i], now.portfolio_value[j]);
                        let change = (old - new).abs() / old.abs().max(new.abs());
                        if change > largest.map_or(0.0, |(_, change)| change) {
                            largest = Some((day, change));
                        }
                    }
                    (i, j) = (i + 1, j + 1);
                }
                (is_old, _) => {
                    differing.push(day);
                    if is_old { i += 1 } else { j += 1 }
                }
            }
        }
        let first_day = *differing.first()?;
        Some(Changed {
            run_id: self.run_id.clone(),
            engine_version: self.engine_version.clone(),
            shared,
            days: differing.len(),
            first_day,
            largest,
        })
    }
}

/// Whether two numbers are the same to the last bit, or both undefined.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// What the summary of a run says of the run before it, if anything.
pub fn told(summary: &Value) -> Option<&str> {
    let warnings = summary["warnings"].as_array()?;
    warnings.iter().filter_map(Value::as_str).find(|warning| warning.starts_with(CHANGED))
}
