//! Many trials: deflation, overfitting, superiority, discoveries, and that parts may be joined in any way.

use backtest_functions::statistics::blocks::{BlockSums, Measure, Sums};
use backtest_functions::statistics::bootstrap::Samples;
use backtest_functions::statistics::deflation::{Search, effective_trials, expected_maximum, years_needed};
use backtest_functions::statistics::overfitting::Overfitting;
use backtest_functions::statistics::parts::{StandardisedSum, equal_to};
use backtest_functions::statistics::random::Draws;
use backtest_functions::statistics::sharpe::SharpeRatio;
use backtest_functions::statistics::superiority::{Maxima, Maximum, bootstrap_variance};
use backtest_functions::statistics::{Undefined, discovery};
use proptest::prelude::*;
use serde_json::Value;

use super::one_series::drawn;
use super::{agree, columns, distinct, figures, list, stored, trials};
use crate::support::studies::{beside, committed, json};

#[test]
fn the_best_of_many_is_deflated_as_in_the_paper() {
    for case in list(&json(&committed("deflated_sharpe.json"))["paper_example"]) {
        let number = |name: &str| case[name].as_f64().unwrap();
        let year = number("days_per_year");
        let search =
            Search { trials: number("n_trials"), variance: number("variance_of_annual_sharpes") / year };
        let best = SharpeRatio {
            daily: number("sharpe_annual") / year.sqrt(),
            skew: number("skew"),
            kurtosis: number("kurtosis"),
            observations: number("observations") as usize,
        };
        stored("expected best", search.expected_best(), &case["expected_max_sharpe_daily"]);
        stored("dsr", search.deflate(&best).unwrap(), &case["dsr"]);
    }
}

#[test]
fn the_best_of_many_is_deflated_by_three_counts() {
    let Some(trials) = trials() else { return };
    let want = json(&committed("deflated_sharpe.json"));
    let ratios: Vec<SharpeRatio> =
        trials.iter().map(|returns| SharpeRatio::of(returns, 0.0).unwrap()).collect();
    let daily = |numbers: &[usize]| numbers.iter().map(|&trial| ratios[trial].daily).collect::<Vec<_>>();
    let all = Search::among(&daily(&(0..48).collect::<Vec<_>>()));
    let differ = Search::among(&daily(&distinct(&trials)));
    let effective = effective_trials(45, want["average_correlation_of_distinct_trials"].as_f64().unwrap());
    stored("effective", effective, &want["effective_trials_average_correlation"]);
    for (search, want) in [all, differ, differ.counted_as(effective)].iter().zip(list(&want["cases"])) {
        stored("trials", search.trials, &want["n_trials"]);
        stored("variance", search.variance, &want["variance_of_sharpes"]);
        stored("z", expected_maximum(search.trials), &want["expected_max_z"]);
        stored("expected best", search.expected_best(), &want["expected_max_sharpe_daily"]);
        stored("dsr", search.deflate(&ratios[1]).unwrap(), &want["dsr"]);
    }
}

#[test]
fn more_trials_need_a_longer_backtest() {
    for case in list(&json(&committed("deflated_sharpe.json"))["min_backtest_length_years"]) {
        let years =
            years_needed(case["n_trials"].as_f64().unwrap(), case["target_annual_sharpe"].as_f64().unwrap());
        stored("years", years.unwrap(), &case["purgedcv"]);
    }
    assert_eq!(years_needed(10.0, 0.0), Err(Undefined::NotAbove));
}

#[test]
fn a_single_trial_was_not_selected() {
    let search = Search::among(&[0.05]);
    assert_eq!((search.trials, search.expected_best()), (1.0, 0.0));
    // The approximation for many would give less than nothing here.
    assert_eq!(expected_maximum(1.01), 0.0);
}

#[test]
fn discoveries_are_adjusted_as_stored() {
    let columns = columns(&committed("fdr.csv"));
    let p = &columns["p_value"];
    for (name, got) in [
        ("q_bh", discovery::benjamini_hochberg(p)),
        ("q_by", discovery::benjamini_yekutieli(p)),
        ("p_holm", discovery::holm(p)),
    ] {
        assert_eq!(got.len(), 45);
        for (row, (got, want)) in got.iter().zip(&columns[name]).enumerate() {
            agree(&format!("{name} of row {row}"), *got, *want);
        }
    }
    let Some(trials) = trials() else { return };
    for (trial, want) in columns["trial"].iter().zip(p) {
        let ratio = SharpeRatio::of(&trials[*trial as usize], 0.0).unwrap();
        agree("p", ratio.p_value(0.0).unwrap(), *want);
    }
}

