//! What limits did: what was asked for and did not come to be, or came to be otherwise.

use maud::{Markup, html};

use crate::engine::Outcome;

/// The fields of `AccountOf` in the order in which they are read.
const FIELDS: [&str; 11] = [
    "decisions_without_names",
    "names_cut",
    "shorts_dropped_by_sizer",
    "shorts_dropped_by_allow_short",
    "hits",
    "gross_reached",
    "rejected_orders",
    "orders_without_bar",
    "holdings_without_bar",
    "signal_days_without_trading",
    "days_in_cash",
];

/// What was asked for and did not come to be, in words. Nothing where there is none.
pub(super) fn limits(outcome: &Outcome) -> Markup {
    let account = &outcome.summary.account_of;
    let worth_a_word = |field: &str| {
        let lost = match field {
            "decisions_without_names" => account.decisions_without_names,
            "names_cut" => account.names_cut,
            "hits" => account.hits.len(),
            "rejected_orders" => account.rejected_orders.len(),
            "orders_without_bar" => account.orders_without_bar,
            _ => 0,
        };
        lost > 0 || account.notable.iter().any(|name| name == field)
    };
    let notable = FIELDS.into_iter().filter(|field| worth_a_word(field));
    let mut said: Vec<String> = notable.filter_map(|field| account.phrase(field)).collect();
    if !outcome.delisted.is_empty() {
        said.push(format!(
            "{} holdings were closed because their symbol stopped trading",
            outcome.delisted.len()
        ));
    }
    html! {
        @if !said.is_empty() {
            section.remarks {
                h2 { "What limits did" }
                ul { @for one in &said { li { (one) } } }
                p.note { "All counts are in summary.json, below account_of." }
            }
        }
    }
}
