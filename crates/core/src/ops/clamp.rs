//! Values limited to a range.

use crate::Tensor;

impl Tensor {
    /// Values below `min` become `min`, above `max` become `max`. The gradient passes inside of the
    /// range, its ends included, as in PyTorch.
    #[track_caller]
    pub fn clamp(&self, min: f64, max: f64) -> Self {
        if min > max {
            return self.fail("clamp", format!("the lower end {min} is above the upper end {max}"));
        }
        self.masked_fill(&self.lt(min), min).masked_fill(&self.gt(max), max)
    }
}
