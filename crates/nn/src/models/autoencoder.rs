//! The autoencoder.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use super::Mlp;
use crate::Module;

/// Squeezes features through a bottleneck and builds them up again: \[…, first width\] to the same. The result
/// has no activation: logits where features are in \[0, 1\].
///
/// Variables: `encoder.0`, `encoder.2`, … and `decoder.0`, `decoder.2`, …, as in two `Sequential`s of linear
/// layers and ReLU.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, models::Autoencoder};
/// let model = Autoencoder::new(Vars::new(), &[784, 128, 32]);
/// let x = Graph::new(Mode::Train).input("x", [64, 784], F32);
/// assert_eq!(*model.encode(&x).shape(), [64, 32]);
/// let loss = model.forward(&x).binary_cross_entropy_with_logits(&x);
/// # assert!(loss.is_valid());
/// ```
#[derive(Clone, Debug)]
pub struct Autoencoder {
    encoder: Mlp,
    decoder: Mlp,
}

impl Autoencoder {
    /// An encoder through these widths, the last of which is the bottleneck, and a decoder back.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, widths: &[usize]) -> Self {
        let vars = vars.borrow();
        let back: Vec<usize> = widths.iter().rev().copied().collect();
        Self {
            encoder: Mlp::numbered(&vars.sub("encoder"), widths, 2),
            decoder: Mlp::numbered(&vars.sub("decoder"), &back, 2),
        }
    }

    /// Features to their code in the bottleneck.
    #[track_caller]
    pub fn encode(&self, x: &Tensor) -> Tensor {
        self.encoder.forward(x)
    }

    /// A code to features.
    #[track_caller]
    pub fn decode(&self, code: &Tensor) -> Tensor {
        self.decoder.forward(code)
    }
}

impl Module for Autoencoder {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.decode(&self.encode(x))
    }
}
