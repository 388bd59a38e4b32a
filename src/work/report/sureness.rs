//! How sure the figures are: what other histories of the same kind would have given.

use maud::{Markup, html};
use serde_json::Value;

use super::definitions::defined;
use super::numbers::{UNDEFINED, percent, ratio};

/// Intervals and the probability, from the summary; nothing for a run whose returns do not vary.
pub(super) fn sureness(confidence: &Value) -> Markup {
    let of = |name: &str| confidence[name].as_f64();
    let ends = |name: &str, shown: &dyn Fn(f64) -> String| {
        let end = |end: &str| confidence[name][end].as_f64().map(shown);
        match (end("low"), end("high")) {
            (Some(low), Some(high)) => format!("{low} to {high}"),
            _ => UNDEFINED.to_owned(),
        }
    };
    let share = |value: f64| percent(value, 1);
    let plain = |value: f64| ratio(Some(value));
    html! {
        @if let Some(probability) = of("probability_above_zero") {
            section.figures {
                h2 { "How sure" }
                p.note {
                    "Resampled histories of the same days: " (percent(of("level").unwrap_or(0.0), 0)) " of them lie between the ends. "
                    "All of it takes this run for the only one that was tried; among many, a study tells what is left."
                }
                div.tables {
                    table {
                        tbody {
                            tr { th { (defined("Sharpe ratio", "confidence.sharpe_ratio")) } td { (ends("sharpe_ratio", &plain)) } }
                            tr { th { (defined("Annualized return", "confidence.annualized_return")) } td { (ends("annualized_return", &share)) } }
                            tr { th { (defined("Maximum drawdown", "confidence.max_drawdown")) } td { (ends("max_drawdown", &share)) } }
                            tr { th { (defined("Probability that the Sharpe ratio is above 0", "confidence.probability_above_zero")) } td { (percent(probability, 1)) } }
                        }
                    }
                }
            }
        }
    }
}
