//! Orders kernels, and decides which variables are updated in place.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use wgrad_core::{NodeId, Op, Recording};

use super::Kernel;
use super::fuse::{Fused, add_edge};
use super::pack::{Packing, pack};
use super::store::reads_all_over;

/// Kernels in order of execution and how variables get their new values.
pub struct Schedule {
    /// Kernels in order.
    pub kernels: Vec<Kernel>,
    /// The kernels of each dispatch.
    pub steps: Vec<Range<usize>>,
    /// Nodes written straight into a variable.
    pub in_place: Vec<(NodeId, Arc<str>)>,
    /// Nodes copied into a variable when the step ends.
    pub copies: Vec<(NodeId, Arc<str>)>,
}

/// Orders the kernels of a fused recording, equal ones packed together where asked, but for those that compute
/// the nodes of `alone`.
pub fn schedule(
    recording: &Recording,
    mut fused: Fused,
    packing: Packing,
    alone: &HashSet<NodeId>,
) -> Schedule {
    let (mut in_place, mut copies) = (vec![], vec![]);
    for (var, node) in &recording.assigns {
        let name: Arc<str> = var.name().into();
        if update_in_place(recording, &mut fused, &name, *node) {
            in_place.push((*node, name));
        } else {
            copies.push((*node, name));
        }
    }
    let groups = pack(recording, &mut fused, &in_place, packing, alone);
    let (kernels, steps) = in_order(&fused, &groups);
    Schedule { kernels, steps, in_place, copies }
}

/// Whether the kernel of `node` may write into the variable: every other kernel that reads the old value
/// can run before it, and it reads the old value only where it writes.
fn update_in_place(recording: &Recording, fused: &mut Fused, name: &str, node: NodeId) -> bool {
    let Some(writer) = fused.owner[node.index()] else { return false };
    let reads_variable = |id: NodeId| match &recording.node(id).op {
        Op::Variable(variable) => *variable.name == *name,
        _ => false,
    };
    let mut readers = vec![];
    for kernel in 0..fused.kernels.len() {
        let reads: Vec<NodeId> =
            fused.kernels[kernel].loads.iter().copied().filter(|&id| reads_variable(id)).collect();
        if reads.is_empty() {
            continue;
        }
        if kernel != writer {
            readers.push(kernel);
            continue;
        }
        for &member in &fused.kernels[writer].nodes.clone() {
            // A contraction reads its operands all over, whatever shares its kernel, and so may a user's kernel.
            let op = &recording.node(member).op;
            let everywhere = reads_all_over(op);
            let Some(trace) = fused.traces[member.index()].as_mut() else { return false };
            for &read in &reads {
                let touches = trace.reads().any(|id| id == read);
                if touches && (everywhere || !trace.reads_in_place(recording, read)) {
                    return false;
                }
            }
        }
    }
    if readers.iter().any(|reader| fused.ancestors[*reader].contains(&writer)) {
        return false;
    }
    readers.into_iter().for_each(|reader| add_edge(&mut fused.ancestors, reader, writer));
    true
}

/// Among the groups whose predecessors have run, the one recorded first goes first, and what it needs before it: an
/// optimizer counts its steps after all gradients are recorded, and their kernels, which update weights too, should not
/// wait with their operands until then.
fn in_order(fused: &Fused, groups: &[usize]) -> (Vec<Kernel>, Vec<Range<usize>>) {
    let members = |leader: usize| (0..groups.len()).filter(move |&kernel| groups[kernel] == leader);
    let rank = |leader: usize| members(leader).filter_map(|k| fused.kernels[k].nodes.first().copied()).max();
    let own: Vec<Option<NodeId>> = (0..groups.len()).map(rank).collect();
    let mut ranks = own.clone();
    for (kernel, &leader) in groups.iter().enumerate() {
        for &ancestor in &fused.ancestors[kernel] {
            let before = &mut ranks[groups[ancestor]];
            *before = own[leader].min(*before);
        }
    }
    let leaders = (0..groups.len()).filter(|&kernel| groups[kernel] == kernel);
    let mut waiting: BTreeSet<(Option<NodeId>, usize)> =
        leaders.map(|leader| (ranks[leader], leader)).collect();
    let mut done: HashSet<usize> = HashSet::new();
    let (mut kernels, mut steps) = (vec![], vec![]);
    let ready = |done: &HashSet<usize>, leader: usize| {
        members(leader).all(|kernel| {
            fused.ancestors[kernel]
                .iter()
                .all(|&ancestor| done.contains(&ancestor) || groups[ancestor] == leader)
        })
    };
    while let Some(&next) = waiting.iter().find(|(_, leader)| ready(&done, *leader)) {
        waiting.remove(&next);
        let start = kernels.len();
        for kernel in members(next.1) {
            done.insert(kernel);
            kernels.push(fused.kernels[kernel].clone());
        }
        steps.push(start..kernels.len());
    }
    debug_assert!(waiting.is_empty(), "kernels depend on each other in a circle");
    (kernels, steps)
}
