//! The door to the solver of conic programmes, and to its factorisation of symmetric matrices. What is solved is said by the
//! sizers beside it.

use clarabel::algebra::CscMatrix;
use clarabel::qdldl::{QDLDLFactorisation, QDLDLSettings};
use clarabel::solver::{DefaultSettingsBuilder, DefaultSolver, IPSolver as _, SolverStatus, SupportedConeT};

/// Share of a diagonal cell below which what a factorisation leaves of it is rounding: the matrix is singular.
const SINGULAR: f64 = 1e-10;

/// The least of `x'Px / 2 + q'x` over the `x` for which `b - Ax` lies in the cones.
pub(super) struct Programme {
    /// Upper triangle of a symmetric matrix without negative eigenvalues.
    pub(super) p: CscMatrix<f64>,
    pub(super) q: Vec<f64>,
    pub(super) a: CscMatrix<f64>,
    pub(super) b: Vec<f64>,
    pub(super) cones: Vec<SupportedConeT<f64>>,
}

impl Programme {
    /// The best `x`, to within `tolerance`, which is relative and absolute.
    ///
    /// # Errors
    /// If the solver finds none, in words.
    pub(super) fn solve(&self, tolerance: f64) -> Result<Vec<f64>, String> {
        let settings = DefaultSettingsBuilder::default()
            .verbose(false)
            .tol_gap_abs(tolerance)
            .tol_gap_rel(tolerance)
            .tol_feas(tolerance)
            .build()
            .map_err(|e| e.to_string())?;
        let mut solver = DefaultSolver::new(&self.p, &self.q, &self.a, &self.b, &self.cones, settings)
            .map_err(|e| e.to_string())?;
        solver.solve();
        match solver.solution.status {
            SolverStatus::Solved | SolverStatus::AlmostSolved => Ok(std::mem::take(&mut solver.solution.x)),
            status => Err(format!("no optimal weights: {status:?}")),
        }
    }
}

/// A matrix of cells that come column by column.
pub(super) fn sparse(
    rows: usize,
    columns: usize,
    cells: impl Iterator<Item = (usize, usize, f64)>,
) -> CscMatrix<f64> {
    let mut matrix =
        CscMatrix { m: rows, n: columns, colptr: vec![0], rowval: Vec::new(), nzval: Vec::new() };
    let mut cells = cells.peekable();
    for column in 0..columns {
        while let Some((row, _, value)) = cells.next_if(|&(_, of, _)| of == column) {
            matrix.rowval.push(row);
            matrix.nzval.push(value);
        }
        matrix.colptr.push(matrix.rowval.len());
    }
    matrix
}

/// The upper triangle of the first `n` rows of a symmetric matrix, which has `width` columns, the rest empty.
pub(super) fn upper(n: usize, width: usize, cell: impl Fn(usize, usize) -> f64) -> CscMatrix<f64> {
    let places = (0..n).flat_map(|j| (0..=j).map(move |i| (i, j)));
    sparse(width, width, places.map(|(i, j)| (i, j, cell(i, j))))
}

/// Solves a system with each of the right sides, in their places. False, and nothing solved, where the symmetric matrix, of
/// which this is the upper triangle, is not positive definite but for rounding.
pub(super) fn solve_positive(upper: &CscMatrix<f64>, right_sides: &mut [&mut [f64]]) -> bool {
    let settings = QDLDLSettings {
        // In the order as it comes: a dense matrix has no better one.
        perm: Some((0..upper.n).collect()),
        regularize_enable: false,
        ..QDLDLSettings::default()
    };
    let Ok(mut factors) = QDLDLFactorisation::new(upper, Some(settings)) else { return false };
    // The diagonal cell is the last of its column.
    let diagonal = upper.colptr[1..].iter().map(|&end| upper.nzval[end - 1]);
    if !factors.D.iter().zip(diagonal).all(|(&left, whole)| left > SINGULAR * whole) {
        return false;
    }
    for right in right_sides {
        factors.solve(right);
    }
    true
}
