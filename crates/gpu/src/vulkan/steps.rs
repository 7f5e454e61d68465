//! Steps that go to the driver's queue past wgpu, and how far the device has come with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ash::vk;

use super::{Context, refused};
use crate::device::lock;
use crate::error::Error;

/// The queue of a device that only one [`Gpu`](crate::Gpu) submits to.
pub(super) struct Queue {
    raw: vk::Queue,
    /// Counts the steps that are over (Vulkan 1.2, "Semaphores").
    over: vk::Semaphore,
    submitted: AtomicU64,
    /// Held whenever anything is submitted, through wgpu or past it.
    turn: Arc<Mutex<()>>,
}

impl Queue {
    pub(super) fn new(device: &ash::Device, raw: vk::Queue, turn: &Arc<Mutex<()>>) -> Option<Self> {
        let mut counts = vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
        let descriptor = vk::SemaphoreCreateInfo::default().push_next(&mut counts);
        // SAFETY: the caller has made sure that the device is one of Vulkan 1.2.
        let over = unsafe { device.create_semaphore(&descriptor, None) }.ok()?;
        Some(Self { raw, over, submitted: AtomicU64::new(0), turn: turn.clone() })
    }

    pub(super) fn destroy(&self, device: &ash::Device) {
        // SAFETY: what was submitted holds the context, so it is over.
        unsafe { device.destroy_semaphore(self.over, None) };
    }

    /// Submits command buffers in this order; the number of the step that they are.
    ///
    /// # Safety
    ///
    /// They are recorded, may be pending more than once, and stay as they are until the step is over, with all they use.
    pub(super) unsafe fn submit(
        &self,
        context: &Context,
        commands: &[vk::CommandBuffer],
    ) -> Result<u64, Error> {
        let _turn = lock(&self.turn);
        let step = self.submitted.load(Ordering::Acquire) + 1;
        let (semaphores, steps) = ([self.over], [step]);
        let mut counts = vk::TimelineSemaphoreSubmitInfo::default().signal_semaphore_values(&steps);
        let submission = vk::SubmitInfo::default()
            .command_buffers(commands)
            .signal_semaphores(&semaphores)
            .push_next(&mut counts);
        // SAFETY: whoever submits to the queue holds the lock; the values of the semaphore rise; the caller answers for the
        // command buffers.
        let submitted = unsafe { context.raw.queue_submit(self.raw, &[submission], vk::Fence::null()) };
        submitted.map_err(|result| refused("a step", result))?;
        self.submitted.store(step, Ordering::Release);
        Ok(step)
    }
}

impl Context {
    /// The number of the last step that was submitted past wgpu.
    pub(crate) fn submitted(&self) -> u64 {
        self.queue.as_ref().map_or(0, |queue| queue.submitted.load(Ordering::Acquire))
    }

    /// The number of the last step that is over, the largest there is if nobody can say.
    pub(crate) fn over(&self) -> u64 {
        let Some(queue) = &self.queue else { return u64::MAX };
        // SAFETY: the semaphore is a timeline of this device.
        unsafe { self.raw.get_semaphore_counter_value(queue.over) }.unwrap_or(u64::MAX)
    }

    /// Waits until a step is over.
    pub(crate) fn wait(&self, step: u64) -> Result<(), Error> {
        let Some(queue) = self.queue.as_ref().filter(|_| step > 0) else { return Ok(()) };
        let (semaphores, steps) = ([queue.over], [step]);
        let wanted = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&steps);
        // SAFETY: the semaphore is a timeline of this device.
        let waited = unsafe { self.raw.wait_semaphores(&wanted, u64::MAX) };
        waited.map_err(|result| refused("a step", result))
    }
}
