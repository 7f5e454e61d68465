//! Decides which values are stored.
//!
//! Whatever is not stored is recomputed where it is needed, so every choice here is correct; the
//! choices only decide how many bytes move and how many kernels run.

use std::collections::HashSet;

use wgrad_core::ops::{BinaryKind, ReduceKind, UnaryKind};
use wgrad_core::{DType, Node, NodeId, Op, Recording};

use super::fuse::Budget;
use super::views::is_view;

/// An inlined computation heavier than this is stored when more than one place needs it.
const RECOMPUTE: u32 = 4;
/// One not heavier than this is computed again where it is spread out of tensors that have fewer elements: a
/// gradient that goes to the largest element of each window.
const SPREAD: u32 = 8;
/// What so many elements share, a scale for each channel, is computed once for several of them, and does not make
/// each of them heavy.
const WIDE: usize = 16;
const SHARED: u32 = 4;
/// Up to this, it is computed again even so if it follows, element by element, from one stored value that whoever
/// needs it can read in its place: arithmetic costs less than memory and its traffic.
const RECOMPUTE_FROM_ONE: u32 = 32;
/// A chain of this many operations and views is stored at its end: kernels are written by recursion.
const DEEPEST: usize = 48;
/// An operand of a contraction that nothing else needs, and that costs no more than an operation on two loads,
/// is computed as it is read, once for every tile that needs it.
const PROLOGUE: u32 = 3;

/// Whether a value lies in memory before the step begins.
pub(super) fn is_placed(op: &Op) -> bool {
    matches!(op, Op::Input(_) | Op::Variable(_) | Op::Constant(_))
}

pub(super) fn is_anchor(op: &Op) -> bool {
    matches!(op, Op::Reduce(_)) || reads_all_over(op)
}

/// Whether an operation reads its operands all over, in a kernel where others can at most follow.
pub(super) fn reads_all_over(op: &Op) -> bool {
    matches!(op, Op::Contract(_) | Op::Attention(_)) || is_whole_kernel(op)
}

/// Whether an operation is a kernel of its own, which a user wrote: it reads its operands from memory.
pub(super) fn is_whole_kernel(op: &Op) -> bool {
    matches!(op, Op::Wgsl(op) if !op.is_elementwise())
}

/// The cost of one element relative to an addition.
fn weight(op: &Op) -> u32 {
    use UnaryKind::*;
    match op {
        Op::Unary(unary) => match unary.kind {
            Neg | Abs | Sign | Floor | Ceil | Round | Trunc | Relu | BitNot | Not => 1,
            Sqrt | Rsqrt | Reciprocal => 3,
            _ => 8,
        },
        Op::Binary(binary) => match binary.kind {
            BinaryKind::Pow | BinaryKind::Atan2 => 12,
            BinaryKind::Div | BinaryKind::Rem => 2,
            _ => 1,
        },
        Op::RandomBits(_) => 40,
        Op::Gather(_) => 2,
        Op::Concat(_) => 2,
        Op::Compare(_) | Op::Select(_) | Op::Cast(_) => 1,
        // As heavy as what it is defined by.
        Op::Wgsl(op) => op.definition.nodes().iter().map(|node| weight(&node.op)).sum::<u32>().max(1),
        _ => 0,
    }
}

/// Whether a node gives the elements of another as they are: a view, or f16 widened to f32, which costs no more
/// than reading it.
fn is_reading(recording: &Recording, node: &Node) -> bool {
    let widens = || node.spec.dtype == DType::F32 && recording.node(node.inputs[0]).spec.dtype == DType::F16;
    is_view(&node.op) || matches!(node.op, Op::Cast(_)) && widens()
}

/// Whether a node rounds to f16, to be stored in half the bytes.
fn is_narrowing(recording: &Recording, node: &Node) -> bool {
    let narrows = || node.spec.dtype == DType::F16 && recording.node(node.inputs[0]).spec.dtype == DType::F32;
    matches!(node.op, Op::Cast(_)) && narrows()
}

