//! Key figures, all figures, and the returns of months: what is in the summary, as tables.

use maud::{Markup, html};

use super::benchmark::{BenchmarkFigures, benchmark_name};
use super::definitions::defined;
use super::numbers::{UNDEFINED, count, grouped, money, percent, ratio, share};
use crate::engine::Outcome;
use crate::engine::metrics::periods::PeriodReturns;
use crate::engine::metrics::returns::mean;
use crate::engine::metrics::{BenchmarkSummary, Summary};
use crate::work::facts::Facts;

/// The few figures that a reader looks for first.
pub(super) fn headline(facts: &Facts<'_>, outcome: &Outcome) -> Markup {
    let own = &outcome.summary;
    let benchmark = BenchmarkFigures::of(outcome);
    let benchmark = benchmark.as_ref();
    let tile = |value: Option<f64>| value.map_or_else(|| UNDEFINED.to_owned(), |value| percent(value, 1));
    let tiles = [
        (
            "Total return",
            "total_return",
            tile(Some(own.total_return)),
            benchmark.map(|r| tile(r.versus.total_return)),
        ),
        (
            "Annualized return",
            "annualized_return",
            tile(own.annualized_return),
            benchmark.map(|r| tile(r.annualized_return)),
        ),
        (
            "Volatility",
            "annualized_volatility",
            tile(own.annualized_volatility),
            benchmark.map(|r| tile(r.volatility)),
        ),
        ("Sharpe ratio", "sharpe_ratio", ratio(own.sharpe_ratio), benchmark.map(|r| ratio(r.sharpe))),
        (
            "Maximum drawdown",
            "max_drawdown",
            tile(Some(own.max_drawdown)),
            benchmark.map(|r| tile(Some(r.max_drawdown))),
        ),
    ];
    html! {
        section.headline aria-label="Key figures" {
            dl {
                @for (name, key, value, theirs) in &tiles {
                    div { dt { (defined(name, key)) } dd { strong { (value) } @if let Some(theirs) = theirs { small { (theirs) } } } }
                }
            }
            @if let Some(benchmark) = benchmark {
                p.note { "In small figures: the benchmark, " (benchmark_name(&benchmark.versus.name)) "." }
            }
            @if outcome.summary.risk_free_rate != 0.0 {
                p.note { "Ratios are over a risk-free rate of " (percent(outcome.summary.risk_free_rate, 2)) " a year"
                    @if facts.config.risk_free_rate.series().is_some() { ", the mean of the rates of its days" } "." }
            }
        }
    }
}

/// A figure: its name, where it is defined, the portfolio's value and the benchmark's.
type Figure = (&'static str, &'static str, String, Option<String>);

/// Every figure, by what it is about.
pub(super) fn figures(outcome: &Outcome) -> Markup {
    let benchmark = BenchmarkFigures::of(outcome);
    let benchmark = benchmark.as_ref();
    let bars = outcome.summary.periods_per_year;
    html! {
        section.figures {
            h2 { "Figures" }
            p.note {
                "Returns, ratios and exposures are of the account's value, days are trading days unless they are called calendar \
                 days. Yearly figures count " (grouped(bars, if bars.fract() == 0.0 { 0 } else { 2 })) " bars a year; deviations are of a \
                 population. Each name leads to its formula."
            }
            div.tables {
                (figure_table("Return", &returned(&outcome.summary, benchmark)))
                (figure_table("Risk", &risked(&outcome.summary, benchmark)))
                (figure_table("Trading", &traded(outcome, benchmark)))
                @if let Some(versus) = &outcome.summary.benchmark {
                    (figure_table("Against the benchmark", &compared(versus)))
                }
            }
        }
    }
}

fn returned(own: &Summary, benchmark: Option<&BenchmarkFigures<'_>>) -> [Figure; 7] {
    [
        (
            "Total return",
            "total_return",
            percent(own.total_return, 2),
            benchmark.map(|r| share(r.versus.total_return)),
        ),
        (
            "Annualized return",
            "annualized_return",
            share(own.annualized_return),
            benchmark.map(|r| share(r.annualized_return)),
        ),
        ("Best day", "best_day", share(own.best_day), benchmark.map(|r| share(r.best_day))),
        ("Worst day", "worst_day", share(own.worst_day), benchmark.map(|r| share(r.worst_day))),
        ("Best month", "best_month", share(own.best_month), benchmark.map(|r| share(r.best_month))),
        ("Worst month", "worst_month", share(own.worst_month), benchmark.map(|r| share(r.worst_month))),
        (
            "Hit rate of days: days with a gain",
            "hit_rate",
            share(own.hit_rate),
            benchmark.map(|r| share(r.hit_rate)),
        ),
    ]
}

