//! A plan as a diagram: dispatches with what was fused into them, and the tensors that pass between them
//! through memory.

use std::collections::HashMap;

use wgrad_core::diagram::{Diagram, Kind, bytes};
use wgrad_core::{NodeId, Op};

use super::{Archetype, Kernel, Place, Plan};

impl Plan {
    /// The plan in Graphviz's language; see [`Plan::diagram`].
    pub fn to_dot(&self) -> String {
        self.diagram().to_dot()
    }

    /// The plan as an SVG picture; see [`Plan::diagram`].
    pub fn to_svg(&self) -> String {
        self.diagram().to_svg()
    }

    /// A block for every dispatch, in order: what it iterates over, the operations it was made for, its work,
    /// the variables that it reads and writes (with how many others that belong to one). Arrows are
    /// tensors in memory, with their bytes; single numbers are left out.
    pub fn diagram(&self) -> Diagram {
        let mut diagram = Diagram::new();
        // The block that a value comes from.
        let mut made: HashMap<NodeId, usize> = HashMap::new();
        for (index, node) in self.recording.nodes.iter().enumerate() {
            if let Op::Input(input) = &node.op {
                let lines = vec![input.name.to_string(), input.spec.to_string()];
                made.insert(NodeId(index as u32), diagram.block(Kind::Input, lines));
            }
        }
        for (number, step) in self.steps.iter().enumerate() {
            let kernels = &self.kernels[step.clone()];
            let block = diagram.block(self.kind(kernels), self.lines(number, kernels));
            for id in kernels.iter().flat_map(|kernel| &kernel.loads) {
                let spec = &self.recording.node(*id).spec;
                if let Some(&from) = made.get(id).filter(|_| spec.shape.numel() > 1) {
                    diagram.arrow(from, block, format!("{spec}, {}", bytes(spec.bytes() as u64)));
                }
            }
            for id in kernels.iter().flat_map(|kernel| &kernel.stores) {
                made.insert(*id, block);
            }
        }
        diagram
    }

    /// Whatever writes variables is an update, unless a contraction does it in passing.
    fn kind(&self, kernels: &[Kernel]) -> Kind {
        let writes_state =
            kernels.iter().flat_map(|kernel| &kernel.stores).any(|id| self.variable(*id).is_some());
        match kernels[0].archetype {
            Archetype::Contract { .. } | Archetype::Attention { .. } => Kind::Contraction,
            _ if writes_state => Kind::Update,
            Archetype::Row { .. } => Kind::Reduction,
            Archetype::Map { .. } | Archetype::Wgsl { .. } => Kind::Map,
        }
    }

    fn lines(&self, number: usize, kernels: &[Kernel]) -> Vec<String> {
        let mut lines = vec![format!("k{number}: {}", self.label(kernels))];
        lines.extend(wrapped(&self.operations(kernels)));
        let flops: u64 = kernels.iter().map(|kernel| self.kernel_flops(kernel)).sum();
        let moved: u64 = kernels.iter().map(|kernel| self.kernel_bytes(kernel)).sum();
        lines.push(format!("{} flop, {}", count(flops), bytes(moved)));
        let variables = |ids: &mut dyn Iterator<Item = &NodeId>| {
            let mut names: Vec<&str> = ids.filter_map(|id| self.variable(*id)).collect();
            names.dedup();
            names.into_iter().map(String::from).collect::<Vec<_>>()
        };
        let written = variables(&mut kernels.iter().flat_map(|kernel| &kernel.stores));
        let mut read = variables(&mut kernels.iter().flat_map(|kernel| &kernel.loads));
        read.retain(|name| !written.contains(name));
        let outputs = kernels.iter().flat_map(|kernel| &kernel.stores).filter(|id| self.outputs.contains(id));
        lines.extend(listed("reads", &read));
        lines.extend(listed("updates", &written));
        lines.extend(outputs.map(|id| format!("→ output {}", self.recording.node(*id).spec)));
        lines
    }

    /// The operations of the kernels' own nodes, each with how often it is there.
    fn operations(&self, kernels: &[Kernel]) -> Vec<String> {
        let mut counts: Vec<(&str, usize)> = vec![];
        for id in kernels.iter().flat_map(|kernel| &kernel.nodes) {
            let name = self.recording.node(*id).op.name();
            match counts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => counts.push((name, 1)),
            }
        }
        let named = |(name, count): (&str, usize)| {
            if count > 1 { format!("{count} × {name}") } else { name.to_owned() }
        };
        counts.into_iter().map(named).collect()
    }

    /// The variable that a value is, or becomes in place.
    fn variable(&self, id: NodeId) -> Option<&str> {
        match &self.places[id.index()] {
            Some(Place::State(name)) => Some(name),
            _ => None,
        }
    }
}

/// Two variables at most, and how many more there are. What an optimizer keeps about one of them is counted.
fn listed(what: &str, names: &[String]) -> Option<String> {
    let belongs = |name: &str, to: &String| name.strip_prefix(to).is_some_and(|rest| rest.starts_with('.'));
    let is_slot = |name: &&String| names.iter().any(|other| belongs(name, other));
    let mut variables = names.iter().filter(|name| !is_slot(name));
    let named = |name: &String| match names.iter().filter(|slot| belongs(slot, name)).count() {
        0 => name.clone(),
        slots => format!("{name} (+ {slots})"),
    };
    let shown: Vec<String> = variables.by_ref().take(2).map(named).collect();
    let more = match variables.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!shown.is_empty()).then(|| format!("{what} {}{more}", shown.join(", ")))
}

/// Lines of a few words each, three at most.
fn wrapped(words: &[String]) -> Vec<String> {
    const WIDTH: usize = 34;
    const MOST: usize = 3;
    let mut lines: Vec<String> = vec![];
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => {
                line.push_str(", ");
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    if lines.len() > MOST {
        lines.truncate(MOST);
        lines[MOST - 1].push_str(", …");
    }
    lines
}

/// A number with its thousands as a letter.
fn count(value: u64) -> String {
    match value {
        0..10_000 => value.to_string(),
        10_000..10_000_000 => format!("{} k", value / 1000),
        10_000_000..10_000_000_000 => format!("{} M", value / 1_000_000),
        _ => format!("{} G", value / 1_000_000_000),
    }
}
