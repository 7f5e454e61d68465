//! Dropout.

use wgrad_core::{Mode, Tensor};

use crate::Module;

/// In training, zeroes each element with probability p and scales the rest by 1/(1 − p); the identity in
/// evaluation (PyTorch's `Dropout`; Srivastava et al., 2014).
///
/// The mask is a function of the state's seed, the step and the place in the graph: the same step of the
/// same training drops the same elements.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// use wgrad_nn::{Dropout, Module};
/// let x = Graph::new(Mode::Eval).input("x", [64, 128], F32);
/// assert_eq!(Dropout::new(0.5).forward(&x).id(), x.id());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// Drops each element with probability p in [0, 1].
    pub fn new(p: f64) -> Self {
        Self { p }
    }
}

impl Module for Dropout {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        if !(0.0..=1.0).contains(&self.p) {
            return x.fail("dropout", format!("the probability is {}, but must be in [0, 1]", self.p));
        }
        if !x.is_valid() || x.mode() == Mode::Eval || self.p == 0.0 {
            return x.clone();
        }
        // With p = 1 nothing is kept, and nothing must be divided by 0.
        let scale = if self.p < 1.0 { 1.0 / (1.0 - self.p) } else { 0.0 };
        let keep = x.graph().random_bits(x.shape()).bits_to_uniform().ge(self.p);
        keep.select(&(x * scale), &x.zeros_like())
    }
}
