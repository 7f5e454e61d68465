//! Ready architectures, with the variable names and layouts of their usual PyTorch versions, so that weights
//! trained there load as they are.

mod autoencoder;
mod bert;
mod gpt;
mod lenet;
mod mlp;
mod mobilenet_v2;
mod resnet;
mod unet;
mod vae;
mod vit;

pub use autoencoder::Autoencoder;
pub use bert::{Bert, BertConfig};
pub use gpt::{Gpt, GptConfig};
pub use lenet::LeNet;
pub use mlp::Mlp;
pub use mobilenet_v2::MobileNetV2;
pub use resnet::ResNet;
pub use unet::UNet;
pub use vae::Vae;
pub use vit::{Vit, VitConfig};
