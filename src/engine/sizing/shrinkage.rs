//! Covariances drawn to simpler ones, so that what chance made of them counts less: by a given share, or as far as Ledoit and
//! Wolf say.

use super::history::{Covariance, Returns};
use crate::engine::config::{Shrinkage, ShrinkageRule};

/// The sample covariance of `returns`, drawn to a target as far as is asked for.
pub(super) fn shrunk_covariance(returns: &Returns, how: Shrinkage) -> Covariance {
    let (mut covariance, n) = (returns.covariance(), returns.symbols());
    let (target, share) = match how {
        Shrinkage::Rule(ShrinkageRule::None) => return covariance,
        Shrinkage::Share(share) => (same_variance(&covariance, n), share),
        Shrinkage::Rule(ShrinkageRule::LedoitWolf) => {
            (same_variance(&covariance, n), share_of_same_variance(returns, &covariance))
        }
        Shrinkage::Rule(ShrinkageRule::ConstantCorrelation) => {
            let correlation = mean_correlation(&covariance, n);
            let target = same_correlation(&covariance, n, correlation);
            let share = share_of_same_correlation(returns, &covariance, &target, correlation);
            (target, share)
        }
    };
    for (cell, target) in covariance.iter_mut().zip(target) {
        *cell = share * target + (1.0 - share) * *cell;
    }
    covariance
}

/// The mean variance for all, and no correlation.
fn same_variance(covariance: &[f64], n: usize) -> Covariance {
    let mean = mean_variance(covariance, n);
    (0..n * n).map(|cell| if cell / n == cell % n { mean } else { 0.0 }).collect()
}

fn mean_variance(covariance: &[f64], n: usize) -> f64 {
    (0..n).map(|i| covariance[i * n + i]).sum::<f64>() / n as f64
}

/// The variances as they are, and one correlation for all pairs.
fn same_correlation(covariance: &[f64], n: usize, correlation: f64) -> Covariance {
    let deviation = |i: usize| covariance[i * n + i].sqrt();
    let cell = |i: usize, j: usize| match i == j {
        true => covariance[i * n + i],
        false => correlation * deviation(i) * deviation(j),
    };
    (0..n * n).map(|at| cell(at / n, at % n)).collect()
}

/// Mean correlation of the pairs; 0 without one.
fn mean_correlation(covariance: &[f64], n: usize) -> f64 {
    if n < 2 {
        return 0.0;
    }
    let deviation = |i: usize| covariance[i * n + i].sqrt();
    let all = (0..n * n).map(|at| covariance[at] / (deviation(at / n) * deviation(at % n)));
    (all.sum::<f64>() - n as f64) / (n * (n - 1)) as f64
}

/// The best share of [`same_variance`] in a covariance: Ledoit and Wolf, A well-conditioned estimator for large-dimensional
/// covariance matrices (2004), which takes the population covariance.
fn share_of_same_variance(returns: &Returns, covariance: &[f64]) -> f64 {
    let (n, days) = (returns.symbols(), returns.days() as f64);
    let population = (days - 1.0) / days;
    let mean = population * mean_variance(covariance, n);
    let squares: f64 = covariance.iter().map(|cell| (population * cell).powi(2)).sum();
    let of_day = |day: &[f64]| day.iter().map(|value| value * value).sum::<f64>().powi(2);
    let fourth = returns.less_means().chunks_exact(n).map(of_day).sum::<f64>() / days;
    let distance = squares - n as f64 * mean * mean;
    if distance <= 0.0 {
        return 0.0;
    }
    ((fourth - squares) / days / distance).clamp(0.0, 1.0)
}

/// The best share of `target`, a [`same_correlation`] of that `correlation`, in a covariance: Ledoit and Wolf, Honey, I shrunk
/// the sample covariance matrix (2003), with the sample covariance in it.
fn share_of_same_correlation(returns: &Returns, covariance: &[f64], target: &[f64], correlation: f64) -> f64 {
    let (n, days) = (returns.symbols(), returns.days() as f64);
    let distance: f64 = covariance.iter().zip(target).map(|(cell, target)| (cell - target).powi(2)).sum();
    if distance <= 0.0 {
        return 0.0;
    }
    // Means over days of the squares of two names multiplied, and of the cube of one times the other.
    let (mut squares, mut cubes) = (vec![0.0; n * n], vec![0.0; n * n]);
    for day in returns.less_means().chunks_exact(n) {
        for i in 0..n {
            for j in 0..n {
                squares[i * n + j] += (day[i] * day[j]).powi(2) / days;
                cubes[i * n + j] += day[i].powi(3) * day[j] / days;
            }
        }
    }
    // 1 - 2 (days - 1) / days, as population and sample covariance come together.
    let rest = 2.0 / days - 1.0;
    let (mut noise, mut shared) = (0.0, 0.0);
    for i in 0..n {
        for j in 0..n {
            let (at, variance) = (i * n + j, covariance[i * n + i]);
            let own = squares[at] + rest * covariance[at].powi(2);
            noise += own;
            shared += match i == j {
                true => own,
                false => {
                    let ratio = (covariance[j * n + j] / variance).sqrt();
                    correlation * ratio * (cubes[at] + rest * variance * covariance[at])
                }
            };
        }
    }
    ((noise - shared) / distance / days).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two names, four days without a mean: variances 2/3 · (1, 4), uncorrelated.
    fn returns() -> Returns {
        let columns: [&[f64]; 2] = [&[1.0, -1.0, 0.0, 0.0], &[0.0, 0.0, 2.0, -2.0]];
        Returns::of_columns(columns.into_iter())
    }

    /// The mean variance is 5/3: half of the way from (2/3, 8/3) to it.
    #[test]
    fn a_share_goes_that_part_of_the_way() {
        let half = shrunk_covariance(&returns(), Shrinkage::Share(0.5));
        for (got, want) in half.iter().zip([7.0 / 6.0, 0.0, 0.0, 13.0 / 6.0]) {
            assert!((got - want).abs() < 1e-15, "{half:?}");
        }
    }

    /// Population variances 1/2 and 2: squares 17/4, mean 5/4, distance 17/4 - 25/8 = 9/8. The fourth powers of the days are
    /// 1, 1, 16, 16, their mean 17/2; (17/2 - 17/4) / 4 is 17/16, and 17/16 of 9/8 is 17/18.
    #[test]
    fn the_rule_of_2004_by_hand() {
        let (returns, covariance) = (returns(), returns().covariance());
        assert!((share_of_same_variance(&returns, &covariance) - 17.0 / 18.0).abs() < 1e-15);
    }

    /// Of two names there is one correlation, so that the target is what it is drawn from.
    #[test]
    fn two_names_have_one_correlation() {
        let columns: [&[f64]; 2] = [&[0.01, -0.02, 0.015, 0.0], &[0.02, -0.01, 0.005, 0.01]];
        let returns = Returns::of_columns(columns.into_iter());
        let rule = Shrinkage::Rule(ShrinkageRule::ConstantCorrelation);
        for (got, want) in shrunk_covariance(&returns, rule).iter().zip(returns.covariance()) {
            assert!((got - want).abs() < 1e-15);
        }
    }
}
