//! The work of `engine/a` to `engine/d` as files, with what our engine makes of it, for `peers.py` beside this file: it
//! gives the same work to programs that people would pick instead.

#![expect(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use backtest_functions::engine::config::FillPolicy;
use backtest_functions::engine::{Market, Outcome, SymbolId};
use deltalake::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use deltalake::parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::panels::{RUNS, momentum, outcome, panel, sets};

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
    true
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
