//! The operations, one file each: shape rule, meaning, gradient, cost and test cases stand together.
//!
//! Primitives implement [`crate::Primitive`] and are listed in [`crate::op`]; composites are methods on
//! [`crate::Tensor`] made of primitives.

mod argmax;
mod binary;
mod cast;
mod compare;
mod contract;
mod cumsum;
mod gather;
mod leaf;
mod movement;
mod random;
mod reduce;
mod slice;
mod slide;
mod unary;

pub use argmax::ArgMax;
pub use binary::{Binary, BinaryKind, Operand};
pub use cast::{Cast, Detach};
pub use compare::{Compare, CompareKind, Select};
pub use contract::Contract;
pub use cumsum::CumSum;
pub use gather::{Gather, ScatterAdd};
pub use leaf::{Constant, Input, Iota, Scalar, Variable};
pub use movement::{Expand, Flip, Permute, Reshape};
pub use random::{PHILOX_M, PHILOX_W, RandomBits, philox};
pub use reduce::{Reduce, ReduceKind};
pub use slice::{Concat, Pad, Slice};
pub use slide::{Slide, Unslide, Window};
pub use unary::{Unary, UnaryKind};
