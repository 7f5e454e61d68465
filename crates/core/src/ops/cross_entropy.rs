//! Cross-entropy of class scores, and accuracy.

use std::f64::consts::LN_2;

use crate::case::Case;
use crate::{DType, Tensor};

impl Tensor {
    /// The mean over samples of −ln softmax(logits)\[label\]: logits \[N, C\] or \[N, C, …\] and u32
    /// labels \[N\] or \[N, …\] give a scalar (PyTorch's `CrossEntropyLoss`). Labels must be below C; a
    /// batch with another one is refused.
    ///
    /// ```
    /// use wgrad_core::{F32, Graph, Mode, U32};
    /// let g = Graph::new(Mode::Train);
    /// let (logits, labels) = (g.input("x", [64, 10], F32), g.input("label", [64], U32));
    /// assert_eq!(logits.cross_entropy(&labels).rank(), 0);
    /// ```
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Self) -> Self {
        self.cross_entropy_with(labels, 0.0)
    }

    /// [`Tensor::cross_entropy`] against targets smoothed by `smoothing` in \[0, 1\]: that share of the
    /// probability is spread evenly over all classes (PyTorch's `label_smoothing`).
    #[track_caller]
    pub fn cross_entropy_with(&self, labels: &Self, smoothing: f64) -> Self {
        if !(0.0..=1.0).contains(&smoothing) {
            return self.fail("cross_entropy", format!("label smoothing {smoothing} is not in 0..=1"));
        }
        if !self.takes_labels(labels, "cross_entropy") {
            return self.invalid();
        }
        let log_probabilities = self.log_softmax(1);
        let loss = log_probabilities.nll_loss(labels);
        if smoothing == 0.0 {
            return loss;
        }
        loss * (1.0 - smoothing) - log_probabilities.mean(..) * smoothing
    }

    /// The mean over samples of −x\[label\], where x are log-probabilities \[N, C\] or \[N, C, …\]
    /// (PyTorch's `NLLLoss`).
    #[track_caller]
    pub fn nll_loss(&self, labels: &Self) -> Self {
        if !self.takes_labels(labels, "nll_loss") {
            return self.invalid();
        }
        // Picking by comparison keeps the loss and its gradient within one pass over the row.
        let is_label = labels.is_class(1, self.dim(1), "nll_loss");
        let picked = is_label.select(self, &self.zeros_like()).sum(1);
        picked.mean(..).neg()
    }

    /// The share of samples whose largest score, along axis 1, is at the label: an f32 scalar. Not
    /// differentiable.
    #[track_caller]
    pub fn accuracy(&self, labels: &Self) -> Self {
        if !self.takes_labels(labels, "accuracy") {
            return self.invalid();
        }
        let labels = labels.require_below(self.dim(1) as u32);
        self.argmax(1).eq(labels).cast(DType::F32).mean(..)
    }

    /// Whether `labels` are u32 labels for these scores; anything else is reported.
    #[track_caller]
    fn takes_labels(&self, labels: &Self, operation: &str) -> bool {
        if !self.is_valid() || !labels.is_valid() {
            return false;
        }
        let (scores, labels) = (self.spec(), labels.spec());
        let fits = scores.dtype.is_float()
            && scores.shape.rank() >= 2
            && labels.dtype == DType::U32
            && labels.shape == scores.shape.without(&[1]);
        if !fits {
            let message =
                format!("needs float scores [N, C, …] and u32 labels [N, …], got {scores} and {labels}");
            self.fail(operation, message);
        }
        fits
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let loss = |variant: &str| Case::new(&format!("cross_entropy{variant}"), |t| t[0].cross_entropy(&t[1]));
    // Scores whose exponentials are 1, 2, 5 and 1, 1, 2.
    let scores = [0.0, LN_2, 1.6094379124341003, 0.0, 0.0, LN_2];
    vec![
        loss("").given([2, 3], &scores).indices([2], &[2.0, 0.0]).expect(&[(1.6f64.ln() + 4f64.ln()) / 2.0]),
        loss("/random").random([5, 7]).labels([5], 7),
        loss("/images").random([2, 3, 4, 5]).labels([2, 4, 5], 3),
        loss("/one-class").random([3, 1]).labels([3], 1).expect(&[0.0]),
        loss("/large-scores").given([1, 2], &[1e4, -1e4]).indices([1], &[1.0]).expect(&[2e4]),
        loss("/many-classes").random([3, 1000]).labels([3], 1000),
        Case::new("cross_entropy_with", |t| t[0].cross_entropy_with(&t[1], 0.5))
            .given([1, 2], &[0.0, 0.0])
            .indices([1], &[1.0])
            .expect(&[LN_2]),
        Case::new("cross_entropy_with/random", |t| t[0].cross_entropy_with(&t[1], 0.1))
            .random([5, 7])
            .labels([5], 7),
        Case::new("nll_loss", |t| t[0].nll_loss(&t[1]))
            .given([2, 2], &[-1.0, -2.0, -3.0, -4.0])
            .indices([2], &[1.0, 0.0])
            .expect(&[2.5]),
        Case::new("nll_loss/random", |t| t[0].nll_loss(&t[1])).random([2, 5, 3]).labels([2, 3], 5),
        Case::new("accuracy", |t| t[0].accuracy(&t[1]))
            .given([4, 2], &[1.0, 2.0, 2.0, 1.0, 0.0, -1.0, 3.0, 4.0])
            .indices([4], &[1.0, 0.0, 1.0, 1.0])
            .expect(&[0.75])
            .no_gradient(),
    ]
}
