//! What the page draws: the portfolio's value day by day, its drawdown and rolling Sharpe ratio, and what it did.

use chrono::{Datelike as _, NaiveDate};

use super::benchmark::benchmark_name;
use super::chart::{Bar, Chart, Series, Shape, Unit};
use super::numbers::{grouped, money, percent};
use crate::engine::Outcome;
use crate::engine::metrics::rolling::{rolling, rolling_beta};
use crate::engine::metrics::{drawdown, returns};
use crate::work::facts::Facts;

/// Bars of a chart, before a month becomes a quarter, and a quarter a year.
const BARS_MAX: usize = 130;

/// The two windows of the rolling Sharpe ratio, in trading days.
const QUARTER: usize = 63;
const YEAR: usize = 252;

/// Equity, drawdown, rolling Sharpe ratio and volatility, then what the portfolio did: exposure, breadth, turnover, costs.
pub(super) fn charts(facts: &Facts<'_>, outcome: &Outcome) -> [Chart; 8] {
    [
        equity(facts, outcome),
        drawdowns(outcome),
        sharpe(outcome),
        volatility(outcome),
        exposure(outcome),
        breadth(outcome),
        turnover(outcome),
        costs(facts, outcome),
    ]
}

fn line(name: impl Into<String>, class: &'static str, values: Vec<f64>) -> Series {
    Series { name: name.into(), class, shape: Shape::Line(values) }
}

fn equity(facts: &Facts<'_>, outcome: &Outcome) -> Chart {
    let own = &outcome.daily.portfolio_value;
    let cash = facts.config.initial_cash;
    // The same money from the benchmark's first day on.
    let theirs: Option<Vec<f64>> = outcome.benchmark.as_ref().map(|curve| {
        let first = curve.iter().position(|value| !value.is_nan()).unwrap_or(0);
        let money = own.get(first).copied().unwrap_or(cash);
        curve.iter().map(|value| value * money).collect()
    });
    let everything = || own.iter().chain(theirs.iter().flatten()).copied().filter(|value| value.is_finite());
    let (low, high) = (returns::lowest(everything()), returns::highest(everything()));
    let logarithmic = low.zip(high).is_some_and(|(low, high)| low > 0.0 && high / low > 4.0);

    let mut note = format!("In {}.", facts.config.universe.currency);
    if let (Some(theirs), Some(versus)) = (&theirs, &outcome.summary.benchmark) {
        let end = theirs.last().copied().unwrap_or(cash);
        let name = benchmark_name(&versus.name);
        note = format!(
            "In {}, beside the same money in the benchmark, {name}, which ended at {}.",
            facts.config.universe.currency,
            money(end)
        );
    }
    if logarithmic {
        note.push_str(" Equal heights are equal percentages (logarithmic scale).");
    }
    let hints = stretches(&outcome.daily.date).map(|days| {
        let value = own[days.1];
        let mut text = format!("{}: {}", outcome.daily.date[days.1], money(value));
        if let Some(theirs) = theirs.as_ref().and_then(|theirs| theirs.get(days.1)) {
            text += &format!(", benchmark {}", money(*theirs));
        }
        text += &format!(", drawdown {}", percent(outcome.daily.drawdown[days.1], 1));
        Bar { days, value, text }
    });
    let hints = hints.collect();
    let mut series = Vec::new();
    if let (Some(theirs), Some(versus)) = (theirs, &outcome.summary.benchmark) {
        series.push(line(format!("Benchmark ({})", benchmark_name(&versus.name)), "other", theirs));
    }
    series.push(line("Portfolio", "own", own.clone()));
    Chart { name: "equity", title: "Value".into(), note, unit: Unit::Money, logarithmic, series, hints }
}

