//! The position of the largest element.

use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Tensor, TensorSpec};

/// The first position of the maximum along an axis, which stays with extent 1; u32.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArgMax {
    /// Which axis.
    pub axis: usize,
}

impl Primitive for ArgMax {
    fn name(&self) -> &'static str {
        "argmax"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let shape = &inputs[0].shape;
        if self.axis >= shape.rank() {
            return Err(format!("axis {} does not exist in shape {shape}", self.axis));
        }
        if shape[self.axis] == 0 && shape.reduced(&[self.axis]).numel() > 0 {
            return Err(format!("axis {} of {shape} has no elements", self.axis));
        }
        if inputs[0].dtype == DType::Bool {
            return Err("is not defined for bool; cast first".into());
        }
        Ok(TensorSpec::new(DType::U32, shape.reduced(&[self.axis])))
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let n = inputs[0].shape()[self.axis];
        Array::from_fn(output, |index| {
            let mut source = index.to_vec();
            let mut best = (0, f64::NEG_INFINITY);
            for i in 0..n {
                source[self.axis] = i;
                let value = inputs[0].at(&source);
                if value > best.1 {
                    best = (i, value);
                }
            }
            best.0 as f64
        })
    }

    fn vjp(&self, _: &Vjp<'_>, _: usize) -> Cotangent {
        Cotangent::NotDifferentiable
    }

    fn flops(&self, inputs: &[&TensorSpec], _: &TensorSpec) -> u64 {
        inputs[0].shape.numel() as u64
    }
}

impl Tensor {
    /// The first position of the maximum along an axis, which is dropped; u32. Not differentiable.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Self {
        match self.shape().axis(axis) {
            Ok(axis) => {
                let kept = self.graph().record(ArgMax { axis }, &[self]);
                if kept.is_valid() { kept.squeeze(axis as isize) } else { kept }
            }
            Err(message) => self.fail("argmax", message),
        }
    }
}
