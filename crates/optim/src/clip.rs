//! Gradient clipping: functions between `backward` and [`Optimizer::update`](crate::Optimizer::update).

use wgrad_core::{Tensor, Var};

/// √Σ‖g‖², the 2-norm over all gradients together (f32 scalar); `None` where there are none.
#[track_caller]
pub fn grad_norm(gradients: &[(Var, Tensor)]) -> Option<Tensor> {
    let squares = gradients.iter().map(|(_, gradient)| gradient.square().sum(..));
    squares.reduce(|sum, square| sum + square).map(|sum| sum.sqrt())
}

/// Scales all gradients by one factor so that their common 2-norm is at most `limit` (PyTorch's
/// `clip_grad_norm_`: the factor is min(1, limit / (norm + 10⁻⁶))).
///
/// ```
/// use wgrad_core::{F32, Graph, Init, Mode, Vars};
/// use wgrad_optim::{Adam, Optimizer, clip_grad_norm};
/// let (graph, vars) = (Graph::new(Mode::Train), Vars::new());
/// let weight = graph.var(&vars.var("weight", [3], Init::constant(1.0)));
/// let loss = (weight * graph.input("x", [3], F32)).sum(..);
/// let gradients = clip_grad_norm(&loss.backward(&vars), 1.0);
/// Adam::new(1e-3).update(&gradients, &vars);
/// assert!(graph.recording().check().is_ok());
/// ```
#[track_caller]
pub fn clip_grad_norm(gradients: &[(Var, Tensor)], limit: f64) -> Vec<(Var, Tensor)> {
    let Some(norm) = grad_norm(gradients) else { return vec![] };
    if limit <= 0.0 || limit.is_nan() {
        norm.fail("clip_grad_norm", format!("the limit is {limit}, but must be positive"));
        return gradients.to_vec();
    }
    let factor = (limit / (norm + 1e-6)).minimum(1.0);
    gradients.iter().map(|(var, gradient)| (var.clone(), gradient * &factor)).collect()
}

/// Cuts every element of every gradient off at ±`limit` (PyTorch's `clip_grad_value_`).
#[track_caller]
pub fn clip_grad_value(gradients: &[(Var, Tensor)], limit: f64) -> Vec<(Var, Tensor)> {
    let Some((_, first)) = gradients.first() else { return vec![] };
    if limit <= 0.0 || limit.is_nan() {
        first.fail("clip_grad_value", format!("the limit is {limit}, but must be positive"));
        return gradients.to_vec();
    }
    let cut = |gradient: &Tensor| gradient.maximum(-limit).minimum(limit);
    gradients.iter().map(|(var, gradient)| (var.clone(), cut(gradient))).collect()
}
