//! Schedules made of schedules.

use wgrad_core::{F32, Tensor};

use crate::{Rate, Schedule};

/// A linear rise of the rate, from a fraction of another schedule's first rate, before that schedule
/// starts (PyTorch's `LinearLR` followed by the other in a `SequentialLR`).
///
/// At step t < n the rate is r(0)·(f + (1 − f)·t/n), from step n on r(t − n).
///
/// ```
/// use wgrad_optim::{Adam, Warmup};
/// let adam = Adam::new(Warmup::new(500, 1e-3).start(0.01));
/// ```
#[derive(Clone, Debug)]
pub struct Warmup {
    steps: u32,
    start: f64,
    after: Rate,
}

impl Warmup {
    /// `steps` steps of rise, starting at a third (PyTorch's default), and then `after`.
    pub fn new(steps: u32, after: impl Into<Rate>) -> Self {
        Self { steps, start: 1.0 / 3.0, after: after.into() }
    }

    /// The fraction of the rate to start from, in [0, 1].
    pub fn start(mut self, fraction: f64) -> Self {
        self.start = fraction;
        self
    }
}

impl Schedule for Warmup {
    fn rate(&self, step: &Tensor) -> Tensor {
        if !(0.0..=1.0).contains(&self.start) {
            let message = format!("the starting fraction is {}, but must be in [0, 1]", self.start);
            return step.fail("Warmup", message);
        }
        if self.steps == 0 {
            return self.after.0.rate(step);
        }
        let steps = f64::from(self.steps);
        let risen = step.minimum(steps).cast(F32) * ((1.0 - self.start) / steps) + self.start;
        self.after.0.rate(&since(step, self.steps)) * risen
    }
}

/// The number of steps since a milestone, 0 before it.
fn since(step: &Tensor, milestone: u32) -> Tensor {
    step.maximum(f64::from(milestone)) - f64::from(milestone)
}

/// One schedule after the other, each from its own step 0 (PyTorch's `SequentialLR`).
///
/// ```
/// use wgrad_optim::{ConstantLr, ExponentialLr, SequentialLr, Sgd};
/// let first = ConstantLr::new(0.1, 100).factor(0.1);
/// let sgd = Sgd::new(SequentialLr::new(first).then(100, 0.1).then(5000, ExponentialLr::new(0.1, 0.999)));
/// ```
#[derive(Clone, Debug)]
pub struct SequentialLr {
    first: Rate,
    later: Vec<(u32, Rate)>,
}

impl SequentialLr {
    /// The schedule to start with.
    pub fn new(first: impl Into<Rate>) -> Self {
        Self { first: first.into(), later: vec![] }
    }

    /// The schedule from a step on, which must come after those of the others.
    pub fn then(mut self, milestone: u32, schedule: impl Into<Rate>) -> Self {
        self.later.push((milestone, schedule.into()));
        self
    }
}

impl Schedule for SequentialLr {
    fn rate(&self, step: &Tensor) -> Tensor {
        if !self.later.is_sorted_by(|(one, _), (next, _)| one < next) {
            let milestones: Vec<u32> = self.later.iter().map(|(milestone, _)| *milestone).collect();
            return step.fail("SequentialLr", format!("the milestones {milestones:?} do not increase"));
        }
        self.later.iter().fold(self.first.0.rate(step), |before, (milestone, schedule)| {
            let rate = schedule.0.rate(&since(step, *milestone));
            step.ge(f64::from(*milestone)).select(&rate, &before)
        })
    }
}

/// The product of several schedules: a base rate times factors (PyTorch's `ChainedScheduler`, for
/// schedules that multiply the rate).
///
/// ```
/// use wgrad_optim::{ChainedLr, ConstantLr, ExponentialLr, Sgd};
/// let chained = ChainedLr::new(0.1).and(ConstantLr::new(1.0, 100)).and(ExponentialLr::new(1.0, 0.999));
/// let sgd = Sgd::new(chained);
/// ```
#[derive(Clone, Debug)]
pub struct ChainedLr {
    first: Rate,
    factors: Vec<Rate>,
}

impl ChainedLr {
    /// The base rate, or the schedule that has it.
    pub fn new(first: impl Into<Rate>) -> Self {
        Self { first: first.into(), factors: vec![] }
    }

    /// Multiplies with another schedule, given with a rate of 1.
    pub fn and(mut self, factor: impl Into<Rate>) -> Self {
        self.factors.push(factor.into());
        self
    }
}

impl Schedule for ChainedLr {
    fn rate(&self, step: &Tensor) -> Tensor {
        self.factors.iter().fold(self.first.0.rate(step), |rate, factor| rate * factor.0.rate(step))
    }
}
