//! Whether anything that was decided by a day depends on what came after it. The run is made again without its future, and
//! with another one; up to the day, every bit must be the same. That is a proof, of engine, strategy and computed signals.

use std::ops::ControlFlow;

use chrono::NaiveDate;
use serde_json::json;

use super::finding::{Check, Verdict};
use crate::engine::market::counterfactual::OtherFuture;
use crate::engine::{self, BacktestConfig, Market, Outcome, RunError};
use crate::statistics::normal;
use crate::statistics::random::Draws;

/// Days behind which the future is changed.
pub(super) const PROBES: usize = 12;

/// Bars of another future: as far as anything here looks ahead, if it does.
const HORIZON: usize = 64;

/// Deviation of the factors by which prices of another future differ.
const NOISE: f64 = 0.2;

const SEED: u64 = 20_260_101;

/// Something that is not as it was, though it was decided by then.
struct Difference {
    date: NaiveDate,
    symbol: Option<String>,
    file: &'static str,
}

/// Changes the future behind each probe day.
pub(super) fn check(
    config: &BacktestConfig,
    market: &Market,
    full: &Outcome,
    on_probe: &mut dyn FnMut() -> Result<(), RunError>,
) -> Result<Check, RunError> {
    // Of a run that ended early, by ruin, nothing is left to compare.
    let days = full.daily.date.len().min(market.trading_days());
    let (mut probes, mut undecided, mut first) = (Vec::new(), None, None);
    for probe in 0..PROBES {
        let day = probe_day(probe, days);
        if let Some(day) = day.filter(|day| !probes.contains(day)) {
            let last = market.first_trading_bar() + day;
            let (without, otherwise) = rayon::join(
                || compare(config, &market.until(last), full, day),
                || compare(config, &with_other_future(market, last), full, day),
            );
            for (found, kind) in [(without, "without its future"), (otherwise, "with another future")] {
                match found {
                    Ok(Some(difference)) => {
                        first.get_or_insert((difference, kind, full.daily.date[day]));
                    }
                    Ok(None) => {}
                    Err(error @ RunError::Stopped { .. }) => return Err(error),
                    Err(error) => {
                        undecided.get_or_insert(format!("{kind}, cut at {}: {error}", full.daily.date[day]));
                    }
                }
            }
            probes.push(day);
        }
        on_probe()?;
    }
    let figures = json!({
        "probe_days": probes.iter().map(|&day| full.daily.date[day]).collect::<Vec<_>>(),
        "compared": ["daily_metrics.csv", "trades.csv", "rejected_orders.csv", "constraint_hits.json", "daily_positions.parquet"],
    });
    Ok(match (first, undecided) {
        (Some((difference, kind, cut)), _) => {
            let symbol = difference.symbol.map(|symbol| format!(" ({symbol})")).unwrap_or_default();
            let example = format!(
                "{} of {}{symbol} differs in a run {kind} after {cut}",
                difference.file, difference.date
            );
            let what = "what was decided depends on days that had not come yet";
            Check::new("future", Verdict::Leaking, what, figures).with_example(Some(example))
        }
        (None, Some(why)) => {
            let what = "a run without its future, or with another one, could not be made";
            Check::new("future", Verdict::NotProvable, what, figures).with_example(Some(why))
        }
        (None, None) if probes.is_empty() => {
            Check::new("future", Verdict::NotProvable, "the run has too few days", figures)
        }
        (None, None) => {
            let what = format!(
                "on {} days, everything decided by then is the same to the last bit without the future and with \
                 another one",
                probes.len()
            );
            Check::new("future", Verdict::Clean, what, figures)
        }
    })
}

/// Probe days lie evenly, each moved by up to half of the distance.
fn probe_day(probe: usize, days: usize) -> Option<usize> {
    let last = days.checked_sub(2)?;
    let share = (probe as f64 + 0.5 + 0.5 * (Draws::of(SEED, 0).unit(probe as u64) - 0.5)) / PROBES as f64;
    Some(((share * last as f64) as usize).clamp(1.min(last), last))
}

fn with_other_future(market: &Market, last: usize) -> Market {
    let end = (last + HORIZON).min(market.dates().len() - 1);
    let width = market.symbols().len() as u64 + 1;
    let factor = |bar: usize, symbol: usize| {
        let unit = Draws::of(SEED, 1).unit(bar as u64 * width + symbol as u64);
        (1.0 + NOISE * normal::quantile(unit)).max(0.05)
    };
    let shuffle = |bar: usize, cells: &mut [f64]| {
        let there: Vec<usize> = (0..cells.len()).filter(|&at| !cells[at].is_nan()).collect();
        for place in (1..there.len()).rev() {
            let other = Draws::of(SEED, 2).below(bar as u64 * width + place as u64, place + 1);
            cells.swap(there[place], there[other]);
        }
    };
    market.until(end).with_other_future(last, &OtherFuture { factor: &factor, shuffle: &shuffle })
}

