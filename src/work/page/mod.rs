//! The report page: a finished run on one self-contained page for a screen of any width and for paper. It says what
//! happened; what is drawn of it is told in `curves`, and scales, axes and number formats live in `chart`. Nothing here asks the time, and nothing on
//! the page asks anyone: no script, no font, no address.

mod chart;
mod curves;

use std::cmp::Ordering;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use self::chart::{Chart, Days, STYLE, UNDEFINED, grouped, percent};
use self::curves::charts;
use super::report::{Facts, ReportError, resolved_config};
use super::{ENGINE_VERSION, document};
use crate::engine::market::{Market, SymbolId};
use crate::engine::metrics::periods::PeriodReturns;
use crate::engine::metrics::returns::{self, Tail};
use crate::engine::metrics::{BenchmarkSummary, drawdown};
use crate::engine::{Outcome, RejectReason};

/// Rows of a list of positions, warnings and entries of a list in the config, before it is cut short.
const POSITIONS_MAX: usize = 10;
const WARNINGS_MAX: usize = 30;
const ENTRIES_MAX: usize = 40;

/// The page of a run, as HTML. The same outcome gives the same bytes; its size hardly grows with days or symbols.
pub fn report_page(facts: &Facts<'_>, market: &Market, outcome: &Outcome) -> Result<String, ReportError> {
    let days = Days::new(&outcome.daily.date);
    let [equity, drawdown, sharpe, breadth @ ..] = charts(facts, outcome);
    let name = run_name(outcome);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (name) " – backtest" }
                style { (PreEscaped(STYLE)) (PreEscaped(include_str!("page.css"))) }
            }
            body {
                (header(facts, outcome, name))
                main {
                    (warnings(outcome))
                    (headline(facts, outcome))
                    (equity.section(&days))
                    (drawdown.section(&days))
                    (figures(outcome))
                    (months(facts, outcome))
                    (sharpe.section(&days))
                    div.pair { @for chart in &breadth { (chart.section(&days)) } }
                    (positions(market, outcome))
                    (remarks(outcome))
                    (origin(facts, outcome)?)
                }
            }
        }
    };
    Ok(page.into_string())
}

/// The charts of the page as SVG files by name, without those that have nothing to draw.
pub fn plots(facts: &Facts<'_>, outcome: &Outcome) -> Vec<(&'static str, String)> {
    let days = Days::new(&outcome.daily.date);
    let drawn = |chart: &Chart| Some((chart.name, chart.file(&days)?));
    charts(facts, outcome).iter().filter_map(drawn).collect()
}

fn run_name(outcome: &Outcome) -> &str {
    outcome.summary.run_name.as_deref().filter(|name| !name.trim().is_empty()).unwrap_or("Unnamed run")
}

fn money(value: f64) -> String {
    grouped(value, if value.abs() < 1000.0 && value.fract() != 0.0 { 2 } else { 0 })
}

fn share(value: Option<f64>) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), |value| percent(value, 2))
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), |value| grouped(value, 2))
}

fn count(value: usize) -> String {
    grouped(value as f64, 0)
}

fn header(facts: &Facts<'_>, outcome: &Outcome, name: &str) -> Markup {
    let (summary, currency) = (&outcome.summary, &facts.config.universe.currency);
    let first = outcome.daily.date.first().copied().unwrap_or(summary.start_date);
    let last = outcome.daily.date.last().copied().unwrap_or(summary.end_date);
    html! {
        header {
            p.kind { "Backtest" }
            h1 { (name) }
            p.about {
                time { (first) } " to " time { (last) } " · " (count(summary.days)) " trading days · "
                code { (facts.run_id) }
            }
            p.lead {
                (money(summary.initial_cash)) " " (currency) " became "
                strong { (money(summary.final_equity)) " " (currency) }
                ", after " (money(summary.total_costs)) " " (currency) " of costs in "
                (count(summary.trades)) @if summary.trades == 1 { " trade." } @else { " trades." }
            }
        }
    }
}

fn warnings(outcome: &Outcome) -> Markup {
    let all = &outcome.summary.warnings;
    html! {
        @if !all.is_empty() {
            section.warnings {
                h2 { @if all.len() == 1 { "One warning" } @else { (count(all.len())) " warnings" } }
                ul { @for warning in all.iter().take(WARNINGS_MAX) { li { (warning) } } }
                @if all.len() > WARNINGS_MAX { p { "The others are in summary.json." } }
            }
        }
    }
}