/// The node that a node's elements come from as they are.
fn peel(recording: &Recording, mut id: NodeId) -> NodeId {
    while is_reading(recording, recording.node(id)) {
        id = recording.node(id).inputs[0];
    }
    id
}

/// Values that are compared with their own maximum. Computed twice, they might be rounded differently (WGSL
/// lets compilers contract and reassociate), and none would equal the maximum: they are computed once, and
/// whoever needs them reads that.
pub(super) fn compared_with_own_maximum(recording: &Recording) -> HashSet<NodeId> {
    let reduced = |id: NodeId| match &recording.node(id).op {
        Op::Reduce(op) if op.kind == ReduceKind::Max => Some(peel(recording, recording.node(id).inputs[0])),
        _ => None,
    };
    // A long reduction is one of partial maxima.
    let is_maximum_of = |id: NodeId, of: NodeId| {
        std::iter::successors(reduced(id), |&partial| reduced(partial)).any(|reduced| reduced == of)
    };
    let compared = recording.nodes.iter().filter(|node| matches!(node.op, Op::Compare(_)));
    let pairs = compared.map(|node| (peel(recording, node.inputs[0]), peel(recording, node.inputs[1])));
    pairs.flat_map(|(a, b)| [(a, b), (b, a)]).filter(|&(a, b)| is_maximum_of(b, a)).map(|(a, _)| a).collect()
}

/// For each node whether it is written to memory: roots, reductions and contractions, and what is heavy and
/// needed in more than one place. Where nothing is to be fused, everything that is computed.
pub(super) fn choose_stored(
    recording: &Recording,
    roots: &[NodeId],
    budget: Budget,
    exact: &HashSet<NodeId>,
) -> Vec<bool> {
    let count = recording.nodes.len();
    let mut stored: Vec<bool> =
        recording.nodes.iter().map(|node| is_placed(&node.op) || is_anchor(&node.op)).collect();
    roots.iter().for_each(|root| stored[root.index()] = true);
    for node in recording.nodes.iter().filter(|node| is_whole_kernel(&node.op)) {
        node.inputs.iter().for_each(|operand| stored[operand.index()] = true);
    }
    let is_computed = |id: NodeId| {
        let node = recording.node(id);
        weight(&node.op) > 0 && !is_reading(recording, node)
    };
    if !budget.fuse {
        (0..count).for_each(|id| stored[id] |= is_computed(NodeId(id as u32)));
        return stored;
    }
    let mut uses = vec![0u32; count];
    let mut replicated = vec![false; count];
    let (mut contracted, mut attended) = (vec![false; count], vec![false; count]);
    // What attention adds or drops would be as large as the scores that it does not store.
    let mut of_pairs = vec![false; count];
    for node in recording.nodes.iter().filter(|node| !is_reading(recording, node)) {
        let iterated = match &node.op {
            Op::Reduce(_) => recording.node(node.inputs[0]).spec.shape.numel(),
            _ => node.spec.shape.numel(),
        };
        for (operand, &input) in node.inputs.iter().enumerate() {
            let source = peel(recording, input);
            uses[source.index()] += 1;
            let widened =
                recording.node(input).spec.shape.numel() > recording.node(source).spec.shape.numel();
            replicated[source.index()] |= widened || iterated > recording.node(source).spec.shape.numel();
            contracted[source.index()] |= matches!(node.op, Op::Contract(_));
            if let Op::Attention(op) = &node.op {
                attended[source.index()] |= !op.is_of_pairs(operand);
                of_pairs[source.index()] |= op.is_of_pairs(operand) && !widened;
            }
        }
    }
    // A root that is a view needs its source once more.
    for root in roots.iter().filter(|root| is_reading(recording, recording.node(**root))) {
        uses[peel(recording, *root).index()] += 1;
    }
    let (mut inlined, mut depth) = (vec![0u32; count], vec![0usize; count]);
    let mut reads: Vec<Vec<NodeId>> = vec![vec![]; count];
    for index in 0..count {
        let id = NodeId(index as u32);
        let node = recording.node(id);
        reads[index] = bounded_reads(recording, id, &reads, &mut stored, budget);
        let inputs = node.inputs.iter().map(|input| inlined[input.index()]);
        inlined[index] = inputs.fold(weight(&node.op), u32::saturating_add);
        let wide = |input: NodeId| node.spec.shape.numel() >= WIDE * recording.node(input).spec.shape.numel();
        if matches!(node.op, Op::Expand(_)) && wide(node.inputs[0]) {
            inlined[index] = inlined[index].min(1 + inlined[index] / SHARED);
        }
        let heavy = inlined[index] >= RECOMPUTE && !of_pairs[index];
        let follows_from_one = |index: usize| {
            let numel = node.spec.shape.numel();
            let as_large = |read: &&NodeId| recording.node(**read).spec.shape.numel() >= numel;
            inlined[index] <= RECOMPUTE_FROM_ONE && reads[index].iter().filter(as_large).count() <= 1
        };
        if is_computed(id) {
            let numel = |id: &NodeId| recording.node(*id).spec.shape.numel();
            let widens = || numel(&id) > reads[index].iter().map(numel).sum::<usize>();
            // What is larger than all that it is made of is not worth storing for being read twice.
            let prologue = inlined[index] <= PROLOGUE && (uses[index] == 1 || widens());
            let given = || is_placed(&recording.node(peel(recording, node.inputs[0])).op);
            let spread = uses[index] == 1 && inlined[index] <= SPREAD && widens();
            stored[index] |= contracted[index] && !prologue
                || attended[index]
                || is_narrowing(recording, node) && !given()
                || exact.contains(&id)
                || heavy && (replicated[index] && !spread || uses[index] > 1 && !follows_from_one(index));
        }
        let below = node.inputs.iter().map(|input| depth[input.index()]).max();
        depth[index] = below.map_or(0, |depth| depth + 1);
        stored[index] |= depth[index] >= DEEPEST;
        if stored[index] {
            (inlined[index], depth[index]) = (1, 0);
        }
    }
    stored
}

