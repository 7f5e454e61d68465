//! The five models as a user of Burn would write them.

use burn::nn::attention::{
    MhaInput, MultiHeadAttention, MultiHeadAttentionConfig, generate_autoregressive_mask,
};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Embedding, EmbeddingConfig, Gelu, LayerNorm,
    LayerNormConfig, Linear, LinearConfig, PaddingConfig2d, Relu,
};
use burn::prelude::*;
use wgrad_measure::Gpt;

/// Linear layers with ReLU between them.
#[derive(Module, Debug)]
pub struct Perceptron {
    layers: Vec<Linear>,
    relu: Relu,
}

impl Perceptron {
    pub fn new(widths: &[usize], device: &Device) -> Self {
        let layer = |pair: &[usize]| LinearConfig::new(pair[0], pair[1]).init(device);
        Self { layers: widths.windows(2).map(layer).collect(), relu: Relu::new() }
    }

    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len() - 1;
        self.layers.iter().enumerate().fold(x, |x, (index, layer)| {
            let x = layer.forward(x);
            if index < last { self.relu.forward(x) } else { x }
        })
    }
}

fn conv(from: usize, to: usize, size: usize, stride: usize, bias: bool, device: &Device) -> Conv2d {
    let side = size / 2;
    Conv2dConfig::new([from, to], [size, size])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(side, side, side, side))
        .with_bias(bias)
        .init(device)
}

#[derive(Module, Debug)]
pub struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    relu: Relu,
    fc1: Linear,
    drop: Dropout,
    fc2: Linear,
}

impl Cnn {
    pub fn new(device: &Device) -> Self {
        Self {
            conv1: conv(1, 32, 3, 1, true, device),
            conv2: conv(32, 64, 3, 1, true, device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            relu: Relu::new(),
            fc1: LinearConfig::new(3136, 128).init(device),
            drop: DropoutConfig::new(0.5).init(),
            fc2: LinearConfig::new(128, 10).init(device),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(self.relu.forward(self.conv1.forward(x)));
        let x = self.pool.forward(self.relu.forward(self.conv2.forward(x)));
        let x = self.relu.forward(self.fc1.forward(x.flatten(1, 3)));
        self.fc2.forward(self.drop.forward(x))
    }
}

#[derive(Module, Debug)]
struct Residual {
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
    project: Option<Conv2d>,
    project_norm: Option<BatchNorm>,
    relu: Relu,
}

impl Residual {
    fn new(from: usize, to: usize, stride: usize, device: &Device) -> Self {
        let norm = || BatchNormConfig::new(to).init(device);
        let changes = stride != 1 || from != to;
        Self {
            conv1: conv(from, to, 3, stride, false, device),
            norm1: norm(),
            conv2: conv(to, to, 3, 1, false, device),
            norm2: norm(),
            project: changes.then(|| conv(from, to, 1, stride, false, device)),
            project_norm: changes.then(norm),
            relu: Relu::new(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let hidden = self.relu.forward(self.norm1.forward(self.conv1.forward(x.clone())));
        let hidden = self.norm2.forward(self.conv2.forward(hidden));
        let shortcut = match (&self.project, &self.project_norm) {
            (Some(project), Some(norm)) => norm.forward(project.forward(x)),
            _ => x,
        };
        self.relu.forward(hidden + shortcut)
    }
}

#[derive(Module, Debug)]
pub struct Resnet {
    conv: Conv2d,
    norm: BatchNorm,
    relu: Relu,
    blocks: Vec<Residual>,
    pool: AdaptiveAvgPool2d,
    fc: Linear,
}

impl Resnet {
    pub fn new(device: &Device) -> Self {
        let block = |(from, to, stride)| Residual::new(from, to, stride, device);
        Self {
            conv: conv(3, 32, 3, 1, false, device),
            norm: BatchNormConfig::new(32).init(device),
            relu: Relu::new(),
            blocks: [(32, 32, 1), (32, 64, 2), (64, 128, 2)].map(block).into(),
            pool: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            fc: LinearConfig::new(128, 10).init(device),
        }
    }

    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.relu.forward(self.norm.forward(self.conv.forward(x)));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.fc.forward(self.pool.forward(x).flatten(1, 3))
    }
}

#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    attention: MultiHeadAttention,
    norm2: LayerNorm,
    up: Linear,
    gelu: Gelu,
    down: Linear,
}

impl Block {
    fn new(width: usize, heads: usize, device: &Device) -> Self {
        Self {
            norm1: LayerNormConfig::new(width).init(device),
            attention: MultiHeadAttentionConfig::new(width, heads).with_dropout(0.0).init(device),
            norm2: LayerNormConfig::new(width).init(device),
            up: LinearConfig::new(width, 4 * width).init(device),
            gelu: Gelu::new(),
            down: LinearConfig::new(4 * width, width).init(device),
        }
    }

    fn forward(&self, x: Tensor<3>, mask: Tensor<3, Bool>) -> Tensor<3> {
        let input = MhaInput::self_attn(self.norm1.forward(x.clone())).mask_attn(mask);
        let x = x + self.attention.forward(input).context;
        let hidden = self.gelu.forward(self.up.forward(self.norm2.forward(x.clone())));
        x + self.down.forward(hidden)
    }
}

/// A decoder-only transformer: tokens \[N, T\] to logits \[N·T, vocabulary\].
#[derive(Module, Debug)]
pub struct Transformer {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Transformer {
    pub fn new(Gpt { vocabulary, sequence, width, layers, heads }: Gpt, device: &Device) -> Self {
        Self {
            tokens: EmbeddingConfig::new(vocabulary, width).init(device),
            positions: EmbeddingConfig::new(sequence, width).init(device),
            blocks: (0..layers).map(|_| Block::new(width, heads, device)).collect(),
            norm: LayerNormConfig::new(width).init(device),
            head: LinearConfig::new(width, vocabulary).with_bias(false).init(device),
        }
    }

    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let ([batch, sequence], device) = (tokens.dims(), tokens.device());
        let positions = Tensor::arange(0..sequence as i64, &device).reshape([1, sequence]);
        let mask = generate_autoregressive_mask(batch, sequence, &device);
        let x = self.tokens.forward(tokens) + self.positions.forward(positions);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, mask.clone()));
        self.head.forward(self.norm.forward(x)).flatten(0, 1)
    }
}
