//! Under a memory budget: which kernels to run a second time, so that what they write need not be kept until it
//! is read again (rematerialization, as XLA has it; "gradient checkpointing" chosen by the planner).
//!
//! A value is read where it was written last, so a plan is its order of kernels, and any kernel may be put in again
//! before a reader: the same kernel writes the same bits. The search is greedy, and undoes what it can do without.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use wgrad_core::{NodeId, Op};

use super::live::{Life, Liveness, Touch, alive};
use super::{Kernel, Place, Plan, Recomputed, memory};

/// Floating-point operations that take about as long as a byte from memory; devices have 5 to 50.
const FLOPS_A_BYTE: u64 = 16;
/// What a dispatch costs however little it does.
const FLOPS_A_DISPATCH: u64 = 1 << 16;
/// Insertions that are tried out at a time, the most promising first.
const WIDTH: usize = 32;
/// How far back what is needed for a recomputation is recomputed itself.
const DEEPEST: usize = 8;
/// How often to aim lower because values did not fit side by side.
const TRIES: usize = 8;

type Order = Vec<Range<usize>>;

/// The plan with recomputations that bring its workspace within so many bytes; otherwise the smallest one found.
pub fn within(plan: &Plan, budget: u64) -> Result<Plan, Box<Plan>> {
    if plan.workspace <= budget {
        return Ok(plan.clone());
    }
    let search = Search::new(plan);
    match search.within(plan, budget) {
        Some(found) => Ok(found),
        None => {
            // The search is greedy: where it gave up, one for fewer bytes may get there yet.
            let least = search.smallest(plan);
            if least.workspace <= budget { Ok(least) } else { Err(Box::new(least)) }
        }
    }
}

/// The plan with the smallest workspace that recomputations are found for, up to a few percent.
pub fn smallest(plan: &Plan) -> Plan {
    Search::new(plan).smallest(plan)
}

/// What is known of a kernel that may run again.
struct Again {
    cost: u64,
    /// The step of the plan before which it must have run: a later one would see variables that have changed.
    before: usize,
}

struct Search {
    /// The kernels of the plan, and each of them once more as one that recomputes.
    kernels: Vec<Kernel>,
    liveness: Liveness,
    /// For each kernel of the plan how it runs again, if it may.
    again: Vec<Option<Again>>,
    /// For each value the kernel that writes it.
    producer: Vec<Option<usize>>,
}

/// The order of a plan in the making, and what is alive in it.
struct Draft {
    order: Order,
    /// By how many bytes each dispatch is above the goal.
    above: Vec<u64>,
}

impl Draft {
    fn excess(&self) -> u64 {
        self.above.iter().sum()
    }
}

/// A kernel to run again before a dispatch.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Insertion {
    kernel: usize,
    at: usize,
}

impl Search {
    fn new(plan: &Plan) -> Self {
        let count = plan.kernels.len();
        let mut doubled = plan.clone();
        doubled
            .kernels
            .extend(plan.kernels.iter().map(|kernel| Kernel { recomputes: true, ..kernel.clone() }));
        let liveness = Liveness::of(&doubled);
        let mut producer = vec![None; liveness.values.len()];
        for (kernel, stores) in liveness.stores[..count].iter().enumerate() {
            stores.iter().for_each(|&(_, value)| producer[value] = Some(kernel));
        }
        let updates = updates(plan);
        let mut again: Vec<Option<Again>> = (0..count).map(|_| None).collect();
        for step in plan.steps.iter().filter(|step| step.len() == 1) {
            again[step.start] = again_of(plan, &plan.kernels[step.start], &updates);
        }
        Self { kernels: doubled.kernels, liveness, again, producer }
    }

    fn within(&self, plan: &Plan, budget: u64) -> Option<Plan> {
        let mut goal = budget;
        for _ in 0..TRIES {
            let found = self.plan(plan, &self.order_within(plan.steps.clone(), goal)?);
            if found.workspace <= budget {
                return Some(found);
            }
            // Packing is content with gaps of a 64th.
            goal = goal.checked_sub((found.workspace - budget).max(budget / 64))?;
        }
        None
    }

    fn smallest(&self, plan: &Plan) -> Plan {
        let mut best = plan.clone();
        let mut refused = 0;
        while best.workspace.saturating_sub(refused) > best.workspace / 50 {
            let middle = refused + (best.workspace - refused) / 2;
            match self.within(plan, middle) {
                Some(found) => best = found,
                None => refused = middle,
            }
        }
        best
    }

    /// An order of the kernels in which no more bytes than the goal are alive at once.
    fn order_within(&self, order: Order, goal: u64) -> Option<Order> {
        let mut draft = self.draft(order, goal);
        while draft.excess() > 0 {
            draft = self.improved(&draft, goal)?;
        }
        Some(self.pruned(draft, goal).order)
    }

