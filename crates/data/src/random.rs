//! Random numbers of loaders: pure functions of a seed and of what they are for.

use wgrad_core::ops::philox;

/// Keeps these random numbers apart from those that graphs draw from the same seed.
const DOMAIN: [u32; 4] =
    [u32::from_le_bytes(*b"wgra"), u32::from_le_bytes(*b"d/da"), u32::from_le_bytes(*b"ta/o"), 0];

/// A sequence of random numbers. The same seed and purpose give the same sequence, on every machine and
/// whatever the number of loader threads.
///
/// ```
/// use wgrad_data::Random;
/// let (mut a, mut b) = (Random::new(7, 0), Random::new(7, 0));
/// assert_eq!(a.below(100), b.below(100));
/// assert!((0.0..1.0).contains(&a.uniform()));
/// ```
#[derive(Clone, Debug)]
pub struct Random {
    key: [u32; 2],
    high: u64,
    block: u64,
    spare: Option<u64>,
}

impl Random {
    /// The sequence of a seed; `number` tells several apart, as epochs.
    pub fn new(seed: u64, number: u64) -> Self {
        let [a, b, ..] = philox(DOMAIN, split(seed));
        Self::with_key([a, b], number)
    }

    /// The sequence for one purpose, for one record at one place of an epoch's order.
    pub(crate) fn of_record(seed: u64, purpose: &str, epoch: u64, place: u64, record: u64) -> Self {
        let Self { key, .. } = Self::new(seed, 0);
        let [[a, b], [c, d]] = [fnv1a(purpose.as_bytes()), epoch].map(split);
        let [a, b, c, d] = philox([a, b, c, d], key);
        let [e, f, ..] = philox([c, d, place as u32, (place >> 32) as u32], [a, b]);
        Self::with_key([e, f], record)
    }

    fn with_key(key: [u32; 2], high: u64) -> Self {
        Self { key, high, block: 0, spare: None }
    }

    /// A random 64-bit word: two of each Philox block.
    pub fn word(&mut self) -> u64 {
        if let Some(word) = self.spare.take() {
            return word;
        }
        let ([block, block_high], [high, highest]) = (split(self.block), split(self.high));
        let [a, b, c, d] = philox([block, block_high, high, highest], self.key);
        self.block += 1;
        self.spare = Some(u64::from(d) << 32 | u64::from(c));
        u64::from(b) << 32 | u64::from(a)
    }

    /// A uniform number below a bound, without bias (Lemire, "Fast random integer generation in an
    /// interval", 2019); 0 for the bound 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        loop {
            let product = u128::from(self.word()) * u128::from(bound);
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniform number in 0..1, a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number from the beta distribution with both parameters `alpha` (Jöhnk, 1964). It is quick for
    /// parameters up to about 4.
    pub fn beta(&mut self, alpha: f64) -> f64 {
        loop {
            let [a, b] = [self.uniform(), self.uniform()].map(|u| u.powf(1.0 / alpha));
            if a + b > 0.0 && a + b <= 1.0 {
                return a / (a + b);
            }
        }
    }

    /// Puts a slice in random order (Fisher and Yates; Durstenfeld, Algorithm 235, 1964).
    pub fn shuffle<T>(&mut self, slice: &mut [T]) {
        for last in (1..slice.len()).rev() {
            slice.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

fn split(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_purpose_counts() {
        let first = |seed, purpose, epoch, place, record| {
            Random::of_record(seed, purpose, epoch, place, record).word()
        };
        let plain = first(1, "flip", 2, 3, 4);
        assert_eq!(plain, first(1, "flip", 2, 3, 4));
        let others = [
            first(2, "flip", 2, 3, 4),
            first(1, "crop", 2, 3, 4),
            first(1, "flip", 3, 3, 4),
            first(1, "flip", 2, 4, 4),
            first(1, "flip", 2, 3, 5),
        ];
        assert!(others.iter().all(|&other| other != plain));
    }

    /// Means and variances within four standard errors: ½ and 1/12 for the uniform distribution, ½ and
    /// 1/(4(2α + 1)) for the beta distribution.
    #[test]
    fn distributions_have_their_moments() {
        let n = 20_000;
        let close = |draw: &mut dyn FnMut() -> f64, variance: f64, fourth: f64| {
            let values: Vec<f64> = (0..n).map(|_| draw()).collect();
            assert!(values.iter().all(|v| (0.0..=1.0).contains(v)));
            let mean = values.iter().sum::<f64>() / n as f64;
            let found = values.iter().map(|v| (v - 0.5).powi(2)).sum::<f64>() / n as f64;
            assert!((mean - 0.5).abs() < 4.0 * (variance / n as f64).sqrt(), "{mean}");
            let error = ((fourth - variance * variance) / n as f64).sqrt();
            assert!((found - variance).abs() < 4.0 * error, "{found} {variance}");
        };
        let mut random = Random::new(5, 0);
        close(&mut || random.uniform(), 1.0 / 12.0, 1.0 / 80.0);
        for alpha in [0.2, 1.0, 3.0] {
            // E (x − ½)⁴ = 3 / (16 (2α + 1)(2α + 3)).
            let (a, b) = (2.0 * alpha + 1.0, 2.0 * alpha + 3.0);
            close(&mut || random.beta(alpha), 1.0 / (4.0 * a), 3.0 / (16.0 * a * b));
        }
    }
}
