//! Reductions, with maps over what is reduced and over the results: softmax, layer norm, losses and
//! their gradients are kernels of this kind.
//!
//! One invocation, or one workgroup, takes a row (all elements that reduce to one result) and passes over
//! it once per level of reductions that depend on each other, then once more to write maps of the row.
//! Where neighbouring results are neighbours in memory, an invocation takes four rows at once.

use wgrad_core::{NodeId, Op, Shape};

use super::emit::{Emitter, Value};
use super::join::{Finding, Sharers, combine, start};
use super::{Body, Shaping};
use crate::plan::fuse::is_row;
use crate::plan::index::Index;
use crate::plan::{ITERATIONS, Kernel};

/// Rows enough to give each lane one.
const ROWS_ALONE: usize = 128;
/// Lengths that are too much for a lane of its own: of rows whose elements are neighbours, which
/// with two operands fill a processor's first cache, and of others.
const LONG_ALONE: usize = 1024;
const LONG_ACROSS: usize = 8192;

struct Rows<'k> {
    kernel: &'k Kernel,
    shape: Shape,
    axes: Vec<usize>,
    kept: Vec<usize>,
    /// Rows per invocation and elements per pass of the loop; at most one of them is 4.
    row_lanes: usize,
    lanes: usize,
    sharers: Sharers,
    length: usize,
    rows: usize,
}

pub(super) fn write(
    emitter: &mut Emitter<'_>,
    kernel: &Kernel,
    shape: &Shape,
    axes: &[usize],
    shaping: &Shaping,
) -> Body {
    let kept: Vec<usize> = (0..shape.rank()).filter(|axis| !axes.contains(axis)).collect();
    let length: usize = axes.iter().map(|&axis| shape[axis]).product();
    let rows: usize = kept.iter().map(|&axis| shape[axis]).product();
    let innermost = (0..shape.rank()).rev().find(|&axis| shape[axis] > 1);
    let reduces_innermost = innermost.is_none_or(|axis| axes.contains(&axis));
    let lanes = if reduces_innermost && length.is_multiple_of(4) { 4 } else { 1 };
    let row_lanes = if !reduces_innermost && rows.is_multiple_of(4) { 4 } else { 1 };
    let wanted = (length / lanes).next_power_of_two() as u32;
    let together = reduces_innermost && is_row(shape, axes) && wanted >= 32;
    // Where rows are many and short, a lane takes one for itself.
    let whole = |id: &&NodeId| emitter.plan.recording.node(**id).spec.shape.numel() == shape.numel();
    let single = kernel.loads.iter().filter(whole).count() == 1;
    let short = match reduces_innermost {
        true => length < LONG_ALONE || single && length == LONG_ALONE,
        false => length < LONG_ACROSS,
    };
    let alone = rows / row_lanes >= ROWS_ALONE && short;
    let shares = |size: &u32| !alone && length / lanes >= 2 * *size as usize;
    let subgroup = shaping.subgroup.filter(shares);
    let rule = match subgroup {
        Some(size) => size,
        None if together => wanted.min(shaping.row_threads),
        None => 1,
    };
    let threads =
        shaping.row_share.filter(|&share| may_share(share, length / lanes, shaping)).unwrap_or(rule);
    let mut this = Rows {
        kernel,
        shape: shape.clone(),
        axes: axes.to_vec(),
        kept,
        row_lanes,
        lanes,
        sharers: Sharers::new(threads, shaping),
        length,
        rows,
    };
    emitter.widest = lanes.max(row_lanes);
    this.write(emitter, shaping)
}

/// Whether so many invocations can share a row of `steps`: a subgroup, a workgroup where barriers are not dear, or
/// one alone. Some software drivers end an invocation after 65,535 iterations.
fn may_share(share: u32, steps: usize, shaping: &Shaping) -> bool {
    let together = shaping.subgroup == Some(share) || share.is_power_of_two() && share <= shaping.row_threads;
    (share == 1 || together) && steps.div_ceil(share.max(1) as usize) <= ITERATIONS
}

/// The shares that are possible: what each iterates, in all and waiting for each other.
pub(super) fn shares(shape: &Shape, axes: &[usize], shaping: &Shaping) -> Vec<(u32, f64)> {
    let length: usize = axes.iter().map(|&axis| shape[axis]).product();
    let rows = shape.numel() / length.max(1);
    let shares = (0..=shaping.row_threads.max(1).ilog2()).map(|power| 1 << power).chain(shaping.subgroup);
    let possible = shares.filter(|&share| may_share(share, length, shaping));
    let work = |share: u32| {
        let steps = length.div_ceil(share as usize) + share.ilog2() as usize;
        let (busy, wanted) = (rows * share as usize, shaping.enough());
        (share, (rows * share as usize * steps) as f64 * wanted.max(busy) as f64 / busy.max(1) as f64)
    };
    possible.map(work).collect()
}

