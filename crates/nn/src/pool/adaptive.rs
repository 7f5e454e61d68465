//! Pooling to given extents, whatever those of the input.

use wgrad_core::Tensor;

use crate::Module;

/// Means over windows such that the last D axes end up with the given extents (PyTorch's `AdaptiveAvgPool1d`,
/// `2d`, `3d`).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{AdaptiveAvgPool2d, Module};
/// let x = Graph::new(Mode::Eval).input("image", [8, 3, 13, 9], F32);
/// assert_eq!(*AdaptiveAvgPool2d::new([7, 7]).forward(&x).shape(), [8, 3, 7, 7]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool<const D: usize>([usize; D]);

/// Means over sequences \[N, C, L\].
pub type AdaptiveAvgPool1d = AdaptiveAvgPool<1>;

/// Means over images \[N, C, H, W\].
pub type AdaptiveAvgPool2d = AdaptiveAvgPool<2>;

/// Means over volumes \[N, C, D, H, W\].
pub type AdaptiveAvgPool3d = AdaptiveAvgPool<3>;

impl<const D: usize> AdaptiveAvgPool<D> {
    /// To these extents.
    pub fn new(output: [usize; D]) -> Self {
        Self(output)
    }
}

impl<const D: usize> Module for AdaptiveAvgPool<D> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.adaptive_avg_pool(&self.0)
    }
}

/// Maxima over windows such that the last D axes end up with the given extents (PyTorch's `AdaptiveMaxPool1d`,
/// `2d`, `3d`).
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveMaxPool<const D: usize>([usize; D]);

/// Maxima over sequences \[N, C, L\].
pub type AdaptiveMaxPool1d = AdaptiveMaxPool<1>;

/// Maxima over images \[N, C, H, W\].
pub type AdaptiveMaxPool2d = AdaptiveMaxPool<2>;

/// Maxima over volumes \[N, C, D, H, W\].
pub type AdaptiveMaxPool3d = AdaptiveMaxPool<3>;

impl<const D: usize> AdaptiveMaxPool<D> {
    /// To these extents.
    pub fn new(output: [usize; D]) -> Self {
        Self(output)
    }
}

impl<const D: usize> Module for AdaptiveMaxPool<D> {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.adaptive_max_pool(&self.0)
    }
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
