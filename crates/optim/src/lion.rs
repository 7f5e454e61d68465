//! Lion.

use wgrad_core::Tensor;

use crate::optimizer::{betas_within, moving_average};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Steps by the sign of an interpolated momentum (Chen et al., 2023, "Symbolic Discovery of Optimization
/// Algorithms"): one slot instead of Adam's two, and a rate about ten times smaller.
///
/// w ← (1 − η·λ)·w − η·sign(β₁·m + (1 − β₁)·g); m ← β₂·m + (1 − β₂)·g.
///
/// ```
/// use wgrad_optim::{Lion, Optimizer};
/// let lion = Lion::new(1e-4).weight_decay(0.1);
/// ```
#[derive(Clone, Debug)]
pub struct Lion {
    settings: Settings,
    betas: (f64, f64),
}

impl Lion {
    /// β₁ = 0.9, β₂ = 0.99, no weight decay.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { settings: Settings::new(rate), betas: (0.9, 0.99) }
    }

    /// How much of the momentum is in a step, and how much of it stays.
    pub fn betas(mut self, first: f64, second: f64) -> Self {
        self.betas = (first, second);
        self
    }
}

impl Optimizer for Lion {
    fn name(&self) -> &'static str {
        "Lion"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    fn check(&self) -> Result<(), String> {
        betas_within(self.betas)
    }

    fn rule(&self, p: &Parameter<'_>) -> Tensor {
        const MOMENTUM: &str = "lion.exp_avg";
        let toward = |momentum: &Tensor, beta| moving_average(momentum, &p.gradient, beta);
        let direction = toward(&p.remembered(MOMENTUM, 0.0), self.betas.0).sign();
        p.slot(MOMENTUM, 0.0, |momentum| toward(momentum, self.betas.1));
        p.decayed() - direction * &p.rate
    }
}
