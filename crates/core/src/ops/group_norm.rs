//! Normalisation of channels: in groups, each by itself, and by the root of the mean square.

use crate::case::Case;
use crate::{Axes, Tensor};

impl Tensor {
    /// Normalises each of `groups` groups of channels of each sample to mean 0 and variance 1, then scales
    /// and shifts every channel: x is \[N, C, …\], `weight` and `bias` are \[C\] (PyTorch's `GroupNorm`; Wu
    /// and He, 2018).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Eval);
    /// let x = g.input("x", [8, 32, 14, 14], F32);
    /// assert_eq!(x.group_norm(4, None, None, 1e-5).shape(), x.shape());
    /// ```
    #[track_caller]
    pub fn group_norm(&self, groups: usize, weight: Option<&Self>, bias: Option<&Self>, eps: f64) -> Self {
        if !self.needs_float("group_norm") || weight.into_iter().chain(bias).any(|part| !part.is_valid()) {
            return self.invalid();
        }
        let shape = self.shape();
        if shape.rank() < 2 || groups == 0 || !shape[1].is_multiple_of(groups) {
            let message =
                format!("cannot divide the channels of an input [N, C, …], {shape}, among {groups} groups");
            return self.fail("group_norm", message);
        }
        if let Some(part) = weight.into_iter().chain(bias).find(|part| *part.shape() != [shape[1]]) {
            let message =
                format!("input {shape} needs a weight and a bias [{}], got {}", shape[1], part.spec());
            return self.fail("group_norm", message);
        }
        let each = shape[1..].iter().product::<usize>() / groups;
        let normal = self.reshape([shape[0], groups, each]).layer_norm(-1, None, None, eps).reshape(&shape);
        let channel = [&[shape[1]], &vec![1; shape.rank() - 2][..]].concat();
        let scaled = match weight {
            Some(weight) => normal * weight.reshape(&channel[..]),
            None => normal,
        };
        match bias {
            Some(bias) => scaled + bias.reshape(&channel[..]),
            None => scaled,
        }
    }

    /// [`Tensor::group_norm`] with every channel a group of its own (PyTorch's `InstanceNorm1d`, `2d`, `3d`
    /// without running statistics; Ulyanov, Vedaldi and Lempitsky, 2016).
    #[track_caller]
    pub fn instance_norm(&self, weight: Option<&Self>, bias: Option<&Self>, eps: f64) -> Self {
        if self.is_valid() && self.rank() < 3 {
            return self.fail("instance_norm", format!("needs an input [N, C, …], got {}", self.spec()));
        }
        self.group_norm(self.dim(1), weight, bias, eps)
    }

    /// x / √(mean of x² + eps) along axes, scaled by `weight`, which must broadcast to x (PyTorch's
    /// `RMSNorm`, whose axes are the last ones; Zhang and Sennrich, 2019).
    #[track_caller]
    pub fn rms_norm(&self, axes: impl Axes, weight: Option<&Self>, eps: f64) -> Self {
        let Some(axes) = self.float_axes("rms_norm", &axes) else { return self.invalid() };
        let scale = (self.square().mean_keep(&axes[..]) + eps).rsqrt();
        let normal = self * scale;
        let Some(weight) = weight else { return normal };
        if self.shape().broadcast(&weight.shape()).as_ref() != Ok(&self.shape()) {
            let (x, weight) = (self.spec(), weight.spec());
            return self.fail("rms_norm", format!("weight {weight} does not broadcast to {x}"));
        }
        normal * weight
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        // Each group has deviations −3, −1, 1, 3 and variance 5; with eps 4 the root is 3.
        Case::new("group_norm", |t| t[0].group_norm(2, Some(&t[1]), Some(&t[2]), 4.0))
            .given([1, 4, 2], &[0.0, 2.0, 4.0, 6.0, 11.0, 13.0, 15.0, 17.0])
            .given([4], &[1.0, 1.0, 3.0, 3.0])
            .given([4], &[0.0, 1.0, 0.0, 0.5])
            .expect(&[-1.0, -1.0 / 3.0, 4.0 / 3.0, 2.0, -3.0, -1.0, 1.5, 3.5]),
        Case::new("group_norm/images", |t| t[0].group_norm(3, Some(&t[1]), Some(&t[2]), 1e-5))
            .random([2, 6, 3, 5])
            .random([6])
            .random([6]),
        Case::new("group_norm/matrix", |t| t[0].group_norm(1, None, None, 1e-5)).random([3, 8]),
        Case::new("instance_norm", |t| t[0].instance_norm(None, Some(&t[1]), 4.0))
            .given([1, 2, 4], &[0.0, 2.0, 4.0, 6.0, 3.0, 1.0, -1.0, -3.0])
            .given([2], &[0.0, 1.0])
            .expect(&[-1.0, -1.0 / 3.0, 1.0 / 3.0, 1.0, 2.0, 4.0 / 3.0, 2.0 / 3.0, 0.0]),
        Case::new("instance_norm/images", |t| t[0].instance_norm(Some(&t[1]), None, 1e-5))
            .random([2, 3, 4, 5])
            .random([3]),
        // Mean square 25; with eps 11 the root is 6.
        Case::new("rms_norm", |t| t[0].rms_norm(-1, Some(&t[1]), 11.0))
            .given([1, 2], &[1.0, 7.0])
            .given([2], &[6.0, 3.0])
            .expect(&[1.0, 3.5]),
        Case::new("rms_norm/two-axes", |t| t[0].rms_norm([-2, -1], Some(&t[1]), 1e-5))
            .random([3, 4, 5])
            .random([4, 5]),
        Case::new("rms_norm/plain", |t| t[0].rms_norm(-1, None, 1e-6)).random([3, 300]),
    ]
}
