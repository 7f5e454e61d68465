//! A ring of mapped buffers: loader threads write batches straight into memory that the device copies
//! from, and a step's copy rides in the step's own submission.

use std::any::Any;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use wgrad_core::DType;
use wgrad_core::batch::{BatchAllocator, BatchError, BatchMemory, Layout};

use crate::device::{Gpu, lock};
use crate::error::Error;
use crate::ticket::Ticket;

/// Batches that can be filled or on their way at once.
const DEPTH: usize = 4;

/// The ring of one program.
#[derive(Debug)]
pub(crate) struct Ring {
    gpu: Gpu,
    /// (field, bound) pairs that written values are checked against.
    bounds: Vec<(String, u32)>,
    free: Arc<Free>,
}

type Free = (Mutex<Buffers>, Condvar);

#[derive(Debug)]
struct Buffers {
    /// Mapped ones, and the number of the step that each waits for.
    free: Vec<(wgpu::Buffer, u64)>,
    /// How many are being written to, and how many are on their way to the device and back.
    lent: usize,
    away: usize,
}

/// Who asks for memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taker {
    Loader,
    Run,
}

impl Ring {
    pub(crate) fn new(gpu: &Gpu, bytes: usize, bounds: Vec<(String, u32)>) -> Result<Self, Error> {
        let free = (0..DEPTH).map(|_| Ok((mapped(gpu, bytes)?, 0))).collect::<Result<Vec<_>, Error>>()?;
        let buffers = Buffers { free, lent: 0, away: 0 };
        Ok(Self { gpu: gpu.clone(), bounds, free: Arc::new((Mutex::new(buffers), Condvar::new())) })
    }

    /// Memory for a batch of a loader, of which they have no more than the ring is deep; waits until there is some.
    pub(crate) fn take(self: &Arc<Self>, layout: &Arc<Layout>) -> Result<Staged, Error> {
        self.lend(layout, Taker::Loader)
    }

    /// Memory for a batch that runs next. It waits for the device but not for loaders, which may wait for the run.
    pub(crate) fn take_to_run(self: &Arc<Self>, layout: &Arc<Layout>) -> Result<Staged, Error> {
        self.lend(layout, Taker::Run)
    }

    fn lend(self: &Arc<Self>, layout: &Arc<Layout>, taker: Taker) -> Result<Staged, Error> {
        let (buffers, returned) = &*self.free;
        let mut list = lock(buffers);
        let buffer = loop {
            let first = (0..list.free.len()).min_by_key(|at| list.free[*at].1);
            match first.filter(|_| taker == Taker::Run || list.lent < DEPTH) {
                Some(at) if list.free[at].1 <= self.gpu.steps_over() => {
                    break Some(list.free.swap_remove(at).0);
                }
                Some(at) => {
                    let step = Ticket::Step(list.free[at].1);
                    drop(list);
                    self.gpu.wait(&step)?;
                }
                // Loaders have all that there are.
                None if taker == Taker::Run && list.away == 0 => break None,
                None => {
                    // Buffers come back in callbacks, which run when somebody polls the device.
                    let waited = returned.wait_timeout(list, Duration::from_micros(200));
                    drop(waited.unwrap_or_else(std::sync::PoisonError::into_inner));
                    self.gpu.poll(wgpu::PollType::Poll)?;
                }
            }
            list = lock(buffers);
        };
        list.lent += 1;
        drop(list);
        // Whatever happens, it is not missing in the ring.
        let mut staged = Staged { ring: self.clone(), layout: layout.clone(), buffer, view: None };
        let known = staged.buffer.clone().filter(|buffer| buffer.size() >= layout.bytes() as u64);
        let buffer = known.map_or_else(|| mapped(&self.gpu, layout.bytes()), Ok)?;
        let view = buffer.get_mapped_range_mut(..);
        let view =
            view.map_err(|error| Error::Driver { what: "a mapping".into(), message: error.to_string() })?;
        (staged.buffer, staged.view) = (Some(buffer), Some(view));
        Ok(staged)
    }

    /// Takes a sealed buffer back, which is mapped, to be written to when a step is over.
    pub(crate) fn recycle(&self, buffer: wgpu::Buffer, step: u64) {
        arrive(&self.free, Some(buffer), step);
    }

