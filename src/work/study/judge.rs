//! How far the best of many trials can be believed: everything that is known of a study beyond its rows. What has no
//! value is null, with its reason beside it.

use serde_json::{Value, json};

use super::config::{SelectBy, Study, Validation};
use super::evaluate::{TrialStatus, measure};
use super::join::{Again, JoinError, Joined};
use super::validate::Validated;
use super::values::{Reasons, interval_value, intervals_of, measure_name};
use crate::statistics::Undefined;
use crate::statistics::deflation::{Search, effective_trials, years_needed};
use crate::statistics::discovery;
use crate::statistics::interval::{Interval, Intervals};
use crate::statistics::overfitting::Overfitting;
use crate::statistics::superiority::Maximum;

/// Level of significance of what is said to be enough.
const ALPHA: f64 = 0.05;

/// What a study says beyond its rows.
#[derive(Debug)]
pub struct Judgement {
    /// Everything as the statistics file has it.
    pub statistics: Value,
    /// By trial number: false discovery rate at which it is a discovery (Benjamini, Hochberg).
    pub q_values: Vec<Option<f64>>,
    /// By trial number: adjusted p-value (Holm).
    pub holm: Vec<Option<f64>>,
    /// Halves of the cross-validation.
    pub overfitting: Option<Overfitting>,
    /// Choosing by the past, when asked for.
    pub validated: Option<Validated>,
    /// Expected best annual Sharpe ratio by chance, among the distinct trials.
    pub expected_best: Option<f64>,
    /// Everything in one sentence.
    pub sentence: String,
}

