//! Learning-rate schedules by PyTorch's closed forms. Steps are counted in whole numbers as far as
//! possible: a rounded division would move a milestone, and a large angle lose its cosine.

mod cosine;
mod cycle;
mod decay;
mod plateau;
mod sequence;

pub use cosine::{Cosine, CosineRestarts};
pub use cycle::{CyclicLr, OneCycleLr};
pub use decay::{ConstantLr, ExponentialLr, InverseSqrt, LinearLr, MultiStepLr, PolynomialLr, StepLr};
pub use plateau::ReduceOnPlateau;
pub use sequence::{ChainedLr, SequentialLr, Warmup};

use wgrad_core::{F32, Tensor};

/// γⁿ = exp(n·ln γ) for a positive γ: the logarithm is taken here, in f64, where a device's would be
/// coarse. n is a whole number (u32 scalar).
fn power(gamma: f64, n: &Tensor) -> Tensor {
    if gamma == 1.0 { n.cast(F32).ones_like() } else { (n.cast(F32) * gamma.ln()).exp() }
}

/// (1 + cos(π·phase/half))/2 for a phase (u32 scalar) in [0, 2·half]: from 1 down to 0 and up again. The
/// angle is moved to [−π, π], where devices compute cosines well.
fn half_cosine(phase: &Tensor, half: f64) -> Tensor {
    let angle = (phase.cast(F32) - half) * (std::f64::consts::PI / half);
    (1.0 - angle.cos()) * 0.5
}

/// Refuses a factor that is not a positive number.
fn positive(schedule: &str, name: &str, value: f64, step: &Tensor) -> Option<Tensor> {
    let is_positive = value > 0.0 && value.is_finite();
    (!is_positive).then(|| step.fail(schedule, format!("{name} is {value}, but must be positive")))
}

/// Refuses a number of steps that is zero.
fn some_steps(schedule: &str, steps: u32, step: &Tensor) -> Option<Tensor> {
    (steps == 0).then(|| step.fail(schedule, "needs at least one step"))
}
