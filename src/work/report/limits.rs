//! What did not go as asked.

use maud::{Markup, html};

use super::numbers::count;
use crate::engine::{Outcome, RejectReason};

/// What did not go as asked: orders that did not trade, constraints, delistings.
pub(super) fn remarks(outcome: &Outcome) -> Markup {
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
