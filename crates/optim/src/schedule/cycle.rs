//! Rates that rise before they fall.

use wgrad_core::{F32, Tensor};

use super::{positive, power, some_steps};
use crate::Schedule;

/// One rise from `max/25` and one fall to a 10,000th of that, in a given number of steps (PyTorch's
/// `OneCycleLR`; Smith and Topin, 2018). Behind its end the lowest rate stays. Momentum does not cycle
/// (PyTorch's `cycle_momentum=False`).
///
/// ```
/// use wgrad_optim::{OneCycleLr, Sgd};
/// let sgd = Sgd::new(OneCycleLr::new(0.4, 10_000).rise(0.25)).momentum(0.9);
/// ```
#[derive(Clone, Debug)]
pub struct OneCycleLr {
    max: f64,
    steps: u32,
    rise: f64,
    linear: bool,
    three_phases: bool,
    div_factor: f64,
    final_div_factor: f64,
}

/// A part of the cycle: where it ends, and between which rates it goes.
struct Phase {
    end: f64,
    from: f64,
    to: f64,
}

impl OneCycleLr {
    /// The highest rate and the number of all steps (at least 1). The rise takes 0.3 of them.
    pub fn new(max: f64, steps: u32) -> Self {
        Self {
            max,
            steps,
            rise: 0.3,
            linear: false,
            three_phases: false,
            div_factor: 25.0,
            final_div_factor: 1e4,
        }
    }

    /// The fraction of all steps in which the rate rises (PyTorch's `pct_start`).
    pub fn rise(mut self, fraction: f64) -> Self {
        self.rise = fraction;
        self
    }

    /// Straight lines instead of cosines.
    pub fn linear(mut self) -> Self {
        self.linear = true;
        self
    }

    /// Falls as steeply as it rises, to the first rate, and then to the lowest.
    pub fn three_phases(mut self) -> Self {
        self.three_phases = true;
        self
    }

    /// How many times smaller than the highest rate the first is.
    pub fn div_factor(mut self, factor: f64) -> Self {
        self.div_factor = factor;
        self
    }

    /// How many times smaller than the first rate the last is.
    pub fn final_div_factor(mut self, factor: f64) -> Self {
        self.final_div_factor = factor;
        self
    }

    fn phases(&self) -> Vec<Phase> {
        let steps = f64::from(self.steps);
        let first = self.max / self.div_factor;
        let last = first / self.final_div_factor;
        let peak = self.rise * steps - 1.0;
        let rise = Phase { end: peak, from: first, to: self.max };
        if self.three_phases {
            let fall = Phase { end: 2.0 * peak, from: self.max, to: first };
            vec![rise, fall, Phase { end: steps - 1.0, from: first, to: last }]
        } else {
            vec![rise, Phase { end: steps - 1.0, from: self.max, to: last }]
        }
    }

    /// The rate in a phase.
    fn within(&self, phase: &Phase, start: f64, step: &Tensor) -> Tensor {
        // In f64 as far as it is constant; a whole number of steps is exact in f32.
        let (slope, offset) = (1.0 / (phase.end - start), -start / (phase.end - start));
        let passed = (step.cast(F32) * slope + offset).minimum(1.0);
        let passed =
            if self.linear { passed } else { (1.0 + ((passed - 1.0) * std::f64::consts::PI).cos()) * 0.5 };
        (1.0 - &passed) * phase.from + passed * phase.to
    }
}

impl Schedule for OneCycleLr {
    fn rate(&self, step: &Tensor) -> Tensor {
        let factors = [("the division factor", self.div_factor), ("the final one", self.final_div_factor)];
        for (name, factor) in factors {
            if let Some(invalid) = positive("OneCycleLr", name, factor, step) {
                return invalid;
            }
        }
        let highest = self.max.rate(step);
        let phases = self.phases();
        let starts = [0.0].into_iter().chain(phases.iter().map(|phase| phase.end));
        let mut parts: Vec<(f64, &Phase)> = starts.zip(&phases).collect();
        let Some((start, last)) = parts.pop() else { return highest };
        let empty = last.end <= start || parts.iter().any(|(start, phase)| phase.end == *start);
        if empty || !(0.0..=1.0).contains(&self.rise) {
            let message = format!(
                "{} steps, of which the rate rises in a fraction of {}, leave a phase without steps",
                self.steps, self.rise
            );
            return step.fail("OneCycleLr", message);
        }
        // PyTorch passes over a rise that ends before the first step.
        let last = self.within(last, start, step);
        parts.iter().rev().fold(last, |later, (start, phase)| {
            step.cast(F32).le(phase.end).select(&self.within(phase, *start, step), &later)
        })
    }
}

/// A rate that goes up and down between two, again and again (PyTorch's `CyclicLR`; Smith, 2017).
/// Momentum does not cycle (PyTorch's `cycle_momentum=False`).
///
/// ```
/// use wgrad_optim::{CyclicLr, Sgd};
/// let sgd = Sgd::new(CyclicLr::new(1e-3, 1e-2, 2000).halving());
/// ```
#[derive(Clone, Debug)]
pub struct CyclicLr {
    base: f64,
    max: f64,
    up: u32,
    down: u32,
    shrinking: Shrinking,
}

/// How the height of the cycles changes.
#[derive(Clone, Debug)]
enum Shrinking {
    Not,
    Halving,
    Exponential(f64),
}

impl CyclicLr {
    /// The lowest rate, the highest, and the number of steps (at least 1) from one to the other
    /// (PyTorch's mode `triangular`).
    pub fn new(base: f64, max: f64, steps: u32) -> Self {
        Self { base, max, up: steps, down: steps, shrinking: Shrinking::Not }
    }

    /// Another number of steps (at least 1) for the way down.
    pub fn down(mut self, steps: u32) -> Self {
        self.down = steps;
        self
    }

    /// Each cycle is half as high as the one before (PyTorch's mode `triangular2`).
    pub fn halving(mut self) -> Self {
        self.shrinking = Shrinking::Halving;
        self
    }

    /// The height is multiplied by γ (positive) in every step (PyTorch's mode `exp_range`).
    pub fn exponential(mut self, gamma: f64) -> Self {
        self.shrinking = Shrinking::Exponential(gamma);
        self
    }
}

impl Schedule for CyclicLr {
    fn rate(&self, step: &Tensor) -> Tensor {
        let shrinking = match self.shrinking {
            Shrinking::Exponential(gamma) => positive("CyclicLr", "gamma", gamma, step),
            _ => None,
        };
        if let Some(invalid) = shrinking.or_else(|| some_steps("CyclicLr", self.up.min(self.down), step)) {
            return invalid;
        }
        let Some(length) = self.up.checked_add(self.down).map(f64::from) else {
            return step.fail("CyclicLr", "a cycle has more than 2³² steps");
        };
        let (up, down) = (f64::from(self.up), f64::from(self.down));
        let phase = step % length;
        let rising = phase.cast(F32) * (1.0 / up);
        let falling = (length - &phase).cast(F32) * (1.0 / down);
        let mut height = phase.le(up).select(&rising, &falling);
        height = match self.shrinking {
            Shrinking::Not => height,
            Shrinking::Halving => height * power(0.5, &(step / length)),
            Shrinking::Exponential(gamma) => height * power(gamma, step),
        };
        let (base, max) = (self.base.rate(step), self.max.rate(step));
        &base + (max - &base) * height
    }
}
