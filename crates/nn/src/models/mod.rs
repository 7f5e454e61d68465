//! Ready architectures, with the variable names and layouts of their usual PyTorch versions, so that weights
//! trained there load as they are.

mod gpt;
mod mobilenet_v2;
mod resnet;

pub use gpt::{Gpt, GptConfig};
pub use mobilenet_v2::MobileNetV2;
pub use resnet::ResNet;
