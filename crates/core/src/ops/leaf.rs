//! Values that come from outside or from nothing: inputs, variables, constants, iota.

use std::sync::Arc;

use crate::case::Case;
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

    /// A scalar that is rounded only where a device uses it: the result of folding.
    pub(crate) fn exact(value: f64, dtype: DType) -> Self {
        Self { bits: value.to_bits(), dtype }
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

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("iota", |t| &t[0] + t[0].graph().iota([2, 3], 1, DType::F32))
            .given([2, 3], &[0.0, 0.0, 0.0, 10.0, 10.0, 10.0])
            .expect(&[0.0, 1.0, 2.0, 10.0, 11.0, 12.0]),
        Case::new("iota/u32", |t| &t[0] + t[0].graph().iota([3, 2], 0, DType::U32))
            .indices([2], &[0.0, 5.0])
            .expect(&[0.0, 5.0, 1.0, 6.0, 2.0, 7.0])
            .no_gradient(),
        Case::new("arange", |t| &t[0] * t[0].graph().arange(4, DType::F32))
            .given([1], &[2.0])
            .expect(&[0.0, 2.0, 4.0, 6.0]),
        Case::new("constant", |t| &t[0] + t[0].graph().constant([2, 2], &[1f32, 2.0, 3.0, 4.0]))
            .given([2], &[0.0, 10.0])
            .expect(&[1.0, 12.0, 3.0, 14.0]),
        Case::new("constant/transposed", |t| {
            t[0].matmul(&t[0].graph().constant([2, 3], &[1f32, 0.0, 2.0, 0.0, 1.0, 3.0]).t())
        })
        .given([1, 3], &[1.0, 2.0, 3.0])
        .expect(&[7.0, 11.0]),
        Case::new("constant/none", |t| &t[0] + t[0].graph().constant::<f32>([0], &[]))
            .random([1])
            .expect(&[]),
        Case::new("scalar", |t| t[0].graph().scalar(2.5, DType::F32) * &t[0])
            .given([2], &[2.0, -4.0])
            .expect(&[5.0, -10.0]),
        Case::new("full", |t| t[0].graph().full([2, 1], 1.5, DType::F32) * &t[0])
            .given([2], &[2.0, -4.0])
            .expect(&[3.0, -6.0, 3.0, -6.0]),
        Case::new("zeros", |t| &t[0] + t[0].graph().zeros([2], DType::F32))
            .given([1], &[3.0])
            .expect(&[3.0, 3.0]),
        Case::new("ones", |t| &t[0] + t[0].graph().ones([2], DType::F32))
            .given([1], &[3.0])
            .expect(&[4.0, 4.0]),
    ]
}