fn drawdowns(outcome: &Outcome) -> Chart {
    let daily = &outcome.daily;
    let deepest = daily.drawdown.iter().zip(&daily.date).min_by(|(a, _), (b, _)| a.total_cmp(b));
    let note = match deepest.filter(|(depth, _)| **depth < 0.0) {
        None => "The value never fell below its peak.".to_owned(),
        Some((depth, date)) => format!(
            "Distance from the highest value so far: {} at the lowest, on {date}; up to {} days in a row below it.",
            percent(*depth, 1),
            grouped(outcome.summary.longest_drawdown_days as f64, 0)
        ),
    };
    let own = Series { name: "Portfolio".into(), class: "own", shape: Shape::Area(daily.drawdown.clone()) };
    let mut series = vec![own];
    if let Some(curve) = &outcome.benchmark {
        series.insert(0, line("Benchmark", "other", drawdown::from_peak(curve, f64::NEG_INFINITY)));
    }
    let (name, title) = ("drawdown", "Drawdown".to_owned());
    Chart { name, title, note, unit: Unit::Fall, logarithmic: false, series, hints: Vec::new() }
}

fn sharpe(outcome: &Outcome) -> Chart {
    let days = outcome.daily.date.len();
    let mut rolled = rolling(&outcome.daily, &[QUARTER, YEAR], outcome.summary.periods_per_year)
        .rolling_sharpe
        .into_iter();
    let mut window = || rolled.by_ref().take(days).map(|value| value.unwrap_or(f64::NAN)).collect();
    let series = vec![
        line(format!("{QUARTER} days"), "soft", window()),
        line(format!("{YEAR} days"), "own", window()),
    ];
    Chart {
        name: "rolling_sharpe",
        title: "Rolling Sharpe ratio".into(),
        note: format!("Over the last {QUARTER} and {YEAR} trading days, without a risk-free rate."),
        unit: Unit::Plain,
        logarithmic: false,
        series,
        hints: Vec::new(),
    }
}

fn volatility(outcome: &Outcome) -> Chart {
    let days = outcome.daily.date.len();
    let rolled = rolling(&outcome.daily, &[QUARTER, YEAR], outcome.summary.periods_per_year);
    let mut rolled = rolled.rolling_volatility.into_iter();
    let mut window = || rolled.by_ref().take(days).map(|value| value.unwrap_or(f64::NAN)).collect();
    let series = vec![
        line(format!("{QUARTER} days"), "soft", window()),
        line(format!("{YEAR} days"), "own", window()),
    ];
    Chart {
        name: "rolling_volatility",
        title: "Rolling volatility".into(),
        note: format!(
            "Deviation of daily returns over the last {QUARTER} and {YEAR} trading days, for a year."
        ),
        unit: Unit::Share,
        logarithmic: false,
        series,
        hints: Vec::new(),
    }
}

/// Rolling beta to the benchmark. `None` without one.
pub(super) fn beta(outcome: &Outcome) -> Option<Chart> {
    let (curve, versus) = outcome.benchmark.as_ref().zip(outcome.summary.benchmark.as_ref())?;
    let betas = rolling_beta(&outcome.daily.portfolio_value, curve, YEAR);
    // The first day has no return.
    let values = std::iter::once(None).chain(betas).map(|beta| beta.unwrap_or(f64::NAN)).collect();
    Some(Chart {
        name: "rolling_beta",
        title: "Rolling beta".into(),
        note: format!("To {} over the last {YEAR} daily returns.", benchmark_name(&versus.name)),
        unit: Unit::Plain,
        logarithmic: false,
        series: vec![line("Beta", "own", values)],
        hints: Vec::new(),
    })
}

fn exposure(outcome: &Outcome) -> Chart {
    let daily = &outcome.daily;
    let same = daily.gross_exposure.iter().zip(&daily.net_exposure).all(|(g, n)| (g - n).abs() < 1e-9);
    let (series, note) = if same {
        let both = Series {
            name: "Gross and net".into(),
            class: "own",
            shape: Shape::Area(daily.gross_exposure.clone()),
        };
        (vec![both], "Gross and net are the same: long positions only. Share of the portfolio value.")
    } else {
        let gross = line("Gross", "soft", daily.gross_exposure.clone());
        (vec![gross, line("Net", "own", daily.net_exposure.clone())], "Share of the portfolio value.")
    };
    Chart {
        name: "exposure",
        title: "Exposure".into(),
        note: note.into(),
        unit: Unit::Share,
        logarithmic: false,
        series,
        hints: Vec::new(),
    }
}

