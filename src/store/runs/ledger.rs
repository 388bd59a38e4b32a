//! The ledger of experiments: every config that was tried under a name, once, however many people tried it and however often. What a
//! trial leaves there, and what is known of an experiment from it. The statements belong to the stores; what an
//! experiment's best trial is worth is said in `work::experiments`.

use crate::clock::Timestamp;
use crate::run::RunId;
use crate::statistics::deflation::Search;
use crate::statistics::sharpe::SharpeRatio;

/// A config that was tried, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// SHA-256 of the effective config without name, output and experiment: what counts once.
    pub config_sha256: String,
    /// Its number in the study; `None` for a run of its own.
    pub trial: Option<u32>,
    /// SHA-256 of its daily returns: equal digests are one distinct trial. `None` where it failed.
    pub returns_sha256: Option<String>,
    /// Annual, as in the summary.
    pub sharpe_ratio: Option<f64>,
    /// Per day, with what its error depends on.
    pub sharpe: Option<SharpeRatio>,
}

/// What the ledger has of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// Configs that were tried.
    pub trials: u32,
    /// Those of them with returns, equal ones counted once.
    pub distinct: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// When the first one was counted.
    pub first_at: Timestamp,
    /// When the newest one was counted.
    pub last_at: Timestamp,
    /// Callers who tried them first, as far as the platform names them.
    pub people: u32,
    /// Variance of the daily Sharpe ratios of the distinct trials (`ddof = 1`); 0 for fewer than two.
    pub variance: f64,
    /// The trial with the highest annual Sharpe ratio to 12 decimals, the earliest of equals.
    pub best: Option<BestTried>,
}

/// The best trial of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct BestTried {
    /// The backtest, or the study, that tried it first.
    pub run_id: RunId,
    /// Its number in that study.
    pub trial: Option<u32>,
    /// Annual.
    pub sharpe_ratio: f64,
    /// Per day.
    pub sharpe: Option<SharpeRatio>,
}

impl Experiment {
    /// The experiment as a search: what failed was tried all the same.
    pub fn search(&self) -> Search {
        Search { trials: f64::from(self.distinct) + f64::from(self.failed), variance: self.variance }
    }
}

/// In the order in which rows are written, so that two that write the same ones never wait for each other.
pub(super) fn in_order(tried: &[Tried]) -> Vec<&Tried> {
    let mut ordered: Vec<&Tried> = tried.iter().collect();
    ordered.sort_by(|a, b| a.config_sha256.cmp(&b.config_sha256).then(a.trial.cmp(&b.trial)));
    ordered
}
