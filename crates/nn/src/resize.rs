//! Sequences, images and volumes enlarged: by repetition, by interpolation, from channels.

use wgrad_core::Tensor;

use crate::Module;

/// The axes behind the channels of \[N, C, …\], one to three of them, enlarged by a factor (PyTorch's `Upsample`
/// with `scale_factor`).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{Module, Upsample};
/// let x = Graph::new(Mode::Eval).input("image", [8, 3, 7, 5], F32);
/// assert_eq!(*Upsample::nearest(2).forward(&x).shape(), [8, 3, 14, 10]);
/// assert_eq!(*Upsample::linear(2).forward(&x).shape(), [8, 3, 14, 10]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Upsample {
    factor: usize,
    mode: Interpolation,
}

#[derive(Clone, Copy, Debug)]
enum Interpolation {
    Nearest,
    Linear { align_corners: bool },
}

impl Upsample {
    /// Each element repeated (`mode="nearest"`).
    pub fn nearest(factor: usize) -> Self {
        Self { factor, mode: Interpolation::Nearest }
    }

    /// Linearly between neighbours (`mode="linear"`, `"bilinear"`, `"trilinear"`, by the number of axes).
    pub fn linear(factor: usize) -> Self {
        Self { factor, mode: Interpolation::Linear { align_corners: false } }
    }

    /// With the first and last elements staying where they are; of consequence for linear interpolation alone.
    pub fn align_corners(mut self) -> Self {
        if let Interpolation::Linear { align_corners } = &mut self.mode {
            *align_corners = true;
        }
        self
    }
}

impl Module for Upsample {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let shape = x.shape();
        if !(3..=5).contains(&shape.rank()) {
            return x.fail("upsample", format!("needs an input [N, C, …] of 3 to 5 axes, got {}", x.spec()));
        }
        let extents: Vec<usize> = shape[2..].iter().map(|extent| extent * self.factor).collect();
        match self.mode {
            Interpolation::Nearest => x.upsample_nearest(&extents),
            Interpolation::Linear { align_corners } => x.upsample_linear(&extents, align_corners),
        }
    }
}

/// Groups of r² channels become squares of r × r pixels: \[N, C·r², H, W\] gives \[N, C, H·r, W·r\] (PyTorch's
/// `PixelShuffle`; Shi et al., 2016).
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{Module, PixelShuffle};
/// let x = Graph::new(Mode::Eval).input("x", [8, 12, 7, 5], F32);
/// assert_eq!(*PixelShuffle(2).forward(&x).shape(), [8, 3, 14, 10]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PixelShuffle(
    /// The side r of a square.
    pub usize,
);

impl Module for PixelShuffle {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.pixel_shuffle(self.0)
    }
}

/// Squares of r × r pixels become groups of r² channels: the inverse of [`PixelShuffle`] (PyTorch's
/// `PixelUnshuffle`).
#[derive(Clone, Copy, Debug)]
pub struct PixelUnshuffle(
    /// The side r of a square.
    pub usize,
);

impl Module for PixelUnshuffle {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.pixel_unshuffle(self.0)
    }
}
