//! Packs equal kernels over different tensors into one dispatch that looks up where each tensor lies: the
//! updates of all parameters by an optimizer, and the gradients and updates of layers that are built alike.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

use wgrad_core::{DType, Node, NodeId, Op, Recording, Shape};

use super::fuse::{Fused, merge};
use super::views::is_view;
use super::{Archetype, Kernel, Place, Plan, bytes_of};

/// Bytes of the largest tensor that is packed with others wherever they lie. A larger one keeps the device busy by itself; and
/// small ones are placed side by side, in the state and in the workspace, so that one binding reaches them all.
pub const SMALL: u64 = 256 << 10;

/// Bytes of all tensors of the reductions and contractions that share a dispatch: they wait for each other, while their
/// operands take up memory, and large ones keep the device busy by themselves.
const TOGETHER: u64 = 16 << 20;

/// Which kernels may share a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Packing {
    /// None: one binding does not even reach all small variables.
    None,
    /// Maps of small tensors.
    Maps,
    /// Maps of variables of any size, reductions and contractions too: one binding reaches the whole state.
    All,
}

/// What is computed by packed reductions and contractions whose tensors lie further apart in the workspace than
/// one binding reaches.
pub fn too_far_apart(plan: &Plan, reach: u64) -> Vec<NodeId> {
    let mut far = vec![];
    for kernels in plan.steps.iter().map(|step| &plan.kernels[step.clone()]).filter(|step| step.len() > 1) {
        let tensors = kernels.iter().flat_map(|kernel| kernel.loads.iter().chain(&kernel.stores));
        let (mut start, mut end) = (u64::MAX, 0);
        for id in tensors {
            if let Some(Place::Workspace { offset, bytes }) = &plan.places[id.index()] {
                (start, end) = (start.min(*offset), end.max(offset + bytes));
            }
        }
        let anchored = !matches!(kernels[0].archetype, Archetype::Map { .. });
        if anchored && end.saturating_sub(start) > reach {
            far.extend(kernels.iter().flat_map(|kernel| &kernel.nodes));
        }
    }
    far
}

/// For each kernel the group it runs with, named by its first kernel. `in_place` says which nodes are
/// written straight into variables.
pub fn pack(
    recording: &Recording,
    fused: &mut Fused,
    in_place: &[(NodeId, Arc<str>)],
    packing: Packing,
    alone: &HashSet<NodeId>,
) -> Vec<usize> {
    let mut group = vec![];
    let mut groups: HashMap<String, Vec<Group>> = HashMap::new();
    for kernel in 0..fused.kernels.len() {
        group.push(kernel);
        let needed = match fused.kernels[kernel].archetype {
            Archetype::Map { .. } => Packing::Maps,
            Archetype::Row { .. } | Archetype::Contract { .. } => Packing::All,
            Archetype::Attention { .. } | Archetype::Wgsl { .. } => continue,
        };
        let signature = match needed {
            _ if packing < needed => None,
            Packing::Maps => map_signature(recording, fused, kernel, in_place, packing == Packing::All),
            _ if fused.kernels[kernel].nodes.iter().any(|node| alone.contains(node)) => None,
            _ => full_signature(recording, &fused.kernels[kernel], in_place),
        };
        let Some(signature) = signature else { continue };
        let known = groups.entry(signature).or_default();
        let bytes = match needed {
            Packing::All => bytes_of_tensors(recording, &fused.kernels[kernel]),
            _ => 0,
        };
        // Kernels that depend on each other cannot share a dispatch.
        let depends = |a: usize, b: usize| fused.ancestors[a].contains(&b) || fused.ancestors[b].contains(&a);
        let takes = |group: &&mut Group| group.bytes + bytes <= TOGETHER && !depends(group.leader, kernel);
        match known.iter_mut().find(takes) {
            Some(Group { leader, bytes: all }) => {
                *all += bytes;
                group[kernel] = *leader;
                merge(&mut fused.ancestors, *leader, kernel);
            }
            None => known.push(Group { leader: kernel, bytes }),
        }
    }
    group
}

