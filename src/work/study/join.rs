//! The parts of a study as one: rows by number, equal trials found, sums joined. However trials were shared out, the
//! result is the same to the last bit.

use std::collections::BTreeMap;

use super::config::Study;
use super::evaluate::{PartResult, TrialRow, TrialStatus, Window, rounded, series};
use super::figures;
use crate::engine::config::BacktestConfig;
use crate::engine::{Market, Outcome};
use crate::statistics::blocks::BlockSums;
use crate::statistics::parts::{StandardisedSum, equal_to};
use crate::statistics::superiority::Maxima;

/// Runs a trial again and shows what came of it.
pub type Again<'a> =
    &'a (dyn Fn(u32, &mut dyn FnMut(&BacktestConfig, &Market, &Outcome)) -> Result<(), String> + Sync);

/// A study whose parts are all there.
#[derive(Debug)]
pub struct Joined {
    /// The days of all trials.
    pub window: Window,
    /// All trials, by number.
    pub rows: Vec<TrialRow>,
    /// For each row the lowest-numbered trial with the same returns, if that is another.
    pub equal_to: Vec<Option<u32>>,
    /// Of the distinct trials: blocks of equal length.
    pub blocks: BlockSums,
    /// Of the distinct trials: blocks between the edges of the splits.
    pub folds: BlockSums,
    /// Of the distinct trials.
    pub sum: StandardisedSum,
    /// Of the distinct trials.
    pub maxima: Maxima,
    /// Daily returns of the best distinct trials, best first.
    pub kept: Vec<(u32, Vec<f64>)>,
}

/// Why parts are not one study.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// There are none.
    #[error("the study has no parts")]
    NoParts,
    /// They are about other days.
    #[error("the parts read different days: the data changed between them")]
    Days,
    /// Not every trial is there once.
    #[error("the parts have {found} trials, the study has {expected}")]
    Trials {
        /// Trials there are.
        found: usize,
        /// Trials of the study.
        expected: usize,
    },
    /// A trial did not run again.
    #[error("run trial {trial} again: {message}")]
    Again { trial: u32, message: String },
}

impl Joined {
    /// Joins parts in any order.
    ///
    /// # Errors
    /// If they are not those of this study.
    pub fn of(study: &Study, parts: Vec<PartResult>, again: Again<'_>) -> Result<Self, JoinError> {
        let mut parts = parts.into_iter();
        let first = parts.next().ok_or(JoinError::NoParts)?;
        let PartResult { window, mut rows, mut blocks, mut folds, mut sum, mut maxima, mut kept } = first;
        // Trials that a part has counted, by what they return: another part may have counted them too.
        let mut counted: BTreeMap<u32, u32> = blocks.trials().iter().map(|&trial| (trial, 1)).collect();
        for part in parts {
            if part.window != window {
                return Err(JoinError::Days);
            }
            counted.extend(part.blocks.trials().iter().map(|&trial| (trial, 1)));
            rows.extend(part.rows);
            blocks.merge(&part.blocks);
            folds.merge(&part.folds);
            sum.merge(&part.sum);
            maxima.merge(&part.maxima);
            kept.extend(part.kept);
        }
        rows.sort_by_key(|row| row.trial);
        let expected = study.grid.count();
        if rows.len() != expected || rows.iter().zip(0..).any(|(row, number)| row.trial != number) {
            return Err(JoinError::Trials { found: rows.len(), expected });
        }
        let evaluated = rows.iter().filter_map(|row| Some((row.trial, row.returns_sha256.as_deref()?)));
        let digests: Vec<(u32, &str)> = evaluated.collect();
        let mut equals: Vec<Option<u32>> = vec![None; rows.len()];
        for ((trial, _), equal) in digests.iter().zip(equal_to(&digests)) {
            equals[*trial as usize] = equal;
        }
        let mut repeated: BTreeMap<u32, u32> = BTreeMap::new();
        for &trial in counted.keys() {
            if let Some(equal) = equals[trial as usize] {
                *repeated.entry(equal).or_default() += 1;
            }
        }
        for (trial, times) in repeated {
            let mut returns = Vec::new();
            let show = &mut |_: &BacktestConfig, _: &Market, outcome: &Outcome| {
                returns = series(outcome, window.days.len()).0;
            };
            again(trial, show).map_err(|message| JoinError::Again { trial, message })?;
            for _ in 0..times {
                // What stands still was not added either.
                let _ = sum.remove(&returns);
            }
        }
        blocks.retain(|trial| equals[trial as usize].is_none());
        folds.retain(|trial| equals[trial as usize].is_none());
        kept.retain(|(trial, _)| equals[*trial as usize].is_none());
        let mut joined = Self { window, rows, equal_to: equals, blocks, folds, sum, maxima, kept };
        joined.sort_kept(study);
        Ok(joined)
    }

