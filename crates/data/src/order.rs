//! Orders of records as pure functions of (seed, epoch).

use wgrad_core::ops::philox;

/// Keeps these random numbers apart from those that graphs draw from the same seed.
const DOMAIN: [u32; 4] =
    [u32::from_le_bytes(*b"wgra"), u32::from_le_bytes(*b"d/da"), u32::from_le_bytes(*b"ta/o"), 0];

/// The numbers below `n` in random order (Fisher and Yates; Durstenfeld, Algorithm 235, 1964).
pub(crate) fn permutation(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut words = Words::new(seed, epoch);
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, words.below(last as u64 + 1) as usize);
    }
    order
}

/// A sequence of random 64-bit words: two of each Philox block.
struct Words {
    key: [u32; 2],
    epoch: u64,
    block: u64,
    spare: Option<u64>,
}

impl Words {
    fn new(seed: u64, epoch: u64) -> Self {
        let [a, b, ..] = philox(DOMAIN, [seed as u32, (seed >> 32) as u32]);
        Self { key: [a, b], epoch, block: 0, spare: None }
    }

    fn next(&mut self) -> u64 {
        if let Some(word) = self.spare.take() {
            return word;
        }
        let split = |word: u64| [word as u32, (word >> 32) as u32];
        let ([block, block_high], [epoch, epoch_high]) = (split(self.block), split(self.epoch));
        let [a, b, c, d] = philox([block, block_high, epoch, epoch_high], self.key);
        self.block += 1;
        self.spare = Some(u64::from(d) << 32 | u64::from(c));
        u64::from(b) << 32 | u64::from(a)
    }

    /// A uniform number below a bound, without bias (Lemire, "Fast random integer generation in an
    /// interval", 2019).
    fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
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
