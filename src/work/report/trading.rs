//! What trading brought in: round trips, and what each symbol contributed.

use maud::{Markup, html};

use super::numbers::{count, grouped, money, percent, ratio, share};
use crate::engine::Outcome;
use crate::engine::market::Market;
use crate::engine::metrics::contributions::{Contribution, contributions};
use crate::engine::metrics::returns::mean;
use crate::engine::metrics::round_trips::{RoundTrip, round_trips};

/// Rows of contributions at either end before the others are put together.
const SHOWN: usize = 5;

/// Sums of what was bought and sold again, by side.
pub(super) fn trips(outcome: &Outcome) -> Markup {
    let trips = round_trips(&outcome.trades, outcome.corporate_actions.as_ref());
    let side = |is_short: bool| -> Vec<&RoundTrip> {
        trips.iter().filter(|trip| trip.is_short == is_short).collect()
    };
    let columns = [("All", trips.iter().collect()), ("Long", side(false)), ("Short", side(true))];
    let columns: Vec<(&str, Trips)> = columns.into_iter().map(|(name, of)| (name, Trips::of(&of))).collect();
    let rows: [Row; 8] = [
        ("Round trips", |of| count(of.count)),
        ("Profit", |of| money(of.profit)),
        ("Win rate", |of| share(of.win_rate)),
        ("Mean gain of winners", |of| share(of.gain)),
        ("Mean loss of losers", |of| share(of.loss)),
        ("Payoff", |of| ratio(of.payoff())),
        ("Expectancy", |of| share(of.expectancy)),
        ("Calendar days held", |of| {
            of.days.map_or_else(|| super::numbers::UNDEFINED.to_owned(), |d| grouped(d, 1))
        }),
    ];
    html! {
        @if !trips.is_empty() {
            section.trips {
                h2 { "Round trips" }
                p.note {
                    "What was bought and sold again, first in, first out, commission taken off. Payoff is the mean gain over the mean \
                     loss, expectancy the mean return of a trip. Each is in round_trips.parquet."
                }
                div.scroll { table {
                    thead { tr { th scope="col" { "" } @for (name, _) in &columns { th scope="col" { (name) } } } }
                    tbody { @for (name, cell) in rows {
                        tr { th scope="row" { (name) } @for (_, of) in &columns { td { (cell(of)) } } }
                    } }
                } }
            }
        }
    }
}

/// A figure of round trips: its name, and how it is written.
type Row = (&'static str, fn(&Trips) -> String);

/// Sums over some round trips; returns are those of a trip on its entry.
struct Trips {
    count: usize,
    profit: f64,
    win_rate: Option<f64>,
    gain: Option<f64>,
    loss: Option<f64>,
    expectancy: Option<f64>,
    days: Option<f64>,
}

impl Trips {
    fn of(trips: &[&RoundTrip]) -> Self {
        let shares = |counts: fn(f64) -> bool| -> Vec<f64> {
            trips.iter().map(|trip| trip.profit_share).filter(|&share| counts(share)).collect()
        };
        let winners = shares(|share| share > 0.0);
        let days: Vec<f64> = trips.iter().map(|trip| (trip.closed - trip.opened).num_days() as f64).collect();
        Self {
            count: trips.len(),
            profit: trips.iter().map(|trip| trip.profit).sum(),
            win_rate: (!trips.is_empty()).then(|| winners.len() as f64 / trips.len() as f64),
            gain: mean(&winners),
            loss: mean(&shares(|share| share <= 0.0)),
            expectancy: mean(&shares(|_| true)),
            days: mean(&days),
        }
    }

    fn payoff(&self) -> Option<f64> {
        self.gain.zip(self.loss).filter(|(_, loss)| *loss < 0.0).map(|(gain, loss)| gain / -loss)
    }
}

/// What symbols and sides brought in, with the sum of all.
pub(super) fn contributed(market: &Market, outcome: &Outcome) -> Markup {
    let parts = contributions(outcome, market);
    let (best, rest) = parts.split_at(SHOWN.min(parts.len()));
    let (others, worst) = rest.split_at(rest.len().saturating_sub(SHOWN));
    let unadjusted = outcome.corporate_actions.is_some();
    let row = |name: &str, side: &str, parts: &[Contribution]| {
        let sum = |of: fn(&Contribution) -> f64| parts.iter().map(of).sum::<f64>();
        html! { tr {
            th scope="row" { (name) } td { (side) }
            td { (money(sum(|part| part.gross_profit))) }
            @if unadjusted { td { (money(sum(|part| part.dividends))) } }
            td { (money(-sum(|part| part.slippage_cost + part.impact_cost + part.commission + part.borrow_cost))) }
            td { (money(sum(|part| part.profit))) }
            td { (percent(sum(|part| part.contribution), 2)) }
        } }
    };
    let each = |parts: &[Contribution]| {
        html! { @for part in parts {
            (row(outcome.name(part.symbol), if part.is_short { "short" } else { "long" }, std::slice::from_ref(part)))
        } }
    };
    let of_side = |is_short: bool| -> Vec<Contribution> {
        parts.iter().copied().filter(|part| part.is_short == is_short).collect()
    };
    let (longs, shorts) = (of_side(false), of_side(true));
    html! {
        @if !parts.is_empty() {
            section.contributions {
                h2 { "Contributions" }
                p.note {
                    "What each side of a symbol won or lost, as a share of the money at the start. They add up to the total return; cash \
                     earns nothing. All are in contributions.parquet."
                }
                div.scroll { table {
                    thead { tr {
                        @for name in ["Symbol", "Side", "Before costs"] { th scope="col" { (name) } }
                        @if unadjusted { th scope="col" { "Dividends" } }
                        @for name in ["Costs", "Profit", "Contribution"] { th scope="col" { (name) } }
                    } }
                    tbody {
                        (each(best))
                        @if !others.is_empty() { (row(&format!("{} others", count(others.len())), "", others)) }
                        (each(worst))
                        @if !shorts.is_empty() { (row("All longs", "long", &longs)) (row("All shorts", "short", &shorts)) }
                        (row("Cash", "", &[]))
                        (row("Total", "", &parts))
                    }
                } }
            }
        }
    }
}
