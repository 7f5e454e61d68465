//! Flattening of all axes but the first.

use wgrad_core::Tensor;

use crate::Module;

/// Merges the axes after the first: \[N, C, H, W\] becomes \[N, C·H·W\] (PyTorch's `Flatten`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Flatten;

impl Module for Flatten {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.flatten(1)
    }
}
