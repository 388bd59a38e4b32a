//! What the row of a run keeps of what came of it, where that is not the figures of a backtest: of a part, of a study, and of
//! what is about another run. Each is one type, which the run record and the API's document both state.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::study::evaluate::{TrialRow, TrialStatus};
use crate::run::{Run, RunId};

/// Of a part of a study: how its trials ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartSummary {
    /// The part.
    pub run_id: RunId,
    /// Its trials.
    pub trials: usize,
    /// Those with figures.
    pub evaluated: usize,
    /// Those of which the engine gave none.
    pub failed: usize,
    /// Those whose parameters make no valid config.
    pub invalid: usize,
}

impl PartSummary {
    /// Of the trials of a part.
    pub fn of(part: &RunId, rows: &[TrialRow]) -> Self {
        let count = |status| rows.iter().filter(|row| row.status == status).count();
        Self {
            run_id: part.clone(),
            trials: rows.len(),
            evaluated: count(TrialStatus::Ok),
            failed: count(TrialStatus::Failed),
            invalid: count(TrialStatus::Invalid),
        }
    }
}

/// Of a study: how far its best trial can be believed. What is undefined is null, for a reason that its statistics tell.
#[derive(Debug, Serialize, ToSchema)]
pub struct StudySummary {
    /// The study.
    pub run_id: RunId,
    /// Its name.
    pub run_name: Option<String>,
    /// Everything in one sentence.
    pub sentence: String,
    /// Its trials.
    pub trials: u64,
    /// Those with figures.
    pub evaluated: u64,
    /// Those of them whose returns no earlier one has.
    pub distinct: u64,
    /// Whether no trial failed.
    pub complete: bool,
    /// Number of the best.
    pub best_trial: Option<u64>,
    /// Annual Sharpe ratio of the best.
    pub sharpe_ratio: Option<f64>,
    /// Annual Sharpe ratio that chance alone would give the best of so many distinct trials.
    pub expected_best_sharpe_ratio: Option<f64>,
    /// Probability that the true Sharpe ratio of the best is above that.
    pub deflated_sharpe_ratio: Option<f64>,
    /// Share of splits in which the choice of one half ranks in the lower half of the other.
    pub probability_of_overfitting: Option<f64>,
    /// What the reader should know.
    pub warnings: Vec<String>,
}

impl StudySummary {
    /// Of the statistics of a study.
    pub fn of(study: &RunId, statistics: &Value) -> Self {
        let text = |name: &str| statistics[name].as_str().map(str::to_owned);
        let count = |name: &str| statistics[name].as_u64().unwrap_or(0);
        let number = |pointer: &str| statistics.pointer(pointer).and_then(Value::as_f64);
        let warnings = statistics["warnings"].as_array().into_iter().flatten();
        Self {
            run_id: study.clone(),
            run_name: text("name"),
            sentence: text("sentence").unwrap_or_default(),
            trials: count("trials"),
            evaluated: count("evaluated"),
            distinct: count("distinct"),
            complete: statistics["complete"].as_bool().unwrap_or(false),
            best_trial: statistics.pointer("/best/trial").and_then(Value::as_u64),
            sharpe_ratio: number("/best/sharpe_ratio"),
            expected_best_sharpe_ratio: number("/deflated/distinct/expected_best_sharpe_ratio"),
            deflated_sharpe_ratio: number("/deflated/distinct/deflated_sharpe_ratio"),
            probability_of_overfitting: number("/overfitting/probability"),
            warnings: warnings.filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }
}

/// Of a reproduction or an audit: what was found about another run.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerdictSummary {
    /// The reproduction or the audit.
    pub run_id: RunId,
    /// The run that it is about.
    pub of: Option<RunId>,
    /// What was found.
    pub verdict: String,
    /// Why, where that is worth saying.
    pub reason: Option<String>,
}

impl VerdictSummary {
    /// Of the document with the verdict.
    pub fn of(run: &Run, document: &Value) -> Self {
        let text = |name: &str| document[name].as_str().map(str::to_owned);
        Self {
            run_id: run.id.clone(),
            of: run.submission.parent_run_id.clone(),
            verdict: text("verdict").unwrap_or_default(),
            reason: text("reason"),
        }
    }
}
