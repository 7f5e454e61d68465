//! NAdam.

use wgrad_core::{Shape, Tensor};

use crate::adam::moments;
use crate::optimizer::{NOT_NEGATIVE, betas_within, bias_correction, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Adam with Nesterov's momentum and a warming schedule of it (PyTorch's `NAdam`; Dozat, 2016):
///
/// μₜ = β₁·(1 − ½·0.96^(t·ψ)); m and v as in [`Adam`](crate::Adam); d = √(v/(1 − β₂ᵗ)) + ε;
/// w ← w − η·((1 − μₜ)/(1 − Πᵢ₌₁ᵗ μᵢ)·g + μₜ₊₁/(1 − Πᵢ₌₁ᵗ⁺¹ μᵢ)·m)/d.
///
/// ```
/// use wgrad_optim::{NAdam, Optimizer};
/// let nadam = NAdam::new(2e-3).weight_decay(1e-2).decoupled();
/// ```
#[derive(Clone, Debug)]
pub struct NAdam {
    settings: Settings,
    betas: (f64, f64),
    eps: f64,
    momentum_decay: f64,
    decoupled: bool,
}

impl NAdam {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, ψ = 0.004, weight decay as a penalty.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self {
            settings: Settings::new(rate),
            betas: (0.9, 0.999),
            eps: 1e-8,
            momentum_decay: 4e-3,
            decoupled: false,
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

    /// How fast the momentum reaches β₁, ψ.
    pub fn momentum_decay(mut self, decay: f64) -> Self {
        self.momentum_decay = decay;
        self
    }

    /// Weight decay apart from the gradient, as in [`AdamW`](crate::AdamW).
    pub fn decoupled(mut self) -> Self {
        self.decoupled = true;
        self
    }

    /// The momentum of update t, μₜ. The power is written with a logarithm taken in f64.
    fn momentum(&self, t: &Tensor) -> Tensor {
        let halves = (t * (self.momentum_decay * 0.96f64.ln())).exp() * 0.5;
        (1.0 - halves) * self.betas.0
    }
}

impl Optimizer for NAdam {
    fn name(&self) -> &'static str {
        "NAdam"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    fn check(&self) -> Result<(), String> {
        betas_within(self.betas)?;
        within("eps", self.eps, NOT_NEGATIVE)?;
        within("the momentum decay", self.momentum_decay, NOT_NEGATIVE)
    }

    fn rule(&self, p: &Parameter<'_>) -> Tensor {
        let gradient = if self.decoupled { p.gradient.clone() } else { p.penalized() };
        let value = if self.decoupled { p.decayed() } else { p.value.clone() };
        let (now, next) = (self.momentum(&p.t), self.momentum(&(&p.t + 1.0)));
        let product = p.slot_of("nadam.mu_product", Shape::scalar(), 1.0, |product| product * &now);
        let of_gradient = (1.0 - now) / (1.0 - &product) * &p.rate;
        let of_mean = &next / (1.0 - product * &next) * &p.rate;
        let (first, second) = moments(p, "nadam", &gradient, self.betas);
        let root = (second / bias_correction(&p.t, self.betas.1)).sqrt() + self.eps;
        value - (gradient * of_gradient + first * of_mean) / root
    }
}
