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

use wgrad_core::batch::{Batch, BatchAllocator, BatchMemory, Layout};

use crate::{DataError, Dataset, Record};

type Filled = Result<Batch, DataError>;

/// What is to be loaded, and into what.
pub(crate) struct Plan {
    pub(crate) data: Arc<dyn Dataset>,
    pub(crate) allocator: Arc<dyn BatchAllocator>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) order: Vec<usize>,
    pub(crate) batch_size: usize,
    pub(crate) batches: usize,
}

impl Plan {
    fn allocate(&self) -> Result<Box<dyn BatchMemory>, DataError> {
        let allocate = || self.allocator.allocate(&self.layout);
        Ok(catch_unwind(AssertUnwindSafe(allocate)).map_err(panicked)??)
    }

    fn fill(&self, batch: usize, mut memory: Box<dyn BatchMemory>) -> Filled {
        let mut sink = Record::new(&self.layout, &mut *memory);
        let records = self.order.iter().cycle().skip(batch * self.batch_size % self.order.len());
        for (slot, &record) in records.take(self.batch_size).enumerate() {
            sink.start(slot);
            let write = || self.data.write(record, &mut sink);
            let written = catch_unwind(AssertUnwindSafe(write)).unwrap_or_else(|panic| Err(panicked(panic)));
            written.and_then(|()| sink.finish()).map_err(|error| error.at_record(record))?;
        }
        Ok(Batch { layout: self.layout.clone(), memory })
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> DataError {
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
}

enum Source {
    Refused(DataError),
    Here(Box<Plan>),
    Threads(Crew),
    Done,
}

impl Epoch {
    pub(crate) fn refused(error: DataError) -> Self {
        Self { source: Source::Refused(error), next: 0, batches: 1 }
    }

    pub(crate) fn start(plan: Plan, workers: usize, prefetch: usize) -> Self {
        let batches = plan.batches;
        if workers == 0 {
            return Self { source: Source::Here(Box::new(plan)), next: 0, batches };
        }
        match Crew::start(Arc::new(plan), workers, prefetch) {
            Ok(crew) => Self { source: Source::Threads(crew), next: 0, batches },
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
        let filled = match &mut self.source {
            Source::Refused(error) => Err(error.clone()),
            Source::Here(plan) => plan.allocate().and_then(|memory| plan.fill(self.next, memory)),
            Source::Threads(crew) => crew.wait_for(self.next),
            Source::Done => return None,
        };
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
    fn start(plan: Arc<Plan>, workers: usize, prefetch: usize) -> std::io::Result<Self> {
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
        let (orders, early) = (Some(orders), BTreeMap::new());
        let mut crew = Self { plan, orders, ordered: 0, handed_over: 0, filled, early, stop, threads };
        (0..prefetch.max(workers)).for_each(|_| crew.order());
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
