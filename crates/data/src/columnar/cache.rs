//! The groups of rows that were decoded last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::DataError;

/// The records of a group.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Of each field, row by row.
    pub(super) bytes: Vec<Vec<u8>>,
    /// Rows that hold something else than their fields, and what is wrong with them.
    pub(super) bad: BTreeMap<usize, DataError>,
}

impl Decoded {
    pub(super) fn new(fields: usize) -> Self {
        Self { bytes: vec![Vec::new(); fields], bad: BTreeMap::new() }
    }
}

type Slot = Arc<OnceLock<Result<Arc<Decoded>, DataError>>>;

/// Keeps the groups that were asked for last, those that cannot be decoded included. Who asks for a group
/// that somebody else is decoding waits; others do not.
#[derive(Debug)]
pub(super) struct Cache {
    groups: usize,
    /// The one that was asked for last at the end.
    kept: Mutex<VecDeque<(usize, Slot)>>,
}

impl Cache {
    pub(super) fn of(groups: usize) -> Self {
        Self { groups: groups.max(1), kept: Mutex::default() }
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    pub(super) fn get(
        &self,
        group: usize,
        decode: impl FnOnce() -> Result<Decoded, DataError>,
    ) -> Result<Arc<Decoded>, DataError> {
        self.slot(group).get_or_init(|| decode().map(Arc::new)).clone()
    }

    fn slot(&self, group: usize) -> Slot {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(number, _)| *number == group).and_then(|at| kept.remove(at));
        let (_, slot) = known.unwrap_or_else(|| (group, Slot::default()));
        kept.push_back((group, slot.clone()));
        if kept.len() > self.groups {
            kept.pop_front();
        }
        slot
    }
}
