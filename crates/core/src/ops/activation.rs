//! Smooth activation functions that are not primitives (sigmoid and tanh are).
//!
//! Branches are chosen by `select`, and a branch that is not taken never computes an infinity, so no
//! gradient is infinity times 0.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, LN_2};

use crate::case::{Case, Fill};
use crate::{DType, Tensor};

impl Tensor {
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

    /// ln(1 + e^(βx)) / β, which is closer to relu the larger β is, and x itself where βx is above the threshold
    /// (PyTorch's `Softplus(beta, threshold)`).
    #[track_caller]
    pub fn softplus_with(&self, beta: f64, threshold: f64) -> Self {
        let scaled = self * beta;
        scaled.gt(threshold).select(self, &(scaled.softplus() / beta))
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

    /// scale · ELU with the scale and α for which activations keep mean 0 and variance 1 (PyTorch's `SELU`;
    /// Klambauer et al., 2017).
    #[track_caller]
    pub fn selu(&self) -> Self {
        self.elu(SELU_ALPHA) * SELU_SCALE
    }

    /// x where positive, else α(e^(x/α) − 1), whose slope is continuous (PyTorch's `CELU`; Barron, 2017).
    #[track_caller]
    pub fn celu(&self, alpha: f64) -> Self {
        let positive = self.gt(0.0);
        let tail = (self.masked_fill(&positive, 0.0) / alpha).expm1() * alpha;
        positive.select(self, &tail)
    }

    /// x · tanh(softplus(x)) (PyTorch's `Mish`; Misra, 2019).
    #[track_caller]
    pub fn mish(&self) -> Self {
        self * self.softplus().tanh()
    }

    /// x / (1 + |x|) (PyTorch's `Softsign`).
    #[track_caller]
    pub fn softsign(&self) -> Self {
        self / (self.abs() + 1.0)
    }

    /// x − tanh(x) (PyTorch's `Tanhshrink`).
    #[track_caller]
    pub fn tanhshrink(&self) -> Self {
        self - self.tanh()
    }

    /// The first half along an axis times the sigmoid of the second (PyTorch's `GLU`; Dauphin et al., 2017).
    #[track_caller]
    pub fn glu(&self, axis: isize) -> Self {
        let n = self.dim(axis);
        if self.is_valid() && !n.is_multiple_of(2) {
            return self.fail("glu", format!("axis {axis} of {} does not have two halves", self.spec()));
        }
        self.slice(axis, 0..n / 2) * self.slice(axis, n / 2..n).sigmoid()
    }
}

/// Klambauer et al., "Self-normalizing neural networks", 2017, equation 14.
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

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
        hand("gelu", |x| x.gelu(), &[0.0, -0.15865525393145707, 0.0, 1.9544997361036416, 100.0]),
        random("gelu", |x| x.gelu()),
        Case::new("silu/f16", |t| t[0].silu()).operand(DType::F16, [3, 5], Fill::Uniform(-2.0, 2.0)),
        hand("gelu_tanh", |x| x.gelu_tanh(), &[0.0, -0.15880800939172324, 0.0, 1.954597694087775, 100.0]),
        random("gelu_tanh", |x| x.gelu_tanh()),
        hand("silu", |x| x.silu(), &[-3.72e-42, -0.2689414213699951, 0.0, 1.7615941559557649, 100.0]),
        random("silu", |x| x.silu()),
        hand("softplus", |x| x.softplus(), &[0.0, 0.31326168751822286, LN_2, 2.1269280110429727, 100.0]),
        random("softplus", |x| x.softplus()),
        // Beyond βx = 3 it is x; ln(1 + e⁻²) / 2 and ln(1 + e²) / 2 + … at ∓1.
        hand(
            "softplus_with",
            |x| x.softplus_with(2.0, 3.0),
            &[0.0, 0.06346400552158636, LN_2 / 2.0, 2.0, 100.0],
        ),
        random("softplus_with", |x| x.softplus_with(0.5, 0.75)),
        hand(
            "log_sigmoid",
            |x| x.log_sigmoid(),
            &[-100.0, -1.3132616875182228, -LN_2, -0.1269280110429726, 0.0],
        ),
        random("log_sigmoid", |x| x.log_sigmoid()),
        hand("elu", |x| x.elu(1.0), &[-1.0, -0.6321205588285577, 0.0, 2.0, 100.0]).no_gradient(),
        random("elu", |x| x.elu(1.5)),
        hand(
            "selu",
            |x| x.selu(),
            &[-SELU_ALPHA * SELU_SCALE, -1.1113307378125625, 0.0, 2.0 * SELU_SCALE, 100.0 * SELU_SCALE],
        )
        .no_gradient(),
        random("selu", |x| x.selu()),
        hand("celu", |x| x.celu(2.0), &[-2.0, 2.0 * (-0.5f64).exp_m1(), 0.0, 2.0, 100.0]).no_gradient(),
        random("celu", |x| x.celu(0.5)),
        // tanh(ln(1 + eˣ)) = 1 − 2 / ((1 + eˣ)² + 1).
        hand("mish", |x| x.mish(), &[0.0, -0.30340146137410895, 0.0, 1.9439589595339946, 100.0]),
        random("mish", |x| x.mish()),
        hand("softsign", |x| x.softsign(), &[-100.0 / 101.0, -0.5, 0.0, 2.0 / 3.0, 100.0 / 101.0])
            .no_gradient(),
        random("softsign", |x| x.softsign()),
        hand("tanhshrink", |x| x.tanhshrink(), &[-99.0, -0.2384058440442351, 0.0, 1.035972419924183, 99.0]),
        random("tanhshrink", |x| x.tanhshrink()),
        Case::new("glu", |t| t[0].glu(-1)).given([2, 2], &[4.0, 0.0, 3.0, 200.0]).expect(&[2.0, 3.0]),
        Case::new("glu/first-axis", |t| t[0].glu(0)).random([6, 3]),
    ]
}
