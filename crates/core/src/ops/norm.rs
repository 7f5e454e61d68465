//! Lengths of vectors along axes, and vectors scaled to length 1.

use crate::case::Case;
use crate::{Axes, Tensor};

impl Tensor {
    /// The 2-norm √Σx² along axes, which are dropped. Its gradient at the zero vector is 0, as in
    /// PyTorch.
    #[track_caller]
    pub fn norm(&self, axes: impl Axes) -> Self {
        let Some(axes) = self.float_axes("norm", &axes) else { return self.invalid() };
        self.square().sum(&axes[..]).root_or_zero(2.0)
    }

    /// The p-norm (Σ|x|ᵖ)^(1/p) along axes, which are dropped, for p ≥ 1 (PyTorch's `vector_norm`): 1 sums
    /// magnitudes, `f64::INFINITY` takes the largest. Its gradient at the zero vector is 0.
    #[track_caller]
    pub fn norm_p(&self, p: f64, axes: impl Axes) -> Self {
        let Some(axes) = self.float_axes("norm_p", &axes) else { return self.invalid() };
        if p.is_nan() || p < 1.0 {
            return self.fail("norm_p", format!("needs p ≥ 1, got {p}"));
        }
        let size = self.abs();
        if p == 1.0 {
            size.sum(&axes[..])
        } else if p == 2.0 {
            self.norm(&axes[..])
        } else if p.is_infinite() {
            size.max(&axes[..])
        } else {
            size.pow(&p).sum(&axes[..]).root_or_zero(p)
        }
    }

    /// Vectors along an axis divided by their 2-norm, or by `eps` where that is smaller (PyTorch's
    /// `normalize`).
    ///
    /// ```
    /// use wgrad_core::{Graph, Mode, interpret::evaluate};
    /// let g = Graph::new(Mode::Eval);
    /// let y = g.constant([2], &[3f32, 4.0]).normalize(-1, 1e-12);
    /// let value = &evaluate(&g.recording(), &Default::default())[y.id().index()];
    /// assert!((value.data[1] - 0.8).abs() < 1e-9);
    /// ```
    #[track_caller]
    pub fn normalize(&self, axis: isize, eps: f64) -> Self {
        let Some(axes) = self.float_axes("normalize", &axis) else { return self.invalid() };
        let length = self.norm(&axes[..]).reshape(self.shape().reduced(&axes));
        self / length.maximum(eps)
    }

    /// x^(1/p) of numbers that are not negative, with a gradient of 0 at 0.
    #[track_caller]
    pub(super) fn root_or_zero(&self, p: f64) -> Self {
        // The root is taken of 1 where the number is 0: an infinite slope times 0 would be NaN.
        let zero = self.eq(0.0);
        let safe = self.masked_fill(&zero, 1.0);
        let root = if p == 2.0 { safe.sqrt() } else { safe.pow(&(1.0 / p)) };
        root.masked_fill(&zero, 0.0)
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("norm", |t| t[0].norm(-1)).given([2, 2], &[3.0, -4.0, 5.0, 12.0]).expect(&[5.0, 13.0]),
        Case::new("norm/zero", |t| t[0].norm(-1))
            .given([2, 2], &[0.0, 0.0, 0.0, 1.0])
            .expect(&[0.0, 1.0])
            .no_gradient(),
        Case::new("norm/all", |t| t[0].norm(..)).random([3, 5]),
        Case::new("norm_p", |t| t[0].norm_p(3.0, -1))
            .given([2, 2], &[1.0, -2.0, 0.0, 3.0])
            .expect(&[9f64.cbrt(), 3.0])
            .no_gradient(),
        Case::new("norm_p/random", |t| t[0].norm_p(2.5, [0, 2])).distinct([3, 4, 2]),
        Case::new("norm_p/one", |t| t[0].norm_p(1.0, 0)).distinct([5, 3]),
        Case::new("norm_p/largest", |t| t[0].norm_p(f64::INFINITY, 0)).distinct([5, 3]),
        Case::new("norm_p/none", |t| t[0].norm_p(3.0, 1)).random([2, 0]).expect(&[0.0; 2]).no_gradient(),
        Case::new("normalize", |t| t[0].normalize(0, 1e-12))
            .given([2, 2], &[3.0, 0.0, -4.0, 0.0])
            .expect(&[0.6, 0.0, -0.8, 0.0])
            .no_gradient(),
        Case::new("normalize/random", |t| t[0].normalize(1, 1e-12)).distinct([2, 5, 3]),
    ]
}
