//! Rewrites a recording into a smaller one of the same meaning: dead code goes, equal nodes become
//! one, constants are folded, and algebra that changes no bits is done.

use std::collections::HashMap;

use crate::ops::*;
use crate::{Array, DType, Node, NodeId, Op, Recording, Shape};

/// A smaller recording, and where each of the asked-for nodes went.
pub struct Simplified {
    /// The recording; its assigns and probes are renumbered.
    pub recording: Recording,
    /// The new ids of the outputs that were asked for.
    pub outputs: Vec<NodeId>,
}

/// Keeps what outputs, assigns and probes need. Values of kept nodes do not change, except that
/// scalars are folded in f64.
pub fn simplify(recording: &Recording, outputs: &[NodeId]) -> Simplified {
    let roots = outputs.iter().chain(recording.assigns.iter().map(|(_, id)| id));
    let roots = roots.chain(recording.probes.iter().map(|(_, id)| id));
    let mut live = vec![false; recording.nodes.len()];
    roots.for_each(|id| live[id.index()] = true);
    for index in (0..live.len()).rev().filter(|&index| recording.nodes[index].valid) {
        if live[index] {
            recording.nodes[index].inputs.iter().for_each(|input| live[input.index()] = true);
        }
    }

    let mut builder = Builder { nodes: Vec::new(), known: HashMap::new() };
    let mut renamed = vec![NodeId(0); recording.nodes.len()];
    for (index, node) in recording.nodes.iter().enumerate().filter(|(index, _)| live[*index]) {
        let inputs = node.inputs.iter().map(|input| renamed[input.index()]).collect();
        renamed[index] = builder.add(Node { inputs, ..node.clone() });
    }
    let rename = |id: &NodeId| renamed[id.index()];
    let assigns = recording.assigns.iter().map(|(var, id)| (var.clone(), rename(id))).collect();
    let probes = recording.probes.iter().map(|(name, id)| (name.clone(), rename(id))).collect();
    let outputs: Vec<NodeId> = outputs.iter().map(rename).collect();
    let recording = Recording { nodes: builder.nodes, assigns, probes, ..recording.clone() };
    // Rewriting leaves nodes that nothing needs any more; one more sweep drops them.
    if recording.nodes.len() < live.len() && has_dead(&recording, &outputs) {
        return simplify(&recording, &outputs);
    }
    Simplified { recording, outputs }
}

fn has_dead(recording: &Recording, outputs: &[NodeId]) -> bool {
    let mut used = vec![false; recording.nodes.len()];
    let roots = outputs.iter().chain(recording.assigns.iter().map(|(_, id)| id));
    roots.chain(recording.probes.iter().map(|(_, id)| id)).for_each(|id| used[id.index()] = true);
    for node in &recording.nodes {
        node.inputs.iter().for_each(|input| used[input.index()] = true);
    }
    used.contains(&false)
}

struct Builder {
    nodes: Vec<Node>,
    known: HashMap<(Op, Vec<NodeId>), NodeId>,
}

