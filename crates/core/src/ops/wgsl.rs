//! What stands in a compiled program for an operation whose user wrote a kernel for it: operands in, result out.
//! Recorded graphs have the operation's definition and a [`Custom`](super::Custom) node that offers this instead.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::case::Case;
use crate::interpret::{Environment, evaluate};
use crate::kernel::{KernelForm, WgslKernel};
use crate::op::{Cotangent, Primitive, Vjp};
use crate::ops::Input;
use crate::{Array, CustomOp, Node, NodeId, Recording, Tensor, TensorSpec};

/// A kernel and what it computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wgsl {
    /// The operation's name, and that of the function.
    pub name: &'static str,
    /// The kernel.
    pub kernel: WgslKernel,
    /// What it has to compute.
    pub definition: Definition,
}

impl Wgsl {
    /// Whether it is a function of elements, whose operands have been brought to the shape of the result.
    pub fn is_elementwise(&self) -> bool {
        matches!(self.kernel.form(), KernelForm::Elementwise)
    }
}

/// What an operation computes, as a graph of its own.
#[derive(Clone)]
pub struct Definition {
    /// The operands come first, as inputs.
    recording: Arc<Recording>,
    operands: usize,
    result: usize,
}

impl Definition {
    /// The part of a recording that computes `result` from `operands`, and reads nothing else.
    pub(crate) fn new(recording: &Recording, result: NodeId, operands: &[NodeId]) -> Self {
        let mut needed = vec![];
        let mut open = vec![result];
        while let Some(id) = open.pop() {
            if !operands.contains(&id) && !needed.contains(&id) {
                needed.push(id);
                open.extend(&recording.node(id).inputs);
            }
        }
        needed.sort_unstable();
        let order: Vec<NodeId> = operands.iter().chain(&needed).copied().collect();
        let position = |id: &NodeId| order.iter().position(|known| known == id).unwrap_or(0);
        let copy = |(number, id): (usize, &NodeId)| {
            let node = recording.node(*id).clone();
            if number < operands.len() {
                let op = Input { name: number.to_string().into(), spec: node.spec.clone() }.into();
                return Node { op, inputs: vec![], ..node };
            }
            let inputs = node.inputs.iter().map(|id| NodeId(position(id) as u32)).collect();
            Node { inputs, ..node }
        };
        let nodes = order.iter().enumerate().map(copy).collect();
        let empty = crate::Graph::new(recording.mode).recording();
        Self {
            result: position(&result),
            operands: operands.len(),
            recording: Arc::new(Recording { nodes, ..empty }),
        }
    }

    /// The operands' shapes and dtypes.
    pub fn operands(&self) -> impl ExactSizeIterator<Item = &TensorSpec> {
        self.recording.nodes[..self.operands].iter().map(|node| &node.spec)
    }

    /// The result's shape and dtype.
    pub fn result(&self) -> &TensorSpec {
        &self.recording.nodes[self.result].spec
    }

    /// The operations it is made of, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.recording.nodes[self.operands..]
    }
}

/// Not the whole graph, which listings of operations would repeat.
impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Definition")
    }
}

/// Definitions are equal when the same is done to the same operands.
impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        let (these, those) = (&self.recording.nodes, &other.recording.nodes);
        (self.operands, self.result) == (other.operands, other.result)
            && these.len() == those.len()
            && these.iter().zip(those).all(|(a, b)| a.op == b.op && a.inputs == b.inputs)
    }
}

impl Eq for Definition {}

impl Hash for Definition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.recording.nodes.iter().for_each(|node| node.op.hash(state));
    }
}

