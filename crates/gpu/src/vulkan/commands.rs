//! The commands of all dispatches of a program on one state: recorded once, executed at every step.

use std::fmt;
use std::sync::{Arc, Mutex};

use ash::vk;
use wgpu::hal::api::Vulkan;

use super::buffer::length;
use super::texels::Texels;
use super::{Context, Pipeline, refused};
use crate::device::{Gpu, lock};
use crate::error::Error;
use crate::launch::{Binding, Copy, Dispatch, Transfers};
use crate::ticket::Ticket;

/// Recorded dispatches, and all that the device needs to execute them.
pub(crate) struct Commands {
    gpu: Gpu,
    context: Arc<Context>,
    pool: vk::CommandPool,
    sets: vk::DescriptorPool,
    /// What pipelines read as texels.
    views: Vec<vk::BufferView>,
    /// Where the device notes down when each dispatch begins and ends, if it is to.
    queries: vk::QueryPool,
    /// Executed by each step.
    dispatches: vk::CommandBuffer,
    steps: Mutex<Steps>,
    /// What the dispatches use, for as long as they can be executed.
    pipelines: Vec<Arc<Pipeline>>,
    buffers: Vec<(wgpu::Buffer, vk::Buffer)>,
}

/// Recorded copies that are kept for steps that do the same. A batch whose layout nobody had before has its own.
const KEPT: usize = 16;

/// What steps have in common, and the last of them.
#[derive(Default)]
struct Steps {
    /// What goes before the dispatches, for each staging buffer, and behind them, for each readback buffer.
    before: Vec<Recorded>,
    behind: Vec<Recorded>,
    last: Option<Ticket>,
}

/// Copies, which keep their buffers, the command buffer that does them, and the last step that it is in.
struct Recorded {
    copies: Vec<Copy>,
    commands: vk::CommandBuffer,
    step: u64,
}

/// Stages and accesses on both sides of a barrier.
type Side = (vk::PipelineStageFlags, vk::AccessFlags);

const DISPATCHED: Side = (vk::PipelineStageFlags::COMPUTE_SHADER, vk::AccessFlags::SHADER_WRITE);
const DISPATCH: Side = (
    vk::PipelineStageFlags::COMPUTE_SHADER,
    vk::AccessFlags::from_raw(vk::AccessFlags::SHADER_READ.as_raw() | vk::AccessFlags::SHADER_WRITE.as_raw()),
);
/// Whatever the queue did before.
const ALL_BEFORE: Side = (vk::PipelineStageFlags::ALL_COMMANDS, vk::AccessFlags::MEMORY_WRITE);
/// Whatever it does next.
const ALL_AFTER: Side = (
    vk::PipelineStageFlags::ALL_COMMANDS,
    vk::AccessFlags::from_raw(vk::AccessFlags::MEMORY_READ.as_raw() | vk::AccessFlags::MEMORY_WRITE.as_raw()),
);
/// The same, and the host, which reads results.
const HOST_AFTER: Side = (
    vk::PipelineStageFlags::from_raw(
        vk::PipelineStageFlags::ALL_COMMANDS.as_raw() | vk::PipelineStageFlags::HOST.as_raw(),
    ),
    ALL_AFTER.1,
);

