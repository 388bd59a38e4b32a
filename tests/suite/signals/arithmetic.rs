//! Ranking signals as arithmetic: the sum written out, and the stored answers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use backtest_functions::signal::{
    Ranked, Rankings, SignalTerms, Signals, Weights, YearMonth, check_ranks, materialize,
};
use backtest_functions::store::files::local_parquet;
use backtest_functions::store::signals::lake::read_rankings;
use chrono::NaiveDate;
use serde_json::Value;

use crate::support::service::project;
use crate::support::tables::Keyed;

fn month(text: &str) -> YearMonth {
    text.parse().unwrap()
}

fn day(text: &str) -> i32 {
    text.parse::<NaiveDate>().unwrap().to_epoch_days()
}

fn date(day: i32) -> String {
    NaiveDate::from_epoch_days(day).unwrap().to_string()
}

/// Rankings of one day of January 2020, written as `symbol strategy rank`.
fn rankings(rows: &[(&str, &str, f64)]) -> Rankings {
    let mut rankings = Rankings::default();
    let id = |names: &mut Vec<String>, name: &str| {
        let known = names.iter().position(|known| known == name);
        Some(known.unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        }) as u32)
    };
    for &(symbol, strategy, rank) in rows {
        let row = Ranked {
            day: Some(day("2020-01-02")),
            symbol: id(&mut rankings.symbols, symbol),
            strategy: id(&mut rankings.strategies, strategy),
            rank,
            score: f64::INFINITY,
        };
        rankings.rows.push(row);
    }
    rankings
}

fn weights(text: &str) -> Weights {
    Weights::parse(text).unwrap()
}

/// `symbol percentile rank present hit`, in the order of the rows.
fn composites(signals: &Signals) -> Vec<String> {
    let row = |row: &backtest_functions::signal::CompositeSignal| {
        format!(
            "{} {} {} {} {}",
            signals.symbols[row.symbol as usize],
            row.composite_percentile,
            row.composite_rank,
            row.strategies_present,
            row.strategies_hit
        )
    };
    signals.composite.iter().map(row).collect()
}

#[test]
fn ranks_are_whole_numbers_from_one_to_the_number_of_symbols() {
    let checked = |rows: &[(&str, &str, f64)]| {
        let given = rankings(rows);
        let (signals, _) = materialize(month("2020-01"), &given, &SignalTerms::default()).unwrap();
        check_ranks(month("2020-01"), &given, &signals).map_err(|error| (error.count, error.examples))
    };
    assert_eq!(checked(&[("A", "S1", 1.0), ("B", "S1", 2.0), ("C", "S1", 2.0)]), Ok(()));
    assert_eq!(
        checked(&[("A", "S1", f64::NAN), ("B", "S1", 1.0)]),
        Ok(()),
        "a row without a rank is left out"
    );
    for (rank, said) in [(0.0, "rank 0"), (1.5, "rank 1.5"), (-3.0, "rank -3"), (3.0, "rank 3 of 2")] {
        let (count, examples) = checked(&[("A", "S1", 1.0), ("B", "S1", rank)]).unwrap_err();
        assert_eq!(count, 1);
        assert!(
            examples.starts_with("2020-01-") && examples.ends_with(&format!(" S1 B: {said}")),
            "{examples}"
        );
    }
}

