//! Encoder blocks: self-attention alone.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use super::{Feedforward, Residual, TransformerConfig};
use crate::{AttentionMask, LayerNorm, Module, MultiHeadAttention};

/// Self-attention and two linear layers, each beside a shortcut: \[N, T, width\] to the same (PyTorch's
/// `TransformerEncoderLayer` with `batch_first`; Vaswani et al., 2017).
///
/// Variables: `self_attn` as in [`MultiHeadAttention`], `linear1`, `linear2`, `norm1`, `norm2`.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, TransformerEncoderLayer};
/// let block = TransformerEncoderLayer::new(Vars::new(), 64, 4);
/// let x = Graph::new(Mode::Train).input("x", [8, 50, 64], F32);
/// assert_eq!(block.forward(&x).shape(), x.shape());
/// ```
#[derive(Clone, Debug)]
pub struct TransformerEncoderLayer {
    pub(super) attention: MultiHeadAttention,
    pub(super) feedforward: Feedforward,
    pub(super) norms: [LayerNorm; 2],
    pub(super) residual: Residual,
}

impl TransformerEncoderLayer {
    /// A block with PyTorch's defaults; [`TransformerConfig`] has more.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, width: usize, heads: usize) -> Self {
        TransformerConfig::new(width, heads).encoder_layer(vars)
    }

    /// With a mask for the attention.
    #[track_caller]
    pub fn forward_masked(&self, x: &Tensor, mask: &AttentionMask) -> Tensor {
        let [norm1, norm2] = &self.norms;
        let x = self.residual.attend(x, &self.attention, mask, norm1);
        self.residual.feed(&x, &self.feedforward, norm2)
    }
}

impl Module for TransformerEncoderLayer {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_masked(x, &AttentionMask::none())
    }
}

/// Encoder blocks one after another (PyTorch's `TransformerEncoder`): [`TransformerConfig::encoder`].
#[derive(Clone, Debug)]
pub struct TransformerEncoder {
    pub(super) layers: Vec<TransformerEncoderLayer>,
    pub(super) norm: Option<LayerNorm>,
}

impl TransformerEncoder {
    /// With a mask for the attention of every block.
    #[track_caller]
    pub fn forward_masked(&self, x: &Tensor, mask: &AttentionMask) -> Tensor {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward_masked(&x, mask);
        }
        match &self.norm {
            Some(norm) => norm.forward(&x),
            None => x,
        }
    }
}

impl Module for TransformerEncoder {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_masked(x, &AttentionMask::none())
    }
}