/// What a benchmark did, by the measures of a portfolio.
struct Rival<'a> {
    versus: &'a BenchmarkSummary,
    annualized_return: Option<f64>,
    volatility: Option<f64>,
    sharpe: Option<f64>,
    sortino: Option<f64>,
    calmar: Option<f64>,
    max_drawdown: f64,
    longest_drawdown_days: i64,
    tail: Option<Tail>,
    hit_rate: Option<f64>,
    best_day: Option<f64>,
    worst_day: Option<f64>,
}

impl<'a> Rival<'a> {
    /// `None` without a benchmark.
    fn of(outcome: &'a Outcome) -> Option<Self> {
        let (curve, versus) = outcome.benchmark.as_ref().zip(outcome.summary.benchmark.as_ref())?;
        let daily: Vec<f64> = curve.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
        let risk_free = returns::daily_rate(outcome.summary.risk_free_rate);
        let falls = falls(curve);
        let max_drawdown = drawdown::deepest(curve);
        let annualized_return =
            versus.total_return.and_then(|total| returns::annualized_return(total, daily.len()));
        Some(Self {
            versus,
            annualized_return,
            volatility: returns::annualized_volatility(&daily),
            sharpe: returns::sharpe_ratio(&daily, risk_free),
            sortino: returns::sortino_ratio(&daily, risk_free),
            calmar: annualized_return.filter(|_| max_drawdown < 0.0).map(|r| r / max_drawdown.abs()),
            max_drawdown,
            longest_drawdown_days: drawdown::longest_days(&outcome.daily.date, &falls),
            tail: Tail::of(&daily),
            hit_rate: returns::hit_rate(&daily),
            best_day: returns::highest(daily.iter().copied()),
            worst_day: returns::lowest(daily.iter().copied()),
        })
    }
}

/// Distance from the running peak, by day.
fn falls(values: &[f64]) -> Vec<f64> {
    let mut peak = f64::NEG_INFINITY;
    let fall = |&value: &f64| {
        peak = peak.max(value);
        value / peak - 1.0
    };
    values.iter().map(fall).collect()
}

/// What a benchmark is called in a sentence.
fn rival_name(name: &str) -> &str {
    if name == crate::engine::config::EQUAL_WEIGHT { "equal weight" } else { name }
}

fn headline(facts: &Facts<'_>, outcome: &Outcome) -> Markup {
    let own = &outcome.summary;
    let rival = Rival::of(outcome);
    let rival = rival.as_ref();
    let tile = |value: Option<f64>| value.map_or_else(|| UNDEFINED.to_owned(), |value| percent(value, 1));
    let tiles = [
        ("Total return", tile(Some(own.total_return)), rival.map(|r| tile(r.versus.total_return))),
        ("Annualized return", tile(own.annualized_return), rival.map(|r| tile(r.annualized_return))),
        ("Volatility", tile(own.annualized_volatility), rival.map(|r| tile(r.volatility))),
        ("Sharpe ratio", ratio(own.sharpe_ratio), rival.map(|r| ratio(r.sharpe))),
        ("Maximum drawdown", tile(Some(own.max_drawdown)), rival.map(|r| tile(Some(r.max_drawdown)))),
    ];
    html! {
        section.headline aria-label="Key figures" {
            dl {
                @for (name, value, theirs) in &tiles {
                    div { dt { (name) } dd { strong { (value) } @if let Some(theirs) = theirs { small { (theirs) } } } }
                }
            }
            @if let Some(rival) = rival {
                p.note { "In small figures: the benchmark, " (rival_name(&rival.versus.name)) "." }
            }
            @if facts.config.risk_free_rate != 0.0 {
                p.note { "Ratios are over a risk-free rate of " (percent(facts.config.risk_free_rate, 2)) " a year." }
            }
        }
    }
}

