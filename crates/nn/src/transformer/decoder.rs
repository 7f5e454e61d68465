//! Decoder blocks: self-attention, then attention over a memory.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use super::{Feedforward, Residual, TransformerConfig};
use crate::{AttentionMask, LayerNorm, Module, MultiHeadAttention};

/// Self-attention, attention over a memory and two linear layers, each beside a shortcut (PyTorch's
/// `TransformerDecoderLayer` with `batch_first`; Vaswani et al., 2017).
///
/// Variables: `self_attn` and `multihead_attn` as in [`MultiHeadAttention`], `linear1`, `linear2`, `norm1`,
/// `norm2`, `norm3`.
#[derive(Clone, Debug)]
pub struct TransformerDecoderLayer {
    pub(super) attention: MultiHeadAttention,
    pub(super) cross: MultiHeadAttention,
    pub(super) feedforward: Feedforward,
    pub(super) norms: [LayerNorm; 3],
    pub(super) residual: Residual,
}

impl TransformerDecoderLayer {
    /// A block with PyTorch's defaults; [`TransformerConfig`] has more.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, width: usize, heads: usize) -> Self {
        TransformerConfig::new(width, heads).decoder_layer(vars)
    }

    /// A target \[N, T, width\] that reads a memory \[N, S, width\]: \[N, T, width\]. The first mask is for the
    /// self-attention (usually causal), the second for the memory.
    #[track_caller]
    pub fn forward(
        &self,
        x: &Tensor,
        memory: &Tensor,
        mask: &AttentionMask,
        memory_mask: &AttentionMask,
    ) -> Tensor {
        let [norm1, norm2, norm3] = &self.norms;
        let x = self.residual.attend(x, &self.attention, mask, norm1);
        let read = self.cross.attend(&self.residual.enter(&x, norm2), memory, memory, memory_mask);
        let x = self.residual.join(&x, &read, norm2);
        self.residual.feed(&x, &self.feedforward, norm3)
    }
}

/// Decoder blocks one after another (PyTorch's `TransformerDecoder`): [`TransformerConfig::decoder`].
#[derive(Clone, Debug)]
pub struct TransformerDecoder {
    pub(super) layers: Vec<TransformerDecoderLayer>,
    pub(super) norm: Option<LayerNorm>,
}

impl TransformerDecoder {
    /// As [`TransformerDecoderLayer::forward`].
    #[track_caller]
    pub fn forward(
        &self,
        x: &Tensor,
        memory: &Tensor,
        mask: &AttentionMask,
        memory_mask: &AttentionMask,
    ) -> Tensor {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x, memory, mask, memory_mask);
        }
        match &self.norm {
            Some(norm) => norm.forward(&x),
            None => x,
        }
    }
}
