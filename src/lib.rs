#![doc = include_str!("../README.md")]

pub use wgrad_core as core;
pub use wgrad_data as data;
pub use wgrad_gpu as gpu;
pub use wgrad_nn as nn;
pub use wgrad_optim as optim;
pub use wgrad_train as train;
pub use wgrad_weights as weights;

/// Everything that a program which trains a model usually names.
///
/// ```
/// use wgrad::prelude::*;
/// let vars = Vars::new();
/// let layer = Linear::new(vars.sub("fc"), 64, 10);
/// let graph = Graph::new(Mode::Train);
/// let logits = layer.forward(&graph.input("image", [32, 64], F32));
/// assert_eq!(*logits.shape(), [32, 10]);
/// ```
pub mod prelude {
    pub use wgrad_core::batch::Batch;
    pub use wgrad_core::ops::{CrossEntropy, Reduction, Window};
    pub use wgrad_core::{
        Array, AttentionOptions, Axes, CustomOp, DType, DType::*, Element, Graph, Init, Mode, Shape, Tensor,
        TensorSpec, Var, VarKind, Vars, WgslKernel,
    };
    pub use wgrad_data::{DataError, Dataset, Labelled, Loader, TensorDataset, breast_cancer, digits, mnist};
    pub use wgrad_gpu::{AdapterInfo, AdapterKind, Conformance, Gpu, Outputs, Precision, Program, State};
    pub use wgrad_nn::{
        AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AttentionMask, AvgPool1d, AvgPool2d,
        BatchNorm1d, BatchNorm2d, BatchNorm3d, Bilinear, Bottleneck, Conv1d, Conv1dConfig, Conv2d,
        Conv2dConfig, Conv3d, Conv3dConfig, ConvTranspose1d, ConvTranspose1dConfig, ConvTranspose2d,
        ConvTranspose2dConfig, DropPath, Dropout, Dropout1d, Dropout2d, Elu, Embedding, Flatten, Gelu,
        GeluTanh, GlobalAvgPool2d, GroupNorm, Gru, Hardswish, Identity, InstanceNorm1d, InstanceNorm2d,
        InvertedResidual, KvCache, LayerNorm, LeakyRelu, Linear, LinearConfig, Lstm, MaxPool1d, MaxPool2d,
        Mish, Module, MultiHeadAttention, PRelu, PixelShuffle, RecurrentConfig, Relu, Relu6, ResidualBlock,
        RmsNorm, Rnn, RotaryEmbedding, Selu, Sequential, Sigmoid, Silu, SinusoidalPositions, Softmax,
        Softplus, Summary, Tanh, TransformerConfig, TransformerDecoder, TransformerDecoderLayer,
        TransformerEncoder, TransformerEncoderLayer, Upsample, init, models,
    };
    pub use wgrad_optim::{
        Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Averaging, ChainedLr, ConstantLr, Cosine,
        CosineRestarts, CyclicLr, ExponentialLr, InverseSqrt, Lamb, LinearLr, Lion, LossScale, Manual,
        MultiStepLr, Muon, NAdam, OneCycleLr, Optimizer, PolynomialLr, RAdam, Rate, ReduceOnPlateau, RmsProp,
        Schedule, SequentialLr, Sgd, StepLr, Warmup, clip_grad_norm, clip_grad_value,
    };
    pub use wgrad_train::{
        Average, Checkpoint, Checkpoints, Combine, Confusion, ConfusionMatrix, Ending, Metric, Objective,
        Patience, Progress, Report, TensorBoard, Trainer,
    };
    pub use wgrad_weights::{LoadReport, Weights, WeightsError};
}

/// The code in the book is tested like any other.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../docs/book/src/getting-started.md")]
    mod getting_started {}
    #[doc = include_str!("../docs/book/src/recording.md")]
    mod recording {}
    #[doc = include_str!("../docs/book/src/training.md")]
    mod training {}
    #[doc = include_str!("../docs/book/src/looking.md")]
    mod looking {}
    #[doc = include_str!("../docs/book/src/memory.md")]
    mod memory {}
    #[doc = include_str!("../docs/book/src/tuning.md")]
    mod tuning {}
    #[doc = include_str!("../docs/book/src/data.md")]
    mod data {}
    #[doc = include_str!("../docs/book/src/operations.md")]
    mod operations {}
    #[doc = include_str!("../docs/book/src/compiler.md")]
    mod compiler {}
    #[doc = include_str!("../docs/book/src/formulas.md")]
    mod formulas {}
}
