//! Runs side by side on one self-contained page: what 1 became in each, how far apart two of them moved and how far
//! chance alone would take them, where their configs differ, and every figure over the common days.

use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::chart::{Chart, Days, Series, Shape, Unit};
use super::definitions::{defined, definitions};
use super::head;
use super::numbers::{UNDEFINED, count, grouped, percent};
use crate::engine::metrics::drawdown;
use crate::engine::metrics::returns::deviation;
use crate::work::compare::{Comparison, Data, Engine, Pair};

/// Classes of the runs' colours; more runs than colours begin again.
const COLOURS: [&str; 10] = ["run0", "run1", "run2", "run3", "run4", "run5", "run6", "run7", "run8", "run9"];
/// Deviations of a normal distribution within which 95 % lie.
const WITHIN: f64 = 1.96;

/// The page, as HTML. The same comparison gives the same bytes.
pub fn comparison_page(of: &Comparison) -> String {
    let days = Days::new(&of.curves.days);
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} – compared", of.runs.join(", ")), include_str!("comparison.css")))
            body {
                (header(of))
                main {
                    (values(of).section(&days))
                    (drawdowns(of).section(&days))
                    @if let Some(chart) = ratio(of) { (chart.section(&days)) }
                    (figures(of))
                    (tests(of))
                    (configs(of))
                    (correlations(of))
                    (definitions())
                }
            }
        }
    };
    html.into_string()
}

fn letter(run: usize) -> char {
    char::from(b'A' + u8::try_from(run).unwrap_or_default())
}

fn header(of: &Comparison) -> Markup {
    let window = &of.window;
    html! {
        header {
            p.kind { "Backtests compared" }
            h1 { (of.sentence) }
            ul.legend {
                @for (run, id) in of.runs.iter().enumerate() {
                    li class=(COLOURS[run % COLOURS.len()]) {
                        (letter(run)) ": " @if let Some(name) = &of.names[run] { (name) ", " } code { (id) }
                    }
                }
            }
            p.about {
                @if let (Some(from), Some(to)) = (window.from, window.to) {
                    time { (from) } " to " time { (to) } " · " (count(window.days)) " common trading days, over which every figure \
                    was computed again"
                } @else { "No common days" }
                @for cut in &window.cut { " · " (cut) }
            }
            p.about {
                @match of.data {
                    Data::Same => "The same data",
                    Data::VersionsDiffer => "The same tables in different versions",
                    Data::Different => "Different data",
                }
                @match of.engine {
                    Engine::Same => ", the same version of the engine",
                    Engine::Different => ", different versions of the engine",
                }
            }
        }
    }
}

/// A curve of each run, the base in front.
fn curves(of: &Comparison, curve: impl Fn(&[f64]) -> Vec<f64>) -> Vec<Series> {
    let series = of.curves.values.iter().enumerate().map(|(run, values)| Series {
        name: letter(run).to_string(),
        class: COLOURS[run % COLOURS.len()],
        shape: Shape::Line(curve(values)),
    });
    let mut series: Vec<Series> = series.collect();
    series.reverse();
    series
}

fn values(of: &Comparison) -> Chart {
    let all = || of.curves.values.iter().flatten().copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let logarithmic = low > 0.0 && high / low > 4.0;
    let scale = if logarithmic { " Equal heights are equal percentages (logarithmic scale)." } else { "" };
    Chart {
        name: "equity",
        title: "Value of 1".into(),
        note: format!("What 1 became in each run from the first common day on.{scale}"),
        unit: Unit::Plain,
        logarithmic,
        series: curves(of, <[f64]>::to_vec),
        hints: Vec::new(),
    }
}

fn drawdowns(of: &Comparison) -> Chart {
    Chart {
        name: "drawdown",
        title: "Drawdowns".into(),
        note: "Distance from the highest value since the first common day.".into(),
        unit: Unit::Fall,
        logarithmic: false,
        series: curves(of, |values| drawdown::from_peak(values, f64::NEG_INFINITY)),
        hints: Vec::new(),
    }
}

