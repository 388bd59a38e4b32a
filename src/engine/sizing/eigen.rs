//! Eigenvalues of a symmetric matrix by Jacobi rotations, and with them its pseudo-inverse. Small matrices only:
//! a covariance of the names in one decision.

use crate::engine::rounding::EQUAL;

/// Each sweep turns every pair once; convergence is quadratic, so that this is never reached.
const MAX_SWEEPS: usize = 64;

/// The Moore-Penrose pseudo-inverse of a symmetric matrix (`n` by `n`, row by row) times a vector.
pub(super) fn pseudo_inverse_times(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
    let n = vector.len();
    let (values, vectors) = decompose(matrix, n);
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let mut product = vec![0.0; n];
    for (k, &value) in values.iter().enumerate() {
        if value.abs() <= EQUAL * largest {
            continue;
        }
        let along: f64 = (0..n).map(|i| vectors[i * n + k] * vector[i]).sum();
        for (i, cell) in product.iter_mut().enumerate() {
            *cell += vectors[i * n + k] * along / value;
        }
    }
    product
}

/// Eigenvalues, and eigenvectors as the columns of a matrix.
fn decompose(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut a = matrix.to_vec();
    let mut v: Vec<f64> = (0..n * n).map(|cell| if cell / n == cell % n { 1.0 } else { 0.0 }).collect();
    for _ in 0..MAX_SWEEPS {
        let off: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        let diagonal: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
        if off <= diagonal * f64::EPSILON * f64::EPSILON {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut v, n, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), v)
}

/// Turns rows and columns `p` and `q` so that their common cell becomes 0.
fn rotate(a: &mut [f64], v: &mut [f64], n: usize, p: usize, q: usize) {
    let common = a[p * n + q];
    if common == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * common);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cos = 1.0 / t.hypot(1.0);
    let sin = t * cos;
    let turn = |m: &mut [f64], one: usize, two: usize| {
        let (x, y) = (m[one], m[two]);
        m[one] = cos * x - sin * y;
        m[two] = sin * x + cos * y;
    };
    for k in 0..n {
        turn(a, k * n + p, k * n + q);
    }
    for k in 0..n {
        turn(a, p * n + k, q * n + k);
    }
    for k in 0..n {
        turn(v, k * n + p, k * n + q);
    }
}

#[cfg(test)]
mod tests {
    use super::pseudo_inverse_times;

    /// Inverse of [[2, 1], [1, 2]] is [[2, -1], [-1, 2]] / 3; times (3, 0) that is (2, -1).
    #[test]
    fn regular_matrix() {
        let product = pseudo_inverse_times(&[2.0, 1.0, 1.0, 2.0], &[3.0, 0.0]);
        assert!((product[0] - 2.0).abs() < 1e-14 && (product[1] + 1.0).abs() < 1e-14, "{product:?}");
    }

    /// [[1, 1], [1, 1]] has the one direction (1, 1) / sqrt 2 with value 2: the pseudo-inverse is a quarter of it.
    #[test]
    fn singular_matrix() {
        let product = pseudo_inverse_times(&[1.0; 4], &[3.0, 1.0]);
        assert!(product.iter().all(|x| (x - 1.0).abs() < 1e-14), "{product:?}");
    }
}
