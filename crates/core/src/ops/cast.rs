//! Conversion between dtypes, and stopping gradients.

use crate::case::{Case, Fill};
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Tensor, TensorSpec};

/// Elementwise conversion.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cast {
    /// The new dtype.
    pub dtype: DType,
}

impl Primitive for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        Ok(TensorSpec::new(self.dtype, &inputs[0].shape))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let to_int = |v: f64| match self.dtype {
            // WGSL's float to integer conversion truncates and saturates at the last numbers that f32 has
            // too: 2³¹ − 128 and 2³² − 256. Between integers bits are kept.
            DType::I32 if inputs[0].spec.dtype.is_float() => {
                v.trunc().clamp(i32::MIN.into(), 2_147_483_520.0)
            }
            DType::U32 if inputs[0].spec.dtype.is_float() => v.trunc().clamp(0.0, 4_294_967_040.0),
            DType::I32 | DType::U32 | DType::Bool => self.dtype.round(v),
            DType::F32 | DType::F16 => v,
        };
        Array { spec: output.clone(), data: inputs[0].data.iter().map(|&v| to_int(v)).collect() }
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        let from = cx.inputs[0].dtype();
        if from.is_float() && self.dtype.is_float() {
            cx.cotangent.cast(from).into()
        } else {
            Cotangent::NotDifferentiable
        }
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

/// The identity, through which no gradient flows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Detach;

impl Primitive for Detach {
    fn name(&self) -> &'static str {
        "detach"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        Ok(inputs[0].clone())
    }

    fn evaluate(&self, inputs: &[&Array], _: &TensorSpec) -> Array {
        inputs[0].clone()
    }

    fn vjp(&self, _: &Vjp<'_>, _: usize) -> Cotangent {
        Cotangent::Zero
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        0
    }
}

impl Tensor {
    /// This tensor in another dtype. Floats become integers by truncation, saturating; anything becomes
    /// bool by comparison with zero.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Self {
        if self.dtype() == dtype {
            return self.clone();
        }
        if dtype == DType::Bool && self.is_valid() {
            return self.ne(0.0);
        }
        self.graph().record(Cast { dtype }, &[self])
    }

    /// The same values, through which no gradient flows (PyTorch's `detach`).
    #[track_caller]
    pub fn detach(&self) -> Self {
        self.graph().record(Detach, &[self])
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let cast = |variant: &str, from: DType, to: DType, values: &[f64], expected: &[f64]| {
        Case::new(&format!("cast{variant}"), move |t| t[0].cast(to))
            .operand(from, [values.len()], Fill::Given(values.to_vec()))
            .expect(expected)
            .no_gradient()
    };
    let (f32, i32, u32, bool) = (DType::F32, DType::I32, DType::U32, DType::Bool);
    vec![
        cast("", f32, i32, &[1.75, -1.75, 3e9, -3e9], &[1.0, -1.0, 2147483520.0, -2147483648.0]),
        cast("/f32-u32", f32, u32, &[1.75, -1.75, 3e9, 5e9], &[1.0, 0.0, 3e9, 4294967040.0]),
        cast("/f32-bool", f32, bool, &[0.0, -0.5, 2.0], &[0.0, 1.0, 1.0]),
        cast("/i32-f32", i32, f32, &[-3.0, 7.0], &[-3.0, 7.0]),
        cast("/i32-u32", i32, u32, &[-1.0, 7.0], &[4294967295.0, 7.0]),
        cast("/i32-bool", i32, bool, &[-1.0, 0.0], &[1.0, 0.0]),
        cast("/u32-f32", u32, f32, &[5.0, 16777216.0], &[5.0, 16777216.0]),
        cast("/u32-i32", u32, i32, &[4294967295.0, 7.0], &[-1.0, 7.0]),
        cast("/u32-bool", u32, bool, &[4294967295.0, 0.0], &[1.0, 0.0]),
        cast("/bool-f32", bool, f32, &[0.0, 1.0], &[0.0, 1.0]),
        cast("/bool-i32", bool, i32, &[0.0, 1.0], &[0.0, 1.0]),
        cast("/bool-u32", bool, u32, &[0.0, 1.0], &[0.0, 1.0]),
        Case::new("cast/f16", |t| t[0].cast(DType::F16).cast(DType::F32)).random([3, 5]),
        Case::new("cast/none", |t| t[0].cast(DType::U32)).random([0]).expect(&[]).no_gradient(),
        Case::new("detach", |t| t[0].detach()).given([2], &[1.0, -2.0]).expect(&[1.0, -2.0]).no_gradient(),
        Case::new("detach/factor", |t| &t[0] * t[1].detach().sign()).random([5]).distinct([5]).no_gradient(),
    ]
}
