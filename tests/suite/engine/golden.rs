//! The engine against stored answers. The public cases travel with the project; the larger collection lies
//! beside it in `../shared`, and its absence is an error only where CI says that it must be there.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use backtest_functions::engine::config::{BacktestConfig, Fault};
use backtest_functions::engine::metrics::rolling;
use backtest_functions::engine::{BlendStage, DebugKind, Market, Outcome, run};
use serde_json::Value;

use crate::support::tables::{Keyed, Tolerance, price_rows, signal_rows};

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The collection beside the project. `None`, said in one line, if it is not there and need not be.
fn beside() -> Option<PathBuf> {
    let root = home().join("../shared/golden/engine");
    if root.is_dir() {
        return Some(root);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", root.display());
    println!("skipped: {} is not there", root.display());
    None
}

#[test]
fn outcomes_agree_with_the_stored_answers() {
    let roots = [Some(home().join("tests/golden")), beside()];
    let mut differences = 0;
    for root in roots.iter().flatten() {
        for case in cases(root) {
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            match check(root, &case) {
                Ok(compared) => println!("{name}: agrees ({compared})"),
                Err(difference) => {
                    differences += 1;
                    println!("{name}: DIFFERS: {difference}");
                }
            }
        }
    }
    assert_eq!(differences, 0, "cases differ; see the list above");
}

/// Configs that name what the reference implementation does not know, and what is known here.
const KNOWN_HERE: [&str; 1] = ["sizer_unknown"]; // RiskParitySizer

#[test]
fn faulty_configs_are_refused_as_early_as_stored() {
    let Some(root) = beside() else { return };
    let wanted: BTreeMap<String, Value> =
        serde_json::from_str(&read(&root.join("errors/expected/errors.json"))).unwrap();
    let stages = ["invalid_config", "data", "run", "ok"];
    let mut differences = Vec::new();
    for (name, want) in &wanted {
        let stored = want["category"].as_str().unwrap();
        let want = if KNOWN_HERE.contains(&name.as_str()) { "ok" } else { stored };
        let (got, message) = match outcome(&root, &root.join(format!("errors/configs/{name}.yaml"))) {
            Ok(_) => ("ok", String::new()),
            Err(Failure { category, message }) => (category, message),
        };
        println!("{name}: {want} expected, got {got}: {message}");
        let at = |stage: &str| stages.iter().position(|known| *known == stage).unwrap();
        if (want == "ok") != (got == "ok") || at(got) > at(want) {
            differences.push(name);
        }
    }
    assert!(differences.is_empty(), "differ: {differences:?}");
    assert_eq!(wanted.len(), 32);
}

/// The folders with an answer.
fn cases(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries.filter(|path| path.join("config.yaml").is_file()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no case in {}", root.display());
    cases
}

#[derive(Debug)]
struct Failure {
    category: &'static str,
    message: String,
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))
}

/// Runs a config whose paths are relative to `root`. The answers come from an engine that sees nothing before
/// `start_date`, so warm-up is off.
fn outcome(root: &Path, config: &Path) -> Result<(Outcome, Market), Failure> {
    let mut value: Value = serde_saphyr::from_str(&read(config)).unwrap();
    value["data"]["warmup_days"] = Value::from(0);
    let config = BacktestConfig::from_value(&value).map_err(|faults| Failure {
        category: "invalid_config",
        message: faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; "),
    })?;
    let again = BacktestConfig::from_value(&config.resolved());
    assert_eq!(again.as_ref(), Ok(&config), "a resolved config reads as itself");

    let prices = price_rows(&root.join(config.data.price_path.as_ref().unwrap()));
    let signals = config.data.signal_path.as_ref().map(|path| signal_rows(&root.join(path)));
    let market = Market::assemble(&config, prices, signals)
        .map_err(|error| Failure { category: "data", message: error.to_string() })?;
    let outcome = run(&config, &market, &mut |_, _| ControlFlow::Continue(()))
        .map_err(|error| Failure { category: error.category(), message: error.to_string() })?;
    Ok((outcome, market))
}

/// Cases whose stored answer, from this day on, hangs on the last bit of a number: there a sale leaves a "holding"
/// of 1e-12 shares, which then exits and makes the strategy decide once more. Ours sells the whole holding.
const GHOSTS: [(&str, &str); 1] = [("p4_long_short_weekly", "2005-06-15")];

