//! From rows to dense tables, and a run that is stopped.

use std::ops::ControlFlow;

use backtest_functions::engine::market::{DataError, PriceChunk};
use backtest_functions::engine::{RunError, run};
use serde_json::json;

use crate::support::toy::{NONE, Toy, day, said};

fn error(toy: &Toy) -> DataError {
    toy.try_market().unwrap_err()
}

/// Rows may come in any order; symbols are numbered by name, the universe keeps the order of the config.
#[test]
fn rows_come_in_any_order() {
    let toy = Toy::flat(&[("B", &[2.0, 3.0]), ("A", &[1.0, 4.0])]);
    let mut turned = toy.clone();
    let rows = &mut turned.chunks[0];
    for column in [&mut rows.open, &mut rows.high, &mut rows.low, &mut rows.close, &mut rows.volume] {
        column.reverse();
    }
    rows.date.reverse();
    rows.symbol.reverse();
    assert_eq!(toy.market(), turned.market());
    let market = toy.market();
    assert_eq!(market.symbols(), ["A", "B"]);
    assert_eq!(market.universe().iter().map(|&symbol| market.name(symbol)).collect::<Vec<_>>(), ["B", "A"]);
    let a = market.symbol("A").unwrap();
    assert_eq!((market.close(0, a), market.close(1, a)), (1.0, 4.0));
    assert_eq!(market.symbol("C"), None);
}

/// However the rows are cut, the market is the same; of equal rows in two pieces the later one counts.
#[test]
fn rows_come_in_any_number_of_pieces() {
    let whole = Toy::flat(&[("B", &[2.0, 2.5, 3.0]), ("A", &[4.0, 5.0, 6.0])]);
    let mut cut = whole.clone();
    let rows = cut.chunks.remove(0);
    cut.chunks = (0..rows.date.len()).map(|at| row(&rows, at)).collect();
    cut.chunks.insert(2, PriceChunk::default());
    assert_eq!(cut.market(), whole.market());

    let mut corrected = row(&rows, 1);
    corrected.close = vec![2.6];
    cut.chunks.push(corrected);
    let market = cut.market();
    assert_eq!(market.close(1, market.symbol("B").unwrap()), 2.6);
    assert_eq!(said(&cut.run()).len(), 1);
}

fn row(rows: &PriceChunk, at: usize) -> PriceChunk {
    PriceChunk {
        date: vec![rows.date[at]],
        symbol: vec![rows.symbol[at]],
        open: vec![rows.open[at]],
        high: vec![rows.high[at]],
        low: vec![rows.low[at]],
        close: vec![rows.close[at]],
        volume: vec![rows.volume[at]],
        ..PriceChunk::default()
    }
}

/// A row without an open or without a close is not a bar, and a day of such rows is not a trading day.
#[test]
fn incomplete_rows_are_no_bars() {
    let mut toy = Toy::flat(&[("A", &[1.0, 2.0, 3.0])]);
    toy.chunks[0].open[1] = NONE;
    let market = toy.market();
    assert_eq!(market.dates(), [day(0), day(2)]);
}

#[test]
fn the_window_and_its_warm_up() {
    let toy = Toy::flat(&[("A", &[1.0; 10])]).with(json!({
        "start_date": day(6).to_string(),
        "end_date": day(8).to_string(),
        "data": { "warmup_days": 2 },
    }));
    let market = toy.market();
    assert_eq!(market.dates(), [day(4), day(5), day(6), day(7), day(8)]);
    assert_eq!((market.first_trading_bar(), market.trading_days()), (2, 3));
    assert_eq!(toy.run().daily.date, [day(6), day(7), day(8)]);
    let cold = toy.with(json!({ "data": { "warmup_days": 0 } }));
    assert_eq!(cold.market().dates().len(), 3);
}

#[test]
fn every_symbol_of_the_table() {
    let toy =
        Toy::flat(&[("B", &[1.0; 2]), ("A", &[1.0; 2])]).with(json!({ "universe": { "symbols": ["*"] } }));
    assert_eq!(toy.market().symbols(), ["A", "B"]);
    let named = toy.with(json!({ "strategy": { "parameters": { "symbols": ["Z"] } } }));
    assert!(matches!(named.try_run(), Err(RunError::Data(message)) if message.contains("\"Z\"")));
}

#[test]
fn rows_that_make_no_market() {
    let toy = Toy::flat(&[("A", &[1.0, 2.0])]);
    let late = toy.clone().with(json!({ "start_date": "2025-01-01", "end_date": "2025-12-31" }));
    assert!(matches!(error(&late), DataError::NoPrices { .. }));
    let strange = toy.clone().with(json!({ "universe": { "symbols": ["Z"] } }));
    assert!(matches!(error(&strange), DataError::NoPrices { .. }));
    let compared = toy.clone().with(json!({ "benchmark": "Z" }));
    assert!(matches!(error(&compared), DataError::NoBenchmark { symbol, .. } if symbol == "Z"));
    let mut endless = toy.clone();
    endless.chunks[0].close[1] = f64::INFINITY;
    assert_eq!(error(&endless).to_string(), "column close: infinite value for A on 2024-01-02");
    let mut ragged = toy;
    ragged.chunks[0].open.pop();
    assert_eq!(error(&ragged), DataError::Ragged("price"));
}

#[test]
fn the_reader_is_told_about_repeats_and_silent_symbols() {
    let mut toy = Toy::flat(&[("A", &[1.0, 2.0])]).with(json!({ "universe": { "symbols": ["A", "Z"] } }));
    toy.chunks[0].date[1] = toy.chunks[0].date[0];
    let got = toy.run();
    assert_eq!(said(&got).len(), 2, "{:?}", got.summary.warnings);
    let market = toy.market();
    assert_eq!(market.close(0, market.symbol("A").unwrap()), 2.0, "the last row counts");
}

#[test]
fn a_run_can_be_stopped() {
    let toy = Toy::flat(&[("A", &[1.0; 5])]);
    let mut seen = Vec::new();
    let stopped = run(&toy.config(), &toy.market(), &mut |done, total| {
        seen.push((done, total));
        if done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(stopped, Err(RunError::Stopped { done: 2, total: 5 }));
    assert_eq!(seen, [(1, 5), (2, 5)]);
}