fn check_overfitting(got: &Overfitting, want: &Value, numbers: &[usize]) {
    assert_eq!(got.halves.len() as u64, want["combinations"].as_u64().unwrap());
    assert_eq!(got.undecided, 0);
    stored("pbo", got.probability, &want["pbo"]);
    stored("below", got.below_median, &want["share_below_zero"]);
    stored("mean logit", got.mean_logit, &want["mean_logit"]);
    stored("median logit", got.median_logit, &want["median_logit"]);
    stored("mean rank", got.mean_rank, &want["mean_oos_rank"]);
    stored("loss", got.probability_of_loss, &want["probability_of_loss"]);
    let line = got.degradation.unwrap();
    stored("slope", line.slope, &want["degradation_slope"]);
    stored("intercept", line.intercept, &want["degradation_intercept"]);
    for (half, logit) in got.halves.iter().zip(list(&want["first_5_logits"])) {
        stored("logit", half.logit(), logit);
    }
    for (half, winner) in got.halves.iter().zip(list(&want["first_5_winners"])) {
        assert_eq!(half.winner as usize, numbers[winner.as_u64().unwrap() as usize]);
    }
}

#[test]
fn overfitting_is_told_from_sums_by_block_alone() {
    let columns = columns(&committed("block_sums_S16.parquet"));
    let mut blocks = BlockSums::equal(2053, 16);
    let sums: Vec<Sums> = columns["sum"]
        .iter()
        .zip(&columns["sum_of_squares"])
        .map(|(&sum, &squares)| Sums { sum, squares })
        .collect();
    for (trial, sums) in sums.chunks_exact(16).enumerate() {
        assert!(blocks.insert(trial as u32, sums));
    }
    assert!(!blocks.insert(7, &sums[..16]), "it is there");
    assert!(!blocks.insert(48, &sums[..15]), "a sum is missing");
    assert_eq!(blocks.trials().len(), 48);
    let want = json(&committed("pbo_cscv.json"));
    let all: Vec<usize> = (0..48).collect();
    check_overfitting(&Overfitting::of(&blocks, Measure::Sharpe).unwrap(), &want["all_columns"], &all);
    let equal = [9, 10, 11];
    blocks.retain(|trial| !equal.contains(&trial));
    let numbers: Vec<usize> = all.into_iter().filter(|&trial| !equal.contains(&(trial as u32))).collect();
    let got = Overfitting::of(&blocks, Measure::Sharpe).unwrap();
    check_overfitting(&got, &list(&want["cases"])[3], &numbers);
}

#[test]
fn overfitting_is_that_of_the_stored_trials() {
    let Some(trials) = trials() else { return };
    let numbers = distinct(&trials);
    for want in list(&json(&committed("pbo_cscv.json"))["cases"]) {
        let count = want["S"].as_u64().unwrap() as usize;
        let mut blocks = BlockSums::equal(2053, count);
        for &trial in &numbers {
            blocks.add(trial as u32, &trials[trial], 0.0);
        }
        let got = Overfitting::of(&blocks, Measure::Sharpe).unwrap();
        check_overfitting(&got, want, &numbers);
        if count == 16 {
            let Some(path) = beside("cscv_logits_S16.parquet") else { continue };
            for (half, want) in got.halves.iter().zip(&columns(&path)["logit"]) {
                agree("logit", half.logit(), *want);
            }
        }
    }
}

#[test]
fn overfitting_needs_trials_and_days() {
    let returns: Vec<f64> = (0..200).map(|day| f64::from(day % 7) / 100.0 - 0.02).collect();
    let of = |trials: u32, blocks: usize| {
        let mut sums = BlockSums::equal(200, blocks);
        (0..trials).for_each(|trial| sums.add(trial, &returns, 0.0));
        Overfitting::of(&sums, Measure::Sharpe)
    };
    assert_eq!(of(1, 4), Err(Undefined::TooFewTrials { found: 1, needed: 2 }));
    assert_eq!(of(2, 5), Err(Undefined::Blocks { found: 5 }));
    assert_eq!(of(2, 0), Err(Undefined::Blocks { found: 0 }));
    assert_eq!(of(2, 22), Err(Undefined::Blocks { found: 22 }));
    assert_eq!(of(2, 20).unwrap().halves.len(), 184_756);
    let mut short = BlockSums::equal(199, 20);
    (0..2).for_each(|trial| short.add(trial, &returns, 0.0));
    assert_eq!(
        Overfitting::of(&short, Measure::Sharpe),
        Err(Undefined::ShortBlocks { found: 9, needed: 10 })
    );
    let mut still = BlockSums::equal(200, 4);
    (0..3).for_each(|trial| still.add(trial, &[0.001; 200], 0.0));
    assert_eq!(Overfitting::of(&still, Measure::Sharpe), Err(Undefined::NoDeviation));
}

