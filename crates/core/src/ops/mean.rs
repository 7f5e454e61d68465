//! Mean, variance and standard deviation along axes.

use crate::case::Case;
use crate::{Axes, Tensor};

impl Tensor {
    /// The mean along axes, which are dropped. `x.mean(..)` averages everything; over no elements it
    /// is NaN, as in PyTorch.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Eval);
    /// let x = g.input("x", [64, 10], F32);
    /// assert_eq!(*x.mean(-1).shape(), [64]);
    /// assert_eq!(*x.mean_keep(-1).shape(), [64, 1]);
    /// ```
    #[track_caller]
    pub fn mean(&self, axes: impl Axes) -> Self {
        let Some(axes) = self.float_axes("mean", &axes) else { return self.invalid() };
        // The same division as in [`Tensor::var`], so that what both are subtracted from is computed once.
        self.mean_keep(&axes[..]).reshape(self.shape().without(&axes))
    }

    /// The mean along axes, which stay with extent 1.
    #[track_caller]
    pub fn mean_keep(&self, axes: impl Axes) -> Self {
        let Some(axes) = self.float_axes("mean", &axes) else { return self.invalid() };
        self.sum_keep(&axes[..]) / self.extent_of(&axes) as f64
    }

    /// The variance along axes, which are dropped: Σ(x − mean)² / (n − correction). A correction of 1
    /// is PyTorch's default (unbiased), 0 divides by n.
    #[track_caller]
    pub fn var(&self, axes: impl Axes, correction: usize) -> Self {
        let Some(axes) = self.float_axes("var", &axes) else { return self.invalid() };
        let variance = self.var_keep(&axes[..], correction);
        variance.reshape(self.shape().without(&axes))
    }

    /// The variance along axes, which stay with extent 1.
    #[track_caller]
    pub fn var_keep(&self, axes: impl Axes, correction: usize) -> Self {
        let Some(axes) = self.float_axes("var", &axes) else { return self.invalid() };
        let freedom = self.extent_of(&axes).saturating_sub(correction);
        let deviation = self - self.mean_keep(&axes[..]);
        deviation.square().sum_keep(&axes[..]) / freedom as f64
    }

    /// The standard deviation along axes, which are dropped: the square root of [`Tensor::var`]. Its gradient
    /// at equal elements is 0, as in PyTorch.
    #[track_caller]
    pub fn std(&self, axes: impl Axes, correction: usize) -> Self {
        self.var(axes, correction).root_or_zero(2.0)
    }

    /// The number of elements along axes.
    pub(crate) fn extent_of(&self, axes: &[usize]) -> usize {
        let shape = self.shape();
        axes.iter().map(|&axis| shape[axis]).product()
    }

    /// Sorted axes of a float tensor; anything else is reported.
    #[track_caller]
    pub(crate) fn float_axes(&self, operation: &str, axes: &impl Axes) -> Option<Vec<usize>> {
        if !self.needs_float(operation) {
            return None;
        }
        match axes.resolve(&self.shape()) {
            Ok(axes) => Some(axes),
            Err(message) => {
                self.fail(operation, message);
                None
            }
        }
    }

    /// Whether this is a valid float tensor; another dtype is reported.
    #[track_caller]
    pub(crate) fn needs_float(&self, operation: &str) -> bool {
        if self.is_valid() && !self.dtype().is_float() {
            self.fail(operation, format!("needs a float tensor, got {}", self.spec()));
            return false;
        }
        self.is_valid()
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [1.0, 3.0, 8.0, 2.0, 2.0, 2.0];
    let equal = [2.0, 2.0, 2.0, 2.0, 1.0, 3.0, 1.0, 3.0];
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("mean", |t| t[0].mean(-1)).given([2, 3], &x).expect(&[4.0, 2.0]),
        case("mean/all", |t| t[0].mean(..)).given([2, 3], &x).expect(&[3.0]),
        case("mean/outer-and-inner", |t| t[0].mean([0, 2])).random([3, 5, 4]),
        case("mean/none-of-rows", |t| t[0].mean(1)).random([0, 3]).expect(&[]),
        case("mean/large", |t| t[0].mean(..)).random([101, 97]),
        case("mean_keep", |t| &t[0] - t[0].mean_keep(0))
            .given([2, 3], &x)
            .expect(&[-0.5, 0.5, 3.0, 0.5, -0.5, -3.0]),
        case("var", |t| t[0].var(-1, 1)).given([2, 3], &x).expect(&[13.0, 0.0]),
        case("var/biased", |t| t[0].var(0, 0)).given([2, 3], &x).expect(&[0.25, 0.25, 9.0]),
        case("var/random", |t| t[0].var([0, 2], 1)).random([3, 5, 4]),
        case("var_keep", |t| &t[0] + t[0].var_keep(-1, 1)).given([1, 2], &[1.0, 3.0]).expect(&[3.0, 5.0]),
        case("std", |t| t[0].std(0, 0)).given([2, 3], &x).expect(&[0.5, 0.5, 3.0]),
        case("std/equal", |t| t[0].std(-1, 0)).given([2, 4], &equal).expect(&[0.0, 1.0]).no_gradient(),
        case("std/equal-gradient", |t| t[0].std(-1, 0).sum(..).gradients(&[&t[0]]).remove(0))
            .given([2, 4], &equal)
            .expect(&[0.0, 0.0, 0.0, 0.0, -0.25, 0.25, -0.25, 0.25])
            .no_gradient(),
        case("std/random", |t| t[0].std(-1, 1)).random([3, 7]),
    ]
}
