//! Sums of daily returns by block of days: all that is needed to compare trials on any union of blocks, so that
//! the days of every trial need not be read again.

use std::ops::Range;

use super::series::sum_of;

/// How trials are compared on some days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Mean over population deviation.
    Sharpe,
    /// Mean; of logarithmic returns it is the total return.
    Mean,
}

/// Sum and sum of squares over some days.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Of the returns.
    pub sum: f64,
    /// Of their squares.
    pub squares: f64,
}

/// Places that are compared: a measure in units of 1e-12. Trials that hold the same positions through some days
/// differ by their last bits alone, and no choice may hang on those.
const UNITS: f64 = 1e12;

/// Share of the mean square below which a variance is rounding: it stands for a daily Sharpe ratio above 2,000.
const ROUNDING: f64 = 1.0 / (1_u64 << 22) as f64;

/// A measure over `1 / inverse_days` days. `-∞`, below every trial that has it, if the returns do not vary.
#[inline(always)]
pub(super) fn measured(measure: Measure, sums: Sums, inverse_days: f64) -> f64 {
    let mean = sums.sum * inverse_days;
    match measure {
        Measure::Sharpe => {
            let square = sums.squares * inverse_days;
            let variance = square - mean * mean;
            let ratio = mean / variance.sqrt();
            if variance > square * ROUNDING { ratio } else { f64::NEG_INFINITY }
        }
        Measure::Mean => mean,
    }
}

/// A measure rounded to 12 decimals, in units of the last, so that equal measures are equal numbers.
#[inline(always)]
pub(super) fn units(measured: f64) -> f64 {
    /// Adding and taking it off rounds half to even, as NumPy does, and in any lane width.
    const SHIFT: f64 = 1.5 * (1_u64 << 52) as f64;
    /// From here on there is nothing behind the point.
    const WHOLE: f64 = (1_u64 << 51) as f64;
    let scaled = measured * UNITS;
    let rounded = (scaled + SHIFT) - SHIFT;
    if scaled.abs() < WHOLE { rounded } else { scaled }
}

/// Back from units. `None` if undefined.
pub(super) fn from_units(units: f64) -> Option<f64> {
    units.is_finite().then_some(units / UNITS)
}

impl std::ops::Add for Sums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, squares: self.squares + other.squares }
    }
}

impl std::ops::Sub for Sums {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { sum: self.sum - other.sum, squares: self.squares - other.squares }
    }
}

/// Sums of trials by block. Trials ascend by number.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockSums {
    /// First day of each block, and the day after the last.
    edges: Vec<usize>,
    trials: Vec<u32>,
    /// Block by block for the first trial, and so on.
    sums: Vec<Sums>,
}

impl BlockSums {
    /// Of no trials yet; block `b` is the days `edges[b]..edges[b + 1]`. Edges ascend.
    pub fn between(edges: Vec<usize>) -> Self {
        Self { edges, trials: Vec::new(), sums: Vec::new() }
    }

    /// Blocks of equal length, as many as asked for; the days that are left over are dropped from the end.
    pub fn equal(days: usize, blocks: usize) -> Self {
        let length = days.checked_div(blocks).unwrap_or(0);
        Self::between((0..=blocks).map(|block| block * length).collect())
    }

    /// Adds a trial by its daily returns in excess of a daily rate.
    pub fn add(&mut self, trial: u32, returns: &[f64], daily_risk_free: f64) {
        let sums: Vec<Sums> = self
            .edges
            .windows(2)
            .map(|edge| {
                let days = returns.get(edge[0]..edge[1]).unwrap_or_default();
                Sums {
                    sum: sum_of(days, |each| each - daily_risk_free),
                    squares: sum_of(days, |each| (each - daily_risk_free).powi(2)),
                }
            })
            .collect();
        self.insert(trial, &sums);
    }

    /// Adds a trial by its sums. `false`, and nothing was added, if there are not as many as blocks, or the trial is there
    /// already.
    pub fn insert(&mut self, trial: u32, sums: &[Sums]) -> bool {
        match self.trials.binary_search(&trial) {
            Err(place) if sums.len() == self.blocks() => {
                let at = place * self.blocks();
                self.sums.splice(at..at, sums.iter().copied());
                self.trials.insert(place, trial);
                true
            }
            _ => false,
        }
    }

    /// Joins the trials of another part, which has the same edges.
    pub fn merge(&mut self, other: &Self) {
        if self.trials.last() < other.trials.first() {
            self.trials.extend_from_slice(&other.trials);
            self.sums.extend_from_slice(&other.sums);
        } else {
            for (trial, sums) in other.iter() {
                self.insert(trial, sums);
            }
        }
    }

    /// Leaves out the trials that `keep` says no to.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        let kept: Vec<(u32, &[Sums])> = self.iter().filter(|(trial, _)| keep(*trial)).collect();
        let sums = kept.iter().flat_map(|(_, sums)| *sums).copied().collect();
        self.trials = kept.iter().map(|(trial, _)| *trial).collect();
        self.sums = sums;
    }

    /// How many blocks the days were cut into.
    pub fn blocks(&self) -> usize {
        self.edges.len().saturating_sub(1)
    }

    /// Days of a block.
    pub fn days(&self, block: usize) -> Range<usize> {
        self.edges[block]..self.edges[block + 1]
    }

    /// First day of each block, and the day after the last.
    pub fn edges(&self) -> &[usize] {
        &self.edges
    }

    /// Numbers of the trials, ascending.
    pub fn trials(&self) -> &[u32] {
        &self.trials
    }

    /// Trials with their sums by block, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[Sums])> {
        self.trials.iter().copied().zip(self.sums.chunks_exact(self.blocks().max(1)))
    }
}
