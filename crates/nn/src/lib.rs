//! Layers and initializers: what has variables, or behaves differently in training.
//!
//! A layer declares its variables in a [`Vars`](wgrad_core::Vars) tree when it is made, under PyTorch's
//! names and in PyTorch's layouts, and records its operations when it is called. Everything that is a
//! function of tensors alone (activations, losses, accuracy) is a method of
//! [`Tensor`](wgrad_core::Tensor).

mod activation;
mod attention;
pub mod augment;
mod batch_norm;
mod bilinear;
mod blocks;
mod conv;
mod conv_transpose;
mod dropout;
mod embedding;
mod flatten;
mod group_norm;
mod identity;
pub mod init;
mod layer_norm;
mod linear;
pub mod models;
mod module;
mod pool;
mod recurrent;
mod resize;
mod rms_norm;
mod summary;
mod transformer;

pub use activation::{
    Celu, Elu, Gelu, GeluTanh, Glu, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, LeakyRelu, LogSigmoid,
    LogSoftmax, Mish, PRelu, Relu, Relu6, Selu, Sigmoid, Silu, Softmax, Softmin, Softplus, Softshrink,
    Softsign, Tanh, Tanhshrink, Threshold,
};
pub use attention::{
    AttentionMask, KvCache, MultiHeadAttention, MultiHeadAttentionConfig, RotaryEmbedding,
    SinusoidalPositions,
};
pub use batch_norm::{BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d};
pub use bilinear::Bilinear;
pub use blocks::{Bottleneck, InvertedResidual, ResidualBlock};
pub use conv::{Conv, Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, Conv3d, Conv3dConfig, ConvConfig};
pub use conv_transpose::{
    ConvTranspose, ConvTranspose1d, ConvTranspose1dConfig, ConvTranspose2d, ConvTranspose2dConfig,
    ConvTranspose3d, ConvTranspose3dConfig, ConvTransposeConfig,
};
pub use dropout::{AlphaDropout, ChannelDropout, DropPath, Dropout, Dropout1d, Dropout2d, Dropout3d};
pub use embedding::Embedding;
pub use flatten::Flatten;
pub use group_norm::{GroupNorm, InstanceNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d};
pub use identity::Identity;
pub use layer_norm::LayerNorm;
pub use linear::{Linear, LinearConfig};
pub use module::{Module, Sequential};
pub use pool::{
    AdaptiveAvgPool, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool,
    AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d, AvgPool, AvgPool1d, AvgPool2d, AvgPool3d,
    GlobalAvgPool2d, LpPool, LpPool1d, LpPool2d, MaxPool, MaxPool1d, MaxPool2d, MaxPool3d,
};
pub use recurrent::{Gru, Lstm, RecurrentConfig, Rnn};
pub use resize::{PixelShuffle, PixelUnshuffle, Upsample};
pub use rms_norm::RmsNorm;
pub use summary::{LayerSummary, Summary};
pub use transformer::{
    TransformerConfig, TransformerDecoder, TransformerDecoderLayer, TransformerEncoder,
    TransformerEncoderLayer,
};
