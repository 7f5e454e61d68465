//! Decides which of the stored values are computed by one kernel.

use std::collections::HashSet;

use wgrad_core::{NodeId, Op, Recording, Shape};

use super::index::{Index, Indices};
use super::store::{
    choose_stored, compared_with_own_maximum, heaviness, is_anchor, is_placed, is_whole_kernel,
    reads_all_over,
};
use super::views::{self, is_view};
use super::{Archetype, ITERATIONS, Kernel};

/// What the device allows, and whether to fuse at all.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Storage buffers that one kernel may bind.
    pub bindings: usize,
    /// False stores every intermediate and gives each a kernel of its own: the plain meaning, for
    /// comparison in tests.
    pub fuse: bool,
    /// The size of subgroups, where the lanes of one share a row whichever axes it lies along.
    pub subgroup: Option<usize>,
}

/// Rows that keep all cores of a software adapter busy, one subgroup each.
const ENOUGH_ROWS: usize = 16;
/// So few elements are not worth spreading.
const FEW: usize = 4096;

impl Budget {
    /// Whether maps of what is reduced may run in the kernel of the reduction, which then needs rows enough
    /// for the whole device.
    fn is_row(&self, shape: &Shape, axes: &[usize]) -> bool {
        match self.subgroup {
            Some(_) => shape.reduced(axes).numel() >= ENOUGH_ROWS || shape.numel() <= FEW,
            None => is_row(shape, axes),
        }
    }
}

/// Maps heavier than this are not computed behind a contraction, where they would be unrolled for every
/// element of a register tile.
const EPILOGUE: u32 = 64;
/// The longest row that one workgroup reduces and maps in one kernel.
const ROW: usize = 16 * 1024;

/// Kernels in an order of creation (not of execution), and which kernel computes each node.
pub struct Fused {
    /// The kernels.
    pub kernels: Vec<Kernel>,
    /// For each node, the kernel that stores or could store it.
    pub owner: Vec<Option<usize>>,
    /// For each stored node, how it reads what it depends on.
    pub traces: Vec<Option<Trace>>,
    /// For each kernel, the kernels that must run before it.
    pub ancestors: Vec<HashSet<usize>>,
}

/// How one stored node reads other stored nodes: for every access, the multi-index as a function of the
/// position in the node's own iteration space.
pub struct Trace {
    /// The iteration space: the node's shape, or the operand's for a reduction.
    pub shape: Shape,
    domain: Vec<Index>,
    accesses: Vec<(NodeId, Vec<Index>)>,
    indices: Indices,
}

impl Trace {
    /// The nodes read.
    pub fn reads(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.accesses.iter().map(|(node, _)| *node)
    }

    /// Whether every access of `node` is at the position itself, possibly under another shape.
    pub fn reads_in_place(&mut self, recording: &Recording, node: NodeId) -> bool {
        let shape = recording.node(node).spec.shape.clone();
        let own = self.indices.flatten(&self.domain, &self.shape);
        let accesses: Vec<_> = self.accesses.iter().filter(|(read, _)| *read == node).cloned().collect();
        shape.numel() == self.shape.numel()
            && accesses.iter().all(|(_, index)| self.indices.flatten(index, &shape) == own)
    }

    /// Whether every access of `node` is at the same place, whatever the position: keys of random numbers.
    pub fn reads_one_place(&self, node: NodeId) -> bool {
        let mut accesses = self.accesses.iter().filter(|(read, _)| *read == node);
        accesses.all(|(_, index)| index.iter().all(|index| index.terms.is_empty()))
    }

    /// Whether every access of `node` is at the position itself with the reduced axes at 0.
    fn reads_result(&self, recording: &Recording, node: NodeId, axes: &[usize]) -> bool {
        let zeroed =
            |(axis, i): (usize, &Index)| if axes.contains(&axis) { Index::default() } else { i.clone() };
        let own: Vec<Index> = self.domain.iter().enumerate().map(zeroed).collect();
        recording.node(node).spec.shape == self.shape.reduced(axes)
            && self.accesses.iter().filter(|(read, _)| *read == node).all(|(_, index)| *index == own)
    }
}

