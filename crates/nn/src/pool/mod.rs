//! Pooling over one, two or three axes.

mod adaptive;

pub use adaptive::{
    AdaptiveAvgPool, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool,
    AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d, GlobalAvgPool2d,
};

use wgrad_core::Tensor;
use wgrad_core::ops::{Pooling, Window};

use crate::Module;

/// The maximum of each window over the last D axes (PyTorch's `MaxPool1d`, `2d`, `3d`).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{MaxPool2d, Module};
/// let x = Graph::new(Mode::Eval).input("image", [8, 3, 29, 28], F32);
/// assert_eq!(*MaxPool2d::new(2).forward(&x).shape(), [8, 3, 14, 14]);
/// assert_eq!(*MaxPool2d::new(2).ceil_mode().forward(&x).shape(), [8, 3, 15, 14]);
/// assert_eq!(*MaxPool2d::new(3).stride(2).padding(1).forward(&x).shape(), [8, 3, 15, 14]);
/// ```
#[derive(Clone, Debug)]
pub struct MaxPool<const D: usize> {
    window: Window,
    pooling: Pooling,
}

/// The maximum of windows of sequences \[N, C, L\].
pub type MaxPool1d = MaxPool<1>;

/// The maximum of windows of images \[N, C, H, W\].
pub type MaxPool2d = MaxPool<2>;

/// The maximum of windows of volumes \[N, C, D, H, W\].
pub type MaxPool3d = MaxPool<3>;

impl<const D: usize> MaxPool<D> {
    /// Windows of `size` elements along every axis, side by side.
    pub fn new(size: usize) -> Self {
        Self { window: Window::new(&[size; D]).stride(size), pooling: Pooling::default() }
    }

    /// The step between neighbouring windows; by default the size.
    pub fn stride(mut self, stride: usize) -> Self {
        self.window = self.window.stride(stride);
        self
    }

    /// Padding on all sides, which never wins.
    pub fn padding(mut self, padding: usize) -> Self {
        self.window = self.window.padding(padding);
        self
    }

    /// The step between neighbouring elements of a window.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.window = self.window.dilation(dilation);
        self
    }

    /// A last window that reaches beyond the end counts too.
    pub fn ceil_mode(mut self) -> Self {
        self.pooling.ceil_mode = true;
        self
    }
}

impl<const D: usize> Module for MaxPool<D> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        match wider_than_half(&self.window) {
            Some(message) => x.fail(&format!("max_pool{D}d"), message),
            None => x.max_pool_with(&self.window, self.pooling),
        }
    }
}

/// The mean of each window over the last D axes (PyTorch's `AvgPool1d`, `2d`, `3d`); padding counts as zeros
/// unless excluded.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{AvgPool1d, Module};
/// let x = Graph::new(Mode::Eval).input("wave", [8, 3, 100], F32);
/// assert_eq!(*AvgPool1d::new(4).forward(&x).shape(), [8, 3, 25]);
/// ```
#[derive(Clone, Debug)]
pub struct AvgPool<const D: usize> {
    window: Window,
    pooling: Pooling,
}

/// The mean of windows of sequences \[N, C, L\].
pub type AvgPool1d = AvgPool<1>;

/// The mean of windows of images \[N, C, H, W\].
pub type AvgPool2d = AvgPool<2>;

/// The mean of windows of volumes \[N, C, D, H, W\].
pub type AvgPool3d = AvgPool<3>;

impl<const D: usize> AvgPool<D> {
    /// Windows of `size` elements along every axis, side by side.
    pub fn new(size: usize) -> Self {
        Self { window: Window::new(&[size; D]).stride(size), pooling: Pooling::default() }
    }

    /// The step between neighbouring windows; by default the size.
    pub fn stride(mut self, stride: usize) -> Self {
        self.window = self.window.stride(stride);
        self
    }

    /// Zeros added on all sides.
    pub fn padding(mut self, padding: usize) -> Self {
        self.window = self.window.padding(padding);
        self
    }

    /// A last window that reaches beyond the end counts too.
    pub fn ceil_mode(mut self) -> Self {
        self.pooling.ceil_mode = true;
        self
    }

    /// Means are over the elements of the input alone (PyTorch's `count_include_pad=False`).
    pub fn exclude_padding(mut self) -> Self {
        self.pooling.count_include_pad = false;
        self
    }
}

impl<const D: usize> Module for AvgPool<D> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        match wider_than_half(&self.window) {
            Some(message) => x.fail(&format!("avg_pool{D}d"), message),
            None => x.avg_pool_with(&self.window, self.pooling),
        }
    }
}

/// As in PyTorch, padding reaches over at most half a window, so that no window sees padding alone.
fn wider_than_half(window: &Window) -> Option<String> {
    let (size, padding) = (window.size[0], window.padding[0].0);
    (padding > size / 2).then(|| format!("padding {padding} is more than half of the window's {size}"))
}

/// (Σ|x|ᵖ)^(1/p) over each window of the last D axes, p ≥ 1 (PyTorch's `LPPool1d`, `2d`, `3d`, which leaves the
/// magnitude out: it agrees where p is even or x is not negative).
#[derive(Clone, Debug)]
pub struct LpPool<const D: usize> {
    window: Window,
    p: f64,
}

/// The p-norm of windows of sequences \[N, C, L\].
pub type LpPool1d = LpPool<1>;

/// The p-norm of windows of images \[N, C, H, W\].
pub type LpPool2d = LpPool<2>;

impl<const D: usize> LpPool<D> {
    /// Windows of `size` elements along every axis, side by side.
    pub fn new(p: f64, size: usize) -> Self {
        Self { window: Window::new(&[size; D]).stride(size), p }
    }

    /// The step between neighbouring windows; by default the size.
    pub fn stride(mut self, stride: usize) -> Self {
        self.window = self.window.stride(stride);
        self
    }
}

impl<const D: usize> Module for LpPool<D> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.lp_pool(&self.window, self.p)
    }
}