    fn sort_kept(&mut self, study: &Study) {
        let mut kept = std::mem::take(&mut self.kept);
        let of = |trial: u32| self.measure(study, trial as usize).unwrap_or(f64::NEG_INFINITY);
        kept.sort_by(|a, b| of(b.0).total_cmp(&of(a.0)).then(a.0.cmp(&b.0)));
        kept.truncate(study.keep_returns.max(1));
        self.kept = kept;
    }

    /// What a trial is chosen by, to 12 decimals.
    pub fn measure(&self, study: &Study, trial: usize) -> Option<f64> {
        let place = figures::place(study.select_by.as_str())?;
        self.rows[trial].figures[place].map(rounded)
    }

    /// Trials that count: evaluated, and the first of their equals.
    pub fn distinct(&self) -> impl Iterator<Item = &TrialRow> {
        let counts =
            |row: &&TrialRow| row.status == TrialStatus::Ok && self.equal_to[row.trial as usize].is_none();
        self.rows.iter().filter(counts)
    }

    /// How many trials ended so.
    pub fn count(&self, status: TrialStatus) -> usize {
        self.rows.iter().filter(|row| row.status == status).count()
    }

    /// The best trial by what the study selects by; the lowest number among equals.
    pub fn best(&self, study: &Study) -> Option<&TrialRow> {
        let mut best: Option<(&TrialRow, f64)> = None;
        for row in self.distinct() {
            if let Some(measure) = self.measure(study, row.trial as usize)
                && best.is_none_or(|(_, before)| measure > before)
            {
                best = Some((row, measure));
            }
        }
        best.map(|(row, _)| row)
    }

    /// So many of the best trials, best first.
    pub fn best_trials(&self, study: &Study, count: usize) -> Vec<u32> {
        let measured = |row: &TrialRow| Some((self.measure(study, row.trial as usize)?, row.trial));
        let mut trials: Vec<(f64, u32)> = self.distinct().filter_map(measured).collect();
        trials.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        trials.into_iter().take(count).map(|(_, trial)| trial).collect()
    }

    /// Parameters that made no difference: those in which a trial differs from its equal, with how often.
    pub fn without_effect(&self, study: &Study) -> Vec<(String, usize)> {
        let mut differ: BTreeMap<usize, usize> = BTreeMap::new();
        for (trial, equal) in self.equal_to.iter().enumerate() {
            let Some(equal) = equal else { continue };
            let (own, other) = (study.grid.values(trial), study.grid.values(*equal as usize));
            for (place, _) in own.iter().zip(&other).enumerate().filter(|(_, (a, b))| a != b) {
                *differ.entry(place).or_default() += 1;
            }
        }
        differ.into_iter().map(|(place, times)| (study.grid.paths[place].clone(), times)).collect()
    }

    /// Share of the variance of the measure among distinct trials that each parameter explains by itself, largest first.
    pub fn influence(&self, study: &Study) -> Vec<(usize, f64)> {
        let measured: Vec<(usize, f64)> = self
            .rows
            .iter()
            .filter_map(|row| Some((row.trial as usize, self.measure(study, row.trial as usize)?)))
            .collect();
        let count = measured.len() as f64;
        let mean = measured.iter().map(|(_, value)| value).sum::<f64>() / count;
        let total: f64 = measured.iter().map(|(_, value)| (value - mean).powi(2)).sum();
        let mut shares: Vec<(usize, f64)> = (0..study.grid.paths.len())
            .map(|place| {
                let mut groups: BTreeMap<String, (f64, f64)> = BTreeMap::new();
                for &(trial, value) in &measured {
                    let key = study.grid.values(trial)[place].map(ToString::to_string).unwrap_or_default();
                    let group = groups.entry(key).or_default();
                    *group = (group.0 + value, group.1 + 1.0);
                }
                let between: f64 = groups.values().map(|(sum, n)| n * (sum / n - mean).powi(2)).sum();
                // As many groups as trials explain everything and say nothing.
                let says = groups.len() > 1 && (groups.len() as f64) < count && total > 0.0;
                (place, if says { between / total } else { 0.0 })
            })
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        shares
    }
}