/// Fuses a lowered recording. `roots` are the nodes that must be stored.
pub fn fuse(recording: &Recording, roots: &[NodeId], budget: Budget) -> Fused {
    let exact = compared_with_own_maximum(recording);
    let stored = choose_stored(recording, roots, budget, &exact);
    let count = recording.nodes.len();
    let mut fuser = Fuser {
        recording,
        stored: &stored,
        exact,
        budget,
        heaviness: heaviness(recording, &stored),
        fused: Fused {
            kernels: vec![],
            owner: vec![None; count],
            traces: (0..count).map(|_| None).collect(),
            ancestors: vec![],
        },
    };
    for (index, node) in recording.nodes.iter().enumerate() {
        if stored[index] && !is_placed(&node.op) && node.spec.shape.numel() > 0 {
            fuser.add(NodeId(index as u32));
        }
    }
    let mut fused = fuser.fused;
    settle(&mut fused, roots, &stored);
    fused
}

struct Fuser<'a> {
    recording: &'a Recording,
    stored: &'a [bool],
    exact: HashSet<NodeId>,
    budget: Budget,
    heaviness: Vec<u32>,
    fused: Fused,
}

impl Fuser<'_> {
    fn shape(&self, id: NodeId) -> &Shape {
        &self.recording.node(id).spec.shape
    }

    fn trace(&self, id: NodeId) -> Trace {
        let node = self.recording.node(id);
        let shape = match &node.op {
            Op::Reduce(_) => self.shape(node.inputs[0]).clone(),
            _ => node.spec.shape.clone(),
        };
        let mut indices = Indices::default();
        let domain: Vec<Index> = shape.iter().map(|&n| indices.var(n, 0)).collect();
        let mut trace = Trace { shape, domain, accesses: vec![], indices };
        let mut seen = HashSet::new();
        match &node.op {
            op if reads_all_over(op) => {
                // Operands are read all over: any index that is not the position itself says so.
                for &input in &node.inputs {
                    let extents = self.shape(input).clone();
                    let index = extents.iter().map(|&n| trace.indices.loaded(n, 0).1).collect();
                    self.walk(input, index, &mut trace, &mut seen);
                }
            }
            Op::Reduce(_) => self.walk(node.inputs[0], trace.domain.clone(), &mut trace, &mut seen),
            _ => self.walk_inputs(id, &trace.domain.clone(), &mut trace, &mut seen),
        }
        trace
    }

    fn walk(
        &self,
        id: NodeId,
        index: Vec<Index>,
        trace: &mut Trace,
        seen: &mut HashSet<(NodeId, Vec<Index>)>,
    ) {
        if !seen.insert((id, index.clone())) {
            return;
        }
        if self.stored[id.index()] {
            trace.accesses.push((id, index));
        } else {
            self.walk_inputs(id, &index, trace, seen);
        }
    }

    fn walk_inputs(
        &self,
        id: NodeId,
        index: &[Index],
        trace: &mut Trace,
        seen: &mut HashSet<(NodeId, Vec<Index>)>,
    ) {
        let node = self.recording.node(id);
        match &node.op {
            Op::Gather(op) => {
                self.walk(node.inputs[1], index.to_vec(), trace, seen);
                let mut source = index.to_vec();
                let extent = self.shape(node.inputs[0])[op.axis];
                source[op.axis] = trace.indices.loaded(extent, 0).1;
                self.walk(node.inputs[0], source, trace, seen);
            }
            Op::Concat(op) => {
                let mut start = 0;
                for &input in &node.inputs {
                    let extent = self.shape(input)[op.axis];
                    let mut source = index.to_vec();
                    let raw = index[op.axis].clone().offset(-(start as i64));
                    source[op.axis] = trace.indices.guard(&raw, 1, extent).0;
                    self.walk(input, source, trace, seen);
                    start += extent;
                }
            }
            Op::RandomBits(_) => {
                for &input in &node.inputs {
                    let index = self.shape(input).iter().map(|_| Index::default()).collect();
                    self.walk(input, index, trace, seen);
                }
            }
            op if is_view(op) => {
                let from = self.shape(node.inputs[0]).clone();
                let source = views::source(op, index, &from, &node.spec.shape, &mut trace.indices);
                if let Some(source) = source {
                    self.walk(node.inputs[0], source.index, trace, seen);
                }
            }
            _ => node.inputs.iter().for_each(|&input| self.walk(input, index.to_vec(), trace, seen)),
        }
    }

    /// Puts a stored node into a kernel: the latest one among those it reads from that can take it, or
    /// a new one.
    fn add(&mut self, id: NodeId) {
        let mut trace = self.trace(id);
        let mut sources: Vec<usize> =
            trace.reads().filter_map(|read| self.fused.owner[read.index()]).collect();
        sources.sort_unstable();
        sources.dedup();
        let mut candidates = sources.clone();
        candidates.reverse();
        candidates.extend(self.siblings(id, &trace));
        candidates.retain(|_| self.budget.fuse);
        let taker = candidates.into_iter().find_map(|kernel| {
            self.archetype_with(kernel, id, &mut trace, &sources).map(|archetype| (kernel, archetype))
        });
        let kernel = match taker {
            Some((kernel, archetype)) => {
                self.fused.kernels[kernel].archetype = archetype;
                kernel
            }
            None => {
                let archetype = self.own_archetype(id);
                self.fused.kernels.push(Kernel::new(archetype));
                self.fused.ancestors.push(HashSet::new());
                self.fused.kernels.len() - 1
            }
        };
        self.fused.kernels[kernel].nodes.push(id);
        self.fused.owner[id.index()] = Some(kernel);
        self.fused.traces[id.index()] = Some(trace);
        for source in sources.into_iter().filter(|&source| source != kernel) {
            add_edge(&mut self.fused.ancestors, source, kernel);
        }
    }

    /// Kernels over the same elements that read something this node reads, other than the key of random numbers: draws
    /// are better packed, where they share their text. Single numbers are computed together whatever they read.
    fn siblings(&self, id: NodeId, trace: &Trace) -> Vec<usize> {
        let op = &self.recording.node(id).op;
        if reads_all_over(op) {
            return vec![];
        }
        let own = self.own_archetype(id);
        let is_key = |read: &NodeId| self.shape(*read).numel() > 1 && trace.reads_one_place(*read);
        let reads: HashSet<NodeId> = trace.reads().filter(|read| !is_key(read)).collect();
        let shares = |kernel: &Kernel| {
            let of_kernel = kernel.nodes.iter().filter_map(|node| self.fused.traces[node.index()].as_ref());
            of_kernel.flat_map(Trace::reads).any(|read| reads.contains(&read))
        };
        let one = own == Archetype::Map { numel: 1 };
        let alike = |kernel: &Kernel| kernel.archetype == own && (one || shares(kernel));
        (0..self.fused.kernels.len()).rev().filter(|&kernel| alike(&self.fused.kernels[kernel])).collect()
    }

    fn own_archetype(&self, id: NodeId) -> Archetype {
        let node = self.recording.node(id);
        match &node.op {
            Op::Contract(_) => Archetype::Contract { node: id },
            Op::Attention(_) => Archetype::Attention { node: id },
            op if is_whole_kernel(op) => Archetype::Wgsl { node: id },
            Op::Reduce(op) => {
                Archetype::Row { shape: self.shape(node.inputs[0]).clone(), axes: op.axes.clone() }
            }
            _ => Archetype::Map { numel: node.spec.shape.numel() },
        }
    }

    /// The archetype of a kernel after it takes a node, if it can.
    fn archetype_with(
        &self,
        kernel: usize,
        id: NodeId,
        trace: &mut Trace,
        sources: &[usize],
    ) -> Option<Archetype> {
        // Nothing the node reads elsewhere may depend on the kernel.
        let cyclic = |&source: &usize| source != kernel && self.fused.ancestors[source].contains(&kernel);
        if sources.iter().any(cyclic) || !self.fits(kernel, id, trace) {
            return None;
        }
        let node = self.recording.node(id);
        let owned = |read: &NodeId| self.fused.owner[read.index()] == Some(kernel);
        if trace.reads().any(|read| owned(&read) && self.exact.contains(&read)) {
            return None;
        }
        let reads: Vec<NodeId> = trace.reads().filter(owned).collect();
        let archetype = &self.fused.kernels[kernel].archetype;
        let archetype = match (archetype, &node.op) {
            (Archetype::Map { numel }, Op::Reduce(op)) => {
                let alike = self.fused.kernels[kernel].nodes.iter().all(|&n| *self.shape(n) == trace.shape);
                let row = Archetype::Row { shape: trace.shape.clone(), axes: op.axes.clone() };
                (alike && *numel == trace.shape.numel() && self.budget.is_row(&trace.shape, &op.axes))
                    .then_some(row)?
            }
            (archetype, _) => archetype.clone(),
        };
        let fits = match &archetype {
            Archetype::Attention { .. } | Archetype::Wgsl { .. } => false,
            Archetype::Map { numel } => {
                !is_anchor(&node.op)
                    && node.spec.shape.numel() == *numel
                    && reads.iter().all(|&read| trace.reads_in_place(self.recording, read))
            }
            Archetype::Contract { node: anchor } => {
                !is_anchor(&node.op)
                    && node.spec.shape.numel() == self.shape(*anchor).numel()
                    && self.heaviness[id.index()] <= EPILOGUE
                    && reads.iter().all(|&read| trace.reads_in_place(self.recording, read))
            }
            Archetype::Row { shape, axes } => {
                let whole = trace.shape == *shape;
                let results = shape.reduced(axes).numel();
                let result = !whole && trace.shape.numel() == results && !is_anchor(&node.op);
                let same_axes = match &node.op {
                    Op::Reduce(op) => op.axes == *axes,
                    op if reads_all_over(op) => false,
                    // A map over the whole runs beside the reduction only where rows are many.
                    _ => !whole || self.budget.is_row(shape, axes),
                };
                same_axes
                    && (whole || result)
                    && self.passes(kernel, id) * shape.numel() / shape.reduced(axes).numel().max(1)
                        <= ITERATIONS * self.budget.subgroup.unwrap_or(1)
                    && reads.iter().all(|&read| {
                        // A whole tensor under another shape would not be found in the loop over rows.
                        let alike = result || *self.shape(read) == trace.shape;
                        alike && trace.reads_in_place(self.recording, read)
                            || whole && trace.reads_result(self.recording, read, axes)
                    })
            }
        };
        fits.then_some(archetype)
    }

    /// How often a row kernel with one more node passes over a row: once a reduction, if each depends on the
    /// one before, and once to write maps.
    fn passes(&self, kernel: usize, id: NodeId) -> usize {
        let nodes = self.fused.kernels[kernel].nodes.iter().chain([&id]);
        nodes.filter(|&&node| matches!(self.recording.node(node).op, Op::Reduce(_))).count() + 1
    }

    /// Whether the kernel's bindings suffice for one more node.
    fn fits(&self, kernel: usize, id: NodeId, trace: &Trace) -> bool {
        let kernel_nodes = &self.fused.kernels[kernel].nodes;
        let mut bound: HashSet<NodeId> = trace.reads().chain([id]).collect();
        for node in kernel_nodes {
            bound.insert(*node);
            bound.extend(self.fused.traces[node.index()].iter().flat_map(Trace::reads));
        }
        bound.len() <= self.budget.bindings
    }
}

