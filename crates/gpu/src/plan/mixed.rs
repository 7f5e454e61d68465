//! Mixed precision, graph to graph: what products read and give is rounded to f16 and stored so; everything
//! else, sums of products included, stays f32 (Micikevicius et al., *Mixed Precision Training*, 2018).
//!
//! Variables keep their f32 values, of which products read a rounded copy. Gradients need no rule: they are
//! recorded before, and rounding passes them on as they are.

use wgrad_core::ops::{Custom, Offer, Reduce, ReduceKind};
use wgrad_core::{DType, Graph, Node, NodeId, Op, Recording, Tensor};

use super::store::is_placed;
use super::views::is_view;

/// The recording with its products in f16, and the new ids of the outputs. Nodes recorded in full precision
/// ([`Graph::full_precision`]) read what there was before rounding, and so do outputs, probes and variables.
pub fn mixed(recording: &Recording, outputs: &[NodeId]) -> (Recording, Vec<NodeId>) {
    let rounds = choose_rounded(recording);
    let graph = Graph::new(recording.mode);
    let mut copies: Vec<Copies> = Vec::with_capacity(recording.nodes.len());
    for (node, rounds) in recording.nodes.iter().zip(rounds) {
        let again = |reader: fn(&Copies) -> &Tensor| {
            let inputs: Vec<&Tensor> = node.inputs.iter().map(|id| reader(&copies[id.index()])).collect();
            graph.located(node.location, || graph.record(node.op.clone(), &inputs))
        };
        copies.push(if is_view(&node.op) {
            Copies {
                exact: again(|c| &c.exact),
                rounded: again(|c| &c.rounded),
                factor: again(|c| &c.factor),
            }
        } else {
            let exact = match &node.op {
                _ if node.full_precision => again(|c| &c.exact),
                Op::Contract(_) => again(|c| &c.factor),
                op if is_attention(op) => again(|c| &c.factor),
                _ => again(|c| &c.rounded),
            };
            let round = || graph.located(node.location, || exact.cast(DType::F16).cast(DType::F32));
            match rounds {
                Rounds::Never => Copies { rounded: exact.clone(), factor: exact.clone(), exact },
                Rounds::ForProducts => Copies { rounded: exact.clone(), factor: round(), exact },
                Rounds::ForAll => {
                    let rounded = round();
                    Copies { factor: rounded.clone(), rounded, exact }
                }
            }
        });
    }
    let exact = |id: &NodeId| copies[id.index()].exact.id();
    let mut result = recording.clone();
    result.nodes = graph.recording().nodes;
    result.errors = graph.recording().errors;
    result.assigns.iter_mut().for_each(|(_, id)| *id = exact(id));
    result.probes.iter_mut().for_each(|(_, id)| *id = exact(id));
    (result, outputs.iter().map(exact).collect())
}

/// A node's value as different readers see it.
#[derive(Clone)]
struct Copies {
    /// In full precision.
    exact: Tensor,
    /// As everything else.
    rounded: Tensor,
    /// As an operand of a product.
    factor: Tensor,
}

/// Who sees a value rounded.
#[derive(Clone, Copy, PartialEq)]
enum Rounds {
    Never,
    /// What lies in memory before the step stays what it is for others.
    ForProducts,
    /// One rounded value is stored for all.
    ForAll,
}

fn choose_rounded(recording: &Recording) -> Vec<Rounds> {
    let count = recording.nodes.len();
    let is_product = |node: &Node| !node.full_precision && matches!(node.op, Op::Contract(_));
    // Whether a product depends on a value: otherwise it is of the end of the step, a gradient to update by.
    let mut leads_on = vec![false; count];
    for (index, node) in recording.nodes.iter().enumerate().rev() {
        if leads_on[index] || is_product(node) {
            node.inputs.iter().for_each(|input| leads_on[input.index()] = true);
        }
    }
    let mut rounds = vec![Rounds::Never; count];
    for node in recording.nodes.iter().filter(|node| is_product(node)) {
        for &input in &node.inputs {
            let source = source(recording, input);
            let node = recording.node(source);
            rounds[source.index()] = match &node.op {
                Op::Scalar(_) | Op::Iota(_) => Rounds::Never,
                op if is_placed(op) => Rounds::ForProducts,
                _ => Rounds::ForAll,
            };
        }
    }
    let summed_later = unslid_products(recording);
    let scores = scores(recording);
    for (index, node) in recording.nodes.iter().enumerate() {
        let product = is_product(node) || !node.full_precision && is_attention(&node.op);
        let result = product && !summed_later[index] || is_sum_of_windows(recording, node);
        if result && leads_on[index] {
            rounds[index] = Rounds::ForAll;
        }
    }
    for ((slot, node), score) in rounds.iter_mut().zip(&recording.nodes).zip(scores) {
        if score || node.full_precision || node.spec.dtype != DType::F32 {
            *slot = Rounds::Never;
        }
    }
    rounds
}

fn is_attention(op: &Op) -> bool {
    matches!(op, Op::Custom(Custom { kernel: Some(Offer::Attention(_)), .. }))
}

/// What lies between the operands and the result of attention. A pass keeps it in registers, so it is not rounded.
fn scores(recording: &Recording) -> Vec<bool> {
    let mut inside = vec![false; recording.nodes.len()];
    for node in recording.nodes.iter().filter(|node| is_attention(&node.op)) {
        let (mut stack, operands) = (vec![node.inputs[0]], &node.inputs[1..]);
        while let Some(id) = stack.pop() {
            if !operands.contains(&id) && !inside[id.index()] {
                inside[id.index()] = true;
                stack.extend(&recording.node(id).inputs);
            }
        }
    }
    inside
}

/// The computed or placed node whose elements a view shows.
fn source(recording: &Recording, mut id: NodeId) -> NodeId {
    while is_view(&recording.node(id).op) {
        id = recording.node(id).inputs[0];
    }
    id
}

/// The gradient of a convolution's input sums the windows of a product, and is the result that counts.
fn is_sum_of_windows(recording: &Recording, node: &Node) -> bool {
    let is_sum = matches!(&node.op, Op::Reduce(Reduce { kind: ReduceKind::Sum, .. }));
    is_sum
        && matches!(&recording.node(node.inputs[0]).op, Op::Unslide(_))
        && matches!(recording.node(source(recording, node.inputs[0])).op, Op::Contract(_))
}

fn unslid_products(recording: &Recording) -> Vec<bool> {
    let mut unslid = vec![false; recording.nodes.len()];
    for node in recording.nodes.iter().filter(|node| matches!(node.op, Op::Unslide(_))) {
        unslid[source(recording, node.inputs[0]).index()] = true;
    }
    unslid
}
