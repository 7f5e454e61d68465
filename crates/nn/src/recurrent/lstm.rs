//! Long short-term memory.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Vars};

use super::{RecurrentConfig, Stack, Step, gates};
use crate::Module;

/// A memory c beside the hidden state h, guarded by gates (PyTorch's `LSTM` with `batch_first`; Hochreiter and
/// Schmidhuber, 1997), over sequences \[N, T, inputs\]:
/// c′ = σ(f)·c + σ(i)·tanh(g), h′ = σ(o)·tanh(c′) with (i, f, g, o) = W_ih·x + b_ih + W_hh·h + b_hh.
/// As a [`Module`] it returns the hidden states \[N, T, hidden · directions\].
///
/// Variables for each layer k: `weight_ih_lk` \[4·hidden, inputs\], `weight_hh_lk` \[4·hidden, hidden\],
/// `bias_ih_lk` and `bias_hh_lk` \[4·hidden\], gates in the order i, f, g, o, uniform in ±1/√hidden; of the
/// backward direction with the suffix `_reverse`.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, U32, Vars};
/// use wgrad_nn::Lstm;
/// let lstm = Lstm::new(Vars::new(), 12, 32);
/// let graph = Graph::new(Mode::Train);
/// let (x, lengths) = (graph.input("x", [8, 20, 12], F32), graph.input("lengths", [8], U32));
/// let (output, (hidden, memory)) = lstm.run(&x, Some(&lengths), None);
/// assert_eq!(*output.shape(), [8, 20, 32]);
/// assert_eq!((&*hidden.shape(), &*memory.shape()), (&[1, 8, 32][..], &[1, 8, 32][..]));
/// ```
#[derive(Clone, Debug)]
pub struct Lstm(Stack);

impl Lstm {
    /// One layer, one direction; [`RecurrentConfig`] has more.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, inputs: usize, hidden: usize) -> Self {
        RecurrentConfig::new(inputs, hidden).lstm(vars)
    }

    pub(super) fn from_stack(stack: Stack) -> Self {
        Self(stack)
    }

    /// The hidden states, and the last hidden state and memory, \[layers · directions, N, hidden\] each, from
    /// initial ones (default 0). Sequences end at their lengths, u32 \[N\], as if packed.
    #[track_caller]
    pub fn run(
        &self,
        x: &Tensor,
        lengths: Option<&Tensor>,
        initial: Option<(&Tensor, &Tensor)>,
    ) -> (Tensor, (Tensor, Tensor)) {
        let initial = initial.map(|(hidden, memory)| [hidden, memory]);
        let (output, [hidden, memory]) = self.0.run(x, lengths, initial, cell);
        (output, (hidden, memory))
    }
}

#[track_caller]
fn cell(step: &Step<'_>, [_, memory]: &[Tensor; 2]) -> [Tensor; 2] {
    let [i, f, g, o] = gates(&(step.input + step.hidden));
    let memory = f.sigmoid() * memory + i.sigmoid() * g.tanh();
    [o.sigmoid() * memory.tanh(), memory]
}

impl Module for Lstm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        self.run(x, None, None).0
    }
}