    /// What is to be done with a sealed buffer that nothing copies from any more: it is mapped again, where it is not, and
    /// back in the ring then.
    pub(crate) fn recycler(&self, buffer: wgpu::Buffer, unmapped: bool) -> impl FnOnce() + Send + 'static {
        let free = self.free.clone();
        move || {
            when_mapped(&buffer.clone(), wgpu::MapMode::Write, unmapped, move |is_mapped| {
                arrive(&free, is_mapped.then_some(buffer), 0);
            });
        }
    }
}

/// Ends the way of a sealed buffer.
fn arrive(free: &Free, buffer: Option<wgpu::Buffer>, step: u64) {
    let mut list = lock(&free.0);
    list.away -= 1;
    list.free.extend(buffer.map(|buffer| (buffer, step)));
    free.1.notify_one();
}

/// Calls back as soon as a buffer is mapped, at once if it is; says whether it is.
pub(crate) fn when_mapped(
    buffer: &wgpu::Buffer,
    mode: wgpu::MapMode,
    unmapped: bool,
    then: impl FnOnce(bool) + Send + 'static,
) {
    if unmapped {
        buffer.map_async(mode, .., move |result| then(result.is_ok()));
    } else {
        then(true);
    }
}

fn mapped(gpu: &Gpu, bytes: usize) -> Result<wgpu::Buffer, Error> {
    let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
    gpu.buffer_with("staging", bytes as u64, usage, true)
}

impl BatchAllocator for Shared {
    fn allocate(&self, layout: &Arc<Layout>) -> Result<Box<dyn BatchMemory>, BatchError> {
        let staged = self.0.take(layout).map_err(|error| BatchError::Unavailable(error.to_string()))?;
        Ok(Box::new(staged))
    }
}

/// The ring as what loaders see.
#[derive(Debug)]
pub(crate) struct Shared(pub(crate) Arc<Ring>);

/// A mapped buffer that a batch is written into. Dropped without being run, it goes back to the ring.
#[derive(Debug)]
pub(crate) struct Staged {
    ring: Arc<Ring>,
    layout: Arc<Layout>,
    buffer: Option<wgpu::Buffer>,
    view: Option<wgpu::BufferViewMut>,
}

impl Staged {
    /// Ends the writing: the buffer, still mapped, which is to be recycled.
    pub(crate) fn seal(mut self) -> Option<wgpu::Buffer> {
        self.view = None;
        let buffer = self.buffer.take();
        lock(&self.ring.free.0).away += usize::from(buffer.is_some());
        buffer
    }

    /// Whether this was lent by a ring, for a layout: what was written was checked against those.
    pub(crate) fn check_owner(&self, ring: &Arc<Ring>, layout: &Layout) -> Result<(), Error> {
        let lent = if !Arc::ptr_eq(&self.ring, ring) {
            "by another program; give the loader the `staging()` of the program that runs its batches"
        } else if *self.layout != *layout {
            "for another layout than the batch has"
        } else {
            return Ok(());
        };
        Err(Error::BatchMemory(format!("was lent {lent}")))
    }

    /// Whether the u32 values written at a byte offset stay below the bounds of the fields they lie in.
    fn check(&self, offset: usize, bytes: &[u8]) -> Result<(), BatchError> {
        for (name, bound) in &self.ring.bounds {
            let Some(field) = self.layout.get(name) else { continue };
            let end = field.offset + field.spec.bytes();
            if field.spec.dtype != DType::U32 || offset + bytes.len() <= field.offset || offset >= end {
                continue;
            }
            for (position, word) in bytes.chunks_exact(4).enumerate() {
                let at = offset + 4 * position;
                let value = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                if (field.offset..end).contains(&at) && value >= *bound {
                    let element = (at - field.offset) / 4;
                    return Err(BatchError::OutOfRange {
                        field: name.clone(),
                        value,
                        bound: *bound,
                        element,
                    });
                }
            }
        }
        Ok(())
    }
}

impl BatchMemory for Staged {
    fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), BatchError> {
        self.check(offset, bytes)?;
        let size = self.layout.bytes();
        match &mut self.view {
            Some(view) if offset + bytes.len() <= size => {
                view.slice(offset..offset + bytes.len()).copy_from_slice(bytes);
                Ok(())
            }
            _ => Err(BatchError::OutOfMemory { offset, len: bytes.len(), bytes: size }),
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        self.view = None;
        let (buffers, returned) = &*self.ring.free;
        let mut list = lock(buffers);
        list.lent -= 1;
        list.free.extend(self.buffer.take().map(|buffer| (buffer, 0)));
        returned.notify_one();
    }
}
