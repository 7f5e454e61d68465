//! What a step hands to the device: copies in, dispatches, copies out. The dispatches of a program on one state are
//! prepared once; where the driver can keep them, a step executes them again, else it records them anew.

use crate::codegen::Source;
use crate::device::Gpu;
use crate::error::Error;
use crate::profile::Timer;
use crate::ticket::Ticket;
use crate::vulkan::Commands;

/// A part of a buffer that a kernel binds: within the buffer, at the device's alignment and no longer than it allows.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) buffer: wgpu::Buffer,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// A kernel and what it binds.
pub(crate) struct Dispatch<'a> {
    pub(crate) source: &'a Source,
    pub(crate) bindings: Vec<Binding>,
    /// Whether all before it have to be over. wgpu finds out by itself.
    #[allow(dead_code)] // without Vulkan
    pub(crate) waits: bool,
    /// How often it runs, each time after the time before.
    pub(crate) times: u32,
}

/// Bytes that are copied on the device.
#[derive(PartialEq)]
pub(crate) struct Copy {
    pub(crate) from: wgpu::Buffer,
    pub(crate) from_offset: u64,
    pub(crate) to: wgpu::Buffer,
    pub(crate) to_offset: u64,
    pub(crate) bytes: u64,
}

/// What is copied around the dispatches of a step.
#[derive(Default)]
pub(crate) struct Transfers {
    /// Inputs, from staging memory.
    pub(crate) before: Vec<Copy>,
    /// Variables that cannot be updated in place.
    pub(crate) updates: Vec<Copy>,
    /// Results, to where the host reads them.
    pub(crate) after: Vec<Copy>,
}

/// Dispatches, ready to be submitted any number of times.
#[derive(Debug)]
pub(crate) enum Launch {
    /// Recorded through wgpu each time.
    Pass(Pass),
    /// Kept by the driver.
    Kept(Commands),
}

/// Dispatches that are recorded through wgpu: each a pipeline, what it binds, the workgroups, and how often it runs.
#[derive(Debug)]
pub(crate) struct Pass {
    dispatches: Vec<(wgpu::ComputePipeline, wgpu::BindGroup, [u32; 3], u32)>,
    timer: Option<Timer>,
}

impl Launch {
    /// Prepares dispatches; `copied` are the buffers of theirs that transfers will end or begin in. Of timed ones, which run
    /// once, the device notes down when each begins and ends.
    pub(crate) fn new(
        gpu: &Gpu,
        dispatches: &[Dispatch<'_>],
        copied: &[&wgpu::Buffer],
        timed: bool,
    ) -> Result<Self, Error> {
        if let Some(context) = &gpu.inner.vulkan {
            return Ok(Self::Kept(Commands::new(gpu, context, dispatches, copied, timed)?));
        }
        let bind = |dispatch: &Dispatch<'_>| {
            let source = dispatch.source;
            let pipeline = gpu.pipeline(&source.wgsl, source.bindings.len(), source.checked)?;
            let entries: Vec<_> = dispatch.bindings.iter().enumerate().map(entry).collect();
            let (label, layout) = (None, &pipeline.layout);
            let descriptor = wgpu::BindGroupDescriptor { label, layout, entries: &entries };
            let group = gpu.inner.device.create_bind_group(&descriptor);
            Ok((pipeline.pipeline, group, source.grid, dispatch.times))
        };
        let timer = if timed { Some(Timer::new(gpu, dispatches.len())?) } else { None };
        Ok(Self::Pass(Pass { dispatches: dispatches.iter().map(bind).collect::<Result<_, Error>>()?, timer }))
    }

    /// Submits copies and dispatches. The host leaves buffers that transfers begin or end in alone until the submission is
    /// over; where wgpu records the copies they must not even be mapped.
    pub(crate) fn submit(&self, gpu: &Gpu, transfers: Transfers) -> Result<Ticket, Error> {
        match self {
            Self::Kept(commands) => commands.submit(transfers),
            Self::Pass(pass) => Ok(gpu.submit([record(gpu, pass, &transfers)])),
        }
    }

    /// When each dispatch of a timed launch began and ended, in nanoseconds since the first; waits for it.
    pub(crate) fn times(&self, gpu: &Gpu) -> Result<Vec<[f64; 2]>, Error> {
        let ticks = match self {
            Self::Kept(commands) => commands.ticks()?,
            Self::Pass(pass) => pass.timer.as_ref().map_or(Ok(vec![]), |timer| timer.ticks(gpu))?,
        };
        let period = f64::from(gpu.inner.queue.get_timestamp_period());
        let zero = ticks.first().copied().unwrap_or(0);
        let since = |tick: u64| tick.wrapping_sub(zero) as i64 as f64 * period;
        Ok(ticks.chunks_exact(2).map(|pair| [since(pair[0]), since(pair[1])]).collect())
    }
}

fn entry((number, binding): (usize, &Binding)) -> wgpu::BindGroupEntry<'_> {
    let Binding { buffer, offset, bytes } = binding;
    let range = wgpu::BufferBinding { buffer, offset: *offset, size: wgpu::BufferSize::new(*bytes) };
    wgpu::BindGroupEntry { binding: number as u32, resource: wgpu::BindingResource::Buffer(range) }
}

fn record(gpu: &Gpu, pass: &Pass, transfers: &Transfers) -> wgpu::CommandBuffer {
    let Pass { dispatches, timer } = pass;
    let mut encoder = gpu.inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let copy = |encoder: &mut wgpu::CommandEncoder, copies: &[Copy]| {
        for Copy { from, from_offset, to, to_offset, bytes } in copies {
            encoder.copy_buffer_to_buffer(from, *from_offset, to, *to_offset, *bytes);
        }
    };
    copy(&mut encoder, &transfers.before);
    let passes = dispatches.chunks(if timer.is_some() { 1 } else { dispatches.len().max(1) });
    for (number, dispatches) in passes.enumerate() {
        let timestamp_writes = timer.as_ref().map(|timer| timer.pass(number));
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        for (pipeline, group, [x, y, z], times) in dispatches {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[]);
            (0..*times).for_each(|_| pass.dispatch_workgroups(*x, *y, *z));
        }
    }
    if let Some(timer) = timer {
        timer.resolve(&mut encoder);
    }
    copy(&mut encoder, &transfers.updates);
    copy(&mut encoder, &transfers.after);
    encoder.finish()
}
