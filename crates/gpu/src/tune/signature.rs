//! What a kernel is as far as its shape is concerned: sizes, how operands are read, and how much is done besides. Kernels
//! of one signature share a choice; the signature is readable and does not depend on where anything lies in memory.

use wgrad_core::ops::Contract;
use wgrad_core::{NodeId, Op, Shape};

use crate::plan::{Archetype, Kernel, Plan};

/// How deep the expression of an operand is written out.
const DEPTH: usize = 4;

/// The signature of a kernel that has anything to choose.
pub(crate) fn of(plan: &Plan, kernel: &Kernel) -> Option<String> {
    let nodes = &plan.recording;
    let around = format!("{}n {}l {}s", kernel.nodes.len(), kernel.loads.len(), kernel.stores.len());
    let dtype = nodes.node(*kernel.stores.first()?).spec.dtype;
    match &kernel.archetype {
        Archetype::Map { numel } => Some(format!("map {dtype} {numel} {around}")),
        Archetype::Row { shape, axes } => {
            Some(format!("row {dtype} {} along {axes:?} {around}", extents(shape)))
        }
        Archetype::Contract { node } => {
            let contraction = nodes.node(*node);
            let Op::Contract(op) = &contraction.op else { return None };
            let [a, b] = contraction.inputs[..] else { return None };
            let equation = equation(op, &nodes.node(a).spec.shape, &nodes.node(b).spec.shape);
            let read = |id| reads(plan, kernel, id, DEPTH);
            Some(format!("contract {} {equation} {} {} {around}", contraction.spec.dtype, read(a), read(b)))
        }
        Archetype::Attention { node } => {
            let attention = nodes.node(*node);
            let read = |&id: &NodeId| reads(plan, kernel, id, DEPTH);
            let operands: Vec<String> = attention.inputs.iter().map(read).collect();
            Some(format!("{} {:?} {}", attention.op.name(), attention.op, operands.join(" ")))
        }
        Archetype::Wgsl { .. } => None,
    }
}

/// The contraction with letters for labels, as in einsum, and their extents.
fn equation(op: &Contract, a: &Shape, b: &Shape) -> String {
    let mut labels: Vec<(u8, usize)> = vec![];
    let operands = [(&op.a, a), (&op.b, b)];
    for (&label, &extent) in operands.iter().flat_map(|(labels, shape)| labels.iter().zip(shape.iter())) {
        if !labels.iter().any(|(known, _)| *known == label) {
            labels.push((label, extent));
        }
    }
    let letter = |label: &u8| {
        let at = labels.iter().position(|(known, _)| known == label).unwrap_or(0);
        char::from(b'a' + (at % 26) as u8)
    };
    let word = |labels: &[u8]| labels.iter().map(letter).collect::<String>();
    let sizes: Vec<String> =
        labels.iter().map(|(label, extent)| format!("{}{extent}", letter(label))).collect();
    format!("{},{}->{} {}", word(&op.a), word(&op.b), word(&op.out), sizes.join(" "))
}

/// The expression by which a value is read from memory.
fn reads(plan: &Plan, kernel: &Kernel, id: NodeId, depth: usize) -> String {
    let node = plan.recording.node(id);
    if kernel.loads.contains(&id) {
        return extents(&node.spec.shape);
    }
    if depth == 0 {
        return "…".into();
    }
    let inputs: Vec<String> =
        node.inputs.iter().map(|&input| reads(plan, kernel, input, depth - 1)).collect();
    format!("{}({})", node.op.name(), inputs.join(","))
}

fn extents(shape: &Shape) -> String {
    let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("[{}]", extents.join(","))
}
