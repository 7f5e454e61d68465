//! Normalisation of features.

use crate::case::{Case, Fill};
use crate::{Axes, DType, Tensor};

impl Tensor {
    /// (x − mean) / √(variance + eps) along axes, scaled by `weight` and shifted by `bias`, which must
    /// broadcast to x (PyTorch's `LayerNorm`, whose axes are the last ones; Ba, Kiros and Hinton, 2016).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Eval);
    /// let x = g.input("x", [8, 16, 32], F32);
    /// let weight = g.input("weight", [32], F32);
    /// assert_eq!(x.layer_norm(-1, Some(&weight), None, 1e-5).shape(), x.shape());
    /// ```
    #[track_caller]
    pub fn layer_norm(&self, axes: impl Axes, weight: Option<&Self>, bias: Option<&Self>, eps: f64) -> Self {
        let Some(axes) = self.float_axes("layer_norm", &axes) else { return self.invalid() };
        for parameter in weight.into_iter().chain(bias) {
            if self.shape().broadcast(&parameter.shape()).as_ref() != Ok(&self.shape()) {
                let (x, p) = (self.spec(), parameter.spec());
                return self.fail("layer_norm", format!("weight or bias {p} does not broadcast to {x}"));
            }
        }
        let deviation = self - self.mean_keep(&axes[..]);
        let variance = deviation.square().mean_keep(&axes[..]);
        let mut normal = deviation * (variance + eps).rsqrt();
        if let Some(weight) = weight {
            normal = normal * weight;
        }
        if let Some(bias) = bias {
            normal = normal + bias;
        }
        normal
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        // Deviations −3, −1, 1, 3 and variance 5; with eps 4 the root is 3.
        Case::new("layer_norm", |t| t[0].layer_norm(-1, Some(&t[1]), Some(&t[2]), 4.0))
            .given([1, 4], &[0.0, 2.0, 4.0, 6.0])
            .given([4], &[1.0, 3.0, 6.0, 1.0])
            .given([4], &[0.0, 0.0, 1.0, 0.0])
            .expect(&[-1.0, -1.0, 3.0, 1.0]),
        Case::new("layer_norm/plain", |t| t[0].layer_norm(-1, None, None, 1e-5)).random([3, 7]),
        Case::new("layer_norm/two-axes", |t| t[0].layer_norm([-2, -1], Some(&t[1]), Some(&t[2]), 1e-5))
            .random([3, 4, 5])
            .random([4, 5])
            .random([4, 5]),
        Case::new("layer_norm/f16", |t| t[0].layer_norm(-1, Some(&t[1]), None, 0.5))
            .operand(DType::F16, [3, 7], Fill::Uniform(-2.0, 2.0))
            .operand(DType::F16, [7], Fill::Uniform(-1.0, 1.0)),
        Case::new("layer_norm/wide", |t| t[0].layer_norm(-1, Some(&t[1]), None, 1e-5))
            .random([3, 300])
            .random([300]),
    ]
}
