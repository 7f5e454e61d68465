//! Stochastic gradient descent.

use wgrad_core::{F32, Graph, Init, Tensor, Var, Vars};

use crate::optimizer::{NOT_NEGATIVE, accepts, with_penalty};
use crate::{Optimizer, Rate};

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
/// assert_eq!(graph.recording().assigns.len(), 2); // the weight and its momentum buffer
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    rate: Rate,
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    weight_decay: f64,
}

impl Sgd {
    /// Plain gradient descent with a learning rate: a number or a [`Schedule`](crate::Schedule).
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { rate: rate.into(), momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
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

    /// The L2 penalty λ; 0 by default.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    #[track_caller]
    fn is_sound(&self, graph: &Graph) -> bool {
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            let Self { momentum, dampening, .. } = self;
            let message = format!(
                "Nesterov momentum needs a positive momentum and no dampening, got {momentum} and {dampening}"
            );
            graph.fail("Sgd", message);
            return false;
        }
        let settings = [
            ("momentum", self.momentum, NOT_NEGATIVE),
            ("dampening", self.dampening, f64::NEG_INFINITY..f64::INFINITY),
            ("weight decay", self.weight_decay, NOT_NEGATIVE),
        ];
        accepts(graph, "Sgd", &settings)
    }

    /// The undampened part of a gradient: 1 − τ, but 1 in the first step. `None` where it is always 1.
    #[track_caller]
    fn share(&self, graph: &Graph) -> Option<Tensor> {
        (self.dampening != 0.0).then(|| {
            let first = graph.var(&Var::step()).eq(0.0);
            first.select(&graph.scalar(1.0, F32), &graph.scalar(1.0 - self.dampening, F32))
        })
    }
}

impl Optimizer for Sgd {
    #[track_caller]
    fn update(&self, gradients: &[(Var, Tensor)], vars: &Vars) {
        let Some((_, first)) = gradients.first() else { return };
        let graph = first.graph();
        if !self.is_sound(graph) {
            return;
        }
        let rate = self.rate.now(graph);
        let share = self.share(graph);
        for (var, gradient) in gradients {
            let value = graph.var(var);
            let mut direction = with_penalty(gradient, &value, self.weight_decay);
            if self.momentum != 0.0 {
                let slot = vars.slot("sgd.momentum_buffer", var, Init::constant(0.0));
                let entering = share.as_ref().map_or(direction.clone(), |share| &direction * share);
                let buffer = graph.var(&slot) * self.momentum + entering;
                graph.assign(&slot, &buffer);
                direction = if self.nesterov { direction + buffer * self.momentum } else { buffer };
            }
            graph.assign(var, &(value - direction * &rate));
        }
    }
}
