//! Euclidean length along axes.

use crate::case::Case;
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

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("norm", |t| t[0].norm(-1)).given([2, 2], &[3.0, -4.0, 5.0, 12.0]).expect(&[5.0, 13.0]),
        Case::new("norm/zero", |t| t[0].norm(-1))
            .given([2, 2], &[0.0, 0.0, 0.0, 1.0])
            .expect(&[0.0, 1.0])
            .no_gradient(),
        Case::new("norm/all", |t| t[0].norm(..)).random([3, 5]),
    ]
}