/// Whether the reduced axes are the innermost ones, in rows short enough for one workgroup.
pub fn is_row(shape: &Shape, axes: &[usize]) -> bool {
    let wide = |axis: &usize| shape[*axis] > 1;
    let first = axes.iter().copied().filter(wide).min().unwrap_or(shape.rank());
    let innermost = (first..shape.rank()).all(|axis| axes.contains(&axis) || shape[axis] == 1);
    innermost && axes.iter().map(|&axis| shape[axis]).product::<usize>() <= ROW
}

/// Says that `before` must run before `after`.
pub fn add_edge(ancestors: &mut [HashSet<usize>], before: usize, after: usize) {
    let mut all: Vec<usize> = ancestors[before].iter().copied().collect();
    all.push(before);
    if all.iter().all(|kernel| ancestors[after].contains(kernel)) {
        return;
    }
    for (kernel, set) in ancestors.iter_mut().enumerate() {
        if kernel == after || set.contains(&after) {
            set.extend(all.iter().copied());
        }
    }
}

/// Says that two kernels, neither of which depends on the other, run at the same time.
pub fn merge(ancestors: &mut [HashSet<usize>], a: usize, b: usize) {
    let both: HashSet<usize> = ancestors[a].union(&ancestors[b]).copied().collect();
    // Kernels merged with one of the two before are merged with the other now.
    let twins = |set: &HashSet<usize>| set.contains(&a) || set.contains(&b);
    for (kernel, set) in ancestors.iter_mut().enumerate() {
        if kernel == a || kernel == b {
            set.extend(both.iter().copied());
        } else if twins(set) {
            set.extend(both.iter().copied());
            set.extend([a, b]);
        }
    }
}

/// Works out what each kernel reads from memory and which of its nodes it has to write.
fn settle(fused: &mut Fused, roots: &[NodeId], stored: &[bool]) {
    let mut needed: HashSet<NodeId> = roots.iter().copied().collect();
    for kernel in 0..fused.kernels.len() {
        let nodes = fused.kernels[kernel].nodes.clone();
        let mut loads: Vec<NodeId> = nodes
            .iter()
            .filter_map(|node| fused.traces[node.index()].as_ref())
            .flat_map(Trace::reads)
            .filter(|read| stored[read.index()] && fused.owner[read.index()] != Some(kernel))
            .collect();
        loads.sort_unstable();
        loads.dedup();
        needed.extend(loads.iter().copied());
        fused.kernels[kernel].loads = loads;
    }
    for kernel in &mut fused.kernels {
        kernel.stores = kernel.nodes.iter().copied().filter(|node| needed.contains(node)).collect();
    }
}
