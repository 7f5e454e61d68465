//! Pooling to given extents, whatever those of the input: window i of o over n elements is
//! ⌊i·n/o⌋ .. ⌈(i+1)·n/o⌉, as in PyTorch.
//!
//! Both work axis by axis: the mean, or maximum, of a box is that of its rows' means, or maxima.

use std::ops::Range;

use super::Contract;
use crate::case::Case;
use crate::{Array, DType, Tensor, TensorSpec};

impl Tensor {
    /// Means over windows such that the last axes end up with the given extents (PyTorch's
    /// `adaptive_avg_pool1d`, `2d`, `3d`).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Eval);
    /// let x = g.input("x", [8, 512, 9, 7], F32);
    /// assert_eq!(*x.adaptive_avg_pool(&[6, 6]).shape(), [8, 512, 6, 6]);
    /// ```
    #[track_caller]
    pub fn adaptive_avg_pool(&self, output: &[usize]) -> Self {
        if !self.needs_float("adaptive_avg_pool") || !self.can_adapt(output, "adaptive_avg_pool") {
            return self.invalid();
        }
        let mut pooled = self.clone();
        for (axis, &o) in (self.rank() - output.len()..self.rank()).zip(output) {
            let n = self.dim(axis as isize);
            pooled = match o {
                _ if o == n => pooled,
                1 => pooled.mean_keep(&[axis][..]),
                _ => pooled.mix_along(axis, averages(n, o, self.dtype())),
            };
        }
        pooled
    }

    /// Maxima over windows such that the last axes end up with the given extents (PyTorch's
    /// `adaptive_max_pool1d`, `2d`, `3d`). The first maximum of a window takes its whole gradient.
    #[track_caller]
    pub fn adaptive_max_pool(&self, output: &[usize]) -> Self {
        if !self.can_adapt(output, "adaptive_max_pool") {
            return self.invalid();
        }
        let mut pooled = self.clone();
        // From the inside out, so that the first maximum is the first in row-major order.
        for (axis, &o) in (self.rank() - output.len()..self.rank()).zip(output).rev() {
            let n = self.dim(axis as isize);
            if o != n {
                let picks = self.graph().constant_array(positions(n, o));
                let windows = pooled.index_select(axis as isize, &picks);
                pooled = windows.movedim(axis as isize + 1, -1).first_max();
            }
        }
        pooled
    }

    /// Whether the last axes can be pooled to these extents; anything else is reported.
    #[track_caller]
    fn can_adapt(&self, output: &[usize], operation: &str) -> bool {
        if !self.is_valid() {
            return false;
        }
        let shape = self.shape();
        let lead = shape.rank().checked_sub(output.len()).filter(|_| !output.is_empty());
        let fits =
            lead.is_some_and(|lead| shape[lead..].iter().all(|&n| n > 0)) && output.iter().all(|&o| o > 0);
        if !fits {
            self.fail(operation, format!("the last axes of {shape} cannot be pooled to {output:?}"));
        }
        fits
    }

    /// Contracts an axis with a constant matrix \[o, n\].
    #[track_caller]
    pub(super) fn mix_along(&self, axis: usize, matrix: Array) -> Self {
        let matrix = self.graph().constant_array(matrix);
        let a: Vec<u8> = (0..self.rank()).map(|axis| b'A' + axis as u8).collect();
        let mut out = a.clone();
        out[axis] = b'o';
        let b = vec![b'o', a[axis]];
        self.graph().record(Contract { a, b, out }, &[self, &matrix])
    }
}

fn window(n: usize, o: usize, i: usize) -> Range<usize> {
    i * n / o..((i + 1) * n).div_ceil(o)
}

/// The matrix \[o, n\] whose rows average windows.
fn averages(n: usize, o: usize, dtype: DType) -> Array {
    Array::from_fn(&TensorSpec::new(dtype, [o, n]), |index| {
        let window = window(n, o, index[0]);
        if window.contains(&index[1]) { 1.0 / window.len() as f64 } else { 0.0 }
    })
}

/// The positions in each window, its last one repeated until all windows have as many: a repetition is never
/// the first maximum.
fn positions(n: usize, o: usize) -> Array {
    let widest = (0..o).map(|i| window(n, o, i).len()).max().unwrap_or(1);
    Array::from_fn(&TensorSpec::new(DType::U32, [o, widest]), |index| {
        let window = window(n, o, index[0]);
        (window.start + index[1]).min(window.end - 1) as f64
    })
}

pub(crate) fn cases() -> Vec<Case> {
    let x = [1.0, 2.0, 6.0, 4.0, 5.0];
    let avg = |variant: &str, output: &'static [usize]| {
        Case::new(&format!("adaptive_avg_pool{variant}"), move |t| t[0].adaptive_avg_pool(output))
    };
    let max = |variant: &str, output: &'static [usize]| {
        Case::new(&format!("adaptive_max_pool{variant}"), move |t| t[0].adaptive_max_pool(output))
    };
    vec![
        // Windows 0..2, 1..4, 3..5.
        avg("", &[3]).given([1, 5], &x).expect(&[1.5, 4.0, 4.5]),
        avg("/squares", &[2, 3]).random([2, 2, 5, 7]),
        avg("/larger", &[5, 4]).random([2, 3, 4]),
        avg("/global", &[1, 1]).random([2, 3, 4, 5]),
        avg("/three-axes", &[2, 1, 2]).random([2, 3, 2, 4]),
        avg("/no-batch", &[2]).random([0, 5]).expect(&[]),
        max("", &[3]).given([1, 5], &x).expect(&[2.0, 6.0, 5.0]),
        max("/squares", &[2, 3]).distinct([2, 2, 5, 7]),
        max("/larger", &[5, 4]).distinct([2, 3, 4]),
        max("/global", &[1, 1]).distinct([2, 3, 4, 5]),
    ]
}
