//! Rewrites operations that have no kernel of their own into reductions, contractions and maps, and
//! splits reductions that are too long for one invocation or leave the device idle.
//!
//! Graph to graph: what comes out is an ordinary recording that the interpreter can check.

use std::collections::HashSet;

use wgrad_core::ops::{
    AttentionPart, Contract, Detach, Offer, Pad, Reduce, ReduceKind, ScatterAdd, Unslide, Wgsl,
};
use wgrad_core::{DType, Graph, Node, NodeId, Op, Recording, Shape, Tensor, TensorSpec};

use super::ITERATIONS;

/// A chunk of a split reduction has about this many elements.
const CHUNK: usize = 1024;
/// A reduction longer than this is split however many results it has: some software drivers end an
/// invocation after 65,535 loop iterations.
const LONGEST: usize = 16 * 1024;
/// A reduction with at least this many results keeps the device busy without being split.
const ENOUGH_RESULTS: usize = 4096;
/// The widest rows of queries, keys and values that an invocation holds in registers.
const WIDEST_ATTENTION: usize = 128;
/// Fewer queries leave most invocations of a pass without one, and have a small matrix of scores.
const FEWEST_QUERIES: usize = 8;
/// Running sums are computed directly over blocks of this many elements.
const SCAN_BLOCK: usize = 32;

/// When reductions and contractions are split.
#[derive(Clone, Copy, Debug)]
pub struct Grain {
    /// A longer reduction is split however many results it has.
    longest: usize,
    /// A reduction with at least this many results is not split for being long.
    results: usize,
    /// A contraction with at least this many results is not split for being long.
    contracted: usize,
    /// Others are cut into parts with at least this many results together,
    partial: usize,
    /// and at least this many terms each.
    shortest: usize,
}

impl Grain {
    /// For adapters with this subgroup size that share rows among the lanes of a subgroup, for GPUs of so many
    /// processors whose workgroups share the tile of a contraction, and for all others.
    pub fn new(subgroup: Option<usize>, processors: Option<usize>) -> Self {
        // A few dozen workgroups keep a processor's cores busy.
        const FEW: usize = 16;
        let results = ENOUGH_RESULTS;
        match (subgroup, processors) {
            // Lanes share the iterations.
            (Some(size), _) => Self {
                longest: LONGEST * size,
                results: 16,
                contracted: FEW * 2048,
                partial: FEW * 2048,
                shortest: CHUNK / 2,
            },
            // Processors are busy with a small tile each, and fast with a larger one.
            (None, Some(processors)) => Self {
                longest: LONGEST,
                results,
                contracted: processors * 32 * 32,
                partial: processors * 64 * 64,
                shortest: CHUNK / 4,
            },
            (None, None) => Self {
                longest: LONGEST,
                results,
                contracted: FEW * results,
                partial: FEW * results,
                shortest: CHUNK / 2,
            },
        }
    }
}

/// What the device can run in the place of definitions.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// Kernels that users wrote.
    pub own: Vec<Wgsl>,
    /// Passes of attention.
    pub attention: bool,
}

