//! Packs equal maps over different tensors into one dispatch: the updates of all parameters by an optimizer
//! become one kernel that looks up where each tensor lies.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use wgrad_core::{DType, NodeId, Op, Recording};

use super::fuse::{Fused, merge};
use super::views::is_view;
use super::{Archetype, bytes_of};

/// Bytes of the largest tensor that is packed with others. A larger one keeps the device busy by itself; and
/// small ones are placed side by side, in the state and in the workspace, so that one binding reaches them all.
pub const SMALL: u64 = 256 << 10;

/// For each kernel the group it runs with, named by its first kernel. `in_place` says which nodes are
/// written straight into variables.
pub fn pack(recording: &Recording, fused: &mut Fused, in_place: &[(NodeId, Arc<str>)]) -> Vec<usize> {
    let mut group = vec![];
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for kernel in 0..fused.kernels.len() {
        group.push(kernel);
        let Some(signature) = signature(recording, fused, kernel, in_place) else { continue };
        let leaders = groups.entry(signature).or_default();
        // Kernels that depend on each other cannot share a dispatch.
        let depends = |a: usize, b: usize| fused.ancestors[a].contains(&b) || fused.ancestors[b].contains(&a);
        match leaders.iter().copied().find(|&leader| !depends(leader, kernel)) {
            Some(leader) => {
                group[kernel] = leader;
                merge(&mut fused.ancestors, leader, kernel);
            }
            None => leaders.push(kernel),
        }
    }
    group
}

/// What a map computes, if every tensor it touches is touched at the position itself or is one number:
/// equal for kernels that differ only in their tensors.
fn signature(
    recording: &Recording,
    fused: &mut Fused,
    kernel: usize,
    in_place: &[(NodeId, Arc<str>)],
) -> Option<String> {
    if !matches!(fused.kernels[kernel].archetype, Archetype::Map { .. }) {
        return None;
    }
    let mut loads: Vec<NodeId> = vec![];
    let mut text = String::new();
    for node in fused.kernels[kernel].nodes.clone() {
        let reads: Vec<NodeId> = fused.traces[node.index()].as_ref()?.reads().collect();
        for read in reads {
            let one = recording.node(read).spec.shape.numel() == 1;
            if !one && !fused.traces[node.index()].as_mut()?.reads_in_place(recording, read) {
                return None;
            }
        }
    }
    let this = &fused.kernels[kernel];
    for &node in &this.stores {
        describe(recording, &this.loads, in_place, node, &mut loads, &mut text)?;
        let reads_variable = |name: &str, load: &NodeId| match &recording.node(*load).op {
            Op::Variable(variable) => *variable.name == *name,
            _ => false,
        };
        // Tensors updated in place are bound once, for reading and writing.
        match in_place.iter().find(|(id, _)| *id == node) {
            Some((_, name)) => {
                let number = loads.iter().position(|load| reads_variable(name, load));
                let _ = write!(text, " -> variable {number:?};");
            }
            None => text.push_str(" -> workspace;"),
        }
    }
    let fits = |id: &NodeId| {
        let spec = &recording.node(*id).spec;
        spec.dtype.size() == 4 && bytes_of(spec.dtype, &spec.shape) <= SMALL
    };
    this.stores.iter().chain(&this.loads).all(fits).then_some(text)
}

fn describe(
    recording: &Recording,
    stored: &[NodeId],
    in_place: &[(NodeId, Arc<str>)],
    id: NodeId,
    loads: &mut Vec<NodeId>,
    text: &mut String,
) -> Option<()> {
    let node = recording.node(id);
    if stored.contains(&id) {
        let number = loads.iter().position(|load| *load == id).unwrap_or_else(|| {
            loads.push(id);
            loads.len() - 1
        });
        // What lies in the state: variables, and new values of variables that are already there.
        let kind = matches!(node.op, Op::Variable(_)) || in_place.iter().any(|(known, _)| *known == id);
        let one = node.spec.shape.numel() == 1;
        // Writing to a string cannot fail.
        let _ = write!(text, "({number} {} {kind} {one})", node.spec.dtype);
        return Some(());
    }
    if is_view(&node.op) {
        // Views that add elements of their own are maps of another kind.
        let plain = matches!(node.op, Op::Reshape(_) | Op::Expand(_) | Op::Detach(_) | Op::Permute(_));
        return if plain { describe(recording, stored, in_place, node.inputs[0], loads, text) } else { None };
    }
    // The packed kernel's buffers are 32-bit words.
    if node.spec.dtype == DType::F16
        || matches!(node.op, Op::Iota(_) | Op::RandomBits(_) | Op::Gather(_) | Op::Concat(_))
    {
        return None;
    }
    let _ = write!(text, "[{:?} {}", node.op, node.spec.dtype);
    for &input in &node.inputs {
        describe(recording, stored, in_place, input, loads, text)?;
    }
    text.push(']');
    Some(())
}
