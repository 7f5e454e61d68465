//! One pass over a dataset: worker threads fill batches side by side, the iterator hands them over in
//! order.
//!
//! The iterator numbers the batches that may be filled; a worker takes the next number and the memory
//! for it in one critical section. So memory is given out in the order of batches, and the batch that
//! the iterator waits for is never short of it, however small the supply.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use wgrad_core::batch::{Batch, BatchAllocator, BatchMemory, Layout, RECORDS};

use crate::record::Visit;
use crate::watch::Watch;
use crate::{DataError, Dataset, Record};

type Filled = Result<Batch, DataError>;

/// What is to be loaded, and into what.
pub(crate) struct Plan {
    pub(crate) data: Arc<dyn Dataset>,
    pub(crate) allocator: Arc<dyn BatchAllocator>,
    /// The dataset's fields, and the whole batch, which begins with them.
    pub(crate) fields: Layout,
    pub(crate) layout: Arc<Layout>,
    pub(crate) order: Vec<usize>,
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
    pub(crate) batch_size: usize,
    pub(crate) batches: usize,
    pub(crate) skip_bad: bool,
    pub(crate) watch: Arc<Watch>,
}

impl Plan {
    fn allocate(&self) -> Result<Box<dyn BatchMemory>, DataError> {
        guarded(|| Ok(self.allocator.allocate(&self.layout)?))
    }

    /// A panic anywhere in it is an error too: a worker that ended without a result would leave the iterator
    /// waiting for ever.
    fn fill(&self, batch: usize, memory: Box<dyn BatchMemory>) -> Filled {
        guarded(|| self.write_batch(batch, memory))
    }

    fn write_batch(&self, batch: usize, mut memory: Box<dyn BatchMemory>) -> Filled {
        let first = batch * self.batch_size;
        if let Some(field) = self.layout.get(RECORDS) {
            let counted = self.order.len().saturating_sub(first).min(self.batch_size);
            let counts = [counted, self.batch_size].map(|records| records as u32);
            memory.write(field.offset, bytemuck::cast_slice(&counts))?;
        }
        let mut sink = Record::new(&self.fields, &mut *memory);
        for slot in 0..self.batch_size {
            self.write(first + slot, slot, &mut sink)?;
        }
        Ok(Batch { layout: self.layout.clone(), memory })
    }

    /// Writes the record at a place of the order; with `skip_bad`, the next that can be read.
    fn write(&self, place: usize, slot: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        let records = self.order.iter().cycle().skip(place % self.order.len()).take(self.order.len());
        let mut outcome = Ok(());
        for &record in records {
            sink.start(slot, Visit { seed: self.seed, epoch: self.epoch, place, record });
            outcome = guarded(|| self.data.write(record, sink)).and_then(|()| sink.finish());
            outcome = outcome.map_err(|error| error.at_record(record, self.data.name(record)));
            match &outcome {
                Err(error) if self.skip_bad => self.watch.skip(record, error),
                _ => break,
            }
        }
        outcome
    }
}

/// Turns a panic of the dataset's or the allocator's code into an error.
fn guarded<T>(run: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(panicked(panic)))
}

/// What a panic said.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> DataError {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    DataError::Panicked(text.unwrap_or_else(|| "without a message".into()))
}

/// The batches of one epoch, in order. After an error there are no more.
///
/// Dropping it early stops its threads without waiting for them, since they may wait for memory that the
/// caller holds: each ends when it has filled the batch at hand, or when its memory arrives.
pub struct Epoch {
    source: Source,
    next: usize,
    batches: usize,
    watch: Arc<Watch>,
}

enum Source {
    Refused(DataError),
    Here(Box<Plan>),
    Threads(Crew),
    Done,
}

impl Epoch {
    pub(crate) fn refused(error: DataError) -> Self {
        Self { source: Source::Refused(error), next: 0, batches: 1, watch: Arc::default() }
    }

