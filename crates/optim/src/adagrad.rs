//! Adagrad.

use wgrad_core::{F32, Init, Tensor, Var, Vars};

use crate::optimizer::{NOT_NEGATIVE, accepts, with_penalty};
use crate::{Optimizer, Rate};

/// Steps divided by the root of the sum of all squared gradients so far, per element (PyTorch's
/// `Adagrad`; Duchi, Hazan and Singer, 2011):
///
/// g ← g + λ·w; s ← s + g²; w ← w − η/(1 + t·δ)·g/(√s + ε), where t is 0 in the first step.
///
/// ```
/// use wgrad_optim::Adagrad;
/// let adagrad = Adagrad::new(0.01).rate_decay(1e-4).initial_accumulator(0.1);
/// ```
#[derive(Clone, Debug)]
pub struct Adagrad {
    rate: Rate,
    rate_decay: f64,
    eps: f64,
    initial_accumulator: f64,
    weight_decay: f64,
}

impl Adagrad {
    /// δ = 0, ε = 10⁻¹⁰, sums start at 0.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { rate: rate.into(), rate_decay: 0.0, eps: 1e-10, initial_accumulator: 0.0, weight_decay: 0.0 }
    }

    /// The decay δ of the learning rate (PyTorch's `lr_decay`).
    pub fn rate_decay(mut self, rate_decay: f64) -> Self {
        self.rate_decay = rate_decay;
        self
    }

    /// The term ε added outside of the root.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// What the sums of squares start from (PyTorch's `initial_accumulator_value`).
    pub fn initial_accumulator(mut self, value: f64) -> Self {
        self.initial_accumulator = value;
        self
    }

    /// The L2 penalty λ.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }
}

impl Optimizer for Adagrad {
    #[track_caller]
    fn update(&self, gradients: &[(Var, Tensor)], vars: &Vars) {
        let Some((_, first)) = gradients.first() else { return };
        let graph = first.graph();
        let settings = [
            ("rate decay", self.rate_decay, NOT_NEGATIVE),
            ("eps", self.eps, NOT_NEGATIVE),
            ("initial accumulator", self.initial_accumulator, NOT_NEGATIVE),
            ("weight decay", self.weight_decay, NOT_NEGATIVE),
        ];
        if !accepts(graph, "Adagrad", &settings) {
            return;
        }
        let mut rate = self.rate.now(graph);
        if self.rate_decay != 0.0 {
            rate = rate / (graph.var(&Var::step()).cast(F32) * self.rate_decay + 1.0);
        }
        for (var, gradient) in gradients {
            let value = graph.var(var);
            let gradient = with_penalty(gradient, &value, self.weight_decay);
            let slot = vars.slot("adagrad.sum", var, Init::constant(self.initial_accumulator));
            let sum = graph.var(&slot) + gradient.square();
            graph.assign(&slot, &sum);
            graph.assign(var, &(value - gradient / (sum.sqrt() + self.eps) * &rate));
        }
    }
}
