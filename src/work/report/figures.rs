//! Key figures, all figures, and the returns of months: what is in the summary, as tables.

use maud::{Markup, html};

use super::benchmark::{BenchmarkFigures, benchmark_name};
use super::numbers::{UNDEFINED, count, grouped, money, percent, ratio, share};
use crate::engine::Outcome;
use crate::engine::metrics::periods::PeriodReturns;
use crate::work::facts::Facts;

/// The few figures that a reader looks for first.
pub(super) fn headline(facts: &Facts<'_>, outcome: &Outcome) -> Markup {
    let own = &outcome.summary;
    let benchmark = BenchmarkFigures::of(outcome);
    let benchmark = benchmark.as_ref();
    let tile = |value: Option<f64>| value.map_or_else(|| UNDEFINED.to_owned(), |value| percent(value, 1));
    let tiles = [
        ("Total return", tile(Some(own.total_return)), benchmark.map(|r| tile(r.versus.total_return))),
        ("Annualized return", tile(own.annualized_return), benchmark.map(|r| tile(r.annualized_return))),
        ("Volatility", tile(own.annualized_volatility), benchmark.map(|r| tile(r.volatility))),
        ("Sharpe ratio", ratio(own.sharpe_ratio), benchmark.map(|r| ratio(r.sharpe))),
        ("Maximum drawdown", tile(Some(own.max_drawdown)), benchmark.map(|r| tile(Some(r.max_drawdown)))),
    ];
    html! {
        section.headline aria-label="Key figures" {
            dl {
                @for (name, value, theirs) in &tiles {
                    div { dt { (name) } dd { strong { (value) } @if let Some(theirs) = theirs { small { (theirs) } } } }
                }
            }
            @if let Some(benchmark) = benchmark {
                p.note { "In small figures: the benchmark, " (benchmark_name(&benchmark.versus.name)) "." }
            }
            @if facts.config.risk_free_rate != 0.0 {
                p.note { "Ratios are over a risk-free rate of " (percent(facts.config.risk_free_rate, 2)) " a year." }
            }
        }
    }
}