/// The lowered recording and the new ids of the outputs.
pub fn lower(
    recording: &Recording,
    outputs: &[NodeId],
    grain: Grain,
    accepted: &Accepted,
) -> (Recording, Vec<NodeId>) {
    let graph = Graph::new(recording.mode);
    let mut renamed: Vec<Tensor> = Vec::with_capacity(recording.nodes.len());
    for node in &recording.nodes {
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|id| &renamed[id.index()]).collect();
        let tensor = graph.located(node.location, || match &node.op {
            Op::ArgMax(op) => arg_max(inputs[0], op.axis, grain),
            Op::ScatterAdd(op) => scatter_slices(recording, node, &renamed, op, grain)
                .unwrap_or_else(|| scatter_add(inputs[0], inputs[1], op, grain)),
            Op::CumSum(op) => cum_sum(inputs[0], op.axis),
            Op::Concat(op) => concat(&inputs, op.axis),
            Op::Reduce(op) => transposed_convolution(recording, node, &renamed, grain)
                .unwrap_or_else(|| reduce(inputs[0], op, grain)),
            Op::Contract(op) => contract(inputs[0], inputs[1], op, grain),
            Op::Custom(op) => match &op.kernel {
                Some(Offer::Wgsl(kernel)) if accepted.own.contains(kernel) => {
                    own_kernel(recording, node, &renamed, kernel)
                }
                Some(Offer::Attention(part)) if accepted.attention => {
                    attention(&inputs, part).unwrap_or_else(|| inputs[0].clone())
                }
                _ => inputs[0].clone(),
            },
            op => graph.record(op.clone(), &inputs),
        });
        debug_assert!(tensor.spec() == node.spec, "lowering {} changed its spec", node.op.name());
        renamed.push(tensor);
    }
    let rename = |id: &NodeId| renamed[id.index()].id();
    let mut lowered = recording.clone();
    lowered.nodes = graph.recording().nodes;
    lowered.errors = graph.recording().errors;
    lowered.assigns.iter_mut().for_each(|(_, id)| *id = rename(id));
    lowered.probes.iter_mut().for_each(|(_, id)| *id = rename(id));
    (lowered, outputs.iter().map(rename).collect())
}

/// A user's kernel on its operands. A whole one reads them from memory, where their shape is no matter.
fn own_kernel(recording: &Recording, node: &Node, renamed: &[Tensor], kernel: &Wgsl) -> Tensor {
    let operand = |id: &NodeId| {
        let mut id = *id;
        if kernel.is_elementwise() {
            return renamed[id.index()].expand(&node.spec.shape);
        }
        while matches!(recording.node(id).op, Op::Reshape(_) | Op::Detach(_)) {
            id = recording.node(id).inputs[0];
        }
        renamed[id.index()].clone()
    };
    let operands: Vec<Tensor> = node.inputs[1..].iter().map(operand).collect();
    let graph = renamed[node.inputs[0].index()].graph();
    graph.record(kernel.clone(), &operands.iter().collect::<Vec<_>>())
}

/// A part of a pass of attention, where the device has a kernel for it: one with rows of whole vectors, short
/// enough for registers. The definition comes first, then the operands.
fn attention(inputs: &[&Tensor], part: &AttentionPart) -> Option<Tensor> {
    let operands = &inputs[1..];
    let specs: Vec<TensorSpec> = operands.iter().map(|operand| operand.spec()).collect();
    let shape = part.attention.shape(&specs.iter().collect::<Vec<_>>());
    let fits = |width: usize| width.is_multiple_of(4) && (4..=WIDEST_ATTENTION).contains(&width);
    let suits = specs.iter().all(|spec| spec.dtype == DType::F32)
        && fits(shape.width)
        && fits(shape.value_width)
        && (1..=ITERATIONS).contains(&shape.keys)
        && (FEWEST_QUERIES..=ITERATIONS).contains(&shape.queries)
        && shape.count() > 0;
    suits.then(|| {
        let whole = inputs[0].graph().record(part.attention, operands);
        part.attention.part(&whole, part.part, &shape, &inputs[0].shape())
    })
}

/// Many tensors are put together a few at a time: a kernel cannot bind them all at once.
fn concat(tensors: &[&Tensor], axis: usize) -> Tensor {
    const FEW: usize = 6;
    if tensors.len() <= FEW {
        return Tensor::concat(tensors, axis as isize);
    }
    let parts: Vec<Tensor> = tensors.chunks(FEW).map(|part| concat(part, axis)).collect();
    concat(&parts.iter().collect::<Vec<_>>(), axis)
}

/// Gives every variable's new value a node of its own, the place that it is written to: a copy where the
/// value lies in memory before the step begins, or is already another variable's.
pub fn own_assigned_values(mut recording: Recording) -> Recording {
    let mut taken = HashSet::new();
    for at in 0..recording.assigns.len() {
        let value = recording.assigns[at].1;
        let placed = matches!(recording.node(value).op, Op::Input(_) | Op::Variable(_) | Op::Constant(_));
        if placed || !taken.insert(value) {
            recording.assigns[at].1 = copy(&mut recording, value);
        }
    }
    recording
}

