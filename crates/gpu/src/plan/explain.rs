//! A readable listing of a plan: kernels, what was fused into each, flops, bytes and places.

use std::collections::HashSet;
use std::fmt::Write;

use wgrad_core::{Node, NodeId};

use super::{Archetype, Kernel, Place, Plan, Recomputed};

impl Plan {
    /// Floating-point operations of the whole step, by the operations' own count.
    pub fn flops(&self) -> u64 {
        (0..self.recording.nodes.len()).map(|index| self.node_flops(NodeId(index as u32))).sum()
    }

    fn node_flops(&self, id: NodeId) -> u64 {
        let node = self.recording.node(id);
        node.op.primitive().flops(&self.recording.input_specs(id), &node.spec)
    }

    /// Floating-point operations of a kernel: of its nodes and of what is computed in passing.
    pub fn kernel_flops(&self, kernel: &Kernel) -> u64 {
        let (mut seen, mut stack, mut flops) = (HashSet::new(), kernel.nodes.clone(), 0);
        while let Some(id) = stack.pop() {
            if !kernel.loads.contains(&id) && seen.insert(id) {
                flops += self.node_flops(id);
                stack.extend(&self.recording.node(id).inputs);
            }
        }
        flops
    }

    /// Bytes that a kernel reads and writes, each tensor counted once.
    pub fn kernel_bytes(&self, kernel: &Kernel) -> u64 {
        let bytes = |id: &NodeId| self.recording.node(*id).spec.bytes() as u64;
        kernel.loads.iter().chain(&kernel.stores).map(bytes).sum()
    }

    /// What the kernels of a dispatch iterate over.
    pub fn label(&self, kernels: &[Kernel]) -> String {
        let [kernel] = kernels else { return format!("{} maps", kernels.len()) };
        match &kernel.archetype {
            Archetype::Map { numel } => format!("map over {numel}"),
            Archetype::Row { shape, axes } => format!("reduce {shape} along {axes:?}"),
            Archetype::Contract { node } => {
                format!("contract to {}", self.recording.node(*node).spec.shape)
            }
            Archetype::Attention { node } => {
                let Node { op, inputs, .. } = self.recording.node(*node);
                let [q, k] = [inputs[0], inputs[1]].map(|id| &self.recording.node(id).spec.shape);
                format!("{} of {q} and {k}", op.name())
            }
            Archetype::Wgsl { node } => {
                let node = self.recording.node(*node);
                format!("own kernel `{}` to {}", node.op.name(), node.spec.shape)
            }
        }
    }

    /// The listing.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_listing(&mut text);
        text
    }

    fn write_listing(&self, text: &mut String) -> std::fmt::Result {
        let waits = self.waits();
        writeln!(
            text,
            "{} dispatches, {} of which wait for those before, {:.2} MFLOP, workspace {} bytes (no plan can do with less \
             than {})",
            self.steps.len(),
            waits.iter().filter(|waits| **waits).count(),
            self.flops() as f64 / 1e6,
            self.workspace,
            self.lower_bound
        )?;
        if let Some(Recomputed { dispatches, flops, bytes, without }) = self.recomputed {
            writeln!(
                text,
                "{dispatches} of the dispatches recompute: {flops} flop, {bytes} bytes; without them the workspace \
                 would have {without} bytes"
            )?;
        }
        let numbered =
            self.steps.iter().enumerate().flat_map(|(number, step)| step.clone().map(move |k| (number, k)));
        for (number, kernel) in numbered {
            let kernel = &self.kernels[kernel];
            let over = self.label(std::slice::from_ref(kernel));
            let (flops, bytes) = (self.kernel_flops(kernel), self.kernel_bytes(kernel));
            let again = if kernel.recomputes { ", once more" } else { "" };
            let beside = if number == 0 || waits[number] { "" } else { ", beside the one before" };
            writeln!(text, "k{number}: {over}, {flops} flop, {bytes} bytes{again}{beside}")?;
            for id in &kernel.nodes {
                let node = self.recording.node(*id);
                let is_stored = kernel.stores.contains(id);
                let kept = if is_stored { self.place_name(kernel, *id) } else { "in registers".into() };
                writeln!(text, "  %{} {} {}: {kept}  ({})", id.0, node.op.name(), node.spec, node.location)?;
            }
            let loads: Vec<String> =
                kernel.loads.iter().map(|id| format!("%{} {}", id.0, self.place_name(kernel, *id))).collect();
            writeln!(text, "  reads {}", loads.join(", "))?;
        }
        Ok(())
    }

    fn place_name(&self, kernel: &Kernel, id: NodeId) -> String {
        match self.place(kernel, id) {
            Some(Place::Workspace { offset, bytes }) => format!("@{offset}+{bytes}"),
            Some(Place::State(name)) => format!("`{name}`"),
            None => "nowhere".into(),
        }
    }
}
