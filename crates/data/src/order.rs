//! Orders of records as pure functions of (seed, epoch).

use crate::Random;

/// The numbers below `n` in random order.
pub(crate) fn permutation(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    Random::new(seed, epoch).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::permutation;

    #[test]
    fn holds_every_number_once() {
        for n in [0, 1, 2, 3, 1000] {
            let mut order = permutation(n, 7, 3);
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn depends_on_seed_and_epoch_alone() {
        assert_eq!(permutation(100, 7, 3), permutation(100, 7, 3));
        assert_ne!(permutation(100, 7, 3), permutation(100, 7, 4));
        assert_ne!(permutation(100, 7, 3), permutation(100, 8, 3));
        assert_ne!(permutation(100, 7, 3), permutation(100, 7 | 1 << 32, 3));
    }

    /// Each of the 24 orders of four numbers is equally likely: χ² with 23 degrees of freedom stays
    /// below 49.7 (its 99.9 % quantile).
    #[test]
    fn is_uniform() {
        let draws = 24_000;
        let mut counts = std::collections::HashMap::new();
        for epoch in 0..draws {
            *counts.entry(permutation(4, 1, epoch)).or_insert(0u64) += 1;
        }
        assert_eq!(counts.len(), 24);
        let expected = draws as f64 / 24.0;
        let chi2: f64 = counts.values().map(|&n| (n as f64 - expected).powi(2) / expected).sum();
        assert!(chi2 < 49.7, "{chi2}");
    }
}
