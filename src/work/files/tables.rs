//! The tables of a run, column by column as they are written: what each holds and under which names. Which of them
//! are written, and how, is said beside this.

use serde_json::{Value, json};

use super::formats::{Column, Named};
use crate::engine::market::{Market, SymbolId};
use crate::engine::metrics::contributions::{Contribution, contributions};
use crate::engine::metrics::drawdown::deepest_falls;
use crate::engine::metrics::periods::{PeriodReturns, YearReturns};
use crate::engine::metrics::rolling::{WINDOWS, rolling};
use crate::engine::metrics::round_trips::{RoundTrip, round_trips};
use crate::engine::{
    BlendStage, BlendWeights, BookedActions, DebugKind, DebugTable, NextOrder, NextOrders, Outcome,
    RejectReason,
};

fn names(outcome: &Outcome, symbols: &[SymbolId]) -> Column {
    Column::Names(symbols.iter().map(|symbol| symbol.0).collect(), outcome.symbols.clone())
}

pub(super) fn trades(outcome: &Outcome) -> [Named<'static>; 9] {
    let trades = &outcome.trades;
    [
        ("execution_date", Column::Dates(trades.execution_date.clone())),
        ("symbol", names(outcome, &trades.symbol)),
        ("quantity", Column::numbers(&trades.quantity)),
        ("price", Column::numbers(&trades.price)),
        ("notional", Column::numbers(&trades.notional)),
        ("commission", Column::numbers(&trades.commission)),
        ("slippage_cost", Column::numbers(&trades.slippage_cost)),
        ("cash_after", Column::numbers(&trades.cash_after)),
        ("impact_cost", Column::numbers(&trades.impact_cost)),
    ]
}

pub(super) fn rejected_orders(outcome: &Outcome) -> [Named<'static>; 4] {
    let rejected = &outcome.rejected;
    let reasons = rejected.reason.iter().map(|&reason: &RejectReason| reason.as_str().to_owned());
    [
        ("date", Column::Dates(rejected.date.clone())),
        ("symbol", names(outcome, &rejected.symbol)),
        ("quantity", Column::Numbers(rejected.quantity.clone())),
        ("reason", Column::Texts(reasons.collect())),
    ]
}

pub(super) fn next_orders(outcome: &Outcome, next: &NextOrders) -> [Named<'static>; 10] {
    let orders = &next.orders;
    let symbols: Vec<SymbolId> = orders.iter().map(|order| order.symbol).collect();
    let number = |of: fn(&NextOrder) -> f64| Column::numbers(&orders.iter().map(of).collect::<Vec<_>>());
    [
        ("as_of", Column::Dates(vec![next.as_of; orders.len()])),
        ("symbol", names(outcome, &symbols)),
        ("shares_held", number(|order| order.shares_held)),
        ("weight_now", number(|order| order.weight_now)),
        ("weight_target", number(|order| order.weight_target)),
        ("shares_target", number(|order| order.shares_target)),
        ("shares_delta", number(|order| order.shares_delta)),
        ("close", number(|order| order.close)),
        ("notional", number(|order| order.notional)),
        ("reason", Column::Texts(orders.iter().map(|order| order.reason.as_str().to_owned()).collect())),
    ]
}

pub(super) fn target_weights(outcome: &Outcome, next: &NextOrders) -> [Named<'static>; 4] {
    let targets = &next.targets;
    let symbols: Vec<SymbolId> = targets.iter().map(|target| target.symbol).collect();
    [
        ("as_of", Column::Dates(vec![next.as_of; targets.len()])),
        ("symbol", names(outcome, &symbols)),
        ("weight_now", Column::Numbers(targets.iter().map(|target| Some(target.weight_now)).collect())),
        ("weight_target", Column::Numbers(targets.iter().map(|target| Some(target.weight_target)).collect())),
    ]
}

