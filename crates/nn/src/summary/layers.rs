//! Which layer each node of a recording belongs to: the recording does not say it, but the names of parameters
//! do.

use wgrad_core::{Node, NodeId, Op, Recording, VarKind};

/// For each node the layer whose parameters it reads, as the prefix of their names; empty where it reads none.
pub(super) fn of(recording: &Recording) -> Vec<String> {
    let varies = varies(recording);
    let mut layers: Vec<String> = Vec::with_capacity(recording.nodes.len());
    for node in &recording.nodes {
        // What is computed from parameters alone belongs to what reads it.
        let fixed = node.inputs.iter().map(|input| input.index()).filter(|&input| !varies[input]);
        let read = fixed.map(|input| &layers[input]).find(|layer| !layer.is_empty());
        let layer = prefix(recording, node).or_else(|| read.map(String::as_str)).unwrap_or_default();
        layers.push(layer.into());
    }
    layers
}

/// Whether each node depends on an input or on random numbers.
pub(super) fn varies(recording: &Recording) -> Vec<bool> {
    let mut varies: Vec<bool> = Vec::with_capacity(recording.nodes.len());
    for node in &recording.nodes {
        let own = matches!(node.op, Op::Input(_) | Op::RandomBits(_));
        varies.push(own || node.inputs.iter().any(|input| varies[input.index()]));
    }
    varies
}

/// A layer's result from the last node that reads its parameters: the same values, as the layer lays them out
/// for others.
pub(super) fn result(recording: &Recording, mut id: NodeId) -> NodeId {
    loop {
        let next = NodeId(id.0 + 1);
        let lays_out = |node: &&Node| {
            matches!(node.op, Op::Reshape(_) | Op::Permute(_) | Op::Unslide(_))
                && node.inputs == [id]
                && node.location == recording.node(id).location
        };
        match recording.nodes.get(next.index()).filter(lays_out) {
            Some(_) => id = next,
            None => return id,
        }
    }
}

/// The layer that a node names, if it is a parameter.
fn prefix<'a>(recording: &'a Recording, node: &Node) -> Option<&'a str> {
    let Op::Variable(variable) = &node.op else { return None };
    let var = recording.variables.iter().find(|var| *var.name() == *variable.name)?;
    (*var.kind() == VarKind::Parameter).then(|| of_parameter(var.name()))
}

/// The layer that a parameter belongs to by its name; one at the root of the tree is a layer by itself.
pub(super) fn of_parameter(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(prefix, _)| prefix)
}
