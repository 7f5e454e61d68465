//! Which dispatches have to wait for those before them.

use super::{Kernel, Place, Plan};

/// What a dispatch reads or writes.
#[derive(Clone, Copy)]
struct Access<'a> {
    place: &'a Place,
    writes: bool,
}

impl Access<'_> {
    /// Whether the two cannot change their order.
    fn conflicts(self, other: Access<'_>) -> bool {
        (self.writes || other.writes)
            && match (self.place, other.place) {
                (Place::State(one), Place::State(other)) => one == other,
                (
                    Place::Workspace { offset: one, bytes },
                    Place::Workspace { offset: other, bytes: others },
                ) => *one < other + others && *other < one + bytes,
                _ => false,
            }
    }
}

impl Plan {
    /// For each dispatch, whether all before it have to be over: one of those since the last such wait writes what this one
    /// reads or writes, or reads what it writes.
    pub fn waits(&self) -> Vec<bool> {
        let mut running: Vec<Access<'_>> = vec![];
        let waits = |step: &std::ops::Range<usize>| {
            let kernels = &self.kernels[step.clone()];
            let accesses: Vec<_> = kernels.iter().flat_map(|kernel| self.accesses(kernel)).collect();
            let waits = accesses.iter().any(|one| running.iter().any(|other| one.conflicts(*other)));
            if waits {
                running.clear();
            }
            running.extend(accesses);
            waits
        };
        self.steps.iter().map(waits).collect()
    }

    fn accesses<'a>(&'a self, kernel: &'a Kernel) -> impl Iterator<Item = Access<'a>> {
        let all = kernel.loads.iter().map(|id| (id, false)).chain(kernel.stores.iter().map(|id| (id, true)));
        all.filter_map(|(id, writes)| Some(Access { place: self.place(kernel, *id)?, writes }))
    }
}
