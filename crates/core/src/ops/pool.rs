//! Pooling: the maximum or the mean of each window.

use super::Window;
use crate::case::Case;
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

pub(crate) fn cases() -> Vec<Case> {
    let max_pool = |variant: &str, window: Window| {
        Case::new(&format!("max_pool{variant}"), move |t| t[0].max_pool(&window))
    };
    let avg_pool = |variant: &str, window: Window| {
        Case::new(&format!("avg_pool{variant}"), move |t| t[0].avg_pool(&window))
    };
    let square = |size: usize| Window::new(&[size, size]);
    let x = [1.0, 2.0, 5.0, 4.0, -3.0, 0.0, -1.0, 7.0];
    vec![
        max_pool("", Window::new(&[3]).stride(2).padding(1)).given([2, 4], &x).expect(&[2.0, 5.0, 0.0, 7.0]),
        max_pool("/below-zero", Window::new(&[2]).padding(1))
            .given([2], &[-1.0, -2.0])
            .expect(&[-1.0, -1.0, -2.0]),
        max_pool("/overlapping", square(3).stride(2).padding(1)).distinct([2, 3, 7, 5]),
        max_pool("/dilated", square(2).dilation(2)).distinct([1, 2, 5, 6]),
        max_pool("/three-axes", Window::new(&[2, 2, 2]).stride(2)).distinct([2, 4, 5, 4]),
        max_pool("/no-batch", square(2)).random([0, 3, 3]).expect(&[]),
        avg_pool("", Window::new(&[3]).stride(2).padding(1))
            .given([1, 4], &[3.0, 6.0, 9.0, 12.0])
            .expect(&[3.0, 9.0]),
        avg_pool("/overlapping", square(3).stride(2).padding(1)).random([2, 3, 7, 5]),
        Case::new("max_pool2d", |t| t[0].max_pool2d(2)).given([1, 1, 2, 4], &x).expect(&[2.0, 7.0]),
        Case::new("max_pool2d/odd", |t| t[0].max_pool2d(2)).distinct([2, 2, 7, 5]),
        Case::new("max_pool2d/transposed", |t| t[0].t().max_pool2d(2)).distinct([2, 2, 7, 4]),
        Case::new("avg_pool2d", |t| t[0].avg_pool2d(2)).given([1, 1, 2, 4], &x).expect(&[0.0, 3.75]),
        Case::new("avg_pool2d/odd", |t| t[0].avg_pool2d(3)).random([2, 2, 7, 5]),
        Case::new("global_avg_pool2d", |t| t[0].global_avg_pool2d())
            .given([1, 2, 2, 2], &x)
            .expect(&[3.0, 0.75]),
    ]
}
