//! Activation functions that are not primitives (ReLU, sigmoid and tanh are).
//!
//! Branches are chosen by `select`, and a branch that is not taken never computes an infinity, so no
//! gradient is infinity times 0.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use crate::Tensor;

impl Tensor {
    /// x where positive, else slope · x (PyTorch's `LeakyReLU`).
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Self {
        self.gt(0.0).select(self, &(self * slope))
    }

    /// x · Φ(x) with the normal distribution function Φ, exactly, through erf (PyTorch's `GELU`;
    /// Hendrycks and Gimpel, 2016).
    #[track_caller]
    pub fn gelu(&self) -> Self {
        self * 0.5 * ((self * FRAC_1_SQRT_2).erf() + 1.0)
    }

    /// GELU by its tanh approximation: ½x(1 + tanh(√(2/π)(x + 0.044715x³))) (PyTorch's
    /// `GELU(approximate="tanh")`).
    #[track_caller]
    pub fn gelu_tanh(&self) -> Self {
        let cubic = self + self.square() * self * 0.044715;
        self * 0.5 * ((cubic * FRAC_2_PI.sqrt()).tanh() + 1.0)
    }

    /// x · sigmoid(x) (PyTorch's `SiLU`, also called swish).
    #[track_caller]
    pub fn silu(&self) -> Self {
        self * self.sigmoid()
    }

    /// ln(1 + eˣ) (PyTorch's `Softplus`), as max(x, 0) + ln(1 + e^−|x|), which cannot overflow.
    #[track_caller]
    pub fn softplus(&self) -> Self {
        // Both parts take the branch x ≤ 0 at 0, so that the sum is smooth there.
        let negative_magnitude = self.gt(0.0).select(&self.neg(), self);
        self.relu() + negative_magnitude.exp().log1p()
    }

    /// ln sigmoid(x) (PyTorch's `LogSigmoid`).
    #[track_caller]
    pub fn log_sigmoid(&self) -> Self {
        self.neg().softplus().neg()
    }

    /// x where positive, else α(eˣ − 1) (PyTorch's `ELU`; Clevert, Unterthiner and Hochreiter, 2015).
    #[track_caller]
    pub fn elu(&self, alpha: f64) -> Self {
        let positive = self.gt(0.0);
        let tail = self.masked_fill(&positive, 0.0).expm1() * alpha;
        positive.select(self, &tail)
    }
}
