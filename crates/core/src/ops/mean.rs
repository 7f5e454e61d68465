//! Mean, variance and standard deviation along axes.

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
        self.sum(&axes[..]) / self.extent_of(&axes) as f64
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

    /// The standard deviation along axes, which are dropped: the square root of [`Tensor::var`].
    #[track_caller]
    pub fn std(&self, axes: impl Axes, correction: usize) -> Self {
        self.var(axes, correction).sqrt()
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
