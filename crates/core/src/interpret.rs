//! The reference: evaluates any graph in f64 on the CPU, node by node. The oracle of every test.

use std::collections::HashMap;

use crate::ops::{Input, Variable};
use crate::{Array, NodeId, Op, Recording};

/// Values for inputs and variables, by name.
pub type Environment = HashMap<String, Array>;

/// Evaluates every node. Inputs and variables that the environment lacks read as zero.
pub fn evaluate(recording: &Recording, environment: &Environment) -> Vec<Array> {
    evaluate_with(recording, environment, |_, _| {})
}

/// Evaluates every node and lets `observe` change each value before its users see it: tests inject
/// rounding errors there to learn how sensitive a graph is.
pub fn evaluate_with(
    recording: &Recording,
    environment: &Environment,
    mut observe: impl FnMut(NodeId, &mut Array),
) -> Vec<Array> {
    let mut values: Vec<Array> = Vec::with_capacity(recording.nodes.len());
    for (index, node) in recording.nodes.iter().enumerate() {
        let given = match &node.op {
            Op::Input(Input { name, .. }) | Op::Variable(Variable { name, .. }) => {
                environment.get(&**name).cloned()
            }
            _ => None,
        };
        let mut value = given.unwrap_or_else(|| {
            let inputs: Vec<&Array> = node.inputs.iter().map(|input| &values[input.index()]).collect();
            node.op.primitive().evaluate(&inputs, &node.spec)
        });
        debug_assert_eq!(value.spec, node.spec, "{} has the wrong spec", node.op.name());
        observe(NodeId(index as u32), &mut value);
        values.push(value);
    }
    values
}

/// Evaluates one step: the named nodes' values, with the environment's variables assigned afterwards.
pub fn step(recording: &Recording, environment: &mut Environment, outputs: &[NodeId]) -> Vec<Array> {
    let values = evaluate(recording, environment);
    for (var, id) in &recording.assigns {
        environment.insert(var.name().to_string(), values[id.index()].clone());
    }
    outputs.iter().map(|id| values[id.index()].clone()).collect()
}
