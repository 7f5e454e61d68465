//! Schedules that go one way, and end or never end.

use wgrad_core::{F32, Tensor};

use super::{positive, power, some_steps};
use crate::Schedule;

/// η·γ^⌊t/s⌋: the rate is multiplied by γ every `size` steps (PyTorch's `StepLR`).
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
        rate.rate(step) * power(gamma, &(step / f64::from(size)))
    }
}

/// η·γ^(number of milestones reached) (PyTorch's `MultiStepLR`).
///
/// ```
/// use wgrad_optim::{MultiStepLr, Sgd};
/// let sgd = Sgd::new(MultiStepLr::new(0.1, [3000, 8000], 0.1));
/// ```
#[derive(Clone, Debug)]
pub struct MultiStepLr {
    rate: f64,
    milestones: Vec<u32>,
    gamma: f64,
}

impl MultiStepLr {
    /// A rate that is multiplied by `gamma` (positive) at each of some steps.
    pub fn new(rate: f64, milestones: impl Into<Vec<u32>>, gamma: f64) -> Self {
        Self { rate, milestones: milestones.into(), gamma }
    }
}

impl Schedule for MultiStepLr {
    fn rate(&self, step: &Tensor) -> Tensor {
        if let Some(invalid) = positive("MultiStepLr", "gamma", self.gamma, step) {
            return invalid;
        }
        let reached = |&milestone: &u32| step.ge(f64::from(milestone)).cast(step.dtype());
        let reached = self.milestones.iter().map(reached).reduce(|sum, one| sum + one);
        let rate = self.rate.rate(step);
        reached.map_or(rate.clone(), |reached| rate * power(self.gamma, &reached))
    }
}

/// η·γᵗ (PyTorch's `ExponentialLR`).
///
/// ```
/// use wgrad_optim::{ExponentialLr, Sgd};
/// let sgd = Sgd::new(ExponentialLr::new(0.1, 0.999));
/// ```
#[derive(Clone, Debug)]
pub struct ExponentialLr {
    rate: f64,
    gamma: f64,
}

impl ExponentialLr {
    /// A rate that is multiplied by `gamma` (positive) in every step.
    pub fn new(rate: f64, gamma: f64) -> Self {
        Self { rate, gamma }
    }
}

impl Schedule for ExponentialLr {
    fn rate(&self, step: &Tensor) -> Tensor {
        positive("ExponentialLr", "gamma", self.gamma, step)
            .unwrap_or_else(|| self.rate.rate(step) * power(self.gamma, step))
    }
}

/// η·f for the first steps, then η (PyTorch's `ConstantLR`). A plain number is the rate that never
/// changes.
///
/// ```
/// use wgrad_optim::{ConstantLr, Sgd};
/// let sgd = Sgd::new(ConstantLr::new(0.1, 500).factor(0.5));
/// ```
#[derive(Clone, Debug)]
pub struct ConstantLr {
    rate: f64,
    steps: u32,
    factor: f64,
}

impl ConstantLr {
    /// A third of `rate` (PyTorch's default) for `steps` steps.
    pub fn new(rate: f64, steps: u32) -> Self {
        Self { rate, steps, factor: 1.0 / 3.0 }
    }

    /// The factor f.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }
}

impl Schedule for ConstantLr {
    fn rate(&self, step: &Tensor) -> Tensor {
        let (early, late) = ((self.rate * self.factor).rate(step), self.rate.rate(step));
        step.lt(f64::from(self.steps)).select(&early, &late)
    }
}

/// η·(f₀ + (f₁ − f₀)·min(t, T)/T): a straight line between two fractions of the rate, and its end for
/// ever after (PyTorch's `LinearLR`).
///
/// ```
/// use wgrad_optim::{LinearLr, Sgd};
/// let down = Sgd::new(LinearLr::new(0.1, 10_000).start(1.0).end(0.0));
/// ```
#[derive(Clone, Debug)]
pub struct LinearLr {
    rate: f64,
    steps: u32,
    start: f64,
    end: f64,
}

impl LinearLr {
    /// From a third of `rate` to all of it (PyTorch's defaults) in `steps` steps (at least 1).
    pub fn new(rate: f64, steps: u32) -> Self {
        Self { rate, steps, start: 1.0 / 3.0, end: 1.0 }
    }

    /// The fraction f₀ at the start.
    pub fn start(mut self, fraction: f64) -> Self {
        self.start = fraction;
        self
    }

    /// The fraction f₁ at the end.
    pub fn end(mut self, fraction: f64) -> Self {
        self.end = fraction;
        self
    }
}

impl Schedule for LinearLr {
    fn rate(&self, step: &Tensor) -> Tensor {
        if let Some(invalid) = some_steps("LinearLr", self.steps, step) {
            return invalid;
        }
        let (start, end) = ((self.rate * self.start).rate(step), (self.rate * self.end).rate(step));
        let steps = f64::from(self.steps);
        let passed = step.minimum(steps).cast(F32) * (1.0 / steps);
        // Weighted so that both ends are exact.
        start * (1.0 - &passed) + end * passed
    }
}

/// η·(1 − min(t, T)/T)ᵖ (PyTorch's `PolynomialLR`).
///
/// ```
/// use wgrad_optim::{PolynomialLr, Sgd};
/// let sgd = Sgd::new(PolynomialLr::new(0.1, 10_000, 0.9));
/// ```
#[derive(Clone, Debug)]
pub struct PolynomialLr {
    rate: f64,
    steps: u32,
    power: f64,
}

impl PolynomialLr {
    /// From `rate` to 0 in `steps` steps (at least 1), by a power (positive; PyTorch's default is 1).
    pub fn new(rate: f64, steps: u32, power: f64) -> Self {
        Self { rate, steps, power }
    }
}

impl Schedule for PolynomialLr {
    fn rate(&self, step: &Tensor) -> Tensor {
        let invalid = some_steps("PolynomialLr", self.steps, step);
        if let Some(invalid) = invalid.or_else(|| positive("PolynomialLr", "the power", self.power, step)) {
            return invalid;
        }
        let steps = f64::from(self.steps);
        let left = (steps - step.minimum(steps)).cast(F32) * (1.0 / steps);
        let fraction = if self.power == 1.0 { left } else { left.pow(&self.power) };
        self.rate.rate(step) * fraction
    }
}

/// A linear rise in n steps, then a decay with the root of the step: η·min(s/n, √(n/s)) with s = t + 1
/// (Vaswani et al., 2017, section 5.3, with the highest rate η instead of a factor).
///
/// ```
/// use wgrad_optim::{Adam, InverseSqrt};
/// let adam = Adam::new(InverseSqrt::new(7e-4, 4000)).betas(0.9, 0.98);
/// ```
#[derive(Clone, Debug)]
pub struct InverseSqrt {
    rate: f64,
    warmup: u32,
}

impl InverseSqrt {
    /// The highest rate, and after how many steps (at least 1) it is reached.
    pub fn new(rate: f64, warmup: u32) -> Self {
        Self { rate, warmup }
    }
}

impl Schedule for InverseSqrt {
    fn rate(&self, step: &Tensor) -> Tensor {
        if let Some(invalid) = some_steps("InverseSqrt", self.warmup, step) {
            return invalid;
        }
        let ratio = (step.cast(F32) + 1.0) * (1.0 / f64::from(self.warmup));
        self.rate.rate(step) * ratio.minimum(ratio.rsqrt())
    }
}
