//! Gives every stored value its place: values whose lives do not overlap share bytes.

use std::cmp::Reverse;

use wgrad_core::{NodeId, Op, Recording};

use super::live::{Life, Liveness, Touch, alive};
use super::pack::SMALL;
use super::schedule::Schedule;
use super::{Place, Plan};

/// Places every stored value of a schedule, those in the workspace at multiples of `alignment`.
pub fn place(recording: Recording, outputs: Vec<NodeId>, schedule: Schedule, alignment: u64) -> Plan {
    let Schedule { kernels, steps, in_place, copies } = schedule;
    let in_state = recording.nodes.iter().map(|node| match &node.op {
        Op::Variable(variable) => Some(Place::State(variable.name.clone())),
        _ => None,
    });
    let mut places: Vec<Option<Place>> = in_state.collect();
    for (node, name) in in_place {
        places[node.index()] = Some(Place::State(name));
    }
    let (workspace, lower_bound, recomputed) = (0, 0, None);
    let mut plan = Plan {
        recording,
        outputs,
        kernels,
        steps,
        places,
        copies,
        alignment,
        workspace,
        lower_bound,
        recomputed,
    };
    place_again(&mut plan);
    plan
}

/// Places the values of a plan whose kernels have changed; what lies in the state stays there.
pub fn place_again(plan: &mut Plan) {
    let mut touches: Vec<Touch> = vec![];
    let lives = Liveness::of(plan).follow(&plan.steps, |touch| touches.push(touch));
    let (offsets, workspace) = pack(&lives, plan.alignment);
    plan.workspace = workspace;
    plan.lower_bound = alive(&lives, plan.steps.len()).into_iter().max().unwrap_or(0);
    let place = |life: usize| Place::Workspace { offset: offsets[life], bytes: lives[life].bytes };
    let in_state = |place: &Option<Place>| matches!(place, Some(Place::State(_)));
    plan.places.iter_mut().filter(|place| !in_state(place)).for_each(|place| *place = None);
    // What is read at the end is the last life, which comes last here.
    for (life, Life { node, .. }) in lives.iter().enumerate() {
        if !in_state(&plan.places[node.index()]) {
            plan.places[node.index()] = Some(place(life));
        }
    }
    plan.kernels.iter_mut().for_each(|kernel| kernel.elsewhere.clear());
    for touch in touches {
        let (Some(kernel), place) = (touch.kernel, place(touch.life)) else { continue };
        if plan.places[touch.node.index()].as_ref() != Some(&place) {
            plan.kernels[kernel].elsewhere.push((touch.node, place));
        }
    }
}

/// How often the values that reach highest are moved to the front.
const ROUNDS: usize = 16;

/// In a workspace not much larger than this, one binding reaches all values: WebGPU guarantees 128 MiB.
const REACH: u64 = 64 << 20;

/// The offset of each life, and the end of the last: small values, side by side where one binding has to reach them,
/// then the others, each at the lowest offset that is free for its whole life. Which order leaves the fewest gaps
/// depends on the lives. The largest first is mostly good enough; otherwise those first that are alive when most is
/// (greedy by size and by breadth; Pisarchyk and Lee, 2020), or the longest, and then whatever reached highest before
/// all others.
fn pack(lives: &[Life], alignment: u64) -> (Vec<u64>, u64) {
    let alive = alive(lives, lives.iter().map(|life| life.last).max().unwrap_or(0));
    let bound = alive.iter().copied().max().unwrap_or(0);
    let apart = bound > REACH;
    let length = |life: &Life| (life.last - life.first + 1) as u64;
    let weights: [&dyn Fn(&Life) -> u64; 4] = [
        &|life| life.bytes,
        &|life| alive[life.first..=life.last].iter().copied().max().unwrap_or(0),
        &|life| life.bytes * length(life),
        &|life| length(life),
    ];
    let mut best: Option<(Vec<u64>, u64)> = None;
    for weight in weights {
        let mut order: Vec<usize> = (0..lives.len()).collect();
        order.sort_by_key(|&at| (Reverse(weight(&lives[at])), Reverse(lives[at].bytes), lives[at].node));
        for _ in 0..ROUNDS {
            order.sort_by_key(|&at| apart && lives[at].bytes > SMALL);
            let (offsets, end) = pack_in_order(lives, &order, alignment);
            order.sort_by_key(|&at| offsets[at] + lives[at].bytes < end);
            if best.as_ref().is_none_or(|(_, least)| end < *least) {
                best = Some((offsets, end));
            }
            match best {
                Some(best) if best.1 <= bound + bound / 64 => return best,
                _ => {}
            }
        }
    }
    best.unwrap_or_default()
}

fn pack_in_order(lives: &[Life], order: &[usize], alignment: u64) -> (Vec<u64>, u64) {
    let mut offsets = vec![0; lives.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(lives.len());
    let mut end = 0;
    for &at in order {
        let life = &lives[at];
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(|&&other| lives[other].first <= life.last && life.first <= lives[other].last)
            .map(|&other| (offsets[other], offsets[other] + lives[other].bytes))
            .collect();
        taken.sort_unstable();
        let mut offset = 0u64;
        for (start, stop) in taken {
            if offset + life.bytes <= start {
                break;
            }
            offset = offset.max(stop.next_multiple_of(alignment));
        }
        end = end.max(offset + life.bytes);
        offsets[at] = offset;
        placed.push(at);
    }
    (offsets, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_alive_together_do_not_overlap() {
        let life = |node, bytes, first, last| Life { node: NodeId(node), bytes, first, last, value: 0 };
        let lives: Vec<Life> = (0..60)
            .map(|i| life(i, 16 * (1 + u64::from(i * 7 % 13)), (i / 3) as usize, (i / 3 + i % 5) as usize))
            .collect();
        let bound = alive(&lives, 30).into_iter().max().unwrap();
        let (offsets, end) = pack(&lives, 32);
        assert!(end >= bound);
        assert!(offsets.iter().all(|offset| offset % 32 == 0));
        for (i, a) in lives.iter().enumerate() {
            for (j, b) in lives[..i].iter().enumerate() {
                let together = a.first <= b.last && b.first <= a.last;
                let (at, bt) = (offsets[i], offsets[j]);
                assert!(!together || at + a.bytes <= bt || bt + b.bytes <= at);
            }
        }
    }
}