    fn draft(&self, order: Order, goal: u64) -> Draft {
        let lives = self.liveness.follow(&order, |_| {});
        let above = alive(&lives, order.len()).into_iter().map(|bytes| bytes.saturating_sub(goal)).collect();
        Draft { order, above }
    }

    /// The draft with the insertion that saves most for its cost.
    fn improved(&self, draft: &Draft, goal: u64) -> Option<Draft> {
        let (lives, reads) = self.follow(&draft.order);
        let candidates = self.candidates(draft, &lives, &reads);
        let before = draft.excess();
        for candidates in candidates.chunks(WIDTH) {
            let mut best: Option<(f64, Draft)> = None;
            for &insertion in candidates {
                for kernels in self.chains(insertion, draft, &lives) {
                    let cost: u64 = kernels.iter().map(|&kernel| self.cost(kernel)).sum();
                    let next = self.draft(self.inserted(&draft.order, insertion.at, &kernels), goal);
                    let saved = before.saturating_sub(next.excess()) as f64 / cost.max(1) as f64;
                    if saved > best.as_ref().map_or(0.0, |(most, _)| *most) {
                        best = Some((saved, next));
                    }
                }
            }
            if let Some((_, best)) = best {
                return Some(best);
            }
        }
        None
    }

    /// The lives of all values, and the dispatches that touch each.
    fn follow(&self, order: &Order) -> (Vec<Life>, Vec<Vec<usize>>) {
        let mut touched: Vec<Vec<usize>> = vec![];
        let lives = self.liveness.follow(order, |Touch { life, at, .. }| {
            if touched.len() <= life {
                touched.resize(life + 1, vec![]);
            }
            touched[life].push(at);
        });
        touched.resize(lives.len(), vec![]);
        (lives, touched)
    }

    /// What could be written again before the end of a pause in which nothing reads it and too much is alive,
    /// the most promising first.
    fn candidates(&self, draft: &Draft, lives: &[Life], touched: &[Vec<usize>]) -> Vec<Insertion> {
        let mut weights: HashMap<Insertion, f64> = HashMap::new();
        for (life, touched) in lives.iter().zip(touched) {
            let Some(kernel) = self.producer[life.value] else { continue };
            for pause in touched.windows(2).filter(|pause| pause[0] + 1 < pause[1]) {
                let (begin, at) = (pause[0] + 1, pause[1]);
                let saved: u64 = draft.above[begin..at].iter().map(|&above| above.min(life.bytes)).sum();
                if saved > 0 && self.may_run(kernel, &draft.order, at) {
                    let weight = saved as f64 / self.cost(kernel) as f64;
                    *weights.entry(Insertion { kernel, at }).or_default() += weight;
                }
            }
        }
        let mut candidates: Vec<(Insertion, f64)> = weights.into_iter().collect();
        candidates.sort_by(|(a, x), (b, y)| y.total_cmp(x).then((a.at, a.kernel).cmp(&(b.at, b.kernel))));
        candidates.into_iter().map(|(insertion, _)| insertion).collect()
    }

    /// The kernels to run for an insertion: it alone, which keeps alive what it reads; or after others that
    /// write what is no longer alive by then, and so on further back.
    fn chains(&self, insertion: Insertion, draft: &Draft, lives: &[Life]) -> Vec<Vec<usize>> {
        let Insertion { kernel, at } = insertion;
        // Values that are read at this dispatch or later are there anyway.
        let alive = lives.iter().filter(|life| life.first < at && life.last >= at);
        let alive: HashSet<usize> = alive.map(|life| life.value).collect();
        let mut chains: Vec<Vec<usize>> = vec![];
        for depth in 0..=DEEPEST {
            let mut chain = vec![];
            self.chain(kernel, depth, &draft.order, at, &alive, &mut chain);
            if chains.last() == Some(&chain) {
                break;
            }
            chains.push(chain);
        }
        chains
    }

    fn chain(
        &self,
        kernel: usize,
        depth: usize,
        order: &Order,
        at: usize,
        alive: &HashSet<usize>,
        chain: &mut Vec<usize>,
    ) {
        for &(_, value) in self.liveness.loads[kernel].iter().filter(|_| depth > 0) {
            let Some(source) = self.producer[value].filter(|_| !alive.contains(&value)) else { continue };
            if !chain.contains(&source) && self.may_run(source, order, at) {
                self.chain(source, depth - 1, order, at, alive, chain);
            }
        }
        if !chain.contains(&kernel) {
            chain.push(kernel);
        }
    }

    fn cost(&self, kernel: usize) -> u64 {
        self.again[kernel].as_ref().map_or(u64::MAX, |again| again.cost)
    }