impl Judgement {
    /// Of a joined study.
    ///
    /// # Errors
    /// If a trial that has to be looked at again does not run.
    pub fn of(study: &Study, joined: &Joined, again: Again<'_>) -> Result<Self, JoinError> {
        let mut reasons = Reasons::default();
        let year = joined.window.periods_per_year;
        let root = year.sqrt();
        let distinct: Vec<_> = joined.distinct().collect();
        let [evaluated, failed, invalid] =
            [TrialStatus::Ok, TrialStatus::Failed, TrialStatus::Invalid].map(|status| joined.count(status));
        let best = joined.best(study);
        let sharpe = best.and_then(|best| best.sharpe);

        // What was tried and gave nothing was tried all the same.
        let tried = distinct.len() + failed;
        let daily: Vec<f64> = distinct.iter().filter_map(|row| Some(row.sharpe?.daily)).collect();
        let search = Search::among(&daily).counted_as(tried as f64);
        let correlation = joined.sum.average_correlation();
        let effective = correlation.map(|correlation| effective_trials(tried, correlation));
        let mut deflate = |name: &str, search: Result<Search, Undefined>| {
            let path = format!("deflated.{name}");
            let expected = search.map(|search| search.expected_best());
            let none = Undefined::TooFewTrials { found: daily.len(), needed: 1 };
            let deflated = search.and_then(|search| search.deflate(&sharpe.ok_or(none)?));
            json!({
                "trials": reasons.number(&format!("{path}.trials"), search.map(|search| search.trials)),
                "expected_best_sharpe_ratio":
                    reasons.number(&format!("{path}.expected_best_sharpe_ratio"), expected.map(|best| best * root)),
                "expected_best_sharpe_daily":
                    reasons.number(&format!("{path}.expected_best_sharpe_daily"), expected),
                "deflated_sharpe_ratio": reasons.number(&format!("{path}.deflated_sharpe_ratio"), deflated),
            })
        };
        let by_distinct = deflate("distinct", Ok(search));
        let by_effective = deflate("effective", effective.map(|trials| search.counted_as(trials)));

        let overfitting = Overfitting::of(&joined.blocks, measure(study.select_by));
        let (q_values, holm, discoveries) = discoveries(joined);
        let best_value = match (best, sharpe) {
            (Some(row), Some(sharpe)) => {
                let annual = sharpe.daily * root;
                let days = sharpe.days_needed(0.0, ALPHA);
                let intervals = intervals(study, joined, row.trial);
                let mut interval = |name: &str, of: &dyn Fn(&Intervals) -> Result<Interval, Undefined>| {
                    let none = Undefined::TooFewObservations { found: 0, needed: 2 };
                    interval_value(
                        &mut reasons,
                        &format!("best.intervals.{name}"),
                        intervals.as_ref().map_or(Err(none), of),
                    )
                };
                let intervals = json!({
                    "confidence": study.statistics.confidence,
                    "sharpe_ratio": interval("sharpe_ratio", &|all| all.sharpe_ratio),
                    "annualized_return": interval("annualized_return", &|all| all.annualized_return),
                    "annualized_volatility": interval("annualized_volatility", &|all| all.annualized_volatility),
                    "max_drawdown": interval("max_drawdown", &|all| all.max_drawdown),
                });
                json!({
                    "trial": row.trial,
                    "parameters": study.grid.parameters(row.trial as usize),
                    study.select_by.as_str(): joined.measure(study, row.trial as usize),
                    "sharpe_ratio": annual,
                    "sharpe_daily": sharpe.daily,
                    "skew": sharpe.skew,
                    "kurtosis": sharpe.kurtosis,
                    "observations": sharpe.observations,
                    "probability_above_zero":
                        reasons.number("best.probability_above_zero", sharpe.probability_above(0.0)),
                    "days_needed": reasons.number("best.days_needed", days),
                    "years_needed": reasons.number("best.years_needed", days.map(|days| days / year)),
                    "backtest_years_needed":
                        reasons.number("best.backtest_years_needed", years_needed(tried as f64, annual)),
                    "intervals": intervals,
                })
            }
            _ => reasons.none("best", "no trial has the figure that is selected by"),
        };
        let overfitting_value = match &overfitting {
            Ok(found) => json!({
                "blocks": study.statistics.blocks,
                "days_of_a_block": joined.blocks.days(0).len(),
                "measure": measure_name(study.select_by),
                "splits": found.halves.len(),
                "undecided": found.undecided,
                "probability": found.probability,
                "share_below_median": found.below_median,
                "mean_logit": found.mean_logit,
                "median_logit": found.median_logit,
                "mean_rank": found.mean_rank,
                "probability_of_loss": found.probability_of_loss,
                "degradation_slope": reasons
                    .number("overfitting.degradation_slope", found.degradation.map(|line| line.slope)),
                "degradation_intercept": reasons
                    .number("overfitting.degradation_intercept", found.degradation.map(|line| line.intercept)),
            }),
            Err(undefined) => reasons.none("overfitting", &undefined.to_string()),
        };
        let validated = match study.validation {
            Some(_) => Some(Validated::of(study, joined, again)?),
            None => None,
        };
        let validation = match &validated {
            Some(validated) => validated.value(study, joined, &mut reasons),
            None => Value::Null,
        };
        let superiority = json!({
            "against": if study.statistics.against_benchmark { "benchmark" } else { "cash" },
            "replications": study.statistics.bootstrap,
            "mean_block": joined.window.mean_block,
            "seed": study.statistics.seed,
            "reality_check": maximum(&mut reasons, "superiority.reality_check", &joined.maxima.plain),
            "spa": maximum(&mut reasons, "superiority.spa", &joined.maxima.studentised),
        });
        let expected_best = by_distinct["expected_best_sharpe_ratio"].as_f64();
        let sentence = sentence(study, joined, expected_best, &by_effective, overfitting.as_ref().ok());
        let count = joined.rows.len();
        let statistics = json!({
            "sentence": sentence,
            "name": study.name,
            "experiment": study.experiment,
            "trials": count,
            "evaluated": evaluated,
            "failed": failed,
            "invalid": invalid,
            "distinct": distinct.len(),
            "complete": failed == 0,
            "select_by": study.select_by.as_str(),
            "first_day": joined.window.days.first(),
            "last_day": joined.window.days.last(),
            "observations": joined.window.days.len(),
            "periods_per_year": year,
            "daily_risk_free": joined.window.daily_risk_free,
            "best": best_value,
            "sharpe_ratios": {
                "mean": reasons.number("sharpe_ratios.mean", mean(&daily).map(|mean| mean * root)),
                "variance_daily": search.variance,
            },
            "average_correlation": reasons.number("average_correlation", correlation),
            "deflated": { "distinct": by_distinct, "effective": by_effective },
            "overfitting": overfitting_value,
            "superiority": superiority,
            "discoveries": discoveries,
            "validation": validation,
            "warnings": warnings(study, joined),
            "undefined": reasons.0,
        });
        Ok(Self {
            statistics,
            q_values,
            holm,
            overfitting: overfitting.ok(),
            validated,
            expected_best,
            sentence,
        })
    }
}

fn mean(values: &[f64]) -> Result<f64, Undefined> {
    if values.is_empty() {
        return Err(Undefined::TooFewTrials { found: 0, needed: 1 });
    }
    Ok(crate::statistics::series::mean(values))
}

fn maximum(reasons: &mut Reasons, path: &str, of: &Maximum) -> Value {
    match of.p_values() {
        Ok(p) => json!({
            "statistic": of.statistic,
            "p_value": p.consistent,
            "p_value_lower": p.lower,
            "p_value_upper": p.upper,
        }),
        Err(undefined) => reasons.none(path, &undefined.to_string()),
    }
}

