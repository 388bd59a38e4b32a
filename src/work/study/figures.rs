//! The figures of a trial that a study's table has: those of the run's summary, by the same names.

use crate::engine::metrics::Summary;

/// A figure: its name in summaries and tables, and where it is found.
pub type Figure = (&'static str, fn(&Summary) -> Option<f64>);

/// All of them, in the order of the table.
pub const FIGURES: &[Figure] = &[
    ("sharpe_ratio", |s| s.sharpe_ratio),
    ("total_return", |s| Some(s.total_return)),
    ("annualized_return", |s| s.annualized_return),
    ("annualized_volatility", |s| s.annualized_volatility),
    ("max_drawdown", |s| Some(s.max_drawdown)),
    ("sortino_ratio", |s| s.sortino_ratio),
    ("calmar_ratio", |s| s.calmar_ratio),
    ("information_ratio", |s| s.benchmark.as_ref()?.information_ratio),
    ("alpha", |s| s.benchmark.as_ref()?.alpha),
    ("beta", |s| s.benchmark.as_ref()?.beta),
    ("var_95", |s| s.var_95),
    ("cvar_95", |s| s.cvar_95),
    ("excess_kurtosis", |s| s.excess_kurtosis),
    ("best_day", |s| s.best_day),
    ("worst_day", |s| s.worst_day),
    ("best_month", |s| s.best_month),
    ("worst_month", |s| s.worst_month),
    ("hit_rate", |s| s.hit_rate),
    ("average_holding_days", |s| s.average_holding_days),
    ("average_turnover", |s| s.average_turnover),
    ("average_gross_exposure", |s| s.average_gross_exposure),
    ("average_net_exposure", |s| s.average_net_exposure),
    ("longest_drawdown_days", |s| Some(s.longest_drawdown_days as f64)),
    ("trades", |s| Some(s.trades as f64)),
    ("total_commission", |s| Some(s.total_commission)),
    ("total_slippage_cost", |s| Some(s.total_slippage_cost)),
    ("total_costs", |s| Some(s.total_costs)),
    ("final_equity", |s| Some(s.final_equity)),
    ("days", |s| Some(s.days as f64)),
];

/// Place of a figure by its name.
pub fn place(name: &str) -> Option<usize> {
    FIGURES.iter().position(|(known, _)| *known == name)
}
