//! What is left of a result when its signals come later. An honest signal ages; one that leaks is worth nothing a day after.

use std::ops::ControlFlow;

use serde_json::json;

use super::finding::{Check, Verdict};
use crate::engine::{self, BacktestConfig, Market, Outcome, RunError};

/// Trading days by which the signals are late.
pub(super) const DAYS: [usize; 3] = [1, 2, 5];

/// Sharpe ratio below which no signal is accused: fast signals are honest, too.
const SHARPE_FLOOR: f64 = 2.0;

/// Share of the Sharpe ratio that one day may take.
const LOSS: f64 = 0.6;

/// Makes the run again with late signals.
pub(super) fn check(
    config: &BacktestConfig,
    market: &Market,
    full: &Outcome,
    on_run: &mut dyn FnMut() -> Result<(), RunError>,
) -> Result<Check, RunError> {
    let mut sharpe = vec![(0, full.summary.sharpe_ratio)];
    for days in DAYS {
        if let Some(late) = market.with_later_signals(days) {
            let found = engine::run(config, &late, &mut |_, _| ControlFlow::Continue(()));
            match found {
                Ok(late) => sharpe.push((days, late.summary.sharpe_ratio)),
                Err(error @ RunError::Stopped { .. }) => return Err(error),
                // Signals that are there too late for any decision.
                Err(_) => sharpe.push((days, None)),
            }
        }
        on_run()?;
    }
    let rows: Vec<_> =
        sharpe.iter().map(|(days, sharpe)| json!({ "days": days, "sharpe_ratio": sharpe })).collect();
    let figures = json!({ "sharpe_by_delay": rows });
    let check = |verdict, what: &str| Check::new("delay", verdict, what, figures.clone());
    Ok(match (&sharpe[..], full.summary.sharpe_ratio) {
        ([_], _) => check(Verdict::Clean, "the run reads no signal table"),
        ([_, (_, Some(late)), ..], Some(now)) if now >= SHARPE_FLOOR && *late <= (1.0 - LOSS) * now => {
            let what = format!(
                "one day of delay takes the Sharpe ratio from {now:.2} to {late:.2}: what is known at a close is worth \
                 little a day later"
            );
            check(Verdict::Suspicious, &what)
        }
        ([_, (_, Some(_)), ..], Some(_)) => {
            check(Verdict::Clean, "the result survives later signals as honest ones do")
        }
        _ => check(Verdict::NotProvable, "there is no Sharpe ratio to compare"),
    })
}
