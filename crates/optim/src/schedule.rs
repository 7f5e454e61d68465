//! Learning-rate schedules by PyTorch's closed forms. Steps are counted in whole numbers as far as
//! possible: a rounded division would move a milestone, and a large angle lose its cosine.

use std::f64::consts::PI;

use wgrad_core::{F32, Tensor};

use crate::{Rate, Schedule};

/// η·γ^⌊t/s⌋: the rate is multiplied by γ every `size` steps (PyTorch's `StepLR`; with size 1 its
/// `ExponentialLR`).
///
/// ```
/// use wgrad_optim::{Sgd, StepLr};
/// let sgd = Sgd::new(StepLr::new(0.1, 1000, 0.5));
/// ```
#[derive(Clone, Debug)]
pub struct StepLr {
    rate: f64,
    size: u32,
    gamma: f64,
}

impl StepLr {
    /// A rate that is multiplied by `gamma` (positive) every `size` steps (at least 1).
    pub fn new(rate: f64, size: u32, gamma: f64) -> Self {
        Self { rate, size, gamma }
    }
}

impl Schedule for StepLr {
    fn rate(&self, step: &Tensor) -> Tensor {
        let Self { rate, size, gamma } = *self;
        if size == 0 || gamma <= 0.0 || !gamma.is_finite() {
            let message = format!("size is {size} and gamma {gamma}, but both must be positive");
            return step.fail("StepLr", message);
        }
        let decays = (step / f64::from(size)).cast(F32);
        // γᵏ = exp(k·ln γ): the logarithm is taken here, in f64, where a device's would be coarse.
        rate.rate(step) * (decays * gamma.ln()).exp()
    }
}

/// η_min + (η − η_min)·(1 + cos(πt/T))/2: half a cosine down from the rate to the minimum at step T,
/// and back up after it (PyTorch's `CosineAnnealingLR`; Loshchilov and Hutter, 2017).
///
/// ```
/// use wgrad_optim::{AdamW, Cosine, Warmup};
/// let adam = AdamW::new(Warmup::new(100, Cosine::new(1e-3, 2000).minimum(1e-5)));
/// ```
#[derive(Clone, Debug)]
pub struct Cosine {
    rate: f64,
    steps: u32,
    minimum: f64,
}

impl Cosine {
    /// From `rate` to 0 in `steps` steps (at least 1).
    pub fn new(rate: f64, steps: u32) -> Self {
        Self { rate, steps, minimum: 0.0 }
    }

    /// The rate at the lowest point.
    pub fn minimum(mut self, minimum: f64) -> Self {
        self.minimum = minimum;
        self
    }
}

impl Schedule for Cosine {
    fn rate(&self, step: &Tensor) -> Tensor {
        if self.steps == 0 {
            return step.fail("Cosine", "needs at least one step");
        }
        let (low, high) = (self.minimum.rate(step), self.rate.rate(step));
        let half = f64::from(self.steps);
        // The phase is reduced to one period in whole numbers and the angle moved to [−π, π), where
        // devices compute cosines well: cos(πt/T) = −cos(πt/T − π).
        let phase = (step % f64::from(self.steps.saturating_mul(2))).cast(F32);
        let angle = (phase - half) * (PI / half);
        &low + (high - &low) * ((1.0 - angle.cos()) * 0.5)
    }
}

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
        self.after.0.rate(&(step.maximum(steps) - steps)) * risen
    }
}
