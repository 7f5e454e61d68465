//! Stochastic gradient descent.

use wgrad_core::Tensor;

use crate::optimizer::{NOT_NEGATIVE, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Stochastic gradient descent with momentum (PyTorch's `SGD`; Sutskever et al., 2013):
///
/// g ← g + λ·w; b ← μ·b + (1 − τ)·g, in the very first step b ← g; w ← w − η·b, or with Nesterov
/// w ← w − η·(g + μ·b).
///
/// Momentum is sometimes written with one β, as v ← √β·v + √(1 − β)·g. That is momentum μ = √β with
/// dampening τ = 1 − √(1 − β), up to the first step, in which PyTorch dampens nothing:
///
/// ```
/// use wgrad_optim::Sgd;
/// let beta: f64 = 0.9;
/// let sgd = Sgd::new(0.01).momentum(beta.sqrt()).dampening(1.0 - (1.0 - beta).sqrt());
/// ```
///
/// A whole step:
///
/// ```
/// use wgrad_core::{Graph, Init, Mode, Vars};
/// use wgrad_optim::{Optimizer, Sgd};
/// let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
/// let weight = graph.var(&vars.var("weight", [3], Init::constant(1.0)));
/// Sgd::new(0.1).momentum(0.9).minimize(&weight.square().sum(..), &vars);
/// // The weight, its momentum buffer and the count of updates.
/// assert_eq!(graph.recording().assigns.len(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    settings: Settings,
    momentum: f64,
    dampening: f64,
    nesterov: bool,
}

impl Sgd {
    /// Plain gradient descent with a learning rate: a number or a [`Schedule`](crate::Schedule).
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { settings: Settings::new(rate), momentum: 0.0, dampening: 0.0, nesterov: false }
    }

    /// The momentum μ; 0 by default.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// The dampening τ of what enters the momentum; 0 by default.
    pub fn dampening(mut self, dampening: f64) -> Self {
        self.dampening = dampening;
        self
    }

    /// Nesterov's momentum; needs a momentum and no dampening.
    pub fn nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }

    /// What a gradient adds to the momentum: all of it in the first step, 1 − τ of it later.
    fn entering(&self, gradient: &Tensor, t: &Tensor) -> Tensor {
        if self.dampening == 0.0 {
            return gradient.clone();
        }
        // t is a whole number; the bar between two of them leaves no doubt however t is rounded.
        let share = t.lt(1.5).select(&t.ones_like(), &t.full_like(1.0 - self.dampening));
        gradient * share
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &'static str {
        "Sgd"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    fn check(&self) -> Result<(), String> {
        let Self { momentum, dampening, .. } = self;
        within("momentum", *momentum, NOT_NEGATIVE)?;
        within("dampening", *dampening, f64::NEG_INFINITY..f64::INFINITY)?;
        if self.nesterov && (*momentum == 0.0 || *dampening != 0.0) {
            return Err(format!(
                "Nesterov momentum needs a positive momentum and no dampening, got {momentum} and {dampening}"
            ));
        }
        Ok(())
    }

    fn rule(&self, p: &Parameter<'_>) -> Tensor {
        let mut direction = p.penalized();
        if self.momentum != 0.0 {
            let buffer = p.slot("sgd.momentum_buffer", 0.0, |buffer| {
                buffer * self.momentum + self.entering(&direction, &p.t)
            });
            direction = if self.nesterov { direction + buffer * self.momentum } else { buffer };
        }
        &p.value - direction * &p.rate
    }
}
