//! One step: one submission that copies the batch in, dispatches every kernel and copies the outputs to
//! where the host can read them, later.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wgrad_core::batch::{Batch, BatchMemory, HostMemory, Layout, RECORDS};
use wgrad_core::{Array, TensorSpec};

use crate::device::{Gpu, lock};
use crate::error::Error;
use crate::launch::{Copy, Launch, Transfers};
use crate::program::{Compiled, Program};
use crate::staging::{Staged, when_mapped};
use crate::state::State;
use crate::ticket::Ticket;

/// Readback buffers that exist from the start; more are made only if more outputs are held unread.
const READS: usize = 4;

/// A readback buffer.
#[derive(Clone, Debug)]
struct Slot {
    buffer: wgpu::Buffer,
    mapped: Arc<AtomicBool>,
    /// Whether wgpu has yet to say that the run is over.
    pending: Arc<AtomicBool>,
    /// The run that writes to it.
    ticket: Ticket,
}

impl Slot {
    fn is_over(&self, gpu: &Gpu) -> bool {
        match self.ticket {
            Ticket::Wgpu(_) => !self.pending.load(Ordering::Acquire),
            Ticket::Step(step) => step <= gpu.steps_over(),
        }
    }

    /// Waits for the run that writes to it, and for no later one.
    fn finish(&self, gpu: &Gpu) -> Result<(), Error> {
        match self.ticket {
            Ticket::Wgpu(_) => {
                while self.pending.load(Ordering::Acquire) {
                    gpu.wait(&self.ticket)?;
                }
                Ok(())
            }
            Ticket::Step(_) => gpu.wait(&self.ticket),
        }
    }

    /// Maps it, for as long as only the driver writes to it.
    fn map(&self, gpu: &Gpu) -> Result<(), Error> {
        if self.mapped.load(Ordering::Acquire) {
            return Ok(());
        }
        let (tell, told) = mpsc::channel();
        when_mapped(&self.buffer, wgpu::MapMode::Read, true, move |is_mapped| {
            let _ = tell.send(is_mapped);
        });
        // Nothing that wgpu knows of uses it, so the next poll says so: this one, or that of another thread.
        let is_mapped = loop {
            gpu.poll(wgpu::PollType::Poll)?;
            match told.recv_timeout(Duration::from_millis(1)) {
                Err(RecvTimeoutError::Timeout) => {}
                answer => break answer == Ok(true),
            }
        };
        self.mapped.store(is_mapped, Ordering::Release);
        if is_mapped {
            return Ok(());
        }
        Err(Error::Driver { what: "a readback".into(), message: "it was not mapped".into() })
    }

    /// What is to be done when wgpu says that the run is over; until then it is pending.
    fn arrival(&self, unmapped: bool) -> impl FnOnce() + Send + 'static {
        self.pending.store(true, Ordering::Release);
        let Self { buffer, mapped, pending, .. } = self.clone();
        move || {
            when_mapped(&buffer, wgpu::MapMode::Read, unmapped, move |is_mapped| {
                mapped.store(is_mapped, Ordering::Release);
                pending.store(false, Ordering::Release);
            });
        }
    }

    fn unmap(&self) {
        if self.mapped.swap(false, Ordering::AcqRel) {
            self.buffer.unmap();
        }
    }
}

/// The readback buffers of a program.
#[derive(Debug)]
pub(crate) struct Reader {
    gpu: Gpu,
    bytes: u64,
    free: Mutex<Vec<Slot>>,
}

impl Reader {
    pub(crate) fn new(gpu: &Gpu, bytes: u64) -> Result<Self, Error> {
        let this = Self { gpu: gpu.clone(), bytes, free: Mutex::default() };
        if bytes > 0 {
            let slots = (0..READS).map(|_| this.slot()).collect::<Result<Vec<_>, _>>()?;
            *lock(&this.free) = slots;
        }
        Ok(this)
    }

    fn slot(&self) -> Result<Slot, Error> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let buffer = self.gpu.buffer("readback", self.bytes, usage)?;
        Ok(Slot { buffer, mapped: Arc::default(), pending: Arc::default(), ticket: Ticket::Step(0) })
    }

    /// A buffer that the device may write to, mapped or not. One that was dropped unread is waited for.
    fn take(self: &Arc<Self>, mapped: bool) -> Result<Lent, Error> {
        let mut free = lock(&self.free);
        let slot = match free.iter().position(|slot| slot.is_over(&self.gpu)) {
            Some(at) => free.remove(at),
            None if free.is_empty() => self.slot()?,
            None => free.remove(0),
        };
        drop(free);
        let lent = Lent { reader: self.clone(), slot };
        if !lent.slot.is_over(&self.gpu) {
            lent.slot.finish(&self.gpu)?;
        }
        if mapped {
            lent.slot.map(&self.gpu)?;
        } else {
            lent.slot.unmap();
        }
        Ok(lent)
    }
}

