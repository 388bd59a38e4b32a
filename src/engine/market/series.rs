//! Numbers that all symbols share, by trading day: what a benchmark is worth, and the risk-free rate. A benchmark that is a
//! symbol need not be of the universe, and is worth what its dividends and splits make of it; a series is a column of the price
//! table, or comes from a table of its own.

use chrono::NaiveDate;

use super::actions::{self, Steps, Told};
use super::calendar::Calendar;
use super::rows::{DataError, DayNumbers, PriceRows};
use crate::engine::config::{BacktestConfig, Benchmark, RateUnit, RiskFree, SeriesSource, Symbols};
use crate::engine::nearest::did_you_mean;
use crate::engine::symbols::SymbolId;

/// Trading days for which the last number of a series may stand without a word.
const STANDING_DAYS: usize = 5;

/// A rate above this, as a fraction, is a percentage that somebody forgot to say.
const LARGEST_RATE: f64 = 1.0;

/// What a benchmark is worth by trading day; NaN where it has no price above 0. `None` without one that has prices.
///
/// # Errors
/// If it has none at all, or two on a day, or a dividend that leaves nothing of it.
pub(super) fn benchmark(
    config: &BacktestConfig,
    calendar: &Calendar,
    prices: &PriceRows,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<f64>>, DataError> {
    let Some(chosen) = &config.benchmark else { return Ok(None) };
    let levels = match chosen {
        Benchmark::EqualWeight => return Ok(None),
        Benchmark::Symbol(symbol) => closes_of(symbol, config, calendar, prices, warnings)?,
        Benchmark::Series(series) => {
            let found = numbers("benchmark", series.source(), prices.benchmark.as_ref(), prices)?;
            let mut levels = by_day(calendar, &found);
            levels
                .iter_mut()
                .filter(|level| level.is_nan() || **level <= 0.0)
                .for_each(|level| *level = f64::NAN);
            levels
        }
    };
    let Some(last) = levels.iter().rposition(|close| !close.is_nan()) else {
        let others = prices.symbols.iter().chain(&prices.left_out).filter(|name| *name != chosen.name());
        let names = others.map(String::as_str);
        let hint = did_you_mean(chosen.name(), names);
        let (start, end) = (config.start_date, config.end_date);
        return Err(DataError::NoBenchmark { symbol: chosen.name().to_owned(), start, end, hint });
    };
    if levels.len() - 1 - last > STANDING_DAYS {
        let day = calendar.dates[calendar.first_trading_bar + last];
        warnings.push(format!("benchmark {}: no price after {day}, so that it stands still", chosen.name()));
    }
    Ok(Some(levels))
}

/// The closes of a symbol by trading day, with its dividends and splits in them; NaN where it has none.
fn closes_of(
    name: &str,
    config: &BacktestConfig,
    calendar: &Calendar,
    prices: &PriceRows,
    warnings: &mut Vec<String>,
) -> Result<Vec<f64>, DataError> {
    let own = SymbolId::of_index(0);
    let mut closes = vec![f64::NAN; calendar.dates.len()];
    let ids: Vec<Option<SymbolId>> =
        prices.symbols.iter().map(|known| (known == name).then_some(own)).collect();
    for chunk in &prices.chunks {
        for (day, rows, symbols) in chunk.runs() {
            let Some(bar) = calendar.bar(day) else { continue };
            for (&symbol, &close) in symbols.iter().zip(&chunk.columns.close[rows]) {
                if ids[symbol as usize].is_some() && close.is_finite() && close > 0.0 {
                    closes[bar] = close;
                }
            }
        }
    }
    if prices.are_unadjusted() {
        let mut announced = actions::announced(calendar, prices, &ids);
        let (steps, wrong) = Steps::of(&mut announced, 1, |_| &closes[..]);
        // Those of the universe are judged with it.
        if matches!(&config.universe.symbols, Symbols::Listed(all) if all.iter().all(|known| known != name)) {
            let told = Told { symbols: &[name.to_owned()], dates: &calendar.dates };
            warnings.extend(told.left_out(&wrong, config.data.on_impossible_price)?);
            warnings.extend(told.unshown(&announced, |_| &closes[..], config.data.prices.is_some())?);
        }
        let bars = closes.len();
        steps.adjust(own, bars, |bar, factor| closes[bar] *= factor);
    }
    Ok(closes.split_off(calendar.first_trading_bar))
}

/// The risk-free rate of each trading day, as a fraction, for the period that the config says. `None` if it is the same on
/// all days.
///
/// # Errors
/// If the first trading day has none, one is not a rate, or a day has two.
pub(super) fn risk_free(
    config: &BacktestConfig,
    calendar: &Calendar,
    prices: &PriceRows,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<f64>>, DataError> {
    let RiskFree::Series(series) = &config.risk_free_rate else { return Ok(None) };
    let mut found = numbers("risk_free_rate", series.source(), prices.risk_free.as_ref(), prices)?;
    if series.unit == RateUnit::Percent {
        found.value.iter_mut().for_each(|rate| *rate /= 100.0);
    }
    if let Some(at) = found.value.iter().position(|rate| rate.is_nan() || rate.abs() > LARGEST_RATE) {
        let (name, rate) = (found.name, found.value[at].to_string());
        return Err(DataError::NoRate { name, rate, date: date_of(found.day[at]) });
    }
    let rates = by_day(calendar, &found);
    if rates.first().is_none_or(|rate| rate.is_nan()) {
        let first = found.day.first().map_or_else(|| "no day".to_owned(), |day| date_of(*day).to_string());
        let start = calendar.dates[calendar.first_trading_bar];
        return Err(DataError::LateRate { name: found.name, start, first });
    }
    let last = found.day.last().copied().unwrap_or_default();
    let after = calendar.dates.iter().rev().take_while(|day| day.to_epoch_days() > last).count();
    // Rates are often told once a month.
    if after > 6 * STANDING_DAYS {
        let day = date_of(last);
        warnings.push(format!("risk_free_rate: no rate after {day}; the last one holds from then on"));
    }
    Ok(Some(rates))
}

fn date_of(day: i32) -> NaiveDate {
    NaiveDate::from_epoch_days(day).unwrap_or_default()
}

/// The numbers of a series, from its own table or from a column of the price table.
fn numbers(
    what: &'static str,
    source: SeriesSource<'_>,
    own: Option<&DayNumbers>,
    prices: &PriceRows,
) -> Result<DayNumbers, DataError> {
    if let Some(own) = own {
        return Ok(own.clone());
    }
    let name = source.column.unwrap_or_default().to_owned();
    let column = name.to_ascii_lowercase();
    let lacks = || {
        let known = prices.lacks.iter().find(|(known, _)| *known == column);
        let lack = known.map_or_else(|| format!("no column '{name}'"), |(_, lack)| lack.clone());
        DataError::Lacks { what, lack }
    };
    let at = prices.others.iter().position(|known| *known == column).ok_or_else(lacks)?;
    let mut cells: Vec<(i32, f64)> = Vec::new();
    for chunk in &prices.chunks {
        let Some(values) = chunk.columns.others.get(at).filter(|values| !values.is_empty()) else { continue };
        for (day, rows, _) in chunk.runs() {
            let mut seen = f64::NAN;
            for &value in values[rows].iter().filter(|value| !value.is_nan()) {
                // Most rows of a day say the same; the rest is compared below.
                if value != seen {
                    seen = value;
                    cells.push((day, value));
                }
            }
        }
    }
    if cells.is_empty()
        && prices.chunks.iter().all(|chunk| chunk.columns.others.get(at).is_none_or(Vec::is_empty))
    {
        return Err(lacks());
    }
    cells.sort_by_key(|(day, _)| *day);
    if let Some(two) = cells.windows(2).find(|two| two[0].0 == two[1].0 && two[0].1 != two[1].1) {
        let [one, other] = [two[0].1, two[1].1].map(|value| value.to_string());
        return Err(DataError::Differs { what, column: name, date: date_of(two[0].0), one, other });
    }
    cells.dedup_by_key(|(day, _)| *day);
    let (day, value) = cells.into_iter().unzip();
    Ok(DayNumbers { name, day, value })
}

/// The last number up to each trading day; NaN before the first.
fn by_day(calendar: &Calendar, numbers: &DayNumbers) -> Vec<f64> {
    let value = |date: &NaiveDate| {
        let until = numbers.day.partition_point(|&day| day <= date.to_epoch_days());
        until.checked_sub(1).map_or(f64::NAN, |at| numbers.value[at])
    };
    calendar.dates[calendar.first_trading_bar..].iter().map(value).collect()
}