/// Gives outputs and probes that are variables a copy of their own where the step changes the variable:
/// what is read back is the value from before.
pub fn own_read_values(mut recording: Recording, outputs: &mut [NodeId]) -> Recording {
    let changed: HashSet<String> = recording.assigns.iter().map(|(var, _)| var.name().to_string()).collect();
    let own = |recording: &mut Recording, id: NodeId| match &recording.node(id).op {
        Op::Variable(variable) if changed.contains(&*variable.name) => copy(recording, id),
        _ => id,
    };
    for output in outputs {
        *output = own(&mut recording, *output);
    }
    for at in 0..recording.probes.len() {
        let probed = recording.probes[at].1;
        recording.probes[at].1 = own(&mut recording, probed);
    }
    recording
}

fn copy(recording: &mut Recording, id: NodeId) -> NodeId {
    let copy = Node { op: Detach.into(), inputs: vec![id], ..recording.node(id).clone() };
    recording.nodes.push(copy);
    NodeId(recording.nodes.len() as u32 - 1)
}

/// The first position of the maximum: n − max over positions i that hold it of (n − i). Where no position holds it, as reductions
/// begin at the lowest finite number and all elements may be −∞, it is 0.
fn arg_max(x: &Tensor, axis: usize, grain: Grain) -> Tensor {
    let shape = x.shape();
    let max = Reduce { kind: ReduceKind::Max, axes: vec![axis] };
    let length = shape[axis] as f64;
    let largest = reduce(x, &max, grain);
    let from_end = length - x.graph().iota(&shape, axis, DType::U32);
    let candidates = x.eq(&largest).select(&from_end, &from_end.zeros_like());
    let found = reduce(&candidates, &max, grain);
    found.eq(0.0).select(&found, &(length - &found))
}

/// The gradient of a convolution's input, as one contraction: summing over the taps of an unslid product
/// is contracting with the unslid operand, which needs no tensor of all windows.
///
/// With a stride s, most of the unslid operand would be zeros. Position q·s + r is reached by every s-th tap only, so
/// there the other operand's taps are dealt out to the s places r, beside which the unslid operand moves by one.
fn transposed_convolution(
    recording: &Recording,
    sum: &Node,
    renamed: &[Tensor],
    grain: Grain,
) -> Option<Tensor> {
    let Op::Reduce(Reduce { kind: ReduceKind::Sum, axes }) = &sum.op else { return None };
    let unslid = recording.node(sum.inputs[0]);
    let Op::Unslide(unslide) = &unslid.op else { return None };
    let product = recording.node(unslid.inputs[0]);
    let Op::Contract(op) = &product.op else { return None };
    let (rank, d) = (unslid.spec.shape.rank(), unslide.window.rank());
    let lead = rank - 2 * d;
    if *axes != (lead + d..rank).collect::<Vec<_>>() {
        return None;
    }
    let (moved, taps) = (&op.out[lead..lead + d], &op.out[lead + d..]);
    let only_in = |labels: &[u8], these: &[u8], those: &[u8]| {
        labels.iter().all(|label| these.contains(label) && !those.contains(label))
    };
    let side = [(&op.a, &op.b), (&op.b, &op.a)]
        .iter()
        .position(|(these, those)| only_in(moved, these, those) && only_in(taps, those, these))?;
    let (slid, other) = if side == 0 { (&op.a, &op.b) } else { (&op.b, &op.a) };
    let operand = &renamed[product.inputs[side].index()];
    let rest: Vec<u8> = slid.iter().copied().filter(|label| !moved.contains(label)).collect();
    // […rest, moved], then a tap axis for each moved one.
    let order = rest.iter().chain(moved);
    let order = order.map(|label| slid.iter().position(|l| l == label).map(|at| at as isize));
    let ordered = operand.permute(&order.collect::<Option<Vec<isize>>>()?);
    let dealt = deal(unslide, &ordered.shape()[rest.len()..])?;
    let shape = ordered.shape();
    let aligned = ordered.reshape([&shape[..], &vec![1; d]].concat());
    let repeated = aligned.expand([&shape[..], &dealt.unslide.window.size].concat());
    let windows = operand.graph().record(dealt.unslide.clone(), &[&repeated]);
    let (mut kernel, mut labels) = (renamed[product.inputs[1 - side].index()].clone(), other.clone());
    let mut out = op.out[..lead].to_vec();
    let mut fresh = (0..=u8::MAX).filter(|label| !op.a.contains(label) && !op.b.contains(label));
    for (axis, (&position, tap)) in moved.iter().zip(taps).enumerate() {
        out.push(position);
        let stride = unslide.window.stride[axis];
        if stride == 1 {
            continue;
        }
        let (at, place) = (labels.iter().position(|label| label == tap)?, fresh.next()?);
        let (before, steps) = (dealt.before[axis], dealt.unslide.window.size[axis]);
        let mut padding = vec![(0, 0); kernel.rank()];
        padding[at] = (before, steps * stride - before - unslide.window.size[axis]);
        let mut shape = kernel.shape().to_vec();
        shape.splice(at..=at, [steps, stride]);
        kernel = kernel.pad(&padding, 0.0).reshape(shape);
        labels.insert(at + 1, place);
        out.push(place);
    }
    let op = Contract { a: [&rest[..], moved, taps].concat(), b: labels, out };
    let mut gradient = contract(&windows, &kernel, &op, grain);
    let shape = gradient.shape();
    let mut whole = shape[..lead].to_vec();
    whole.extend((0..d).map(|axis| dealt.unslide.input[axis] * unslide.window.stride[axis]));
    gradient = gradient.reshape(whole);
    for axis in 0..d {
        gradient = gradient.slice((lead + axis) as isize, 0..unslide.input[axis]);
    }
    Some(gradient.reshape(&sum.spec.shape))
}

