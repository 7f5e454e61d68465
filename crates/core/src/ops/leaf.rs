//! Values that come from outside or from nothing: inputs, variables, constants, iota.

use std::sync::Arc;

use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Graph, Shape, Tensor, TensorSpec};

/// A value given by name at each run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// The name it is given by.
    pub name: Arc<str>,
    /// What it must be.
    pub spec: TensorSpec,
}

/// The value of a variable at the start of the step.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variable {
    /// The variable's full name.
    pub name: Arc<str>,
    /// Its element type and shape.
    pub spec: TensorSpec,
}

/// Host values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Constant {
    /// Element type and shape.
    pub spec: TensorSpec,
    bits: Arc<[u64]>,
}

impl Constant {
    /// A constant holding an array's values.
    pub fn new(array: Array) -> Self {
        Self { bits: array.data.iter().map(|v| v.to_bits()).collect(), spec: array.spec }
    }

    /// The values.
    pub fn array(&self) -> Array {
        Array { spec: self.spec.clone(), data: self.bits.iter().map(|&bits| f64::from_bits(bits)).collect() }
    }
}

/// One number, written into the kernels that use it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scalar {
    bits: u64,
    /// Element type.
    pub dtype: DType,
}

impl Scalar {
    /// A scalar rounded to its dtype.
    pub fn new(value: f64, dtype: DType) -> Self {
        Self { bits: dtype.round(value).to_bits(), dtype }
    }

    /// The number.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }
}

/// The position along an axis, as a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Iota {
    /// Shape and dtype of the result.
    pub spec: TensorSpec,
    /// The axis whose positions are counted.
    pub axis: usize,
}

macro_rules! leaf {
    ($Name:ident, $name:literal, |$op:ident| $spec:expr, $check:expr, |$me:ident, $out:ident| $value:expr) => {
        impl Primitive for $Name {
            fn name(&self) -> &'static str {
                $name
            }
            fn infer(&self, _: &[&TensorSpec]) -> Result<TensorSpec, String> {
                let $op = self;
                $check?;
                Ok($spec)
            }
            fn evaluate(&self, _: &[&Array], $out: &TensorSpec) -> Array {
                let $me = self;
                $value
            }
            fn vjp(&self, _: &Vjp<'_>, _: usize) -> Cotangent {
                Cotangent::Zero
            }
            fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
                0
            }
        }
    };
}

// Inputs and variables get their values from the interpreter's environment; zeros stand in only
// when an operation is evaluated outside of a graph.
leaf!(Input, "input", |op| op.spec.clone(), Ok::<(), String>(()), |_op, out| Array::from_fn(out, |_| 0.0));
leaf!(Variable, "variable", |op| op.spec.clone(), Ok::<(), String>(()), |_op, out| Array::from_fn(
    out,
    |_| 0.0
));
leaf!(Constant, "constant", |op| op.spec.clone(), Ok::<(), String>(()), |op, _out| op.array());
leaf!(Scalar, "scalar", |op| TensorSpec::new(op.dtype, []), Ok::<(), String>(()), |op, out| {
    Array::from_fn(out, |_| op.value())
});
leaf!(
    Iota,
    "iota",
    |op| op.spec.clone(),
    if op.axis < op.spec.shape.rank() {
        Ok(())
    } else {
        Err(format!("axis {} does not exist in shape {}", op.axis, op.spec.shape))
    },
    |op, out| Array::from_fn(out, |index| index[op.axis] as f64)
);

impl Graph {
    /// The position along an axis, in every element: `iota([2, 3], 1)` is `[[0, 1, 2], [0, 1, 2]]`.
    #[track_caller]
    pub fn iota(&self, shape: impl Into<Shape>, axis: usize, dtype: DType) -> Tensor {
        self.record(Iota { spec: TensorSpec::new(dtype, shape), axis }, &[])
    }

    /// 0, 1, …, n−1 as a vector (PyTorch's `arange`).
    #[track_caller]
    pub fn arange(&self, n: usize, dtype: DType) -> Tensor {
        self.iota([n], 0, dtype)
    }

    /// A tensor of zeros.
    #[track_caller]
    pub fn zeros(&self, shape: impl Into<Shape>, dtype: DType) -> Tensor {
        self.full(shape, 0.0, dtype)
    }

    /// A tensor of ones.
    #[track_caller]
    pub fn ones(&self, shape: impl Into<Shape>, dtype: DType) -> Tensor {
        self.full(shape, 1.0, dtype)
    }
}
