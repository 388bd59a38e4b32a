//! The figures of runs again, over their common days and by the same formulas as in a summary.

use serde_json::{Map, Value, json};

use super::{Compared, Frame, letter};
use crate::engine::Daily;
use crate::engine::metrics::drawdown;
use crate::engine::metrics::periods::PeriodReturns;
use crate::engine::metrics::returns::{self, Tail, highest, lowest, mean};

/// A row a figure: its name, the value of each run, and of two runs the difference.
pub(super) fn figures(runs: &[Compared<'_>], frame: &Frame<'_>) -> Vec<Value> {
    let columns: Vec<Vec<(&str, Option<f64>)>> = runs.iter().map(|run| of(run, frame)).collect();
    let row = |nth: usize| {
        let (name, _) = columns[0][nth];
        let mut row = Map::from_iter([("name".to_owned(), json!(name))]);
        for (run, column) in columns.iter().enumerate() {
            row.insert(letter(run).to_owned(), json!(column[nth].1));
        }
        if let [a, b] = columns.as_slice() {
            row.insert("difference".to_owned(), json!(a[nth].1.zip(b[nth].1).map(|(a, b)| a - b)));
        }
        Value::Object(row)
    };
    (0..columns[0].len()).map(row).collect()
}

/// The figures of one run. docs/figures.md has their formulas.
fn of(run: &Compared<'_>, frame: &Frame<'_>) -> Vec<(&'static str, Option<f64>)> {
    let (values, daily, periods) = (&run.values, &run.returns, frame.periods_per_year);
    let free = returns::daily_rate(run.source.risk_free_rate, periods);
    let total = values.last().filter(|_| !daily.is_empty()).map(|last| last - 1.0);
    let yearly = total.and_then(|total| returns::annualized_return(total, daily.len(), periods));
    let deepest = drawdown::deepest(values);
    let tail = Tail::of(daily);
    let months =
        PeriodReturns::of(frame.days.get(1..).unwrap_or_default(), values.get(1..).unwrap_or_default(), 1.0);
    let below = drawdown::from_peak(values, f64::NEG_INFINITY);
    let sum = |of: fn(&Daily) -> &[f64]| run.column(of).iter().sum::<f64>();
    let costs = sum(|daily| &daily.commission)
        + sum(|daily| &daily.slippage_cost)
        + sum(|daily| &daily.impact_cost)
        + sum(|daily| &daily.borrow_cost);
    let equity = mean(&run.column(|daily| &daily.portfolio_value));
    let years = daily.len() as f64 / periods;
    vec![
        ("total_return", total),
        ("annualized_return", yearly),
        ("annualized_volatility", returns::annualized_volatility(daily, periods)),
        ("sharpe_ratio", returns::sharpe_ratio(daily, free, periods)),
        ("sortino_ratio", returns::sortino_ratio(daily, free, periods)),
        ("calmar_ratio", drawdown::calmar_ratio(yearly, deepest)),
        ("max_drawdown", (!values.is_empty()).then_some(deepest)),
        (
            "longest_drawdown_days",
            (!values.is_empty()).then(|| drawdown::longest_days(frame.days, &below) as f64),
        ),
        ("var_95", tail.map(|tail| tail.value_at_risk)),
        ("cvar_95", tail.map(|tail| tail.conditional)),
        ("skew", returns::skew(daily)),
        ("excess_kurtosis", returns::excess_kurtosis(daily)),
        ("best_day", highest(daily.iter().copied())),
        ("worst_day", lowest(daily.iter().copied())),
        ("best_month", highest(months.months())),
        ("worst_month", lowest(months.months())),
        ("hit_rate", returns::hit_rate(daily)),
        ("average_turnover", mean(&run.column(|daily| &daily.turnover))),
        ("average_gross_exposure", mean(&run.column(|daily| &daily.gross_exposure))),
        ("average_net_exposure", mean(&run.column(|daily| &daily.net_exposure))),
        (
            "costs_bps_a_year",
            equity.filter(|&equity| equity > 0.0 && years > 0.0).map(|equity| 1e4 * costs / equity / years),
        ),
    ]
}
