//! LAMB.

use wgrad_core::Tensor;

use crate::adam::moments;
use crate::optimizer::{NOT_NEGATIVE, betas_within, bias_correction, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Adam whose step is as long as the rate times the parameter's own norm, for large batches (You et al.,
/// 2020, algorithm 2):
///
/// u = m/(1 − β₁ᵗ)/(√(v/(1 − β₂ᵗ)) + ε) + λ·w; w ← w − η·‖w‖/‖u‖·u, where the ratio is 1 if either norm
/// is 0. Norms are of one tensor.
///
/// ```
/// use wgrad_optim::{Lamb, Optimizer};
/// let lamb = Lamb::new(1e-3).weight_decay(0.01).vectors(|g| g.weight_decay(0.0));
/// ```
#[derive(Clone, Debug)]
pub struct Lamb {
    settings: Settings,
    betas: (f64, f64),
    eps: f64,
}

impl Lamb {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁶, no weight decay.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { settings: Settings::new(rate), betas: (0.9, 0.999), eps: 1e-6 }
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
}

impl Optimizer for Lamb {
    fn name(&self) -> &'static str {
        "Lamb"
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
        let (first, second) = moments(p, "lamb", &p.gradient, self.betas);
        let root = second.sqrt() * bias_correction(&p.t, self.betas.1).rsqrt() + self.eps;
        let mut direction = first / bias_correction(&p.t, self.betas.0) / root;
        if p.weight_decay != 0.0 {
            direction = direction + &p.value * p.weight_decay;
        }
        let [size, length] = [&p.value, &direction].map(|tensor| tensor.square().sum(..).sqrt());
        let known = (&size * &length).gt(0.0);
        let ratio = &size / known.select(&length, &length.ones_like());
        let trust = known.select(&ratio, &ratio.ones_like());
        &p.value - direction * (trust * &p.rate)
    }
}
