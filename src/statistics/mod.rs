//! How far a result can be believed: estimation error of the Sharpe ratio, selection among many trials, resampling,
//! validation out of sample, comparison of two series, and whether a signal could have been known. Plain arithmetic
//! on slices of numbers, the same on every machine and for every number of threads. No files, no clock, no configs;
//! what a run returned is measured by `engine::metrics`.
//!
//! Conventions, here and everywhere below: returns are daily and Sharpe ratios per day; deviations divide by the
//! number of values (`ddof = 0`) unless said otherwise; skew and kurtosis are biased and a normal distribution has
//! kurtosis 3; what a formula does not define is an [`Undefined`] that says why.
//!
//! | to learn | read |
//! | --- | --- |
//! | whether one Sharpe ratio is above a benchmark | [`sharpe`] |
//! | what is left of it after a search among trials | [`deflation`], [`overfitting`], [`superiority`], [`discovery`] |
//! | how uncertain any figure of a series is | [`bootstrap`], [`block_length`], [`interval`] |
//! | what a choice would have earned later | [`splits`], [`selection`] |
//! | whether two series differ | [`difference`], [`comparison`] |
//! | whether a signal predicts, or has peeked | [`timing`], [`factors`] |
//! | what a part of a study leaves for the whole | [`blocks`], [`parts`] |

pub mod block_length;
pub mod blocks;
pub mod bootstrap;
pub mod comparison;
pub mod deflation;
pub mod difference;
pub mod discovery;
pub mod factors;
pub mod interval;
pub mod long_run;
pub mod normal;
pub mod overfitting;
pub mod parts;
pub mod random;
pub mod ranks;
pub mod selection;
pub mod series;
pub mod sharpe;
pub mod splits;
pub mod superiority;
pub mod timing;

/// Why a figure has no value.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Undefined {
    /// A series that is too short.
    #[error("{found} observations, {needed} are needed")]
    TooFewObservations {
        /// Observations there are.
        found: usize,
        /// Observations that the figure needs.
        needed: usize,
    },
    /// A comparison among fewer trials than it needs.
    #[error("{found} distinct trials, {needed} are needed")]
    TooFewTrials {
        /// Trials there are.
        found: usize,
        /// Trials that the figure needs.
        needed: usize,
    },
    /// A number of blocks that cannot be halved, or more than are computed.
    #[error("{found} blocks; an even number from 2 to 20 is needed")]
    Blocks {
        /// Blocks there are.
        found: usize,
    },
    /// Blocks that say too little.
    #[error("blocks of {found} days, {needed} are needed")]
    ShortBlocks {
        /// Days of a block.
        found: usize,
        /// Days that a block needs.
        needed: usize,
    },
    /// Values that are all the same, so that nothing can be divided by their deviation.
    #[error("the values do not vary")]
    NoDeviation,
    /// Skew and kurtosis that leave the estimate no variance.
    #[error("the moments leave the estimate no variance")]
    NoVariance,
    /// A Sharpe ratio that no length of record would put above the benchmark.
    #[error("the Sharpe ratio is not above the benchmark")]
    NotAbove,
    /// A growth that has no root, because everything is lost.
    #[error("everything is lost")]
    Ruin,
}