/// Says what was compared, or the first difference.
fn check(root: &Path, case: &Path) -> Result<String, String> {
    let (got, market) = outcome(root, &case.join("config.yaml")).map_err(|failure| failure.message)?;
    // Where the answers of the reference are known to be wrong, the corrected ones count.
    let fixed = case.join("expected_fixed");
    let want = if fixed.is_dir() { fixed } else { case.join("expected") };
    let tolerance = tolerance(case, got.summary.initial_cash);
    let ghost = GHOSTS.iter().find(|(name, _)| case.ends_with(name)).map(|(_, from)| *from);
    let mut compared = Vec::new();
    let mut compare = |what: &str, want: &Keyed, got: &Keyed, tolerance: Tolerance| {
        compared.push(what.to_owned());
        let (want, got) = (want.before(ghost), got.before(ghost));
        want.difference(&got, tolerance).map_or(Ok(()), |d| Err(format!("{what} {d}")))
    };

    let stored = |name: &str| Some(want.join(format!("{name}.parquet"))).filter(|path| path.is_file());
    let daily = stored("daily_metrics").ok_or("no daily_metrics")?;
    compare("daily", &Keyed::read(&daily, &["date"], &DAILY), &daily_table(&got), tolerance)?;

    let trades = stored("trades").ok_or("no trades")?;
    let trades = without_dust(Keyed::read(&trades, &["execution_date", "symbol"], &TRADES), tolerance);
    compare("trades", &trades, &without_dust(trade_table(&got), tolerance), tolerance)?;

    let positions = stored("positions").ok_or("no positions")?;
    let positions = Keyed::read(&positions, &["date", "symbol"], &["quantity"]);
    compare("positions", &positions, &position_table(&got, &market), tolerance)?;

    let hits = stored("constraint_hits").ok_or("no constraint_hits")?;
    let hits = Keyed::read(&hits, &["as_of", "constraint", "symbol"], &["before", "after"]);
    compare("hits", &without_effect(hits), &without_effect(hit_table(&got)), tolerance)?;

    if let Some(path) = stored("rolling_metrics") {
        let loose = Tolerance { relative: 1e-8, absolute: 1e-8, ..tolerance };
        let table = Keyed::read(&path, &["date", "window_days"], &ROLLING);
        compare("rolling", &table, &rolling_table(&got), loose)?;
    }
    if let Some(path) = stored("composite_weights") {
        let table = Keyed::read(&path, &["date", "stage", "symbol"], &["weight"]);
        compare("composite", &table, &blend_table(&got), tolerance)?;
    }
    if let Some(path) = stored("strategy_debug") {
        let mut table = Keyed::read(&path, &["date", "kind", "symbol"], &["value"]);
        table.rows.retain(|key, _| key[1] != "exits");
        compare("debug", &table, &debug_table(&got), tolerance)?;
    }
    if let Some(from) = ghost {
        return Ok(format!("{}, until a ghost holding in the stored answer of {from}", compared.join(", ")));
    }
    let summary: Value = serde_json::from_str(&read(&want.join("summary.json"))).unwrap();
    let ours = serde_json::to_value(&got.summary).unwrap();
    for key in SUMMARY {
        let number = |value: &Value| value[key].as_f64().unwrap_or(f64::NAN);
        if !tolerance.agree(key, number(&summary), number(&ours)) {
            return Err(format!("summary {key}: expected {}, got {}", summary[key], ours[key]));
        }
    }
    compared.push("summary".to_owned());
    // Counts of fills would count dust; ours must fit our own trades.
    for (day, date) in got.daily.date.iter().enumerate() {
        let fills = got.trades.execution_date.iter().filter(|filled| *filled == date).count();
        assert_eq!(fills, got.daily.n_trades[day] as usize, "{date}");
    }
    assert_eq!(got.summary.trades, got.trades.symbol.len());
    Ok(compared.join(", "))
}

const DAILY: [&str; 10] = [
    "portfolio_value",
    "cash",
    "daily_return",
    "cumulative_return",
    "drawdown",
    "gross_exposure",
    "net_exposure",
    "turnover",
    "commission",
    "slippage_cost",
];
const TRADES: [&str; 6] = ["quantity", "price", "notional", "commission", "slippage_cost", "cash_after"];
const ROLLING: [&str; 10] = [
    "rolling_return",
    "rolling_volatility",
    "rolling_sharpe",
    "rolling_max_drawdown",
    "turnover_sum",
    "commission_sum",
    "slippage_cost_sum",
    "n_trades_sum",
    "gross_exposure_avg",
    "net_exposure_avg",
];
const SUMMARY: [&str; 7] = [
    "initial_cash",
    "final_equity",
    "total_return",
    "annualized_return",
    "annualized_volatility",
    "sharpe_ratio",
    "max_drawdown",
];

fn tolerance(case: &Path, money: f64) -> Tolerance {
    let about: Value = serde_json::from_str(&read(&case.join("case.json"))).unwrap();
    let own = |key: &str| about["tolerance"][key].as_f64().unwrap_or(1e-9);
    Tolerance { relative: own("rel"), absolute: own("abs"), money }
}