/// The first difference of a run on another market from the full one, up to a day.
fn compare(
    config: &BacktestConfig,
    market: &Market,
    full: &Outcome,
    day: usize,
) -> Result<Option<Difference>, RunError> {
    let other = engine::run(config, market, &mut |_, _| ControlFlow::Continue(()))?;
    Ok(difference(full, &other, day))
}

fn difference(full: &Outcome, other: &Outcome, day: usize) -> Option<Difference> {
    let date = full.daily.date[day];
    let (a, b) = (&full.daily, &other.daily);
    let columns = [
        (&a.portfolio_value, &b.portfolio_value),
        (&a.cash, &b.cash),
        (&a.daily_return, &b.daily_return),
        (&a.drawdown, &b.drawdown),
        (&a.gross_exposure, &b.gross_exposure),
        (&a.net_exposure, &b.net_exposure),
        (&a.turnover, &b.turnover),
        (&a.commission, &b.commission),
        (&a.slippage_cost, &b.slippage_cost),
        (&a.impact_cost, &b.impact_cost),
        (&a.borrow_cost, &b.borrow_cost),
        (&a.interest, &b.interest),
        (&a.dividends, &b.dividends),
    ];
    let same_day = |at: usize| {
        b.date.get(at) == a.date.get(at)
            && columns.iter().all(|(a, b)| a.get(at).map(|x| x.to_bits()) == b.get(at).map(|x| x.to_bits()))
    };
    let at = |date, symbol: Option<&str>, file| Difference { date, symbol: symbol.map(str::to_owned), file };
    let daily = (0..=day).find(|&at| !same_day(at)).map(|found| at(a.date[found], None, "daily_metrics.csv"));
    daily
        .or_else(|| {
            let rows = |outcome: &Outcome| {
                let trades = &outcome.trades;
                let until = trades.execution_date.partition_point(|&each| each <= date);
                (0..until)
                    .map(|row| {
                        let numbers = [
                            trades.quantity[row],
                            trades.price[row],
                            trades.notional[row],
                            trades.commission[row],
                            trades.cash_after[row],
                        ];
                        let symbol = outcome.name(trades.symbol[row]).to_owned();
                        (trades.execution_date[row], symbol, numbers.map(f64::to_bits))
                    })
                    .collect::<Vec<_>>()
            };
            first_unequal(&rows(full), &rows(other))
                .map(|(date, symbol, _)| at(date, Some(&symbol), "trades.csv"))
        })
        .or_else(|| {
            let rows = |outcome: &Outcome| {
                let rejected = &outcome.rejected;
                let until = rejected.date.partition_point(|&each| each <= date);
                (0..until)
                    .map(|row| {
                        let quantity = rejected.quantity[row].map(f64::to_bits);
                        let symbol = outcome.name(rejected.symbol[row]).to_owned();
                        (rejected.date[row], symbol, (quantity, rejected.reason[row]))
                    })
                    .collect::<Vec<_>>()
            };
            first_unequal(&rows(full), &rows(other))
                .map(|(date, symbol, _)| at(date, Some(&symbol), "rejected_orders.csv"))
        })
        .or_else(|| {
            let rows = |outcome: &Outcome| {
                let hits = outcome.constraint_hits.iter().filter(|hit| hit.as_of < date);
                hits.map(|hit| {
                    let symbol = hit.symbol.map(|symbol| outcome.name(symbol).to_owned()).unwrap_or_default();
                    let numbers = [hit.before, hit.after].map(|number| number.map(f64::to_bits));
                    (hit.as_of, symbol, (hit.constraint, numbers))
                })
                .collect::<Vec<_>>()
            };
            first_unequal(&rows(full), &rows(other))
                .map(|(date, symbol, _)| at(date, Some(&symbol), "constraint_hits.json"))
        })
        .or_else(|| {
            let rows = |outcome: &Outcome| {
                let held = &outcome.holdings;
                let mut rows = Vec::new();
                for (snapshot, &first) in held.day.iter().enumerate().take_while(|(_, first)| **first <= day)
                {
                    let end = held.start.get(snapshot + 1).copied().unwrap_or(held.symbol.len());
                    for row in held.start[snapshot]..end {
                        let symbol = outcome.name(held.symbol[row]).to_owned();
                        rows.push((outcome.daily.date[first], symbol, held.shares[row].to_bits()));
                    }
                }
                rows
            };
            first_unequal(&rows(full), &rows(other))
                .map(|(date, symbol, _)| at(date, Some(&symbol), "daily_positions.parquet"))
        })
}

/// The first row of either that the other does not have in its place.
fn first_unequal<T: PartialEq + Clone>(
    a: &[(NaiveDate, String, T)],
    b: &[(NaiveDate, String, T)],
) -> Option<(NaiveDate, String, T)> {
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    a.get(at).or(b.get(at)).cloned()
}
