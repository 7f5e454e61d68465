//! Muon.

use wgrad_core::Tensor;

use crate::optimizer::{BELOW_ONE, NOT_NEGATIVE, moving_average, within};
use crate::{Optimizer, Parameter, Rate, Settings};

/// Momentum, orthogonalized: every step of a matrix has singular values near 1 (PyTorch's `Muon`; Jordan
/// et al., 2024).
///
/// b ← μ·b + (1 − μ)·g; o = NS(μ·b + (1 − μ)·g); w ← (1 − η·λ)·w − η·√max(1, rows/columns)·o.
///
/// NS is a Newton–Schulz iteration of degree five on the matrix over its Frobenius norm:
/// X ← a·X + (b·A + c·A²)·X with A = X·Xᵀ. It is computed in f32, where PyTorch takes bfloat16.
///
/// Muon is for the matrices of hidden layers. A parameter with more axes (a convolution's kernel) is the
/// matrix of its first axis and all others; fewer axes are an error, so the rest needs another optimizer,
/// and embeddings and the last layer should have one:
///
/// ```
/// use wgrad_optim::{AdamW, Muon, Optimizer};
/// let muon = Muon::new(0.02)
///     .vectors(|g| g.optimizer(AdamW::new(3e-4)))
///     .group("embedding.*", |g| g.optimizer(AdamW::new(3e-4)));
/// ```
#[derive(Clone, Debug)]
pub struct Muon {
    settings: Settings,
    momentum: f64,
    nesterov: bool,
    coefficients: (f64, f64, f64),
    iterations: usize,
    eps: f64,
    adjustment: RateAdjustment,
}

/// How the rate of a matrix of A rows and B columns follows from the rate of all (PyTorch's
/// `adjust_lr_fn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateAdjustment {
    /// η·√max(1, A/B) (Jordan et al., 2024).
    Original,
    /// η·0.2·√max(A, B): steps of the size of AdamW's, whose rates and decays then fit (Liu et al., 2025).
    MatchAdamW,
    /// η·√(A/B), from a condition on the spectral norm (Bernstein, 2025).
    Spectral,
}

impl Muon {
    /// μ = 0.95 with Nesterov's momentum, λ = 0.1, five iterations with coefficients (3.4445, −4.775,
    /// 2.0315), ε = 10⁻⁷.
    pub fn new(rate: impl Into<Rate>) -> Self {
        Self {
            settings: Settings { weight_decay: 0.1, ..Settings::new(rate) },
            momentum: 0.95,
            nesterov: true,
            coefficients: (3.4445, -4.775, 2.0315),
            iterations: 5,
            eps: 1e-7,
            adjustment: RateAdjustment::Original,
        }
    }

    /// How much of the momentum stays in a step, μ.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Steps by the momentum alone.
    pub fn without_nesterov(mut self) -> Self {
        self.nesterov = false;
        self
    }

    /// The coefficients (a, b, c) of the iteration.
    pub fn coefficients(mut self, a: f64, b: f64, c: f64) -> Self {
        self.coefficients = (a, b, c);
        self
    }

    /// The number of iterations.
    pub fn iterations(mut self, iterations: usize) -> Self {
        self.iterations = iterations;
        self
    }

    /// The smallest norm that the matrix is divided by.
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// How the rate depends on a matrix' shape.
    pub fn adjust_rate(mut self, adjustment: RateAdjustment) -> Self {
        self.adjustment = adjustment;
        self
    }

    /// A matrix with the same singular vectors, and singular values near 1.
    fn orthogonalized(&self, matrix: &Tensor) -> Tensor {
        let (a, b, c) = self.coefficients;
        let tall = matrix.dim(0) > matrix.dim(1);
        // The product X·Xᵀ is smaller on this side.
        let wide = if tall { matrix.t() } else { matrix.clone() };
        let norm = wide.square().sum(..).sqrt().maximum(self.eps);
        let mut x = wide / norm;
        for _ in 0..self.iterations {
            let gram = x.matmul(&x.t());
            let polynomial = &gram * b + gram.matmul(&gram) * c;
            x = &x * a + polynomial.matmul(&x);
        }
        if tall { x.t() } else { x }
    }

    fn rate_factor(&self, rows: usize, columns: usize) -> f64 {
        let (rows, columns) = (rows as f64, columns as f64);
        match self.adjustment {
            RateAdjustment::Original => (rows / columns).max(1.0).sqrt(),
            RateAdjustment::MatchAdamW => 0.2 * rows.max(columns).sqrt(),
            RateAdjustment::Spectral => (rows / columns).sqrt(),
        }
    }
}

impl Optimizer for Muon {
    fn name(&self) -> &'static str {
        "Muon"
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    fn check(&self) -> Result<(), String> {
        within("momentum", self.momentum, BELOW_ONE)?;
        within("eps", self.eps, NOT_NEGATIVE)
    }

    fn rule(&self, p: &Parameter<'_>) -> Tensor {
        if p.value.rank() < 2 {
            let message = format!(
                "`{}` is {}, but Muon is for matrices; give the others another optimizer with \
                 `.vectors(|g| g.optimizer(AdamW::new(rate)))`",
                p.var.name(),
                p.var.spec()
            );
            return p.value.fail("Muon", message);
        }
        let average = |average: &Tensor| moving_average(average, &p.gradient, self.momentum);
        let buffer = p.slot("muon.momentum_buffer", 0.0, average);
        let update = if self.nesterov { average(&buffer) } else { buffer };
        let matrix = update.flatten(1);
        let factor = self.rate_factor(matrix.dim(0), matrix.dim(1));
        let step = self.orthogonalized(&matrix).reshape(p.var.shape());
        p.decayed() - step * (&p.rate * factor)
    }
}
