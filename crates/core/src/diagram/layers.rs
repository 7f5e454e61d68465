//! Which layer of a model each node belongs to. A recording does not say it, but the names of parameters do.

use std::collections::HashMap;

use crate::{Node, NodeId, Op, Recording, VarKind};

impl Recording {
    /// Whether each node depends on an input or on random numbers; where none does, on variables.
    pub(super) fn varies(&self) -> Vec<bool> {
        let has_inputs = self.nodes.iter().any(|node| matches!(node.op, Op::Input(_)));
        let mut varies: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let own = match node.op {
                Op::Input(_) | Op::RandomBits(_) => true,
                Op::Variable(_) | Op::Constant(_) | Op::Scalar(_) => false,
                _ => !has_inputs,
            };
            varies.push(own || node.inputs.iter().any(|input| varies[input.index()]));
        }
        varies
    }

    /// The layer that each node belongs to. The prefix of a parameter's name names a layer: of what reads the
    /// parameter, of what moves or normalizes values for that on the same line, and of what follows on
    /// the same line.
    pub(super) fn layers(&self) -> Vec<String> {
        let varies = self.varies();
        let mut layers = self.layers_by_parameters(&varies);
        let prepares = self.prepares(&varies, &layers);
        let is_beside = |id: NodeId, node: &Node| varies[id.index()] && line(self.node(id)) == line(node);
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if !varies[index] || layers[index].is_empty() {
                continue;
            }
            let layer = layers[index].clone();
            for &input in node.inputs.iter().filter(|input| is_beside(**input, node)) {
                if prepares[input.index()] && layers[input.index()].is_empty() {
                    layers[input.index()].clone_from(&layer);
                }
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if layers[index].is_empty() {
                let named = |id: &&NodeId| is_beside(**id, node) && !layers[id.index()].is_empty();
                let latest = node.inputs.iter().filter(named).max();
                layers[index] = latest.map(|id| layers[id.index()].clone()).unwrap_or_default();
            }
        }
        layers
    }

    /// The layers of parameters, of what is computed from them alone, and of what reads that.
    fn layers_by_parameters(&self, varies: &[bool]) -> Vec<String> {
        let of_model =
            self.variables.iter().filter(|var| matches!(var.kind(), VarKind::Parameter | VarKind::Buffer));
        let prefixes: HashMap<&str, &str> = of_model
            .map(|var| (var.name(), var.name().rsplit_once('.').map_or("", |(prefix, _)| prefix)))
            .collect();
        let mut layers: Vec<String> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            layers.push(match &node.op {
                Op::Variable(variable) => {
                    prefixes.get(&*variable.name).copied().unwrap_or_default().to_owned()
                }
                _ => {
                    let read = node.inputs.iter().map(|input| input.index()).filter(|&input| !varies[input]);
                    let mut named = read.map(|input| &layers[input]).filter(|layer| !layer.is_empty());
                    named.next().cloned().unwrap_or_default()
                }
            });
        }
        layers
    }

    /// Whether each node, which reads no parameter, moves values or takes part in a reduction and what is
    /// done with it: a norm before its gain, a softmax before its product.
    fn prepares(&self, varies: &[bool], layers: &[String]) -> Vec<bool> {
        let mut normalizes: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let same_line = |input: &&NodeId| line(self.node(**input)) == line(node);
            let mut operands = node.inputs.iter().filter(same_line);
            let reduces = matches!(node.op, Op::Reduce(_)) || operands.any(|input| normalizes[input.index()]);
            normalizes.push(varies[index] && layers[index].is_empty() && reduces);
        }
        let prepares = |(index, node): (usize, &Node)| {
            normalizes[index] || varies[index] && layers[index].is_empty() && moves(node)
        };
        self.nodes.iter().enumerate().map(prepares).collect()
    }
}

/// The line of the user's program. Calls chained on one line differ in their columns, and belong together.
pub(super) fn line(node: &Node) -> (&'static str, u32) {
    (node.location.file(), node.location.line())
}

/// Whether an operation computes nothing but chooses where its values lie.
fn moves(node: &Node) -> bool {
    use Op::{Cast, Concat, Expand, Flip, Pad, Permute, Reshape, Slice, Slide, Unslide};
    matches!(
        node.op,
        Cast(_)
            | Concat(_)
            | Expand(_)
            | Flip(_)
            | Pad(_)
            | Permute(_)
            | Reshape(_)
            | Slice(_)
            | Slide(_)
            | Unslide(_)
    )
}
