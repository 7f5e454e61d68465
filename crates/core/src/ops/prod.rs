//! Products along axes.

use crate::case::Case;
use crate::{Axes, Tensor};

impl Tensor {
    /// The product along axes, which are dropped; 1 over no elements. A halving tree of
    /// multiplications, so that its gradient is right where factors are zero.
    #[track_caller]
    pub fn prod(&self, axes: impl Axes) -> Self {
        if !self.is_valid() {
            return self.clone();
        }
        let shape = self.shape();
        let axes = match axes.resolve(&shape) {
            Ok(axes) => axes,
            Err(message) => return self.fail("prod", message),
        };
        let kept: Vec<usize> = (0..shape.rank()).filter(|axis| !axes.contains(axis)).collect();
        let order: Vec<isize> = kept.iter().chain(&axes).map(|&axis| axis as isize).collect();
        let mut n = self.extent_of(&axes);
        let left = shape.without(&axes);
        if n == 0 {
            return self.graph().full(left, 1.0, self.dtype());
        }
        let mut factors = self.permute(&order).reshape([&left[..], &[n]].concat());
        while n > 1 {
            let half = n.div_ceil(2);
            let mut padding = vec![(0, 0); left.rank()];
            padding.push((0, 2 * half - n));
            let rest = factors.slice(-1, half..n).pad(&padding, 1.0);
            factors = factors.slice(-1, 0..half) * rest;
            n = half;
        }
        factors.reshape(left)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("prod", |t| t[0].prod(-1))
            .given([2, 3], &[2.0, 3.0, -4.0, 5.0, 0.0, 7.0])
            .expect(&[-24.0, 0.0]),
        Case::new("prod/two-zeros", |t| t[0].prod(..)).given([4], &[0.0, 3.0, 0.0, 7.0]).expect(&[0.0]),
        Case::new("prod/outer-and-inner", |t| t[0].prod([0, 2])).random([3, 5, 3]),
        Case::new("prod/none", |t| t[0].prod(0)).random([0, 2]).expect(&[1.0, 1.0]).no_gradient(),
        Case::new("prod/wraps", |t| t[0].prod(..))
            .indices([3], &[65536.0, 65536.0, 3.0])
            .expect(&[0.0])
            .no_gradient(),
    ]
}