pub(super) fn daily(outcome: &Outcome) -> Vec<Named<'static>> {
    let daily = &outcome.daily;
    let mut columns = vec![
        ("date", Column::Dates(daily.date.clone())),
        ("portfolio_value", Column::numbers(&daily.portfolio_value)),
        ("cash", Column::numbers(&daily.cash)),
        ("daily_return", Column::numbers(&daily.daily_return)),
        ("cumulative_return", Column::numbers(&daily.cumulative_return)),
        ("drawdown", Column::numbers(&daily.drawdown)),
        ("gross_exposure", Column::numbers(&daily.gross_exposure)),
        ("net_exposure", Column::numbers(&daily.net_exposure)),
        ("turnover", Column::numbers(&daily.turnover)),
        ("commission", Column::numbers(&daily.commission)),
        ("slippage_cost", Column::numbers(&daily.slippage_cost)),
        ("n_trades", Column::Integers(daily.n_trades.iter().map(|&count| Some(i64::from(count))).collect())),
        ("impact_cost", Column::numbers(&daily.impact_cost)),
        ("borrow_cost", Column::numbers(&daily.borrow_cost)),
        ("interest", Column::numbers(&daily.interest)),
    ];
    if outcome.corporate_actions.is_some() {
        columns.push(("dividends", Column::numbers(&daily.dividends)));
    }
    columns
}

pub(super) fn corporate_actions(outcome: &Outcome, booked: &BookedActions) -> [Named<'static>; 8] {
    [
        ("date", Column::Dates(booked.date.clone())),
        ("symbol", names(outcome, &booked.symbol)),
        ("dividend", Column::numbers(&booked.dividend)),
        ("split_factor", Column::numbers(&booked.split_factor)),
        ("shares_before", Column::numbers(&booked.shares_before)),
        ("shares_after", Column::numbers(&booked.shares_after)),
        ("cash", Column::numbers(&booked.cash)),
        ("cash_in_lieu", Column::numbers(&booked.cash_in_lieu)),
    ]
}

pub(super) fn positions(market: &Market, outcome: &Outcome) -> [Named<'static>; 8] {
    let held = outcome.position_table(market);
    let sides = sides(held.shares.iter().map(|&shares| shares < 0.0));
    [
        ("date", Column::Dates(held.date)),
        ("symbol", names(outcome, &held.symbol)),
        ("shares", Column::numbers(&held.shares)),
        ("close", Column::numbers(&held.close)),
        ("position_value", Column::numbers(&held.position_value)),
        ("weight", Column::numbers(&held.weight)),
        ("side", sides),
        ("stale", Column::Flags(held.stale.into_iter().map(Some).collect())),
    ]
}

pub(super) fn constraint_hits(outcome: &Outcome) -> Value {
    let hits = outcome.constraint_hits.iter().map(|hit| {
        let details: serde_json::Map<String, Value> =
            hit.details.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "as_of": hit.as_of,
            "constraint": hit.constraint,
            "symbol": hit.symbol.map(|symbol| outcome.name(symbol)),
            "before": hit.before,
            "after": hit.after,
            "details": details,
        })
    });
    Value::Array(hits.collect())
}

pub(super) fn rolling_windows(outcome: &Outcome) -> [Named<'static>; 12] {
    let rolled = rolling(&outcome.daily, &WINDOWS, outcome.summary.periods_per_year);
    [
        ("date", Column::Dates(rolled.date)),
        ("window_days", Column::Integers(rolled.window_days.iter().map(|&days| Some(days as i64)).collect())),
        ("rolling_return", Column::Numbers(rolled.rolling_return)),
        ("rolling_volatility", Column::Numbers(rolled.rolling_volatility)),
        ("rolling_sharpe", Column::Numbers(rolled.rolling_sharpe)),
        ("rolling_max_drawdown", Column::Numbers(rolled.rolling_max_drawdown)),
        ("turnover_sum", Column::Numbers(rolled.turnover_sum)),
        ("commission_sum", Column::Numbers(rolled.commission_sum)),
        ("slippage_cost_sum", Column::Numbers(rolled.slippage_cost_sum)),
        ("n_trades_sum", Column::Numbers(rolled.n_trades_sum)),
        ("gross_exposure_avg", Column::Numbers(rolled.gross_exposure_avg)),
        ("net_exposure_avg", Column::Numbers(rolled.net_exposure_avg)),
    ]
}

pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
pub(super) const QUARTERS: [&str; 4] = ["Q1", "Q2", "Q3", "Q4"];

