//! Pooling of images.

use wgrad_core::Tensor;
use wgrad_core::ops::Window;

use crate::Module;

/// The maximum of each window over the last two axes (PyTorch's `MaxPool2d`).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{MaxPool2d, Module};
/// let x = Graph::new(Mode::Eval).input("image", [8, 3, 28, 28], F32);
/// assert_eq!(*MaxPool2d::new(2).forward(&x).shape(), [8, 3, 14, 14]);
/// assert_eq!(*MaxPool2d::new(3).stride(2).padding(1).forward(&x).shape(), [8, 3, 14, 14]);
/// ```
#[derive(Clone, Debug)]
pub struct MaxPool2d(Window);

impl MaxPool2d {
    /// Squares of `size` × `size` side by side.
    pub fn new(size: usize) -> Self {
        Self(Window::new(&[size, size]).stride(size))
    }

    /// The step between neighbouring windows; by default the size.
    pub fn stride(self, stride: usize) -> Self {
        Self(self.0.stride(stride))
    }

    /// Padding on all four sides, which never wins.
    pub fn padding(self, padding: usize) -> Self {
        Self(self.0.padding(padding))
    }
}

impl Module for MaxPool2d {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        match wider_than_half(&self.0) {
            Some(message) => x.fail("max_pool2d", message),
            None => x.max_pool(&self.0),
        }
    }
}

/// The mean of each window over the last two axes; padding counts as zeros (PyTorch's `AvgPool2d`).
#[derive(Clone, Debug)]
pub struct AvgPool2d(Window);

impl AvgPool2d {
    /// Squares of `size` × `size` side by side.
    pub fn new(size: usize) -> Self {
        Self(Window::new(&[size, size]).stride(size))
    }

    /// The step between neighbouring windows; by default the size.
    pub fn stride(self, stride: usize) -> Self {
        Self(self.0.stride(stride))
    }

    /// Zeros added on all four sides.
    pub fn padding(self, padding: usize) -> Self {
        Self(self.0.padding(padding))
    }
}

impl Module for AvgPool2d {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        match wider_than_half(&self.0) {
            Some(message) => x.fail("avg_pool2d", message),
            None => x.avg_pool(&self.0),
        }
    }
}

/// As in PyTorch, padding reaches over at most half a window, so that no window sees padding alone.
fn wider_than_half(window: &Window) -> Option<String> {
    let (size, padding) = (window.size[0], window.padding[0].0);
    (padding > size / 2).then(|| format!("padding {padding} is more than half of the window's {size}"))
}

/// The mean over the last two axes, which are dropped: \[N, C, H, W\] becomes \[N, C\].
#[derive(Clone, Copy, Debug, Default)]
pub struct GlobalAvgPool2d;

impl Module for GlobalAvgPool2d {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.global_avg_pool2d()
    }
}