impl Rows<'_> {
    fn write(&mut self, emitter: &mut Emitter<'_>, shaping: &Shaping) -> Body {
        let (tasks, threads) = (self.rows / self.row_lanes, self.sharers.threads);
        let workgroup = if threads > 1 { threads } else { shaping.map_workgroup.min(64) };
        if threads > 1 {
            emitter.line("let t = group;");
        } else {
            emitter.line(&format!("let t = group * {workgroup}u + lid;"));
        }
        emitter.line(&format!("if (t >= {tasks}u) {{ return; }}"));
        let (atom, t) = emitter.indices.named_var(tasks, 0);
        emitter.define(atom, "t");
        let rows: Vec<Vec<Index>> = (0..self.row_lanes)
            .map(|lane| {
                let row = t.times(self.row_lanes as i64).offset(lane as i64);
                self.row_index(emitter, &row)
            })
            .collect();

        for level in self.levels(emitter) {
            self.reduce(emitter, &level, &rows);
        }
        let (whole, results): (Vec<NodeId>, Vec<NodeId>) =
            self.kernel.stores.iter().partition(|&&id| self.is_whole(emitter, id));
        if !whole.is_empty() && self.length > 0 {
            self.pass(emitter, |emitter, position| {
                for row in &rows {
                    let lanes: Vec<Vec<Index>> =
                        position.iter().map(|reduced| self.merge(row, reduced)).collect();
                    emitter.prepare(&whole, &lanes);
                    whole.iter().for_each(|&node| emitter.store(node, &lanes));
                }
            });
        }
        if !whole.is_empty() && self.may_be_late(emitter, shaping, &results) {
            emitter.line("storageBarrier();");
        }
        if !results.is_empty() {
            self.write_results(emitter, &results, &rows);
        }
        Body {
            text: emitter.finish(),
            globals: self.sharers.globals(),
            workgroup,
            groups: if threads > 1 { tasks as u64 } else { (tasks as u64).div_ceil(workgroup.into()) },
            lanes: self.sharers.lanes(),
        }
    }

    /// The multi-index of a row with the reduced axes at 0.
    fn row_index(&self, emitter: &mut Emitter<'_>, row: &Index) -> Vec<Index> {
        let extents: Vec<usize> = self.kept.iter().map(|&axis| self.shape[axis]).collect();
        let parts = emitter.indices.unflatten(row, &extents);
        let mut index = vec![Index::default(); self.shape.rank()];
        for (&axis, part) in self.kept.iter().zip(parts) {
            index[axis] = part;
        }
        index
    }

    fn merge(&self, row: &[Index], reduced: &[Index]) -> Vec<Index> {
        let mut index = row.to_vec();
        for (&axis, part) in self.axes.iter().zip(reduced) {
            index[axis] = part.clone();
        }
        index
    }

    /// Whether a stored node has the shape of what is reduced rather than of the results.
    fn is_whole(&self, emitter: &Emitter<'_>, id: NodeId) -> bool {
        let node = emitter.plan.recording.node(id);
        !matches!(node.op, Op::Reduce(_))
            && node.spec.shape == self.shape
            && self.shape != self.shape.reduced(&self.axes)
    }

    /// The reductions, grouped so that each group depends only on the groups before it.
    fn levels(&self, emitter: &Emitter<'_>) -> Vec<Vec<NodeId>> {
        let recording = &emitter.plan.recording;
        let mut level_of: Vec<(NodeId, usize)> = vec![];
        let mut levels: Vec<Vec<NodeId>> = vec![];
        for &id in &self.kernel.nodes {
            if !matches!(recording.node(id).op, Op::Reduce(_)) {
                continue;
            }
            // Any reduction of this kernel among the ancestors that are computed here comes first.
            let mut level = 0;
            let mut stack = recording.node(id).inputs.clone();
            let mut seen = std::collections::HashSet::new();
            while let Some(next) = stack.pop() {
                if !seen.insert(next) || self.kernel.loads.contains(&next) {
                    continue;
                }
                match level_of.iter().find(|(known, _)| *known == next) {
                    Some((_, below)) => level = level.max(below + 1),
                    None => stack.extend(&recording.node(next).inputs),
                }
            }
            level_of.push((id, level));
            if levels.len() <= level {
                levels.resize(level + 1, vec![]);
            }
            levels[level].push(id);
        }
        levels
    }

    /// A loop over the row; the body gets the positions along the reduced axes, one per lane.
    fn pass(&self, emitter: &mut Emitter<'_>, body: impl FnOnce(&mut Emitter<'_>, &[Vec<Index>])) {
        let steps = self.length / self.lanes;
        emitter.open();
        let depth = emitter.depth();
        let name = emitter.name("s");
        let (atom, s) = emitter.indices.named_var(steps, depth);
        emitter.define(atom, &name);
        let extents: Vec<usize> = self.axes.iter().map(|&axis| self.shape[axis]).collect();
        let positions: Vec<Vec<Index>> = (0..self.lanes)
            .map(|lane| {
                let position = s.times(self.lanes as i64).offset(lane as i64);
                emitter.indices.unflatten(&position, &extents)
            })
            .collect();
        body(emitter, &positions);
        let text = emitter.close();
        if self.sharers.threads == 1 {
            return emitter.repeat(&name, steps, &text);
        }
        let step = self.sharers.threads;
        emitter.line(&format!("for (var {name} = lid; {name} < {steps}u; {name} += {step}u) {{"));
        emitter.block(&text);
        emitter.line("}");
    }

    fn reduce(&mut self, emitter: &mut Emitter<'_>, level: &[NodeId], rows: &[Vec<Index>]) {
        let mut reductions: Vec<(NodeId, &[Index])> = vec![];
        let mut findings: Vec<Finding> = vec![];
        for &id in level {
            let node = emitter.plan.recording.node(id);
            let Op::Reduce(op) = &node.op else { continue };
            let finding = Finding { name: String::new(), kind: op.kind, dtype: node.spec.dtype };
            for row in rows {
                findings.push(start(emitter, &finding));
                reductions.push((id, row.as_slice()));
            }
        }
        if self.length > 0 {
            self.pass(emitter, |emitter, positions| {
                for ((id, row), Finding { name, kind, .. }) in reductions.iter().zip(&findings) {
                    let input = emitter.plan.recording.node(*id).inputs[0];
                    let mut terms: Vec<String> = positions
                        .iter()
                        .map(|reduced| emitter.value(input, &self.merge(row, reduced)).text)
                        .collect();
                    // Lanes are combined in pairs before they meet the accumulator.
                    while terms.len() > 1 {
                        terms = terms.chunks(2).map(|pair| combine(*kind, &pair[0], &pair[1])).collect();
                    }
                    emitter.line(&format!("{name} = {};", combine(*kind, name, &terms[0])));
                }
            });
        }
        let results = self.sharers.join(emitter, &findings);
        for ((id, row), text) in reductions.into_iter().zip(results) {
            emitter.know(id, row, Value { text, depth: 0 });
        }
    }

    /// Whether others who share the row may still have to read the old value of a variable when one updates it in place. A
    /// software adapter's subgroup does everything together.
    fn may_be_late(&self, emitter: &Emitter<'_>, shaping: &Shaping, results: &[NodeId]) -> bool {
        let threads = self.sharers.threads;
        let place = |id: &NodeId| emitter.plan.place(self.kernel, *id);
        let updates = |id: &NodeId| self.kernel.loads.iter().any(|load| place(load) == place(id));
        threads > 1 && shaping.subgroup != Some(threads) && results.iter().any(updates)
    }

    fn write_results(&self, emitter: &mut Emitter<'_>, results: &[NodeId], rows: &[Vec<Index>]) {
        if self.sharers.threads == 1 {
            self.store_results(emitter, results, rows);
            return;
        }
        emitter.open();
        self.store_results(emitter, results, rows);
        let text = emitter.close();
        emitter.line("if (lid == 0u) {");
        emitter.block(&text);
        emitter.line("}");
    }

    /// Results may be stored under another shape than the reduction gives them.
    fn store_results(&self, emitter: &mut Emitter<'_>, results: &[NodeId], rows: &[Vec<Index>]) {
        let reduced = self.shape.reduced(&self.axes);
        let mut stores = vec![];
        for &node in results {
            let shape = emitter.plan.recording.node(node).spec.shape.clone();
            let under_shape = |row: &Vec<Index>| {
                let position = emitter.indices.flatten(row, &reduced);
                emitter.indices.unflatten(&position, &shape)
            };
            let positions: Vec<Vec<Index>> = rows.iter().map(under_shape).collect();
            emitter.prepare(&[node], &positions);
            stores.push((node, positions));
        }
        stores.iter().for_each(|(node, positions)| emitter.store(*node, positions));
    }
}
