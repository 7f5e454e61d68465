//! Blocks of the transformer, and stacks of them.

mod decoder;
mod encoder;

pub use decoder::{TransformerDecoder, TransformerDecoderLayer};
pub use encoder::{TransformerEncoder, TransformerEncoderLayer};

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use crate::{AttentionMask, Dropout, LayerNorm, Linear, Module, MultiHeadAttention};

/// The choices of transformer blocks, made before their variables are declared.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Tensor, Vars};
/// use wgrad_nn::{AttentionMask, Module, TransformerConfig};
/// let vars = Vars::new();
/// let config = TransformerConfig::new(64, 4).feedforward(256).activation(Tensor::gelu).norm_first().final_norm();
/// let encoder = config.clone().encoder(vars.sub("encoder"), 6);
/// let decoder = config.decoder(vars.sub("decoder"), 6);
/// let graph = Graph::new(Mode::Train);
/// let (source, target) = (graph.input("source", [8, 50, 64], F32), graph.input("target", [8, 20, 64], F32));
/// let memory = encoder.forward(&source);
/// let y = decoder.forward(&target, &memory, &AttentionMask::causal(), &AttentionMask::none());
/// assert_eq!(*y.shape(), [8, 20, 64]);
/// ```
#[derive(Clone, Debug)]
pub struct TransformerConfig {
    width: usize,
    heads: usize,
    feedforward: usize,
    dropout: f64,
    activation: fn(&Tensor) -> Tensor,
    norm_first: bool,
    final_norm: bool,
    eps: f64,
}

impl TransformerConfig {
    /// PyTorch's defaults: 2048 features between the two linear layers, ReLU, dropout 0.1, norms behind the
    /// shortcuts, eps 10⁻⁵.
    pub fn new(width: usize, heads: usize) -> Self {
        Self {
            width,
            heads,
            feedforward: 2048,
            dropout: 0.1,
            activation: Tensor::relu,
            norm_first: false,
            final_norm: false,
            eps: 1e-5,
        }
    }

    /// The features between the two linear layers.
    pub fn feedforward(mut self, features: usize) -> Self {
        self.feedforward = features;
        self
    }

    /// The probability of every dropout.
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// What stands between the two linear layers.
    pub fn activation(mut self, activation: fn(&Tensor) -> Tensor) -> Self {
        self.activation = activation;
        self
    }

    /// Norms before attention and linear layers, inside of the shortcuts (Xiong et al., 2020).
    pub fn norm_first(mut self) -> Self {
        self.norm_first = true;
        self
    }

    /// A norm behind the last block of a stack, as PyTorch's `Transformer` has; blocks that norm first need it.
    pub fn final_norm(mut self) -> Self {
        self.final_norm = true;
        self
    }

    /// What norms add to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Declares the variables of one encoder block.
    #[track_caller]
    pub fn encoder_layer(&self, vars: impl Borrow<Vars>) -> TransformerEncoderLayer {
        let vars = vars.borrow();
        let attention = self.attention(&vars.sub("self_attn"));
        let feedforward = self.feedforward_layers(vars);
        let norms = [self.norm(vars.sub("norm1")), self.norm(vars.sub("norm2"))];
        TransformerEncoderLayer { attention, feedforward, norms, residual: self.residual() }
    }

    /// Declares the variables of one decoder block.
    #[track_caller]
    pub fn decoder_layer(&self, vars: impl Borrow<Vars>) -> TransformerDecoderLayer {
        let vars = vars.borrow();
        let attention = self.attention(&vars.sub("self_attn"));
        let cross = self.attention(&vars.sub("multihead_attn"));
        let feedforward = self.feedforward_layers(vars);
        let norms =
            [self.norm(vars.sub("norm1")), self.norm(vars.sub("norm2")), self.norm(vars.sub("norm3"))];
        TransformerDecoderLayer { attention, cross, feedforward, norms, residual: self.residual() }
    }

    /// Declares the variables of a stack of encoder blocks, `layers.N` and `norm`.
    #[track_caller]
    pub fn encoder(&self, vars: impl Borrow<Vars>, layers: usize) -> TransformerEncoder {
        let vars = vars.borrow();
        let mut blocks = Vec::with_capacity(layers);
        for layer in 0..layers {
            blocks.push(self.encoder_layer(vars.sub("layers").sub(layer)));
        }
        let norm = if self.final_norm { Some(self.norm(vars.sub("norm"))) } else { None };
        TransformerEncoder { layers: blocks, norm }
    }

    /// Declares the variables of a stack of decoder blocks, `layers.N` and `norm`.
    #[track_caller]
    pub fn decoder(&self, vars: impl Borrow<Vars>, layers: usize) -> TransformerDecoder {
        let vars = vars.borrow();
        let mut blocks = Vec::with_capacity(layers);
        for layer in 0..layers {
            blocks.push(self.decoder_layer(vars.sub("layers").sub(layer)));
        }
        let norm = if self.final_norm { Some(self.norm(vars.sub("norm"))) } else { None };
        TransformerDecoder { layers: blocks, norm }
    }

    #[track_caller]
    fn attention(&self, vars: &Vars) -> MultiHeadAttention {
        MultiHeadAttention::new(vars, self.width, self.heads).dropout(self.dropout)
    }

    #[track_caller]
    fn feedforward_layers(&self, vars: &Vars) -> Feedforward {
        Feedforward {
            linear1: Linear::new(vars.sub("linear1"), self.width, self.feedforward),
            linear2: Linear::new(vars.sub("linear2"), self.feedforward, self.width),
            activation: self.activation,
            dropout: Dropout::new(self.dropout),
        }
    }

    #[track_caller]
    fn norm(&self, vars: Vars) -> LayerNorm {
        LayerNorm::new(vars, [self.width]).eps(self.eps)
    }

    fn residual(&self) -> Residual {
        Residual { norm_first: self.norm_first, dropout: Dropout::new(self.dropout) }
    }
}

/// Two linear layers with an activation in between.
#[derive(Clone, Debug)]
struct Feedforward {
    linear1: Linear,
    linear2: Linear,
    activation: fn(&Tensor) -> Tensor,
    dropout: Dropout,
}

impl Module for Feedforward {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = (self.activation)(&self.linear1.forward(x));
        self.linear2.forward(&self.dropout.forward(&hidden))
    }
}

/// A branch beside a shortcut, with its norm before or behind.
#[derive(Clone, Copy, Debug)]
struct Residual {
    norm_first: bool,
    dropout: Dropout,
}

impl Residual {
    /// What the branch reads.
    #[track_caller]
    fn enter(self, x: &Tensor, norm: &LayerNorm) -> Tensor {
        if self.norm_first { norm.forward(x) } else { x.clone() }
    }

    /// The shortcut and the branch together.
    #[track_caller]
    fn join(self, x: &Tensor, branch: &Tensor, norm: &LayerNorm) -> Tensor {
        let sum = x + self.dropout.forward(branch);
        if self.norm_first { sum } else { norm.forward(&sum) }
    }

    #[track_caller]
    fn attend(
        self,
        x: &Tensor,
        attention: &MultiHeadAttention,
        mask: &AttentionMask,
        norm: &LayerNorm,
    ) -> Tensor {
        let inner = self.enter(x, norm);
        self.join(x, &attention.attend(&inner, &inner, &inner, mask), norm)
    }

    #[track_caller]
    fn feed(self, x: &Tensor, feedforward: &Feedforward, norm: &LayerNorm) -> Tensor {
        self.join(x, &feedforward.forward(&self.enter(x, norm)), norm)
    }
}
