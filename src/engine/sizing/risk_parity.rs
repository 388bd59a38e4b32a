//! Equal risk contributions, long only: weights of which each times its row of the covariance is the same share of the
//! variance. They are those of the least of `x'Sx / 2 - sum(ln x)`, scaled to sum 1 (Maillard, Roncalli, Teiletche 2010).

use clarabel::solver::SupportedConeT;

use super::solver::{Programme, solve_positive, sparse, upper};

/// To which the solver goes: near enough for the last steps to end at the solution.
const TOLERANCE: f64 = 1e-6;
/// Relative difference of a contribution to the mean one that is rounding, and the largest that is taken.
const ROUNDING: f64 = 1e-13;
const EQUAL_RISK: f64 = 1e-9;
/// Each step squares the difference, so that a few are enough.
const STEPS: usize = 12;

/// The weights of equal risk. Every variance is above 0.
///
/// # Errors
/// If there are none, as long positions can make the variance 0, in words.
pub(super) fn weights(covariance: &[f64], n: usize) -> Result<Vec<f64>, String> {
    let deviation = |i: usize| covariance[i * n + i].sqrt();
    // In units of deviations, so that calm and wild names look alike to the solver.
    let correlations: Vec<f64> =
        (0..n * n).map(|at| covariance[at] / (deviation(at / n) * deviation(at % n))).collect();
    let mut x = within_tolerance(&correlations, n).map_err(|problem| {
        format!("no equal risk contributions ({problem}): a longer lookback, or fewer names, may have them")
    })?;
    refine(&correlations, &mut x)?;
    let weights = x.iter().enumerate().map(|(i, x)| x / deviation(i));
    let total: f64 = weights.clone().sum();
    Ok(weights.map(|weight| weight / total).collect())
}

/// The least of the convex function within the tolerance of an interior point: of `x'Cx / 2 - sum(t)`, where `exp(t) <= x`.
fn within_tolerance(correlations: &[f64], n: usize) -> Result<Vec<f64>, String> {
    // b - A (x, t) is (t, 1, x) for each name, an element of the exponential cone.
    let x_rows = (0..n).map(|i| (3 * i + 2, i, -1.0));
    let t_rows = (0..n).map(|i| (3 * i, n + i, -1.0));
    let programme = Programme {
        p: upper(n, 2 * n, |i, j| correlations[i * n + j]),
        q: (0..2 * n).map(|column| if column < n { 0.0 } else { -1.0 }).collect(),
        a: sparse(3 * n, 2 * n, x_rows.chain(t_rows)),
        b: (0..3 * n).map(|row| if row % 3 == 1 { 1.0 } else { 0.0 }).collect(),
        cones: (0..n).map(|_| SupportedConeT::ExponentialConeT()).collect(),
    };
    let mut found = programme.solve(TOLERANCE)?;
    found.truncate(n);
    Ok(found)
}

/// Newton's method from near the solution of `Cx = 1 / x`, where it squares the difference with each step.
///
/// # Errors
/// If it does not get there.
fn refine(correlations: &[f64], x: &mut [f64]) -> Result<(), String> {
    let n = x.len();
    let mut difference = f64::INFINITY;
    for _ in 0..STEPS {
        let row = |i: usize| (0..n).map(|j| correlations[i * n + j] * x[j]).sum::<f64>();
        let mut step: Vec<f64> = (0..n).map(|i| 1.0 / x[i] - row(i)).collect();
        let before = difference;
        difference = step.iter().zip(&*x).fold(0.0, |most: f64, (step, x)| most.max((step * x).abs()));
        let stands = difference <= EQUAL_RISK && difference >= before / 2.0;
        if difference <= ROUNDING || stands || !difference.is_finite() {
            break;
        }
        let curvature =
            upper(n, n, |i, j| correlations[i * n + j] + if i == j { 1.0 / (x[i] * x[i]) } else { 0.0 });
        if !solve_positive(&curvature, &mut [&mut step[..]]) {
            break;
        }
        x.iter_mut().zip(step).for_each(|(x, step)| *x += step);
    }
    if difference <= EQUAL_RISK && x.iter().all(|&x| x > 0.0) {
        return Ok(());
    }
    Err(format!("no equal risk contributions: they differ by {difference:e} of the mean one"))
}

#[cfg(test)]
mod tests {
    use super::weights;

    /// Of two names the one has the same contribution as the other at 1 / deviation, whatever their correlation.
    #[test]
    fn two_names_share_by_inverse_deviation() {
        for covariance in [0.0, 0.9, -1.9] {
            let found = weights(&[1.0, covariance, covariance, 4.0], 2).unwrap();
            assert!(
                (found[0] - 2.0 / 3.0).abs() < 1e-12 && (found[1] - 1.0 / 3.0).abs() < 1e-12,
                "{found:?}"
            );
        }
    }

    /// Contributions of w to w'Sw, for a covariance without any symmetry between the names.
    #[test]
    fn contributions_are_equal() {
        let covariance =
            [4.0, 1.2, -0.06, 0.5, 1.2, 1.0, 0.2, 0.1, -0.06, 0.2, 0.09, 0.0, 0.5, 0.1, 0.0, 9.0];
        let found = weights(&covariance, 4).unwrap();
        let row = |i: usize| (0..4).map(|j| covariance[i * 4 + j] * found[j]).sum::<f64>();
        let variance: f64 = (0..4).map(|i| found[i] * row(i)).sum();
        for i in 0..4 {
            assert!((found[i] * row(i) / variance - 0.25).abs() < 1e-12, "{found:?}");
        }
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-14);
    }

    /// Two names that move against each other by as much: held together they do not move at all.
    #[test]
    fn a_hedge_without_risk_has_no_contributions() {
        let problem = weights(&[1.0, -1.0, -1.0, 1.0], 2).unwrap_err();
        assert!(problem.starts_with("no equal risk contributions"), "{problem}");
    }
}