/// Kernels that share a dispatch: the first of them, and the bytes of the tensors of all.
struct Group {
    leader: usize,
    bytes: u64,
}

fn bytes_of_tensors(recording: &Recording, kernel: &Kernel) -> u64 {
    let bytes = |&id: &NodeId| {
        let spec = &recording.node(id).spec;
        bytes_of(spec.dtype, &spec.shape)
    };
    kernel.stores.iter().chain(&kernel.loads).map(bytes).sum()
}

/// What a map computes, if every tensor it touches is touched at the position itself or is one number:
/// equal for kernels that differ only in their tensors, their numbers and the streams that they draw from. `any_variable` says
/// that variables are of any size.
fn map_signature(
    recording: &Recording,
    fused: &mut Fused,
    kernel: usize,
    in_place: &[(NodeId, Arc<str>)],
    any_variable: bool,
) -> Option<String> {
    for node in fused.kernels[kernel].nodes.clone() {
        let trace = fused.traces[node.index()].as_mut()?;
        let reads: Vec<NodeId> = trace.reads().collect();
        for read in reads {
            let one = recording.node(read).spec.shape.numel() == 1 || trace.reads_one_place(read);
            if !one && !trace.reads_in_place(recording, read) {
                return None;
            }
        }
    }
    let this = &fused.kernels[kernel];
    let mut description = Description::of(recording, this, in_place);
    for &node in &this.stores {
        description.add(node, true)?;
        description.text.push(';');
    }
    // Tensors updated in place are bound once, for reading and writing, whichever of the stores reads them.
    for node in &this.stores {
        let reads_variable = |name: &str, load: &NodeId| match &recording.node(*load).op {
            Op::Variable(variable) => *variable.name == *name,
            _ => false,
        };
        match in_place.iter().find(|(id, _)| id == node) {
            Some((_, name)) => {
                let number = description.loads.iter().position(|load| reads_variable(name, load));
                let _ = write!(description.text, " -> variable {number:?};");
            }
            None => description.text.push_str(" -> workspace;"),
        }
    }
    let fits = |&id: &NodeId| {
        let spec = &recording.node(id).spec;
        let is_small = bytes_of(spec.dtype, &spec.shape) <= SMALL;
        spec.dtype.size() == 4 && (is_small || any_variable && is_in_state(recording, in_place, id))
    };
    this.stores.iter().chain(&this.loads).all(fits).then_some(description.text)
}

/// Everything that the text of a kernel follows from, shapes included: equal for kernels that differ only in
/// where their tensors lie.
fn full_signature(recording: &Recording, kernel: &Kernel, in_place: &[(NodeId, Arc<str>)]) -> Option<String> {
    let is_word = |id: &NodeId| recording.node(*id).spec.dtype.size() == 4;
    if !kernel.stores.iter().chain(&kernel.loads).all(is_word) {
        return None;
    }
    let variable = |id: NodeId| match &recording.node(id).op {
        Op::Variable(variable) => Some(&variable.name),
        _ => in_place.iter().find(|(known, _)| *known == id).map(|(_, name)| name),
    };
    let loads: HashSet<NodeId> = kernel.loads.iter().copied().collect();
    let (mut text, mut numbers, mut names) = (String::new(), HashMap::new(), vec![]);
    // Writing to a string cannot fail.
    for &node in &kernel.nodes {
        let mut stack = vec![(node, false)];
        while let Some((id, described)) = stack.pop() {
            let Node { op, inputs, spec, .. } = recording.node(id);
            if numbers.contains_key(&id) {
                continue;
            }
            if loads.contains(&id) {
                let _ = write!(text, "load {spec}");
            } else if !described {
                stack.push((id, true));
                stack.extend(inputs.iter().rev().map(|&input| (input, false)));
                continue;
            } else if matches!(op, Op::RandomBits(_) | Op::Custom(_)) {
                return None;
            } else {
                let inputs: Vec<usize> = inputs.iter().map(|input| numbers[input]).collect();
                let _ = write!(text, "{op:?} {spec} {inputs:?}");
            }
            if let Some(name) = variable(id).filter(|_| loads.contains(&id) || kernel.stores.contains(&id)) {
                // Values that share a place in the state are bound once.
                let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                    names.push(name);
                    names.len() - 1
                });
                let _ = write!(text, " in the state {place}");
            }
            text.push(';');
            numbers.insert(id, numbers.len());
        }
        let _ = write!(text, "= {} {};", numbers[&node], kernel.stores.contains(&node));
    }
    Some(format!("{:?} {text}", shape_of(&kernel.archetype)))
}

