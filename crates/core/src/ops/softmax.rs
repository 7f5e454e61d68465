//! Softmax, its logarithm, and the logarithm of a sum of exponentials.
//!
//! All three subtract the maximum first. It only guards against overflow and cancels in the result, so
//! no gradient flows through it.

use std::f64::consts::LN_2;

use crate::case::{Case, Fill};
use crate::{Axes, DType, Tensor};

impl Tensor {
    /// eˣ / Σeˣ along an axis (PyTorch's `softmax`).
    ///
    /// ```
    /// use wgrad_core::{Graph, Mode, interpret::evaluate};
    /// let g = Graph::new(Mode::Eval);
    /// let y = g.constant([2], &[0f32, 0.0]).softmax(-1);
    /// assert_eq!(evaluate(&g.recording(), &Default::default())[y.id().index()].data, [0.5, 0.5]);
    /// ```
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Self {
        let Some(axes) = self.float_axes("softmax", &axis) else { return self.invalid() };
        let exponentials = (self - self.max_keep(&axes[..]).detach()).exp();
        let total = exponentials.sum_keep(&axes[..]);
        exponentials / total
    }

    /// e⁻ˣ / Σe⁻ˣ along an axis: the smallest element gets the most (PyTorch's `softmin`).
    #[track_caller]
    pub fn softmin(&self, axis: isize) -> Self {
        if !self.needs_float("softmin") {
            return self.invalid();
        }
        self.neg().softmax(axis)
    }

    /// The logarithm of the softmax along an axis, accurate where the softmax underflows (PyTorch's
    /// `log_softmax`).
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Self {
        let Some(axes) = self.float_axes("log_softmax", &axis) else { return self.invalid() };
        let shifted = self - self.max_keep(&axes[..]).detach();
        let total = shifted.exp().sum_keep(&axes[..]).log();
        shifted - total
    }

    /// ln Σeˣ along axes, which are dropped (PyTorch's `logsumexp`). An element that is as infinite as
    /// the result has a gradient of NaN, as there.
    #[track_caller]
    pub fn logsumexp(&self, axes: impl Axes) -> Self {
        let Some(axes) = self.float_axes("logsumexp", &axes) else { return self.invalid() };
        // Limited to finite numbers, since the difference of equal infinities is NaN.
        let lowest = self.dtype().lowest();
        let largest = self.max_keep(&axes[..]).detach().clamp(lowest, -lowest);
        let total = (self - &largest).exp().sum_keep(&axes[..]).log();
        (total + largest).reshape(self.shape().without(&axes))
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let inf = f64::INFINITY;
    // Scores whose exponentials are 1, 2, 5.
    let scores = [0.0, LN_2, 1.6094379124341003];
    let case = |name: &str, build: fn(&[Tensor]) -> Tensor| Case::new(name, build);
    vec![
        case("softmax", |t| t[0].softmax(-1)).given([3], &scores).expect(&[0.125, 0.25, 0.625]),
        case("softmax/large", |t| t[0].softmax(-1)).given([3], &[1e4, 1e4, -1e4]).expect(&[0.5, 0.5, 0.0]),
        case("softmax/first-axis", |t| t[0].softmax(0)).random([7, 5]),
        case("softmax/one", |t| t[0].softmax(-1)).random([3, 1]).expect(&[1.0; 3]),
        case("softmax/none", |t| t[0].softmax(-1)).random([0, 3]).expect(&[]),
        case("softmax/f16", |t| t[0].softmax(-1)).operand(DType::F16, [3, 5], Fill::Uniform(-2.0, 2.0)),
        case("softmax/wide", |t| t[0].softmax(-1)).random([3, 700]),
        case("softmin", |t| t[0].softmin(-1))
            .given([3], &[0.0, -LN_2, -1.6094379124341003])
            .expect(&[0.125, 0.25, 0.625]),
        case("softmin/first-axis", |t| t[0].softmin(0)).random([7, 5]),
        case("log_softmax", |t| t[0].log_softmax(-1)).given([3], &scores).expect(&[
            -3.0 * LN_2,
            -2.0 * LN_2,
            0.625f64.ln(),
        ]),
        case("log_softmax/large", |t| t[0].log_softmax(-1)).given([2], &[1e4, -1e4]).expect(&[0.0, -2e4]),
        case("log_softmax/middle", |t| t[0].log_softmax(1)).random([2, 5, 3]),
        case("logsumexp", |t| t[0].logsumexp(-1)).given([3], &scores).expect(&[3.0 * LN_2]),
        case("logsumexp/large", |t| t[0].logsumexp(-1)).given([2], &[1e4, 1e4]).expect(&[1e4 + LN_2]),
        case("logsumexp/infinite", |t| t[0].logsumexp(-1))
            .given([4, 2], &[inf, 0.0, -inf, -inf, -inf, 1.0, inf, -inf])
            .expect(&[inf, -inf, 1.0, inf])
            .no_gradient(),
        case("logsumexp/infinite-one", |t| t[0].logsumexp(-1))
            .given([3, 1], &[-inf, inf, 2.0])
            .expect(&[-inf, inf, 2.0])
            .no_gradient(),
        case("logsumexp/two-axes", |t| t[0].logsumexp([0, 2])).random([2, 5, 3]),
    ]
}
