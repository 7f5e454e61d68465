//! Gives every stored value its place: values whose lives do not overlap share bytes.

use std::collections::HashMap;
use std::sync::Arc;

use wgrad_core::{NodeId, Op, Recording};

use super::pack::SMALL;
use super::schedule::Schedule;
use super::{Place, Plan, bytes_of};

/// A value's bytes and the first and last dispatch (inclusive) that need them.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// The value.
    pub node: NodeId,
    /// Its size.
    pub bytes: u64,
    /// The dispatch that writes it; 0 for what is there before the first.
    pub first: usize,
    /// The last dispatch that reads it; the number of dispatches for what is read afterwards.
    pub last: usize,
}

/// Places every stored value of a schedule.
pub fn place(recording: Recording, outputs: Vec<NodeId>, schedule: Schedule) -> Plan {
    let Schedule { kernels, steps, in_place, copies } = schedule;
    let count = recording.nodes.len();
    let mut places: Vec<Option<Place>> = vec![None; count];
    for (index, node) in recording.nodes.iter().enumerate() {
        if let Op::Variable(variable) = &node.op {
            places[index] = Some(Place::State(variable.name.clone()));
        }
    }
    for (node, name) in &in_place {
        places[node.index()] = Some(Place::State(name.clone()));
    }

    let mut lives: HashMap<NodeId, Life> = HashMap::new();
    let mut touch = |id: NodeId, at: usize, first: bool| {
        if places[id.index()].is_some() {
            return;
        }
        let node = recording.node(id);
        let given = matches!(node.op, Op::Input(_) | Op::Constant(_));
        let bytes = bytes_of(node.spec.dtype, &node.spec.shape);
        let start = if given { 0 } else { at };
        let life = lives.entry(id).or_insert(Life { node: id, bytes, first: start, last: at });
        debug_assert!(given || !first || life.first == at, "a value is written once");
        life.last = life.last.max(at);
        // Constants are uploaded once and must survive every step.
        if matches!(node.op, Op::Constant(_)) {
            life.last = steps.len();
        }
    };
    for (at, step) in steps.iter().enumerate() {
        for kernel in &kernels[step.clone()] {
            kernel.stores.iter().for_each(|&id| touch(id, at, true));
            kernel.loads.iter().for_each(|&id| touch(id, at, false));
        }
    }
    let probes = recording.probes.iter().map(|(_, id)| id);
    let late = outputs.iter().chain(probes).chain(copies.iter().map(|(id, _)| id));
    late.for_each(|&id| touch(id, steps.len(), false));
    // An input that nothing reads still has to be accepted.
    for (index, node) in recording.nodes.iter().enumerate() {
        if matches!(node.op, Op::Input(_)) {
            touch(NodeId(index as u32), 0, false);
        }
    }

    let lives: Vec<Life> = lives.into_values().collect();
    let lower_bound = most_alive(&lives, steps.len());
    let (offsets, workspace) = pack(lives);
    for (life, offset) in offsets {
        places[life.node.index()] = Some(Place::Workspace { offset, bytes: life.bytes });
    }
    let copies: Vec<(NodeId, Arc<str>)> = copies;
    Plan { recording, outputs, kernels, steps, places, copies, workspace, lower_bound }
}

fn most_alive(lives: &[Life], steps: usize) -> u64 {
    let mut change = vec![0i64; steps + 2];
    for life in lives {
        change[life.first] += life.bytes as i64;
        change[life.last + 1] -= life.bytes as i64;
    }
    let mut alive = 0;
    change
        .iter()
        .map(|c| {
            alive += c;
            alive
        })
        .max()
        .unwrap_or(0) as u64
}

/// Greedy by size: small values, side by side, then the largest first, each at the lowest offset that is
/// free for its whole life.
fn pack(mut lives: Vec<Life>) -> (Vec<(Life, u64)>, u64) {
    lives.sort_by_key(|life| (life.bytes > SMALL, std::cmp::Reverse(life.bytes), life.node));
    let mut placed: Vec<(Life, u64)> = Vec::with_capacity(lives.len());
    let mut end = 0;
    for life in lives {
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(|(other, _)| other.first <= life.last && life.first <= other.last)
            .map(|(other, offset)| (*offset, offset + other.bytes))
            .collect();
        taken.sort_unstable();
        let mut offset = 0u64;
        for (start, stop) in taken {
            if offset + life.bytes <= start {
                break;
            }
            offset = offset.max(stop.next_multiple_of(Place::ALIGNMENT));
        }
        end = end.max(offset + life.bytes);
        placed.push((life, offset));
    }
    (placed, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_alive_together_do_not_overlap() {
        let life = |node, bytes, first, last| Life { node: NodeId(node), bytes, first, last };
        let lives: Vec<Life> = (0..60)
            .map(|i| life(i, 16 * (1 + u64::from(i * 7 % 13)), (i / 3) as usize, (i / 3 + i % 5) as usize))
            .collect();
        let bound = most_alive(&lives, 30);
        let (placed, end) = pack(lives);
        assert!(end >= bound);
        for (i, (a, at)) in placed.iter().enumerate() {
            for (b, bt) in &placed[..i] {
                let together = a.first <= b.last && b.first <= a.last;
                assert!(!together || at + a.bytes <= *bt || bt + b.bytes <= *at);
            }
        }
    }
}
