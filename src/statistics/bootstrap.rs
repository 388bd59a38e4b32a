//! Which rows a bootstrap draws: the stationary bootstrap (Politis, Romano 1994) and the circular block bootstrap
//! (Politis, Romano 1992). What is made of the rows is up to the caller.

use std::ops::Range;

use super::random::Draws;

/// The rows of every replication, as runs of consecutive rows. No run leads past the last row.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    rows: usize,
    /// First row and the row after the last.
    runs: Vec<(u32, u32)>,
    /// Where the runs of each replication end.
    ends: Vec<usize>,
}

impl Samples {
    /// Stationary bootstrap of `rows` rows: blocks of geometric length with this mean (at least 1), starting anywhere,
    /// wrapping at the end. At each position a new block begins with probability `1 / mean_block`.
    pub fn stationary(rows: usize, mean_block: f64, replications: usize, seed: u64) -> Self {
        let begins = 1.0 / mean_block.max(1.0);
        Self::drawn(rows, replications, seed, rows, |draws, position| {
            let position = position as u64;
            let new = position == 0 || draws.unit(2 * position) < begins;
            new.then(|| draws.below(2 * position + 1, rows))
        })
    }

    /// Circular block bootstrap: as many whole blocks of `block` rows (at least 1) as fit into `rows`, starting anywhere,
    /// wrapping at the end.
    pub fn circular(rows: usize, block: usize, replications: usize, seed: u64) -> Self {
        let block = block.clamp(1, rows.max(1));
        Self::drawn(rows, replications, seed, rows / block * block, |draws, position| {
            (position % block == 0).then(|| draws.below((position / block) as u64, rows))
        })
    }

    /// `start` says at each position where a new block begins, if one does.
    fn drawn(
        rows: usize,
        replications: usize,
        seed: u64,
        length: usize,
        start: impl Fn(Draws, usize) -> Option<usize>,
    ) -> Self {
        let mut samples = Self { rows, runs: Vec::new(), ends: Vec::with_capacity(replications) };
        for replication in 0..replications {
            let draws = Draws::of(seed, replication as u64);
            let mut next = 0;
            samples.push((0..length).map(|position| {
                let row = start(draws, position).unwrap_or(next);
                next = if row + 1 == rows { 0 } else { row + 1 };
                row
            }));
        }
        samples
    }

    /// Samples that were drawn elsewhere; every replication has one row number for each position.
    pub fn given<'a>(rows: usize, replications: impl IntoIterator<Item = &'a [usize]>) -> Self {
        let mut samples = Self { rows, runs: Vec::new(), ends: Vec::new() };
        for drawn in replications {
            samples.push(drawn.iter().copied());
        }
        samples
    }

    fn push(&mut self, drawn: impl Iterator<Item = usize>) {
        let first = self.runs.len();
        for row in drawn {
            let row = row as u32;
            match self.runs[first..].last_mut() {
                Some((_, end)) if *end == row => *end += 1,
                _ => self.runs.push((row, row + 1)),
            }
        }
        self.ends.push(self.runs.len());
    }

    /// Rows that were drawn from.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many series are drawn.
    pub fn replications(&self) -> usize {
        self.ends.len()
    }

    /// Runs of one replication, in the order of its positions.
    pub fn runs(&self, replication: usize) -> impl Iterator<Item = Range<usize>> + Clone {
        let begin = if replication == 0 { 0 } else { self.ends[replication - 1] };
        self.runs[begin..self.ends[replication]].iter().map(|&(from, to)| from as usize..to as usize)
    }
}
