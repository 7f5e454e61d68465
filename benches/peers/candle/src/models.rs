//! The five models as a user of candle would write them.

use candle_core::{D, Device, Module, ModuleT, Result, Tensor};
use candle_nn::ops::{dropout, layer_norm_slow, softmax};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, Embedding, Linear, VarBuilder, batch_norm, conv2d, conv2d_no_bias,
    embedding, init, linear, linear_no_bias,
};
use wgrad_measure::Gpt;

/// Linear layers with ReLU between them.
pub struct Perceptron(Vec<Linear>);

impl Perceptron {
    pub fn new(widths: &[usize], vars: VarBuilder) -> Result<Self> {
        let layer = |(index, pair): (usize, &[usize])| linear(pair[0], pair[1], vars.pp(index));
        Ok(Self(widths.windows(2).enumerate().map(layer).collect::<Result<_>>()?))
    }
}

impl Module for Perceptron {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for (index, layer) in self.0.iter().enumerate() {
            x = layer.forward(&if index > 0 { x.relu()? } else { x })?;
        }
        Ok(x)
    }
}

fn same(stride: usize, size: usize) -> Conv2dConfig {
    Conv2dConfig { padding: size / 2, stride, ..Default::default() }
}

pub struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl Cnn {
    pub fn new(vars: VarBuilder) -> Result<Self> {
        Ok(Self {
            conv1: conv2d(1, 32, 3, same(1, 3), vars.pp("conv1"))?,
            conv2: conv2d(32, 64, 3, same(1, 3), vars.pp("conv2"))?,
            fc1: linear(3136, 128, vars.pp("fc1"))?,
            fc2: linear(128, 10, vars.pp("fc2"))?,
        })
    }
}

impl Module for Cnn {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.conv1.forward(x)?.relu()?.max_pool2d(2)?;
        let x = self.conv2.forward(&x)?.relu()?.max_pool2d(2)?.flatten_from(1)?;
        self.fc2.forward(&dropout(&self.fc1.forward(&x)?.relu()?, 0.5)?)
    }
}

struct Residual {
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
    project: Option<(Conv2d, BatchNorm)>,
}

impl Residual {
    fn new(from: usize, to: usize, stride: usize, vars: VarBuilder) -> Result<Self> {
        let mut project = None;
        if stride != 1 || from != to {
            let conv = conv2d_no_bias(from, to, 1, same(stride, 1), vars.pp("project"))?;
            project = Some((conv, batch_norm(to, 1e-5, vars.pp("project_norm"))?));
        }
        Ok(Self {
            conv1: conv2d_no_bias(from, to, 3, same(stride, 3), vars.pp("conv1"))?,
            norm1: batch_norm(to, 1e-5, vars.pp("norm1"))?,
            conv2: conv2d_no_bias(to, to, 3, same(1, 3), vars.pp("conv2"))?,
            norm2: batch_norm(to, 1e-5, vars.pp("norm2"))?,
            project,
        })
    }
}

impl Module for Residual {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let hidden = self.norm1.forward_t(&self.conv1.forward(x)?, true)?.relu()?;
        let hidden = self.norm2.forward_t(&self.conv2.forward(&hidden)?, true)?;
        let shortcut = match &self.project {
            Some((conv, norm)) => norm.forward_t(&conv.forward(x)?, true)?,
            None => x.clone(),
        };
        (hidden + shortcut)?.relu()
    }
}

pub struct Resnet {
    conv: Conv2d,
    norm: BatchNorm,
    blocks: Vec<Residual>,
    fc: Linear,
}

impl Resnet {
    pub fn new(vars: VarBuilder) -> Result<Self> {
        let block = |(from, to, stride)| Residual::new(from, to, stride, vars.pp(format!("block{to}")));
        Ok(Self {
            conv: conv2d_no_bias(3, 32, 3, same(1, 3), vars.pp("conv"))?,
            norm: batch_norm(32, 1e-5, vars.pp("norm"))?,
            blocks: [(32, 32, 1), (32, 64, 2), (64, 128, 2)].into_iter().map(block).collect::<Result<_>>()?,
            fc: linear(128, 10, vars.pp("fc"))?,
        })
    }
}

