//! Mean against variance, fully invested and long only: maximise `expected · w - risk_aversion * w' · covariance · w`
//! over `w >= 0` with sum 1. A quadratic programme, solved by an interior-point solver.

use clarabel::solver::SupportedConeT;

use super::solver::{Programme, sparse, upper};

/// To which the solver goes.
const TOLERANCE: f64 = 1e-8;

/// Smaller weights are what an interior point leaves of 0.
const NEGLIGIBLE: f64 = 1e-5;

/// The best weights, parallel to the expected returns.
///
/// # Errors
/// If the solver finds none, in words.
pub(super) fn best_weights(
    expected: &[f64],
    covariance: &[f64],
    risk_aversion: f64,
) -> Result<Vec<f64>, String> {
    let n = expected.len();
    // The solver minimises x'Px / 2 + q'x. Scaled by the largest variance, so that its tolerances mean the same
    // for calm and for wild markets.
    let scale = (0..n).map(|i| covariance[i * n + i]).fold(f64::MIN_POSITIVE, f64::max);
    let p = upper(n, n, |i, j| 2.0 * risk_aversion * covariance[i * n + j] / scale);
    let q = expected.iter().map(|mean| -mean / scale).collect();
    // sum(w) = 1, and -w + s = 0 with s >= 0.
    let a = sparse(n + 1, n, (0..n).flat_map(|j| [(0, j, 1.0), (j + 1, j, -1.0)]));
    let mut b = vec![0.0; n + 1];
    b[0] = 1.0;
    let cones = vec![SupportedConeT::ZeroConeT(1), SupportedConeT::NonnegativeConeT(n)];
    let found = Programme { p, q, a, b, cones }.solve(TOLERANCE)?;
    let kept = |weight: f64| if weight < NEGLIGIBLE { 0.0 } else { weight };
    let total: f64 = found.iter().map(|&weight| kept(weight)).sum();
    Ok(found.iter().map(|&weight| kept(weight) / total).collect())
}

#[cfg(test)]
mod tests {
    use super::best_weights;

    /// Two uncorrelated names with equal means and variances 1 and 3: the least variance is at 3/4 and 1/4.
    #[test]
    fn equal_means_share_by_inverse_variance() {
        let weights = best_weights(&[0.1, 0.1], &[1.0, 0.0, 0.0, 3.0], 1.0).unwrap();
        assert!((weights[0] - 0.75).abs() < 1e-6 && (weights[1] - 0.25).abs() < 1e-6, "{weights:?}");
    }

    /// Without risk aversion the highest mean takes all.
    #[test]
    fn no_aversion_takes_the_highest_mean() {
        let weights = best_weights(&[0.01, 0.03, 0.02], &[0.1; 9], 0.0).unwrap();
        assert!((weights[1] - 1.0).abs() < 1e-6, "{weights:?}");
    }
}
