//! RAdam.

use wgrad_core::Tensor;

use crate::adam::moments;
use crate::optimizer::{NOT_NEGATIVE, betas_within, bias_correction, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Adam that divides by the second moment only as far as that is known: its variance in the first steps
/// is rectified (PyTorch's `RAdam`; Liu et al., 2020).
///
/// With m and v as in [`Adam`](crate::Adam), ρ∞ = 2/(1 − β₂) − 1 and ρₜ = ρ∞ − 2·t·β₂ᵗ/(1 − β₂ᵗ):
/// w ← w − η·m/(1 − β₁ᵗ)·r, where r = 1 up to ρₜ = 5, and above
/// r = √((ρₜ − 4)(ρₜ − 2)ρ∞/((ρ∞ − 4)(ρ∞ − 2)ρₜ))·√(1 − β₂ᵗ)/(√v + ε).
///
/// ```
/// use wgrad_optim::{Optimizer, RAdam};
/// let radam = RAdam::new(1e-3).weight_decay(1e-2).decoupled();
/// ```
#[derive(Clone, Debug)]
pub struct RAdam {
    settings: Settings,
    betas: (f64, f64),
    eps: f64,
    decoupled: bool,
}

impl RAdam {
    /// β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, weight decay as a penalty.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { settings: Settings::new(rate), betas: (0.9, 0.999), eps: 1e-8, decoupled: false }
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

    /// Weight decay apart from the gradient, as in [`AdamW`](crate::AdamW).
    pub fn decoupled(mut self) -> Self {
        self.decoupled = true;
        self
    }

    /// The factor on the corrected first moment, r.
    fn rectification(&self, second: &Tensor, t: &Tensor) -> Tensor {
        let limit = 2.0 / (1.0 - self.betas.1) - 1.0;
        if limit <= 5.0 {
            return t.ones_like();
        }
        let length = averaged_length(t, self.betas.1);
        let rectified = length.gt(5.0);
        let length = length.maximum(5.0);
        let ratio = (&length - 4.0) * (&length - 2.0) / length * (limit / ((limit - 4.0) * (limit - 2.0)));
        let scale = (ratio * bias_correction(t, self.betas.1)).sqrt();
        rectified.select(&(scale / (second.sqrt() + self.eps)), &second.ones_like())
    }
}

/// ρₜ, the number of steps that the second moment averages over. The formula subtracts numbers near ρ∞
/// from each other; with x = −t·ln β, ρₜ = ρ∞ + 2/ln β + t·(2/x − 2/(eˣ − 1)), where the first part is
/// one small number, and the bracket has a series in x (Bernoulli's numbers) while x is small.
fn averaged_length(t: &Tensor, beta: f64) -> Tensor {
    let constant = 2.0 / (1.0 - beta) - 1.0 + 2.0 / beta.ln();
    let x = t * -beta.ln();
    let small = x.minimum(1.0);
    let square = small.square();
    let series = (&square * (1.0 / 604_800.0) - 1.0 / 15_120.0) * &square + 1.0 / 360.0;
    let series = 1.0 - small * (1.0 / 6.0 - series * square);
    let large = x.maximum(1.0);
    let closed = 2.0 / &large - 2.0 / large.expm1();
    x.lt(1.0).select(&series, &closed) * t + constant
}

impl Optimizer for RAdam {
    fn name(&self) -> &'static str {
        "RAdam"
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
        let gradient = if self.decoupled { p.gradient.clone() } else { p.penalized() };
        let value = if self.decoupled { p.decayed() } else { p.value.clone() };
        let (first, second) = moments(p, "radam", &gradient, self.betas);
        let size = &p.rate / bias_correction(&p.t, self.betas.0);
        value - first * self.rectification(&second, &p.t) * size
    }
}
