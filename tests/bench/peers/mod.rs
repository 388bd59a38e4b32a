//! The work of `engine/a` to `engine/d` and of `study/cscv` as files, with what ours makes of it, for `peers.py` and
//! `overfitting.py` beside this file: they give the same work to programs that people would pick instead.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backtest_functions::engine::config::FillPolicy;
use backtest_functions::engine::{Market, Outcome, SymbolId};
use backtest_functions::statistics::blocks::{BlockSums, Measure};
use backtest_functions::statistics::deflation::Search;
use backtest_functions::statistics::overfitting::Overfitting;
use backtest_functions::statistics::sharpe::SharpeRatio;
use deltalake::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use deltalake::parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::panels::{RUNS, momentum, outcome, panel, sets};
use crate::statistics::made;

/// Writes to the folder that `BENCH_PANELS` names; answers whether there is one. `<work>.parquet` has a row per day and
/// symbol, in this order: date, symbol, open, close. `work.json` has, per work, the number of symbols that each set
/// holds, and the values of its account: by day for one set, at the end for many.
pub(crate) fn export() -> bool {
    let Some(folder) = std::env::var_os("BENCH_PANELS").map(PathBuf::from) else { return false };
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut works = serde_json::Map::new();
    for (name, symbols, days, n) in RUNS {
        let market = panel(symbols, days);
        write(&market, File::create(folder.join(format!("{name}.parquet"))).expect("a file"));
        works.insert(name.to_owned(), work(name, &market, &[n], |run| run.daily.portfolio_value));
        if name == "a" {
            let sets: Vec<u32> = sets().collect();
            works.insert("d".to_owned(), work(name, &market, &sets, |run| vec![run.summary.final_equity]));
        }
    }
    std::fs::write(folder.join("work.json"), Value::Object(works).to_string()).expect("a file");
    overfitting(&folder);
    true
}

/// Trials that `overfitting.py` gives to programs that are quick, and to those that are not.
const TRIALS: (usize, usize) = (1000, 20);
/// Blocks that they are cut into: the others take minutes for the 16 that ours is measured with.
const PEER_BLOCKS: usize = 10;
/// Days of a trial: as many as make blocks of equal length, since programs treat what is left over in different ways.
const TRIAL_DAYS: usize = 10 * 248;

/// Writes `trials.f64`, trial after trial as little-endian doubles, and `overfitting.json`: what our statistics say of all
/// trials, and of the first few.
fn overfitting(folder: &Path) {
    let trials = made(TRIALS.0, TRIAL_DAYS);
    let bytes: Vec<u8> = trials.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(folder.join("trials.f64"), bytes).expect("a file");
    let told = |count: usize| {
        let mut blocks = BlockSums::equal(TRIAL_DAYS, PEER_BLOCKS);
        let sharpe: Vec<SharpeRatio> = trials[..count]
            .iter()
            .zip(0..)
            .map(|(returns, trial)| {
                blocks.add(trial, returns, 0.0);
                SharpeRatio::of(returns, 0.0).expect("returns that vary")
            })
            .collect();
        let daily: Vec<f64> = sharpe.iter().map(|sharpe| sharpe.daily).collect();
        let best = sharpe.iter().max_by(|a, b| a.daily.total_cmp(&b.daily)).expect("a trial");
        json!({
            "trials": count,
            "probability": Overfitting::of(&blocks, Measure::Sharpe).expect("enough trials").probability,
            "deflated_sharpe_ratio": Search::among(&daily).deflate(best).expect("moments of a distribution"),
        })
    };
    let (all, few) = (told(TRIALS.0), told(TRIALS.1));
    let all =
        json!({ "trials": TRIALS.0, "days": TRIAL_DAYS, "blocks": PEER_BLOCKS, "all": all, "few": few });
    std::fs::write(folder.join("overfitting.json"), all.to_string()).expect("a file");
}

/// The same sets with fills at the next open, as they are measured, and at the next close, the only price at which
/// some of the others fill.
fn work(panel: &str, market: &Market, sets: &[u32], values: impl Fn(Outcome) -> Vec<f64>) -> Value {
    let account = |fills: FillPolicy| -> Vec<Vec<f64>> {
        let run = |&n: &u32| {
            let mut config = momentum(n, "momentum_12_1");
            config.broker.fill_policy = fills;
            values(outcome(&config, market))
        };
        sets.iter().map(run).collect()
    };
    let (open, close) = (account(FillPolicy::NextOpen), account(FillPolicy::NextClose));
    json!({ "panel": panel, "top_n": sets, "next_open": open, "next_close": close })
}

/// One batch a day, so that the largest panel is never there twice.
fn write(market: &Market, file: File) {
    let day = |bar: usize| {
        let ids = || (0..market.symbols().len() as u32).map(SymbolId);
        let date = Date32Array::from_value(market.dates()[bar].to_epoch_days(), market.symbols().len());
        let columns: [(&str, ArrayRef); 4] = [
            ("date", Arc::new(date)),
            ("symbol", Arc::new(StringArray::from_iter_values(market.symbols()))),
            ("open", Arc::new(Float64Array::from_iter_values(ids().map(|id| market.open(bar, id))))),
            ("close", Arc::new(Float64Array::from_iter_values(ids().map(|id| market.close(bar, id))))),
        ];
        RecordBatch::try_from_iter(columns).expect("columns of one length")
    };
    let mut writer = ArrowWriter::try_new(file, day(0).schema(), None).expect("a schema");
    for bar in 0..market.dates().len() {
        writer.write(&day(bar)).expect("a row group");
    }
    writer.close().expect("a footer");
}
