//! What an operation is: its shape rule, meaning, gradient and cost, and the list of all of them.

use std::fmt::Debug;

use crate::ops::*;
use crate::{Array, Graph, Tensor, TensorSpec};

/// One primitive operation. A file in [`crate::ops`] implements this trait once per primitive; the
/// list below is the only other place that names it. There are no default methods: an operation
/// without a gradient has to say so.
pub trait Primitive: Debug {
    /// The name used in listings and errors.
    fn name(&self) -> &'static str;

    /// The shape and dtype rule. The error says what was wrong; the caller adds where.
    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String>;

    /// The meaning, in f64.
    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array;

    /// The cotangent of one input given the cotangent of the output (reverse-mode rule).
    fn vjp(&self, cx: &Vjp<'_>, input: usize) -> Cotangent;

    /// Floating-point operations to compute the output.
    fn flops(&self, inputs: &[&TensorSpec], output: &TensorSpec) -> u64;
}

/// What a gradient rule may look at.
pub struct Vjp<'a> {
    /// The operands.
    pub inputs: &'a [Tensor],
    /// The result of the operation.
    pub output: &'a Tensor,
    /// The gradient of the loss with respect to the result.
    pub cotangent: &'a Tensor,
}

impl Vjp<'_> {
    /// The graph that gradients are recorded in.
    pub fn graph(&self) -> &Graph {
        self.output.graph()
    }
}

/// The outcome of a gradient rule for one input.
pub enum Cotangent {
    /// The gradient with respect to the input.
    Flows(Tensor),
    /// The derivative is zero almost everywhere, and that is what is meant (the condition of
    /// `select`, a `detach`).
    Zero,
    /// There is no derivative: an error if a trainable variable stands behind this input.
    NotDifferentiable,
}

impl From<Tensor> for Cotangent {
    fn from(gradient: Tensor) -> Self {
        Self::Flows(gradient)
    }
}

macro_rules! primitives {
    ($($Name:ident),* $(,)?) => {
        /// Every primitive operation, with its parameters.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Op { $($Name($Name),)* }

        impl Op {
            /// The names of the primitives.
            pub const PRIMITIVES: &[&str] = &[$(stringify!($Name),)*];

            /// Which of [`Op::PRIMITIVES`] this is.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$Name(_) => stringify!($Name),)* }
            }

            /// The rules of this operation.
            pub fn primitive(&self) -> &dyn Primitive {
                match self { $(Self::$Name(op) => op,)* }
            }
        }

        $(impl From<$Name> for Op {
            fn from(op: $Name) -> Self { Self::$Name(op) }
        })*
    };
}

primitives! {
    Input, Variable, Constant, Scalar, Iota, RandomBits,
    Unary, Binary, Compare, Select, Cast, Detach,
    Reshape, Permute, Expand, Slice, Pad, Concat, Flip, Slide, Unslide,
    Reduce, ArgMax, CumSum,
    Contract,
    Gather, ScatterAdd,
    Custom, Wgsl, Attention,
}

impl Op {
    /// The name used in listings and errors.
    pub fn name(&self) -> &'static str {
        self.primitive().name()
    }
}
