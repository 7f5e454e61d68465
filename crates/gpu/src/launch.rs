//! What a step hands to the device: copies in, dispatches, copies out. The dispatches of a program on one state are
//! prepared once; where the driver can keep them, a step executes them again, else it records them anew.

use crate::codegen::Source;
use crate::device::Gpu;
use crate::error::Error;
use crate::profile::Timer;
use crate::ticket::Ticket;
use crate::vulkan::Commands;

/// A part of a buffer that a kernel binds: within the buffer, at the device's alignment and no longer than it allows.
#[derive(Debug)]
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
    Pass(Vec<(wgpu::ComputePipeline, wgpu::BindGroup, [u32; 3])>),
    /// Kept by the driver.
    Kept(Commands),
}

impl Launch {
    /// Prepares dispatches; `copied` are the buffers of theirs that transfers will end or begin in.
    pub(crate) fn new(
        gpu: &Gpu,
        dispatches: &[Dispatch<'_>],
        copied: &[&wgpu::Buffer],
    ) -> Result<Self, Error> {
        let Some(context) = &gpu.inner.vulkan else { return Self::pass(gpu, dispatches) };
        Ok(Self::Kept(Commands::new(gpu, context, dispatches, copied)?))
    }

    /// One that is recorded through wgpu wherever it runs: only such a one can be timed.
    pub(crate) fn pass(gpu: &Gpu, dispatches: &[Dispatch<'_>]) -> Result<Self, Error> {
        let bind = |dispatch: &Dispatch<'_>| {
            let source = dispatch.source;
            let pipeline = gpu.pipeline(&source.wgsl, source.bindings.len(), source.checked)?;
            let entries: Vec<_> = dispatch.bindings.iter().enumerate().map(entry).collect();
            let (label, layout) = (None, &pipeline.layout);
            let descriptor = wgpu::BindGroupDescriptor { label, layout, entries: &entries };
            let group = gpu.inner.device.create_bind_group(&descriptor);
            Ok((pipeline.pipeline, group, source.grid))
        };
        Ok(Self::Pass(dispatches.iter().map(bind).collect::<Result<_, Error>>()?))
    }

    /// Submits copies and dispatches; every dispatch has a pass of its own where a timer wants to know how long it took.
    /// The host leaves buffers that transfers begin or end in alone until the submission is over; where wgpu records the copies
    /// they must not even be mapped.
    pub(crate) fn submit(
        &self,
        gpu: &Gpu,
        transfers: Transfers,
        timer: Option<&Timer>,
    ) -> Result<Ticket, Error> {
        match self {
            Self::Kept(commands) => commands.submit(transfers),
            Self::Pass(dispatches) => Ok(gpu.submit([record(gpu, dispatches, &transfers, timer)])),
        }
    }
}

fn entry((number, binding): (usize, &Binding)) -> wgpu::BindGroupEntry<'_> {
    let Binding { buffer, offset, bytes } = binding;
    let range = wgpu::BufferBinding { buffer, offset: *offset, size: wgpu::BufferSize::new(*bytes) };
    wgpu::BindGroupEntry { binding: number as u32, resource: wgpu::BindingResource::Buffer(range) }
}

fn record(
    gpu: &Gpu,
    dispatches: &[(wgpu::ComputePipeline, wgpu::BindGroup, [u32; 3])],
    transfers: &Transfers,
    timer: Option<&Timer>,
) -> wgpu::CommandBuffer {
    let mut encoder = gpu.inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let copy = |encoder: &mut wgpu::CommandEncoder, copies: &[Copy]| {
        for Copy { from, from_offset, to, to_offset, bytes } in copies {
            encoder.copy_buffer_to_buffer(from, *from_offset, to, *to_offset, *bytes);
        }
    };
    copy(&mut encoder, &transfers.before);
    let passes = dispatches.chunks(if timer.is_some() { 1 } else { dispatches.len().max(1) });
    for (number, dispatches) in passes.enumerate() {
        let timestamp_writes = timer.map(|timer| timer.pass(number));
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        for (pipeline, group, [x, y, z]) in dispatches {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(*x, *y, *z);
        }
    }
    if let Some(timer) = timer {
        timer.resolve(&mut encoder);
    }
    copy(&mut encoder, &transfers.updates);
    copy(&mut encoder, &transfers.after);
    encoder.finish()
}
