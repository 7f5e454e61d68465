//! Where the time of a step goes: one step with every kernel timed by the device.

use wgrad_core::batch::Batch;

use crate::device::Gpu;
use crate::error::Error;
use crate::program::Program;
use crate::run::read_buffer;
use crate::state::State;

/// How long one kernel took, and what it had to do.
#[derive(Clone, Debug)]
pub struct KernelTime {
    /// What it iterates over, as in [`Program::explain`].
    pub label: String,
    /// Nanoseconds from the start of the first kernel.
    pub start: f64,
    /// Nanoseconds.
    pub duration: f64,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes read and written, each tensor counted once.
    pub bytes: u64,
}

/// The timestamps of a run that wgpu records, two for each dispatch.
#[derive(Debug)]
pub(crate) struct Timer {
    queries: wgpu::QuerySet,
    buffer: wgpu::Buffer,
    count: u32,
}

impl Timer {
    pub(crate) fn new(gpu: &Gpu, dispatches: usize) -> Result<Self, Error> {
        let count = 2 * dispatches as u32;
        let descriptor =
            wgpu::QuerySetDescriptor { label: Some("timestamps"), ty: wgpu::QueryType::Timestamp, count };
        let queries = gpu.inner.device.create_query_set(&descriptor);
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let buffer = gpu.buffer("timestamps", u64::from(count) * 8, usage)?;
        Ok(Self { queries, buffer, count })
    }

    /// What the pass of a dispatch notes down.
    pub(crate) fn pass(&self, number: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * number as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    pub(crate) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..self.count, &self.buffer, 0);
    }

    /// The timestamps at the begin and the end of each dispatch.
    pub(crate) fn ticks(&self, gpu: &Gpu) -> Result<Vec<u64>, Error> {
        let bytes = read_buffer(gpu, &self.buffer, 0, u64::from(self.count) * 8)?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}

impl Program {
    /// Runs one step with every kernel timed, and waits for it. Kernels are kept apart for that, so the sum is
    /// more than a step of [`Program::run`] takes.
    ///
    /// An adapter without timestamps is [`Error::Unsupported`].
    pub fn profile(&self, state: &mut State, batch: Batch) -> Result<Vec<KernelTime>, Error> {
        let this = &self.inner;
        // What WebGPU guarantees a query set to hold.
        const MOST: usize = 4096;
        let unsupported =
            |what: &str| Err(Error::Unsupported { adapter: this.gpu.info().name.clone(), what: what.into() });
        if !this.gpu.inner.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return unsupported("timestamps, which a profile needs");
        }
        if 2 * this.sources.len() > MOST {
            return unsupported(&format!("a profile of {} dispatches", this.sources.len()));
        }
        if this.sources.is_empty() {
            return Ok(vec![]);
        }
        let (launch, _) = self.submit(state, batch, || self.prepare(state, true))?;
        let times = launch.times(&this.gpu)?;
        let step = |(step, [start, end]): (&std::ops::Range<usize>, [f64; 2])| {
            let kernels = &this.plan.kernels[step.clone()];
            KernelTime {
                label: this.plan.label(kernels),
                start,
                duration: end - start,
                flops: kernels.iter().map(|kernel| this.plan.kernel_flops(kernel)).sum(),
                bytes: kernels.iter().map(|kernel| this.plan.kernel_bytes(kernel)).sum(),
            }
        };
        Ok(this.plan.steps.iter().zip(times).map(step).collect())
    }
}
