//! Element types that weight files hold, and how their values become those of tensors.

use std::fmt;

use half::{bf16, f16};
use wgrad_core::DType;

/// An element type of a weight file. Values are little endian; booleans take one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoredType {
    /// IEEE 754 double precision.
    F64,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single-precision number.
    Bf16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 8 bits.
    U8,
    /// Truth value.
    Bool,
}

use StoredType::*;

impl StoredType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            F64 | I64 | U64 => 8,
            F32 | I32 | U32 => 4,
            F16 | Bf16 | I16 | U16 => 2,
            I8 | U8 | Bool => 1,
        }
    }

    /// The tensor type that values become where nothing else is asked for.
    pub const fn dtype(self) -> DType {
        match self {
            F64 | F32 | Bf16 => DType::F32,
            F16 => DType::F16,
            I64 | I32 | I16 | I8 => DType::I32,
            U64 | U32 | U16 | U8 => DType::U32,
            Bool => DType::Bool,
        }
    }

    /// The stored type without loss for a tensor type.
    pub(crate) const fn of(dtype: DType) -> Self {
        match dtype {
            DType::F32 => F32,
            DType::F16 => F16,
            DType::I32 => I32,
            DType::U32 => U32,
            DType::Bool => Bool,
        }
    }

    /// Whether values may become values of a tensor type: floats any floats, rounded, and integers any
    /// integers that they fit into.
    pub(crate) fn converts_to(self, dtype: DType) -> bool {
        let own = self.dtype();
        own == dtype || own.is_float() && dtype.is_float() || own.is_int() && dtype.is_int()
    }

    /// Decodes values that lie one after the other. 64-bit integers beyond 2⁵³ are rounded, which no
    /// tensor type can hold anyway.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f64> {
        macro_rules! words {
            ($bytes:literal, $word:ident => $value:expr) => {
                bytes
                    .chunks_exact($bytes)
                    .map(|chunk| {
                        let mut $word = [0; $bytes];
                        $word.copy_from_slice(chunk);
                        $value
                    })
                    .collect()
            };
        }
        match self {
            F64 => words!(8, word => f64::from_le_bytes(word)),
            F32 => words!(4, word => f64::from(f32::from_le_bytes(word))),
            F16 => words!(2, word => f16::from_le_bytes(word).to_f64()),
            Bf16 => words!(2, word => bf16::from_le_bytes(word).to_f64()),
            I64 => words!(8, word => i64::from_le_bytes(word) as f64),
            I32 => words!(4, word => f64::from(i32::from_le_bytes(word))),
            I16 => words!(2, word => f64::from(i16::from_le_bytes(word))),
            I8 => words!(1, word => f64::from(i8::from_le_bytes(word))),
            U64 => words!(8, word => u64::from_le_bytes(word) as f64),
            U32 => words!(4, word => f64::from(u32::from_le_bytes(word))),
            U16 => words!(2, word => f64::from(u16::from_le_bytes(word))),
            U8 => words!(1, word => f64::from(u8::from_le_bytes(word))),
            Bool => bytes.iter().map(|&byte| f64::from(byte != 0)).collect(),
        }
    }
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            F64 => "f64",
            F32 => "f32",
            F16 => "f16",
            Bf16 => "bf16",
            I64 => "i64",
            I32 => "i32",
            I16 => "i16",
            I8 => "i8",
            U64 => "u64",
            U32 => "u32",
            U16 => "u16",
            U8 => "u8",
            Bool => "bool",
        })
    }
}
