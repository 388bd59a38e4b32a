//! The thresholds of the timing check on prices of 482 stocks: no honest signal is called leaking, every made leak is. The
//! table in docs/trust.md is what these tests print.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use backtest_functions::engine::market::{PriceChunk, PriceRows, SignalRows};
use backtest_functions::engine::{BacktestConfig, run};
use backtest_functions::statistics::random::Draws;
use backtest_functions::statistics::timing::{Panel, Profile, Traded, Verdict};
use backtest_functions::store::prices::Loaded;
use backtest_functions::work::audit;
use backtest_functions::work::compute::{Prepared, compute};
use backtest_functions::work::facts::Facts;
use serde_json::json;

use crate::support::service::project;
use crate::support::tables::{days, numbers, read_parquet, texts};

/// Adjusted prices, day after day.
struct Prices {
    days: usize,
    symbols: usize,
    open: Vec<f64>,
    close: Vec<f64>,
    month: Vec<u32>,
}

/// The prices beside the project. `None`, said in one line, if they are not there and need not be.
fn prices() -> Option<Prices> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/sp482_2015_2020.parquet");
    if !path.is_file() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", path.display());
        println!("skipped: {} is not there", path.display());
        return None;
    }
    let batch = read_parquet(&path);
    let dates = days(&batch, "date").unwrap();
    let names = texts(&batch, "symbol").unwrap();
    let [open, close, adjusted] = ["open", "close", "adj_close"].map(|name| numbers(&batch, name).unwrap());
    let by_date: BTreeMap<i32, usize> =
        dates.iter().copied().collect::<BTreeSet<_>>().into_iter().zip(0..).collect();
    // Every third of them: a debug build has no time for all.
    let by_name: BTreeMap<&String, usize> =
        names.iter().collect::<BTreeSet<_>>().into_iter().step_by(3).zip(0..).collect();
    let (days, symbols) = (by_date.len(), by_name.len());
    let mut prices = Prices {
        days,
        symbols,
        open: vec![f64::NAN; days * symbols],
        close: vec![f64::NAN; days * symbols],
        month: by_date
            .keys()
            .map(|&date| chrono::Datelike::month(&chrono::NaiveDate::from_epoch_days(date).unwrap()))
            .collect(),
    };
    for row in 0..dates.len() {
        let Some(symbol) = by_name.get(&names[row]) else { continue };
        let cell = by_date[&dates[row]] * symbols + symbol;
        prices.open[cell] = open[row] * adjusted[row] / close[row];
        prices.close[cell] = adjusted[row];
    }
    Some(prices)
}

impl Prices {
    fn at(&self, table: &[f64], day: i64, symbol: usize) -> f64 {
        let inside = (0..self.days as i64).contains(&day);
        if inside { table[day as usize * self.symbols + symbol] } else { f64::NAN }
    }

    fn closed(&self, day: i64, symbol: usize) -> f64 {
        self.at(&self.close, day, symbol)
    }

    fn opened(&self, day: i64, symbol: usize) -> f64 {
        self.at(&self.open, day, symbol)
    }

    /// Return from one close to another.
    fn between(&self, from: i64, to: i64, symbol: usize) -> f64 {
        self.closed(to, symbol) / self.closed(from, symbol) - 1.0
    }

    /// Daily returns of so many days up to one.
    fn returns(&self, day: i64, count: i64, symbol: usize) -> impl Iterator<Item = f64> + Clone {
        (day - count + 1..=day).map(move |each| self.between(each - 1, each, symbol))
    }

    fn mean_close(&self, day: i64, count: i64, symbol: usize) -> f64 {
        (day - count + 1..=day).map(|each| self.closed(each, symbol)).sum::<f64>() / count as f64
    }

    fn deviation(&self, day: i64, count: i64, symbol: usize) -> f64 {
        let returns = self.returns(day, count, symbol);
        let mean = returns.clone().sum::<f64>() / count as f64;
        (returns.map(|each| (each - mean).powi(2)).sum::<f64>() / count as f64).sqrt()
    }

    fn noise(&self, day: i64, symbol: usize) -> f64 {
        Draws::of(7, symbol as u64).unit(day as u64) - 0.5
    }
}

type Signal = fn(&Prices, i64, usize) -> f64;

