//! RMSProp.

use wgrad_core::{Init, Tensor, Var, Vars};

use crate::optimizer::{BELOW_ONE, NOT_NEGATIVE, accepts, moving_average, with_penalty};
use crate::{Optimizer, Rate};

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
    rate: Rate,
    alpha: f64,
    eps: f64,
    momentum: f64,
    centered: bool,
    weight_decay: f64,
}

impl RmsProp {
    /// α = 0.99, ε = 10⁻⁸, no momentum, not centered.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { rate: rate.into(), alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 }
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

    /// The L2 penalty λ.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// The new mean square (centered: variance) of a parameter's gradient.
    #[track_caller]
    fn spread(&self, gradient: &Tensor, var: &Var, vars: &Vars) -> Tensor {
        let graph = gradient.graph();
        let slot = vars.slot("rmsprop.square_avg", var, Init::constant(0.0));
        let square = moving_average(&graph.var(&slot), &gradient.square(), self.alpha);
        graph.assign(&slot, &square);
        if !self.centered {
            return square;
        }
        let slot = vars.slot("rmsprop.grad_avg", var, Init::constant(0.0));
        let mean = moving_average(&graph.var(&slot), gradient, self.alpha);
        graph.assign(&slot, &mean);
        // A variance is not negative, but the difference of two rounded numbers may be.
        (square - mean.square()).maximum(0.0)
    }
}

impl Optimizer for RmsProp {
    #[track_caller]
    fn update(&self, gradients: &[(Var, Tensor)], vars: &Vars) {
        let Some((_, first)) = gradients.first() else { return };
        let graph = first.graph();
        let settings = [
            ("alpha", self.alpha, BELOW_ONE),
            ("eps", self.eps, NOT_NEGATIVE),
            ("momentum", self.momentum, NOT_NEGATIVE),
            ("weight decay", self.weight_decay, NOT_NEGATIVE),
        ];
        if !accepts(graph, "RmsProp", &settings) {
            return;
        }
        let rate = self.rate.now(graph);
        for (var, gradient) in gradients {
            let value = graph.var(var);
            let gradient = with_penalty(gradient, &value, self.weight_decay);
            let mut direction = &gradient / (self.spread(&gradient, var, vars).sqrt() + self.eps);
            if self.momentum != 0.0 {
                let slot = vars.slot("rmsprop.momentum_buffer", var, Init::constant(0.0));
                direction = graph.var(&slot) * self.momentum + direction;
                graph.assign(&slot, &direction);
            }
            graph.assign(var, &(value - direction * &rate));
        }
    }
}
