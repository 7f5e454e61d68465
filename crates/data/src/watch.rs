//! What a loader noticed: records that were skipped, and time that was spent waiting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::DataError;

/// Shared by the clones of a loader and by its epochs.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    skipped: Mutex<BTreeMap<usize, DataError>>,
    stalled_ns: AtomicU64,
}

impl Watch {
    pub(crate) fn skip(&self, record: usize, error: &DataError) {
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.entry(record).or_insert_with(|| error.clone());
    }

    pub(crate) fn skipped(&self) -> Vec<DataError> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn stall(&self, time: Duration) {
        self.stalled_ns.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn stalled(&self) -> Duration {
        Duration::from_nanos(self.stalled_ns.load(Ordering::Relaxed))
    }
}
