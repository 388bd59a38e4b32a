//! What the parts of a study leave for the whole: sums and maxima that can be joined in any order, so that a study has
//! the same figures however its trials were shared out.

use super::Undefined;
use super::series::{mean, spread};

/// Sum over trials, day by day, of returns that were moved to mean 0 and deviation 1. Its variance tells the average
/// correlation of the trials, of which there are too many to compute it pair by pair.
///
/// Sums are whole numbers of 2⁻³⁶: adding, joining and taking off again are exact, and no order of trials or parts shows in
/// the last bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandardisedSum {
    trials: usize,
    days: Vec<i64>,
}

/// A standardised return is below the root of the number of days: with 100,000 trials of a million days there is room.
const UNITS: f64 = (1_u64 << 36) as f64;

impl StandardisedSum {
    /// Of no trials.
    pub fn none(days: usize) -> Self {
        Self { trials: 0, days: vec![0; days] }
    }

    /// A sum that was stored: [`Self::units`] of so many trials.
    pub fn stored(trials: usize, units: Vec<i64>) -> Self {
        Self { trials, days: units }
    }

    /// The sums by day, in units of 2⁻³⁶.
    pub fn units(&self) -> &[i64] {
        &self.days
    }

    /// Trials in the sum.
    pub fn trials(&self) -> usize {
        self.trials
    }

    /// Adds a trial by its daily returns, as many as there are days.
    ///
    /// # Errors
    /// If the returns do not vary; such a trial is correlated with none, and nothing was added.
    pub fn add(&mut self, returns: &[f64]) -> Result<(), Undefined> {
        self.change(returns, i64::wrapping_add)?;
        self.trials += 1;
        Ok(())
    }

    /// Takes a trial off again, for one that turns out to equal another part's.
    ///
    /// # Errors
    /// If the returns do not vary; nothing was taken off.
    pub fn remove(&mut self, returns: &[f64]) -> Result<(), Undefined> {
        self.change(returns, i64::wrapping_sub)?;
        self.trials = self.trials.saturating_sub(1);
        Ok(())
    }

    fn change(&mut self, returns: &[f64], by: fn(i64, i64) -> i64) -> Result<(), Undefined> {
        if returns.len() != self.days.len() {
            return Err(Undefined::TooFewObservations { found: returns.len(), needed: self.days.len() });
        }
        let (mean, spread) = (mean(returns), spread(returns)?);
        let scale = UNITS / spread;
        for (day, value) in self.days.iter_mut().zip(returns) {
            *day = by(*day, ((value - mean) * scale).round_ties_even() as i64);
        }
        Ok(())
    }

    /// Joins the sum of other trials over the same days.
    pub fn merge(&mut self, other: &Self) {
        self.trials += other.trials;
        for (day, theirs) in self.days.iter_mut().zip(&other.days) {
            *day = day.wrapping_add(*theirs);
        }
    }

    /// Population variance of the sum: the sum of all correlations, each trial's with itself included.
    pub fn variance(&self) -> f64 {
        let sums: Vec<f64> = self.days.iter().map(|&units| units as f64 / UNITS).collect();
        let mean = mean(&sums);
        sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / sums.len() as f64
    }

    /// Average correlation between different trials: `(Var(Σ z) - N) / (N (N - 1))`.
    ///
    /// # Errors
    /// If there are fewer than two trials.
    pub fn average_correlation(&self) -> Result<f64, Undefined> {
        if self.trials < 2 {
            return Err(Undefined::TooFewTrials { found: self.trials, needed: 2 });
        }
        let count = self.trials as f64;
        Ok((self.variance() - count) / (count * (count - 1.0)))
    }
}

/// For each trial the lowest-numbered one with the same returns, if that is another: the ones that count are those
/// without. `digests` ascend by trial number and are equal exactly where the returns are.
pub fn equal_to<D: Eq + std::hash::Hash>(digests: &[(u32, D)]) -> Vec<Option<u32>> {
    let mut first = std::collections::HashMap::new();
    let of = |(trial, digest)| Some(*first.entry(digest).or_insert(trial)).filter(|&first| first != trial);
    digests.iter().map(|(trial, digest)| (*trial, digest)).map(of).collect()
}
