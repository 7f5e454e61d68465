//! The normalisation formula of batch norm; the statistics are the caller's.

use crate::Tensor;

impl Tensor {
    /// (x − mean) / √(var + eps) · weight + bias per channel: x is \[N, C, …\], the others \[C\]
    /// (PyTorch's `batch_norm`; Ioffe and Szegedy, 2015). Gradients flow through `mean` and `var`.
    #[track_caller]
    pub fn batch_norm(
        &self,
        mean: &Self,
        var: &Self,
        weight: Option<&Self>,
        bias: Option<&Self>,
        eps: f64,
    ) -> Self {
        let parts = [Some(mean), Some(var), weight, bias];
        if !self.is_valid() || parts.iter().flatten().any(|part| !part.is_valid()) {
            return self.invalid();
        }
        let shape = self.shape();
        if shape.rank() < 2 {
            return self.fail("batch_norm", format!("needs an input [N, C, …], got {}", self.spec()));
        }
        if let Some(part) = parts.into_iter().flatten().find(|part| *part.shape() != [shape[1]]) {
            let message =
                format!("input {shape} needs statistics of shape [{}], got {}", shape[1], part.spec());
            return self.fail("batch_norm", message);
        }
        let channel = [&[shape[1]], &vec![1; shape.rank() - 2][..]].concat();
        let scale = (var + eps).rsqrt();
        let scale = weight.map_or(scale.clone(), |weight| scale * weight);
        let normal = (self - mean.reshape(&channel[..])) * scale.reshape(&channel[..]);
        match bias {
            Some(bias) => normal + bias.reshape(&channel[..]),
            None => normal,
        }
    }
}
