//! The simple recurrent network.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use super::{RecurrentConfig, Stack};
use crate::Module;

/// h′ = tanh(W_ih·x + b_ih + W_hh·h + b_hh) over sequences \[N, T, inputs\] (PyTorch's `RNN` with
/// `batch_first`; Elman, 1990). As a [`Module`] it returns the hidden states \[N, T, hidden · directions\].
///
/// Variables for each layer k: `weight_ih_lk` \[hidden, inputs\], `weight_hh_lk` \[hidden, hidden\],
/// `bias_ih_lk` and `bias_hh_lk` \[hidden\], uniform in ±1/√hidden; of the backward direction with the suffix
/// `_reverse`.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, Rnn};
/// let rnn = Rnn::new(Vars::new(), 12, 32);
/// let x = Graph::new(Mode::Train).input("x", [8, 20, 12], F32);
/// assert_eq!(*rnn.forward(&x).shape(), [8, 20, 32]);
/// ```
#[derive(Clone, Debug)]
pub struct Rnn {
    stack: Stack,
    relu: bool,
}

impl Rnn {
    /// One layer, one direction; [`RecurrentConfig`] has more.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, hidden: usize) -> Self {
        RecurrentConfig::new(inputs, hidden).rnn(vars)
    }

    /// max(·, 0) instead of tanh.
    pub fn relu(mut self) -> Self {
        self.relu = true;
        self
    }

    pub(super) fn from_stack(stack: Stack) -> Self {
        Self { stack, relu: false }
    }

    /// The hidden states and the last one, \[layers · directions, N, hidden\], from an initial one (default 0).
    /// Sequences end at their lengths, u32 \[N\], as if packed.
    #[track_caller]
    pub fn run(&self, x: &Tensor, lengths: Option<&Tensor>, initial: Option<&Tensor>) -> (Tensor, Tensor) {
        let initial = initial.map(|hidden| [hidden]);
        let (output, [hidden]) = if self.relu {
            self.stack.run(x, lengths, initial, |step, _| [(step.input + step.hidden).relu()])
        } else {
            self.stack.run(x, lengths, initial, |step, _| [(step.input + step.hidden).tanh()])
        };
        (output, hidden)
    }
}

impl Module for Rnn {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.run(x, None, None).0
    }
}