impl Commands {
    /// Records dispatches, with a barrier before each that waits for earlier ones, and before and behind them all.
    /// `copied` are buffers that are not only bound. Timed dispatches are kept apart, and run once.
    pub(crate) fn new(
        gpu: &Gpu,
        context: &Arc<Context>,
        dispatches: &[Dispatch<'_>],
        copied: &[&wgpu::Buffer],
        timed: bool,
    ) -> Result<Self, Error> {
        let pipelines = dispatches.iter().map(|dispatch| gpu.replayed(context, dispatch.source));
        let pipelines = pipelines.collect::<Result<Vec<_>, _>>()?;
        let bound = || dispatches.iter().flat_map(|dispatch| &dispatch.bindings);
        let mut buffers: Vec<(wgpu::Buffer, vk::Buffer)> = vec![];
        for buffer in copied.iter().copied().chain(bound().map(|binding| &binding.buffer)) {
            if buffers.iter().all(|(known, _)| known != buffer) {
                buffers.push((buffer.clone(), handle(buffer)?));
            }
        }
        let raw = &context.raw;
        let size = |ty: vk::DescriptorType, count: usize| vk::DescriptorPoolSize {
            ty,
            descriptor_count: (count as u32).max(1),
        };
        let texels = pipelines.iter().map(|pipeline| pipeline.texels.len()).sum();
        let sizes = [
            size(vk::DescriptorType::STORAGE_BUFFER, bound().count()),
            size(vk::DescriptorType::UNIFORM_TEXEL_BUFFER, texels),
        ];
        let descriptor = vk::DescriptorPoolCreateInfo::default()
            .max_sets((dispatches.len() as u32).max(1))
            .pool_sizes(&sizes);
        // SAFETY: the sizes are not zero.
        let sets = unsafe { raw.create_descriptor_pool(&descriptor, None) };
        let sets = sets.map_err(|result| refused("a pool of descriptor sets", result))?;
        let descriptor = vk::CommandPoolCreateInfo::default().queue_family_index(context.queue_family);
        // SAFETY: the family is that of the device's queue.
        let pool = unsafe { raw.create_command_pool(&descriptor, None) };
        let pool = pool.map_err(|result| {
            // SAFETY: nothing uses it.
            unsafe { raw.destroy_descriptor_pool(sets, None) };
            refused("a pool of commands", result)
        })?;
        let mut this = Self {
            gpu: gpu.clone(),
            context: context.clone(),
            pool,
            sets,
            views: vec![],
            queries: vk::QueryPool::null(),
            dispatches: vk::CommandBuffer::null(),
            steps: Mutex::default(),
            pipelines,
            buffers,
        };
        if timed {
            this.queries = this.new_queries(dispatches.len())?;
        }
        this.record(dispatches)?;
        Ok(this)
    }

    /// A new command buffer, which is being recorded.
    fn begin(&self, level: vk::CommandBufferLevel) -> Result<vk::CommandBuffer, Error> {
        let raw = &self.context.raw;
        let descriptor = vk::CommandBufferAllocateInfo::default()
            .command_pool(self.pool)
            .level(level)
            .command_buffer_count(1);
        // SAFETY: nobody else knows the pool, and only one at a time records: whoever makes this, or has locked `steps`.
        let buffers = unsafe { raw.allocate_command_buffers(&descriptor) };
        let buffer = buffers.map_err(|result| refused("a command buffer", result))?[0];
        let inherited = vk::CommandBufferInheritanceInfo::default();
        // A step may be submitted while the one before is still on its way.
        let descriptor = vk::CommandBufferBeginInfo::default()
            .flags(vk::CommandBufferUsageFlags::SIMULTANEOUS_USE)
            .inheritance_info(&inherited);
        // SAFETY: the buffer is new.
        let begun = unsafe { raw.begin_command_buffer(buffer, &descriptor) };
        begun.map_err(|result| refused("to record commands", result))?;
        Ok(buffer)
    }

    fn end(&self, buffer: vk::CommandBuffer) -> Result<(), Error> {
        // SAFETY: the buffer is being recorded.
        let ended = unsafe { self.context.raw.end_command_buffer(buffer) };
        ended.map_err(|result| refused("to record commands", result))
    }

    fn free(&self, buffer: vk::CommandBuffer) {
        // SAFETY: the buffer is from this pool, which only one at a time uses, as when it was made; no step that executes it
        // is on its way, as the caller has made sure.
        unsafe { self.context.raw.free_command_buffers(self.pool, &[buffer]) };
    }

    fn new_queries(&self, dispatches: usize) -> Result<vk::QueryPool, Error> {
        let descriptor = vk::QueryPoolCreateInfo::default()
            .query_type(vk::QueryType::TIMESTAMP)
            .query_count((2 * dispatches as u32).max(1));
        // SAFETY: the count is not zero.
        let queries = unsafe { self.context.raw.create_query_pool(&descriptor, None) };
        queries.map_err(|result| refused("timestamps", result))
    }

    /// The timestamps at the begin and the end of each dispatch; waits for the last step.
    pub(crate) fn ticks(&self) -> Result<Vec<u64>, Error> {
        self.finish()?;
        let mut ticks = vec![0u64; 2 * self.pipelines.len()];
        let flags = vk::QueryResultFlags::TYPE_64;
        // SAFETY: the pool has two queries for each dispatch, and the step that writes them is over.
        let read = unsafe { self.context.raw.get_query_pool_results(self.queries, 0, &mut ticks, flags) };
        read.map_err(|result| refused("timestamps", result))?;
        Ok(ticks)
    }

    /// Waits for the last step.
    fn finish(&self) -> Result<(), Error> {
        let last = lock(&self.steps).last.clone();
        last.map_or(Ok(()), |last| self.gpu.wait(&last))
    }

    fn record(&mut self, dispatches: &[Dispatch<'_>]) -> Result<(), Error> {
        self.dispatches = self.begin(vk::CommandBufferLevel::SECONDARY)?;
        let (context, pipelines) = (self.context.clone(), self.pipelines.clone());
        let raw = &context.raw;
        context.barrier(self.dispatches, ALL_BEFORE, ALL_AFTER);
        let (commands, queries) = (self.dispatches, self.queries);
        let timed = queries != vk::QueryPool::null();
        let timestamp = |number: usize| {
            if timed {
                let stage = vk::PipelineStageFlags::BOTTOM_OF_PIPE;
                // SAFETY: the buffer is being recorded; the pool has two queries for each dispatch, which are reset.
                unsafe { raw.cmd_write_timestamp(commands, stage, queries, number as u32) };
            }
        };
        if timed {
            // SAFETY: the buffer is being recorded, outside of a render pass, and all of these are in the pool.
            unsafe {
                raw.cmd_reset_query_pool(commands, queries, 0, 2 * dispatches.len() as u32);
            };
        }
        for (number, (dispatch, pipeline)) in dispatches.iter().zip(&pipelines).enumerate() {
            let set = self.descriptor_set(pipeline, &dispatch.bindings)?;
            if dispatch.waits || timed {
                context.barrier(self.dispatches, DISPATCHED, DISPATCH);
            }
            timestamp(2 * number);
            let [x, y, z] = dispatch.source.grid;
            let (bind_point, layout) = (vk::PipelineBindPoint::COMPUTE, pipeline.layout.pipeline);
            // SAFETY: the buffer is being recorded; pipeline, set and layout are alive as long as it is and belong together.
            unsafe {
                raw.cmd_bind_pipeline(self.dispatches, bind_point, pipeline.raw);
                raw.cmd_bind_descriptor_sets(self.dispatches, bind_point, layout, 0, &[set], &[]);
            }
            for time in 0..dispatch.times {
                if time > 0 {
                    context.barrier(self.dispatches, DISPATCHED, DISPATCH);
                }
                // SAFETY: all that the pipeline needs is bound; the grid is within the limits, as the one place that makes
                // grids sees to.
                unsafe { raw.cmd_dispatch(self.dispatches, x, y, z) };
            }
            timestamp(2 * number + 1);
        }
        context.barrier(self.dispatches, ALL_BEFORE, ALL_AFTER);
        self.end(self.dispatches)
    }

    fn descriptor_set(
        &mut self,
        pipeline: &Pipeline,
        bindings: &[Binding],
    ) -> Result<vk::DescriptorSet, Error> {
        let context = self.context.clone();
        let raw = &context.raw;
        let layouts = [pipeline.layout.set];
        let descriptor =
            vk::DescriptorSetAllocateInfo::default().descriptor_pool(self.sets).set_layouts(&layouts);
        // SAFETY: nobody else knows the pool, and the layout is of this device.
        let sets = unsafe { raw.allocate_descriptor_sets(&descriptor) };
        let set = sets.map_err(|result| refused("a descriptor set", result))?[0];
        for (number, binding) in bindings.iter().enumerate() {
            let info = [vk::DescriptorBufferInfo {
                buffer: self.handle(&binding.buffer)?,
                offset: binding.offset,
                range: binding.bytes,
            }];
            let write = vk::WriteDescriptorSet::default()
                .dst_set(set)
                .dst_binding(number as u32)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .buffer_info(&info);
            // SAFETY: no command uses the set yet; the range lies within the buffer, at the device's alignment, as
            // `Binding` says.
            unsafe { raw.update_descriptor_sets(&[write], &[]) };
        }
        for (number, texels) in (bindings.len() as u32..).zip(&pipeline.texels) {
            let views = [self.view(texels, &bindings[texels.binding as usize])?];
            let write = vk::WriteDescriptorSet::default()
                .dst_set(set)
                .dst_binding(number)
                .descriptor_type(vk::DescriptorType::UNIFORM_TEXEL_BUFFER)
                .texel_buffer_view(&views);
            // SAFETY: no command uses the set yet; the view is kept as long as the commands.
            unsafe { raw.update_descriptor_sets(&[write], &[]) };
        }
        Ok(set)
    }

    /// The texels in what is bound.
    fn view(&mut self, texels: &Texels, binding: &Binding) -> Result<vk::BufferView, Error> {
        let descriptor = vk::BufferViewCreateInfo::default()
            .buffer(self.handle(&binding.buffer)?)
            .format(texels.format)
            .offset(binding.offset)
            .range(length(binding.bytes));
        // SAFETY: `Gpu::buffer` made the buffer for this use; the range is not empty, of whole texels and within the buffer,
        // and where it begins and how long it is suits the device, as `Memory::of` has made sure.
        let view = unsafe { self.context.raw.create_buffer_view(&descriptor, None) };
        let view = view.map_err(|result| refused("a view of a buffer", result))?;
        self.views.push(view);
        Ok(view)
    }

    /// The driver's buffer behind one of wgpu's.
    fn handle(&self, buffer: &wgpu::Buffer) -> Result<vk::Buffer, Error> {
        let known = self.buffers.iter().find(|(known, _)| known == buffer);
        known.map_or_else(|| handle(buffer), |(_, handle)| Ok(*handle))
    }

    /// Submits a step. That it comes after what was submitted earlier, and before what will be, is up to the barriers at its
    /// ends; that buffers stay until it is over, to whoever holds them: this for those that are bound or, where wgpu does not
    /// submit, copied from and to.
    pub(crate) fn submit(&self, transfers: Transfers) -> Result<Ticket, Error> {
        let Transfers { before, mut updates, after } = transfers;
        let mut steps = lock(&self.steps);
        let ticket = match &self.context.queue {
            Some(queue) => {
                let mut commands = vec![];
                if !before.is_empty() {
                    let record = |buffer, copies: &[Copy]| self.before(buffer, copies);
                    commands.push(self.recorded(&mut steps.before, before, record)?);
                }
                let updated = updates.len();
                updates.extend(after);
                let record = |buffer, copies: &[Copy]| {
                    let (updates, after) = copies.split_at(updated);
                    self.dispatch(buffer, updates, after)
                };
                commands.push(self.recorded(&mut steps.behind, updates, record)?);
                // SAFETY: the buffers are recorded for any number of uses at a time, and kept, with all they use, until the
                // step is over: this notes it down for `recorded`.
                let step = unsafe { queue.submit(&self.context, &commands) }?;
                let Steps { before, behind, .. } = &mut *steps;
                let used = before.iter_mut().chain(behind).filter(|known| commands.contains(&known.commands));
                used.for_each(|known| known.step = step);
                Ticket::Step(step)
            }
            None => self.submit_through_wgpu(&before, &updates, &after)?,
        };
        steps.last = Some(ticket.clone());
        Ok(ticket)
    }

    /// wgpu sees a command buffer that touches nothing.
    fn submit_through_wgpu(
        &self,
        before: &[Copy],
        updates: &[Copy],
        after: &[Copy],
    ) -> Result<Ticket, Error> {
        let device = &self.gpu.inner.device;
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let record = |buffer: vk::CommandBuffer| {
            self.before(buffer, before)?;
            self.dispatch(buffer, updates, after)
        };
        // SAFETY: the handle is only recorded into, and not after this call.
        let recorded = unsafe {
            encoder.as_hal_mut::<Vulkan, _, _>(|encoder| encoder.map(|encoder| record(encoder.raw_handle())))
        };
        let Some(recorded) = recorded else {
            self.gpu.check()?;
            return Err(Error::DeviceLost("it records no commands any more".into()));
        };
        recorded?;
        Ok(self.gpu.submit([encoder.finish()]))
    }

    /// The command buffer that does these copies: recorded when they are first met. Beyond those that are kept, the one
    /// unused for longest goes, unless the device may still execute it.
    fn recorded(
        &self,
        known: &mut Vec<Recorded>,
        copies: Vec<Copy>,
        record: impl FnOnce(vk::CommandBuffer, &[Copy]) -> Result<(), Error>,
    ) -> Result<vk::CommandBuffer, Error> {
        if let Some(known) = known.iter().find(|known| known.copies == copies) {
            return Ok(known.commands);
        }
        while known.len() >= KEPT {
            // The largest number there is says that the device is lost.
            let over = Some(self.context.over()).filter(|over| *over < u64::MAX);
            let oldest = (0..known.len()).min_by_key(|at| known[*at].step);
            let Some(oldest) = oldest.filter(|at| Some(known[*at].step) <= over) else { break };
            self.free(known.swap_remove(oldest).commands);
        }
        let commands = self.begin(vk::CommandBufferLevel::PRIMARY)?;
        record(commands, &copies).and_then(|()| self.end(commands)).inspect_err(|_| self.free(commands))?;
        known.push(Recorded { copies, commands, step: 0 });
        Ok(commands)
    }

    /// Records what goes before the dispatches.
    fn before(&self, buffer: vk::CommandBuffer, copies: &[Copy]) -> Result<(), Error> {
        self.context.barrier(buffer, ALL_BEFORE, ALL_AFTER);
        self.copy(buffer, copies)
    }

    /// Records the dispatches and what goes behind them.
    fn dispatch(&self, buffer: vk::CommandBuffer, updates: &[Copy], after: &[Copy]) -> Result<(), Error> {
        let context = &self.context;
        // SAFETY: the buffer is being recorded, outside of a render pass, and what it executes is recorded for any number of
        // uses at a time, with commands of the same queue family.
        unsafe { context.raw.cmd_execute_commands(buffer, &[self.dispatches]) };
        if !updates.is_empty() {
            self.copy(buffer, updates)?;
            context.barrier(buffer, ALL_BEFORE, ALL_AFTER);
        }
        self.copy(buffer, after)?;
        context.barrier(buffer, ALL_BEFORE, HOST_AFTER);
        Ok(())
    }

    /// Records copies; those that follow each other between the same two buffers are one.
    fn copy(&self, buffer: vk::CommandBuffer, copies: &[Copy]) -> Result<(), Error> {
        for copies in copies.chunk_by(|one, next| one.from == next.from && one.to == next.to) {
            let (from, to) = (self.handle(&copies[0].from)?, self.handle(&copies[0].to)?);
            let regions = copies.iter().map(region).collect::<Result<Vec<_>, _>>()?;
            // SAFETY: the buffer is being recorded; `region` has compared every range with both buffers, and no two of a
            // step's copies overlap.
            unsafe { self.context.raw.cmd_copy_buffer(buffer, from, to, &regions) };
        }
        Ok(())
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        let over = match lock(&self.steps).last.take() {
            None => true,
            Some(Ticket::Step(step)) => self.context.wait(step).is_ok(),
            Some(Ticket::Wgpu(submission)) => {
                let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
                matches!(self.gpu.polled(wait), Ok(Ok(_)))
            }
        };
        if !over {
            // Nobody can say whether the device still executes them: let them be.
            return;
        }
        // SAFETY: the last step that executes them is over, and the pools take all that is in them along; where there is no
        // pool of queries, its handle is null, which may be destroyed as well.
        unsafe {
            self.context.raw.destroy_command_pool(self.pool, None);
            self.context.raw.destroy_descriptor_pool(self.sets, None);
            self.views.iter().for_each(|view| self.context.raw.destroy_buffer_view(*view, None));
            self.context.raw.destroy_query_pool(self.queries, None);
        }
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands")
            .field("dispatches", &self.pipelines.len())
            .field("buffers", &self.buffers)
            .finish_non_exhaustive()
    }
}

fn region(copy: &Copy) -> Result<vk::BufferCopy, Error> {
    let within = |buffer: &wgpu::Buffer, offset: u64| {
        offset.checked_add(copy.bytes).is_some_and(|end| end <= buffer.size())
    };
    if copy.bytes == 0 || !within(&copy.from, copy.from_offset) || !within(&copy.to, copy.to_offset) {
        return Err(Error::Internal("a copy leaves its buffer".into()));
    }
    Ok(vk::BufferCopy { src_offset: copy.from_offset, dst_offset: copy.to_offset, size: copy.bytes })
}

/// The driver's buffer behind one of wgpu's.
fn handle(buffer: &wgpu::Buffer) -> Result<vk::Buffer, Error> {
    // SAFETY: it is not destroyed here, and whoever uses it keeps wgpu's buffer.
    let raw = unsafe { buffer.as_hal::<Vulkan>().map(|buffer| buffer.raw_handle()) };
    raw.ok_or_else(|| Error::DeviceLost("its buffers are gone".into()))
}

impl Context {
    /// Has what follows in a command buffer wait for what came before.
    fn barrier(&self, buffer: vk::CommandBuffer, before: Side, after: Side) {
        let memory = [vk::MemoryBarrier::default().src_access_mask(before.1).dst_access_mask(after.1)];
        // SAFETY: the buffer is being recorded, outside of a render pass.
        unsafe {
            let none = vk::DependencyFlags::empty();
            self.raw.cmd_pipeline_barrier(buffer, before.0, after.0, none, &memory, &[], &[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use wgrad_core::batch::Batch;
    use wgrad_core::{F32, Mode, Vars};

    use super::*;
    use crate::launch::Launch;

    /// Every batch has a layout that nobody had before, and there are more results than copies are kept for.
    #[test]
    fn recorded_copies_do_not_accumulate() {
        let gpu = Gpu::new().expect("an adapter");
        let program = gpu.compile(Mode::Eval, |g| [g.input("x", [4], F32) + 1.0]).unwrap();
        let mut state = gpu.init(&Vars::new(), 0).unwrap();
        for round in 0..5 {
            let run = |step: usize| {
                let behind = 40 * round + step;
                let batch = Batch::new().with("more", [4 * behind], &vec![0f32; 4 * behind]);
                program.run(&mut state, batch.with("x", [4], &[step as f32; 4])).unwrap()
            };
            let held: Vec<_> = (0..40).map(run).collect();
            for (step, outputs) in held.iter().enumerate() {
                assert_eq!(outputs.get(0).unwrap().data, [step as f64 + 1.0; 4]);
            }
            let Launch::Kept(commands) = &*program.launch(&state).unwrap() else { return };
            let steps = lock(&commands.steps);
            let recorded = [&steps.before, &steps.behind].map(Vec::len);
            // Nothing is kept where wgpu submits, which it does not have to on Mesa's driver for CPUs.
            let keeps = commands.context.queue.is_some();
            assert!(keeps || gpu.inner.device.adapter_info().driver != "llvmpipe");
            assert_eq!(recorded.map(|recorded| recorded > 0), [keeps; 2]);
            // As many more as may have been on their way at once.
            assert!(recorded[0] <= KEPT && recorded[1] <= 40 + KEPT, "{recorded:?}");
        }
    }
}
