//! Whether the signals of a table are correlated with returns that had not happened yet. The full profile is made by an
//! audit, a glance of it by every run.

use serde_json::{Value, json};

use super::finding::{Check, Verdict};
use crate::engine::{BacktestConfig, Market};
use crate::statistics::timing::{self, Correlation, Panel, Profile, Traded};

/// Makes something of the panel of one column of the signal table.
fn of_column<T>(market: &Market, name: &str, make: impl Fn(&Panel) -> T) -> Option<T> {
    let column = market.signal_column(name)?;
    let first = market.first_trading_bar();
    Some(make(&Panel {
        days: market.trading_days(),
        symbols: market.symbols().len(),
        signal: &|day| market.signals(column, first + day),
        open: &|day| market.adjusted_opens(first + day),
        close: &|day| market.adjusted_closes().on(first + day),
    }))
}

fn traded(config: &BacktestConfig) -> Traded {
    if config.fills_at_close() { Traded::NextClose } else { Traded::NextOpen }
}

/// The profile of every column.
pub(super) fn checks(config: &BacktestConfig, market: &Market) -> Vec<Check> {
    let names = market.signal_columns();
    if names.is_empty() {
        let what = "the run reads no signal table";
        return vec![Check::new("timing", Verdict::Clean, what, json!({}))];
    }
    names.iter().filter_map(|name| Some(check_of(name, &profile_of(config, market, name)?))).collect()
}

/// The whole profile of a column.
pub(super) fn profile_of(config: &BacktestConfig, market: &Market, name: &str) -> Option<Profile> {
    of_column(market, name, |panel| Profile::of(panel, traded(config), 1))
}

fn check_of(name: &str, profile: &Profile) -> Check {
    let verdict = verdict_of(profile);
    let what = match verdict {
        Verdict::Leaking => format!("signal {name} knows {}", what_it_knows(profile)),
        Verdict::Suspicious => {
            format!("signal {name} says more of {} than published factors do", what_it_knows(profile))
        }
        Verdict::NotProvable => {
            format!("signal {name} has too few days with three symbols: 60 are needed")
        }
        Verdict::Clean => format!("signal {name} says no more of what is to come than an honest one"),
    };
    let offsets: Vec<Value> = profile
        .offsets
        .iter()
        .map(|(offset, correlation)| json!({ "offset": offset, "correlation": figures(correlation) }))
        .collect();
    let figures = json!({ "column": name, "offsets": offsets, "earning": figures(&profile.earning) });
    Check::new("timing", verdict, what, figures)
}

fn verdict_of(profile: &Profile) -> Verdict {
    match profile.verdict() {
        timing::Verdict::Clean => Verdict::Clean,
        timing::Verdict::Suspicious => Verdict::Suspicious,
        timing::Verdict::Leaking => Verdict::Leaking,
        timing::Verdict::NotProvable => Verdict::NotProvable,
    }
}

/// The return that the signal is most correlated with, in words, and how much.
fn what_it_knows(profile: &Profile) -> String {
    let size = |one: &Correlation| one.mean.map_or(0.0, f64::abs);
    let next = profile.at(1).filter(|next| size(next) >= size(&profile.earning));
    let (what, found) = match next {
        Some(next) => ("the return of the next day", next),
        None => ("the return that its decisions earn", &profile.earning),
    };
    let t = found.t.map_or_else(|_| "every day".to_owned(), |t| format!("t {t:.0}"));
    format!("{what} (rank correlation {:.2}, {t}, {} days)", found.mean.unwrap_or(0.0), found.days)
}

fn figures(correlation: &Correlation) -> Value {
    json!({ "mean": correlation.mean.ok(), "t": correlation.t.ok(), "days": correlation.days })
}

/// What a glance at every column finds.
pub(super) fn warnings(config: &BacktestConfig, market: &Market) -> Vec<String> {
    let glance = |name: &str| of_column(market, name, |panel| Profile::glance(panel, traded(config)));
    let warning = |name: &str| {
        let profile = glance(name)?;
        match verdict_of(&profile) {
            Verdict::Leaking => Some(format!(
                "signal {name} knows {}, which could not be known; `backtests audit` tells more",
                what_it_knows(&profile)
            )),
            Verdict::Suspicious => Some(format!(
                "signal {name} says more of {} than published factors do; `backtests audit` tells more",
                what_it_knows(&profile)
            )),
            Verdict::Clean | Verdict::NotProvable => None,
        }
    };
    market.signal_columns().into_iter().filter_map(warning).collect()
}
