//! The frame around every optimizer's rule: groups, clipping, the check for finite gradients, averages,
//! and the count of updates.

use wgrad_core::{F32, Graph, Init, Shape, Tensor, TensorSpec, U32, Var, Vars};

use crate::settings::Effective;
use crate::{Optimizer, clip_grad_norm, clip_grad_value};

/// One parameter in one update: what an [`Optimizer::rule`] works with.
pub struct Parameter<'a> {
    /// The parameter.
    pub var: &'a Var,
    /// Its value.
    pub value: Tensor,
    /// The gradient to descend by, clipped.
    pub gradient: Tensor,
    /// The learning rate η (f32 scalar).
    pub rate: Tensor,
    /// The weight decay λ.
    pub weight_decay: f64,
    /// The number of this update among the parameter's own (f32 scalar), 1 for the first.
    pub t: Tensor,
    recorder: &'a Recorder<'a>,
}

impl Parameter<'_> {
    /// The gradient of the loss with an L2 penalty λ/2·‖w‖² added: g + λ·w.
    pub fn penalized(&self) -> Tensor {
        match self.weight_decay {
            0.0 => self.gradient.clone(),
            decay => &self.gradient + &self.value * decay,
        }
    }

    /// The value after decoupled weight decay: (1 − η·λ)·w.
    pub fn decayed(&self) -> Tensor {
        match self.weight_decay {
            0.0 => self.value.clone(),
            decay => &self.value * (1.0 - &self.rate * decay),
        }
    }

    /// Something to remember until the next update, in the parameter's shape: `next` makes the new value
    /// of the old one, which is `initial` at first. Returns the new value.
    pub fn slot(&self, name: &str, initial: f64, next: impl FnOnce(&Tensor) -> Tensor) -> Tensor {
        self.slot_of(name, self.var.shape(), initial, next)
    }

    /// What a [`Parameter::slot`] holds before this update.
    pub fn remembered(&self, name: &str, initial: f64) -> Tensor {
        self.recorder.graph.var(&self.recorder.vars.slot(name, self.var, Init::constant(initial)))
    }

    /// A [`Parameter::slot`] of another shape.
    pub fn slot_of(
        &self,
        name: &str,
        shape: impl Into<Shape>,
        initial: f64,
        next: impl FnOnce(&Tensor) -> Tensor,
    ) -> Tensor {
        let spec = TensorSpec::new(F32, shape);
        let slot = self.recorder.vars.slot_of(name, self.var, spec, Init::constant(initial));
        let old = self.recorder.graph.var(&slot);
        let new = next(&old);
        self.recorder.assign(&slot, &old, &new);
        new
    }
}

/// Where updates are recorded, and whether they count.
struct Recorder<'a> {
    graph: &'a Graph,
    vars: &'a Vars,
    /// Bool scalar: false leaves everything as it is. `None` is always true.
    applies: Option<Tensor>,
}

impl Recorder<'_> {
    /// Assigns, if the update applies; returns the value that the variable then has.
    fn assign(&self, var: &Var, old: &Tensor, new: &Tensor) -> Tensor {
        let new = match &self.applies {
            Some(applies) => applies.select(new, old),
            None => new.clone(),
        };
        self.graph.assign(var, &new);
        new
    }
}

/// The number of updates that a tree has seen: a u32 scalar, `optim.step`.
pub(crate) fn counter(vars: &Vars) -> Var {
    vars.shared_slot("optim.step", TensorSpec::new(U32, []), Init::constant(0.0))
}

/// The slot of a parameter that holds the update, counted from 0, in which it begins to train: a u32 scalar.
/// Where it is declared before the optimizer records, bias corrections count from there. A parameter that
/// is unfrozen in the middle of a training needs it: its moments are zero then, whatever the others' are.
///
/// ```
/// use wgrad_core::{Init, Vars};
/// let vars = Vars::new();
/// let weight = vars.var("weight", [3], Init::constant(0.0));
/// assert_eq!(wgrad_optim::first_update(&vars, &weight).name(), "weight.first_update");
/// ```
pub fn first_update(vars: &Vars, parameter: &Var) -> Var {
    vars.slot_of(FIRST, parameter, TensorSpec::new(U32, []), Init::constant(0.0))
}

const FIRST: &str = "first_update";

/// Records the update of every parameter that has a gradient.
pub(crate) fn record<O: Optimizer + ?Sized>(optimizer: &O, gradients: &[(Var, Tensor)], vars: &Vars) {
    let Some((_, first)) = gradients.first() else { return };
    let (graph, settings) = (first.graph(), optimizer.settings());
    let sound = optimizer.check().and_then(|()| settings.check()).and_then(|()| settings.members(vars));
    let members = match sound {
        Ok(members) => members,
        Err(message) => return drop(graph.fail(optimizer.name(), message)),
    };
    let (plans, gradients): (Vec<Effective<'_>>, Vec<(Var, Tensor)>) = gradients
        .iter()
        .map(|(var, gradient)| (settings.of(var, &members), (var.clone(), gradient.clone())))
        .filter(|(plan, _)| !plan.frozen)
        .unzip();
    if gradients.is_empty() {
        return;
    }

    let applies = settings.loss_scale.as_ref().map(|scale| scale.judge(graph, &gradients, vars));
    let gradients = clipped(optimizer, gradients);
    let recorder = Recorder { graph, vars, applies };
    let counter = counter(vars);
    let count = graph.var(&counter);
    let slots = vars.all();
    let updates_of = |var: &Var| {
        let name = format!("{}.{FIRST}", var.name());
        let first = slots.iter().find(|slot| slot.name() == name);
        first.map_or(count.clone(), |first| &count - graph.var(first))
    };
    let mut updated = Vec::with_capacity(gradients.len());
    for (plan, (var, gradient)) in plans.iter().zip(&gradients) {
        let value = graph.var(var);
        let parameter = Parameter {
            var,
            value: value.clone(),
            gradient: if plan.maximize { -gradient } else { gradient.clone() },
            rate: rate(plan, &count),
            weight_decay: plan.weight_decay,
            t: updates_of(var).cast(F32) + 1.0,
            recorder: &recorder,
        };
        let new = match plan.optimizer {
            Some(other) => other.rule(&parameter),
            None => optimizer.rule(&parameter),
        };
        updated.push((var, recorder.assign(var, &value, &new)));
    }
    if let Some(averaging) = &settings.averaging {
        averaging.record(&updated, &count, recorder.applies.as_ref(), vars);
    }
    // Two optimizers that share a tree make one update together.
    let counted = graph.recording().assigns.iter().any(|(var, _)| var.name() == counter.name());
    if !counted {
        recorder.assign(&counter, &count, &(&count + 1.0));
    }
}

fn rate(plan: &Effective<'_>, count: &Tensor) -> Tensor {
    let rate = plan.rate.0.rate(count);
    if plan.rate_factor == 1.0 { rate } else { rate * plan.rate_factor }
}

fn clipped<O: Optimizer + ?Sized>(optimizer: &O, mut gradients: Vec<(Var, Tensor)>) -> Vec<(Var, Tensor)> {
    let settings = optimizer.settings();
    if let Some(limit) = settings.clip_value {
        gradients = clip_grad_value(&gradients, limit);
    }
    if let Some(limit) = settings.clip_norm {
        gradients = clip_grad_norm(&gradients, limit);
    }
    gradients
}
