//! Submissions, and how to wait for them.

use std::sync::atomic::Ordering;

use crate::device::{Gpu, lock};
use crate::error::Error;

/// What was handed to the device.
#[derive(Clone, Debug)]
pub(crate) enum Ticket {
    /// By wgpu.
    Wgpu(wgpu::SubmissionIndex),
    /// Past it: the number of a step. Number 0 is over from the start.
    Step(u64),
}

impl Gpu {
    /// Hands commands to the device, through wgpu. Nothing else in this crate does: a queue of Vulkan takes one submission
    /// at a time, and wgpu does not know of those that it is not told of.
    pub(crate) fn submit(&self, commands: impl IntoIterator<Item = wgpu::CommandBuffer>) -> Ticket {
        let _turn = lock(&self.inner.turn);
        let submission = self.inner.queue.submit(commands);
        self.inner.count.submissions.fetch_add(1, Ordering::Relaxed);
        Ticket::Wgpu(submission)
    }

    /// Waits until a submission is over.
    pub(crate) fn wait(&self, ticket: &Ticket) -> Result<(), Error> {
        match (ticket, &self.inner.vulkan) {
            (Ticket::Wgpu(submission), _) => {
                let submission_index = Some(submission.clone());
                self.poll(wgpu::PollType::Wait { submission_index, timeout: None })
            }
            (Ticket::Step(step), Some(context)) => {
                let waited = context.wait(*step);
                self.check()?;
                waited
            }
            (Ticket::Step(_), None) => Ok(()),
        }
    }

    /// The number of the last step that is over. If nobody can say, all are: whoever waits for one is told why.
    pub(crate) fn steps_over(&self) -> u64 {
        self.inner.vulkan.as_ref().map_or(u64::MAX, |context| context.over())
    }

    /// Waits until everything submitted so far has finished.
    pub fn synchronize(&self) -> Result<(), Error> {
        self.poll(wgpu::PollType::Wait { submission_index: None, timeout: None })?;
        match &self.inner.vulkan {
            Some(context) => self.wait(&Ticket::Step(context.submitted())),
            None => Ok(()),
        }
    }
}
