//! What was held most, and what is held at the end.

use std::cmp::Ordering;

use maud::{Markup, html};

use super::numbers::{count, money, percent};
use crate::engine::Outcome;
use crate::engine::market::{Market, SymbolId};

/// Rows of a list before it is cut short.
const POSITIONS_MAX: usize = 10;

/// A symbol's part in the run.
#[derive(Clone, Default)]
struct Holding {
    weights: f64,
    days: usize,
    last_weight: f64,
    last_value: f64,
    last_shares: f64,
}

/// The largest positions, on average and at the last close.
pub(super) fn positions(market: &Market, outcome: &Outcome) -> Markup {
    let days = outcome.daily.date.len();
    let mut parts = vec![Holding::default(); outcome.symbols.len()];
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
    let average = |part: &Holding| part.weights / days.max(1) as f64;
    let ranked = |counts: fn(&Holding) -> bool, by: &dyn Fn(&Holding) -> f64| -> Vec<SymbolId> {
        let mut symbols: Vec<SymbolId> =
            (0..parts.len() as u32).map(SymbolId).filter(|symbol| counts(&parts[symbol.index()])).collect();
        let size = |symbol: &SymbolId| by(&parts[symbol.index()]).abs();
        symbols.sort_by(|a, b| size(b).partial_cmp(&size(a)).unwrap_or(Ordering::Equal).then(a.cmp(b)));
        symbols
    };
    let usual = ranked(|part| part.days > 0, &average);
    let last = ranked(|part| part.last_shares != 0.0, &|part| part.last_weight);
    let widest = |symbols: &[SymbolId], by: &dyn Fn(&Holding) -> f64| {
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