/// A row a year: its parts, then the whole.
pub(super) fn by_year(
    periods: &PeriodReturns,
    names: &'static [&'static str],
    parts: impl Fn(&YearReturns) -> Vec<Option<f64>>,
) -> Vec<Named<'static>> {
    let mut columns = vec![("Year", years(periods))];
    for (part, name) in names.iter().enumerate() {
        columns.push((name, Column::Numbers(periods.years.iter().map(|year| parts(year)[part]).collect())));
    }
    columns.push(("Yearly", totals(periods)));
    columns
}

pub(super) fn yearly(periods: &PeriodReturns) -> [Named<'static>; 2] {
    [("year", years(periods)), ("return", totals(periods))]
}

fn years(periods: &PeriodReturns) -> Column {
    Column::Integers(periods.years.iter().map(|year| Some(i64::from(year.year))).collect())
}

fn totals(periods: &PeriodReturns) -> Column {
    Column::Numbers(periods.years.iter().map(|year| year.total).collect())
}

/// Falls that are written to `drawdowns.csv`.
const FALLS: usize = 10;

pub(super) fn drawdowns(outcome: &Outcome) -> [Named<'static>; 6] {
    let dates = &outcome.daily.date;
    let falls = deepest_falls(&outcome.daily.drawdown, FALLS);
    let end = |recovery: Option<usize>| recovery.unwrap_or(dates.len().saturating_sub(1));
    let calendar = |from: usize, to: usize| Some((dates[to] - dates[from]).num_days());
    let recovery = |day: Option<usize>| day.map_or_else(String::new, |day| dates[day].to_string());
    [
        ("peak", Column::Dates(falls.iter().map(|fall| dates[fall.peak]).collect())),
        ("trough", Column::Dates(falls.iter().map(|fall| dates[fall.trough]).collect())),
        ("recovery", Column::Texts(falls.iter().map(|fall| recovery(fall.recovery)).collect())),
        ("depth", Column::Numbers(falls.iter().map(|fall| Some(fall.depth)).collect())),
        (
            "calendar_days",
            Column::Integers(falls.iter().map(|fall| calendar(fall.peak, end(fall.recovery))).collect()),
        ),
        (
            "trading_days",
            Column::Integers(
                falls.iter().map(|fall| Some((end(fall.recovery) - fall.peak) as i64)).collect(),
            ),
        ),
    ]
}

/// Sides by name; a side is its index.
fn sides(shorts: impl Iterator<Item = bool>) -> Column {
    Column::Names(shorts.map(u32::from).collect(), vec!["long".to_owned(), "short".to_owned()])
}

pub(super) fn trips(outcome: &Outcome) -> Vec<Named<'static>> {
    let trips = round_trips(&outcome.trades, outcome.corporate_actions.as_ref());
    let symbols: Vec<SymbolId> = trips.iter().map(|trip| trip.symbol).collect();
    let number =
        |of: fn(&RoundTrip) -> f64| Column::Numbers(trips.iter().map(|trip| Some(of(trip))).collect());
    let mut columns = vec![
        ("symbol", names(outcome, &symbols)),
        ("side", sides(trips.iter().map(|trip| trip.is_short))),
        ("opened", Column::Dates(trips.iter().map(|trip| trip.opened).collect())),
        ("closed", Column::Dates(trips.iter().map(|trip| trip.closed).collect())),
        (
            "calendar_days",
            Column::Integers(trips.iter().map(|trip| Some((trip.closed - trip.opened).num_days())).collect()),
        ),
        ("quantity", number(|trip| trip.quantity)),
        ("entry_price", number(|trip| trip.entry_price)),
        ("exit_price", number(|trip| trip.exit_price)),
        ("commission", number(|trip| trip.commission)),
        ("profit", number(|trip| trip.profit)),
        ("return", number(|trip| trip.profit_share)),
    ];
    if outcome.corporate_actions.is_some() {
        columns.push(("dividends", number(|trip| trip.dividends)));
    }
    columns
}

