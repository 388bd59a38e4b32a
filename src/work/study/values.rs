//! How the values of a study's statistics are written: what is undefined is null with its reason, measures have names and a
//! year, intervals come from one bootstrap.

use serde_json::{Map, Value, json};

use super::config::{SelectBy, Study};
use super::evaluate::measure;
use super::join::Joined;
use crate::statistics::Undefined;
use crate::statistics::block_length::BlockLength;
use crate::statistics::blocks::Measure;
use crate::statistics::bootstrap::Samples;
use crate::statistics::interval::{Interval, Intervals, Scale};

/// Bootstrap replications of an interval when the study has none of its own.
const REPLICATIONS: usize = 1000;

/// Collects reasons of what is undefined.
#[derive(Default)]
pub(super) struct Reasons(pub(super) Map<String, Value>);

impl Reasons {
    /// A number, or null with its reason under `path`.
    pub(super) fn number(&mut self, path: &str, value: Result<f64, Undefined>) -> Value {
        match value {
            Ok(value) if value.is_finite() => json!(value),
            Ok(_) => self.none(path, "it is not finite"),
            Err(undefined) => self.none(path, &undefined.to_string()),
        }
    }

    /// Null with a reason.
    pub(super) fn none(&mut self, path: &str, reason: &str) -> Value {
        self.0.insert(path.to_owned(), json!(reason));
        Value::Null
    }
}

/// Name of what the cross-validation compares.
pub(super) fn measure_name(by: SelectBy) -> &'static str {
    match (measure(by), by) {
        (Measure::Mean, _) => "mean_log_return",
        (_, SelectBy::InformationRatio) => "information_ratio",
        _ => "sharpe_ratio",
    }
}

/// What makes a daily measure an annual one.
pub(super) fn annual(by: SelectBy, periods_per_year: f64) -> f64 {
    match measure(by) {
        Measure::Mean => periods_per_year,
        Measure::Sharpe => periods_per_year.sqrt(),
    }
}

/// An interval as it is written.
pub(super) fn interval_value(
    reasons: &mut Reasons,
    path: &str,
    interval: Result<Interval, Undefined>,
) -> Value {
    match interval {
        Ok(interval) => json!({
            "value": interval.value,
            "low": interval.low,
            "high": interval.high,
            "standard_error": interval.standard_error,
        }),
        Err(undefined) => reasons.none(path, &undefined.to_string()),
    }
}

/// Intervals of a series by a stationary bootstrap whose blocks fit it.
pub(super) fn intervals_of(study: &Study, joined: &Joined, returns: &[f64]) -> Intervals {
    let terms = &study.statistics;
    let automatic = || BlockLength::of(returns).map_or(1.0, |length| length.stationary.max(1.0));
    let block = terms.mean_block.unwrap_or_else(automatic);
    let replications = if terms.bootstrap == 0 { REPLICATIONS } else { terms.bootstrap };
    let samples = Samples::stationary(returns.len(), block, replications, terms.seed);
    let scale = Scale {
        days_per_year: joined.window.periods_per_year,
        daily_risk_free: joined.window.daily_risk_free,
    };
    Intervals::of(returns, &samples, scale, terms.confidence)
}