/// Of two runs, the one over the other, between the bounds of chance.
fn ratio(of: &Comparison) -> Option<Chart> {
    let [ours, theirs] = &of.curves.values[..] else { return None };
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    let steps: Vec<f64> = ratios.windows(2).map(|two| (two[1] / two[0]).ln()).collect();
    let daily = deviation(&steps)?;
    let bound = |sign: f64| {
        let days = 0..ours.len();
        days.map(|day| (sign * WITHIN * daily * (day as f64).sqrt()).exp()).collect()
    };
    let line = |name: &str, class, values| Series { name: name.into(), class, shape: Shape::Line(values) };
    Some(Chart {
        name: "ratio",
        title: "A over B".into(),
        note: "Value of 1 in A over that of 1 in B. On any one day 95 of 100 such curves lie between the bounds, if two runs differ \
               from day to day as much as these but do not grow apart on average: exp(±1.96 × deviation of the daily change \
               of the logarithm × √days). The test of the Sharpe ratios asks for more: risk counts there too."
            .into(),
        unit: Unit::Plain,
        logarithmic: true,
        series: vec![
            line("Upper bound of chance", "soft", bound(1.0)),
            line("Lower bound of chance", "soft", bound(-1.0)),
            line("A over B", "own", ratios),
        ],
        hints: Vec::new(),
    })
}

/// What a figure is called, where it is defined, and how it is written.
fn figure(name: &str) -> (String, &str, fn(f64) -> String) {
    let share: fn(f64) -> String = |value| percent(value, 2);
    let plain: fn(f64) -> String = |value| grouped(value, 2);
    let whole: fn(f64) -> String = |value| grouped(value, 0);
    let words = name.replace('_', " ");
    match name {
        "sharpe_ratio" | "sortino_ratio" => (format!("{words}, a year"), name, plain),
        "calmar_ratio" | "skew" | "excess_kurtosis" => (words, name, plain),
        "longest_drawdown_days" => ("longest drawdown, calendar days".into(), name, whole),
        "var_95" => ("VaR 95 %, a day".into(), name, share),
        "cvar_95" => ("CVaR 95 %, a day".into(), name, share),
        "hit_rate" => ("hit rate of days: days with a gain".into(), name, share),
        "average_turnover" => ("turnover a day: buys and sells added".into(), name, share),
        "costs_bps_a_year" => ("costs a year, bps of average equity".into(), "costs a year", plain),
        _ => (words, name, share),
    }
}

fn figures(of: &Comparison) -> Markup {
    let two = of.runs.len() == 2;
    // Only of the Sharpe ratio it is known whether chance explains the difference.
    let better = of
        .sharpe_test
        .as_ref()
        .filter(|test| test.hac.p < 0.05)
        .map(|test| usize::from(test.difference_daily < 0.0));
    html! {
        section.figures {
            h2 { "Figures over the common days" }
            p.note {
                "Each name leads to its formula."
                @if two { " The better Sharpe ratio is marked only where the test says that it is better." }
            }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "" }
                    @for run in 0..of.runs.len() { th scope="col" { (letter(run)) } }
                    @if two { th scope="col" { "A less B" } }
                } }
                tbody { @for row in &of.figures {
                    @let key = row["name"].as_str().unwrap_or_default();
                    @let (name, defined_at, write) = figure(key);
                    @let cell = |of: &str| row[of].as_f64().map_or_else(|| UNDEFINED.to_owned(), write);
                    tr {
                        th scope="row" { (defined(&name, defined_at)) }
                        @for run in 0..of.runs.len() {
                            td.better[key == "sharpe_ratio" && better == Some(run)] { (cell(&letter(run).to_string())) }
                        }
                        @if two { td { (cell("difference")) } }
                    }
                } }
            } }
        }
    }
}

