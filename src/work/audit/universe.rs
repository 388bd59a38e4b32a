//! Whether the universe holds only those who were still there in the end.

use chrono::Datelike as _;
use serde_json::json;

use super::finding::{Check, Verdict};
use crate::engine::config::Symbols;
use crate::engine::{BacktestConfig, Market};

/// Years over which some symbol of a market ends.
const YEARS: i32 = 5;
/// Names that are listed.
const EXAMPLES: usize = 10;

/// Looks at first and last bars.
pub(super) fn check(config: &BacktestConfig, market: &Market) -> Check {
    let (dates, first) = (market.dates(), market.first_trading_bar());
    let lives: Vec<_> =
        market.universe().iter().filter_map(|&symbol| Some((symbol, market.life(symbol)?))).collect();
    let last_bar = dates.len() - 1;
    let survivors = lives.iter().filter(|(_, (_, last))| *last == last_bar).count();
    let late: Vec<&str> = lives
        .iter()
        .filter(|(_, (begin, _))| *begin > first)
        .map(|(symbol, _)| market.name(*symbol))
        .collect();
    let figures = json!({
        "symbols": lives.len(),
        "still_there_on_the_last_day": survivors,
        "first_bar_after_the_start": late.len(),
    });
    let example =
        (!late.is_empty()).then(|| late.iter().take(EXAMPLES).copied().collect::<Vec<_>>().join(", "));
    let years = dates[last_bar].year() - dates[first].year();
    let check = match &config.universe.symbols {
        Symbols::All if survivors == lives.len() && years >= YEARS => {
            let what = format!(
                "no symbol of this table ended within {years} years: it holds survivors alone, whose past looks better \
                 than a market's"
            );
            Check::new("universe", Verdict::Suspicious, what, figures)
        }
        Symbols::All => {
            let what =
                format!("{} of {} symbols ended within the period", lives.len() - survivors, lives.len());
            Check::new("universe", Verdict::Clean, what, figures)
        }
        Symbols::Listed(_) => {
            let what = format!(
                "the universe is a list: whether it could have been chosen at the start is not in the data; {} of its \
                 symbols have their first bar later",
                late.len()
            );
            Check::new("universe", Verdict::NotProvable, what, figures)
        }
    };
    check.with_example(example)
}
