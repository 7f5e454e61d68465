//! What all optimizers share: the trait, and the small steps that several of them take.

use std::ops::Range;

use wgrad_core::{Graph, Tensor, Var, Vars};

/// Records how parameters change in a training step.
///
/// An optimizer owns no values. Its moments are slot variables of the tree it is given, so one
/// optimizer may be recorded into several programs (another batch size, say) that share one state.
pub trait Optimizer {
    /// Records the updates for gradients that are already there (clipped, averaged, …). Slots are
    /// declared in `vars`.
    fn update(&self, gradients: &[(Var, Tensor)], vars: &Vars);

    /// Records the gradients of a scalar loss with respect to every trainable variable of `vars`, and
    /// the updates. A trainable variable that the loss does not reach is an error that names it.
    #[track_caller]
    fn minimize(&self, loss: &Tensor, vars: &Vars) {
        self.update(&loss.backward(vars), vars);
    }
}

/// A hyperparameter: its name, its value, and where the value must lie.
pub(crate) type Setting = (&'static str, f64, Range<f64>);

/// Zero or any positive number.
pub(crate) const NOT_NEGATIVE: Range<f64> = 0.0..f64::INFINITY;

/// A decay rate: at 1 nothing new would ever be learned.
pub(crate) const BELOW_ONE: Range<f64> = 0.0..1.0;

/// Whether every setting is in its range; the first that is not becomes an error of the graph.
#[track_caller]
pub(crate) fn accepts(graph: &Graph, optimizer: &str, settings: &[Setting]) -> bool {
    match settings.iter().find(|(_, value, range)| !range.contains(value)) {
        Some((name, value, range)) => {
            graph.fail(
                optimizer,
                format!("{name} is {value}, but must be in [{}, {})", range.start, range.end),
            );
            false
        }
        None => true,
    }
}

/// The gradient of the loss with an L2 penalty λ/2·‖w‖² added: g + λ·w.
#[track_caller]
pub(crate) fn with_penalty(gradient: &Tensor, value: &Tensor, weight_decay: f64) -> Tensor {
    if weight_decay == 0.0 { gradient.clone() } else { gradient + value * weight_decay }
}

/// The moving average β·a + (1 − β)·x.
#[track_caller]
pub(crate) fn moving_average(average: &Tensor, sample: &Tensor, beta: f64) -> Tensor {
    average * beta + sample * (1.0 - beta)
}
