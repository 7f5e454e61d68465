//! RMSProp.

use wgrad_core::Tensor;

use crate::optimizer::{BELOW_ONE, NOT_NEGATIVE, moving_average, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Steps divided by a moving root mean square of the gradient, per element (PyTorch's `RMSprop`;
/// Hinton's lecture 6e, 2012; centered: Graves, 2013):
///
/// g ← g + λ·w; s ← α·s + (1 − α)·g²; d = √s + ε, centered a ← α·a + (1 − α)·g and d = √(s − a²) + ε;
/// w ← w − η·g/d, with momentum b ← μ·b + g/d and w ← w − η·b.
///
/// ```
/// use wgrad_optim::RmsProp;
/// let rmsprop = RmsProp::new(1e-3).alpha(0.9).momentum(0.9).centered();
/// ```
#[derive(Clone, Debug)]
pub struct RmsProp {
    settings: Settings,
    alpha: f64,
    eps: f64,
    momentum: f64,
    centered: bool,
}

impl RmsProp {
    /// α = 0.99, ε = 10⁻⁸, no momentum, not centered.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { settings: Settings::new(rate), alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false }
    }

    /// How much of the moving averages stays in a step, α.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// The term ε added outside of the root.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// The momentum μ of the scaled gradients.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Divides by the standard deviation of the gradient instead of its root mean square.
    pub fn centered(mut self) -> Self {
        self.centered = true;
        self
    }

    /// The new mean square (centered: variance) of a parameter's gradient.
    fn spread(&self, gradient: &Tensor, p: &Parameter<'_>) -> Tensor {
        let average = |slot: &str, sample: &Tensor| {
            p.slot(slot, 0.0, |average| moving_average(average, sample, self.alpha))
        };
        let square = average("rmsprop.square_avg", &gradient.square());
        if !self.centered {
            return square;
        }
        // A variance is not negative, but the difference of two rounded numbers may be.
        (square - average("rmsprop.grad_avg", gradient).square()).maximum(0.0)
    }
}

impl Optimizer for RmsProp {
    fn name(&self) -> &'static str {
        "RmsProp"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    fn check(&self) -> Result<(), String> {
        within("alpha", self.alpha, BELOW_ONE)?;
        within("eps", self.eps, NOT_NEGATIVE)?;
        within("momentum", self.momentum, NOT_NEGATIVE)
    }

    fn rule(&self, p: &Parameter<'_>) -> Tensor {
        let gradient = p.penalized();
        let mut direction = &gradient / (self.spread(&gradient, p).sqrt() + self.eps);
        if self.momentum != 0.0 {
            direction = p.slot("rmsprop.momentum_buffer", 0.0, |buffer| buffer * self.momentum + direction);
        }
        &p.value - direction * &p.rate
    }
}
