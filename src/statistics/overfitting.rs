//! Probability of backtest overfitting: how often the trial that was best on one half of the days is among the worse
//! half of the trials on the other days. Combinatorially symmetric cross-validation (Bailey, Borwein, López de Prado,
//! Zhu 2017, "The Probability of Backtest Overfitting"), from sums by block.

use rayon::prelude::*;

use super::Undefined;
use super::blocks::{BlockSums, Measure, Sums, from_units, measured, units};
use super::series::median;

/// Blocks at most: 184,756 halves.
const MOST_BLOCKS: usize = 20;

/// Days of a block at least.
const FEWEST_DAYS: usize = 10;

/// One half of the blocks as the sample, the other half out of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Half {
    /// Number of the trial that was best in sample; the lowest among equals to 12 decimals.
    pub winner: u32,
    /// Its measure in sample, per day.
    pub in_sample: f64,
    /// Its measure out of sample. `None` if its returns do not vary there.
    pub out_of_sample: Option<f64>,
    /// Its average rank out of sample over `N + 1`, in `0.0..1.0`; high is good.
    pub rank: f64,
}

impl Half {
    /// `ln(rank / (1 - rank))`: 0 is the median trial.
    pub fn logit(&self) -> f64 {
        (self.rank / (1.0 - self.rank)).ln()
    }
}

/// How choosing by the sample does out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Overfitting {
    /// Halves in lexicographic order of their blocks; those in which no trial varied are left out.
    pub halves: Vec<Half>,
    /// Halves that were left out.
    pub undecided: usize,
    /// PBO: share of logits that are not above 0.
    pub probability: f64,
    /// Share of logits below 0.
    pub below_median: f64,
    /// Mean over the splits of ln(omega / (1 - omega)).
    pub mean_logit: f64,
    /// Median over the splits of ln(omega / (1 - omega)).
    pub median_logit: f64,
    /// Mean of the ranks, 0.5 for a choice that means nothing.
    pub mean_rank: f64,
    /// Share of winners with a measure below 0 out of sample.
    pub probability_of_loss: f64,
    /// Least-squares line of the measure out of sample on the one in sample.
    pub degradation: Result<Line, Undefined>,
}

/// A straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Change of the second value by one unit of the first.
    pub slope: f64,
    /// Second value where the first is 0.
    pub intercept: f64,
}

impl Overfitting {
    /// Of trials that differ from each other, on blocks of equal length.
    ///
    /// # Errors
    /// If there are fewer than two trials, the number of blocks is odd or not in 2 to 20, a block has fewer than ten days,
    /// or no trial varies.
    pub fn of(blocks: &BlockSums, measure: Measure) -> Result<Self, Undefined> {
        let (trials, count) = (blocks.trials().len(), blocks.blocks());
        if trials < 2 {
            return Err(Undefined::TooFewTrials { found: trials, needed: 2 });
        }
        if !(2..=MOST_BLOCKS).contains(&count) || count % 2 == 1 {
            return Err(Undefined::Blocks { found: count });
        }
        let days = (0..count).map(|block| blocks.days(block).len()).min().unwrap_or(0);
        if days < FEWEST_DAYS {
            return Err(Undefined::ShortBlocks { found: days, needed: FEWEST_DAYS });
        }
        let table = SubsetSums::of(blocks);
        let inverse_days = 1.0 / (days * count / 2) as f64;
        let masks = halves(count);
        // The complement of the n-th half from the front is the n-th from the back.
        let pairs = &masks[..masks.len() / 2];
        let all = (1_u32 << count) - 1;
        let compared: Vec<[Option<Half>; 2]> = pairs
            .par_iter()
            .with_min_len(16)
            .map_init(
                || [vec![0.0; trials], vec![0.0; trials]],
                |[sample, rest], &mask| {
                    table.measure(mask, measure, inverse_days, sample);
                    table.measure(all & !mask, measure, inverse_days, rest);
                    [compare(sample, rest, blocks.trials()), compare(rest, sample, blocks.trials())]
                },
            )
            .collect();
        let in_order = compared.iter().map(|pair| pair[0]).chain(compared.iter().rev().map(|pair| pair[1]));
        Self::summed_up(in_order.flatten().collect(), masks.len())
    }

    fn summed_up(halves: Vec<Half>, all: usize) -> Result<Self, Undefined> {
        if halves.is_empty() {
            return Err(Undefined::NoDeviation);
        }
        let count = halves.len() as f64;
        let share =
            |counts: &dyn Fn(&Half) -> bool| halves.iter().filter(|half| counts(half)).count() as f64 / count;
        let logits: Vec<f64> = halves.iter().map(Half::logit).collect();
        let points: Vec<(f64, f64)> =
            halves.iter().filter_map(|half| Some((half.in_sample, half.out_of_sample?))).collect();
        Ok(Self {
            undecided: all - halves.len(),
            probability: share(&|half| half.rank <= 0.5),
            below_median: share(&|half| half.rank < 0.5),
            mean_logit: logits.iter().sum::<f64>() / count,
            median_logit: median(&logits),
            mean_rank: halves.iter().map(|half| half.rank).sum::<f64>() / count,
            probability_of_loss: share(&|half| half.out_of_sample.is_some_and(|measure| measure < 0.0)),
            degradation: Line::through(&points),
            halves,
        })
    }
}

