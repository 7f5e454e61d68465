//! Element types of tensors, and how host values of those types are laid out in device memory.

use std::fmt;

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE 754 single precision; the default.
    F32,
    /// IEEE 754 half precision; needs an adapter with `SHADER_F16`.
    F16,
    /// Signed 32-bit integer, wrapping.
    I32,
    /// Unsigned 32-bit integer, wrapping; labels and indices.
    U32,
    /// Truth value; one 32-bit word (0 or 1) in device memory.
    Bool,
}

pub use DType::*;

impl DType {
    /// Bytes of one element in device memory.
    pub const fn size(self) -> usize {
        match self {
            F16 => 2,
            F32 | I32 | U32 | Bool => 4,
        }
    }

    /// Whether gradients can flow through values of this type.
    pub const fn is_float(self) -> bool {
        matches!(self, F32 | F16)
    }

    /// Whether values are integers (not booleans).
    pub const fn is_int(self) -> bool {
        matches!(self, I32 | U32)
    }

    /// The relative spacing of values (2⁻²³ for f32, 2⁻¹⁰ for f16, 0 for exact types).
    pub const fn epsilon(self) -> f64 {
        match self {
            F32 => f32::EPSILON as f64,
            F16 => 9.765625e-4,
            I32 | U32 | Bool => 0.0,
        }
    }

    /// The smallest finite value; what an empty maximum starts from.
    pub const fn lowest(self) -> f64 {
        match self {
            F32 => f32::MIN as f64,
            F16 => -65504.0,
            I32 => i32::MIN as f64,
            U32 | Bool => 0.0,
        }
    }

    /// The nearest value that this type can hold; integers wrap.
    pub fn round(self, value: f64) -> f64 {
        match self {
            F32 => value as f32 as f64,
            F16 => half::f16::from_f64(value).to_f64(),
            I32 => f64::from(value as i64 as i32),
            U32 => f64::from(value as i64 as u32),
            Bool => f64::from(value != 0.0),
        }
    }

    /// Wraps an integer to the range of this type.
    pub(crate) fn round_integer(self, value: i64) -> f64 {
        match self {
            I32 => f64::from(value as i32),
            U32 => f64::from(value as u32),
            Bool => f64::from(value != 0),
            F32 | F16 => value as f64,
        }
    }

    /// Encodes host values as device bytes (little endian).
    pub fn encode(self, values: &[f64]) -> Vec<u8> {
        match self {
            F32 => values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
            F16 => values.iter().flat_map(|&v| half::f16::from_f64(v).to_le_bytes()).collect(),
            I32 => values.iter().flat_map(|&v| (v as i64 as i32).to_le_bytes()).collect(),
            U32 => values.iter().flat_map(|&v| (v as i64 as u32).to_le_bytes()).collect(),
            Bool => values.iter().flat_map(|&v| u32::from(v != 0.0).to_le_bytes()).collect(),
        }
    }

    /// Decodes device bytes to host values.
    pub fn decode(self, bytes: &[u8]) -> Vec<f64> {
        let word = |c: &[u8]| [c[0], c[1], c[2], c[3]];
        match self {
            F32 => bytes.chunks_exact(4).map(|c| f64::from(f32::from_le_bytes(word(c)))).collect(),
            F16 => bytes.chunks_exact(2).map(|c| half::f16::from_le_bytes([c[0], c[1]]).to_f64()).collect(),
            I32 => bytes.chunks_exact(4).map(|c| f64::from(i32::from_le_bytes(word(c)))).collect(),
            U32 | Bool => bytes.chunks_exact(4).map(|c| f64::from(u32::from_le_bytes(word(c)))).collect(),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            F32 => "f32",
            F16 => "f16",
            I32 => "i32",
            U32 => "u32",
            Bool => "bool",
        })
    }
}

/// A Rust type that tensors can be made from and read back as.
pub trait Element: bytemuck::Pod + PartialEq + fmt::Debug + Send + Sync {
    /// The matching [`DType`].
    const DTYPE: DType;
    /// The value in f64 (exact for every supported type).
    fn to_f64(self) -> f64;
    /// The nearest value of this type; integers saturate.
    fn from_f64(value: f64) -> Self;
}

macro_rules! elements {
    ($($type:ty => $dtype:ident, $value:ident => $convert:expr, $from:expr;)*) => {$(
        impl Element for $type {
            const DTYPE: DType = $dtype;
            fn to_f64(self) -> f64 {
                let $value = self;
                $convert
            }
            fn from_f64($value: f64) -> Self {
                $from
            }
        }
    )*};
}

elements! {
    f32 => F32, v => f64::from(v), v as f32;
    half::f16 => F16, v => v.to_f64(), half::f16::from_f64(v);
    i32 => I32, v => f64::from(v), v as i32;
    u32 => U32, v => f64::from(v), v as u32;
}
