//! When the bytes of which values are needed. A value that is recomputed has several lives: every kernel reads
//! the one that was written last.

use std::collections::HashMap;
use std::ops::Range;

use wgrad_core::{NodeId, Op};

use super::{Place, Plan, bytes_of};

/// The bytes of a value from the dispatch that writes them to the last one that reads them, both inclusive.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// The node whose value it is.
    pub node: NodeId,
    /// Its size.
    pub bytes: u64,
    /// The dispatch that writes it; 0 for what is there before the first.
    pub first: usize,
    /// The last dispatch that reads it; the number of dispatches for what is read afterwards.
    pub last: usize,
    /// The number of the value.
    pub(super) value: usize,
}

/// A kernel's access to a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch {
    /// The dispatch; the number of dispatches for what is read afterwards.
    pub(super) at: usize,
    /// The kernel, if it is one.
    pub(super) kernel: Option<usize>,
    /// As which node.
    pub(super) node: NodeId,
    /// The number of the life.
    pub(super) life: usize,
}

/// Something that needs bytes in the workspace.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) node: NodeId,
    pub(super) bytes: u64,
    /// Whether it is there before the first dispatch.
    pub(super) given: bool,
    /// Whether it is read after the last one.
    kept: bool,
}

/// Which values the kernels of a plan read and write.
#[derive(Clone, Debug)]
pub(super) struct Liveness {
    pub(super) values: Vec<Value>,
    /// For each kernel what it writes, then what it reads: as which node, and which value.
    pub(super) stores: Vec<Vec<(NodeId, usize)>>,
    pub(super) loads: Vec<Vec<(NodeId, usize)>>,
}

impl Liveness {
    /// Of a plan in which everything that lies in the state has its place.
    pub(super) fn of(plan: &Plan) -> Self {
        let mut this = Self { values: vec![], stores: vec![], loads: vec![] };
        let mut known: HashMap<NodeId, usize> = HashMap::new();
        let in_state = |id: NodeId| match &plan.places[id.index()] {
            Some(Place::State(name)) => Some(name.clone()),
            _ => None,
        };
        for kernel in &plan.kernels {
            let (mut stores, mut loads) = (vec![], vec![]);
            let mut scratch = HashMap::new();
            for &id in &kernel.stores {
                match in_state(id) {
                    None => stores.push((id, this.value(plan, id, &mut known))),
                    // The state changes once: a second time, the new value goes where nothing reads it.
                    Some(name) if kernel.recomputes => {
                        let value = this.value(plan, id, &mut HashMap::new());
                        stores.push((id, value));
                        scratch.insert(name, value);
                    }
                    Some(_) => {}
                }
            }
            for &id in &kernel.loads {
                match in_state(id) {
                    None => loads.push((id, this.value(plan, id, &mut known))),
                    Some(name) => loads.extend(scratch.get(&name).map(|&value| (id, value))),
                }
            }
            this.stores.push(stores);
            this.loads.push(loads);
        }
        let probes = plan.recording.probes.iter().map(|(_, id)| id);
        let read_back = plan.outputs.iter().chain(probes).chain(plan.copies.iter().map(|(id, _)| id));
        for &id in read_back.filter(|id| in_state(**id).is_none()) {
            let value = this.value(plan, id, &mut known);
            this.values[value].kept = true;
        }
        // An input that nothing reads still has to be accepted.
        for (index, node) in plan.recording.nodes.iter().enumerate() {
            if matches!(node.op, Op::Input(_)) {
                this.value(plan, NodeId(index as u32), &mut known);
            }
        }
        this
    }

    fn value(&mut self, plan: &Plan, id: NodeId, known: &mut HashMap<NodeId, usize>) -> usize {
        *known.entry(id).or_insert_with(|| {
            let node = plan.recording.node(id);
            self.values.push(Value {
                node: id,
                bytes: bytes_of(node.spec.dtype, &node.spec.shape),
                given: matches!(node.op, Op::Input(_) | Op::Constant(_)),
                // Constants are uploaded once and must survive every step.
                kept: matches!(node.op, Op::Constant(_)),
            });
            self.values.len() - 1
        })
    }

    /// The lives of all values when kernels run in these steps. `see` is told of every access.
    pub(super) fn follow(&self, steps: &[Range<usize>], mut see: impl FnMut(Touch)) -> Vec<Life> {
        let mut lives: Vec<Life> = Vec::with_capacity(self.values.len());
        let mut current: Vec<Option<usize>> = vec![None; self.values.len()];
        let begin = |lives: &mut Vec<Life>, value: usize, at: usize| {
            let Value { node, bytes, .. } = self.values[value];
            lives.push(Life { node, bytes, first: at, last: at, value });
            lives.len() - 1
        };
        for (value, _) in self.values.iter().enumerate().filter(|(_, value)| value.given) {
            current[value] = Some(begin(&mut lives, value, 0));
        }
        for (at, step) in steps.iter().enumerate() {
            for kernel in step.clone() {
                for &(node, value) in &self.stores[kernel] {
                    let life = begin(&mut lives, value, at);
                    current[value] = Some(life);
                    see(Touch { at, kernel: Some(kernel), node, life });
                }
                for &(node, value) in &self.loads[kernel] {
                    let life = *current[value].get_or_insert_with(|| begin(&mut lives, value, at));
                    lives[life].last = at;
                    see(Touch { at, kernel: Some(kernel), node, life });
                }
            }
        }
        let at = steps.len();
        for (value, Value { node, .. }) in self.values.iter().enumerate().filter(|(_, value)| value.kept) {
            let life = *current[value].get_or_insert_with(|| begin(&mut lives, value, at));
            lives[life].last = at;
            see(Touch { at, kernel: None, node: *node, life });
        }
        lives
    }
}

/// The bytes that are alive at each dispatch, and after the last.
pub(super) fn alive(lives: &[Life], steps: usize) -> Vec<u64> {
    let mut change = vec![0i64; steps + 2];
    for life in lives {
        change[life.first] += life.bytes as i64;
        change[life.last + 1] -= life.bytes as i64;
    }
    let mut alive = 0;
    let sums = change[..=steps].iter().map(|c| {
        alive += c;
        alive as u64
    });
    sums.collect()
}

impl Plan {
    /// The lives of the values in the workspace.
    pub fn lives(&self) -> Vec<Life> {
        Liveness::of(self).follow(&self.steps, |_| {})
    }

    /// The values that are alive when most bytes are, the largest first.
    pub fn alive_at_peak(&self) -> Vec<Life> {
        let lives = self.lives();
        let alive = alive(&lives, self.steps.len());
        let peak = (0..alive.len()).max_by_key(|&at| alive[at]).unwrap_or(0);
        let mut lives: Vec<Life> =
            lives.into_iter().filter(|life| life.first <= peak && peak <= life.last).collect();
        lives.sort_by_key(|life| (std::cmp::Reverse(life.bytes), life.node));
        lives
    }

    /// A line for each of the largest values that are alive when most bytes are, with its place in the user's
    /// code.
    pub fn largest_at_peak(&self) -> String {
        const LARGEST: usize = 8;
        let line = |life: &Life| {
            let node = self.recording.node(life.node);
            format!("  {} {} ({} bytes) at {}\n", node.op.name(), node.spec, life.bytes, node.location)
        };
        self.alive_at_peak().iter().take(LARGEST).map(line).collect()
    }
}
