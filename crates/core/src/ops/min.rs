//! The smallest element along axes, and its position.

use crate::{Axes, DType, Tensor};

impl Tensor {
    /// The minimum along axes, which are dropped; ties share the gradient (PyTorch's `amin`).
    #[track_caller]
    pub fn min(&self, axes: impl Axes) -> Self {
        self.reversed("min").max(axes).reversed("min")
    }

    /// The minimum along axes, which stay with extent 1.
    #[track_caller]
    pub fn min_keep(&self, axes: impl Axes) -> Self {
        self.reversed("min").max_keep(axes).reversed("min")
    }

    /// The first position of the minimum along an axis, which is dropped; u32. Not differentiable.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Self {
        self.reversed("argmin").argmax(axis)
    }

    /// Values in the opposite order: −x, and for integers the bitwise complement, which cannot
    /// overflow. Its own inverse.
    #[track_caller]
    fn reversed(&self, operation: &str) -> Self {
        match self.dtype() {
            DType::F32 | DType::F16 => self.neg(),
            DType::I32 | DType::U32 => self.bitwise_not(),
            DType::Bool => self.fail(operation, "is not defined for bool; use `all`"),
        }
    }
}
