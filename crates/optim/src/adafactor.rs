//! Adafactor.

use wgrad_core::Tensor;

use crate::optimizer::{NOT_NEGATIVE, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Adaptive steps with sublinear memory: the second moment of a matrix is kept as its means over rows and
/// over columns (PyTorch's `Adafactor`; Shazeer and Stern, 2018).
///
/// With θ = t^δ: R ← R + θ·(mean of g² over the last axis − R), C the same over the axis before it,
/// v = R·C/max(mean R, ε₁); a tensor of fewer axes keeps v ← v + θ·(g² − v) itself.
/// u = g/√max(v, ε₁²); w ← (1 − η·λ)·w − α·u/max(1, rms(u)/d), with
/// α = max(ε₂, rms(w))·min(η, 1/√t).
///
/// ```
/// use wgrad_optim::Adafactor;
/// let adafactor = Adafactor::new(1e-2).decay(-0.8);
/// ```
#[derive(Clone, Debug)]
pub struct Adafactor {
    settings: Settings,
    decay: f64,
    eps: (f64, f64),
    threshold: f64,
}

impl Adafactor {
    /// δ = −0.8, ε₁ = 2⁻²³, ε₂ = 10⁻³, d = 1, no weight decay. PyTorch's rate is 10⁻².
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self { settings: Settings::new(rate), decay: -0.8, eps: (f32::EPSILON.into(), 1e-3), threshold: 1.0 }
    }

    /// The exponent δ ≤ 0 by which new gradients count less and less (PyTorch's `beta2_decay`).
    pub fn decay(mut self, decay: f64) -> Self {
        self.decay = decay;
        self
    }

    /// The smallest root mean square of gradients (ε₁), and of parameters that sets the step (ε₂).
    pub fn eps(mut self, gradient: f64, parameter: f64) -> Self {
        self.eps = (gradient, parameter);
        self
    }

    /// The root mean square d ≥ 1 above which a step is scaled down.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// The estimate of the gradient's second moment.
    fn second_moment(&self, p: &Parameter<'_>) -> Tensor {
        let square = p.gradient.square();
        let share = match self.decay {
            0.0 => p.t.ones_like(),
            decay => (p.t.log() * decay).exp(),
        };
        let average = |slot: &str, sample: &Tensor| {
            p.slot_of(slot, sample.shape(), 0.0, |average| average + (sample - average) * &share)
        };
        if p.value.rank() < 2 {
            return average("adafactor.variance", &square);
        }
        let rows = average("adafactor.row_var", &square.mean_keep(-1));
        let columns = average("adafactor.col_var", &square.mean_keep(-2));
        let mean = rows.mean_keep(-2).maximum(self.eps.0);
        rows / mean * columns
    }
}

/// The root mean square of all elements.
fn rms(tensor: &Tensor) -> Tensor {
    tensor.square().mean(..).sqrt()
}

impl Optimizer for Adafactor {
    fn name(&self) -> &'static str {
        "Adafactor"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    fn check(&self) -> Result<(), String> {
        if self.decay.is_nan() || self.decay > 0.0 {
            return Err(format!("the decay is {}, but must not be positive", self.decay));
        }
        within("the first eps", self.eps.0, NOT_NEGATIVE)?;
        within("the second eps", self.eps.1, NOT_NEGATIVE)?;
        within("the threshold", self.threshold, 1.0..f64::INFINITY)
    }

    fn rule(&self, p: &Parameter<'_>) -> Tensor {
        let floor = self.eps.0 * self.eps.0;
        let direction = &p.gradient * self.second_moment(p).maximum(floor).rsqrt();
        let excess = (rms(&direction) / self.threshold).maximum(1.0);
        let step = p.rate.minimum(p.t.rsqrt()) * rms(&p.value).maximum(self.eps.1);
        p.decayed() - direction * (step / excess)
    }
}
