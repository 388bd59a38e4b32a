//! What choosing by the past would have earned: in each split the best trial of the training days, and how it stands
//! among all trials on the days of the test. From sums by block, whose edges are those of the splits.

use std::ops::Range;

use rayon::prelude::*;

use super::blocks::{BlockSums, Measure, Sums, measured, units};
use super::series::{mean, sample_deviation};
use super::splits::{Split, Test, edges};
use super::{Undefined, series};

/// The choice of one split.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The trial that was best on the training days, the lowest number among equals to 12 decimals. `None` if no trial
    /// varied there.
    pub winner: Option<Winner>,
}

/// A chosen trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Winner {
    /// Number of the trial in its study.
    pub trial: u32,
    /// Its measure on the training days, per day.
    pub in_sample: f64,
    /// For each test of the split: how it did there.
    pub tests: Vec<Standing>,
}

/// How a chosen trial did on the days of a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Its measure, per day. `None` if its returns do not vary there.
    pub out_of_sample: Option<f64>,
    /// Its average rank among all trials; `N` is the best, 1 the worst.
    pub rank: f64,
}

/// Chooses in every split. `blocks` has the trials that differ from each other, and an edge wherever a range of the
/// splits begins or ends ([`super::splits::edges`]).
///
/// # Errors
/// The first day at which a range of the splits begins or ends, but no block does.
pub fn choose(blocks: &BlockSums, splits: &[Split], measure: Measure) -> Result<Vec<Choice>, usize> {
    let without_edge = edges(splits).into_iter().find(|day| blocks.edges().binary_search(day).is_err());
    if let Some(day) = without_edge {
        return Err(day);
    }
    let table = Prefixes::of(blocks);
    let choose = |split: &Split| {
        let train = table.measures(&split.train, measure);
        let best = train.iter().map(|&value| units(value)).fold(f64::NEG_INFINITY, f64::max);
        let winner = train.iter().position(|&value| units(value) == best).filter(|_| best.is_finite())?;
        let standing = |test: &Test| {
            let all = table.measures(std::slice::from_ref(&test.days), measure);
            let own = units(all[winner]);
            let below = all.iter().filter(|&&value| units(value) < own).count();
            let equal = all.iter().filter(|&&value| units(value) == own).count();
            let rank = below as f64 + (equal as f64 + 1.0) / 2.0;
            Standing { out_of_sample: Some(all[winner]).filter(|value| value.is_finite()), rank }
        };
        let tests = split.test.iter().map(standing).collect();
        Some(Winner { trial: blocks.trials()[winner], in_sample: train[winner], tests })
    };
    Ok(splits.par_iter().map(|split| Choice { winner: choose(split) }).collect())
}

/// Sums up to each edge, trial by trial.
struct Prefixes<'a> {
    edges: &'a [usize],
    sums: Vec<Sums>,
}

impl<'a> Prefixes<'a> {
    fn of(blocks: &'a BlockSums) -> Self {
        let sums = blocks.iter().flat_map(|(_, sums)| {
            let mut until = Sums::default();
            std::iter::once(until).chain(sums.iter().map(move |&block| {
                until = until + block;
                until
            }))
        });
        Self { edges: blocks.edges(), sums: sums.collect() }
    }

    /// The measure of every trial over some ranges of days that begin and end at edges.
    fn measures(&self, ranges: &[Range<usize>], measure: Measure) -> Vec<f64> {
        let edge = |day: usize| self.edges.partition_point(|&edge| edge < day);
        let places: Vec<_> = ranges.iter().map(|range| (edge(range.start), edge(range.end))).collect();
        let days: usize = ranges.iter().map(Range::len).sum();
        let inverse_days = 1.0 / days as f64;
        let trials = self.sums.chunks_exact(self.edges.len().max(1));
        let of = |until: &[Sums]| {
            let sums =
                places.iter().fold(Sums::default(), |sums, &(from, to)| sums + until[to] - until[from]);
            measured(measure, sums, inverse_days)
        };
        trials.map(of).collect()
    }
}

/// The days of a path in order, each with the trial that was chosen for it. `None` where no trial was.
pub fn path(splits: &[Split], choices: &[Choice], number: usize) -> Vec<(Range<usize>, Option<u32>)> {
    let mut pieces: Vec<(Range<usize>, Option<u32>)> = splits
        .iter()
        .zip(choices)
        .flat_map(|(split, choice)| {
            let trial = choice.winner.as_ref().map(|winner| winner.trial);
            let own = split.test.iter().filter(move |test| test.path == number);
            own.map(move |test| (test.days.clone(), trial))
        })
        .collect();
    pieces.sort_by_key(|(days, _)| days.start);
    pieces
}

/// How the choices of all splits hang together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stability {
    /// Mean measure of the winners on their training days, per day.
    pub mean_in_sample: f64,
    /// The trial that was chosen most often, the lowest number among equals.
    pub modal_trial: u32,
    /// Share of splits that chose it.
    pub modal_share: f64,
    /// Share of tests with a measure above 0.
    pub positive_share: f64,
    /// Splits without a valid trial.
    pub without_trial: usize,
}

impl Stability {
    /// Of choices.
    ///
    /// # Errors
    /// If no split has a winner.
    pub fn of(choices: &[Choice]) -> Result<Self, Undefined> {
        let winners: Vec<&Winner> = choices.iter().filter_map(|choice| choice.winner.as_ref()).collect();
        let mut trials: Vec<u32> = winners.iter().map(|winner| winner.trial).collect();
        trials.sort_unstable();
        let groups = trials.chunk_by(|a, b| a == b);
        let largest =
            groups.fold(&[][..], |most: &[u32], group| if group.len() > most.len() { group } else { most });
        let Some(&modal_trial) = largest.first() else {
            return Err(Undefined::TooFewTrials { found: 0, needed: 1 });
        };
        let tests = || winners.iter().flat_map(|winner| &winner.tests);
        let positive = tests().filter(|test| test.out_of_sample.is_some_and(|measure| measure > 0.0)).count();
        let in_sample: Vec<f64> = winners.iter().map(|winner| winner.in_sample).collect();
        Ok(Self {
            mean_in_sample: mean(&in_sample),
            modal_trial,
            modal_share: largest.len() as f64 / winners.len() as f64,
            positive_share: positive as f64 / tests().count() as f64,
            without_trial: choices.len() - winners.len(),
        })
    }
}

/// A figure over several paths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distribution {
    /// Mean over the paths.
    pub mean: f64,
    /// Deviation (`ddof = 1`).
    pub deviation: f64,
    /// Lowest of the paths.
    pub lowest: f64,
    /// Median of the paths; of an even number the mean of the middle two.
    pub median: f64,
    /// Highest of the paths.
    pub highest: f64,
}

impl Distribution {
    /// Of the figures of the paths.
    ///
    /// # Errors
    /// If there are fewer than two.
    pub fn of(figures: &[f64]) -> Result<Self, Undefined> {
        Ok(Self {
            deviation: sample_deviation(figures)?,
            mean: mean(figures),
            lowest: figures.iter().copied().fold(f64::INFINITY, f64::min),
            median: series::median(figures),
            highest: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}
