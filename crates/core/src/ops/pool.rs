//! Pooling: the maximum or the mean of each window.

use super::Window;
use crate::{DType, Tensor};

impl Tensor {
    /// The maximum of each window over the last axes; padding never wins. The whole gradient goes to the
    /// first maximum of a window, as in PyTorch.
    #[track_caller]
    pub fn max_pool(&self, window: &Window) -> Self {
        let Some(taps) = self.taps(window, self.dtype().lowest(), "max_pool") else { return self.invalid() };
        let winner = taps.argmax(-1).unsqueeze(-1);
        let tap = self.graph().arange(taps.dim(-1), DType::U32);
        winner.eq(tap).select(&taps, &taps.zeros_like()).sum(-1)
    }

    /// The mean of each window over the last axes; padding counts as zeros, as by default in PyTorch.
    #[track_caller]
    pub fn avg_pool(&self, window: &Window) -> Self {
        match self.taps(window, 0.0, "avg_pool") {
            Some(taps) => taps.mean(-1),
            None => self.invalid(),
        }
    }

    /// The maximum of neighbouring `size` × `size` squares over the last two axes (PyTorch's
    /// `MaxPool2d(size)`). Rows and columns that do not fill a square are left out.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Eval);
    /// let x = g.input("image", [8, 3, 29, 28], F32);
    /// assert_eq!(*x.max_pool2d(2).shape(), [8, 3, 14, 14]);
    /// ```
    #[track_caller]
    pub fn max_pool2d(&self, size: usize) -> Self {
        self.max_pool(&Window::new(&[size, size]).stride(size))
    }

    /// The mean of neighbouring `size` × `size` squares over the last two axes (PyTorch's
    /// `AvgPool2d(size)`).
    #[track_caller]
    pub fn avg_pool2d(&self, size: usize) -> Self {
        self.avg_pool(&Window::new(&[size, size]).stride(size))
    }

    /// The mean over the last two axes, which are dropped: \[N, C, H, W\] becomes \[N, C\].
    #[track_caller]
    pub fn global_avg_pool2d(&self) -> Self {
        if self.is_valid() && self.rank() < 2 {
            return self.fail("global_avg_pool2d", format!("needs two axes to average, got {}", self.spec()));
        }
        self.mean([-2, -1])
    }

    /// Windows with their elements flattened to one last axis.
    #[track_caller]
    fn taps(&self, window: &Window, fill: f64, operation: &str) -> Option<Self> {
        if !self.is_valid() {
            return None;
        }
        let shape = self.shape();
        let positions = match shape.rank().checked_sub(window.rank()).filter(|_| window.rank() > 0) {
            Some(lead) => window.output(&shape[lead..]),
            None => Err(format!("a window over {} axes does not fit {shape}", window.rank())),
        };
        match positions {
            Ok(_) => Some(self.windows(window, fill).flatten(-(window.rank() as isize))),
            Err(message) => {
                self.fail(operation, message);
                None
            }
        }
    }
}