fn intervals(study: &Study, joined: &Joined, trial: u32) -> Option<Intervals> {
    let kept = joined.kept.iter().find(|(kept, _)| *kept == trial)?;
    Some(intervals_of(study, joined, &kept.1))
}

/// Adjusted p-values of the distinct trials, and how many are discoveries.
fn discoveries(joined: &Joined) -> (Vec<Option<f64>>, Vec<Option<f64>>, Value) {
    let tests: Vec<(usize, f64)> = joined
        .distinct()
        .filter_map(|row| Some((row.trial as usize, row.sharpe?.p_value(0.0).ok()?)))
        .collect();
    let p_values: Vec<f64> = tests.iter().map(|(_, p)| *p).collect();
    let spread = |adjusted: &[f64]| {
        let mut by_trial = vec![None; joined.rows.len()];
        for ((trial, _), value) in tests.iter().zip(adjusted) {
            by_trial[*trial] = Some(*value);
        }
        by_trial
    };
    let (q, holm) = (discovery::benjamini_hochberg(&p_values), discovery::holm(&p_values));
    let below = |adjusted: &[f64]| adjusted.iter().filter(|value| **value <= ALPHA).count();
    let told = json!({
        "tests": tests.len(),
        "level": ALPHA,
        "by_false_discovery_rate": below(&q),
        "by_family_wise_error": below(&holm),
    });
    (spread(&q), spread(&holm), told)
}

fn warnings(study: &Study, joined: &Joined) -> Vec<String> {
    let mut warnings = Vec::new();
    let equal = joined.equal_to.iter().flatten().count();
    if equal > 0 {
        let named = joined.without_effect(study);
        let named: Vec<&str> = named.iter().map(|(path, _)| path.as_str()).collect();
        warnings.push(format!(
            "{equal} trials return the same as another one and count once; what made no difference there: {}",
            named.join(", ")
        ));
    }
    for (status, what) in [(TrialStatus::Failed, "failed"), (TrialStatus::Invalid, "make no valid config")] {
        let rows: Vec<_> = joined.rows.iter().filter(|row| row.status == status).collect();
        if let Some(first) = rows.first() {
            let error = first.error.as_deref().unwrap_or_default();
            warnings.push(format!("{} trials {what}, first trial {}: {error}", rows.len(), first.trial));
        }
    }
    warnings.extend(study.warnings());
    let no_purge = match study.validation {
        Some(Validation::WalkForward { purge, .. } | Validation::Cpcv { purge, .. }) => purge == 0,
        None => false,
    };
    let monthly = json!("monthly");
    let varies = joined.rows.iter().any(|row| {
        study.grid.values(row.trial as usize).into_iter().flatten().any(|value| *value == monthly)
    });
    if no_purge && (varies || study.base.to_string().contains("\"monthly\"")) {
        warnings.push(
            "validation.purge is 0 and rebalancing is monthly: positions chosen in the training days are held into the test"
                .to_owned(),
        );
    }
    warnings
}

/// What is to be said first.
fn sentence(
    study: &Study,
    joined: &Joined,
    expected: Option<f64>,
    effective: &Value,
    overfitting: Option<&Overfitting>,
) -> String {
    let distinct = joined.distinct().count();
    let Some(sharpe) = joined.best(study).and_then(|best| best.sharpe) else {
        return format!("None of {distinct} distinct trials has a Sharpe ratio.");
    };
    let annual = sharpe.daily * joined.window.periods_per_year.sqrt();
    let what = if distinct == 1 {
        "The only distinct trial".to_owned()
    } else {
        format!("The best of {distinct} distinct trials")
    };
    let by = match study.select_by {
        SelectBy::SharpeRatio => String::new(),
        by => format!(" by {}", by.as_str()),
    };
    let mut sentence = format!("{what}{by} has a Sharpe ratio of {annual:.2}");
    if let Some(expected) = expected.filter(|_| distinct > 1) {
        sentence = format!("{sentence}; chance alone would give {expected:.2}");
        let (best, trials) = (&effective["expected_best_sharpe_ratio"], &effective["trials"]);
        if let (Some(best), Some(trials)) = (best.as_f64(), trials.as_f64()) {
            sentence = format!("{sentence} ({best:.2} for {trials:.1} effective trials)");
        }
    }
    sentence.push('.');
    if let Some(found) = overfitting {
        let share = found.probability * 100.0;
        sentence = format!(
            "{sentence} Chosen in sample it ranks below the median out of sample in {share:.0} % of splits."
        );
    }
    sentence
}
