//! The gated recurrent unit.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use super::{RecurrentConfig, Stack, Step, gates};
use crate::Module;

/// A hidden state that gates renew in part (PyTorch's `GRU` with `batch_first`; Cho et al., 2014), over
/// sequences \[N, T, inputs\]: with (r, z, n) = W_ih·x + b_ih and (r, z, n)ₕ = W_hh·h + b_hh,
/// ν = tanh(n + σ(r + rₕ)·nₕ) and h′ = (1 − σ(z + zₕ))·ν + σ(z + zₕ)·h. As a [`Module`] it returns the hidden
/// states \[N, T, hidden · directions\].
///
/// Variables for each layer k: `weight_ih_lk` \[3·hidden, inputs\], `weight_hh_lk` \[3·hidden, hidden\],
/// `bias_ih_lk` and `bias_hh_lk` \[3·hidden\], gates in the order r, z, n, uniform in ±1/√hidden; of the
/// backward direction with the suffix `_reverse`.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::Gru;
/// let gru = Gru::new(Vars::new(), 12, 32);
/// let x = Graph::new(Mode::Train).input("x", [8, 20, 12], F32);
/// let (output, hidden) = gru.run(&x, None, None);
/// assert_eq!((&*output.shape(), &*hidden.shape()), (&[8, 20, 32][..], &[1, 8, 32][..]));
/// ```
#[derive(Clone, Debug)]
pub struct Gru(Stack);

impl Gru {
    /// One layer, one direction; [`RecurrentConfig`] has more.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, hidden: usize) -> Self {
        RecurrentConfig::new(inputs, hidden).gru(vars)
    }

    pub(super) fn from_stack(stack: Stack) -> Self {
        Self(stack)
    }

    /// The hidden states and the last one, \[layers · directions, N, hidden\], from an initial one (default 0).
    /// Sequences end at their lengths, u32 \[N\], as if packed.
    #[track_caller]
    pub fn run(&self, x: &Tensor, lengths: Option<&Tensor>, initial: Option<&Tensor>) -> (Tensor, Tensor) {
        let (output, [hidden]) = self.0.run(x, lengths, initial.map(|hidden| [hidden]), cell);
        (output, hidden)
    }
}

#[track_caller]
fn cell(step: &Step<'_>, [hidden]: &[Tensor; 1]) -> [Tensor; 1] {
    let ([r, z, n], [hr, hz, hn]) = (gates(step.input), gates(step.hidden));
    let hn = match step.bias {
        Some(bias) => hn + bias,
        None => hn,
    };
    let new = (n + (r + hr).sigmoid() * hn).tanh();
    let keep = (z + hz).sigmoid();
    // (1 − keep)·new + keep·hidden
    [&new + keep * (hidden - &new)]
}

impl Module for Gru {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.run(x, None, None).0
    }
}