/// What the tests came to; for two runs with how far apart they moved.
fn tests(of: &Comparison) -> Markup {
    let number = |value: f64| grouped(value, 4);
    html! {
        @if let Some(difference) = &of.difference {
            section.difference {
                h2 { "A less B" }
                div.scroll { table { tbody {
                    tr { th scope="row" { "Mean difference of daily returns, for a year" } td { (percent(difference.mean_annual, 2)) } }
                    tr { th scope="row" { "Tracking error, a year" } td { (percent(difference.tracking_error, 2)) } }
                    tr { th scope="row" { "Correlation of days" } td { (difference.correlation.map_or_else(|| UNDEFINED.to_owned(), number)) } }
                    tr { th scope="row" { "Days on which A was better" } td { (percent(difference.days_better, 2)) } }
                    tr { th scope="row" { "Value of 1 in A over 1 in B at the end" } td { (difference.final_ratio.map_or_else(|| UNDEFINED.to_owned(), number)) } }
                    @if let Some(held) = &of.holdings {
                        tr { th scope="row" { "Active share, mean of the days" } td { (percent(held.mean_active_share, 2)) } }
                    }
                    @if let Some(test) = &of.sharpe_test {
                        tr { th scope="row" { "Sharpe ratios, a day: difference" } td { (grouped(test.difference_daily, 6)) } }
                        @if let Some(memmel) = &test.memmel {
                            tr { th scope="row" { "p, days independent and normal (Memmel 2003)" } td { (number(memmel.p)) } }
                        }
                        tr { th scope="row" { "p, days that depend on each other (Ledoit, Wolf 2008)" } td { (number(test.hac.p)) } }
                        tr {
                            th scope="row" { "95 % interval of the difference of Sharpe ratios, a year" }
                            td { (grouped(test.hac.interval95_annual[0], 3)) " to " (grouped(test.hac.interval95_annual[1], 3)) }
                        }
                        @if let Some(drawn) = &test.bootstrap {
                            tr {
                                th scope="row" { "p, " (count(drawn.replications)) " resamples in blocks of " (drawn.block) " days" }
                                td { (number(drawn.p)) }
                            }
                        }
                    }
                } } }
            }
        }
        @if !of.pairs.is_empty() {
            section.difference {
                h2 { "A with each of the others" }
                ul { @for pair in &of.pairs { li { (paired(pair)) } } }
            }
        }
    }
}

fn paired(pair: &Pair) -> Markup {
    html! {
        (pair.of) ": " (pair.sentence)
        @if let Some(held) = &pair.holdings { " Active share " (percent(held.mean_active_share, 1)) " on average." }
    }
}

fn configs(of: &Comparison) -> Markup {
    let cell = |value: &Value| match value {
        Value::Null => UNDEFINED.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    html! {
        section.configs {
            h2 { "Where the configs differ" }
            @if of.config_diff.is_empty() { p.empty { "Nowhere: they ask for the same." } } @else {
                div.scroll { table {
                    thead { tr { th scope="col" { "Option" } @for run in 0..of.runs.len() { th scope="col" { (letter(run)) } } } }
                    tbody { @for row in &of.config_diff {
                        tr {
                            th scope="row" { (row["path"].as_str().unwrap_or_default()) }
                            @for run in 0..of.runs.len() { td { (cell(&row[letter(run).to_string()])) } }
                        }
                    } }
                } }
            }
        }
    }
}

fn correlations(of: &Comparison) -> Markup {
    html! {
        section.correlations {
            h2 { "Correlation of daily returns" }
            div.scroll { table {
                thead { tr { th scope="col" { "" } @for run in 0..of.runs.len() { th scope="col" { (letter(run)) } } } }
                tbody { @for (run, row) in of.correlations.iter().enumerate() {
                    tr {
                        th scope="row" { (letter(run)) }
                        @for value in row { td { (value.map_or_else(|| UNDEFINED.to_owned(), |value| grouped(value, 3))) } }
                    }
                } }
            } }
        }
    }
}
