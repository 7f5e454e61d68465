//! Losses between a prediction and a target of the same shape; all are means over every element.

use crate::Tensor;

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
