//! A product of two inputs.

use std::borrow::Borrow;

use wgrad_core::{Tensor, Var, Vars};

use crate::init::uniform;

/// y = xᵀ·A·z + b for each output feature: \[…, left\] and \[…, right\] with the same leading axes become
/// \[…, out\] (PyTorch's `Bilinear`).
///
/// Variables: `weight` \[out, left, right\] and `bias` \[out\], both uniform in ±1/√left.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode, Vars};
/// use wgrad_nn::Bilinear;
/// let layer = Bilinear::new(Vars::new(), 20, 30, 40);
/// let graph = Graph::new(Mode::Eval);
/// let (x, z) = (graph.input("x", [128, 20], F32), graph.input("z", [128, 30], F32));
/// assert_eq!(*layer.forward(&x, &z).shape(), [128, 40]);
/// ```
#[derive(Clone, Debug)]
pub struct Bilinear {
    /// The matrices, \[out, left, right\].
    pub weight: Var,
    /// What is added, \[out\], if anything.
    pub bias: Option<Var>,
}

impl Bilinear {
    /// A layer from `left` and `right` to `outputs` features, with a bias.
    #[track_caller]
    pub fn new(vars: impl Borrow<Vars>, left: usize, right: usize, outputs: usize) -> Self {
        let vars = vars.borrow();
        let bound = 1.0 / (left.max(1) as f64).sqrt();
        let layer = Self::without_bias(vars, left, right, outputs);
        Self { bias: Some(vars.var("bias", [outputs], uniform(-bound, bound))), ..layer }
    }

    /// A layer without a bias.
    #[track_caller]
    pub fn without_bias(vars: impl Borrow<Vars>, left: usize, right: usize, outputs: usize) -> Self {
        let bound = 1.0 / (left.max(1) as f64).sqrt();
        let weight = vars.borrow().var("weight", [outputs, left, right], uniform(-bound, bound));
        Self { weight, bias: None }
    }

    /// Both inputs have the same axes before the last.
    #[track_caller]
    pub fn forward(&self, x: &Tensor, z: &Tensor) -> Tensor {
        let (graph, weight) = (x.graph(), self.weight.shape());
        let (xs, zs) = (x.shape(), z.shape());
        if !x.is_valid() || !z.is_valid() {
            return if x.is_valid() { z.clone() } else { x.clone() };
        }
        let lead = &xs[..xs.rank().saturating_sub(1)];
        if xs[..] != [lead, &[weight[1]]].concat() || zs[..] != [lead, &[weight[2]]].concat() {
            let message = format!("`{}` needs […, {}] and […, {}]", self.weight.name(), weight[1], weight[2]);
            return x.fail("bilinear", format!("{message}, got {} and {}", x.spec(), z.spec()));
        }
        let count = lead.iter().product();
        let (x, z) = (x.reshape([count, weight[1]]), z.reshape([count, weight[2]]));
        let product = x.einsum(&graph.var(&self.weight), "ni,oij->noj").einsum(&z, "noj,nj->no");
        let sum = match &self.bias {
            Some(bias) => product + graph.var(bias),
            None => product,
        };
        if sum.is_valid() { sum.reshape([lead, &[weight[0]]].concat()) } else { sum }
    }
}
