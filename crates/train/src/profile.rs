//! A closer look at the training step: its kernels timed, its plan drawn.

use wgrad_core::diagram::Diagram;
use wgrad_gpu::{Error, Roofline};

use crate::Trainer;
use crate::pass::Pass;

/// How many steps are timed; of each kernel the least time counts.
const STEPS: usize = 5;

/// What the training step does and how long it takes, where [`Trainer::profile`] asked for it.
#[derive(Debug)]
pub struct Profile {
    /// Its kernels beside the adapter's peaks; an error where the adapter has no timestamps.
    pub roofline: Result<Roofline, Error>,
    /// Its plan.
    pub plan: Diagram,
}

impl Profile {
    /// Runs some steps on a fresh state: the trained one stays as it is.
    pub(crate) fn of(trainer: &Trainer, pass: &Pass) -> Self {
        let roofline = trainer.gpu.init(&trainer.vars, trainer.seed).and_then(|mut state| {
            let batches = pass.loader.epoch(0).map_while(Result::ok).take(STEPS);
            pass.program.roofline(&mut state, batches)
        });
        Self { roofline, plan: pass.program.plan().diagram() }
    }
}
