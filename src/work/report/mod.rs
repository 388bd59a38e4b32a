//! The report: a finished run, several side by side, or what a signal predicts, on one self-contained page for a screen of any width and for paper. Here is what stands
//! on it, in which order; each section is a file beside this one. Nothing here asks the time, and nothing on the page
//! asks anyone: no script, no font, no address.

mod benchmark;
mod chart;
mod comparison;
mod curves;
mod definitions;
mod factors;
mod figures;
mod history;
mod limits;
pub(in crate::work) mod numbers;
mod origin;
mod positions;
mod sureness;
mod trading;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use self::chart::STYLE;
use self::chart::{Chart, Days};
pub use self::comparison::comparison_page;
use self::curves::{beta, charts};
use self::definitions::definitions;
pub use self::factors::factor_page;
use self::figures::{figures, headline, months};
use self::history::{falls, spread, years};
use self::limits::limits;
use self::numbers::{count, money};
use self::origin::origin;
use self::positions::positions;
use self::sureness::sureness;
use self::trading::{contributed, trips};
use super::facts::{Facts, FilesError};
use crate::engine::Outcome;
use crate::engine::market::Market;
use crate::store::sample::is_synthetic;

/// Warnings that are shown before the list is cut short.
const WARNINGS_MAX: usize = 30;

/// The head of a page that needs nothing beside itself; `style` goes behind that of reports.
pub(in crate::work) fn head(title: &str, style: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
            title { (title) }
            style { (PreEscaped(STYLE)) (PreEscaped(include_str!("report.css"))) (PreEscaped(style)) }
        }
    }
}

/// The page of a run, as HTML. The same outcome gives the same bytes; its size hardly grows with days or symbols.
pub fn page(
    facts: &Facts<'_>,
    market: &Market,
    outcome: &Outcome,
    confidence: &Value,
) -> Result<String, FilesError> {
    let days = Days::new(&outcome.daily.date);
    let [equity, drawdown, sharpe, volatility, breadth @ ..] = charts(facts, outcome);
    let name = run_name(outcome);
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{name} – backtest"), ""))
            body {
                (header(facts, outcome, name))
                main {
                    (warnings(outcome))
                    (headline(facts, outcome))
                    (equity.section(&days))
                    (drawdown.section(&days))
                    (falls(outcome))
                    (sureness(confidence))
                    (figures(outcome))
                    (months(facts, outcome))
                    (years(facts, outcome))
                    (spread(outcome))
                    (sharpe.section(&days))
                    (volatility.section(&days))
                    @if let Some(beta) = beta(outcome) { (beta.section(&days)) }
                    div.pair { @for chart in &breadth { (chart.section(&days)) } }
                    (positions(market, outcome))
                    (contributed(market, outcome))
                    (trips(outcome))
                    (limits(outcome))
                    (origin(facts, outcome)?)
                    (definitions())
                }
            }
        }
    };
    Ok(html.into_string())
}

/// The charts of the page as SVG files by name, without those that have nothing to draw.
pub fn plots(facts: &Facts<'_>, outcome: &Outcome) -> Vec<(&'static str, String)> {
    let days = Days::new(&outcome.daily.date);
    let drawn = |chart: &Chart| Some((chart.name, chart.file(&days)?));
    charts(facts, outcome).iter().chain(&beta(outcome)).filter_map(drawn).collect()
}

fn run_name(outcome: &Outcome) -> &str {
    outcome.summary.run_name.as_deref().filter(|name| !name.trim().is_empty()).unwrap_or("Unnamed run")
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
            @if outcome.symbols.iter().any(|symbol| is_synthetic(symbol)) {
                p.synthetic { strong { "Synthetic prices" } ": random walks, no market" }
            }
            p.lead {
                (money(summary.initial_cash)) " " (currency) " became "
                strong { (money(summary.final_equity)) " " (currency) }
                ", after " (money(summary.total_costs)) " " (currency) " of costs in "
                (count(summary.trades)) @if summary.trades == 1 { " fill." } @else { " fills." }
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
