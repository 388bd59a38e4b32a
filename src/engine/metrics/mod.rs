//! What a finished run is worth: one small file per family of measures. Undefined is `None`, never NaN.

use chrono::NaiveDate;
use serde::Serialize;

/// The figures of a whole run. Ratios and returns are fractions; money is in the account's currency.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The name given in the config.
    pub run_name: Option<String>,
    /// First day asked for.
    pub start_date: NaiveDate,
    /// Last day asked for.
    pub end_date: NaiveDate,
    /// Money at the start.
    pub initial_cash: f64,
    /// Value at the last close.
    pub final_equity: f64,
    /// Final value against the initial cash.
    pub total_return: f64,
    /// Number of fills.
    pub trades: usize,
    /// What the reader should know.
    pub warnings: Vec<String>,
}
