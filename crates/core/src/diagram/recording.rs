//! What was recorded, as a diagram: operations of one source line and one layer share a block.

use std::collections::{BTreeMap, HashMap};

use super::layers::line;
use super::{Diagram, Kind};
use crate::{Node, NodeId, Op, Recording, Tensor};

impl Tensor {
    /// What this tensor is computed from, as a diagram (as `torchviz` draws it for PyTorch).
    pub fn diagram(&self) -> Diagram {
        self.graph().recording().diagram(&[self.id()])
    }
}

impl Recording {
    /// Everything recorded, in Graphviz's language; see [`Recording::diagram`].
    pub fn to_dot(&self) -> String {
        let all: Vec<NodeId> = (0..self.nodes.len()).map(|index| NodeId(index as u32)).collect();
        self.diagram(&all).to_dot()
    }

    /// What some nodes are computed from. Operations that follow each other, come from one line of the
    /// user's program and belong to one layer are one block: it shows the layer (the prefix of the parameters
    /// that it reads), the operations, the shapes of what others use, and the line. Gradients belong to the line of
    /// what they are gradients of.
    pub fn diagram(&self, roots: &[NodeId]) -> Diagram {
        let shown = self.shown(roots);
        let layers = self.layers();
        let mut blocks: Vec<Vec<NodeId>> = vec![];
        let mut block_of = HashMap::new();
        let mut previous: Option<((&str, u32), &str)> = None;
        for index in (0..self.nodes.len()).filter(|&index| shown[index]) {
            let (id, node) = (NodeId(index as u32), &self.nodes[index]);
            let key = (line(node), layers[index].as_str());
            let is_input = matches!(node.op, Op::Input(_));
            if is_input || previous != Some(key) {
                blocks.push(vec![]);
            }
            previous = (!is_input).then_some(key);
            block_of.insert(id, blocks.len() - 1);
            blocks.last_mut().into_iter().for_each(|block| block.push(id));
        }
        let mut users: HashMap<NodeId, Vec<usize>> = HashMap::new();
        for (&id, &block) in &block_of {
            self.node(id).inputs.iter().for_each(|&input| users.entry(input).or_default().push(block));
        }

        let mut diagram = Diagram::new();
        for (position, block) in blocks.iter().enumerate() {
            let used_outside = |id: &&NodeId| {
                roots.contains(id) && !users.contains_key(id)
                    || users.get(id).is_some_and(|users| users.iter().any(|user| *user != position))
            };
            let results: Vec<NodeId> = block.iter().filter(used_outside).copied().collect();
            let layer = &layers[block[0].index()];
            diagram.block(self.kind(block), self.lines(block, layer, &results));
        }
        for (position, block) in blocks.iter().enumerate() {
            let mut read = BTreeMap::new();
            for id in block.iter().flat_map(|&id| &self.node(id).inputs) {
                if let Some(&from) = block_of.get(id).filter(|from| **from != position) {
                    read.insert(*id, from);
                }
            }
            for (id, from) in read {
                diagram.arrow(from, position, self.node(id).spec.to_string());
            }
        }
        diagram
    }

    /// What `roots` need and what changes from step to step: values of variables and constants, and what is
    /// computed from them alone, are part of the operations that read them.
    fn shown(&self, roots: &[NodeId]) -> Vec<bool> {
        let mut shown = vec![false; self.nodes.len()];
        roots.iter().for_each(|root| shown[root.index()] = true);
        for index in (0..shown.len()).rev().filter(|&index| self.nodes[index].valid) {
            if shown[index] {
                self.nodes[index].inputs.iter().for_each(|input| shown[input.index()] = true);
            }
        }
        let varies = self.varies();
        shown
            .iter()
            .zip(varies)
            .zip(&self.nodes)
            .map(|((shown, varies), node)| *shown && varies && node.valid)
            .collect()
    }

    fn kind(&self, block: &[NodeId]) -> Kind {
        let has = |is: fn(&Op) -> bool| block.iter().any(|id| is(&self.node(*id).op));
        if block.iter().any(|id| self.assigns.iter().any(|(_, value)| value == id)) {
            Kind::Update
        } else if has(|op| matches!(op, Op::Contract(_))) {
            Kind::Contraction
        } else if has(|op| matches!(op, Op::Reduce(_) | Op::ArgMax(_) | Op::CumSum(_) | Op::ScatterAdd(_))) {
            Kind::Reduction
        } else if has(|op| matches!(op, Op::Input(_))) {
            Kind::Input
        } else {
            Kind::Map
        }
    }

    fn lines(&self, block: &[NodeId], layer: &str, results: &[NodeId]) -> Vec<String> {
        if let Op::Input(input) = &self.node(block[0]).op {
            return vec![input.name.to_string(), input.spec.to_string()];
        }
        let nodes: Vec<&Node> = block.iter().map(|id| self.node(*id)).collect();
        let operations = operations(&nodes);
        let mut lines = if layer.is_empty() { vec![operations] } else { vec![layer.into(), operations] };
        let mut specs: Vec<String> = results.iter().map(|id| self.node(*id).spec.to_string()).collect();
        specs.dedup();
        lines.extend(specs.into_iter().take(2).map(|spec| format!("→ {spec}")));
        lines.extend(self.assigned(block));
        let (file, number) = line(nodes[0]);
        let file = file.rsplit(['/', '\\']).next().unwrap_or_default();
        lines.push(format!("{file}:{number}"));
        lines
    }

    fn assigned(&self, block: &[NodeId]) -> Option<String> {
        let names: Vec<&str> = self
            .assigns
            .iter()
            .filter(|(_, value)| block.contains(value))
            .map(|(var, _)| var.name())
            .collect();
        match names[..] {
            [] => None,
            [name] => Some(format!("updates {name}")),
            _ => Some(format!("updates {} variables", names.len())),
        }
    }
}

/// The operations in the order of their first use, without those that only change a shape where there are
/// others, each with how often it is there.
fn operations(nodes: &[&Node]) -> String {
    const MOST: usize = 5;
    let is_shape_alone = |node: &&&Node| {
        matches!(node.op, Op::Reshape(_) | Op::Expand(_) | Op::Permute(_) | Op::Cast(_) | Op::Detach(_))
    };
    let mut counts: Vec<(&str, usize)> = vec![];
    let all_move = nodes.iter().all(|node| is_shape_alone(&node));
    for node in nodes.iter().filter(|node| all_move || !is_shape_alone(node)) {
        match counts.iter_mut().find(|(name, _)| *name == node.op.name()) {
            Some((_, count)) => *count += 1,
            None => counts.push((node.op.name(), 1)),
        }
    }
    let rest: usize = counts.iter().skip(MOST).map(|(_, count)| count).sum();
    let name = |(name, count): &(&str, usize)| {
        if *count > 1 { format!("{count} × {name}") } else { (*name).to_owned() }
    };
    let mut names: Vec<String> = counts.iter().take(MOST).map(name).collect();
    if rest > 0 {
        names.push(format!("{rest} more"));
    }
    names.join(", ")
}
