//! Vectors for words.

use std::borrow::Borrow;

use wgrad_core::{Init, Tensor, U32, Var, Vars};

use crate::Module;
use crate::init::normal;

/// A table of vectors, looked up by u32 index: `[…]` becomes `[…, width]` (PyTorch's `Embedding`). A
/// batch with an index outside of the table is refused before it reaches the device.
///
/// Variable: `weight` \[count, width\], normal with standard deviation 1 unless given otherwise.
///
/// ```
/// use wgrad_core::{Graph, Mode, U32, Vars};
/// use wgrad_nn::{Embedding, Linear, Module};
/// let vars = Vars::new();
/// let characters = Embedding::new(vars.sub("characters"), 84, 32);
/// let text = Graph::new(Mode::Eval).input("text", [8, 100], U32);
/// let x = characters.forward(&text);
/// assert_eq!(*x.shape(), [8, 100, 32]);
/// // Weight tying: the layer that predicts characters shares the table.
/// let head = Linear { weight: characters.weight.clone(), bias: None };
/// assert_eq!(*head.forward(&x).shape(), [8, 100, 84]);
/// assert_eq!(vars.all().len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Embedding {
    /// The vectors, \[count, width\].
    pub weight: Var,
    padding: Option<usize>,
}

impl Embedding {
    /// `count` vectors of `width` elements.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, count: usize, width: usize) -> Self {
        Self::with_init(vars, count, width, normal(0.0, 1.0))
    }

    /// The same with another start.
    #[track_caller]
    pub fn with_init(vars: impl Borrow<Vars>, count: usize, width: usize, init: Init) -> Self {
        Self { weight: vars.borrow().var("weight", [count, width], init), padding: None }
    }

    /// The vector at `index` stands for padding: it starts at zero and is not trained (PyTorch's
    /// `padding_idx`).
    #[track_caller]
    pub fn with_padding(vars: impl Borrow<Vars>, count: usize, width: usize, index: usize) -> Self {
        let random = normal(0.0, 1.0);
        let init = Init::new(move |cx| {
            let row = cx.graph.iota(cx.shape, 0, U32);
            random.record(cx).masked_fill(&row.eq(index as f64), 0.0)
        });
        Self { padding: Some(index), ..Self::with_init(vars, count, width, init) }
    }
}

impl Module for Embedding {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let vectors = x.graph().var(&self.weight).embedding(x);
        match self.padding {
            Some(index) if vectors.is_valid() => {
                x.eq(index as f64).unsqueeze(-1).select(&vectors.detach(), &vectors)
            }
            _ => vectors,
        }
    }
}
