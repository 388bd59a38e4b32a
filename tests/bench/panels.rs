//! Price panels of a given size, the same on every machine, and the configs that are measured on them.

use backtest_functions::engine::config::BacktestConfig;
use backtest_functions::engine::market::{PriceChunk, PriceRows};
use backtest_functions::engine::{Market, Outcome, run};
use chrono::{Datelike as _, NaiveDate, Weekday};
use serde_json::json;
use std::ops::ControlFlow;

/// `engine/a` to `engine/c`: symbols, days, symbols held.
pub(crate) const RUNS: [(&str, usize, usize, u32); 3] =
    [("a", 31, 3020, 5), ("b", 500, 2520, 20), ("c", 3000, 5040, 100)];

/// `engine/d`, on the panel of `a`: symbols held in each set.
pub(crate) fn sets() -> impl Iterator<Item = u32> {
    (0..1000).map(|n| 1 + n % 30)
}

/// A market of that many symbols and days; each symbol walks at random from 100.
pub(crate) fn panel(symbols: usize, days: usize) -> Market {
    let first = NaiveDate::from_ymd_opt(2000, 1, 3).unwrap_or_default();
    let weekdays = first.iter_days().filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun));
    let mut rows = PriceChunk::default();
    let mut last = vec![100.0; symbols];
    let mut noise = Noise(42);
    for date in weekdays.take(days) {
        for (symbol, close) in last.iter_mut().enumerate() {
            let open = *close * (1.0 + 0.005 * noise.next());
            *close = open * (1.0003 + 0.02 * noise.next());
            rows.date.push(date.to_epoch_days());
            rows.symbol.push(symbol as u32);
            rows.open.push(open);
            rows.close.push(*close);
        }
    }
    let symbols = (0..symbols).map(|n| format!("S{n:05}")).collect();
    assemble(
        &momentum(5, "momentum_12_1"),
        PriceRows { symbols, chunks: vec![rows.into()], ..PriceRows::default() },
    )
}

fn assemble(config: &BacktestConfig, rows: PriceRows) -> Market {
    Market::assemble(config, rows, None).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Monthly, the best `n` by a signal computed from prices, equal weights, 10 basis points.
pub(crate) fn momentum(n: u32, column: &str) -> BacktestConfig {
    let config = json!({
        "start_date": "2000-01-01",
        "end_date": "2099-12-31",
        "universe": { "symbols": ["*"] },
        "strategy": {
            "class": "TopNSignalStrategy",
            "parameters": { "signal_column": column, "top_n": n, "rebalance": "monthly" },
        },
        "sizing": { "class": "EqualWeightSizer", "parameters": { "max_positions": n } },
        "broker": { "slippage_bps": 10 },
    });
    BacktestConfig::from_value(&config).unwrap_or_else(|faults| unreachable!("{faults:?}"))
}

/// A pipeline that looks every week and holds on until one of two exit rules fires.
pub(crate) fn pipeline() -> BacktestConfig {
    let config = json!({
        "start_date": "2000-01-01",
        "end_date": "2099-12-31",
        "universe": { "symbols": ["*"] },
        "data": { "warmup_days": 252 },
        "strategy": {
            "type": "configured",
            "rebalance": { "freq": "weekly" },
            "universe": { "source": "prices" },
            "signals": { "provider": "computed_from_prices" },
            "scoring": { "type": "price_breakout", "lookback": 50 },
            "selection": { "type": "topn", "topn": { "n": 10, "min_score": 0 } },
            "holding_policy": { "type": "replace_all", "replace_all": { "exit_if_not_selected": false } },
            "exits": { "rules": [
                { "type": "trailing_ma", "days": 50 },
                { "type": "stop_loss", "pct": 0.12, "use_intraday_extremes": false },
            ] },
        },
        "sizing": { "class": "EqualWeightSizer", "parameters": { "max_positions": 10 } },
        "broker": { "slippage_bps": 10 },
    });
    BacktestConfig::from_value(&config).unwrap_or_else(|faults| unreachable!("{faults:?}"))
}

/// Runs to the end.
pub(crate) fn outcome(config: &BacktestConfig, market: &Market) -> Outcome {
    run(config, market, &mut |_, _| ControlFlow::Continue(())).unwrap_or_else(|error| unreachable!("{error}"))
}

/// Uniform numbers in -1..1 (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as i64 as f64 / i64::MAX as f64
    }
}