#[test]
fn a_trial_that_does_not_vary_never_wins_and_ranks_last() {
    let up: Vec<f64> = (0..80).map(|day| if day % 2 == 0 { 0.02 } else { -0.01 }).collect();
    let mut blocks = BlockSums::equal(80, 4);
    blocks.add(7, &up, 0.0);
    blocks.add(3, &[0.05; 80], 0.0);
    let got = Overfitting::of(&blocks, Measure::Sharpe).unwrap();
    assert!(got.halves.iter().all(|half| half.winner == 7 && half.rank == 2.0 / 3.0));
    // By the mean it has one, and the highest.
    let got = Overfitting::of(&blocks, Measure::Mean).unwrap();
    assert!(got.halves.iter().all(|half| half.winner == 3));
}

fn check_maximum(what: &str, got: &Maximum, want: &Value) {
    stored(what, got.statistic, &want["statistic"]);
    let p = got.p_values().unwrap();
    for (name, got) in [("lower", p.lower), ("consistent", p.consistent), ("upper", p.upper)] {
        stored(&format!("{what} {name}"), got, &want["p"][name]);
    }
}

#[test]
fn the_best_is_tested_against_the_luck_of_the_search() {
    let (Some(trials), Some(samples), Some(want)) = (trials(), drawn(), figures("reality_check_spa.json"))
    else {
        return;
    };
    let numbers = distinct(&trials);
    let days = trials[0].len();
    let average: Vec<f64> = (0..days)
        .map(|day| numbers.iter().map(|&trial| trials[trial][day]).sum::<f64>() / numbers.len() as f64)
        .collect();
    for (name, benchmark) in [("against_cash", vec![0.0; days]), ("against_mean_trial", average)] {
        let want = &want[name];
        let differences: Vec<Vec<f64>> = numbers
            .iter()
            .map(|&trial| trials[trial].iter().zip(&benchmark).map(|(own, other)| own - other).collect())
            .collect();
        let differences: Vec<&[f64]> = differences.iter().map(Vec::as_slice).collect();
        let got = Maxima::of(&differences, &samples, 10.0);
        assert_eq!(got.trials, 45);
        assert_eq!(got.recentred as u64, want["columns_recentred"].as_u64().unwrap());
        check_maximum(&format!("{name} plain"), &got.plain, &want["reality_check_white"]);
        check_maximum(&format!("{name} studentised"), &got.studentised, &want["spa_hansen_studentised"]);
        if let Some(first) = want["omega_first5"].as_array() {
            for (returns, omega) in differences.iter().zip(first) {
                stored("omega", bootstrap_variance(returns, 10.0).sqrt(), omega);
            }
        }
    }
}

#[test]
fn the_variance_of_the_bootstrap_is_that_of_its_definition() {
    let returns = &made(1, 60)[0];
    let (count, mean) = (60.0, returns.iter().sum::<f64>() / 60.0);
    for block in [1.0, 1.5, 4.0, 30.0, 1e6] {
        let a: f64 = 1.0 - 1.0 / block;
        let covariance = |lag: usize| {
            (lag..60).map(|day| (returns[day] - mean) * (returns[day - lag] - mean)).sum::<f64>() / count
        };
        let weight = |lag: usize| {
            let share = lag as f64 / count;
            (1.0 - share) * a.powi(lag as i32) + share * a.powi(60 - lag as i32)
        };
        let want = covariance(0) + 2.0 * (1..60).map(|lag| weight(lag) * covariance(lag)).sum::<f64>();
        let got = bootstrap_variance(returns, block);
        assert!((got - want).abs() < 1e-12 * covariance(0), "block {block}: got {got}, want {want}");
    }
}

#[test]
fn trials_without_variation_are_not_studentised() {
    let samples = Samples::stationary(50, 5.0, 20, 1);
    let got = Maxima::of(&[&[0.001; 50]], &samples, 5.0);
    assert!((got.plain.statistic - 0.001 * 50_f64.sqrt()).abs() < 1e-15);
    assert_eq!(got.studentised.p_values(), Err(Undefined::NoDeviation));
    assert_eq!(Maxima::none(20).plain.p_values(), Err(Undefined::NoDeviation));
}

