//! What happens when the loss of a step arrives: it is shown, logged, checked, and told to callbacks.

use wgrad_gpu::Outputs;

use crate::bar::Bar;
use crate::log::Logs;
use crate::programs::LEARNING_RATE;
use crate::{Progress, StepReport, TrainError, Trainer};

/// Sees losses as they arrive, in order, a few steps late.
pub(crate) struct Observer<'a> {
    trainer: &'a Trainer,
    epoch: usize,
    batch: usize,
    /// Batches of the epochs before.
    before: u64,
    /// Whether a callback wants no more.
    pub(crate) stop: bool,
}

impl<'a> Observer<'a> {
    /// From where the progress is, in epochs of so many batches.
    pub(crate) fn new(trainer: &'a Trainer, progress: &Progress, batches: u64) -> Self {
        let (epoch, batch) = (progress.epoch as usize + 1, progress.batch as usize);
        Self { trainer, epoch, batch, before: progress.epoch * batches, stop: false }
    }

    pub(crate) fn see(
        &mut self,
        loss: f64,
        outputs: &Outputs,
        bar: &mut Bar,
        logs: &mut Logs,
    ) -> Result<(), TrainError> {
        bar.step(loss);
        self.batch += 1;
        let learning_rate = outputs.probe(LEARNING_RATE)?.item();
        let step = self.before + self.batch as u64;
        let report = StepReport { step, epoch: self.epoch, batch: self.batch, loss, learning_rate };
        logs.step(&report, bar);
        if !loss.is_finite() && !self.trainer.allow_non_finite {
            let (batch, epoch, cause) = (self.batch, self.epoch, None);
            return Err(TrainError::NonFinite { loss, batch, epoch, cause });
        }
        self.stop |= self.trainer.callbacks.step(&report)?;
        Ok(())
    }
}