const HONEST: [(&str, Signal); 20] = [
    ("return of 1 day", |p, t, s| p.between(t - 1, t, s)),
    ("return of 5 days", |p, t, s| p.between(t - 5, t, s)),
    ("return of 20 days", |p, t, s| p.between(t - 20, t, s)),
    ("return of 60 days", |p, t, s| p.between(t - 60, t, s)),
    ("return of 120 days", |p, t, s| p.between(t - 120, t, s)),
    ("return from 252 to 21 days ago", |p, t, s| p.between(t - 252, t - 21, s)),
    ("reversal of 1 day", |p, t, s| -p.between(t - 1, t, s)),
    ("reversal of 5 days", |p, t, s| -p.between(t - 5, t, s)),
    ("reversal of 21 days", |p, t, s| -p.between(t - 21, t, s)),
    ("low volatility, 20 days", |p, t, s| -p.deviation(t, 20, s)),
    ("low volatility, 60 days", |p, t, s| -p.deviation(t, 60, s)),
    ("low volatility, 120 days", |p, t, s| -p.deviation(t, 120, s)),
    ("return of the same month a year ago", |p, t, s| p.between(t - 252, t - 231, s)),
    ("return of the same day a year ago", |p, t, s| p.between(t - 253, t - 252, s)),
    ("month of the year times momentum", |p, t, s| f64::from(p.month[t as usize]) * p.between(t - 60, t, s)),
    ("gap at the open", |p, t, s| p.opened(t, s) / p.closed(t - 1, s) - 1.0),
    ("open to close", |p, t, s| p.closed(t, s) / p.opened(t, s) - 1.0),
    ("close over mean of 50 days", |p, t, s| p.closed(t, s) / p.mean_close(t, 50, s)),
    ("largest return of 21 days", |p, t, s| p.returns(t, 21, s).fold(f64::NEG_INFINITY, f64::max)),
    ("momentum over volatility", |p, t, s| p.between(t - 60, t, s) / p.deviation(t, 60, s)),
];

const LEAKS: [(&str, Signal); 10] = [
    ("return of the next day", |p, t, s| p.between(t, t + 1, s)),
    ("what the decision earns", |p, t, s| p.opened(t + 2, s) / p.opened(t + 1, s) - 1.0),
    ("whether the next day rises", |p, t, s| f64::from(p.between(t, t + 1, s) > 0.0) + 0.001 * p.noise(t, s)),
    ("next day beside as much noise", |p, t, s| p.between(t, t + 1, s) + 0.03 * p.noise(t, s)),
    ("return of the next 5 days", |p, t, s| p.between(t, t + 5, s)),
    ("5-day return, a day early", |p, t, s| p.between(t - 4, t + 1, s)),
    ("mean of closes around the day", |p, t, s| p.mean_close(t + 2, 5, s) / p.closed(t, s)),
    ("open of the next day to its close", |p, t, s| p.closed(t + 1, s) / p.opened(t + 1, s)),
    ("next return over volatility", |p, t, s| p.between(t, t + 1, s) / p.deviation(t, 60, s)),
    ("reversal of the next 3 days", |p, t, s| -p.between(t, t + 3, s)),
];

/// The whole profile and a glance.
fn profiles(prices: &Prices, signal: Signal) -> [Profile; 2] {
    let width = prices.symbols;
    // Most days are never looked at.
    let table: Vec<OnceCell<Vec<f64>>> = vec![OnceCell::new(); prices.days];
    let row = |day: usize| {
        // A table has rows of symbols that have a bar that day.
        let value = |symbol| match prices.closed(day as i64, symbol) {
            close if close.is_nan() => f64::NAN,
            _ => signal(prices, day as i64, symbol),
        };
        (0..width).map(value).collect::<Vec<f64>>()
    };
    let panel = Panel {
        days: prices.days,
        symbols: width,
        signal: &|day| table[day].get_or_init(|| row(day)),
        open: &|day| &prices.open[day * width..][..width],
        close: &|day| &prices.close[day * width..][..width],
    };
    [Profile::of(&panel, Traded::NextOpen, 10), Profile::glance(&panel, Traded::NextOpen)]
}