#[test]
fn the_average_correlation_is_told_from_the_sums_of_parts() {
    let (Some(trials), Some(want)) = (trials(), figures("average_correlation_merge.json")) else { return };
    let mut whole = StandardisedSum::none(2053);
    for part in list(&want["parts"]) {
        let mut sum = StandardisedSum::none(2053);
        for trial in list(part) {
            sum.add(&trials[trial.as_u64().unwrap() as usize]).unwrap();
        }
        whole.merge(&sum);
    }
    stored("variance", whole.variance(), &want["variance_of_sum_of_standardised_returns"]);
    stored("correlation", whole.average_correlation().unwrap(), &want["average_correlation"]);
    // A trial that turns out to equal another one leaves nothing behind.
    let before = whole.clone();
    whole.add(&trials[9]).unwrap();
    whole.remove(&trials[9]).unwrap();
    assert_eq!(whole, before);
    assert_eq!(whole.add(&[0.0; 2053]), Err(Undefined::NoDeviation));
    assert_eq!(whole.trials(), 45);
}

#[test]
fn trials_with_the_same_returns_are_found() {
    let digests = [(2, "a"), (3, "b"), (5, "a"), (6, "c"), (9, "b"), (10, "a")];
    assert_eq!(equal_to(&digests), [None, None, Some(2), None, Some(3), Some(2)]);
    let Some(trials) = trials() else { return };
    let bits: Vec<(u32, Vec<u64>)> = trials
        .iter()
        .zip(0..)
        .map(|(returns, trial)| (trial, returns.iter().map(|r| r.to_bits()).collect()))
        .collect();
    let pairs: Vec<(usize, u32)> =
        equal_to(&bits).iter().enumerate().filter_map(|(trial, first)| Some((trial, (*first)?))).collect();
    assert_eq!(pairs, [(9, 6), (10, 7), (11, 8)]);
}

/// Made returns that hang together a little.
fn made(trials: usize, days: usize) -> Vec<Vec<f64>> {
    let market = Draws::of(11, 0);
    let common = |day: usize| (market.unit(day as u64) - 0.5) * 0.02;
    let of = |trial: usize| {
        let own = Draws::of(12, trial as u64);
        (0..days).map(|day| common(day) + (own.unit(day as u64) - 0.49) * 0.01).collect()
    };
    (0..trials).map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However trials are shared out and in whatever order parts are joined, every bit is the same.
    #[test]
    fn parts_do_not_show(parts in prop::sample::select(vec![1_usize, 2, 3, 16]), turn in 0..16_usize, strided: bool) {
        let (count, days) = (37, 240);
        let trials = made(count, days);
        let samples = Samples::stationary(days, 6.0, 30, 5);
        let joined = |groups: &[Vec<usize>]| {
            let mut blocks = BlockSums::equal(days, 8);
            let (mut sum, mut maxima) = (StandardisedSum::none(days), Maxima::none(30));
            for group in groups {
                let mut own = (BlockSums::equal(days, 8), StandardisedSum::none(days));
                for &trial in group {
                    own.0.add(trial as u32, &trials[trial], 0.0);
                    own.1.add(&trials[trial]).unwrap();
                }
                let series: Vec<&[f64]> = group.iter().map(|&trial| trials[trial].as_slice()).collect();
                blocks.merge(&own.0);
                sum.merge(&own.1);
                maxima.merge(&Maxima::of(&series, &samples, 6.0));
            }
            (blocks, sum, maxima)
        };
        let one = joined(&[(0..count).collect()]);
        let mut groups: Vec<Vec<usize>> = if strided {
            (0..parts).map(|part| (part..count).step_by(parts).collect()).collect()
        } else {
            let each = count.div_ceil(parts);
            (0..parts).map(|part| (part * each..((part + 1) * each).min(count)).collect()).collect()
        };
        groups.rotate_left(turn % parts);
        let many = joined(&groups);
        prop_assert_eq!(&one, &many);
        let pbo = |blocks: &BlockSums| Overfitting::of(blocks, Measure::Sharpe).unwrap();
        prop_assert_eq!(pbo(&one.0), pbo(&many.0));
        prop_assert_eq!(one.1.average_correlation().unwrap().to_bits(), many.1.average_correlation().unwrap().to_bits());
    }
}
