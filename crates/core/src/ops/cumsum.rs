//! Running sums.

use crate::case::Case;
use crate::op::{Cotangent, Primitive, Vjp};
use crate::{Array, DType, Tensor, TensorSpec};

/// The inclusive running sum along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CumSum {
    /// Which axis.
    pub axis: usize,
}

impl Primitive for CumSum {
    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        if self.axis >= inputs[0].shape.rank() {
            return Err(format!("axis {} does not exist in shape {}", self.axis, inputs[0].shape));
        }
        if inputs[0].dtype == DType::Bool {
            return Err("is not defined for bool; cast first".into());
        }
        Ok(inputs[0].clone())
    }

    fn evaluate(&self, inputs: &[&Array], output: &TensorSpec) -> Array {
        let stride: usize = output.shape[self.axis + 1..].iter().product();
        let n = output.shape[self.axis];
        let mut data = inputs[0].data.clone();
        for i in 0..data.len() {
            if !(i / stride).is_multiple_of(n) {
                data[i] += data[i - stride];
            }
        }
        if !output.dtype.is_float() {
            data.iter_mut().for_each(|v| *v = output.dtype.round(*v));
        }
        Array { spec: output.clone(), data }
    }

    fn vjp(&self, cx: &Vjp<'_>, _: usize) -> Cotangent {
        let axis = [self.axis];
        let reversed = cx.cotangent.flip(&axis[..]);
        cx.graph().record(self.clone(), &[&reversed]).flip(&axis[..]).into()
    }

    fn flops(&self, _: &[&TensorSpec], output: &TensorSpec) -> u64 {
        output.shape.numel() as u64
    }
}

impl Tensor {
    /// The running sum along an axis, including each element itself.
    #[track_caller]
    pub fn cumsum(&self, axis: isize) -> Self {
        match self.shape().axis(axis) {
            Ok(axis) => self.graph().record(CumSum { axis }, &[self]),
            Err(message) => self.fail("cumsum", message),
        }
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("cumsum", |t| t[0].cumsum(0))
            .given([3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .expect(&[1.0, 2.0, 4.0, 6.0, 9.0, 12.0]),
        Case::new("cumsum/last", |t| t[0].cumsum(-1)).random([3, 7]),
        Case::new("cumsum/middle", |t| t[0].cumsum(1)).random([2, 5, 3]),
        Case::new("cumsum/transposed", |t| t[0].t().cumsum(0)).random([3, 5]),
        Case::new("cumsum/one", |t| t[0].cumsum(0)).random([1, 3]),
        Case::new("cumsum/none", |t| t[0].cumsum(1)).random([3, 0]).expect(&[]),
        Case::new("cumsum/long", |t| t[0].cumsum(0)).random([2000]),
        Case::new("cumsum/wraps", |t| t[0].cumsum(0))
            .indices([3], &[4294967295.0, 2.0, 3.0])
            .expect(&[4294967295.0, 1.0, 4.0])
            .no_gradient(),
    ]
}
