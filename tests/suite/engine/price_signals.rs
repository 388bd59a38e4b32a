//! Signals that are computed from prices: the arithmetic written out, gaps, and that a run and `lake rank` mean the same.

use backtest_functions::engine::market::{PriceChunk, PriceDays, PricePanel, PriceRows};
use backtest_functions::engine::price_signals::{CARRIED_BARS, LOOKBACK_BARS, PriceSignal};
use backtest_functions::engine::{DebugKind, SymbolId};
use serde_json::json;

use crate::support::service::{Home, run_well};
use crate::support::toy::{NONE, Toy, day, near};

/// Prices of three symbols that go up and down in turn. C is halted on the bars for which `halted` says so.
fn paths(bars: usize, halted: impl Fn(usize) -> bool) -> Vec<(&'static str, Vec<f64>)> {
    let path = |n: usize| -> Vec<f64> {
        let price = |bar: usize| {
            let wave = ((bar * (n + 3)) % 17) as f64 / 100.0;
            100.0 * (1.0 + 0.001 * n as f64).powi(bar as i32) * (1.0 + wave)
        };
        (0..bars).map(price).collect()
    };
    let mut c = path(2);
    c.iter_mut().enumerate().filter(|(bar, _)| halted(*bar)).for_each(|(_, price)| *price = NONE);
    vec![("A", path(0)), ("B", path(1)), ("C", c)]
}