fn breadth(outcome: &Outcome) -> Chart {
    let held = &outcome.holdings;
    let mut values = vec![0.0; outcome.daily.date.len()];
    for (snapshot, &from) in held.day.iter().enumerate() {
        let end = held.start.get(snapshot + 1).copied().unwrap_or(held.symbol.len());
        let until = held.day.get(snapshot + 1).copied().unwrap_or(values.len());
        values[from..until].fill((end - held.start[snapshot]) as f64);
    }
    let average = returns::mean(&values).unwrap_or(0.0);
    Chart {
        name: "positions",
        title: "Positions".into(),
        note: format!("Number held at the close; {} on average.", grouped(average, 1)),
        unit: Unit::Count,
        logarithmic: false,
        series: vec![Series { name: "Positions".into(), class: "own", shape: Shape::Area(values) }],
        hints: Vec::new(),
    }
}

fn turnover(outcome: &Outcome) -> Chart {
    let daily = &outcome.daily;
    let bars = stretches(&daily.date).map(|days| {
        let value: f64 = daily.turnover[days.0..=days.1].iter().sum();
        let text = format!("{} to {}: {}", daily.date[days.0], daily.date[days.1], percent(value, 1));
        Bar { days, value, text }
    });
    let series = vec![Series { name: "Turnover".into(), class: "own", shape: Shape::Bars(bars.collect()) }];
    let note = format!(
        "Bought and sold {}, buys and sales added, as a share of the portfolio value.",
        stretch_name(&daily.date)
    );
    let (name, title) = ("turnover", "Turnover".to_owned());
    Chart { name, title, note, unit: Unit::Share, logarithmic: false, series, hints: Vec::new() }
}

fn costs(facts: &Facts<'_>, outcome: &Outcome) -> Chart {
    fn running(values: impl Iterator<Item = f64>) -> Shape {
        let sums = values.scan(0.0, |sum, value| {
            *sum += value;
            Some(*sum)
        });
        Shape::Area(sums.collect())
    }
    let daily = &outcome.daily;
    let commission = running(daily.commission.iter().copied());
    let others = daily.impact_cost.iter().zip(&daily.borrow_cost).map(|(impact, borrow)| impact + borrow);
    let trading = daily.commission.iter().zip(&daily.slippage_cost).map(|(a, b)| a + b);
    let total = running(trading.zip(others).map(|(a, b)| a + b));
    let summary = &outcome.summary;
    let all = match summary.total_impact_cost + summary.total_borrow_cost {
        0.0 => "With spread and slippage",
        _ => "With spread, slippage, impact and borrowing",
    };
    let share = summary.total_costs / facts.config.initial_cash;
    Chart {
        name: "costs",
        title: "Costs".into(),
        note: format!(
            "Summed up from the first day, in {}; {} of the initial cash in all.",
            facts.config.universe.currency,
            percent(share, 2)
        ),
        unit: Unit::Money,
        logarithmic: false,
        series: vec![
            Series { name: all.into(), class: "own", shape: total },
            Series { name: "Commission".into(), class: "other", shape: commission },
        ],
        hints: Vec::new(),
    }
}

/// A calendar period's number, so that days of the same period have the same.
type Period = fn(NaiveDate) -> i32;

/// The shortest period of which a chart holds all bars, and how it is called.
fn period(dates: &[NaiveDate]) -> (Period, &'static str) {
    const PERIODS: [(Period, &str); 3] = [
        (|date| date.year() * 12 + date.month0() as i32, "a month"),
        (|date| date.year() * 4 + date.month0() as i32 / 3, "a quarter"),
        (|date| date.year(), "a year"),
    ];
    let (Some(&first), Some(&last)) = (dates.first(), dates.last()) else { return PERIODS[0] };
    if dates.len() <= QUARTER {
        return (|date| date.num_days_from_ce(), "a day");
    }
    let fits = |(period, _): &(Period, &str)| (period(last) - period(first)) < BARS_MAX as i32;
    PERIODS.into_iter().find(fits).unwrap_or(PERIODS[2])
}

fn stretch_name(dates: &[NaiveDate]) -> &'static str {
    period(dates).1
}

/// First and last day of each period.
fn stretches(dates: &[NaiveDate]) -> impl Iterator<Item = (usize, usize)> {
    let (period, _) = period(dates);
    let mut from = 0;
    dates.chunk_by(move |&a, &b| period(a) == period(b)).map(move |days| {
        let first = from;
        from += days.len();
        (first, from - 1)
    })
}
