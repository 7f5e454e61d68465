//! The multi-layer perceptron.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use crate::{Dropout, Linear, Module};

/// Linear layers with ReLU, and dropout if wanted, in between: \[…, first width\] to \[…, last width\]
/// (torchvision's `MLP`, but without dropout behind the last layer).
///
/// Variables: `0`, `3`, `6`, …, as linear layers, activations and dropouts are counted.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, models::Mlp};
/// let mlp = Mlp::new(Vars::new(), &[784, 512, 10]).dropout(0.2);
/// let x = Graph::new(Mode::Train).input("x", [64, 784], F32);
/// assert_eq!(*mlp.forward(&x).shape(), [64, 10]);
/// ```
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    activation: fn(&Tensor) -> Tensor,
    dropout: Dropout,
}

impl Mlp {
    /// One linear layer from each width to the next.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, widths: &[usize]) -> Self {
        Self::numbered(vars.borrow(), widths, 3)
    }

    /// Another activation than ReLU.
    pub fn activation(mut self, activation: fn(&Tensor) -> Tensor) -> Self {
        self.activation = activation;
        self
    }

    /// In training, drops elements behind every activation with this probability.
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = Dropout::new(p);
        self
    }

    /// Layers whose names are `step` apart.
    #[track_caller]
    pub(super) fn numbered(vars: &Vars, widths: &[usize], step: usize) -> Self {
        let mut layers = vec![];
        for pair in widths.windows(2) {
            layers.push(Linear::new(vars.sub(step * layers.len()), pair[0], pair[1]));
        }
        Self { layers, activation: Tensor::relu, dropout: Dropout::new(0.0) }
    }
}

impl Module for Mlp {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut x = x.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            if number > 0 {
                x = self.dropout.forward(&(self.activation)(&x));
            }
            x = layer.forward(&x);
        }
        x
    }
}
