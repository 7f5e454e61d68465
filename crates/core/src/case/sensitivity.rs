//! How far a device that works in f32 or f16 may be from the f64 reference, element by element.
//!
//! A tolerance must come from the graph: one constant is too strict behind a cancellation and too lax
//! elsewhere. So the graph is evaluated again with errors of the size a device may make put into every
//! node's value, at random; what they do to an output is what it may differ by.

use std::collections::HashMap;

use crate::case::uniform;
use crate::interpret::{Environment, evaluate, evaluate_with};
use crate::ops::{Binary, BinaryKind, Unary, UnaryKind};
use crate::{Array, DType, Node, NodeId, Op, Recording};

/// Times the graph is evaluated with errors. All of n draws are below a quarter of the bound once in 4ⁿ elements: with 8
/// that is one in 65,536, which a run of random graphs meets.
const RUNS: u64 = 16;

/// How much larger than half a unit in the last place an injected rounding error is: a few random draws
/// must cover unlucky combinations, and a value this close to a threshold must count as undecided.
const MARGIN: f64 = 8.0;

/// The tolerance of each element of `outputs`: the largest deviation seen when errors are added to every
/// element of every node, and a little for numbers that devices flush to zero. An error is uniform
/// between plus and minus its bound; errors of one size and random sign would cancel too often.
///
/// The bound for an element y is
/// - of a sum of n terms, 8 roundings of Σ|terms| · (1 + √n / 8): the rounding errors of a running sum
///   add up like a random walk (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, §2.8);
/// - of a constant added to a sum, 8 roundings of the sum's terms besides: compilers regroup (a + b) + c as
///   (a + c) + b, which WGSL allows, and what cancels here need not cancel first there;
/// - of a function, 8 roundings of |y| and 4 units in its last place;
/// - of integers, booleans, moved and chosen elements, nothing: they are exact.
///
/// Where an error changes a decision (a comparison, an argmax, a cast to integer), the tolerance is the
/// whole difference between the branches, and besides it what errors do while decisions stay: of the few draws that take
/// another branch, all may have errors that make the difference smaller.
pub fn sensitivity(
    recording: &Recording,
    environment: &Environment,
    outputs: &[NodeId],
    seed: u64,
) -> Vec<Array> {
    let exact = evaluate(recording, environment);
    let node_errors = |(node, value): (&Node, &Array)| {
        let inputs: Vec<&Array> = node.inputs.iter().map(|input| &exact[input.index()]).collect();
        let mut errors = errors(node, &inputs, value)?;
        if let Some(terms) = regrouped(recording, node) {
            let rounding = MARGIN * node.spec.dtype.epsilon() / 2.0;
            let terms = terms.map(|term| &exact[term.index()].data);
            for (error, (a, b)) in errors.iter_mut().zip(terms[0].iter().zip(terms[1])) {
                *error += rounding * (a.abs() + b.abs());
            }
        }
        Some(errors)
    };
    let errors: Vec<Option<Vec<f64>>> = recording.nodes.iter().zip(&exact).map(node_errors).collect();
    let flushed = |id: &NodeId| {
        let spec = &recording.node(*id).spec;
        Array::from_fn(spec, |_| MARGIN * smallest(spec.dtype))
    };
    // What errors do while all decisions stay, and what other decisions do without errors.
    let mut rounded: Vec<Array> = outputs.iter().map(flushed).collect();
    let mut decided: Vec<Array> =
        outputs.iter().map(|id| Array::from_fn(&recording.node(*id).spec, |_| 0.0)).collect();
    for run in 1..=RUNS {
        let mut decisions = HashMap::new();
        let disturbed = evaluate_with(recording, environment, |id, value| {
            if is_decision(recording.node(id)) && value.data != exact[id.index()].data {
                decisions.insert(id, value.data.clone());
            }
            let Some(errors) = &errors[id.index()] else { return };
            let stream = seed.wrapping_add(run << 32 | u64::from(id.0));
            for (element, (value, error)) in value.data.iter_mut().zip(errors).enumerate() {
                *value += error * (2.0 * uniform(stream, element) - 1.0);
            }
        });
        let other = (!decisions.is_empty()).then(|| {
            evaluate_with(recording, environment, |id, value| {
                if is_decision(recording.node(id)) {
                    value.data.clone_from(decisions.get(&id).unwrap_or(&exact[id.index()].data));
                }
            })
        });
        let branch = other.as_ref().unwrap_or(&exact);
        for (largest, [from, to]) in [(&mut rounded, [branch, &disturbed]), (&mut decided, [&exact, branch])]
        {
            for (largest, id) in largest.iter_mut().zip(outputs) {
                let pairs = from[id.index()].data.iter().zip(&to[id.index()].data);
                for (slot, (from, to)) in largest.data.iter_mut().zip(pairs) {
                    *slot = slot.max((to - from).abs());
                }
            }
        }
    }
    for (rounded, decided) in rounded.iter_mut().zip(&decided) {
        rounded.data.iter_mut().zip(&decided.data).for_each(|(slot, decided)| *slot += decided);
    }
    rounded
}

