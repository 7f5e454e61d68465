//! A random order that visits a few groups of rows at a time.

use std::ops::Range;
use std::sync::Arc;

use crate::{DataError, Random, Sampler};

/// The order of [`Columnar::shuffled`](crate::Columnar::shuffled).
#[derive(Clone, Debug)]
pub struct ShuffledGroups {
    groups: Arc<[Range<usize>]>,
    together: usize,
    seed: u64,
}

impl ShuffledGroups {
    /// Mixes the records of so many groups at a time, at least of one.
    pub(super) fn new(groups: impl Iterator<Item = Range<usize>>, together: usize, seed: u64) -> Self {
        Self { groups: groups.collect(), together: together.max(1), seed }
    }
}

impl Sampler for ShuffledGroups {
    fn order(&self, records: usize, epoch: u64) -> Result<Vec<usize>, DataError> {
        let got = self.groups.last().map_or(0, |group| group.end);
        if got != records {
            return Err(DataError::Count { field: "groups of rows".into(), expected: records, got });
        }
        let mut random = Random::new(self.seed, epoch);
        let mut groups = self.groups.to_vec();
        random.shuffle(&mut groups);
        let mut order = Vec::with_capacity(records);
        for groups in groups.chunks(self.together) {
            let start = order.len();
            groups.iter().for_each(|group| order.extend(group.clone()));
            random.shuffle(&mut order[start..]);
        }
        Ok(order)
    }
}