fn told(name: &str, profile: &Profile) -> String {
    let correlation = |one: Option<&backtest_functions::statistics::timing::Correlation>| {
        // Nothing is written as less than nothing.
        let rounded = |value: f64, unit: f64| (value / unit).round() * unit + 0.0;
        let mean = rounded(one.and_then(|one| one.mean.ok()).unwrap_or(f64::NAN), 0.001);
        let t = one.and_then(|one| one.t.ok());
        let t = t.map_or("certain".to_owned(), |t| format!("{:.1}", rounded(t, 0.1)));
        format!("{mean:.3} | {t}")
    };
    let verdict = format!("{:?}", profile.verdict()).to_lowercase();
    format!(
        "| {name} | {} | {} | {verdict} |",
        correlation(profile.at(1)),
        correlation(Some(&profile.earning))
    )
}

/// By the whole profile, and by the glance that every run takes. The tables of docs/trust.md are these rows.
#[test]
fn no_honest_signal_is_accused_and_every_leak_is() {
    let Some(prices) = prices() else { return };
    let docs = std::fs::read_to_string(project("docs/trust.md")).unwrap();
    let (mut wrong, mut unpublished) = (Vec::new(), Vec::new());
    for (signals, verdict) in [(&HONEST[..], Verdict::Clean), (&LEAKS[..], Verdict::Leaking)] {
        for (name, signal) in signals {
            let [whole, glance] = profiles(&prices, *signal);
            let row = told(name, &whole);
            println!("{row}");
            if !docs.lines().any(|line| line == row) {
                unpublished.push(row);
            }
            for profile in [whole, glance] {
                if profile.verdict() != verdict {
                    wrong.push(told(name, &profile));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unpublished.is_empty(), "docs/trust.md lacks\n{}", unpublished.join("\n"));
}

/// The cheap check of every run, beside the run. Both are timed a few times and the shortest counts, since others work on this
/// machine, too.
#[test]
fn a_glance_costs_little_beside_the_run() {
    let (days, symbols) = (1000_i32, 60_u32);
    let (mut prices, mut signals) = (PriceChunk::default(), SignalRows::default());
    let mut score = Vec::new();
    for day in 0..days {
        for symbol in 0..symbols {
            let step = Draws::of(3, u64::from(symbol)).unit(day as u64);
            let price = 100.0 + 10.0 * step;
            prices.date.push(day);
            prices.symbol.push(symbol);
            prices.open.push(price);
            prices.close.push(price + 1.0);
            signals.date.push(day);
            signals.symbol.push(symbol);
            score.push(Draws::of(5, u64::from(symbol)).unit(day as u64));
        }
    }
    let names: Vec<String> = (0..symbols).map(|symbol| format!("S{symbol:02}")).collect();
    signals.symbols.clone_from(&names);
    signals.columns.push(("score".to_owned(), score));
    let rows = PriceRows { symbols: names, chunks: vec![prices.into()], ..PriceRows::default() };
    let submitted = json!({
        "start_date": "1970-01-01", "end_date": "1975-01-01", "universe": { "symbols": ["*"] },
        "data": { "signal_path": "signals.csv" },
        "strategy": { "class": "TopNSignalStrategy",
                      "parameters": { "signal_column": "score", "top_n": 10, "rebalance": "daily" } },
    });
    let config = BacktestConfig::from_value(&submitted).unwrap();
    let loaded = Loaded { prices: rows, signals: Some(signals), data_versions: json!({}) };
    let prepared = Prepared::of(&config, loaded, false).unwrap();
    let market = &prepared.market;
    let facts = Facts {
        run_id: &"run".parse().unwrap(),
        submitted: &submitted,
        config: &config,
        config_sha256: "",
        data_versions: &json!({}),
        fence: None,
    };
    let shortest = |work: &dyn Fn()| {
        let times = (0..5).map(|_| {
            let started = Instant::now();
            work();
            started.elapsed()
        });
        times.min().unwrap()
    };
    let outcome = run(&config, market, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let whole = shortest(&|| {
        compute(&facts, &prepared, &mut |_, _| ControlFlow::Continue(())).unwrap();
    });
    let glance = shortest(&|| {
        audit::warnings(&config, market, &outcome);
    });
    println!("a glance takes {glance:?}, the run {whole:?}");
    assert!(glance.as_secs_f64() <= 0.05 * whole.as_secs_f64(), "{glance:?} of {whole:?}");
}
