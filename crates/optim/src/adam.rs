//! Adam, and AdamW with decoupled weight decay.

use wgrad_core::Tensor;

use crate::optimizer::{NOT_NEGATIVE, betas_within, bias_correction, moving_average, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Adaptive moments (PyTorch's `Adam`; Kingma and Ba, 2015):
///
/// g ← g + λ·w; m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²;
/// w ← w − η/(1 − β₁ᵗ) · m/(√v/√(1 − β₂ᵗ) + ε), where t is 1 in the first step.
///
/// t counts the updates of the whole tree, not of each parameter. The weight decay λ is part of the
/// gradient that the moments see; [`AdamW`] keeps it apart.
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
    settings: Settings,
    betas: (f64, f64),
    eps: f64,
    amsgrad: bool,
}

impl Adam {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, no weight decay.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { settings: Settings::new(rate), betas: (0.9, 0.999), eps: 1e-8, amsgrad: false }
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

    /// Divides by the largest second moment so far instead of the last (Reddi, Kale and Kumar, 2018).
    pub fn amsgrad(mut self) -> Self {
        self.amsgrad = true;
        self
    }

    /// The corrected first moment over the root of the corrected second, times the rate.
    fn step(&self, gradient: &Tensor, p: &Parameter<'_>) -> Tensor {
        let (first, mut second) = moments(p, "adam", gradient, self.betas);
        if self.amsgrad {
            second = p.slot("adam.max_exp_avg_sq", 0.0, |largest| largest.maximum(&second));
        }
        let size = &p.rate / bias_correction(&p.t, self.betas.0);
        let scale = bias_correction(&p.t, self.betas.1).rsqrt();
        first / (second.sqrt() * scale + self.eps) * size
    }
}

/// The new moving averages of a gradient and of its square, in the slots of an optimizer.
pub(crate) fn moments(
    p: &Parameter<'_>,
    optimizer: &str,
    gradient: &Tensor,
    betas: (f64, f64),
) -> (Tensor, Tensor) {
    let average = |slot: &str, sample: &Tensor, beta: f64| {
        p.slot(&format!("{optimizer}.{slot}"), 0.0, |average| moving_average(average, sample, beta))
    };
    let first = average("exp_avg", gradient, betas.0);
    (first, average("exp_avg_sq", &gradient.square(), betas.1))
}

impl Optimizer for Adam {
    fn name(&self) -> &'static str {
        "Adam"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    fn check(&self) -> Result<(), String> {
        betas_within(self.betas)?;
        within("eps", self.eps, NOT_NEGATIVE)
    }

    fn rule(&self, p: &Parameter<'_>) -> Tensor {
        &p.value - self.step(&p.penalized(), p)
    }
}

/// Adam with decoupled weight decay (PyTorch's `AdamW`; Loshchilov and Hutter, 2019): the penalty does
/// not pass through the moments, instead w ← (1 − η·λ)·w before each update.
///
/// ```
/// use wgrad_optim::{AdamW, Cosine, Optimizer};
/// let adam = AdamW::new(Cosine::new(3e-4, 10_000)).betas(0.9, 0.95).weight_decay(0.1);
/// ```
#[derive(Clone, Debug)]
pub struct AdamW(Adam);

impl AdamW {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, λ = 0.01.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self(Adam::new(rate).weight_decay(1e-2))
    }

    /// How much of the first and second moment stays in a step.
    pub fn betas(self, first: f64, second: f64) -> Self {
        Self(self.0.betas(first, second))
    }

    /// The term ε added outside of the root.
    pub fn eps(self, eps: f64) -> Self {
        Self(self.0.eps(eps))
    }

    /// Divides by the largest second moment so far instead of the last (Reddi, Kale and Kumar, 2018).
    pub fn amsgrad(self) -> Self {
        Self(self.0.amsgrad())
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &'static str {
        "AdamW"
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.0.settings
    }

    fn check(&self) -> Result<(), String> {
        self.0.check()
    }

    fn rule(&self, p: &Parameter<'_>) -> Tensor {
        p.decayed() - self.0.step(&p.gradient, p)
    }
}