fn daily_table(got: &Outcome) -> Keyed {
    let mut table = Keyed::new(&DAILY);
    let d = &got.daily;
    for day in 0..d.date.len() {
        let row = vec![
            d.portfolio_value[day],
            d.cash[day],
            d.daily_return[day],
            d.cumulative_return[day],
            d.drawdown[day],
            d.gross_exposure[day],
            d.net_exposure[day],
            d.turnover[day],
            d.commission[day],
            d.slippage_cost[day],
        ];
        table.push(vec![d.date[day].to_string()], row);
    }
    table
}

fn trade_table(got: &Outcome) -> Keyed {
    let mut table = Keyed::new(&TRADES);
    let t = &got.trades;
    for row in 0..t.symbol.len() {
        let key = vec![t.execution_date[row].to_string(), got.name(t.symbol[row]).to_owned()];
        let cells = [&t.quantity, &t.price, &t.notional, &t.commission, &t.slippage_cost, &t.cash_after];
        table.push(key, cells.iter().map(|column| column[row]).collect());
    }
    table
}

/// Fills too small to matter are left out on both sides.
fn without_dust(mut trades: Keyed, tolerance: Tolerance) -> Keyed {
    trades.rows.retain(|_, row| row[2].abs() > 1e-9 * tolerance.money);
    trades
}

fn position_table(got: &Outcome, market: &Market) -> Keyed {
    let mut table = Keyed::new(&["quantity"]);
    let p = got.position_table(market);
    for row in 0..p.symbol.len() {
        if p.shares[row].abs() >= 1e-9 {
            let key = vec![p.date[row].to_string(), got.name(p.symbol[row]).to_owned()];
            table.push(key, vec![p.shares[row]]);
        }
    }
    table
}

fn hit_table(got: &Outcome) -> Keyed {
    let mut table = Keyed::new(&["before", "after"]);
    for hit in &got.constraint_hits {
        let symbol = hit.symbol.map_or("", |symbol| got.name(symbol));
        let key = vec![hit.as_of.to_string(), hit.constraint.to_owned(), symbol.to_owned()];
        table.push(key, vec![hit.before.unwrap_or(f64::NAN), hit.after.unwrap_or(f64::NAN)]);
    }
    table
}

/// Hits that change nothing are rounding and are left out on both sides.
fn without_effect(mut hits: Keyed) -> Keyed {
    hits.rows.retain(|key, row| {
        let (before, after) = (row[0], row[1]);
        let nothing = (before - after).abs() <= 1e-9 * before.abs().max(1.0);
        !nothing || key[1].ends_with("unachievable")
    });
    hits
}

fn rolling_table(got: &Outcome) -> Keyed {
    let mut table = Keyed::new(&ROLLING);
    let r = rolling::rolling(&got.daily, &rolling::WINDOWS, 252.0);
    for row in 0..r.date.len() {
        let cells = [
            &r.rolling_return,
            &r.rolling_volatility,
            &r.rolling_sharpe,
            &r.rolling_max_drawdown,
            &r.turnover_sum,
            &r.commission_sum,
            &r.slippage_cost_sum,
            &r.n_trades_sum,
            &r.gross_exposure_avg,
            &r.net_exposure_avg,
        ];
        let key = vec![r.date[row].to_string(), r.window_days[row].to_string()];
        table.push(key, cells.iter().map(|column| column[row].unwrap_or(f64::NAN)).collect());
    }
    table
}

fn blend_table(got: &Outcome) -> Keyed {
    let mut table = Keyed::new(&["weight"]);
    let Some(blend) = &got.blend else { return table };
    for row in 0..blend.symbol.len() {
        let stage = match blend.stage[row] {
            BlendStage::Leg(leg) => format!("leg:{}", blend.legs[leg]),
            BlendStage::Pre => "pre".to_owned(),
            BlendStage::Post => "post".to_owned(),
        };
        let key = vec![blend.date[row].to_string(), stage, got.name(blend.symbol[row]).to_owned()];
        table.push(key, vec![blend.weight[row]]);
    }
    table
}

fn debug_table(got: &Outcome) -> Keyed {
    let mut table = Keyed::new(&["value"]);
    let Some(debug) = &got.debug else { return table };
    for row in (0..debug.symbol.len()).filter(|&row| debug.kind[row] != DebugKind::Exits) {
        let kind = debug.kind[row].as_str().to_owned();
        let key = vec![debug.date[row].to_string(), kind, got.name(debug.symbol[row]).to_owned()];
        table.push(key, vec![debug.value[row].unwrap_or(f64::NAN)]);
    }
    table
}
