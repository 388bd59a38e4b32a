//! The least variance of weights that sum to 1, none below 0 or above a cap. Which names lie on a bound is found by the
//! solver; what the others have is the solution of a linear system then, exact but for rounding.

use clarabel::solver::SupportedConeT;

use super::solver::{Programme, solve_positive, sparse, upper};
use crate::engine::rounding::EQUAL;

/// To which the solver goes, and within which a weight lies on a bound.
const TOLERANCE: f64 = 1e-8;
const ON_BOUND: f64 = 1e-6;

/// The weights of least variance. Where all at the cap sum to no more than 1 they are that.
///
/// # Errors
/// If the solver finds none, in words.
pub(super) fn weights(covariance: &[f64], n: usize, cap: f64) -> Result<Vec<f64>, String> {
    if n as f64 * cap <= 1.0 + EQUAL {
        return Ok(vec![cap; n]);
    }
    if let Some(exact) = on_face(covariance, n, cap, &vec![Place::Free; n]) {
        return Ok(exact);
    }
    let near = within_tolerance(covariance, n, cap)?;
    let places: Vec<Place> = near.iter().map(|&weight| Place::of(weight, cap)).collect();
    let rounded = |(place, &weight): (&Place, &f64)| match place {
        Place::Zero => 0.0,
        Place::Free => weight,
        Place::Cap => cap,
    };
    let exact = on_face(covariance, n, cap, &places);
    Ok(exact.unwrap_or_else(|| places.iter().zip(&near).map(rounded).collect()))
}

/// Where a weight lies.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Zero,
    Free,
    Cap,
}

impl Place {
    /// Of a weight as the solver finds it.
    fn of(weight: f64, cap: f64) -> Self {
        if weight < ON_BOUND {
            Self::Zero
        } else if weight > cap - ON_BOUND {
            Self::Cap
        } else {
            Self::Free
        }
    }
}

/// The weights of least variance where those that are not free are fixed. With a multiplier m the free ones solve
/// `S_ff w_f = m 1 - S_fc cap`, and with the fixed ones sum to 1. `None` if the covariance of the free ones is singular, or
/// one of them would leave the bounds.
fn on_face(covariance: &[f64], n: usize, cap: f64, places: &[Place]) -> Option<Vec<f64>> {
    let of_place = |wanted: Place| (0..n).filter(move |&i| places[i] == wanted);
    let free: Vec<usize> = of_place(Place::Free).collect();
    let capped: Vec<usize> = of_place(Place::Cap).collect();
    let left = 1.0 - cap * capped.len() as f64;
    let mut weights = vec![0.0; n];
    capped.iter().for_each(|&i| weights[i] = cap);
    if free.is_empty() {
        return (left.abs() <= EQUAL).then_some(weights);
    }
    let part = upper(free.len(), free.len(), |i, j| covariance[free[i] * n + free[j]]);
    let pull = |i: usize| -> f64 { capped.iter().map(|&j| covariance[i * n + j] * cap).sum() };
    let mut ones = vec![1.0; free.len()];
    let mut pulled: Vec<f64> = free.iter().map(|&i| pull(i)).collect();
    if !solve_positive(&part, &mut [&mut ones[..], &mut pulled[..]]) {
        return None;
    }
    let multiplier = (left + pulled.iter().sum::<f64>()) / ones.iter().sum::<f64>();
    for ((&i, one), pulled) in free.iter().zip(&ones).zip(&pulled) {
        weights[i] = multiplier * one - pulled;
    }
    weights.iter().all(|weight| (0.0..=cap).contains(weight)).then_some(weights)
}

/// The same within the tolerance of an interior point.
fn within_tolerance(covariance: &[f64], n: usize, cap: f64) -> Result<Vec<f64>, String> {
    // Scaled by the largest variance, so that the tolerance means the same for calm and for wild markets.
    let scale = (0..n).map(|i| covariance[i * n + i]).fold(f64::MIN_POSITIVE, f64::max);
    // sum(w) = 1, -w + s = 0 and, where the cap may bind, w + s = cap with s >= 0.
    let bounds = if cap < 1.0 { 2 } else { 1 };
    let of_name = |j: usize| {
        let rows = [(0, j, 1.0), (j + 1, j, -1.0), (n + j + 1, j, 1.0)];
        rows.into_iter().take(1 + bounds)
    };
    let mut b = vec![0.0; 1 + n * bounds];
    b[0] = 1.0;
    b[1 + n..].fill(cap);
    Programme {
        p: upper(n, n, |i, j| covariance[i * n + j] / scale),
        q: vec![0.0; n],
        a: sparse(1 + n * bounds, n, (0..n).flat_map(of_name)),
        b,
        cones: vec![SupportedConeT::ZeroConeT(1), SupportedConeT::NonnegativeConeT(n * bounds)],
    }
    .solve(TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::weights;

    fn assert_near(got: &[f64], want: &[f64]) {
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?}, expected {want:?}");
    }

    /// Uncorrelated names of variances 1, 2 and 4 share by their inverses: 4, 2 and 1 of 7.
    #[test]
    fn uncorrelated_names_share_by_inverse_variance() {
        let covariance = [1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 4.0];
        assert_near(&weights(&covariance, 3, 1.0).unwrap(), &[4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0]);
    }

    /// Capped at 1/2, the first leaves half to the others, which share it as 2 and 1.
    #[test]
    fn what_a_cap_cuts_goes_to_the_others() {
        let covariance = [1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 4.0];
        assert_near(&weights(&covariance, 3, 0.5).unwrap(), &[0.5, 1.0 / 3.0, 1.0 / 6.0]);
        assert_near(&weights(&covariance, 3, 0.3).unwrap(), &[0.3; 3]);
    }

    /// Without bounds the second would be short: variances 1 and 4 with covariance 1.5.
    #[test]
    fn no_name_is_short() {
        assert_near(&weights(&[1.0, 1.5, 1.5, 4.0], 2, 1.0).unwrap(), &[1.0, 0.0]);
    }

    /// Two names that are one: any split has the same variance, and one of them is found.
    #[test]
    fn a_singular_covariance_has_weights() {
        let found = weights(&[1.0; 4], 2, 0.75).unwrap();
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{found:?}");
        assert!(found.iter().all(|weight| (0.0..=0.75).contains(weight)), "{found:?}");
    }
}
