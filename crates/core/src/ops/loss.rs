//! Losses between a prediction and a target of the same shape; all are means over every element.

use std::f64::consts::LN_2;

use crate::Tensor;
use crate::case::Case;

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
        if !self.matches(target, "mse_loss") {
            return self.invalid();
        }
        (self - target).square().mean(..)
    }

    /// The mean of |x − target| (PyTorch's `L1Loss`).
    #[track_caller]
    pub fn l1_loss(&self, target: &Self) -> Self {
        if !self.matches(target, "l1_loss") {
            return self.invalid();
        }
        (self - target).abs().mean(..)
    }

    /// The mean of ½d² where |d| ≤ delta, else delta·(|d| − ½delta), with d = x − target (PyTorch's
    /// `HuberLoss`; Huber, 1964).
    #[track_caller]
    pub fn huber_loss(&self, target: &Self, delta: f64) -> Self {
        if delta.is_nan() || delta <= 0.0 {
            return self.fail("huber_loss", format!("delta must be positive, got {delta}"));
        }
        if !self.matches(target, "huber_loss") {
            return self.invalid();
        }
        let difference = self - target;
        let distance = difference.abs();
        let linear = (&distance - 0.5 * delta) * delta;
        distance.le(delta).select(&(difference.square() * 0.5), &linear).mean(..)
    }

    /// The mean of −t·ln σ(x) − (1 − t)·ln(1 − σ(x)) for scores x and targets t in \[0, 1\]
    /// (PyTorch's `BCEWithLogitsLoss`), as softplus(x) − x·t, which cannot overflow.
    #[track_caller]
    pub fn binary_cross_entropy_with_logits(&self, target: &Self) -> Self {
        if !self.matches(target, "binary_cross_entropy_with_logits") {
            return self.invalid();
        }
        (self.softplus() - self * target).mean(..)
    }

    /// Whether `target` has this float tensor's shape and dtype; anything else is reported. Broadcasting
    /// here would hide mistakes.
    #[track_caller]
    fn matches(&self, target: &Self, operation: &str) -> bool {
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

pub(crate) fn cases() -> Vec<Case> {
    let hand = |name: &str, loss: fn(&Tensor, &Tensor) -> Tensor, expected: f64| {
        Case::new(name, move |t| loss(&t[0], &t[1]))
            .given([2, 2], &[1.0, 2.0, 3.0, 4.0])
            .given([2, 2], &[1.5, 2.25, 3.0, 0.0])
            .expect(&[expected])
            .no_gradient()
    };
    let random = |name: &str, loss: fn(&Tensor, &Tensor) -> Tensor| {
        Case::new(&format!("{name}/random"), move |t| loss(&t[0], &t[1])).random([3, 5]).random([3, 5])
    };
    vec![
        hand("mse_loss", |x, y| x.mse_loss(y), (0.25 + 0.0625 + 16.0) / 4.0),
        random("mse_loss", |x, y| x.mse_loss(y)),
        hand("l1_loss", |x, y| x.l1_loss(y), (0.5 + 0.25 + 4.0) / 4.0),
        random("l1_loss", |x, y| x.l1_loss(y)),
        hand("huber_loss", |x, y| x.huber_loss(y, 0.5), (0.125 + 0.03125 + 0.5 * 3.75) / 4.0),
        random("huber_loss", |x, y| x.huber_loss(y, 1.0)),
        Case::new("binary_cross_entropy_with_logits", |t| t[0].binary_cross_entropy_with_logits(&t[1]))
            .given([3], &[0.0, 200.0, -200.0])
            .given([3], &[1.0, 1.0, 0.5])
            .expect(&[(LN_2 + 0.0 + 100.0) / 3.0]),
        Case::new("binary_cross_entropy_with_logits/random", |t| {
            t[0].binary_cross_entropy_with_logits(&t[1])
        })
        .random([3, 5])
        .uniform([3, 5], 0.0, 1.0),
    ]
}
