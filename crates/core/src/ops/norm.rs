//! Euclidean length along axes.

use crate::{Axes, Tensor};

impl Tensor {
    /// The 2-norm √Σx² along axes, which are dropped. Its gradient at the zero vector is 0, as in
    /// PyTorch.
    #[track_caller]
    pub fn norm(&self, axes: impl Axes) -> Self {
        let Some(axes) = self.float_axes("norm", &axes) else { return self.invalid() };
        let squared = self.square().sum(&axes[..]);
        // The root is taken of 1 where the sum is 0: an infinite slope times 0 would be NaN.
        let positive = squared.gt(0.0);
        let root = squared.masked_fill(&positive.logical_not(), 1.0).sqrt();
        positive.select(&root, &root.zeros_like())
    }
}
