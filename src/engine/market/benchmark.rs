//! The closes of a benchmark symbol, which need not be of the universe.

use super::calendar::Calendar;
use super::rows::{DataError, PriceRows};
use crate::engine::config::BacktestConfig;

/// By trading day; NaN where it has no price above 0.
///
/// # Errors
/// If it has none at all.
pub(super) fn benchmark_closes(
    config: &BacktestConfig,
    calendar: &Calendar,
    prices: &PriceRows,
    symbol: &str,
) -> Result<Vec<f64>, DataError> {
    let mut closes = vec![f64::NAN; calendar.dates.len() - calendar.first_trading_bar];
    let is_benchmark: Vec<bool> = prices.symbols.iter().map(|name| name == symbol).collect();
    for chunk in &prices.chunks {
        for (day, rows, symbols) in chunk.runs() {
            let Some(day) = calendar.bar(day).and_then(|bar| bar.checked_sub(calendar.first_trading_bar))
            else {
                continue;
            };
            for (&symbol, &close) in symbols.iter().zip(&chunk.columns.close[rows]) {
                if is_benchmark[symbol as usize] && close.is_finite() && close > 0.0 {
                    closes[day] = close;
                }
            }
        }
    }
    if closes.iter().all(|close| close.is_nan()) {
        let (start, end) = (config.start_date, config.end_date);
        return Err(DataError::NoBenchmark { symbol: symbol.to_owned(), start, end });
    }
    Ok(closes)
}