impl Builder {
    fn add(&mut self, node: Node) -> NodeId {
        let node = match self.rewrite(node) {
            Rewrite::Same(id) => return id,
            Rewrite::Node(node) => node,
        };
        let key = (node.op.clone(), node.inputs.clone());
        if let Some(&id) = self.known.get(&key) {
            return id;
        }
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        self.known.insert(key, id);
        id
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The number that every element of a node equals, if it is known.
    fn uniform(&self, id: NodeId) -> Option<f64> {
        let node = self.node(id);
        match &node.op {
            Op::Scalar(scalar) => Some(scalar.value()),
            Op::Expand(_) | Op::Reshape(_) | Op::Permute(_) => self.uniform(node.inputs[0]),
            _ => None,
        }
    }

    /// A tensor of one value in the shape of a node.
    fn splat(&mut self, value: f64, like: &Node) -> Rewrite {
        let shape = &like.spec.shape;
        let dtype = like.spec.dtype;
        let mut step = |op: Op, inputs: Vec<NodeId>, shape: &Shape| {
            let spec = crate::TensorSpec::new(dtype, shape);
            self.add(Node { op, inputs, spec, ..like.clone() })
        };
        let mut id = step(Scalar::exact(value, dtype).into(), vec![], &Shape::scalar());
        if shape.rank() > 0 {
            let ones: Shape = shape.iter().map(|_| 1).collect();
            id = step(Reshape { shape: ones.clone() }.into(), vec![id], &ones);
            if ones != *shape {
                id = step(Expand { shape: shape.clone() }.into(), vec![id], shape);
            }
        }
        Rewrite::Same(id)
    }

    fn rewrite(&mut self, node: Node) -> Rewrite {
        let first = node.inputs.first().copied();
        let same_spec = first.is_some_and(|id| self.node(id).spec == node.spec);
        match &node.op {
            Op::Reshape(_) | Op::Expand(_) | Op::Cast(_) if same_spec => Rewrite::Same(node.inputs[0]),
            Op::Detach(_) => Rewrite::Same(node.inputs[0]),
            // A kernel is offered to the compiler, unless the definition says what all elements are.
            Op::Custom(custom) if custom.kernel.is_none() || self.uniform(node.inputs[0]).is_some() => {
                Rewrite::Same(node.inputs[0])
            }
            Op::Permute(permute) if permute.axes.is_sorted() => Rewrite::Same(node.inputs[0]),
            Op::Flip(flip) if flip.axes.is_empty() => Rewrite::Same(node.inputs[0]),
            Op::Slice(_) | Op::Pad(_) if same_spec => Rewrite::Same(node.inputs[0]),
            Op::Concat(_) if node.inputs.len() == 1 => Rewrite::Same(node.inputs[0]),
            Op::Reshape(reshape) => {
                let inner = self.node(node.inputs[0]);
                if matches!(inner.op, Op::Reshape(_)) {
                    let inputs = inner.inputs.clone();
                    return self.rewrite(Node { op: reshape.clone().into(), inputs, ..node });
                }
                Rewrite::Node(node)
            }
            Op::Unary(_) | Op::Binary(_) | Op::Select(_) | Op::Compare(_) | Op::Cast(_) => self.fold(node),
            _ => Rewrite::Node(node),
        }
    }

    /// Elementwise operations: all operands known, or one of them neutral.
    fn fold(&mut self, node: Node) -> Rewrite {
        let known: Vec<Option<f64>> = node.inputs.iter().map(|&id| self.uniform(id)).collect();
        if known.iter().all(Option::is_some) {
            let values: Vec<Array> = known
                .iter()
                .zip(&node.inputs)
                .map(|(value, &id)| Array::new(self.node(id).spec.dtype, [], vec![value.unwrap_or(0.0)]))
                .collect();
            let spec = crate::TensorSpec::new(node.spec.dtype, []);
            let value = node.op.primitive().evaluate(&values.iter().collect::<Vec<_>>(), &spec).item();
            if node.spec.dtype == DType::Bool {
                return Rewrite::Node(node);
            }
            // As exact as it is, unless its dtype holds nothing so large.
            let rounded = node.spec.dtype.round(value);
            return self.splat(if rounded.is_finite() { value } else { rounded }, &node);
        }
        let (a, b) = (known[0], known.get(1).copied().flatten());
        match &node.op {
            Op::Binary(Binary { kind }) => match (kind, a, b) {
                // x + 0 is x for every x but −0; x · 1, x / 1 and x − 0 always are.
                (BinaryKind::Add, Some(0.0), _) => Rewrite::Same(node.inputs[1]),
                (BinaryKind::Add | BinaryKind::Sub, _, Some(0.0)) => Rewrite::Same(node.inputs[0]),
                (BinaryKind::Mul, Some(1.0), _) => Rewrite::Same(node.inputs[1]),
                (BinaryKind::Mul | BinaryKind::Div | BinaryKind::Pow, _, Some(1.0)) => {
                    Rewrite::Same(node.inputs[0])
                }
                _ => Rewrite::Node(node),
            },
            Op::Unary(Unary { kind: UnaryKind::Neg }) => {
                let inner = self.node(node.inputs[0]);
                match inner.op {
                    Op::Unary(Unary { kind: UnaryKind::Neg }) => Rewrite::Same(inner.inputs[0]),
                    _ => Rewrite::Node(node),
                }
            }
            _ => Rewrite::Node(node),
        }
    }
}

enum Rewrite {
    Same(NodeId),
    Node(Node),
}
