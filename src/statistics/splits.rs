//! Which days to choose on and which to look at afterwards: walk-forward and combinatorial purged cross-validation
//! (López de Prado 2018, "Advances in Financial Machine Learning", chapters 7 and 12), row for row as skfolio 1.12.2.

use std::ops::Range;

/// One choice and where it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Days to choose on; ranges ascend and do not touch.
    pub train: Vec<Range<usize>>,
    /// Days to try the choice on.
    pub test: Vec<Test>,
}

/// Days of a test, and the path through all days that they are a piece of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Positions of the days, the end excluded.
    pub days: Range<usize>,
    /// Number of the path.
    pub path: usize,
}

/// Why days cannot be split this way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Not one whole window.
    #[error("train {train}, purge {purge} and test {test} are {} days, and there are {days}", train + purge + test)]
    TooFewDays {
        /// Days there are.
        days: usize,
        /// Days to choose on.
        train: usize,
        /// Days between.
        purge: usize,
        /// Days to try on.
        test: usize,
    },
    /// A window without days.
    #[error("train and test need at least one day")]
    EmptyWindow,
    /// Numbers of folds that make no sense.
    #[error(
        "{folds} folds with {test_folds} for the test: at least 3 and 2 are needed, and one left to train on"
    )]
    Folds {
        /// All folds.
        folds: usize,
        /// Folds of a test.
        test_folds: usize,
    },
    /// More splits than are computed.
    #[error("{test_folds} of {folds} folds make more than {most} splits")]
    TooManySplits {
        /// All folds.
        folds: usize,
        /// Folds of a test.
        test_folds: usize,
        /// Splits at most.
        most: usize,
    },
    /// Folds that purge and embargo would use up.
    #[error("purge {purge} and embargo {embargo} must be less than a fold of {fold} days minus one")]
    ShortFolds {
        /// Days taken off beside a test.
        purge: usize,
        /// Further days taken off after a test.
        embargo: usize,
        /// Days of a fold.
        fold: usize,
    },
}

/// A window that moves on by the length of its test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkForward {
    /// Days to choose on.
    pub train: usize,
    /// Days to try on.
    pub test: usize,
    /// Days left out between them.
    pub purge: usize,
    /// Whether training starts at the first day always.
    pub expanding: bool,
}

impl WalkForward {
    /// The splits of so many days, all on path 0. A last test that would be shorter is dropped.
    ///
    /// # Errors
    /// If a window is empty, or there are fewer days than one split needs.
    pub fn splits(&self, days: usize) -> Result<Vec<Split>, SplitError> {
        let Self { train, test, purge, expanding } = *self;
        if train == 0 || test == 0 {
            return Err(SplitError::EmptyWindow);
        }
        let whole = train.saturating_add(purge).saturating_add(test);
        if whole > days {
            return Err(SplitError::TooFewDays { days, train, purge, test });
        }
        let splits = (0..=(days - whole) / test).map(|split| {
            let moved = split * test;
            let train_to = moved + train;
            let from = train_to + purge;
            Split {
                train: vec![if expanding { 0..train_to } else { moved..train_to }],
                test: vec![Test { days: from..from + test, path: 0 }],
            }
        });
        Ok(splits.collect())
    }
}

/// Every choice of some folds for the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CombinatorialPurged {
    /// Pieces that the days are cut into; the last takes what is left over.
    pub folds: usize,
    /// Folds of each test.
    pub test_folds: usize,
    /// Days taken off training before and after each test.
    pub purge: usize,
    /// Further days taken off training after each test.
    pub embargo: usize,
}

impl CombinatorialPurged {
    /// Splits at most.
    pub const MOST_SPLITS: usize = 10_000;

    /// The splits of so many days, in lexicographic order of their test folds.
    ///
    /// # Errors
    /// If the folds make no sense, are too many, or too short for purge and embargo.
    pub fn splits(&self, days: usize) -> Result<Vec<Split>, SplitError> {
        let Self { folds, test_folds, purge, embargo } = *self;
        if folds < 3 || test_folds < 2 || test_folds >= folds {
            return Err(SplitError::Folds { folds, test_folds });
        }
        if binomial(folds, test_folds).is_none_or(|splits| splits > Self::MOST_SPLITS) {
            return Err(SplitError::TooManySplits { folds, test_folds, most: Self::MOST_SPLITS });
        }
        let fold = days / folds;
        if purge.saturating_add(embargo).saturating_add(1) >= fold {
            return Err(SplitError::ShortFolds { purge, embargo, fold });
        }
        let days_of = |number: usize| {
            let to = if number + 1 == folds { days } else { (number + 1) * fold };
            number * fold..to
        };
        // The n-th time that a fold is tested belongs to the n-th path.
        let mut tested = vec![0; folds];
        let splits = combinations(folds, test_folds).into_iter().map(|chosen| {
            let mut train: Vec<Range<usize>> = Vec::new();
            for number in (0..folds).filter(|number| !chosen.contains(number)) {
                let Range { start, end } = days_of(number);
                let after_test = number > 0 && chosen.contains(&(number - 1));
                let before_test = chosen.contains(&(number + 1));
                let start = if after_test { start + purge + embargo } else { start };
                let end = if before_test { end - purge } else { end };
                match train.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ if start < end => train.push(start..end),
                    _ => (),
                }
            }
            let test = chosen.iter().map(|&number| {
                tested[number] += 1;
                Test { days: days_of(number), path: tested[number] - 1 }
            });
            Split { train, test: test.collect() }
        });
        Ok(splits.collect())
    }

    /// Number of paths through all days: `C(N, k) k / N`.
    pub fn paths(&self) -> usize {
        binomial(self.folds, self.test_folds).map_or(0, |splits| splits * self.test_folds / self.folds.max(1))
    }
}

/// `None` beyond what is ever computed.
fn binomial(of: usize, choose: usize) -> Option<usize> {
    (0..choose.min(of.saturating_sub(choose)))
        .try_fold(1_usize, |product, step| Some(product.checked_mul(of - step)? / (step + 1)))
}

/// All sets of `choose` numbers below `of`, in lexicographic order.
fn combinations(of: usize, choose: usize) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    let mut chosen: Vec<usize> = (0..choose).collect();
    loop {
        found.push(chosen.clone());
        let Some(place) = (0..choose).rev().find(|&place| chosen[place] < of - choose + place) else {
            return found;
        };
        chosen[place] += 1;
        for later in place + 1..choose {
            chosen[later] = chosen[later - 1] + 1;
        }
    }
}

/// Days at which anything begins or ends, ascending: blocks between these are enough to choose on any split.
pub fn edges(splits: &[Split]) -> Vec<usize> {
    let ranges =
        splits.iter().flat_map(|split| split.train.iter().chain(split.test.iter().map(|test| &test.days)));
    let mut edges: Vec<usize> = ranges.flat_map(|range| [range.start, range.end]).collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}
