//! Root-mean-square normalisation.

use std::borrow::Borrow;

use wgrad_core::{Shape, Tensor, Var, Vars};

use crate::Module;
use crate::init::ones;

/// Divides by the root of the mean square over the last axes, then scales each element (PyTorch's `RMSNorm`;
/// Zhang and Sennrich, 2019).
///
/// Variable: `weight` (1) in the normalised shape.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{Module, RmsNorm};
/// let norm = RmsNorm::new(Vars::new(), [64]);
/// let x = Graph::new(Mode::Train).input("x", [8, 100, 64], F32);
/// assert_eq!(norm.forward(&x).shape(), x.shape());
/// ```
#[derive(Clone, Debug)]
pub struct RmsNorm {
    /// The scale of each element.
    pub weight: Var,
    eps: f64,
}

impl RmsNorm {
    /// A norm over the last axes, which must have this shape; eps is 2⁻²³, the distance of 1 from the next f32.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, shape: impl Into<Shape>) -> Self {
        Self { weight: vars.borrow().var("weight", shape, ones()), eps: f32::EPSILON.into() }
    }

    /// What is added to the mean square.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

impl Module for RmsNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (shape, normalized) = (x.shape(), self.weight.shape());
        if !shape.ends_with(normalized) {
            let message = format!("`{}` needs an input that ends in {normalized}", self.weight.name());
            return x.fail("rms_norm", format!("{message}, got {}", x.spec()));
        }
        let axes: Vec<usize> = (shape.rank() - normalized.rank()..shape.rank()).collect();
        x.rms_norm(&axes[..], Some(&x.graph().var(&self.weight)), self.eps)
    }
}