/// A readback buffer of one run. Dropped, whether read or not and whatever became of the run, it serves the next.
#[derive(Debug)]
struct Lent {
    reader: Arc<Reader>,
    slot: Slot,
}

impl Drop for Lent {
    fn drop(&mut self) {
        lock(&self.reader.free).push(self.slot.clone());
    }
}

/// Where the inputs of a program lie in batches of a layout.
#[derive(Debug)]
pub(crate) struct Fields {
    layout: Arc<Layout>,
    offsets: Vec<u64>,
}

impl Program {
    /// Runs one step. Returns as soon as the work is submitted; what it computes can be waited for in the
    /// [`Outputs`].
    pub fn run(&self, state: &mut State, batch: Batch) -> Result<Outputs, Error> {
        self.run_on(state, batch)
    }

    /// [`Program::run`], for programs that leave the state as it is.
    pub(crate) fn run_on(&self, state: &State, batch: Batch) -> Result<Outputs, Error> {
        self.submit(state, batch, || self.launch(state)).map(|(_, outputs)| outputs)
    }

    /// [`Program::run`] with dispatches that are prepared by `launch`.
    pub(crate) fn submit(
        &self,
        state: &State,
        batch: Batch,
        launch: impl FnOnce() -> Result<Arc<Launch>, Error>,
    ) -> Result<(Arc<Launch>, Outputs), Error> {
        let this = &self.inner;
        let gpu = &this.gpu;
        gpu.check()?;
        if !Arc::ptr_eq(&gpu.inner, &state.gpu.inner) {
            let [program, state] = [gpu, &state.gpu].map(|gpu| gpu.info().to_string());
            return Err(Error::OtherDevice { program, state });
        }
        let launch = launch()?;
        // Of a batch that does not say which of its records count, all do.
        let lacks = |(name, _): &(Arc<str>, _)| &**name == RECORDS && batch.layout.get(name).is_none();
        let batch = match batch.memory.as_any().is::<HostMemory>() && this.inputs.iter().any(lacks) {
            true => batch.with(RECORDS, [2], &[1u32, 1]),
            false => batch,
        };
        let fields = self.fields(&batch.layout)?;
        // What wgpu records copies for must not be mapped then; what only the driver sees stays so.
        let recorded = matches!(*launch, Launch::Pass(_));
        let staged = if this.inputs.is_empty() { None } else { Some(self.stage(batch)?) };
        let mut lent = if this.results.is_empty() { None } else { Some(this.reader.take(!recorded)?) };
        // Last: from here on the buffer goes back to the ring by hand.
        let staged = staged.and_then(Staged::seal);
        if gpu.options().poison {
            self.poison();
        }
        if recorded {
            staged.iter().for_each(wgpu::Buffer::unmap);
        }

        let inputs = staged.iter().flat_map(|from| fields.offsets.iter().map(move |offset| (from, *offset)));
        let transfers = self.transfers(state, inputs, lent.as_ref().map(|lent| &lent.slot));
        let submitted = transfers.and_then(|transfers| launch.submit(gpu, transfers));
        if let (Some(lent), Ok(ticket)) = (&mut lent, &submitted) {
            lent.slot.ticket = ticket.clone();
        }
        match submitted {
            Ok(Ticket::Step(step)) => {
                gpu.inner.count.submissions.fetch_add(1, Ordering::Relaxed);
                if let Some(staged) = staged {
                    this.ring.recycle(staged, step);
                }
            }
            Ok(Ticket::Wgpu(_)) => {
                let recycle = staged.map(|staged| this.ring.recycler(staged, recorded));
                let arrive = lent.as_ref().map(|lent| lent.slot.arrival(recorded));
                // Whether wgpu knows or the driver alone: what the device uses is left alone until it is done.
                gpu.inner.queue.on_submitted_work_done(move || {
                    recycle.into_iter().for_each(|recycle| recycle());
                    arrive.into_iter().for_each(|arrive| arrive());
                });
                // Runs the callbacks of whatever has finished by now; does not wait.
                gpu.poll(wgpu::PollType::Poll)?;
            }
            Err(error) => {
                // Nothing copies from the sealed buffer: it goes back at once.
                staged.into_iter().for_each(|staged| this.ring.recycler(staged, recorded)());
                return Err(error);
            }
        }
        gpu.inner.count.dispatches.fetch_add(this.sources.len() as u64, Ordering::Relaxed);
        Ok((launch, Outputs { program: this.clone(), lent, data: OnceCell::new() }))
    }

