//! Experiments: what a run or a trial counts as in the ledger, and what the ledger says of the best that was found there.
//! It grows with every new trial, so nothing of it is ever in an artifact.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::App;
use super::study::evaluate::{TrialRow, digest, ledger_sha256, series};
use super::study::figures;
use crate::digest::hex;
use crate::engine::Outcome;
use crate::engine::config::BacktestConfig;
use crate::engine::metrics::returns;
use crate::run::RunId;
use crate::statistics::sharpe::SharpeRatio;
use crate::store::runs::StoreError;
use crate::store::runs::ledger::{self, Tried};

/// Why there is nothing to say where run records are kept in a storage account.
const NO_LEDGER: &str = "run records in a storage account keep no ledger; keep them in Postgres or sqlite";

/// What a backtest counts as, if its config names an experiment: the same as a trial with that config would.
pub fn tried(config: &BacktestConfig, outcome: &Outcome) -> Option<Tried> {
    config.experiment.as_ref()?;
    let summary = &outcome.summary;
    let (returns, own) = series(outcome, outcome.daily.date.len().saturating_sub(1));
    let daily_risk_free = returns::daily_rate(summary.risk_free_rate, summary.periods_per_year);
    Some(Tried {
        config_sha256: ledger_sha256(config.resolved()),
        trial: None,
        returns_sha256: Some(hex(&digest(outcome))),
        sharpe_ratio: summary.sharpe_ratio,
        sharpe: SharpeRatio::of(&returns[..own], daily_risk_free).ok(),
    })
}

/// What a trial of a study counts as, if the study names an experiment and the trial has a config. One that failed was
/// tried all the same.
pub fn tried_in_study(row: &TrialRow) -> Option<Tried> {
    Some(Tried {
        config_sha256: row.ledger_sha256.clone()?,
        trial: Some(row.trial),
        returns_sha256: row.returns_sha256.clone(),
        sharpe_ratio: figures::place("sharpe_ratio").and_then(|place| row.figures[place]),
        sharpe: row.sharpe,
    })
}

/// All experiments.
#[derive(Debug, Serialize, ToSchema)]
pub struct Experiments {
    /// By name; null where run records are kept without a ledger.
    pub experiments: Option<Vec<Experiment>>,
    /// Why there are none to be told.
    pub reason: Option<&'static str>,
}

/// What was tried under a name, by whomever, each config once. What has no value is null, with its reason under
/// `undefined`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Experiment {
    /// Its name.
    pub experiment: String,
    /// Configs that were tried.
    pub trials: Option<u32>,
    /// Those of them with returns, equal ones counted once.
    pub distinct: Option<u32>,
    /// Those of them that failed as trials of a study.
    pub failed: Option<u32>,
    /// When the first one was counted.
    pub first_at: Option<DateTime<Utc>>,
    /// When the newest one was counted.
    pub last_at: Option<DateTime<Utc>>,
    /// Callers who tried them first, as far as the platform names them.
    pub people: Option<u32>,
    /// The trial with the highest Sharpe ratio.
    pub best: Option<BestTrial>,
    /// Daily Sharpe ratio that chance alone would give the best of so many.
    pub expected_best_sharpe_daily: Option<f64>,
    /// The probability that the true Sharpe ratio of the best is above that.
    pub dsr_of_best: Option<f64>,
    /// Why something is null, by the name of its field.
    pub undefined: BTreeMap<&'static str, String>,
}

/// The best trial of an experiment.
#[derive(Debug, Serialize, ToSchema)]
pub struct BestTrial {
    /// The backtest that tried it first; null where that was a study.
    pub run_id: Option<RunId>,
    /// The study that tried it first; null where that was a backtest.
    pub study: Option<RunId>,
    /// Its number in that study.
    pub trial: Option<u32>,
    /// Annual.
    pub sharpe_ratio: f64,
}