pub(super) fn contributed(market: &Market, outcome: &Outcome) -> Vec<Named<'static>> {
    let parts = contributions(outcome, market);
    let symbols: Vec<SymbolId> = parts.iter().map(|part| part.symbol).collect();
    let number =
        |of: fn(&Contribution) -> f64| Column::Numbers(parts.iter().map(|part| Some(of(part))).collect());
    let mut columns = vec![
        ("symbol", names(outcome, &symbols)),
        ("side", sides(parts.iter().map(|part| part.is_short))),
        ("gross_profit", number(|part| part.gross_profit)),
        ("slippage_cost", number(|part| part.slippage_cost)),
        ("commission", number(|part| part.commission)),
        ("profit", number(|part| part.profit)),
        ("contribution", number(|part| part.contribution)),
        ("impact_cost", number(|part| part.impact_cost)),
        ("borrow_cost", number(|part| part.borrow_cost)),
    ];
    if outcome.corporate_actions.is_some() {
        columns.push(("dividends", number(|part| part.dividends)));
    }
    columns
}

/// What 1 in the benchmark was worth by day, from its first bar on.
pub(super) fn benchmark(outcome: &Outcome, curve: &[f64]) -> [Named<'static>; 2] {
    [("date", Column::Dates(outcome.daily.date.clone())), ("value", Column::numbers(curve))]
}

pub(super) fn delistings(outcome: &Outcome) -> [Named<'static>; 6] {
    let gone = &outcome.delisted;
    let symbols: Vec<SymbolId> = gone.iter().map(|one| one.symbol).collect();
    [
        ("date", Column::Dates(gone.iter().map(|one| one.date).collect())),
        ("symbol", names(outcome, &symbols)),
        ("shares", Column::Numbers(gone.iter().map(|one| Some(one.shares)).collect())),
        ("price", Column::Numbers(gone.iter().map(|one| Some(one.price)).collect())),
        ("last_bar", Column::Dates(gone.iter().map(|one| one.last_bar).collect())),
        ("delisting_return", Column::Numbers(gone.iter().map(|one| Some(one.delisting_return)).collect())),
    ]
}

pub(super) fn blend_weights(
    outcome: &Outcome,
    blend: &BlendWeights,
    stage: BlendStage,
) -> [Named<'static>; 3] {
    let rows: Vec<usize> = (0..blend.stage.len()).filter(|&row| blend.stage[row] == stage).collect();
    let symbols: Vec<SymbolId> = rows.iter().map(|&row| blend.symbol[row]).collect();
    [
        ("date", Column::Dates(rows.iter().map(|&row| blend.date[row]).collect())),
        ("symbol", names(outcome, &symbols)),
        ("weight", Column::Numbers(rows.iter().map(|&row| Some(blend.weight[row])).collect())),
    ]
}

pub(super) fn debug_rows(outcome: &Outcome, debug: &DebugTable, kind: DebugKind) -> [Named<'static>; 5] {
    let rows: Vec<usize> = (0..debug.kind.len()).filter(|&row| debug.kind[row] == kind).collect();
    let symbols: Vec<SymbolId> = rows.iter().map(|&row| debug.symbol[row]).collect();
    let leg = |row: usize| match (debug.leg[row], &outcome.blend) {
        (Some(leg), Some(blend)) => blend.legs[leg].clone(),
        _ => String::new(),
    };
    [
        ("date", Column::Dates(rows.iter().map(|&row| debug.date[row]).collect())),
        ("leg", Column::Texts(rows.iter().map(|&row| leg(row)).collect())),
        ("symbol", names(outcome, &symbols)),
        ("value", Column::Numbers(rows.iter().map(|&row| debug.value[row]).collect())),
        ("rule", Column::Texts(rows.iter().map(|&row| debug.text[row].clone()).collect())),
    ]
}

/// The fields of a summary as a table of one row.
pub(super) fn one_row(summary: &Value) -> Vec<Named<'_>> {
    let Value::Object(fields) = summary else { return Vec::new() };
    fields
        .iter()
        .map(|(name, value)| {
            let column = match value {
                Value::Number(number) if number.is_i64() || number.is_u64() => {
                    Column::Integers(vec![number.as_i64()])
                }
                Value::Number(number) => Column::Numbers(vec![number.as_f64()]),
                Value::Null => Column::Numbers(vec![None]),
                Value::Bool(flag) => Column::Flags(vec![Some(*flag)]),
                Value::String(text) => Column::Texts(vec![text.clone()]),
                nested => Column::Texts(vec![nested.to_string()]),
            };
            (name.as_str(), column)
        })
        .collect()
}
