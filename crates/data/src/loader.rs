//! Which records go into which batch, and where the batches' memory comes from.

use std::sync::Arc;
use std::time::Duration;

use wgrad_core::batch::{BatchAllocator, HostAllocator, Layout, RECORDS};
use wgrad_core::{TensorSpec, U32};

use crate::epoch::Plan;
use crate::sampler::{InOrder, Shuffled};
use crate::watch::Watch;
use crate::{DataError, Dataset, Epoch, Sampler};

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
    sampler: Arc<dyn Sampler>,
    seed: u64,
    drop_last: bool,
    skip_bad: bool,
    workers: usize,
    prefetch: usize,
    allocator: Arc<dyn BatchAllocator>,
    watch: Arc<Watch>,
}

impl Loader {
    /// Batches of `batch_size` records in the dataset's own order, filled ahead by one worker thread,
    /// in ordinary memory, with the last batch padded.
    pub fn new(data: impl Dataset + 'static, batch_size: usize) -> Self {
        Self {
            data: Arc::new(data),
            batch_size,
            sampler: Arc::new(InOrder),
            seed: 0,
            drop_last: false,
            skip_bad: false,
            workers: usize::from(cfg!(not(target_arch = "wasm32"))),
            prefetch: 2,
            allocator: Arc::new(HostAllocator),
            watch: Arc::default(),
        }
    }

    /// Visits the records in another random order each epoch. The seed is also that of [`Loader::seed`].
    pub fn shuffle(self, seed: u64) -> Self {
        self.sampler(Shuffled(seed)).seed(seed)
    }

    /// Visits the records that a sampler chooses, in its order.
    pub fn sampler(mut self, sampler: impl Sampler + 'static) -> Self {
        self.sampler = Arc::new(sampler);
        self
    }

    /// What augmentation and other random changes of records are drawn from ([`Record::random`]).
    ///
    /// [`Record::random`]: crate::Record::random
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Replaces a record that cannot be read (its dataset returns an error or panics) by the next one of
    /// the order that can, instead of ending the epoch. [`Loader::skipped`] tells which they were. An
    /// epoch without any good record ends with an error all the same.
    pub fn skip_bad(mut self) -> Self {
        self.skip_bad = true;
        self
    }

    /// Leaves out the last batch where it is incomplete.
    pub fn drop_last(mut self) -> Self {
        self.drop_last = true;
        self
    }

    /// Fills an incomplete last batch up with records from the start of the epoch's order, again and
    /// again if need be. [`Loader::records`] tells how many of a batch's records are not repeats; they
    /// come first, and metrics count no others. This is the default.
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
        let (batch_size, records) = (self.batch_size, self.visited());
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
        self.visited().saturating_sub(before).min(self.batch_size)
    }

    /// The number of records in an epoch.
    fn visited(&self) -> usize {
        if self.data.is_empty() { 0 } else { self.sampler.len(self.data.len()) }
    }

    /// The records that were skipped so far (see [`Loader::skip_bad`]), each once, with what was wrong with
    /// it. Shared by all clones of a loader.
    pub fn skipped(&self) -> Vec<DataError> {
        self.watch.skipped()
    }

    /// How long its epochs have waited, so far, for a batch that was not ready. Where this grows as fast as
    /// time passes, loading is what training waits for: more workers or cheaper records help. Shared by
    /// all clones of a loader.
    pub fn stalled(&self) -> Duration {
        self.watch.stalled()
    }

    /// Where the fields lie in each batch. Behind them it has [`RECORDS`].
    pub fn layout(&self) -> Layout {
        self.data.fields().into_iter().fold(Layout::new(), |layout, (name, spec)| {
            let shape = std::iter::once(self.batch_size).chain(spec.shape.iter().copied());
            layout.field(&name, TensorSpec::new(spec.dtype, shape.collect::<Vec<_>>()))
        })
    }

    /// The batches of an epoch, in order. Where loading is impossible ([`Loader::batches`]) or fails,
    /// the error is the last item.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch from one of them on, as when a run is resumed: the same bytes as without
    /// the interruption, and nothing before them is loaded.
    pub fn epoch_from(&self, epoch: u64, first: usize) -> Epoch {
        match self.plan(epoch) {
            Ok(plan) => Epoch::start(plan, first, self.workers, self.prefetch),
            Err(error) => Epoch::refused(error),
        }
    }

    fn plan(&self, epoch: u64) -> Result<Plan, DataError> {
        let batches = self.batches()?;
        let order = self.sampler.order(self.data.len(), epoch)?;
        if order.len() != self.visited() {
            let field = "the sampler's order".into();
            return Err(DataError::Count { field, expected: self.visited(), got: order.len() });
        }
        let fields = self.layout();
        Ok(Plan {
            data: self.data.clone(),
            allocator: self.allocator.clone(),
            layout: Arc::new(fields.clone().field(RECORDS, TensorSpec::new(U32, [2]))),
            fields,
            order,
            seed: self.seed,
            epoch,
            batch_size: self.batch_size,
            batches,
            skip_bad: self.skip_bad,
            watch: self.watch.clone(),
        })
    }
}