/// A figure, the portfolio's value and the benchmark's.
type Figure = (&'static str, String, Option<String>);

/// Every figure, by what it is about.
pub(super) fn figures(outcome: &Outcome) -> Markup {
    let own = &outcome.summary;
    let benchmark = BenchmarkFigures::of(outcome);
    let benchmark = benchmark.as_ref();
    let length = |days: i64| format!("{} days", grouped(days as f64, 0));
    let returned: [Figure; 7] = [
        ("Total return", percent(own.total_return, 2), benchmark.map(|r| share(r.versus.total_return))),
        ("Annualized return", share(own.annualized_return), benchmark.map(|r| share(r.annualized_return))),
        ("Best day", share(own.best_day), benchmark.map(|r| share(r.best_day))),
        ("Worst day", share(own.worst_day), benchmark.map(|r| share(r.worst_day))),
        ("Best month", share(own.best_month), None),
        ("Worst month", share(own.worst_month), None),
        ("Hit rate, days", share(own.hit_rate), benchmark.map(|r| share(r.hit_rate))),
    ];
    let risked: [Figure; 10] = [
        ("Annualized volatility", share(own.annualized_volatility), benchmark.map(|r| share(r.volatility))),
        ("Sharpe ratio", ratio(own.sharpe_ratio), benchmark.map(|r| ratio(r.sharpe))),
        ("Sortino ratio", ratio(own.sortino_ratio), benchmark.map(|r| ratio(r.sortino))),
        ("Calmar ratio", ratio(own.calmar_ratio), benchmark.map(|r| ratio(r.calmar))),
        ("Maximum drawdown", percent(own.max_drawdown, 2), benchmark.map(|r| percent(r.max_drawdown, 2))),
        (
            "Longest drawdown",
            length(own.longest_drawdown_days),
            benchmark.map(|r| length(r.longest_drawdown_days)),
        ),
        (
            "VaR 95 %, a day",
            share(own.var_95),
            benchmark.map(|r| share(r.tail.map(|tail| tail.value_at_risk))),
        ),
        (
            "CVaR 95 %, a day",
            share(own.cvar_95),
            benchmark.map(|r| share(r.tail.map(|tail| tail.conditional))),
        ),
        ("Skewness", ratio(own.skew), None),
        ("Excess kurtosis", ratio(own.excess_kurtosis), None),
    ];
    let holding =
        own.average_holding_days.map_or_else(|| UNDEFINED.to_owned(), |d| format!("{} days", grouped(d, 1)));
    let yearly = own.average_turnover.map(|daily| daily * own.periods_per_year);
    let traded: [Figure; 8] = [
        ("Trades", count(own.trades), None),
        ("Turnover a year", share(yearly), None),
        ("Average holding", holding, None),
        ("Gross exposure, average", share(own.average_gross_exposure), None),
        ("Net exposure, average", share(own.average_net_exposure), None),
        ("Commission", money(own.total_commission), None),
        ("Spread and slippage", money(own.total_slippage_cost), None),
        ("All costs", money(own.total_costs), None),
    ];
    let compared: Option<[Figure; 7]> = own.benchmark.as_ref().map(|versus| {
        [
            ("Alpha a year", share(versus.alpha), None),
            ("Beta", ratio(versus.beta), None),
            ("Correlation", ratio(versus.correlation), None),
            ("Tracking error", share(versus.tracking_error), None),
            ("Information ratio", ratio(versus.information_ratio), None),
            ("Up capture", ratio(versus.up_capture), None),
            ("Down capture", ratio(versus.down_capture), None),
        ]
    });
    html! {
        section.figures {
            h2 { "Figures" }
            div.tables {
                (figure_table("Return", &returned))
                (figure_table("Risk", &risked))
                (figure_table("Trading", &traded))
                @if let Some(compared) = &compared { (figure_table("Against the benchmark", compared)) }
            }
        }
    }
}

fn figure_table(title: &str, figures: &[Figure]) -> Markup {
    let both = figures.iter().any(|(.., theirs)| theirs.is_some());
    html! {
        table {
            thead { tr {
                th scope="col" { (title) }
                th scope="col" { @if both { "Portfolio" } @else { "" } }
                @if both { th scope="col" { "Benchmark" } }
            } }
            tbody { @for (name, own, theirs) in figures {
                tr {
                    th scope="row" { (name) }
                    td { (own) }
                    @if both { td.theirs { (theirs.as_deref().unwrap_or("")) } }
                }
            } }
        }
    }
}

/// Returns by month and year.
pub(super) fn months(facts: &Facts<'_>, outcome: &Outcome) -> Markup {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let daily = &outcome.daily;
    let periods = PeriodReturns::of(&daily.date, &daily.portfolio_value, facts.config.initial_cash);
    html! {
        section.months {
            h2 { "Monthly returns" }
            p.note { "In percent, compounding to the year on the right." }
            div.scroll role="region" aria-label="Monthly returns" tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { "Year" }
                        @for name in NAMES { th scope="col" { (name) } }
                        th.total scope="col" { "Total" }
                    } }
                    tbody { @for year in &periods.years {
                        tr {
                            th scope="row" { (year.year) }
                            @for month in year.months {
                                @if let Some(value) = month {
                                    td class=(heat(value)) { (grouped(100.0 * value, 1)) }
                                } @else { td {} }
                            }
                            td.total { (year.total.map_or_else(|| UNDEFINED.to_owned(), |total| grouped(100.0 * total, 1))) }
                        }
                    } }
                }
            }
        }
    }
}

/// Class of a monthly return: its sign, and how far it is from nothing.
fn heat(value: f64) -> &'static str {
    let level = [0.01, 0.03, 0.06].iter().filter(|&&least| value.abs() >= least).count();
    let names = if value < 0.0 { ["n0", "n1", "n2", "n3"] } else { ["p0", "p1", "p2", "p3"] };
    if value == 0.0 { "" } else { names[level] }
}