impl Primitive for Wgsl {
    fn name(&self) -> &'static str {
        self.name
    }

    fn infer(&self, inputs: &[&TensorSpec]) -> Result<TensorSpec, String> {
        let result = self.definition.result();
        let fits = |(input, operand): (&&TensorSpec, &TensorSpec)| {
            let elements = if self.is_elementwise() { &result.shape } else { &operand.shape }.numel();
            input.dtype == operand.dtype && input.shape.numel() == elements
        };
        if inputs.len() != self.definition.operands
            || !inputs.iter().zip(self.definition.operands()).all(fits)
        {
            return Err("its kernel was written for other operands".into());
        }
        Ok(result.clone())
    }

    fn evaluate(&self, inputs: &[&Array], _: &TensorSpec) -> Array {
        let as_recorded = |(input, spec): (&&Array, &TensorSpec)| match self.is_elementwise() {
            // Operands were repeated along the axes that they lacked.
            true => {
                let lead = input.shape().rank() - spec.shape.rank();
                Array::from_fn(spec, |index| input.at(&[&vec![0; lead], index].concat()))
            }
            false => Array { spec: spec.clone(), data: input.data.clone() },
        };
        let operands = inputs.iter().zip(self.definition.operands()).map(as_recorded);
        let environment: Environment =
            operands.enumerate().map(|(number, operand)| (number.to_string(), operand)).collect();
        evaluate(&self.definition.recording, &environment).swap_remove(self.definition.result)
    }

    fn vjp(&self, _: &Vjp<'_>, _: usize) -> Cotangent {
        // Gradients have been recorded before kernels are chosen.
        Cotangent::NotDifferentiable
    }

    fn flops(&self, _: &[&TensorSpec], _: &TensorSpec) -> u64 {
        let recording = &self.definition.recording;
        let nodes = (0..recording.nodes.len() as u32).map(NodeId);
        nodes
            .map(|id| {
                let node = recording.node(id);
                node.op.primitive().flops(&recording.input_specs(id), &node.spec)
            })
            .sum()
    }
}

pub(crate) fn cases() -> Vec<Case> {
    // Each of the forms; what they compute is said twice, and must agree.
    let gated = CustomOp::new("gated", |x| &x[0] * x[1].sigmoid()).with_kernel(WgslKernel::elementwise(
        "fn gate(x: f32) -> f32 { return wg_sigmoid(x); }
         fn gated(x: f32, y: f32) -> f32 { return x * gate(y); }",
    ));
    let smoothed = CustomOp::new("smoothed", |x| {
        let wide = x[0].pad(&[(0, 0), (1, 1)], 0.0);
        let n = x[0].shape()[1];
        (wide.slice(1, 0..n) + wide.slice(1, 1..n + 1) + wide.slice(1, 2..n + 2)) / 3.0
    })
    .with_kernel(WgslKernel::per_element(
        "fn smoothed(i: u32) -> f32 {
           let column = i % X0_SHAPE[1];
           var sum = x0[i];
           if (column > 0u) { sum += x0[i - 1u]; }
           if (column + 1u < X0_SHAPE[1]) { sum += x0[i + 1u]; }
           return sum / 3.0;
         }",
    ));
    let energy = CustomOp::new("energy", |x| x[0].square().sum(1)).with_kernel(WgslKernel::per_workgroup(
        "var<workgroup> parts: array<f32, WORKGROUP_SIZE>;
         fn energy(row: u32, lane: u32) {
           var sum = 0.0;
           for (var at = lane; at < X0_SHAPE[1]; at += WORKGROUP_SIZE) {
             let x = x0[row * X0_SHAPE[1] + at];
             sum += x * x;
           }
           parts[lane] = sum;
           for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
             workgroupBarrier();
             if (lane < half) { parts[lane] += parts[lane + half]; }
           }
           if (lane == 0u) { result[row] = parts[0]; }
         }",
        16,
        |operands, _| operands[0].shape[0],
    ));
    // Its own transpose, so the rule for its gradient is the kernel again.
    let again = smoothed.clone();
    let symmetric = again.clone().with_gradient(move |cx| vec![again.apply(&[cx.cotangent]).into()]);
    let (smooth, energies) = (smoothed.clone(), energy.clone());
    let named = |variant: &str, case: Case| Case { name: format!("custom_op/{variant}"), ..case };
    vec![
        named("elementwise", gated.case("").given([2], &[4.0, -2.0]).given([2], &[0.0, 100.0]))
            .expect(&[2.0, -2.0]),
        named("elementwise_random", gated.case("").random([3, 5]).random([3, 5])),
        named("elementwise_broadcast", gated.case("").random([4, 3, 5]).random([3, 1])),
        named("per_element", smoothed.case("").given([1, 4], &[3.0, 6.0, 9.0, 0.0]))
            .expect(&[3.0, 6.0, 5.0, 3.0]),
        named("per_element_own_gradient", symmetric.case("").random([3, 7])),
        named("per_workgroup", energy.case("").given([2, 2], &[1.0, 2.0, 3.0, 4.0])).expect(&[5.0, 25.0]),
        named("per_workgroup_long_rows", energy.case("").random([3, 37])),
        // Operands are computed and moved before, results are read after.
        Case::new("custom_op/among_others", move |t: &[Tensor]| {
            let smooth = smooth.apply(&[&t[0].t().tanh()]);
            energies.apply(&[&(&smooth * &t[1]).flip(1)]).exp() + smooth.sum(1)
        })
        .random([5, 3])
        .random([3, 5]),
    ]
}