fn risked(own: &Summary, benchmark: Option<&BenchmarkFigures<'_>>) -> [Figure; 10] {
    let length = |days: i64| grouped(days as f64, 0);
    [
        (
            "Annualized volatility",
            "annualized_volatility",
            share(own.annualized_volatility),
            benchmark.map(|r| share(r.volatility)),
        ),
        ("Sharpe ratio, a year", "sharpe_ratio", ratio(own.sharpe_ratio), benchmark.map(|r| ratio(r.sharpe))),
        (
            "Sortino ratio, a year",
            "sortino_ratio",
            ratio(own.sortino_ratio),
            benchmark.map(|r| ratio(r.sortino)),
        ),
        ("Calmar ratio", "calmar_ratio", ratio(own.calmar_ratio), benchmark.map(|r| ratio(r.calmar))),
        (
            "Maximum drawdown",
            "max_drawdown",
            percent(own.max_drawdown, 2),
            benchmark.map(|r| percent(r.max_drawdown, 2)),
        ),
        (
            "Longest drawdown, calendar days",
            "longest_drawdown_days",
            length(own.longest_drawdown_days),
            benchmark.map(|r| length(r.longest_drawdown_days)),
        ),
        (
            "VaR 95 %, a day",
            "var_95",
            share(own.var_95),
            benchmark.map(|r| share(r.tail.map(|tail| tail.value_at_risk))),
        ),
        (
            "CVaR 95 %, a day",
            "cvar_95",
            share(own.cvar_95),
            benchmark.map(|r| share(r.tail.map(|tail| tail.conditional))),
        ),
        ("Skewness", "skew", ratio(own.skew), benchmark.map(|r| ratio(r.skew))),
        (
            "Excess kurtosis",
            "excess_kurtosis",
            ratio(own.excess_kurtosis),
            benchmark.map(|r| ratio(r.excess_kurtosis)),
        ),
    ]
}

/// A benchmark is in the market from its first bar on and pays nothing; it has no fills that could be counted.
fn traded(outcome: &Outcome, benchmark: Option<&BenchmarkFigures<'_>>) -> Vec<Figure> {
    let own = &outcome.summary;
    let holding = own.average_holding_days.map_or_else(|| UNDEFINED.to_owned(), |d| grouped(d, 1));
    let yearly = own.average_turnover.map(|daily| daily * own.periods_per_year);
    let in_cash = own.account_of.days_in_cash;
    let in_market = (own.days > 0).then(|| 1.0 - in_cash as f64 / own.days as f64);
    let all = || benchmark.map(|_| percent(1.0, 2));
    let nothing = || benchmark.map(|_| money(0.0));
    let mut figures = vec![
        ("Fills", "trades", count(own.trades), None),
        ("Turnover a year: buys and sells added", "turnover a year", share(yearly), None),
        ("Time in the market", "time in the market", share(in_market), all()),
        ("Days in cash", "time in the market", count(in_cash), benchmark.map(|_| count(0))),
        ("Average holding, calendar days", "average_holding_days", holding, None),
        ("Gross exposure, average", "average_gross_exposure", share(own.average_gross_exposure), all()),
        ("Net exposure, average", "average_net_exposure", share(own.average_net_exposure), all()),
        ("Commission", "total_commission", money(own.total_commission), nothing()),
        ("Spread and slippage", "total_slippage_cost", money(own.total_slippage_cost), nothing()),
        ("Market impact", "total_impact_cost", money(own.total_impact_cost), nothing()),
        ("Borrowed shares", "total_borrow_cost", money(own.total_borrow_cost), nothing()),
        ("All costs", "total_costs", money(own.total_costs), nothing()),
        ("Interest on cash", "total_interest", money(own.total_interest), None),
        (
            "Costs a year, bps of average equity",
            "costs a year",
            ratio(costs_a_year(outcome)),
            benchmark.map(|_| ratio(Some(0.0))),
        ),
    ];
    if let Some(dividends) = own.total_dividends {
        figures.push(("Dividends", "total_dividends", money(dividends), None));
    }
    figures
}

fn compared(versus: &BenchmarkSummary) -> [Figure; 7] {
    [
        ("Alpha a year", "benchmark.alpha", share(versus.alpha), None),
        ("Beta", "benchmark.beta", ratio(versus.beta), None),
        ("Correlation of days", "benchmark.correlation", ratio(versus.correlation), None),
        ("Tracking error a year", "benchmark.tracking_error", share(versus.tracking_error), None),
        ("Information ratio, a year", "benchmark.information_ratio", ratio(versus.information_ratio), None),
        ("Up capture", "benchmark.up_capture", ratio(versus.up_capture), None),
        ("Down capture", "benchmark.down_capture", ratio(versus.down_capture), None),
    ]
}

/// Costs over the mean value of the account, for a year, in basis points.
fn costs_a_year(outcome: &Outcome) -> Option<f64> {
    let (summary, values) = (&outcome.summary, &outcome.daily.portfolio_value);
    let years = (summary.days.checked_sub(1)? as f64) / summary.periods_per_year;
    let value = mean(values).filter(|&value| value > 0.0)?;
    (years > 0.0).then(|| 10_000.0 * summary.total_costs / value / years)
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
            tbody { @for (name, key, own, theirs) in figures {
                tr {
                    th scope="row" { (defined(name, key)) }
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
