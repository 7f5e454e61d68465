//! Normalisation of features.

use crate::{Axes, Tensor};

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
