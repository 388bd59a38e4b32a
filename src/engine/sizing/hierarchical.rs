//! Hierarchical risk parity (Lopez de Prado 2016): names are put in the order of the leaves of a tree of correlations, and that
//! order is halved again and again, each half getting weight by the inverse of its variance.

/// The weights; they sum to 1. Every variance is above 0.
pub(super) fn weights(covariance: &[f64], n: usize) -> Vec<f64> {
    let mut weights = vec![1.0; n];
    halve(covariance, n, &leaves(&distances(covariance, n), n), &mut weights);
    weights
}

/// `sqrt((1 - correlation) / 2)` of each pair: 0 for names that move together, 1 for opposite ones.
fn distances(covariance: &[f64], n: usize) -> Vec<f64> {
    let deviation = |i: usize| covariance[i * n + i].sqrt();
    let correlation = |at: usize| covariance[at] / (deviation(at / n) * deviation(at % n));
    (0..n * n).map(|at| ((1.0 - correlation(at)) / 2.0).clamp(0.0, 1.0).sqrt()).collect()
}

/// The leaves of the tree of single linkage from left to right. Of two clusters that meet the left one is that which is older;
/// single names are older than all others, and go by their place.
fn leaves(distances: &[f64], n: usize) -> Vec<usize> {
    let mut links = chain(distances, n);
    // Stable, so that equal distances stay in the order of the chain.
    links.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    // Clusters by age with their leaves, and the cluster of each name.
    let mut clusters: Vec<Vec<usize>> = (0..n).map(|name| vec![name]).collect();
    let mut cluster_of: Vec<usize> = (0..n).collect();
    for link in links {
        let (one, other) = (cluster_of[link.from], cluster_of[link.to]);
        let mut both = std::mem::take(&mut clusters[one.min(other)]);
        both.append(&mut clusters[one.max(other)]);
        both.iter().for_each(|&name| cluster_of[name] = clusters.len());
        clusters.push(both);
    }
    clusters.pop().unwrap_or_default()
}

/// A step of [`chain`].
struct Link {
    from: usize,
    to: usize,
    distance: f64,
}

/// The names one after the other, each time that which is nearest to any of those before (Prim's algorithm). Joined in order
/// of these distances, neighbours of the chain make the clusters of single linkage.
fn chain(distances: &[f64], n: usize) -> Vec<Link> {
    let mut open: Vec<usize> = (1..n).collect();
    let mut nearest = vec![f64::INFINITY; n];
    let mut links = Vec::with_capacity(n.saturating_sub(1));
    let mut from = 0;
    while !open.is_empty() {
        for &name in &open {
            nearest[name] = nearest[name].min(distances[from * n + name]);
        }
        // The first of equals.
        let at = (1..open.len()).fold(0, |best, at| match nearest[open[at]] < nearest[open[best]] {
            true => at,
            false => best,
        });
        let to = open.remove(at);
        links.push(Link { from, to, distance: nearest[to] });
        from = to;
    }
    links
}

/// Halves an order of names and scales the weights of each half by the variance of the other, until each stands alone.
fn halve(covariance: &[f64], n: usize, order: &[usize], weights: &mut [f64]) {
    if order.len() < 2 {
        return;
    }
    let (left, right) = order.split_at(order.len() / 2);
    let (of_left, of_right) = (cluster_variance(covariance, n, left), cluster_variance(covariance, n, right));
    let both = of_left + of_right;
    // Without any variance on either side there is nothing to prefer.
    let share = if both > 0.0 { 1.0 - of_left / both } else { 0.5 };
    left.iter().for_each(|&name| weights[name] *= share);
    right.iter().for_each(|&name| weights[name] *= 1.0 - share);
    halve(covariance, n, left, weights);
    halve(covariance, n, right, weights);
}

/// The variance of some names that share by their inverse variances.
fn cluster_variance(covariance: &[f64], n: usize, names: &[usize]) -> f64 {
    let inverse = |i: usize| 1.0 / covariance[i * n + i];
    let total: f64 = names.iter().map(|&i| inverse(i)).sum();
    let pairs = names.iter().flat_map(|&i| names.iter().map(move |&j| (i, j)));
    pairs.map(|(i, j)| inverse(i) / total * covariance[i * n + j] * (inverse(j) / total)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names 0 and 2 are near, as are 1 and 3, and 4 is far from all: the tree is ((0 2) (1 3)) with 4 to the left of it, as a
    /// single name is older.
    #[test]
    fn leaves_of_a_tree() {
        let near = [(0, 2, 0.1), (1, 3, 0.2), (0, 1, 0.5), (2, 3, 0.6), (0, 3, 0.7), (1, 2, 0.8)];
        let mut distances = vec![0.9; 25];
        for (i, j, distance) in near {
            distances[i * 5 + j] = distance;
            distances[j * 5 + i] = distance;
        }
        (0..5).for_each(|i| distances[i * 5 + i] = 0.0);
        assert_eq!(leaves(&distances, 5), [4, 0, 2, 1, 3]);
        assert_eq!(leaves(&[0.0], 1), [0]);
    }

    /// Of uncorrelated names the first two meet first, and the third stands to the left of them: variance 4 against
    /// 1 · (2/3)² + 2 · (1/3)² = 2/3, which gives it 1/7. The other two share the rest as 2 and 1.
    #[test]
    fn halves_share_by_inverse_variance() {
        let covariance = [1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 4.0];
        let found = weights(&covariance, 3);
        for (got, want) in found.iter().zip([4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0]) {
            assert!((got - want).abs() < 1e-15, "{found:?}");
        }
    }
}