impl Experiment {
    fn of(counted: ledger::Experiment) -> Self {
        let search = counted.search();
        let mut undefined = BTreeMap::new();
        let mut expected = None;
        let mut deflated = None;
        match counted.best.as_ref().and_then(|best| best.sharpe) {
            None => {
                for name in ["best", "expected_best_sharpe_daily", "dsr_of_best"] {
                    undefined.insert(name, "no trial has a Sharpe ratio".to_owned());
                }
            }
            Some(sharpe) => {
                expected = Some(search.expected_best());
                deflated = search
                    .deflate(&sharpe)
                    .map_err(|reason| undefined.insert("dsr_of_best", reason.to_string()))
                    .ok();
            }
        }
        Self {
            experiment: counted.name,
            trials: Some(counted.trials),
            distinct: Some(counted.distinct),
            failed: Some(counted.failed),
            first_at: Some(counted.first_at),
            last_at: Some(counted.last_at),
            people: Some(counted.people),
            best: counted.best.map(|best| {
                let (run_id, study) = match best.trial {
                    Some(_) => (None, Some(best.run_id)),
                    None => (Some(best.run_id), None),
                };
                BestTrial { run_id, study, trial: best.trial, sharpe_ratio: best.sharpe_ratio }
            }),
            expected_best_sharpe_daily: expected,
            dsr_of_best: deflated,
            undefined,
        }
    }

    /// Where no ledger is kept.
    fn untold(name: &str) -> Self {
        const FIELDS: [&str; 9] = [
            "trials",
            "distinct",
            "failed",
            "first_at",
            "last_at",
            "people",
            "best",
            "expected_best_sharpe_daily",
            "dsr_of_best",
        ];
        let undefined = FIELDS.into_iter().map(|field| (field, NO_LEDGER.to_owned())).collect();
        Self { experiment: name.to_owned(), undefined, ..Self::default() }
    }
}

/// All experiments by name.
///
/// # Errors
/// If the store does not answer.
pub async fn experiments(app: &App) -> Result<Experiments, StoreError> {
    Ok(match app.runs.experiments(None).await? {
        Some(counted) => {
            Experiments { experiments: Some(counted.into_iter().map(Experiment::of).collect()), reason: None }
        }
        None => Experiments { experiments: None, reason: Some(NO_LEDGER) },
    })
}

/// One experiment; `None` if nothing was counted under the name.
///
/// # Errors
/// If the store does not answer.
pub async fn experiment(app: &App, name: &str) -> Result<Option<Experiment>, StoreError> {
    Ok(match app.runs.experiments(Some(name)).await? {
        Some(counted) => counted.into_iter().next().map(Experiment::of),
        None => Some(Experiment::untold(name)),
    })
}

/// Adds to the statistics of a study what is left of its best trial beside everything that its experiment has tried by
/// now: the third count, `deflated.ledger`.
///
/// # Errors
/// If the store does not answer.
pub async fn deflate_by_ledger(
    app: &App,
    experiment: Option<&str>,
    statistics: &mut Value,
) -> Result<(), StoreError> {
    let counted = match experiment {
        None => Err("the study names no experiment".to_owned()),
        Some(name) => match app.runs.experiments(Some(name)).await? {
            None => Err(NO_LEDGER.to_owned()),
            Some(counted) => counted.into_iter().next().ok_or("nothing was counted yet".to_owned()),
        },
    };
    let mut undefined = Vec::new();
    let value = match counted {
        Ok(counted) => {
            let search = counted.search();
            let year = statistics["periods_per_year"].as_f64().unwrap_or(f64::NAN);
            let deflated = match best_of(statistics) {
                Some(best) => search.deflate(&best).map_err(|reason| reason.to_string()),
                None => Err("no trial has a Sharpe ratio".to_owned()),
            };
            let deflated = deflated
                .map_err(|reason| undefined.push(("deflated.ledger.deflated_sharpe_ratio", reason)))
                .ok();
            json!({
                "experiment": counted.name,
                "trials": search.trials,
                "expected_best_sharpe_ratio": search.expected_best() * year.sqrt(),
                "expected_best_sharpe_daily": search.expected_best(),
                "deflated_sharpe_ratio": deflated,
            })
        }
        Err(reason) => {
            undefined.push(("deflated.ledger", reason));
            Value::Null
        }
    };
    if let Some(deflated) = statistics.get_mut("deflated").and_then(Value::as_object_mut) {
        deflated.insert("ledger".to_owned(), value);
    }
    if let Some(reasons) = statistics.get_mut("undefined").and_then(Value::as_object_mut) {
        reasons.extend(undefined.into_iter().map(|(path, reason)| (path.to_owned(), json!(reason))));
    }
    Ok(())
}

/// The Sharpe ratio of the best trial, as a study's statistics have it.
fn best_of(statistics: &Value) -> Option<SharpeRatio> {
    let best = &statistics["best"];
    let number = |name: &str| best[name].as_f64();
    Some(SharpeRatio {
        daily: number("sharpe_daily")?,
        skew: number("skew")?,
        kurtosis: number("kurtosis")?,
        observations: usize::try_from(best["observations"].as_u64()?).ok()?,
    })
}
