//! Statistics of one and of many results, against stored figures that other programs computed (`tests/golden/studies`
//! and, with the long series, `../shared`), and against arithmetic that is written out.

mod many_trials;
mod one_series;
mod out_of_sample;
mod signals;
mod two_series;

use std::path::Path;

use serde_json::Value;

use crate::support::studies::{beside, columns, json};

/// Relative, as the stored figures ask for.
const TOLERANCE: f64 = 1e-10;

/// Fails unless two numbers agree.
#[track_caller]
fn agree(what: &str, got: f64, want: f64) {
    let apart = (got - want).abs();
    let close = apart <= TOLERANCE * want.abs() || got == want;
    assert!(close, "{what}: got {got}, want {want}, {:e} apart", apart / want.abs());
}

/// Fails unless a number agrees with a stored one.
#[track_caller]
pub(crate) fn stored(what: &str, got: f64, want: &Value) {
    agree(what, got, want.as_f64().unwrap_or_else(|| panic!("{what} is {want}")));
}

/// The daily returns of 48 trials. `None`, said in one line, where they are not there.
pub(crate) fn trials() -> Option<Vec<Vec<f64>>> {
    let columns = columns(&beside("trials_returns.parquet")?);
    Some((0..48).map(|trial| columns[&format!("t{trial:02}")].clone()).collect())
}

/// Numbers of the trials that differ from every one before.
fn distinct(trials: &[Vec<f64>]) -> Vec<usize> {
    (0..trials.len()).filter(|&trial| !trials[..trial].contains(&trials[trial])).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// A stored figure beside the project.
pub(crate) fn figures(name: &str) -> Option<Value> {
    beside(name).as_deref().map(|path: &Path| json(path))
}
