//! The position of the largest element.

use crate::case::{Case, Fill};
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

pub(crate) fn cases() -> Vec<Case> {
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build).no_gradient();
    vec![
        case("argmax", |t| t[0].argmax(-1))
            .given([3, 3], &[1.0, 3.0, 2.0, 5.0, 5.0, 4.0, -3.0, -2.0, -1.0])
            .expect(&[1.0, 0.0, 2.0]),
        case("argmax/first-axis", |t| t[0].argmax(0)).distinct([7, 5]),
        case("argmax/middle", |t| t[0].argmax(1)).distinct([3, 7, 5]),
        case("argmax/transposed", |t| t[0].t().argmax(-1)).distinct([33, 5]),
        case("argmax/integers", |t| t[0].argmax(-1))
            .operand(DType::I32, [2, 3], Fill::Given(vec![-5.0, -4.0, -4.0, 7.0, 1.0, 9.0]))
            .expect(&[1.0, 2.0]),
        case("argmax/one", |t| t[0].argmax(-1)).random([3, 1]).expect(&[0.0; 3]),
        case("argmax/none", |t| t[0].argmax(-1)).random([0, 3]).expect(&[]),
        case("argmax/large", |t| t[0].argmax(-1)).operand(DType::F32, [4, 2500], Fill::Distinct(-2.0, 2.0)),
    ]
}
