//! Layer normalisation.

use std::borrow::Borrow;

use wgrad_core::{Shape, Tensor, Var, Vars};

use crate::Module;
use crate::init::{ones, zeros};

/// Normalises over the last axes, then scales and shifts each element (PyTorch's `LayerNorm`; Ba, Kiros
/// and Hinton, 2016).
///
/// Variables: `weight` (1) and, unless left out, `bias` (0) in the normalised shape.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::{LayerNorm, Module};
/// let norm = LayerNorm::new(Vars::new(), [64]);
/// let x = Graph::new(Mode::Train).input("x", [8, 100, 64], F32);
/// assert_eq!(norm.forward(&x).shape(), x.shape());
/// ```
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// The scale of each element.
    pub weight: Var,
    /// The shift of each element.
    pub bias: Option<Var>,
    eps: f64,
}

impl LayerNorm {
    /// A norm over the last axes, which must have this shape; eps is 10⁻⁵.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, shape: impl Into<Shape>) -> Self {
        let (vars, shape) = (vars.borrow(), shape.into());
        let scale = Self::no_bias(vars, &shape);
        Self { bias: Some(vars.var("bias", &shape, zeros())), ..scale }
    }

    /// A norm that scales, but does not shift.
    #[track_caller]
    pub fn no_bias(vars: impl Borrow<Vars>, shape: impl Into<Shape>) -> Self {
        Self { weight: vars.borrow().var("weight", shape, ones()), bias: None, eps: 1e-5 }
    }

    /// What is added to the variance.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

impl Module for LayerNorm {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let (graph, shape, normalized) = (x.graph(), x.shape(), self.weight.shape());
        if !shape.ends_with(normalized) {
            let message = format!("`{}` needs an input that ends in {normalized}", self.weight.name());
            return x.fail("layer_norm", format!("{message}, got {}", x.spec()));
        }
        let axes: Vec<usize> = (shape.rank() - normalized.rank()..shape.rank()).collect();
        let bias = self.bias.as_ref().map(|bias| graph.var(bias));
        x.layer_norm(&axes[..], Some(&graph.var(&self.weight)), bias.as_ref(), self.eps)
    }
}