/// What lies in the state: variables, and new values of variables that are already there.
fn is_in_state(recording: &Recording, in_place: &[(NodeId, Arc<str>)], id: NodeId) -> bool {
    matches!(recording.node(id).op, Op::Variable(_)) || in_place.iter().any(|(known, _)| *known == id)
}

/// What a kernel iterates over, without the names of nodes.
fn shape_of(archetype: &Archetype) -> Option<(&Shape, &[usize])> {
    match archetype {
        Archetype::Row { shape, axes } => Some((shape, axes)),
        _ => None,
    }
}

/// What a map makes of which tensors and numbers, in an order that does not depend on their names.
struct Description<'a> {
    recording: &'a Recording,
    kernel: &'a Kernel,
    in_place: &'a [(NodeId, Arc<str>)],
    loads: Vec<NodeId>,
    numbers: Vec<NodeId>,
    text: String,
}

/// The numbers and random streams of a map in the order in which it uses them: in kernels of one signature, those at
/// the same position stand for each other.
pub fn numbers(recording: &Recording, kernel: &Kernel) -> Vec<NodeId> {
    let mut description = Description::of(recording, kernel, &[]);
    for &node in &kernel.stores {
        // What cannot be described was not packed.
        let _ = description.add(node, true);
    }
    description.numbers
}

impl<'a> Description<'a> {
    fn of(recording: &'a Recording, kernel: &'a Kernel, in_place: &'a [(NodeId, Arc<str>)]) -> Self {
        Self { recording, kernel, in_place, loads: vec![], numbers: vec![], text: String::new() }
    }

    /// Adds how a value is computed. `straight` says that its elements are used in their own order.
    fn add(&mut self, id: NodeId, straight: bool) -> Option<()> {
        let node = self.recording.node(id);
        // Writing to a string cannot fail.
        if self.kernel.loads.contains(&id) {
            let number = position(&mut self.loads, id);
            let kind = is_in_state(self.recording, self.in_place, id);
            let one = node.spec.shape.numel() == 1;
            let _ = write!(self.text, "({number} {} {kind} {one})", node.spec.dtype);
            return Some(());
        }
        if is_view(&node.op) {
            let straight = straight && matches!(node.op, Op::Reshape(_) | Op::Detach(_));
            // Views that add elements of their own are maps of another kind.
            let plain = matches!(node.op, Op::Reshape(_) | Op::Expand(_) | Op::Detach(_) | Op::Permute(_));
            return if plain { self.add(node.inputs[0], straight) } else { None };
        }
        let name = match &node.op {
            // The packed kernel's buffers are 32-bit words.
            _ if node.spec.dtype == DType::F16 => return None,
            Op::Iota(_) | Op::Gather(_) | Op::Concat(_) => return None,
            Op::RandomBits(_) if !straight => return None,
            Op::Scalar(_) if node.spec.dtype != DType::Bool => {
                format!("number {}", position(&mut self.numbers, id))
            }
            Op::RandomBits(_) => format!("random {}", position(&mut self.numbers, id)),
            op => format!("{op:?}"),
        };
        let _ = write!(self.text, "[{name} {}", node.spec.dtype);
        for &input in &node.inputs {
            self.add(input, straight)?;
        }
        self.text.push(']');
        Some(())
    }
}

/// The position of a node among those seen so far.
fn position(seen: &mut Vec<NodeId>, id: NodeId) -> usize {
    seen.iter().position(|known| *known == id).unwrap_or_else(|| {
        seen.push(id);
        seen.len() - 1
    })
}
