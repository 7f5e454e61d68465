//! The normalisation formula of batch norm; the statistics are the caller's.

use crate::Tensor;
use crate::case::Case;

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
        let mut scale = (var + eps).rsqrt();
        if let Some(weight) = weight {
            scale = scale * weight;
        }
        let normal = (self - mean.reshape(&channel[..])) * scale.reshape(&channel[..]);
        match bias {
            Some(bias) => normal + bias.reshape(&channel[..]),
            None => normal,
        }
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("batch_norm", |t| t[0].batch_norm(&t[1], &t[2], Some(&t[3]), Some(&t[4]), 0.0))
            .given([2, 2], &[1.0, 2.0, 3.0, 4.0])
            .given([2], &[1.0, 0.0])
            .given([2], &[4.0, 0.25])
            .given([2], &[1.0, 2.0])
            .given([2], &[0.0, 10.0])
            .expect(&[0.0, 18.0, 1.0, 26.0]),
        Case::new("batch_norm/plain", |t| t[0].batch_norm(&t[1], &t[2], None, None, 1e-5))
            .random([2, 3, 5])
            .random([3])
            .uniform([3], 0.25, 2.0),
        Case::new("batch_norm/images", |t| {
            let (mean, var) = (t[0].mean([0, 2, 3]), t[0].var([0, 2, 3], 0));
            t[0].batch_norm(&mean, &var, Some(&t[1]), Some(&t[2]), 1e-5)
        })
        .random([3, 2, 3, 5])
        .random([2])
        .random([2]),
    ]
}
