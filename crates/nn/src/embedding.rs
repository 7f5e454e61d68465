//! Vectors for words.

use std::borrow::Borrow;

use wgrad_core::{Init, Tensor, Var, Vars};

use crate::Module;
use crate::init::normal;

/// A table of vectors, looked up by u32 index: `[…]` becomes `[…, width]` (PyTorch's `Embedding`). A
/// batch with an index outside of the table is refused before it reaches the device.
///
/// Variable: `weight` \[count, width\], normal with standard deviation 1 unless given otherwise.
///
/// ```
/// use wgrad_core::{Graph, Mode, U32, Vars};
/// use wgrad_nn::{Embedding, Module};
/// let characters = Embedding::new(Vars::new(), 84, 32);
/// let text = Graph::new(Mode::Eval).input("text", [8, 100], U32);
/// assert_eq!(*characters.forward(&text).shape(), [8, 100, 32]);
/// ```
#[derive(Clone, Debug)]
pub struct Embedding {
    /// The vectors, \[count, width\].
    pub weight: Var,
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
        Self { weight: vars.borrow().var("weight", [count, width], init) }
    }
}

impl Module for Embedding {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        x.graph().var(&self.weight).embedding(x)
    }
}
