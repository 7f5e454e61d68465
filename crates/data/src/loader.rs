//! Which records go into which batch, and where the batches' memory comes from.

use std::sync::Arc;

use wgrad_core::TensorSpec;
use wgrad_core::batch::{BatchAllocator, HostAllocator, Layout};

use crate::epoch::Plan;
use crate::order::permutation;
use crate::{DataError, Dataset, Epoch};

/// Turns a dataset into batches of a fixed size, epoch after epoch (PyTorch's `DataLoader`).
///
/// The order of records is a pure function of (seed, epoch), and batches come in order whatever the
/// number of workers. The batch axis goes in front of each field's shape.
///
/// ```
/// use wgrad_data::{Loader, digits};
/// let loader = Loader::new(digits(), 64).shuffle(7).drop_last().workers(2);
/// assert_eq!(loader.batches()?, 28);
/// for batch in loader.epoch(0) {
///     let batch = batch?;
///     assert_eq!(batch.layout.get("image").unwrap().spec.to_string(), "f32[64, 1, 8, 8]");
/// }
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    data: Arc<dyn Dataset>,
    batch_size: usize,
    seed: Option<u64>,
    drop_last: bool,
    workers: usize,
    prefetch: usize,
    allocator: Arc<dyn BatchAllocator>,
}

impl Loader {
    /// Batches of `batch_size` records in the dataset's own order, filled ahead by one worker thread,
    /// in ordinary memory, with the last batch padded.
    pub fn new(data: impl Dataset + 'static, batch_size: usize) -> Self {
        Self {
            data: Arc::new(data),
            batch_size,
            seed: None,
            drop_last: false,
            workers: usize::from(cfg!(not(target_arch = "wasm32"))),
            prefetch: 2,
            allocator: Arc::new(HostAllocator),
        }
    }

    /// Visits the records in another random order each epoch.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Leaves out the last batch where it is incomplete.
    pub fn drop_last(mut self) -> Self {
        self.drop_last = true;
        self
    }

    /// Fills an incomplete last batch up with records from the start of the epoch's order, again and
    /// again if need be. [`Loader::records`] tells how many of a batch's records are not repeats; they
    /// come first. This is the default.
    pub fn pad_last(mut self) -> Self {
        self.drop_last = false;
        self
    }

    /// The number of threads that fill batches. With 0 each batch is filled when it is asked for, by
    /// the thread that asks.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How many batches, at most, are being filled or wait to be asked for (at least one per worker).
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.prefetch = batches;
        self
    }

    /// Where batches get their memory: for example a program's mapped staging buffers, so that records
    /// are written straight to where the device reads them. Memory is asked for in the order of
    /// batches, one at a time, so any supply of at least one batch suffices.
    pub fn allocator(mut self, allocator: Arc<dyn BatchAllocator>) -> Self {
        self.allocator = allocator;
        self
    }

    /// The number of batches in an epoch. Errors: an empty dataset, a batch size of 0, a batch larger
    /// than the dataset when the last one is dropped.
    pub fn batches(&self) -> Result<usize, DataError> {
        let (batch_size, records) = (self.batch_size, self.data.len());
        if records == 0 {
            return Err(DataError::Empty);
        }
        if batch_size == 0 {
            return Err(DataError::BatchSize);
        }
        match if self.drop_last { records / batch_size } else { records.div_ceil(batch_size) } {
            0 => Err(DataError::BatchTooLarge { batch_size, records }),
            batches => Ok(batches),
        }
    }

    /// The number of records in a batch, without those that pad it.
    pub fn records(&self, batch: usize) -> usize {
        let before = batch.saturating_mul(self.batch_size);
        self.data.len().saturating_sub(before).min(self.batch_size)
    }

    /// Where the fields lie in each batch.
    pub fn layout(&self) -> Layout {
        self.data.fields().into_iter().fold(Layout::new(), |layout, (name, spec)| {
            let shape = std::iter::once(self.batch_size).chain(spec.shape.iter().copied());
            layout.field(&name, TensorSpec::new(spec.dtype, shape.collect::<Vec<_>>()))
        })
    }

    /// The batches of an epoch, in order. Where loading is impossible ([`Loader::batches`]) or fails,
    /// the error is the last item.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        let batches = match self.batches() {
            Ok(batches) => batches,
            Err(error) => return Epoch::refused(error),
        };
        let records = self.data.len();
        let plan = Plan {
            data: self.data.clone(),
            allocator: self.allocator.clone(),
            layout: Arc::new(self.layout()),
            order: self.seed.map_or_else(|| (0..records).collect(), |seed| permutation(records, seed, epoch)),
            batch_size: self.batch_size,
            batches,
        };
        Epoch::start(plan, self.workers.min(batches), self.prefetch)
    }
}
