//! Adam, and AdamW with decoupled weight decay.

use wgrad_core::{F32, Graph, Init, Tensor, Var, Vars};

use crate::optimizer::{BELOW_ONE, NOT_NEGATIVE, accepts, moving_average, with_penalty};
use crate::{Optimizer, Rate};

/// Adaptive moments (PyTorch's `Adam`; Kingma and Ba, 2015):
///
/// g ← g + λ·w; m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²;
/// w ← w − η/(1 − β₁ᵗ) · m/(√v/√(1 − β₂ᵗ) + ε), where t is 1 in the first step.
///
/// t counts the steps of the whole state, not of each parameter.
///
/// ```
/// use wgrad_core::{Graph, Init, Mode, Vars};
/// use wgrad_optim::{Adam, Optimizer};
/// let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
/// let weight = graph.var(&vars.var("weight", [3], Init::constant(1.0)));
/// Adam::new(1e-3).betas(0.9, 0.98).minimize(&weight.square().sum(..), &vars);
/// assert!(vars.get("weight.adam.exp_avg").is_some());
/// ```
#[derive(Clone, Debug)]
pub struct Adam {
    rate: Rate,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
    amsgrad: bool,
}

impl Adam {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, no weight decay.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self {
            rate: rate.into(),
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            amsgrad: false,
        }
    }

    /// How much of the first and second moment stays in a step.
    pub fn betas(mut self, first: f64, second: f64) -> Self {
        self.betas = (first, second);
        self
    }

    /// The term ε added outside of the root.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// The L2 penalty λ, part of the gradient that the moments see. [`AdamW`] keeps it apart.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// Divides by the largest second moment so far instead of the last (Reddi, Kale and Kumar, 2018).
    pub fn amsgrad(mut self) -> Self {
        self.amsgrad = true;
        self
    }

    #[track_caller]
    fn is_sound(&self, graph: &Graph) -> bool {
        let settings = [
            ("the first beta", self.betas.0, BELOW_ONE),
            ("the second beta", self.betas.1, BELOW_ONE),
            ("eps", self.eps, NOT_NEGATIVE),
            ("weight decay", self.weight_decay, NOT_NEGATIVE),
        ];
        accepts(graph, if self.decoupled { "AdamW" } else { "Adam" }, &settings)
    }

    /// The new first and second moment of a parameter's gradient.
    #[track_caller]
    fn moments(&self, gradient: &Tensor, var: &Var, vars: &Vars) -> (Tensor, Tensor) {
        let graph = gradient.graph();
        let zero = || Init::constant(0.0);
        let slot = vars.slot("adam.exp_avg", var, zero());
        let first = moving_average(&graph.var(&slot), gradient, self.betas.0);
        graph.assign(&slot, &first);
        let slot = vars.slot("adam.exp_avg_sq", var, zero());
        let second = moving_average(&graph.var(&slot), &gradient.square(), self.betas.1);
        graph.assign(&slot, &second);
        if !self.amsgrad {
            return (first, second);
        }
        let slot = vars.slot("adam.max_exp_avg_sq", var, zero());
        let largest = graph.var(&slot).maximum(&second);
        graph.assign(&slot, &largest);
        (first, largest)
    }
}

/// 1 − βᵗ. Written as −expm1(t·ln β) with the logarithm taken in f64: a device's power loses most
/// digits of the difference when β is close to 1.
#[track_caller]
fn bias_correction(t: &Tensor, beta: f64) -> Tensor {
    // In the limit β → 0 nothing is averaged, and nothing is biased.
    if beta == 0.0 { t.ones_like() } else { -(t * beta.ln()).expm1() }
}

impl Optimizer for Adam {
    #[track_caller]
    fn update(&self, gradients: &[(Var, Tensor)], vars: &Vars) {
        let Some((_, first)) = gradients.first() else { return };
        let graph = first.graph();
        if !self.is_sound(graph) {
            return;
        }
        let t = graph.var(&Var::step()).cast(F32) + 1.0;
        let rate = self.rate.now(graph);
        let size = &rate / bias_correction(&t, self.betas.0);
        let scale = bias_correction(&t, self.betas.1).rsqrt();
        let kept = 1.0 - &rate * self.weight_decay;
        let penalty = if self.decoupled { 0.0 } else { self.weight_decay };
        for (var, gradient) in gradients {
            let value = graph.var(var);
            let gradient = with_penalty(gradient, &value, penalty);
            let (first, second) = self.moments(&gradient, var, vars);
            let direction = first / (second.sqrt() * &scale + self.eps);
            let value = if self.decoupled { value * &kept } else { value };
            graph.assign(var, &(value - direction * &size));
        }
    }
}

/// Adam with decoupled weight decay (PyTorch's `AdamW`; Loshchilov and Hutter, 2019): the penalty does
/// not pass through the moments, instead w ← (1 − η·λ)·w before each update.
///
/// ```
/// use wgrad_optim::{AdamW, Cosine};
/// let adam = AdamW::new(Cosine::new(3e-4, 10_000)).betas(0.9, 0.95).weight_decay(0.1);
/// ```
#[derive(Clone, Debug)]
pub struct AdamW(Adam);

impl AdamW {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, λ = 0.01.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self(Adam { decoupled: true, weight_decay: 1e-2, ..Adam::new(rate) })
    }

    /// How much of the first and second moment stays in a step.
    pub fn betas(self, first: f64, second: f64) -> Self {
        Self(self.0.betas(first, second))
    }

    /// The term ε added outside of the root.
    pub fn eps(self, eps: f64) -> Self {
        Self(self.0.eps(eps))
    }

    /// The weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self(self.0.weight_decay(weight_decay))
    }

    /// Divides by the largest second moment so far instead of the last (Reddi, Kale and Kumar, 2018).
    pub fn amsgrad(self) -> Self {
        Self(self.0.amsgrad())
    }
}

impl Optimizer for AdamW {
    #[track_caller]
    fn update(&self, gradients: &[(Var, Tensor)], vars: &Vars) {
        self.0.update(gradients, vars);
    }
}
