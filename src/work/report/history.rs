//! The years beside those of the benchmark, the worst falls, and how daily returns are spread.

use maud::{Markup, html};

use super::numbers::{UNDEFINED, count, grouped, percent, share};
use crate::engine::Outcome;
use crate::engine::metrics::drawdown::deepest_falls;
use crate::engine::metrics::periods::PeriodReturns;
use crate::work::facts::Facts;

/// Falls that are listed.
const FALLS_MAX: usize = 10;

/// The return of each year, beside that of the benchmark from its first bar on.
pub(super) fn years(facts: &Facts<'_>, outcome: &Outcome) -> Markup {
    let daily = &outcome.daily;
    let own = PeriodReturns::of(&daily.date, &daily.portfolio_value, facts.config.initial_cash);
    let theirs = outcome.benchmark.as_ref().and_then(|curve| {
        let first = curve.iter().position(|value| !value.is_nan())?;
        Some(PeriodReturns::of(&daily.date[first..], &curve[first..], 1.0))
    });
    let of_benchmark = |year: i32| {
        let years = theirs.iter().flat_map(|theirs| &theirs.years);
        years.filter(|one| one.year == year).find_map(|one| one.total)
    };
    html! {
        section.years {
            h2 { "Years" }
            p.note { "The first and the last one may not be whole." @if theirs.is_some() { " Difference: portfolio less benchmark." } }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "Year" } th scope="col" { "Portfolio" }
                    @if theirs.is_some() { th scope="col" { "Benchmark" } th scope="col" { "Difference" } }
                } }
                tbody { @for year in &own.years {
                    @let benchmark = of_benchmark(year.year);
                    tr {
                        th scope="row" { (year.year) }
                        td { (share(year.total)) }
                        @if theirs.is_some() {
                            td.theirs { (share(benchmark)) }
                            td { (share(year.total.zip(benchmark).map(|(own, theirs)| own - theirs))) }
                        }
                    }
                } }
            } }
        }
    }
}

/// The deepest falls from a peak.
pub(super) fn falls(outcome: &Outcome) -> Markup {
    let dates = &outcome.daily.date;
    let falls = deepest_falls(&outcome.daily.drawdown, FALLS_MAX);
    html! {
        @if !falls.is_empty() {
            section.falls {
                h2 { "Worst drawdowns" }
                p.note { "Peak, lowest close and recovery; days from the peak to the recovery, or to the last day." }
                div.scroll { table {
                    thead { tr {
                        @for name in ["Peak", "Trough", "Recovery", "Depth", "Calendar days", "Trading days"] {
                            th scope="col" { (name) }
                        }
                    } }
                    tbody { @for fall in &falls {
                        @let end = fall.recovery.unwrap_or(dates.len() - 1);
                        tr {
                            th scope="row" { (dates[fall.peak]) }
                            td { (dates[fall.trough]) }
                            td { @if let Some(day) = fall.recovery { (dates[day]) } @else { "not over" } }
                            td { (percent(fall.depth, 2)) }
                            td { (grouped((dates[end] - dates[fall.peak]).num_days() as f64, 0)) }
                            td { (count(end - fall.peak)) }
                        }
                    } }
                } }
            }
        }
    }
}

/// Edges between the classes of daily returns, symmetric around 0.
const EDGES: [f64; 12] = [-0.05, -0.03, -0.02, -0.01, -0.005, -0.0025, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05];

/// How many days had a return of which size.
pub(super) fn spread(outcome: &Outcome) -> Markup {
    let returns = outcome.daily.daily_return.iter().skip(1).filter(|value| value.is_finite());
    let mut classes = [0_usize; EDGES.len() + 1];
    for value in returns {
        classes[EDGES.partition_point(|edge| edge <= value)] += 1;
    }
    let most = classes.iter().copied().max().unwrap_or(0).max(1);
    let edge = |place: usize| EDGES.get(place).map_or_else(|| UNDEFINED.to_owned(), |&edge| percent(edge, 2));
    let name = |class: usize| match class {
        0 => format!("below {}", edge(0)),
        last if last == EDGES.len() => format!("{} and more", edge(last - 1)),
        class => format!("{} to {}", edge(class - 1), edge(class)),
    };
    html! {
        section.spread {
            h2 { "Daily returns" }
            p.note { "Number of days by their return; the lower bound belongs to a class." }
            div.scroll { table {
                thead { tr { th scope="col" { "Return" } td {} th scope="col" { "Days" } } }
                tbody { @for (class, &days) in classes.iter().enumerate() {
                    tr {
                        th scope="row" { (name(class)) }
                        td.gauge aria-hidden="true" {
                            div.short[class < EDGES.len() / 2]
                                style=(format!("width:{:.1}%", 100.0 * days as f64 / most as f64)) {}
                        }
                        td { (count(days)) }
                    }
                } }
            } }
        }
    }
}
