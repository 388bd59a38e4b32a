//! Splits row for row, and what choosing by the past would have earned.

use std::ops::Range;

use backtest_functions::statistics::blocks::{BlockSums, Measure};
use backtest_functions::statistics::selection::{Choice, Distribution, Stability, choose, path};
use backtest_functions::statistics::sharpe::SharpeRatio;
use backtest_functions::statistics::splits::{
    CombinatorialPurged, Split, SplitError, Test, WalkForward, edges,
};
use serde_json::Value;

use super::{agree, figures, list, stored, trials};
use crate::support::studies::{committed, json};

fn number(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number")) as usize
}

fn range(value: &Value) -> Range<usize> {
    number(&value[0])..number(&value[1])
}

#[test]
fn walk_forward_splits_are_those_of_skfolio() {
    for case in list(&json(&committed("splits.json"))["walk_forward"]) {
        let windows = WalkForward {
            train: number(&case["train_size"]),
            test: number(&case["test_size"]),
            purge: number(&case["purged_size"]),
            expanding: case["expanding"].as_bool().unwrap(),
        };
        let want: Vec<Split> = list(&case["splits"])
            .iter()
            .map(|split| Split {
                train: vec![range(&split["train"])],
                test: vec![Test { days: range(&split["test"]), path: 0 }],
            })
            .collect();
        assert_eq!(windows.splits(number(&case["rows"])).unwrap(), want, "{windows:?}");
    }
}

#[test]
fn combinatorial_splits_are_those_of_skfolio() {
    for case in list(&json(&committed("splits.json"))["cpcv"]) {
        let folds = CombinatorialPurged {
            folds: number(&case["n_folds"]),
            test_folds: number(&case["n_test_folds"]),
            purge: number(&case["purged_size"]),
            embargo: number(&case["embargo_size"]),
        };
        let got = folds.splits(number(&case["rows"])).unwrap();
        assert_eq!(got.len(), number(&case["n_splits"]));
        assert_eq!(folds.paths(), number(&case["n_test_paths"]));
        for ((got, split), paths) in got.iter().zip(list(&case["splits"])).zip(list(&case["path_ids"])) {
            assert_eq!(got.train, list(&split["train"]).iter().map(range).collect::<Vec<_>>());
            let tests = list(&split["test"]).iter().zip(list(paths));
            let want: Vec<Test> =
                tests.map(|(days, path)| Test { days: range(days), path: number(path) }).collect();
            assert_eq!(got.test, want);
        }
    }
}

#[test]
fn days_that_cannot_be_split_are_refused_with_the_numbers() {
    let windows = WalkForward { train: 504, test: 126, purge: 5, expanding: false };
    let refused = windows.splits(634).unwrap_err();
    assert_eq!(refused.to_string(), "train 504, purge 5 and test 126 are 635 days, and there are 634");
    assert_eq!(windows.splits(635).unwrap().len(), 1);
    assert_eq!(WalkForward { test: 0, ..windows }.splits(635), Err(SplitError::EmptyWindow));
    let folds = CombinatorialPurged { folds: 6, test_folds: 2, purge: 5, embargo: 3 };
    assert_eq!(folds.splits(59), Err(SplitError::ShortFolds { purge: 5, embargo: 3, fold: 9 }));
    assert!(folds.splits(60).is_ok());
    assert_eq!(
        CombinatorialPurged { test_folds: 6, ..folds }.splits(600),
        Err(SplitError::Folds { folds: 6, test_folds: 6 })
    );
    let many = CombinatorialPurged { folds: 40, test_folds: 20, purge: 0, embargo: 0 };
    assert!(matches!(many.splits(4000), Err(SplitError::TooManySplits { .. })));
}

fn chosen(trials: &[Vec<f64>], splits: &[Split]) -> Vec<Choice> {
    let mut blocks = BlockSums::between(edges(splits));
    for (trial, returns) in trials.iter().enumerate() {
        blocks.add(trial as u32, returns, 0.0);
    }
    choose(&blocks, splits, Measure::Sharpe).unwrap()
}

fn annual(returns: &[f64]) -> f64 {
    SharpeRatio::of(returns, 0.0).unwrap().daily * 252_f64.sqrt()
}

fn stitched(trials: &[Vec<f64>], pieces: Vec<(Range<usize>, Option<u32>)>) -> Vec<f64> {
    pieces.into_iter().flat_map(|(days, trial)| trials[trial.unwrap() as usize][days].to_vec()).collect()
}

fn total(returns: &[f64]) -> f64 {
    returns.iter().map(|each| 1.0 + each).product::<f64>() - 1.0
}

