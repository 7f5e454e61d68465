//! Gradients of several micro-batches, added up in the state: the update by their mean is the update of
//! the large batch that they make together.

use wgrad_core::{Graph, Init, Tensor, TensorSpec, U32, Var, Vars};

/// The slot that holds a parameter's sum.
const SUM: &str = "accumulated";

/// How many micro-batches are in the sums.
fn counter(vars: &Vars) -> Var {
    vars.shared_slot("optim.accumulated", TensorSpec::new(U32, []), Init::constant(0.0))
}

/// Records the addition of gradients to the sums.
pub(crate) fn add(gradients: &[(Var, Tensor)], vars: &Vars) {
    let Some((_, first)) = gradients.first() else { return };
    let graph = first.graph();
    for (var, gradient) in gradients {
        let slot = vars.slot(SUM, var, Init::constant(0.0));
        graph.assign(&slot, &(graph.var(&slot) + gradient));
    }
    let counter = counter(vars);
    graph.assign(&counter, &(graph.var(&counter) + 1.0));
}

/// The means of what was added, in a program that also starts the sums again.
pub(crate) fn take(graph: &Graph, vars: &Vars) -> Vec<(Var, Tensor)> {
    let slots = vars.all();
    let sum_of = |var: Var| {
        let name = format!("{}.{SUM}", var.name());
        slots.iter().find(|slot| slot.name() == name).map(|slot| (var, slot))
    };
    let sums: Vec<(Var, &Var)> = vars.trainable().into_iter().filter_map(sum_of).collect();
    if sums.is_empty() {
        let message = "no gradients are accumulated; record `accumulate` before `apply`";
        graph.fail("apply", message.into());
        return vec![];
    }
    let counter = counter(vars);
    let count = graph.var(&counter);
    graph.assign(&counter, &count.zeros_like());
    let share = count.cast(wgrad_core::F32).reciprocal();
    let mean = |(var, slot): (Var, &Var)| {
        let sum = graph.var(slot);
        graph.assign(slot, &sum.zeros_like());
        (var, sum * &share)
    };
    sums.into_iter().map(mean).collect()
}