    /// The batches from `first` on.
    pub(crate) fn start(plan: Plan, first: usize, workers: usize, prefetch: usize) -> Self {
        let (batches, watch) = (plan.batches, plan.watch.clone());
        let next = first.min(batches);
        let workers = workers.min(batches - next);
        if workers == 0 {
            return Self { source: Source::Here(Box::new(plan)), next, batches, watch };
        }
        match Crew::start(Arc::new(plan), next, workers, prefetch) {
            Ok(crew) => Self { source: Source::Threads(crew), next, batches, watch },
            Err(error) => Self::refused(DataError::Thread(Arc::new(error))),
        }
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Filled> {
        if self.next == self.batches {
            self.source = Source::Done;
        }
        let start = Instant::now();
        let filled = match &mut self.source {
            Source::Refused(error) => Err(error.clone()),
            Source::Here(plan) => plan.allocate().and_then(|memory| plan.fill(self.next, memory)),
            Source::Threads(crew) => crew.wait_for(self.next),
            Source::Done => return None,
        };
        self.watch.stall(start.elapsed());
        self.next += 1;
        if filled.is_err() {
            self.source = Source::Done;
        }
        Some(filled)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.batches - self.next))
    }
}

/// The worker threads of an epoch, seen from the iterator.
struct Crew {
    plan: Arc<Plan>,
    /// Numbers of batches that may be filled.
    orders: Option<Sender<usize>>,
    ordered: usize,
    handed_over: usize,
    filled: Receiver<(usize, Filled)>,
    /// Batches that were filled before an earlier one.
    early: BTreeMap<usize, Filled>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    fn start(plan: Arc<Plan>, first: usize, workers: usize, prefetch: usize) -> std::io::Result<Self> {
        let (orders, taken) = channel();
        let (send, filled) = channel();
        let taken = Arc::new(Mutex::new(taken));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = |_| {
            let (plan, taken, send, stop) = (plan.clone(), taken.clone(), send.clone(), stop.clone());
            let builder = thread::Builder::new().name("wgrad-loader".into());
            builder.spawn(move || work(&plan, &taken, &send, &stop))
        };
        let threads = (0..workers).map(thread).collect::<Result<Vec<_>, _>>()?;
        let ahead = prefetch.max(workers).min(plan.batches - first);
        let (orders, early) = (Some(orders), BTreeMap::new());
        let mut crew =
            Self { plan, orders, ordered: first, handed_over: first, filled, early, stop, threads };
        (0..ahead).for_each(|_| crew.order());
        Ok(crew)
    }

    /// Lets the workers fill one more batch.
    fn order(&mut self) {
        if let Some(orders) = self.orders.as_ref().filter(|_| self.ordered < self.plan.batches) {
            self.ordered += usize::from(orders.send(self.ordered).is_ok());
        }
    }

    fn wait_for(&mut self, batch: usize) -> Filled {
        let filled = loop {
            if let Some(filled) = self.early.remove(&batch) {
                break filled;
            }
            match self.filled.recv() {
                Ok((number, filled)) => self.early.insert(number, filled),
                Err(_) => return Err(DataError::Panicked("every loader thread has ended".into())),
            };
        };
        self.handed_over += 1;
        self.order();
        filled
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.orders = None;
        if self.handed_over == self.plan.batches {
            // Nothing is left to fill, so no thread waits for memory. Waiting until they are gone keeps
            // what they share (a device, perhaps) from being destroyed by one of them later.
            self.threads.drain(..).for_each(|thread| drop(thread.join()));
        }
    }
}

/// What a worker thread does until there is nothing left to do.
fn work(plan: &Plan, orders: &Mutex<Receiver<usize>>, filled: &Sender<(usize, Filled)>, stop: &AtomicBool) {
    loop {
        let orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(batch) = orders.recv() else { return };
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let memory = plan.allocate();
        drop(orders);
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let result = memory.and_then(|memory| plan.fill(batch, memory));
        let failed = result.is_err();
        if filled.send((batch, result)).is_err() || failed {
            return;
        }
    }
}
