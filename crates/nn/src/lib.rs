//! Layers and initializers: what has variables, or behaves differently in training.
//!
//! A layer declares its variables in a [`Vars`](wgrad_core::Vars) tree when it is made, under PyTorch's
//! names and in PyTorch's layouts, and records its operations when it is called. Everything that is a
//! function of tensors alone (activations, losses, accuracy) is a method of
//! [`Tensor`](wgrad_core::Tensor).

mod activation;
mod attention;
mod batch_norm;
mod conv;
mod dropout;
mod embedding;
mod flatten;
pub mod init;
mod layer_norm;
mod linear;
mod module;
mod pool;
mod residual;

pub use activation::{Elu, Gelu, LeakyRelu, Relu, Sigmoid, Silu, Softplus, Tanh};
pub use attention::MultiHeadAttention;
pub use batch_norm::{BatchNorm, BatchNorm1d, BatchNorm2d};
pub use conv::{Conv2d, Conv2dConfig};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use flatten::Flatten;
pub use layer_norm::LayerNorm;
pub use linear::{Linear, LinearConfig};
pub use module::{Module, Sequential};
pub use pool::{AvgPool2d, GlobalAvgPool2d, MaxPool2d};
pub use residual::ResidualBlock;
