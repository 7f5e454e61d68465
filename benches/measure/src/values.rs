//! Values of a batch, made without a framework.

/// Host values of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Numbers.
    F32(Vec<f32>),
    /// Classes or tokens.
    U32(Vec<u32>),
}

impl Values {
    /// Numbers uniform in \[−1, 1).
    pub fn noise(seed: u64, len: usize) -> Self {
        // 24 bits are what an f32 holds.
        let number = |word: u32| (word >> 8) as f32 / (1 << 23) as f32 - 1.0;
        Self::F32(words(seed).map(number).take(len).collect())
    }

    /// Integers below a bound.
    pub fn below(bound: u32, seed: u64, len: usize) -> Self {
        let scaled = |word: u32| ((u64::from(word) * u64::from(bound)) >> 32) as u32;
        Self::U32(words(seed).map(scaled).take(len).collect())
    }

    /// The numbers; empty for integers.
    pub fn f32(&self) -> &[f32] {
        if let Self::F32(values) = self { values } else { &[] }
    }

    /// The integers; empty for numbers.
    pub fn u32(&self) -> &[u32] {
        if let Self::U32(values) = self { values } else { &[] }
    }
}

/// The upper halves of SplitMix64 (Steele, Lea and Flood, 2014).
fn words(seed: u64) -> impl Iterator<Item = u32> {
    let mut state = seed.wrapping_mul(0xd1b5_4a32_d192_ed03);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_fills_its_range() {
        let noise = Values::noise(1, 10_000);
        let mean = noise.f32().iter().sum::<f32>() / 1e4;
        assert!(noise.f32().iter().all(|x| (-1.0..1.0).contains(x)));
        assert!(mean.abs() < 0.02, "{mean}");
        assert_ne!(noise, Values::noise(2, 10_000));
    }

    #[test]
    fn every_class_occurs() {
        let classes = Values::below(10, 3, 1000);
        assert!((0..10).all(|class| classes.u32().contains(&class)));
        assert!(classes.u32().iter().all(|&class| class < 10));
    }
}
