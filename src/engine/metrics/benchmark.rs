//! What a benchmark returned, and how a portfolio compares with it. Conventions are those of
//! `empyrical-reloaded`; tracking error and information ratio are annualised population figures.

use chrono::NaiveDate;
use serde::Serialize;

use super::returns::{deviation, mean};
use super::risk_free::RiskFreeDays;
use crate::engine::config::Benchmark;
use crate::engine::market::Market;

/// A portfolio against a benchmark, over the days that both have: from the day after the benchmark's first bar on.
/// Undefined is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct BenchmarkSummary {
    /// Symbol, `equal_weight`, or what the series is called.
    pub name: String,
    /// The benchmark's first day with a price. `None` if it has none within the run.
    pub first_day: Option<NaiveDate>,
    /// Daily returns that are compared.
    pub days: usize,
    /// What the benchmark returned from its first day to the last one.
    pub total_return: Option<f64>,
    /// Yearly return that beta does not explain: mean of `(r - f) - beta * (b - f)`, compounded over a year.
    pub alpha: Option<f64>,
    /// Covariance with the benchmark over the benchmark's variance.
    pub beta: Option<f64>,
    /// Deviation of the difference of returns, for a year.
    pub tracking_error: Option<f64>,
    /// Mean difference of returns for a year over the tracking error.
    pub information_ratio: Option<f64>,
    /// Yearly return over the benchmark's, on days when the benchmark rose.
    pub up_capture: Option<f64>,
    /// Yearly return over the benchmark's, on days when the benchmark fell.
    pub down_capture: Option<f64>,
    /// Correlation of daily returns.
    pub correlation: Option<f64>,
}

/// Value of one unit of cash in the benchmark, by trading day, starting at 1 on its first day with a price; NaN before.
/// Later a day without a price repeats the value before.
pub fn curve(benchmark: &Benchmark, market: &Market) -> Vec<f64> {
    match benchmark {
        Benchmark::Symbol(_) | Benchmark::Series(_) => level_curve(market.benchmark().unwrap_or_default()),
        Benchmark::EqualWeight => equal_weight_curve(market),
    }
}

fn level_curve(closes: &[f64]) -> Vec<f64> {
    let (mut value, mut last) = (f64::NAN, f64::NAN);
    let step = |&close: &f64| {
        if !close.is_nan() {
            value = if last.is_nan() { 1.0 } else { value * (close / last) };
            last = close;
        }
        value
    };
    closes.iter().map(step).collect()
}

/// Each day grows by the mean return of the symbols with a bar, each against its last known close.
fn equal_weight_curve(market: &Market) -> Vec<f64> {
    let mut last = vec![f64::NAN; market.symbols().len()];
    let mut value = 1.0;
    let first = market.first_trading_bar();
    let days = (first..first + market.trading_days()).map(|bar| {
        let (mut sum, mut n) = (0.0, 0_u32);
        for (last, &close) in last.iter_mut().zip(market.adjusted_closes().on(bar)) {
            if close.is_nan() || close <= 0.0 {
                continue;
            }
            if !last.is_nan() {
                sum += close / *last - 1.0;
                n += 1;
            }
            *last = close;
        }
        if n > 0 {
            value *= 1.0 + sum / f64::from(n);
        }
        value
    });
    days.collect()
}

impl BenchmarkSummary {
    /// `returns` are the portfolio's daily returns without the first day; `curve`, parallel to `dates`, has one value
    /// more.
    pub fn of(
        name: String,
        dates: &[NaiveDate],
        returns: &[f64],
        curve: &[f64],
        risk_free: &RiskFreeDays,
        periods_per_year: f64,
    ) -> Self {
        let first = curve.iter().position(|value| !value.is_nan());
        let (curve, returns) = (from(curve, first), from(returns, first));
        let theirs: Vec<f64> = curve.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
        let active: Vec<f64> = returns.iter().zip(&theirs).map(|(ours, theirs)| ours - theirs).collect();
        let covariance = covariance(returns, &theirs);
        let variance = deviation(&theirs).map(|d| d * d).filter(|&v| v > 0.0);
        let beta = covariance.zip(variance).map(|(covariance, variance)| covariance / variance);
        let year = periods_per_year.sqrt();
        let tracking_error = deviation(&active).map(|d| d * year);
        let alpha = beta.and_then(|beta| {
            let days = first.unwrap_or_default() + 1..;
            let pairs = days.map(|day| risk_free.at(day)).zip(returns.iter().zip(&theirs));
            let rest: Vec<f64> = pairs.map(|(f, (r, b))| (r - f) - beta * (b - f)).collect();
            mean(&rest).map(|mean| (1.0 + mean).powf(periods_per_year) - 1.0)
        });
        let spread = deviation(returns).zip(deviation(&theirs)).map(|(a, b)| a * b).filter(|&v| v > 0.0);
        Self {
            name,
            first_day: first.and_then(|first| dates.get(first).copied()),
            days: active.len(),
            total_return: curve.last().map(|last| last - 1.0),
            alpha,
            beta,
            tracking_error,
            information_ratio: mean(&active)
                .zip(tracking_error.filter(|&e| e > 0.0))
                .map(|(mean, error)| mean * periods_per_year / error),
            up_capture: capture(returns, &theirs, periods_per_year, |b| b > 0.0),
            down_capture: capture(returns, &theirs, periods_per_year, |b| b < 0.0),
            correlation: covariance.zip(spread).map(|(covariance, spread)| covariance / spread),
        }
    }
}

/// What comes from a place on; nothing without a place.
fn from(values: &[f64], place: Option<usize>) -> &[f64] {
    place.and_then(|place| values.get(place..)).unwrap_or_default()
}

fn covariance(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (mean(a)?, mean(b)?);
    let products = a.iter().zip(b).map(|(x, y)| (x - mean_a) * (y - mean_b));
    Some(products.sum::<f64>() / a.len() as f64)
}

/// Ratio of compounded yearly returns on the days that `counts` picks by the benchmark's return.
fn capture(returns: &[f64], theirs: &[f64], periods_per_year: f64, counts: fn(f64) -> bool) -> Option<f64> {
    let (mut ours, mut bench, mut days) = (1.0, 1.0, 0_u32);
    for (r, b) in returns.iter().zip(theirs).filter(|(_, b)| counts(**b)) {
        ours *= 1.0 + r;
        bench *= 1.0 + b;
        days += 1;
    }
    let yearly = |growth: f64| growth.powf(periods_per_year / f64::from(days)) - 1.0;
    (days > 0 && yearly(bench) != 0.0 && ours >= 0.0).then(|| yearly(ours) / yearly(bench))
}
