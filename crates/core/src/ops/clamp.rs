//! Values limited to a range.

use crate::case::{Case, Fill};
use crate::{DType, Tensor};

impl Tensor {
    /// Values below `min` become `min`, above `max` become `max`. The gradient passes inside of the
    /// range, its ends included, as in PyTorch.
    #[track_caller]
    pub fn clamp(&self, min: f64, max: f64) -> Self {
        if min > max {
            return self.fail("clamp", format!("the lower end {min} is above the upper end {max}"));
        }
        self.clamp_min(min).masked_fill(&self.gt(max), max)
    }

    /// Values below `min` become `min`, at which the gradient still passes.
    #[track_caller]
    pub fn clamp_min(&self, min: f64) -> Self {
        self.masked_fill(&self.lt(min), min)
    }

    /// Values above `max` become `max`, at which the gradient still passes.
    #[track_caller]
    pub fn clamp_max(&self, max: f64) -> Self {
        self.masked_fill(&self.gt(max), max)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("clamp", |t| t[0].clamp(-1.0, 2.0))
            .given([5], &[-3.0, -1.0, 0.5, 2.0, 7.0])
            .expect(&[-1.0, -1.0, 0.5, 2.0, 2.0])
            .no_gradient(),
        Case::new("clamp/random", |t| t[0].clamp(-1.0, 0.75)).distinct([3, 5]),
        Case::new("clamp/integers", |t| t[0].clamp(-1.0, 2.0))
            .operand(DType::I32, [7], Fill::Uniform(-9.0, 9.0))
            .no_gradient(),
        Case::new("clamp_min", |t| t[0].clamp_min(0.5))
            .given([3], &[-1.0, 0.25, 2.0])
            .expect(&[0.5, 0.5, 2.0]),
        Case::new("clamp_max", |t| t[0].clamp_max(0.5))
            .given([3], &[-1.0, 0.25, 2.0])
            .expect(&[-1.0, 0.25, 0.5]),
    ]
}
