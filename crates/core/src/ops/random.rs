//! Random numbers as a pure function of (seed, stream, step, element): Philox 4x32-10.
//!
//! Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

use crate::case::Case;
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Shape, Tensor, TensorSpec};

/// Uniform 32-bit words. Operands: seed u32\[2\] (low word first) and step u32 scalar.
///
/// Element `e` is word `e mod 4` of the Philox block with counter (e div 4, step, stream low, stream
/// high) under the key (seed low, seed high).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RandomBits {
    /// Tells independent sequences of one seed apart.
    pub stream: u64,
    /// Shape of the result.
    pub shape: Shape,
}

/// The two multipliers of a Philox 4x32 round.
pub const PHILOX_M: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// The two key increments of a Philox 4x32 round.
pub const PHILOX_W: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One Philox 4x32-10 block.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let wide = |m: u32, c: u32| u64::from(m) * u64::from(c);
        let (a, b) = (wide(PHILOX_M[0], counter[0]), wide(PHILOX_M[1], counter[2]));
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [key[0].wrapping_add(PHILOX_W[0]), key[1].wrapping_add(PHILOX_W[1])];
    }
    counter
}

impl Primitive for RandomBits {
    fn name(&self) -> &'static str {
        "random_bits"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let (seed, step) = (TensorSpec::new(DType::U32, [2]), TensorSpec::new(DType::U32, []));
        if *inputs[0] != seed || *inputs[1] != step {
            return Err(format!("needs {seed} and {step}, got {} and {}", inputs[0], inputs[1]));
        }
        Ok(TensorSpec::new(DType::U32, &self.shape))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let key = [inputs[0].data[0] as u32, inputs[0].data[1] as u32];
        let step = inputs[1].item() as u32;
        let (low, high) = (self.stream as u32, (self.stream >> 32) as u32);
        let word = |e: usize| philox([(e / 4) as u32, step, low, high], key)[e % 4];
        let data = (0..output.shape.numel()).map(|e| f64::from(word(e))).collect();
        Array { spec: output.clone(), data }
    }

    fn vjp(&self, _: &Vjp<'_>, _: usize) -> Cotangent {
        Cotangent::NotDifferentiable
    }

    fn flops(&self, _: &[&TensorSpec], output: &TensorSpec) -> u64 {
        // Ten rounds of about a dozen integer operations make four words.
        30 * output.shape.numel() as u64
    }
}

impl Tensor {
    /// Random words as uniform f32 numbers in [0, 1): the upper 24 bits times 2⁻²⁴, exact.
    #[track_caller]
    pub fn bits_to_uniform(&self) -> Self {
        if self.dtype() != DType::U32 {
            return self.fail("bits_to_uniform", format!("needs u32 words, got {}", self.spec()));
        }
        let eight = self.graph().scalar(8.0, DType::U32);
        self.shift_right(&eight).cast(DType::F32) * 2f64.powi(-24)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let bits = |stream: u64, n: usize| {
        move |t: &[Tensor]| {
            let op = RandomBits { stream, shape: [n].into() };
            t[0].graph().record(op, &[&t[0], &t[1]])
        }
    };
    vec![
        // The first vector published with the reference implementation (Random123, `kat_vectors`).
        Case::new("random_bits", bits(0, 4))
            .indices([2], &[0.0, 0.0])
            .indices([], &[0.0])
            .expect(&[0x6627e8d5u32, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8].map(f64::from))
            .no_gradient(),
        Case::new("random_bits/odd", bits(1 << 40 | 3, 131))
            .indices([2], &[123456789.0, 4294967295.0])
            .indices([], &[7.0])
            .no_gradient(),
        Case::new("bits_to_uniform", |t| t[0].bits_to_uniform())
            .indices([3], &[0.0, 2147483648.0, 4294967295.0])
            .expect(&[0.0, 0.5, 1.0 - 2f64.powi(-24)])
            .no_gradient(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with the reference implementation (Random123, `kat_vectors`).
    #[test]
    fn philox_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        assert_eq!(
            philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }
}
