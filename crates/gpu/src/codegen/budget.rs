//! How long the driver's compiler may take for all kernels of a program. Larger tiles run faster and compile longer,
//! so the tiles of all contractions are chosen together: the fastest that fit a budget, where compiling an operation
//! has one price for all kernels. Programs of so many shapes that they do not fit at a fair price compile for longer.

use std::collections::HashMap;

use super::emit::Emitter;
use super::subgroup::{self, Cost, Cut};
use super::{Shaping, product};
use crate::parallel;
use crate::plan::{Archetype, Kernel, Plan};
use crate::tune::signature;

/// What all kernels of a program may take to compile: 1.25 s of one core, in operations of a sixteenth of a millisecond.
const BUDGET: usize = 20_000;
/// What a pass of attention takes, and any other kernel that is not a contraction.
const ATTENTION: usize = 850;
const OTHER: usize = 250;
/// The most that compiling may weigh, in cycles an operation: what runs faster for it has paid for it after 8 runs.
const DEAREST: usize = 24 * subgroup::PRICE;

/// How the kernels of each step are shaped.
pub(crate) fn within_budget(plan: &Plan, shaping: &Shaping) -> Vec<Shaping> {
    let Some(size) = shaping.subgroup.filter(|_| shaping.cut.is_none()) else {
        return vec![*shaping; plan.steps.len()];
    };
    let kernels = plan.steps.iter().map(|step| &plan.kernels[step.start]);
    // Kernels that are alike are compiled once.
    let (mut known, mut contractions, mut others) = (HashMap::new(), vec![], 0);
    let numbers: Vec<Option<usize>> = kernels
        .map(|kernel| {
            let alike = signature::of(plan, kernel).unwrap_or_else(|| name(plan, kernel));
            *known.entry(alike).or_insert_with(|| match kernel.archetype {
                Archetype::Contract { node } => {
                    contractions.push((kernel, node));
                    Some(contractions.len() - 1)
                }
                Archetype::Attention { .. } => {
                    others += ATTENTION;
                    None
                }
                _ => {
                    others += OTHER;
                    None
                }
            })
        })
        .collect();
    let cuts = parallel::map(&contractions, |(kernel, node)| {
        let emitter = Emitter::new(plan, kernel, shaping);
        let product = product(&emitter, *node).ok()?;
        Some(subgroup::cuts(&emitter, kernel, &product, shaping, size as usize))
    });
    let cuts: Vec<Vec<(Cut, Cost)>> = cuts.into_iter().map(Option::unwrap_or_default).collect();
    let mut price = subgroup::PRICE;
    loop {
        let chosen: Vec<_> = cuts.iter().map(|cuts| subgroup::cheapest(cuts, price)).collect();
        let compile: usize = chosen.iter().flatten().map(|(_, cost)| cost.compile).sum();
        if compile + others <= BUDGET || price + price / 4 > DEAREST {
            let cut = |number: Option<usize>| chosen[number?].map(|(cut, _)| *cut);
            return numbers.into_iter().map(|number| Shaping { cut: cut(number), ..*shaping }).collect();
        }
        price += price / 4;
    }
}

/// What kernels without a signature have in common.
fn name(plan: &Plan, kernel: &Kernel) -> String {
    let stored = kernel.stores.iter().map(|&id| plan.recording.node(id));
    stored.map(|node| format!("{} {}", node.op.name(), node.spec.shape)).collect()
}
