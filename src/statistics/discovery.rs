//! Many tests at once: which of them may be believed.

/// q-values of Benjamini, Hochberg 1995: the false discovery rate at which each test is still a discovery. For
/// independent or positively dependent tests. In the order of `p_values`, each in `0.0..=1.0`.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    step_up(p_values, 1.0)
}

/// q-values of Benjamini, Yekutieli 2001, for tests that depend on each other in any way.
pub fn benjamini_yekutieli(p_values: &[f64]) -> Vec<f64> {
    let penalty = (1..=p_values.len()).map(|rank| 1.0 / rank as f64).sum();
    step_up(p_values, penalty)
}

/// Adjusted p-values of Holm 1979: the chance of even one false discovery.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len();
    let mut adjusted = vec![f64::NAN; count];
    let mut highest = 0.0_f64;
    for (rank, test) in ascending(p_values).into_iter().enumerate() {
        highest = highest.max((count - rank) as f64 * p_values[test]).min(1.0);
        adjusted[test] = highest;
    }
    adjusted
}

fn step_up(p_values: &[f64], penalty: f64) -> Vec<f64> {
    let count = p_values.len();
    let mut adjusted = vec![f64::NAN; count];
    let mut lowest = 1.0_f64;
    for (rank, test) in ascending(p_values).into_iter().enumerate().rev() {
        lowest = lowest.min(p_values[test] * count as f64 * penalty / (rank + 1) as f64);
        adjusted[test] = lowest;
    }
    adjusted
}

/// Numbers of the tests, lowest p-value first; equal ones in their order.
fn ascending(p_values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    order
}
