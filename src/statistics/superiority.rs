//! Whether the best of many trials beats a benchmark by more than the luck of a search: White's reality check (2000)
//! and Hansen's test for superior predictive ability (2005), both by the stationary bootstrap. Trials meet in maxima
//! alone, so that parts of a study can be computed anywhere and merged in any order.

use rayon::prelude::*;

use super::Undefined;
use super::bootstrap::Samples;
use super::series::mean;

/// Trials that are resampled side by side.
const LANES: usize = 8;

/// The largest statistics over some trials.
#[derive(Debug, Clone, PartialEq)]
pub struct Maxima {
    /// Trials that were looked at.
    pub trials: usize,
    /// Trials that "consistent" recentres, because they are not clearly worse than the benchmark.
    pub recentred: usize,
    /// Of the mean differences themselves (White).
    pub plain: Maximum,
    /// Of mean differences over their standard error (Hansen). Trials whose differences do not vary are left out.
    pub studentised: Maximum,
}

/// The largest statistic, and the largest of each replication under the hypothesis.
#[derive(Debug, Clone, PartialEq)]
pub struct Maximum {
    /// `max_k sqrt(T) d̄_k`. `-∞` without trials. Hansen's maximum with 0 is not taken: a search that found nothing
    /// better than the benchmark shows it.
    pub statistic: f64,
    /// By recentring, in the order of [`PValues`], and replication.
    pub replications: [Vec<f64>; 3],
}

/// Share of replications with a larger statistic, under three recentrings of the trials: lower (only those better than
/// the benchmark), consistent (all but the clearly worse), upper (all).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PValues {
    /// A lower bound.
    pub lower: f64,
    /// The one to read.
    pub consistent: f64,
    /// An upper bound.
    pub upper: f64,
}

impl Maxima {
    /// Of no trials.
    pub fn none(replications: usize) -> Self {
        let nothing = || Maximum {
            statistic: f64::NEG_INFINITY,
            replications: std::array::from_fn(|_| vec![f64::NEG_INFINITY; replications]),
        };
        Self { trials: 0, recentred: 0, plain: nothing(), studentised: nothing() }
    }

    /// Of trials by their daily returns minus the benchmark's, each as long as the rows of `samples`; `mean_block` is
    /// the mean block length that those were drawn with.
    pub fn of(differences: &[&[f64]], samples: &Samples, mean_block: f64) -> Self {
        let none = || Self::none(samples.replications());
        differences
            .par_chunks(LANES)
            .fold(none, |mut maxima, trials| {
                maxima.add(trials, samples, mean_block);
                maxima
            })
            .reduce(none, |mut a, b| {
                a.merge(&b);
                a
            })
    }

    /// Joins the maxima of other trials over the same samples.
    pub fn merge(&mut self, other: &Self) {
        self.trials += other.trials;
        self.recentred += other.recentred;
        self.plain.merge(&other.plain);
        self.studentised.merge(&other.studentised);
    }

    /// At most as many trials as there are lanes.
    fn add(&mut self, trials: &[&[f64]], samples: &Samples, mean_block: f64) {
        let rows = samples.rows();
        let root = (rows as f64).sqrt();
        let mut lanes = [Lane::EMPTY; LANES];
        for (lane, returns) in lanes.iter_mut().zip(trials) {
            *lane = Lane::of(returns, mean_block);
            self.trials += 1;
            self.recentred += usize::from(lane.consistent == lane.mean);
            self.plain.statistic = self.plain.statistic.max(root * lane.mean);
            if lane.inverse_error > 0.0 {
                let studentised = root * lane.mean * lane.inverse_error;
                self.studentised.statistic = self.studentised.statistic.max(studentised);
            }
        }
        // Sums of the first rows, trials side by side: a run of rows is one difference.
        let mut until = vec![[0.0; LANES]; rows + 1];
        for (lane, returns) in trials.iter().enumerate() {
            let mut sum = 0.0;
            for (until, value) in until[1..].iter_mut().zip(*returns) {
                sum += value;
                until[lane] = sum;
            }
        }
        for replication in 0..samples.replications() {
            let mut sums = [0.0; LANES];
            for run in samples.runs(replication) {
                let (from, to) = (&until[run.start], &until[run.end]);
                for ((sum, to), from) in sums.iter_mut().zip(to).zip(from) {
                    *sum += to - from;
                }
            }
            for (lane, sum) in lanes.iter().zip(sums).take(trials.len()) {
                let drawn = sum / rows as f64;
                let centres = [lane.lower(), lane.consistent, lane.mean];
                for (variant, centre) in centres.into_iter().enumerate() {
                    let statistic = root * (drawn - centre);
                    raise(&mut self.plain.replications[variant][replication], statistic);
                    if lane.inverse_error > 0.0 {
                        let studentised = statistic * lane.inverse_error;
                        raise(&mut self.studentised.replications[variant][replication], studentised);
                    }
                }
            }
        }
    }
}