/// A window whose taps are dealt out to the places that a stride leaves between its positions.
struct Dealt {
    /// The window of every s-th tap over positions divided by s.
    unslide: Unslide,
    /// Zeros before the first tap along each axis.
    before: Vec<usize>,
}

/// With padding p before, position x = q·s + r meets tap k of window o where x + p = o·s + k. With h = ⌈p / s⌉ that is
/// o = q + h − j and k = r + j·s − (h·s − p).
fn deal(unslide: &Unslide, windows: &[usize]) -> Option<Dealt> {
    let (mut dealt, mut before) = (unslide.clone(), vec![]);
    for axis in 0..unslide.window.rank() {
        let stride = unslide.window.stride[axis];
        let window = &mut dealt.window;
        before.push(0);
        if stride == 1 {
            continue;
        }
        // A window smaller than its stride gives a product no larger than the input: that may be stored.
        if window.dilation[axis] != 1 || window.size[axis] < stride {
            return None;
        }
        let shift = window.padding[axis].0.div_ceil(stride);
        before[axis] = shift * stride - window.padding[axis].0;
        let steps = (before[axis] + window.size[axis]).div_ceil(stride);
        let positions = unslide.input[axis].div_ceil(stride);
        let after = (windows[axis] + steps).checked_sub(1 + positions + shift)?;
        (window.size[axis], window.stride[axis], window.padding[axis]) = (steps, 1, (shift, after));
        dealt.input[axis] = positions;
    }
    Some(Dealt { unslide: dealt, before })
}

