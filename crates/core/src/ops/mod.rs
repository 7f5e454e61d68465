//! The operations, one file each: shape rule, meaning, gradient, cost and test cases stand together.
//!
//! Primitives implement [`crate::Primitive`] and are listed in [`crate::op`]; composites are methods on
//! [`crate::Tensor`] made of primitives.

use crate::case::Case;

/// Declares the files of operations, what they export, and the table of all their cases. A new
/// operation adds its one line below.
macro_rules! operations {
    ($($file:ident $(: $($Item:ident),+)?;)*) => {
        $(mod $file; $(pub use $file::{$($Item),+};)?)*

        /// Every case of every operation, file by file.
        pub(crate) fn cases() -> Vec<Case> {
            let files = [$($file::cases,)*];
            files.into_iter().flat_map(|cases| cases()).collect()
        }
    };
}

operations! {
    activation;
    adaptive_pool;
    any;
    argmax: ArgMax;
    attention: AttentionOptions;
    attention_passes: Attention, AttentionPart, AttentionShape, Pass;
    batch_norm;
    bce: Bce;
    binary: Binary, BinaryKind;
    cast: Cast, Detach;
    clamp;
    compare: Compare, CompareKind, Select;
    contract: Contract;
    conv;
    conv_transpose;
    cross_entropy: CrossEntropy;
    ctc: CtcTarget;
    cumprod;
    cumsum: CumSum;
    custom: Custom, Offer, Rule;
    diagonal;
    einsum;
    elementary;
    embedding;
    fold;
    gather: Gather, ScatterAdd;
    group_norm;
    index_add;
    interpolate;
    layer_norm;
    leaf: Constant, Input, Iota, Scalar, Variable;
    likelihood;
    loss: Reduction;
    margin: TripletMargin;
    mean;
    min;
    movement: Expand, Flip, Permute, Reshape;
    norm;
    one_hot;
    operators: Operand;
    outer;
    piecewise;
    pieces;
    pixel_shuffle;
    pool: Pooling;
    prod;
    random: PHILOX_M, PHILOX_W, RandomBits, philox;
    reduce: Reduce, ReduceKind;
    roll;
    slice: Concat, Pad, Slice;
    slide: Slide, Unslide, Window;
    softmax;
    sort;
    triangle;
    unary: Unary, UnaryKind;
    wgsl: Definition, Wgsl;
}
