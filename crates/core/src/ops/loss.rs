//! Losses between a prediction and a target of the same shape, and how a loss becomes one number.

use crate::Tensor;
use crate::case::Case;

/// How the losses of single elements, or samples, become the result (PyTorch's `reduction`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Their mean; a weighted one where a loss takes weights for classes.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// All of them, as they are.
    None,
}

impl Reduction {
    /// Reduces losses.
    #[track_caller]
    pub(crate) fn apply(self, losses: &Tensor) -> Tensor {
        match self {
            Self::Mean => losses.mean(..),
            Self::Sum => losses.sum(..),
            Self::None => losses.clone(),
        }
    }
}

impl Tensor {
    /// The mean of (x − target)² (PyTorch's `MSELoss`).
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode};
    /// let g = Graph::new(Mode::Train);
    /// let (y, target) = (g.input("y", [8, 3], F32), g.input("target", [8, 3], F32));
    /// assert_eq!(y.mse_loss(&target).rank(), 0);
    /// ```
    #[track_caller]
    pub fn mse_loss(&self, target: &Self) -> Self {
        self.mse_loss_with(target, Reduction::Mean)
    }

    /// [`Tensor::mse_loss`], reduced as asked for.
    #[track_caller]
    pub fn mse_loss_with(&self, target: &Self, reduction: Reduction) -> Self {
        if !self.matches(target, "mse_loss") {
            return self.invalid();
        }
        reduction.apply(&(self - target).square())
    }

    /// The mean of |x − target| (PyTorch's `L1Loss`).
    #[track_caller]
    pub fn l1_loss(&self, target: &Self) -> Self {
        self.l1_loss_with(target, Reduction::Mean)
    }

    /// [`Tensor::l1_loss`], reduced as asked for.
    #[track_caller]
    pub fn l1_loss_with(&self, target: &Self, reduction: Reduction) -> Self {
        if !self.matches(target, "l1_loss") {
            return self.invalid();
        }
        reduction.apply(&(self - target).abs())
    }

    /// The mean of ½d² where |d| ≤ delta, else delta·(|d| − ½delta), with d = x − target (PyTorch's
    /// `HuberLoss`; Huber, 1964).
    #[track_caller]
    pub fn huber_loss(&self, target: &Self, delta: f64) -> Self {
        self.huber_loss_with(target, delta, Reduction::Mean)
    }

    /// [`Tensor::huber_loss`], reduced as asked for.
    #[track_caller]
    pub fn huber_loss_with(&self, target: &Self, delta: f64, reduction: Reduction) -> Self {
        if delta.is_nan() || delta <= 0.0 {
            return self.fail("huber_loss", format!("delta must be positive, got {delta}"));
        }
        if !self.matches(target, "huber_loss") {
            return self.invalid();
        }
        reduction.apply(&(self - target).huber(delta))
    }

    /// The mean of ½d²/beta where |d| < beta, else |d| − ½beta, with d = x − target: Huber's loss divided by
    /// beta, and |d| for a beta of 0 (PyTorch's `SmoothL1Loss`).
    #[track_caller]
    pub fn smooth_l1_loss(&self, target: &Self, beta: f64) -> Self {
        self.smooth_l1_loss_with(target, beta, Reduction::Mean)
    }

    /// [`Tensor::smooth_l1_loss`], reduced as asked for.
    #[track_caller]
    pub fn smooth_l1_loss_with(&self, target: &Self, beta: f64, reduction: Reduction) -> Self {
        if beta.is_nan() || beta < 0.0 {
            return self.fail("smooth_l1_loss", format!("beta must not be negative, got {beta}"));
        }
        if !self.matches(target, "smooth_l1_loss") {
            return self.invalid();
        }
        let difference = self - target;
        let losses = if beta == 0.0 { difference.abs() } else { difference.huber(beta) / beta };
        reduction.apply(&losses)
    }

    #[track_caller]
    fn huber(&self, delta: f64) -> Self {
        let distance = self.abs();
        let linear = (&distance - 0.5 * delta) * delta;
        distance.le(delta).select(&(self.square() * 0.5), &linear)
    }

    /// Whether `target` has this float tensor's shape and dtype; anything else is reported. Broadcasting
    /// here would hide mistakes.
    #[track_caller]
    pub(super) fn matches(&self, target: &Self, operation: &str) -> bool {
        if !self.is_valid() || !target.is_valid() {
            return false;
        }
        let (x, target) = (self.spec(), target.spec());
        let fits = x == target && x.dtype.is_float();
        if !fits {
            self.fail(
                operation,
                format!("needs a float prediction and a target alike, got {x} and {target}"),
            );
        }
        fits
    }
}

/// A case with the values of a hand-worked one, and one with fresh numbers.
pub(super) fn pair(name: &str, loss: fn(&Tensor, &Tensor) -> Tensor, expected: &[f64]) -> [Case; 2] {
    [
        Case::new(name, move |t| loss(&t[0], &t[1]))
            .given([2, 2], &[1.0, 2.0, 3.0, 4.0])
            .given([2, 2], &[1.5, 2.25, 3.0, 0.0])
            .expect(expected)
            .no_gradient(),
        Case::new(&format!("{name}/random"), move |t| loss(&t[0], &t[1])).random([3, 5]).random([3, 5]),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    use Reduction::{None, Sum};
    let huber = (0.125 + 0.03125 + 0.5 * 3.75) / 4.0;
    [
        pair("mse_loss", |x, y| x.mse_loss(y), &[(0.25 + 0.0625 + 16.0) / 4.0]),
        pair("mse_loss_with", |x, y| x.mse_loss_with(y, None), &[0.25, 0.0625, 0.0, 16.0]),
        pair("l1_loss", |x, y| x.l1_loss(y), &[(0.5 + 0.25 + 4.0) / 4.0]),
        pair("l1_loss_with", |x, y| x.l1_loss_with(y, Sum), &[4.75]),
        pair("huber_loss", |x, y| x.huber_loss(y, 0.5), &[huber]),
        pair("huber_loss_with", |x, y| x.huber_loss_with(y, 0.5, Sum), &[4.0 * huber]),
        pair("smooth_l1_loss", |x, y| x.smooth_l1_loss(y, 0.5), &[2.0 * huber]),
        pair("smooth_l1_loss_with", |x, y| x.smooth_l1_loss_with(y, 0.0, None), &[0.5, 0.25, 0.0, 4.0]),
    ]
    .into_iter()
    .flatten()
    .collect()
}