fn raise(highest: &mut f64, value: f64) {
    if value > *highest {
        *highest = value;
    }
}

impl Maximum {
    fn merge(&mut self, other: &Self) {
        raise(&mut self.statistic, other.statistic);
        for (ours, theirs) in self.replications.iter_mut().zip(&other.replications) {
            for (highest, value) in ours.iter_mut().zip(theirs) {
                raise(highest, *value);
            }
        }
    }

    /// p-values of "no trial is better than the benchmark".
    ///
    /// # Errors
    /// If no trial has the statistic, or nothing was resampled.
    pub fn p_values(&self) -> Result<PValues, Undefined> {
        if self.statistic == f64::NEG_INFINITY {
            return Err(Undefined::NoDeviation);
        }
        let count = self.replications[0].len();
        if count == 0 {
            return Err(Undefined::TooFewObservations { found: 0, needed: 1 });
        }
        let [lower, consistent, upper] = [0, 1, 2].map(|variant: usize| {
            let larger = self.replications[variant].iter().filter(|&&value| value > self.statistic);
            larger.count() as f64 / count as f64
        });
        Ok(PValues { lower, consistent, upper })
    }
}

/// What is known of a trial before anything is drawn.
#[derive(Debug, Clone, Copy)]
struct Lane {
    mean: f64,
    /// What "consistent" takes off: the mean, or 0 for a trial that is clearly worse.
    consistent: f64,
    /// One over ω; 0 if the differences do not vary.
    inverse_error: f64,
}

impl Lane {
    const EMPTY: Self = Self { mean: 0.0, consistent: 0.0, inverse_error: 0.0 };

    fn of(returns: &[f64], mean_block: f64) -> Self {
        let rows = returns.len() as f64;
        let mean = mean(returns);
        let variance = bootstrap_variance(returns, mean_block);
        let varies = variance > 1e-28;
        let threshold = -(variance.max(0.0) / rows * 2.0 * rows.ln().ln().max(0.0)).sqrt();
        Self {
            mean,
            consistent: if mean >= threshold { mean } else { 0.0 },
            inverse_error: if varies { 1.0 / variance.sqrt() } else { 0.0 },
        }
    }

    fn lower(&self) -> f64 {
        self.mean.max(0.0)
    }
}

/// ω²: what the stationary bootstrap with this mean block length makes the variance of `sqrt(T) d̄` (Politis, Romano
/// 1994; Hansen 2005, appendix): `γ₀ + 2 Σ κ(i) γᵢ` with `κ(i) = (1 - i/T) aⁱ + i/T aᵀ⁻ⁱ` and `a = 1 - 1/L`. NaN
/// without values.
///
/// The weights are geometric, so both sums over the lags are recursions along the days: `T` steps and not `T²`.
pub fn bootstrap_variance(returns: &[f64], mean_block: f64) -> f64 {
    let rows = returns.len() as f64;
    let a = 1.0 - 1.0 / mean_block.max(1.0);
    let mean = mean(returns);
    // Backwards: `near` is Σ aⁱ x(t+i), `far` is Σ i aⁱ x(t+i).
    let (mut squares, mut near, mut far, mut next, mut direct) = (0.0, 0.0, 0.0, 0.0, 0.0);
    // Around the end: `wrapped` is Σ aᵀ⁻ˢ x(s), `moment` is Σ (T - s) aᵀ⁻ˢ x(s) over the later days s.
    let (mut power, mut wrapped, mut moment) = (1.0, 0.0, 0.0);
    let mut around = vec![(0.0, 0.0); returns.len()];
    for (day, value) in returns.iter().enumerate().rev() {
        let value = value - mean;
        far = a * (far + near + next);
        near = a * (near + next);
        squares += value * value;
        direct += value * (near - far / rows);
        next = value;
        around[day] = (wrapped, moment);
        power *= a;
        wrapped += power * value;
        moment += power * value * (rows - day as f64);
    }
    let (mut power, mut circular) = (1.0, 0.0);
    for (day, value) in returns.iter().enumerate() {
        if power == 0.0 {
            break;
        }
        let (wrapped, moment) = around[day];
        circular += (value - mean) * power * ((rows - day as f64) * wrapped - moment) / rows;
        power *= a;
    }
    (squares + 2.0 * (direct + circular)) / rows
}