#[test]
fn walking_forward_earns_what_is_stored() {
    let (Some(trials), Some(want)) = (trials(), figures("walk_forward_trials.json")) else { return };
    let splits = WalkForward { train: 504, test: 126, purge: 5, expanding: false }.splits(2053).unwrap();
    let choices = chosen(&trials, &splits);
    assert_eq!(choices.len(), list(&want["splits"]).len());
    let year = 252_f64.sqrt();
    for ((choice, split), want) in choices.iter().zip(&splits).zip(list(&want["splits"])) {
        let winner = choice.winner.as_ref().unwrap();
        assert_eq!(winner.trial as usize, number(&want["winner"]));
        stored("in sample", winner.in_sample * year, &want["is_sharpe"]);
        let test = &winner.tests[0];
        stored("out of sample", test.out_of_sample.unwrap() * year, &want["oos_sharpe"]);
        stored("rank", test.rank, &want["oos_rank"]);
        let days = split.test[0].days.clone();
        assert_eq!((days.start, days.end), (number(&want["test_from"]), number(&want["test_to"])));
        stored("return", total(&trials[winner.trial as usize][days]), &want["oos_return"]);
    }
    let earned = stitched(&trials, path(&splits, &choices, 0));
    assert_eq!(earned.len(), number(&want["oos_rows"]));
    stored("stitched", annual(&earned), &want["oos_sharpe"]);
    stored("total", total(&earned), &want["oos_total_return"]);
    let stability = Stability::of(&choices).unwrap();
    stored("mean in sample", stability.mean_in_sample * year, &want["mean_is_sharpe"]);
    stored("efficiency", annual(&earned) / (stability.mean_in_sample * year), &want["efficiency_sharpe"]);
    // Trials 0, 2, 16 and 1 won twice each.
    assert_eq!((stability.modal_trial, stability.modal_share), (0, 2.0 / 12.0));
    agree("positive", stability.positive_share, 9.0 / 12.0);
}

#[test]
fn the_paths_of_cross_validation_earn_what_is_stored() {
    let (Some(trials), Some(want)) = (trials(), figures("cpcv_trials.json")) else { return };
    let folds = CombinatorialPurged { folds: 6, test_folds: 2, purge: 5, embargo: 3 };
    let splits = folds.splits(2053).unwrap();
    let choices = chosen(&trials, &splits);
    for ((choice, split), want) in choices.iter().zip(&splits).zip(list(&want["splits"])) {
        let winner = choice.winner.as_ref().unwrap();
        assert_eq!(split.train.iter().map(Range::len).sum::<usize>(), number(&want["train_rows"]));
        assert_eq!(winner.trial as usize, number(&want["winner"]));
        stored("in sample", winner.in_sample * 252_f64.sqrt(), &want["is_sharpe"]);
        let tests: Vec<_> = split.test.iter().map(|test| test.days.clone()).collect();
        assert_eq!(tests, list(&want["tests"]).iter().map(range).collect::<Vec<_>>());
    }
    let mut ratios = Vec::new();
    for (number, want) in list(&want["paths"]).iter().enumerate() {
        let earned = stitched(&trials, path(&splits, &choices, number));
        assert_eq!(earned.len(), 2053);
        stored("path", annual(&earned), &want["sharpe"]);
        stored("path total", total(&earned), &want["total_return"]);
        ratios.push(annual(&earned));
    }
    let over = Distribution::of(&ratios).unwrap();
    stored("mean", over.mean, &want["mean_path_sharpe"]);
    stored("deviation", over.deviation, &want["std_path_sharpe_ddof1"]);
}

#[test]
fn a_choice_does_not_know_the_test() {
    let splits = WalkForward { train: 60, test: 20, purge: 3, expanding: false }.splits(200).unwrap();
    let made = |trial: u64, changed: &dyn Fn(usize) -> bool| -> Vec<f64> {
        let draws = backtest_functions::statistics::random::Draws::of(3, trial);
        (0..200)
            .map(|day| (draws.unit(day as u64) - 0.48) * if changed(day) { -0.05 } else { 0.02 })
            .collect()
    };
    let winners = |changed: &dyn Fn(usize) -> bool, split: usize| {
        let trials: Vec<_> = (0..30).map(|trial| made(trial, changed)).collect();
        chosen(&trials, &splits)[split].winner.as_ref().unwrap().trial
    };
    for (number, split) in splits.iter().enumerate() {
        let later = |day: usize| day >= split.train[0].end;
        assert_eq!(winners(&|_| false, number), winners(&later, number), "split {number}");
    }
}

#[test]
fn a_split_without_a_valid_trial_is_counted() {
    let splits = WalkForward { train: 10, test: 10, purge: 0, expanding: false }.splits(40).unwrap();
    let starts_late: Vec<f64> =
        (0..40).map(|day| if day < 10 { 0.0 } else { f64::from(day % 3) / 100.0 }).collect();
    let choices = chosen(&[starts_late], &splits);
    assert!(choices[0].winner.is_none());
    assert_eq!(path(&splits, &choices, 0)[0], (10..20, None));
    assert_eq!(Stability::of(&choices).unwrap().without_trial, 1);
    let blocks = BlockSums::between(vec![0, 10, 25, 40]);
    assert_eq!(choose(&blocks, &splits, Measure::Sharpe), Err(20));
}
