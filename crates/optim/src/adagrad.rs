//! Adagrad.

use wgrad_core::Tensor;

use crate::optimizer::{NOT_NEGATIVE, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Steps divided by the root of the sum of all squared gradients so far, per element (PyTorch's
/// `Adagrad`; Duchi, Hazan and Singer, 2011):
///
/// g ← g + λ·w; s ← s + g²; w ← w − η/(1 + (t − 1)·δ)·g/(√s + ε), where t is 1 in the first step.
///
/// ```
/// use wgrad_optim::Adagrad;
/// let adagrad = Adagrad::new(0.01).rate_decay(1e-4).initial_accumulator(0.1);
/// ```
#[derive(Clone, Debug)]
pub struct Adagrad {
    settings: Settings,
    rate_decay: f64,
    eps: f64,
    initial_accumulator: f64,
}

impl Adagrad {
    /// δ = 0, ε = 10⁻¹⁰, sums start at 0.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { settings: Settings::new(rate), rate_decay: 0.0, eps: 1e-10, initial_accumulator: 0.0 }
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
}

impl Optimizer for Adagrad {
    fn name(&self) -> &'static str {
        "Adagrad"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    fn check(&self) -> Result<(), String> {
        within("rate decay", self.rate_decay, NOT_NEGATIVE)?;
        within("eps", self.eps, NOT_NEGATIVE)?;
        within("initial accumulator", self.initial_accumulator, NOT_NEGATIVE)
    }

    fn rule(&self, p: &Parameter<'_>) -> Tensor {
        let gradient = p.penalized();
        let sum = p.slot("adagrad.sum", self.initial_accumulator, |sum| sum + gradient.square());
        let rate = match self.rate_decay {
            0.0 => p.rate.clone(),
            decay => &p.rate / ((&p.t - 1.0) * decay + 1.0),
        };
        &p.value - gradient / (sum.sqrt() + self.eps) * rate
    }
}
