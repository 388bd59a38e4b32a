//! A synthetic market of any size, labelled as such.

use std::sync::Arc;

use chrono::{Datelike, NaiveDate, Weekday};
use deltalake::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use deltalake::arrow::error::ArrowError;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::contents::Contents;
use super::delta::{Location, StorageOptions};
use super::import::{self, ImportError};

/// How the symbols of a synthetic market begin; five digits or more follow.
const SYNTHETIC: &str = "SYN";

/// Whether a symbol is named as those of a synthetic market are.
pub fn is_synthetic(symbol: &str) -> bool {
    let number = symbol.strip_prefix(SYNTHETIC);
    number.is_some_and(|number| number.len() >= 5 && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Puts a synthetic market into a table. The same arguments give the same market.
pub async fn sample(
    symbols: usize,
    days: usize,
    seed: u64,
    table: &Location,
    options: &StorageOptions,
) -> Result<Contents, ImportError> {
    import::replace(synthetic(symbols, days, seed)?, table, options).await
}

/// A market of geometric random walks that share a common factor: `symbols` names `SYN00001…`, `days` weekdays
/// from 2000-01-03. No real prices, and no cross-section to be found in it.
fn synthetic(symbols: usize, days: usize, seed: u64) -> Result<RecordBatch, ArrowError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // The sum of twelve uniforms is close to normal and, unlike a library's normal, the same in every version.
    let mut normal = move || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    let start = NaiveDate::from_ymd_opt(2000, 1, 3).unwrap_or_default();
    let weekdays = start.iter_days().filter(|date| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun));
    let names: Vec<String> = (1..=symbols).map(|number| format!("{SYNTHETIC}{number:05}")).collect();
    let mut last: Vec<f64> =
        (0..symbols).map(|_| (50.0 * (0.5 * normal()).exp()).clamp(5.0, 500.0)).collect();
    let rows = symbols * days;
    let mut dates = Vec::with_capacity(rows);
    let mut columns: [Vec<f64>; 5] = std::array::from_fn(|_| Vec::with_capacity(rows));
    for date in weekdays.take(days) {
        let common = 0.0002 + 0.008 * normal();
        for close in &mut last {
            let open = *close * (0.004 * normal()).exp();
            *close = (open * (common + 0.015 * normal()).exp()).max(0.01);
            let spread = 1.0 + 0.004 * normal().abs();
            let volume = (1e6 * (0.4 * normal()).exp()).round();
            for (column, value) in columns.iter_mut().zip([
                open,
                open.max(*close) * spread,
                open.min(*close) / spread,
                *close,
                volume,
            ]) {
                column.push(value);
            }
            dates.push(date.to_epoch_days());
        }
    }
    let symbol: StringArray = (0..days).flat_map(|_| names.iter().map(Some)).collect();
    let [open, high, low, close, volume] =
        columns.map(|column| Arc::new(Float64Array::from(column)) as ArrayRef);
    RecordBatch::try_from_iter([
        ("date", Arc::new(Date32Array::from(dates)) as ArrayRef),
        ("symbol", Arc::new(symbol) as ArrayRef),
        ("open", open),
        ("high", high),
        ("low", low),
        ("close", close),
        ("volume", volume),
    ])
}
