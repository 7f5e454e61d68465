//! What a program may do while it is being trained.

use std::cell::RefCell;
use std::ops::ControlFlow;

use wgrad_gpu::State;

use crate::{EpochReport, TrainError};

/// One batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Its number in the training, from 1.
    pub step: u64,
    /// The number of its epoch, from 1.
    pub epoch: usize,
    /// Its number in the epoch, from 1.
    pub batch: usize,
    /// Its loss, before the update.
    pub loss: f64,
    /// The learning rate of the update, as it is where no group of parameters has another.
    pub learning_rate: f64,
}

/// What a callback answers: whether to go on.
pub type Verdict = Result<ControlFlow<()>, TrainError>;

type OnStep = dyn FnMut(&StepReport) -> Verdict;
type OnEpoch = dyn FnMut(&EpochReport, &mut State) -> Verdict;

/// The callbacks of a trainer, each called in the order it was added.
#[derive(Default)]
pub(crate) struct Callbacks {
    steps: RefCell<Vec<Box<OnStep>>>,
    epochs: RefCell<Vec<Box<OnEpoch>>>,
}

impl Callbacks {
    pub(crate) fn on_step(&mut self, callback: impl FnMut(&StepReport) -> Verdict + 'static) {
        self.steps.get_mut().push(Box::new(callback));
    }

    pub(crate) fn on_epoch(&mut self, callback: impl FnMut(&EpochReport, &mut State) -> Verdict + 'static) {
        self.epochs.get_mut().push(Box::new(callback));
    }

    /// Calls all; whether any of them wants to stop.
    pub(crate) fn step(&self, report: &StepReport) -> Result<bool, TrainError> {
        any(&mut self.steps.borrow_mut(), |callback| callback(report))
    }

    /// Calls all; whether any of them wants to stop.
    pub(crate) fn epoch(&self, report: &EpochReport, state: &mut State) -> Result<bool, TrainError> {
        any(&mut self.epochs.borrow_mut(), |callback| callback(report, state))
    }
}

fn any<C>(callbacks: &mut [C], mut call: impl FnMut(&mut C) -> Verdict) -> Result<bool, TrainError> {
    let mut stop = false;
    for callback in callbacks {
        stop |= call(callback)?.is_break();
    }
    Ok(stop)
}