    /// The copies of a step.
    fn transfers<'a>(
        &self,
        state: &State,
        inputs: impl Iterator<Item = (&'a wgpu::Buffer, u64)>,
        slot: Option<&Slot>,
    ) -> Result<Transfers, Error> {
        let this = &self.inner;
        let mut transfers = Transfers::default();
        for (((_, spec), place), (from, from_offset)) in
            this.inputs.iter().zip(&this.input_places).zip(inputs)
        {
            let (to, to_offset, _) = self.locate(place, state)?;
            let bytes = (spec.bytes() as u64).next_multiple_of(wgpu::COPY_BUFFER_ALIGNMENT);
            if bytes > 0 {
                let (from, to) = (from.clone(), to.clone());
                transfers.before.push(Copy { from, from_offset, to, to_offset, bytes });
            }
        }
        for (node, name) in &this.plan.copies {
            let place = this.plan.places[node.index()].as_ref();
            let place = place.ok_or_else(|| Error::Internal(format!("%{} has no place", node.0)))?;
            let (from, from_offset, bytes) = self.locate(place, state)?;
            let to_offset = state.slot(name)?.offset;
            let (from, to) = (from.clone(), state.buffer.clone());
            transfers.updates.push(Copy { from, from_offset, to, to_offset, bytes });
        }
        for (slot, result) in
            slot.iter().flat_map(|slot| this.results.iter().map(move |result| (slot, result)))
        {
            let (from, from_offset, bytes) = self.locate(&result.place, state)?;
            let (from, to, to_offset) = (from.clone(), slot.buffer.clone(), result.offset);
            transfers.after.push(Copy { from, from_offset, to, to_offset, bytes });
        }
        Ok(transfers)
    }

    /// Where the inputs lie in a batch of this layout. The batches of a loader share one, which is compared once.
    fn fields(&self, layout: &Arc<Layout>) -> Result<Arc<Fields>, Error> {
        let mut last = lock(&self.inner.fields);
        if let Some(known) = last.as_ref().filter(|known| Arc::ptr_eq(&known.layout, layout)) {
            return Ok(known.clone());
        }
        let field = |(name, expected): &(Arc<str>, TensorSpec)| match layout.get(name) {
            Some(field) if field.spec == *expected => Ok(field.offset as u64),
            Some(field) => Err(Error::WrongInput {
                name: name.to_string(),
                expected: expected.clone(),
                found: field.spec.clone(),
            }),
            None => Err(Error::MissingInput {
                name: name.to_string(),
                expected: expected.clone(),
                found: layout.fields().iter().map(|field| format!("`{}`", field.name)).collect(),
            }),
        };
        let offsets = self.inner.inputs.iter().map(field).collect::<Result<_, _>>()?;
        let fields = Arc::new(Fields { layout: layout.clone(), offsets });
        *last = Some(fields.clone());
        Ok(fields)
    }

    /// The batch in staging memory: as it is if it was written there, else copied.
    fn stage(&self, batch: Batch) -> Result<Staged, Error> {
        let ring = &self.inner.ring;
        let host = match batch.memory.into_any().downcast::<Staged>() {
            Ok(staged) => {
                staged.check_owner(ring, &batch.layout)?;
                return Ok(*staged);
            }
            Err(memory) => memory.downcast::<HostMemory>().map_err(|_| {
                let message = "is of an unknown kind; use ordinary memory or the program's `staging()`";
                Error::BatchMemory(message.into())
            })?,
        };
        let mut staged = ring.take_to_run(&batch.layout)?;
        for field in batch.layout.fields() {
            let end = field.offset + field.spec.bytes();
            let bytes = host.0.get(field.offset..end).ok_or_else(|| {
                let message = format!("has {} bytes, but `{}` ends at {end}", host.0.len(), field.name);
                Error::BatchMemory(message)
            })?;
            staged.write(field.offset, bytes)?;
        }
        Ok(staged)
    }

