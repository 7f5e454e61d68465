//! Channels as pixels, and pixels as channels (Shi et al., CVPR 2016).

use crate::Tensor;
use crate::case::Case;

impl Tensor {
    /// Groups of r² channels become squares of r × r pixels: \[…, C·r², H, W\] gives \[…, C, H·r, W·r\]
    /// (PyTorch's `PixelShuffle`).
    #[track_caller]
    pub fn pixel_shuffle(&self, factor: usize) -> Self {
        let shape = self.shape();
        if !self.is_valid() {
            return self.clone();
        }
        let Some((lead, &[c, h, w])) = shape.split_last_chunk::<3>() else {
            return self.fail("pixel_shuffle", format!("needs an image [C, H, W], got {}", self.spec()));
        };
        if factor == 0 || !c.is_multiple_of(factor * factor) {
            return self
                .fail("pixel_shuffle", format!("{c} channels of {shape} are not groups of {factor}²"));
        }
        let channels = c / (factor * factor);
        let split = self.reshape([lead, &[channels, factor, factor, h, w]].concat());
        let n = lead.len() as isize;
        let order: Vec<isize> = (0..n).chain([n, n + 3, n + 1, n + 4, n + 2]).collect();
        split.permute(&order).reshape([lead, &[channels, h * factor, w * factor]].concat())
    }

    /// Squares of r × r pixels become groups of r² channels: the inverse of [`Tensor::pixel_shuffle`]
    /// (PyTorch's `PixelUnshuffle`).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Eval);
    /// let x = g.input("x", [8, 3, 12, 8], F32);
    /// assert_eq!(*x.pixel_unshuffle(4).shape(), [8, 48, 3, 2]);
    /// ```
    #[track_caller]
    pub fn pixel_unshuffle(&self, factor: usize) -> Self {
        let shape = self.shape();
        if !self.is_valid() {
            return self.clone();
        }
        let Some((lead, &[c, h, w])) = shape.split_last_chunk::<3>() else {
            return self.fail("pixel_unshuffle", format!("needs an image [C, H, W], got {}", self.spec()));
        };
        if factor == 0 || !h.is_multiple_of(factor) || !w.is_multiple_of(factor) {
            return self
                .fail("pixel_unshuffle", format!("{shape} does not divide into squares of {factor} pixels"));
        }
        let (rows, columns) = (h / factor, w / factor);
        let split = self.reshape([lead, &[c, rows, factor, columns, factor]].concat());
        let n = lead.len() as isize;
        let order: Vec<isize> = (0..n).chain([n, n + 2, n + 4, n + 1, n + 3]).collect();
        split.permute(&order).reshape([lead, &[c * factor * factor, rows, columns]].concat())
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let image = [1.0, 3.0, 2.0, 4.0, 5.0, 7.0, 6.0, 8.0];
    vec![
        Case::new("pixel_shuffle", |t| t[0].pixel_shuffle(2)).given([4, 1, 2], &x).expect(&image),
        Case::new("pixel_shuffle/batched", |t| t[0].pixel_shuffle(3)).random([2, 18, 2, 3]),
        Case::new("pixel_unshuffle", |t| t[0].pixel_unshuffle(2)).given([1, 2, 4], &image).expect(&x),
        Case::new("pixel_unshuffle/batched", |t| t[0].pixel_unshuffle(3)).random([2, 2, 6, 3]),
    ]
}
