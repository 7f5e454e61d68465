//! Maps: every invocation computes one element, or four neighbours.

use super::emit::Emitter;
use super::{Body, Lanes, Shaping};
use crate::plan::Kernel;
use crate::plan::index::Index;

/// Fewer elements than this are not worth reading four at once.
const NARROW: usize = 1024;

pub(super) fn write(emitter: &mut Emitter<'_>, kernel: &Kernel, numel: usize, shaping: &Shaping) -> Body {
    let lanes =
        if numel.is_multiple_of(shaping.map_lanes) && numel >= NARROW { shaping.map_lanes } else { 1 };
    let count = numel / lanes;
    emitter.line(&format!("let t = group * {}u + lid;", shaping.map_workgroup));
    emitter.line(&format!("if (t >= {count}u) {{ return; }}"));
    elements(emitter, kernel, count, lanes);
    Body {
        text: emitter.finish(),
        globals: String::new(),
        workgroup: shaping.map_workgroup,
        groups: (count as u64).div_ceil(u64::from(shaping.map_workgroup)),
        lanes: Lanes::Workgroup,
    }
}

/// Invocations of a workgroup, elements of an invocation, and what the most loaded part of a device has to do.
pub(super) fn widths(numel: usize, shaping: &Shaping) -> Vec<(u32, usize, f64)> {
    let lanes =
        [4, 1].into_iter().filter(|lanes| *lanes == 1 || numel.is_multiple_of(*lanes) && numel >= NARROW);
    let width = |(workgroup, lanes): (u32, usize)| {
        let covered = numel.next_multiple_of(workgroup as usize * lanes);
        (
            workgroup,
            lanes,
            (covered * shaping.enough().max(covered / lanes)) as f64 / (covered / lanes) as f64,
        )
    };
    lanes.flat_map(|lanes| [32, 64, 128, 256].map(|workgroup| (workgroup, lanes))).map(width).collect()
}

/// Elements that a workgroup of a packed map covers.
pub(super) fn packed_share(shaping: &Shaping) -> usize {
    4 * shaping.map_workgroup as usize
}

/// A map as part of a packed dispatch: `t` counts groups of four within one of its tensors. Elements beyond
/// the end of a tensor lie in its padding.
pub(super) fn write_packed(emitter: &mut Emitter<'_>, kernel: &Kernel, numel: usize) -> String {
    elements(emitter, kernel, numel.div_ceil(4), 4);
    emitter.finish()
}

/// Stores the elements `t * lanes` and following.
fn elements(emitter: &mut Emitter<'_>, kernel: &Kernel, count: usize, lanes: usize) {
    emitter.widest = lanes;
    let (atom, t) = emitter.indices.named_var(count, 0);
    emitter.define(atom, "t");
    let mut stores = vec![];
    for &node in &kernel.stores {
        let shape = emitter.plan.recording.node(node).spec.shape.clone();
        let at = |lane: usize| {
            let position = t.times(lanes as i64).offset(lane as i64);
            emitter.indices.unflatten(&position, &shape)
        };
        let positions: Vec<Vec<Index>> = (0..lanes).map(at).collect();
        emitter.prepare(&[node], &positions);
        stores.push((node, positions));
    }
    stores.iter().for_each(|(node, positions)| emitter.store(*node, positions));
}