/// Whether a node's values jump where its operands change a little.
fn is_decision(node: &Node) -> bool {
    use UnaryKind::{Ceil, Floor, Round, Sign, Trunc};
    node.spec.dtype.epsilon() == 0.0
        || matches!(&node.op, Op::Unary(Unary { kind: Sign | Floor | Ceil | Round | Trunc }))
}

/// The terms of a sum or difference that a node adds a constant to.
fn regrouped(recording: &Recording, node: &Node) -> Option<[NodeId; 2]> {
    let is_sum = |node: &Node| matches!(&node.op, Op::Binary(binary) if matches!(binary.kind, BinaryKind::Add | BinaryKind::Sub));
    let is_constant = |id: NodeId| {
        let node = recording.node(id);
        let source = if matches!(node.op, Op::Expand(_)) { recording.node(node.inputs[0]) } else { node };
        matches!(source.op, Op::Scalar(_))
    };
    if !is_sum(node) || !node.inputs.iter().any(|&id| is_constant(id)) {
        return None;
    }
    let sum = node.inputs.iter().map(|&id| recording.node(id)).find(|node| is_sum(node))?;
    Some([sum.inputs[0], sum.inputs[1]])
}

/// The smallest normal number.
fn smallest(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::from(f32::MIN_POSITIVE),
        DType::F16 => half::f16::MIN_POSITIVE.to_f64(),
        DType::I32 | DType::U32 | DType::Bool => 0.0,
    }
}

/// The error of each element of a node, `None` where all are exact.
fn errors(node: &Node, inputs: &[&Array], value: &Array) -> Option<Vec<f64>> {
    let ulp = node.spec.dtype.epsilon();
    let rounding = MARGIN * ulp / 2.0;
    if !node.valid || ulp == 0.0 {
        return None;
    }
    if let Some(terms) = terms(&node.op, inputs, value) {
        let magnitudes: Vec<Array> = inputs.iter().map(|input| magnitude(input)).collect();
        let sums = node.op.primitive().evaluate(&magnitudes.iter().collect::<Vec<_>>(), &node.spec);
        let growth = 1.0 + (terms as f64).sqrt() / 8.0;
        return Some(sums.data.into_iter().map(|sum| rounding * growth * sum).collect());
    }
    let allowed = |element: usize| {
        let operand = |input: usize| inputs[input].data[element];
        let y = value.data[element];
        match &node.op {
            Op::Unary(Unary { kind }) => of_unary(*kind, ulp, y),
            Op::Binary(Binary { kind }) => of_binary(*kind, ulp, operand(0), y),
            Op::Cast(_) => Some(0.0),
            _ => None,
        }
    };
    let error = |element: usize| Some(rounding * value.data[element].abs() + allowed(element)?);
    (0..value.data.len()).map(error).collect()
}

/// The number of terms in each sum of an operation that sums.
fn terms(op: &Op, inputs: &[&Array], value: &Array) -> Option<usize> {
    let shrink = |from: &Array| from.data.len() / value.data.len().max(1);
    match op {
        Op::Reduce(reduce) if reduce.kind == crate::ops::ReduceKind::Sum => Some(shrink(inputs[0])),
        Op::Contract(contract) => {
            let (a, b) = (&inputs[0].spec, &inputs[1].spec);
            Some(contract.inner().iter().map(|&label| contract.extent(label, a, b)).product())
        }
        Op::CumSum(cumsum) => Some(value.shape()[cumsum.axis]),
        Op::ScatterAdd(scatter) => Some(inputs[0].shape()[scatter.axis]),
        _ => None,
    }
}

/// Indices are not negative, so operands that are indices stay what they are.
fn magnitude(array: &Array) -> Array {
    Array { spec: array.spec.clone(), data: array.data.iter().map(|v| v.abs()).collect() }
}

/// The error of a function with value y beyond rounding; `None` where it is exact. The kernels compute
/// functions with a library of their own that keeps within 4 units in the last place on every adapter.
fn of_unary(kind: UnaryKind, ulp: f64, y: f64) -> Option<f64> {
    use UnaryKind::*;
    match kind {
        Neg | Abs | Sign | Floor | Ceil | Round | Trunc | Relu | BitNot | Not => None,
        _ => Some(4.0 * ulp * y.abs()),
    }
}

/// The same for a function of a and b.
fn of_binary(kind: BinaryKind, ulp: f64, a: f64, y: f64) -> Option<f64> {
    use BinaryKind::*;
    Some(match kind {
        Add | Sub | Mul => 0.0,
        // WGSL allows division 2.5 units.
        Div => 2.5 * ulp * y.abs(),
        Rem => 4.0 * ulp * a.abs(),
        Pow | Atan2 => 4.0 * ulp * y.abs(),
        Maximum | Minimum | And | Or | Xor | ShiftLeft | ShiftRight => return None,
    })
}
