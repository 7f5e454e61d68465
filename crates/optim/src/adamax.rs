//! Adamax.

use wgrad_core::Tensor;

use crate::optimizer::{NOT_NEGATIVE, betas_within, bias_correction, moving_average, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Adam with the infinity norm in place of the second moment (PyTorch's `Adamax`; Kingma and Ba, 2015,
/// section 7):
///
/// g ← g + λ·w; m ← β₁·m + (1 − β₁)·g; u ← max(β₂·u, |g| + ε); w ← w − η/(1 − β₁ᵗ)·m/u.
///
/// ```
/// use wgrad_optim::Adamax;
/// let adamax = Adamax::new(2e-3).betas(0.9, 0.99);
/// ```
#[derive(Clone, Debug)]
pub struct Adamax {
    settings: Settings,
    betas: (f64, f64),
    eps: f64,
}

impl Adamax {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { settings: Settings::new(rate), betas: (0.9, 0.999), eps: 1e-8 }
    }

    /// How much of the first moment and of the norm stays in a step.
    pub fn betas(mut self, first: f64, second: f64) -> Self {
        self.betas = (first, second);
        self
    }

    /// The term ε that keeps the norm from being zero.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

impl Optimizer for Adamax {
    fn name(&self) -> &'static str {
        "Adamax"
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
        let gradient = p.penalized();
        let (first, second) = self.betas;
        let mean = p.slot("adamax.exp_avg", 0.0, |mean| moving_average(mean, &gradient, first));
        let norm = p.slot("adamax.exp_inf", 0.0, |norm| (norm * second).maximum(gradient.abs() + self.eps));
        &p.value - mean / norm * (&p.rate / bias_correction(&p.t, first))
    }
}
