//! Adadelta.

use wgrad_core::Tensor;

use crate::optimizer::{BELOW_ONE, NOT_NEGATIVE, moving_average, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Steps in the parameter's own units: the gradient times the ratio of two moving root mean squares, of
/// past steps and of gradients (PyTorch's `Adadelta`; Zeiler, 2012):
///
/// g ← g + λ·w; s ← ρ·s + (1 − ρ)·g²; d = √(u + ε)/√(s + ε)·g; u ← ρ·u + (1 − ρ)·d²; w ← w − η·d.
///
/// ```
/// use wgrad_optim::Adadelta;
/// let adadelta = Adadelta::new(1.0).rho(0.95);
/// ```
#[derive(Clone, Debug)]
pub struct Adadelta {
    settings: Settings,
    rho: f64,
    eps: f64,
}

impl Adadelta {
    /// ρ = 0.9, ε = 10⁻⁶. The method's own learning rate is 1.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { settings: Settings::new(rate), rho: 0.9, eps: 1e-6 }
    }

    /// How much of the moving averages stays in a step, ρ.
    pub fn rho(mut self, rho: f64) -> Self {
        self.rho = rho;
        self
    }

    /// The term ε added inside of the roots.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

impl Optimizer for Adadelta {
    fn name(&self) -> &'static str {
        "Adadelta"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    fn check(&self) -> Result<(), String> {
        within("rho", self.rho, BELOW_ONE)?;
        within("eps", self.eps, NOT_NEGATIVE)
    }

    fn rule(&self, p: &Parameter<'_>) -> Tensor {
        let gradient = p.penalized();
        let square = p.slot("adadelta.square_avg", 0.0, |average| {
            moving_average(average, &gradient.square(), self.rho)
        });
        let steps = p.remembered("adadelta.acc_delta", 0.0);
        let delta = (steps + self.eps).sqrt() / (square + self.eps).sqrt() * gradient;
        p.slot("adadelta.acc_delta", 0.0, |average| moving_average(average, &delta.square(), self.rho));
        &p.value - delta * &p.rate
    }
}
