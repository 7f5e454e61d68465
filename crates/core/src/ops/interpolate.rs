//! Images, sequences and volumes resized: by the nearest element, or linearly between neighbours.
//!
//! Both work axis by axis on the last axes: bilinear interpolation is linear along each of two.

use crate::case::Case;
use crate::{Array, DType, Tensor, TensorSpec};

impl Tensor {
    /// The last axes resized to `extents`: element i along an axis of n is element ⌊i·n/extent⌋ (PyTorch's
    /// `interpolate` with `mode="nearest"`).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Eval);
    /// let x = g.input("x", [8, 3, 7, 7], F32);
    /// assert_eq!(*x.upsample_nearest(&[14, 14]).shape(), [8, 3, 14, 14]);
    /// ```
    #[track_caller]
    pub fn upsample_nearest(&self, extents: &[usize]) -> Self {
        if !self.can_resize(extents, "upsample_nearest") {
            return self.invalid();
        }
        let mut resized = self.clone();
        for (axis, &m) in (self.rank() - extents.len()..self.rank()).zip(extents) {
            let n = self.dim(axis as isize);
            resized = if m.is_multiple_of(n) {
                resized.repeat_interleave(m / n, axis as isize)
            } else {
                let positions = Array::from_fn(&TensorSpec::new(DType::U32, [m]), |i| (i[0] * n / m) as f64);
                resized.index_select(axis as isize, &self.graph().constant_array(positions))
            };
        }
        resized
    }

    /// The last axes resized to `extents`, linearly between neighbours (PyTorch's `interpolate` with
    /// `mode="linear"`, `"bilinear"` and `"trilinear"` for one, two and three axes). With `align_corners` the
    /// first and last elements stay where they are; else elements are the middles of cells.
    #[track_caller]
    pub fn upsample_linear(&self, extents: &[usize], align_corners: bool) -> Self {
        if !self.needs_float("upsample_linear") || !self.can_resize(extents, "upsample_linear") {
            return self.invalid();
        }
        let mut resized = self.clone();
        for (axis, &m) in (self.rank() - extents.len()..self.rank()).zip(extents) {
            let n = self.dim(axis as isize);
            if m != n {
                resized = resized.mix_along(axis, weights(n, m, align_corners, self.dtype()));
            }
        }
        resized
    }

    /// Whether the last axes can be resized to these extents; anything else is reported.
    #[track_caller]
    fn can_resize(&self, extents: &[usize], operation: &str) -> bool {
        if !self.is_valid() {
            return false;
        }
        let shape = self.shape();
        let lead = shape.rank().checked_sub(extents.len());
        let fits =
            lead.is_some_and(|lead| shape[lead..].iter().all(|&n| n > 0)) && extents.iter().all(|&m| m > 0);
        if !fits {
            self.fail(operation, format!("the last axes of {shape} cannot be resized to {extents:?}"));
        }
        fits
    }
}

/// The matrix \[m, n\] that interpolates n elements at m places.
fn weights(n: usize, m: usize, align_corners: bool, dtype: DType) -> Array {
    let place = |i: usize| match align_corners {
        true if m == 1 => 0.0,
        true => (i * (n - 1)) as f64 / (m - 1) as f64,
        false => ((i as f64 + 0.5) * n as f64 / m as f64 - 0.5).clamp(0.0, (n - 1) as f64),
    };
    Array::from_fn(&TensorSpec::new(dtype, [m, n]), |index| {
        (1.0 - (place(index[0]) - index[1] as f64).abs()).max(0.0)
    })
}

pub(crate) fn cases() -> Vec<Case> {
    let nearest = |variant: &str, extents: &'static [usize]| {
        Case::new(&format!("upsample_nearest{variant}"), move |t| t[0].upsample_nearest(extents))
    };
    let linear = |variant: &str, extents: &'static [usize], align_corners: bool| {
        Case::new(&format!("upsample_linear{variant}"), move |t| t[0].upsample_linear(extents, align_corners))
    };
    vec![
        nearest("", &[5]).given([1, 3], &[1.0, 2.0, 3.0]).expect(&[1.0, 1.0, 2.0, 2.0, 3.0]),
        nearest("/twice", &[4, 6]).random([2, 2, 2, 3]),
        nearest("/uneven", &[2, 7]).random([2, 3, 5]),
        nearest("/volume", &[2, 3, 4]).random([1, 2, 1, 3, 2]),
        linear("", &[4], false).given([1, 2], &[1.0, 3.0]).expect(&[1.0, 1.5, 2.5, 3.0]),
        linear("/corners", &[5], true).given([1, 3], &[1.0, 3.0, 4.0]).expect(&[1.0, 2.0, 3.0, 3.5, 4.0]),
        linear("/bilinear", &[5, 7], false).random([2, 2, 3, 4]),
        linear("/bilinear-corners", &[6, 3], true).random([2, 2, 3, 4]),
        linear("/smaller", &[2, 1], false).random([2, 5, 3]),
        linear("/one", &[1], true).given([2, 2], &[1.0, 3.0, 5.0, 7.0]).expect(&[1.0, 5.0]),
        linear("/trilinear", &[3, 2, 5], false).random([1, 2, 2, 3, 3]),
    ]
}