/// Whole slices that are added up where their index says, as in the gradient of an embedding, where the sum over all pairs of
/// result and operand has more positions than an index can count: a product with the matrix of zeros and ones that says which
/// slice goes where. It has a position for each pair of slices.
fn scatter_slices(
    recording: &Recording,
    node: &Node,
    renamed: &[Tensor],
    op: &ScatterAdd,
    grain: Grain,
) -> Option<Tensor> {
    let (x, spread) = (&renamed[node.inputs[0].index()], recording.node(node.inputs[1]));
    let Op::Expand(_) = spread.op else { return None };
    let index = &renamed[spread.inputs[0].index()];
    let count = x.shape()[op.axis];
    let is_one_for_all = index.numel() == count && index.shape()[op.axis] == count;
    let pairs = x.numel().saturating_mul(op.size);
    if pairs <= i32::MAX as usize || !x.dtype().is_float() || !is_one_for_all {
        return None;
    }
    let matrix = [op.size, count];
    let place = x.graph().iota(&matrix[..], 0, DType::U32);
    let hit = index.reshape([1, count]).expand(&matrix[..]).eq(&place);
    let one = x.graph().scalar(1.0, x.dtype()).expand(&matrix[..]);
    let taken = hit.select(&one, &one.zeros_like());
    let labels: Vec<u8> = (0..x.rank() as u8).collect();
    let mut out = labels.clone();
    out[op.axis] = x.rank() as u8;
    let product = Contract { a: vec![x.rank() as u8, op.axis as u8], b: labels, out };
    Some(contract(&taken, x, &product, grain))
}

/// Every result position sums the operand elements whose index names it.
fn scatter_add(x: &Tensor, index: &Tensor, op: &ScatterAdd, grain: Grain) -> Tensor {
    let shape = x.shape();
    let (axis, size) = (op.axis, op.size);
    // […, j, i, …]: result positions j beside operand positions i.
    let mut spread = shape.to_vec();
    spread.insert(axis, size);
    let beside = |tensor: &Tensor| tensor.unsqueeze(axis as isize).expand(&spread[..]);
    let position = x.graph().iota(&spread[..], axis, DType::U32);
    let hit = beside(index).eq(&position);
    let picked = hit.select(&beside(x), &beside(x).zeros_like());
    let summed = reduce(&picked, &Reduce { kind: ReduceKind::Sum, axes: vec![axis + 1] }, grain);
    summed.squeeze(axis as isize + 1)
}

/// Running sums within blocks, plus the running sum of the blocks before.
fn cum_sum(x: &Tensor, axis: usize) -> Tensor {
    let shape = x.shape();
    let n = shape[axis];
    if n <= SCAN_BLOCK {
        // […, i, j, …]: the elements j up to each i.
        let mut spread = shape.to_vec();
        spread.insert(axis, n);
        let terms = x.unsqueeze(axis as isize).expand(&spread[..]);
        let i = x.graph().iota(&spread[..], axis, DType::U32);
        let j = x.graph().iota(&spread[..], axis + 1, DType::U32);
        let kept = j.le(&i).select(&terms, &terms.zeros_like());
        return kept.sum(&[axis + 1][..]);
    }
    let blocks = n.div_ceil(SCAN_BLOCK);
    let padded = pad_end(x, axis, blocks * SCAN_BLOCK - n, 0.0);
    let mut split = shape.to_vec();
    split[axis] = blocks;
    split.insert(axis + 1, SCAN_BLOCK);
    let inside = cum_sum(&padded.reshape(split), axis + 1);
    let last = axis as isize + 1;
    let totals = cum_sum(&inside.slice(last, SCAN_BLOCK - 1..SCAN_BLOCK).squeeze(last), axis);
    let mut shift = vec![(0, 0); shape.rank()];
    shift[axis] = (1, 0);
    let before = totals.pad(&shift, 0.0).slice(axis as isize, 0..blocks).unsqueeze(last);
    let mut joined = shape.to_vec();
    joined[axis] = blocks * SCAN_BLOCK;
    (inside + before).reshape(joined).slice(axis as isize, 0..n)
}

fn pad_end(x: &Tensor, axis: usize, amount: usize, value: f64) -> Tensor {
    if amount == 0 {
        return x.clone();
    }
    let rank = x.rank();
    let mut high = vec![0; rank];
    high[axis] = amount;
    let op = Pad { low: vec![0; rank], high, interior: vec![0; rank], value_bits: value.to_bits() };
    x.graph().record(op, &[x])
}

/// How many parts an extent is cut into so that a part has about `chunk` elements; an exact divisor
/// near that size if there is one.
fn parts(extent: usize, chunk: usize) -> usize {
    let wanted = extent.div_ceil(chunk).max(1);
    let near = wanted..=(2 * wanted).min(extent);
    near.into_iter().find(|parts| extent.is_multiple_of(*parts)).unwrap_or(wanted)
}