    /// Fills the workspace with NaN, except constants.
    fn poison(&self) {
        let this = &self.inner;
        let nan = vec![0xff; this.workspace.size() as usize];
        this.gpu.inner.queue.write_buffer(&this.workspace, 0, &nan);
        for (offset, bytes) in &this.constants {
            this.gpu.inner.queue.write_buffer(&this.workspace, *offset, bytes);
        }
        // Before anything that wgpu does not see.
        this.gpu.submit([]);
    }
}

/// What one run computed. Reading waits for that run, and only for it.
#[derive(Debug)]
pub struct Outputs {
    program: Arc<Compiled>,
    lent: Option<Lent>,
    data: OnceCell<Vec<u8>>,
}

impl Outputs {
    /// Whether the values can be read without waiting.
    pub fn is_ready(&self) -> bool {
        let Some(Lent { slot, .. }) = &self.lent else { return true };
        if let Ticket::Wgpu(_) = slot.ticket {
            // What the device says goes to whoever reads the values.
            let _ = self.program.gpu.polled(wgpu::PollType::Poll);
        }
        slot.is_over(&self.program.gpu)
    }

    /// An output by its position in what the recording closure returned; waits for the run.
    pub fn get(&self, index: usize) -> Result<Array, Error> {
        if index >= self.program.outputs {
            let available = format!("{} outputs", self.program.outputs);
            return Err(Error::NoOutput { what: format!("number {index}"), available });
        }
        self.result(index)
    }

    /// The one number of an output; waits for the run.
    pub fn scalar(&self, index: usize) -> Result<f64, Error> {
        let array = self.get(index)?;
        match array.data[..] {
            [value] => Ok(value),
            _ => Err(Error::NoOutput {
                what: format!("{index} of one number"),
                available: array.spec.to_string(),
            }),
        }
    }

    /// A tensor marked with `probe`; waits for the run.
    pub fn probe(&self, name: &str) -> Result<Array, Error> {
        let probes = &self.program.plan.recording.probes;
        match probes.iter().position(|(known, _)| known == name) {
            Some(at) => self.result(self.program.outputs + at),
            None => {
                let names: Vec<&str> = probes.iter().map(|(known, _)| known.as_str()).collect();
                let available = format!("the probes {}", names.join(", "));
                Err(Error::NoOutput { what: format!("`{name}`"), available })
            }
        }
    }

    fn result(&self, index: usize) -> Result<Array, Error> {
        let result = &self.program.results[index];
        let bytes = self.bytes()?;
        let start = result.offset as usize;
        let data = result.spec.dtype.decode(&bytes[start..start + result.spec.bytes()]);
        Ok(Array { spec: result.spec.clone(), data })
    }

    fn bytes(&self) -> Result<&[u8], Error> {
        if let Some(data) = self.data.get() {
            return Ok(data);
        }
        let Some(Lent { slot, .. }) = &self.lent else { return Ok(&[]) };
        let data = read_mapped(&self.program.gpu, slot)?;
        Ok(self.data.get_or_init(|| data))
    }
}

fn read_mapped(gpu: &Gpu, slot: &Slot) -> Result<Vec<u8>, Error> {
    slot.finish(gpu)?;
    match slot.buffer.get_mapped_range(..) {
        Ok(view) => Ok(view.to_vec()),
        Err(error) => {
            // A buffer that is gone went with its device, which may not have said so yet.
            gpu.synchronize()?;
            Err(Error::Driver { what: "a readback".into(), message: error.to_string() })
        }
    }
}

/// Reads part of a buffer; waits for everything before.
pub(crate) fn read_buffer(
    gpu: &Gpu,
    buffer: &wgpu::Buffer,
    offset: u64,
    bytes: u64,
) -> Result<Vec<u8>, Error> {
    gpu.check()?;
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    let to = gpu.buffer("readback", bytes, usage)?;
    let mut encoder = gpu.inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(buffer, offset, &to, 0, bytes);
    let ticket = gpu.submit([encoder.finish()]);
    let pending = Arc::new(AtomicBool::new(true));
    let slot = Slot { buffer: to, mapped: Arc::default(), pending: pending.clone(), ticket };
    slot.buffer.map_async(wgpu::MapMode::Read, .., move |_| pending.store(false, Ordering::Release));
    read_mapped(gpu, &slot)
}
