//! Figures that are too good: they happen, and mostly they are mistakes.

use serde_json::json;

use super::finding::{Check, Verdict};
use crate::engine::{Market, Outcome};

const SHARPE_MAX: f64 = 4.0;
const HIT_RATE_MAX: f64 = 0.65;
/// Days from which on a hit rate says something.
const HIT_RATE_DAYS: usize = 250;
/// Days from which on a Sharpe ratio says something.
const SHARPE_DAYS: usize = 60;
/// By how much a result may beat the best symbol that was there.
const BEST_SYMBOL_FACTOR: f64 = 100.0;

/// What is too good, one sentence each.
pub(super) fn findings(market: &Market, outcome: &Outcome) -> Vec<String> {
    let summary = &outcome.summary;
    let mut found = Vec::new();
    if let Some(sharpe) = summary.sharpe_ratio.filter(|&sharpe| sharpe > SHARPE_MAX)
        && summary.days > SHARPE_DAYS
    {
        found.push(format!(
            "a Sharpe ratio of {sharpe:.2} is too good to be believed unseen: `backtests audit` looks for signals that \
             know the future"
        ));
    }
    if let Some(hit_rate) = summary.hit_rate.filter(|&rate| rate > HIT_RATE_MAX)
        && summary.days > HIT_RATE_DAYS
    {
        found.push(format!(
            "{:.0} % of {} days won, which is too good to be believed unseen: `backtests audit` tells more",
            100.0 * hit_rate,
            summary.days
        ));
    }
    if summary.total_return > BEST_SYMBOL_FACTOR
        && let Some((name, best)) = best_symbol(market)
        && summary.total_return > BEST_SYMBOL_FACTOR * best
    {
        found.push(format!(
            "the result earned more than a hundred times what its best symbol did ({name}, {:.0} %): `backtests audit` \
             tells more",
            100.0 * best
        ));
    }
    found
}

/// The symbol that earned the most from its first close of the period to its last, and how much; at least 1 %.
fn best_symbol(market: &Market) -> Option<(&str, f64)> {
    let mut best: Option<(&str, f64)> = None;
    for &symbol in market.universe() {
        let closes = market.adjusted_closes().of(symbol, market.first_trading_bar()..market.dates().len());
        let mut there = closes.iter().filter(|close| !close.is_nan());
        let (Some(first), Some(last)) = (there.next(), there.next_back()) else { continue };
        let earned = (last / first - 1.0).max(0.01);
        if best.is_none_or(|(_, most)| earned > most) {
            best = Some((market.name(symbol), earned));
        }
    }
    best
}

/// The same as a check.
pub(super) fn check(market: &Market, outcome: &Outcome) -> Check {
    let (found, summary) = (findings(market, outcome), &outcome.summary);
    let best = best_symbol(market).map(|(name, earned)| json!({ "symbol": name, "return": earned }));
    let figures = json!({
        "sharpe_ratio": summary.sharpe_ratio,
        "hit_rate": summary.hit_rate,
        "days": summary.days,
        "total_return": summary.total_return,
        "best_symbol": best,
    });
    match found.first() {
        Some(first) => Check::new("plausibility", Verdict::Suspicious, first.clone(), figures),
        None => Check::new("plausibility", Verdict::Clean, "no figure is too good", figures),
    }
}
