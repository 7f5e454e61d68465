//! Whether any, or all, elements along axes are true.

use crate::{Axes, DType, Tensor};

impl Tensor {
    /// Whether any element along axes, which are dropped, is true (not zero); bool. False over no
    /// elements.
    #[track_caller]
    pub fn any(&self, axes: impl Axes) -> Self {
        self.cast(DType::Bool).cast(DType::U32).max(axes).ne(0.0)
    }

    /// Whether all elements along axes, which are dropped, are true (not zero); bool. True over no
    /// elements.
    #[track_caller]
    pub fn all(&self, axes: impl Axes) -> Self {
        self.eq(self.zeros_like()).any(axes).logical_not()
    }
}
