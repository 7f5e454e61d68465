//! Softmax, its logarithm, and the logarithm of a sum of exponentials.
//!
//! All three subtract the maximum first. It only guards against overflow and cancels in the result, so
//! no gradient flows through it.

use crate::{Axes, Tensor};

impl Tensor {
    /// eˣ / Σeˣ along an axis (PyTorch's `softmax`).
    ///
    /// ```
    /// use wgrad_core::{Graph, Mode, interpret::evaluate};
    /// let g = Graph::new(Mode::Eval);
    /// let y = g.constant([2], &[0f32, 0.0]).softmax(-1);
    /// assert_eq!(evaluate(&g.recording(), &Default::default())[y.id().index()].data, [0.5, 0.5]);
    /// ```
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Self {
        let Some(axes) = self.float_axes("softmax", &axis) else { return self.invalid() };
        let exponentials = (self - self.max_keep(&axes[..]).detach()).exp();
        let total = exponentials.sum_keep(&axes[..]);
        exponentials / total
    }

    /// The logarithm of the softmax along an axis, accurate where the softmax underflows (PyTorch's
    /// `log_softmax`).
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Self {
        let Some(axes) = self.float_axes("log_softmax", &axis) else { return self.invalid() };
        let shifted = self - self.max_keep(&axes[..]).detach();
        let total = shifted.exp().sum_keep(&axes[..]).log();
        shifted - total
    }

    /// ln Σeˣ along axes, which are dropped (PyTorch's `logsumexp`).
    #[track_caller]
    pub fn logsumexp(&self, axes: impl Axes) -> Self {
        let Some(axes) = self.float_axes("logsumexp", &axes) else { return self.invalid() };
        let largest = self.max_keep(&axes[..]).detach();
        let total = (self - &largest).exp().sum_keep(&axes[..]).log();
        (total + largest).reshape(self.shape().without(&axes))
    }
}