impl Module for Resnet {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.norm.forward_t(&self.conv.forward(x)?, true)?.relu()?;
        let x = self.blocks.iter().try_fold(x, |x, block| block.forward(&x))?;
        self.fc.forward(&x.flatten_from(2)?.mean(2)?)
    }
}

/// candle's own `LayerNorm` has no gradient where it is fast.
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    fn new(width: usize, vars: VarBuilder) -> Result<Self> {
        let weight = vars.get_with_hints(width, "weight", init::ONE)?;
        Ok(Self { weight, bias: vars.get_with_hints(width, "bias", init::ZERO)? })
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm_slow(x, &self.weight, &self.bias, 1e-5)
    }
}

struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    out: Linear,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
    heads: usize,
    /// 0 where a position may look, −∞ where not.
    mask: Tensor,
}

impl Block {
    fn new(Gpt { width, heads, .. }: Gpt, mask: &Tensor, vars: VarBuilder) -> Result<Self> {
        Ok(Self {
            norm1: LayerNorm::new(width, vars.pp("norm1"))?,
            qkv: linear(width, 3 * width, vars.pp("qkv"))?,
            out: linear(width, width, vars.pp("out"))?,
            norm2: LayerNorm::new(width, vars.pp("norm2"))?,
            up: linear(width, 4 * width, vars.pp("up"))?,
            down: linear(4 * width, width, vars.pp("down"))?,
            heads,
            mask: mask.clone(),
        })
    }

    fn attention(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, sequence, width) = x.dims3()?;
        let parts = self.qkv.forward(x)?.reshape((batch, sequence, 3, self.heads, width / self.heads))?;
        let part = |index| parts.narrow(2, index, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let scale = 1.0 / ((width / self.heads) as f64).sqrt();
        let scores = (q.matmul(&k.t()?)? * scale)?.broadcast_add(&self.mask)?;
        let seen = softmax(&scores, D::Minus1)?.matmul(&v)?;
        self.out.forward(&seen.transpose(1, 2)?.reshape((batch, sequence, width))?)
    }
}

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = (x + self.attention(&self.norm1.forward(x)?)?)?;
        let hidden = self.up.forward(&self.norm2.forward(&x)?)?.gelu_erf()?;
        &x + self.down.forward(&hidden)?
    }
}

/// A decoder-only transformer: tokens \[N, T\] to logits \[N·T, vocabulary\].
pub struct Transformer {
    tokens: Embedding,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Transformer {
    pub fn new(sizes: Gpt, vars: VarBuilder) -> Result<Self> {
        let Gpt { vocabulary, sequence, width, layers, .. } = sizes;
        let start = init::Init::Randn { mean: 0.0, stdev: 0.02 };
        let seen = |at: usize| if at % sequence > at / sequence { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..sequence * sequence).map(seen).collect();
        let mask = Tensor::from_vec(mask, (sequence, sequence), &Device::Cpu)?;
        let block = |index| Block::new(sizes, &mask, vars.pp(format!("block{index}")));
        Ok(Self {
            tokens: embedding(vocabulary, width, vars.pp("tokens"))?,
            positions: vars.get_with_hints((sequence, width), "positions", start)?,
            blocks: (0..layers).map(block).collect::<Result<_>>()?,
            norm: LayerNorm::new(width, vars.pp("norm"))?,
            head: linear_no_bias(width, vocabulary, vars.pp("head"))?,
        })
    }
}

impl Module for Transformer {
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let x = self.tokens.forward(tokens)?.broadcast_add(&self.positions)?;
        let x = self.blocks.iter().try_fold(x, |x, block| block.forward(&x))?;
        self.head.forward(&self.norm.forward(&x)?)?.flatten(0, 1)
    }
}