    /// Whether a kernel may run again before a dispatch.
    fn may_run(&self, kernel: usize, order: &Order, at: usize) -> bool {
        let Some(again) = &self.again[kernel] else { return false };
        let steps = order[..at].iter().filter(|step| step.start < self.again.len()).count();
        steps <= again.before
    }

    fn inserted(&self, order: &Order, at: usize, kernels: &[usize]) -> Order {
        let again = kernels.iter().map(|&kernel| {
            let kernel = self.again.len() + kernel;
            kernel..kernel + 1
        });
        order[..at].iter().cloned().chain(again).chain(order[at..].iter().cloned()).collect()
    }

    /// Takes out recomputations, the dearest first, that later ones have made unnecessary.
    fn pruned(&self, mut draft: Draft, goal: u64) -> Draft {
        let again = |order: &Order| -> Vec<usize> {
            (0..order.len()).filter(|&at| order[at].start >= self.again.len()).collect()
        };
        let mut kept = 0;
        loop {
            let mut left = again(&draft.order);
            left.sort_by_key(|&at| {
                (std::cmp::Reverse(self.cost(draft.order[at].start - self.again.len())), at)
            });
            let Some(&at) = left.get(kept) else { return draft };
            let mut order = draft.order.clone();
            order.remove(at);
            let without = self.draft(order, goal);
            if without.excess() == 0 { draft = without } else { kept += 1 }
        }
    }

    /// The plan with its kernels in another order.
    fn plan(&self, plan: &Plan, order: &Order) -> Plan {
        let mut found = plan.clone();
        (found.kernels, found.steps) = (vec![], vec![]);
        for step in order {
            let start = found.kernels.len();
            found.kernels.extend_from_slice(&self.kernels[step.clone()]);
            found.steps.push(start..found.kernels.len());
        }
        memory::place_again(&mut found);
        let again = found.kernels.iter().filter(|kernel| kernel.recomputes);
        found.recomputed = Some(Recomputed {
            dispatches: again.clone().count(),
            flops: again.clone().map(|kernel| found.kernel_flops(kernel)).sum(),
            bytes: again.map(|kernel| found.kernel_bytes(kernel)).sum(),
            without: plan.workspace,
        });
        found
    }
}

/// For each variable that is updated in place the step that does it.
fn updates(plan: &Plan) -> HashMap<Arc<str>, usize> {
    let mut updates = HashMap::new();
    for (number, step) in plan.steps.iter().enumerate() {
        for id in plan.kernels[step.clone()].iter().flat_map(|kernel| &kernel.stores) {
            if let Some(Place::State(name)) = &plan.places[id.index()] {
                updates.insert(name.clone(), number);
            }
        }
    }
    updates
}

/// How a kernel runs again. What it reads must not have changed, except for variables that it updates itself and
/// that matter to nothing else: running statistics beside a batch's own. It then updates a copy that nothing
/// reads.
fn again_of(plan: &Plan, kernel: &Kernel, updates: &HashMap<Arc<str>, usize>) -> Option<Again> {
    let in_state = |id: &NodeId| match &plan.places[id.index()] {
        Some(Place::State(name)) => Some(name),
        _ => None,
    };
    let own: HashSet<&Arc<str>> = kernel.stores.iter().filter_map(in_state).collect();
    let is_own = |id: &NodeId| in_state(id).is_some_and(|name| own.contains(name));
    let wanted: Vec<NodeId> = kernel.stores.iter().copied().filter(|id| in_state(id).is_none()).collect();
    if wanted.is_empty() || !own.is_empty() && depends(plan, kernel, wanted, is_own) {
        return None;
    }
    let others = kernel.loads.iter().filter_map(in_state).filter(|name| !own.contains(*name));
    let before = others.filter_map(|name| updates.get(name)).min();
    let cost = plan.kernel_flops(kernel) + FLOPS_A_BYTE * plan.kernel_bytes(kernel) + FLOPS_A_DISPATCH;
    Some(Again { cost, before: before.copied().unwrap_or(usize::MAX) })
}

/// Whether values are computed, within their kernel, from variables of which `is_own` says yes.
fn depends(plan: &Plan, kernel: &Kernel, mut open: Vec<NodeId>, is_own: impl Fn(&NodeId) -> bool) -> bool {
    let mut seen: HashSet<NodeId> = HashSet::new();
    while let Some(id) = open.pop() {
        let node = plan.recording.node(id);
        let is_variable = matches!(node.op, Op::Variable(_));
        if is_variable && is_own(&id) {
            return true;
        }
        if !kernel.loads.contains(&id) && seen.insert(id) {
            open.extend(&node.inputs);
        }
    }
    false
}