fn reduce(x: &Tensor, op: &Reduce, grain: Grain) -> Tensor {
    let shape = x.shape();
    let length: usize = op.axes.iter().map(|&axis| shape[axis]).product();
    let results = shape.numel() / length.max(1);
    let long = length > grain.longest || (length > 2 * CHUNK && results < grain.results);
    let widest = op.axes.iter().copied().max_by_key(|&axis| shape[axis]);
    let Some(axis) = widest.filter(|&axis| long && shape[axis] > 1) else {
        return x.graph().record(op.clone(), &[x]);
    };
    // Cut the widest axis, reduce within the parts, then over them.
    let count = parts(shape[axis], (CHUNK * shape[axis] / length).max(1));
    if count <= 1 {
        return x.graph().record(op.clone(), &[x]);
    }
    let whole = shape[axis];
    let each = whole.div_ceil(count);
    let identity = op.kind.identity(x.dtype());
    let padded = pad_end(x, axis, each * count - whole, identity);
    let mut split = shape.to_vec();
    split[axis] = count;
    split.insert(axis + 1, each);
    let inner_axes = op.axes.iter().map(|&a| if a >= axis { a + 1 } else { a }).collect();
    let inner = Reduce { kind: op.kind, axes: inner_axes };
    let padded = padded.reshape(split);
    // No axis may be long and yet their product be.
    let still_long = length / whole * each > LONGEST;
    let partial =
        if still_long { reduce(&padded, &inner, grain) } else { x.graph().record(inner, &[&padded]) };
    let total = reduce(&partial, &Reduce { kind: op.kind, axes: vec![axis] }, grain);
    total.reshape(shape.reduced(&op.axes))
}

/// Splits a long inner axis when the result alone would not keep the device busy.
fn contract(a: &Tensor, b: &Tensor, op: &Contract, grain: Grain) -> Tensor {
    let (a_spec, b_spec) = (a.spec(), b.spec());
    let inner = op.inner();
    let extent = |label: u8| op.extent(label, &a_spec, &b_spec);
    let length: usize = inner.iter().map(|&label| extent(label)).product();
    let results: usize = op.out.iter().map(|&label| extent(label)).product();
    let widest = inner.iter().copied().max_by_key(|&label| extent(label));
    let long = length > grain.longest || (length >= 4 * grain.shortest && results < grain.contracted);
    let Some(label) = widest.filter(|&label| long && extent(label) > 1 && results > 0) else {
        return a.graph().record(op.clone(), &[a, b]);
    };
    let even = length as u64 * results as u64 / grain.partial as u64;
    let chunk = even.clamp(grain.shortest as u64, LONGEST as u64) as usize;
    let whole = extent(label);
    let count = parts(whole, (chunk * whole / length).max(1));
    if count <= 1 {
        return a.graph().record(op.clone(), &[a, b]);
    }
    let each = whole.div_ceil(count);
    let part = (0..=u8::MAX).find(|l| !op.a.contains(l) && !op.b.contains(l)).unwrap_or(0);
    let cut = |tensor: &Tensor, labels: &[u8]| {
        let axis = labels.iter().position(|&l| l == label).unwrap_or(0);
        let padded = pad_end(tensor, axis, each * count - whole, 0.0);
        let mut shape = tensor.shape().to_vec();
        shape[axis] = count;
        shape.insert(axis + 1, each);
        let mut labels = labels.to_vec();
        labels.insert(axis, part);
        (padded.reshape(shape), labels)
    };
    let ((a, a_labels), (b, b_labels)) = (cut(a, &op.a), cut(b, &op.b));
    let out = [&[part], &op.out[..]].concat();
    let inner = Contract { a: a_labels, b: b_labels, out };
    // That axis may be too short for as many parts as there should be.
    let partial = contract(&a, &b, &inner, grain);
    let summed = reduce(&partial, &Reduce { kind: ReduceKind::Sum, axes: vec![0] }, grain);
    let shape: Shape = op.out.iter().map(|&l| extent(l)).collect();
    summed.reshape(shape)
}
