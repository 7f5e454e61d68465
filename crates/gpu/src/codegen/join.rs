//! How the invocations that share a row combine what each has found of it.
//!
//! One subgroup does so by itself. Where a workgroup may be several, each combines its own first, and all read what
//! every one has left in workgroup memory. Without subgroups it is a tree in workgroup memory. The order of a sum
//! depends on the subgroups' size and on nothing that happens in a run, so results have the same bits each time.

use std::collections::BTreeMap;

use wgrad_core::DType;
use wgrad_core::ops::ReduceKind;

use super::emit::{Emitter, register_type};
use super::{Lanes, Shaping};
use crate::adapter::Subgroups;

/// Findings that subgroups leave in workgroup memory for one barrier.
const TOGETHER: usize = 8;

/// What an invocation has found: a name, and what it is combined by.
#[derive(Clone)]
pub(super) struct Finding {
    pub(super) name: String,
    pub(super) kind: ReduceKind,
    pub(super) dtype: DType,
}

#[derive(Clone, Copy)]
enum Way {
    /// Nothing is shared.
    Alone,
    /// The workgroup is one subgroup.
    Subgroup,
    /// It is at most so many.
    Subgroups(u32),
    Tree,
}

/// The invocations that share a row: a workgroup, or one alone.
pub(super) struct Sharers {
    pub(super) threads: u32,
    way: Way,
    /// The elements of workgroup memory that are used, for each type.
    memory: BTreeMap<&'static str, u32>,
    /// The barriers between subgroups so far.
    barriers: usize,
}

impl Sharers {
    pub(super) fn new(threads: u32, shaping: &Shaping) -> Self {
        let way = match shaping.subgroups {
            _ if threads == 1 => Way::Alone,
            _ if shaping.subgroup == Some(threads) => Way::Subgroup,
            Some(sizes) if sizes.single() == Some(threads) => Way::Subgroup,
            Some(Subgroups { least, .. }) => Way::Subgroups(threads.div_ceil(least.max(1))),
            None => Way::Tree,
        };
        Self { threads, way, memory: BTreeMap::new(), barriers: 0 }
    }

    /// The built-in values that the kernel needs.
    pub(super) fn lanes(&self) -> Lanes {
        match self.way {
            Way::Alone | Way::Tree => Lanes::Workgroup,
            Way::Subgroup => Lanes::Subgroup,
            Way::Subgroups(_) => Lanes::Subgroups,
        }
    }

    /// Declares the workgroup memory that was used.
    pub(super) fn globals(&self) -> String {
        let declare = |(t, size)| format!("var<workgroup> shared_{t}: array<{t}, {size}>;\n");
        self.memory.iter().map(declare).collect()
    }

    /// Combines findings that do not depend on each other; every invocation gets all results.
    pub(super) fn join(&mut self, emitter: &mut Emitter<'_>, findings: &[Finding]) -> Vec<String> {
        match self.way {
            Way::Alone => findings.iter().map(|finding| finding.name.clone()).collect(),
            Way::Subgroup => findings.iter().map(|finding| in_subgroup(emitter, finding)).collect(),
            Way::Subgroups(most) => {
                let together = |findings| self.in_subgroups(emitter, findings, most);
                findings.chunks(TOGETHER).flat_map(together).collect()
            }
            Way::Tree => findings.iter().map(|finding| self.in_tree(emitter, finding)).collect(),
        }
    }

    /// Two halves of the memory take turns: whoever writes to one again has passed the barrier of the other, and with it
    /// everybody has read what was in the first.
    fn in_subgroups(&mut self, emitter: &mut Emitter<'_>, findings: &[Finding], most: u32) -> Vec<String> {
        let turn = self.barriers % 2 * TOGETHER;
        self.barriers += 1;
        let parts: Vec<String> = findings.iter().map(|finding| in_subgroup(emitter, finding)).collect();
        let mut places = vec![];
        emitter.line("if (lane == 0u) {");
        for (slot, (finding, part)) in findings.iter().zip(&parts).enumerate() {
            let first = (turn + slot) as u32 * most;
            let place = self.place(finding, first + most);
            emitter.line(&format!("  {place}[{first}u + min(subgroup, {}u)] = {part};", most - 1));
            places.push(format!("{place}[{first}u + other]"));
        }
        emitter.line("}");
        emitter.line("workgroupBarrier();");
        let all: Vec<Finding> = findings.iter().map(|finding| start(emitter, finding)).collect();
        // The sizes of subgroups are the driver's word, and nothing is read beyond it.
        emitter.line(&format!("for (var other = lane; other < min(subgroups, {most}u); other += lanes) {{"));
        for (Finding { name, kind, .. }, place) in all.iter().zip(&places) {
            emitter.line(&format!("  {name} = {};", combine(*kind, name, place)));
        }
        emitter.line("}");
        all.iter().map(|finding| in_subgroup(emitter, finding)).collect()
    }

    fn in_tree(&mut self, emitter: &mut Emitter<'_>, finding: &Finding) -> String {
        let shared = self.place(finding, self.threads);
        emitter.line(&format!("{shared}[lid] = {};", finding.name));
        emitter.line("workgroupBarrier();");
        let mut half = self.threads / 2;
        while half > 0 {
            let both = combine(finding.kind, &format!("{shared}[lid]"), &format!("{shared}[lid + {half}u]"));
            emitter.line(&format!("if (lid < {half}u) {{ {shared}[lid] = {both}; }}"));
            emitter.line("workgroupBarrier();");
            half /= 2;
        }
        let result = emitter.name("a");
        emitter.line(&format!("let {result} = {shared}[0];"));
        emitter.line("workgroupBarrier();");
        result
    }

    /// The workgroup memory for a finding's type, which must reach so far.
    fn place(&mut self, finding: &Finding, size: u32) -> String {
        let t = register_type(finding.dtype);
        let known = self.memory.entry(t).or_default();
        *known = size.max(*known);
        format!("shared_{t}")
    }
}

/// Declares a variable like a finding's, without anything found.
pub(super) fn start(emitter: &mut Emitter<'_>, finding: &Finding) -> Finding {
    let (name, dtype) = (emitter.name("a"), finding.dtype);
    let identity = emitter.literal(finding.kind.identity(dtype), dtype);
    emitter.line(&format!("var {name}: {} = {identity};", register_type(dtype)));
    Finding { name, ..*finding }
}

fn in_subgroup(emitter: &mut Emitter<'_>, Finding { name, kind, dtype }: &Finding) -> String {
    let result = emitter.name("a");
    let function = match kind {
        ReduceKind::Sum => "subgroupAdd",
        ReduceKind::Max => "subgroupMax",
    };
    // Half precision among lanes is the newest part of many drivers.
    match dtype {
        DType::F16 => emitter.line(&format!("let {result} = f16({function}(f32({name})));")),
        _ => emitter.line(&format!("let {result} = {function}({name});")),
    }
    result
}

pub(super) fn combine(kind: ReduceKind, a: &str, b: &str) -> String {
    match kind {
        ReduceKind::Sum => format!("({a} + {b})"),
        ReduceKind::Max => format!("max({a}, {b})"),
    }
}