impl Line {
    /// Least squares.
    ///
    /// # Errors
    /// If there are fewer than two points, or their first values do not vary.
    fn through(points: &[(f64, f64)]) -> Result<Self, Undefined> {
        let count = points.len();
        if count < 2 {
            return Err(Undefined::TooFewObservations { found: count, needed: 2 });
        }
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count as f64;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count as f64;
        let products: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let squares: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        if squares <= 1e-28 * count as f64 {
            return Err(Undefined::NoDeviation);
        }
        let slope = products / squares;
        Ok(Self { slope, intercept: mean_y - slope * mean_x })
    }
}

/// Halves of so many blocks as sets of bits, in lexicographic order of the block numbers (block 0 is bit 0).
fn halves(blocks: usize) -> Vec<u32> {
    fn choose(from: usize, left: usize, blocks: usize, mask: u32, found: &mut Vec<u32>) {
        if left == 0 {
            return found.push(mask);
        }
        for block in from..=blocks - left {
            choose(block + 1, left - 1, blocks, mask | 1 << block, found);
        }
    }
    let mut found = Vec::new();
    choose(0, blocks / 2, blocks, 0, &mut found);
    found
}

/// Blocks are summed in so many groups; a half of them is one subset of each.
const GROUPS: usize = 4;

/// Sums of all subsets of the blocks of each group, with the trials of a subset side by side.
struct SubsetSums {
    trials: usize,
    /// Blocks of a group.
    width: usize,
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl SubsetSums {
    fn of(blocks: &BlockSums) -> Self {
        let (trials, count) = (blocks.trials().len(), blocks.blocks());
        let width = count.div_ceil(GROUPS);
        let rows = GROUPS << width;
        let by_trial: Vec<&[Sums]> = blocks.iter().map(|(_, sums)| sums).collect();
        let fill = |part: fn(&Sums) -> f64| {
            let mut table = vec![0.0; rows * trials];
            for row in (0..rows).filter(|row| row % (1 << width) != 0) {
                let (group, subset) = (row >> width, row % (1 << width));
                let highest = subset.ilog2() as usize;
                let block = group * width + highest;
                if block >= count {
                    continue;
                }
                let (before, this) = table.split_at_mut(row * trials);
                let rest = &before[((group << width) + (subset ^ 1 << highest)) * trials..][..trials];
                for ((cell, rest), sums) in this.iter_mut().zip(rest).zip(&by_trial) {
                    *cell = rest + part(&sums[block]);
                }
            }
            table
        };
        Self { trials, width, sum: fill(|sums| sums.sum), squares: fill(|sums| sums.squares) }
    }

    /// The measure of every trial on a set of blocks.
    fn measure(&self, mask: u32, measure: Measure, inverse_days: f64, out: &mut [f64]) {
        match measure {
            Measure::Sharpe => self.fill(mask, out, |sums| measured(Measure::Sharpe, sums, inverse_days)),
            Measure::Mean => self.fill(mask, out, |sums| measured(Measure::Mean, sums, inverse_days)),
        }
    }

    #[inline(always)]
    fn fill(&self, mask: u32, out: &mut [f64], value: impl Fn(Sums) -> f64) {
        let count = out.len();
        let rows: [usize; GROUPS] = std::array::from_fn(|group| {
            let subset = mask as usize >> (group * self.width) & ((1 << self.width) - 1);
            ((group << self.width) + subset) * self.trials
        });
        let [a, b, c, d] = rows.map(|row| &self.sum[row..][..count]);
        let [e, f, g, h] = rows.map(|row| &self.squares[row..][..count]);
        for (i, out) in out.iter_mut().enumerate() {
            let sums = Sums { sum: (a[i] + b[i]) + (c[i] + d[i]), squares: (e[i] + f[i]) + (g[i] + h[i]) };
            *out = units(value(sums));
        }
    }
}

/// Who wins by the first measures, and where that trial stands by the second ones. `None` if no trial has the first.
fn compare(sample: &[f64], rest: &[f64], trials: &[u32]) -> Option<Half> {
    let best = highest(sample);
    let in_sample = from_units(best)?;
    let winner = sample.iter().position(|&value| value == best)?;
    let own = rest[winner];
    let below: usize = rest.iter().map(|&value| usize::from(value < own)).sum();
    let equal: usize = rest.iter().map(|&value| usize::from(value == own)).sum();
    let rank = below as f64 + (equal as f64 + 1.0) / 2.0;
    Some(Half {
        winner: trials[winner],
        in_sample,
        out_of_sample: from_units(own),
        rank: rank / (sample.len() as f64 + 1.0),
    })
}

/// The highest value, in lanes.
fn highest(values: &[f64]) -> f64 {
    let more = |a: f64, b: f64| if a > b { a } else { b };
    let (blocks, rest) = values.as_chunks::<8>();
    let mut lanes = [f64::NEG_INFINITY; 8];
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = more(value, *lane);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f64::NEG_INFINITY, |a, b| more(b, a))
}