fn toy(paths: &[(&'static str, Vec<f64>)]) -> Toy {
    let series: Vec<(&str, &[f64])> = paths.iter().map(|(name, path)| (*name, path.as_slice())).collect();
    Toy::flat(&series)
}

fn panel(chunk: PriceChunk) -> PricePanel {
    let symbols = ["A", "B", "C"].map(str::to_owned).to_vec();
    let rows = PriceRows { symbols, chunks: vec![PriceDays::from(chunk)], ..PriceRows::default() };
    PricePanel::of(&rows).unwrap().unwrap()
}

fn value(panel: &PricePanel, signal: PriceSignal, bar: usize, symbol: u32) -> Option<f64> {
    let ranking = signal.ranking(panel.closes(), bar);
    ranking.iter().find(|(id, _)| *id == SymbolId(symbol)).map(|(_, value)| *value)
}

/// What a run computes for a column, as `(bar, symbol, value)`.
fn of_a_run(toy: &Toy, bars: usize, column: &str) -> Vec<(usize, SymbolId, f64)> {
    let outcome = toy
        .clone()
        .with(json!({
            "end_date": day(bars - 1).to_string(),
            "data": { "warmup_days": 0 },
            "strategy": {
                "type": "configured",
                "universe": { "source": "prices" },
                "scoring": { "type": "column", "column": column },
                "selection": { "type": "topn", "topn": { "n": 3, "min_score": null } },
                "debug": { "record_intermediates": true },
            },
        }))
        .run();
    let debug = outcome.debug.as_ref().unwrap();
    let rows = (0..debug.kind.len()).filter(|&row| debug.kind[row] == DebugKind::RawScores);
    let bar_of = |row: usize| outcome.daily.date.iter().position(|date| *date == debug.date[row]).unwrap();
    rows.filter_map(|row| Some((bar_of(row), debug.symbol[row], debug.value[row]?))).collect()
}

/// Three symbols, one halted for 15 of 120 days: what stood still for longer than closes are carried has no momentum
/// where a run looks for it, and none in a ranking; both have the same values everywhere else.
#[test]
fn a_run_and_a_ranking_mean_the_same_by_a_name() {
    const BARS: usize = 120;
    let toy = toy(&paths(BARS, |bar| (40..55).contains(&bar)));
    let panel = panel(toy.chunks[0].clone());
    for signal in PriceSignal::ALL {
        let in_run = of_a_run(&toy, BARS, signal.name());
        let mut in_ranking = Vec::new();
        // The last day decides nothing.
        for bar in 0..BARS - 1 {
            in_ranking
                .extend(signal.ranking(panel.closes(), bar).iter().map(|&(id, value)| (bar, id, value)));
        }
        let sorted = |mut rows: Vec<(usize, SymbolId, f64)>| {
            rows.sort_by_key(|(bar, symbol, _)| (*bar, *symbol));
            rows
        };
        assert_eq!(sorted(in_run), sorted(in_ranking), "{}", signal.name());
    }
    // 60 bars before the bars 100 to 114 C was halted; its last close is carried over the first five.
    let has = |bar| value(&panel, PriceSignal::Momentum60, bar, 2).is_some();
    let without: Vec<usize> = (60..BARS - 1).filter(|&bar| !has(bar)).collect();
    assert_eq!(without, (105..115).collect::<Vec<_>>());
    // The deviation needs all 61 closes.
    assert!((60..=114).all(|bar| value(&panel, PriceSignal::LowVolatility60, bar, 2).is_none()));
}

#[test]
fn values_are_what_their_names_say() {
    let paths = paths(300, |bar| bar % 37 == 5);
    let panel = panel(toy(&paths).chunks[0].clone());
    let a = &paths[0].1;
    let of_a = |signal| value(&panel, signal, 299, 0).unwrap();
    assert!(near(of_a(PriceSignal::Momentum60), a[299] / a[239] - 1.0));
    assert!(near(of_a(PriceSignal::Momentum12To1), a[278] / a[47] - 1.0));
    assert!(near(of_a(PriceSignal::Reversal21), 1.0 - a[299] / a[278]));
    let deviation = |closes: &[f64]| {
        let returns: Vec<f64> = closes.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect();
        let mean = returns.iter().sum::<f64>() / 60.0;
        (returns.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 60.0).sqrt()
    };
    assert!(near(of_a(PriceSignal::LowVolatility60), -deviation(&a[239..300])));
    // C has no bar on 264 and 301: its close of 263 stands for the one of 264.
    let mut c = paths[2].1[239..300].to_vec();
    c[264 - 239] = c[263 - 239];
    assert!(near(value(&panel, PriceSignal::LowVolatility60, 299, 2).unwrap(), -deviation(&c)));
    for signal in PriceSignal::ALL {
        let ranking = signal.ranking(panel.closes(), 299);
        assert_eq!(ranking.len(), 3);
        assert!(ranking.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{}: highest first", signal.name());
    }
    for bar in 60..300 {
        let calm = PriceSignal::LowVolatility60.ranking(panel.closes(), bar);
        assert!(calm.iter().all(|(_, value)| *value <= 0.0), "never above 0");
    }
}

#[test]
fn equal_values_stay_in_order_of_symbols() {
    let same: Vec<f64> = (0..70).map(|bar| 100.0 + f64::from(bar)).collect();
    let panel = panel(Toy::flat(&[("A", &same), ("B", &same), ("C", &same)]).chunks[0].clone());
    for signal in PriceSignal::ALL {
        let ranking = signal.ranking(panel.closes(), 69);
        let order: Vec<u32> = ranking.iter().map(|(symbol, _)| symbol.0).collect();
        assert!(order.is_empty() || order == [0, 1, 2], "{}: {order:?}", signal.name());
    }
}

/// What is known on a day is what a table that ends there says, and one that begins where the look-back does.
#[test]
fn values_look_back_a_bounded_number_of_bars_and_never_ahead() {
    let chunk = |bars| toy(&paths(bars, |bar| bar % 37 == 5)).chunks[0].clone();
    let whole = panel(chunk(400));
    let known_then = panel(chunk(380));
    let first = whole.dates()[379 - LOOKBACK_BARS].to_epoch_days();
    let mut late = chunk(400);
    let keep: Vec<bool> = late.date.iter().map(|day| *day >= first).collect();
    let mut at = keep.iter();
    late.date.retain(|_| *at.next().unwrap());
    let mut at = keep.iter();
    late.symbol.retain(|_| *at.next().unwrap());
    for column in [&mut late.open, &mut late.high, &mut late.low, &mut late.close, &mut late.volume] {
        let mut at = keep.iter();
        column.retain(|_| *at.next().unwrap());
    }
    let late = panel(late);
    for signal in PriceSignal::ALL {
        let expected = signal.ranking(whole.closes(), 379);
        assert_eq!(expected.len(), 3, "{}", signal.name());
        assert_eq!(signal.ranking(known_then.closes(), 379), expected);
        assert_eq!(signal.ranking(late.closes(), LOOKBACK_BARS), expected);
        assert_eq!(signal.ranking(whole.closes(), 30).is_empty(), signal != PriceSignal::Reversal21);
    }
    assert_eq!(CARRIED_BARS, 5, "docs/config.md says so");
}

/// Rankings that were made when the names meant something else are made anew, all of them.
#[test]
fn rankings_of_an_earlier_meaning_are_made_anew() {
    let home = Home::with_sample(5, 80);
    let lake = home.lake();
    let rank = || {
        let args = ["lake", "rank", "--output", "json", "--lake", lake.to_str().unwrap()];
        serde_json::from_str::<serde_json::Value>(&run_well(&args, home.path())).unwrap()
    };
    let all = rank();
    assert_eq!((all["days"].as_u64(), &all["remade"]), (Some(80), &json!(false)));
    assert_eq!(rank(), json!({ "days": 0, "rows": 0, "remade": false }));
    let log = lake.join("platinum/rankings/_delta_log");
    let mut changed = 0;
    for entry in std::fs::read_dir(log).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let before = text.replace("rankings from prices, 2", "rankings from prices");
        changed += usize::from(before != text);
        std::fs::write(&path, before).unwrap();
    }
    assert!(changed > 0, "the table carries the tag of its maker");
    assert_eq!(rank(), json!({ "days": 80, "rows": all["rows"], "remade": true }));
    assert_eq!(rank(), json!({ "days": 0, "rows": 0, "remade": false }));
}