/// A figure, the portfolio's value and the benchmark's.
type Figure = (&'static str, String, Option<String>);

fn figures(outcome: &Outcome) -> Markup {
    let own = &outcome.summary;
    let rival = Rival::of(outcome);
    let rival = rival.as_ref();
    let length = |days: i64| format!("{} days", grouped(days as f64, 0));
    let returned: [Figure; 7] = [
        ("Total return", percent(own.total_return, 2), rival.map(|r| share(r.versus.total_return))),
        ("Annualized return", share(own.annualized_return), rival.map(|r| share(r.annualized_return))),
        ("Best day", share(own.best_day), rival.map(|r| share(r.best_day))),
        ("Worst day", share(own.worst_day), rival.map(|r| share(r.worst_day))),
        ("Best month", share(own.best_month), None),
        ("Worst month", share(own.worst_month), None),
        ("Hit rate, days", share(own.hit_rate), rival.map(|r| share(r.hit_rate))),
    ];
    let risked: [Figure; 10] = [
        ("Annualized volatility", share(own.annualized_volatility), rival.map(|r| share(r.volatility))),
        ("Sharpe ratio", ratio(own.sharpe_ratio), rival.map(|r| ratio(r.sharpe))),
        ("Sortino ratio", ratio(own.sortino_ratio), rival.map(|r| ratio(r.sortino))),
        ("Calmar ratio", ratio(own.calmar_ratio), rival.map(|r| ratio(r.calmar))),
        ("Maximum drawdown", percent(own.max_drawdown, 2), rival.map(|r| percent(r.max_drawdown, 2))),
        (
            "Longest drawdown",
            length(own.longest_drawdown_days),
            rival.map(|r| length(r.longest_drawdown_days)),
        ),
        ("VaR 95 %, a day", share(own.var_95), rival.map(|r| share(r.tail.map(|tail| tail.value_at_risk)))),
        ("CVaR 95 %, a day", share(own.cvar_95), rival.map(|r| share(r.tail.map(|tail| tail.conditional)))),
        ("Skewness", ratio(own.skew), None),
        ("Excess kurtosis", ratio(own.excess_kurtosis), None),
    ];
    let holding =
        own.average_holding_days.map_or_else(|| UNDEFINED.to_owned(), |d| format!("{} days", grouped(d, 1)));
    let yearly = own.average_turnover.map(|daily| daily * returns::DAYS_PER_YEAR);
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

fn months(facts: &Facts<'_>, outcome: &Outcome) -> Markup {
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
                            td.total { (grouped(100.0 * year.total, 1)) }
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

/// A symbol's part in the run.
#[derive(Clone, Default)]
struct Part {
    weights: f64,
    days: usize,
    last_weight: f64,
    last_value: f64,
    last_shares: f64,
}

fn positions(market: &Market, outcome: &Outcome) -> Markup {
    let days = outcome.daily.date.len();
    let mut parts = vec![Part::default(); outcome.symbols.len()];
    outcome.each_position(market, |position| {
        let part = &mut parts[position.symbol.index()];
        part.weights += if position.weight.is_finite() { position.weight } else { 0.0 };
        part.days += 1;
        if position.day + 1 == days {
            part.last_weight = position.weight;
            part.last_value = position.value;
            part.last_shares = position.shares;
        }
    });
    let average = |part: &Part| part.weights / days.max(1) as f64;
    let ranked = |counts: fn(&Part) -> bool, by: &dyn Fn(&Part) -> f64| -> Vec<SymbolId> {
        let mut symbols: Vec<SymbolId> =
            (0..parts.len() as u32).map(SymbolId).filter(|symbol| counts(&parts[symbol.index()])).collect();
        let size = |symbol: &SymbolId| by(&parts[symbol.index()]).abs();
        symbols.sort_by(|a, b| size(b).partial_cmp(&size(a)).unwrap_or(Ordering::Equal).then(a.cmp(b)));
        symbols
    };
    let usual = ranked(|part| part.days > 0, &average);
    let last = ranked(|part| part.last_shares != 0.0, &|part| part.last_weight);
    let widest = |symbols: &[SymbolId], by: &dyn Fn(&Part) -> f64| {
        symbols.first().map_or(1.0, |symbol| by(&parts[symbol.index()]).abs()).max(f64::MIN_POSITIVE)
    };
    let bar = |weight: f64, widest: f64| {
        html! { td.gauge aria-hidden="true" {
            div.short[weight < 0.0] style=(format!("width:{:.1}%", 100.0 * (weight.abs() / widest).min(1.0))) {}
        } }
    };
    let others = |symbols: &[SymbolId]| {
        html! { @if symbols.len() > POSITIONS_MAX {
            p.note { "And " (count(symbols.len() - POSITIONS_MAX)) " more." }
        } }
    };
    let most = widest(&usual, &average);
    let most_last = widest(&last, &|part| part.last_weight);
    html! {
        section.positions {
            h2 { "Top positions" }
            div.pair {
                div {
                    h3 { "By average weight" }
                    @if usual.is_empty() { p.empty { "Nothing was ever held." } } @else {
                        div.scroll { table {
                            thead { tr {
                                th scope="col" { "Symbol" } th scope="col" { "Weight" } td {}
                                th scope="col" { "Days held" }
                            } }
                            tbody { @for symbol in usual.iter().take(POSITIONS_MAX) {
                                @let part = &parts[symbol.index()];
                                tr {
                                    th scope="row" { (outcome.name(*symbol)) }
                                    td { (percent(average(part), 2)) }
                                    (bar(average(part), most))
                                    td { (percent(part.days as f64 / days.max(1) as f64, 0)) }
                                }
                            } }
                        } }
                        (others(&usual))
                    }
                }
                div {
                    h3 { "At the end" }
                    @if last.is_empty() { p.empty { "Nothing is held at the last close." } } @else {
                        div.scroll { table {
                            thead { tr {
                                th scope="col" { "Symbol" } th scope="col" { "Weight" } td {}
                                th scope="col" { "Value" } th scope="col" { "Shares" }
                            } }
                            tbody { @for symbol in last.iter().take(POSITIONS_MAX) {
                                @let part = &parts[symbol.index()];
                                tr {
                                    th scope="row" { (outcome.name(*symbol)) }
                                    td { (percent(part.last_weight, 2)) }
                                    (bar(part.last_weight, most_last))
                                    td { (money(part.last_value)) }
                                    td { (money(part.last_shares)) }
                                }
                            } }
                        } }
                        (others(&last))
                    }
                }
            }
        }
    }
}

/// What did not go as asked: orders that did not trade, constraints, delistings.
fn remarks(outcome: &Outcome) -> Markup {
    const REASONS: [(RejectReason, &str); 5] = [
        (RejectReason::MissingOpenPrice, "there was no price"),
        (RejectReason::RoundedToZero, "it was less than one lot"),
        (RejectReason::ParticipationCap, "the volume did not allow more"),
        (RejectReason::MinTradeShares, "it was too few shares"),
        (RejectReason::MinTradeNotional, "it was too little money"),
    ];
    let mut remarks: Vec<(String, String)> = Vec::new();
    for (reason, text) in REASONS {
        let orders = outcome.rejected.reason.iter().filter(|&&one| one == reason).count();
        if orders > 0 {
            remarks.push((format!("Did not trade: {text}"), count(orders)));
        }
    }
    let mut names: Vec<&str> = outcome.constraint_hits.iter().map(|hit| hit.constraint).collect();
    names.sort_unstable();
    for hits in names.chunk_by(|a, b| a == b) {
        remarks.push((format!("Held back by {}", hits[0].replace('_', " ")), count(hits.len())));
    }
    if !outcome.delisted.is_empty() {
        remarks.push(("Closed because the symbol stopped trading".into(), count(outcome.delisted.len())));
    }
    html! {
        @if !remarks.is_empty() {
            section.remarks {
                h2 { "What did not go as asked" }
                table { tbody { @for (what, times) in &remarks { tr { th scope="row" { (what) } td { (times) } } } } }
            }
        }
    }
}

/// Where the numbers come from: versions, hash, the effective config.
fn origin(facts: &Facts<'_>, outcome: &Outcome) -> Result<Markup, ReportError> {
    let mut rows = vec![
        ("Run".to_owned(), facts.run_id.to_string()),
        ("Engine".to_owned(), ENGINE_VERSION.to_owned()),
        ("SHA-256 of the effective config".to_owned(), facts.config_sha256.to_owned()),
        ("Symbols".to_owned(), count(outcome.symbols.len())),
    ];
    flatten("", facts.data_versions, &mut rows);
    rows.truncate(ENTRIES_MAX);
    let config = document::to_yaml(&abridged(&resolved_config(facts)))?;
    Ok(html! {
        section.origin {
            h2 { "Where this comes from" }
            div.scroll { table { tbody { @for (name, value) in &rows {
                tr { th scope="row" { (name) } td { (value) } }
            } } } }
            details {
                summary { "The effective config" }
                pre tabindex="0" { (config) }
            }
        }
    })
}

/// The leaves of a value, each with its path in words.
fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.replace('_', " ");
                flatten(&if path.is_empty() { name } else { format!("{path}, {name}") }, value, rows);
            }
        }
        Value::Array(values) => {
            for value in values.iter().take(ENTRIES_MAX) {
                flatten(path, value, rows);
            }
        }
        Value::Null => rows.push((path.to_owned(), UNDEFINED.to_owned())),
        Value::String(text) => rows.push((path.to_owned(), text.clone())),
        other => rows.push((path.to_owned(), other.to_string())),
    }
}

/// A config with its long lists cut short: the whole is in a file of its own.
fn abridged(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), abridged(value))).collect())
        }
        Value::Array(values) => {
            let mut short: Vec<Value> = values.iter().take(ENTRIES_MAX).map(abridged).collect();
            if values.len() > ENTRIES_MAX {
                short.push(format!("… and {} more", count(values.len() - ENTRIES_MAX)).into());
            }
            Value::Array(short)
        }
        other => other.clone(),
    }
}