/// The stored values that a node is computed from. Where they and the result are more than a kernel can bind,
/// operands that are made from several are stored first, the widest before the others.
fn bounded_reads(
    recording: &Recording,
    id: NodeId,
    reads: &[Vec<NodeId>],
    stored: &mut [bool],
    budget: Budget,
) -> Vec<NodeId> {
    loop {
        let mut sources = recording.node(id).inputs.clone();
        for source in &mut sources {
            while !stored[source.index()] && is_view(&recording.node(*source).op) {
                *source = recording.node(*source).inputs[0];
            }
        }
        let of = |source: &NodeId| match stored[source.index()] {
            true => std::slice::from_ref(source).to_vec(),
            false => reads[source.index()].clone(),
        };
        let mut all: Vec<NodeId> = sources.iter().flat_map(of).collect();
        all.sort_unstable();
        all.dedup();
        let widest = sources.into_iter().filter(|source| !stored[source.index()]);
        match widest.max_by_key(|source| reads[source.index()].len()) {
            Some(widest) if all.len() >= budget.bindings && reads[widest.index()].len() > 1 => {
                stored[widest.index()] = true;
            }
            _ => return all,
        }
    }
}

/// The cost of computing each node from stored ones.
pub(super) fn heaviness(recording: &Recording, stored: &[bool]) -> Vec<u32> {
    let mut total = vec![0u32; recording.nodes.len()];
    for (index, node) in recording.nodes.iter().enumerate() {
        let of = |input: &NodeId| if stored[input.index()] { 1 } else { total[input.index()] };
        total[index] = node.inputs.iter().map(of).fold(weight(&node.op), u32::saturating_add);
    }
    total
}