#[test]
fn a_composite_weighs_the_strategies_that_rank_the_symbol() {
    // S1 ranks three symbols, so its percentiles are 1, 0.5, 0; S2 ranks two, 1 and 0.
    // A: (1·1 + 3·0) / 4 = 0.25.  B: (1·0.5 + 3·1) / 4 = 0.875.  C: only S1, 0 / 1 = 0.
    let given =
        rankings(&[("A", "S1", 1.0), ("B", "S1", 2.0), ("C", "S1", 3.0), ("B", "S2", 1.0), ("A", "S2", 2.0)]);
    let terms = SignalTerms { weights: weights(r#"{"S1": 1, "S2": "3"}"#), top_n: 1 };
    let (signals, left_out) = materialize(month("2020-01"), &given, &terms).unwrap();
    assert_eq!(composites(&signals), ["B 0.875 1 2 1", "A 0.25 2 2 1", "C 0 3 1 0"]);
    assert!(left_out.is_nothing());
    assert!(signals.ranking.iter().all(|row| row.score.is_none()), "an infinite score is none");
}

#[test]
fn the_order_of_the_rows_changes_no_bit() {
    let rows: Vec<(String, String, f64)> = (0..7)
        .flat_map(|strategy| {
            (0..31).map(move |symbol| {
                (format!("s{symbol}"), format!("x{strategy}"), f64::from((symbol * 7 + strategy) % 31 + 1))
            })
        })
        .collect();
    let of = |rows: &[(String, String, f64)]| {
        let rows: Vec<_> = rows.iter().map(|(a, b, rank)| (a.as_str(), b.as_str(), *rank)).collect();
        materialize(month("2020-01"), &rankings(&rows), &SignalTerms::default()).unwrap().0
    };
    let mut turned = rows.clone();
    turned.reverse();
    assert_eq!(of(&rows), of(&turned));
}

#[test]
fn what_cannot_be_used_is_left_out_and_counted() {
    let mut given = rankings(&[
        ("A", "S1", 2.0),
        ("A", "S1", 1.9),
        ("B", "S1", f64::NAN),
        ("C", "S1", 2.0),
        ("D", "S2", 1.0),
        ("A", "S1", f64::INFINITY),
    ]);
    given.rows.push(Ranked { day: None, ..given.rows[0] });
    given.rows.push(Ranked { symbol: None, ..given.rows[0] });
    given.rows.push(Ranked { day: Some(day("2020-02-01")), rank: f64::NAN, ..given.rows[0] });
    let terms = SignalTerms { weights: weights(r#"{"S1": 1, "S2": 0}"#), top_n: 0 };
    let (signals, left_out) = materialize(month("2020-01"), &given, &terms).unwrap();
    assert_eq!(
        left_out.to_string(),
        "1 without a date, 2 without a rank, 1 without a symbol or strategy, 1 given again later, \
         1 whose strategies weigh nothing"
    );
    // 1.9 is cut to 1, and the last of two counts.
    assert_eq!(composites(&signals), ["A 1 1 1 0", "C 0 2 1 0"]);
    assert_eq!(signals.ranking.len(), 3, "D keeps its row of the ranking");
}

#[test]
fn percentiles_that_are_equal_on_paper_tie() {
    // The same three ranks in every order; their sums differ in the last bit.
    let (x, y, z) = (2.0, 5.0, 9.0);
    let orders = [[x, y, z], [x, z, y], [y, x, z], [y, z, x], [z, x, y], [z, y, x]];
    let names: Vec<String> = (0..11).map(|n| format!("s{n:02}")).collect();
    let mut rows = Vec::new();
    for (symbol, name) in names.iter().enumerate() {
        for (place, strategy) in ["a", "b", "c"].into_iter().enumerate() {
            rows.push((name.as_str(), strategy, orders.get(symbol).map_or(11.0, |order| order[place])));
        }
    }
    let terms = SignalTerms { weights: weights(r#"{"a": 0.1, "b": 0.1, "c": 0.1}"#), top_n: 1 };
    let (signals, _) = materialize(month("2020-01"), &rankings(&rows), &terms).unwrap();
    let ranks: Vec<i32> = signals.composite.iter().map(|row| row.composite_rank).collect();
    assert_eq!(ranks, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]);
    let bits: BTreeSet<u64> =
        signals.composite[..6].iter().map(|row| row.composite_percentile.to_bits()).collect();
    assert!(bits.len() > 1, "the ranks would have to be told apart to say anything");
}

#[test]
fn weights_must_fit() {
    for (text, expected) in [
        ("[1]", "must be a JSON object"),
        ("{LowVol: 1}", "must be a JSON object"),
        (r#"{"a": "much"}"#, "'a' is not a finite number"),
        (r#"{"a": null}"#, "'a' is not a finite number"),
        (r#"{"S1": 1, "S2": -1}"#, "must add up to more than 0"),
        ("{}", "must add up to more than 0"),
    ] {
        assert!(Weights::parse(text).unwrap_err().to_string().contains(expected), "{text}");
    }
    let given = rankings(&[("A", "S1", 1.0), ("A", "S2", 1.0)]);
    let refused = |text: &str| {
        let terms = SignalTerms { weights: weights(text), top_n: 1 };
        materialize(month("2020-01"), &given, &terms).unwrap_err().to_string()
    };
    assert_eq!(refused(r#"{"S1": 1, "other": 1}"#), "no weight for S2");
    assert!(refused(r#"{"S1": 1, "S2": -1, "other": 1}"#).contains("more than 0"));
}

#[test]
fn months_are_written_one_way() {
    for text in ["2020-1", "2020-13", "2020", "2020-01-01", "+2020-01", " 2020-01", "0000-01", ""] {
        assert!(text.parse::<YearMonth>().is_err(), "{text}");
    }
    let february = month("2024-02");
    assert_eq!(
        (february.first_day().to_string(), february.last_day().to_string()),
        ("2024-02-01".to_owned(), "2024-02-29".to_owned())
    );
    let all: Vec<String> = YearMonth::between("2023-12-31".parse().unwrap(), "2024-02-01".parse().unwrap())
        .map(|month| month.to_string())
        .collect();
    assert_eq!(all, ["2023-12", "2024-01", "2024-02"]);
}

/// The collection beside the project. `None`, said in one line, if it is not there and need not be.
fn goldens() -> Option<PathBuf> {
    let root = project("../shared/golden/signals");
    if root.is_dir() {
        return Some(root);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", root.display());
    println!("skipped: {} is not there", root.display());
    None
}

#[tokio::test]
async fn signals_agree_with_the_stored_answers() {
    let Some(root) = goldens() else { return };
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("params.json").is_file())
        .collect();
    cases.sort();
    assert_eq!(cases.len(), 4);
    let mut differences = 0;
    for case in cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        match check(&case).await {
            Ok(runs) => println!("{name}: agrees ({runs} runs)"),
            Err(difference) => {
                differences += 1;
                println!("{name}: DIFFERS: {difference}");
            }
        }
    }
    assert_eq!(differences, 0, "cases differ; see the list above");
}

/// Answers how many runs agree, or the first difference.
async fn check(case: &Path) -> Result<usize, String> {
    let params: Value =
        serde_json::from_str(&std::fs::read_to_string(case.join("params.json")).unwrap()).unwrap();
    let file = local_parquet(&case.join("rankings.parquet")).unwrap();
    let rankings = read_rankings(vec![file], None).await.map_err(|error| error.to_string())?;
    let runs = params["runs"].as_array().unwrap();
    for run in runs {
        let name = run["name"].as_str().unwrap();
        let want = case.join("expected").join(name);
        let terms = match run["weights_env"].as_str().map(Weights::parse).transpose() {
            Ok(weights) => {
                let top_n = run["top_n"].as_u64().map_or(50, |n| n as u32);
                Ok(SignalTerms { weights: weights.unwrap_or_default(), top_n })
            }
            Err(error) => Err(error.to_string()),
        };
        let months = run["year_months"].as_array().unwrap();
        let months: Vec<YearMonth> = months.iter().map(|text| month(text.as_str().unwrap())).collect();
        let made: Result<Vec<Signals>, String> = terms.and_then(|terms| {
            let one = |&month: &YearMonth| materialize(month, &rankings, &terms).map(|made| made.0);
            months.iter().map(|month| one(month).map_err(|error| error.to_string())).collect()
        });
        match (want.join("error.json").is_file(), made) {
            (true, Err(_)) => {}
            (true, Ok(_)) => return Err(format!("{name}: a refusal was expected")),
            (false, Err(error)) => return Err(format!("{name}: refused: {error}")),
            (false, Ok(made)) => {
                compare(&want, &months, &made).map_err(|error| format!("{name}: {error}"))?;
            }
        }
    }
    Ok(runs.len())
}

const RANKING: [&str; 4] = ["rank", "n_symbols", "rank_percentile", "score"];
const COMPOSITE: [&str; 4] =
    ["composite_percentile", "composite_rank_rounded", "strategies_present", "strategies_hit"];

fn compare(want: &Path, months: &[YearMonth], made: &[Signals]) -> Result<(), String> {
    let mut ranking =
        Keyed::read(&want.join("ranking_signal.parquet"), &["date", "symbol", "strategy"], &RANKING);
    let mut composite =
        Keyed::read(&want.join("composite_signal_daily.parquet"), &["date", "symbol"], &COMPOSITE);
    let counts: Value =
        serde_json::from_str(&std::fs::read_to_string(want.join("counts.json")).unwrap()).unwrap();
    for ((month, signals), count) in months.iter().zip(made).zip(counts.as_array().unwrap()) {
        assert_eq!(count["year_month"], month.to_string());
        assert_eq!(count["signals_rows"], signals.ranking.len());
        assert_eq!(count["composite_rows"], signals.composite.len());
        for row in &signals.ranking {
            let key = vec![
                date(row.day),
                signals.symbols[row.symbol as usize].clone(),
                signals.strategies[row.strategy as usize].clone(),
            ];
            let got = [
                f64::from(row.rank),
                f64::from(row.n_symbols),
                row.rank_percentile,
                row.score.unwrap_or(f64::NAN),
            ];
            agree(&key, ranking.rows.remove(&key), &got, &[0.0, 0.0, 1e-12, 1e-9])?;
        }
        for row in &signals.composite {
            let key = vec![date(row.day), signals.symbols[row.symbol as usize].clone()];
            let got = [
                row.composite_percentile,
                f64::from(row.composite_rank),
                f64::from(row.strategies_present),
                f64::from(row.strategies_hit),
            ];
            agree(&key, composite.rows.remove(&key), &got, &[1e-12, 0.0, 0.0, 0.0])?;
        }
    }
    let left: Vec<_> = ranking.rows.keys().chain(composite.rows.keys()).take(1).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("missing: {left:?}")) }
}

fn agree(key: &[String], want: Option<Vec<f64>>, got: &[f64], tolerance: &[f64]) -> Result<(), String> {
    let want = want.ok_or_else(|| format!("{key:?} is not among the answers"))?;
    let close = |((want, got), tolerance): ((&f64, &f64), &f64)| {
        (want.is_nan() && got.is_nan()) || (want - got).abs() <= *tolerance
    };
    if want.iter().zip(got).zip(tolerance).all(close) {
        Ok(())
    } else {
        Err(format!("{key:?}: {want:?} expected, got {got:?}"))
    }
}
