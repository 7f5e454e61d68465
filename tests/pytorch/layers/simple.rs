//! Linear layers, embeddings, positions, and blocks made of other layers.

use wgrad::nn::{
    Bilinear, Bottleneck, InvertedResidual, PRelu, ResidualBlock, RotaryEmbedding, SinusoidalPositions,
};
use wgrad::prelude::*;

use crate::case::{Case, layer};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        layer("Linear", |v| Linear::new(v, 5, 4)),
        layer("Linear/no-bias", |v| LinearConfig::new(5, 4).no_bias().build(v)),
        layer("Linear/sequence", |v| Linear::new(v, 5, 4)),
        Case::new("Bilinear", |v, x| vec![Bilinear::new(v, 3, 4, 5).forward(&x[0], &x[1])]),
        Case::new("Bilinear/no-bias", |v, x| vec![Bilinear::without_bias(v, 3, 4, 5).forward(&x[0], &x[1])]),
        layer("Flatten", |_| Flatten),
        layer("Embedding", |v| Embedding::new(v, 7, 4)),
        layer("Embedding/padding-idx", |v| Embedding::with_padding(v, 7, 4, 2)),
        layer("PReLU", |v| PRelu::new(v)),
        layer("PReLU/channels", |v| PRelu::per_channel(v, 3)),
        layer("SinusoidalPositions", |_| SinusoidalPositions),
        layer("RotaryEmbedding", |_| RotaryEmbedding::new(4, 5)),
        layer("RotaryEmbedding/interleaved", |_| RotaryEmbedding::new(4, 5).interleaved()),
        layer("BasicBlock", |v| ResidualBlock::new(v, 4, 4, 1)),
        layer("BasicBlock/stride", |v| ResidualBlock::new(v, 3, 4, 2)),
        layer("Bottleneck", |v| Bottleneck::new(v, 4, 2, 2)),
        layer("InvertedResidual", |v| InvertedResidual::new(v, 4, 4, 1, 2)),
        layer("InvertedResidual/stride", |v| InvertedResidual::new(v, 3, 4, 2, 1)),
    ]
}
