//! Cosines.

use wgrad_core::{F32, Tensor};

use super::{half_cosine, some_steps};
use crate::Schedule;

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
        if let Some(invalid) = some_steps("Cosine", self.steps, step) {
            return invalid;
        }
        let (low, high) = (self.minimum.rate(step), self.rate.rate(step));
        // The phase is reduced to one period in whole numbers.
        let phase = step % f64::from(self.steps.saturating_mul(2));
        &low + (high - &low) * half_cosine(&phase, f64::from(self.steps))
    }
}

/// A cosine down from the rate to the minimum that starts again after T, then T·m, T·m², … steps
/// (PyTorch's `CosineAnnealingWarmRestarts`; Loshchilov and Hutter, 2017).
///
/// ```
/// use wgrad_optim::{AdamW, CosineRestarts};
/// let adam = AdamW::new(CosineRestarts::new(1e-3, 500).multiply(2).minimum(1e-5));
/// ```
#[derive(Clone, Debug)]
pub struct CosineRestarts {
    rate: f64,
    steps: u32,
    factor: u32,
    minimum: f64,
}

impl CosineRestarts {
    /// From `rate` to 0 in `steps` steps (at least 1), again and again.
    pub fn new(rate: f64, steps: u32) -> Self {
        Self { rate, steps, factor: 1, minimum: 0.0 }
    }

    /// How many times as long as the one before each descent is, m (at least 1).
    pub fn multiply(mut self, factor: u32) -> Self {
        self.factor = factor;
        self
    }

    /// The rate at the lowest point.
    pub fn minimum(mut self, minimum: f64) -> Self {
        self.minimum = minimum;
        self
    }

    /// How far the current descent is, in [0, 1).
    fn passed(&self, step: &Tensor) -> Tensor {
        let first = f64::from(self.steps);
        if self.factor == 1 {
            return (step % first).cast(F32) * (1.0 / first);
        }
        // Each restart within the range of u32, at most 32 of them.
        let (mut start, mut length) = (0, u64::from(self.steps));
        let mut since = step.clone();
        let mut share = step.graph().scalar(1.0 / first, F32);
        while start + length <= u32::MAX.into() {
            (start, length) = (start + length, length * u64::from(self.factor));
            let reached = step.ge(start as f64);
            since = reached.select(&(step - start as f64), &since);
            share = reached.select(&share.full_like(1.0 / length as f64), &share);
        }
        since.cast(F32) * share
    }
}

impl Schedule for CosineRestarts {
    fn rate(&self, step: &Tensor) -> Tensor {
        if let Some(invalid) = some_steps("CosineRestarts", self.steps.min(self.factor), step) {
            return invalid;
        }
        let (low, high) = (self.minimum.rate(step), self.rate.rate(step));
        let angle = (self.passed(step) - 1.0) * std::f64::consts::PI;
        &low + (high - &low) * ((1.0 - angle.cos()) * 0.5)
    }
}
