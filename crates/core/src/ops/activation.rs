//! Activation functions that are not primitives (ReLU, sigmoid and tanh are).
//!
//! Branches are chosen by `select`, and a branch that is not taken never computes an infinity, so no
//! gradient is infinity times 0.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, LN_2};

use crate::Tensor;
use crate::case::Case;

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

pub(crate) fn cases() -> Vec<Case> {
    // Far from 0 the exponentials saturate; nothing may overflow there.
    let x = [-100.0, -1.0, 0.0, 2.0, 100.0];
    let hand = |name: &str, activation: fn(&Tensor) -> Tensor, expected: &[f64]| {
        Case::new(name, move |t| activation(&t[0])).given([5], &x).expect(expected)
    };
    let random = |name: &str, activation: fn(&Tensor) -> Tensor| {
        Case::new(&format!("{name}/random"), move |t| activation(&t[0])).distinct([7, 5])
    };
    vec![
        hand("leaky_relu", |x| x.leaky_relu(0.25), &[-25.0, -0.25, 0.0, 2.0, 100.0]).no_gradient(),
        random("leaky_relu", |x| x.leaky_relu(0.01)),
        hand("gelu", |x| x.gelu(), &[0.0, -0.15865525393145707, 0.0, 1.9544997361036416, 100.0]),
        random("gelu", |x| x.gelu()),
        hand("gelu_tanh", |x| x.gelu_tanh(), &[0.0, -0.15880800939172324, 0.0, 1.954597694087775, 100.0]),
        random("gelu_tanh", |x| x.gelu_tanh()),
        hand("silu", |x| x.silu(), &[-3.72e-42, -0.2689414213699951, 0.0, 1.7615941559557649, 100.0]),
        random("silu", |x| x.silu()),
        hand("softplus", |x| x.softplus(), &[0.0, 0.31326168751822286, LN_2, 2.1269280110429727, 100.0]),
        random("softplus", |x| x.softplus()),
        hand(
            "log_sigmoid",
            |x| x.log_sigmoid(),
            &[-100.0, -1.3132616875182228, -LN_2, -0.1269280110429726, 0.0],
        ),
        random("log_sigmoid", |x| x.log_sigmoid()),
        hand("elu", |x| x.elu(1.0), &[-1.0, -0.6321205588285577, 0.0, 2.0, 100.0]).no_gradient(),
        random("elu", |x| x.elu(1.5)),
    ]
}
